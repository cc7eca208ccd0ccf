//! Which wires an upstream understands: that of the legacy era, the modern one, or both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;

use super::trouble::Trouble;
use crate::protocol::capabilities::Introduction;
use crate::protocol::revision::Revision;

/// The way in which messages are put to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// Handshake, sessions where the server has them; up to 2025-11-25.
    Legacy,
    /// Each request by itself; from 2026-07-28 on.
    Modern,
}

/// What is known of it. Asked once, when it first matters.
#[derive(Debug, Default)]
pub(super) struct Wires {
    known: ArcSwapOption<Known>,
    asking: tokio::sync::Mutex<()>,
    modern_only: AtomicBool,
}

#[derive(Debug)]
struct Known {
    /// What it said in the modern way, if it speaks so.
    modern: Option<Arc<Introduction>>,
}

impl Wires {
    /// What the server says of itself in the modern way; nothing if it does not speak so.
    ///
    /// # Errors
    /// Those of `discover`, when it could not be found out; it is asked again next time.
    pub(super) async fn modern(
        &self,
        discover: impl Future<Output = Result<Option<Introduction>, Trouble>>,
    ) -> Result<Option<Arc<Introduction>>, Trouble> {
        if let Some(known) = self.known.load_full() {
            return Ok(known.modern.clone());
        }
        let _asking = self.asking.lock().await;
        if let Some(known) = self.known.load_full() {
            return Ok(known.modern.clone());
        }
        let modern = discover.await?.map(Arc::new);
        self.known.store(Some(Arc::new(Known {
            modern: modern.clone(),
        })));
        Ok(modern)
    }

    /// Asks again next time: what is known does not fit any more.
    pub(super) fn forget(&self) {
        self.known.store(None);
        self.modern_only.store(false, Ordering::Relaxed);
    }

    /// Whether the server refused the handshake of the legacy era and speaks the modern wire.
    pub(super) fn is_modern_only(&self) -> bool {
        self.modern_only.load(Ordering::Relaxed)
    }

    /// Whether the server was asked, and does not speak the modern wire.
    pub(super) fn is_legacy_only(&self) -> bool {
        self.known
            .load()
            .as_ref()
            .is_some_and(|known| known.modern.is_none())
    }

    /// The server refused the handshake of the legacy era, and speaks the modern wire.
    pub(super) fn set_modern_only(&self) {
        self.modern_only.store(true, Ordering::Relaxed);
    }
}

impl Wire {
    /// The wire on which a client's own revision goes through unchanged.
    pub(super) const fn of(revision: Revision) -> Self {
        if revision.is_modern() {
            Self::Modern
        } else {
            Self::Legacy
        }
    }
}
