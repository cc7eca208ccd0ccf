//! The composition root: from settings to a running bridge. The only place that starts long-lived
//! tasks, and the one that ends them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Access, Admin, Registry, RegistryError, Token};
use crate::cache::Change;
use crate::config::Settings;
use crate::demo::{self, DemoHouse};
use crate::dispatch::Dispatcher;
use crate::homeassistant::{HomeAssistant, LocateError, Located, OwnApp, Report, Way, locate};
use crate::http::{self, Bridge, Guard};
use crate::server::{self, Listener, Tls, TlsError};
use crate::telemetry;
use crate::upstream::http_client::HttpClient;
use crate::upstream::{self, Insight, Presence, Trouble, Upstream};

/// How often the register of clients is looked at: a token that was made or revoked on the command
/// line counts within a second.
const REGISTRY_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is written down when clients were last there.
const LAST_SEEN_INTERVAL: Duration = Duration::from_mins(1);

/// How often it is told that lines of the log were left out.
const LEFT_OUT_INTERVAL: Duration = Duration::from_mins(1);

/// How often the certificate is looked at.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(2);

/// Why the bridge could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error("cannot listen on {address} (`{setting}`): {source}")]
    Bind {
        /// The setting that names it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// There is no certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no upstream.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] Trouble),
    /// The built-in house cannot be started.
    #[error("the built-in house cannot be started: {0}")]
    Demo(std::io::Error),
}

/// A running bridge.
#[derive(Debug)]
pub struct App {
    lan: SocketAddr,
    admin: SocketAddr,
    bridge: Arc<Bridge>,
    dispatcher: Arc<Dispatcher>,
    tasks: TaskTracker,
    stop: CancellationToken,
    task_ended: CancellationToken,
    drain_timeout: Duration,
    house: Option<DemoHouse>,
}

impl App {
    /// Starts everything. Both listeners take connections when this returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let lan = bind("listen", settings.listen).await?;
        let admin = bind("admin_listen", settings.admin_listen).await?;
        let metrics = match settings.metrics_listen {
            Some(address) => Some(bind("metrics.listen", address).await?),
            None => None,
        };
        let registry = Registry::new(&settings.data);
        let secret = registry.secret()?;
        let operators = Admin::open(settings.admin_token, settings.access.brake, &registry)?;
        let access = Arc::new(Access::open(settings.access.clone(), registry)?);
        let tls = settings
            .tls
            .clone()
            .map(Tls::open)
            .transpose()?
            .map(Arc::new);
        let Found {
            upstream,
            way,
            house,
            home_assistant,
        } = find_upstream(&settings).await?;
        let upstream = Arc::new(upstream);
        let own_app = own_app(&settings)?;
        let dispatcher = Arc::new(Dispatcher::new(settings.dispatch, upstream.clone()));
        let bridge = Arc::new(Bridge::new(http::Parts {
            settings: settings.http,
            access: access.clone(),
            admin: operators,
            dispatcher: dispatcher.clone(),
            way: way.name(),
            home_assistant: home_assistant.clone(),
            lan: http::Lan {
                address: lan.1,
                tls: tls.is_some(),
            },
            own_app,
            in_force: settings.in_force,
            secret,
        }));
        let app = Self {
            lan: lan.1,
            admin: admin.1,
            bridge: bridge.clone(),
            dispatcher,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            task_ended: CancellationToken::new(),
            drain_timeout: settings.drain_timeout,
            house,
        };
        let metrics_address = metrics.as_ref().map(|(_, address)| *address);
        let sockets = Sockets {
            lan: lan.0,
            admin: admin.0,
            metrics: metrics.map(|(socket, _)| socket),
        };
        app.listen(sockets, settings.server, settings.ingress_peer, tls.clone());
        if let Some(tls) = tls {
            app.spawn(renew(tls, app.stop.clone()));
        }
        app.spawn(watch(access.clone(), app.stop.clone()));
        app.spawn(tell_left_out(app.stop.clone()));
        app.spawn(note_last_seen(access.clone(), app.stop.clone()));
        let stop = app.stop.clone();
        app.spawn(async move { upstream.keep(stop).await });
        if let Some(home_assistant) = home_assistant {
            let (dispatcher, stop) = (app.dispatcher.clone(), app.stop.clone());
            app.spawn(async move {
                let listening = home_assistant.listen(|news| report(&dispatcher, news));
                stop.run_until_cancelled(listening).await;
            });
        }
        // From now on, not only from when the task runs.
        let ear = app.dispatcher.upstream().ear();
        let (dispatcher, stop) = (app.dispatcher.clone(), app.stop.clone());
        app.spawn(async move {
            stop.run_until_cancelled(dispatcher.relay(ear)).await;
        });
        let (dispatcher, stop) = (app.dispatcher.clone(), app.stop.clone());
        app.spawn(async move {
            stop.run_until_cancelled(dispatcher.follow_lists()).await;
        });
        tracing::info!(
            lan = %app.lan,
            admin = %app.admin,
            metrics = metrics_address.map(tracing::field::display),
            upstream = app.dispatcher.upstream().address(),
            way = way.name(),
            "MCP Bridge {} is ready",
            env!("CARGO_PKG_VERSION")
        );
        if access.is_open() {
            tracing::warn!(
                "the front door is open: whoever reaches the bridge can control the house without a \
                 token (`access.leave_front_door_open`)"
            );
        }
        Ok(app)
    }

    /// The way of its calls.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    /// The address for clients, with the port that the system chose where 0 was asked for.
    pub const fn lan_address(&self) -> SocketAddr {
        self.lan
    }

    /// The address for the status page.
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Ends the bridge in order: says so to probes, takes no new calls, lets the others finish, and
    /// closes. All of it takes no longer than `limits.drain_timeout` allows.
    pub async fn stop(self) {
        self.bridge.announce_stop();
        let end = async {
            self.dispatcher.drain().await;
            self.bridge.announce_end();
            self.stop.cancel();
            self.tasks.close();
            self.tasks.wait().await;
            if let Some(house) = self.house {
                house.stop().await;
            }
        };
        if tokio::time::timeout(self.drain_timeout, end).await.is_err() {
            let left = self.dispatcher.figures().queue;
            tracing::warn!(
                left.queue.running,
                left.queue.waiting,
                "not everything was over after the time to drain"
            );
            self.stop.cancel();
        }
        tracing::info!("stopped");
    }

    /// Waits until the bridge cannot go on, because a part of it has ended that must not before
    /// [`App::stop`].
    pub async fn broken(&self) {
        self.task_ended.cancelled().await;
    }

    /// Takes connections at all sockets.
    fn listen(
        &self,
        sockets: Sockets,
        settings: server::Settings,
        ingress_peer: Option<IpAddr>,
        tls: Option<Arc<Tls>>,
    ) {
        let listener = |socket, router| Listener {
            socket,
            router,
            settings,
            only_peer: None,
            tls: None,
        };
        let bridge = &self.bridge;
        let without_tls = http::without_tls(bridge.clone());
        self.serve(Listener {
            tls: tls.map(|tls| (tls, without_tls)),
            ..listener(sockets.lan, http::lan(bridge.clone()))
        });
        let guard = ingress_peer.map_or(Guard::Token, |_| Guard::Ingress);
        self.serve(Listener {
            only_peer: ingress_peer,
            ..listener(sockets.admin, http::admin(bridge.clone(), guard))
        });
        if let Some(metrics) = sockets.metrics {
            self.serve(listener(metrics, http::for_metrics(bridge.clone())));
        }
    }

    fn serve(&self, listener: Listener) {
        self.spawn(listener.serve(self.stop.clone()));
    }

    /// Starts a task that lasts as long as the bridge.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // A guard, since a task that panics ends as well.
        let ended = self.task_ended.clone().drop_guard();
        self.tasks.spawn(async move {
            let _ended = ended;
            task.await;
        });
    }
}

/// The bridge as an app, where there is a Supervisor.
fn own_app(settings: &Settings) -> Result<Option<OwnApp>, StartError> {
    let Some(supervisor) = settings.wish.supervisor.clone() else {
        return Ok(None);
    };
    let client = HttpClient::new(&settings.upstream_http)?;
    Ok(Some(OwnApp::new(supervisor, client)))
}

/// What was bound.
struct Sockets {
    lan: TcpListener,
    admin: TcpListener,
    metrics: Option<TcpListener>,
}

async fn bind(
    setting: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let fault = |source| StartError::Bind {
        setting,
        address,
        source,
    };
    let listener = server::bind(address).await.map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    Ok((listener, bound))
}

/// What was found where the upstream should be.
#[derive(Debug)]
pub struct Found {
    /// The upstream.
    pub upstream: Upstream,
    /// How it is reached.
    pub way: Way,
    /// The built-in house, if it takes the place of Home Assistant.
    pub house: Option<DemoHouse>,
    /// The Home Assistant that the upstream is a part of, if its events are to be listened to.
    pub home_assistant: Option<Arc<HomeAssistant>>,
}

/// Finds the upstream, or starts the built-in house in its place.
///
/// # Errors
/// See [`StartError`].
pub async fn find_upstream(settings: &Settings) -> Result<Found, StartError> {
    let http = &settings.upstream_http;
    let (located, house) = if settings.demo {
        let token = Token::generate().map_err(StartError::Demo)?;
        let settings = demo::Settings {
            token: Some(token.reveal().to_owned()),
            ..demo::Settings::default()
        };
        let house = DemoHouse::start(settings).await.map_err(StartError::Demo)?;
        let url = url::Url::parse(&house.url())
            .map_err(|error| StartError::Demo(std::io::Error::other(error)))?;
        let token = Some(SecretString::from(token.reveal()));
        (
            Located {
                url,
                token,
                way: Way::Demo,
            },
            Some(house),
        )
    } else {
        let wish = settings.wish.clone();
        (locate(wish, &HttpClient::new(http)?).await?, None)
    };
    // Several addresses are several servers, of which one Home Assistant knows nothing.
    let home_assistant = if settings.upstream_urls.is_empty() {
        HomeAssistant::at(&located, settings.home_assistant, http)?
    } else {
        None
    };
    let Located { url, token, way } = located;
    let upstream = Upstream::new(upstream::Settings {
        url,
        // The token of the built-in house is for nobody else.
        further_urls: if settings.demo {
            Vec::new()
        } else {
            settings.upstream_urls.clone()
        },
        token,
        max_answer: settings.max_answer,
        http: http.clone(),
        pool: settings.upstream_pool,
        insight: home_assistant.clone().map(|home| home as Arc<dyn Insight>),
    })?;
    Ok(Found {
        upstream,
        way,
        house,
        home_assistant,
    })
}

/// Passes on what happens in Home Assistant to whom it concerns.
fn report(dispatcher: &Dispatcher, report: Report) {
    match report {
        Report::Presence(presence) => {
            match presence {
                Presence::Running => tracing::info!("Home Assistant is running"),
                Presence::Starting => tracing::info!("Home Assistant is starting"),
                Presence::Stopping => tracing::warn!("Home Assistant is stopping"),
                Presence::Gone => tracing::warn!("Home Assistant is gone"),
                Presence::Unknown => tracing::warn!("it is not known how Home Assistant is"),
            }
            match presence {
                Presence::Starting => dispatcher.changed(&Change::Starting),
                // Nobody tells when it has started: what is asked from now on is as good as any.
                Presence::Unknown => dispatcher.changed(&Change::Started),
                Presence::Running | Presence::Stopping | Presence::Gone => {}
            }
            dispatcher.set_presence(presence);
        }
        Report::Change(change) => {
            tracing::debug!(?change, "Home Assistant");
            dispatcher.changed(&change);
        }
    }
}

/// Says now and then how much of the log was left out.
async fn tell_left_out(stop: CancellationToken) {
    let mut interval = tokio::time::interval(LEFT_OUT_INTERVAL);
    while stop.run_until_cancelled(interval.tick()).await.is_some() {
        let lines = telemetry::take_left_out();
        if lines > 0 {
            tracing::warn!(lines, "complaints that repeated themselves were left out");
        }
    }
}

/// Writes down when clients were last there, at the end as well.
async fn note_last_seen(access: Arc<Access>, stop: CancellationToken) {
    loop {
        let pause = tokio::time::sleep(LAST_SEEN_INTERVAL);
        let goes_on = stop.run_until_cancelled(pause).await.is_some();
        if let Err(error) = access.keep_last_seen() {
            tracing::warn!(%error, "when clients were last there was not kept");
        }
        if !goes_on {
            return;
        }
    }
}

/// Follows the certificate when it is renewed.
async fn renew(tls: Arc<Tls>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(CERTIFICATE_INTERVAL);
    while stop.run_until_cancelled(interval.tick()).await.is_some() {
        match tls.refresh() {
            Ok(true) => tracing::info!("the certificate was renewed"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the certificate stays as it was"),
        }
    }
}

/// Follows the register of clients.
async fn watch(access: Arc<Access>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(REGISTRY_INTERVAL);
    while stop.run_until_cancelled(interval.tick()).await.is_some() {
        match access.refresh() {
            Ok(true) => tracing::info!(clients = access.active_clients(), "clients changed"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the clients stay as they were"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Flags, load};

    #[tokio::test]
    async fn a_listener_that_ends_breaks_the_bridge() {
        let data = tempfile::tempdir().unwrap();
        let flags = Flags {
            demo: true,
            listen: Some("127.0.0.1:0".to_owned()),
            admin_listen: Some("127.0.0.1:0".to_owned()),
            data: Some(data.path().into()),
            ..Flags::default()
        };
        let mut settings = load(&flags, &Environment::default()).unwrap().settings;
        // More than a semaphore holds: the listener panics.
        settings.server.max_connections = usize::MAX;
        let app = App::start(settings).await.unwrap();
        app.broken().await;
        app.stop().await;
    }
}
