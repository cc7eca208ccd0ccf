//! TLS on a listener: the certificate, its renewal, and who shows one of their own.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{self, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access::Certificate;

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where the certificates are, all in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The listener's certificate, with those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose certificates clients may show.
    pub client_ca: Option<PathBuf>,
}

/// Why TLS is not possible.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("{path}: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A file without what it is for.
    #[error("{0}: there is no certificate in it")]
    Empty(PathBuf),
    /// Certificate and key that do not belong together, or cannot be used.
    #[error("{path}: {source}")]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Authorities that cannot be used.
    #[error("{path}: {source}")]
    Authorities {
        /// Their file.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
}

/// TLS with the certificate that is in force.
#[derive(Debug)]
pub struct Tls {
    settings: Settings,
    config: ArcSwap<ServerConfig>,
    seen: Mutex<Stamps>,
}

/// Which versions of the files were read last.
type Stamps = Vec<Option<(u64, u64, i64, i64)>>;

/// What came of a connection.
pub(super) enum Accepted {
    /// It speaks TLS, and may have shown a certificate.
    Secured(Box<TlsStream<TcpStream>>, Option<Arc<Certificate>>),
    /// It speaks plain HTTP.
    Plain(TcpStream),
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn open(settings: Settings) -> Result<Self, TlsError> {
        let seen = Mutex::new(stamps(&settings));
        let config = ArcSwap::from_pointee(configure(&settings)?);
        Ok(Self {
            settings,
            config,
            seen,
        })
    }

    /// Reads the files again if one of them changed; says whether it did. Connections that are open
    /// keep what they agreed on.
    ///
    /// # Errors
    /// See [`TlsError`]; the certificate stays as it was until a file changes again.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&self.settings);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        self.config.store(Arc::new(configure(&self.settings)?));
        Ok(true)
    }

    /// Agrees with a client on TLS.
    ///
    /// # Errors
    /// A client that takes too long, speaks something else, or shows a certificate of a stranger.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<Accepted> {
        let agreement = async {
            // The first byte of TLS is 22, that of HTTP a letter of its method.
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
                return Ok(Accepted::Plain(stream));
            }
            let acceptor = TlsAcceptor::from(self.config.load_full());
            let stream = acceptor.accept(stream).await?;
            let shown = stream.get_ref().1.peer_certificates();
            let shown = shown.and_then(<[_]>::first);
            let certificate = shown.map(|der| Arc::new(Certificate::of(der)));
            Ok(Accepted::Secured(Box::new(stream), certificate))
        };
        tokio::time::timeout(HANDSHAKE, agreement).await?
    }
}

fn stamps(settings: &Settings) -> Stamps {
    let files = [&settings.certificate, &settings.key];
    let files = files.into_iter().chain(&settings.client_ca);
    let stamp = |path: &PathBuf| {
        let meta = fs::metadata(path).ok()?;
        Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    };
    files.map(stamp).collect()
}

fn configure(settings: &Settings) -> Result<ServerConfig, TlsError> {
    let Settings {
        certificate,
        key,
        client_ca,
    } = settings;
    let unusable = |source| TlsError::Unusable {
        path: certificate.clone(),
        source,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match client_ca {
        Some(authorities) => builder.with_client_cert_verifier(verifier(authorities, provider)?),
        None => builder.with_no_client_auth(),
    };
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|source| pem_error(key, source))?;
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Lets clients show certificates of these authorities, or none.
fn verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path)? {
        roots.add(authority).map_err(|source| TlsError::Unusable {
            path: path.to_owned(),
            source,
        })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|source| TlsError::Authorities {
            path: path.to_owned(),
            source,
        })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = found.map_err(|source| pem_error(path, source))?;
    if found.is_empty() {
        return Err(TlsError::Empty(path.to_owned()));
    }
    Ok(found)
}

fn pem_error(path: &Path, source: pem::Error) -> TlsError {
    TlsError::Pem {
        path: path.to_owned(),
        source,
    }
}
