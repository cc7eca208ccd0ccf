//! Who may see and change the bridge itself: the holder of the admin token, and the browsers that
//! signed in with it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::brake::{Brake, Settings as BrakeSettings, Verdict};
use super::registry::{Registry, RegistryError};
use super::sessions::Sessions;
use super::token::{Token, TokenHash};
use crate::error::{Code, Failure};

/// The guard of the admin listener.
#[derive(Debug)]
pub struct Admin {
    token: ArcSwap<TokenHash>,
    brake: Mutex<Brake>,
    sessions: Mutex<Sessions>,
}

impl Admin {
    /// Guards with the token that is set, or else with the one in the data folder, which is made if
    /// there is none.
    ///
    /// # Errors
    /// A folder that cannot be used, or a damaged token in it.
    pub fn open(
        token: Option<TokenHash>,
        brake: BrakeSettings,
        registry: &Registry,
    ) -> Result<Self, RegistryError> {
        let token = Self::choose(token, registry)?;
        Ok(Self {
            token: ArcSwap::from_pointee(token),
            brake: Mutex::new(Brake::new(brake)),
            sessions: Mutex::default(),
        })
    }

    /// The token that is set, or else the one in the data folder, which is made if there is none.
    ///
    /// # Errors
    /// A folder that cannot be used, or a damaged token in it.
    pub fn choose(
        token: Option<TokenHash>,
        registry: &Registry,
    ) -> Result<TokenHash, RegistryError> {
        match token {
            Some(token) => Ok(token),
            None => Ok(registry.admin_token()?.hash()),
        }
    }

    /// Another token and another brake from now on. Who has to wait still has to; who signed in with
    /// another token has to sign in again.
    pub fn configure(&self, token: TokenHash, brake: BrakeSettings) {
        let before = self.token.swap(Arc::new(token));
        if before != self.token.load_full() {
            *self.sessions() = Sessions::default();
        }
        self.brake().configure(brake);
    }

    /// Checks an admin token that was sent with a request. An address that has sent too many wrong
    /// ones is not listened to at all: a token that somebody has chosen can be guessed.
    ///
    /// # Errors
    /// [`Code::AdminTokenWrong`] or [`Code::TooManyWrongTokens`].
    pub fn check_token(&self, text: &str, sender: IpAddr) -> Result<(), Failure> {
        let mut brake = self.brake();
        let now = Instant::now();
        let waits = |wait| Failure {
            retry_after: Some(wait),
            ..Failure::new(Code::TooManyWrongTokens)
        };
        if let Some(wait) = brake.wait(sender, now) {
            return Err(waits(wait));
        }
        if self.token.load().matches(&TokenHash::of(text.trim())) {
            return Ok(());
        }
        if brake.fail(sender, now) != Verdict::Bearable {
            tracing::warn!(%sender, "too many wrong admin tokens; an address has to wait");
        }
        Err(Failure::new(Code::AdminTokenWrong))
    }

    /// Signs a browser in; gives the key for its cookie.
    ///
    /// # Errors
    /// Those of [`Admin::check_token`]; [`Code::Internal`] when there are no random numbers.
    pub fn sign_in(&self, token: &str, sender: IpAddr) -> Result<Token, Failure> {
        self.check_token(token, sender)?;
        let key = Token::generate().map_err(|error| Failure::with(Code::Internal, error))?;
        self.sessions().open(key.hash(), Instant::now());
        Ok(key)
    }

    /// Whether the key of a cookie is that of a browser that is signed in.
    pub fn is_signed_in(&self, key: &str) -> bool {
        self.sessions().knows(&TokenHash::of(key), Instant::now())
    }

    /// Signs a browser out.
    pub fn sign_out(&self, key: &str) {
        self.sessions().close(&TokenHash::of(key));
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn brake(&self) -> MutexGuard<'_, Brake> {
        self.brake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn whoever_guesses_too_often_is_not_listened_to_even_with_the_right_token() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder.path());
        let token = registry.admin_token().unwrap();
        let admin = Admin::open(None, BrakeSettings::default(), &registry).unwrap();
        for n in 0..=BrakeSettings::default().wrong_tokens {
            let wrong = admin.check_token(&n.to_string(), HERE).unwrap_err();
            assert_eq!(wrong.code, Code::AdminTokenWrong);
        }
        let refused = admin.check_token(token.reveal(), HERE).unwrap_err();
        assert_eq!(refused.code, Code::TooManyWrongTokens);
        let elsewhere = [10, 0, 0, 1].into();
        assert!(admin.check_token(token.reveal(), elsewhere).is_ok());
    }

    #[test]
    fn the_token_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder.path());
        let token = registry.admin_token().unwrap();
        for _ in 0..2 {
            let admin = Admin::open(None, BrakeSettings::default(), &registry).unwrap();
            assert!(admin.check_token(token.reveal(), HERE).is_ok());
            let wrong = admin.check_token("guess", HERE).unwrap_err();
            assert_eq!(wrong.code, Code::AdminTokenWrong);
        }
    }

    #[test]
    fn a_token_that_is_set_takes_the_place_of_the_kept_one() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder.path());
        let kept = registry.admin_token().unwrap();
        let own = TokenHash::of("correct horse battery staple");
        let admin = Admin::open(Some(own), BrakeSettings::default(), &registry).unwrap();
        assert!(
            admin
                .check_token("correct horse battery staple", HERE)
                .is_ok()
        );
        assert!(admin.check_token(kept.reveal(), HERE).is_err());
    }
}
