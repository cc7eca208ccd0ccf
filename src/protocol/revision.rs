//! The revisions of MCP and how client and bridge agree on one.

use super::message::Request;

/// A revision of the specification that the bridge speaks, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// HTTP+SSE, the first one.
    V2024_11_05,
    /// Streamable HTTP, JSON-RPC batches.
    V2025_03_26,
    /// `MCP-Protocol-Version`, elicitation, structured results; batches gone.
    V2025_06_18,
    /// Icons, tasks; the newest legacy one.
    V2025_11_25,
    /// Stateless: no handshake, metadata in each request; modern.
    V2026_07_28,
}

impl Revision {
    /// All of them, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];
    /// Those that need no `initialize`.
    pub const MODERN: [Self; 1] = [Self::V2026_07_28];
    /// The newest one that is opened by `initialize`.
    pub const NEWEST_LEGACY: Self = Self::V2025_11_25;
    /// What a request without `MCP-Protocol-Version` speaks (2025-11-25, basic/transports).
    pub const ASSUMED: Self = Self::V2025_03_26;

    /// The version string on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The revision of that version string.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|revision| revision.as_str() == text)
    }

    /// Modern: stateless, per-request metadata. Legacy otherwise.
    pub const fn is_modern(self) -> bool {
        matches!(self, Self::V2026_07_28)
    }

    /// Whether a body may be an array of messages: one revision only had that.
    pub const fn has_batches(self) -> bool {
        matches!(self, Self::V2025_03_26)
    }

    /// The revision that an `initialize` is answered with.
    pub fn negotiated(handshake: &Request) -> Self {
        let params = handshake.param_members();
        let asked = params.get_str("protocolVersion");
        asked.map_or(Self::NEWEST_LEGACY, |asked| Self::negotiate(&asked))
    }

    /// The answer to an `initialize` that asks for `asked`: that one if it is known, else the
    /// newest legacy one that is not newer than it. Clients have been seen to give up on an answer
    /// newer than their question.
    pub fn negotiate(asked: &str) -> Self {
        let legacy = || {
            Self::ALL
                .into_iter()
                .filter(|revision| !revision.is_modern())
        };
        if !looks_like_a_date(asked) {
            return Self::NEWEST_LEGACY;
        }
        legacy()
            .rfind(|revision| revision.as_str() <= asked)
            .unwrap_or(Self::V2024_11_05)
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn looks_like_a_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| {
            if i == 4 || i == 7 {
                b == b'-'
            } else {
                b.is_ascii_digit()
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_legacy_version_is_answered_with_itself() {
        for revision in Revision::ALL.into_iter().filter(|r| !r.is_modern()) {
            assert_eq!(Revision::negotiate(revision.as_str()), revision);
        }
    }

    #[test]
    fn the_modern_ones_are_those_that_are_modern() {
        let modern: Vec<_> = Revision::ALL
            .into_iter()
            .filter(|r| r.is_modern())
            .collect();
        assert_eq!(modern, Revision::MODERN);
    }

    #[test]
    fn one_revision_has_batches_and_it_is_what_silence_means() {
        let with: Vec<_> = Revision::ALL
            .into_iter()
            .filter(|r| r.has_batches())
            .collect();
        assert_eq!(with, [Revision::ASSUMED]);
    }

    #[test]
    fn an_answer_is_never_newer_than_the_question() {
        assert_eq!(Revision::negotiate("2025-05-01"), Revision::V2025_03_26);
        assert_eq!(Revision::negotiate("2026-07-28"), Revision::V2025_11_25);
        assert_eq!(Revision::negotiate("2099-01-01"), Revision::V2025_11_25);
    }

    #[test]
    fn an_unheard_of_version_gets_the_nearest_one_there_is() {
        assert_eq!(Revision::negotiate("2023-01-01"), Revision::V2024_11_05);
        assert_eq!(Revision::negotiate(""), Revision::V2025_11_25);
        assert_eq!(Revision::negotiate("nonsense"), Revision::V2025_11_25);
    }
}
