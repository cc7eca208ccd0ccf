//! `mcp-bridge token`: the clients' tokens. A running bridge follows within a second.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::access::{Registry, Terms};
use crate::config::{self, Environment, Flags, Profile};
use crate::protocol::priority::Priority;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The token that was made at the first start, alone on the last line
    Show(Place),
    /// Make a token for a client; it is shown once, alone on the last line
    Create {
        /// What the client is called, such as "LM Studio"
        name: String,
        /// How urgent its calls are at most
        #[arg(long, value_name = "PRIORITY", default_value = "normal")]
        priority: Priority,
        /// How long its calls may take at most [default: as configured]
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
        timeout: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
    /// All clients; tokens themselves are not kept
    List(Place),
    /// Lock a client out
    Revoke {
        /// What the client is called
        name: String,
        #[command(flatten)]
        place: Place,
    },
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
    fn registry(&self) -> anyhow::Result<Registry> {
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
        Command::Create {
            name,
            priority,
            timeout,
            place,
        } => {
            let terms = Terms {
                priority: *priority,
                timeout_s: *timeout,
            };
            let token = place.registry()?.create(name, terms)?;
            super::say(format_args!(
                "Token of the client {name:?}; it is not shown again:"
            ));
            super::say(token.reveal());
        }
        Command::List(place) => {
            for client in place.registry()?.load()? {
                let state = client
                    .revoked
                    .map_or("active".to_owned(), |when| format!("revoked {when:.0}"));
                super::say(format_args!(
                    "{:<24} made {:.0}  {state}",
                    client.name, client.created
                ));
            }
        }
        Command::Revoke { name, place } => {
            place.registry()?.revoke(name)?;
            super::say(format_args!("{name:?} is locked out"));
        }
    }
    Ok(())
}
