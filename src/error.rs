//! The one catalogue of failures: every code with its texts, HTTP status and JSON-RPC code.
//!
//! The same code appears in answers, in the log, on the page and in `docs/api/errors.md`, which is
//! written from this table (a test holds the two together).

mod failure;

pub use failure::Failure;

/// Where a failure comes from, which decides how it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request itself is wrong: the same request fails again.
    Request,
    /// The sender may not come in.
    Access,
    /// The call cannot be made as it is, and a model can make another one.
    Call,
    /// The bridge cannot take the call now.
    Busy,
    /// Home Assistant, or the way to it, is in trouble.
    Upstream,
    /// The bridge is broken.
    Bridge,
}

impl Kind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Access => "access",
            Self::Call => "call",
            Self::Busy => "busy",
            Self::Upstream => "upstream",
            Self::Bridge => "bridge",
        }
    }

    /// Whether it befalls calls that were taken, so that a model has to hear of it.
    pub const fn concerns_calls(self) -> bool {
        matches!(self, Self::Call | Self::Busy | Self::Upstream)
    }
}

/// One row of the catalogue.
#[derive(Debug)]
pub struct Entry {
    /// The stable name, as it appears everywhere.
    pub name: &'static str,
    /// Where it comes from.
    pub kind: Kind,
    /// HTTP status over plain HTTP, and over MCP for what fails before it is a call.
    pub http: u16,
    /// JSON-RPC error code.
    pub rpc: i32,
    /// What happened, for a person, in a few words.
    pub title: &'static str,
    /// What happened and what to do now, for a language model.
    pub advice: &'static str,
    /// What is behind it.
    pub cause: &'static str,
    /// What a person can do.
    pub fix: &'static str,
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $code:ident = $name:literal, $kind:ident, $http:literal, $rpc:literal,
       $title:literal, $advice:literal, cause: $cause:literal, fix: $fix:literal;)*) => {
        /// The name of a failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// Its row of the catalogue.
            pub const fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$code => &Entry {
                        name: $name, kind: Kind::$kind, http: $http, rpc: $rpc,
                        title: $title, advice: $advice, cause: $cause, fix: $fix,
                    },)*
                }
            }
        }
    };
}

catalogue! {
    MalformedJson = "malformed_json", Request, 400, -32700,
        "The body is not readable JSON",
        "The request was not readable JSON; send it again, well-formed.",
        cause: "The body is empty, not UTF-8, not JSON, or nested too deeply.",
        fix: "Look at the place that the message names. With curl, mind the shell's quotes: `-d '{...}'`.";
    InvalidMessage = "invalid_message", Request, 400, -32600,
        "The body is no JSON-RPC message",
        "The request was no valid JSON-RPC 2.0 message.",
        cause: "A member is missing, doubled or of the wrong type, or a batch was sent in a revision that has none.",
        fix: "Send `jsonrpc` \"2.0\", a `method`, and an `id` that is a string or an integer.";
    InvalidParams = "invalid_params", Request, 400, -32602,
        "The params do not fit the method",
        "The params do not fit the method; correct them.",
        cause: "A parameter is missing or has the wrong type.",
        fix: "Compare the params with the MCP specification or the tool's schema.";
    MethodNotFound = "method_not_found", Request, 404, -32601,
        "There is no such method",
        "This server has no such method.",
        cause: "Neither the bridge nor Home Assistant knows the method.",
        fix: "Check its spelling; Home Assistant has no completion, no logging levels and no subscriptions.";
    HeaderMismatch = "header_mismatch", Request, 400, -32020,
        "The headers contradict the body, or each other",
        "The HTTP headers of the request contradict its body, or each other.",
        cause: "A request of revision 2026-07-28 repeats version, method and name in headers, and one is missing or differs; or a header is there twice, with different values.",
        fix: "Update the client's MCP library, or let it speak an older revision.";
    UnsupportedVersion = "unsupported_version", Request, 400, -32022,
        "The protocol version is not spoken here",
        "This protocol version is not supported; use one of the supported ones.",
        cause: "The client asked for a revision of MCP that the bridge does not know.",
        fix: "Update the bridge, or let the client speak one of the versions listed in the answer.";
    SessionUnknown = "session_unknown", Request, 404, -32007,
        "There is no such session",
        "The session is over or unknown; begin a new one with `initialize`.",
        cause: "The client ended the session, or the `Mcp-Session-Id` was given to another client or by another bridge.",
        fix: "Let the client connect again.";
    NoWebSocket = "no_websocket", Request, 426, -32600,
        "The address is for a websocket",
        "This address takes WebSockets only; use `POST /mcp` for plain HTTP.",
        cause: "The request has no `Connection: Upgrade` and `Upgrade: websocket`; a proxy on the way may have removed them.",
        fix: "Use a WebSocket client with a `ws://` address, let the proxy pass upgrades on, or use `/mcp`.";
    NotResumable = "stream_gone", Request, 404, -32008,
        "The stream cannot be taken up again",
        "The stream cannot be taken up again; send the request once more if it does no harm.",
        cause: "`Last-Event-ID` names a stream that was read to its end, was left alone for more than a minute, or belongs to another client.",
        fix: "Send the request again, with an `Idempotency-Key` if it changes something.";
    KeyReused = "idempotency_key_reused", Request, 422, -32600,
        "The idempotency key was used for another call",
        "The idempotency key was used for another call before; use a new one.",
        cause: "The same `Idempotency-Key` came with another method or other params within ten minutes.",
        fix: "Make a new key for each new call, and use it again only to repeat that call.";
    ConfigurationRefused = "configuration_refused", Request, 422, -32600,
        "The new configuration is refused, the old one stays in force",
        "The configuration is wrong; a person has to correct it.",
        cause: "A key or value in one of the sources is wrong, or the upstream that they name cannot be found.",
        fix: "Correct what the message names, each with its place; the next reload tries again.";
    Cancelled = "cancelled", Request, 409, -32600,
        "The client cancelled the call",
        "The call was cancelled.",
        cause: "The client sent `notifications/cancelled`.",
        fix: "Nothing; it was meant.";
    Denied = "denied", Call, 403, -32007,
        "The client may not make this call",
        "This client may not make this call; do not try it again in this form.",
        cause: "The rights of the client do not allow the tool, or not with these arguments; or nothing may be changed through the bridge now. The detail says which rule it was.",
        fix: "`mcp-bridge explain` tells which rule decides. If the client may do it, change its rights; `access.read_only` holds for all clients.";
    ApprovalPending = "approval_pending", Call, 409, -32008,
        "A person has not agreed to the call yet",
        "A person has to agree to this call first and has not done so yet. Tell the user; when they have agreed, make exactly the same call again.",
        cause: "The rights of the client demand that a person agrees to such a call, and nobody did within `access.approval_timeout`. The question waits for ten more minutes.",
        fix: "Answer the question on the status page or with `POST /api/approvals/ID`, and let the client make the call again within two minutes.";
    ApprovalRefused = "approval_refused", Call, 403, -32007,
        "A person refused the call",
        "A person refused this call; do not try it again.",
        cause: "Somebody answered the question whether this call may be made with no. It counts for a minute.",
        fix: "Nothing; it was meant. To allow such calls without a question, change the rights of the client.";
    ApprovalsFull = "approvals_full", Busy, 503, -32003,
        "Too many calls wait for a person's word",
        "Too many calls wait until a person has agreed to them; try again when they are answered.",
        cause: "A client has ten questions that wait for an answer, or all clients together a hundred.",
        fix: "Answer the questions on the status page or with `POST /api/approvals/ID`.";
    WrongArguments = "wrong_arguments", Call, 422, -32602,
        "The arguments do not fit the tool",
        "The arguments do not fit the tool; correct them and call it again.",
        cause: "An argument is missing, has the wrong type or a value that the tool's schema does not allow, and what is meant is not plain enough to be repaired.",
        fix: "Compare the arguments with the line of the schema in the detail. If the schema itself is wrong, turn the check off with `arguments.check: false`.";
    BodyTooLarge = "body_too_large", Request, 413, -32600,
        "The body is too large",
        "The request is too large; send less.",
        cause: "The body is larger than `limits.request_body`.",
        fix: "Send less, or raise `limits.request_body`.";
    BodyTooSlow = "body_too_slow", Request, 408, -32600,
        "The body did not arrive in time",
        "The request did not arrive completely; send it again.",
        cause: "The body took longer than `limits.body_timeout`, or the client stopped in the middle.",
        fix: "Check the network between client and bridge.";
    UnsupportedMediaType = "unsupported_media_type", Request, 415, -32600,
        "The content type is not JSON",
        "Send the request with `Content-Type: application/json`.",
        cause: "`Content-Type` is missing or something else than `application/json`.",
        fix: "Add the header; with curl: `-H 'Content-Type: application/json'`.";
    NotAcceptable = "not_acceptable", Request, 406, -32600,
        "The client accepts neither JSON nor an event stream",
        "Accept `application/json` or `text/event-stream`.",
        cause: "The `Accept` header rules out both forms of an answer.",
        fix: "Leave `Accept` out, or name `application/json` in it.";
    MethodNotAllowed = "method_not_allowed", Request, 405, -32600,
        "This address does not take that HTTP method",
        "Use the HTTP methods that the `Allow` header lists.",
        cause: "The address exists, but not for this HTTP method. A GET on `/mcp` is a client that looks for a stream: there is none, POST does everything.",
        fix: "Use POST for `/mcp` and everything below it. If an MCP client shows this error, its real problem came before: look at the bridge's log for its POST.";
    NotFound = "not_found", Request, 404, -32600,
        "There is nothing at this address",
        "There is nothing at this address.",
        cause: "The path is not one of the bridge's.",
        fix: "MCP clients use `/mcp`; the addresses are listed in the README.";
    NoSuchClient = "no_such_client", Request, 404, -32600,
        "There is no such client",
        "There is no client of this name.",
        cause: "Nobody has the name, or the client was revoked.",
        fix: "`GET /api/clients` and `mcp-bridge token list` show all.";
    ClientConflict = "client_conflict", Request, 409, -32600,
        "The client cannot be made or changed so",
        "The client cannot be made or changed so; choose another name.",
        cause: "Another client has the name, the configuration declares it, or there are too many.",
        fix: "Choose another name, or revoke that client first. What the configuration declares (`clients`) is changed there.";
    RegisterUnusable = "register_unusable", Bridge, 500, -32603,
        "The register of clients cannot be used",
        "The register of clients cannot be used; a person has to look at the bridge.",
        cause: "The file in the data folder cannot be read or written, or is damaged. Clients that were known come in as before.",
        fix: "Look at the message; make the data folder writable, or restore the file from a backup.";
    HostRefused = "host_refused", Access, 403, -32001,
        "The bridge is not known under this host name",
        "The request was refused because of its Host header.",
        cause: "The `Host` header names a public domain that was not allowed; a web page may be using the browser to reach into the network (DNS rebinding).",
        fix: "Use the address of the machine, or add the name to `access.allowed_hosts`.";
    OriginRefused = "origin_refused", Access, 403, -32001,
        "Web pages of this origin may not use the bridge",
        "The request was refused because of its Origin header.",
        cause: "The request comes from a web page of another origin.",
        fix: "If that page may use the bridge, add its origin to `access.allowed_origins`.";
    NetworkRefused = "network_refused", Access, 403, -32001,
        "Requests from this network are not let in",
        "The request was refused because of the network it comes from; a person has to allow that.",
        cause: "The sender's address is in none of the networks of `access.networks`; without it, in no private one.",
        fix: "If it may come in, add its network to `access.networks`. Behind a reverse proxy, name the proxy in `access.trusted_proxies`.";
    ClientNetworkRefused = "client_network_refused", Access, 403, -32001,
        "This client may not come from this network",
        "The client may not be used from this network; a person has to allow that.",
        cause: "The token is right, but the client was made for other networks.",
        fix: "Use it from there, or change the client's networks.";
    TooManyWrongTokens = "too_many_wrong_tokens", Access, 429, -32001,
        "Too many wrong tokens came from this address",
        "Too many wrong tokens came from this address; a person has to correct the client's settings.",
        cause: "More wrong tokens than `limits.wrong_tokens` came from there. A client's right one is let in all the same, the admin token is not.",
        fix: "Give the client its right token. The log of the bridge names the address.";
    TokenMissing = "token_missing", Access, 401, -32001,
        "The request has no token",
        "The bridge needs a token; a person has to add it to the client's settings.",
        cause: "Neither `Authorization` nor `X-API-Key` was sent.",
        fix: "Add `Authorization: Bearer mcpb_...` to the client; `mcp-bridge token show` prints the first token.";
    TokenWithoutBearer = "token_without_bearer", Access, 401, -32001,
        "The token lacks the word Bearer in front",
        "The Authorization header needs `Bearer ` in front of the token; a person has to correct the client's settings.",
        cause: "`Authorization` holds something else than `Bearer` and a token.",
        fix: "Write `Authorization: Bearer mcpb_...`, or send the bare token as `X-API-Key`.";
    TokenMalformed = "token_malformed", Access, 401, -32001,
        "The token is damaged",
        "The token is damaged; a person has to copy it again.",
        cause: "It does not begin with `mcpb_`, has another length, or its checksum is wrong: a character was lost in copying. Or several different ones were sent.",
        fix: "Copy the whole token again.";
    TokenOfHomeAssistant = "token_of_home_assistant", Access, 401, -32001,
        "This is a token of Home Assistant, not of the bridge",
        "The client uses a Home Assistant token, but the bridge has tokens of its own; a person has to change it.",
        cause: "The token begins with `eyJ`, as Home Assistant's long-lived tokens do.",
        fix: "Use a token of the bridge (`mcpb_...`). If the Home Assistant token was meant to stay secret, revoke it: it was sent to this address.";
    TokenUnknown = "token_unknown", Access, 401, -32001,
        "The token is not known here",
        "The token is not known to this bridge; a person has to create a new one.",
        cause: "It is well-formed, but no client of this bridge has it: it belongs to another bridge, or the data folder was replaced.",
        fix: "Create one with `mcp-bridge token create NAME`.";
    TokenRevoked = "token_revoked", Access, 401, -32001,
        "The token was revoked",
        "The token was revoked; a person has to create a new one.",
        cause: "Somebody revoked this client's token.",
        fix: "Create a new one with `mcp-bridge token create NAME`, if the client may still come in.";
    TokenReplaced = "token_replaced", Access, 401, -32001,
        "The token was replaced by a newer one",
        "The token was replaced by a newer one; a person has to put the new one into the client's settings.",
        cause: "This client was given a new token, and the time for which the old one went on is over.",
        fix: "Use the new token; `mcp-bridge token rotate NAME` makes another if it was lost.";
    ClientDisabled = "client_disabled", Access, 401, -32001,
        "The client is switched off",
        "The client is switched off; a person has to switch it on again.",
        cause: "Somebody switched this client off for the time being; its token is right.",
        fix: "Switch it on again with `mcp-bridge token enable NAME`.";
    AdminTokenMissing = "admin_token_missing", Access, 401, -32001,
        "Only operators may do this",
        "The request has no admin token; a person has to sign in.",
        cause: "The status page and its API belong to the operator, and the request has neither the admin token nor the cookie of a browser that is signed in. A client's token does not open them.",
        fix: "Sign in on the status page, or send `Authorization: Bearer` and the admin token; `mcp-bridge token admin` prints it.";
    AdminTokenWrong = "admin_token_wrong", Access, 401, -32001,
        "This is not the admin token",
        "The admin token is wrong; a person has to correct it.",
        cause: "It is another token, perhaps that of a client, or a character was lost in copying.",
        fix: "`mcp-bridge token admin` prints it, unless `admin_token_file` holds another.";
    ChangeRefused = "change_refused", Access, 403, -32001,
        "The change may come from a foreign page",
        "The change was refused; send it from the status page or with the admin token.",
        cause: "A browser sends its cookies with any page's requests; those of the status page carry the header `X-MCP-Bridge-Page`, which a foreign page cannot set.",
        fix: "Load the page again. Programs send the admin token as `Authorization: Bearer` and need no such header.";
    CertificateUnknown = "certificate_unknown", Access, 401, -32001,
        "The certificate belongs to no client",
        "The client's certificate is not known to this bridge; a person has to add it.",
        cause: "The certificate is of an authority that counts, but no client has it, and no token was sent.",
        fix: "Make a client for it: `mcp-bridge token create NAME --certificate NAME-IN-IT`; or send a token.";
    TlsRequired = "tls_required", Access, 400, -32001,
        "This address speaks HTTPS",
        "The address has to begin with https; a person has to correct the client's settings.",
        cause: "The request came without TLS, and `tls.certificate` is set.",
        fix: "Write `https://` instead of `http://` in the client's settings.";
    TokenInAddress = "token_in_address", Access, 401, -32001,
        "This client's token may not stand in the address",
        "The token may not stand in the address; a person has to change the client's settings.",
        cause: "The token is right, but came as `/c/TOKEN/...`, where logs and histories of others keep it; that is allowed for each client by itself.",
        fix: "Send it as `Authorization: Bearer`, or make the client with `mcp-bridge token create NAME --path-token` if it cannot send headers.";
    QueueFull = "queue_full", Busy, 503, -32003,
        "Too many calls are waiting",
        "The bridge is busy, too many calls are waiting; try again in a moment.",
        cause: "More calls wait than `queue.max_waiting` allows.",
        fix: "Look at the status which client sends so many, or raise `queue.max_waiting`.";
    RateLimited = "rate_limited", Busy, 429, -32007,
        "The client calls too often",
        "Too many calls in a short time; wait as long as it says, then go on.",
        cause: "More calls came than the client's own rate, `limits.calls_per_client`, `limits.calls_per_tool` or `limits.calls` allows.",
        fix: "Let the client wait as `Retry-After` says, or raise the rate.";
    DeadlineWaiting = "deadline_waiting", Busy, 503, -32004,
        "The call waited in the queue until its time was over",
        "The call waited too long for its turn and was given up; try again in a moment.",
        cause: "Home Assistant was busy with earlier calls for longer than `queue.call_timeout`.",
        fix: "Look at the status what takes so long; raise `queue.call_timeout` only below the client's own limit (mostly 60 s).";
    Hopeless = "no_time_to_wait", Busy, 503, -32004,
        "The call would wait beyond its deadline",
        "The bridge is busy and the call would have waited too long; try again in a moment.",
        cause: "So many calls wait before it that its time would be over before its turn.",
        fix: "Look at the status what takes so long and which client sends so many.";
    Shed = "shed", Busy, 503, -32006,
        "The call gave way to a more urgent one",
        "The bridge is busy and more urgent calls went first; try again in a moment.",
        cause: "The queue was full, and a call of a higher priority came.",
        fix: "Look at the status which client sends so many, raise `queue.max_waiting`, or give this client a higher priority.";
    UpstreamReplaced = "upstream_replaced", Busy, 503, -32005,
        "Another server took the place of the one that the call was meant for",
        "The server behind the bridge was replaced while the call waited; look at the tools again, and call again.",
        cause: "The configuration names another upstream now. What the client may do was decided by the tools of the one before.",
        fix: "Nothing; the same call is decided anew.";
    ShuttingDown = "shutting_down", Busy, 503, -32005,
        "The bridge is stopping",
        "The bridge is being stopped or restarted; try again in a few seconds.",
        cause: "The bridge finishes what is running and takes nothing new.",
        fix: "Wait until it is back.";
    Unreachable = "home_assistant_unreachable", Upstream, 503, -32010,
        "Home Assistant does not answer",
        "Home Assistant cannot be reached, it may be restarting; try again in a minute.",
        cause: "No connection to Home Assistant: it is down or starting, or address or port are wrong.",
        fix: "Check that Home Assistant runs, and that `upstream` is its address.";
    NotTrusted = "home_assistant_not_trusted", Upstream, 502, -32010,
        "No secure connection to Home Assistant can be made",
        "The bridge cannot make a secure connection to Home Assistant; a person has to correct its settings.",
        cause: "The certificate is self-signed, has expired or belongs to another name, or the address is not an `https://` one at all; the detail says which.",
        fix: "Use the name that the certificate was made for, or `http://` if Home Assistant has no certificate. For a certificate of your own, set `upstream_verify_tls` to false.";
    Away = "home_assistant_away", Upstream, 503, -32010,
        "Home Assistant has not been well for a while",
        "Home Assistant has not answered for a while, it may be restarting; try again in a minute.",
        cause: "Home Assistant stopped or cannot be reached, by its events or because calls failed again and again. This call waited until its deadline for it to come back (or did not, with `queue.hold_during_restart: false`).",
        fix: "Check that Home Assistant runs; the status shows the last trouble.";
    Starting = "home_assistant_starting", Upstream, 503, -32011,
        "Home Assistant is starting",
        "Home Assistant is starting; try again in a minute.",
        cause: "The Supervisor (or a proxy in between) says that Home Assistant is not ready.",
        fix: "Wait. If it lasts, look at Home Assistant's own log.";
    Stopping = "home_assistant_stopping", Upstream, 503, -32012,
        "Home Assistant is stopping",
        "Home Assistant is stopping or restarting; try again in a minute.",
        cause: "Home Assistant takes no more requests.",
        fix: "Wait until it is back.";
    NotSetUp = "mcp_server_not_set_up", Upstream, 502, -32013,
        "Home Assistant's MCP server is not set up",
        "Home Assistant's MCP server is not set up (or Home Assistant is still starting); a person has to add the integration.",
        cause: "Home Assistant answers, but not at the MCP address: the integration *Model Context Protocol Server* is missing, disabled, or not loaded yet.",
        fix: "In Home Assistant: Settings, Devices & services, Add integration, *Model Context Protocol Server*. Right after a start, wait a minute.";
    UpstreamTokenRefused = "home_assistant_token_refused", Upstream, 502, -32014,
        "Home Assistant refuses the bridge's token",
        "Home Assistant refuses the bridge's token; a person has to replace it.",
        cause: "The long-lived token that the bridge uses was deleted, has expired, or is wrong.",
        fix: "Create a new long-lived token in Home Assistant (profile, Security) and set it as `upstream_token`.";
    Forbidden = "home_assistant_forbids", Upstream, 502, -32015,
        "Home Assistant wants an administrator",
        "The bridge's user may not use Home Assistant's MCP server; a person has to change that.",
        cause: "The MCP integration requires an administrator, and the bridge's token belongs to another user.",
        fix: "Use the token of an administrator, or turn off *Require an administrator* in the integration's options.";
    RefusedRequest = "home_assistant_refused_request", Upstream, 502, -32019,
        "Home Assistant did not understand the request",
        "Home Assistant did not accept the request; check numbers and texts in it.",
        cause: "Home Assistant's JSON reader is stricter than the bridge's, for example about huge numbers or lone surrogates.",
        fix: "Look at the detail for Home Assistant's own words.";
    Timeout = "home_assistant_timeout", Upstream, 504, -32016,
        "Home Assistant took too long",
        "Home Assistant did not answer in time.",
        cause: "The call reached Home Assistant, but no answer came before the deadline, or Home Assistant gave up after its own 60 s.",
        fix: "Look in Home Assistant which script or device is slow.";
    ConnectionLost = "home_assistant_connection_lost", Upstream, 502, -32017,
        "The connection to Home Assistant broke",
        "The connection to Home Assistant broke before its answer came.",
        cause: "Home Assistant was stopped or restarted, or the network failed, while the call was running.",
        fix: "Check the state of the device; look at Home Assistant's log if it happens often.";
    BadAnswer = "home_assistant_bad_answer", Upstream, 502, -32018,
        "Home Assistant's answer makes no sense",
        "The answer of Home Assistant could not be read.",
        cause: "The answer is not the JSON-RPC answer to this call; perhaps the address is not an MCP server.",
        fix: "Check that `upstream` is the address of an MCP server.";
    TruncatedAnswer = "home_assistant_answer_truncated", Upstream, 502, -32018,
        "Home Assistant's answer ended in the middle",
        "The answer of Home Assistant broke off.",
        cause: "The connection was closed before the whole answer had arrived.",
        fix: "Check the state of the device; look at Home Assistant's log if it happens often.";
    AnswerTooLarge = "home_assistant_answer_too_large", Upstream, 502, -32018,
        "Home Assistant's answer is too large",
        "The answer of Home Assistant is too large; ask for less, with a filter.",
        cause: "The answer is larger than `limits.response_body`, or the answers of a batch have more than 64 MiB together.",
        fix: "Ask with a filter (name, area, domain) or with fewer messages in a batch, expose fewer entities, or raise `limits.response_body`.";
    Redirected = "home_assistant_redirects", Upstream, 502, -32018,
        "Home Assistant redirects to another address",
        "Home Assistant is reached under a wrong address; a person has to correct it.",
        cause: "The address answers with a redirect, which the bridge does not follow, since the token would go along.",
        fix: "Set `upstream` to the address that the detail names, mostly `https://` instead of `http://`, or another port.";
    UnexpectedStatus = "home_assistant_status", Upstream, 502, -32018,
        "Home Assistant answered with an error",
        "Home Assistant answered with an unexpected error.",
        cause: "An HTTP status that its MCP server does not normally give.",
        fix: "Look at the detail and at Home Assistant's log.";
    AnsweredByHomeAssistant = "answered_by_home_assistant", Upstream, 502, -32018,
        "Home Assistant answered with an error of its own",
        "Home Assistant answered with an error; read what it says.",
        cause: "Home Assistant's MCP server took the request and refused it. Over plain HTTP its error is in `error`, and the status is 404 for an unknown method, prompt or resource, and 400 for wrong params; over MCP clients get its error as it is.",
        fix: "Look at the message of `error`; for an unknown name, list what there is.";
    Internal = "internal", Bridge, 500, -32603,
        "The bridge itself failed",
        "The bridge itself failed; try again.",
        cause: "A defect of the bridge.",
        fix: "Please report it, with the log lines of that moment.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_a_name_of_its_own() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.entry().name).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn own_json_rpc_codes_stay_in_the_range_that_the_specification_leaves() {
        for code in Code::ALL {
            let rpc = code.entry().rpc;
            let of_the_specification = [-32700, -32600, -32601, -32602, -32603, -32020, -32022];
            assert!(
                (-32019..=-32000).contains(&rpc) || of_the_specification.contains(&rpc),
                "{code:?}"
            );
        }
    }

    #[test]
    fn only_a_defect_of_the_bridge_is_an_internal_error() {
        for code in Code::ALL {
            let entry = code.entry();
            assert_eq!(entry.http == 500, entry.kind == Kind::Bridge, "{code:?}");
        }
    }

    #[test]
    fn a_model_hears_one_thing_about_the_outcome_and_the_rows_say_nothing_of_it() {
        let (nothing, unknown) = ("Nothing was changed.", "Outcome unknown");
        for &code in Code::ALL {
            let entry = code.entry();
            assert!(!entry.advice.contains(nothing), "{code:?}");
            assert!(!entry.advice.contains(unknown), "{code:?}");
            let on_the_way = entry.kind.concerns_calls();
            for outcome_unknown in [false, true] {
                let text = Failure {
                    outcome_unknown,
                    ..Failure::with(code, "HTTP 502")
                }
                .for_model();
                assert_eq!(text.contains(unknown), outcome_unknown, "{text}");
                let nothing_done = on_the_way && !outcome_unknown;
                assert_eq!(text.contains(nothing), nothing_done, "{text}");
            }
        }
    }

    #[test]
    fn an_unknown_outcome_is_said_in_words() {
        let failure = Failure {
            outcome_unknown: true,
            ..Failure::with(Code::Timeout, "50 s")
        };
        let text = failure.for_model();
        assert!(
            text.contains("(50 s)") && text.contains("Outcome unknown"),
            "{text}"
        );
    }
}
