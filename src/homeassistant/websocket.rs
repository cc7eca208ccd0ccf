//! Listens to Home Assistant's websocket for as long as the bridge runs. A thin shell: the protocol
//! is in [`link`], what is done with it in [`knowledge`](super::knowledge).

mod link;
mod message;
mod socket;

use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use url::Url;

use super::errands::{Errand, Errands, Underway};
use super::knowledge::{Knowledge, Report, Request, Topic};
use crate::upstream::http_client::HttpClient;
pub(super) use link::Loss;
use link::{Link, News, Order};
pub use message::CommandError;
use socket::Socket;

/// How long Home Assistant may take to read a message.
const SEND_PATIENCE: Duration = Duration::from_secs(10);

/// How the websocket is reached.
#[derive(Debug)]
pub(super) struct Address {
    pub client: HttpClient,
    pub url: Url,
    pub token: SecretString,
}

/// The socket, or its absence.
enum Wire {
    Down,
    Opening(BoxFuture<'static, Result<Box<Socket>, Loss>>),
    Open(Box<Socket>),
}

/// What comes from the socket.
enum Input {
    Opened(Box<Socket>),
    Text(Utf8Bytes),
    Lost(Loss),
}

impl Wire {
    fn opening(address: &Address) -> Self {
        let (client, url) = (address.client.clone(), address.url.clone());
        Self::Opening(Box::pin(async move {
            Socket::open(&client, &url).await.map(Box::new)
        }))
    }

    /// Waits for what comes next; for ever where nothing can. May be given up and asked again.
    async fn next(&mut self) -> Input {
        match self {
            Self::Down => pending().await,
            Self::Opening(socket) => socket.await.map_or_else(Input::Lost, Input::Opened),
            Self::Open(socket) => socket.receive().await.map_or_else(Input::Lost, Input::Text),
        }
    }

    async fn send(&mut self, text: String) -> Result<(), Loss> {
        let Self::Open(socket) = self else {
            return Ok(());
        };
        let sent = timeout(SEND_PATIENCE, socket.send(text)).await;
        sent.unwrap_or(Err(Loss::Silent))
    }
}

/// What is sent to Home Assistant, and for whom.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Purpose {
    Knowledge(Topic),
    Errand(u64),
}

/// One that listens.
pub(super) struct Listener<'a, Tell> {
    address: &'a Address,
    knowledge: &'a Mutex<Knowledge>,
    errands: &'a Errands,
    underway: Underway,
    tell: Tell,
    link: Link<Purpose>,
    wire: Wire,
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

impl<'a, Tell: Fn(Report)> Listener<'a, Tell> {
    /// One that has not begun. `tell` is told of everything that happens, in its order; it must not
    /// take long.
    pub(super) fn new(
        address: &'a Address,
        knowledge: &'a Mutex<Knowledge>,
        errands: &'a Errands,
        tell: Tell,
    ) -> Self {
        Self {
            address,
            knowledge,
            errands,
            underway: Underway::default(),
            tell,
            link: Link::new(now()),
            wire: Wire::Down,
        }
    }

    /// Listens until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            self.work().await;
            let looks = self.knowledge().wake();
            let wake = looks.into_iter().chain([self.link.wake()]).min();
            let wake = wake.map_or_else(Instant::now, Instant::from_std);
            tokio::select! {
                input = self.wire.next() => self.take(input),
                Some(errand) = self.errands.next(), if !self.underway.is_full() => {
                    self.go(errand);
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Does everything that can be done now.
    async fn work(&mut self) {
        loop {
            self.knowledge().look(now());
            self.forward();
            let Some(order) = self.link.poll(now(), rand::random()) else {
                break;
            };
            let sent = match order {
                Order::Connect => {
                    self.wire = Wire::opening(self.address);
                    Ok(())
                }
                Order::Authenticate => {
                    let token = self.address.token.expose_secret();
                    self.wire.send(message::auth(token)).await
                }
                Order::Send(text) => self.wire.send(text).await,
                Order::Disconnect(loss) => {
                    self.wire = Wire::Down;
                    self.underway.lose();
                    tracing::debug!(%loss, "no connection to Home Assistant's events");
                    self.knowledge().lost(now(), loss);
                    Ok(())
                }
            };
            if let Err(loss) = sent {
                self.link.failed(now(), loss);
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Opened(socket) => {
                self.wire = Wire::Open(socket);
                self.link.opened(now());
            }
            Input::Lost(loss) => {
                self.wire = Wire::Down;
                self.link.failed(now(), loss);
            }
            Input::Text(text) => {
                let mut knowledge = self
                    .knowledge
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                for news in self.link.receive(now(), &text) {
                    match news {
                        News::Up { version } => knowledge.connected(&version),
                        News::Answer { topic, outcome } => match topic {
                            Purpose::Knowledge(topic) => knowledge.answer(now(), topic, outcome),
                            Purpose::Errand(number) => self.underway.end(number, outcome),
                        },
                        News::Event { topic, event } => {
                            if let Purpose::Knowledge(topic) = topic {
                                knowledge.event(now(), topic, event);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Sends a command for somebody else. Without a connection it is dropped, which tells them.
    fn go(&mut self, errand: Errand) {
        if self.link.is_up() {
            let purpose = Purpose::Errand(self.underway.begin(errand.reply));
            self.link
                .command(now(), purpose, errand.kind, &errand.arguments);
        }
    }

    /// Passes on what knowledge wants to know and to tell.
    fn forward(&mut self) {
        let (requests, reports) = {
            let mut knowledge = self.knowledge();
            (knowledge.take_requests(), knowledge.take_reports())
        };
        for report in reports {
            (self.tell)(report);
        }
        for request in requests {
            match request {
                Request::Command(topic, kind, arguments) => {
                    let purpose = Purpose::Knowledge(topic);
                    self.link.command(now(), purpose, kind, &arguments);
                }
                Request::Subscribe(topic, kind, arguments) => {
                    let purpose = Purpose::Knowledge(topic);
                    self.link.subscribe(now(), purpose, kind, &arguments);
                }
                Request::Unsubscribe(topic) => {
                    self.link.unsubscribe(now(), Purpose::Knowledge(topic));
                }
            }
        }
    }

    fn knowledge(&self) -> MutexGuard<'a, Knowledge> {
        self.knowledge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
