//! The place of a waiting call in the queue, told to its client as progress.

use bytes::Bytes;
use serde_json::json;

use crate::protocol::json::{Members, RawJson};
use crate::protocol::message::{Notification, Request};

/// How far `progress` rises with each telling. It has to rise with every notification (MCP,
/// basic/utilities/progress), which a place in a queue does not, so it counts them; and it leaves
/// room for what the upstream tells later, which mostly counts from 1 on.
const STEP: f64 = 0.000_001;

/// Tells a client that asked for it where its call stands.
#[derive(Debug)]
pub(super) struct Places {
    token: RawJson,
    told: u32,
}

impl Places {
    /// A teller for a request that has a `progressToken`.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let params = request.param_members();
        let meta = Members::parse(params.get("_meta")?.as_bytes()).ok()?;
        let token = Bytes::from(meta.get("progressToken")?.to_owned());
        Some(Self {
            token: RawJson::parse(token).ok()?,
            told: 0,
        })
    }

    /// Says how many calls go before this one.
    pub(super) fn tell(&mut self, position: usize) -> Notification {
        self.told += 1;
        let message = match position {
            0 => "This call is the next one".to_owned(),
            1 => "One call goes before this one".to_owned(),
            n => format!("{n} calls go before this one"),
        };
        let params = json!({
            "progressToken": self.token,
            "progress": f64::from(self.told) * STEP,
            "message": message,
        });
        Notification::new("notifications/progress", Some(RawJson::of(&params)))
    }
}
