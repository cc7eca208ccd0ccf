//! The API for operators as a document of `OpenAPI`, made from the types that it speaks.

use axum::Json;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::app::{AppState, SettingsInForce};
use super::audit::{Found, Wanted};
use super::check::Report;
use super::clients::{Change, ClientRow, Clients, Creation, Rotation, WithToken};
use super::snapshot::{Cursor, Snapshot};
use super::tools::Tools;
use crate::http::approvals::{Approvals, Said, Word};
use crate::http::operations::{Done, FirstToken, OtherLevels};
use crate::telemetry::{Call, Levels};

/// Where the schemas of the types stand in the document.
const SCHEMAS: &str = "/components/schemas";

type Describe = fn(&mut SchemaGenerator) -> Schema;

/// One operation.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// What is sent.
    body: Option<Describe>,
    /// The status of a success, the kind of its body, and what is in it.
    success: (u16, &'static str, Describe),
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A JSON object that is described elsewhere.
fn any(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({"type": "object"})
}

fn text(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({"type": "string"})
}

const JSON: &str = "application/json";

const fn look(path: &'static str, summary: &'static str, answer: Describe) -> Operation {
    Operation {
        method: "get",
        path,
        summary,
        body: None,
        success: (200, JSON, answer),
    }
}

const fn act(path: &'static str, summary: &'static str, answer: Describe) -> Operation {
    Operation {
        method: "post",
        ..look(path, summary, answer)
    }
}

impl Operation {
    const fn with(self, body: Describe) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }

    const fn by(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    const fn answered(self, status: u16, kind: &'static str) -> Self {
        let (_, _, answer) = self.success;
        Self {
            success: (status, kind, answer),
            ..self
        }
    }
}

/// Everything that operators can ask for.
const OPERATIONS: [Operation; 29] = [
    look(
        "/api/status",
        "The state of the bridge, as `GET /mcp/status` tells clients",
        any,
    ),
    look("/api/metrics", "The figures for Prometheus", text).answered(200, "text/plain"),
    look(
        "/api/snapshot",
        "Everything that the status page shows",
        of::<Snapshot>,
    ),
    look(
        "/api/events",
        "The same as a stream: first all of it, then the sections that have changed, four times a \
         second at most",
        any,
    )
    .answered(200, "text/event-stream"),
    look(
        "/api/calls",
        "All calls that are remembered, oldest first",
        of::<Vec<Call>>,
    ),
    act(
        "/api/queue/{operation}",
        "`pause`: calls wait. `resume`: they go on. `drain`: new ones are refused",
        any,
    ),
    act("/api/cache/flush", "Forgets all answers that are kept", any),
    act(
        "/api/setup",
        "Adds the MCP server to Home Assistant",
        of::<Done>,
    ),
    act(
        "/api/breaker/reset",
        "Tries Home Assistant again at once",
        of::<Done>,
    ),
    act(
        "/api/refused/clear",
        "Forgets the requests that were not let in",
        of::<Done>,
    ),
    look(
        "/api/audit",
        "Who had what done: the calls that are written down, oldest first",
        of::<Found>,
    ),
    look(
        "/api/approvals",
        "The calls that wait for a person's word",
        of::<Approvals>,
    ),
    act(
        "/api/approvals/{id}",
        "Agrees to a call, or refuses it",
        of::<Said>,
    )
    .with(of::<Word>),
    look(
        "/api/clients",
        "The clients, the revoked ones too",
        of::<Clients>,
    ),
    act(
        "/api/clients",
        "Makes a client; its token is told this once",
        of::<WithToken>,
    )
    .with(of::<Creation>)
    .answered(201, JSON),
    look("/api/clients/{name}", "One client", of::<ClientRow>),
    act(
        "/api/clients/{name}",
        "Changes a client; `terms` is a JSON merge patch (RFC 7396)",
        of::<ClientRow>,
    )
    .by("patch")
    .with(of::<Change>),
    act("/api/clients/{name}", "Locks a client out for good", any).by("delete"),
    act(
        "/api/clients/{name}/rotate",
        "Gives a client a new token; it is told this once",
        of::<WithToken>,
    )
    .with(of::<Rotation>),
    act(
        "/api/first-token",
        "The token of the first start, for as long as it is kept",
        of::<FirstToken>,
    ),
    look(
        "/api/settings",
        "The settings in force, with the places that they come from",
        of::<SettingsInForce>,
    ),
    act(
        "/api/reload",
        "Reads the configuration anew; a faulty one is refused whole, and the old one stays",
        any,
    ),
    look("/api/log-level", "How much is logged", of::<Option<Levels>>),
    act(
        "/api/log-level",
        "Logs more or less, of single modules as well, until the next start",
        of::<Done>,
    )
    .by("patch")
    .with(of::<OtherLevels>),
    look(
        "/api/app",
        "What the Supervisor knows of the bridge, where there is one",
        of::<AppState>,
    ),
    act(
        "/api/restart",
        "Lets the Supervisor restart the bridge",
        of::<Done>,
    )
    .answered(202, JSON),
    look(
        "/api/tools",
        "The tools, with about how much of a conversation they take",
        of::<Tools>,
    ),
    act(
        "/api/check",
        "Tries the whole way to Home Assistant, step by step",
        of::<Report>,
    ),
    look("/api/openapi.json", "This document", any),
];

/// `GET /api/openapi.json`.
pub(super) async fn get() -> Json<Value> {
    Json(document())
}

fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = SCHEMAS.into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for operation in &OPERATIONS {
        let described = describe(operation, &mut generator);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described;
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "MCP Bridge, API for operators",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Served on `admin_listen`, beside the status page. Behind Home Assistant's \
                ingress people are known; everywhere else the admin token is needed. What a browser \
                sends by itself must carry `X-MCP-Bridge-Page` to change anything.",
        },
        "security": [{"admin_token": []}, {"signed_in": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "admin_token": {"type": "http", "scheme": "bearer"},
                "signed_in": {"type": "apiKey", "in": "cookie", "name": super::gate::COOKIE},
            },
            "responses": {"Problem": {
                "description": "It did not work; docs/api/errors.md lists the codes",
                "content": {"application/problem+json":
                    {"schema": {"$ref": format!("#{SCHEMAS}/Problem")}}},
            }},
        },
    })
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let (status, kind, answer) = operation.success;
    let mut described = json!({
        "summary": operation.summary,
        "responses": {
            status.to_string(): {
                "description": "Done",
                "content": {kind: {"schema": answer(generator)}},
            },
            "default": {"$ref": "#/components/responses/Problem"},
        },
    });
    if let Some(body) = operation.body {
        described["requestBody"] = json!({"content": {JSON: {"schema": body(generator)}}});
    }
    let in_path = operation.path.split(['{', '}']).skip(1).step_by(2);
    let mut parameters: Vec<Value> = in_path.map(placeholder).collect();
    match operation.path {
        "/api/snapshot" | "/api/events" => parameters.extend(queried::<Cursor>(generator)),
        "/api/audit" => parameters.extend(queried::<Wanted>(generator)),
        _ => {}
    }
    if !parameters.is_empty() {
        described["parameters"] = Value::Array(parameters);
    }
    described
}

/// What stands in a path.
fn placeholder(name: &str) -> Value {
    let schema = match name {
        "operation" => json!({"enum": ["pause", "resume", "drain"]}),
        "id" => json!({"type": "integer", "minimum": 0}),
        _ => json!({"type": "string"}),
    };
    json!({"name": name, "in": "path", "required": true, "schema": schema})
}

/// What may stand in the query: the members of `T`, with what is said of each.
fn queried<T: JsonSchema>(generator: &mut SchemaGenerator) -> Vec<Value> {
    let mut schema = T::json_schema(generator);
    let Some(Value::Object(members)) = schema.remove("properties") else {
        return Vec::new();
    };
    let members = members.into_iter().map(|(name, mut schema)| {
        let members = schema.as_object_mut();
        let description = members.and_then(|members| members.shift_remove("description"));
        json!({"name": name, "in": "query", "description": description, "schema": schema})
    });
    members.collect()
}

/// RFC 9457, with the code of the catalogue.
fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["status", "title", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "description": "One of docs/api/errors.md"},
            "fix": {"type": "string"},
        },
    })
}
