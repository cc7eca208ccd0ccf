//! The listener for operators: the status page, its API, signing in.

mod app;
mod assets;
mod audit;
mod changes;
mod check;
mod clients;
mod description;
mod events;
mod gate;
mod page;
mod session;
mod snapshot;
mod texts;
mod tools;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method};

use super::{Bridge, approvals, configuration, metrics, operations, reply, status};
pub use app::InForce;
pub(super) use gate::Operator;

/// What browsers may do with the page: nothing that comes from elsewhere, and nothing that is
/// written into it. Home Assistant shows it in a frame of its own origin.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
);

/// Everything but the probes.
pub(super) fn routes(bridge: &Arc<Bridge>) -> Router<Arc<Bridge>> {
    let change = |handler: MethodRouter<Arc<Bridge>>| handler.fallback(reply::wrong_method_post);
    let look = |handler: MethodRouter<Arc<Bridge>>| handler.fallback(reply::wrong_method_get);
    let api = Router::new()
        .route("/api/status", look(get(status::get_as_operator)))
        .route("/api/metrics", look(get(metrics::get_as_operator)))
        .route("/api/snapshot", look(get(events::snapshot)))
        .route("/api/events", look(get(events::events)))
        .route("/api/app", look(get(app::app)))
        .route("/api/settings", look(get(app::settings)))
        .route("/api/tools", look(get(tools::list)))
        .route("/api/check", change(post(check::check)))
        .route("/api/restart", change(post(app::restart)))
        .route("/api/openapi.json", look(get(description::get)))
        .route("/api/calls", look(get(operations::calls)))
        .route("/api/queue/{operation}", change(post(operations::queue)))
        .route(
            "/api/breaker/reset",
            change(post(operations::reset_breaker)),
        )
        .route("/api/cache/flush", change(post(operations::flush)))
        .route("/api/setup", change(post(operations::set_up)))
        .route(
            "/api/refused/clear",
            change(post(operations::forget_refused)),
        )
        .route("/api/audit", look(get(audit::get)))
        .route("/api/approvals", look(get(approvals::get)))
        .route("/api/approvals/{id}", change(post(approvals::post)))
        .route("/api/reload", change(post(configuration::reload)))
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
        .route("/api/clients/{name}/rotate", change(post(clients::rotate)))
        .route(
            "/api/log-level",
            get(operations::log_levels)
                .patch(operations::set_log_levels)
                .fallback(async |method: Method| reply::wrong_method(&method, "GET, PATCH")),
        )
        .route("/api/first-token", change(post(operations::first_token)))
        .layer(from_fn_with_state(bridge.clone(), gate::operators_only));
    let page = Router::new()
        .route("/", look(get(page::index)))
        .route("/assets/{*name}", look(get(assets::get)))
        .route("/login", get(page::login).post(session::sign_in))
        .route("/logout", change(post(session::sign_out)));
    page.merge(api).layer(map_response(protect))
}

/// Says to browsers what they must not do.
async fn protect(mut reply: Response) -> Response {
    let headers = reply.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    reply
}
