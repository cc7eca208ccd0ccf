//! Tokens: how they look, how they are made, what is kept of them.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const PREFIX: &str = "mcpb_";
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
/// 36 bytes in base 32, five bits a character.
const ENCODED_LENGTH: usize = 58;

/// A token in clear: `mcpb_` and 58 characters of lower-case base 32, which are 256 random bits and
/// the CRC-32 of them. The checksum tells a damaged token from an unknown one without a look-up.
pub struct Token(String);

impl Token {
    /// A new token from the operating system's random numbers.
    ///
    /// # Errors
    /// When the operating system has none.
    pub fn generate() -> std::io::Result<Self> {
        let mut secret = [0; SECRET_BYTES];
        rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut secret)
            .map_err(std::io::Error::other)?;
        let mut bytes = secret.to_vec();
        bytes.extend(crc32fast::hash(&secret).to_be_bytes());
        Ok(Self(format!(
            "{PREFIX}{}",
            BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
        )))
    }

    /// A token that somebody sent; nothing if it is damaged.
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text
            .strip_prefix(PREFIX)
            .filter(|rest| rest.len() == ENCODED_LENGTH)?;
        if encoded.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let bytes = BASE32_NOPAD
            .decode(encoded.to_ascii_uppercase().as_bytes())
            .ok()?;
        let (secret, checksum) = bytes.split_at_checked(SECRET_BYTES)?;
        let checksum: [u8; CHECKSUM_BYTES] = checksum.try_into().ok()?;
        (crc32fast::hash(secret) == u32::from_be_bytes(checksum)).then(|| Self(text.to_owned()))
    }

    /// The token itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// The SHA-256 of a token: enough to recognise it, useless to whoever steals it, since nobody
/// guesses 256 random bits. Written as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a secret, of whichever form.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Compares in a time that does not depend on where the two differ.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl serde::Serialize for TokenHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for TokenHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for TokenHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or("it is no token hash: 64 hexadecimal digits, in lower case")
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_is_well_formed_and_different_from_any_other() {
        let (one, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert!(Token::parse(one.reveal()).is_some());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), 63);
    }

    #[test]
    fn a_single_wrong_character_is_noticed() {
        let token = Token::generate().unwrap();
        for i in PREFIX.len()..token.reveal().len() {
            let mut damaged = token.reveal().to_owned();
            let other = if &damaged[i..=i] == "a" { "b" } else { "a" };
            damaged.replace_range(i..=i, other);
            assert!(Token::parse(&damaged).is_none(), "{i}");
        }
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let token = Token::generate().unwrap();
        let cut = &token.reveal()[..62];
        let upper = token.reveal().to_ascii_uppercase();
        for text in [
            "",
            "mcpb_",
            "eyJhbGciOiJIUzI1NiJ9.e30.x",
            cut,
            &upper,
            "mcpb_ü",
        ] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_token_is_recognised_by_its_hash_and_never_printed() {
        let token = Token::generate().unwrap();
        assert!(
            token
                .hash()
                .matches(&Token::parse(token.reveal()).unwrap().hash())
        );
        assert!(!token.hash().matches(&Token::generate().unwrap().hash()));
        assert_eq!(format!("{token:?}"), "Token(hidden)");
        let stored = serde_json::to_string(&token.hash()).unwrap();
        assert_eq!(
            serde_json::from_str::<TokenHash>(&stored).unwrap(),
            token.hash()
        );
    }
}
