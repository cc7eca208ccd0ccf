//! What the bridge tells about itself: logs, for now.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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

/// Starts to log to the standard error stream. The first call counts; any other changes nothing.
pub fn start(settings: Settings) {
    let level = match settings.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // Libraries speak at their `info` of what is this program's `debug`.
    let libraries = if settings.level == Level::Trace {
        LevelFilter::TRACE
    } else {
        LevelFilter::WARN
    };
    let filter = Targets::new()
        .with_default(libraries.min(level))
        .with_target("mcp_bridge", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    let first = match settings.format {
        Format::Human => registry.with(lines).try_init(),
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    drop(first);
}
