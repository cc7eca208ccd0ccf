//! What the bridge tells about itself: logs, and what happened lately.

mod history;
mod journal;
mod lines;
mod refusals;
mod series;

pub mod metrics;

use std::io::IsTerminal;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

pub use history::{Call, Outcome, Source};
pub use journal::{ClientFigures, Hour, Journal};
pub use lines::{Line, Lines};
pub use refusals::Refusal;

/// How much is logged. The names of Home Assistant's log levels are understood, too.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What stops the bridge or a call.
    #[serde(alias = "fatal")]
    #[value(alias = "fatal")]
    Error,
    /// What somebody should look at.
    #[serde(alias = "warning")]
    #[value(alias = "warning")]
    Warn,
    /// A line for each call.
    #[default]
    #[serde(alias = "notice")]
    #[value(alias = "notice")]
    Info,
    /// The bridge's own decisions.
    Debug,
    /// Everything, libraries too.
    Trace,
}

/// How a log line looks.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// How the bridge logs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// How much.
    pub level: Level,
    /// In which form.
    pub format: Format,
}

/// The last lines of this process's one log.
static LINES: LazyLock<Lines> = LazyLock::new(Lines::default);
/// What of the log is written now; nothing before [`start`].
static FILTER: OnceLock<(reload::Handle<Targets, Registry>, Mutex<Level>)> = OnceLock::new();

/// Starts to log to the standard error stream. The first call counts; any other changes nothing.
pub fn start(settings: Settings) {
    let (filter, handle) = reload::Layer::new(targets(settings.level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(LINES.clone());
    let first = match settings.format {
        Format::Human => registry.with(lines).try_init(),
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    if first.is_ok() {
        // Nobody else gets here: the first call is one.
        let _ = FILTER.set((handle, Mutex::new(settings.level)));
    }
}

/// The last lines of the log.
pub fn lines() -> &'static Lines {
    &LINES
}

/// How much is logged now; nothing before [`start`].
pub fn level() -> Option<Level> {
    let (_, level) = FILTER.get()?;
    Some(*level.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Logs more or less from now on; says whether there is a log to change.
pub fn set_level(level: Level) -> bool {
    let Some((handle, now)) = FILTER.get() else {
        return false;
    };
    *now.lock().unwrap_or_else(PoisonError::into_inner) = level;
    handle.reload(targets(level)).is_ok()
}

/// What of the log is written at this level.
fn targets(level: Level) -> Targets {
    let own = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // Libraries speak at their `info` of what is this program's `debug`.
    let libraries = if level == Level::Trace {
        LevelFilter::TRACE
    } else {
        LevelFilter::WARN
    };
    Targets::new()
        .with_default(libraries.min(own))
        .with_target("mcp_bridge", own)
}

/// Milliseconds since 1970.
fn since_1970(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
