//! The running house: its socket, its connections, and what tests can see and switch.

use std::error::Error as _;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::endpoint::{Endpoint, PATH, lock};
use super::fault::{Abort, Fault};
use super::record::{Execution, SeenRequest};

const BACKLOG: u32 = 1024;
/// After a failed `accept`, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a house is to run.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The bearer token to ask for, if any.
    pub token: Option<String>,
    /// How long every request but `initialize` and `ping` takes before it executes.
    pub service_time: Duration,
    /// How much longer it takes for each other POST that is in flight when it begins.
    pub latency_per_concurrent: Duration,
    /// How many requests take that time at once, at most `Semaphore::MAX_PERMITS`; the others wait
    /// for their turn before it.
    pub workers: usize,
    /// Whether to play a stateful legacy server, which issues session ids and insists on them.
    pub sessions: bool,
}

impl Default for Settings {
    /// A free port of the loopback interface, no token, and answers at once to everybody.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            service_time: Duration::ZERO,
            latency_per_concurrent: Duration::ZERO,
            workers: Semaphore::MAX_PERMITS,
            sessions: false,
        }
    }
}

/// A house that answers. It ends when it is stopped or dropped.
pub struct DemoHouse {
    address: SocketAddr,
    endpoint: Arc<Endpoint>,
    running: Mutex<Running>,
    stop: CancellationToken,
}

impl DemoHouse {
    /// Listens, and answers from now on.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let endpoint = Arc::new(Endpoint::new(settings));
        let stop = CancellationToken::new();
        let running = Mutex::new(Running::begin(listener, &endpoint, &stop));
        Ok(Self {
            address,
            endpoint,
            running,
            stop,
        })
    }

    /// The address of the MCP endpoint.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// The address of the socket.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets every POST meet this fault, or none; `None` also cancels what [`DemoHouse::fail_next`]
    /// planned.
    pub fn set_fault(&self, fault: Option<Fault>) {
        lock(&self.endpoint.faults).set(fault);
    }

    /// Lets the next `count` POSTs meet this fault, after those planned before.
    pub fn fail_next(&self, fault: Fault, count: usize) {
        lock(&self.endpoint.faults).plan(fault, count, false);
    }

    /// Like [`DemoHouse::fail_next`], but only a `tools/call` meets the fault; probes and lists
    /// pass by.
    pub fn fail_next_calls(&self, fault: Fault, count: usize) {
        lock(&self.endpoint.faults).plan(fault, count, true);
    }

    /// The tool calls that really ran, in the order in which they changed the house; the newest
    /// 10,000.
    pub fn executed(&self) -> Vec<Execution> {
        lock(&self.endpoint.record).executions()
    }

    /// How many POSTs have arrived, refused ones included.
    pub fn requests(&self) -> u64 {
        lock(&self.endpoint.record).requests
    }

    /// How many POSTs wait for their answer.
    pub fn in_flight(&self) -> usize {
        lock(&self.endpoint.record).in_flight
    }

    /// The most POSTs that ever waited at once.
    pub fn peak_in_flight(&self) -> usize {
        lock(&self.endpoint.record).peak_in_flight
    }

    /// The newest POST.
    pub fn last_request(&self) -> Option<SeenRequest> {
        lock(&self.endpoint.record).last_request.clone()
    }

    /// How many sessions are open; always 0 unless [`Settings::sessions`] is on.
    pub fn open_sessions(&self) -> usize {
        lock(&self.endpoint.sessions).len()
    }

    /// Forgets every session, so that clients get a 404 for theirs.
    pub fn forget_sessions(&self) {
        lock(&self.endpoint.sessions).clear();
    }

    /// Waits until something that this house reports is so, without polling.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.endpoint.changed.subscribe();
        while !condition(self) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Closes the socket and every connection, refuses connections for a while, then listens on the
    /// same port again.
    ///
    /// The state of the devices stays, sessions do not. If this future is dropped half way, the
    /// house stays closed.
    ///
    /// # Errors
    /// Somebody else took the port in the moment between two sockets.
    pub async fn restart(&self, down_for: Duration) -> io::Result<()> {
        let mut running = self.running.lock().await;
        running.end().await;
        self.forget_sessions();
        // Bound but not listening: the port stays ours while connections to it are refused.
        let socket = bind(self.address)?;
        tokio::time::sleep(down_for).await;
        *running = Running::begin(socket.listen(BACKLOG)?, &self.endpoint, &self.stop);
        Ok(())
    }

    /// Closes everything and waits until it is closed.
    pub async fn stop(self) {
        self.running.lock().await.end().await;
    }
}

impl Drop for DemoHouse {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for DemoHouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DemoHouse")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// One listening socket and its connections.
struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    fn begin(listener: TcpListener, endpoint: &Arc<Endpoint>, stop: &CancellationToken) -> Self {
        let (stop, tasks) = (stop.child_token(), TaskTracker::new());
        let accepting = accept(listener, Arc::clone(endpoint), stop.clone(), tasks.clone());
        tasks.spawn(accepting);
        Self { stop, tasks }
    }

    async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn accept(
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let (endpoint, stop) = (Arc::clone(&endpoint), stop.clone());
                tasks.spawn(async move { stop.run_until_cancelled(serve(stream, endpoint)).await });
            }
            Err(error) => {
                tracing::warn!(%error, "the demo house could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection. A client that leaves, or half leaves, cancels its request, as it does at
/// Home Assistant.
async fn serve(stream: TcpStream, endpoint: Arc<Endpoint>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the demo house could not turn off Nagle's algorithm");
    }
    let service = service_fn(move |request| {
        let endpoint = Arc::clone(&endpoint);
        Box::pin(async move { Ok::<_, Abort>(endpoint.answer(request).await?.into_response()) })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // Left open by hyper, so that the end can be a reset where a fault asks for one.
    let outcome = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    let closed = match outcome {
        Err(error)
            if error
                .source()
                .is_some_and(<dyn std::error::Error>::is::<Abort>) =>
        {
            stream.set_zero_linger()
        }
        _ => stream.shutdown().await,
    };
    if let Err(error) = closed {
        tracing::trace!(%error, "the demo house's client was gone already");
    }
}

#[cfg(test)]
mod tests;
