//! The way of a browser to the page of an app: Core's and the Supervisor's ingress in one.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use axum::routing::any;
use http::{HeaderName, Request, StatusCode, header};
use http_body_util::BodyExt;
use tokio::net::TcpListener;

use super::proxy::bare_content_type;
use super::{piece_by_piece, text};

/// Where the pages of the app lie below Home Assistant's address.
pub(crate) const BASE: &str = "/api/hassio_ingress/session";

/// Somebody who has logged in to Home Assistant.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) display_name: &'static str,
}

/// A running ingress.
pub(crate) struct Ingress {
    /// The address of the app's page, with a slash at its end.
    pub(crate) url: String,
}

struct Way {
    app: SocketAddr,
    user: User,
    http: reqwest::Client,
}

impl Ingress {
    /// Starts one for `user` in front of an app's page.
    pub(crate) async fn start(app: SocketAddr, user: User) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{BASE}/", listener.local_addr().unwrap());
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let way = Arc::new(Way {
            app,
            user,
            http: http.build().unwrap(),
        });
        let router = Router::new()
            .route(&format!("{BASE}/"), any(forward_root))
            .route(&format!("{BASE}/{{*path}}"), any(forward))
            .with_state(way);
        tokio::spawn(super::serve(listener, router));
        Self { url }
    }
}

async fn forward_root(way: Shared<Arc<Way>>, request: Request<Body>) -> Response {
    forward(way, Path(String::new()), request).await
}

async fn forward(
    Shared(way): Shared<Arc<Way>>,
    Path(path): Path<String>,
    request: Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let query = head.uri.query().map(|query| format!("?{query}"));
    let url = format!("http://{}/{path}{}", way.app, query.unwrap_or_default());
    let host = head.headers.get(header::HOST).cloned();
    let mut forwarded = way.http.request(head.method, url);
    // What a browser says of its user does not count, nor which encodings it takes.
    let lost = |name: &HeaderName| {
        name.as_str().starts_with("x-remote-user")
            || [header::ACCEPT_ENCODING, header::CONTENT_LENGTH].contains(name)
    };
    for (name, value) in head.headers.iter().filter(|(name, _)| !lost(name)) {
        forwarded = forwarded.header(name, value);
    }
    let forwarded = forwarded
        .header("x-ingress-path", BASE)
        .header("x-hass-source", "core.ingress")
        .header("x-remote-user-id", way.user.id)
        .header("x-remote-user-name", way.user.name)
        .header(
            "x-remote-user-display-name",
            way.user.display_name.as_bytes(),
        )
        .header("x-forwarded-for", "192.168.1.20")
        .header("x-forwarded-host", host.unwrap())
        .header("x-forwarded-proto", "http")
        .body(body.collect().await.unwrap().to_bytes());
    match forwarded.send().await {
        Ok(answer) => give_back(answer),
        Err(_) => text(StatusCode::BAD_GATEWAY, "502: Bad Gateway"),
    }
}

/// The answer of the app, piece by piece, with a bare content type.
fn give_back(answer: reqwest::Response) -> Response {
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        let hop = [
            header::TRANSFER_ENCODING,
            header::CONNECTION,
            header::CONTENT_LENGTH,
        ];
        if *name != header::CONTENT_TYPE && !hop.contains(name) {
            response = response.header(name, value);
        }
    }
    if let Some(kind) = bare_content_type(answer.headers()) {
        response = response.header(header::CONTENT_TYPE, kind);
    }
    response.body(piece_by_piece(answer)).unwrap()
}
