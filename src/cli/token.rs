//! `mcp-bridge token`: the clients' tokens. A running bridge follows within a second.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use ipnet::IpNet;
use jiff::Timestamp;

use super::rights::RightsArgs;
use crate::access::{
    CertificateId, Client, Registry, Terms, Token, check_not_declared, parse_network, together,
};
use crate::config::{self, Environment, Flags, Profile};
use crate::protocol::priority::Priority;
use crate::resilience::rate::Rate;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The token that was made at the first start, alone on the last line
    Show(Place),
    /// The token that opens the status page, alone on the last line
    Admin(Place),
    /// Make a token for a client that the configuration declares, with its hash; neither is kept. The
    /// token stands alone on the last line
    Generate,
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
    /// How often it may call, such as 60/min [default: as configured]
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
    /// Networks that it may come from, such as 192.168.1.0/24; may be given several times
    #[arg(long, value_name = "CIDR", value_parser = network)]
    network: Vec<IpNet>,
    /// A certificate that stands for it: a DNS name in it, or sha256:...; may be given several
    /// times
    #[arg(long, value_name = "NAME")]
    certificate: Vec<CertificateId>,
    /// Accept its token in the address, for clients that cannot send headers
    #[arg(long)]
    path_token: bool,
}

fn network(text: &str) -> Result<IpNet, &'static str> {
    parse_network(text).ok_or("write it like 192.168.1.0/24 or fd00::/8")
}

impl From<&TermsArgs> for Terms {
    fn from(args: &TermsArgs) -> Self {
        Self {
            priority: args.priority,
            timeout_s: args.timeout,
            rights: (&args.rights).into(),
            rate: args.rate,
            networks: args.network.clone(),
            certificates: args.certificate.clone(),
            path_token: args.path_token,
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
        Ok(Registry::new(self.folder()?))
    }

    /// The register, to change the client of this name in it.
    pub(super) fn to_change(&self, name: &str) -> anyhow::Result<Registry> {
        check_not_declared(&self.declared(), name)?;
        self.registry()
    }

    /// All clients, those of the register and the declared ones.
    pub(super) fn clients(&self) -> anyhow::Result<Vec<Client>> {
        Ok(together(self.registry()?.load()?, &self.declared()))
    }

    /// The clients that the configuration declares. Whatever is wrong with it, those of the register
    /// can be locked out.
    fn declared(&self) -> Vec<Client> {
        match super::loaded(&self.flags()) {
            Ok(loaded) => loaded.settings.access.clients,
            Err(error) => {
                let error = error.context("clients that the configuration declares are not known");
                super::complain(&error);
                Vec::new()
            }
        }
    }

    /// The data folder.
    pub(super) fn folder(&self) -> anyhow::Result<PathBuf> {
        let environment = Environment::of_process();
        Ok(config::data_folder(&self.flags(), &environment)?)
    }

    fn flags(&self) -> Flags {
        Flags {
            data: self.data.clone(),
            config: self.config.clone(),
            profile: self.profile,
            ..Flags::default()
        }
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
        Command::Generate => {
            let token = Token::generate()?;
            super::say(format_args!("token_sha256: {}", token.hash()));
            super::say("Token; it is not shown again:");
            super::say(token.reveal());
        }
        Command::Create { name, terms, place } => {
            let token = place.to_change(name)?.create(name, terms.into())?;
            super::say(format_args!(
                "Token of the client {name:?}; it is not shown again:"
            ));
            super::say(token.reveal());
        }
        Command::List(place) => {
            let last_seen = place.registry()?.last_seen()?;
            for client in place.clients()? {
                super::say(line(&client, last_seen.get(&client.name).copied()));
            }
        }
        Command::Rotate {
            name,
            overlap,
            place,
        } => {
            let overlap_time = Duration::from_hours(*overlap);
            let token = place.to_change(name)?.rotate(name, overlap_time)?;
            super::say(format_args!(
                "New token of the client {name:?}, the old one goes on for {overlap} hours; it is \
                 not shown again:"
            ));
            super::say(token.reveal());
        }
        Command::Enable(Named { name, place }) => {
            switch(&place.to_change(name)?, name, true)?;
            super::say(format_args!("{name:?} may come in"));
        }
        Command::Disable(Named { name, place }) => {
            switch(&place.to_change(name)?, name, false)?;
            super::say(format_args!("{name:?} is switched off"));
        }
        Command::Revoke(Named { name, place }) => {
            place.to_change(name)?.revoke(name)?;
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

fn line(client: &Client, last_seen: Option<Timestamp>) -> String {
    let state = match client.revoked {
        Some(when) => format!("revoked {when:.0}"),
        None if client.enabled => "active".to_owned(),
        None => "switched off".to_owned(),
    };
    let last_seen = last_seen.filter(|_| client.is_active());
    let seen = last_seen.map_or_else(|| "never seen".to_owned(), |at| format!("seen {at:.0}"));
    let made = if client.declared {
        "declared".to_owned()
    } else {
        format!("made {:.0}", client.created)
    };
    format!("{:<24} {made:<25}  {seen:<25}  {state}", client.name)
}
