//! The connection to Home Assistant's websocket as a state machine: messages and time come in, what
//! to do comes out. It connects, says who it is, matches answers to commands and events to
//! subscriptions, notices silence, and connects again after a pause.
//!
//! A connection counts as up only when Home Assistant itself has answered a command. The `auth_ok`
//! before may be the Supervisor's, which says it whether Core is there or not.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::message::{self, CommandError, Incoming};
use crate::resilience::backoff::Backoff;

/// For the connection until Home Assistant has answered its first command. Home Assistant itself
/// waits 10 seconds for the token.
const GREETING_PATIENCE: Duration = Duration::from_secs(20);
/// For the answer to a command. Longer than a busy Home Assistant takes while it starts.
const ANSWER_PATIENCE: Duration = Duration::from_mins(1);
/// After so long without a word from Home Assistant it is asked for one.
const SILENCE: Duration = Duration::from_secs(25);
/// How long it may then take.
const PONG_PATIENCE: Duration = Duration::from_secs(15);
/// A connection that lasted so long was a good one: the next pause is a short one again.
const STABLE: Duration = Duration::from_secs(10);

/// Pauses while Home Assistant is away: short, since a refused connection costs nobody anything,
/// and whoever waits for Home Assistant waits for this.
const AWAY: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(4),
};
/// Pauses where something answers that is no websocket of Home Assistant.
const ELSEWHERE: Backoff = Backoff {
    base: Duration::from_secs(2),
    cap: Duration::from_mins(5),
};
/// Pauses after a refused token: Home Assistant notifies its owner of each attempt and may ban the
/// address.
const REFUSED: Backoff = Backoff {
    base: Duration::from_mins(5),
    cap: Duration::from_hours(1),
};

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::homeassistant) enum Loss {
    /// Nothing listens there.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// Something listens that does not offer the websocket; through the Supervisor also: Core is
    /// not there yet.
    #[error("no websocket there: {0}")]
    NotOffered(String),
    /// Home Assistant does not accept the token.
    #[error("the token is refused: {0}")]
    TokenRefused(String),
    /// The connection was there and ended.
    #[error("the connection ended: {0}")]
    Closed(String),
    /// Nothing came in time.
    #[error("no answer in time")]
    Silent,
    /// Something came that is not of this protocol.
    #[error("not understood: {0}")]
    NotUnderstood(String),
}

/// What the owner of the machine has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Open a connection; tell [`Link::opened`] or [`Link::failed`].
    Connect,
    /// Send the token.
    Authenticate,
    /// Send a text message.
    Send(String),
    /// Close the connection, or stop opening it: there is none any more.
    Disconnect(Loss),
}

/// What Home Assistant tells.
#[derive(Debug)]
pub(in crate::homeassistant) enum News<'a, T> {
    /// The connection is up: commands can be sent, subscriptions have to be made.
    Up {
        /// Home Assistant's version.
        version: String,
    },
    /// The answer to a command or subscription.
    Answer {
        /// What it was sent for.
        topic: T,
        /// What it gave.
        outcome: Result<&'a RawValue, CommandError>,
    },
    /// What a subscription is for.
    Event {
        /// What it was made for.
        topic: T,
        /// What happened.
        event: &'a RawValue,
    },
}

/// The state machine. `T` says what a command or subscription is for.
#[derive(Debug)]
pub(in crate::homeassistant) struct Link<T> {
    phase: Phase,
    /// Connections since the last good one that failed or did not last.
    failures: u32,
    last_id: u64,
    awaited: BTreeMap<u64, Awaited<T>>,
    subscriptions: HashMap<u64, T>,
    orders: VecDeque<Order>,
    heard: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// The connection was lost, and the pause is not decided on.
    Lost(Loss),
    Pausing {
        until: Instant,
    },
    /// From the attempt to connect to the first answer to a command.
    Greeting {
        until: Instant,
        version: Option<String>,
    },
    Up {
        since: Instant,
    },
}

#[derive(Debug)]
struct Awaited<T> {
    what: What<T>,
    until: Instant,
}

#[derive(Debug)]
enum What<T> {
    /// `supported_features`, the first command of all.
    Features,
    /// A sign of life.
    Heartbeat,
    Command(T),
    Subscription(T),
    /// The end of a subscription.
    Unsubscription,
}

impl<T: Copy + PartialEq> Link<T> {
    /// A machine that connects at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Pausing { until: now },
            failures: 0,
            last_id: 0,
            awaited: BTreeMap::new(),
            subscriptions: HashMap::new(),
            orders: VecDeque::new(),
            heard: now,
        }
    }

    /// Whether commands can be sent.
    pub(super) const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }

    /// What to do now; to be asked until there is nothing left. `random` is a number in
    /// `0.0..1.0`.
    pub(super) fn poll(&mut self, now: Instant, random: f64) -> Option<Order> {
        if let Some(order) = self.orders.pop_front() {
            return Some(order);
        }
        match &self.phase {
            Phase::Lost(_) => {
                let pause = self.pause(random);
                let until = now + pause;
                let before = std::mem::replace(&mut self.phase, Phase::Pausing { until });
                self.failures = self.failures.saturating_add(1);
                let Phase::Lost(loss) = before else {
                    return None;
                };
                Some(Order::Disconnect(loss))
            }
            Phase::Pausing { until } if *until <= now => {
                let until = now + GREETING_PATIENCE;
                self.phase = Phase::Greeting {
                    until,
                    version: None,
                };
                Some(Order::Connect)
            }
            Phase::Greeting { until, .. } if *until <= now => self.lose(now, random, Loss::Silent),
            Phase::Up { .. } => {
                if self.first_deadline().is_some_and(|until| until <= now) {
                    return self.lose(now, random, Loss::Silent);
                }
                if self.heard + SILENCE <= now && !self.awaits_heartbeat() {
                    self.enqueue(now + PONG_PATIENCE, What::Heartbeat, "ping", &json!({}));
                }
                self.orders.pop_front()
            }
            Phase::Pausing { .. } | Phase::Greeting { .. } => None,
        }
    }

    /// When there may be something to do, if nothing happens before.
    pub(super) fn wake(&self) -> Instant {
        if !self.orders.is_empty() {
            return self.heard;
        }
        match &self.phase {
            Phase::Lost(_) => self.heard,
            Phase::Pausing { until } | Phase::Greeting { until, .. } => *until,
            Phase::Up { .. } => {
                let ping = (!self.awaits_heartbeat()).then(|| self.heard + SILENCE);
                let first = self.first_deadline().into_iter().chain(ping).min();
                first.unwrap_or(self.heard + SILENCE)
            }
        }
    }

    /// The connection that was ordered is open; Home Assistant speaks first.
    pub(super) fn opened(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The connection that was ordered cannot be made, or the one that was there has ended.
    pub(super) fn failed(&mut self, now: Instant, loss: Loss) {
        if let Phase::Up { since } = self.phase
            && now.saturating_duration_since(since) >= STABLE
        {
            self.failures = 0;
        }
        self.awaited.clear();
        self.subscriptions.clear();
        self.orders.clear();
        self.phase = Phase::Lost(loss);
    }

    /// A text message has come. Gives what it tells; nothing but [`News::Up`] comes while the
    /// connection is not up.
    pub(super) fn receive<'a>(&mut self, now: Instant, text: &'a str) -> Vec<News<'a, T>> {
        self.heard = now;
        let messages = match message::parse(text) {
            Ok(messages) => messages,
            Err(error) => {
                self.failed(now, Loss::NotUnderstood(error.to_string()));
                return Vec::new();
            }
        };
        let news = messages.into_iter().filter_map(|m| self.take(now, m));
        news.collect()
    }

    /// Sends a command; its answer comes as [`News::Answer`]. Nothing happens unless the connection
    /// is up.
    pub(super) fn command(&mut self, now: Instant, topic: T, kind: &str, arguments: &Value) {
        self.send(now, What::Command(topic), kind, arguments);
    }

    /// Sends a command that subscribes; the answer comes as [`News::Answer`], then each
    /// [`News::Event`]. Nothing happens unless the connection is up.
    pub(super) fn subscribe(&mut self, now: Instant, topic: T, kind: &str, arguments: &Value) {
        self.send(now, What::Subscription(topic), kind, arguments);
    }

    /// Ends the subscriptions for this topic. No event of theirs comes any more.
    pub(super) fn unsubscribe(&mut self, now: Instant, topic: T) {
        let ended: Vec<u64> = self
            .subscriptions
            .extract_if(|_, of| *of == topic)
            .map(|(id, _)| id)
            .collect();
        for id in ended {
            let arguments = json!({"subscription": id});
            self.send(now, What::Unsubscription, "unsubscribe_events", &arguments);
        }
    }

    fn send(&mut self, now: Instant, what: What<T>, kind: &str, arguments: &Value) {
        if self.is_up() {
            self.enqueue(now + ANSWER_PATIENCE, what, kind, arguments);
        }
    }

    fn enqueue(&mut self, until: Instant, what: What<T>, kind: &str, arguments: &Value) {
        self.last_id += 1;
        let id = self.last_id;
        // Events may come before the answer to the subscription has been looked at.
        if let What::Subscription(topic) = what {
            self.subscriptions.insert(id, topic);
        }
        self.awaited.insert(id, Awaited { what, until });
        let text = message::command(id, kind, arguments);
        self.orders.push_back(Order::Send(text));
    }

    fn take<'a>(&mut self, now: Instant, message: Incoming<'a>) -> Option<News<'a, T>> {
        match (message, &mut self.phase) {
            (Incoming::AuthRequired, Phase::Greeting { .. }) => {
                self.orders.push_back(Order::Authenticate);
                None
            }
            (Incoming::AuthOk { version: said }, Phase::Greeting { version, until }) => {
                *version = Some(said.into_owned());
                let until = *until;
                // Ids start anew with each connection.
                self.last_id = 0;
                let features = json!({"features": {"coalesce_messages": 1}});
                self.enqueue(until, What::Features, "supported_features", &features);
                None
            }
            (Incoming::AuthInvalid { message }, Phase::Greeting { .. }) => {
                self.failed(now, Loss::TokenRefused(message.into_owned()));
                None
            }
            (Incoming::Result { id, outcome }, phase) => match self.awaited.remove(&id)?.what {
                What::Features => {
                    let Phase::Greeting { version, .. } = phase else {
                        return None;
                    };
                    let version = version.take().unwrap_or_default();
                    self.phase = Phase::Up { since: now };
                    Some(News::Up { version })
                }
                What::Heartbeat | What::Unsubscription => None,
                What::Command(topic) => Some(News::Answer { topic, outcome }),
                What::Subscription(topic) => {
                    if outcome.is_err() {
                        self.subscriptions.remove(&id);
                    }
                    Some(News::Answer { topic, outcome })
                }
            },
            (Incoming::Event { id, event }, Phase::Up { .. }) => {
                let topic = *self.subscriptions.get(&id)?;
                Some(News::Event { topic, event })
            }
            _ => None,
        }
    }

    fn lose(&mut self, now: Instant, random: f64, loss: Loss) -> Option<Order> {
        self.failed(now, loss);
        self.poll(now, random)
    }

    fn pause(&self, random: f64) -> Duration {
        match &self.phase {
            Phase::Lost(Loss::TokenRefused(_)) => {
                REFUSED.pause_at_least_half(self.failures, random)
            }
            Phase::Lost(Loss::NotOffered(_) | Loss::NotUnderstood(_)) => {
                ELSEWHERE.pause_at_least_half(self.failures, random)
            }
            _ => AWAY.pause(self.failures, random),
        }
    }

    fn first_deadline(&self) -> Option<Instant> {
        self.awaited.values().map(|awaited| awaited.until).min()
    }

    fn awaits_heartbeat(&self) -> bool {
        let is_heartbeat = |awaited: &Awaited<T>| matches!(awaited.what, What::Heartbeat);
        self.awaited.values().any(is_heartbeat)
    }
}

#[cfg(test)]
mod tests;
