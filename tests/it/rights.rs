//! What a client may do: every kind of rule through the door, and what is said when it holds.

use mcp_bridge::demo::DemoHouse;
use serde_json::{Value, json};

use crate::support::bridge::{Bridge, Reply, house, program, send};

const READ: &str = "homeassistant__GetLiveContext";
const ON: &str = "intent__HassTurnOn";
const OFF: &str = "intent__HassTurnOff";
const LIGHT: &str = "light__HassLightSet";
const HEAT: &str = "climate__HassClimateSetTemperature";

/// A house and a bridge with a second client, which has these rights.
struct Limited {
    house: DemoHouse,
    bridge: Bridge,
    token: String,
}

impl Limited {
    async fn to(rights: &Value) -> Self {
        let house = house().await;
        let bridge = Bridge::before(&house).await;
        let made = ["token", "create", "agent", "--rights", &rights.to_string()];
        let made = bridge.command(&made);
        let token = made.lines().last().unwrap().to_owned();
        bridge.until(|status| status["clients"] == 2).await;
        Self {
            house,
            bridge,
            token,
        }
    }

    fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(self.bridge.url(path)).bearer_auth(&self.token);
        request
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    async fn rpc(&self, method: &str, params: Value) -> Reply {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        send(self.post("/mcp", &message)).await
    }

    async fn call(&self, tool: &str, arguments: Value) -> Reply {
        let params = json!({"name": tool, "arguments": arguments});
        self.rpc("tools/call", params).await
    }

    async fn tools(&self) -> Vec<String> {
        let list = self.rpc("tools/list", json!({})).await.result();
        let tools = list["tools"].as_array().unwrap().iter();
        tools
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect()
    }

    fn executed(&self) -> Vec<String> {
        let executed = self.house.executed().into_iter();
        executed.map(|execution| execution.tool).collect()
    }
}

/// The text of a refusal, which is a tool's result.
fn refusal(reply: &Reply) -> String {
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (200, "denied"),
        "{reply:?}"
    );
    let result = reply.result();
    assert_eq!(result["isError"], true);
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_refuses_what_it_is_for_and_says_so() {
    let lamp = json!({"name": "Desk Lamp"});
    for (rights, tool, arguments, rule) in [
        (
            json!({"read_only": true}),
            ON,
            lamp.clone(),
            "this client is read-only",
        ),
        (
            json!({"deny": ["*TurnOn"]}),
            ON,
            lamp.clone(),
            "this client may not call tools like *TurnOn",
        ),
        (
            json!({"allow": ["light__*"]}),
            ON,
            lamp.clone(),
            "the tool is not among those that this client may call",
        ),
        (
            json!({"arguments": [{"argument": "domain", "in": ["light"]}]}),
            ON,
            lamp.clone(),
            "the rule `domain` in light does not hold: `domain` must be said",
        ),
        (
            json!({"arguments": [{"argument": "domain", "in": ["light"]}]}),
            HEAT,
            json!({"temperature": 20, "domain": "light"}),
            "the tool does not take `domain`",
        ),
        (
            json!({"arguments": [{"argument": "area", "matching": ["Off*"]}]}),
            ON,
            json!({"area": "Kitchen"}),
            r#"the rule `area` like Off* does not hold: it is "Kitchen""#,
        ),
        (
            json!({"arguments": [{"argument": "temperature", "at_most": 24}]}),
            HEAT,
            json!({"temperature": "25", "area": "Office"}),
            "the rule `temperature` at most 24 does not hold: it is 25",
        ),
        (
            json!({"sensitive": {"lock": "deny"}}),
            OFF,
            json!({"domain": ["lock"]}),
            "it touches something of the class `lock`",
        ),
        (
            json!({"sensitive": {"garage": "confirm"}}),
            OFF,
            json!({"area": "Kitchen"}),
            "it may touch something of the class `garage`; say which kind of device is meant",
        ),
        (
            json!({"sensitive": {"script": "deny"}}),
            "script__movie_night",
            json!({}),
            "it touches something of the class `script`",
        ),
    ] {
        let limited = Limited::to(&rights).await;
        // The first call of all, before any list: the bridge asks for the list itself.
        let text = refusal(&limited.call(tool, arguments.clone()).await);
        assert!(text.contains(rule), "{rights}: {text}");
        assert!(text.ends_with("Nothing was changed."), "{text}");
        let plain = json!({"name": tool, "arguments": arguments});
        let reply = send(limited.post("/mcp/tools/call", &plain)).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "denied"));
        assert!(reply.json()["detail"].as_str().unwrap().contains(rule));
        let member = json!([{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": plain}]);
        let reply = send(limited.post("/mcp/batch", &member)).await;
        assert!(reply.text.contains(r#""code":"denied""#), "{reply:?}");
        assert!(limited.executed().is_empty());
        // It is the client that may not, not the bridge.
        let reply = limited.bridge.call(READ, json!({})).await;
        assert_eq!(reply.result()["isError"], false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rules_allow_goes_through() {
    let rights = json!({
        "allow": ["intent__*", "light__*", "*GetLiveContext"],
        "deny": ["*Position"],
        "arguments": [
            {"tools": "intent__*", "argument": "domain", "in": ["light"]},
            {"argument": "brightness", "at_most": 50},
        ],
        "sensitive": {"lock": "deny", "garage": "deny", "script": "deny", "alarm": "deny"},
    });
    let limited = Limited::to(&rights).await;
    for (tool, arguments) in [
        (READ, json!({})),
        (ON, json!({"name": "Desk Lamp", "domain": "light"})),
        (LIGHT, json!({"name": "Desk Lamp", "brightness": "50"})),
    ] {
        let reply = limited.call(tool, arguments).await;
        assert_eq!(reply.result()["isError"], false, "{reply:?}");
    }
    assert_eq!(limited.executed(), [READ, ON, LIGHT]);
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_judged_as_they_are_sent() {
    // A text that spells a list would be repaired: the rule must see the list.
    let rights = json!({"sensitive": {"lock": "deny"}});
    let limited = Limited::to(&rights).await;
    let reply = limited.call(OFF, json!({"domain": r#"["lock"]"#})).await;
    assert!(refusal(&reply).contains("class `lock`"));
    let twice =
        r#"{"name":"intent__HassTurnOff","arguments":{"domain":["light"],"domain":["lock"]}}"#;
    let request = limited.post("/mcp/tools/call", &Value::Null).body(twice);
    assert_eq!(send(request).await.code(), "denied");
    assert!(limited.executed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_shows_what_may_be_called_and_what_it_shows_keeps_its_bytes() {
    let rights = json!({
        "deny": ["media_player__*"],
        "arguments": [{"argument": "domain", "in": ["light"]}],
        "sensitive": {"script": "deny"},
    });
    let limited = Limited::to(&rights).await;
    let shown = limited.tools().await;
    assert_eq!(
        shown,
        [
            READ,
            ON,
            OFF,
            "intent__HassSetPosition",
            LIGHT,
            "llm__GetDateTime",
            "todo__get_items"
        ]
    );
    let all = send(limited.bridge.post("/mcp/tools/list", "{}"))
        .await
        .text;
    let some = send(limited.post("/mcp/tools/list", &json!({}))).await.text;
    let all: Vec<&serde_json::value::RawValue> = tools(&all);
    for tool in tools(&some) {
        assert!(all.iter().any(|other| other.get() == tool.get()), "{tool}");
    }
    let reader = Limited::to(&json!({"read_only": true})).await;
    assert_eq!(
        reader.tools().await,
        [READ, "llm__GetDateTime", "todo__get_items"]
    );
    let modern = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }},
    });
    let request = reader.post("/mcp", &modern);
    let request = request.header("mcp-protocol-version", "2026-07-28");
    let result = send(request.header("mcp-method", "tools/list"))
        .await
        .result();
    assert_eq!(result["tools"].as_array().unwrap().len(), 3);
    assert_eq!(result["cacheScope"], "private");
}

fn tools(list: &str) -> Vec<&serde_json::value::RawValue> {
    #[derive(serde::Deserialize)]
    struct List<'a> {
        #[serde(borrow)]
        tools: Vec<&'a serde_json::value::RawValue>,
    }
    serde_json::from_str::<List<'_>>(list).unwrap().tools
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_for_all_leaves_nobody_anything_but_looking() {
    let house = house().await;
    let switch = [("MCP_BRIDGE__ACCESS__READ_ONLY", "true")];
    let bridge = Bridge::start_with(&["--upstream", &house.url()], &switch).await;
    let reply = bridge.call(ON, json!({"name": "Desk Lamp"})).await;
    assert!(refusal(&reply).contains("the bridge is read-only (`access.read_only`)"));
    let reply = bridge.rpc("garage/open", json!({})).await;
    assert_eq!(reply.code(), "denied");
    assert_eq!(
        bridge.call(READ, json!({})).await.result()["isError"],
        false
    );
    let list = bridge.rpc("tools/list", json!({})).await.result();
    assert_eq!(list["tools"].as_array().unwrap().len(), 3);
    for method in ["ping", "prompts/list", "resources/list"] {
        bridge.rpc(method, json!({})).await.result();
    }
    assert_eq!(house.executed().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_changed_count_in_the_running_bridge() {
    let limited = Limited::to(&json!({})).await;
    let lamp = json!({"name": "Desk Lamp"});
    assert_eq!(
        limited.call(ON, lamp.clone()).await.result()["isError"],
        false
    );
    let shown = limited
        .bridge
        .command(&["rights", "set", "agent", "--read-only"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, json!({"read_only": true}));
    while limited.tools().await.len() != 3 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    refusal(&limited.call(OFF, lamp).await);
    let shown = limited.bridge.command(&["rights", "show", "agent"]);
    assert_eq!(
        serde_json::from_str::<Value>(&shown).unwrap(),
        json!({"read_only": true})
    );
}

#[test]
fn rights_that_make_no_sense_are_refused_on_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    for (arguments, told) in [
        (vec!["--allow", ""], "is no pattern"),
        (
            vec!["--rights", r#"{"readonly":true}"#],
            "unknown field `readonly`",
        ),
        (
            vec!["--rights", r#"{"arguments":[{"argument":"x"}]}"#],
            "the rule for \"x\" demands nothing",
        ),
        (vec!["--rights", "{}", "--read-only"], "cannot be used with"),
    ] {
        let mut command = program(["token", "create", "x", "--data"]);
        let output = command.arg(data.path()).args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(told), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_tells_what_would_become_of_a_call() {
    let rights = json!({
        "deny": ["media_player__*"],
        "sensitive": {"lock": "confirm"},
        "arguments": [{"argument": "temperature", "at_most": 24}],
    });
    let limited = Limited::to(&rights).await;
    let explain = |tool: &str, arguments: &str| {
        let url = limited.house.url();
        let command = [
            "explain",
            "--client",
            "agent",
            "--tool",
            tool,
            "--args",
            arguments,
            "--upstream",
            &url,
            "--json",
        ];
        serde_json::from_str::<Value>(&limited.bridge.command(&command)).unwrap()
    };
    for (tool, arguments, decision, why) in [
        (READ, "{}", "allowed", None),
        (
            ON,
            r#"{"name":"Desk Lamp","domain":["light"]}"#,
            "allowed",
            None,
        ),
        (
            "media_player__HassMediaNext",
            "{}",
            "denied",
            Some("this client may not call tools like media_player__*"),
        ),
        (
            HEAT,
            r#"{"temperature":"30"}"#,
            "denied",
            Some("the rule `temperature` at most 24 does not hold: it is 30"),
        ),
        (
            OFF,
            r#"{"domain":"lock"}"#,
            "confirm",
            Some("it touches something of the class `lock`"),
        ),
        (
            LIGHT,
            r#"{"brightness":"much"}"#,
            "wrong_arguments",
            Some(r#"brightness: "much" is not of type "integer""#),
        ),
    ] {
        let told = explain(tool, arguments);
        assert_eq!(told["decision"], decision, "{told}");
        assert_eq!(told["is_listed"], true);
        let said = told["why"].as_str();
        assert_eq!(said.is_some(), why.is_some(), "{told}");
        assert!(
            said.unwrap_or_default()
                .starts_with(why.unwrap_or_default()),
            "{told}"
        );
    }
    assert_eq!(
        explain(OFF, r#"{"domain":"lock"}"#)["arguments"],
        json!({"domain": ["lock"]})
    );
    assert!(limited.executed().is_empty());
    let missing = [
        "explain", "--client", "nobody", "--tool", ON, "--demo", "--data",
    ];
    let output = program(missing)
        .arg(limited.bridge.data())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("there is no client \"nobody\"")
    );
}
