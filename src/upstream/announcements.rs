//! What servers say that belongs to no call: changed lists, updated resources.

use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};

use super::hearing::Hearing;
use crate::protocol::message::Notification;

/// Announcements that a slow listener may fall behind.
const MAX_BEHIND: usize = 64;

/// Where they are made; clones reach the same listeners.
#[derive(Debug, Clone)]
pub struct Announcements(Sender<Heard>);

/// Where one hears them who wants to.
#[derive(Debug)]
pub struct News {
    ear: Ear,
    /// What the listener wants to hear of.
    pub hearing: Hearing,
}

/// Where they are heard, wanted or not.
#[derive(Debug)]
pub struct Ear(Receiver<Heard>);

/// What is heard.
#[derive(Debug, Clone)]
pub enum Heard {
    /// One announcement.
    One(Notification),
    /// Something was missed, nobody knows what: the listener fell behind, or the upstream was not
    /// heard for a while.
    Missed,
}

impl Default for Announcements {
    fn default() -> Self {
        Self(broadcast::Sender::new(MAX_BEHIND))
    }
}

impl Announcements {
    /// Tells all who listen now.
    pub fn announce(&self, notification: Notification) {
        // It is no failure that nobody listens.
        let _ = self.0.send(Heard::One(notification));
    }

    /// Tells all who listen now that the upstream was not heard for a while.
    pub fn missed(&self) {
        let _ = self.0.send(Heard::Missed);
    }

    /// How many listen now.
    pub fn listeners(&self) -> usize {
        self.0.receiver_count()
    }

    /// All announcements from now on, and the upstream listened to for as long as they are heard.
    pub fn listen(&self, hearing: Hearing) -> News {
        News {
            ear: self.ear(),
            hearing,
        }
    }

    /// All announcements from now on.
    pub fn ear(&self) -> Ear {
        Ear(self.0.subscribe())
    }
}

impl News {
    /// The next announcement, when it comes.
    pub async fn next(&mut self) -> Heard {
        self.ear.next().await
    }
}

impl Ear {
    /// The next announcement, when it comes.
    pub async fn next(&mut self) -> Heard {
        match self.0.recv().await {
            Ok(heard) => heard,
            Err(RecvError::Lagged(_)) => Heard::Missed,
            // Nobody is left who could announce anything.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_falls_behind_is_told_and_goes_on() {
        let announcements = Announcements::default();
        announcements.announce(Notification::new("before", None));
        let mut news = announcements.ear();
        for _ in 0..=MAX_BEHIND {
            announcements.announce(Notification::new("after", None));
        }
        assert!(matches!(news.next().await, Heard::Missed));
        let Heard::One(heard) = news.next().await else {
            panic!("nothing");
        };
        assert_eq!(heard.method, "after");
    }
}
