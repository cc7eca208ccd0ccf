//! Answers on their way out: the plain ones, and those that a fault has spoilt.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::Value;

use super::json;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// An HTTP answer before it is sent.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
}

/// What an answer carries.
#[derive(Debug)]
pub(super) enum Content {
    /// Bytes of the type that the headers name, if there are any.
    Bytes(Bytes),
    /// A JSON-RPC message, which faults can still change.
    Message(Value),
    /// Sent piece by piece, each flushed by itself.
    Pieces { pieces: VecDeque<Bytes>, end: End },
}

/// How a body in pieces ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// After the pieces; the length is not told beforehand.
    Open,
    /// After the pieces, whose length is told beforehand.
    Exact,
    /// The connection closes after the pieces, although this many bytes were promised.
    Promised(usize),
}

impl Reply {
    pub(super) fn message(message: Value) -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            content: Content::Message(message),
        }
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        let content = Content::Bytes(Bytes::new());
        Self {
            status,
            headers: HeaderMap::new(),
            content,
        }
    }

    pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        let content = Content::Bytes(text.into());
        Self {
            status,
            headers: HeaderMap::new(),
            content,
        }
        .with(CONTENT_TYPE, TEXT)
    }

    /// "404: Not Found" and its like, as aiohttp words them.
    pub(super) fn status(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or_default();
        let reply = Self::text(status, format!("{}: {reason}", status.as_u16()));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            return reply.with(ALLOW, HeaderValue::from_static("OPTIONS,POST"));
        }
        reply
    }

    /// 200 with the type of JSON, whatever the bytes are.
    pub(super) fn json_bytes(bytes: Bytes) -> Self {
        let content = Content::Bytes(bytes);
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            content,
        }
        .with(CONTENT_TYPE, JSON)
    }

    pub(super) fn pieces(pieces: impl IntoIterator<Item = Bytes>, end: End) -> Self {
        let content = Content::Pieces {
            pieces: pieces.into_iter().collect(),
            end,
        };
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            content,
        }
        .with(CONTENT_TYPE, JSON)
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn into_response(mut self) -> Response<ReplyBody> {
        let body = match self.content {
            Content::Bytes(bytes) => ReplyBody::new([bytes], End::Exact),
            Content::Message(message) => {
                self.headers.insert(CONTENT_TYPE, JSON);
                ReplyBody::new([json::wire(&message)], End::Exact)
            }
            Content::Pieces { pieces, end } => ReplyBody::new(pieces, end),
        };
        if let End::Promised(length) = body.end {
            self.headers
                .insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// The body of an answer as hyper reads it.
#[derive(Debug)]
pub(super) struct ReplyBody {
    pieces: VecDeque<Bytes>,
    end: End,
    flushed: bool,
}

impl ReplyBody {
    fn new(pieces: impl IntoIterator<Item = Bytes>, end: End) -> Self {
        let pieces = pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .collect();
        Self {
            pieces,
            end,
            flushed: true,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.flushed {
            // hyper flushes when a body has nothing to give, and a piece must be out before the
            // connection is cut.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.flushed = false;
        Poll::Ready(match (self.pieces.pop_front(), self.end) {
            (Some(piece), _) => Some(Ok(Frame::data(piece))),
            (None, End::Promised(_)) => Some(Err(io::ErrorKind::ConnectionAborted.into())),
            (None, End::Open | End::Exact) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && !matches!(self.end, End::Promised(_))
    }

    fn size_hint(&self) -> SizeHint {
        if self.end == End::Exact {
            let length = self.pieces.iter().map(Bytes::len).sum::<usize>();
            SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
        } else {
            SizeHint::default()
        }
    }
}
