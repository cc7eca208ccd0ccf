//! The listener for operators: what they see and what they can do.

mod clients;
mod gate;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::Method;

use super::{Bridge, approvals, operations, reply, status};
pub(super) use gate::Operator;

/// Everything but the probes, behind the gate.
pub(super) fn routes(bridge: &Arc<Bridge>) -> Router<Arc<Bridge>> {
    Router::new()
        .route(
            "/api/status",
            get(status::get_as_operator).fallback(reply::wrong_method_get),
        )
        .route(
            "/api/queue/{operation}",
            post(operations::queue).fallback(reply::wrong_method_post),
        )
        .route(
            "/api/cache/flush",
            post(operations::flush).fallback(reply::wrong_method_post),
        )
        .route(
            "/api/approvals",
            get(approvals::get).fallback(reply::wrong_method_get),
        )
        .route(
            "/api/approvals/{id}",
            post(approvals::post).fallback(reply::wrong_method_post),
        )
        .route(
            "/api/clients",
            get(clients::list)
                .post(clients::create)
                .fallback(async |method: Method| reply::wrong_method(&method, "GET, POST")),
        )
        .route(
            "/api/clients/{name}",
            get(clients::show)
                .patch(clients::update)
                .delete(clients::revoke)
                .fallback(async |method: Method| {
                    reply::wrong_method(&method, "GET, PATCH, DELETE")
                }),
        )
        .route(
            "/api/clients/{name}/rotate",
            post(clients::rotate).fallback(reply::wrong_method_post),
        )
        .layer(from_fn_with_state(bridge.clone(), gate::operators_only))
}
