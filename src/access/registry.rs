//! The register of clients in the data folder: read whole, written whole, never half.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::token::{Token, TokenHash};
use crate::protocol::priority::Priority;

/// The form of the file that this program writes.
const SCHEMA: u32 = 1;
/// More clients than a house has; keeps a damaged or hostile file from growing the memory.
const MAX_CLIENTS: usize = 1000;
const MAX_NAME: usize = 64;
/// The client that is made at the first start.
const FIRST: &str = "default";

/// A client: somebody who holds a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Client {
    /// Its name, unique among those not revoked.
    pub name: String,
    /// The hash of its token.
    pub token_sha256: TokenHash,
    /// When it was made.
    pub created: Timestamp,
    /// How urgent its calls are at most.
    #[serde(default)]
    pub priority: Priority,
    /// How long its calls may take at most, in seconds; nothing for the bridge's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// When its token was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

/// What a new client may do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// How urgent its calls are at most.
    pub priority: Priority,
    /// How long its calls may take at most, in seconds; nothing for the bridge's default.
    pub timeout_s: Option<u64>,
}

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    schema: u32,
    clients: Vec<Client>,
}

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
    /// There are too many.
    #[error("there are {MAX_CLIENTS} clients already")]
    TooMany,
    /// The first token was not kept.
    #[error(
        "there is no first token in {0}: it is made when the bridge first starts without any client, \
         and goes when it is revoked; `mcp-bridge token create NAME` makes another"
    )]
    NoFirstToken(PathBuf),
}

/// Where the register lies.
#[derive(Debug, Clone)]
pub struct Registry {
    folder: PathBuf,
}

/// Which version of the file it is; equal stamps mean that nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Registry {
    /// The register in that folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// All clients, the revoked ones too; none if there is no file yet.
    ///
    /// # Errors
    /// An unreadable or damaged file.
    pub fn load(&self) -> Result<Vec<Client>, RegistryError> {
        let path = self.file();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(RegistryError::Io { path, source }),
        };
        let damaged = |why: String| RegistryError::Damaged {
            path: path.clone(),
            why,
        };
        let content: Content = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        if content.schema != SCHEMA {
            return Err(damaged(format!(
                "its schema is {}, known is {SCHEMA}",
                content.schema
            )));
        }
        if content.clients.len() > MAX_CLIENTS {
            return Err(damaged(format!("it has more than {MAX_CLIENTS} clients")));
        }
        Ok(content.clients)
    }

    /// The version of the file that lies there now; nothing if there is none.
    pub fn stamp(&self) -> Option<Stamp> {
        let meta = fs::metadata(self.file()).ok()?;
        let modified = (meta.mtime(), meta.mtime_nsec());
        Some(Stamp {
            inode: meta.ino(),
            size: meta.len(),
            modified,
        })
    }

    /// Adds a client and gives its token, which is nowhere else from then on.
    ///
    /// # Errors
    /// A name that is taken or unfit, or a file that cannot be written.
    pub fn create(&self, name: &str, terms: Terms) -> Result<Token, RegistryError> {
        let token = Token::generate().map_err(|source| self.io(source))?;
        self.add(name, terms, &token)?;
        Ok(token)
    }

    fn add(&self, name: &str, terms: Terms, token: &Token) -> Result<(), RegistryError> {
        let fits = (1..=MAX_NAME).contains(&name.chars().count())
            && name.trim() == name
            && !name.chars().any(char::is_control);
        if !fits {
            return Err(RegistryError::BadName(name.to_owned()));
        }
        self.change(|clients| {
            let holds = |client: &Client| client.name == name && client.revoked.is_none();
            if clients.iter().any(holds) {
                return Err(RegistryError::NameTaken(name.to_owned()));
            }
            if clients.len() >= MAX_CLIENTS {
                return Err(RegistryError::TooMany);
            }
            clients.push(Client {
                name: name.to_owned(),
                token_sha256: token.hash(),
                created: Timestamp::now(),
                priority: terms.priority,
                timeout_s: terms.timeout_s,
                revoked: None,
            });
            Ok(())
        })
    }

    /// Takes a client's right to come in. It stays in the register, so that whoever still uses the
    /// token is told what happened.
    ///
    /// # Errors
    /// A name that nobody has, or a file that cannot be written.
    pub fn revoke(&self, name: &str) -> Result<(), RegistryError> {
        self.change(|clients| {
            let mut held = clients
                .iter_mut()
                .filter(|c| c.name == name && c.revoked.is_none());
            let client = held
                .next()
                .ok_or_else(|| RegistryError::NoSuchClient(name.to_owned()))?;
            client.revoked = Some(Timestamp::now());
            Ok(())
        })?;
        if name == FIRST {
            match fs::remove_file(self.first_token_file()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.io(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the first client if the register is empty. Its token is kept in clear beside it, since
    /// nobody is there to read it at the first start; says whether it was made.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn ensure_first(&self) -> Result<bool, RegistryError> {
        if !self.load()?.is_empty() {
            return Ok(false);
        }
        let token = Token::generate().map_err(|source| self.io(source))?;
        fs::create_dir_all(&self.folder).map_err(|source| self.io(source))?;
        // The clear text first: a crash in between leaves an empty register, and the next start
        // makes another token.
        self.write(
            &self.first_token_file(),
            format!("{}\n", token.reveal()).as_bytes(),
        )?;
        self.add(FIRST, Terms::default(), &token)?;
        Ok(true)
    }

    /// The token of the first start.
    ///
    /// # Errors
    /// [`RegistryError::NoFirstToken`] if it is not kept (any more).
    pub fn first_token(&self) -> Result<Token, RegistryError> {
        let path = self.first_token_file();
        match fs::read_to_string(&path) {
            Ok(text) => Token::parse(text.trim()).ok_or_else(|| RegistryError::Damaged {
                path,
                why: "it does not hold a token".into(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(RegistryError::NoFirstToken(self.folder.clone()))
            }
            Err(source) => Err(RegistryError::Io { path, source }),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("clients.json")
    }

    fn first_token_file(&self) -> PathBuf {
        self.folder.join("first-token")
    }

    fn io(&self, source: io::Error) -> RegistryError {
        RegistryError::Io {
            path: self.folder.clone(),
            source,
        }
    }

    /// Reads, changes and writes under a lock, so that the bridge and the command line, or two
    /// command lines, do not undo each other's changes.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Client>) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        fs::create_dir_all(&self.folder).map_err(|source| self.io(source))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.folder.join("clients.lock"))
            .map_err(|source| self.io(source))?;
        lock.lock().map_err(|source| self.io(source))?;
        let mut clients = self.load()?;
        change(&mut clients)?;
        let content = Content {
            schema: SCHEMA,
            clients,
        };
        let mut text = serde_json::to_vec_pretty(&content).map_err(|e| self.io(e.into()))?;
        text.push(b'\n');
        self.write(&self.file(), &text)
    }

    /// Puts a whole new file in the place of the old one. A crash at any moment leaves one of the
    /// two.
    fn write(&self, path: &Path, text: &[u8]) -> Result<(), RegistryError> {
        let fresh = path.with_extension("new");
        let written = (|| {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(text)?;
            file.sync_all()?;
            fs::rename(&fresh, path)?;
            File::open(&self.folder)?.sync_all()
        })();
        written.map_err(|source| RegistryError::Io {
            path: path.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> (tempfile::TempDir, Registry) {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder.path().join("data"));
        (folder, registry)
    }

    #[test]
    fn a_created_client_is_found_again_by_its_hash_and_its_token_is_in_no_file() {
        let (_folder, registry) = registry();
        let token = registry.create("LM Studio", Terms::default()).unwrap();
        let clients = registry.load().unwrap();
        assert_eq!(clients[0].name, "LM Studio");
        assert!(clients[0].token_sha256.matches(&token.hash()));
        let file = fs::read_to_string(registry.file()).unwrap();
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
    fn the_first_token_is_made_once_and_goes_when_it_is_revoked() {
        let (_folder, registry) = registry();
        assert!(matches!(
            registry.first_token(),
            Err(RegistryError::NoFirstToken(_))
        ));
        assert!(registry.ensure_first().unwrap());
        let token = registry.first_token().unwrap();
        assert!(!registry.ensure_first().unwrap());
        assert_eq!(registry.first_token().unwrap().reveal(), token.reveal());
        registry.revoke(FIRST).unwrap();
        assert!(matches!(
            registry.first_token(),
            Err(RegistryError::NoFirstToken(_))
        ));
        assert!(!registry.ensure_first().unwrap());
    }

    #[test]
    fn files_can_be_read_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, registry) = registry();
        registry.ensure_first().unwrap();
        for path in [registry.file(), registry.first_token_file()] {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn a_damaged_file_is_reported_and_left_alone() {
        let (_folder, registry) = registry();
        registry.create("a", Terms::default()).unwrap();
        for text in [
            "",
            "{",
            r#"{"schema":9,"clients":[]}"#,
            r#"{"schema":1,"clients":[{}]}"#,
        ] {
            fs::write(registry.file(), text).unwrap();
            assert!(
                matches!(registry.load(), Err(RegistryError::Damaged { .. })),
                "{text}"
            );
            assert!(registry.create("b", Terms::default()).is_err());
            assert_eq!(fs::read_to_string(registry.file()).unwrap(), text);
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

    #[test]
    fn the_stamp_changes_with_every_change() {
        let (_folder, registry) = registry();
        assert_eq!(registry.stamp(), None);
        registry.create("a", Terms::default()).unwrap();
        let first = registry.stamp();
        registry.revoke("a").unwrap();
        assert_ne!(registry.stamp(), first);
    }
}
