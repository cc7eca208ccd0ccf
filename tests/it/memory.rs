//! What the bridge's memory costs, counted by the allocator. Each test has a process of its own, so
//! nothing else is counted.

use tokio::time::Instant;

use mcp_bridge::homeassistant::knowledge::Knowledge;

use crate::MEMORY;
use crate::support::home::{changes, hear, id, known};

const MANY: usize = 10_000;

/// What is known, and how many bytes it takes.
fn weighed(entities: usize) -> (Knowledge, usize) {
    let before = MEMORY.allocated();
    let knowledge = known(entities);
    (knowledge, MEMORY.allocated() - before)
}

/// Bytes that are taken from the allocator for one change, whether they are given back or not.
fn taken_for_a_change(entities: usize) -> usize {
    const CHANGES: usize = 1000;
    let (mut knowledge, _) = weighed(entities);
    let changes = changes(entities, CHANGES);
    let now = Instant::now().into_std();
    let before = MEMORY.total_allocated();
    for change in &changes {
        hear(&mut knowledge, now, change);
    }
    (MEMORY.total_allocated() - before) / CHANGES
}

#[test]
fn ten_thousand_entities_take_less_than_sixteen_megabytes() {
    let (knowledge, bytes) = weighed(MANY);
    let page = knowledge.things_after(None, MANY);
    assert_eq!(page.len(), MANY);
    drop(page);
    assert!(knowledge.told(Instant::now().into_std(), &id(0)).is_some());
    assert!(bytes < 16 << 20, "{bytes} bytes");
}

#[test]
fn a_state_that_changes_a_hundred_thousand_times_takes_no_more_memory() {
    let (mut knowledge, _) = weighed(MANY);
    let changes = changes(MANY, 1000);
    let now = Instant::now().into_std();
    let round = |knowledge: &mut Knowledge| {
        for change in &changes {
            hear(knowledge, now, change);
        }
        MEMORY.allocated()
    };
    let after_one = round(&mut knowledge);
    for _ in 1..100 {
        assert_eq!(round(&mut knowledge), after_one);
    }
}

#[test]
fn what_a_state_change_costs_does_not_depend_on_how_many_entities_there_are() {
    let (few, many) = (taken_for_a_change(100), taken_for_a_change(MANY));
    assert!(
        many <= few + few / 4,
        "{few} bytes among 100, {many} among {MANY}"
    );
    assert!(many < 4096, "{many} bytes");
}
