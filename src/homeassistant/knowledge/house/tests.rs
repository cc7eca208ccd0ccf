//! Names, areas and groups of a small house.

use serde_json::json;

use super::*;

fn entry(value: &serde_json::Value) -> String {
    value.to_string()
}

/// Two rooms on one floor, a lamp with a device in the other room, a group, a script.
fn house() -> House {
    let mut house = House::default();
    let ids = HashSet::from([
        "light.reading",
        "light.ceiling",
        "light.all",
        "cover.blinds",
        "script.bed_time",
        "sensor.probe",
    ]);
    assert_eq!(house.expose(&ids).unwrap().len(), 6);
    for (id, value) in [
        (
            "light.reading",
            json!({"area_id": "living", "device_id": "d1", "name": null,
                "original_name": "Reading Lamp", "aliases": [null, "Leselampe STRASSE"]}),
        ),
        (
            "light.ceiling",
            json!({"area_id": null, "device_id": "d1", "name": "Ceiling", "original_name": "x"}),
        ),
        (
            "cover.blinds",
            json!({"area_id": null, "device_id": "d3", "name": null, "original_name": "Blinds"}),
        ),
    ] {
        let text = entry(&value);
        house.register(id, Some(serde_json::from_str(&text).unwrap()));
    }
    house.register("script.bed_time", None);
    set(
        &mut house,
        "script.bed_time",
        &json!({"s": "off", "a": {"friendly_name": "Bed Time"}}),
    );
    let group = json!({"s": "on", "a": {"friendly_name": "All Lights",
        "entity_id": ["light.reading", "light.hidden"]}});
    set(&mut house, "light.all", &group);
    let text = json!([
        {"id": "d1", "area_id": "kitchen"},
        {"id": "d2", "area_id": "living", "parent_device_id": null},
        {"id": "d3", "area_id": null, "parent_device_id": "d2"},
        {"id": "d4", "area_id": null, "parent_device_id": "d5"},
    ])
    .to_string();
    house.set_devices(&serde_json::from_str::<Vec<Device<'_>>>(&text).unwrap());
    let text = json!([
        {"area_id": "living", "name": "Living Room", "aliases": ["Lounge"], "floor_id": "ground"},
        {"area_id": "kitchen", "name": "Küche", "floor_id": "ground"},
        {"area_id": "attic", "name": "Attic", "floor_id": null},
    ])
    .to_string();
    house.set_areas(serde_json::from_str(&text).unwrap());
    let text = json!([{"floor_id": "ground", "name": "Ground Floor", "aliases": ["EG"]}]);
    house.set_floors(serde_json::from_str(&text.to_string()).unwrap());
    house
}

fn set(house: &mut House, id: &str, state: &serde_json::Value) -> Difference {
    let text = state.to_string();
    house.set_state(&id.into(), &serde_json::from_str(&text).unwrap())
}

fn meant(house: &House, name: &str, area: &str, floor: &str, domains: &[&str]) -> Vec<String> {
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let description = Description {
        name: said(name),
        area: said(area),
        floor: said(floor),
        domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
    };
    let meant = house.meant(&description);
    let meant = meant.into_iter().flatten();
    meant.map(|id| id.to_string()).collect()
}

#[test]
fn an_entity_is_found_under_each_of_its_names() {
    let house = house();
    for name in [
        "Reading Lamp",
        " reading lamp ",
        "READING LAMP",
        "Leselampe Straße",
        "light.reading",
    ] {
        assert_eq!(
            meant(&house, name, "", "", &[]),
            ["light.reading"],
            "{name}"
        );
    }
    assert!(meant(&house, "Reading", "", "", &[]).is_empty());
}

#[test]
fn an_area_holds_its_entities_and_those_of_its_devices_and_their_parts() {
    let house = house();
    for area in ["Living Room", "living", "lounge"] {
        assert_eq!(
            meant(&house, "", area, "", &[]),
            ["cover.blinds", "light.reading"],
            "{area}"
        );
    }
    assert_eq!(meant(&house, "", "KÜCHE", "", &[]), ["light.ceiling"]);
    assert_eq!(
        meant(&house, "", "living", "", &["cover", "fan"]),
        ["cover.blinds"]
    );
    assert!(meant(&house, "", "attic", "", &[]).is_empty());
    assert!(meant(&house, "", "cellar", "", &[]).is_empty());
}

#[test]
fn a_floor_holds_its_areas() {
    let house = house();
    let ground = ["cover.blinds", "light.ceiling", "light.reading"];
    for floor in ["Ground Floor", "ground", "eg"] {
        assert_eq!(meant(&house, "", "", floor, &[]), ground, "{floor}");
    }
    assert_eq!(meant(&house, "", "kitchen", "eg", &[]), ["light.ceiling"]);
    assert!(meant(&house, "", "attic", "eg", &[]).is_empty());
    assert!(meant(&house, "reading lamp", "kitchen", "", &[]).is_empty());
}

#[test]
fn a_group_stands_for_its_members_too() {
    assert_eq!(
        meant(&house(), "all lights", "", "", &[]),
        ["light.all", "light.hidden", "light.reading"]
    );
}

#[test]
fn groups_that_contain_each_other_end() {
    let mut house = house();
    let a = json!({"a": {"entity_id": ["light.all", "light.ceiling"]}});
    set(&mut house, "light.reading", &a);
    assert_eq!(
        meant(&house, "all lights", "", "", &[]),
        [
            "light.all",
            "light.ceiling",
            "light.hidden",
            "light.reading"
        ]
    );
}

#[test]
fn what_may_touch_anything_is_not_told() {
    let mut house = house();
    assert!(meant(&house, "bed time", "", "", &[]).is_empty());
    let group = json!({"a": {"entity_id": ["script.bed_time"]}});
    set(&mut house, "light.all", &group);
    assert!(meant(&house, "all lights", "", "", &[]).is_empty());
    assert!(meant(&house, "", "", "", &["light"]).is_empty());
}

#[test]
fn too_many_count_as_everything() {
    let mut house = House::default();
    let ids: Vec<String> = (0..=MOST_MEANT).map(|n| format!("light.l{n}")).collect();
    house.expose(&ids.iter().map(|id| &**id).collect());
    assert!(meant(&house, "", "", "", &["light"]).is_empty());
    house.expose(&ids[1..].iter().map(|id| &**id).collect());
    assert_eq!(meant(&house, "", "", "", &["light"]).len(), MOST_MEANT);
}

#[test]
fn another_name_replaces_the_one_before() {
    let mut house = house();
    let renamed = |name: &str| json!({"s": "on", "a": {"friendly_name": name}});
    let name = Difference {
        name: true,
        told: true,
    };
    assert_eq!(set(&mut house, "light.all", &renamed("Every Light")), name);
    assert_eq!(
        set(&mut house, "light.all", &renamed("Every Light")),
        Difference::default()
    );
    assert!(meant(&house, "all lights", "", "", &[]).is_empty());
    assert!(!meant(&house, "every light", "", "", &[]).is_empty());
    let text = r#"{"area_id":null,"device_id":null,"name":"Lamp","original_name":null}"#;
    house.register("light.reading", Some(serde_json::from_str(text).unwrap()));
    assert!(meant(&house, "reading lamp", "", "", &[]).is_empty());
    assert_eq!(meant(&house, "lamp", "", "", &[]), ["light.reading"]);
}

#[test]
fn nothing_of_an_entity_stays_once_it_is_hidden() {
    let mut house = house();
    let same: Vec<_> = house.exposed().cloned().collect();
    assert!(
        house
            .expose(&same.iter().map(|id| &**id).collect())
            .is_none()
    );
    assert_eq!(house.expose(&HashSet::new()), Some(Vec::new()));
    assert!(house.by_name.is_empty() && house.entities.is_empty());
    assert_eq!(house.counts().exposed, 0);
}

#[test]
fn a_state_that_is_not_exposed_leaves_no_trace() {
    let mut house = house();
    let state = json!({"s": "on", "a": {"friendly_name": "Hidden"}});
    set(&mut house, "light.hidden", &state);
    assert!(meant(&house, "hidden", "", "", &[]).is_empty());
    assert_eq!(house.state("light.hidden"), None);
    assert_eq!(house.state("light.all"), Some("on"));
    assert_eq!(house.counts().unavailable, 4);
    house.remove_state("light.all");
    assert_eq!(house.state("light.all"), None);
}

#[test]
fn strange_attributes_are_borne() {
    let mut house = house();
    let strange = json!({"s": "on", "a": {"friendly_name": 5, "entity_id": "light.x",
        "group_members": [1, null]}});
    let told = set(&mut house, "light.all", &strange);
    assert_eq!(told, Difference::default());
    assert!(!meant(&house, "all lights", "", "", &[]).is_empty());
}
