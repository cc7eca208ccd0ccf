//! Session ids, for a house that plays a stateful legacy server. Home Assistant itself has none.

use std::collections::VecDeque;

/// The oldest session goes when there are more.
const MOST_SESSIONS: usize = 1_000;

/// The ids that are valid at the moment.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    opened: u64,
    ids: VecDeque<String>,
}

impl Sessions {
    pub(super) fn open(&mut self) -> String {
        self.opened += 1;
        let id = format!("demo-session-{}", self.opened);
        self.ids.push_back(id.clone());
        if self.ids.len() > MOST_SESSIONS {
            self.ids.pop_front();
        }
        id
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.ids.iter().any(|known| known == id)
    }

    pub(super) fn close(&mut self, id: &str) -> bool {
        let before = self.ids.len();
        self.ids.retain(|known| known != id);
        self.ids.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.ids.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_from_its_opening_to_its_close() {
        let mut sessions = Sessions::default();
        let (first, second) = (sessions.open(), sessions.open());
        assert_ne!(first, second);
        assert!(sessions.close(&first));
        assert!(!sessions.close(&first));
        assert!(!sessions.knows(&first) && sessions.knows(&second));
    }

    #[test]
    fn ids_are_not_used_again_after_everything_was_forgotten() {
        let mut sessions = Sessions::default();
        let first = sessions.open();
        sessions.clear();
        assert_eq!(sessions.len(), 0);
        assert_ne!(sessions.open(), first);
    }

    #[test]
    fn the_oldest_session_makes_room() {
        let mut sessions = Sessions::default();
        let first = sessions.open();
        for _ in 0..MOST_SESSIONS {
            sessions.open();
        }
        assert_eq!(sessions.len(), MOST_SESSIONS);
        assert!(!sessions.knows(&first));
    }
}
