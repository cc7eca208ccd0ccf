//! From a JSON-RPC message to its answer, as Home Assistant's MCP server gives it. Pure: knows
//! nothing of HTTP.

use jiff::Zoned;
use serde_json::{Map, Value, json};

use super::house::House;
use super::slots::Arguments;
use super::tools::{TOOLS, Tool};
use super::{json, overview};

const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
const NEWEST_LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";
const PROMPT: &str = "Device control";
const SNAPSHOT: &str = "homeassistant://assist/context-snapshot";
const INSTRUCTIONS: &str = "You look after the house described below and answer in one or two sentences.\n\
    The list tells what there is and where, not what state it is in: call the tool for the live context \
    before you say that something is on, open, locked or warm.\n";

/// What a POST body turns out to be.
#[derive(Debug)]
pub(super) enum Message {
    Request(Request),
    /// A notification, a response, or a request whose id is no string and no 64-bit integer:
    /// accepted, not processed.
    Unanswered,
}

/// A request that gets an answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
}

/// What an answer depends on besides the request and the house.
#[derive(Debug)]
pub(super) struct Environment<'a> {
    pub(super) now: &'a Zoned,
    /// The request's `Host`, which the address of the icon repeats.
    pub(super) host: &'a str,
    /// The request's `MCP-Protocol-Version`, empty if there was none.
    pub(super) version: &'a str,
}

/// The answer, and what ran for it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) message: Value,
    pub(super) ran: Option<Ran>,
}

/// A tool that ran, whether it succeeded or not.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) tool: &'static str,
    pub(super) arguments: Arguments,
    pub(super) is_error: bool,
}

/// Takes a body apart; `None` if it is no JSON-RPC message.
pub(super) fn parse(body: &[u8]) -> Option<Message> {
    let Ok(Value::Object(mut message)) = serde_json::from_slice(body) else {
        return None;
    };
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return None;
    }
    let params = match message.remove("params") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => return None,
    };
    let id = message.remove("id");
    match (message.remove("method"), id) {
        (Some(Value::String(method)), Some(id)) if id.is_string() || id.is_i64() => {
            Some(Message::Request(Request { id, method, params }))
        }
        (Some(Value::String(_)), _) => Some(Message::Unanswered),
        (None, Some(_)) => ["result", "error"]
            .iter()
            .any(|member| message.get(*member).is_some_and(Value::is_object))
            .then_some(Message::Unanswered),
        _ => None,
    }
}

/// Answers one request.
pub(super) fn answer(
    request: &Request,
    house: &mut House,
    environment: &Environment<'_>,
) -> Answer {
    let mut ran = None;
    let outcome = match environment.version {
        MODERN => modern(request, house, environment, &mut ran),
        version if version.is_empty() || LEGACY.contains(&version) => {
            legacy(request, house, environment, &mut ran)
        }
        unknown => Err(RpcError::exception(format!(
            "version must be a known protocol version, got '{unknown}'"
        ))),
    };
    let outcome = match outcome {
        Ok(result) => ("result", result),
        Err(error) => ("error", error.value()),
    };
    let id = ("id", request.id.clone());
    let message = json::object([("jsonrpc", Value::from("2.0")), id, outcome]);
    Answer { message, ran }
}

type Outcome = Result<Value, RpcError>;

fn legacy(
    request: &Request,
    house: &mut House,
    environment: &Environment<'_>,
    ran: &mut Option<Ran>,
) -> Outcome {
    match request.method.as_str() {
        "initialize" => initialize(&request.params, environment),
        "ping" => Ok(json!({})),
        _ => shared(request, house, environment, ran),
    }
}

fn modern(
    request: &Request,
    house: &mut House,
    environment: &Environment<'_>,
    ran: &mut Option<Ran>,
) -> Outcome {
    let method = request.method.as_str();
    if method != "server/discover" && !is_shared(method) {
        return Err(RpcError::method_not_found(method));
    }
    let meta = |name: &str| {
        let name = format!("io.modelcontextprotocol/{name}");
        request.params.get("_meta").and_then(|meta| meta.get(name))
    };
    let has_envelope = meta("protocolVersion").is_some_and(Value::is_string)
        && meta("clientInfo").is_some_and(Value::is_object)
        && meta("clientCapabilities").is_some_and(Value::is_object);
    if !has_envelope {
        return Err(RpcError::invalid_params());
    }
    let mut result = if method == "server/discover" {
        json!({"capabilities": capabilities(), "supportedVersions": [MODERN]})
    } else {
        shared(request, house, environment, ran)?
    };
    if !matches!(method, "tools/call" | "prompts/get") {
        result["cacheScope"] = json!("private");
        result["ttlMs"] = json!(0);
    }
    result["resultType"] = json!("complete");
    let server_info = server_info(environment);
    result["_meta"] = json!({"io.modelcontextprotocol/serverInfo": server_info});
    Ok(result)
}

fn is_shared(method: &str) -> bool {
    matches!(
        method,
        "tools/list"
            | "tools/call"
            | "prompts/list"
            | "prompts/get"
            | "resources/list"
            | "resources/read"
    )
}

/// The methods of both eras.
fn shared(
    request: &Request,
    house: &mut House,
    environment: &Environment<'_>,
    ran: &mut Option<Ran>,
) -> Outcome {
    let params = &request.params;
    match request.method.as_str() {
        "tools/list" => {
            check_cursor(params)?;
            Ok(json::object([(
                "tools",
                TOOLS.iter().map(Tool::listed).collect(),
            )]))
        }
        "tools/call" => call(params, house, environment, ran),
        "prompts/list" => {
            check_cursor(params)?;
            Ok(json!({"prompts": [{"description": "How to look after the house", "name": PROMPT}]}))
        }
        "prompts/get" => prompt(params, house),
        "resources/list" => {
            check_cursor(params)?;
            Ok(json!({"resources": [{
                "description": "The present state of the house, as homeassistant__GetLiveContext tells it",
                "mimeType": "text/plain",
                "name": "assist_context_snapshot",
                "title": "Assist context snapshot",
                "uri": SNAPSHOT,
            }]}))
        }
        "resources/read" => {
            let uri = text(params, "uri")?;
            if uri != SNAPSHOT {
                return Err(RpcError::exception(format!("Unknown resource: {uri}")));
            }
            let state = overview::live(house.entities.iter(), environment.now.timestamp());
            Ok(json!({"contents": [{"mimeType": "text/plain", "text": state, "uri": SNAPSHOT}]}))
        }
        method => Err(RpcError::method_not_found(method)),
    }
}

fn initialize(params: &Map<String, Value>, environment: &Environment<'_>) -> Outcome {
    let asked = text(params, "protocolVersion")?;
    let info = params.get("clientInfo");
    let has_info = ["name", "version"].iter().all(|member| {
        info.and_then(|info| info.get(*member))
            .is_some_and(Value::is_string)
    });
    if !has_info || !params.get("capabilities").is_some_and(Value::is_object) {
        return Err(RpcError::invalid_params());
    }
    let version = if LEGACY.contains(&asked) {
        asked
    } else {
        NEWEST_LEGACY
    };
    Ok(json!({
        "capabilities": capabilities(),
        "protocolVersion": version,
        "serverInfo": server_info(environment),
    }))
}

fn capabilities() -> Value {
    json!({
        "prompts": {"listChanged": false},
        "resources": {"listChanged": false, "subscribe": false},
        "tools": {"listChanged": false},
    })
}

fn server_info(environment: &Environment<'_>) -> Value {
    let src = format!(
        "http://{}/static/icons/favicon-192x192.png",
        environment.host
    );
    let icon = json!({"mimeType": "image/png", "sizes": ["192x192"], "src": src});
    json!({"icons": [icon], "name": "home-assistant", "version": ""})
}

fn call(
    params: &Map<String, Value>,
    house: &mut House,
    environment: &Environment<'_>,
    ran: &mut Option<Ran>,
) -> Outcome {
    let name = text(params, "name")?;
    let arguments = match params.get("arguments") {
        None | Some(Value::Null) => Arguments::new(),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(_) => return Err(RpcError::invalid_params()),
    };
    let outcome = match Tool::named(name) {
        None => Err(format!("Error calling tool: Tool \"{name}\" not found")),
        Some(tool) => {
            let outcome = tool.call(house, &arguments, environment.now);
            *ran = Some(Ran {
                tool: tool.name,
                arguments,
                is_error: outcome.is_err(),
            });
            outcome
        }
    };
    let is_error = outcome.is_err();
    let (Ok(text) | Err(text)) = outcome;
    Ok(json!({"content": [{"text": text, "type": "text"}], "isError": is_error}))
}

fn prompt(params: &Map<String, Value>, house: &House) -> Outcome {
    let name = text(params, "name")?;
    if name != PROMPT {
        return Err(RpcError::exception(format!("Unknown prompt: {name}")));
    }
    let text = format!("{INSTRUCTIONS}\n{}", overview::fixed(house.entities.iter()));
    let message = json!({"content": {"text": text, "type": "text"}, "role": "assistant"});
    Ok(json!({"description": "How to look after the house", "messages": [message]}))
}

fn text<'a>(params: &'a Map<String, Value>, name: &str) -> Result<&'a str, RpcError> {
    params
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(RpcError::invalid_params)
}

/// There are no pages here; a cursor is ignored, but it must be one.
fn check_cursor(params: &Map<String, Value>) -> Result<(), RpcError> {
    match params.get("cursor") {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(_) => Err(RpcError::invalid_params()),
    }
}

struct RpcError {
    code: i32,
    message: String,
    data: Option<String>,
}

impl RpcError {
    fn method_not_found(method: &str) -> Self {
        let data = Some(method.to_owned());
        Self {
            code: -32601,
            message: "Method not found".to_owned(),
            data,
        }
    }

    fn invalid_params() -> Self {
        let data = Some(String::new());
        Self {
            code: -32602,
            message: "Invalid request parameters".to_owned(),
            data,
        }
    }

    /// A Python exception, which the server reports under code 0.
    fn exception(message: String) -> Self {
        Self {
            code: 0,
            message,
            data: None,
        }
    }

    fn value(self) -> Value {
        match self.data {
            Some(data) => json!({"code": self.code, "message": self.message, "data": data}),
            None => json!({"code": self.code, "message": self.message}),
        }
    }
}

#[cfg(test)]
mod tests;
