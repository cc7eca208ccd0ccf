//! All addresses of the bridge, and in which order a request passes the layers.

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use super::{Bridge, health, mcp, operations, reply, rest, status};

/// The listener for clients in the network.
pub fn lan(bridge: Arc<Bridge>) -> Router {
    let mcp = post(mcp::post)
        .delete(mcp::delete)
        .fallback(mcp::wrong_method);
    Router::new()
        .route("/mcp", mcp.clone())
        .route("/mcp/", mcp.clone())
        .route("/api/mcp", mcp)
        .route(
            "/mcp/status",
            get(status::get).fallback(reply::wrong_method_get),
        )
        .route(
            "/mcp/batch",
            post(mcp::batch).fallback(reply::wrong_method_post),
        )
        .route(
            "/mcp/{*method}",
            post(rest::post).fallback(reply::wrong_method_post),
        )
        .merge(health_routes())
        .fallback(any(reply::not_found))
        .layer(CatchPanicLayer::custom(reply::panicked))
        .with_state(bridge)
}

/// The listener for the status page, its API and probes.
pub fn admin(bridge: Arc<Bridge>) -> Router {
    Router::new()
        .route(
            "/api/status",
            get(status::get).fallback(reply::wrong_method_get),
        )
        .route(
            "/api/queue/{operation}",
            post(operations::queue).fallback(reply::wrong_method_post),
        )
        .merge(health_routes())
        .fallback(any(reply::not_found))
        .layer(CatchPanicLayer::custom(reply::panicked))
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
}
