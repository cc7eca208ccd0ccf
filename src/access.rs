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
mod sessions;
mod token;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use jiff::Timestamp;
use tokio::sync::watch;
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
}

/// The guard at the door.
#[derive(Debug)]
pub struct Access {
    settings: ArcSwap<Settings>,
    registry: Registry,
    clients: ArcSwap<Vec<Arc<Client>>>,
    /// Told when they were read anew.
    refreshed: watch::Sender<()>,
    seen: Mutex<Option<Stamp>>,
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
        if registry.ensure_first()? {
            tracing::info!("made the first token; `mcp-bridge token show` prints it");
        }
        // Nothing depends on it but a column of a list.
        let last_seen = registry.last_seen().unwrap_or_else(|error| {
            tracing::warn!(%error, "when clients were last there is not known");
            LastSeen::new()
        });
        let access = Self {
            brake: Mutex::new(Brake::new(settings.brake)),
            quotas: Mutex::new(Quotas::new(&settings.rates)),
            settings: ArcSwap::from_pointee(settings),
            registry,
            clients: ArcSwap::default(),
            refreshed: watch::Sender::new(()),
            seen: Mutex::new(None),
            anyone: Arc::new(Client::anyone()),
            last_seen: Notes::new(last_seen),
        };
        access.refresh()?;
        Ok(access)
    }

    /// Other settings from now on. With other rates, everybody begins anew.
    pub fn configure(&self, settings: Settings) {
        let was_open = self.is_open();
        self.braking().configure(settings.brake);
        if self.settings.load().rates != settings.rates {
            *self.quotas() = Quotas::new(&settings.rates);
        }
        self.settings.store(Arc::new(settings));
        // Where the door was closed, somebody has to leave.
        self.refreshed.send_replace(());
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
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.registry.stamp();
        if *seen == stamp {
            return Ok(false);
        }
        let loaded = self.registry.load();
        // What could not be read may be readable in a moment: a revocation must not get lost. What
        // was read and is damaged stays so until it changes.
        if !matches!(loaded, Err(RegistryError::Io { .. })) {
            *seen = stamp;
        }
        let clients = loaded?.into_iter().map(Arc::new).collect();
        self.clients.store(Arc::new(clients));
        self.refreshed.send_replace(());
        Ok(true)
    }

    /// A client that came in earlier, on its terms of now; nothing if it would not come in any more.
    pub fn renewed(&self, client: &Client) -> Option<Arc<Client>> {
        if self.is_open() && *self.anyone == *client {
            return Some(self.anyone.clone());
        }
        identity::renewed(&self.clients.load(), client)
    }

    /// Waits until a client that came in earlier would not come in any more.
    pub async fn dismissed(&self, client: &Client) {
        let mut refreshed = self.refreshed.subscribe();
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
        let client = match identity::identify(&self.clients.load(), credentials) {
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

    /// The register, for those who change it.
    pub const fn registry(&self) -> &Registry {
        &self.registry
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
        let clients = self.clients.load();
        let is_kept = |name: &str| clients.iter().any(|client| client.name == name);
        let changed = self.last_seen.take_changed(is_kept);
        changed.map_or(Ok(()), |times| self.registry.keep_last_seen(&times))
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
        self.registry.first_token()
    }

    /// The clients as they were read last, the revoked ones too.
    pub fn clients(&self) -> Arc<Vec<Arc<Client>>> {
        self.clients.load_full()
    }

    /// How many clients may come in.
    pub fn active_clients(&self) -> usize {
        self.clients
            .load()
            .iter()
            .filter(|client| client.is_active() && client.enabled)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (tempfile::TempDir, Access) {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(Settings::default(), Registry::new(folder.path())).unwrap();
        (folder, access)
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn identify(
        access: &Access,
        authorization: Option<&str>,
        api_key: Option<&str>,
    ) -> Result<Arc<Client>, Failure> {
        let credentials = Credentials {
            authorization,
            api_key,
            ..Credentials::default()
        };
        access.identify(&credentials, HERE)
    }

    fn code(access: &Access, authorization: Option<&str>, api_key: Option<&str>) -> Code {
        identify(access, authorization, api_key).unwrap_err().code
    }

    #[test]
    fn the_first_token_opens_as_bearer_and_as_api_key() {
        let (_folder, access) = open();
        let token = access.registry.first_token().unwrap();
        let token = token.reveal();
        for authorization in [format!("Bearer {token}"), format!("bearer  {token} ")] {
            assert_eq!(
                identify(&access, Some(&authorization), None).unwrap().name,
                "default"
            );
        }
        assert_eq!(
            identify(&access, None, Some(token)).unwrap().name,
            "default"
        );
    }

    #[test]
    fn each_mistake_has_its_own_code() {
        let (_folder, access) = open();
        let stranger = Token::generate().unwrap();
        let bearer = |token: &str| format!("Bearer {token}");
        assert_eq!(code(&access, None, None), Code::TokenMissing);
        assert_eq!(code(&access, Some("Bearer "), None), Code::TokenMissing);
        assert_eq!(
            code(&access, Some(stranger.reveal()), None),
            Code::TokenWithoutBearer
        );
        assert_eq!(
            code(&access, Some("Basic dTpw"), None),
            Code::TokenWithoutBearer
        );
        assert_eq!(
            code(&access, Some("Bearer eyJhbGciOi.J9.x"), None),
            Code::TokenOfHomeAssistant
        );
        assert_eq!(
            code(&access, Some("Bearer mcpb_abc"), None),
            Code::TokenMalformed
        );
        assert_eq!(
            code(&access, Some(&bearer(stranger.reveal())), None),
            Code::TokenUnknown
        );
        assert_eq!(code(&access, None, Some("nonsense")), Code::TokenMalformed);
    }

    #[test]
    fn an_authorization_of_another_kind_leaves_room_for_a_token_elsewhere() {
        let (_folder, access) = open();
        let token = access.registry.first_token().unwrap();
        let key = Some(token.reveal());
        for authorization in ["Basic dTpw", "Bearer", ""] {
            assert!(identify(&access, Some(authorization), key).is_ok());
        }
        let wrong = code(&access, Some("Bearer mcpb_x"), key);
        assert_eq!(wrong, Code::TokenMalformed);
    }

    #[test]
    fn a_token_in_the_address_opens_only_where_its_client_allows_that() {
        let (_folder, access) = open();
        let allowed = Terms {
            path_token: true,
            ..Terms::default()
        };
        let token = access.registry.create("old client", allowed).unwrap();
        let other = access.registry.first_token().unwrap();
        access.refresh().unwrap();
        let open = |token: &Token, api_key| {
            let credentials = Credentials {
                address: Some(token.reveal()),
                api_key,
                ..Credentials::default()
            };
            access.identify(&credentials, HERE).map_err(|f| f.code)
        };
        assert_eq!(open(&token, None).unwrap().name, "old client");
        assert_eq!(open(&other, None).unwrap_err(), Code::TokenInAddress);
        assert_eq!(open(&token, Some(other.reveal())).unwrap().name, "default");
    }

    #[test]
    fn a_client_comes_from_its_networks_only() {
        let (_folder, access) = open();
        let terms = Terms {
            networks: parse_networks("10.1.0.0/16").unwrap(),
            ..Terms::default()
        };
        let token = access.registry.create("n8n", terms).unwrap();
        access.refresh().unwrap();
        let credentials = Credentials {
            api_key: Some(token.reveal()),
            ..Credentials::default()
        };
        let from = |address: &str| {
            let client = access.identify(&credentials, address.parse().unwrap());
            client.map(|client| client.name.clone()).map_err(|f| f.code)
        };
        assert_eq!(from("10.1.2.3"), Ok("n8n".to_owned()));
        assert_eq!(from("::ffff:10.1.2.3"), Ok("n8n".to_owned()));
        assert_eq!(from("10.2.2.3"), Err(Code::ClientNetworkRefused));
    }

    #[test]
    fn wrong_tokens_are_braked_and_right_ones_are_not() {
        let (_folder, access) = open();
        let token = access.registry.first_token().unwrap();
        let stranger = Token::generate().unwrap();
        for _ in 0..access.settings.load().brake.wrong_tokens {
            let wrong = code(&access, None, Some(stranger.reveal()));
            assert_eq!(wrong, Code::TokenUnknown);
            assert_eq!(code(&access, None, None), Code::TokenMissing);
        }
        let braked = identify(&access, None, Some(stranger.reveal())).unwrap_err();
        assert_eq!(braked.code, Code::TooManyWrongTokens);
        assert!(braked.retry_after.unwrap() > Duration::from_mins(14));
        assert_eq!(code(&access, None, None), Code::TokenMissing);
        assert!(identify(&access, None, Some(token.reveal())).is_ok());
    }

    #[test]
    fn through_an_open_door_everybody_comes_but_those_with_a_wrong_token() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            leave_front_door_open: true,
            ..Settings::default()
        };
        let access = Access::open(settings, Registry::new(folder.path())).unwrap();
        assert!(access.is_open());
        assert_eq!(identify(&access, None, None).unwrap().name, "anyone");
        assert_eq!(code(&access, None, Some("nonsense")), Code::TokenMalformed);
        let token = access.registry.first_token().unwrap();
        let known = identify(&access, None, Some(token.reveal())).unwrap();
        assert_eq!(known.name, "default");
        assert_eq!(access.active_clients(), 1);
    }

    #[test]
    fn when_a_client_was_last_there_outlives_a_restart_and_only_a_client_that_is_known() {
        let (folder, access) = open();
        let token = access.registry.first_token().unwrap();
        access
            .registry
            .keep_last_seen(&[("gone".to_owned(), Timestamp::UNIX_EPOCH)].into())
            .unwrap();
        identify(&access, None, Some(token.reveal())).unwrap();
        access.keep_last_seen().unwrap();
        let again = Access::open(Settings::default(), Registry::new(folder.path())).unwrap();
        assert_eq!(again.last_seen(), access.last_seen());
        assert_eq!(again.last_seen().keys().collect::<Vec<_>>(), ["default"]);
        std::fs::write(folder.path().join("last-seen.json"), "{").unwrap();
        let again = Access::open(Settings::default(), Registry::new(folder.path())).unwrap();
        assert!(again.last_seen().is_empty());
    }

    #[test]
    fn changes_of_the_register_are_seen_at_the_next_refresh() {
        let (_folder, access) = open();
        let token = access.registry.create("n8n", Terms::default()).unwrap();
        assert_eq!(
            code(&access, None, Some(token.reveal())),
            Code::TokenUnknown
        );
        assert!(access.refresh().unwrap());
        assert!(!access.refresh().unwrap());
        assert!(identify(&access, None, Some(token.reveal())).is_ok());
        access.registry.revoke("n8n").unwrap();
        access.refresh().unwrap();
        assert_eq!(
            code(&access, None, Some(token.reveal())),
            Code::TokenRevoked
        );
    }

    #[test]
    fn a_client_whose_token_was_replaced_or_who_is_switched_off_is_told_so() {
        let (_folder, access) = open();
        let old = access.registry.create("n8n", Terms::default()).unwrap();
        let middle = access.registry.rotate("n8n", Duration::ZERO).unwrap();
        let hour = Duration::from_hours(1);
        let new = access.registry.rotate("n8n", hour).unwrap();
        access.refresh().unwrap();
        let answer = |token: &Token| identify(&access, None, Some(token.reveal()));
        assert_eq!(answer(&old).unwrap_err().code, Code::TokenReplaced);
        assert_eq!(answer(&middle).unwrap(), answer(&new).unwrap());
        let off = access.registry.update("n8n", |client| {
            client.enabled = false;
            Ok(())
        });
        off.unwrap();
        access.refresh().unwrap();
        assert_eq!(answer(&new).unwrap_err().code, Code::ClientDisabled);
        assert_eq!(access.active_clients(), 1);
    }

    #[test]
    fn a_change_that_could_not_be_read_is_read_later() {
        let (folder, access) = open();
        let token = access.registry.create("n8n", Terms::default()).unwrap();
        let (file, aside) = (
            folder.path().join("clients.json"),
            folder.path().join("aside"),
        );
        std::fs::rename(&file, &aside).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(access.refresh().is_err());
        assert!(access.refresh().is_err(), "it is tried again");
        std::fs::remove_dir(&file).unwrap();
        std::fs::rename(&aside, &file).unwrap();
        assert!(access.refresh().unwrap());
        assert!(identify(&access, None, Some(token.reveal())).is_ok());
    }

    #[test]
    fn a_register_that_becomes_unreadable_locks_nobody_out() {
        let (folder, access) = open();
        let token = access.registry.first_token().unwrap();
        std::fs::write(folder.path().join("clients.json"), "{").unwrap();
        assert!(access.refresh().is_err());
        assert!(identify(&access, None, Some(token.reveal())).is_ok());
    }
}
