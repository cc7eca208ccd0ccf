//! How long a caller waits for an execution, and what it is told when that was in vain.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::flights::{GivenUp, Outcome, Seat};
use super::judged::Judged;
use crate::error::{Code, Failure};

/// Waits for the outcome, for as long as this caller can. An execution that reads or has not begun
/// ends by itself at its deadline, so that the breaker learns of it and the caller of what it met;
/// one that writes goes on without its callers.
pub(super) async fn wait(mut seat: Seat, judged: &Judged<'_>, deadline: Instant) -> Outcome {
    if let Ok(outcome) = timeout_at(deadline, seat.outcome()).await {
        return outcome;
    }
    if !seat.joined && (!judged.acts() || !seat.is_running()) {
        let slack = Duration::from_secs(1);
        if let Ok(outcome) = timeout_at(deadline + slack, seat.outcome()).await {
            return outcome;
        }
    }
    let seconds = judged.call.received.elapsed().as_secs_f64();
    let outcome_unknown = judged.acts();
    Err(match seat.give_up() {
        GivenUp::Nothing => {
            Failure::with(Code::DeadlineWaiting, format_args!("waited {seconds:.1} s"))
        }
        GivenUp::Running(since) => {
            let running = since.elapsed().as_secs_f64();
            let why = format_args!("no answer for {running:.1} s, {seconds:.1} s in all");
            Failure {
                outcome_unknown,
                ..Failure::with(Code::Timeout, why)
            }
        }
        GivenUp::MayRun => {
            let why = format_args!("no answer for {seconds:.1} s in all");
            Failure {
                outcome_unknown,
                ..Failure::with(Code::Timeout, why)
            }
        }
    })
}
