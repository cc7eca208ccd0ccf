//! One connection: its requests, its idleness and its end.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::requests::{Answer, Requests};
use crate::http::{Peer, Place, Routes};

/// How long a connection may take to say goodbye: to hand over what is written already, and over
/// HTTP/2 to agree on what was the last request.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a connection came to its end.
pub(super) type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// How connections are served.
#[derive(Debug, Clone)]
pub(super) struct Conversation {
    builder: auto::Builder<TokioExecutor>,
    routes: Routes,
    patience: Duration,
    stop: CancellationToken,
}

impl Conversation {
    pub(super) fn new(routes: Routes, patience: Duration, stop: CancellationToken) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(patience);
        Self {
            builder,
            routes,
            patience,
            stop,
        }
    }

    /// The same about something else.
    pub(super) fn about(self, routes: Routes) -> Self {
        Self { routes, ..self }
    }

    /// When everything ends.
    pub(super) const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Answers the requests of one connection until the client leaves, asks nothing for as long as
    /// the patience, or the bridge stops.
    ///
    /// The patience stands around the whole of hyper, whose own covers neither the bytes that tell
    /// HTTP/1.1 from HTTP/2 nor an HTTP/2 client that answers pings and asks nothing.
    pub(super) async fn hold(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        place: Place,
    ) -> Ended {
        let Self {
            builder,
            routes,
            patience,
            stop,
        } = self;
        let requests = Requests::default();
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            request.extensions_mut().insert(place.clone());
            let under_way = requests.begin();
            let answer = routes.answer(request);
            async move {
                let answer = answer.await?;
                Ok::<_, Infallible>(answer.map(|body| Answer::new(body, under_way)))
            }
        });
        let mut connection =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = requests.none_for(patience) => {}
            () = stop.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        // A request that came at the last moment gets its answer, unless the bridge stops.
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = requests.none_for(FAREWELL) => return Ok(()),
            () = stop.cancelled() => {}
        }
        tokio::time::timeout(FAREWELL, connection).await?
    }
}
