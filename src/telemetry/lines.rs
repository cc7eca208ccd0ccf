//! The last log lines, for the status page.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::history::Ring;
use super::since_1970;

/// Lines that are kept.
const CAPACITY: usize = 500;
/// Bytes of a line; the rest is cut off.
const MAX_LINE: usize = 400;

/// One line of the log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Line {
    /// Counts up from 1; later lines have larger ones.
    pub id: u64,
    /// When it was written, in milliseconds since 1970.
    pub at: u64,
    /// How urgent it is: `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// What it says, with its fields.
    pub text: String,
}

/// The last lines; clones share them.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Mutex<Ring<Line>>>);

impl Default for Lines {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Ring::new(CAPACITY))))
    }
}

impl Lines {
    /// Those after number `after`, oldest first, at most the newest `most` of them.
    pub fn after(&self, after: u64, most: usize) -> Vec<Arc<Line>> {
        self.lock().after(after, most)
    }

    /// The number of the newest.
    pub fn last(&self) -> u64 {
        self.lock().last()
    }

    fn lock(&self) -> MutexGuard<'_, Ring<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        let at = since_1970(SystemTime::now());
        let text = text.whole();
        self.lock().push(|id| Line {
            id,
            at,
            level,
            text,
        });
    }
}

/// The message of an event, and its fields behind it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn whole(self) -> String {
        let mut text = self.message;
        text.push_str(&self.fields);
        if text.len() > MAX_LINE {
            text.truncate(text.floor_char_boundary(MAX_LINE));
            text.push('…');
        }
        text
    }

    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a text cannot fail.
        let _ = if field.name() == "message" {
            self.message.write_fmt(value)
        } else {
            write!(self.fields, " {}={value}", field.name())
        };
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn an_event_is_a_line_with_its_fields_cut_at_its_bound() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(lines.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(client = "n8n", waiting = 3, "call");
            tracing::warn!("{}", "ü".repeat(MAX_LINE));
        });
        let told = lines.after(0, 10);
        assert_eq!(
            (told[0].level, told[0].text.as_str()),
            ("info", "call client=n8n waiting=3")
        );
        assert_eq!(told[1].level, "warn");
        assert_eq!(told[1].text.chars().count(), MAX_LINE / 2 + 1);
        assert_eq!(lines.last(), 2);
    }
}
