//! The file of the register: read whole, written whole, never half.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{MAX_CLIENTS, RegistryError};
use crate::access::client::{Client, Credential, Terms};
use crate::access::token::TokenHash;
use crate::protocol::priority::Priority;

/// The form of the file that this program writes.
const SCHEMA: u32 = 2;
const FILE: &str = "clients.json";

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    schema: u32,
    clients: Vec<Client>,
}

/// What is looked at first.
#[derive(Deserialize)]
struct Version {
    schema: u32,
}

/// The file as version 0.1 began with it: one token for each client, no rights.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content1 {
    #[serde(rename = "schema")]
    _schema: u32,
    clients: Vec<Client1>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Client1 {
    name: String,
    token_sha256: TokenHash,
    created: Timestamp,
    #[serde(default)]
    priority: Priority,
    timeout_s: Option<u64>,
    revoked: Option<Timestamp>,
}

impl From<Client1> for Client {
    fn from(old: Client1) -> Self {
        let token = Credential {
            sha256: old.token_sha256,
            created: old.created,
            expires: None,
        };
        Self {
            revoked: old.revoked,
            tokens: vec![token],
            terms: Terms {
                priority: old.priority,
                timeout_s: old.timeout_s.and_then(std::num::NonZeroU64::new),
                ..Terms::default()
            },
            ..Self::new(old.name, old.created)
        }
    }
}

/// Which version of a file it is; equal stamps mean that nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// The version of the file that lies there now; nothing if there is none.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            inode: meta.ino(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        })
    }
}

/// The folder in which the register lies, alone with its lock and the first token.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// All clients; none if there is no file yet.
    pub(super) fn load(&self) -> Result<Vec<Client>, RegistryError> {
        let path = self.path(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(RegistryError::Io { path, source }),
        };
        let clients = parse(&text).and_then(|clients| {
            if clients.len() > MAX_CLIENTS {
                return Err(format!("it has more than {MAX_CLIENTS} clients"));
            }
            Ok(clients)
        });
        clients.map_err(|why| RegistryError::Damaged { path, why })
    }

    /// The version of the file that lies there now; nothing if there is none.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.path(FILE))
    }

    /// Reads, changes and writes under a lock, so that the bridge and the command line, or two
    /// command lines, do not undo each other's changes.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Client>) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let _lock = self.lock()?;
        let mut clients = self.load()?;
        let changed = change(&mut clients)?;
        let content = Content {
            schema: SCHEMA,
            clients,
        };
        let mut text = serde_json::to_vec_pretty(&content).map_err(|e| self.fault(e.into()))?;
        text.push(b'\n');
        self.write(FILE, &text)?;
        Ok(changed)
    }

    /// Keeps all others who lock the folder out until it is dropped.
    pub(super) fn lock(&self) -> Result<File, RegistryError> {
        self.make()?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path("clients.lock"))
            .map_err(|source| self.fault(source))?;
        lock.lock().map_err(|source| self.fault(source))?;
        Ok(lock)
    }

    /// Puts a whole new file in the place of the old one. A crash at any moment leaves one of the
    /// two.
    pub(super) fn write(&self, name: &str, text: &[u8]) -> Result<(), RegistryError> {
        self.make()?;
        let path = self.path(name);
        replace(&self.0, &path, text).map_err(|source| RegistryError::Io { path, source })
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), RegistryError> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.fault(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn fault(&self, source: io::Error) -> RegistryError {
        RegistryError::Io {
            path: self.0.clone(),
            source,
        }
    }

    fn make(&self) -> Result<(), RegistryError> {
        fs::create_dir_all(&self.0).map_err(|source| self.fault(source))
    }
}

fn parse(text: &[u8]) -> Result<Vec<Client>, String> {
    let Version { schema } = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    match schema {
        1 => serde_json::from_slice(text)
            .map(|content: Content1| content.clients.into_iter().map(Client::from).collect()),
        SCHEMA => serde_json::from_slice(text).map(|content: Content| content.clients),
        newer => return Err(format!("its schema is {newer}, known are 1 to {SCHEMA}")),
    }
    .map_err(|error| error.to_string())
}

/// Writes beside the old file, and renames only what is on the disk.
fn replace(folder: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().join("data"));
        folder.make().unwrap();
        (temporary, folder)
    }

    #[test]
    fn the_first_schema_is_understood_and_written_anew_at_the_next_change() {
        let (_temporary, folder) = folder();
        let hash = "a".repeat(64);
        let old = format!(
            r#"{{"schema":1,"clients":[
                {{"name":"LM Studio","token_sha256":"{hash}","created":"2026-01-02T03:04:05Z",
                  "priority":"interactive","timeout_s":30}},
                {{"name":"old","token_sha256":"{hash}","created":"2026-01-02T03:04:05Z",
                  "revoked":"2026-02-02T03:04:05Z"}}]}}"#
        );
        fs::write(folder.path(FILE), &old).unwrap();
        let read = folder.load().unwrap();
        assert_eq!(read[0].terms.priority, Priority::Interactive);
        assert_eq!(read[0].terms.timeout_s.unwrap().get(), 30);
        assert!(read[0].enabled && read[0].is_active() && !read[1].is_active());
        assert_eq!(fs::read_to_string(folder.path(FILE)).unwrap(), old);
        folder.change(|_| Ok(())).unwrap();
        assert_eq!(folder.load().unwrap(), read);
        let new = fs::read_to_string(folder.path(FILE)).unwrap();
        assert!(new.contains("\"schema\": 2"), "{new}");
    }

    #[test]
    fn a_damaged_file_is_reported_and_left_alone() {
        let (_temporary, folder) = folder();
        for text in [
            "",
            "{",
            r#"{"schema":9,"clients":[]}"#,
            r#"{"schema":1,"clients":[{}]}"#,
            r#"{"schema":2,"clients":[{}]}"#,
            r#"{"schema":2,"clients":[],"limits":{}}"#,
        ] {
            fs::write(folder.path(FILE), text).unwrap();
            let found = folder.load();
            assert!(
                matches!(found, Err(RegistryError::Damaged { .. })),
                "{text}"
            );
            assert!(folder.change(|_| Ok(())).is_err());
            assert_eq!(fs::read_to_string(folder.path(FILE)).unwrap(), text);
        }
    }

    #[test]
    fn a_restriction_that_is_not_known_is_not_ignored() {
        let (_temporary, folder) = folder();
        let client = |terms: &str| {
            format!(
                r#"{{"schema":2,"clients":[{{"name":"a","created":"2026-01-02T03:04:05Z",
                   "tokens":[],"terms":{terms}}}]}}"#
            )
        };
        fs::write(folder.path(FILE), client("{}")).unwrap();
        assert_eq!(folder.load().unwrap()[0].terms, Terms::default());
        for terms in [r#"{"weekdays":[1]}"#, r#"{"rights":{"only":["x"]}}"#] {
            fs::write(folder.path(FILE), client(terms)).unwrap();
            assert!(folder.load().is_err(), "{terms}");
        }
    }

    #[test]
    fn files_can_be_read_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let (_temporary, folder) = folder();
        folder.change(|_| Ok(())).unwrap();
        folder.write("other", b"x").unwrap();
        for name in [FILE, "other"] {
            let mode = fs::metadata(folder.path(name)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_stamp_changes_with_every_change() {
        let (_temporary, folder) = folder();
        assert_eq!(folder.stamp(), None);
        folder.change(|_| Ok(())).unwrap();
        let first = folder.stamp();
        folder.change(|_| Ok(())).unwrap();
        assert_ne!(folder.stamp(), first);
    }
}
