//! Which era a request belongs to, and what a modern request must carry (revision 2026-07-28).

use std::borrow::Cow;
use std::time::Duration;

use data_encoding::BASE64;

use super::code;
use super::json::{Members, RawJson};
use super::message::{Request, Response};
use super::revision::Revision;

/// Keys of `_meta` that belong to the modern protocol itself; a legacy upstream never sees them.
pub mod meta {
    /// The revision that the request speaks.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// What the client can do.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// What the client is called.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// The least severe log message that the client wants.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// In results: what the server is called.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

    pub(super) const OF_REQUESTS: [&str; 4] = [
        PROTOCOL_VERSION,
        CLIENT_CAPABILITIES,
        CLIENT_INFO,
        LOG_LEVEL,
    ];
}

/// What the HTTP headers of a request say about it. Values as received.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoutingHeaders<'a> {
    /// `MCP-Protocol-Version`.
    pub version: Option<&'a str>,
    /// `Mcp-Method`.
    pub method: Option<&'a str>,
    /// `Mcp-Name`.
    pub name: Option<&'a str>,
}

/// Why a request fits no era.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EraFault {
    /// A version that the bridge does not speak, or not in this era.
    #[error("protocol version {asked:?} is not supported")]
    UnsupportedVersion {
        /// The version as it was written.
        asked: String,
        /// Those that may stand in its place.
        supported: &'static [Revision],
    },
    /// Header and body differ, or a required header is missing.
    #[error("{0}")]
    HeaderMismatch(String),
    /// A modern request without a required key of `_meta`.
    #[error("a request of revision 2026-07-28 needs `_meta[\"{0}\"]`")]
    MissingMeta(&'static str),
}

/// The revision that the headers of a message name; the assumed one where they name none.
///
/// # Errors
/// [`EraFault::UnsupportedVersion`].
pub fn revision_of_headers(headers: RoutingHeaders<'_>) -> Result<Revision, EraFault> {
    let Some(version) = version(headers) else {
        return Ok(Revision::ASSUMED);
    };
    Revision::parse(version).ok_or_else(|| EraFault::UnsupportedVersion {
        asked: version.to_owned(),
        supported: &Revision::ALL,
    })
}

fn version(headers: RoutingHeaders<'_>) -> Option<&str> {
    let version = headers.version.map(str::trim);
    version.filter(|version| !version.is_empty())
}

/// The revision that `request` speaks, checked against its headers.
///
/// The body decides: `initialize` without modern metadata is legacy, metadata with a version is
/// modern. The header alone makes a request modern too, since a modern client may have forgotten
/// its metadata; it is told so then.
///
/// # Errors
/// See [`EraFault`]. Legacy requests only fail for a version that nobody knows.
pub fn revision_of(request: &Request, headers: RoutingHeaders<'_>) -> Result<Revision, EraFault> {
    let params = request.param_members();
    let meta = params
        .get("_meta")
        .and_then(|text| Members::parse(text.as_bytes()).ok());
    let declared = meta
        .as_ref()
        .and_then(|meta| meta.get_str(meta::PROTOCOL_VERSION));
    let Some(declared) = declared else {
        return match revision_of_headers(headers) {
            _ if request.method == "initialize" => Ok(Revision::ASSUMED),
            Ok(revision) if revision.is_modern() => {
                Err(EraFault::MissingMeta(meta::PROTOCOL_VERSION))
            }
            legacy => legacy,
        };
    };
    let Some(header) = version(headers) else {
        return Err(EraFault::HeaderMismatch(
            "the header MCP-Protocol-Version is missing".into(),
        ));
    };
    if header != declared {
        return Err(EraFault::HeaderMismatch(format!(
            "the header MCP-Protocol-Version says {header:?}, the body says {declared:?}"
        )));
    }
    // Before the other headers: which of them there have to be depends on the revision.
    let revision = modern(&declared)?;
    if meta
        .as_ref()
        .is_none_or(|meta| meta.get(meta::CLIENT_CAPABILITIES).is_none())
    {
        return Err(EraFault::MissingMeta(meta::CLIENT_CAPABILITIES));
    }
    agree("Mcp-Method", headers.method, Some(&request.method))?;
    if let Some(key) = routing_key(&request.method) {
        agree("Mcp-Name", headers.name, params.get_str(key).as_deref())?;
    }
    Ok(revision)
}

/// The capabilities that the client of a modern request declared in it, as JSON text.
#[must_use]
pub fn declared_capabilities(request: &Request) -> Option<String> {
    let params = request.param_members();
    let meta = Members::parse(params.get("_meta")?.as_bytes()).ok()?;
    meta.get(meta::CLIENT_CAPABILITIES).map(str::to_owned)
}

/// Whether the answer to a modern request may be that something is to be asked first (2026-07-28,
/// multi round-trip requests).
#[must_use]
pub fn has_rounds(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

/// What the client of such a request can be asked; nothing where that is nothing.
#[must_use]
pub fn askable(request: &Request) -> Option<RawJson> {
    if !has_rounds(&request.method) {
        return None;
    }
    let declared = RawJson::parse(declared_capabilities(request)?.into()).ok()?;
    let members = declared.members()?;
    let asked = ["elicitation", "sampling", "roots"];
    let can_be_asked = asked.iter().any(|kind| members.get(kind).is_some());
    can_be_asked.then_some(declared)
}

/// What `Mcp-Name` says of a request; nothing for methods that have no such header.
#[must_use]
pub fn routing_name(request: &Request) -> Option<String> {
    let key = routing_key(&request.method)?;
    let params = request.param_members();
    params.get_str(key).map(Cow::into_owned)
}

/// The member of `params` that `Mcp-Name` repeats.
fn routing_key(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        _ => None,
    }
}

/// The revision that the metadata of a request names, where there are no headers: over a WebSocket
/// or HTTP+SSE. Nothing if it has none, and so is legacy.
///
/// # Errors
/// [`EraFault::UnsupportedVersion`] and [`EraFault::MissingMeta`].
pub fn revision_without_headers(request: &Request) -> Result<Option<Revision>, EraFault> {
    let params = request.param_members();
    let meta = params
        .get("_meta")
        .and_then(|text| Members::parse(text.as_bytes()).ok());
    let Some(meta) = meta else {
        return Ok(None);
    };
    let Some(declared) = meta.get_str(meta::PROTOCOL_VERSION) else {
        return Ok(None);
    };
    let revision = modern(&declared)?;
    match meta.get(meta::CLIENT_CAPABILITIES) {
        Some(_) => Ok(Some(revision)),
        None => Err(EraFault::MissingMeta(meta::CLIENT_CAPABILITIES)),
    }
}

/// The modern revision of that name.
fn modern(declared: &str) -> Result<Revision, EraFault> {
    let revision = Revision::parse(declared).filter(|revision| revision.is_modern());
    revision.ok_or_else(|| EraFault::UnsupportedVersion {
        asked: declared.to_owned(),
        supported: &Revision::MODERN,
    })
}

/// Holds a header against the member of the body that it repeats.
fn agree(header: &str, value: Option<&str>, body: Option<&str>) -> Result<(), EraFault> {
    let Some(value) = value else {
        return Err(EraFault::HeaderMismatch(format!(
            "the header {header} is missing"
        )));
    };
    let decoded = decode(value.trim()).ok_or_else(|| {
        EraFault::HeaderMismatch(format!("the header {header} is not valid Base64"))
    })?;
    match body {
        Some(body) if body == decoded => Ok(()),
        _ => Err(EraFault::HeaderMismatch(format!(
            "the header {header} and the body name different things"
        ))),
    }
}

/// A header value out of its `=?base64?...?=` wrapping, if it has one.
pub(super) fn decode(value: &str) -> Option<Cow<'_, str>> {
    match value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    {
        Some(encoded) => BASE64
            .decode(encoded.as_bytes())
            .ok()
            .and_then(|b| String::from_utf8(b).ok())
            .map(Cow::Owned),
        None => Some(Cow::Borrowed(value)),
    }
}

/// Whether a `_meta` object, as text, holds nothing but what the protocol or the bridge itself
/// uses: nothing at which an upstream could look.
pub fn is_own_meta(meta: &str) -> bool {
    let own = |key: &str| {
        meta::OF_REQUESTS.contains(&key) || key == "progressToken" || key.starts_with("mcp-bridge/")
    };
    Members::parse(meta.as_bytes()).is_ok_and(|members| members.iter().all(|(key, _)| own(&key)))
}

/// The modern request as a legacy upstream understands it: without the protocol's own keys of
/// `_meta`.
#[must_use]
pub fn to_legacy(request: &Request) -> Request {
    let mut params = request.param_members();
    let Some(meta) = params.get("_meta").map(str::to_owned) else {
        return request.clone();
    };
    let Ok(mut meta) = Members::parse(meta.as_bytes()) else {
        return request.clone();
    };
    if !meta.remove_where(|key| meta::OF_REQUESTS.contains(&key)) {
        return request.clone();
    }
    if meta.is_empty() {
        params.remove_where(|key| key == "_meta");
    } else {
        params.set("_meta", &meta.write());
    }
    request.with_params(params.write())
}

/// The legacy request as a modern upstream understands it: with the protocol's own keys of `_meta`,
/// for a client that declared these `capabilities`.
#[must_use]
pub fn from_legacy(request: &Request, capabilities: Option<&RawJson>) -> Request {
    let mut params = request.param_members();
    let meta = params.get("_meta").unwrap_or("{}").to_owned();
    let Ok(mut meta) = Members::parse(meta.as_bytes()) else {
        return request.clone();
    };
    let version = RawJson::of(&Revision::V2026_07_28.as_str());
    meta.set(meta::PROTOCOL_VERSION, &version);
    let none = RawJson::of(&serde_json::json!({}));
    meta.set(meta::CLIENT_CAPABILITIES, capabilities.unwrap_or(&none));
    params.set("_meta", &meta.write());
    request.with_params(params.write())
}

/// The result of a modern upstream as a legacy client wants it: without what only the modern
/// protocol has.
#[must_use]
pub fn result_to_legacy(result: &RawJson) -> RawJson {
    let Some(mut members) = result.members() else {
        return result.clone();
    };
    let mut changed =
        members.remove_where(|key| matches!(key, "resultType" | "ttlMs" | "cacheScope"));
    if let Some(text) = members.get("_meta").map(str::to_owned)
        && let Ok(mut meta) = Members::parse(text.as_bytes())
        && meta.remove_where(|key| key == meta::SERVER_INFO)
    {
        changed = true;
        if meta.is_empty() {
            members.remove_where(|key| key == "_meta");
        } else {
            members.set("_meta", &meta.write());
        }
    }
    if changed {
        members.write()
    } else {
        result.clone()
    }
}

/// What a routing header says of a text: the text itself where a header can carry it, otherwise
/// wrapped in Base64 (2026-07-28, basic/transports).
#[must_use]
pub fn header_value(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && text.trim() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    if is_plain {
        text.to_owned()
    } else {
        format!("=?base64?{}?=", BASE64.encode(text.as_bytes()))
    }
}

/// The result of a legacy upstream as a modern client wants it: with `resultType`, with caching
/// hints where the method has them, and with the server's name.
///
/// `lifetime` is how long the result is fresh, if the bridge knows. Otherwise the hints say what is
/// true of an upstream that gives none: for no time at all. The scope is this client only: which
/// token asks may make a difference.
#[must_use]
pub fn to_modern(
    method: &str,
    result: &RawJson,
    lifetime: Option<Duration>,
    server_info: Option<&RawJson>,
) -> RawJson {
    let Some(mut members) = result.members() else {
        return result.clone();
    };
    members.set_if_absent("resultType", &RawJson::of(&"complete"));
    if has_caching_hints(method) {
        match lifetime.map(|lifetime| u64::try_from(lifetime.as_millis())) {
            Some(Ok(millis)) => members.set("ttlMs", &RawJson::of(&millis)),
            _ => members.set_if_absent("ttlMs", &RawJson::of(&0)),
        }
        members.set_if_absent("cacheScope", &RawJson::of(&"private"));
    }
    if let Some(info) = server_info {
        // Also over the upstream's own, which holds its icons.
        members.set_within("_meta", meta::SERVER_INFO, info);
    }
    members.write()
}

/// The error of a legacy upstream as a modern client wants it: without the codes that its revision
/// does not have. Results and all other errors stay as they are.
#[must_use]
pub fn error_to_modern(method: &str, response: Response) -> Response {
    let old = response.error_code().and_then(|c| i32::try_from(c).ok());
    match old {
        Some(code::EXCEPTION) if method != "resources/read" => {
            response.with_error_code(code::INTERNAL_ERROR)
        }
        Some(code::EXCEPTION | code::RESOURCE_NOT_FOUND) => {
            response.with_error_code(code::INVALID_PARAMS)
        }
        _ => response,
    }
}

fn has_caching_hints(method: &str) -> bool {
    matches!(
        method,
        "server/discover"
            | "tools/list"
            | "prompts/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
    )
}

#[cfg(test)]
mod tests {
    use super::super::message::{Id, Message};
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    const META: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    const MODERN: RoutingHeaders<'static> = RoutingHeaders {
        version: Some("2026-07-28"),
        method: Some("tools/call"),
        name: Some("x"),
    };

    fn call(params: &str) -> Request {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        match Message::parse(&Bytes::from(text)) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn modern_call() -> Request {
        call(&format!(r#"{{"name":"x","_meta":{META}}}"#))
    }

    #[test]
    fn a_request_without_any_sign_is_legacy() {
        assert_eq!(
            revision_of(&call("{}"), RoutingHeaders::default()),
            Ok(Revision::V2025_03_26)
        );
        let headers = RoutingHeaders {
            version: Some("2025-06-18"),
            ..Default::default()
        };
        assert_eq!(revision_of(&call("{}"), headers), Ok(Revision::V2025_06_18));
    }

    #[test]
    fn routing_headers_on_a_legacy_request_are_not_checked() {
        let headers = RoutingHeaders {
            version: Some("2025-11-25"),
            method: Some("other"),
            name: Some("other"),
        };
        assert_eq!(revision_of(&call("{}"), headers), Ok(Revision::V2025_11_25));
    }

    #[test]
    fn a_complete_modern_request_is_modern() {
        assert_eq!(
            revision_of(&modern_call(), MODERN),
            Ok(Revision::V2026_07_28)
        );
    }

    #[test]
    fn an_initialize_is_legacy_whatever_its_header_says() {
        let request = Request::new(Id::number(1), "initialize", None);
        for version in ["2026-07-28", "nonsense"] {
            let headers = RoutingHeaders {
                version: Some(version),
                ..Default::default()
            };
            assert!(revision_of(&request, headers).is_ok_and(|revision| !revision.is_modern()));
        }
    }

    #[test]
    fn the_header_alone_makes_a_request_modern_and_its_metadata_is_asked_for() {
        assert_eq!(
            revision_of(&call(r#"{"name":"x"}"#), MODERN),
            Err(EraFault::MissingMeta(meta::PROTOCOL_VERSION))
        );
    }

    #[test]
    fn modern_metadata_needs_the_client_capabilities() {
        let request = call(
            r#"{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
        );
        assert_eq!(
            revision_of(&request, MODERN),
            Err(EraFault::MissingMeta(meta::CLIENT_CAPABILITIES))
        );
    }

    #[test]
    fn header_and_body_must_agree() {
        for headers in [
            RoutingHeaders {
                version: None,
                ..MODERN
            },
            RoutingHeaders {
                version: Some("2025-11-25"),
                ..MODERN
            },
            RoutingHeaders {
                method: None,
                ..MODERN
            },
            RoutingHeaders {
                method: Some("tools/list"),
                ..MODERN
            },
            RoutingHeaders {
                name: None,
                ..MODERN
            },
            RoutingHeaders {
                name: Some("X"),
                ..MODERN
            },
            RoutingHeaders {
                name: Some("=?base64?!?="),
                ..MODERN
            },
        ] {
            let fault = revision_of(&modern_call(), headers);
            assert!(
                matches!(fault, Err(EraFault::HeaderMismatch(_))),
                "{headers:?}: {fault:?}"
            );
        }
    }

    #[test]
    fn a_name_in_base64_is_decoded_before_it_is_compared() {
        let request = call(&format!(r#"{{"name":"lümen","_meta":{META}}}"#));
        let headers = RoutingHeaders {
            name: Some("=?base64?bMO8bWVu?="),
            ..MODERN
        };
        assert_eq!(revision_of(&request, headers), Ok(Revision::V2026_07_28));
    }

    proptest! {
        #[test]
        fn a_header_value_means_what_it_was_made_of(text in ".*") {
            let value = header_value(&text);
            prop_assert!(http::HeaderValue::from_str(&value).is_ok());
            prop_assert_eq!(decode(value.trim()).unwrap(), text);
        }
    }

    #[test]
    fn a_legacy_request_gets_the_metadata_of_the_modern_protocol_and_keeps_its_own() {
        let request = call(r#"{"name":"x","_meta":{"progressToken":1.50}}"#);
        let capabilities = RawJson::of(&serde_json::json!({"roots": {}}));
        let modern = from_legacy(&request, Some(&capabilities));
        assert_eq!(revision_of(&modern, MODERN), Ok(Revision::V2026_07_28));
        let text = String::from_utf8(modern.to_bytes().to_vec()).unwrap();
        assert!(text.contains(r#""progressToken":1.50"#) && text.contains(r#"{"roots":{}}"#));
        assert_eq!(
            to_legacy(&modern).params.unwrap().as_bytes(),
            request.params.unwrap().as_bytes()
        );
    }

    #[test]
    fn a_legacy_client_never_sees_what_only_modern_results_have() {
        let legacy = |text: &'static str| {
            let result = RawJson::parse(Bytes::from_static(text.as_bytes())).unwrap();
            String::from_utf8(result_to_legacy(&result).as_bytes().to_vec()).unwrap()
        };
        assert_eq!(
            legacy(
                r#"{"a":1.0,"resultType":"complete","ttlMs":0,"cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#
            ),
            r#"{"a":1.0}"#
        );
        let own = r#"{ "a" : [], "_meta":{"x":1} }"#;
        assert_eq!(legacy(own), own);
    }

    #[test]
    fn an_unknown_version_is_refused_by_name() {
        let headers = RoutingHeaders {
            version: Some("2031-01-01"),
            ..Default::default()
        };
        assert_eq!(
            revision_of(&call("{}"), headers),
            Err(EraFault::UnsupportedVersion {
                asked: "2031-01-01".into(),
                supported: &Revision::ALL,
            })
        );
    }

    #[test]
    fn a_version_that_is_not_modern_is_refused_where_header_and_metadata_agree_on_it() {
        for asked in ["2025-11-25", "2031-01-01"] {
            let request = call(&format!(
                r#"{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{asked}"}}}}"#
            ));
            let fault = |version| revision_of(&request, RoutingHeaders { version, ..MODERN });
            let expected = EraFault::UnsupportedVersion {
                asked: asked.to_owned(),
                supported: &Revision::MODERN,
            };
            assert_eq!(fault(Some(asked)), Err(expected));
            for other in [None, Some("2026-07-28")] {
                assert!(matches!(fault(other), Err(EraFault::HeaderMismatch(_))));
            }
        }
    }

    #[test]
    fn a_legacy_upstream_never_sees_the_metadata_of_the_modern_protocol() {
        assert_eq!(
            to_legacy(&modern_call()).params.unwrap().as_bytes(),
            br#"{"name":"x"}"#
        );
        let request = call(
            r#"{"_meta":{"io.modelcontextprotocol/logLevel":"info","io.home-assistant/device_id":"d"},"n":1.50}"#,
        );
        assert_eq!(
            to_legacy(&request).params.unwrap().as_bytes(),
            br#"{"_meta":{"io.home-assistant/device_id":"d"},"n":1.50}"#
        );
    }

    #[test]
    fn a_request_without_modern_metadata_keeps_its_bytes() {
        let request = call(r#"{ "_meta": {"progressToken": 1} }"#);
        assert_eq!(to_legacy(&request).to_bytes(), request.to_bytes());
    }

    #[test]
    fn a_modern_result_says_that_it_is_complete_and_how_long_it_keeps() {
        let result = RawJson::parse(Bytes::from_static(br#"{"tools":[1.0]}"#)).unwrap();
        let info = RawJson::parse(Bytes::from_static(br#"{"name":"s"}"#)).unwrap();
        assert_eq!(
            to_modern("tools/list", &result, None, Some(&info)).as_bytes(),
            br#"{"tools":[1.0],"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}}}"#
        );
        assert_eq!(
            to_modern("tools/call", &result, None, None).as_bytes(),
            br#"{"tools":[1.0],"resultType":"complete"}"#
        );
        let own = br#"{"_meta":{"io.modelcontextprotocol/serverInfo":{"icons":[1]},"x":1.0}}"#;
        let own = RawJson::parse(Bytes::from_static(own)).unwrap();
        assert_eq!(
            to_modern("tools/call", &own, None, Some(&info)).as_bytes(),
            br#"{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"},"x":1.0},"resultType":"complete"}"#
        );
    }

    #[test]
    fn codes_that_a_modern_client_does_not_know_are_translated_and_nothing_else() {
        let told = |method, code: i64| {
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":7,"error":{{"code":{code},"message":"m","data":[1.0]}}}}"#
            );
            let Ok(Message::Response(response)) = Message::parse(&Bytes::from(text)) else {
                panic!()
            };
            let modern = error_to_modern(method, response);
            let text = String::from_utf8(modern.to_bytes().to_vec()).unwrap();
            assert!(text.ends_with(r#","message":"m","data":[1.0]}}"#), "{text}");
            modern.error_code()
        };
        assert_eq!(told("resources/read", 0), Some(-32602));
        assert_eq!(told("resources/read", -32002), Some(-32602));
        assert_eq!(told("prompts/get", 0), Some(-32603));
        assert_eq!(told("tools/call", -32601), Some(-32601));
        assert_eq!(told("tools/call", 1 << 40), Some(1 << 40));
    }

    proptest! {
        #[test]
        fn hostile_headers_never_panic(version in ".*", method in ".*", name in ".*") {
            let headers = RoutingHeaders { version: Some(&version), method: Some(&method), name: Some(&name) };
            let _ = revision_of(&modern_call(), headers);
        }
    }
}
