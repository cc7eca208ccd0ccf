//! The configuration as it is written: every key, its default, and what it means.

mod access;
mod audit;
mod clients;
mod home_assistant;
mod loops;
mod outside;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::units;
use crate::http::LegacySessions;
use crate::resilience::rate::Rate;
use crate::telemetry::{Format, Level};
pub(super) use access::Access;
pub(super) use audit::Audit;
pub(super) use clients::DeclaredClient;
pub(super) use home_assistant::HomeAssistant;
pub(super) use loops::Loops;
pub(super) use outside::{Metrics, Traces};

/// From where the Supervisor brings people to an app's page.
const INGRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 30, 32, 2));

/// Settings that fit a kind of place. Everything that is set elsewhere wins over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A developer's machine: more is logged.
    Dev,
    /// A place like the real one: more is logged, as JSON.
    Staging,
    /// The real one, in a cluster: logs as JSON.
    Prod,
}

/// A text that is never shown.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text, still wrapped.
    pub fn into_inner(self) -> SecretString {
        self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.expose_secret().trim().is_empty()
    }

    /// Whether an HTTP header can hold it.
    pub fn fits_header(&self) -> bool {
        let mut bytes = self.0.expose_secret().bytes();
        bytes.all(|byte| matches!(byte, b' '..=b'~'))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.trim().into())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text of a type error would quote the value; this one names only what is expected.
        let text = String::deserialize(deserializer)
            .map_err(|_| serde::de::Error::custom("a text is expected; put it in quotes"))?;
        Ok(Self::from(text.as_str()))
    }
}

/// The configuration of MCP Bridge.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port for clients in the network.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Address and port for the status page and its API. 0.0.0.0:8099 under the Supervisor.
    #[schemars(with = "String")]
    pub admin_listen: SocketAddr,
    /// The one address that may use the status page and its API, for a proxy that lets people in by
    /// itself: no token is needed there. Home Assistant's ingress, 172.30.32.2, under the Supervisor.
    #[schemars(with = "Option<String>")]
    pub ingress_peer: Option<IpAddr>,
    /// A file that holds the token that opens the status page and its API where there is no such
    /// proxy. Without one, the bridge makes its own; `mcp-bridge token admin` prints it.
    pub admin_token_file: Option<PathBuf>,
    /// Folder for clients and tokens. /data under the Supervisor, else the XDG state folder.
    pub data: PathBuf,
    /// Use the built-in house instead of Home Assistant.
    pub demo: bool,
    /// Where the MCP server is: `auto`, or a URL. A URL without a path means Home Assistant's own.
    #[serde(serialize_with = "units::without_query")]
    pub upstream: String,
    /// Further addresses of the same upstream, for a cluster: calls are spread over all, and one that
    /// is down is passed by. A URL without a path has the path of `upstream`.
    pub upstream_urls: Vec<String>,
    /// The token to show there; with Home Assistant a long-lived access token. Not needed under the
    /// Supervisor.
    #[schemars(with = "Option<String>")]
    pub upstream_token: Option<Secret>,
    /// A file that holds that token.
    pub upstream_token_file: Option<PathBuf>,
    /// Whether the certificate of the upstream must be valid for its name.
    pub upstream_verify_tls: bool,
    /// Address of the Supervisor.
    #[serde(serialize_with = "units::without_query")]
    pub supervisor: String,
    /// How much is logged.
    pub log_level: Level,
    /// How much single parts log, such as `{dispatch: debug}`: modules of the bridge, `calls` for the
    /// line of each call, or libraries.
    #[schemars(with = "BTreeMap<String, Level>")]
    pub log_levels: BTreeMap<String, Level>,
    /// How a log line looks.
    pub log_format: Format,
    /// Which clients of MCP up to 2025-11-25 get sessions over Streamable HTTP: `auto` where an
    /// upstream has sessions itself, `always` all of them. Home Assistant has none, and neither do
    /// its clients then, so that nothing can get lost.
    pub legacy_sessions: LegacySessions,
    /// Figures for Prometheus.
    pub metrics: Metrics,
    /// Traces for OpenTelemetry.
    pub traces: Traces,
    /// The queue in front of the upstream.
    pub queue: Queue,
    /// How arguments are held against the schemas of tools.
    pub arguments: Arguments,
    /// When a client goes round in circles.
    pub loops: Loops,
    /// Home Assistant beyond its MCP server.
    pub home_assistant: HomeAssistant,
    /// Answers of the upstream that are kept.
    pub cache: Cache,
    /// Bounds of what is taken from outside.
    pub limits: Limits,
    /// HTTPS for clients.
    pub tls: Tls,
    /// Who may come in, besides holding a token.
    pub access: Access,
    /// Clients besides those that the bridge keeps itself, by their names, such as
    /// `{n8n: {token_file: /run/secrets/n8n, terms: {rate: 60/min}}}`.
    pub clients: BTreeMap<String, DeclaredClient>,
    /// What is written down of calls.
    pub audit: Audit,
}

/// The queue in front of the upstream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a group of keys such as `queue.max_waiting`, in the environment MCP_BRIDGE__QUEUE__MAX_WAITING"
)]
pub struct Queue {
    /// Calls that may wait at the same time. When they do, less urgent ones give way.
    pub max_waiting: usize,
    /// Calls of one client that may wait at the same time.
    pub max_waiting_per_client: usize,
    /// Calls that may run at the upstream at the same time, 1 to 64. The bridge finds out by itself
    /// how many do good, and goes no higher than this.
    pub max_parallel_calls: usize,
    /// After this long a waiting call becomes more urgent by one step.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub aging_interval: Duration,
    /// For this long, the same action by the same client is taken for the same call. `0s` turns it
    /// off.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub duplicate_window: Duration,
    /// Tools that only look, besides those that say so themselves; `*` stands for anything.
    #[serde(deserialize_with = "units::list")]
    pub reads: Vec<String>,
    /// Tools of which a second call means a second step, such as `*Louder`.
    #[serde(deserialize_with = "units::list")]
    pub steps: Vec<String>,
    /// Whether calls wait, until their time is over, for a Home Assistant that is known to be
    /// restarting. Otherwise they are answered at once that it is away.
    pub hold_during_restart: bool,
    /// How long a call may take, waiting included. Most clients give up after 60 seconds.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub call_timeout: Duration,
}

/// How arguments are held against the schemas of tools.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a group of keys such as `arguments.check`, in the environment MCP_BRIDGE__ARGUMENTS__CHECK"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Arguments {
    /// Refuse arguments that do not fit the tool's schema, with the line that they break.
    pub check: bool,
    /// Leave out empty texts of arguments that may be left out, as `"area": ""`.
    pub drop_empty: bool,
    /// Leave out nulls of arguments that may be left out.
    pub drop_null: bool,
    /// Take texts for what they spell where that is wanted (`"5"` for 5, `"true"` for true), and
    /// numbers for texts.
    pub convert: bool,
    /// Take one value for a list where a list is wanted.
    pub wrap: bool,
    /// Take the words of a closed set in any case.
    pub ignore_case: bool,
}

/// Answers of the upstream that are kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a group of keys such as `cache.enabled`, in the environment MCP_BRIDGE__CACHE__ENABLED"
)]
pub struct Cache {
    /// Whether answers are kept at all.
    pub enabled: bool,
    /// Memory for them; those that were used longest ago go first.
    #[serde(with = "units::bytes")]
    #[schemars(with = "String")]
    pub size: usize,
    /// How long a list of tools, prompts or resources is kept while Home Assistant tells the bridge
    /// what changes; it is asked for again as soon as something does.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub list_ttl: Duration,
    /// How long it is kept while nobody tells the bridge of changes.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub list_ttl_without_events: Duration,
    /// How long an answer that tells the states of devices is kept at most; a change of any of them
    /// ends it at once. `0s` turns it off.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub state_ttl: Duration,
    /// How old such an answer may be that is given, and said to be old, while Home Assistant does not
    /// answer. Lists may have any age then.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub max_stale: Duration,
    /// Tools whose answers are kept like those of `GetLiveContext`; `*` stands for anything. Only
    /// tools that look at nothing but the states of exposed entities belong here.
    #[serde(deserialize_with = "units::list")]
    pub tools: Vec<String>,
}

/// Bounds of what is taken from outside.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a group of keys such as `limits.connections`, in the environment MCP_BRIDGE__LIMITS__CONNECTIONS"
)]
pub struct Limits {
    /// Size of a request's body.
    #[serde(with = "units::bytes")]
    #[schemars(with = "String")]
    pub request_body: usize,
    /// Size of an answer of the upstream.
    #[serde(with = "units::bytes")]
    #[schemars(with = "String")]
    pub response_body: usize,
    /// Bytes of a text in the answer of a tool; a longer one is cut at the end of a line, and says
    /// so. `0B` for any number. Models with small contexts are lost in long answers.
    #[serde(with = "units::bytes")]
    #[schemars(with = "String")]
    pub tool_answer: usize,
    /// Levels of nesting in a request's JSON.
    pub json_depth: usize,
    /// Messages in a JSON-RPC batch.
    pub batch: usize,
    /// Connections of clients at the same time, for each listener.
    pub connections: usize,
    /// Those of them that may come from one address. Behind a reverse proxy, all clients have the
    /// proxy's.
    pub connections_per_address: usize,
    /// How often all clients together may call, such as `600/min`; as many may come at once as in a
    /// whole period. Lists and handshakes are not counted.
    #[schemars(with = "Option<String>")]
    pub calls: Option<Rate>,
    /// How often each client may call that has no rate of its own.
    #[schemars(with = "Option<String>")]
    pub calls_per_client: Option<Rate>,
    /// How often each client may call tools of a pattern, such as `{"*Unlock*": 5/min}`.
    #[schemars(with = "BTreeMap<String, String>")]
    pub calls_per_tool: BTreeMap<String, Rate>,
    /// Wrong tokens that one address may send within the window that follows; then it is told to
    /// wait. A right one is let in all the same.
    pub wrong_tokens: u32,
    /// How long wrong tokens count.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub wrong_tokens_window: Duration,
    /// How long the head of a request may take, and a connection may idle.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub head_timeout: Duration,
    /// How long the body of a request may take to arrive.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub body_timeout: Duration,
    /// How long a connection to the upstream may take.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub connect_timeout: Duration,
    /// How long the upstream may take for an answer. Home Assistant gives up after 60 seconds
    /// itself; a little longer lets its own word through.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub response_timeout: Duration,
    /// Sessions with the upstream at the same time, 1 to 64. Home Assistant has none.
    pub sessions: usize,
    /// How long a session with the upstream may idle before it is closed; one is always kept.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub session_idle: Duration,
    /// How long everything gets to finish when the bridge stops. Docker kills it after 10 seconds.
    /// 25s under the Supervisor, where the app has 30 seconds.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub drain_timeout: Duration,
}

/// HTTPS for clients. Plain HTTP is refused then.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a group of keys such as `tls.certificate`, in the environment MCP_BRIDGE__TLS__CERTIFICATE"
)]
pub struct Tls {
    /// The certificate, with those between it and the root (PEM). It is read again when it changes.
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub key: Option<PathBuf>,
    /// Authorities whose certificates clients may show in the place of a token (PEM).
    pub client_ca: Option<PathBuf>,
}

impl Config {
    /// The defaults, of which some depend on whether there is a Supervisor.
    pub fn defaults(under_supervisor: bool, data: PathBuf) -> Self {
        let admin = if under_supervisor {
            [0, 0, 0, 0]
        } else {
            [127, 0, 0, 1]
        };
        Self {
            listen: ([0, 0, 0, 0], 8124).into(),
            admin_listen: (admin, 8099).into(),
            ingress_peer: under_supervisor.then_some(INGRESS),
            admin_token_file: None,
            data,
            demo: false,
            upstream: "auto".to_owned(),
            upstream_urls: Vec::new(),
            upstream_token: None,
            upstream_token_file: None,
            upstream_verify_tls: true,
            supervisor: "http://supervisor".to_owned(),
            log_level: Level::Info,
            log_levels: BTreeMap::new(),
            log_format: Format::Human,
            legacy_sessions: LegacySessions::Auto,
            metrics: Metrics {
                listen: None,
                token_required: true,
            },
            traces: Traces::default(),
            queue: Queue {
                max_waiting: 50,
                max_waiting_per_client: 20,
                max_parallel_calls: 4,
                aging_interval: Duration::from_secs(5),
                duplicate_window: Duration::from_secs(2),
                reads: Vec::new(),
                steps: Vec::new(),
                hold_during_restart: true,
                call_timeout: Duration::from_secs(50),
            },
            arguments: Arguments {
                check: true,
                drop_empty: true,
                drop_null: true,
                convert: true,
                wrap: true,
                ignore_case: true,
            },
            cache: Cache {
                enabled: true,
                size: 16 << 20,
                list_ttl: Duration::from_mins(5),
                list_ttl_without_events: Duration::from_secs(10),
                state_ttl: Duration::from_secs(2),
                max_stale: Duration::from_mins(5),
                tools: Vec::new(),
            },
            limits: Limits {
                request_body: 4 << 20,
                response_body: 16 << 20,
                tool_answer: 0,
                json_depth: 64,
                batch: 100,
                connections: 1024,
                connections_per_address: 256,
                calls: None,
                calls_per_client: None,
                calls_per_tool: BTreeMap::new(),
                wrong_tokens: 20,
                wrong_tokens_window: Duration::from_mins(15),
                head_timeout: Duration::from_secs(75),
                body_timeout: Duration::from_secs(15),
                connect_timeout: Duration::from_secs(5),
                response_timeout: Duration::from_secs(65),
                sessions: 8,
                session_idle: Duration::from_mins(5),
                drain_timeout: Duration::from_secs(if under_supervisor { 25 } else { 8 }),
            },
            home_assistant: HomeAssistant::default(),
            loops: Loops::default(),
            tls: Tls::default(),
            access: Access::default(),
            clients: BTreeMap::new(),
            audit: Audit::default(),
        }
    }
}
