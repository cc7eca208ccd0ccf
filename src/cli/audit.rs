//! `mcp-bridge audit`: who had what done.

use clap::Args;
use jiff::tz::TimeZone;

use super::token::Place;
use crate::telemetry::audit::{Entry, OPERATOR, Query, Since, plain, search};

/// Which calls. In patterns, which are in any case, * stands for anything.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Of clients that fit this pattern
    #[arg(long, value_name = "PATTERN")]
    client: Option<String>,
    /// Of tools that fit this pattern
    #[arg(long, value_name = "PATTERN")]
    tool: Option<String>,
    /// With an outcome or a decision that fits this pattern, such as answered, denied, agreed
    #[arg(long, value_name = "PATTERN")]
    outcome: Option<String>,
    /// Since a moment (2026-11-22T18:00:00Z), or for so long (2h, 3days)
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// So many at most, the latest ones
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    most: usize,
    /// Answer as JSON, one line for each call
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Prints the calls, the oldest first.
///
/// # Errors
/// No data folder, or one that cannot be read.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let query = Query {
        client: arguments.client.clone(),
        tool: arguments.tool.clone(),
        outcome: arguments.outcome.clone(),
        since: arguments.since,
        most: arguments.most,
    };
    for entry in search(&arguments.place.folder()?, &query)? {
        if arguments.json {
            super::say(shown(&entry));
        } else {
            super::say(line(&entry));
        }
    }
    Ok(())
}

/// JSON that does nothing to the terminal.
fn shown(value: &impl serde::Serialize) -> String {
    String::from_utf8_lossy(&plain(value)).into_owned()
}

/// A line for people, in the time of this machine.
fn line(entry: &Entry) -> String {
    let time = entry.time.to_zoned(TimeZone::system());
    let decision = match &entry.by {
        Some(person) => format!("{} by {}", entry.decision.name(), person.escape_debug()),
        None => entry.decision.name().to_owned(),
    };
    let who = entry.client.escape_debug();
    let who = if entry.source == OPERATOR {
        format!("operator {who}")
    } else {
        who.to_string()
    };
    let why = entry.why.as_deref().map_or_else(String::new, |why| {
        let why = why.escape_debug();
        format!(" ({why})")
    });
    let lost = match entry.lost {
        0 => String::new(),
        lost => format!(" [{lost} before it are not written down]"),
    };
    format!(
        "{}  {who:<16} {} {}  {decision}, {} after {:.0} ms{why}{lost}",
        time.strftime("%Y-%m-%d %H:%M:%S"),
        entry.tool.escape_debug(),
        entry.arguments.as_ref().map(shown).unwrap_or_default(),
        entry.outcome.escape_debug(),
        entry.total_ms,
    )
}
