//! Messages on their way to a client, from whoever has something to say to the one transport that
//! carries it: bounded, so that a client that does not read costs no memory.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much may wait for a reader.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Messages.
    pub(super) messages: usize,
    /// Bytes of all of them together. A single message may be larger.
    pub(super) bytes: u32,
}

impl Room {
    /// Of one call. What does not fit into it is progress and log messages that nobody reads.
    pub(super) const OF_A_CALL: Self = Self {
        messages: 256,
        bytes: 1 << 20,
    };
    /// Of a connection that carries everything, the answers to many calls among it.
    pub(super) const OF_A_CONNECTION: Self = Self {
        messages: 1024,
        bytes: 8 << 20,
    };
}

/// The end that is written to; clones write to the same reader.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    messages: Sender<Parcel>,
    room: Arc<Semaphore>,
    bytes: u32,
}

/// The end that a transport reads. Dropping it tells the writers that nobody reads any more.
#[derive(Debug)]
pub(super) struct Outgoing(Receiver<Parcel>);

#[derive(Debug)]
struct Parcel {
    message: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Outbox {
    /// Both ends.
    pub(super) fn new(room: Room) -> (Self, Outgoing) {
        let (messages, receiver) = mpsc::channel(room.messages);
        let outbox = Self {
            messages,
            room: Arc::new(Semaphore::new(room.bytes as usize)),
            bytes: room.bytes,
        };
        (outbox, Outgoing(receiver))
    }

    /// Puts a message behind the others; says whether there was room, and somebody who reads.
    pub(super) fn push(&self, message: Bytes) -> bool {
        let size = u32::try_from(message.len()).map_or(self.bytes, |size| size.min(self.bytes));
        let Ok(room) = self.room.clone().try_acquire_many_owned(size) else {
            return false;
        };
        let parcel = Parcel {
            message,
            _room: room,
        };
        self.messages.try_send(parcel).is_ok()
    }

    /// Waits until nobody reads any more.
    pub(super) async fn abandoned(&self) {
        self.messages.closed().await;
    }
}

impl Outgoing {
    /// The next message; nothing once there are no writers any more.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.0.recv().await.map(|parcel| parcel.message)
    }

    /// The next message, if there is one already.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.0.try_recv().ok().map(|parcel| parcel.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(size: usize) -> Bytes {
        vec![b'x'; size].into()
    }

    #[test]
    fn messages_come_out_in_their_order() {
        let (outbox, mut outgoing) = Outbox::new(Room::OF_A_CALL);
        assert!(outbox.push(text(1)) && outbox.clone().push(text(2)));
        assert_eq!(outgoing.take(), Some(text(1)));
        assert_eq!(outgoing.take(), Some(text(2)));
        assert_eq!(outgoing.take(), None);
    }

    #[test]
    fn what_nobody_reads_takes_no_more_than_its_room() {
        let room = Room {
            messages: 3,
            bytes: 10,
        };
        let (outbox, mut outgoing) = Outbox::new(room);
        assert!(outbox.push(text(6)) && outbox.push(text(4)));
        assert!(!outbox.push(text(1)), "no bytes left");
        assert_eq!(outgoing.take(), Some(text(6)));
        assert!(outbox.push(text(1)) && !outbox.push(text(6)));
        assert!(
            outbox.push(text(1)) && !outbox.push(text(1)),
            "no place left"
        );
    }

    #[test]
    fn a_large_message_has_the_room_for_itself() {
        let room = Room {
            messages: 3,
            bytes: 10,
        };
        let (outbox, mut outgoing) = Outbox::new(room);
        assert!(outbox.push(text(1000)) && !outbox.push(text(1)));
        assert_eq!(outgoing.take(), Some(text(1000)));
        assert!(outbox.push(text(1)) && !outbox.push(text(1000)));
    }

    #[test]
    fn writers_learn_that_nobody_reads() {
        let (outbox, outgoing) = Outbox::new(Room::OF_A_CALL);
        assert!(outbox.push(text(1)));
        drop(outgoing);
        assert!(!outbox.push(text(1)));
    }
}
