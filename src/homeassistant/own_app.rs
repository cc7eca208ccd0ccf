//! The bridge as an app of Home Assistant: what the Supervisor knows of it, and does for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Supervisor;
use crate::upstream::Trouble;
use crate::upstream::http_client::HttpClient;

/// Bytes of an answer of the Supervisor.
const MAX_ANSWER: usize = 1 << 20;
/// How long a restart may take to be refused. What is not refused by then is under way: the answer
/// comes to nobody, since the Supervisor ends the bridge first.
const REFUSAL: Duration = Duration::from_secs(2);

/// This app, as the Supervisor sees it.
#[derive(Debug)]
pub struct OwnApp {
    supervisor: Supervisor,
    client: HttpClient,
}

/// Where the app is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The port of the machine that leads to the app; nothing if the person has turned that off.
    pub port: Option<u16>,
    /// The addresses of the machine.
    pub hosts: Vec<IpAddr>,
    /// The name of the app for other apps.
    pub hostname: String,
}

#[derive(Deserialize)]
struct Reply<T> {
    data: T,
}

#[derive(Deserialize)]
struct Info {
    hostname: String,
    network: Option<BTreeMap<String, Option<u16>>>,
}

#[derive(Deserialize)]
struct Network {
    interfaces: Vec<Interface>,
}

#[derive(Deserialize)]
struct Interface {
    primary: bool,
    #[serde(default)]
    ipv4: Option<Ipv4>,
}

#[derive(Deserialize)]
struct Ipv4 {
    #[serde(default)]
    address: Vec<String>,
}

impl OwnApp {
    /// The app to which the Supervisor gave this token.
    pub const fn new(supervisor: Supervisor, client: HttpClient) -> Self {
        Self { supervisor, client }
    }

    /// Where the app is reached that listens on `port` inside of its container.
    ///
    /// # Errors
    /// What the Supervisor does not say.
    pub async fn place(&self, port: u16) -> Result<Place, Trouble> {
        let info: Info = self.ask("/addons/self/info").await?;
        let network: Network = self.ask("/network/info").await?;
        let mapped = info.network.unwrap_or_default();
        let mut interfaces = network.interfaces;
        interfaces.sort_by_key(|interface| !interface.primary);
        let addresses = interfaces.into_iter().filter_map(|one| one.ipv4);
        let hosts = addresses.flat_map(|ipv4| ipv4.address);
        // With the length of the network behind it.
        let hosts = hosts.filter_map(|text| text.split('/').next()?.parse().ok());
        Ok(Place {
            port: mapped.get(&format!("{port}/tcp")).copied().flatten(),
            hosts: hosts.collect(),
            hostname: info.hostname,
        })
    }

    /// The options of the app as they are set now. `options.json` is only written anew when the app
    /// starts.
    ///
    /// # Errors
    /// No answer, or none of the expected form; also if the options do not fit the form any more.
    pub async fn options(&self) -> Result<serde_json::Value, Trouble> {
        self.ask("/addons/self/options/config").await
    }

    /// Lets the Supervisor restart the app; it ends this process soon.
    ///
    /// # Errors
    /// Why it refuses to.
    pub async fn restart(&self) -> Result<(), Trouble> {
        let url = self.url("/addons/self/restart");
        let asked = self.client.post(&url, self.headers()?, Bytes::new());
        match tokio::time::timeout(REFUSAL, asked).await {
            Ok(Ok(answer)) if answer.status() != 200 => Err(Trouble::Status {
                status: answer.status(),
                text: "asked for a restart".to_owned(),
            }),
            Ok(Err(trouble)) => Err(trouble),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    /// What the Supervisor says under an address of its own.
    ///
    /// # Errors
    /// Anything but an answer of the expected shape.
    pub(super) async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        let answer = self.client.get(&self.url(path), self.headers()?).await?;
        if answer.status() != 200 {
            return Err(Trouble::Status {
                status: answer.status(),
                text: format!("asked for {path}"),
            });
        }
        let body = answer.body(MAX_ANSWER).await?;
        let reply: Result<Reply<T>, _> = serde_json::from_slice(&body);
        reply
            .map(|reply| reply.data)
            .map_err(|error| Trouble::NotAnAnswer(format!("{path}: {error}")))
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.supervisor.url.clone();
        url.set_query(None);
        url.set_path(path);
        url
    }

    fn headers(&self) -> Result<HeaderMap, Trouble> {
        let bearer = format!("Bearer {}", self.supervisor.token.expose_secret());
        let mut bearer = HeaderValue::from_str(&bearer)
            .map_err(|_| Trouble::NotAnAnswer("SUPERVISOR_TOKEN is no header value".into()))?;
        bearer.set_sensitive(true);
        Ok(HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]))
    }
}
