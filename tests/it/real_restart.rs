//! A real Home Assistant that restarts while clients use it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::HomeAssistant;
use crate::support::bridge::{Bridge, PATIENCE, Reply, send};

/// What became of actions that count, as their callers were told.
#[derive(Default)]
struct Told {
    /// The value that each acknowledged one raised the counter to.
    counts: Vec<u64>,
    /// Those that may have run: told so, or told by a Home Assistant that was stopping that they
    /// are done, without the value.
    maybe: usize,
    failed: usize,
}

impl Told {
    fn add(&mut self, reply: &Reply) {
        let json = reply.json();
        let text = json["content"][0]["text"].as_str().unwrap_or_default();
        let said: Value = serde_json::from_str(text).unwrap_or_default();
        if let Some(count) = said["result"]["hits"].as_u64() {
            self.counts.push(count);
        } else if json["isError"] == false || json["outcome"] == "unknown" {
            self.maybe += 1;
        } else {
            assert!(reply.status >= 500, "{reply:?}");
            self.failed += 1;
        }
    }

    /// Each acknowledged one ran once, and no other that may not have run.
    fn agrees_with(mut self, ran: u64, most_unknown: usize) {
        let Self { maybe, failed, .. } = self;
        let acknowledged = self.counts.len();
        self.counts.sort_unstable();
        self.counts.dedup();
        assert_eq!(self.counts.len(), acknowledged, "each ran on its own");
        assert!(maybe <= most_unknown, "{maybe} of unknown outcome");
        let ran = usize::try_from(ran).unwrap();
        assert!(
            (acknowledged..=acknowledged + maybe).contains(&ran),
            "{ran} ran; {acknowledged} acknowledged, {maybe} unknown, {failed} failed"
        );
    }
}

/// Home Assistant restarts when so many actions are acknowledged, and comes back to acknowledge more.
async fn restart_under_load(ha: &HomeAssistant, told: &Mutex<Told>, first: usize) {
    let history = async {
        until_acknowledged(told, first).await;
        let back = tokio::spawn(HomeAssistant::running().come_back());
        ha.restart().await;
        back.await.unwrap();
        until_acknowledged(told, 20).await;
    };
    tokio::time::timeout(3 * PATIENCE, history)
        .await
        .expect("it did not come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_action_runs_twice_across_a_restart_and_none_that_was_acknowledged_is_lost() {
    let ha = HomeAssistant::running();
    let bridge = Arc::new(ha.bridge().await);
    let before: u64 = ha.state("counter.hits").await.parse().unwrap();
    let told = Arc::new(Mutex::new(Told::default()));
    let (next, over) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (bridge, told) = (bridge.clone(), told.clone());
            let (next, over) = (next.clone(), over.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let key = format!("restart-{}", next.fetch_add(1, Ordering::Relaxed));
                    let call = bridge.post("/mcp/tools/call", json!({"name": "script__count_up"}));
                    let reply = send(call.header("idempotency-key", key)).await;
                    told.lock().unwrap().add(&reply);
                    // Only so that a Home Assistant without its MCP server is not flooded.
                    if reply.status != 200 {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            })
        })
        .collect();
    restart_under_load(&ha, &told, 20).await;
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let after: u64 = ha.state("counter.hits").await.parse().unwrap();
    let told = std::mem::take(&mut *told.lock().unwrap());
    // Writes of one client run one at a time, so a restart can catch one of them only.
    told.agrees_with(after - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_home_assistant_is_survived() {
    let ha = HomeAssistant::running();
    let bridge = ha.bridge().await;
    assert_eq!(
        bridge.call("llm__GetDateTime", json!({})).await.result()["isError"],
        false
    );
    ha.restart().await;
    // No call fails for want of a connection: it waits. Home Assistant's own word that the MCP server
    // is not there yet is passed on.
    let mut codes = Vec::new();
    let mut back = tokio::spawn(HomeAssistant::running().come_back());
    let restart = async {
        loop {
            let reply = bridge.call("llm__GetDateTime", json!({})).await;
            assert_eq!(reply.status, 200);
            if reply.result()["isError"] == true {
                codes.push(reply.code());
            } else if back.is_finished() {
                return (&mut back).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(2 * PATIENCE, restart)
        .await
        .expect("it did not come back");
    codes.dedup();
    assert!(
        codes.iter().all(|code| code == "mcp_server_not_set_up"),
        "{codes:?}"
    );
}

/// Waits until `more` further actions were acknowledged.
async fn until_acknowledged(told: &Mutex<Told>, more: usize) {
    let now = || told.lock().unwrap().counts.len();
    let wanted = now() + more;
    while now() < wanted {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_steady_load_costs_no_answer_and_doubles_no_action() {
    const CLIENTS: usize = 5;
    /// Four calls a second for each.
    const PAUSE: Duration = Duration::from_millis(250);
    let ha = HomeAssistant::running();
    let arguments = ["--upstream", &ha.url, "--upstream-token", &ha.token];
    let patient = [
        ("MCP_BRIDGE__QUEUE__CALL_TIMEOUT", "170s"),
        ("MCP_BRIDGE__QUEUE__MAX_WAITING", "5000"),
        ("MCP_BRIDGE__QUEUE__MAX_WAITING_PER_CLIENT", "1000"),
    ];
    let bridge = Arc::new(Bridge::start_with(&arguments, &patient).await);
    let tokens: Vec<String> = (0..CLIENTS)
        .map(|n| {
            let made = bridge.command(&["token", "create", &format!("client {n}")]);
            made.lines().last().unwrap().to_owned()
        })
        .collect();
    bridge
        .until(|status| status["clients"] == CLIENTS + 1)
        .await;
    let before: u64 = ha.state("counter.hits").await.parse().unwrap();
    let told = Arc::new(Mutex::new(Told::default()));
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for (client, token) in tokens.into_iter().enumerate() {
        let (bridge, told, over) = (bridge.clone(), told.clone(), over.clone());
        clients.spawn(async move {
            let mut beat = tokio::time::interval(PAUSE);
            let mut calls = JoinSet::new();
            for n in 0_u32.. {
                beat.tick().await;
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let acts = n % 4 == 0;
                let tool = if acts {
                    "script__count_up"
                } else {
                    "homeassistant__GetLiveContext"
                };
                let call = bridge.post("/mcp/tools/call", json!({"name": tool}));
                let call = call.header("x-api-key", &token);
                let call = call.header("idempotency-key", format!("{client}-{n}"));
                let told = told.clone();
                calls.spawn(async move {
                    let reply = send(call).await;
                    if acts {
                        told.lock().unwrap().add(&reply);
                    } else {
                        assert_eq!(reply.json()["isError"], false, "{reply:?}");
                    }
                });
            }
            while let Some(call) = calls.join_next().await {
                call.unwrap();
            }
        });
    }
    restart_under_load(&ha, &told, 5).await;
    over.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let after: u64 = ha.state("counter.hits").await.parse().unwrap();
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(told.failed, 0, "they would have had the time to wait");
    // Writes of one client run one at a time, so a restart can catch one of each.
    told.agrees_with(after - before, CLIENTS);
}
