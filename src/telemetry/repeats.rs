//! Keeps one and the same complaint from filling the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Warnings and errors of one place in the program that are written within a period.
const MOST: u32 = 20;
/// The period.
const PERIOD: Duration = Duration::from_mins(1);

/// Lets the first complaints of each place in the program through, and counts the rest. Lines of
/// calls and other news are no complaints.
#[derive(Debug, Clone, Default)]
pub(super) struct Repeats(Arc<State>);

#[derive(Debug, Default)]
struct State {
    places: Mutex<HashMap<Identifier, Place>>,
    left_out: AtomicU64,
}

/// What one place said in the present period.
#[derive(Debug)]
struct Place {
    since: Instant,
    said: u32,
}

impl Place {
    /// Whether it may say one thing more.
    fn may_speak(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= PERIOD {
            *self = Self {
                since: now,
                said: 0,
            };
        }
        self.said = self.said.saturating_add(1);
        self.said <= MOST
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return true;
        }
        let written = self.may_speak(metadata, Instant::now());
        if !written {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
        }
        written
    }
}

impl Repeats {
    /// How many were left out since this was asked last.
    pub(super) fn take_left_out(&self) -> u64 {
        self.0.left_out.swap(0, Ordering::Relaxed)
    }

    fn may_speak(&self, metadata: &Metadata<'_>, now: Instant) -> bool {
        let mut places = self.0.places.lock().unwrap_or_else(PoisonError::into_inner);
        // As many as there are in the program.
        let place = places.entry(metadata.callsite()).or_insert(Place {
            since: now,
            said: 0,
        });
        place.may_speak(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Lines;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn a_complaint_that_repeats_itself_is_left_out_and_counted_and_all_else_is_written() {
        let (lines, repeats) = (Lines::default(), Repeats::default());
        let subscriber = tracing_subscriber::registry()
            .with(repeats.clone())
            .with(lines.clone());
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..MOST + 5 {
                tracing::warn!(n, "the same");
                tracing::info!(n, "news");
            }
            tracing::warn!("another");
        });
        let told = lines.after(0, 500);
        let said = |text: &str| told.iter().filter(|line| line.text.contains(text)).count();
        assert_eq!(said("the same"), 20);
        assert_eq!((said("news"), said("another")), (25, 1));
        assert_eq!((repeats.take_left_out(), repeats.take_left_out()), (5, 0));
    }

    #[test]
    fn after_the_period_it_is_written_again() {
        let now = Instant::now();
        let mut place = Place {
            since: now,
            said: MOST,
        };
        assert!(!place.may_speak(now + PERIOD / 2));
        assert!(place.may_speak(now + PERIOD));
    }
}
