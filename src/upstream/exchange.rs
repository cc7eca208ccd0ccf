//! One request and its answer: on which wire, in whose session, and what is asked in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::Upstream;
use super::downstream::Downstream;
use super::held::Held;
use super::trouble::Trouble;
use super::wires::Wire;
use crate::protocol::era;
use crate::protocol::input_required::InputRequired;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Payload, Request, Response};
use crate::protocol::revision::Revision;
use crate::protocol::subscription;
use crate::protocol::trace_context::TraceContext;

/// How often a server may put questions in the place of its answer.
const MAX_ROUNDS: usize = 16;

/// Where a request comes from, as far as it matters to the upstream.
#[derive(Debug, Clone)]
pub struct Context {
    /// The name of the client.
    pub client: Arc<str>,
    /// The revision in which the client speaks, and in whose era it wants the answer.
    pub revision: Revision,
    /// How the client is reached while the request runs.
    pub downstream: Option<Arc<dyn Downstream>>,
    /// The headers `Mcp-Param-*` that it sent.
    pub mirrored: HeaderMap,
    /// The trace to which it belongs.
    pub trace: Option<TraceContext>,
}

impl Context {
    /// A request of the bridge itself.
    pub fn own() -> Self {
        Self {
            client: Arc::default(),
            revision: Revision::NEWEST_LEGACY,
            downstream: None,
            mirrored: HeaderMap::new(),
            trace: None,
        }
    }

    /// Says to which trace a request belongs.
    pub(super) fn tell_trace(&self, headers: &mut HeaderMap) {
        let Some(trace) = &self.trace else {
            return;
        };
        let state = trace.state.as_deref();
        let told = [
            ("traceparent", Some(trace.to_string())),
            ("tracestate", state.map(str::to_owned)),
        ];
        for (name, value) in told {
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(name, value);
            }
        }
    }

    pub(super) fn downstream(&self) -> Option<&dyn Downstream> {
        self.downstream.as_deref()
    }

    /// What the client can be asked for, if that is anything at all.
    fn capabilities(&self) -> Option<&RawJson> {
        self.downstream()
            .and_then(Downstream::capabilities)
            .filter(|declared| {
                declared
                    .members()
                    .is_some_and(|members| !members.is_empty())
            })
    }
}

impl Upstream {
    /// Sends a request and waits for its answer, in the era of its client. Never sends it twice, but
    /// for one case: a server that has forgotten the session (404) has not looked at the request, so
    /// it gets it once more in a new session. Where no connection can be made nothing was sent, so
    /// the next address is tried.
    ///
    /// Nothing is sent after `deadline`, when nobody waits for it any more; what has been sent may
    /// take longer.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn exchange(
        &self,
        request: &Request,
        context: &Context,
        deadline: Instant,
    ) -> Result<Response, Trouble> {
        let answer = match self.wire(context.revision, deadline).await {
            Wire::Modern => self.exchange_modern(request, context, deadline).await,
            Wire::Legacy => {
                let answer = self.exchange_legacy(request, context, deadline).await;
                match answer {
                    Err(Trouble::Greeting(refused)) if self.is_modern_only(&refused).await => {
                        self.exchange_modern(request, context, deadline).await
                    }
                    other => other,
                }
            }
        };
        self.sessions.acquaintance().remember(&answer);
        answer
    }

    /// The wire for a client: its own where the server understands it, since then nothing has to be
    /// translated.
    async fn wire(&self, revision: Revision, deadline: Instant) -> Wire {
        let wire = Wire::of(revision);
        if wire == Wire::Legacy && !self.wires.is_modern_only() {
            return Wire::Legacy;
        }
        // What hinders this question hinders the other wire as well, and is told there.
        let modern = timeout_at(deadline, self.wires.modern(self.discover())).await;
        match modern {
            Ok(Ok(Some(_))) => Wire::Modern,
            _ => Wire::Legacy,
        }
    }

    /// Whether a server that refused the handshake speaks the modern wire instead.
    pub(super) async fn is_modern_only(&self, refused: &Trouble) -> bool {
        let is_refusal = matches!(
            refused,
            Trouble::Status {
                status: 400..=499,
                ..
            } | Trouble::NotAnAnswer(_)
        );
        if !is_refusal {
            return false;
        }
        match self.wires.modern(self.discover()).await {
            Ok(Some(introduction)) => {
                self.wires.set_modern_only();
                self.sessions
                    .acquaintance()
                    .greeted((*introduction).clone());
                true
            }
            _ => false,
        }
    }

    async fn exchange_legacy(
        &self,
        request: &Request,
        context: &Context,
        deadline: Instant,
    ) -> Result<Response, Trouble> {
        let is_modern = context.revision.is_modern();
        if is_modern && era::has_rounds(&request.method) {
            let downstream = context.downstream.clone();
            let held = self.held.go_on(&context.client, request, downstream);
            if let Some(answer) = held.await {
                return answer.map(|answer| answer.with_id(&request.id));
            }
        }
        let declared = is_modern.then(|| era::askable(request)).flatten();
        let translated = is_modern.then(|| era::to_legacy(request));
        let request = translated.as_ref().unwrap_or(request);
        if subscription::is_watching(&request.method)
            && let Some(answer) = self.listening.watch_for(request).await
        {
            return answer;
        }
        let late = || Trouble::Greeting(Trouble::Timeout.into());
        let mut tried = Vec::new();
        let mut was_forgotten = false;
        loop {
            let lease = timeout_at(deadline, self.sessions.lease(&mut tried)).await;
            let mut lease = lease.map_err(|_| late())??;
            if Instant::now() >= deadline {
                return Err(late());
            }
            if let (true, Some(downstream), Some(capabilities)) = (
                lease.is_stateful(),
                context.downstream(),
                context.capabilities(),
            ) {
                drop(lease);
                return self
                    .own
                    .call(request, context, downstream, capabilities)
                    .await;
            }
            if let (true, Some(capabilities)) = (lease.is_stateful(), &declared) {
                drop(lease);
                return self.hold(request, context, capabilities).await;
            }
            let answer = lease.call(request, context).await;
            if lease.is_forgotten() && !was_forgotten {
                was_forgotten = true;
                continue;
            }
            if matches!(answer, Err(Trouble::Connect(_) | Trouble::Tls(_))) {
                tried.push(lease.address());
                if tried.len() < self.sessions.addresses().len() {
                    continue;
                }
            }
            return answer;
        }
    }

    /// Sends a request of a modern client that can be asked; the answer may be what it is asked.
    async fn hold(
        &self,
        request: &Request,
        context: &Context,
        capabilities: &RawJson,
    ) -> Result<Response, Trouble> {
        let (own, sent, asked) = (self.own.clone(), request.clone(), context.clone());
        let declared = capabilities.clone();
        let call = |held: Arc<Held>| async move {
            let context = Context {
                downstream: Some(held.clone()),
                ..asked
            };
            own.call(&sent, &context, &*held, &declared).await
        };
        let downstream = context.downstream.clone();
        let held = self
            .held
            .begin(&context.client, capabilities.clone(), downstream, call);
        Ok(held.await?.with_id(&request.id))
    }

    async fn exchange_modern(
        &self,
        request: &Request,
        context: &Context,
        deadline: Instant,
    ) -> Result<Response, Trouble> {
        if Instant::now() >= deadline {
            return Err(Trouble::Greeting(Trouble::Timeout.into()));
        }
        if context.revision.is_modern() {
            return self.send_modern(request, context).await;
        }
        if subscription::is_watching(&request.method) {
            return Ok(subscription::watched(request));
        }
        let mut request = era::from_legacy(request, context.capabilities());
        for _ in 0..MAX_ROUNDS {
            let response = self.send_modern(&request, context).await?;
            let Payload::Result(result) = &response.payload else {
                return Ok(response);
            };
            let Some(asked) = InputRequired::of_result(result) else {
                let result = era::result_to_legacy(result);
                return Ok(response.with_result(result));
            };
            match answers(&asked, context).await {
                Ok(results) => request = asked.answered(&request, &results),
                Err(refusal) => return Ok(Response::new(Some(request.id), refusal)),
            }
        }
        let why = "it asks for more input again and again";
        Err(Trouble::NotAnAnswer(why.into()))
    }

    /// Sends a request on the modern wire, to the next address where there is no connection.
    async fn send_modern(&self, request: &Request, context: &Context) -> Result<Response, Trouble> {
        let addresses = self.sessions.addresses();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut last = Trouble::Connect("no address is left".into());
        for offset in 0..addresses.len() {
            let address = &addresses[(first + offset) % addresses.len()];
            let answer = address.call_modern(request, context);
            match answer.await {
                Err(trouble @ (Trouble::Connect(_) | Trouble::Tls(_))) => last = trouble,
                other => {
                    if other.as_ref().is_ok_and(speaks_another_version) {
                        self.wires.forget();
                    }
                    return other;
                }
            }
        }
        Err(last)
    }
}

/// The client's answers to the questions of a modern server, in their order.
///
/// # Errors
/// What the client is told if one of them is not answered.
async fn answers(asked: &InputRequired, context: &Context) -> Result<Vec<RawJson>, Payload> {
    let unanswered = |why: &str| {
        let error = json!({"code": crate::protocol::code::INTERNAL_ERROR, "message": why});
        Payload::Error(RawJson::of(&error))
    };
    let questions = asked.questions.iter().map(|(_, question)| async move {
        match context.downstream() {
            Some(downstream) if downstream.capabilities().is_some() => {
                downstream.ask(question.clone()).await
            }
            _ => None,
        }
    });
    let replies = join_all(questions).await;
    replies
        .into_iter()
        .map(|reply| match reply.map(|reply| reply.payload) {
            Some(Payload::Result(result)) => Ok(result),
            Some(error @ Payload::Error(_)) => Err(error),
            None => Err(unanswered(
                "the server needs an answer of the client, which cannot be asked",
            )),
        })
        .collect()
}

fn speaks_another_version(response: &Response) -> bool {
    response.error_code() == Some(crate::protocol::code::UNSUPPORTED_VERSION.into())
}
