//! The requests of a connection that are under way, and for how long there has been none.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;

/// How many requests of one connection are under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests(watch::Sender<usize>);

impl Requests {
    /// A request begins.
    pub(super) fn begin(&self) -> UnderWay {
        self.0.send_modify(|count| *count += 1);
        UnderWay(self.clone())
    }

    /// Waits until there has been none for as long as `patience`.
    pub(super) async fn none_for(&self, patience: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // Neither wait can fail: `self` holds the other end.
            let _ = count.wait_for(|count| *count == 0).await;
            if tokio::time::timeout(patience, count.changed())
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// A request that is under way for as long as this lives.
#[derive(Debug)]
pub(super) struct UnderWay(Requests);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// The body of an answer; its request is under way until the last part has been fetched.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl Answer {
    pub(super) fn new(body: Body, under_way: UnderWay) -> Self {
        Self {
            body,
            _under_way: under_way,
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
