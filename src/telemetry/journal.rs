//! What happened lately, gathered for the status page. Nothing of it outlives the process.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Serialize;

use super::history::{self, Call, Ring};
use super::refusals::{Refusal, Refusals};
use super::series::{Histogram, Series};
use super::since_1970;
use crate::error::Code;

const MINUTE_MS: u64 = 60_000;
/// Buckets of the last hour, for all calls together.
const MINUTES: usize = 60;
/// Buckets of the last hour for each client, and how wide they are.
const CLIENT_BUCKETS: usize = 12;
const CLIENT_BUCKET_MS: u64 = 5 * MINUTE_MS;
/// Clients whose figures are kept; the one that was seen least recently gives way.
const MAX_CLIENTS: usize = 1000;
/// For how long a refused request is worth telling.
const REFUSALS_MS: u64 = 24 * 60 * MINUTE_MS;

/// Gathers; asked by many, written to by every call.
#[derive(Debug)]
pub struct Journal(Mutex<State>);

#[derive(Debug)]
struct State {
    calls: Ring<Call>,
    minutes: Series,
    clients: HashMap<Arc<str>, Traffic>,
    refusals: Refusals,
}

/// What a client did lately.
#[derive(Debug)]
struct Traffic {
    seen: u64,
    program: Option<String>,
    series: Series,
}

/// The last hour, minute by minute, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Hour {
    /// Calls that ended.
    pub calls: Vec<u32>,
    /// Those of them that went wrong.
    pub errors: Vec<u32>,
    /// The most calls that waited at the same time.
    pub waiting: Vec<u32>,
    /// Answers of Home Assistant.
    pub good: Vec<u32>,
    /// Troubles with Home Assistant.
    pub bad: Vec<u32>,
    /// The 95th percentile of the time that calls took, in milliseconds.
    pub p95: Vec<Option<f64>>,
    /// The median of the time that the calls of the whole hour took, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Its 95th percentile.
    pub p95_ms: Option<f64>,
}

/// What a client did in the last hour.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ClientFigures {
    /// Its name.
    #[schemars(with = "String")]
    pub name: Arc<str>,
    /// When it was last seen, in milliseconds since 1970.
    pub seen: u64,
    /// The program, as it calls itself (`User-Agent`).
    pub program: Option<String>,
    /// Calls that ended.
    pub calls: u32,
    /// Those of them that went wrong.
    pub errors: u32,
    /// The 95th percentile of the time that its calls took, in milliseconds.
    pub p95_ms: Option<f64>,
}

impl Default for Journal {
    fn default() -> Self {
        let now = since_1970(SystemTime::now());
        Self(Mutex::new(State {
            calls: Ring::new(history::CAPACITY),
            minutes: Series::new(MINUTES, MINUTE_MS, now),
            clients: HashMap::new(),
            refusals: Refusals::default(),
        }))
    }
}

impl State {
    fn traffic(&mut self, client: &Arc<str>, now: u64) -> &mut Traffic {
        if self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(client) {
            let stalest = self.clients.iter().min_by_key(|(_, traffic)| traffic.seen);
            if let Some(name) = stalest.map(|(name, _)| name.clone()) {
                self.clients.remove(&name);
            }
        }
        self.clients
            .entry(client.clone())
            .or_insert_with(|| Traffic {
                seen: now,
                program: None,
                series: Series::new(CLIENT_BUCKETS, CLIENT_BUCKET_MS, now),
            })
    }
}

impl Journal {
    /// A client came in, with whatever request.
    pub fn seen(&self, client: &Arc<str>, program: Option<&str>) {
        let now = since_1970(SystemTime::now());
        let mut state = self.lock();
        let traffic = state.traffic(client, now);
        traffic.seen = now;
        if traffic.program.as_deref() != program {
            traffic.program = program.map(str::to_owned);
        }
    }

    /// A call is over, `took` after it came; `make` gets its number and when it came.
    pub fn ended(&self, took: Duration, make: impl FnOnce(u64, u64) -> Call) {
        let now = SystemTime::now();
        let at = since_1970(now.checked_sub(took).unwrap_or(now));
        let now = since_1970(now);
        let mut state = self.lock();
        let State { calls, .. } = &mut *state;
        calls.push(|id| make(id, at));
        let Some(call) = calls.after(calls.last() - 1, 1).pop() else {
            return;
        };
        let wrong = u32::from(call.went_wrong());
        let minute = state.minutes.at(now);
        minute.calls += 1;
        minute.errors += wrong;
        minute.took.add(call.total_ms);
        let bucket = state.traffic(&call.client, now).series.at(now);
        bucket.calls += 1;
        bucket.errors += wrong;
        bucket.took.add(call.total_ms);
    }

    /// The upstream answered, or did not.
    pub fn exchanged(&self, good: bool) {
        let mut state = self.lock();
        let minute = state.minutes.at(since_1970(SystemTime::now()));
        if good {
            minute.good += 1;
        } else {
            minute.bad += 1;
        }
    }

    /// So many calls wait now.
    pub fn waiting(&self, calls: usize) {
        let mut state = self.lock();
        let minute = state.minutes.at(since_1970(SystemTime::now()));
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        minute.most_waiting = minute.most_waiting.max(calls);
    }

    /// A request was not let in.
    pub fn refused(&self, address: Option<IpAddr>, code: Code, program: Option<&str>) {
        let now = since_1970(SystemTime::now());
        let address = address.map(|address| address.to_canonical());
        let program = program.map(str::to_owned);
        self.lock().refusals.add(now, address, code, program);
    }

    /// The calls after number `after`, oldest first, at most the newest `most` of them, and the
    /// number of the newest.
    pub fn calls(&self, after: u64, most: usize) -> (Vec<Arc<Call>>, u64) {
        let state = self.lock();
        (state.calls.after(after, most), state.calls.last())
    }

    /// The last hour.
    pub fn hour(&self) -> Hour {
        let now = since_1970(SystemTime::now());
        let mut state = self.lock();
        let mut whole = Histogram::default();
        for minute in state.minutes.until(now) {
            whole.merge(&minute.took);
        }
        let minutes: Vec<_> = state.minutes.until(now).collect();
        Hour {
            calls: minutes.iter().map(|minute| minute.calls).collect(),
            errors: minutes.iter().map(|minute| minute.errors).collect(),
            waiting: minutes.iter().map(|minute| minute.most_waiting).collect(),
            good: minutes.iter().map(|minute| minute.good).collect(),
            bad: minutes.iter().map(|minute| minute.bad).collect(),
            p95: minutes
                .iter()
                .map(|m| m.took.quantile(0.95).map(rounded))
                .collect(),
            p50_ms: whole.quantile(0.5).map(rounded),
            p95_ms: whole.quantile(0.95).map(rounded),
        }
    }

    /// The clients that were seen since the start, by name.
    pub fn clients(&self) -> Vec<ClientFigures> {
        let now = since_1970(SystemTime::now());
        let mut state = self.lock();
        let mut figures: Vec<_> = state
            .clients
            .iter_mut()
            .map(|(name, traffic)| {
                let (mut calls, mut errors, mut took) = (0, 0, Histogram::default());
                for bucket in traffic.series.until(now) {
                    calls += bucket.calls;
                    errors += bucket.errors;
                    took.merge(&bucket.took);
                }
                ClientFigures {
                    name: name.clone(),
                    seen: traffic.seen,
                    program: traffic.program.clone(),
                    calls,
                    errors,
                    p95_ms: took.quantile(0.95).map(rounded),
                }
            })
            .collect();
        figures.sort_by(|one, other| one.name.cmp(&other.name));
        figures
    }

    /// The refused requests of the last day, the latest first.
    pub fn refusals(&self) -> Vec<Refusal> {
        let day = since_1970(SystemTime::now()).saturating_sub(REFUSALS_MS);
        self.lock().refusals.since(day)
    }

    /// Forgets the refused requests.
    pub fn forget_refusals(&self) {
        self.lock().refusals.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds with one decimal.
fn rounded(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::history::{Outcome, Source};

    fn end(journal: &Journal, client: &str, outcome: Outcome, total_ms: f64) {
        journal.ended(Duration::ZERO, |id, at| Call {
            id,
            at,
            client: client.into(),
            method: "tools/call".into(),
            target: None,
            arguments: None,
            answer: None,
            answer_bytes: 0,
            source: Source::Upstream,
            outcome,
            code: None,
            title: None,
            fix: None,
            detail: None,
            waited_ms: 0.0,
            upstream_ms: None,
            total_ms,
        });
    }

    #[test]
    fn calls_count_for_the_hour_and_for_their_client() {
        let journal = Journal::default();
        journal.seen(&"n8n".into(), Some("n8n/2"));
        for n in 0..20 {
            let outcome = if n == 0 {
                Outcome::ToolFailed
            } else {
                Outcome::Answered
            };
            end(&journal, "n8n", outcome, 100.0);
        }
        end(&journal, "curl", Outcome::Left, 1.0);
        journal.exchanged(true);
        journal.exchanged(false);
        journal.waiting(3);
        journal.waiting(2);
        let hour = journal.hour();
        assert_eq!(hour.calls.len(), MINUTES);
        assert_eq!(hour.calls.iter().sum::<u32>(), 21);
        assert_eq!(hour.errors.iter().sum::<u32>(), 1);
        assert_eq!(hour.waiting.iter().max(), Some(&3));
        assert_eq!(
            (hour.good.iter().sum::<u32>(), hour.bad.iter().sum::<u32>()),
            (1, 1)
        );
        assert!(hour.p50_ms.is_some_and(|ms| (80.0..120.0).contains(&ms)));
        let clients = journal.clients();
        assert_eq!(
            (&*clients[0].name, clients[0].calls, clients[0].errors),
            ("curl", 1, 0)
        );
        assert_eq!(
            (&*clients[1].name, clients[1].calls, clients[1].errors),
            ("n8n", 20, 1)
        );
        assert_eq!(clients[1].program.as_deref(), Some("n8n/2"));
        assert_eq!(journal.calls(20, 10).0.len(), 1);
        assert_eq!(journal.calls(0, 10).1, 21);
    }

    #[test]
    fn clients_are_bounded_and_the_stalest_gives_way() {
        let journal = Journal::default();
        for n in 0..MAX_CLIENTS + 5 {
            journal.seen(&format!("client {n}").into(), None);
        }
        assert_eq!(journal.clients().len(), MAX_CLIENTS);
    }
}
