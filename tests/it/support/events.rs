//! Event streams as a test reads them.

use serde_json::Value;

use super::bridge::PATIENCE;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) retry: String,
    pub(crate) data: String,
}

impl Event {
    /// The data as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// A stream that is open.
pub(crate) struct Events {
    reply: reqwest::Response,
    rest: String,
}

impl Events {
    /// The stream that a request is answered with.
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let reply = tokio::time::timeout(PATIENCE, request.send()).await;
        let reply = reply.expect("no answer").unwrap();
        assert_eq!(reply.status(), 200, "{reply:?}");
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        assert_eq!(reply.headers()["x-accel-buffering"], "no");
        Self {
            reply,
            rest: String::new(),
        }
    }

    /// The next event, comments left out; nothing if the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let next = tokio::time::timeout(PATIENCE, self.read()).await;
        next.expect("the stream says nothing")
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            if let Some((event, behind)) = self.rest.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines();
                    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    value.unwrap_or_default().trim_start().to_owned()
                };
                let is_comment = event.lines().all(|line| line.starts_with(':'));
                let event = Event {
                    name: field("event"),
                    id: field("id"),
                    retry: field("retry"),
                    data: field("data"),
                };
                self.rest = behind.into();
                if !is_comment {
                    return Some(event);
                }
                continue;
            }
            let chunk = self.reply.chunk().await.unwrap()?;
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next message; nothing if the stream has ended.
    pub(crate) async fn message(&mut self) -> Option<Value> {
        loop {
            let event = self.next().await?;
            if !event.data.is_empty() {
                return Some(event.json());
            }
        }
    }
}
