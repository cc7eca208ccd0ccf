//! The queue against its promises, over random histories.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn origin() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn queue(max_waiting: usize, limit: usize) -> Queue {
    let mut queue = Queue::new(Settings {
        max_waiting,
        max_waiting_per_client: max_waiting,
        aging_interval: 5 * SECOND,
    });
    queue.set_limit(limit);
    queue
}

fn call(now: Instant, client: &str, priority: Priority, effect: Effect) -> Arrival {
    let deadline = now + 3600 * SECOND;
    Arrival {
        client: client.into(),
        priority,
        deadline,
        effect,
        cost: Arrival::MAX_COST,
    }
}

fn write(targets: &[&str]) -> Effect {
    Effect::Write(Targets::Only(
        targets.iter().map(|t| Arc::from(*t)).collect(),
    ))
}

fn offer(
    queue: &mut Queue,
    now: Instant,
    client: &str,
    priority: Priority,
    effect: Effect,
) -> Ticket {
    queue
        .offer(now, call(now, client, priority, effect))
        .unwrap()
        .ticket
}

fn started(queue: &mut Queue, now: Instant) -> Vec<Ticket> {
    std::iter::from_fn(|| queue.start(now)).collect()
}

use Priority::{Background, Interactive, Normal};

#[test]
fn a_call_that_can_start_at_once_needs_no_place_to_wait() {
    let now = origin();
    let mut queue = queue(0, 1);
    let first = offer(&mut queue, now, "a", Normal, Effect::Read);
    assert_eq!(queue.start(now), Some(first));
    let refused = queue.offer(now, call(now, "a", Normal, Effect::Read));
    assert_eq!(refused, Err(Refusal::ClientFull { waiting: 0 }));
    queue.finish(first, None);
    assert!(
        queue
            .offer(now, call(now, "a", Normal, Effect::Read))
            .is_ok()
    );
}

#[test]
fn more_urgent_calls_start_first_and_waiting_ones_rise() {
    let now = origin();
    let mut queue = queue(10, 1);
    let running = offer(&mut queue, now, "a", Normal, Effect::Read);
    assert_eq!(started(&mut queue, now), [running]);
    let background = offer(&mut queue, now, "a", Background, Effect::Read);
    let normal = offer(&mut queue, now, "b", Normal, Effect::Read);
    let interactive = offer(&mut queue, now, "c", Interactive, Effect::Read);
    queue.finish(running, None);
    assert_eq!(started(&mut queue, now), [interactive]);
    let later = now + 11 * SECOND;
    let newer = offer(&mut queue, later, "d", Interactive, Effect::Read);
    queue.finish(interactive, None);
    assert_eq!(started(&mut queue, later), [normal]);
    queue.finish(normal, None);
    assert_eq!(started(&mut queue, later), [background]);
    queue.finish(background, None);
    assert_eq!(started(&mut queue, later), [newer]);
}

#[test]
fn a_clients_writes_run_one_at_a_time_while_its_reads_go_on() {
    let now = origin();
    let mut queue = queue(10, 4);
    let first = offer(&mut queue, now, "a", Normal, write(&["lamp"]));
    let second = offer(&mut queue, now, "a", Normal, write(&["radio"]));
    let read = offer(&mut queue, now, "a", Normal, Effect::Read);
    assert_eq!(started(&mut queue, now), [first, read]);
    queue.finish(first, None);
    assert_eq!(started(&mut queue, now), [second]);
}

#[test]
fn writes_of_different_clients_overlap_unless_they_touch_the_same() {
    let now = origin();
    let mut queue = queue(10, 8);
    let lamp = offer(&mut queue, now, "a", Normal, write(&["lamp"]));
    let radio = offer(&mut queue, now, "b", Normal, write(&["radio"]));
    let both = offer(&mut queue, now, "c", Normal, write(&["radio", "lamp"]));
    let anything = offer(
        &mut queue,
        now,
        "d",
        Normal,
        Effect::Write(Targets::Everything),
    );
    let door = offer(&mut queue, now, "e", Normal, write(&["door"]));
    assert_eq!(started(&mut queue, now), [lamp, radio]);
    queue.finish(radio, None);
    assert_eq!(started(&mut queue, now), []);
    queue.finish(lamp, None);
    assert_eq!(started(&mut queue, now), [both]);
    queue.finish(both, None);
    assert_eq!(started(&mut queue, now), [anything]);
    queue.finish(anything, None);
    assert_eq!(started(&mut queue, now), [door]);
}

#[test]
fn an_urgent_write_lends_its_priority_to_those_it_waits_for() {
    let now = origin();
    let mut queue = queue(10, 1);
    let running = offer(&mut queue, now, "x", Normal, Effect::Read);
    started(&mut queue, now);
    let slow = offer(&mut queue, now, "a", Background, write(&["lamp"]));
    let other = offer(&mut queue, now, "b", Background, Effect::Read);
    let normal = offer(&mut queue, now, "c", Normal, Effect::Read);
    let urgent = offer(&mut queue, now, "d", Interactive, write(&["lamp"]));
    let mut order = Vec::new();
    let mut last = running;
    for _ in 0..4 {
        queue.finish(last, None);
        last = queue.start(now).unwrap();
        order.push(last);
    }
    assert_eq!(order, [slow, urgent, normal, other]);
}

#[test]
fn a_write_that_is_tried_again_keeps_its_place() {
    let now = origin();
    let mut queue = queue(10, 2);
    let first = offer(&mut queue, now, "a", Background, write(&["lamp"]));
    assert_eq!(started(&mut queue, now), [first]);
    queue.suspend(first);
    let second = offer(&mut queue, now, "b", Interactive, write(&["lamp"]));
    let read = offer(&mut queue, now, "b", Normal, Effect::Read);
    assert_eq!(started(&mut queue, now), [read]);
    queue.resume(now, first);
    assert_eq!(started(&mut queue, now), [first]);
    queue.finish(first, None);
    queue.finish(read, None);
    assert_eq!(started(&mut queue, now), [second]);
}

#[test]
fn slow_writes_leave_a_slot_to_older_reads() {
    let now = origin();
    let mut queue = queue(20, 2);
    let held = [
        offer(&mut queue, now, "a", Normal, Effect::Read),
        offer(&mut queue, now, "b", Normal, write(&["1"])),
    ];
    assert_eq!(started(&mut queue, now), held);
    let ring_first = offer(&mut queue, now, "w", Normal, Effect::Read);
    let read = offer(&mut queue, now, "r", Normal, Effect::Read);
    let writing = offer(&mut queue, now, "w", Normal, write(&["2"]));
    queue.finish(held[0], None);
    assert_eq!(started(&mut queue, now), [ring_first]);
    queue.finish(ring_first, None);
    assert_eq!(started(&mut queue, now), [read]);
    queue.finish(read, None);
    assert_eq!(started(&mut queue, now), [writing]);
}

#[test]
fn when_it_is_full_the_least_urgent_gives_way() {
    let now = origin();
    let mut queue = queue(3, 1);
    let running = offer(&mut queue, now, "a", Normal, Effect::Read);
    started(&mut queue, now);
    let kept = offer(&mut queue, now, "a", Background, Effect::Read);
    let newest = offer(&mut queue, now, "b", Background, Effect::Read);
    offer(&mut queue, now, "c", Normal, Effect::Read);
    let took = queue
        .offer(now, call(now, "d", Interactive, Effect::Read))
        .unwrap();
    assert_eq!(took.shed, Some(newest));
    let took = queue
        .offer(now, call(now, "d", Normal, Effect::Read))
        .unwrap();
    assert_eq!(took.shed, Some(kept));
    let refused = queue.offer(now, call(now, "d", Normal, Effect::Read));
    assert_eq!(refused, Err(Refusal::Full { waiting: 3 }));
    assert_eq!(
        (queue.figures(now).shed, queue.figures(now).refused),
        (2, 1)
    );
    queue.finish(running, None);
}

#[test]
fn one_client_cannot_fill_the_queue() {
    let now = origin();
    let settings = Settings {
        max_waiting: 10,
        max_waiting_per_client: 2,
        aging_interval: SECOND,
    };
    let mut queue = Queue::new(settings);
    queue.set_limit(1);
    for _ in 0..3 {
        offer(&mut queue, now, "a", Normal, Effect::Read);
        started(&mut queue, now);
    }
    let refused = queue.offer(now, call(now, "a", Interactive, Effect::Read));
    assert_eq!(refused, Err(Refusal::ClientFull { waiting: 2 }));
    assert!(
        queue
            .offer(now, call(now, "b", Background, Effect::Read))
            .is_ok()
    );
}

#[test]
fn a_call_that_would_wait_beyond_its_deadline_is_refused_at_once() {
    let now = origin();
    let mut queue = queue(100, 1);
    for _ in 0..10 {
        let ticket = offer(&mut queue, now, "a", Normal, Effect::Read);
        started(&mut queue, now);
        queue.finish(ticket, Some(2 * SECOND));
    }
    for _ in 0..6 {
        offer(&mut queue, now, "a", Normal, Effect::Read);
        started(&mut queue, now);
    }
    let hurried = |client: &str, seconds: u32| Arrival {
        deadline: now + seconds * SECOND,
        ..call(now, client, Normal, Effect::Read)
    };
    let refused = queue.offer(now, hurried("a", 5));
    assert_eq!(
        refused,
        Err(Refusal::Hopeless {
            ahead: 5,
            expected: 10 * SECOND
        })
    );
    assert!(queue.offer(now, hurried("a", 11)).is_ok());
    assert!(
        queue.offer(now, hurried("b", 5)).is_ok(),
        "another client's turn comes sooner"
    );
}

#[test]
fn a_paused_queue_takes_and_starts_nothing_and_a_draining_one_the_reverse() {
    let now = origin();
    let mut queue = queue(5, 2);
    queue.pause();
    let held = offer(&mut queue, now, "a", Normal, Effect::Read);
    assert_eq!(started(&mut queue, now), []);
    queue.open();
    assert_eq!(started(&mut queue, now), [held]);
    queue.drain();
    assert_eq!(
        queue.offer(now, call(now, "a", Normal, Effect::Read)),
        Err(Refusal::Draining)
    );
    queue.finish(held, None);
    assert!(queue.is_idle());
}

#[test]
fn a_limit_of_nothing_holds_everything_until_it_rises() {
    let now = origin();
    let mut queue = queue(5, 2);
    queue.set_limit(0);
    let held = offer(&mut queue, now, "a", Normal, Effect::Read);
    assert_eq!(started(&mut queue, now), []);
    queue.set_limit(1);
    assert_eq!(started(&mut queue, now), [held]);
}

#[test]
fn the_position_counts_those_that_go_before() {
    let now = origin();
    let mut queue = queue(10, 1);
    offer(&mut queue, now, "a", Normal, Effect::Read);
    started(&mut queue, now);
    offer(&mut queue, now, "a", Background, Effect::Read);
    offer(&mut queue, now, "a", Normal, Effect::Read);
    let own = offer(&mut queue, now, "a", Normal, Effect::Read);
    offer(&mut queue, now, "a", Normal, Effect::Read);
    offer(&mut queue, now, "a", Interactive, Effect::Read);
    assert_eq!(queue.position(own), Some(2));
}

#[test]
fn calls_rise_by_one_priority_for_each_interval_and_only_while_they_wait() {
    let now = origin();
    let mut queue = queue(10, 1);
    let running = offer(&mut queue, now, "a", Background, Effect::Read);
    started(&mut queue, now);
    let waiting = offer(&mut queue, now, "a", Background, Effect::Read);
    let by_priority = |queue: &mut Queue, seconds: u32| {
        queue.start(now + seconds * SECOND);
        queue.figures(now).waiting_by_priority
    };
    assert_eq!(by_priority(&mut queue, 4), [0, 0, 1]);
    assert_eq!(by_priority(&mut queue, 5), [0, 1, 0]);
    assert_eq!(by_priority(&mut queue, 9), [0, 1, 0]);
    assert_eq!(by_priority(&mut queue, 10), [1, 0, 0]);
    queue.finish(waiting, None);
    queue.suspend(running);
    queue.set_limit(0);
    queue.resume(now + 20 * SECOND, running);
    assert_eq!(by_priority(&mut queue, 24), [0, 0, 1]);
    assert_eq!(by_priority(&mut queue, 25), [0, 1, 0]);
}

#[test]
fn a_deadline_on_arrival_or_before_the_turn_is_counted() {
    let now = origin();
    let mut queue = queue(10, 1);
    let late = Arrival {
        deadline: now,
        ..call(now, "a", Normal, Effect::Read)
    };
    assert_eq!(queue.offer(now, late), Err(Refusal::Late));
    queue.set_limit(0);
    let hurried = Arrival {
        deadline: now + SECOND,
        ..call(now, "a", Normal, Effect::Read)
    };
    queue.offer(now, hurried).unwrap();
    queue.start(now);
    queue.set_limit(1);
    assert_eq!(queue.start(now + SECOND), None);
    let figures = queue.figures(now + SECOND);
    assert_eq!((figures.expired, figures.most_waiting), (2, 1));
    assert!(queue.is_idle());
}

#[test]
fn a_call_that_rests_keeps_its_place_among_the_waiting() {
    let now = origin();
    let mut queue = queue(1, 1);
    let resting = offer(&mut queue, now, "a", Normal, Effect::Read);
    started(&mut queue, now);
    queue.suspend(resting);
    offer(&mut queue, now, "a", Normal, Effect::Read);
    started(&mut queue, now);
    let refused = queue.offer(now, call(now, "b", Normal, Effect::Read));
    assert_eq!(refused, Err(Refusal::Full { waiting: 0 }));
}

#[test]
fn a_pause_does_not_end_a_drain() {
    let now = origin();
    let mut queue = queue(1, 1);
    queue.drain();
    queue.pause();
    assert_eq!(queue.figures(now).mode, Mode::Draining);
}

#[test]
fn the_expected_wait_is_an_average_over_what_goes_before() {
    let now = origin();
    let mut queue = queue(100, 1);
    let run = |queue: &mut Queue, took: Duration| {
        let ticket = offer(queue, now, "a", Normal, Effect::Read);
        started(queue, now);
        queue.finish(ticket, Some(took));
    };
    for _ in 0..9 {
        run(&mut queue, 2 * SECOND);
    }
    assert_eq!(queue.figures(now).service_ms, None, "too few to tell");
    run(&mut queue, 12 * SECOND);
    let service = queue.figures(now).service_ms.unwrap();
    assert!((service - 3000.0).abs() < 1.0, "{service} ms");
    queue.set_limit(0);
    for priority in [Normal, Normal, Normal, Normal, Background] {
        offer(&mut queue, now, "a", priority, Effect::Read);
    }
    let hurried = |priority| Arrival {
        deadline: now + SECOND,
        ..call(now, "a", priority, Effect::Read)
    };
    queue.set_limit(2);
    let refused = queue.offer(now, hurried(Normal)).unwrap_err();
    let Refusal::Hopeless { ahead, expected } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((ahead, expected.as_secs_f64().round()), (4, 6.0));
    assert!(
        queue.offer(now, hurried(Interactive)).is_ok(),
        "nothing goes before it"
    );
}

/// One thing that can happen to a queue. Indices pick one of the calls that it can happen to.
#[derive(Debug, Clone)]
enum Step {
    Offer {
        client: u8,
        priority: Priority,
        seconds: u16,
        cost: u32,
        effect: Effect,
    },
    End(usize),
    Leave(usize),
    Suspend(usize),
    Resume(usize),
    Limit(usize),
    Pause(bool),
    Pass(u16),
}

fn effects() -> impl Strategy<Value = Effect> {
    let target = prop_oneof![Just("lamp"), Just("radio"), Just("door"), Just("blinds")];
    prop_oneof![
        3 => Just(Effect::Read),
        3 => prop::collection::btree_set(target, 1..3).prop_map(|names| {
            Effect::Write(Targets::Only(names.into_iter().map(Arc::from).collect()))
        }),
        1 => Just(Effect::Write(Targets::Everything)),
    ]
}

fn offers() -> impl Strategy<Value = Step> {
    let priority = prop_oneof![Just(Interactive), Just(Normal), Just(Background)];
    (0u8..4, priority, 0u16..40, 0u32..12, effects()).prop_map(
        |(client, priority, seconds, cost, effect)| Step::Offer {
            client,
            priority,
            seconds,
            cost,
            effect,
        },
    )
}

fn steps(length: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => offers(),
        8 => any::<usize>().prop_map(Step::End),
        2 => any::<usize>().prop_map(Step::Leave),
        1 => any::<usize>().prop_map(Step::Suspend),
        2 => any::<usize>().prop_map(Step::Resume),
        1 => (0usize..5).prop_map(Step::Limit),
        1 => any::<bool>().prop_map(Step::Pause),
        3 => (0u16..9).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..length)
}

/// What the driver of a queue knows: plain lists.
#[derive(Default)]
struct Driver {
    calls: HashMap<Ticket, Arrival>,
    accepted: Vec<Ticket>,
    started: BTreeSet<Ticket>,
    running: Vec<Ticket>,
    resting: Vec<Ticket>,
    /// Those that were suspended since they started.
    again: BTreeSet<Ticket>,
    over: BTreeSet<Ticket>,
}

fn overlap(one: &Arrival, other: &Arrival) -> bool {
    let (Effect::Write(a), Effect::Write(b)) = (&one.effect, &other.effect) else {
        return false;
    };
    one.client == other.client
        || match (a, b) {
            (Targets::Only(a), Targets::Only(b)) => a.iter().any(|target| b.contains(target)),
            _ => true,
        }
}

impl Driver {
    fn end(&mut self, queue: &mut Queue, ticket: Ticket, took: Option<Duration>) {
        queue.finish(ticket, took);
        self.running.retain(|t| *t != ticket);
        self.resting.retain(|t| *t != ticket);
        self.over.insert(ticket);
    }

    /// Carries out what the queue decides, and holds every decision against the promises.
    fn advance(&mut self, queue: &mut Queue, now: Instant) {
        while let Some(ticket) = queue.start(now) {
            let call = &self.calls[&ticket];
            assert!(call.deadline > now, "no_call_starts_after_its_deadline");
            assert!(
                !self.running.contains(&ticket),
                "no_call_runs_twice_at_once"
            );
            assert!(!self.over.contains(&ticket), "no_call_starts_after_its_end");
            let held = self
                .running
                .iter()
                .chain(&self.resting)
                .filter(|t| **t != ticket);
            for other in held {
                assert!(
                    !overlap(call, &self.calls[other]),
                    "conflicting_writes_never_overlap"
                );
            }
            for other in self
                .accepted
                .iter()
                .filter(|t| **t < ticket && queue.entries.contains_key(t))
            {
                let waits = queue.entries[other].waits();
                assert!(
                    !waits || !overlap(call, &self.calls[other]),
                    "conflicting_writes_keep_their_order"
                );
            }
            let more_urgent =
                queue.levels[..queue.entries[&ticket].arrival.priority as usize].iter();
            assert!(
                more_urgent.clone().all(Level::is_quiet),
                "the_most_urgent_goes_first"
            );
            assert!(
                self.started.insert(ticket) || self.again.remove(&ticket),
                "a_call_starts_once_and_again_only_after_it_was_suspended"
            );
            self.running.push(ticket);
        }
        for ticket in &self.accepted {
            if !queue.entries.contains_key(ticket) {
                self.over.insert(*ticket);
            }
        }
        self.check(queue);
    }

    fn check(&self, queue: &Queue) {
        let figures = &queue.settings;
        assert_eq!(queue.running, self.running.len());
        assert_eq!(queue.resting, self.resting.len());
        assert!(
            queue.waiting.len() <= figures.max_waiting + self.calls.len() - self.over.len(),
            "bounded"
        );
        let waiting: Vec<_> = queue
            .entries
            .iter()
            .filter(|(_, entry)| entry.waits())
            .collect();
        assert_eq!(queue.waiting.len(), waiting.len());
        assert_eq!(
            queue.waiting_by_client.values().sum::<usize>(),
            waiting.len()
        );
        let by_level: usize = queue.levels.iter().map(|level| level.waiting.len()).sum();
        assert_eq!(by_level, waiting.len());
        let can_start = queue.mode != Mode::Paused && queue.running < queue.limit;
        for (ticket, entry) in waiting {
            assert!(
                !can_start || entry.state == State::Blocked,
                "nothing_waits_while_there_is_room"
            );
            let before: Vec<_> = queue
                .entries
                .iter()
                .filter(|(other, e)| *other < ticket && overlap(&e.arrival, &entry.arrival))
                .collect();
            assert_eq!(
                entry.state == State::Blocked,
                !before.is_empty(),
                "a_call_waits_only_for_earlier_ones"
            );
            for (_, other) in before {
                let lent = other.arrival.priority <= entry.arrival.priority;
                assert!(lent, "who_is_waited_for_is_at_least_as_urgent");
            }
        }
    }
}

fn run(steps: &[Step], max_waiting: usize, limit: usize) {
    let mut now = origin();
    let mut queue = queue(max_waiting, limit);
    let mut driver = Driver::default();
    for step in steps {
        match step.clone() {
            Step::Offer {
                client,
                priority,
                seconds,
                cost,
                effect,
            } => {
                let client = Arc::from(format!("client {client}"));
                let deadline = now + Duration::from_secs(seconds.into());
                let arrival = Arrival {
                    client,
                    priority,
                    deadline,
                    effect,
                    cost,
                };
                let room = queue.waiting.len() + queue.resting < max_waiting;
                match queue.offer(now, arrival.clone()) {
                    Ok(Offer { ticket, shed }) => {
                        if let Some(shed) = shed {
                            assert!(
                                !room && driver.calls[&shed].priority > priority,
                                "only_the_less_urgent_is_shed"
                            );
                            assert!(!driver.running.contains(&shed), "what_runs_is_never_shed");
                            driver.over.insert(shed);
                        }
                        driver.calls.insert(ticket, arrival);
                        driver.accepted.push(ticket);
                    }
                    Err(Refusal::Late) => assert_eq!(seconds, 0),
                    Err(Refusal::Hopeless { expected, .. }) => {
                        assert!(expected > Duration::from_secs(seconds.into()));
                    }
                    Err(Refusal::Full { .. } | Refusal::ClientFull { .. }) => {
                        assert!(!room, "nothing_is_refused_while_there_is_room");
                    }
                    Err(Refusal::Draining) => panic!("nobody drained it"),
                }
            }
            Step::End(i) if !driver.running.is_empty() => {
                let ticket = driver.running[i % driver.running.len()];
                driver.end(
                    &mut queue,
                    ticket,
                    Some(Duration::from_millis((i % 3000) as u64)),
                );
            }
            Step::Leave(i) if !driver.accepted.is_empty() => {
                let ticket = driver.accepted[i % driver.accepted.len()];
                driver.end(&mut queue, ticket, None);
            }
            Step::Suspend(i) if !driver.running.is_empty() => {
                let ticket = driver.running.remove(i % driver.running.len());
                queue.suspend(ticket);
                driver.resting.push(ticket);
                driver.again.insert(ticket);
            }
            Step::Resume(i) if !driver.resting.is_empty() => {
                let ticket = driver.resting.remove(i % driver.resting.len());
                queue.resume(now, ticket);
            }
            Step::Limit(limit) => queue.set_limit(limit),
            Step::Pause(true) => queue.pause(),
            Step::Pause(false) => queue.open(),
            Step::Pass(seconds) => now += Duration::from_secs(seconds.into()),
            Step::End(_) | Step::Leave(_) | Step::Suspend(_) | Step::Resume(_) => {}
        }
        driver.advance(&mut queue, now);
    }
    queue.open();
    queue.set_limit(1);
    for ticket in std::mem::take(&mut driver.resting) {
        queue.resume(now, ticket);
    }
    driver.advance(&mut queue, now);
    while let Some(ticket) = driver.running.first().copied() {
        driver.end(&mut queue, ticket, None);
        driver.advance(&mut queue, now);
    }
    assert!(queue.is_idle(), "no_call_is_lost");
    assert!(
        queue.conflicts.is_empty() && queue.aging.is_empty(),
        "nothing_is_left_behind"
    );
    assert_eq!(
        driver.accepted.len(),
        driver.over.len(),
        "every_call_ends_exactly_once"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_promises(
        steps in steps(40), max_waiting in 0usize..8, limit in 1usize..5
    ) {
        run(&steps, max_waiting, limit);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn long_histories_keep_the_promises_too(
        steps in steps(600), max_waiting in 0usize..40, limit in 1usize..5
    ) {
        run(&steps, max_waiting, limit);
    }

    #[test]
    fn clients_that_always_want_something_get_equal_shares(
        clients in 2u8..6, costs in prop::collection::vec(1u32..=Arrival::MAX_COST, 6), rounds in 10u32..60
    ) {
        let now = origin();
        let mut queue = queue(usize::MAX, 1);
        let mut spent: HashMap<u8, u32> = HashMap::new();
        let mut owner = HashMap::new();
        let mut want = |queue: &mut Queue, client: u8| {
            let cost = costs[client as usize];
            let arrival = Arrival { cost, ..call(now, &client.to_string(), Normal, Effect::Read) };
            owner.insert(queue.offer(now, arrival).unwrap().ticket, (client, cost));
            owner.clone()
        };
        let mut owners = HashMap::new();
        for client in 0..clients {
            for _ in 0..Arrival::MAX_COST {
                owners = want(&mut queue, client);
            }
        }
        for _ in 0..rounds * u32::from(clients) {
            let ticket = queue.start(now).unwrap();
            let (client, cost) = owners[&ticket];
            *spent.entry(client).or_default() += cost;
            queue.finish(ticket, None);
            owners = want(&mut queue, client);
        }
        let most = spent.values().max().copied().unwrap_or(0);
        let least = (0..clients).map(|c| spent.get(&c).copied().unwrap_or(0)).min().unwrap_or(0);
        prop_assert!(most - least <= 2 * Arrival::MAX_COST, "{spent:?}");
    }

    #[test]
    fn no_flood_of_urgent_calls_starves_a_background_call(flood in 1u64..30) {
        let mut now = origin();
        let mut queue = queue(usize::MAX, 1);
        let patient = offer(&mut queue, now, "patient", Background, Effect::Read);
        queue.pause();
        for _ in 0..flood {
            offer(&mut queue, now, "urgent", Interactive, Effect::Read);
        }
        queue.open();
        let mut waited = 0;
        loop {
            let ticket = queue.start(now).unwrap();
            if ticket == patient {
                break;
            }
            queue.finish(ticket, None);
            offer(&mut queue, now, "urgent", Interactive, Effect::Read);
            now += SECOND;
            waited += 1;
            prop_assert!(waited <= 12, "two steps of ageing and one turn");
        }
    }
}

/// How many random histories: `QUEUE_HISTORIES` in the environment, 100,000 otherwise.
fn histories() -> u32 {
    std::env::var("QUEUE_HISTORIES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(100_000)
}
