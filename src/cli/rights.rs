//! `mcp-bridge rights`: what a client may do. A running bridge follows within a second.

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::token::Named;
use crate::access::{Pattern, Rights};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The rights of a client as JSON
    Show(Named),
    /// Give a client these rights in the place of those that it has
    Set {
        #[command(flatten)]
        client: Named,
        #[command(flatten)]
        rights: RightsArgs,
    },
}

/// What a client may do. Without any of these it may do everything.
#[derive(Debug, Args)]
pub(super) struct RightsArgs {
    /// Only tools that cannot change the house
    #[arg(long)]
    read_only: bool,
    /// Tools that it may call, such as "light__*"; may be given several times [default: all]
    #[arg(long, value_name = "PATTERN")]
    allow: Vec<Pattern>,
    /// Tools that it may not call; may be given several times
    #[arg(long, value_name = "PATTERN")]
    deny: Vec<Pattern>,
    /// Everything, as `rights show` prints it: rules for arguments and sensitive classes, too
    #[arg(long, value_name = "JSON", conflicts_with_all = ["read_only", "allow", "deny"], value_parser = rights)]
    rights: Option<Rights>,
}

fn rights(text: &str) -> Result<Rights, serde_json::Error> {
    serde_json::from_str(text)
}

impl From<&RightsArgs> for Rights {
    fn from(args: &RightsArgs) -> Self {
        args.rights.clone().unwrap_or_else(|| Self {
            read_only: args.read_only,
            allow: args.allow.clone(),
            deny: args.deny.clone(),
            ..Self::default()
        })
    }
}

/// Does what was asked for.
///
/// # Errors
/// No data folder, a name that nobody has, or a folder that cannot be written.
pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    let rights = match command {
        Command::Show(Named { name, place }) => {
            let clients = place.clients()?;
            let client = clients
                .into_iter()
                .find(|client| client.name == *name && client.is_active());
            let client = client.with_context(|| format!("there is no client {name:?}"))?;
            client.terms.rights
        }
        Command::Set {
            client: Named { name, place },
            rights,
        } => {
            let changed = place.to_change(name)?.update(name, |client| {
                client.terms.rights = rights.into();
                Ok(())
            });
            changed?.terms.rights
        }
    };
    super::say(serde_json::to_string_pretty(&rights)?);
    Ok(())
}
