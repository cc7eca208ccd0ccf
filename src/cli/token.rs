//! `mcp-bridge token`: the clients' tokens. A running bridge follows within a second.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::rights::RightsArgs;
use crate::access::{Client, Registry, Terms};
use crate::config::{self, Environment, Flags, Profile};
use crate::protocol::priority::Priority;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The token that was made at the first start, alone on the last line
    Show(Place),
    /// The token that opens the status page, alone on the last line
    Admin(Place),
    /// Make a token for a client; it is shown once, alone on the last line
    Create {
        /// What the client is called, such as "LM Studio"
        name: String,
        #[command(flatten)]
        terms: TermsArgs,
        #[command(flatten)]
        place: Place,
    },
    /// All clients; tokens themselves are not kept
    List(Place),
    /// Give a client a new token, shown once, alone on the last line
    Rotate {
        /// What the client is called
        name: String,
        /// For how many hours the old token goes on
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(..=8760))]
        overlap: u64,
        #[command(flatten)]
        place: Place,
    },
    /// Let a client in again that was switched off
    Enable(Named),
    /// Switch a client off for the time being
    Disable(Named),
    /// Lock a client out for good
    Revoke(Named),
}

/// One client.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// What the client is called
    pub(super) name: String,
    #[command(flatten)]
    pub(super) place: Place,
}

/// What a new client may do.
#[derive(Debug, Args)]
pub(super) struct TermsArgs {
    /// How urgent its calls are at most
    #[arg(long, value_name = "PRIORITY", default_value = "normal")]
    priority: Priority,
    /// How long its calls may take at most [default: as configured]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<NonZeroU64>,
    #[command(flatten)]
    rights: RightsArgs,
}

impl From<&TermsArgs> for Terms {
    fn from(args: &TermsArgs) -> Self {
        Self {
            priority: args.priority,
            timeout_s: args.timeout,
            rights: (&args.rights).into(),
            ..Self::default()
        }
    }
}

/// Where the data folder is.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Folder for clients and tokens [default: /data under the Supervisor, else the XDG state
    /// folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file that names it (YAML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Defaults for a kind of place
    #[arg(long, value_name = "NAME")]
    profile: Option<Profile>,
}

impl Place {
    pub(super) fn registry(&self) -> anyhow::Result<Registry> {
        let flags = Flags {
            data: self.data.clone(),
            config: self.config.clone(),
            profile: self.profile,
            ..Flags::default()
        };
        let folder = config::data_folder(&flags, &Environment::of_process())?;
        Ok(Registry::new(folder))
    }
}

/// Does what was asked for.
///
/// # Errors
/// No data folder, a name that does not fit, or a folder that cannot be written.
pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Show(place) => {
            let token = place.registry()?.first_token()?;
            super::say("Token of the client \"default\"; keep it secret:");
            super::say(token.reveal());
        }
        Command::Admin(place) => {
            let token = place.registry()?.admin_token()?;
            super::say("Token for the status page, unless `admin_token_file` is set; keep it:");
            super::say(token.reveal());
        }
        Command::Create { name, terms, place } => {
            let token = place.registry()?.create(name, terms.into())?;
            super::say(format_args!(
                "Token of the client {name:?}; it is not shown again:"
            ));
            super::say(token.reveal());
        }
        Command::List(place) => {
            for client in place.registry()?.load()? {
                super::say(line(&client));
            }
        }
        Command::Rotate {
            name,
            overlap,
            place,
        } => {
            let overlap_time = Duration::from_hours(*overlap);
            let token = place.registry()?.rotate(name, overlap_time)?;
            super::say(format_args!(
                "New token of the client {name:?}, the old one goes on for {overlap} hours; it is \
                 not shown again:"
            ));
            super::say(token.reveal());
        }
        Command::Enable(Named { name, place }) => {
            switch(&place.registry()?, name, true)?;
            super::say(format_args!("{name:?} may come in"));
        }
        Command::Disable(Named { name, place }) => {
            switch(&place.registry()?, name, false)?;
            super::say(format_args!("{name:?} is switched off"));
        }
        Command::Revoke(Named { name, place }) => {
            place.registry()?.revoke(name)?;
            super::say(format_args!("{name:?} is locked out"));
        }
    }
    Ok(())
}

fn switch(registry: &Registry, name: &str, enabled: bool) -> anyhow::Result<()> {
    registry.update(name, |client| {
        client.enabled = enabled;
        Ok(())
    })?;
    Ok(())
}

fn line(client: &Client) -> String {
    let state = match client.revoked {
        Some(when) => format!("revoked {when:.0}"),
        None if client.enabled => "active".to_owned(),
        None => "switched off".to_owned(),
    };
    format!("{:<24} made {:.0}  {state}", client.name, client.created)
}
