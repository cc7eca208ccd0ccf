//! The composition root: from settings to a running bridge. The only place that starts long-lived
//! tasks, and the one that ends them.

mod follow;
mod live;
mod logbook;
mod reach;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Access, Admin, Registry, RegistryError};
use crate::config::{Environment, Flags, Loaded, Settings};
use crate::demo::DemoHouse;
use crate::dispatch::Dispatcher;
use crate::homeassistant::{LocateError, OwnApp};
use crate::http::{self, Bridge, Configuration, Current, Guard, Reloading};
use crate::server::{self, Listener, Tls, TlsError, Workers};
use crate::telemetry;
use crate::telemetry::audit::{Audit, Writer as AuditWriter};
use crate::upstream::Trouble;
use crate::upstream::http_client::HttpClient;
use follow::Follower;
use live::Live;
pub use reach::{Reached, find_upstream};

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
    /// There are no threads to serve connections.
    #[error("the threads that serve connections cannot be started: {0}")]
    Workers(std::io::Error),
}

/// A running bridge.
#[derive(Debug)]
pub struct App {
    lan: SocketAddr,
    admin: SocketAddr,
    live: Arc<Live>,
    reloading: Reloading,
    tasks: TaskTracker,
    /// Those that end after all others.
    last: TaskTracker,
    stop: CancellationToken,
    task_ended: CancellationToken,
    /// They may run as long as anything else does.
    workers: Arc<Workers>,
    house: Option<DemoHouse>,
}

impl App {
    /// Starts everything with the configuration that was loaded from `flags` and `environment`, and
    /// follows it from then on. Both listeners take connections when this returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(
        loaded: Loaded,
        flags: Flags,
        environment: Environment,
    ) -> Result<Self, StartError> {
        let settings = loaded.settings.clone();
        let sockets = Sockets::bind(&settings).await?;
        let registry = Registry::new(&settings.data);
        let secret = registry.secret()?;
        let operators = Admin::open(settings.admin_token, settings.access.brake, &registry)?;
        let operators = Arc::new(operators);
        let access = Arc::new(Access::open(
            settings.access.clone(),
            Registry::new(&settings.data),
        )?);
        let tls = settings
            .tls
            .clone()
            .map(Tls::open)
            .transpose()?
            .map(Arc::new);
        let (reached, house) = find_upstream(settings.demo, &settings.upstream).await?;
        let (house, demo) = house.unzip();
        let own_app = own_app(&settings)?;
        let workers = Workers::start().map_err(StartError::Workers)?;
        let workers = Arc::new(workers);
        let (audit, audit_writer) = Audit::new(settings.audit, &settings.data);
        let audit = Arc::new(audit);
        let dispatcher = Arc::new(Dispatcher::new(
            settings.dispatch,
            reached.upstream.clone(),
            audit.clone(),
        ));
        let (told, state) = watch::channel(Configuration::at_start());
        let (wanted, wishes) = mpsc::channel(1);
        let reloading = Reloading::new(state, wanted);
        let bridge = Arc::new(Bridge::new(http::Parts {
            current: Current {
                in_force: settings.in_force,
                settings: settings.http,
                way: reached.way.name(),
                home_assistant: reached.home_assistant.clone(),
            },
            access: access.clone(),
            admin: operators.clone(),
            dispatcher: dispatcher.clone(),
            reloading: reloading.clone(),
            lan: http::Lan {
                address: sockets.lan.1,
                tls: tls.is_some(),
            },
            own_app,
            data: settings.data,
            secret,
        }));
        let (server, server_settings) = watch::channel(settings.server);
        let (reached, in_force) = watch::channel(reached);
        let live = Arc::new(Live {
            access: access.clone(),
            admin: operators,
            registry,
            bridge,
            dispatcher: dispatcher.clone(),
            audit,
            reached,
            server,
            drain_timeout: ArcSwap::from_pointee(settings.drain_timeout),
            demo,
            wanted: Mutex::new(settings.upstream),
        });
        let app = Self {
            lan: sockets.lan.1,
            admin: sockets.admin.1,
            live: live.clone(),
            reloading,
            tasks: TaskTracker::new(),
            last: TaskTracker::new(),
            stop: CancellationToken::new(),
            task_ended: CancellationToken::new(),
            workers,
            house,
        };
        let metrics = sockets.metrics.as_ref().map(|(_, address)| *address);
        app.listen(
            sockets,
            &server_settings,
            settings.ingress_peer,
            tls.clone(),
        );
        let (audit, reached) = (app.live.audit.clone(), in_force.clone());
        app.spawn(logbook::show(audit, reached, app.stop.clone()));
        app.spawn(reach::tend(in_force, dispatcher, app.stop.clone()));
        app.spawn_on(&app.last, write_audit(audit_writer));
        let follower = Follower::new(live, flags, environment, loaded, told);
        app.spawn(follower.run(wishes, app.stop.clone()));
        app.spawn_upkeep(&access, tls);
        app.announce(metrics);
        access.warn_if_open();
        Ok(app)
    }

    /// Says in the log where the bridge is, and what is behind it.
    fn announce(&self, metrics: Option<SocketAddr>) {
        let (upstream, way) = self.live.reached();
        tracing::info!(
            lan = %self.lan,
            admin = %self.admin,
            metrics = metrics.map(tracing::field::display),
            upstream = upstream.address(),
            way = way.name(),
            "MCP Bridge {} is ready",
            env!("CARGO_PKG_VERSION")
        );
    }

    /// The way of its calls.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.live.dispatcher
    }

    /// Reads the configuration anew, as `POST /api/reload` does; what became of it is in the log and
    /// in the status.
    pub async fn reload(&self) {
        self.reloading.reload().await;
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
        self.live.bridge.announce_stop();
        let drain_timeout = **self.live.drain_timeout.load();
        let end = async {
            self.live.dispatcher.drain().await;
            self.live.bridge.announce_end();
            self.stop.cancel();
            self.tasks.close();
            self.tasks.wait().await;
            self.live.audit.close();
            self.last.close();
            self.last.wait().await;
            if let Some(house) = self.house {
                house.stop().await;
            }
        };
        if tokio::time::timeout(drain_timeout, end).await.is_err() {
            let left = self.live.dispatcher.figures().queue;
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
        settings: &watch::Receiver<server::Settings>,
        ingress_peer: Option<IpAddr>,
        tls: Option<Arc<Tls>>,
    ) {
        let listener = |socket, routes| Listener {
            socket,
            routes,
            settings: settings.clone(),
            only_peer: None,
            tls: None,
            workers: self.workers.clone(),
        };
        let bridge = &self.live.bridge;
        let without_tls = http::without_tls(bridge.clone());
        self.serve(Listener {
            tls: tls.map(|tls| (tls, without_tls)),
            ..listener(sockets.lan.0, http::lan(bridge.clone()))
        });
        let guard = ingress_peer.map_or(Guard::Token, |_| Guard::Ingress);
        self.serve(Listener {
            only_peer: ingress_peer,
            ..listener(sockets.admin.0, http::admin(bridge.clone(), guard))
        });
        if let Some((metrics, _)) = sockets.metrics {
            self.serve(listener(metrics, http::for_metrics(bridge.clone())));
        }
    }

    fn serve(&self, listener: Listener) {
        self.spawn(listener.serve(self.stop.clone()));
    }

    /// Starts what is done again and again.
    fn spawn_upkeep(&self, access: &Arc<Access>, tls: Option<Arc<Tls>>) {
        if let Some(tls) = tls {
            self.spawn(renew(tls, self.stop.clone()));
        }
        self.spawn(watch_register(access.clone(), self.stop.clone()));
        self.spawn(note_last_seen(access.clone(), self.stop.clone()));
        self.spawn(tell_left_out(self.stop.clone()));
        let (dispatcher, stop) = (self.live.dispatcher.clone(), self.stop.clone());
        self.spawn(async move {
            stop.run_until_cancelled(dispatcher.follow_lists()).await;
        });
    }

    /// Starts a task that lasts as long as the bridge.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(&self.tasks, task);
    }

    fn spawn_on(&self, tasks: &TaskTracker, task: impl Future<Output = ()> + Send + 'static) {
        // A guard, since a task that panics ends as well.
        let ended = self.task_ended.clone().drop_guard();
        tasks.spawn(async move {
            let _ended = ended;
            task.await;
        });
    }
}

/// The bridge as an app, where there is a Supervisor.
fn own_app(settings: &Settings) -> Result<Option<OwnApp>, StartError> {
    let Some(supervisor) = settings.upstream.wish.supervisor.clone() else {
        return Ok(None);
    };
    let client = HttpClient::new(&settings.upstream.http)?;
    Ok(Some(OwnApp::new(supervisor, client)))
}

/// A socket, with the address that the system has given it.
type Bound = (TcpListener, SocketAddr);

/// What was bound.
struct Sockets {
    lan: Bound,
    admin: Bound,
    metrics: Option<Bound>,
}

impl Sockets {
    async fn bind(settings: &Settings) -> Result<Self, StartError> {
        Ok(Self {
            lan: bind("listen", settings.listen).await?,
            admin: bind("admin_listen", settings.admin_listen).await?,
            metrics: match settings.metrics_listen {
                Some(address) => Some(bind("metrics.listen", address).await?),
                None => None,
            },
        })
    }
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<Bound, StartError> {
    let fault = |source| StartError::Bind {
        setting,
        address,
        source,
    };
    let listener = server::bind(address).await.map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    Ok((listener, bound))
}

/// Writes the audit until it is closed. It waits for the disk, so it has a thread of its own.
async fn write_audit(writer: AuditWriter) {
    if tokio::task::spawn_blocking(|| writer.run()).await.is_err() {
        tracing::error!("the audit has broken off");
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
async fn watch_register(access: Arc<Access>, stop: CancellationToken) {
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
    use crate::config::load;

    #[tokio::test]
    async fn a_part_that_ends_breaks_the_bridge() {
        let data = tempfile::tempdir().unwrap();
        let flags = Flags {
            demo: true,
            listen: Some("127.0.0.1:0".to_owned()),
            admin_listen: Some("127.0.0.1:0".to_owned()),
            data: Some(data.path().into()),
            ..Flags::default()
        };
        let environment = Environment::default();
        let loaded = load(&flags, &environment).unwrap();
        let app = App::start(loaded, flags, environment).await.unwrap();
        app.spawn(async { panic!("a defect") });
        app.broken().await;
        app.stop().await;
    }
}
