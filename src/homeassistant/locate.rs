//! Finds the address of Home Assistant's MCP server from what was configured and what is around.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::own_app::OwnApp;
use crate::upstream::Trouble;
use crate::upstream::http_client::HttpClient;

/// The path of the MCP endpoint at Home Assistant.
const MCP_PATH: &str = "/api/mcp";

/// What the configuration says about the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Find Home Assistant.
    Auto,
    /// This address. Without a path it is taken for Home Assistant's own.
    Url(Url),
}

/// The Supervisor, where the bridge runs as a Home Assistant app.
#[derive(Debug, Clone)]
pub struct Supervisor {
    /// Its address, `http://supervisor`.
    pub url: Url,
    /// The token that it gave to the app.
    pub token: SecretString,
}

/// What is known before anything is asked.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The configured address.
    pub address: Address,
    /// The configured token of Home Assistant or of another upstream.
    pub token: Option<SecretString>,
    /// The Supervisor, if there is one.
    pub supervisor: Option<Supervisor>,
    /// The set of Home Assistant's tools, by its id; empty for what its integration offers.
    pub api: String,
}

impl PartialEq for Supervisor {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url && same(Some(&self.token), Some(&other.token))
    }
}

impl Eq for Supervisor {}

impl PartialEq for Wish {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
            && self.supervisor == other.supervisor
            && self.has_token_of(other)
    }
}

impl Eq for Wish {}

impl Wish {
    /// Whether both configure the same token, or none.
    pub fn has_token_of(&self, other: &Self) -> bool {
        same(self.token.as_ref(), other.token.as_ref())
    }
}

/// Compares what the same person configured twice; nobody measures the time of it.
fn same(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    one.map(ExposeSecret::expose_secret) == other.map(ExposeSecret::expose_secret)
}

/// The way on which calls reach Home Assistant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The address that was configured.
    Configured,
    /// Straight to Core in the app network, with a token of its own.
    Direct,
    /// Through the Supervisor's proxy, without a token of Home Assistant.
    Supervisor,
    /// The house that is built in.
    Demo,
}

impl Way {
    /// Its name in the status and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Direct => "direct",
            Self::Supervisor => "supervisor",
            Self::Demo => "demo",
        }
    }
}

/// Where the upstream is.
#[derive(Debug, Clone)]
pub struct Located {
    /// The address of the MCP endpoint.
    pub url: Url,
    /// The token to show there.
    pub token: Option<SecretString>,
    /// The way.
    pub way: Way,
}

impl Located {
    /// The address of Home Assistant's websocket beside that of its MCP server; nothing where it
    /// cannot be Home Assistant's.
    pub(super) fn websocket(&self) -> Option<Url> {
        match self.way {
            Way::Demo => None,
            Way::Supervisor => Some(below(&self.url, "/core/websocket")),
            Way::Configured | Way::Direct => self.beside("/api/websocket"),
        }
    }

    /// Another address of Home Assistant's API, of which `path` begins with `/api/`; nothing where
    /// the upstream cannot be Home Assistant.
    pub(super) fn beside(&self, path: &str) -> Option<Url> {
        let (front, _) = self.split()?;
        Some(below(&self.url, &format!("{front}{path}")))
    }

    /// Whether the MCP endpoint is the one of the integration. Those of single sets of tools are
    /// there without it.
    pub(super) fn needs_integration(&self) -> bool {
        self.split().is_some_and(|(_, api)| matches!(api, "" | "/"))
    }

    /// What stands before and behind the path of the MCP endpoint.
    fn split(&self) -> Option<(&str, &str)> {
        let (front, api) = self.url.path().rsplit_once(MCP_PATH)?;
        let is_own = api.is_empty() || api.starts_with('/');
        (is_own && self.way != Way::Demo).then_some((front, api))
    }
}

/// Why there is no upstream.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// Nothing says where it is.
    #[error(
        "no upstream: give the address of Home Assistant (`--upstream http://homeassistant.local:8123` \
         and `--upstream-token`), or try the built-in house with `--demo`"
    )]
    Nowhere,
    /// A token, but no address to show it at.
    #[error(
        "there is a token but no address: say where Home Assistant is \
         (`--upstream http://homeassistant.local:8123`)"
    )]
    TokenWithoutAddress,
    /// The Supervisor was asked for Core's port and did not say.
    #[error("the Supervisor does not say where Home Assistant listens: {0}")]
    Supervisor(Trouble),
}

/// Decides on the way; asks the Supervisor for port and scheme where that is the only way to know.
///
/// # Errors
/// See [`LocateError`].
pub async fn locate(mut wish: Wish, client: &HttpClient) -> Result<Located, LocateError> {
    let api = std::mem::take(&mut wish.api);
    let mut located = find(wish, client).await?;
    if !api.is_empty()
        && located.needs_integration()
        && let Ok(mut path) = located.url.path_segments_mut()
    {
        path.pop_if_empty().push(&api);
    }
    Ok(located)
}

async fn find(wish: Wish, client: &HttpClient) -> Result<Located, LocateError> {
    match (wish.address, wish.token, wish.supervisor) {
        (Address::Url(url), token, _) => Ok(Located {
            url: with_mcp_path(url),
            token,
            way: Way::Configured,
        }),
        (Address::Auto, Some(token), Some(supervisor)) => {
            let url = core_address(supervisor, client)
                .await
                .map_err(LocateError::Supervisor)?;
            Ok(Located {
                url,
                token: Some(token),
                way: Way::Direct,
            })
        }
        (Address::Auto, None, Some(supervisor)) => Ok(Located {
            url: below(&supervisor.url, "/core/api/mcp"),
            token: Some(supervisor.token),
            way: Way::Supervisor,
        }),
        (Address::Auto, Some(_), None) => Err(LocateError::TokenWithoutAddress),
        (Address::Auto, None, None) => Err(LocateError::Nowhere),
    }
}

/// Port and scheme differ between installations (80 or 8123, with or without TLS); the host name
/// does not.
async fn core_address(supervisor: Supervisor, client: &HttpClient) -> Result<Url, Trouble> {
    #[derive(serde::Deserialize)]
    struct Info {
        port: u16,
        ssl: bool,
    }
    let app = OwnApp::new(supervisor, client.clone());
    let info: Info = app.ask("/core/info").await?;
    let scheme = if info.ssl { "https" } else { "http" };
    Url::parse(&format!("{scheme}://homeassistant:{}{MCP_PATH}", info.port))
        .map_err(|error| Trouble::NotAnAnswer(error.to_string()))
}

fn with_mcp_path(mut url: Url) -> Url {
    if matches!(url.path(), "" | "/") {
        url.set_path(MCP_PATH);
    }
    url
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_path(path);
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::http_client;
    use secrecy::ExposeSecret;
    use std::time::Duration;

    fn client() -> HttpClient {
        HttpClient::new(&http_client::Settings {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(5),
            verify_tls: true,
        })
        .unwrap()
    }

    fn wish(address: &str, token: Option<&str>, supervisor: Option<&str>) -> Wish {
        Wish {
            address: Url::parse(address).map_or(Address::Auto, Address::Url),
            token: token.map(SecretString::from),
            supervisor: supervisor.map(|url| Supervisor {
                url: url.parse().unwrap(),
                token: "s".into(),
            }),
            api: String::new(),
        }
    }

    #[tokio::test]
    async fn an_address_without_a_path_is_home_assistants_own() {
        for (given, url) in [
            ("http://ha.local:8123", "http://ha.local:8123/api/mcp"),
            ("http://ha.local/", "http://ha.local/api/mcp"),
            ("https://x/api/mcp/assist", "https://x/api/mcp/assist"),
            ("http://other:9000/mcp", "http://other:9000/mcp"),
        ] {
            let located = locate(wish(given, None, None), &client()).await.unwrap();
            assert_eq!((located.url.as_str(), located.way), (url, Way::Configured));
        }
    }

    #[tokio::test]
    async fn one_set_of_tools_has_an_address_of_its_own() {
        for (given, supervisor, url) in [
            ("http://ha:8123", None, "http://ha:8123/api/mcp/assist"),
            (
                "http://ha:8123/api/mcp",
                None,
                "http://ha:8123/api/mcp/assist",
            ),
            (
                "http://ha:8123/api/mcp/other",
                None,
                "http://ha:8123/api/mcp/other",
            ),
            ("http://other:9000/mcp", None, "http://other:9000/mcp"),
            (
                "auto",
                Some("http://supervisor"),
                "http://supervisor/core/api/mcp/assist",
            ),
        ] {
            let wish = Wish {
                api: "assist".to_owned(),
                ..wish(given, None, supervisor)
            };
            let located = locate(wish, &client()).await.unwrap();
            assert_eq!(located.url.as_str(), url);
            assert!(!located.needs_integration());
        }
    }

    #[tokio::test]
    async fn under_the_supervisor_no_token_is_needed() {
        let located = locate(wish("auto", None, Some("http://supervisor")), &client())
            .await
            .unwrap();
        assert_eq!(located.url.as_str(), "http://supervisor/core/api/mcp");
        assert_eq!(
            (located.token.unwrap().expose_secret(), located.way),
            ("s", Way::Supervisor)
        );
    }

    #[test]
    fn the_websocket_stands_beside_the_mcp_server_of_a_home_assistant() {
        let websocket = |url: &str, way| {
            let located = Located {
                url: url.parse().unwrap(),
                token: None,
                way,
            };
            located.websocket().map(String::from)
        };
        for (url, way, expected) in [
            (
                "http://ha.local:8123/api/mcp",
                Way::Configured,
                Some("http://ha.local:8123/api/websocket"),
            ),
            (
                "https://home.example.org/ha/api/mcp/assist?x=1",
                Way::Configured,
                Some("https://home.example.org/ha/api/websocket"),
            ),
            (
                "http://supervisor/core/api/mcp",
                Way::Supervisor,
                Some("http://supervisor/core/websocket"),
            ),
            ("http://other:9000/mcp", Way::Configured, None),
            ("http://other:9000/api/mcpx", Way::Configured, None),
            ("http://127.0.0.1:5000/api/mcp", Way::Demo, None),
        ] {
            assert_eq!(websocket(url, way).as_deref(), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn nothing_is_guessed() {
        let nowhere = locate(wish("auto", None, None), &client()).await;
        assert!(matches!(nowhere, Err(LocateError::Nowhere)));
        let token_only = locate(wish("auto", Some("t"), None), &client()).await;
        assert!(matches!(token_only, Err(LocateError::TokenWithoutAddress)));
    }

    #[tokio::test]
    async fn with_a_token_of_its_own_the_supervisor_is_asked_for_port_and_scheme() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for (ssl, url) in [
            (false, "http://homeassistant/api/mcp"),
            (true, "https://homeassistant:80/api/mcp"),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let supervisor = tokio::spawn(async move {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let n = socket.read(&mut request).await.unwrap();
                let body = format!(r#"{{"result":"ok","data":{{"port":80,"ssl":{ssl},"new":1}}}}"#);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                socket.write_all((head + &body).as_bytes()).await.unwrap();
                String::from_utf8_lossy(&request[..n]).into_owned()
            });
            let located = locate(wish("auto", Some("ha"), Some(&base)), &client())
                .await
                .unwrap();
            assert_eq!((located.url.as_str(), located.way), (url, Way::Direct));
            assert_eq!(located.token.unwrap().expose_secret(), "ha");
            let asked = supervisor.await.unwrap();
            assert!(
                asked.starts_with("GET /core/info ") && asked.contains("Bearer s"),
                "{asked}"
            );
        }
    }
}
