//! What belongs to no call, on its way from the upstream to those who listen.

use std::sync::Arc;

use super::answers::List;
use super::guard::Guard;
use super::watching::Watching;
use super::{Dispatcher, local};
use crate::cache::Change;
use crate::protocol::message::Notification;
use crate::protocol::revision::Revision;
use crate::protocol::subscription::{self, Filter};
use crate::upstream::{Ear, Heard, News};

impl Dispatcher {
    /// Tells all clients that listen what belongs to no call: a list that changed, a resource that
    /// was updated.
    pub fn announce(&self, notification: Notification) {
        if let Some(list) = List::announced_by(&notification) {
            self.changed(&Change::Announced(list.kind()));
        }
        self.announcements.announce(notification);
    }

    /// Passes on what the upstream announces. A long-lived task.
    pub async fn relay(&self, mut ear: Ear) {
        loop {
            match ear.next().await {
                Heard::One(notification) => self.announce(notification),
                Heard::Missed => {
                    for list in List::ALL {
                        self.changed(&Change::Announced(list.kind()));
                    }
                    self.announcements.missed();
                }
            }
        }
    }

    /// Begins to listen to what a client wants to hear of, as far as it can be heard and its guard
    /// allows. What is left of the filter is what it hears.
    pub async fn hear(&self, filter: Filter, guard: &Arc<dyn Guard>) -> (Filter, News, Watching) {
        // Before anything else is awaited: what is announced from now on is heard.
        let mut news = self.news();
        let upstream =
            local::introduction(&self.upstream(), Revision::V2026_07_28, local::PATIENCE).await;
        let upstream_tells = subscription::tells_of_resources(&upstream.capabilities);
        let mut filter = filter.honoured(&upstream.offered(self.reach_of_modern()));
        let watching = Watching::default();
        filter.keep_uris(|uri| {
            let own = self.watch_for(guard, &watching, uri);
            own.unwrap_or_else(|| upstream_tells && news.hearing.watch(uri))
        });
        news.hearing.settled().await;
        (filter, news, watching)
    }

    /// Everything that is announced from now on; as long as it is heard, the upstream is listened to.
    pub fn news(&self) -> News {
        self.announcements.listen(self.upstream().hearing())
    }
}
