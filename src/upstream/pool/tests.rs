//! The pool by examples; against a model, through any history, in `histories`.

mod histories;

use std::collections::BTreeSet;

use super::*;

const IDLE: Duration = Duration::from_secs(100);
const HEALTH: Duration = Duration::from_secs(10);
/// The longest pause that the jitter can give.
const MOST: u64 = u64::MAX;

fn pool(max_members: usize, addresses: usize) -> (Pool<u32>, Instant) {
    let settings = Settings {
        max_members,
        idle_timeout: IDLE,
        health_interval: HEALTH,
    };
    let now = tokio::time::Instant::now().into_std();
    (Pool::new(settings, addresses), now)
}

/// A member that was opened by a call that found none.
fn opened(pool: &mut Pool<u32>, handle: u32, is_session: bool, now: Instant) -> MemberId {
    match pool.choose(&[], now, 0) {
        Some(Choice::Open(id)) => {
            pool.opened(id, handle, is_session, now);
            id
        }
        other => panic!("{other:?}"),
    }
}

/// A call that finds a member at once.
fn call(pool: &mut Pool<u32>, now: Instant, random: u64) -> MemberId {
    match pool.choose(&[], now, random) {
        Some(Choice::Use(id, _)) => id,
        other => panic!("{other:?}"),
    }
}

/// Opens whatever the pool wants opened.
fn grow(
    pool: &mut Pool<u32>,
    handles: &mut std::ops::RangeFrom<u32>,
    now: Instant,
) -> Vec<MemberId> {
    let mut grown = Vec::new();
    while let Some(Work::Open(id)) = pool.work(now) {
        pool.opened(id, handles.next().unwrap(), true, now);
        grown.push(id);
    }
    grown
}

#[test]
fn where_there_are_no_sessions_one_member_is_enough_for_any_number_of_calls() {
    let (mut pool, now) = pool(8, 1);
    let only = opened(&mut pool, 1, false, now);
    for random in 0..100 {
        assert_eq!(call(&mut pool, now, random), only);
    }
    assert_eq!(pool.work(now), None);
    assert_eq!(pool.next_due(now), None, "nothing to wake up for");
    assert_eq!(
        (pool.figures().members, pool.figures().outstanding),
        (1, 100)
    );
}

#[test]
fn calls_that_come_during_a_greeting_wait_for_it() {
    let (mut pool, now) = pool(8, 1);
    let Some(Choice::Open(first)) = pool.choose(&[], now, 0) else {
        panic!("the first one opens");
    };
    assert_eq!(pool.choose(&[], now, 1), Some(Choice::Join(first)));
    pool.opened(first, 7, true, now);
    assert_eq!(pool.choose(&[], now, 2), Some(Choice::Use(first, 7)));
}

#[test]
fn sessions_grow_with_the_calls_up_to_the_maximum() {
    let (mut pool, now) = pool(4, 1);
    let mut handles = 2..;
    opened(&mut pool, 1, true, now);
    assert_eq!(grow(&mut pool, &mut handles, now), []);
    for (calls, members) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (6, 4)] {
        call(&mut pool, now, 0);
        grow(&mut pool, &mut handles, now);
        assert_eq!(
            (pool.figures().outstanding, pool.figures().members),
            (calls, members)
        );
    }
}

#[test]
fn idle_sessions_are_closed_but_for_one() {
    let (mut pool, now) = pool(8, 1);
    opened(&mut pool, 1, true, now);
    let busy: Vec<_> = (0..8).map(|_| call(&mut pool, now, 0)).collect();
    grow(&mut pool, &mut (2..), now);
    for id in busy {
        pool.release(id, Outcome::Answered, now, 0);
    }
    let mut closed = 0;
    let mut now = now;
    while closed < 7 {
        now = pool.next_due(now).unwrap();
        match pool.work(now).unwrap() {
            Work::Check(id, _) => pool.checked(id, Outcome::Answered, now, 0),
            Work::Close(..) => closed += 1,
            Work::Open(id) => panic!("{id:?}"),
        }
    }
    assert_eq!((pool.figures().members, pool.figures().reaped), (1, 7));
    let far = now + 100 * IDLE;
    assert!(
        matches!(pool.work(far), Some(Work::Check(..))),
        "the last one stays, and is asked"
    );
    assert_eq!(pool.work(far), None);
}

#[test]
fn a_light_load_lets_the_younger_sessions_of_an_address_become_idle() {
    let (mut pool, now) = pool(3, 1);
    let oldest = opened(&mut pool, 1, true, now);
    let burst: Vec<_> = (0..3).map(|_| call(&mut pool, now, 0)).collect();
    let youngest = *grow(&mut pool, &mut (2..), now).last().unwrap();
    for id in burst {
        pool.release(id, Outcome::Answered, now, 0);
    }
    let mut used = BTreeSet::new();
    for random in 0..1000 {
        let id = call(&mut pool, now, random);
        pool.release(id, Outcome::Answered, now, 0);
        used.insert(id);
    }
    assert!(used.contains(&oldest) && !used.contains(&youngest));
}

#[test]
fn an_idle_session_is_checked_and_one_that_answered_a_call_is_not() {
    let (mut pool, start) = pool(1, 1);
    let id = opened(&mut pool, 1, true, start);
    let later = start + HEALTH / 2;
    let same = call(&mut pool, later, 0);
    pool.release(same, Outcome::Answered, later, 0);
    assert_eq!(pool.work(start + HEALTH), None);
    assert_eq!(pool.next_due(later), Some(later + HEALTH));
    assert_eq!(pool.work(later + HEALTH), Some(Work::Check(id, 1)));
    assert_eq!(pool.work(later + 2 * HEALTH), None, "one check at a time");
}

#[test]
fn a_forgotten_session_is_taken_out_and_puts_the_others_in_doubt() {
    let (mut pool, now) = pool(2, 1);
    let first = opened(&mut pool, 1, true, now);
    let busy = [call(&mut pool, now, 0), call(&mut pool, now, 0)];
    assert_eq!(busy, [first, first]);
    let second = grow(&mut pool, &mut (2..), now)[0];
    pool.release(first, Outcome::Forgotten, now, 0);
    let Some(Choice::Open(third)) = pool.choose(&[], now, 0) else {
        panic!("a new session rather than a doubtful one");
    };
    assert_eq!(pool.work(now), Some(Work::Check(second, 2)));
    pool.checked(second, Outcome::Forgotten, now, 0);
    pool.opened(third, 3, true, now);
    pool.release(first, Outcome::Forgotten, now, 0);
    assert_eq!(
        call(&mut pool, now, 0),
        third,
        "a late report of the same news changes nothing"
    );
    assert_eq!(pool.figures().replaced, 2);
}

#[test]
fn a_session_whose_connection_broke_is_checked_before_it_is_given_up() {
    let (mut pool, now) = pool(1, 1);
    let id = opened(&mut pool, 1, true, now);
    for (outcome, members) in [(Outcome::Answered, 1), (Outcome::Broken, 0)] {
        let same = call(&mut pool, now, 0);
        pool.release(same, Outcome::Broken, now, 0);
        assert_eq!(pool.work(now), Some(Work::Check(id, 1)));
        pool.checked(id, outcome, now, 0);
        assert_eq!(pool.figures().members, members);
    }
    assert_eq!(
        pool.work(now),
        Some(Work::Close(id, 1)),
        "the server may still have it"
    );
}

#[test]
fn a_doubtful_session_is_better_than_none() {
    let (mut pool, now) = pool(1, 1);
    let id = opened(&mut pool, 1, true, now);
    let same = call(&mut pool, now, 0);
    pool.release(same, Outcome::Suspect, now, 0);
    assert_eq!(
        call(&mut pool, now, 0),
        id,
        "there is no room for another one"
    );
    pool.release(id, Outcome::Answered, now, 0);
    assert_eq!(
        pool.work(now),
        None,
        "it answered, so there is nothing to ask"
    );
}

#[test]
fn a_session_in_which_something_runs_is_closed_after_it() {
    let (mut pool, now) = pool(1, 1);
    let id = opened(&mut pool, 1, true, now);
    let (one, other) = (call(&mut pool, now, 0), call(&mut pool, now, 0));
    pool.release(one, Outcome::Broken, now, 0);
    assert_eq!(pool.work(now), Some(Work::Check(id, 1)));
    pool.checked(id, Outcome::Unclear, now, 0);
    assert_eq!(pool.work(now), None);
    assert!(
        matches!(pool.choose(&[], now, 0), Some(Choice::Open(_))),
        "its place is free"
    );
    pool.release(other, Outcome::Unclear, now, 0);
    assert_eq!(pool.work(now), Some(Work::Close(id, 1)));
}

#[test]
fn where_there_are_no_sessions_a_broken_connection_means_a_new_greeting() {
    let (mut pool, now) = pool(1, 1);
    let id = opened(&mut pool, 1, false, now);
    let (one, other) = (call(&mut pool, now, 0), call(&mut pool, now, 0));
    pool.release(one, Outcome::Broken, now, 0);
    assert_eq!(pool.work(now), None, "the next call that needs it greets");
    let Some(Choice::Open(next)) = pool.choose(&[], now, 0) else {
        panic!("a lone address is never refused");
    };
    pool.opened(next, 2, false, now);
    pool.release(other, Outcome::Unreachable, now, 0);
    assert_eq!(
        call(&mut pool, now, 0),
        next,
        "news of {id:?} is no news of {next:?}"
    );
}

#[test]
fn each_address_gets_a_member_once_the_upstream_is_in_use() {
    let (mut pool, now) = pool(1, 3);
    assert_eq!(pool.work(now), None);
    opened(&mut pool, 1, false, now);
    let mut addresses = BTreeSet::new();
    while let Some(Work::Open(id)) = pool.work(now) {
        pool.opened(id, 2, false, now);
        addresses.insert(id.address());
    }
    assert_eq!((addresses.len(), pool.figures().members), (2, 3));
}

#[test]
fn two_addresses_share_the_load() {
    let (mut pool, now) = pool(2, 2);
    opened(&mut pool, 1, false, now);
    let Some(Work::Open(id)) = pool.work(now) else {
        panic!("the other address");
    };
    pool.opened(id, 2, false, now);
    for random in 0..50 {
        call(&mut pool, now, random);
    }
    let loads: Vec<_> = pool
        .address_figures()
        .iter()
        .map(|a| a.outstanding)
        .collect();
    assert_eq!(loads, [25, 25]);
}

#[test]
fn calls_that_come_one_by_one_reach_every_address() {
    let (mut pool, now) = pool(2, 2);
    opened(&mut pool, 1, false, now);
    let Some(Work::Open(id)) = pool.work(now) else {
        panic!("the other address");
    };
    pool.opened(id, 2, false, now);
    let mut calls = [0; 2];
    for random in 0..100 {
        let id = call(&mut pool, now, random);
        pool.release(id, Outcome::Answered, now, 0);
        calls[id.address()] += 1;
    }
    assert_eq!(calls, [50, 50]);
}

#[test]
fn an_address_that_does_not_greet_is_in_trouble_whatever_it_says() {
    for outcome in [Outcome::Unreachable, Outcome::Broken, Outcome::Unclear] {
        let (mut pool, now) = pool(8, 2);
        let Some(Choice::Open(id)) = pool.choose(&[], now, 0) else {
            panic!("an address");
        };
        pool.not_opened(id, outcome, now, MOST);
        assert!(!pool.address_figures()[id.address()].healthy, "{outcome:?}");
    }
}

#[test]
fn an_address_in_trouble_is_asked_as_soon_as_its_pause_is_over() {
    let (mut pool, now) = pool(3, 2);
    let first = opened(&mut pool, 1, true, now);
    let busy = [call(&mut pool, now, 0), call(&mut pool, now, 0)];
    let others = grow(&mut pool, &mut (2..), now);
    let second = *others
        .iter()
        .find(|id| id.address() == first.address())
        .unwrap();
    pool.release(busy[0], Outcome::Broken, now, MOST);
    assert_eq!(pool.work(now), Some(Work::Check(first, 1)));
    pool.checked(first, Outcome::Broken, now, MOST);
    assert!(!pool.address_figures()[first.address()].healthy);
    let due = pool.next_due(now).unwrap();
    assert!(due > now && due < now + HEALTH, "sooner than usual");
    assert!(matches!(pool.work(due), Some(Work::Check(id, _)) if id == second));
    pool.checked(second, Outcome::Answered, due, 0);
    assert!(pool.address_figures()[first.address()].healthy);
}

#[test]
fn a_dead_address_is_left_alone_until_its_pause_is_over() {
    let (mut pool, now) = pool(8, 2);
    let first = opened(&mut pool, 1, false, now);
    let Some(Work::Open(second)) = pool.work(now) else {
        panic!("the other address");
    };
    pool.not_opened(second, Outcome::Unreachable, now, MOST);
    let healthy: Vec<_> = pool.address_figures().iter().map(|a| a.healthy).collect();
    assert_eq!(healthy.iter().filter(|healthy| **healthy).count(), 1);
    for random in 0..20 {
        assert_eq!(call(&mut pool, now, random), first);
    }
    assert_eq!(pool.work(now), None);
    let due = pool.next_due(now).unwrap();
    assert!(due > now);
    let Some(Work::Open(again)) = pool.work(due) else {
        panic!("it is tried again");
    };
    assert_eq!(again.address(), second.address());
    for random in 0..20 {
        assert_eq!(
            call(&mut pool, due, random),
            first,
            "a call does not wait for it"
        );
    }
    pool.opened(again, 2, false, due);
    assert_eq!(call(&mut pool, due, 0), again, "it has less to do");
}

#[test]
fn a_call_that_could_not_connect_goes_to_the_next_address_and_ends_when_there_is_none() {
    let (mut pool, now) = pool(8, 2);
    let Some(Choice::Open(first)) = pool.choose(&[], now, 0) else {
        panic!("an address");
    };
    pool.not_opened(first, Outcome::Unreachable, now, MOST);
    let Some(Choice::Open(second)) = pool.choose(&[first.address()], now, 0) else {
        panic!("the other address");
    };
    assert_ne!(first.address(), second.address());
    pool.not_opened(
        second,
        Outcome::Unreachable,
        now + Duration::from_millis(1),
        MOST,
    );
    assert_eq!(pool.choose(&[0, 1], now, 0), None);
    let Some(Choice::Open(again)) = pool.choose(&[], now, 1) else {
        panic!("a new call tries again");
    };
    assert_eq!(again.address(), first.address(), "its pause ends first");
}

#[test]
fn a_server_that_gives_no_further_session_is_left_with_those_that_it_gave() {
    let (mut pool, now) = pool(8, 1);
    let only = opened(&mut pool, 1, true, now);
    call(&mut pool, now, 0);
    call(&mut pool, now, 0);
    let Some(Work::Open(more)) = pool.work(now) else {
        panic!("it grows");
    };
    pool.not_opened(more, Outcome::Unclear, now, MOST);
    assert!(pool.is_healthy());
    assert_eq!(call(&mut pool, now, 0), only);
    assert_eq!(pool.work(now), None);
    let due = pool.next_due(now).unwrap();
    assert!(due > now && matches!(pool.work(due), Some(Work::Open(_))));
}

#[test]
fn a_pool_that_stops_closes_what_is_idle_and_nothing_else() {
    let (mut pool, now) = pool(8, 1);
    opened(&mut pool, 1, true, now);
    let busy: Vec<_> = (0..3).map(|_| call(&mut pool, now, 0)).collect();
    let idle = grow(&mut pool, &mut (2..), now);
    pool.stop();
    for id in idle.iter().rev() {
        assert!(matches!(pool.work(now), Some(Work::Close(..))), "{id:?}");
    }
    assert_eq!(pool.work(now), None);
    for id in busy {
        pool.release(id, Outcome::Answered, now, 0);
    }
    assert!(matches!(pool.work(now), Some(Work::Close(..))));
    assert_eq!(pool.figures().members, 0);
}
