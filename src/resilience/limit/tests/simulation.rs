//! What the limit does to upstreams, simulated event by event: closed-loop clients, a queue, the
//! limit, an upstream. Times are microseconds, and nobody waits for them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt::Display;

use super::*;

const MS: u64 = 1_000;
const S: u64 = 1_000_000;

#[expect(
    clippy::print_stdout,
    reason = "figures, for whoever asks with --nocapture"
)]
fn show(text: impl Display) {
    println!("{text}");
}

/// Clients that send the next call as soon as the last one is answered.
#[derive(Clone, Copy)]
struct Clients {
    name: &'static str,
    number: usize,
    /// What a call keeps a worker busy for.
    work: u64,
    /// What it then only waits for.
    sleep: u64,
}

const fn clients(name: &'static str, number: usize, work: u64, sleep: u64) -> Clients {
    Clients {
        name,
        number,
        work,
        sleep,
    }
}

#[derive(Clone)]
struct Upstream {
    workers: usize,
    /// Time on the wire, there and back.
    wire: u64,
    /// How uneven work is: from `100 - spread` to `100 + spread` percent, one in fifty 5 times
    /// that.
    spread: u64,
    /// Percent of the normal work at this time.
    pace: fn(u64) -> u64,
    /// Whether it fails at this time.
    fails: fn(u64) -> bool,
}

const fn upstream(workers: usize) -> Upstream {
    Upstream {
        workers,
        wire: MS,
        spread: 0,
        pace: |_| 100,
        fails: |_| false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Reached(usize),
    Worked(usize),
    Answered(usize),
    Look,
}

enum Gate {
    Fixed(usize),
    Adaptive(Box<Limit>),
}

impl Gate {
    fn has_room(&self, now: Instant, running: usize) -> bool {
        match self {
            Self::Fixed(most) => running < *most,
            Self::Adaptive(limit) => limit.has_room(now),
        }
    }

    fn start(&mut self, now: Instant, name: &str) -> Option<Running> {
        match self {
            Self::Fixed(_) => None,
            Self::Adaptive(limit) => Some(limit.start(now, Class::of(name))),
        }
    }

    fn finish(&mut self, now: Instant, call: Option<Running>, failed: bool) {
        if let (Self::Adaptive(limit), Some(call)) = (self, call) {
            let outcome = [Outcome::Success, Outcome::Overload][usize::from(failed)];
            limit.finish(now, call, outcome);
        }
    }
}

/// Uneven work, the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn work(&mut self, upstream: &Upstream, work: u64, t: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let uneven = 100 - upstream.spread + self.0 % (2 * upstream.spread + 1);
        let tail = 1 + 4 * u64::from(upstream.spread > 0 && self.0.is_multiple_of(50));
        work * uneven * tail * (upstream.pace)(t) / 10_000
    }
}

struct Job {
    kind: usize,
    started: u64,
    running: Option<Running>,
}

/// What came of it.
#[derive(Default)]
struct Report {
    answered: Vec<usize>,
    /// Time at the upstream, sorted, a list a kind.
    latencies: Vec<Vec<u64>>,
    /// The limit (not counting parked calls) whenever it changed.
    limits: Vec<(u64, usize)>,
    most_running: usize,
    seconds: u64,
}

impl Report {
    /// Answers in a thousand seconds.
    fn rate(&self) -> usize {
        let seconds = usize::try_from(self.seconds).unwrap();
        self.answered.iter().sum::<usize>() * 1000 / seconds
    }

    fn p99(&self, kind: usize) -> u64 {
        let sorted = &self.latencies[kind];
        sorted.get(sorted.len() * 99 / 100).copied().unwrap_or(0)
    }

    fn limit_at(&self, time: u64) -> usize {
        let until = self.limits.partition_point(|(at, _)| *at <= time);
        self.limits[until.saturating_sub(1)].1
    }

    fn limits(&self, from: u64, to: u64) -> impl Iterator<Item = usize> {
        (0..1000).map(move |i| self.limit_at(from + (to - from) * i / 1000))
    }

    fn mean_limit(&self, from: u64, to: u64) -> usize {
        self.limits(from, to).sum::<usize>() / 1000
    }

    fn most_limit(&self, from: u64, to: u64) -> usize {
        self.limits(from, to).max().unwrap()
    }

    /// When the limit first fulfils this, from a time on.
    fn when(&self, from: u64, wanted: impl Fn(usize) -> bool) -> u64 {
        (from..from + 600 * S)
            .step_by(10_000)
            .find(|t| wanted(self.limit_at(*t)))
            .unwrap()
    }
}

fn run(upstream: &Upstream, kinds: &[Clients], mut gate: Gate, seconds: u64) -> Report {
    let start = epoch();
    let at = |t: u64| start + Duration::from_micros(t);
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut report = Report {
        seconds,
        limits: vec![(0, 1)],
        ..Report::default()
    };
    report.answered = vec![0; kinds.len()];
    report.latencies = vec![Vec::new(); kinds.len()];

    let mut jobs: Vec<Job> = Vec::new();
    // Clients come in turns, as they would.
    let mut queue = VecDeque::new();
    for turn in 0..kinds.iter().map(|k| k.number).max().unwrap_or(0) {
        queue.extend((0..kinds.len()).filter(|k| turn < kinds[*k].number));
    }
    let mut events = BinaryHeap::from([Reverse((0, 0, Event::Look))]);
    let (mut order, mut look) = (1_u64, 0);
    let (mut running, mut busy) = (0, 0);
    let mut inside: VecDeque<usize> = VecDeque::new();
    while let Some(Reverse((t, _, event))) = events.pop() {
        if t > seconds * S {
            break;
        }
        let mut later = |time: u64, event| {
            order += 1;
            events.push(Reverse((time, order, event)));
        };
        match event {
            Event::Reached(job) => inside.push_back(job),
            Event::Worked(job) => {
                busy -= 1;
                later(
                    t + kinds[jobs[job].kind].sleep + upstream.wire / 2,
                    Event::Answered(job),
                );
            }
            Event::Answered(id) => {
                running -= 1;
                let job = &jobs[id];
                let failed = (upstream.fails)(t);
                gate.finish(at(t), job.running, failed);
                if !failed {
                    report.answered[job.kind] += 1;
                    report.latencies[job.kind].push(t - job.started);
                }
                queue.push_back(job.kind);
            }
            Event::Look => {}
        }
        while busy < upstream.workers
            && let Some(job) = inside.pop_front()
        {
            busy += 1;
            let work = dice.work(upstream, kinds[jobs[job].kind].work, t);
            later(t + work, Event::Worked(job));
        }
        while gate.has_room(at(t), running)
            && let Some(kind) = queue.pop_front()
        {
            let call = gate.start(at(t), kinds[kind].name);
            jobs.push(Job {
                kind,
                started: t,
                running: call,
            });
            running += 1;
            report.most_running = report.most_running.max(running);
            later(t + upstream.wire / 2, Event::Reached(jobs.len() - 1));
        }
        if let Gate::Adaptive(limit) = &gate {
            if report
                .limits
                .last()
                .is_none_or(|(_, last)| *last != limit.places)
            {
                report.limits.push((t, limit.places));
            }
            if let Some(next) = limit.next_change(at(t)) {
                let next = u64::try_from((next - start).as_micros())
                    .unwrap()
                    .max(t + 1);
                if look <= t || next < look {
                    look = next;
                    later(next, Event::Look);
                }
            }
        }
    }
    report
        .latencies
        .iter_mut()
        .for_each(|list| list.sort_unstable());
    report
}

fn adaptive(max: usize) -> Gate {
    Gate::Adaptive(Box::new(Limit::new(Settings::up_to(max))))
}

fn best_fixed(upstream: &Upstream, kinds: &[Clients], seconds: u64) -> usize {
    let rate = |n| run(upstream, kinds, Gate::Fixed(n), seconds).rate();
    [1, 2, 3, 4, 6, 8, 11, 16]
        .map(rate)
        .into_iter()
        .max()
        .unwrap()
}

/// Runs 64 clients of a kind and holds the adaptive limit against the best fixed one and none.
fn compare(name: &str, upstream: &Upstream, kinds: &[Clients]) -> (Report, Report) {
    let (max, seconds) = (16, 60);
    let best = best_fixed(upstream, kinds, seconds);
    let ours = run(upstream, kinds, adaptive(max), seconds);
    let none = run(upstream, kinds, Gate::Fixed(64), seconds);
    show(format_args!(
        "{name}, {} worker(s), spread {} %: {}.{:03} calls/s, {} permille of the best fixed limit; \
         mean limit {}; p99 {} ms, without limit {} ms",
        upstream.workers,
        upstream.spread,
        ours.rate() / 1000,
        ours.rate() % 1000,
        ours.rate() * 1000 / best,
        ours.mean_limit(10 * S, seconds * S),
        ours.p99(0) / MS,
        none.p99(0) / MS,
    ));
    assert!(
        ours.rate() * 100 >= best * 95,
        "{} of {best} calls",
        ours.rate()
    );
    (ours, none)
}

#[test]
fn one_thread_is_kept_busy_and_its_queue_short() {
    for spread in [0, 50] {
        for (name, work) in [
            ("ping", 2 * MS),
            ("live context", 9 * MS),
            ("tools/list", 20 * MS),
        ] {
            let upstream = Upstream {
                spread,
                ..upstream(1)
            };
            let (ours, none) = compare(name, &upstream, &[clients(name, 64, work, 0)]);
            assert!(ours.p99(0) * 3 <= none.p99(0));
            assert!(ours.most_limit(10 * S, 60 * S) <= 5);
        }
    }
}

#[test]
fn several_workers_are_all_kept_busy() {
    for spread in [0, 50] {
        for workers in [2, 4, 8] {
            let upstream = Upstream {
                spread,
                ..upstream(workers)
            };
            let (ours, _) = compare("tools/list", &upstream, &[clients("list", 64, 20 * MS, 0)]);
            let mean = ours.mean_limit(10 * S, 60 * S);
            assert!((workers..=workers + 4).contains(&mean), "limit {mean}");
        }
    }
}

#[test]
fn calls_of_very_different_length_share_a_limit() {
    let kinds = [
        clients("ping", 22, 2 * MS, 0),
        clients("list", 21, 20 * MS, 0),
        clients("turn on", 21, 10 * MS, 0),
    ];
    for workers in [1, 4] {
        let upstream = Upstream {
            spread: 30,
            ..upstream(workers)
        };
        let (ours, none) = compare("ping, list and turn on", &upstream, &kinds);
        assert!(ours.p99(0) * 3 <= none.p99(0));
    }
}

#[test]
fn a_hundred_kinds_of_calls_do_no_harm() {
    let names = (0..100).map(|i| &*format!("tool {i}").leak());
    let kinds: Vec<_> = names.map(|name| clients(name, 1, 20 * MS, 0)).collect();
    let report = run(&upstream(1), &kinds, adaptive(32), 120);
    let most = report.most_limit(10 * S, 120 * S);
    assert!(most <= 5, "limit {most}");
}

#[test]
fn the_limit_does_not_creep_up_in_an_hour_of_full_load() {
    let report = run(
        &upstream(1),
        &[clients("list", 64, 20 * MS, 0)],
        adaptive(64),
        3600,
    );
    assert!(report.most_limit(60 * S, 3600 * S) <= 4);
}

#[test]
fn a_slow_spell_lowers_the_limit_until_it_is_over() {
    for workers in [4, 8] {
        let upstream = Upstream {
            pace: |t| {
                if (100 * S..200 * S).contains(&t) {
                    300
                } else {
                    100
                }
            },
            ..upstream(workers)
        };
        let report = run(
            &upstream,
            &[clients("list", 64, 20 * MS, 0)],
            adaptive(32),
            300,
        );
        let before = report.mean_limit(50 * S, 100 * S);
        let lowest = report.when(100 * S, |limit| limit <= before / 2 + 1);
        let learned = report.when(lowest, |limit| limit + 1 >= before);
        let highest = report.most_limit(200 * S, 300 * S);
        let over = report.when(200 * S, |limit| limit + 1 >= before);
        show(format_args!(
            "three times slower at 100 s, {workers} workers: limit {before}, down after {} ms, \
             new baseline after {} ms; at 200 s normal again, up after {} ms, at most {highest}, then {}",
            (lowest - 100 * S) / MS,
            (learned - 100 * S) / MS,
            (over - 200 * S) / MS,
            report.mean_limit(250 * S, 300 * S),
        ));
        assert!(lowest < 102 * S && learned < 140 * S && over < 202 * S);
        assert!(highest <= 2 * before);
        assert!(report.mean_limit(250 * S, 300 * S).abs_diff(before) <= 1);
    }
}

#[test]
fn failures_lower_the_limit_and_it_recovers() {
    for workers in [1, 8] {
        let upstream = Upstream {
            fails: |t| (50 * S..52 * S).contains(&t),
            ..upstream(workers)
        };
        let report = run(
            &upstream,
            &[clients("list", 64, 20 * MS, 0)],
            adaptive(32),
            100,
        );
        let before = report.limit_at(50 * S - 1);
        let lowest = report.when(50 * S, |limit| limit == 1);
        let back = report.when(52 * S, |limit| limit + 1 >= before);
        show(format_args!(
            "failing from 50 s to 52 s, {workers} worker(s): limit {before}, 1 after {} ms, \
             back {} ms after the end",
            (lowest - 50 * S) / MS,
            (back - 52 * S) / MS,
        ));
        assert!(lowest < 51 * S && back < 56 * S);
    }
}

#[test]
fn scripts_that_sleep_do_not_hold_up_the_reads() {
    let kinds = [
        clients("live context", 12, 9 * MS, 0),
        clients("list", 4, 20 * MS, 0),
        clients("script", 6, 5 * MS, 10 * S),
        // The same script, when there is nothing to do.
        clients("script", 1, 5 * MS, 0),
    ];
    for workers in [1, 4] {
        let upstream = Upstream {
            spread: 30,
            ..upstream(workers)
        };
        let best = best_fixed(&upstream, &kinds, 200);
        let ours = run(&upstream, &kinds, adaptive(16), 200);
        let widest = run(&upstream, &kinds, Gate::Fixed(16), 200);
        show(format_args!(
            "reads and scripts, {workers} worker(s): {} permille of the best fixed limit, calls {:?}; \
             mean limit {}, most running {}; p99 of reads {} ms, {} ms with 16 in parallel",
            ours.rate() * 1000 / best,
            ours.answered,
            ours.mean_limit(10 * S, 200 * S),
            ours.most_running,
            ours.p99(0) / MS,
            widest.p99(0) / MS,
        ));
        assert!(ours.rate() * 100 >= best * 95);
        assert!(ours.mean_limit(10 * S, 200 * S) >= workers);
        assert!(ours.answered[2] * 100 >= widest.answered[2] * 95);
    }
}

#[test]
fn an_upstream_that_hangs_gets_only_one_more_call() {
    let upstream = Upstream {
        pace: |t| {
            if (50 * S..51 * S).contains(&t) {
                150_000
            } else {
                100
            }
        },
        ..upstream(1)
    };
    let report = run(
        &upstream,
        &[clients("list", 64, 20 * MS, 0)],
        adaptive(32),
        120,
    );
    let most = report.most_limit(10 * S, 120 * S);
    assert!(
        report.most_running <= most + 1,
        "{} with {most}",
        report.most_running
    );
}
