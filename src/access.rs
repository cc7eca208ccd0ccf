//! Who may come in: clients and their tokens, host names and origins.

mod admin;
mod client;
mod guard;
mod origin;
mod registry;
pub mod rights;
mod token;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use crate::dispatch::guard::Guard;
use crate::error::{Code, Failure};
pub use admin::Admin;
pub use client::{Client, Credential, Terms};
pub use guard::guard;
use origin::is_listed;
pub use origin::{check_host, check_origin};
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
    /// Whoever sends no token is let in as [`Client::anyone`].
    pub leave_front_door_open: bool,
    /// Whether nobody may change anything through the bridge.
    pub read_only: bool,
}

/// The guard at the door.
#[derive(Debug)]
pub struct Access {
    settings: Settings,
    registry: Registry,
    clients: ArcSwap<Vec<Arc<Client>>>,
    seen: Mutex<Option<Stamp>>,
    anyone: Option<Arc<Client>>,
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
        let anyone = settings
            .leave_front_door_open
            .then(|| Arc::new(Client::anyone()));
        let access = Self {
            settings,
            registry,
            clients: ArcSwap::default(),
            seen: Mutex::new(None),
            anyone,
        };
        access.refresh()?;
        Ok(access)
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
        Ok(true)
    }

    /// The client that holds the token that was sent as `Authorization` or as `X-API-Key`. Whoever
    /// sends none is [`Client::anyone`] where the front door is open; a wrong token opens it never.
    ///
    /// # Errors
    /// Which mistake it was, as a code of the catalogue. The token is never part of it.
    pub fn identify(
        &self,
        authorization: Option<&str>,
        api_key: Option<&str>,
    ) -> Result<Arc<Client>, Failure> {
        let text = match (authorization, api_key) {
            (Some(authorization), _) => bearer(authorization)?,
            (None, Some(key)) => key.trim(),
            (None, None) => {
                let anyone = self.anyone.clone();
                return anyone.ok_or_else(|| Failure::new(Code::TokenMissing));
            }
        };
        let Some(token) = Token::parse(text) else {
            let code = if text.starts_with("eyJ") {
                Code::TokenOfHomeAssistant
            } else {
                Code::TokenMalformed
            };
            return Err(Failure::new(code));
        };
        let hash = token.hash();
        let clients = self.clients.load();
        // No early end: the time must not tell at which client it matched.
        let mut found = None;
        for client in clients.iter() {
            for kept in &client.tokens {
                if kept.sha256.matches(&hash) {
                    found = Some((client, kept));
                }
            }
        }
        let (client, kept) = found.ok_or_else(|| Failure::new(Code::TokenUnknown))?;
        let refusal = if !client.is_active() {
            Code::TokenRevoked
        } else if kept.expires.is_some_and(|end| end <= Timestamp::now()) {
            Code::TokenReplaced
        } else if !client.enabled {
            Code::ClientDisabled
        } else {
            return Ok(client.clone());
        };
        Err(Failure::new(refusal))
    }

    /// What the client may do now.
    pub fn guard(&self, client: &Arc<Client>) -> Arc<dyn Guard> {
        guard(client.clone(), self.settings.read_only)
    }

    /// Refuses requests that a foreign web page could have sent.
    ///
    /// # Errors
    /// [`Code::HostRefused`] or [`Code::OriginRefused`].
    pub fn check_source(&self, host: Option<&str>, origins: &[&str]) -> Result<(), Failure> {
        check_host(host, &self.settings.allowed_hosts)?;
        check_origin(origins, host, &self.settings.allowed_origins)
    }

    /// Refuses requests of a foreign web page that came through a proxy which knows its people.
    /// Under which host the proxy was addressed is the proxy's matter.
    ///
    /// # Errors
    /// [`Code::OriginRefused`].
    pub fn check_proxied(&self, host: Option<&str>, origins: &[&str]) -> Result<(), Failure> {
        check_origin(origins, host, &self.settings.allowed_origins)
    }

    /// Whether web pages of this origin may use the bridge although it is not their own.
    pub fn lists_origin(&self, origin: &str) -> bool {
        is_listed(origin, &self.settings.allowed_origins)
    }

    /// Whether nobody needs a token.
    pub const fn is_open(&self) -> bool {
        self.anyone.is_some()
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

/// The token behind `Bearer`; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(authorization: &str) -> Result<&str, Failure> {
    let authorization = authorization.trim();
    match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        None if authorization.is_empty() || authorization.eq_ignore_ascii_case("bearer") => {
            Err(Failure::new(Code::TokenMissing))
        }
        _ => Err(Failure::new(Code::TokenWithoutBearer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn open() -> (tempfile::TempDir, Access) {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(Settings::default(), Registry::new(folder.path())).unwrap();
        (folder, access)
    }

    fn code(access: &Access, authorization: Option<&str>, api_key: Option<&str>) -> Code {
        access.identify(authorization, api_key).unwrap_err().code
    }

    #[test]
    fn the_first_token_opens_as_bearer_and_as_api_key() {
        let (_folder, access) = open();
        let token = access.registry.first_token().unwrap();
        let token = token.reveal();
        for authorization in [format!("Bearer {token}"), format!("bearer  {token} ")] {
            assert_eq!(
                access.identify(Some(&authorization), None).unwrap().name,
                "default"
            );
        }
        assert_eq!(access.identify(None, Some(token)).unwrap().name, "default");
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
    fn through_an_open_door_everybody_comes_but_those_with_a_wrong_token() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            leave_front_door_open: true,
            ..Settings::default()
        };
        let access = Access::open(settings, Registry::new(folder.path())).unwrap();
        assert!(access.is_open());
        assert_eq!(access.identify(None, None).unwrap().name, "anyone");
        assert_eq!(code(&access, None, Some("nonsense")), Code::TokenMalformed);
        let token = access.registry.first_token().unwrap();
        let known = access.identify(None, Some(token.reveal())).unwrap();
        assert_eq!(known.name, "default");
        assert_eq!(access.active_clients(), 1);
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
        assert!(access.identify(None, Some(token.reveal())).is_ok());
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
        let answer = |token: &Token| access.identify(None, Some(token.reveal()));
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
        assert!(access.identify(None, Some(token.reveal())).is_ok());
    }

    #[test]
    fn a_register_that_becomes_unreadable_locks_nobody_out() {
        let (folder, access) = open();
        let token = access.registry.first_token().unwrap();
        std::fs::write(folder.path().join("clients.json"), "{").unwrap();
        assert!(access.refresh().is_err());
        assert!(access.identify(None, Some(token.reveal())).is_ok());
    }
}
