//! The official conformance suite: the reference server asked directly, and through the bridge.

use std::collections::BTreeSet;

use crate::support::Bridge;
use crate::support::bridge::root;
use crate::support::conformance::{Reference, every_scenario, side_by_side, worse};

/// Scenarios that are known to be worse through the bridge, as `REVISION SCENARIO`.
fn exceptions() -> BTreeSet<String> {
    let file = root().join("tests/conformance/not-yet.txt");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| line.split('#').next().unwrap());
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    words.filter(|line| !line.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_is_no_worse_through_the_bridge_than_without_it() {
    let reference = Reference::start().await;
    let direct = every_scenario(&reference.url).await;
    let open = [
        ("MCP_BRIDGE__ACCESS__LEAVE_FRONT_DOOR_OPEN", "true"),
        ("MCP_BRIDGE__QUEUE__CALL_TIMEOUT", "5s"),
    ];
    let bridge = Bridge::start_with(&["--upstream", &reference.url], &open).await;
    let through = every_scenario(&bridge.url("/mcp")).await;

    let table = side_by_side(&direct, &through);
    let copy = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance.txt");
    std::fs::write(&copy, &table).unwrap();
    let found = worse(&direct, &through);
    let exceptions = exceptions();
    let new: Vec<_> = found.difference(&exceptions).collect();
    let gone: Vec<_> = exceptions.difference(&found).collect();
    assert!(
        new.is_empty(),
        "worse than without the bridge: {new:#?}\n{table}"
    );
    assert!(
        gone.is_empty(),
        "no exceptions any more: {gone:#?}\n{table}"
    );
}
