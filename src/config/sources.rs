//! The layers of the configuration, and what is said when one of them is wrong.

use std::net::SocketAddr;
use std::path::PathBuf;

use figment::error::Kind;
use figment::providers::{Env, Format, Serialized};
use figment::value::{Dict, Empty, Map, Tag, Value};
use figment::{Figment, Metadata, Provider};
use secrecy::SecretString;
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

use super::file::{Config, Profile};
use super::{ConfigError, Fault, Settings, in_force, options, validate};
use crate::telemetry::{self, Level};

/// What comes before the name of a key in the environment; two underscores stand for a dot.
const PREFIX: &str = "MCP_BRIDGE__";

/// What the process was given by those who started it, besides flags.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `SUPERVISOR_TOKEN`: there is a Supervisor.
    pub supervisor_token: Option<SecretString>,
    /// The folder for state of this user, without this program's own name.
    pub state_folder: Option<PathBuf>,
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        let text = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let home = || text("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        Self {
            supervisor_token: text("SUPERVISOR_TOKEN").map(SecretString::from),
            state_folder: text("XDG_STATE_HOME").map(PathBuf::from).or_else(home),
        }
    }
}

/// Keys of the configuration that are flags, too.
#[derive(Debug, Clone, Default, Serialize, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Defaults for a kind of place
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    pub profile: Option<Profile>,
    /// Address for clients in the network [default: 0.0.0.0:8124]
    #[arg(long, value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Address for the status page and its API [default: 127.0.0.1:8099, under the Supervisor
    /// 0.0.0.0:8099]
    #[arg(long, value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_listen: Option<String>,
    /// Folder for clients and tokens [default: /data under the Supervisor, else the XDG state
    /// folder]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Address of Home Assistant or of another MCP server [default: auto]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Token for it; others on this machine can see flags, so rather put it in a file
    #[arg(long, value_name = "TOKEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_token: Option<String>,
    /// Use the built-in house instead of Home Assistant
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub demo: bool,
    /// How much to log [default: info]
    #[arg(long, value_name = "LEVEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<Level>,
    /// How a log line looks [default: human]
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<telemetry::Format>,
}

/// The configuration, raw and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// As it was written, all layers merged.
    pub config: Config,
    /// As the modules want it.
    pub settings: Settings,
    /// The files that have a say in it, whether they are there or not.
    pub files: Vec<PathBuf>,
}

/// Merges the layers: defaults, profile, file, options of the app, environment, flags; later wins.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigError> {
    reload(flags, environment, None)
}

/// The same while the bridge runs: the Supervisor can tell options that are newer than the file.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn reload(
    flags: &Flags,
    environment: &Environment,
    options: Option<&serde_json::Value>,
) -> Result<Loaded, ConfigError> {
    let lower = lower_layers(flags, environment)?;
    let path = folder(&with_upper_layers(lower.clone(), flags))?.join("options.json");
    let options = match options {
        Some(options) => Layer::new("options of the app", &options::understand(options)?),
        None => Layer::new(path.display().to_string(), &options::read(&path)?),
    };
    let figment = with_upper_layers(lower.merge(OneToken(options)), flags);
    let config: Config = figment.extract().map_err(|error| explain(&error))?;
    let checked = validate::settings(config.clone(), environment, &|key| place(&figment, key))?;
    let settings = Settings {
        in_force: in_force::of(&config, &figment),
        ..checked
    };
    let files = [
        file(flags),
        Some(path),
        config.upstream_token_file.clone(),
        config.admin_token_file.clone(),
    ];
    let clients = config.clients.values();
    let tokens = clients.flat_map(|client| client.token_file.iter().cloned());
    let files = files.into_iter().flatten().chain(tokens).collect();
    Ok(Loaded {
        config,
        settings,
        files,
    })
}

/// The address for clients alone, for those who ask a running bridge: what else is configured does
/// not concern them, and may have changed since it started.
///
/// # Errors
/// A layer that cannot be read, or a value that is no address.
pub fn listen(flags: &Flags, environment: &Environment) -> Result<SocketAddr, ConfigError> {
    let lower = lower_layers(flags, environment)?;
    value(&with_upper_layers(lower, flags), "listen")
}

/// The data folder alone, so that a client can be locked out whatever else is wrong.
///
/// # Errors
/// A layer that cannot be read, or no folder.
pub fn data_folder(flags: &Flags, environment: &Environment) -> Result<PathBuf, ConfigError> {
    let lower = lower_layers(flags, environment)?;
    folder(&with_upper_layers(lower, flags))
}

/// The layers below the options of the app.
fn lower_layers(flags: &Flags, environment: &Environment) -> Result<Figment, ConfigError> {
    let under_supervisor = environment.supervisor_token.is_some();
    let state = environment
        .state_folder
        .as_ref()
        .map(|folder| folder.join("mcp-bridge"));
    let data = if under_supervisor {
        Some("/data".into())
    } else {
        state
    };
    let defaults = Config::defaults(under_supervisor, data.unwrap_or_default());
    let mut figment = Figment::from(Serialized::defaults(defaults));
    if let Some(profile) = profile(flags)? {
        figment = figment.merge(built_in(profile));
    }
    if let Some(file) = file(flags) {
        let fault = |what| Fault {
            source: file.display().to_string(),
            key: String::new(),
            what,
        };
        std::fs::read(&file).map_err(|error| fault(error.to_string()))?;
        figment = figment.merge(OneToken(Yaml::file_exact(&file)));
    }
    Ok(figment)
}

/// The configuration file, if there is one.
fn file(flags: &Flags) -> Option<PathBuf> {
    let named = || Env::var("MCP_BRIDGE__CONFIG").map(PathBuf::from);
    flags.config.clone().or_else(named)
}

/// With the layers above the options of the app. Only these and the ones below can say where the
/// options are.
fn with_upper_layers(figment: Figment, flags: &Flags) -> Figment {
    let variables = Env::prefixed(PREFIX)
        .ignore(&["config", "profile"])
        .split("__");
    let flags = Layer::new("command line", flags);
    figment.merge(OneToken(variables)).merge(OneToken(flags))
}

fn folder(figment: &Figment) -> Result<PathBuf, ConfigError> {
    let folder: PathBuf = value(figment, "data")?;
    if folder.as_os_str().is_empty() {
        let fault = Fault {
            source: place(figment, "data"),
            key: "data".to_owned(),
            what: "there is no home folder to keep it in; say where (`--data DIR`)".to_owned(),
        };
        return Err(fault.into());
    }
    Ok(folder)
}

fn value<T: DeserializeOwned>(figment: &Figment, key: &str) -> Result<T, ConfigError> {
    figment.extract_inner(key).map_err(|error| explain(&error))
}

fn profile(flags: &Flags) -> Result<Option<Profile>, ConfigError> {
    let Some(name) = Env::var("MCP_BRIDGE__PROFILE").filter(|_| flags.profile.is_none()) else {
        return Ok(flags.profile);
    };
    let profile = clap::ValueEnum::from_str(&name, true).map_err(|_| Fault {
        source: "MCP_BRIDGE__PROFILE".to_owned(),
        key: String::new(),
        what: format!("{name:?} is no profile; there are dev, staging and prod"),
    })?;
    Ok(Some(profile))
}

fn built_in(profile: Profile) -> Layer {
    let settings = match profile {
        Profile::Dev => serde_json::json!({"log_level": "debug"}),
        Profile::Staging => serde_json::json!({"log_level": "debug", "log_format": "json"}),
        Profile::Prod => serde_json::json!({"log_format": "json"}),
    };
    Layer::new(format!("profile {profile:?}").to_lowercase(), &settings)
}

/// Values under a name that errors can give.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    name: String,
    dict: Dict,
}

impl Layer {
    /// Whatever is no group of keys is taken for an empty one.
    pub(super) fn new(name: impl Into<String>, values: &impl Serialize) -> Self {
        let values = Value::serialize(values).ok().and_then(Value::into_dict);
        Self {
            name: name.into(),
            dict: values.unwrap_or_default(),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<figment::Profile, Dict>, figment::Error> {
        Ok(Map::from([(figment::Profile::Default, self.dict.clone())]))
    }
}

/// A layer that says the token in one way takes back what layers before it said in the other. Both
/// ways in the same layer stay, for the check to find.
struct OneToken<P>(P);

impl<P: Provider> Provider for OneToken<P> {
    fn metadata(&self) -> Metadata {
        self.0.metadata()
    }

    fn data(&self) -> Result<Map<figment::Profile, Dict>, figment::Error> {
        let (token, file) = ("upstream_token", "upstream_token_file");
        let mut data = self.0.data()?;
        for dict in data.values_mut() {
            let says = |key| matches!(dict.get(key), Some(v) if !matches!(v, Value::Empty(..)));
            let other = match (says(token), says(file)) {
                (true, false) => file,
                (false, true) => token,
                _ => continue,
            };
            let nothing = Value::Empty(Tag::Default, Empty::None);
            dict.insert(other.to_owned(), nothing);
        }
        Ok(data)
    }
}

/// YAML by a parser that is still looked after. An empty file is an empty configuration.
#[derive(Debug)]
struct Yaml;

impl Format for Yaml {
    type Error = serde_yaml::Error;
    const NAME: &'static str = "YAML";

    fn from_str<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Self::Error> {
        match serde_yaml::from_str(text)? {
            serde_yaml::Value::Null => serde_yaml::from_str("{}"),
            keys @ serde_yaml::Value::Mapping(_) => serde_yaml::from_value(keys),
            // The text of a type error would quote the file, which may be that of the token.
            _ => Err(Self::Error::custom("keys with their values are expected")),
        }
    }
}

/// Where the value of `key` comes from.
pub(super) fn place(figment: &Figment, key: &str) -> String {
    figment
        .find_metadata(key)
        .map_or_else(|| "configuration".to_owned(), source_of)
}

fn source_of(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(path)) => path.display().to_string(),
        Some(figment::Source::Code(_)) => "default".to_owned(),
        _ if metadata.name.contains("environment") => "environment".to_owned(),
        _ => metadata.name.to_string(),
    }
}

/// The errors of the library, as a person wants to read them.
pub(super) fn explain(error: &figment::Error) -> ConfigError {
    let faults = error.clone().into_iter().map(|error| {
        let source = error
            .metadata
            .as_ref()
            .map_or_else(|| "configuration".to_owned(), source_of);
        let mut path = error.path.clone();
        let what = match &error.kind {
            Kind::UnknownField(name, known) => {
                if path.last() != Some(name) {
                    path.push(name.clone());
                }
                format!("there is no such key{}", hint(name, known))
            }
            Kind::UnknownVariant(name, known) => {
                let (hint, known) = (hint(name, known), known.join(", "));
                format!("{name:?} is none of {known}{hint}")
            }
            kind => kind.to_string(),
        };
        let mut key = path.join(".");
        if source == "environment" {
            key = format!("{PREFIX}{}", path.join("__").to_uppercase());
        }
        Fault { source, key, what }
    });
    ConfigError(faults.collect())
}

fn hint(name: &str, known: &[&'static str]) -> String {
    nearest(name, known)
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default()
}

fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let likeness = |known: &&&'static str| strsim::jaro_winkler(name, known);
    let best = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) > 0.7).then_some(*best)
}
