//! What a call is told that does not get its turn.

use std::time::Duration;

use super::queue::{Figures, Refusal};
use crate::error::{Code, Failure};
use crate::resilience::breaker;
use crate::upstream::Presence;

/// A call that waited for an upstream that is known to be away.
pub(super) fn away(presence: Presence, waited: Duration) -> Failure {
    let code = match presence {
        Presence::Starting => Code::Starting,
        Presence::Stopping => Code::Stopping,
        Presence::Gone | Presence::Running | Presence::Unknown => Code::Away,
    };
    let waited = waited.as_secs_f64();
    Failure {
        retry_after: Some(Duration::from_secs(10)),
        ..Failure::with(
            code,
            format_args!("waited {waited:.1} s for it to come back"),
        )
    }
}

/// A call that gave way to more urgent ones.
pub(super) fn shed(waited: Duration) -> Failure {
    let waited = waited.as_secs_f64();
    Failure {
        retry_after: Some(Duration::from_secs(5)),
        ..Failure::with(Code::Shed, format_args!("waited {waited:.1} s"))
    }
}

/// A call whose time is over before its turn came.
pub(super) fn expired(waited: Duration, queue: &Figures, breaker: &breaker::Figures) -> Failure {
    let waited = waited.as_secs_f64();
    if breaker.state == breaker::State::Closed {
        let why = format_args!(
            "waited {waited:.1} s, {} more waiting, {} running",
            queue.waiting, queue.running
        );
        return Failure::with(Code::DeadlineWaiting, why);
    }
    let away = Duration::from_millis(breaker.for_ms).as_secs_f64();
    let why = format_args!("waited {waited:.1} s; no good answer for {away:.1} s");
    Failure {
        retry_after: breaker.half_open_in_ms.map(Duration::from_millis),
        ..Failure::with(Code::Away, why)
    }
}

/// What a call is told that the queue does not take.
pub(super) fn failure_of(refusal: Refusal, figures: &Figures) -> Failure {
    let running = figures.running;
    let (failure, after) = match refusal {
        Refusal::Full { waiting } => {
            let why = format_args!("{waiting} waiting, {running} running");
            (Failure::with(Code::QueueFull, why), Duration::from_secs(1))
        }
        Refusal::ClientFull { waiting } => {
            let why = format_args!("{waiting} of this client waiting, {running} running");
            (Failure::with(Code::QueueFull, why), Duration::from_secs(1))
        }
        Refusal::Hopeless { ahead, expected } => {
            let seconds = expected.as_secs_f64();
            let why = format_args!("{ahead} waiting before it, {seconds:.1} s expected");
            (Failure::with(Code::Hopeless, why), expected)
        }
        Refusal::Late => {
            let why = "the deadline was over on arrival";
            (
                Failure::with(Code::DeadlineWaiting, why),
                Duration::from_secs(1),
            )
        }
        Refusal::Draining => (Failure::new(Code::ShuttingDown), Duration::from_secs(5)),
    };
    Failure {
        retry_after: Some(after),
        ..failure
    }
}
