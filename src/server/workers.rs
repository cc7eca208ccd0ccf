//! The threads that serve connections. Each has a runtime of its own, so that a call stays on one
//! core from its first byte to its last: handing a call of some microseconds to another thread, and
//! its answer back, costs more than the call.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Threads that run until this is dropped.
#[derive(Debug)]
pub struct Workers {
    runtimes: Vec<Handle>,
    next: AtomicUsize,
    _stop: DropGuard,
}

impl Workers {
    /// One for each core that this process may use.
    ///
    /// # Errors
    /// The operating system's word when it has no more threads or files.
    pub fn start() -> std::io::Result<Self> {
        let stop = CancellationToken::new();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let runtimes = (0..cores).map(|n| start(n, stop.clone()));
        Ok(Self {
            runtimes: runtimes.collect::<Result<_, _>>()?,
            next: AtomicUsize::new(0),
            _stop: stop.drop_guard(),
        })
    }

    /// The one whose turn it is.
    pub(super) fn next(&self) -> &Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.runtimes[turn % self.runtimes.len()]
    }
}

fn start(number: usize, stop: CancellationToken) -> std::io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name(format!("connections-{number}"))
        .spawn(move || runtime.block_on(stop.cancelled()))?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_take_turns_over_all_threads_and_each_stays_on_its_own() {
        let workers = Workers::start().unwrap();
        let whereabouts = || async {
            let here = thread::current().id();
            tokio::task::yield_now().await;
            let there = tokio::spawn(async { thread::current().id() })
                .await
                .unwrap();
            assert_eq!(here, there);
            here
        };
        let mut seen = Vec::new();
        for _ in 0..workers.runtimes.len() {
            seen.push(workers.next().spawn(whereabouts()).await.unwrap());
        }
        let again = workers.next().spawn(whereabouts()).await.unwrap();
        assert_eq!(again, seen[0]);
        seen.dedup();
        assert_eq!(seen.len(), workers.runtimes.len());
    }
}
