//! What the queue and the executions at work take from the runtime: locks, tasks, time, chance.
//! `tests/schedules` compiles them once more with others in their place, which try many schedules.

use std::sync::PoisonError;

pub(super) use rand::random;
pub(super) use std::sync::{Mutex, MutexGuard};
pub(super) use tokio::spawn;
pub(super) use tokio::task::AbortHandle;
pub(super) use tokio::time::{Instant, sleep_until, timeout_at};

/// Locks, whatever became of whoever held the lock before.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
