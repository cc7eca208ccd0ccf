//! `mcp-bridge check`: goes the way of a call step by step, and says at the first trouble how to
//! mend it.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::access::Registry;
use crate::app::{StartError, find_upstream};
use crate::config::{Flags, Settings};
use crate::error::Failure;
use crate::homeassistant::{HomeAssistant, Way};
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Payload, Request};
use crate::upstream::{Context, Trouble, Upstream};

/// How long the upstream may take for a step.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long its events may take to be heard.
const EVENTS: Duration = Duration::from_secs(10);

/// A step that did not work: what was seen, and what to do.
struct Bad {
    seen: String,
    fix: String,
}

impl Bad {
    fn new(seen: impl Display, fix: impl Display) -> Self {
        Self {
            seen: seen.to_string(),
            fix: fix.to_string(),
        }
    }
}

impl From<Trouble> for Bad {
    fn from(trouble: Trouble) -> Self {
        let failure = Failure::from(trouble);
        Self::new(&failure, failure.code.entry().fix)
    }
}

/// Prints the check list. Exit code 0 if every step is good, 78 if the configuration is not, 1
/// otherwise.
pub(super) fn run(flags: &Flags) -> ExitCode {
    let settings = match super::loaded(flags) {
        Ok(loaded) => loaded.settings,
        Err(error) => {
            line(
                "configuration",
                Err(Bad::new(error, "correct it, or leave the key out")),
            );
            return super::CONFIG.into();
        }
    };
    line("configuration", Ok("valid".to_owned()));
    let data = line("data folder", data_folder(&settings));
    let reached = super::block_on(upstream(settings)).unwrap_or_else(|error| {
        line(
            "runtime",
            Err(Bad::new(error, "the system is out of resources")),
        );
        false
    });
    if data && reached {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn data_folder(settings: &Settings) -> Result<String, Bad> {
    let folder = settings.data.display();
    let clients = Registry::new(&settings.data)
        .load()
        .map_err(|error| Bad::new(error, "make it readable, or name another with `--data`"))?;
    let writable =
        std::fs::create_dir_all(&settings.data).and_then(|()| tempfile_in(&settings.data));
    writable.map_err(|e| {
        Bad::new(
            format_args!("{folder}: {e}"),
            "make it writable, or name another with `--data`",
        )
    })?;
    let active = clients
        .iter()
        .filter(|client| client.revoked.is_none())
        .count();
    Ok(format!("{folder}, {active} clients"))
}

/// Proves that a file can be made there.
fn tempfile_in(folder: &std::path::Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".check-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

async fn upstream(settings: Settings) -> bool {
    let found = find_upstream(settings.demo, &settings.upstream).await;
    let (upstream, way, home_assistant, _house) = match found {
        Ok((reached, house)) => (reached.upstream, reached.way, reached.home_assistant, house),
        Err(error) => {
            let fix = match &error {
                StartError::Locate(_) => {
                    "set what is missing; `mcp-bridge config print` shows what is set"
                }
                _ => "look at the message",
            };
            return line("upstream", Err(Bad::new(error, fix)));
        }
    };
    let way = match way {
        Way::Configured => "configured",
        Way::Direct => "direct, port and scheme from the Supervisor",
        Way::Supervisor => "through the Supervisor",
        Way::Demo => "the built-in house",
    };
    line("upstream", Ok(format!("{} ({way})", upstream.address())));
    let handshake = ask(&upstream, "ping").await.map(|_| ());
    let introduced = upstream.introduction(Duration::ZERO).await;
    let name = introduced.and_then(|i| {
        let members = i.server_info.members()?;
        members.get_str("name").map(std::borrow::Cow::into_owned)
    });
    let name = name.unwrap_or_else(|| "a server without a name".to_owned());
    if !line("handshake", handshake.map(|()| name)) {
        return false;
    }
    let tools = line(
        "tools",
        ask(&upstream, "tools/list")
            .await
            .and_then(|result| count_tools(&result)),
    );
    let events = match home_assistant {
        Some(home_assistant) => events(&home_assistant).await,
        None => true,
    };
    // Told to stop at once, it closes the session.
    let stop = CancellationToken::new();
    stop.cancel();
    upstream.keep(stop).await;
    tools && events
}

/// Whether the events of Home Assistant are heard; tells what a person may have meant otherwise.
async fn events(home_assistant: &HomeAssistant) -> bool {
    let condition = home_assistant.survey(EVENTS).await;
    let heard = condition.map(|condition| {
        let version = condition.version.unwrap_or_default();
        format!("heard of Home Assistant {version}")
    });
    let heard = heard.ok_or_else(|| {
        let trouble = home_assistant.trouble();
        let seen = trouble.unwrap_or_else(|| "Home Assistant does not tell everything".to_owned());
        let fix = "see that its address is reached as a WebSocket, too, with a token that is good, or \
                   set `home_assistant.events: false`";
        Bad::new(seen, fix)
    });
    let is_good = line("events", heard);
    for hint in home_assistant.hints() {
        super::say(format_args!("hint  {:<14} {}", "", hint.text));
    }
    is_good
}

async fn ask(upstream: &Upstream, method: &str) -> Result<RawJson, Bad> {
    let deadline = Instant::now() + PATIENCE;
    match upstream
        .exchange(
            &Request::new(Id::number(1), method, None),
            &Context::own(),
            deadline,
        )
        .await?
        .payload
    {
        Payload::Result(result) => Ok(result),
        Payload::Error(error) => {
            let seen = format!("{method} was answered with an error: {error:?}");
            Err(Bad::new(seen, "look at the log of Home Assistant"))
        }
    }
}

fn count_tools(result: &RawJson) -> Result<String, Bad> {
    #[derive(serde::Deserialize)]
    struct List {
        tools: Vec<serde::de::IgnoredAny>,
    }
    let list: List = result
        .read()
        .map_err(|error| Bad::new(error, "the address is no MCP server that offers tools"))?;
    match list.tools.len() {
        0 => Err(Bad::new(
            "there are none",
            "expose entities to Assist in Home Assistant: Settings, Voice assistants, Expose",
        )),
        n => Ok(format!("{n} tools")),
    }
}

/// One line of the list; says whether it was good.
fn line(step: &str, outcome: Result<String, Bad>) -> bool {
    match outcome {
        Ok(seen) => {
            super::say(format_args!("ok    {step:<14} {seen}"));
            true
        }
        Err(Bad { seen, fix }) => {
            super::say(format_args!(
                "FAIL  {step:<14} {}",
                seen.replace('\n', "\n                     ")
            ));
            super::say(format_args!("      {:<14} fix: {fix}", ""));
            false
        }
    }
}
