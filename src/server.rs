//! Listeners: takes connections, bounds them in number and patience, ends them in order.

mod conversation;
mod peers;
mod requests;
mod tls;
mod workers;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::{Peer, Place, Routes};
use conversation::{Conversation, Ended};
use peers::Peers;
use tls::Accepted;
pub use tls::{Settings as TlsSettings, Tls, TlsError};
pub use workers::Workers;

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

/// A socket and what is behind it.
#[derive(Debug)]
pub struct Listener {
    /// Takes the connections.
    pub socket: TcpListener,
    /// Answers the requests.
    pub routes: Routes,
    /// The bounds. New ones count for connections that come from then on.
    pub settings: watch::Receiver<Settings>,
    /// The one peer that is served, if there is only one: connections of others are closed before a
    /// byte of theirs is read.
    pub only_peer: Option<IpAddr>,
    /// TLS, if it is spoken here, and what answers those who do not speak it.
    pub tls: Option<(Arc<Tls>, Routes)>,
    /// Where connections are served.
    pub workers: Arc<Workers>,
}

impl Listener {
    /// Serves until `stop`, then says goodbye to the open connections, which takes a second at most.
    /// Calls that must be finished have to be over by then.
    pub async fn serve(self, stop: CancellationToken) {
        let Self {
            socket,
            routes,
            mut settings,
            only_peer,
            tls,
            workers,
        } = self;
        let peers = Peers::default();
        let mut refused = false;
        let connections = TaskTracker::new();
        loop {
            let max_connections = settings.borrow_and_update().max_connections;
            tokio::select! {
                () = peers.until_fewer_than(max_connections) => {}
                Ok(()) = settings.changed() => continue,
                () = stop.cancelled() => break,
            }
            let (stream, peer) = tokio::select! {
                accepted = accept(&socket) => accepted,
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
            let Settings {
                max_connections_per_address: most,
                head_timeout,
                ..
            } = *settings.borrow();
            let Some(place) = peers.admit(address, most) else {
                continue;
            };
            // A connection that becomes a WebSocket keeps it longer than its task lives.
            let place: Place = Arc::new((place, connections.token()));
            let conversation = Conversation::new(routes.clone(), head_timeout, stop.clone());
            let tls = tls.clone();
            let connection = async move {
                // It belongs to the runtime that serves it, not to the one that took it.
                let stream = TcpStream::from_std(stream.into_std()?)?;
                connect(stream, address, tls, conversation, place).await
            };
            let connection = async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error, "connection ended");
                }
            };
            connections.spawn_on(connection, workers.next());
        }
        drop(socket);
        connections.close();
        connections.wait().await;
    }
}

/// Agrees on TLS, where it is spoken, and serves the connection.
async fn connect(
    stream: TcpStream,
    address: IpAddr,
    tls: Option<(Arc<Tls>, Routes)>,
    conversation: Conversation,
    place: Place,
) -> Ended {
    let mut peer = Peer {
        address,
        certificate: None,
    };
    let Some((tls, without_tls)) = tls else {
        return conversation.hold(stream, peer, place).await;
    };
    let accepted = conversation.stop().run_until_cancelled(tls.accept(stream));
    match accepted.await {
        Some(Ok(Accepted::Secured(stream, certificate))) => {
            peer.certificate = certificate;
            conversation.hold(stream, peer, place).await
        }
        Some(Ok(Accepted::Plain(stream))) => {
            conversation
                .about(without_tls)
                .hold(stream, peer, place)
                .await
        }
        Some(Err(error)) => Err(error.into()),
        None => Ok(()),
    }
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
