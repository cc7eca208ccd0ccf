//! Whether the other end of a silent connection is still there.

use std::time::{Duration, Instant};

/// Asks after a while of silence, and gives up when nobody answers.
#[derive(Debug)]
pub struct KeepAlive {
    interval: Duration,
    /// When something came last.
    heard: Instant,
    /// When it was asked last, if nothing came since.
    asked: Option<Instant>,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing until then, as long as nothing comes.
    Nothing(Instant),
    /// Ask.
    Ask,
    /// Nobody is there any more.
    GiveUp,
}

impl KeepAlive {
    /// Of a connection on which something came just now. Silence of one `interval` leads to a
    /// question, another one to the end.
    pub const fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            heard: now,
            asked: None,
        }
    }

    /// Something came.
    pub const fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// What is to be done now. Whoever is told to ask has to do it.
    pub fn poll(&mut self, now: Instant) -> Due {
        let since = self.asked.unwrap_or(self.heard);
        let next = since + self.interval;
        if now < next {
            return Due::Nothing(next);
        }
        if self.asked.is_some() {
            return Due::GiveUp;
        }
        self.asked = Some(now);
        Due::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(20);

    #[test]
    fn silence_leads_to_a_question_and_then_to_the_end() {
        let start = tokio::time::Instant::now().into_std();
        let mut connection = KeepAlive::new(INTERVAL, start);
        assert_eq!(connection.poll(start), Due::Nothing(start + INTERVAL));
        assert_eq!(connection.poll(start + INTERVAL), Due::Ask);
        let later = start + INTERVAL * 2;
        assert_eq!(connection.poll(start + INTERVAL), Due::Nothing(later));
        assert_eq!(connection.poll(later), Due::GiveUp);
    }

    #[test]
    fn whoever_answers_stays() {
        let start = tokio::time::Instant::now().into_std();
        let mut connection = KeepAlive::new(INTERVAL, start);
        for round in 1..100 {
            let now = start + INTERVAL * round;
            assert_eq!(connection.poll(now), Due::Ask);
            connection.heard(now);
        }
    }
}
