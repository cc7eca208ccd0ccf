//! Commands to Home Assistant that somebody else in the bridge wants to have run.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::websocket::CommandError;

/// Errands that may be underway at once; whoever comes then waits.
const MOST: usize = 64;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an errand came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ErrandError {
    /// There is no connection, or it was lost.
    #[error("there is no connection to Home Assistant")]
    NoConnection,
    /// No answer came.
    #[error("Home Assistant does not answer")]
    Silent,
    /// Home Assistant does not want to.
    #[error("Home Assistant refuses: {0}")]
    Refused(CommandError),
}

/// One command, and where its answer is waited for.
#[derive(Debug)]
pub(super) struct Errand {
    pub kind: &'static str,
    pub arguments: Value,
    pub reply: Reply,
}

/// The place where errands are given to whoever has the connection.
#[derive(Debug)]
pub(super) struct Errands {
    sender: mpsc::Sender<Errand>,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Errand>>,
}

impl Default for Errands {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(MOST);
        Self {
            sender,
            receiver: receiver.into(),
        }
    }
}

impl Errands {
    /// Runs a command; gives its result.
    ///
    /// # Errors
    /// See [`ErrandError`]. Whether Home Assistant has done it is known only where it refused.
    pub(super) async fn run(
        &self,
        kind: &'static str,
        arguments: Value,
    ) -> Result<Box<RawValue>, ErrandError> {
        let (reply, answer) = oneshot::channel();
        let errand = Errand {
            kind,
            arguments,
            reply,
        };
        let run = async {
            let sent = self.sender.send(errand).await;
            sent.map_err(|_| ErrandError::NoConnection)?;
            let answer = answer.await.map_err(|_| ErrandError::NoConnection)?;
            answer.map_err(ErrandError::Refused)
        };
        timeout(PATIENCE, run)
            .await
            .unwrap_or(Err(ErrandError::Silent))
    }

    /// The next errand, for whoever has the connection. May be given up and asked again.
    pub(super) async fn next(&self) -> Option<Errand> {
        self.receiver.lock().await.recv().await
    }
}

type Reply = oneshot::Sender<Result<Box<RawValue>, CommandError>>;

/// Errands that were sent and are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Underway {
    waiting: HashMap<u64, Reply>,
    last: u64,
}

impl Underway {
    /// Whether no more may be sent now.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST
    }

    /// One is sent; gives its number.
    pub(super) fn begin(&mut self, reply: Reply) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, reply);
        self.last
    }

    /// One is answered.
    pub(super) fn end(&mut self, number: u64, outcome: Result<&RawValue, CommandError>) {
        if let Some(reply) = self.waiting.remove(&number) {
            // Whoever waited may have lost patience.
            let _ = reply.send(outcome.map(RawValue::to_owned));
        }
    }

    /// None of them will be answered.
    pub(super) fn lose(&mut self) {
        self.waiting.clear();
    }
}
