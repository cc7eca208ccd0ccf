//! Listeners: takes connections, bounds them in number and patience, ends them in order.

mod peers;
mod requests;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use peers::Peers;
use requests::{Answer, Requests};

/// How long a connection may take to say goodbye: to hand over what is written already, and over
/// HTTP/2 to agree on what was the last request.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Connections at the same time; more wait in the kernel's backlog.
    pub max_connections: usize,
    /// Connections of one address at the same time; more are closed.
    pub max_connections_per_address: usize,
    /// How long a connection may take to send the head of a request, and may idle between two.
    pub head_timeout: Duration,
}

/// Binds an address, so that a fault shows before anything else is started.
///
/// # Errors
/// The operating system's word, mostly that the port is taken.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves `router` until `stop`, then says goodbye to the open connections, which takes a second at
/// most. Calls that must be finished have to be over by then. Connections of others than
/// `only_peer`, if there is one, are closed before a byte of theirs is read.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: Settings,
    only_peer: Option<IpAddr>,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(settings.max_connections));
    let peers = Peers::default();
    let mut refused = false;
    let connections = TaskTracker::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.head_timeout);
    loop {
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = stop.cancelled() => break,
        };
        // A socket for both families writes IPv4 addresses in IPv6.
        let address = peer.ip().to_canonical();
        if only_peer.is_some_and(|only| address != only.to_canonical()) {
            // Once, so that a flood of connections is no flood of lines.
            if !std::mem::replace(&mut refused, true) {
                tracing::warn!(%address, only = ?only_peer, "a listener for one peer was addressed by another");
            }
            continue;
        }
        let Some(place) = peers.admit(address, settings.max_connections_per_address) else {
            continue;
        };
        let connection = converse(
            builder.clone(),
            stream,
            router.clone(),
            settings.head_timeout,
            stop.clone(),
        );
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "connection ended");
            }
            drop((place, permit));
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Answers the requests of one connection until the client leaves, asks nothing for as long as
/// `patience`, or `stop`.
///
/// The patience stands around the whole of hyper, whose own covers neither the bytes that tell
/// HTTP/1.1 from HTTP/2 nor an HTTP/2 client that answers pings and asks nothing.
async fn converse(
    builder: auto::Builder<TokioExecutor>,
    stream: TcpStream,
    router: Router,
    patience: Duration,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let requests = Requests::default();
    let service = service_fn(|request| {
        let under_way = requests.begin();
        let answer = router.clone().oneshot(request);
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| Answer::new(body, under_way)))
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
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

/// The next connection. Running out of file descriptors must not end the listener: it passes.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "could not take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
