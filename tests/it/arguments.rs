//! Arguments that do not fit their tool: repaired, refused, or passed on.

use mcp_bridge::demo::DemoHouse;
use serde_json::{Value, json};

use crate::support::bridge::{Bridge, house, send};

/// A house, and a bridge that has seen its tools.
async fn informed(environment: &[(&str, &str)]) -> (DemoHouse, Bridge) {
    let house = house().await;
    let bridge = Bridge::start_with(&["--upstream", &house.url()], environment).await;
    bridge.rpc("tools/list", json!({})).await.result();
    (house, bridge)
}

fn last_arguments(house: &DemoHouse) -> Value {
    house.executed().last().unwrap().arguments.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_plainly_meant_arrives_as_it_was_meant() {
    let (house, bridge) = informed(&[]).await;
    for (tool, sent, meant) in [
        (
            "intent__HassTurnOn",
            json!({"name": "Desk Lamp", "area": "", "floor": null, "domain": "light"}),
            json!({"name": "Desk Lamp", "domain": ["light"]}),
        ),
        (
            "light__HassLightSet",
            json!({"name": "Desk Lamp", "brightness": "30"}),
            json!({"name": "Desk Lamp", "brightness": 30}),
        ),
        (
            "light__HassLightSet",
            Value::from(r#"{"name": "Desk Lamp", "brightness": 31}"#),
            json!({"name": "Desk Lamp", "brightness": 31}),
        ),
        (
            "todo__get_items",
            json!({"todo_list": "shopping list", "status": "ALL"}),
            json!({"todo_list": "Shopping List", "status": "all"}),
        ),
    ] {
        let result = bridge.call(tool, sent.clone()).await.result();
        assert_eq!(result["isError"], false, "{sent}: {result}");
        assert_eq!(last_arguments(&house), meant);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_changes_nothing_beside_itself() {
    let (house, bridge) = informed(&[]).await;
    let call = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"x":1.50e0,"name":"light__HassLightSet","arguments":{arguments}}},"y":[ ]}}"#
        )
    };
    let sent = call(r#"{"area":"","brightness":"5","zz":1.0e2,"n\u0061me":"Desk Lamp"}"#);
    let reply = send(bridge.post("/mcp", sent)).await;
    assert_eq!(reply.result()["isError"], false);
    let arrived = house.last_request().unwrap().body;
    let expected = call(r#"{"brightness":5,"zz":1.0e2,"n\u0061me":"Desk Lamp"}"#);
    assert_eq!(arrived, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_with_the_line_of_the_schema() {
    let (house, bridge) = informed(&[]).await;
    for (tool, arguments, told) in [
        (
            "intent__HassSetPosition",
            json!({"name": "Curtain"}),
            r#""position" is a required property"#,
        ),
        (
            "intent__HassSetPosition",
            json!({"name": "Curtain", "position": "half"}),
            r#"position: "half" is not of type "integer"; the schema says at #/properties/position/"#,
        ),
        (
            "light__HassLightSet",
            json!({"name": "Desk Lamp", "brightness": 300}),
            "brightness: 300 is greater than the maximum of 100",
        ),
        (
            "light__HassLightSet",
            json!([5]),
            "the arguments are no object",
        ),
        (
            "light__HassLightSet",
            json!("bright"),
            "the arguments are no object",
        ),
    ] {
        let reply = bridge.call(tool, arguments.clone()).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (200, "wrong_arguments")
        );
        let result = reply.result();
        assert_eq!(result["isError"], true);
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(
            text.contains(told) && text.ends_with("Nothing was changed."),
            "{text}"
        );
        let plain = json!({"name": tool, "arguments": arguments});
        let reply = send(bridge.post("/mcp/tools/call", plain)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (422, "wrong_arguments")
        );
        assert!(reply.json()["detail"].as_str().unwrap().contains(told));
    }
    assert!(house.executed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_can_be_read_in_two_ways_is_refused() {
    let (house, bridge) = informed(&[]).await;
    for (params, code) in [
        (
            r#"{"name":"light__HassLightSet","name":"intent__HassTurnOff","arguments":{}}"#,
            "invalid_params",
        ),
        (
            r#"{"name":"intent__HassTurnOff","arguments":{},"arguments":{"name":"Desk Lamp"}}"#,
            "invalid_params",
        ),
        (
            r#"{"name":"intent__HassTurnOff","arguments":{"name":"Desk Lamp","name":"TV"}}"#,
            "wrong_arguments",
        ),
    ] {
        let reply = send(bridge.post("/mcp/tools/call", params)).await;
        assert_eq!(reply.code(), code, "{params}");
    }
    assert!(house.executed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_or_not_to_be_checked_passes() {
    let house = house().await;
    let wrong = json!({"name": "Desk Lamp", "brightness": "300", "area": ""});
    let fresh = Bridge::before(&house).await;
    let off = [
        ("MCP_BRIDGE__ARGUMENTS__CHECK", "false"),
        ("MCP_BRIDGE__ARGUMENTS__DROP_EMPTY", "false"),
        ("MCP_BRIDGE__ARGUMENTS__CONVERT", "false"),
    ];
    let lenient = Bridge::start_with(&["--upstream", &house.url()], &off).await;
    lenient.rpc("tools/list", json!({})).await.result();
    for bridge in [fresh, lenient] {
        bridge
            .call("light__HassLightSet", wrong.clone())
            .await
            .result();
        assert_eq!(last_arguments(&house), wrong);
    }
    let (house, bridge) = informed(&[]).await;
    let reply = bridge.call("nobody__knows", json!({"a": ""})).await;
    assert!(reply.text.contains("not found"), "{reply:?}");
    assert_eq!(
        house.last_request().unwrap().json()["params"]["arguments"],
        json!({"a": ""})
    );
}
