//! Signing in on the page with the admin token, and out again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};

use super::gate::{COOKIE, cookies};
use crate::error::{Code, Failure};
use crate::http::{Bridge, admission, network, reply};

/// Bytes of a form; it holds one token.
const MAX_FORM: usize = 4096;

/// `POST /login`: a form with the token, as a browser sends it without any script.
pub(super) async fn sign_in(State(bridge): State<Arc<Bridge>>, request: Request) -> Response {
    let secure = admission::text(request.headers(), "x-forwarded-proto") == Some("https");
    let key = async {
        admission::check_source(&bridge, &request)?;
        let sender = network::sender(&request)?;
        bridge.admin.sign_in(&token(request).await?, sender)
    };
    match key.await {
        Ok(key) => {
            tracing::info!("somebody signed in on the status page");
            let secure = if secure { "; Secure" } else { "" };
            let cookie = format!(
                "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict{secure}",
                key.reveal()
            );
            with_cookie(redirect("./"), &cookie)
        }
        Err(failure) if failure.code == Code::AdminTokenWrong => {
            tracing::warn!("somebody tried to sign in on the status page with a wrong token");
            redirect("login?wrong")
        }
        Err(failure) if failure.code == Code::TooManyWrongTokens => redirect("login?wait"),
        Err(failure) => reply::problem(&failure),
    }
}

/// `POST /logout`.
pub(super) async fn sign_out(State(bridge): State<Arc<Bridge>>, request: Request) -> Response {
    if let Err(failure) = admission::check_source(&bridge, &request) {
        return reply::problem(&failure);
    }
    for key in cookies(request.headers(), COOKIE) {
        bridge.admin.sign_out(key);
    }
    with_cookie(redirect("login"), &format!("{COOKIE}=; Path=/; Max-Age=0"))
}

/// Sends the browser to another address, relative to its own: a proxy may have put something in
/// front of it.
pub(super) fn redirect(to: &'static str) -> Response {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = StatusCode::SEE_OTHER;
    let headers = reply.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_static(to));
    reply
}

fn with_cookie(mut reply: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        reply.headers_mut().insert(SET_COOKIE, cookie);
    }
    reply
}

async fn token(request: Request) -> Result<String, Failure> {
    let body = Limited::new(request.into_body(), MAX_FORM).collect().await;
    let body = body
        .map_err(|error| Failure::with(Code::BodyTooLarge, error))?
        .to_bytes();
    let mut fields = url::form_urlencoded::parse(&body);
    fields
        .find_map(|(name, value)| (name == "token").then(|| value.into_owned()))
        .ok_or_else(|| Failure::new(Code::AdminTokenWrong))
}
