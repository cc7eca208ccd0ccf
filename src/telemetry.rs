//! What the bridge tells about itself: logs, what happened lately, and who had what done.

mod history;
mod journal;
mod lines;
mod redaction;
mod refusals;
mod repeats;
mod series;

pub mod audit;
pub mod metrics;
pub mod spans;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use url::Url;

pub use history::{Call, Outcome, Source};
pub use journal::{ClientFigures, Hour, Journal};
pub use lines::{Line, Lines};
pub use redaction::{Redaction, hide_tokens};
pub use refusals::Refusal;
use repeats::Repeats;

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

/// How much each part of the bridge logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// All that is not named.
    pub level: Level,
    /// Modules of the bridge (`dispatch`, `http::mcp`), the lines of calls (`calls`), or libraries
    /// (`hyper`).
    #[serde(default)]
    pub modules: BTreeMap<String, Level>,
}

/// How the bridge logs.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How much.
    pub levels: Levels,
    /// In which form.
    pub format: Format,
    /// Where traces are sent, if they are.
    pub collector: Option<Url>,
}

/// The last lines of this process's one log.
static LINES: LazyLock<Lines> = LazyLock::new(Lines::default);
/// What of the log is written now; nothing before [`start`].
static FILTER: OnceLock<(reload::Handle<Targets, Registry>, Mutex<Levels>)> = OnceLock::new();
/// What repeats itself.
static REPEATS: LazyLock<Repeats> = LazyLock::new(Repeats::default);

/// Starts to log to the standard error stream. The first call counts; any other changes nothing.
pub fn start(settings: Settings) {
    let (filter, handle) = reload::Layer::new(targets(&settings.levels));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(REPEATS.clone())
        .with(LINES.clone());
    let first = match settings.format {
        Format::Human => registry.with(lines).try_init(),
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    if first.is_ok() {
        // Nobody else gets here: the first call is one.
        let _ = FILTER.set((handle, Mutex::new(settings.levels)));
    }
}

/// The last lines of the log.
pub fn lines() -> &'static Lines {
    &LINES
}

/// How much is logged now; nothing before [`start`].
pub fn levels() -> Option<Levels> {
    let (_, levels) = FILTER.get()?;
    let levels = levels.lock().unwrap_or_else(PoisonError::into_inner);
    Some(levels.clone())
}

/// Logs more or less from now on; says whether there is a log to change.
pub fn set_levels(levels: Levels) -> bool {
    let Some((handle, now)) = FILTER.get() else {
        return false;
    };
    let done = handle.reload(targets(&levels)).is_ok();
    *now.lock().unwrap_or_else(PoisonError::into_inner) = levels;
    done
}

/// Complaints that were left out of the log because they repeated themselves, since this was asked
/// last.
pub fn take_left_out() -> u64 {
    REPEATS.take_left_out()
}

/// What of the log is written at these levels.
fn targets(levels: &Levels) -> Targets {
    // Libraries speak at their `info` of what is this program's `debug`.
    let libraries = if levels.level == Level::Trace {
        LevelFilter::TRACE
    } else {
        LevelFilter::WARN
    };
    let own = LevelFilter::from(levels.level);
    let targets = Targets::new()
        .with_default(libraries.min(own))
        .with_target("mcp_bridge", own);
    levels
        .modules
        .iter()
        .fold(targets, |targets, (module, level)| {
            let level = LevelFilter::from(*level);
            let own = format!("mcp_bridge::{module}");
            targets.with_target(own, level).with_target(module, level)
        })
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// Milliseconds since 1970.
fn since_1970(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
