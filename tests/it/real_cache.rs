//! Whatever is changed in a real Home Assistant, the bridge's memory shows it.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::HomeAssistant;
use crate::support::bridge::{Bridge, PATIENCE, Reply, modern_post, send};
use crate::support::events::Events;
use crate::support::websocket::Commands;

const CHANGES: usize = 200;
const LAMPS: [&str; 4] = [
    "light.reading_lamp",
    "light.ceiling_light",
    "light.worktop_light",
    "light.bedside_lamp",
];

/// Nothing ends the life of an answer but what Home Assistant tells; and whoever asks until it shows
/// something new goes round in no circle.
const FOR_EVER: [(&str, &str); 3] = [
    ("MCP_BRIDGE__LOOPS__CALLS", "0"),
    ("MCP_BRIDGE__CACHE__STATE_TTL", "1h"),
    ("MCP_BRIDGE__CACHE__LIST_TTL", "1h"),
];

/// A question whose answer is kept.
type Question = (&'static str, Value);

/// Somebody who changes the house.
struct Resident {
    ha: HomeAssistant,
    commands: Commands,
    random: SmallRng,
}

impl Resident {
    /// Changes something; says what.
    async fn change(&mut self) -> String {
        let lamp = *LAMPS.choose(&mut self.random).unwrap();
        let n: u8 = self.random.random_range(0..10);
        match self.random.random_range(0..6) {
            0 | 1 => self.toggle(lamp).await,
            2 => {
                self.entity(lamp, json!({"name": format!("Lamp {n}")}))
                    .await
            }
            3 => {
                let area = *["kitchen", "bedroom", "living_room"]
                    .choose(&mut self.random)
                    .unwrap();
                self.entity(lamp, json!({"area_id": area})).await
            }
            4 => {
                let shown = self.random.random();
                self.expose(lamp, shown).await
            }
            _ => self.area(&format!("Kitchen {n}")).await,
        }
    }

    async fn toggle(&self, entity: &str) -> String {
        let url = format!("{}/api/services/light/toggle", self.ha.url);
        let request = self.ha.http.post(url).bearer_auth(&self.ha.token);
        let body = json!({"entity_id": entity}).to_string();
        assert_eq!(send(request.body(body)).await.status, 200);
        format!("toggle {entity}")
    }

    async fn entity(&mut self, entity: &str, mut update: Value) -> String {
        update["entity_id"] = json!(entity);
        let said = update.to_string();
        self.commands
            .run("config/entity_registry/update", update)
            .await;
        said
    }

    async fn area(&mut self, name: &str) -> String {
        let update = json!({"area_id": "kitchen", "name": name});
        self.commands
            .run("config/area_registry/update", update)
            .await;
        format!("call the kitchen {name}")
    }

    async fn expose(&mut self, entity: &str, shown: bool) -> String {
        let arguments = json!({"assistants": ["conversation"], "should_expose": shown,
            "entity_ids": [entity]});
        self.commands
            .run("homeassistant/expose_entity", arguments)
            .await;
        format!("show {entity}: {shown}")
    }

    /// Leaves the house as it was found.
    async fn tidy(&mut self, before: &[Value]) {
        for entity in before {
            let id = entity["entity_id"].as_str().unwrap().to_owned();
            let update = json!({"name": entity["name"], "area_id": entity["area_id"]});
            self.entity(&id, update).await;
            self.expose(&id, true).await;
            let off = json!({"entity_id": id}).to_string();
            let url = format!("{}/api/services/light/turn_off", self.ha.url);
            let request = self.ha.http.post(url).bearer_auth(&self.ha.token);
            send(request.body(off)).await;
        }
        self.area("Kitchen").await;
    }

    /// What Home Assistant itself answers.
    async fn truth(&self, (method, params): &Question) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self.ha.http.post(format!("{}/api/mcp", self.ha.url));
        let request = request
            .bearer_auth(&self.ha.token)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        send(request.body(message.to_string())).await.result()
    }
}

async fn bridged(bridge: &Bridge, (method, params): &Question) -> Reply {
    bridge.rpc(method, params.clone()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn real_changes_of_any_kind_are_seen_by_the_next_question() {
    let ha = HomeAssistant::running();
    let arguments = ["--upstream", &ha.url, "--upstream-token", &ha.token];
    let bridge = Bridge::start_with(&arguments, &FOR_EVER).await;
    bridge
        .until(|status| status["home_assistant"]["events_told"] == true)
        .await;
    let commands = ha.commands().await;
    let seed: u64 = rand::random();
    let random = SmallRng::seed_from_u64(seed);
    let mut resident = Resident {
        ha,
        commands,
        random,
    };
    let mut before = Vec::new();
    for lamp in LAMPS {
        let entity = json!({"entity_id": lamp});
        before.push(
            resident
                .commands
                .run("config/entity_registry/get", entity)
                .await,
        );
    }
    let prompts = bridge.rpc("prompts/list", json!({})).await.result();
    let prompt = json!({"name": prompts["prompts"][0]["name"]});
    let resources = bridge.rpc("resources/list", json!({})).await.result();
    let resource = json!({"uri": resources["resources"][0]["uri"]});
    let live = json!({"name": "homeassistant__GetLiveContext", "arguments": {}});
    let questions = [
        ("tools/list", json!({})),
        ("prompts/get", prompt),
        ("resources/read", resource),
        ("tools/call", live),
    ];
    for _ in 0..CHANGES {
        let change = resident.change().await;
        for question in &questions {
            let agreed = agree(&bridge, &resident, question);
            let outcome = tokio::time::timeout(PATIENCE, agreed).await;
            assert!(
                outcome.is_ok(),
                "seed {seed}: {change}: {question:?} never showed it"
            );
        }
    }
    resident.tidy(&before).await;
    let kept = bridge.status().await["calls"]["cache"].take();
    assert!(
        kept["hits"].as_u64().unwrap() >= CHANGES as u64 * 4,
        "{kept}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn real_tools_that_come_and_go_are_told_to_modern_clients() {
    let ha = HomeAssistant::running();
    let bridge = ha.bridge().await;
    let wanted = json!({"notifications": {"toolsListChanged": true}});
    let listen = modern_post(&bridge, "subscriptions/listen", wanted);
    let mut stream = Events::of(listen.header("accept", "text/event-stream")).await;
    stream.message().await.unwrap();
    let has_tool = async || {
        let list = bridge.rpc("tools/list", json!({})).await.result();
        let mut tools = list["tools"].as_array().unwrap().iter();
        tools.any(|tool| tool["name"] == "script__echo_word")
    };
    bridge
        .until(|status| status["home_assistant"]["events_told"] == true)
        .await;
    assert!(has_tool().await);
    let mut commands = ha.commands().await;
    for shown in [false, true] {
        let arguments = json!({"assistants": ["conversation"], "should_expose": shown,
            "entity_ids": ["script.echo_word"]});
        commands.run("homeassistant/expose_entity", arguments).await;
        let heard = stream.message().await.unwrap();
        assert_eq!(heard["method"], "notifications/tools/list_changed");
        assert_eq!(has_tool().await, shown);
    }
}

/// Waits until the bridge says the same as Home Assistant, also from memory. It hears of a change
/// through another connection than the one that made it, a moment later.
async fn agree(bridge: &Bridge, resident: &Resident, question: &Question) {
    loop {
        let truth = resident.truth(question).await;
        let asked = bridged(bridge, question).await.result();
        if asked == truth && bridged(bridge, question).await.result() == truth {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
