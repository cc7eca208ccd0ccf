//! Who watches which resources of the bridge, and hears of them no more often than is of use.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Resources that all together watch; each counts for each of those who watch it.
const MOST: usize = 50_000;
/// What happens so shortly after something was told is told together, at its end.
const PACE: Duration = Duration::from_secs(1);

/// All who watch.
#[derive(Debug, Default)]
pub(super) struct Watchers(Mutex<Register>);

#[derive(Debug, Default)]
struct Register {
    by_uri: HashMap<Arc<str>, Vec<Arc<Inbox>>>,
    entries: usize,
}

/// What one who watches was not told yet.
#[derive(Debug, Default)]
struct Inbox {
    waiting: Mutex<BTreeSet<Arc<str>>>,
    arrived: Notify,
}

/// One who watches; nothing any more when it is dropped.
#[derive(Debug, Default)]
pub struct Watching {
    inbox: Arc<Inbox>,
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    uris: BTreeSet<Arc<str>>,
    /// Where they are registered.
    watchers: Option<Arc<Watchers>>,
}

/// What happens to the resources that are watched, for whoever tells it.
#[derive(Debug)]
pub struct Updates {
    watching: Arc<Watching>,
    not_before: Instant,
}

impl Watchers {
    /// Something else is told of a resource than before.
    pub(super) fn updated(&self, uri: &str) {
        let register = lock(&self.0);
        let Some((uri, inboxes)) = register.by_uri.get_key_value(uri) else {
            return;
        };
        for inbox in inboxes {
            lock(&inbox.waiting).insert(uri.clone());
            inbox.arrived.notify_waiters();
        }
    }

    /// Whether nobody watches anything.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).by_uri.is_empty()
    }

    fn add(&self, uri: &Arc<str>, inbox: &Arc<Inbox>) -> bool {
        let mut register = lock(&self.0);
        if register.entries >= MOST {
            return false;
        }
        register.entries += 1;
        let inboxes = register.by_uri.entry(uri.clone()).or_default();
        inboxes.push(inbox.clone());
        true
    }

    fn remove(&self, uri: &str, inbox: &Arc<Inbox>) {
        let mut register = lock(&self.0);
        let Some(inboxes) = register.by_uri.get_mut(uri) else {
            return;
        };
        inboxes.retain(|other| !Arc::ptr_eq(other, inbox));
        if inboxes.is_empty() {
            register.by_uri.remove(uri);
        }
        register.entries -= 1;
    }
}

impl Watching {
    /// Watches a resource; false if too many are watched already.
    pub(super) fn watch(&self, watchers: &Arc<Watchers>, uri: &str) -> bool {
        let mut watched = lock(&self.watched);
        if watched.uris.contains(uri) {
            return true;
        }
        let uri: Arc<str> = uri.into();
        let watchers = watched.watchers.get_or_insert_with(|| watchers.clone());
        let has_room = watchers.add(&uri, &self.inbox);
        if has_room {
            watched.uris.insert(uri);
        }
        has_room
    }

    /// Watches it no longer.
    pub fn unwatch(&self, uri: &str) {
        let mut watched = lock(&self.watched);
        if watched.uris.remove(uri)
            && let Some(watchers) = &watched.watchers
        {
            watchers.remove(uri, &self.inbox);
            lock(&self.inbox.waiting).remove(uri);
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let watched = lock(&self.watched);
        for uri in &watched.uris {
            if let Some(watchers) = &watched.watchers {
                watchers.remove(uri, &self.inbox);
            }
        }
    }
}

impl Updates {
    /// What happens to the resources that are watched there.
    pub fn of(watching: Arc<Watching>) -> Self {
        Self {
            watching,
            not_before: Instant::now(),
        }
    }

    /// Waits until there is something to tell; gives the resources, each once. Of several who wait for
    /// the same, one gets it. May be given up and asked again.
    pub async fn next(&mut self) -> BTreeSet<Arc<str>> {
        let inbox = self.watching.inbox.clone();
        loop {
            let arrived = inbox.arrived.notified();
            if lock(&inbox.waiting).is_empty() {
                arrived.await;
                continue;
            }
            sleep_until(self.not_before).await;
            let taken = std::mem::take(&mut *lock(&inbox.waiting));
            if !taken.is_empty() {
                self.not_before = Instant::now() + PACE;
                return taken;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn one(watchers: &Arc<Watchers>, uris: &[&str]) -> (Arc<Watching>, Updates) {
        let watching = Arc::<Watching>::default();
        assert!(uris.iter().all(|uri| watching.watch(watchers, uri)));
        (watching.clone(), Updates::of(watching))
    }

    fn heard(uris: &BTreeSet<Arc<str>>) -> Vec<&str> {
        uris.iter().map(|uri| &**uri).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_hears_what_it_watches_the_first_at_once_and_more_together_at_its_pace() {
        let watchers = Arc::<Watchers>::default();
        let (_one, mut first) = one(&watchers, &["a", "b"]);
        let (_other, mut second) = one(&watchers, &["b"]);
        watchers.updated("a");
        watchers.updated("x");
        assert_eq!(heard(&first.next().now_or_never().unwrap()), ["a"]);
        assert!(second.next().now_or_never().is_none());
        for uri in ["b", "a", "b", "b"] {
            watchers.updated(uri);
        }
        assert!(first.next().now_or_never().is_none(), "too soon");
        assert_eq!(heard(&second.next().now_or_never().unwrap()), ["b"]);
        let begun = Instant::now();
        assert_eq!(heard(&first.next().await), ["a", "b"]);
        assert_eq!(begun.elapsed().as_millis(), PACE.as_millis());
        assert!(first.next().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_and_who_gives_up_leaves_it_to_the_next() {
        let watchers = Arc::<Watchers>::default();
        let (watching, mut updates) = one(&watchers, &["a"]);
        let (heard_it, ()) = tokio::join!(updates.next(), async { watchers.updated("a") });
        assert_eq!(heard(&heard_it), ["a"]);
        watchers.updated("a");
        assert!(updates.next().now_or_never().is_none(), "too soon");
        drop(updates);
        assert_eq!(heard(&Updates::of(watching).next().await), ["a"]);
    }

    #[test]
    fn what_nobody_watches_any_more_takes_no_room() {
        let watchers = Arc::<Watchers>::default();
        let (watching, mut updates) = one(&watchers, &["a", "b"]);
        assert!(watching.watch(&watchers, "a"), "again");
        watchers.updated("a");
        watching.unwatch("a");
        watching.unwatch("a");
        assert!(updates.next().now_or_never().is_none());
        assert_eq!(lock(&watchers.0).entries, 1);
        drop((watching, updates));
        assert!(watchers.is_empty());
        assert_eq!(lock(&watchers.0).entries, 0);
    }

    #[test]
    fn what_all_watch_is_bounded() {
        let watchers = Arc::<Watchers>::default();
        let watching = Watching::default();
        assert!((0..MOST).all(|number| watching.watch(&watchers, &number.to_string())));
        assert!(!watching.watch(&watchers, "one more") && watching.watch(&watchers, "0"));
        watching.unwatch("0");
        assert!(Watching::default().watch(&watchers, "one more"));
    }
}
