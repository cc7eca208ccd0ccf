//! Calls that their clients can give up, by client and id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::protocol::message::Id;

type Key = (Arc<str>, Vec<u8>);

/// The calls that are on their way.
#[derive(Debug, Default)]
pub(super) struct Cancellations {
    calls: Mutex<HashMap<Key, Vec<CancellationToken>>>,
}

/// A call that can be cancelled for as long as this lives.
#[derive(Debug)]
pub(super) struct Cancellable {
    all: Arc<Cancellations>,
    key: Key,
    token: CancellationToken,
}

impl Cancellations {
    /// Lets a call be cancelled.
    pub(super) fn watch(self: &Arc<Self>, client: &Arc<str>, id: &Id) -> Cancellable {
        let key = (client.clone(), id.json().as_bytes().to_vec());
        let token = CancellationToken::new();
        self.lock()
            .entry(key.clone())
            .or_default()
            .push(token.clone());
        Cancellable {
            all: self.clone(),
            key,
            token,
        }
    }

    /// Cancels the one call of this client under this id. Clients share ids: two windows of one
    /// program may both have a call 1, and cancelling the wrong one is worse than none.
    pub(super) fn cancel(&self, client: &str, id: &Id) {
        let key = (Arc::from(client), id.json().as_bytes().to_vec());
        if let Some([token]) = self.lock().get(&key).map(Vec::as_slice) {
            token.cancel();
        }
    }

    /// How many calls are on their way.
    pub(super) fn len(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<CancellationToken>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cancellable {
    /// Waits until the client gives the call up.
    pub(super) async fn cancelled(&self) {
        self.token.cancelled().await;
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        self.token.cancel();
        let mut calls = self.all.lock();
        if let Some(tokens) = calls.get_mut(&self.key) {
            tokens.retain(|token| !token.is_cancelled());
            if tokens.is_empty() {
                calls.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_cancelled(call: &Cancellable) -> bool {
        call.token.is_cancelled()
    }

    #[test]
    fn a_client_cancels_its_own_call_and_no_others() {
        let all = Arc::new(Cancellations::default());
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        let own = all.watch(&a, &Id::number(1));
        let others = [all.watch(&a, &Id::number(2)), all.watch(&b, &Id::number(1))];
        all.cancel("a", &Id::number(1));
        all.cancel("a", &Id::number(9));
        assert!(is_cancelled(&own) && !others.iter().any(is_cancelled));
    }

    #[test]
    fn of_two_calls_under_one_id_none_is_cancelled() {
        let all = Arc::new(Cancellations::default());
        let client = Arc::from("a");
        let first = all.watch(&client, &Id::number(1));
        let second = all.watch(&client, &Id::number(1));
        all.cancel("a", &Id::number(1));
        assert!(!is_cancelled(&first) && !is_cancelled(&second));
        drop(first);
        all.cancel("a", &Id::number(1));
        assert!(is_cancelled(&second));
    }

    #[test]
    fn nothing_is_left_of_calls_that_are_over() {
        let all = Arc::new(Cancellations::default());
        drop(all.watch(&Arc::from("a"), &Id::number(1)));
        assert!(all.lock().is_empty());
    }
}
