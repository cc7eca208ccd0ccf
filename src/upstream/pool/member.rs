//! One member of the pool.

use std::time::Instant;

/// What the pool thinks of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Somebody greets the server for it.
    Opening,
    Sound,
    /// Something happened after which it may be gone: used last of all, and checked first.
    Doubtful,
    /// Takes no calls any more; closed when the last one is over.
    Retired,
}

#[derive(Debug)]
pub(super) struct Member<T> {
    pub(super) standing: Standing,
    /// Nothing while it is being opened.
    pub(super) handle: Option<T>,
    pub(super) is_session: bool,
    pub(super) checking: bool,
    pub(super) outstanding: usize,
    /// When its last call was over.
    pub(super) idle_since: Instant,
    /// When it last answered.
    pub(super) seen: Instant,
}

impl<T> Member<T> {
    /// One that is to be opened.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            standing: Standing::Opening,
            handle: None,
            is_session: false,
            checking: false,
            outstanding: 0,
            idle_since: now,
            seen: now,
        }
    }
}
