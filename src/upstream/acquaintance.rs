//! What is remembered of an upstream, also while it is away: what it said about itself, and how it
//! was when it was last used.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use super::trouble::Trouble;
use crate::protocol::capabilities::Introduction;

/// How the upstream was when it was last used, for the status.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The last answer of any kind.
    pub last_answer: Option<Instant>,
    /// The last trouble, and when; gone after the next answer.
    pub trouble: Option<(Trouble, Instant)>,
}

impl Health {
    /// Whether it answered when it was last needed; nothing before the first time.
    pub const fn is_reachable(&self) -> Option<bool> {
        match (&self.trouble, &self.last_answer) {
            (Some(_), _) => Some(false),
            (None, Some(_)) => Some(true),
            (None, None) => None,
        }
    }
}

/// The memory itself.
#[derive(Debug, Default)]
pub(super) struct Acquaintance {
    introduction: ArcSwapOption<Introduction>,
    health: Mutex<Health>,
}

impl Acquaintance {
    /// What the upstream said about itself when it was last greeted.
    pub(super) fn introduction(&self) -> Option<Arc<Introduction>> {
        self.introduction.load_full()
    }

    pub(super) fn health(&self) -> Health {
        self.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn greeted(&self, introduction: Introduction) {
        self.introduction.store(Some(Arc::new(introduction)));
        self.answered();
    }

    pub(super) fn remember<T>(&self, outcome: &Result<T, Trouble>) {
        match outcome {
            Ok(_) => self.answered(),
            Err(trouble) => {
                let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
                health.trouble = Some((trouble.clone(), Instant::now()));
            }
        }
    }

    fn answered(&self) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Health {
            last_answer: Some(Instant::now()),
            trouble: None,
        };
    }
}
