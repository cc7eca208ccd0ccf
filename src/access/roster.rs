//! The clients that may come in: those of the register, which is read again when it changes, and those
//! that the configuration declares.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::client::Client;
use super::identity;
use super::registry::{Registry, RegistryError, Stamp};

/// All clients, as they are now.
#[derive(Debug)]
pub(super) struct Roster {
    registry: Registry,
    sources: Mutex<Sources>,
    all: ArcSwap<Vec<Arc<Client>>>,
    /// Told when they are others.
    refreshed: watch::Sender<()>,
}

/// Where they come from.
#[derive(Debug, Default)]
struct Sources {
    /// The register as it was read last, and which version of it that was.
    registered: Vec<Client>,
    stamp: Option<Stamp>,
    declared: Vec<Client>,
}

impl Roster {
    /// Reads the register, and makes the first client if there would be none.
    ///
    /// # Errors
    /// A data folder that cannot be used, or a damaged register.
    pub(super) fn open(registry: Registry, declared: Vec<Client>) -> Result<Self, RegistryError> {
        if declared.is_empty() && registry.ensure_first()? {
            tracing::info!("made the first token; `mcp-bridge token show` prints it");
        }
        let roster = Self {
            registry,
            sources: Mutex::default(),
            all: ArcSwap::default(),
            refreshed: watch::Sender::new(()),
        };
        roster.declare(declared);
        roster.refresh()?;
        Ok(roster)
    }

    /// Declares these clients instead of those before.
    pub(super) fn declare(&self, declared: Vec<Client>) {
        let mut sources = self.sources();
        sources.declared = declared;
        self.put_together(&sources);
    }

    /// Reads the register again if it changed; says whether it did.
    ///
    /// # Errors
    /// An unreadable register; the clients stay as they were, and it is read again when it changes.
    pub(super) fn refresh(&self) -> Result<bool, RegistryError> {
        let mut sources = self.sources();
        let stamp = self.registry.stamp();
        if sources.stamp == stamp {
            return Ok(false);
        }
        let loaded = self.registry.load();
        // What could not be read may be readable in a moment: a revocation must not get lost. What
        // was read and is damaged stays so until it changes.
        if !matches!(loaded, Err(RegistryError::Io { .. })) {
            sources.stamp = stamp;
        }
        sources.registered = loaded?;
        self.put_together(&sources);
        Ok(true)
    }

    fn put_together(&self, sources: &Sources) {
        let taken = |client: &&Client| {
            let declared = check_not_declared(&sources.declared, &client.name);
            client.is_active() && declared.is_err()
        };
        for client in sources.registered.iter().filter(taken) {
            let client = &client.name;
            tracing::warn!(
                client,
                "a client of the register gives way to the declared one"
            );
        }
        let all = together(sources.registered.clone(), &sources.declared);
        self.all
            .store(Arc::new(all.into_iter().map(Arc::new).collect()));
        self.refreshed.send_replace(());
    }

    /// The clients now, the revoked ones too.
    pub(super) fn all(&self) -> Arc<Vec<Arc<Client>>> {
        self.all.load_full()
    }

    /// A client that came in earlier, on its terms of now; nothing if it would not come in any more.
    pub(super) fn renewed(&self, client: &Client) -> Option<Arc<Client>> {
        identity::renewed(&self.all.load(), client)
    }

    /// Tells whenever somebody may have to leave.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.refreshed.subscribe()
    }

    /// The register.
    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The register, to change the client of this name in it.
    ///
    /// # Errors
    /// [`RegistryError::Declared`] for one that the configuration declares.
    pub(super) fn to_change(&self, name: &str) -> Result<&Registry, RegistryError> {
        check_not_declared(&self.sources().declared, name)?;
        Ok(&self.registry)
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clients of the register and the declared ones. A declared one takes the place of one of the
/// register that has its name.
pub fn together(registered: Vec<Client>, declared: &[Client]) -> Vec<Client> {
    let names: HashSet<&str> = declared.iter().map(|client| client.name.as_str()).collect();
    let gives_way = |client: &Client| client.is_active() && names.contains(client.name.as_str());
    let registered = registered.into_iter().filter(|client| !gives_way(client));
    registered.chain(declared.iter().cloned()).collect()
}

/// Whether the client of this name can be changed in the register.
///
/// # Errors
/// [`RegistryError::Declared`] for one of these.
pub fn check_not_declared(declared: &[Client], name: &str) -> Result<(), RegistryError> {
    if declared.iter().any(|client| client.name == name) {
        return Err(RegistryError::Declared(name.to_owned()));
    }
    Ok(())
}
