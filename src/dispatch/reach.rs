//! How far clients can be reached besides the answers to their requests, as the bridge stands now.

use super::{Call, Dispatcher};
use crate::protocol::capabilities::Reach;
use crate::upstream::Upstream;

impl Dispatcher {
    /// How far the client of a call can be reached.
    pub(super) fn reach(&self, call: &Call, upstream: &Upstream) -> Reach {
        let is_legacy = !call.revision.is_modern();
        Reach {
            is_remembered: !is_legacy || call.in_session || upstream.has_sessions(),
            ..self.reach_of_modern()
        }
    }

    /// How far a modern client can be reached.
    pub(super) fn reach_of_modern(&self) -> Reach {
        Reach {
            is_remembered: true,
            hears_of_lists: self.road.answers.is_enabled(),
            has_own_resources: self.has_own_resources(),
        }
    }
}
