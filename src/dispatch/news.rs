//! What belongs to no call, on its way from the upstream to those who listen.

use super::Dispatcher;
use super::answers::List;
use crate::cache::Change;
use crate::protocol::message::Notification;
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

    /// Everything that is announced from now on; as long as it is heard, the upstream is listened to.
    pub fn news(&self) -> News {
        self.announcements.listen(self.upstream().hearing())
    }
}
