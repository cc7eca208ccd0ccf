//! What servers say that belongs to no call: changed lists, updated resources.

use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};

use crate::protocol::message::Notification;

/// Announcements that a slow listener may fall behind.
const MAX_BEHIND: usize = 64;

/// Where they are made.
#[derive(Debug)]
pub(super) struct Announcements(Sender<Notification>);

/// Where they are heard.
#[derive(Debug)]
pub struct News(Receiver<Notification>);

/// What is heard.
#[derive(Debug)]
pub enum Heard {
    /// One announcement.
    One(Notification),
    /// The listener fell behind and missed some, nobody knows which.
    Missed,
}

impl Default for Announcements {
    fn default() -> Self {
        Self(broadcast::Sender::new(MAX_BEHIND))
    }
}

impl Announcements {
    /// Tells all who listen now.
    pub(super) fn announce(&self, notification: Notification) {
        // It is no failure that nobody listens.
        let _ = self.0.send(notification);
    }

    /// How many listen now.
    pub(super) fn listeners(&self) -> usize {
        self.0.receiver_count()
    }

    /// All announcements from now on.
    pub(super) fn listen(&self) -> News {
        News(self.0.subscribe())
    }
}

impl News {
    /// The next announcement, when it comes.
    pub async fn next(&mut self) -> Heard {
        match self.0.recv().await {
            Ok(notification) => Heard::One(notification),
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
        let mut news = announcements.listen();
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
