//! A stream of messages that a client can take up again where it lost it (MCP up to 2025-11-25,
//! basic/transports, "Resumability and Redelivery").

use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use bytes::Bytes;

/// The id of an event: which stream, and which place on it. Written `16 hexadecimal digits - number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    /// The stream.
    pub stream: u64,
    /// Counts from 1; 0 is the beginning of the stream, before any message.
    pub place: u64,
}

impl Display for EventId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.stream, self.place)
    }
}

/// The text is no event id of the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign;

impl FromStr for EventId {
    type Err = Foreign;

    fn from_str(text: &str) -> Result<Self, Foreign> {
        let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let (stream, place) = text.split_once('-').ok_or(Foreign)?;
        if stream.len() != 16 || !is_hex(stream) || !place.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Foreign);
        }
        Ok(Self {
            stream: u64::from_str_radix(stream, 16).map_err(|_| Foreign)?,
            place: place.parse().map_err(|_| Foreign)?,
        })
    }
}

/// How much of a stream is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Messages.
    pub messages: usize,
    /// Bytes of all of them together. The newest one is kept whatever its size.
    pub bytes: usize,
}

/// The last messages of a stream. Older ones are gone: they are progress and log messages, the
/// answer comes last.
#[derive(Debug)]
pub struct Replay {
    bounds: Bounds,
    kept: VecDeque<Bytes>,
    bytes: usize,
    /// The place of the newest message.
    newest: u64,
}

impl Replay {
    /// Of a stream on which nothing was said yet.
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            kept: VecDeque::new(),
            bytes: 0,
            newest: 0,
        }
    }

    /// Puts a message at the end.
    pub fn push(&mut self, message: Bytes) {
        self.newest += 1;
        self.bytes += message.len();
        self.kept.push_back(message);
        while self.kept.len() > self.bounds.messages.max(1)
            || self.bytes > self.bounds.bytes && self.kept.len() > 1
        {
            if let Some(oldest) = self.kept.pop_front() {
                self.bytes -= oldest.len();
            }
        }
    }

    /// The oldest kept message behind a place, with its own place.
    pub fn after(&self, place: u64) -> Option<(u64, &Bytes)> {
        let oldest = self.newest - self.kept.len() as u64 + 1;
        let next = place.checked_add(1)?.max(oldest);
        let index = usize::try_from(next - oldest).ok()?;
        self.kept.get(index).map(|message| (next, message))
    }

    /// Bytes that it holds.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbered(n: u64) -> Bytes {
        n.to_string().into()
    }

    #[test]
    fn a_client_goes_on_behind_the_last_event_that_it_saw() {
        let mut replay = Replay::new(Bounds {
            messages: 9,
            bytes: 99,
        });
        assert_eq!(replay.after(0), None);
        (1..=3).for_each(|n| replay.push(numbered(n)));
        assert_eq!(replay.after(0), Some((1, &numbered(1))));
        assert_eq!(replay.after(2), Some((3, &numbered(3))));
        assert_eq!(replay.after(3), None);
        assert_eq!(replay.after(u64::MAX), None);
    }

    #[test]
    fn the_newest_message_is_kept_whatever_its_size() {
        let mut replay = Replay::new(Bounds {
            messages: 9,
            bytes: 2,
        });
        replay.push(numbered(1));
        replay.push(Bytes::from_static(b"very long"));
        assert_eq!(
            replay.after(0),
            Some((2, &Bytes::from_static(b"very long")))
        );
        assert_eq!(replay.bytes(), 9);
    }

    #[test]
    fn an_id_that_the_bridge_did_not_write_is_none() {
        for text in [
            "",
            "-",
            "1",
            "0123456789abcdef",
            "0123456789abcdef-",
            "0123456789ABCDEF-1",
            "0123456789abcde-1",
            "0123456789abcdef-1-2",
            "0123456789abcdef--1",
            "0123456789abcdef-+1",
            "+123456789abcdef-1",
            "0123456789abcdef-99999999999999999999",
        ] {
            assert_eq!(EventId::from_str(text), Err(Foreign), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_reader_gets_the_newest_messages_in_their_order(
            sizes in prop::collection::vec(1usize..20, 0..40), seen in 0u64..45, messages in 1usize..10, bytes in 1usize..60
        ) {
            let mut replay = Replay::new(Bounds { messages, bytes });
            let all: Vec<Bytes> = (0..).zip(&sizes).map(|(n, size)| vec![n; *size].into()).collect();
            for message in &all {
                replay.push(message.clone());
                prop_assert!(replay.kept.len() <= messages);
                prop_assert!(replay.bytes() <= bytes || replay.kept.len() == 1);
            }
            let mut place = seen;
            let mut read = Vec::new();
            while let Some((next, message)) = replay.after(place) {
                prop_assert!(next > place);
                place = next;
                read.push(message.clone());
            }
            let unseen = all.get(usize::try_from(seen).unwrap()..).unwrap_or(&[]);
            prop_assert!(unseen.ends_with(&read));
            prop_assert!(unseen.is_empty() || read.last() == all.last());
        }

        #[test]
        fn ids_are_read_as_they_are_written(stream: u64, place: u64) {
            let id = EventId { stream, place };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn no_text_makes_the_parser_of_ids_panic(text in any::<String>()) {
            let _ = EventId::from_str(&text);
        }
    }
}
