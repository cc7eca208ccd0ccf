//! The HTTP client towards upstreams; the only file that knows which library does the work.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::trouble::Trouble;

/// How soon a connection that says nothing is checked for being there at all.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// Idle connections that are kept for each server: as many as calls can run at once, or each end of a
/// call under load would close one that the next call opens again.
const IDLE_CONNECTIONS: usize = 64;

/// Time limits and trust of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For the TCP and TLS handshake.
    pub connect_timeout: Duration,
    /// From the first byte of the request to the last byte of the answer. In a stream of events,
    /// from one piece to the next.
    pub response_timeout: Duration,
    /// Whether certificates must be valid for the name of the server.
    pub verify_tls: bool,
}

/// Connections to upstreams, kept open between requests.
///
/// It follows no redirect (the token would go along), takes no proxy from the environment, and
/// never repeats a request.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    response_timeout: Duration,
}

impl HttpClient {
    /// A client without connections.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(settings: &Settings) -> Result<Self, Trouble> {
        Self::built(settings, reqwest::Client::builder())
    }

    /// A client that speaks nothing newer than HTTP/1.1, of which alone a connection can be
    /// [upgraded](Self::upgrade).
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn for_upgrades(settings: &Settings) -> Result<Self, Trouble> {
        Self::built(settings, reqwest::Client::builder().http1_only())
    }

    /// A client for answers that may be silent for as long as they like. Who waits for anything
    /// else over it has to bound that.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn for_streams(settings: &Settings) -> Result<Self, Trouble> {
        Self::unbounded(settings, reqwest::Client::builder())
    }

    fn built(settings: &Settings, builder: reqwest::ClientBuilder) -> Result<Self, Trouble> {
        Self::unbounded(settings, builder.read_timeout(settings.response_timeout))
    }

    fn unbounded(settings: &Settings, builder: reqwest::ClientBuilder) -> Result<Self, Trouble> {
        builder
            .connect_timeout(settings.connect_timeout)
            .tcp_keepalive(TCP_KEEPALIVE)
            .tls_danger_accept_invalid_certs(!settings.verify_tls)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(Duration::from_secs(90))
            .user_agent(concat!("mcp-bridge/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(|client| Self {
                client,
                response_timeout: settings.response_timeout,
            })
            .map_err(|error| Trouble::Connect(words(&error)))
    }

    /// Sends a POST and waits for the head of the answer.
    ///
    /// # Errors
    /// No connection, a time limit, or a connection that broke.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Trouble> {
        let request = self.client.post(url.clone());
        self.head(request.headers(headers).body(body)).await
    }

    /// Sends a GET and waits for the head of the answer.
    ///
    /// # Errors
    /// As [`HttpClient::post`].
    pub async fn get(&self, url: &Url, headers: HeaderMap) -> Result<Answer, Trouble> {
        self.head(self.client.get(url.clone()).headers(headers))
            .await
    }

    /// Sends a DELETE and waits for the head of the answer.
    ///
    /// # Errors
    /// As [`HttpClient::post`].
    pub async fn delete(&self, url: &Url, headers: HeaderMap) -> Result<Answer, Trouble> {
        self.head(self.client.delete(url.clone()).headers(headers))
            .await
    }

    /// Asks with a GET for another protocol on the connection, and gives what the server says to
    /// that with the connection. The time limit counts until then.
    ///
    /// # Errors
    /// As [`HttpClient::post`], and [`Trouble::Status`] if the server stays with HTTP.
    pub async fn upgrade(
        &self,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<
        (
            HeaderMap,
            impl AsyncRead + AsyncWrite + Send + Unpin + use<>,
        ),
        Trouble,
    > {
        let answer = self.get(url, headers).await?;
        if answer.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Trouble::Status {
                status: answer.status(),
                text: "it does not switch protocols".to_owned(),
            });
        }
        let headers = answer.response.headers().clone();
        let connection = answer
            .response
            .upgrade()
            .await
            .map_err(|error| trouble(&error))?;
        Ok((headers, connection))
    }

    async fn head(&self, request: reqwest::RequestBuilder) -> Result<Answer, Trouble> {
        let until = Instant::now() + self.response_timeout;
        let response = request.send().await.map_err(|error| trouble(&error))?;
        Ok(Answer { response, until })
    }
}

/// The head of an answer; its body comes piece by piece.
#[derive(Debug)]
pub struct Answer {
    response: reqwest::Response,
    /// When the whole of it must be there, if it is asked for as a whole.
    until: Instant,
}

impl Answer {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header, if it is readable text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    }

    /// The next piece of the body; nothing at its end.
    ///
    /// # Errors
    /// A time limit, or a connection that broke off before the end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Trouble> {
        self.response.chunk().await.map_err(|error| {
            if error.is_timeout() {
                Trouble::Timeout
            } else {
                Trouble::Truncated(words(&error))
            }
        })
    }

    /// The whole body, of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Answer::piece`], and [`Trouble::TooLarge`].
    pub async fn body(self, limit: usize) -> Result<Bytes, Trouble> {
        let until = self.until;
        timeout_at(until, self.whole(limit))
            .await
            .unwrap_or(Err(Trouble::Timeout))
    }

    async fn whole(mut self, limit: usize) -> Result<Bytes, Trouble> {
        let announced = self
            .response
            .content_length()
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(0);
        if announced > limit {
            return Err(Trouble::TooLarge { limit });
        }
        let Some(first) = self.piece().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.piece().await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::with_capacity(announced.max(first.len() + second.len()));
        whole.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(piece) = next {
            if whole.len() + piece.len() > limit {
                return Err(Trouble::TooLarge { limit });
            }
            whole.extend_from_slice(&piece);
            next = self.piece().await?;
        }
        Ok(whole.freeze())
    }
}

fn trouble(error: &reqwest::Error) -> Trouble {
    if let Some(refusal) = tls_refusal(error) {
        Trouble::Tls(refusal)
    } else if error.is_connect() {
        Trouble::Connect(words(error))
    } else if error.is_timeout() {
        Trouble::Timeout
    } else {
        Trouble::Lost(words(error))
    }
}

/// Why TLS was refused, if that is what stands behind an error.
fn tls_refusal(error: &reqwest::Error) -> Option<String> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(error) = next {
        if let Some(refusal) = error.downcast_ref::<rustls::Error>() {
            return Some(refusal.to_string());
        }
        // The source of an I/O error is the source of what it wraps.
        next = match error
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::get_ref)
        {
            Some(Some(wrapped)) => Some(wrapped),
            _ => error.source(),
        };
    }
    None
}

/// The innermost cause: "connection refused" rather than the layers above it, and without the URL.
fn words(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
