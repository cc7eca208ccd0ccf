//! Who may come in: clients and their tokens, networks, host names and origins.

mod admin;
mod brake;
mod certificate;
mod client;
mod guard;
mod identity;
mod last_seen;
mod network;
mod origin;
mod quota;
mod registry;
pub mod rights;
mod roster;
mod sessions;
mod token;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::dispatch::guard::Guard;
use crate::error::{Code, Failure};
use crate::resilience::rate::Standing;
pub use admin::Admin;
pub use brake::Settings as BrakeSettings;
use brake::{Brake, Verdict};
pub use certificate::{Certificate, CertificateId};
pub use client::{Client, Credential, Terms};
pub use guard::guard;
pub use identity::Credentials;
pub use last_seen::LastSeen;
use last_seen::Notes;
pub use network::{parse_network, parse_networks};
use origin::is_listed;
pub use origin::{check_host, check_origin};
pub use quota::Rates;
use quota::{Quotas, TooOften};
pub use registry::{Registry, RegistryError, Stamp};
pub use rights::{ArgumentRule, Pattern, Policy, Rights, Sensitive};
use roster::Roster;
pub use roster::{check_not_declared, together};
pub use token::{Token, TokenHash};

/// How the bridge is guarded.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Host names under which the bridge may be addressed, besides those that are always safe.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may use the bridge, such as `https://chat.example.org`, besides
    /// pages of its own.
    pub allowed_origins: Vec<String>,
    /// Networks that requests may come from.
    pub networks: Vec<IpNet>,
    /// Proxies that are believed when they say who came to them.
    pub trusted_proxies: Vec<IpNet>,
    /// How much an address may try.
    pub brake: BrakeSettings,
    /// How often calls may come.
    pub rates: Rates,
    /// Whoever sends no token is let in as [`Client::anyone`].
    pub leave_front_door_open: bool,
    /// Whether nobody may change anything through the bridge.
    pub read_only: bool,
    /// Clients besides those of the register.
    pub clients: Vec<Client>,
}

/// The guard at the door.
#[derive(Debug)]
pub struct Access {
    settings: ArcSwap<Settings>,
    roster: Roster,
    anyone: Arc<Client>,
    brake: Mutex<Brake>,
    quotas: Mutex<Quotas>,
    last_seen: Notes,
}

impl Access {
    /// Reads the register, and makes the first client if there is none.
    ///
    /// # Errors
    /// A data folder that cannot be used, or a damaged register.
    pub fn open(settings: Settings, registry: Registry) -> Result<Self, RegistryError> {
        // Nothing depends on it but a column of a list.
        let last_seen = registry.last_seen().unwrap_or_else(|error| {
            tracing::warn!(%error, "when clients were last there is not known");
            LastSeen::new()
        });
        let roster = Roster::open(registry, settings.clients.clone())?;
        Ok(Self {
            brake: Mutex::new(Brake::new(settings.brake)),
            quotas: Mutex::new(Quotas::new(&settings.rates)),
            settings: ArcSwap::from_pointee(settings),
            roster,
            anyone: Arc::new(Client::anyone()),
            last_seen: Notes::new(last_seen),
        })
    }

    /// Other settings from now on. With other rates, everybody begins anew.
    pub fn configure(&self, settings: Settings) {
        let was_open = self.is_open();
        self.braking().configure(settings.brake);
        if self.settings.load().rates != settings.rates {
            *self.quotas() = Quotas::new(&settings.rates);
        }
        let clients = settings.clients.clone();
        self.settings.store(Arc::new(settings));
        // Where the door was closed, somebody has to leave; this tells them, too.
        self.roster.declare(clients);
        if !was_open {
            self.warn_if_open();
        }
    }

    /// Says in the log what it means that the front door is open, if it is.
    pub fn warn_if_open(&self) {
        if self.is_open() {
            tracing::warn!(
                "the front door is open: whoever reaches the bridge can control the house without a \
                 token (`access.leave_front_door_open`)"
            );
        }
    }

    /// Reads the register again if it changed; says whether it did.
    ///
    /// # Errors
    /// An unreadable register; the clients stay as they were, and it is read again when it changes.
    pub fn refresh(&self) -> Result<bool, RegistryError> {
        self.roster.refresh()
    }

    /// A client that came in earlier, on its terms of now; nothing if it would not come in any more.
    pub fn renewed(&self, client: &Client) -> Option<Arc<Client>> {
        if self.is_open() && *self.anyone == *client {
            return Some(self.anyone.clone());
        }
        self.roster.renewed(client)
    }

    /// Waits until a client that came in earlier would not come in any more.
    pub async fn dismissed(&self, client: &Client) {
        let mut refreshed = self.roster.news();
        while self.renewed(client).is_some() {
            if refreshed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Who sent a request that came from `peer` with these `X-Forwarded-For` headers.
    ///
    /// # Errors
    /// [`Code::NetworkRefused`] for a network that is not let in.
    pub fn check_sender(&self, peer: IpAddr, forwarded_for: &[&str]) -> Result<IpAddr, Failure> {
        let settings = self.settings.load();
        let sender = network::sender(peer, forwarded_for, &settings.trusted_proxies);
        if network::contain(&settings.networks, sender) {
            Ok(sender)
        } else {
            Err(Failure::with(Code::NetworkRefused, sender))
        }
    }

    /// The client to which a request belongs that shows these credentials. Whoever shows none is
    /// [`Client::anyone`] where the front door is open; a wrong token opens it never.
    ///
    /// # Errors
    /// Which mistake it was, as a code of the catalogue. The token is never part of it.
    pub fn identify(
        &self,
        credentials: &Credentials<'_>,
        sender: IpAddr,
    ) -> Result<Arc<Client>, Failure> {
        let client = match identity::identify(&self.roster.all(), credentials) {
            Ok(Some(client)) => client,
            Ok(None) => {
                let anyone = self.is_open().then(|| self.anyone.clone());
                return anyone.ok_or_else(|| Failure::new(Code::TokenMissing));
            }
            Err(failure) if identity::is_wrong_token(failure.code) => {
                return Err(self.brake(sender).unwrap_or(failure));
            }
            Err(failure) => return Err(failure),
        };
        let networks = &client.terms.networks;
        if !networks.is_empty() && !network::contain(networks, sender) {
            return Err(Failure::with(Code::ClientNetworkRefused, sender));
        }
        self.last_seen.note(&client.name, Timestamp::now());
        Ok(client)
    }

    /// Counts a wrong token; the failure to tell once there were too many.
    fn brake(&self, sender: IpAddr) -> Option<Failure> {
        let Verdict::Braked { wait, first } = self.braking().fail(sender, Instant::now()) else {
            return None;
        };
        if first {
            tracing::warn!(%sender, "too many wrong tokens; an address is told to wait");
        }
        Some(Failure {
            retry_after: Some(wait),
            ..Failure::new(Code::TooManyWrongTokens)
        })
    }

    /// Counts a call of a client.
    ///
    /// # Errors
    /// [`Code::RateLimited`] with the time to wait, if it came too early.
    pub fn count(&self, client: &Client, method: &str, tool: Option<&str>) -> Result<(), Failure> {
        if !quota::is_counted(method) {
            return Ok(());
        }
        let counted = self.quotas().count(client, tool, Instant::now().into_std());
        counted.map_err(|TooOften { rate, scope, wait }| {
            let seconds = wait.as_secs_f64().ceil();
            let why = format_args!("{rate} for {scope}; wait {seconds} s");
            Failure {
                retry_after: Some(Duration::from_secs_f64(seconds)),
                ..Failure::with(Code::RateLimited, why)
            }
        })
    }

    /// Whether some tools have a rate of their own.
    pub fn limits_tools(&self) -> bool {
        !self.settings.load().rates.tools.is_empty()
    }

    /// What is left to a client for such a call, if it is counted at all.
    pub fn standing(&self, client: &Client, method: &str, tool: Option<&str>) -> Option<Standing> {
        let counted = quota::is_counted(method).then(|| self.quotas())?;
        counted.standing(client, tool, Instant::now().into_std())
    }

    fn braking(&self) -> MutexGuard<'_, Brake> {
        self.brake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn quotas(&self) -> MutexGuard<'_, Quotas> {
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The register, to change the client of this name in it.
    ///
    /// # Errors
    /// [`RegistryError::Declared`] for a client that the configuration declares.
    pub fn to_change(&self, name: &str) -> Result<&Registry, RegistryError> {
        self.roster.to_change(name)
    }

    /// When each client was last there, by name.
    pub fn last_seen(&self) -> LastSeen {
        self.last_seen.times()
    }

    /// Writes down when each client was last there, if any was since the last time.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn keep_last_seen(&self) -> Result<(), RegistryError> {
        let clients = self.roster.all();
        let is_kept = |name: &str| clients.iter().any(|client| client.name == name);
        let changed = self.last_seen.take_changed(is_kept);
        changed.map_or(Ok(()), |times| {
            self.roster.registry().keep_last_seen(&times)
        })
    }

    /// What the client may do now.
    pub fn guard(&self, client: &Arc<Client>) -> Arc<dyn Guard> {
        guard(client.clone(), self.settings.load().read_only)
    }

    /// Refuses requests that a foreign web page could have sent.
    ///
    /// # Errors
    /// [`Code::HostRefused`] or [`Code::OriginRefused`].
    pub fn check_source(&self, host: Option<&str>, origins: &[&str]) -> Result<(), Failure> {
        let settings = self.settings.load();
        check_host(host, &settings.allowed_hosts)?;
        check_origin(origins, host, &settings.allowed_origins)
    }

    /// Refuses requests of a foreign web page that came through a proxy which knows its people.
    /// Under which host the proxy was addressed is the proxy's matter.
    ///
    /// # Errors
    /// [`Code::OriginRefused`].
    pub fn check_proxied(&self, host: Option<&str>, origins: &[&str]) -> Result<(), Failure> {
        check_origin(origins, host, &self.settings.load().allowed_origins)
    }

    /// Whether web pages of this origin may use the bridge although it is not their own.
    pub fn lists_origin(&self, origin: &str) -> bool {
        is_listed(origin, &self.settings.load().allowed_origins)
    }

    /// Whether nobody needs a token.
    pub fn is_open(&self) -> bool {
        self.settings.load().leave_front_door_open
    }

    /// The token of the first start, for as long as it is kept.
    ///
    /// # Errors
    /// See [`Registry::first_token`].
    pub fn first_token(&self) -> Result<Token, RegistryError> {
        self.roster.registry().first_token()
    }

    /// The clients as they were read last, the revoked ones too.
    pub fn clients(&self) -> Arc<Vec<Arc<Client>>> {
        self.roster.all()
    }

    /// How many clients may come in.
    pub fn active_clients(&self) -> usize {
        self.roster
            .all()
            .iter()
            .filter(|client| client.is_active() && client.enabled)
            .count()
    }
}

#[cfg(test)]
mod tests;
