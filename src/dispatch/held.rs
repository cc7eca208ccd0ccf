//! Calls that are held until a person has agreed: what the questions are for, with clock and waiting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::approvals::{Answer, Approvals, Question, Request};
use super::course::Course;
use crate::error::{Code, Failure};

/// The questions to persons, and the calls that wait for the answers.
#[derive(Debug)]
pub(super) struct Held {
    patience: ArcSwap<Duration>,
    approvals: Mutex<Approvals>,
    /// Whether calls may be held now; sent again with every answer.
    open: watch::Sender<bool>,
}

impl Held {
    /// Holds no call for longer than `patience`.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience: ArcSwap::from_pointee(patience),
            approvals: Mutex::new(Approvals::new(super::approvals::Settings::default())),
            open: watch::Sender::new(true),
        }
    }

    /// Holds calls that come from now on no longer than that.
    pub(super) fn set_patience(&self, patience: Duration) {
        self.patience.store(Arc::new(patience));
    }

    /// Waits until a person has agreed, and notes who has decided. A fifth of the caller's time is left
    /// for the call itself.
    ///
    /// # Errors
    /// [`Code::ApprovalPending`] when it took too long, [`Code::ApprovalRefused`],
    /// [`Code::ApprovalsFull`], and [`Code::ShuttingDown`].
    pub(super) async fn agreement(
        &self,
        question: &Question,
        deadline: Instant,
        course: &Course,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let rest = deadline.saturating_duration_since(began);
        let until = began + (**self.patience.load()).min(rest * 4 / 5);
        let mut news = self.open.subscribe();
        loop {
            let is_open = *news.borrow_and_update();
            let why = &question.reason;
            let answer = self.lock().ask(now(), question);
            return match answer {
                Answer::Yes(by) => {
                    course.decided_by(by);
                    Ok(())
                }
                Answer::No(by) => {
                    course.decided_by(by);
                    Err(Failure::with(Code::ApprovalRefused, why))
                }
                Answer::TooMany => Err(Failure::new(Code::ApprovalsFull)),
                Answer::Waiting if !is_open => Err(Failure::new(Code::ShuttingDown)),
                Answer::Waiting if timeout_at(until, news.changed()).await.is_ok() => continue,
                Answer::Waiting => Err(Failure::with(Code::ApprovalPending, why)),
            };
        }
    }

    /// The questions that wait for an answer.
    pub(super) fn waiting(&self) -> Vec<Request> {
        self.lock().waiting(now())
    }

    /// A person answers; says what was asked, or nothing if that question does not wait.
    pub(super) fn decide(&self, id: u64, agreed: bool, by: &str) -> Option<Question> {
        let question = self.lock().decide(now(), id, agreed, by)?;
        self.open.send_modify(|_| {});
        Some(question)
    }

    /// Holds calls, or holds none and lets those go that it holds.
    pub(super) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    fn lock(&self) -> MutexGuard<'_, Approvals> {
        self.approvals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
