//! Who may see and change the bridge itself: the holder of the admin token.

use super::registry::{Registry, RegistryError};
use super::token::TokenHash;
use crate::error::{Code, Failure};

/// The guard of the admin listener.
#[derive(Debug)]
pub struct Admin {
    token: TokenHash,
}

impl Admin {
    /// Guards with the token that is set, or else with the one in the data folder, which is made if
    /// there is none.
    ///
    /// # Errors
    /// A folder that cannot be used, or a damaged token in it.
    pub fn open(token: Option<TokenHash>, registry: &Registry) -> Result<Self, RegistryError> {
        let token = match token {
            Some(token) => token,
            None => registry.admin_token()?.hash(),
        };
        Ok(Self { token })
    }

    /// Checks an admin token that was sent with a request.
    ///
    /// # Errors
    /// [`Code::AdminTokenWrong`].
    pub fn check_token(&self, text: &str) -> Result<(), Failure> {
        if self.token.matches(&TokenHash::of(text.trim())) {
            Ok(())
        } else {
            Err(Failure::new(Code::AdminTokenWrong))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder.path());
        let token = registry.admin_token().unwrap();
        for _ in 0..2 {
            let admin = Admin::open(None, &registry).unwrap();
            assert!(admin.check_token(token.reveal()).is_ok());
            let wrong = admin.check_token("guess").unwrap_err();
            assert_eq!(wrong.code, Code::AdminTokenWrong);
        }
    }

    #[test]
    fn a_token_that_is_set_takes_the_place_of_the_kept_one() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder.path());
        let kept = registry.admin_token().unwrap();
        let own = TokenHash::of("correct horse battery staple");
        let admin = Admin::open(Some(own), &registry).unwrap();
        assert!(admin.check_token("correct horse battery staple").is_ok());
        assert!(admin.check_token(kept.reveal()).is_err());
    }
}
