//! All addresses of the bridge, and in which order a request passes the layers.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::future::RouteFuture;
use axum::routing::{any, get, post};
use axum::{BoxError, Router};
use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use tower::Service;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use super::door::{self, Door};
use super::{
    Bridge, Guard, address_token, events, health, ingress, legacy_sse, mcp, metrics, reply, rest,
    status, websocket,
};

/// Everything that one listener answers.
#[derive(Debug, Clone)]
pub struct Routes {
    plain: Router,
    /// The same for clients that read compressed answers. Others need not pay for it.
    compressing: Router,
    takes_tokens: bool,
}

impl Routes {
    fn new(routes: Router) -> Self {
        Self {
            compressing: routes.clone().layer(compression()),
            plain: routes,
            takes_tokens: false,
        }
    }

    /// The same for clients that cannot send headers, too.
    fn with_tokens_in_addresses(self) -> Self {
        Self {
            takes_tokens: true,
            ..self
        }
    }

    /// Answers a request.
    pub fn answer<B>(&self, request: http::Request<B>) -> RouteFuture<Infallible>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut request = request.map(Body::new);
        if self.takes_tokens {
            request = address_token::take(request);
        }
        let mut router = if request.headers().contains_key(ACCEPT_ENCODING) {
            self.compressing.clone()
        } else {
            self.plain.clone()
        };
        router.call(request)
    }
}

/// The listener for clients in the network.
pub fn lan(bridge: Arc<Bridge>) -> Routes {
    let mcp = post(mcp::post)
        .get(mcp::get)
        .delete(mcp::delete)
        .fallback(mcp::wrong_method);
    let others = Router::new()
        .route(
            "/mcp/status",
            get(status::get).fallback(reply::wrong_method_get),
        )
        .route(
            "/mcp/events",
            get(events::get).fallback(reply::wrong_method_get),
        )
        .route(
            "/mcp/ws",
            get(websocket::get).fallback(reply::wrong_method_get),
        )
        .route(
            "/sse",
            get(legacy_sse::get).fallback(reply::wrong_method_get),
        )
        .route(
            "/messages",
            post(legacy_sse::post).fallback(reply::wrong_method_post),
        )
        .route(
            "/mcp_server/sse",
            get(legacy_sse::get_as_home_assistant).fallback(reply::wrong_method_get),
        )
        .route(
            "/mcp_server/messages/{id}",
            post(legacy_sse::post_as_home_assistant).fallback(reply::wrong_method_post),
        )
        .route(
            "/mcp/batch",
            post(mcp::batch).fallback(reply::wrong_method_post),
        )
        .route(
            "/mcp/{*method}",
            post(rest::post).fallback(reply::wrong_method_post),
        )
        .fallback(any(reply::not_found));
    let others = if bridge.settings().metrics_apart {
        others
    } else {
        others.merge(metrics_route())
    };
    let routes = others
        .route("/mcp", mcp.clone())
        .route("/mcp/", mcp.clone())
        .route("/api/mcp", mcp);
    let door = Door {
        bridge,
        listener: "lan",
        shares: true,
        checks_network: true,
    };
    Routes::new(behind(door, routes)).with_tokens_in_addresses()
}

/// The routes behind a door, and the probes, which are for everybody.
fn behind(door: Door, routes: Router<Arc<Bridge>>) -> Router {
    let probes = health_routes().layer(from_fn_with_state(door.for_everybody(), door::pass));
    routes
        .layer(from_fn_with_state(door.clone(), door::pass))
        .merge(probes)
        .with_state(door.bridge)
}

/// The listener for those who gather figures, where it is one of its own.
pub fn for_metrics(bridge: Arc<Bridge>) -> Routes {
    let routes = metrics_route().fallback(any(reply::not_found));
    let door = Door {
        bridge,
        listener: "metrics",
        shares: false,
        checks_network: true,
    };
    Routes::new(behind(door, routes))
}

/// Compresses answers for clients that read that, where it saves a packet. What is compressed already
/// stays so; events must go out as they come.
fn compression() -> CompressionLayer<impl Predicate> {
    let is_worth_it = SizeAbove::new(1400).and(NotForContentType::SSE);
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(is_worth_it)
}

fn metrics_route() -> Router<Arc<Bridge>> {
    let get = get(metrics::get).fallback(reply::wrong_method_get);
    Router::new().route("/metrics", get)
}

/// What those hear who speak plain HTTP where TLS is spoken: what is wrong. Probes are answered, they
/// have nothing to hide.
pub fn without_tls(bridge: Arc<Bridge>) -> Routes {
    let routes = health_routes().fallback(any(reply::tls_required));
    Routes::new(routes.with_state(bridge))
}

/// The listener for the status page, its API and probes.
pub fn admin(bridge: Arc<Bridge>, guard: Guard) -> Routes {
    let routes = super::admin::routes(&bridge).fallback(any(reply::not_found));
    let routes = match guard {
        Guard::Token => routes,
        Guard::Ingress => routes.layer(from_fn(ingress::identify)),
    };
    let door = Door {
        bridge,
        listener: "admin",
        shares: false,
        checks_network: guard == Guard::Token,
    };
    Routes::new(behind(door, routes))
}

fn health_routes() -> Router<Arc<Bridge>> {
    Router::new()
        .route(
            "/health/live",
            get(health::live).fallback(reply::wrong_method_get),
        )
        .route(
            "/health/ready",
            get(health::ready).fallback(reply::wrong_method_get),
        )
        .route(
            "/health/startup",
            get(health::startup).fallback(reply::wrong_method_get),
        )
}
