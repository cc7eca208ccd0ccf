//! The event stream of the HTML standard (server-sent events): one encoder, one incremental
//! decoder, no I/O.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The `event` field; empty where there is none, which means `message`.
    pub name: String,
    /// The `id` field.
    pub id: Option<String>,
    /// The `data` lines, joined by line feeds.
    pub data: String,
}

/// A comment: it says nothing, but shows that the stream lives.
pub const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// The text of an event of type `message` that carries `data`.
pub fn encode_message(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 32);
    write_message(&mut out, data);
    out.freeze()
}

/// The same with an id, which is one line of text.
pub fn encode_event(id: &str, data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 64);
    out.put_slice(b"id: ");
    out.put_slice(id.as_bytes());
    out.put_u8(b'\n');
    write_message(&mut out, data);
    out.freeze()
}

/// An event without data that tells a client where the stream begins, and how soon to come back
/// when it breaks.
pub fn encode_beginning(id: &str, retry: Duration) -> Bytes {
    format!("id: {id}\nretry: {}\ndata:\n\n", retry.as_millis()).into()
}

/// An event of another type than `message`, with one line of text.
pub fn encode_named(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

fn write_message(out: &mut BytesMut, data: &[u8]) {
    out.put_slice(b"event: message\n");
    // A line break inside JSON stands only between tokens, so each of the three may end a `data`
    // line.
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.put_slice(b"data: ");
        out.put_slice(line);
        out.put_u8(b'\n');
    }
    out.put_u8(b'\n');
}

/// Takes a stream apart, in pieces of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    event: Event,
    has_data: bool,
    after_cr: bool,
    last_id: Option<String>,
    retry: Option<Duration>,
}

impl Decoder {
    /// Takes the next piece and gives the events that it completes, oldest first.
    pub fn push(&mut self, piece: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in piece {
            let ends_line = byte == b'\r' || byte == b'\n';
            if byte == b'\n' && self.after_cr {
                self.after_cr = false;
                continue;
            }
            self.after_cr = byte == b'\r';
            if ends_line {
                let line = std::mem::take(&mut self.buffer);
                events.extend(self.line(&String::from_utf8_lossy(&line)));
            } else {
                self.buffer.push(byte);
            }
        }
        events
    }

    /// Bytes that wait for the end of their event, for the caller's limit.
    pub fn buffered(&self) -> usize {
        self.buffer.len() + self.event.data.len()
    }

    /// The id of the last event that had one: where to go on in another stream.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants to be left alone before it is asked to go on.
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Begins with another stream that goes on where this one broke off; half an event is dropped.
    pub fn reconnect(&mut self) {
        *self = Self {
            last_id: self.last_id.take(),
            retry: self.retry,
            ..Self::default()
        };
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field.trim_start_matches('\u{feff}') {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.name),
            "id" if !value.contains('\0') => {
                self.event.id = Some(value.to_owned());
                self.last_id = self.event.id.clone();
            }
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data_of(text: &[u8]) -> Vec<String> {
        Decoder::default()
            .push(text)
            .into_iter()
            .map(|event| event.data)
            .collect()
    }

    #[test]
    fn where_to_go_on_and_when_is_remembered_across_events() {
        let mut decoder = Decoder::default();
        // The event that primes a stream carries nothing but that.
        let events = decoder.push(b"id: 7\nretry: 250\ndata:\n\ndata: x\n\nretry: soon\n\n");
        assert_eq!(events.len(), 2);
        assert_eq!(decoder.last_id(), Some("7"));
        assert_eq!(decoder.retry(), Some(Duration::from_millis(250)));
    }

    #[test]
    fn every_kind_of_line_end_is_understood() {
        assert_eq!(
            data_of(b"data: a\n\ndata: b\r\n\r\ndata: c\r\r"),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn comments_retry_and_events_without_data_give_nothing() {
        assert!(data_of(b": ping\n\nretry: 5\n\nevent: x\n\nid: 7\n\n").is_empty());
    }

    #[test]
    fn an_event_carries_its_name_and_id() {
        let events = Decoder::default().push(b"id: 7\nevent: message\ndata: {\ndata:  1}\n\n");
        assert_eq!(
            events,
            [Event {
                name: "message".into(),
                id: Some("7".into()),
                data: "{\n 1}".into()
            }]
        );
    }

    #[test]
    fn an_event_that_is_not_complete_waits() {
        let mut decoder = Decoder::default();
        assert!(decoder.push(b"data: {\"a\"").is_empty());
        assert_eq!(decoder.buffered(), 10);
        assert_eq!(decoder.push(b":1}\n\n").len(), 1);
        assert_eq!(decoder.buffered(), 0);
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_the_same_in_pieces_of_any_size(
            lines in prop::collection::vec("[^\r\n]{0,20}", 1..5), size in 1usize..9
        ) {
            let json = lines.join("\n");
            let mut decoder = Decoder::default();
            let events: Vec<Event> =
                encode_message(json.as_bytes()).chunks(size).flat_map(|piece| decoder.push(piece)).collect();
            prop_assert_eq!(events.len(), 1);
            prop_assert_eq!(&events[0].data, &json);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            Decoder::default().push(&bytes);
        }
    }
}
