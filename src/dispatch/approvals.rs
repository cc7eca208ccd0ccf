//! Calls to which a person has to agree: who asks for what, what was said, and until when it counts.
//!
//! A state machine without clock, task or lock. A request for approval is bound to one call, down to
//! its arguments; what a person said of it counts for that call alone, and a yes counts once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deduplication::Digest;
use crate::protocol::json::RawJson;

/// How long and how much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a request waits for a person after it was last asked for.
    pub wait: Duration,
    /// How long a yes counts.
    pub yes: Duration,
    /// How long a no counts: whoever asks again at once is not heard again.
    pub no: Duration,
    /// Requests at the same time.
    pub max: usize,
    /// Those of one client.
    pub max_per_client: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wait: Duration::from_mins(10),
            yes: Duration::from_mins(2),
            no: Duration::from_mins(1),
            max: 100,
            max_per_client: 10,
        }
    }
}

/// A call to which a person has to agree.
#[derive(Debug, Clone)]
pub struct Question {
    /// What makes it this very call: client, tool and arguments.
    pub call: Digest,
    /// Who wants to make it.
    pub client: Arc<str>,
    /// The tool.
    pub tool: String,
    /// The arguments with which it will be called.
    pub arguments: Option<RawJson>,
    /// Why a person is asked.
    pub reason: String,
}

/// What is known about a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This person agreed. It counted for this time.
    Yes(Arc<str>),
    /// This person refused.
    No(Arc<str>),
    /// Nobody has said anything yet.
    Waiting,
    /// Too many questions wait already; this one is not put.
    TooMany,
}

/// A question as a person sees it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Under which number it is answered.
    pub id: u64,
    /// What is asked.
    pub question: Question,
    /// When it was asked for the first time.
    pub since: Instant,
    /// Until when it can be answered.
    pub until: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Waiting,
    Yes(Arc<str>),
    No(Arc<str>),
}

/// All questions that count.
#[derive(Debug, Default)]
pub struct Approvals {
    settings: Settings,
    next: u64,
    requests: BTreeMap<u64, (Request, State)>,
}

impl Approvals {
    /// No questions yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            next: 1,
            requests: BTreeMap::new(),
        }
    }

    /// Asks whether the call may be made. To be asked again until it is answered.
    pub fn ask(&mut self, now: Instant, question: &Question) -> Answer {
        self.expire(now);
        let known = self
            .requests
            .values_mut()
            .find(|(request, _)| request.question.call == question.call);
        match known {
            Some((request, State::Waiting)) => {
                request.until = now + self.settings.wait;
                Answer::Waiting
            }
            Some((_, State::No(by))) => Answer::No(by.clone()),
            Some((request, State::Yes(by))) => {
                let (id, by) = (request.id, by.clone());
                self.requests.remove(&id);
                Answer::Yes(by)
            }
            None => self.put(now, question),
        }
    }

    fn put(&mut self, now: Instant, question: &Question) -> Answer {
        let of_client =
            |(request, _): &&(Request, State)| request.question.client == question.client;
        if self.requests.len() >= self.settings.max
            || self.requests.values().filter(of_client).count() >= self.settings.max_per_client
        {
            return Answer::TooMany;
        }
        let request = Request {
            id: self.next,
            question: question.clone(),
            since: now,
            until: now + self.settings.wait,
        };
        self.requests.insert(self.next, (request, State::Waiting));
        self.next += 1;
        Answer::Waiting
    }

    /// A person answers; says what was asked, or nothing if that question does not wait (any more).
    pub fn decide(&mut self, now: Instant, id: u64, agreed: bool, by: &str) -> Option<Question> {
        self.expire(now);
        let (request, state) = self.requests.get_mut(&id)?;
        if *state != State::Waiting {
            return None;
        }
        let (said, counts) = if agreed {
            (State::Yes(by.into()), self.settings.yes)
        } else {
            (State::No(by.into()), self.settings.no)
        };
        *state = said;
        request.until = now + counts;
        Some(request.question.clone())
    }

    /// The questions that wait, the oldest first.
    pub fn waiting(&mut self, now: Instant) -> Vec<Request> {
        self.expire(now);
        let waiting = self
            .requests
            .values()
            .filter(|(_, state)| *state == State::Waiting);
        waiting.map(|(request, _)| request.clone()).collect()
    }

    fn expire(&mut self, now: Instant) {
        self.requests.retain(|_, (request, _)| now < request.until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(client: &str, call: u8) -> Question {
        Question {
            call: Digest([call; 32]),
            client: client.into(),
            tool: "lock__unlock".to_owned(),
            arguments: None,
            reason: "it touches a lock".to_owned(),
        }
    }

    fn approvals() -> (Approvals, Instant) {
        let now = tokio::time::Instant::now().into_std();
        (Approvals::new(Settings::default()), now)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_yes_counts_once_and_for_this_call_only() {
        let (mut approvals, now) = approvals();
        let (this, other) = (question("a", 1), question("a", 2));
        assert_eq!(approvals.ask(now, &this), Answer::Waiting);
        assert_eq!(approvals.ask(now, &this), Answer::Waiting);
        assert_eq!(approvals.ask(now, &other), Answer::Waiting);
        let waiting = approvals.waiting(now);
        assert_eq!(waiting.len(), 2);
        assert!(approvals.decide(now, waiting[0].id, true, "Anna").is_some());
        assert_eq!(approvals.ask(now, &other), Answer::Waiting);
        assert_eq!(approvals.ask(now, &this), Answer::Yes("Anna".into()));
        assert_eq!(
            approvals.ask(now, &this),
            Answer::Waiting,
            "it is a new question"
        );
        assert_ne!(approvals.waiting(now)[1].id, waiting[0].id);
    }

    #[test]
    fn a_no_counts_for_a_while_and_is_not_asked_for_again() {
        let (mut approvals, now) = approvals();
        let this = question("a", 1);
        approvals.ask(now, &this);
        assert!(approvals.decide(now, 1, false, "Anna").is_some());
        assert_eq!(
            approvals.ask(now + 59 * SECOND, &this),
            Answer::No("Anna".into())
        );
        assert!(approvals.waiting(now).is_empty());
        assert_eq!(approvals.ask(now + 60 * SECOND, &this), Answer::Waiting);
    }

    #[test]
    fn what_was_answered_or_is_over_cannot_be_answered() {
        let (mut approvals, now) = approvals();
        let this = question("a", 1);
        assert!(approvals.decide(now, 1, true, "Anna").is_none());
        approvals.ask(now, &this);
        assert!(approvals.decide(now, 1, false, "Anna").is_some());
        assert!(approvals.decide(now, 1, true, "Anna").is_none());
        approvals.ask(now, &question("a", 2));
        let late = now + Duration::from_mins(10);
        assert!(approvals.decide(late, 2, true, "Anna").is_none());
    }

    #[test]
    fn a_yes_that_nobody_uses_is_forgotten() {
        let (mut approvals, now) = approvals();
        let this = question("a", 1);
        approvals.ask(now, &this);
        approvals.decide(now, 1, true, "Anna");
        assert_eq!(
            approvals.ask(now + Duration::from_mins(2), &this),
            Answer::Waiting
        );
    }

    #[test]
    fn asking_again_keeps_a_question_alive() {
        let (mut approvals, now) = approvals();
        let this = question("a", 1);
        let minutes = |n| now + Duration::from_mins(n);
        approvals.ask(now, &this);
        approvals.ask(minutes(9), &this);
        assert_eq!(approvals.waiting(minutes(18)).len(), 1);
        assert_eq!(approvals.waiting(minutes(19)).len(), 0);
    }

    #[test]
    fn there_are_never_too_many_questions() {
        let (mut approvals, now) = approvals();
        for call in 0..10 {
            assert_eq!(approvals.ask(now, &question("a", call)), Answer::Waiting);
        }
        assert_eq!(approvals.ask(now, &question("a", 10)), Answer::TooMany);
        assert_eq!(approvals.ask(now, &question("a", 9)), Answer::Waiting);
        for client in 1..10 {
            for call in 0..10 {
                let call = client * 10 + call;
                approvals.ask(now, &question(&client.to_string(), call));
            }
        }
        assert_eq!(approvals.ask(now, &question("x", 200)), Answer::TooMany);
    }
}
