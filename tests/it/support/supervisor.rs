//! A stand-in for the Supervisor, with the quirks of the real one that matter to an app.

pub(crate) mod ingress;
mod proxy;
mod websocket;
mod wire;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{any, get, post};
use futures_util::stream::try_unfold;
use http::{Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt;

use wire::Wire;

/// The token that it gives to the app.
pub(crate) const TOKEN: &str = "supervisor-token";

/// A running stand-in.
pub(crate) struct Supervisor {
    pub(crate) url: String,
    state: Arc<State>,
}

/// Home Assistant Core, as the Supervisor reaches it.
#[derive(Debug, Clone)]
pub(crate) struct Core {
    /// Its address, without a path.
    pub(crate) url: String,
    /// The token of the Supervisor's own user there.
    pub(crate) token: String,
}

struct State {
    /// Nothing while Core starts.
    core: Mutex<Option<Core>>,
    /// The options of the app, as its form has them.
    options: Mutex<Value>,
    http: reqwest::Client,
    /// How long a request to Core may take in all.
    patience: Duration,
    /// The ports of the app, and those of the machine that lead to them.
    ports: Mutex<Value>,
    /// How often the app asked for a restart.
    restarts: AtomicUsize,
}

impl Supervisor {
    /// Starts one in front of `core`; without it Core is just starting.
    pub(crate) async fn start(core: Option<Core>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let state = Arc::new(State {
            core: Mutex::new(core),
            options: Mutex::new(json!({})),
            http: http.build().unwrap(),
            patience: Duration::from_mins(5),
            ports: Mutex::new(json!({"8124/tcp": 8124})),
            restarts: AtomicUsize::new(0),
        });
        tokio::spawn(serve(listener, routes(state.clone())));
        Self { url, state }
    }

    /// In front of a demo house or a real Home Assistant, whose MCP address this is.
    pub(crate) async fn before(mcp_url: &str, token: &str) -> Self {
        Self::start(Some(Core::at(mcp_url, token))).await
    }

    /// The environment that an app under it has.
    pub(crate) fn environment(&self) -> [(&str, &str); 2] {
        [
            ("SUPERVISOR_TOKEN", TOKEN),
            ("MCP_BRIDGE__SUPERVISOR", &self.url),
        ]
    }

    /// A person opens a port of the app on the machine, or closes it.
    pub(crate) fn map_port(&self, inside: u16, outside: Option<u16>) {
        *self.state.ports.lock().unwrap() = json!({format!("{inside}/tcp"): outside});
    }

    /// How often the app asked for a restart.
    pub(crate) fn restarts(&self) -> usize {
        self.state.restarts.load(Ordering::Relaxed)
    }

    /// Core stops, or is there again.
    pub(crate) fn set_core(&self, core: Option<Core>) {
        *self.state.core.lock().unwrap() = core;
    }

    /// Somebody saves the form.
    pub(crate) fn set_options(&self, options: Value) {
        *self.state.options.lock().unwrap() = options;
    }
}

impl Core {
    /// The one whose MCP address this is.
    pub(crate) fn at(mcp_url: &str, token: &str) -> Self {
        let mut url = url::Url::parse(mcp_url).unwrap();
        url.set_path("");
        Self {
            url: url.as_str().trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        }
    }
}

fn routes(state: Arc<State>) -> Router {
    Router::new()
        .route("/core/info", get(core_info))
        .route("/core/websocket", get(websocket::upgrade))
        .route(
            "/core/api/{*path}",
            // GET serves HEAD, too.
            get(proxy::forward)
                .post(proxy::forward)
                .delete(proxy::forward),
        )
        .route("/addons/self/info", get(own_info))
        .route("/addons/self/options/config", get(own_options))
        .route("/addons/self/restart", post(restart))
        .route("/network/info", get(network_info))
        .fallback(any(|| async {
            text(StatusCode::NOT_FOUND, "404: Not Found")
        }))
        .layer(from_fn(guard))
        .with_state(state)
}

/// Answers connections, of one request each.
async fn serve(listener: TcpListener, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let wire = Wire::default();
        let stream = TokioIo::new(wire.listen_to(stream));
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(wire.clone());
            router.clone().oneshot(request)
        });
        tokio::spawn(
            http1::Builder::new()
                .keep_alive(false)
                .serve_connection(stream, service)
                .with_upgrades(),
        );
    }
}

/// Refuses what the Supervisor refuses before it looks any closer.
async fn guard(request: Request<Body>, next: Next) -> Response {
    match refusal(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

/// What looks like an attack, and what has no token.
fn refusal(request: &Request<Body>) -> Option<Response> {
    let uri = request.uri().to_string().to_lowercase();
    if ["<script", "%3cscript", "../"]
        .iter()
        .any(|bad| uri.contains(bad))
    {
        return Some(text(StatusCode::BAD_REQUEST, "400: Bad Request"));
    }
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    // The last word of `Authorization` counts, whatever stands before it.
    let bearer = header("authorization").and_then(|value| value.split(' ').next_back());
    let own = if request.uri().path().starts_with("/core/api/") {
        header("x-ha-access")
    } else {
        header("x-supervisor-token")
    };
    // The websocket asks for it in a message of its own.
    let asks_itself = request.uri().path() == "/core/websocket";
    let known = asks_itself || bearer == Some(TOKEN) || own == Some(TOKEN);
    (!known).then(|| text(StatusCode::UNAUTHORIZED, "401: Unauthorized"))
}

fn text(status: StatusCode, body: &'static str) -> Response {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(Body::from(body))
        .unwrap()
}

/// The body of an answer, handed on as it comes.
fn piece_by_piece(answer: reqwest::Response) -> Body {
    Body::from_stream(try_unfold(answer, |mut answer| async {
        let piece = answer.chunk().await?;
        Ok::<_, reqwest::Error>(piece.map(|piece| (piece, answer)))
    }))
}

fn ok(data: Value) -> Response {
    let body = json!({"result": "ok", "data": data}).to_string();
    Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .unwrap()
}

/// The real one would end the app before it could read this.
async fn restart(Shared(state): Shared<Arc<State>>) -> Response {
    state.restarts.fetch_add(1, Ordering::Relaxed);
    ok(json!({}))
}

async fn network_info() -> Response {
    let interface = |name: &str, primary: bool, addresses: Value| {
        json!({
            "interface": name, "type": "ethernet", "enabled": true, "connected": true,
            "primary": primary, "mac": "aa:bb:cc:dd:ee:ff", "wifi": null, "vlan": null,
            "ipv4": {"method": "auto", "address": addresses, "nameservers": ["192.168.1.1"],
                "gateway": "192.168.1.1", "ready": true},
            "ipv6": {"method": "auto", "address": [], "nameservers": [], "gateway": null,
                "ready": true},
        })
    };
    ok(json!({
        "interfaces": [
            interface("wlan0", false, json!([])),
            interface("end0", true, json!(["192.168.1.10/24"])),
        ],
        "docker": {"interface": "hassio", "address": "172.30.32.0/23", "gateway": "172.30.32.1",
            "dns": "172.30.32.3"},
        "host_internet": true, "supervisor_internet": true,
    }))
}

async fn core_info(Shared(state): Shared<Arc<State>>) -> Response {
    let core = state.core.lock().unwrap().clone();
    let port = core.and_then(|core| url::Url::parse(&core.url).ok()?.port());
    ok(json!({
        "version": "2026.11.0", "version_latest": "2026.11.0", "update_available": false,
        "arch": "amd64", "machine": "generic-x86-64", "ip_address": "172.30.32.1",
        "image": "ghcr.io/home-assistant/generic-x86-64-homeassistant", "boot": true,
        "port": port.unwrap_or(80), "ssl": false, "watchdog": true,
    }))
}

async fn own_info(Shared(state): Shared<Arc<State>>) -> Response {
    let ports = state.ports.lock().unwrap().clone();
    ok(json!({
        "name": "MCP Bridge", "slug": "0a1b2c3d_mcp_bridge", "hostname": "0a1b2c3d-mcp-bridge",
        "version": env!("CARGO_PKG_VERSION"), "version_latest": "9.9.9", "update_available": true,
        "state": "started", "network": ports, "ip_address": "172.30.33.5",
        "ingress": true, "ingress_port": 8099, "ingress_entry": "/api/hassio_ingress/session",
        "ingress_url": "/api/hassio_ingress/session/", "ingress_panel": false, "protected": true,
    }))
}

async fn own_options(Shared(state): Shared<Arc<State>>) -> Response {
    ok(state.options.lock().unwrap().clone())
}
