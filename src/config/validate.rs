//! From the configuration as it is written to the settings of each module; finds every fault at
//! once.

mod clients;
mod dispatch;
mod guard;

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;
use url::{Position, Url};

use super::file::{Audit, Config, Limits, Metrics, Secret, Tls, Traces};
use super::sources::Environment;
use super::{ConfigError, Fault, Settings, Upstream, file};
use crate::homeassistant::{Address, Supervisor, Wish};
use crate::{access, homeassistant, http, server, telemetry, upstream};

/// Fewer characters than this can be guessed.
const MIN_ADMIN_TOKEN: usize = 16;
/// No system has more sockets than that for one program.
const CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;

/// Collects what is wrong, each with its key and the place where it was said.
struct Faults<'a> {
    place: &'a dyn Fn(&str) -> String,
    found: Vec<Fault>,
}

impl Faults<'_> {
    fn add(&mut self, key: &str, what: impl Display) {
        let (source, what) = ((self.place)(key), what.to_string());
        self.found.push(Fault {
            source,
            key: key.to_owned(),
            what,
        });
    }

    fn expect_at_least(&mut self, key: &str, value: usize, least: usize) {
        if value < least {
            self.add(
                key,
                format_args!("it is {value}, and must be at least {least}"),
            );
        }
    }

    fn expect_within(&mut self, key: &str, value: usize, bounds: RangeInclusive<usize>) {
        if !bounds.contains(&value) {
            let (least, most) = bounds.into_inner();
            self.add(
                key,
                format_args!("it is {value}, and must be from {least} to {most}"),
            );
        }
    }

    fn expect_time(&mut self, key: &str, value: Duration) {
        if value.is_zero() {
            self.add(key, "it must be longer than nothing");
        }
    }

    fn url(&mut self, key: &str, text: &str) -> Option<Url> {
        // What cannot be taken apart is not repeated: nobody knows where in it the password is.
        let example = "write it like http://homeassistant.local:8123";
        match Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
                self.add(
                    key,
                    format_args!("it is no address of a web server; {example}"),
                );
                None
            }
            Ok(url) if url.password().is_some() || !url.username().is_empty() => {
                self.add(
                    key,
                    "an address must not hold a name or password; use `upstream_token`",
                );
                None
            }
            Ok(url) => Some(url),
            Err(error) => {
                self.add(key, format_args!("it is no URL ({error}); {example}"));
                None
            }
        }
    }
}

/// Checks the configuration.
///
/// # Errors
/// All faults, with their places as `place` tells them by key.
pub(super) fn settings(
    config: Config,
    environment: &Environment,
    place: &dyn Fn(&str) -> String,
) -> Result<Settings, ConfigError> {
    let mut faults = Faults {
        place,
        found: Vec::new(),
    };
    check_bounds(&config, &mut faults);
    let Config {
        queue,
        arguments,
        cache,
        limits,
        access,
        ..
    } = config;
    let approval_timeout = access.approval_timeout;
    let address = match config.upstream.as_str() {
        "auto" => Some(Address::Auto),
        url => faults.url("upstream", url).map(Address::Url),
    };
    let further_urls: Vec<_> = config
        .upstream_urls
        .iter()
        .filter_map(|url| faults.url("upstream_urls", url))
        .collect();
    let token = token(
        &mut faults,
        "upstream_token",
        config.upstream_token,
        config.upstream_token_file.as_deref(),
    );
    let admin_token = token_of_admin(&mut faults, config.admin_token_file.as_deref());
    let supervisor = faults
        .url("supervisor", &config.supervisor)
        .and_then(|url| {
            environment
                .supervisor_token
                .clone()
                .map(|token| Supervisor { url, token })
        });
    let home_assistant = config.home_assistant;
    let tls = tls(config.tls, &mut faults);
    let collector = collector(&config.traces, &mut faults);
    let access = access::Settings {
        clients: clients::settings(config.clients, &mut faults),
        ..guard::settings(access, &limits, &mut faults)
    };
    let (Some(address), true) = (address, faults.found.is_empty()) else {
        return Err(ConfigError(faults.found));
    };
    Ok(Settings {
        listen: config.listen,
        admin_listen: config.admin_listen,
        metrics_listen: config.metrics.listen,
        ingress_peer: config.ingress_peer,
        data: config.data,
        demo: config.demo,
        upstream: Upstream {
            wish: Wish {
                address,
                token: token.map(Secret::into_inner),
                supervisor,
                api: home_assistant.api.clone(),
            },
            further_urls,
            pool: pool_settings(&limits),
            max_answer: limits.response_body,
            http: upstream::http_client::Settings {
                connect_timeout: limits.connect_timeout,
                response_timeout: limits.response_timeout,
                verify_tls: config.upstream_verify_tls,
            },
            home_assistant: care_settings(&home_assistant),
        },
        server: server_settings(&limits),
        tls,
        drain_timeout: limits.drain_timeout,
        http: http_settings(&limits, config.legacy_sessions, &config.metrics),
        access,
        admin_token,
        dispatch: dispatch::settings(
            queue,
            &arguments,
            cache,
            &config.loops,
            approval_timeout,
            &limits,
            home_assistant.instructions,
        ),
        telemetry: telemetry::Settings {
            levels: telemetry::Levels {
                level: config.log_level,
                modules: config.log_levels,
            },
            format: config.log_format,
            collector,
        },
        audit: audit_settings(config.audit),
        in_force: Vec::new(),
    })
}

/// Where traces are sent, if this program can do that.
fn collector(traces: &Traces, faults: &mut Faults<'_>) -> Option<Url> {
    let collector = traces.collector.as_deref()?;
    if !telemetry::spans::AVAILABLE {
        let what = "this program was built without the feature `otlp`; leave it out";
        faults.add("traces.collector", what);
    }
    faults.url("traces.collector", collector)
}

fn audit_settings(audit: Audit) -> telemetry::audit::Settings {
    telemetry::audit::Settings {
        enabled: audit.enabled,
        reads: audit.reads,
        arguments: audit.arguments,
        redact: audit.redact,
        logbook: audit.logbook,
        bounds: telemetry::audit::Bounds {
            file_size: audit.file_size,
            files: audit.files,
            days: audit.days,
        },
    }
}

const fn server_settings(limits: &Limits) -> server::Settings {
    server::Settings {
        max_connections: limits.connections,
        max_connections_per_address: limits.connections_per_address,
        head_timeout: limits.head_timeout,
    }
}

fn http_settings(
    limits: &Limits,
    legacy_sessions: http::LegacySessions,
    metrics: &Metrics,
) -> http::Settings {
    http::Settings {
        max_body: limits.request_body,
        body_timeout: limits.body_timeout,
        max_depth: limits.json_depth,
        max_batch: limits.batch,
        legacy_sessions,
        metrics_need_token: metrics.token_required,
        metrics_apart: metrics.listen.is_some(),
    }
}

const fn care_settings(home_assistant: &file::HomeAssistant) -> homeassistant::Settings {
    homeassistant::Settings {
        events: home_assistant.events,
        resources: home_assistant.resources,
        care: homeassistant::Care {
            auto_setup: home_assistant.auto_setup,
            notify: home_assistant.notify,
        },
    }
}

fn pool_settings(limits: &Limits) -> upstream::pool::Settings {
    upstream::pool::Settings {
        max_members: limits.sessions,
        idle_timeout: limits.session_idle,
        ..upstream::pool::Settings::default()
    }
}

fn check_bounds(config: &Config, faults: &mut Faults<'_>) {
    let Config {
        queue,
        cache,
        limits,
        access,
        ..
    } = config;
    // Otherwise the Supervisor's token would go to addresses that it is not for.
    if !config.upstream_urls.is_empty() && config.upstream == "auto" {
        faults.add("upstream_urls", "it needs an address in `upstream`, too");
    }
    if config.listen.port() != 0 && config.listen == config.admin_listen {
        faults.add("admin_listen", "it is the same address as `listen`");
    }
    let taken = |address: &SocketAddr| {
        address.port() != 0 && [config.listen, config.admin_listen].contains(address)
    };
    if config.metrics.listen.as_ref().is_some_and(taken) {
        let what = "it is the same address as `listen` or `admin_listen`; leave it out to have \
                    `/metrics` at `listen`";
        faults.add("metrics.listen", what);
    }
    faults.expect_within("queue.max_parallel_calls", queue.max_parallel_calls, 1..=64);
    faults.expect_within("limits.sessions", limits.sessions, 1..=64);
    if !is_api(&config.home_assistant.api) {
        let why = "it is no id of a set of tools, such as `assist`";
        faults.add("home_assistant.api", why);
    }
    faults.expect_at_least("cache.size", cache.size, 64 << 10);
    faults.expect_time("cache.list_ttl", cache.list_ttl);
    faults.expect_time(
        "cache.list_ttl_without_events",
        cache.list_ttl_without_events,
    );
    faults.expect_at_least("limits.request_body", limits.request_body, 1024);
    faults.expect_at_least("limits.response_body", limits.response_body, 1024);
    for (key, bytes) in [
        ("limits.tool_answer", limits.tool_answer),
        (
            "home_assistant.instructions",
            config.home_assistant.instructions,
        ),
    ] {
        // The remark that something was cut has to find room.
        if bytes != 0 {
            faults.expect_at_least(key, bytes, 512);
        }
    }
    faults.expect_at_least("limits.json_depth", limits.json_depth, 4);
    faults.expect_at_least("limits.batch", limits.batch, 1);
    faults.expect_within("limits.connections", limits.connections, CONNECTIONS);
    faults.expect_within(
        "limits.connections_per_address",
        limits.connections_per_address,
        CONNECTIONS,
    );
    faults.expect_at_least(
        "queue.max_waiting_per_client",
        queue.max_waiting_per_client,
        1,
    );
    faults.expect_time("queue.call_timeout", queue.call_timeout);
    faults.expect_time("queue.aging_interval", queue.aging_interval);
    faults.expect_time("limits.wrong_tokens_window", limits.wrong_tokens_window);
    faults.expect_time("limits.head_timeout", limits.head_timeout);
    faults.expect_time("limits.body_timeout", limits.body_timeout);
    faults.expect_time("limits.connect_timeout", limits.connect_timeout);
    faults.expect_time("limits.response_timeout", limits.response_timeout);
    faults.expect_time("limits.session_idle", limits.session_idle);
    faults.expect_within("loops.calls", config.loops.calls, 0..=1000);
    faults.expect_time("loops.window", config.loops.window);
    faults.expect_at_least("audit.file_size", config.audit.file_size, 4 << 10);
    faults.expect_within("audit.files", config.audit.files, 0..=10_000);
    if config.audit.days == 0 {
        faults.add("audit.days", "it must be at least 1");
    }
    if config.access.networks.is_empty() {
        faults.add(
            "access.networks",
            "it is empty: nobody could come in; leave it out, or write `private`",
        );
    }
    for (n, origin) in (1..).zip(&access.allowed_origins) {
        if !Url::parse(origin).is_ok_and(|url| is_origin(&url)) {
            let what =
                format_args!("entry {n} is no origin; write it like https://chat.example.org");
            faults.add("access.allowed_origins", what);
        }
    }
}

/// Whether it can be an id of Home Assistant's sets of tools, or is empty.
fn is_api(id: &str) -> bool {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    id.len() <= 64 && id.chars().all(is_fit) && !id.starts_with('.')
}

/// Certificate and key, or neither.
fn tls(tls: Tls, faults: &mut Faults<'_>) -> Option<server::TlsSettings> {
    let Tls {
        certificate,
        key,
        client_ca,
    } = tls;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(server::TlsSettings {
            certificate,
            key,
            client_ca,
        }),
        (Some(_), None) => {
            faults.add("tls.key", "it is missing beside `tls.certificate`");
            None
        }
        (None, Some(_)) => {
            faults.add("tls.certificate", "it is missing beside `tls.key`");
            None
        }
        (None, None) => {
            if client_ca.is_some() {
                faults.add("tls.certificate", "it is missing beside `tls.client_ca`");
            }
            None
        }
    }
}

/// Whether there is nothing in it but scheme, host and port.
fn is_origin(url: &Url) -> bool {
    let bare = url.username().is_empty() && url.password().is_none();
    url.origin().is_tuple() && bare && &url[Position::BeforePath..] == "/"
}

/// The token, said directly or in a file, but not both ways.
fn token(
    faults: &mut Faults<'_>,
    key: &str,
    token: Option<Secret>,
    file: Option<&Path>,
) -> Option<Secret> {
    let file_key = &format!("{key}_file");
    let (key, token) = match (token, file) {
        (Some(_), Some(_)) => {
            let what = format_args!("`{key}` is set as well; leave one of them out");
            faults.add(file_key, what);
            return None;
        }
        (token, None) => (key, token?),
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => (file_key.as_str(), Secret::from(text.as_str())),
            Err(error) => {
                let what = format_args!("{}: {error}", path.display());
                faults.add(file_key, what);
                return None;
            }
        },
    };
    if token.is_empty() {
        faults.add(key, "it is empty");
        return None;
    }
    if !token.fits_header() {
        faults.add(
            key,
            "it has a character that no HTTP header can hold: a line break inside, a control \
             character, or one that is not ASCII; copy the token again",
        );
        return None;
    }
    Some(token)
}

/// The hash of the admin token, if one is set that nobody guesses.
fn token_of_admin(faults: &mut Faults<'_>, file: Option<&Path>) -> Option<access::TokenHash> {
    let token = token(faults, "admin_token", None, file)?.into_inner();
    let token = token.expose_secret();
    if token.chars().count() < MIN_ADMIN_TOKEN {
        let what = format_args!("it must have at least {MIN_ADMIN_TOKEN} characters");
        faults.add("admin_token_file", what);
        return None;
    }
    Some(access::TokenHash::of(token))
}
