//! Certificates of clients: whoever shows one of an authority that counts needs no token.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

/// A certificate that a client has shown, and that the listener has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    sha256: [u8; 32],
    dns_names: Vec<String>,
}

impl Certificate {
    /// Reads a certificate in DER. One that cannot be taken apart has no names.
    pub fn of(der: &CertificateDer<'_>) -> Self {
        let parsed = EndEntityCert::try_from(der).ok();
        let names = parsed
            .iter()
            .flat_map(|certificate| certificate.valid_dns_names());
        Self {
            sha256: Sha256::digest(der).into(),
            dns_names: names.map(str::to_ascii_lowercase).collect(),
        }
    }

    /// Whether this is the certificate that is meant.
    pub fn is(&self, id: &CertificateId) -> bool {
        match id {
            CertificateId::Sha256(sha256) => self.sha256 == *sha256,
            CertificateId::DnsName(name) => self.dns_names.contains(name),
        }
    }
}

/// What a certificate is recognised by: its SHA-256 (`sha256:` and hexadecimal digits), or a DNS
/// name among its alternative names, which stays when it is renewed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CertificateId {
    /// The hash of its DER form.
    Sha256([u8; 32]),
    /// One of its names, in lower case.
    DnsName(String),
}

/// A text that names no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it names no certificate; write it like `n8n.home.arpa` or `sha256:` and 64 hexadecimal digits"
)]
pub struct NoCertificateId;

impl FromStr for CertificateId {
    type Err = NoCertificateId;

    fn from_str(text: &str) -> Result<Self, NoCertificateId> {
        let text = text.trim().to_ascii_lowercase();
        if let Some(digits) = text.strip_prefix("sha256:") {
            let digits = digits.replace(':', "");
            let bytes = HEXLOWER.decode(digits.as_bytes()).ok();
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            return bytes.map(Self::Sha256).ok_or(NoCertificateId);
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if text.is_empty() || text.len() > 253 || !text.chars().all(fits) {
            return Err(NoCertificateId);
        }
        Ok(Self::DnsName(text))
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(sha256) => write!(f, "sha256:{}", HEXLOWER.encode(sha256)),
            Self::DnsName(name) => f.write_str(name),
        }
    }
}

impl TryFrom<String> for CertificateId {
    type Error = NoCertificateId;

    fn try_from(text: String) -> Result<Self, NoCertificateId> {
        text.parse()
    }
}

impl From<CertificateId> for String {
    fn from(id: CertificateId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_recognised_by_its_hash_and_its_names() {
        let names = ["n8n.home.arpa".to_owned(), "other.home.arpa".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let certificate = Certificate::of(made.cert.der());
        let hash = HEXLOWER.encode(&Sha256::digest(made.cert.der()));
        for (id, is) in [
            ("n8n.home.arpa", true),
            ("Other.Home.Arpa", true),
            ("home.arpa", false),
            (&format!("sha256:{hash}"), true),
            (&format!("SHA256:{}", hash.to_ascii_uppercase()), true),
            (&format!("sha256:{}", "0".repeat(64)), false),
        ] {
            assert_eq!(certificate.is(&id.parse().unwrap()), is, "{id}");
        }
        let unreadable = Certificate::of(&CertificateDer::from(&b"nonsense"[..]));
        assert_eq!(unreadable.dns_names, Vec::<String>::new());
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let hash = format!("sha256:{}", "0a".repeat(32));
        for text in ["n8n.home.arpa", &hash] {
            assert_eq!(text.parse::<CertificateId>().unwrap().to_string(), text);
        }
        let colons = format!("sha256:0a{}", ":0A".repeat(31));
        assert_eq!(colons.parse::<CertificateId>().unwrap().to_string(), hash);
        for text in ["", "sha256:", "sha256:0a", "a b", "CN=n8n", "*.home.arpa"] {
            assert_eq!(
                text.parse::<CertificateId>(),
                Err(NoCertificateId),
                "{text}"
            );
        }
    }
}
