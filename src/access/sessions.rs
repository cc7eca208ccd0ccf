//! The browsers that are signed in on the status page.

use std::time::Duration;

use tokio::time::Instant;

use super::token::TokenHash;

/// How long somebody stays signed in without looking at the page.
const IDLE: Duration = Duration::from_hours(12);
/// How long somebody stays signed in at most.
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// Browsers that are signed in at the same time; the one that was used least recently gives way.
const MAX_SESSIONS: usize = 100;

/// All of them. Of the keys in their cookies only the hashes are kept.
#[derive(Debug, Default)]
pub(super) struct Sessions(Vec<Session>);

#[derive(Debug)]
struct Session {
    key: TokenHash,
    opened: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) > IDLE
            || now.saturating_duration_since(self.opened) > LONGEST
    }
}

impl Sessions {
    /// A browser signs in.
    pub(super) fn open(&mut self, key: TokenHash, now: Instant) {
        self.0.retain(|session| !session.is_over(now));
        if self.0.len() >= MAX_SESSIONS
            && let Some(stalest) = (0..self.0.len()).min_by_key(|&n| self.0[n].used)
        {
            self.0.swap_remove(stalest);
        }
        self.0.push(Session {
            key,
            opened: now,
            used: now,
        });
    }

    /// Whether the key is that of a browser that is signed in; it stays so for longer then.
    pub(super) fn knows(&mut self, key: &TokenHash, now: Instant) -> bool {
        self.0.retain(|session| !session.is_over(now));
        // No early end: the time must not tell at which session it matched.
        let mut found = false;
        for session in &mut self.0 {
            if session.key.matches(key) {
                session.used = now;
                found = true;
            }
        }
        found
    }

    /// A browser signs out.
    pub(super) fn close(&mut self, key: &TokenHash) {
        self.0.retain(|session| !session.key.matches(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_its_browser_signs_out_idles_or_grows_old() {
        let mut sessions = Sessions::default();
        let (key, start) = (TokenHash::of("key"), Instant::now());
        let moment = Duration::from_secs(1);
        sessions.open(key, start);
        assert!(sessions.knows(&key, start));
        assert!(!sessions.knows(&TokenHash::of("another"), start));
        sessions.close(&key);
        assert!(!sessions.knows(&key, start));
        sessions.open(key, start);
        assert!(!sessions.knows(&key, start + IDLE + moment));
        sessions.open(key, start);
        let mut now = start;
        while now < start + LONGEST {
            assert!(sessions.knows(&key, now));
            now += IDLE;
        }
        assert!(!sessions.knows(&key, now + moment));
    }

    #[test]
    fn sessions_are_bounded_and_the_stalest_gives_way() {
        let mut sessions = Sessions::default();
        let start = Instant::now();
        let key = |n: u64| TokenHash::of(&n.to_string());
        for n in 0..=MAX_SESSIONS as u64 {
            sessions.open(key(n), start + Duration::from_secs(n));
        }
        let now = start + Duration::from_mins(5);
        assert!(!sessions.knows(&key(0), now));
        assert!(sessions.knows(&key(1), now));
    }
}
