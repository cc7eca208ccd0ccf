//! The register of clients in the data folder: who is made, changed, locked out.

mod file;
mod kept;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::client::{Client, Credential, Terms};
use super::token::Token;
use file::Folder;
pub use file::Stamp;

/// More clients than a house has; keeps a damaged or hostile file from growing the memory.
const MAX_CLIENTS: usize = 1000;
/// Tokens of one client, those that are being replaced among them.
const MAX_TOKENS: usize = 8;

/// Why the register could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error("{path} is damaged: {why}; restore it from a backup, or remove it to start anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The name cannot be used.
    #[error("{0:?} is no name for a client: 1 to 64 characters, no control characters")]
    BadName(String),
    /// The name is taken.
    #[error("there is a client {0:?} already; revoke it first, or choose another name")]
    NameTaken(String),
    /// Nobody has that name.
    #[error("there is no client {0:?}; `mcp-bridge token list` shows all")]
    NoSuchClient(String),
    /// The name is that of a client of the configuration.
    #[error("the configuration declares the client {0:?}: change it there (`clients`)")]
    Declared(String),
    /// There are too many.
    #[error("there are {MAX_CLIENTS} clients already")]
    TooMany,
    /// The first token was not kept.
    #[error(
        "there is no first token at {0}: it is made when the bridge first starts without any client, \
         and goes when it is replaced or revoked; `mcp-bridge token create NAME` makes another"
    )]
    NoFirstToken(PathBuf),
}

/// Where the register lies.
#[derive(Debug, Clone)]
pub struct Registry {
    folder: Folder,
}

impl Registry {
    /// The register in that folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Folder::new(folder.into()),
        }
    }

    /// All clients, the revoked ones too; none if there is no file yet.
    ///
    /// # Errors
    /// An unreadable or damaged file.
    pub fn load(&self) -> Result<Vec<Client>, RegistryError> {
        self.folder.load()
    }

    /// The version of the file that lies there now; nothing if there is none.
    pub fn stamp(&self) -> Option<Stamp> {
        self.folder.stamp()
    }

    /// Adds a client and gives its token, which is nowhere else from then on.
    ///
    /// # Errors
    /// A name that is taken or unfit, or a file that cannot be written.
    pub fn create(&self, name: &str, terms: Terms) -> Result<Token, RegistryError> {
        let token = self.token()?;
        self.add(name, terms, &token)?;
        Ok(token)
    }

    fn add(&self, name: &str, terms: Terms, token: &Token) -> Result<(), RegistryError> {
        if !Client::is_name(name) {
            return Err(RegistryError::BadName(name.to_owned()));
        }
        let now = Timestamp::now();
        self.folder.change(|clients| {
            if active(clients, name).is_ok() {
                return Err(RegistryError::NameTaken(name.to_owned()));
            }
            if clients.len() >= MAX_CLIENTS {
                forget_oldest_revoked(clients)?;
            }
            clients.push(Client {
                tokens: vec![credential(token, now)],
                terms,
                ..Client::new(name.to_owned(), now)
            });
            Ok(())
        })
    }

    /// Gives a client a new token. The old one goes on for as long as `overlap`, in which the new
    /// one can be brought to where it is used.
    ///
    /// # Errors
    /// A name that nobody has, or a file that cannot be written.
    pub fn rotate(&self, name: &str, overlap: Duration) -> Result<Token, RegistryError> {
        let token = self.token()?;
        let now = Timestamp::now();
        let end = now.checked_add(overlap).unwrap_or(Timestamp::MAX);
        self.folder.change(|clients| {
            let client = active(clients, name)?;
            for old in &mut client.tokens {
                old.expires = Some(old.expires.map_or(end, |expires| expires.min(end)));
            }
            client.tokens.insert(0, credential(&token, now));
            client.tokens.truncate(MAX_TOKENS);
            Ok(())
        })?;
        self.forget_first(name)?;
        Ok(token)
    }

    /// Changes a client, and gives it as it is then. Its name stays.
    ///
    /// # Errors
    /// A name that nobody has, what `change` says, or a file that cannot be written.
    pub fn update(
        &self,
        name: &str,
        change: impl FnOnce(&mut Client) -> Result<(), RegistryError>,
    ) -> Result<Client, RegistryError> {
        self.folder.change(|clients| {
            let client = active(clients, name)?;
            change(client)?;
            name.clone_into(&mut client.name);
            Ok(client.clone())
        })
    }

    /// Takes a client's right to come in. It stays in the register, so that whoever still uses the
    /// token is told what happened.
    ///
    /// # Errors
    /// A name that nobody has, or a file that cannot be written.
    pub fn revoke(&self, name: &str) -> Result<(), RegistryError> {
        self.update(name, |client| {
            client.revoked = Some(Timestamp::now());
            Ok(())
        })?;
        self.forget_first(name)
    }

    fn token(&self) -> Result<Token, RegistryError> {
        Token::generate().map_err(|source| self.folder.fault(source))
    }
}

fn active<'a>(clients: &'a mut [Client], name: &str) -> Result<&'a mut Client, RegistryError> {
    let mut held = clients.iter_mut().filter(|client| client.is_active());
    held.find(|client| client.name == name)
        .ok_or_else(|| RegistryError::NoSuchClient(name.to_owned()))
}

fn credential(token: &Token, created: Timestamp) -> Credential {
    Credential {
        sha256: token.hash(),
        created,
        expires: None,
    }
}

/// Makes room: whoever was locked out longest ago is no longer told so.
fn forget_oldest_revoked(clients: &mut Vec<Client>) -> Result<(), RegistryError> {
    let revoked = clients.iter().enumerate().filter(|(_, c)| !c.is_active());
    let oldest = revoked.min_by_key(|(_, client)| client.revoked);
    let (place, _) = oldest.ok_or(RegistryError::TooMany)?;
    clients.remove(place);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> (tempfile::TempDir, Registry) {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder.path().join("data"));
        (folder, registry)
    }

    fn holds(client: &Client, token: &Token) -> bool {
        let hash = token.hash();
        client.tokens.iter().any(|kept| kept.sha256.matches(&hash))
    }

    #[test]
    fn a_created_client_is_found_again_by_its_hash_and_its_token_is_in_no_file() {
        let (_folder, registry) = registry();
        let token = registry.create("LM Studio", Terms::default()).unwrap();
        let clients = registry.load().unwrap();
        assert_eq!(clients[0].name, "LM Studio");
        assert!(holds(&clients[0], &token));
        let file = std::fs::read_to_string(registry.folder.path("clients.json")).unwrap();
        assert!(!file.contains(token.reveal()));
    }

    #[test]
    fn a_name_can_be_used_again_only_after_it_was_revoked() {
        let (_folder, registry) = registry();
        registry.create("n8n", Terms::default()).unwrap();
        assert!(matches!(
            registry.create("n8n", Terms::default()),
            Err(RegistryError::NameTaken(_))
        ));
        registry.revoke("n8n").unwrap();
        assert!(matches!(
            registry.revoke("n8n"),
            Err(RegistryError::NoSuchClient(_))
        ));
        registry.create("n8n", Terms::default()).unwrap();
        assert_eq!(registry.load().unwrap().len(), 2);
    }

    #[test]
    fn a_full_register_forgets_whom_it_locked_out_longest_ago() {
        let (_folder, registry) = registry();
        registry.create("first", Terms::default()).unwrap();
        registry.create("second", Terms::default()).unwrap();
        registry
            .folder
            .change(|clients| {
                let other = clients[0].clone();
                clients.resize(MAX_CLIENTS, other);
                Ok(())
            })
            .unwrap();
        assert!(matches!(
            registry.create("x", Terms::default()),
            Err(RegistryError::TooMany)
        ));
        registry.revoke("second").unwrap();
        registry.create("x", Terms::default()).unwrap();
        let clients = registry.load().unwrap();
        assert_eq!(clients.len(), MAX_CLIENTS);
        assert!(clients.iter().all(Client::is_active));
    }

    #[test]
    fn a_new_token_ends_the_old_one_after_the_overlap_and_not_later_than_it_would_end_anyway() {
        let (_folder, registry) = registry();
        let hour = Duration::from_hours(1);
        let old = registry.create("n8n", Terms::default()).unwrap();
        let new = registry.rotate("n8n", hour).unwrap();
        let newest = registry.rotate("n8n", 2 * hour).unwrap();
        let client = &registry.load().unwrap()[0];
        assert!(
            [&old, &new, &newest]
                .iter()
                .all(|token| holds(client, token))
        );
        let lasts = |n: usize| {
            let end = client.tokens[n].expires?;
            Some(end.duration_since(client.tokens[2].created).as_hours())
        };
        assert_eq!([lasts(0), lasts(1), lasts(2)], [None, Some(2), Some(1)]);
        for _ in 0..2 * MAX_TOKENS {
            registry.rotate("n8n", hour).unwrap();
        }
        assert_eq!(registry.load().unwrap()[0].tokens.len(), MAX_TOKENS);
    }

    #[test]
    fn a_change_keeps_the_name_and_a_refused_change_keeps_everything() {
        let (_folder, registry) = registry();
        registry.create("n8n", Terms::default()).unwrap();
        let changed = registry.update("n8n", |client| {
            client.name = "other".to_owned();
            client.enabled = false;
            Ok(())
        });
        assert_eq!(changed.unwrap(), registry.load().unwrap()[0]);
        let client = registry.load().unwrap().remove(0);
        assert_eq!((client.name.as_str(), client.enabled), ("n8n", false));
        let refused = registry.update("n8n", |client| {
            client.enabled = true;
            Err(RegistryError::TooMany)
        });
        assert!(refused.is_err());
        assert!(!registry.load().unwrap()[0].enabled);
    }

    #[test]
    fn names_that_would_confuse_a_reader_are_refused() {
        let (_folder, registry) = registry();
        for name in ["", " x", "a\nb", &"x".repeat(65)] {
            assert!(
                matches!(
                    registry.create(name, Terms::default()),
                    Err(RegistryError::BadName(_))
                ),
                "{name:?}"
            );
        }
    }

    #[test]
    fn changes_from_many_sides_at_once_are_all_kept() {
        let (_folder, registry) = registry();
        std::thread::scope(|scope| {
            for n in 0..16 {
                let registry = registry.clone();
                scope.spawn(move || {
                    registry
                        .create(&format!("client {n}"), Terms::default())
                        .unwrap()
                });
            }
        });
        assert_eq!(registry.load().unwrap().len(), 16);
    }
}
