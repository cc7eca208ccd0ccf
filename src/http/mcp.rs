//! Streamable HTTP, all revisions: one POST, one answer.

use std::sync::Arc;

use axum::body::Body as HttpBody;
use axum::extract::{Request as HttpRequest, State};
use axum::response::Response as HttpResponse;
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Method, StatusCode};

use super::conversation::{Beginning, Conversation};
use super::listen::{self, Listener};
use super::messages::{self, SESSION, Sender};
use super::outbox::{Outbox, Room};
use super::reply::{self, Form};
use super::streams::RETRY;
use super::{Bridge, admission, body};
use crate::error::{Code, Failure};
use crate::protocol::body::{Batch, Body};
use crate::protocol::message::{Message, Request};
use crate::protocol::revision::Revision;
use crate::protocol::sse;
use crate::protocol::subscription::LISTEN;

/// In a GET: the last event that the client saw of a stream that broke.
const LAST_EVENT_ID: &str = "last-event-id";

/// `POST /mcp`.
pub(super) async fn post(State(bridge): State<Arc<Bridge>>, request: HttpRequest) -> HttpResponse {
    answer(&bridge, request)
        .await
        .unwrap_or_else(|failure| reply::refusal(&failure))
}

/// `POST /mcp/batch`: several messages at once, whatever the revision.
pub(super) async fn batch(State(bridge): State<Arc<Bridge>>, request: HttpRequest) -> HttpResponse {
    answer_batch(&bridge, request)
        .await
        .unwrap_or_else(|failure| reply::problem(&failure))
}

/// `DELETE /mcp`: the client ends its session. Where there is none, nothing is left of it.
pub(super) async fn delete(
    State(bridge): State<Arc<Bridge>>,
    request: HttpRequest,
) -> HttpResponse {
    let end = || {
        let (sender, _) = Sender::admit(&bridge, request)?;
        if sender.revision()?.is_modern() {
            return Ok(reply::wrong_method(&Method::DELETE, "POST"));
        }
        let id = admission::text(sender.headers(), SESSION);
        let id = id.filter(|_| bridge.has_sessions());
        match id.map(|id| bridge.sessions.end(&sender.client().name, id)) {
            None | Some(true) => Ok(HttpResponse::new(HttpBody::empty())),
            Some(false) => Err(Failure::new(Code::SessionUnknown)),
        }
    };
    end().unwrap_or_else(|failure| reply::refusal(&failure))
}

/// `GET /mcp`: a legacy client listens to what belongs to no call, or takes a stream up again.
///
/// It has to say that it speaks Streamable HTTP. Any other is one that asked in vain before and now
/// looks for the old event stream; it must hear that there is none even without a token, or it
/// starts to ask for OAuth.
pub(super) async fn get(State(bridge): State<Arc<Bridge>>, request: HttpRequest) -> HttpResponse {
    let headers = request.headers();
    let named =
        ["mcp-protocol-version", SESSION, LAST_EVENT_ID].map(|name| headers.contains_key(name));
    if named == [false; 3] {
        return no_stream();
    }
    events(&bridge, request).unwrap_or_else(|failure| reply::refusal(&failure))
}

/// Any other method.
pub(super) async fn wrong_method(method: Method) -> HttpResponse {
    reply::wrong_method(&method, "GET, POST, DELETE")
}

fn no_stream() -> HttpResponse {
    let why = "there is no event stream without MCP-Protocol-Version. A client that looks for one \
               here has most likely failed with its POST before: look at that error, which is often \
               a wrong token";
    reply::method_not_allowed(&Failure::with(Code::MethodNotAllowed, why), "POST, DELETE")
}

fn events(bridge: &Arc<Bridge>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let (sender, _) = Sender::admit(bridge, request)?;
    if sender.revision()?.is_modern() {
        return Ok(reply::wrong_method(&Method::GET, "POST"));
    }
    let sender = sender.in_session()?;
    let headers = sender.headers();
    let accept = admission::text(headers, ACCEPT.as_str()).unwrap_or("*/*");
    if !["text/event-stream", "text/*", "*/*"]
        .iter()
        .any(|kind| accept.contains(kind))
    {
        return Err(Failure::with(
            Code::NotAcceptable,
            "a GET is answered as text/event-stream",
        ));
    }
    if bridge.is_draining() {
        return Err(Failure::new(Code::ShuttingDown));
    }
    let last = admission::text(headers, LAST_EVENT_ID);
    if let Some(last) = last.and_then(|last| last.parse().ok()) {
        let owner = &sender.client().name;
        let resumed = bridge.streams.resume(owner, last);
        return resumed.ok_or_else(|| Failure::new(Code::NotResumable));
    }
    let mut listener = Listener::legacy(bridge, sender.session().cloned());
    // Nothing is kept of this stream, so a client that comes back is told all it may have missed.
    if last.is_some() {
        listener.catch_up();
    }
    let beginning = sse::encode_beginning("notifications", RETRY);
    Ok(listen::answer(beginning, listener, sender))
}

async fn answer(bridge: &Arc<Bridge>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let (sender, body) = Sender::admit(bridge, request)?;
    let form = Form::accepted(admission::text(sender.headers(), ACCEPT.as_str()))?;
    let body = body::read(sender.headers(), body, bridge.settings()).await?;
    match Body::parse(&body, bridge.settings().max_depth)? {
        Body::One(Message::Request(request)) => answer_one(bridge, sender, request, form).await,
        Body::One(message) => {
            let answer = sender.in_session()?.answer(Ok(message)).await;
            Ok(answer.map_or_else(accepted, |(status, body)| {
                reply::message(status, body, form)
            }))
        }
        Body::Batch(batch) => {
            let sender = sender.in_session()?;
            if !sender.revision()?.has_batches() {
                let why = "only revision 2025-03-26 has batches; send one message at a time, or use \
                           /mcp/batch";
                return Err(Failure::with(Code::InvalidMessage, why));
            }
            answer_all(bridge, &sender, &batch, form).await
        }
    }
}

async fn answer_one(
    bridge: &Bridge,
    sender: Sender,
    request: Request,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let revision = match sender.revision_of(&request) {
        Ok(revision) => revision,
        Err(failure) => return Ok(refused(bridge, &failure, request, form)),
    };
    if revision.is_modern() {
        if request.method == LISTEN {
            return listen(bridge, sender, request, form).await;
        }
        return Ok(converse(bridge, sender, request, revision, form).await);
    }
    if request.method == "initialize" {
        return Ok(greet(bridge, &sender, request, revision, form).await);
    }
    let sender = sender.in_session()?;
    // In a session without the header, its own revision.
    match sender.revision_of(&request) {
        Ok(revision) => Ok(converse(bridge, sender, request, revision, form).await),
        Err(failure) => Ok(refused(bridge, &failure, request, form)),
    }
}

/// What is wrong with a request before it is a call.
fn refused(bridge: &Bridge, failure: &Failure, request: Request, form: Form) -> HttpResponse {
    let (status, body) = messages::refused(bridge, failure, Some(request.id));
    reply::message(status, body, form)
}

/// The stream of a `subscriptions/listen`.
async fn listen(
    bridge: &Bridge,
    sender: Sender,
    request: Request,
    form: Form,
) -> Result<HttpResponse, Failure> {
    if form == Form::Json {
        let why = "subscriptions/listen is answered as text/event-stream";
        return Err(Failure::with(Code::NotAcceptable, why));
    }
    Ok(match Listener::modern(bridge, &sender, &request).await {
        Ok(listener) => listen::answer(sse::COMMENT, listener, sender),
        Err(failure) => refused(bridge, &failure, request, form),
    })
}

/// The answer to `initialize`, with the id of the session that it opens, if it opens one.
async fn greet(
    bridge: &Bridge,
    sender: &Sender,
    request: Request,
    revision: Revision,
    form: Form,
) -> HttpResponse {
    let outcome = sender.dispatch(request.clone(), revision, None, None).await;
    let is_open = outcome.is_ok() && bridge.has_sessions();
    let id = is_open.then(|| bridge.sessions.open(&sender.client().name, &request));
    let (status, body) = reply::to_request(&request, revision, outcome);
    let mut reply = reply::message(status, body, form);
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        reply.headers_mut().insert(SESSION, id);
    }
    reply
}

/// Everything that is said to one request: one JSON text, or a stream if there is more to say. A
/// modern client that closes the stream gives the request up; a legacy one may come back for the
/// rest.
async fn converse(
    bridge: &Bridge,
    sender: Sender,
    request: Request,
    revision: Revision,
    form: Form,
) -> HttpResponse {
    if form == Form::Json {
        let (status, body) = sender.answer_request(request, revision, None).await;
        return reply::message(status, body, form);
    }
    let owner = sender.client().name.as_str().into();
    let (outbox, messages) = Outbox::new(Room::OF_A_CALL);
    let outlet = sender.outlet(&request, revision, outbox);
    let answer = async move { sender.answer_request(request, revision, Some(outlet)).await };
    let mut conversation = Conversation::new(messages, answer);
    match conversation.begin(form).await {
        Beginning::Answered(reply) => reply,
        Beginning::Told(first) if revision.is_modern() => conversation.tell(first),
        Beginning::Told(first) => bridge.streams.tell(&owner, revision, first, conversation),
    }
}

async fn answer_batch(bridge: &Arc<Bridge>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let (sender, body) = Sender::admit(bridge, request)?;
    sender.revision()?;
    let body: Bytes = body::read(sender.headers(), body, bridge.settings()).await?;
    match Body::parse(&body, bridge.settings().max_depth)? {
        Body::Batch(batch) => answer_all(bridge, &sender, &batch, Form::Json).await,
        Body::One(_) => {
            let why = "a batch is a JSON array of JSON-RPC messages";
            Err(Failure::with(Code::InvalidMessage, why))
        }
    }
}

async fn answer_all(
    bridge: &Bridge,
    sender: &Sender,
    batch: &Batch,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let messages = batch.messages(bridge.settings().max_batch)?;
    let answers = sender.answer_all(messages).await;
    Ok(answers.map_or_else(accepted, |body| reply::message(StatusCode::OK, body, form)))
}

/// What was sent wants no answer.
pub(super) fn accepted() -> HttpResponse {
    let mut reply = HttpResponse::new(HttpBody::empty());
    *reply.status_mut() = StatusCode::ACCEPTED;
    reply
}
