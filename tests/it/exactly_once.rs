//! Many clients, an upstream that fails in every way: each call gets one answer, no action runs twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mcp_bridge::demo::Fault;
use serde_json::{Value, json};

use crate::support::bridge::{Bridge, house, send};

const CLIENTS: usize = 64;
const CALLS: usize = 10_000;

/// What a client was told about one of its writes.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Done,
    Unknown,
    NotDone(String),
}

fn told(reply: &Value) -> Told {
    let result = &reply["result"];
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    // A tool that says "no" has run as well; what the bridge itself says carries a code.
    if result.is_object() && result["_meta"]["mcp-bridge/error"].is_null() {
        Told::Done
    } else if text.contains("Outcome unknown") {
        Told::Unknown
    } else {
        Told::NotDone(reply.to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clients_and_a_failing_upstream_get_one_answer_each_and_no_action_twice() {
    let house = Arc::new(house().await);
    let roomy = [
        ("MCP_BRIDGE__QUEUE__MAX_WAITING", "20000"),
        ("MCP_BRIDGE__QUEUE__MAX_WAITING_PER_CLIENT", "1000"),
        ("MCP_BRIDGE__QUEUE__MAX_PARALLEL_CALLS", "16"),
    ];
    let args = ["--upstream", &house.url()];
    let bridge = Arc::new(Bridge::start_with(&args, &roomy).await);
    bridge.rpc("tools/list", json!({})).await.result();
    let tokens: Vec<String> = (0..CLIENTS)
        .map(|n| bridge.command(&["token", "create", &format!("client {n}")]))
        .map(|made| made.lines().last().unwrap().to_owned())
        .collect();
    bridge
        .until(|status| status["clients"] == CLIENTS + 1)
        .await;
    let trouble = tokio::spawn(make_trouble(house.clone()));
    let clients: Vec<_> = tokens
        .into_iter()
        .enumerate()
        .map(|(n, token)| tokio::spawn(client(n, token, bridge.url("/mcp"))))
        .collect();
    let mut answers = HashMap::new();
    for client in clients {
        answers.extend(client.await.unwrap());
    }
    trouble.abort();
    let mut ran: HashMap<String, usize> = HashMap::new();
    let mut last: HashMap<String, usize> = HashMap::new();
    for execution in house
        .executed()
        .iter()
        .filter(|e| e.tool == "todo__HassListAddItem")
    {
        let item = execution.arguments["item"].as_str().unwrap().to_owned();
        let (client, call) = item.split_once('/').unwrap();
        let call: usize = call.parse().unwrap();
        let before = last.insert(client.to_owned(), call);
        assert!(
            before.is_none_or(|before| before < call),
            "{item} ran after {before:?}"
        );
        *ran.entry(item).or_default() += 1;
    }
    let mut done = 0;
    for (item, told) in &answers {
        let times = ran.get(item).copied().unwrap_or(0);
        match told {
            Told::Done => assert_eq!(times, 1, "{item} was reported done"),
            Told::Unknown => assert!(times <= 1, "{item} ran twice"),
            Told::NotDone(words) => assert_eq!(times, 0, "{item}: {words}"),
        }
        done += usize::from(*told == Told::Done);
    }
    assert!(
        done > answers.len() / 2,
        "only {done} of {} were done",
        answers.len()
    );
    let status = bridge.status().await;
    assert_eq!(status["calls"]["queue"]["waiting"], 0);
    bridge
        .until(|status| status["calls"]["queue"]["running"] == 0)
        .await;
}

/// One client: writes and reads in turn, several at once; what it was told of each write.
async fn client(n: usize, token: String, url: String) -> Vec<(String, Told)> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut answers = Vec::new();
    for round in 0..CALLS / CLIENTS / 4 {
        let writes = [0, 1].map(|k| format!("{n}/{}", 2 * round + k));
        let mut calls = Vec::new();
        for item in &writes {
            let arguments = json!({"name": "Shopping List", "item": item});
            calls.push(json!({"name": "todo__HassListAddItem", "arguments": arguments}));
            calls.push(json!({"name": "llm__GetDateTime", "arguments": {"n": item}}));
        }
        let messages = (0..).zip(calls).map(|(id, params)| {
            json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
        });
        let batch = Value::from(messages.collect::<Vec<_>>());
        let request = http
            .post(format!("{url}/batch"))
            .bearer_auth(&token)
            .body(batch.to_string());
        let reply = send(request.header("content-type", "application/json"))
            .await
            .json();
        let ids: Vec<_> = reply
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a["id"].clone())
            .collect();
        assert_eq!(
            ids,
            [0, 1, 2, 3].map(Value::from),
            "one answer each, in order"
        );
        answers.extend(writes.into_iter().zip([told(&reply[0]), told(&reply[2])]));
    }
    answers
}

/// Every kind of trouble, one after the other, until it is stopped.
async fn make_trouble(house: Arc<mcp_bridge::demo::DemoHouse>) {
    let status = |status: u16| Fault::Status {
        status,
        body: String::new(),
        content_type: String::new(),
    };
    loop {
        for fault in [
            Fault::Reset,
            status(502),
            Fault::ResetBefore,
            Fault::Truncated,
            status(503),
            Fault::Garbage,
            status(504),
        ] {
            let seen = house.requests();
            house.fail_next_calls(fault, 3);
            house.until(|house| house.requests() >= seen + 150).await;
        }
        house.restart(Duration::from_millis(50)).await.unwrap();
    }
}
