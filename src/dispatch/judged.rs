//! A call that may be made, and the upstream by whose tools that was decided.

use std::borrow::Cow;
use std::sync::Arc;

use super::Call;
use super::classify::Nature;
use super::queue::Effect;
use crate::upstream::Upstream;

/// A call after screening.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    pub call: Cow<'a, Call>,
    pub nature: Nature,
    /// The one that was in force.
    pub upstream: Arc<Upstream>,
}

impl Judged<'_> {
    /// Whether it may change the house.
    pub(super) fn acts(&self) -> bool {
        self.nature.effect != Effect::Read
    }

    /// The upstream that alone may get it, if there is one: at another, a tool of the same name may
    /// do what its client may not, or act although it was taken for one that only looks.
    pub(super) fn bound_to(&self) -> Option<Arc<Upstream>> {
        let anywhere = self.acts() && self.call.client.guard.is_open();
        (!anywhere).then(|| self.upstream.clone())
    }
}
