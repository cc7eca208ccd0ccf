//! The clients, as operators see and change them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::Operator;
use crate::access::{Access, Client, RegistryError, Terms, Token};
use crate::error::{Code, Failure};
use crate::http::{Bridge, body, reply};

/// For how long an old token goes on beside its successor, unless it is said otherwise.
const OVERLAP: Duration = Duration::from_hours(24);

/// A client without what is kept of its tokens.
#[derive(Serialize, JsonSchema)]
pub(super) struct ClientRow {
    name: String,
    #[schemars(with = "String")]
    created: Timestamp,
    enabled: bool,
    #[schemars(with = "Option<String>")]
    revoked: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    last_seen: Option<Timestamp>,
    /// Whether the configuration declares it; it can be changed there alone.
    declared: bool,
    tokens: Vec<TokenRow>,
    terms: Terms,
}

#[derive(Serialize, JsonSchema)]
struct TokenRow {
    #[schemars(with = "String")]
    created: Timestamp,
    #[schemars(with = "Option<String>")]
    expires: Option<Timestamp>,
}

/// All clients.
#[derive(Serialize, JsonSchema)]
pub(super) struct Clients {
    clients: Vec<ClientRow>,
}

/// A client, and its token in clear.
#[derive(Serialize, JsonSchema)]
pub(super) struct WithToken {
    client: ClientRow,
    token: String,
}

/// A client that is to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Creation {
    name: String,
    #[serde(default)]
    terms: Terms,
}

/// What is to change; `terms` is a JSON merge patch (RFC 7396) of those there are.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Change {
    enabled: Option<bool>,
    terms: Value,
}

/// For how long the old token goes on beside the new one; a day, unless it is said.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rotation {
    overlap_s: Option<u64>,
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let code = match error {
            RegistryError::BadName(_) => Code::InvalidParams,
            RegistryError::NameTaken(_) | RegistryError::Declared(_) | RegistryError::TooMany => {
                Code::ClientConflict
            }
            RegistryError::NoSuchClient(_) => Code::NoSuchClient,
            RegistryError::Io { .. }
            | RegistryError::Damaged { .. }
            | RegistryError::NoFirstToken(_) => Code::RegisterUnusable,
        };
        Self::with(code, error)
    }
}

/// `GET /api/clients`.
pub(super) async fn list(State(bridge): State<Arc<Bridge>>) -> Response {
    let access = bridge.access.clone();
    let rows = blocking(move || {
        access.refresh()?;
        Ok(access
            .clients()
            .iter()
            .map(|client| row(&access, client))
            .collect())
    });
    told(rows.await.map(|clients| Clients { clients }))
}

/// `GET /api/clients/{name}`.
pub(super) async fn show(State(bridge): State<Arc<Bridge>>, name: Name) -> Response {
    let shown = async {
        let client = find(&bridge, named(name)?).await?;
        Ok(row(&bridge.access, &client))
    };
    told(shown.await)
}

/// `POST /api/clients`: makes a client, and gives its token, this once.
pub(super) async fn create(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
    request: Request,
) -> Response {
    let created = async {
        let Creation { name, terms } = read(&bridge, request).await?;
        let made = name.clone();
        let change = move |access: &Access| access.to_change(&made)?.create(&made, terms);
        let token = changed(&bridge, change).await?;
        tracing::info!(client = name, by = %operator, "client made");
        with_token(&bridge, name, &token).await
    };
    match created.await {
        Ok(body) => {
            let place = place(&body.client.name).map(|place| [(LOCATION, place)]);
            (StatusCode::CREATED, place, Json(body)).into_response()
        }
        Err(failure) => reply::problem(&failure),
    }
}

/// `PATCH /api/clients/{name}`.
pub(super) async fn update(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
    name: Name,
    request: Request,
) -> Response {
    let updated = async {
        let name = named(name)?;
        let Change { enabled, terms } = read(&bridge, request).await?;
        let old = find(&bridge, name.clone()).await?;
        let mut merged = json!(old.terms);
        merge(&mut merged, terms);
        let terms: Terms = serde_json::from_value(merged)
            .map_err(|error| Failure::with(Code::InvalidParams, error))?;
        let meant = name.clone();
        let client = changed(&bridge, move |access| {
            access.to_change(&meant)?.update(&meant, |client| {
                client.terms = terms;
                client.enabled = enabled.unwrap_or(client.enabled);
                Ok(())
            })
        });
        let client = client.await?;
        tracing::info!(client = name, by = %operator, "client changed");
        Ok(row(&bridge.access, &client))
    };
    told(updated.await)
}

/// `DELETE /api/clients/{name}`: locks a client out for good.
pub(super) async fn revoke(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
    name: Name,
) -> Response {
    let revoked = async {
        let name = named(name)?;
        let meant = name.clone();
        changed(&bridge, move |access| {
            access.to_change(&meant)?.revoke(&meant)
        })
        .await?;
        tracing::info!(client = name, by = %operator, "client revoked");
        Ok(json!({}))
    };
    told(revoked.await)
}

/// `POST /api/clients/{name}/rotate`: gives a client a new token, this once.
pub(super) async fn rotate(
    State(bridge): State<Arc<Bridge>>,
    Extension(operator): Extension<Operator>,
    name: Name,
    request: Request,
) -> Response {
    let rotated = async {
        let name = named(name)?;
        let Rotation { overlap_s } = read(&bridge, request).await?;
        let overlap = overlap_s.map_or(OVERLAP, Duration::from_secs);
        let meant = name.clone();
        let change = move |access: &Access| access.to_change(&meant)?.rotate(&meant, overlap);
        let token = changed(&bridge, change).await?;
        tracing::info!(client = name, by = %operator, "client given a new token");
        with_token(&bridge, name, &token).await
    };
    told(rotated.await)
}

type Name = Result<Path<String>, PathRejection>;

fn named(name: Name) -> Result<String, Failure> {
    name.map(|Path(name)| name)
        .map_err(|unreadable| Failure::with(Code::NoSuchClient, unreadable))
}

fn told(outcome: Result<impl Serialize, Failure>) -> Response {
    match outcome {
        Ok(body) => Json(body).into_response(),
        Err(failure) => reply::problem(&failure),
    }
}

/// Where a client is, seen from `/api/clients`.
fn place(name: &str) -> Option<HeaderValue> {
    let mut address = Url::parse("http://bridge/clients").ok()?;
    address.path_segments_mut().ok()?.push(name);
    let place = address.path().trim_start_matches('/');
    HeaderValue::from_str(place).ok()
}

async fn with_token(bridge: &Bridge, name: String, token: &Token) -> Result<WithToken, Failure> {
    let client = find(bridge, name).await?;
    Ok(WithToken {
        client: row(&bridge.access, &client),
        token: token.reveal().to_owned(),
    })
}

async fn find(bridge: &Bridge, name: String) -> Result<Arc<Client>, Failure> {
    let access = bridge.access.clone();
    blocking(move || {
        access.refresh()?;
        let clients = access.clients();
        let is_meant = |client: &&Arc<Client>| client.is_active() && client.name == name;
        let client = clients.iter().find(is_meant).cloned();
        client.ok_or(RegistryError::NoSuchClient(name))
    })
    .await
}

fn row(access: &Access, client: &Client) -> ClientRow {
    let tokens = client.tokens.iter().map(|kept| TokenRow {
        created: kept.created,
        expires: kept.expires,
    });
    ClientRow {
        name: client.name.clone(),
        created: client.created,
        enabled: client.enabled,
        revoked: client.revoked,
        last_seen: access.last_seen().remove(&client.name),
        declared: client.declared,
        tokens: tokens.collect(),
        terms: client.terms.clone(),
    }
}

/// The body of a request; an empty one is an empty object.
async fn read<T: DeserializeOwned>(bridge: &Bridge, request: Request) -> Result<T, Failure> {
    let (head, body) = request.into_parts();
    let body = body::read(&head.headers, body, bridge.settings()).await?;
    let text = if body.is_empty() { &b"{}"[..] } else { &body };
    // A struct can be read from an array as well, and none of these is meant as one.
    if text.trim_ascii_start().first() != Some(&b'{') {
        let why = "the body must be a JSON object";
        return Err(Failure::with(Code::InvalidParams, why));
    }
    serde_json::from_slice(text).map_err(|error| Failure::with(Code::InvalidParams, error))
}

/// Changes the register, and follows it at once.
async fn changed<T: Send + 'static>(
    bridge: &Bridge,
    change: impl FnOnce(&Access) -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, Failure> {
    let access = bridge.access.clone();
    blocking(move || {
        let changed = change(&access)?;
        access.refresh()?;
        Ok(changed)
    })
    .await
}

/// Works on files without holding up others.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| Failure::new(Code::Internal))??)
}

/// A JSON merge patch (RFC 7396): what is null goes, objects are merged, all else is replaced.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(members) = patch else {
        if !patch.is_null() {
            *target = patch;
        }
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(object) = target.as_object_mut() else {
        return;
    };
    for (key, value) in members {
        if value.is_null() {
            object.shift_remove(&key);
        } else {
            merge(object.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of RFC 7396, appendix A.
    #[test]
    fn a_patch_is_merged_as_the_rfc_says() {
        for (old, patch, new) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (
                json!({"a": "b", "b": "c"}),
                json!({"a": null}),
                json!({"b": "c"}),
            ),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ] {
            let mut merged = old.clone();
            merge(&mut merged, patch.clone());
            assert_eq!(merged, new, "{old} {patch}");
        }
    }
}
