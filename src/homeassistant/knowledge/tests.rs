//! Knowledge in front of a home that changes as it likes, and answers when it likes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::lists::ENTRIES_AT_ONCE;
use super::topics::{Bus, STARTED};
use super::*;

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

/// All events of the bus.
fn every_event() -> impl Iterator<Item = (Bus, &'static str)> {
    EVENTS.into_iter().chain([STARTED])
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Thing {
    exposed: bool,
    name: String,
    area: Option<String>,
    state: String,
    /// Whether it is in the registry.
    registered: bool,
}

/// A model of Home Assistant's side of the websocket.
#[derive(Debug, Default)]
struct Home {
    things: BTreeMap<String, Thing>,
    areas: BTreeMap<String, String>,
    admin: bool,
    /// Whether it does not even tell administrators what is exposed.
    hides_exposed: bool,
    state: &'static str,
    /// Subscriptions, and of which entities where that is limited.
    subscribed: Vec<(Topic, &'static str, Option<Vec<String>>)>,
    requests: VecDeque<Request>,
    /// How often it was asked for something, ever.
    asked: usize,
    /// What is on its way to the bridge. Events may overtake answers.
    answers: VecDeque<(Topic, Result<Value, CommandError>)>,
    events: VecDeque<(Topic, Value)>,
}

fn unauthorized() -> CommandError {
    serde_json::from_value(json!({"code": "unauthorized", "message": "Unauthorized"})).unwrap()
}

impl Home {
    fn emit(&mut self, event_type: &'static str, data: &Value) {
        let mut subscribed = self.subscribed.iter();
        if let Some(&(topic, _, _)) = subscribed.find(|(_, event, _)| *event == event_type) {
            self.events.push_back((topic, json!({"data": data})));
        }
    }

    fn emit_state(&mut self, id: &str, event: Value) {
        let watched = self.subscribed.iter().any(|(topic, _, ids)| {
            let of_this = |ids: &Vec<String>| ids.iter().any(|one| one == id);
            *topic == Topic::States && ids.as_ref().is_none_or(of_this)
        });
        if watched {
            self.events.push_back((Topic::States, event));
        }
    }

    fn full_state(thing: &Thing) -> Value {
        json!({"s": thing.state, "a": {"friendly_name": thing.name}, "c": "x", "lc": 1.5})
    }

    /// Does the oldest thing that it was asked for.
    fn work(&mut self) -> bool {
        let Some(request) = self.requests.pop_front() else {
            return false;
        };
        self.asked += 1;
        match request {
            Request::Unsubscribe(topic) => {
                self.subscribed.retain(|(to, _, _)| *to != topic);
                // What is on its way is thrown away by the connection itself.
                self.events.retain(|(of, _)| *of != topic);
            }
            Request::Subscribe(topic, kind, arguments) => self.subscribe(topic, kind, &arguments),
            Request::Command(topic, kind, arguments) => {
                let outcome = self.command(kind, &arguments);
                self.answers.push_back((topic, outcome));
            }
        }
        true
    }

    fn subscribe(&mut self, topic: Topic, kind: &str, arguments: &Value) {
        let is_allowed = self.admin || topic != Topic::Bus(Bus::Started);
        assert!(is_allowed, "Home Assistant logs an error");
        let event = arguments["event_type"].as_str().unwrap_or_default();
        let event = every_event().find(|(_, name)| *name == event);
        let ids: Option<Vec<String>> =
            serde_json::from_value(arguments["entity_ids"].clone()).unwrap();
        self.answers.push_back((topic, Ok(Value::Null)));
        if kind == "subscribe_entities" {
            let within = |id: &String| ids.as_ref().is_none_or(|ids| ids.contains(id));
            let states = self.things.iter().filter(|(id, _)| within(id));
            let states: BTreeMap<_, _> = states
                .map(|(id, thing)| (id, Self::full_state(thing)))
                .collect();
            self.events.push_back((topic, json!({"a": states})));
        }
        self.subscribed
            .push((topic, event.map_or("", |(_, name)| name), ids));
    }

    fn command(&self, kind: &str, arguments: &Value) -> Result<Value, CommandError> {
        let admins_only = ["llm/api/list", "homeassistant/expose_entity/list"];
        let is_allowed = self.admin || !admins_only.contains(&kind);
        assert!(is_allowed, "Home Assistant logs an error");
        if self.hides_exposed && kind == "homeassistant/expose_entity/list" {
            return Err(unauthorized());
        }
        let things = self.things.iter();
        Ok(match kind {
            "get_config" => json!({"state": self.state, "version": "2026.11.0", "x": []}),
            "auth/current_user" => json!({"name": "Owner", "is_admin": self.admin}),
            "llm/api/list" => json!({"apis": [{"id": "assist", "name": "Device control"}]}),
            "homeassistant/expose_entity/list" => {
                let exposed: BTreeMap<_, _> = things
                    .map(|(id, thing)| (id, json!({"conversation": thing.exposed, "cloud": true})))
                    .collect();
                json!({"exposed_entities": exposed})
            }
            "config/entity_registry/get_entries" => {
                let ids: Vec<String> =
                    serde_json::from_value(arguments["entity_ids"].clone()).unwrap();
                assert!(ids.len() <= ENTRIES_AT_ONCE);
                let entry = |thing: &Thing| {
                    thing.registered.then(|| {
                        json!({"name": thing.name, "original_name": "Original",
                            "area_id": thing.area, "device_id": null, "aliases": [null]})
                    })
                };
                let entries = ids
                    .iter()
                    .map(|id| (id, self.things.get(id).and_then(entry)));
                json!(entries.collect::<BTreeMap<_, _>>())
            }
            "config/area_registry/list" => {
                let area = |(id, name)| json!({"area_id": id, "name": name, "floor_id": null});
                self.areas.iter().map(area).collect()
            }
            "config/device_registry/list" | "config/floor_registry/list" => json!([]),
            other => panic!("{other}"),
        })
    }
}

/// Knowledge and a home, connected.
struct World {
    knowledge: Knowledge,
    home: Home,
    now: Instant,
    reports: Vec<Report>,
}

impl World {
    fn new(home: Home) -> Self {
        let now = tokio::time::Instant::now().into_std();
        let mut world = Self {
            knowledge: Knowledge::new(now),
            home,
            now,
            reports: Vec::new(),
        };
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.home.requests.clear();
        self.home.answers.clear();
        self.home.events.clear();
        self.home.subscribed.clear();
        self.knowledge.connected("2026.11.0");
        self.collect();
    }

    fn collect(&mut self) {
        self.home.requests.extend(self.knowledge.take_requests());
        self.reports.extend(self.knowledge.take_reports());
    }

    /// Lets the oldest event arrive.
    fn deliver_event(&mut self) -> bool {
        let Some((topic, event)) = self.home.events.pop_front() else {
            return false;
        };
        self.knowledge.event(self.now, topic, &raw(&event));
        self.collect();
        true
    }

    /// Lets the oldest answer arrive.
    fn deliver_answer(&mut self) -> bool {
        let Some((topic, outcome)) = self.home.answers.pop_front() else {
            return false;
        };
        let outcome = outcome.map(|value| raw(&value));
        let outcome = outcome.as_deref().map_err(Clone::clone);
        self.knowledge.answer(self.now, topic, outcome);
        self.collect();
        true
    }

    fn settle(&mut self) -> Vec<Report> {
        let mut steps = 0;
        while self.home.work() || self.deliver_event() || self.deliver_answer() {
            steps += 1;
            assert!(steps < 10_000, "it never ends");
        }
        std::mem::take(&mut self.reports)
    }

    fn changes(&mut self) -> Vec<Change> {
        let reports = self.settle().into_iter();
        let change = |report| match report {
            Report::Change(change) => Some(change),
            Report::Presence(_) | Report::Told(_) => None,
        };
        reports.filter_map(change).collect()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.knowledge.look(self.now);
        self.collect();
    }

    /// Whether it can be asked what is meant.
    fn knows(&self) -> bool {
        self.knowledge.meant(&Description::default()) != Meant::Unknown
    }

    /// Nothing if it may be anything.
    fn meant(&self, name: Option<&str>, area: Option<&str>) -> Option<Vec<String>> {
        let description = Description {
            name: name.map(str::to_owned),
            area: area.map(str::to_owned),
            ..Description::default()
        };
        match self.knowledge.meant(&description) {
            Meant::These(things) => Some(things.iter().map(ToString::to_string).collect()),
            Meant::Anything => None,
            Meant::Unknown => panic!("nobody knows"),
        }
    }
}

fn thing(name: &str) -> Thing {
    Thing {
        exposed: true,
        name: name.to_owned(),
        area: None,
        state: "off".to_owned(),
        registered: true,
    }
}

fn small_home() -> Home {
    Home {
        things: [("light.a", "Lamp"), ("light.b", "Torch")]
            .map(|(id, name)| (id.to_owned(), thing(name)))
            .into(),
        areas: [("hall".to_owned(), "Hall".to_owned())].into(),
        admin: true,
        state: "RUNNING",
        ..Home::default()
    }
}

#[test]
fn it_counts_on_being_told_once_everything_is_known() {
    let mut world = World::new(small_home());
    assert!(!world.knows(), "nothing is told yet");
    let reports = world.settle();
    assert_eq!(reports[0], Report::Presence(Presence::Running));
    let end = [Change::Connected, Change::Started].map(Report::Change);
    assert!(reports.ends_with(&end), "{reports:?}");
    assert_eq!(world.meant(Some("lamp"), None).unwrap(), ["light.a"]);
    let figures = world.knowledge.figures(world.now);
    assert!(figures.events_told && figures.may_see_exposed);
    assert_eq!(figures.house.exposed, 2);
    assert_eq!(figures.llm_apis.len(), 1);
}

#[test]
fn each_event_becomes_the_change_that_it_means() {
    let mut world = World::new(small_home());
    world.settle();
    for (event, data, change) in [
        ("area_registry_updated", json!({}), Change::AreaRegistry),
        ("floor_registry_updated", json!({}), Change::FloorRegistry),
        (
            "device_registry_updated",
            json!({"action": "create"}),
            Change::DeviceRegistry,
        ),
        (
            "device_registry_updated",
            json!({"action": "update", "changes": {"area_id": null}}),
            Change::DeviceRegistry,
        ),
        ("component_loaded", json!({}), Change::Components),
        ("core_config_updated", json!({}), Change::CoreConfig),
        (
            "service_registered",
            json!({"domain": "script"}),
            Change::Scripts,
        ),
        (
            "service_removed",
            json!({"domain": "light"}),
            Change::Services,
        ),
        ("homeassistant_started", json!({}), Change::Started),
    ] {
        world.home.emit(event, &data);
        assert_eq!(world.changes(), [change], "{event}");
    }
    let firmware = json!({"action": "update", "changes": {"sw_version": "1"}});
    world.home.emit("device_registry_updated", &firmware);
    assert_eq!(world.changes(), []);
}

#[test]
fn a_state_is_told_and_a_new_name_is_more_than_that() {
    let mut world = World::new(small_home());
    world.settle();
    let entity_id: Arc<str> = "light.a".into();
    for (event, change) in [
        (
            json!({"c": {"light.a": {"+": {"s": "on", "lc": 1}}}}),
            Change::State {
                entity_id: entity_id.clone(),
            },
        ),
        (
            json!({"c": {"light.a": {"-": {"a": ["brightness"]}}}}),
            Change::State {
                entity_id: entity_id.clone(),
            },
        ),
        (
            json!({"c": {"light.a": {"+": {"a": {"friendly_name": "Lantern"}}}}}),
            Change::Entity {
                entity_id: entity_id.clone(),
            },
        ),
        (
            json!({"r": ["light.a"]}),
            Change::Entity {
                entity_id: entity_id.clone(),
            },
        ),
    ] {
        world.home.emit_state("light.a", event);
        assert_eq!(world.changes(), [change]);
    }
}

#[test]
fn those_who_watch_are_told_of_what_they_can_see_and_of_nothing_else() {
    let mut world = World::new(small_home());
    world.settle();
    for (event, is_told) in [
        (json!({"+": {"s": "on", "lc": 1}}), true),
        (json!({"+": {"s": "on", "lc": 2}}), false),
        (json!({"+": {"lu": 3, "a": {"access_token": "x"}}}), false),
        (json!({"+": {"a": {"brightness": 7}}}), true),
        (json!({"+": {"a": {"brightness": 7}}}), false),
        (json!({"-": {"a": ["brightness"]}}), true),
        (json!({"-": {"a": ["brightness"]}}), false),
        (json!({"+": {"a": {"friendly_name": "Lantern"}}}), true),
    ] {
        let states = json!({"c": {"light.a": event}});
        world.home.emit_state("light.a", states);
        let told = |report: &Report| *report == Report::Told("light.a".into());
        assert_eq!(world.settle().iter().any(told), is_told, "{event}");
    }
}

#[test]
fn a_home_that_starts_is_asked_until_it_is_ready_and_listed_anew_then() {
    let mut home = small_home();
    (home.state, home.admin) = ("NOT_RUNNING", false);
    let mut world = World::new(home);
    assert_eq!(world.settle()[0], Report::Presence(Presence::Starting));
    world.pass(READY_INTERVAL);
    assert!(world.settle().is_empty());
    world.home.state = "RUNNING";
    world.pass(READY_INTERVAL);
    assert_eq!(
        world.settle()[..2],
        [
            Report::Presence(Presence::Running),
            Report::Change(Change::Started)
        ]
    );
    world.pass(READY_INTERVAL);
    assert!(world.home.requests.is_empty(), "it is left in peace");
}

#[test]
fn a_home_that_goes_away_is_gone_and_what_is_known_of_it_stays() {
    let mut world = World::new(small_home());
    world.settle();
    world.knowledge.lost(world.now, Loss::Closed("1000".into()));
    world.collect();
    let told = std::mem::take(&mut world.reports);
    assert_eq!(
        told,
        [
            Report::Presence(Presence::Gone),
            Report::Change(Change::Disconnected)
        ]
    );
    assert!(!world.knows());
    assert_eq!(world.knowledge.figures(world.now).house.exposed, 2);
    world
        .knowledge
        .lost(world.now, Loss::Unreachable("refused".into()));
    world.collect();
    assert!(world.reports.is_empty(), "told once");
    world.connect();
    let reports = world.settle();
    assert!(reports.contains(&Report::Presence(Presence::Running)));
    let end = [Change::Connected, Change::Started].map(Report::Change);
    assert!(reports.ends_with(&end), "{reports:?}");
}

#[test]
fn a_home_that_stays_away_is_not_known_to_be_gone_for_ever() {
    let mut world = World::new(small_home());
    world.settle();
    let lose = |world: &mut World| {
        world.knowledge.lost(world.now, Loss::Silent);
        world.collect();
        std::mem::take(&mut world.reports)
    };
    assert_eq!(lose(&mut world)[0], Report::Presence(Presence::Gone));
    world.pass(CREDIBLE / 2);
    world.connect();
    assert_eq!(lose(&mut world), [], "it has not even said how it is");
    world.pass(CREDIBLE / 2);
    assert_eq!(world.reports, [Report::Presence(Presence::Unknown)]);
    world.pass(CREDIBLE);
    world.connect();
    assert!(
        world
            .settle()
            .contains(&Report::Presence(Presence::Running))
    );
}

#[test]
fn who_is_not_let_in_knows_nothing() {
    let mut world = World::new(small_home());
    world.settle();
    let refused = Loss::TokenRefused("Invalid access token".into());
    world.knowledge.lost(world.now, refused);
    world.collect();
    assert_eq!(world.reports[0], Report::Presence(Presence::Unknown));
}

#[test]
fn a_token_that_may_not_see_what_is_exposed_hears_of_every_state() {
    for (admin, hides_exposed) in [(false, false), (true, true)] {
        let mut home = small_home();
        (home.admin, home.hides_exposed) = (admin, hides_exposed);
        hears_of_every_state(home);
    }
}

fn hears_of_every_state(home: Home) {
    let mut world = World::new(home);
    assert!(world.changes().contains(&Change::Connected));
    assert!(!world.knowledge.figures(world.now).may_see_exposed);
    assert!(!world.knows());
    let event = json!({"c": {"light.any": {"+": {"s": "on"}}}});
    world.home.emit_state("light.any", event);
    let entity_id = "light.any".into();
    assert_eq!(world.changes(), [Change::State { entity_id }]);
}

#[test]
fn what_no_event_tells_is_found_in_the_end() {
    let mut world = World::new(small_home());
    world.settle();
    let mut hidden = thing("Lantern");
    hidden.registered = false;
    world.home.things.insert("light.c".to_owned(), hidden);
    world.pass(READY_INTERVAL);
    world.settle();
    world.pass(EXPOSED_INTERVAL);
    assert_eq!(world.changes(), [Change::Exposure]);
    assert_eq!(world.meant(Some("lantern"), None).unwrap(), ["light.c"]);
}

#[test]
fn a_thousand_events_ask_for_no_more_than_two_lists() {
    let mut world = World::new(small_home());
    world.settle();
    for _ in 0..1000 {
        let event = raw(&json!({"data": {"action": "create", "entity_id": "light.new"}}));
        world
            .knowledge
            .event(world.now, Topic::Bus(Bus::Entities), &event);
        let event = raw(&json!({"data": {}}));
        world
            .knowledge
            .event(world.now, Topic::Bus(Bus::Areas), &event);
    }
    world.collect();
    assert_eq!(world.home.requests.len(), 2);
    let before = world.home.asked;
    world.settle();
    assert_eq!(
        world.home.asked - before,
        4,
        "once more after what was asked for before the last event"
    );
}

#[test]
fn no_vital_subscription_means_no_reliance() {
    let mut world = World::new(small_home());
    let vital = Topic::Bus(Bus::Areas);
    let position = |request: &Request| matches!(request, Request::Subscribe(t, ..) if *t == vital);
    world.home.requests.retain(|request| !position(request));
    world.home.answers.push_back((vital, Err(unauthorized())));
    assert!(!world.changes().contains(&Change::Connected));
    let figures = world.knowledge.figures(world.now);
    assert!(!figures.events_told && figures.events_refused.is_some());
}

#[derive(Debug, Clone)]
enum Act {
    Expose(usize, bool),
    Rename(usize, usize),
    Move(usize, usize),
    Switch(usize, bool),
    Create(usize),
    Delete(usize),
    RenameArea(usize, usize),
    Work,
    DeliverEvent,
    DeliverAnswer,
    Reconnect,
    Restart,
}

const THINGS: usize = 5;
const NAMES: [&str; 4] = ["Lamp", "Torch", "Lantern", "Candle"];
const AREAS: [&str; 2] = ["hall", "attic"];

fn any_act() -> impl Strategy<Value = Act> {
    let thing = 0..THINGS;
    prop_oneof![
        2 => (thing.clone(), any::<bool>()).prop_map(|(t, on)| Act::Expose(t, on)),
        2 => (thing.clone(), 0..NAMES.len()).prop_map(|(t, n)| Act::Rename(t, n)),
        2 => (thing.clone(), 0..=AREAS.len()).prop_map(|(t, a)| Act::Move(t, a)),
        2 => (thing.clone(), any::<bool>()).prop_map(|(t, on)| Act::Switch(t, on)),
        1 => thing.clone().prop_map(Act::Create),
        1 => thing.prop_map(Act::Delete),
        1 => (0..AREAS.len(), 0..NAMES.len()).prop_map(|(a, n)| Act::RenameArea(a, n)),
        12 => Just(Act::Work),
        10 => Just(Act::DeliverEvent),
        10 => Just(Act::DeliverAnswer),
        1 => Just(Act::Reconnect),
        1 => Just(Act::Restart),
    ]
}

fn id(thing: usize) -> String {
    format!("light.l{thing}")
}

/// Changes the home as a person could, with the events that Home Assistant then sends.
fn act(world: &mut World, act: &Act) {
    let home = &mut world.home;
    let updated = |home: &mut Home, id: &str, key: &str| {
        let data = json!({"action": "update", "entity_id": id, "changes": {key: null}});
        home.emit("entity_registry_updated", &data);
    };
    match *act {
        Act::Expose(n, exposed) => {
            if let Some(thing) = home.things.get_mut(&id(n)) {
                thing.exposed = exposed;
                updated(home, &id(n), "options");
            }
        }
        Act::Rename(n, name) => {
            if let Some(thing) = home.things.get_mut(&id(n)) {
                NAMES[name].clone_into(&mut thing.name);
                updated(home, &id(n), "name");
                let name = json!({"c": {id(n): {"+": {"a": {"friendly_name": NAMES[name]}}}}});
                home.emit_state(&id(n), name);
            }
        }
        Act::Move(n, area) => {
            if let Some(thing) = home.things.get_mut(&id(n)) {
                thing.area = AREAS.get(area).map(|&area| area.to_owned());
                updated(home, &id(n), "area_id");
            }
        }
        Act::Switch(n, on) => {
            if let Some(thing) = home.things.get_mut(&id(n)) {
                if on { "on" } else { "off" }.clone_into(&mut thing.state);
                let state = json!({"c": {id(n): {"+": {"s": thing.state}}}});
                home.emit_state(&id(n), state);
            }
        }
        Act::Create(n) => {
            let new = thing(NAMES[n % NAMES.len()]);
            if let Entry::Vacant(place) = home.things.entry(id(n)) {
                let state = json!({"a": {id(n): Home::full_state(&new)}});
                place.insert(new);
                let data = json!({"action": "create", "entity_id": id(n)});
                home.emit("entity_registry_updated", &data);
                home.emit_state(&id(n), state);
            }
        }
        Act::Delete(n) => {
            if home.things.remove(&id(n)).is_some() {
                home.emit_state(&id(n), json!({"r": [id(n)]}));
                let data = json!({"action": "remove", "entity_id": id(n)});
                home.emit("entity_registry_updated", &data);
            }
        }
        Act::RenameArea(area, name) => {
            let name = format!("{} room", NAMES[name]);
            home.areas.insert(AREAS[area].to_owned(), name);
            home.emit("area_registry_updated", &json!({"action": "update"}));
        }
        Act::Work => {
            home.work();
        }
        Act::DeliverEvent => {
            world.deliver_event();
        }
        Act::DeliverAnswer => {
            world.deliver_answer();
        }
        Act::Reconnect => {
            world.knowledge.lost(world.now, Loss::Silent);
            world.connect();
        }
        Act::Restart => home.emit("homeassistant_started", &json!({})),
    }
}

proptest! {
    #[test]
    fn after_any_history_it_knows_what_is_so(
        acts in proptest::collection::vec(any_act(), 0..150)
    ) {
        let mut world = World::new(Home {
            areas: AREAS.map(|area| (area.to_owned(), area.to_owned())).into(),
            admin: true,
            state: "RUNNING",
            ..Home::default()
        });
        for one in &acts {
            act(&mut world, one);
        }
        world.settle();
        let exposed: BTreeMap<&String, &Thing> =
            world.home.things.iter().filter(|(_, thing)| thing.exposed).collect();
        prop_assert_eq!(world.knowledge.figures(world.now).house.exposed, exposed.len());
        let ids = |fits: &dyn Fn(&Thing) -> bool| -> Option<Vec<String>> {
            let found: Vec<_> = exposed.iter().filter(|(_, t)| fits(t)).map(|(id, _)| (*id).clone()).collect();
            (!found.is_empty()).then_some(found)
        };
        for name in NAMES {
            prop_assert_eq!(world.meant(Some(name), None), ids(&|thing| thing.name == name));
        }
        for (area, name) in &world.home.areas {
            let within = ids(&|thing| thing.area.as_deref() == Some(area));
            // Two areas of one name are meant together.
            if world.home.areas.values().filter(|other| *other == name).count() == 1 {
                prop_assert_eq!(world.meant(None, Some(name)), within);
            }
        }
        let listed = world.knowledge.things_after(None, usize::MAX).into_iter();
        let listed: Vec<_> = listed.map(|thing| (thing.id.to_string(), thing.name, thing.area)).collect();
        let area = |thing: &Thing| world.home.areas.get(thing.area.as_ref()?).cloned();
        let expected = exposed.iter().map(|(id, thing)| ((*id).clone(), Some(thing.name.clone()), area(thing)));
        prop_assert_eq!(listed, expected.collect::<Vec<_>>());
        for (id, thing) in &exposed {
            let told = world.knowledge.told(world.now, id).unwrap();
            let text: Value = serde_json::from_str(&told.text).unwrap();
            prop_assert_eq!(text["state"].as_str(), Some(&*thing.state));
            prop_assert_eq!(told.age, None);
        }
    }
}
