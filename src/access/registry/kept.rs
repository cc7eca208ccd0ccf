//! What lies beside the register in the data folder: tokens that nobody was there to read, the
//! bridge's own secret, and when clients were last there.

use std::io;

use data_encoding::HEXLOWER;

use super::{Registry, RegistryError};
use crate::access::client::Terms;
use crate::access::last_seen::LastSeen;
use crate::access::token::Token;

/// The client that is made at the first start.
const FIRST: &str = "default";
/// The file that holds its token in clear.
const FIRST_TOKEN: &str = "first-token";
/// The token of operators, in clear.
const ADMIN_TOKEN: &str = "admin-token";
const LAST_SEEN: &str = "last-seen.json";
/// The file that holds the bridge's own secret.
const SECRET: &str = "secret";

impl Registry {
    /// Makes the first client if the register is empty. Its token is kept in clear beside it, since
    /// nobody is there to read it at the first start; says whether it was made.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn ensure_first(&self) -> Result<bool, RegistryError> {
        if !self.load()?.is_empty() {
            return Ok(false);
        }
        let token = self.token()?;
        // The clear text first: a crash in between leaves an empty register, and the next start
        // makes another token.
        let text = format!("{}\n", token.reveal());
        self.folder.write(FIRST_TOKEN, text.as_bytes())?;
        self.add(FIRST, Terms::default(), &token)?;
        Ok(true)
    }

    /// The token of the first start.
    ///
    /// # Errors
    /// [`RegistryError::NoFirstToken`] if it is not kept (any more).
    pub fn first_token(&self) -> Result<Token, RegistryError> {
        let missing = || RegistryError::NoFirstToken(self.folder.path(FIRST_TOKEN));
        self.kept_token(FIRST_TOKEN)?.ok_or_else(missing)
    }

    /// The token of operators. It is made when it is asked for the first time, and kept in clear,
    /// since nobody is there to read it then.
    ///
    /// # Errors
    /// A folder that cannot be used, or a damaged token in it.
    pub fn admin_token(&self) -> Result<Token, RegistryError> {
        if let Some(token) = self.kept_token(ADMIN_TOKEN)? {
            return Ok(token);
        }
        let token = self.token()?;
        let text = format!("{}\n", token.reveal());
        self.folder.write(ADMIN_TOKEN, text.as_bytes())?;
        Ok(token)
    }

    /// A token that is kept in clear.
    fn kept_token(&self, file: &str) -> Result<Option<Token>, RegistryError> {
        let path = self.folder.path(file);
        match std::fs::read_to_string(&path) {
            Ok(text) => match Token::parse(text.trim()) {
                Some(token) => Ok(Some(token)),
                None => Err(RegistryError::Damaged {
                    path,
                    why: "it does not hold a token".into(),
                }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RegistryError::Io { path, source }),
        }
    }

    /// When each client was last there, as the running bridge has noted now and then.
    ///
    /// # Errors
    /// An unreadable or damaged file.
    pub fn last_seen(&self) -> Result<LastSeen, RegistryError> {
        let path = self.folder.path(LAST_SEEN);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| RegistryError::Damaged {
                path,
                why: error.to_string(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LastSeen::new()),
            Err(source) => Err(RegistryError::Io { path, source }),
        }
    }

    /// Keeps when each client was last there, beside the register, which is not to be written for
    /// each call.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn keep_last_seen(&self, times: &LastSeen) -> Result<(), RegistryError> {
        let text = serde_json::to_vec(times).map_err(|error| self.folder.fault(error.into()))?;
        self.folder.write(LAST_SEEN, &text)
    }

    /// The secret with which the bridge signs what it gives clients to keep. Made when it is first
    /// needed; all replicas that share the folder have the same.
    ///
    /// # Errors
    /// A folder that cannot be used, or a damaged file.
    pub fn secret(&self) -> Result<[u8; 32], RegistryError> {
        let _lock = self.folder.lock()?;
        let path = self.folder.path(SECRET);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let secret = HEXLOWER.decode(text.trim().as_bytes()).ok();
                secret
                    .and_then(|secret| secret.try_into().ok())
                    .ok_or_else(|| RegistryError::Damaged {
                        path,
                        why: "it does not hold 64 hexadecimal digits".into(),
                    })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut secret = [0; 32];
                rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut secret)
                    .map_err(|error| self.folder.fault(io::Error::other(error)))?;
                let text = format!("{}\n", HEXLOWER.encode(&secret));
                self.folder.write(SECRET, text.as_bytes())?;
                Ok(secret)
            }
            Err(source) => Err(RegistryError::Io { path, source }),
        }
    }

    /// The clear text of the first token has no use once the token has none.
    pub(super) fn forget_first(&self, name: &str) -> Result<(), RegistryError> {
        if name == FIRST {
            self.folder.remove(FIRST_TOKEN)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn registry() -> (tempfile::TempDir, Registry) {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder.path().join("data"));
        (folder, registry)
    }

    #[test]
    fn the_first_token_is_made_once_and_goes_when_it_is_replaced_or_revoked() {
        let (_folder, registry) = registry();
        let missing = |registry: &Registry| {
            matches!(registry.first_token(), Err(RegistryError::NoFirstToken(_)))
        };
        assert!(missing(&registry));
        assert!(registry.ensure_first().unwrap());
        let token = registry.first_token().unwrap();
        assert!(!registry.ensure_first().unwrap());
        assert_eq!(registry.first_token().unwrap().reveal(), token.reveal());
        registry.rotate(FIRST, Duration::ZERO).unwrap();
        assert!(missing(&registry));
        let text = format!("{}\n", token.reveal());
        registry.folder.write(FIRST_TOKEN, text.as_bytes()).unwrap();
        registry.revoke(FIRST).unwrap();
        assert!(missing(&registry));
        assert!(!registry.ensure_first().unwrap());
    }

    #[test]
    fn the_secret_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder.path().join("data"));
        let secret = registry.secret().unwrap();
        assert_eq!(registry.secret().unwrap(), secret);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Registry::new(other.path()).secret().unwrap(), secret);
        std::fs::write(folder.path().join("data/secret"), "short").unwrap();
        let damaged = registry.secret();
        assert!(
            matches!(damaged, Err(RegistryError::Damaged { .. })),
            "{damaged:?}"
        );
    }
}
