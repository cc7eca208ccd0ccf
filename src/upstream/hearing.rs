//! Who wants to hear what servers say that belongs to no call, so that a stream is kept open to the
//! upstream exactly as long as somebody does.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long one who begins to listen waits until the upstream is listened to.
const PATIENCE: Duration = Duration::from_secs(3);
/// Resources that are watched for all together.
const MAX_URIS: usize = 10_000;

/// What all who listen want to hear, and what of it the upstream was told.
#[derive(Debug, Default)]
pub(super) struct Audience {
    wants: watch::Sender<Wants>,
    /// Up to which version of the wants the upstream knows them, or cannot be told.
    told: watch::Sender<u64>,
}

/// What they want.
#[derive(Debug, Clone, Default)]
pub(super) struct Wants {
    /// Grows with every change.
    pub(super) version: u64,
    hearers: usize,
    /// Resources, each with the number of those who watch it.
    uris: BTreeMap<String, usize>,
}

impl Wants {
    /// Whether anybody listens at all.
    pub(super) const fn is_anything(&self) -> bool {
        self.hearers > 0
    }

    /// The resources that are watched.
    pub(super) fn uris(&self) -> BTreeSet<String> {
        self.uris.keys().cloned().collect()
    }
}

impl Audience {
    /// One more who listens, to no resources yet.
    pub(super) fn join(self: &Arc<Self>) -> Hearing {
        self.change(|wants| wants.hearers += 1);
        Hearing {
            audience: self.clone(),
            uris: BTreeSet::new(),
        }
    }

    /// The wants, as they change.
    pub(super) fn wants(&self) -> watch::Receiver<Wants> {
        self.wants.subscribe()
    }

    /// The upstream knows this version of the wants, or cannot be told.
    pub(super) fn told(&self, version: u64) {
        self.told.send_replace(version);
    }

    fn change(&self, change: impl FnOnce(&mut Wants)) {
        self.wants.send_modify(|wants| {
            change(wants);
            wants.version += 1;
        });
    }
}

/// One who listens; to nothing any more when it is dropped.
#[derive(Debug)]
pub struct Hearing {
    audience: Arc<Audience>,
    uris: BTreeSet<String>,
}

impl Hearing {
    /// One who listens where there is nothing to hear.
    #[cfg(test)]
    pub fn of_nobody() -> Self {
        let audience = Arc::new(Audience::default());
        audience.told(u64::MAX);
        audience.join()
    }

    /// Wants to hear of this resource, too; false if that are too many for the bridge.
    pub fn watch(&mut self, uri: &str) -> bool {
        if self.uris.contains(uri) {
            return true;
        }
        let mut has_room = true;
        self.audience.change(|wants| {
            has_room = wants.uris.len() < MAX_URIS || wants.uris.contains_key(uri);
            if has_room {
                *wants.uris.entry(uri.to_owned()).or_default() += 1;
            }
        });
        if has_room {
            self.uris.insert(uri.to_owned());
        }
        has_room
    }

    /// Does not want to hear of this resource any more.
    pub fn unwatch(&mut self, uri: &str) {
        if self.uris.remove(uri) {
            self.audience.change(|wants| leave(wants, uri));
        }
    }

    /// Waits until the upstream has been told what this one wants. One that cannot be told, or not
    /// in time, says it all when it can be heard again.
    pub fn settled(&self) -> impl Future<Output = ()> + use<> {
        let version = self.audience.wants.borrow().version;
        let mut told = self.audience.told.subscribe();
        async move {
            let told = told.wait_for(|told| *told >= version);
            let _ = timeout(PATIENCE, told).await;
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        let uris = std::mem::take(&mut self.uris);
        self.audience.change(|wants| {
            wants.hearers -= 1;
            for uri in &uris {
                leave(wants, uri);
            }
        });
    }
}

fn leave(wants: &mut Wants, uri: &str) {
    if let Some(count) = wants.uris.get_mut(uri) {
        *count -= 1;
        if *count == 0 {
            wants.uris.remove(uri);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uris(audience: &Audience) -> Vec<String> {
        audience.wants.borrow().uris().into_iter().collect()
    }

    #[test]
    fn a_resource_is_watched_as_long_as_somebody_watches_it() {
        let audience = Arc::new(Audience::default());
        assert!(!audience.wants.borrow().is_anything());
        let (mut one, mut other) = (audience.join(), audience.join());
        assert!(one.watch("a://1") && one.watch("a://1") && other.watch("a://1"));
        one.unwatch("a://1");
        one.unwatch("a://1");
        assert_eq!(uris(&audience), ["a://1"]);
        drop(other);
        assert!(uris(&audience).is_empty() && audience.wants.borrow().is_anything());
        assert!(one.watch("a://2"));
        drop(one);
        assert!(uris(&audience).is_empty() && !audience.wants.borrow().is_anything());
    }

    #[test]
    fn what_is_watched_is_bounded() {
        let audience = Arc::new(Audience::default());
        let mut one = audience.join();
        for number in 0..MAX_URIS {
            assert!(one.watch(&number.to_string()));
        }
        assert!(!one.watch("one more") && audience.join().watch("0"));
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_the_upstream_knows() {
        let audience = Arc::new(Audience::default());
        let hearing = audience.join();
        let version = audience.wants.borrow().version;
        let waiting = hearing.settled();
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        audience.told(version);
        assert!(futures_util::poll!(&mut waiting).is_ready());
    }
}
