//! What the bridge gives clients to keep and wants back as it was: signed with a key of its own
//! (HMAC-SHA-256, RFC 2104), readable by everybody, made by nobody else.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Bytes of a signature.
const SIGNATURE: usize = 32;

/// Signs for one purpose: what was signed for another one is worth nothing here.
#[derive(Clone)]
pub struct Seal(Hmac<Sha256>);

impl Seal {
    /// With the bridge's secret; `purpose` is a name that is used once in the program.
    pub fn new(secret: &[u8; 32], purpose: &str) -> Self {
        let key = Self::keyed(secret).chain_update(purpose).finalize();
        Self(Self::keyed(&key.into_bytes().into()))
    }

    fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
        // A key that is shorter than the block of the hash is filled up with zeros (RFC 2104).
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        Hmac::new(&block.into())
    }

    /// The content with its signature, in capitals and digits (RFC 4648, base32), which nobody who
    /// looks for tokens takes for one. It can be opened only with
    /// the same `owner`, which is not part of it.
    pub fn close(&self, content: &[u8], owner: &str) -> String {
        let mut sealed = content.to_vec();
        sealed.extend(self.signed(content, owner).finalize().into_bytes());
        BASE32_NOPAD.encode(&sealed)
    }

    /// The content of what [`Seal::close`] made; nothing of anything else.
    pub fn open(&self, text: &str, owner: &str) -> Option<Vec<u8>> {
        let mut content = BASE32_NOPAD.decode(text.as_bytes()).ok()?;
        let signature = content.split_off(content.len().checked_sub(SIGNATURE)?);
        let signed = self.signed(&content, owner);
        signed.verify_slice(&signature).is_ok().then_some(content)
    }

    fn signed(&self, content: &[u8], owner: &str) -> Hmac<Sha256> {
        // The length keeps owner and content apart.
        let length = (owner.len() as u64).to_be_bytes();
        let signed = self.0.clone().chain_update(length);
        signed.chain_update(owner).chain_update(content)
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seal() -> Seal {
        Seal::new(&[7; 32], "test")
    }

    #[test]
    fn another_key_purpose_or_context_opens_nothing() {
        let sealed = seal().close(b"content", "client");
        assert_eq!(
            seal().open(&sealed, "client").as_deref(),
            Some(&b"content"[..])
        );
        assert_eq!(seal().open(&sealed, "other"), None);
        assert_eq!(Seal::new(&[8; 32], "test").open(&sealed, "client"), None);
        assert_eq!(Seal::new(&[7; 32], "other").open(&sealed, "client"), None);
    }

    #[test]
    fn content_and_context_cannot_be_shifted() {
        let sealed = seal().close(b"bc", "a");
        let mut bytes = BASE32_NOPAD.decode(sealed.as_bytes()).unwrap();
        bytes.remove(0);
        assert_eq!(seal().open(&BASE32_NOPAD.encode(&bytes), "ab"), None);
    }

    proptest! {
        #[test]
        fn what_was_closed_opens_and_what_was_changed_does_not(
            content: Vec<u8>, context: String, at: prop::sample::Index, bit in 0u8..8
        ) {
            let sealed = seal().close(&content, &context);
            prop_assert_eq!(seal().open(&sealed, &context), Some(content));
            let mut bytes = BASE32_NOPAD.decode(sealed.as_bytes()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(seal().open(&BASE32_NOPAD.encode(&bytes), &context), None);
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), context in any::<String>()) {
            prop_assert_eq!(seal().open(&text, &context), None);
        }
    }
}
