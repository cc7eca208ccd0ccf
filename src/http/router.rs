//! All addresses of the bridge, and in which order a request passes the layers.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, any, get, post};
use tower::util::MapRequest;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use super::{
    Bridge, Guard, address_token, cors, events, health, ingress, legacy_sse, mcp, metrics, network,
    reply, request_id, rest, status, websocket,
};

/// The listener for clients in the network.
pub fn lan(bridge: Arc<Bridge>) -> Router {
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
    let routes = guarded(mcp, others)
        .layer(from_fn_with_state(bridge.clone(), network::check))
        .merge(health_routes())
        .layer(from_fn_with_state(bridge.clone(), cors::share))
        .layer(from_fn_with_state((bridge.clone(), "lan"), metrics::count))
        .layer(from_fn(request_id::name))
        .layer(compression())
        .with_state(bridge);
    Router::new().fallback_service(MapRequest::new(routes, address_token::take))
}

/// The listener for those who gather figures, where it is one of its own.
pub fn for_metrics(bridge: Arc<Bridge>) -> Router {
    metrics_route()
        .fallback(any(reply::not_found))
        .layer(from_fn_with_state(bridge.clone(), network::check))
        .merge(health_routes())
        .layer(CatchPanicLayer::custom(reply::panicked))
        .layer(from_fn_with_state(
            (bridge.clone(), "metrics"),
            metrics::count,
        ))
        .layer(compression())
        .with_state(bridge)
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
pub fn without_tls(bridge: Arc<Bridge>) -> Router {
    health_routes()
        .fallback(any(reply::tls_required))
        .with_state(bridge)
}

/// The endpoint of MCP and the other addresses; a panic is answered in the language of the address.
fn guarded<S: Clone + Send + Sync + 'static>(mcp: MethodRouter<S>, others: Router<S>) -> Router<S> {
    let mcp = mcp.layer(CatchPanicLayer::custom(reply::panicked_in_rpc));
    others
        .route("/mcp", mcp.clone())
        .route("/mcp/", mcp.clone())
        .route("/api/mcp", mcp)
        .layer(CatchPanicLayer::custom(reply::panicked))
}

/// The listener for the status page, its API and probes.
pub fn admin(bridge: Arc<Bridge>, guard: Guard) -> Router {
    let routes = super::admin::routes(&bridge).fallback(any(reply::not_found));
    let routes = match guard {
        Guard::Token => routes.layer(from_fn_with_state(bridge.clone(), network::check)),
        Guard::Ingress => routes.layer(from_fn(ingress::identify)),
    };
    routes
        .merge(health_routes())
        .layer(CatchPanicLayer::custom(reply::panicked))
        .layer(from_fn_with_state(
            (bridge.clone(), "admin"),
            metrics::count,
        ))
        .layer(from_fn(request_id::name))
        .layer(compression())
        .with_state(bridge)
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::extract::Request;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_panic_is_answered_in_the_language_of_the_address() {
        let broken = || post(async || -> () { panic!("a defect") });
        let router: Router = guarded(broken(), Router::new().route("/mcp/x", broken()));
        for (path, place) in [
            ("/mcp", "/error/data/code"),
            ("/mcp/", "/error/data/code"),
            ("/api/mcp", "/error/data/code"),
            ("/mcp/x", "/code"),
        ] {
            let request = Request::post(path).body(Body::empty()).unwrap();
            let reply = router.clone().oneshot(request).await.unwrap();
            assert_eq!(reply.status(), 500, "{path}");
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let code = body.pointer(place).and_then(Value::as_str);
            assert_eq!(code, Some("internal"), "{path}: {body}");
        }
    }
}
