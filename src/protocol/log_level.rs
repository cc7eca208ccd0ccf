//! How severe a log message of MCP is, and which of them a client wants to hear.

use super::era::meta;
use super::json::Members;
use super::message::{Notification, Request};

/// The severities of RFC 5424, least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Debugging.
    Debug,
    /// Events.
    Info,
    /// Events of note.
    Notice,
    /// Warnings.
    Warning,
    /// Errors.
    Error,
    /// Components that fail.
    Critical,
    /// Something must be done now.
    Alert,
    /// Nothing works.
    Emergency,
}

impl LogLevel {
    const ALL: [(&'static str, Self); 8] = [
        ("debug", Self::Debug),
        ("info", Self::Info),
        ("notice", Self::Notice),
        ("warning", Self::Warning),
        ("error", Self::Error),
        ("critical", Self::Critical),
        ("alert", Self::Alert),
        ("emergency", Self::Emergency),
    ];

    /// The level of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(known, _)| *known == name)
            .map(|(_, level)| level)
    }

    /// The least severe message that a modern request wants to hear of; nothing if it wants none.
    pub fn of_metadata(request: &Request) -> Option<Self> {
        let params = request.param_members();
        let meta = Members::parse(params.get("_meta")?.as_bytes()).ok()?;
        Self::parse(&meta.get_str(meta::LOG_LEVEL)?)
    }

    /// The level of a log message; nothing if the notification is none, or of an unknown level.
    pub fn of_message(notification: &Notification) -> Option<Self> {
        let params = notification.params.as_ref()?.members()?;
        Self::parse(&params.get_str("level")?)
    }
}

/// Which log messages a client wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFilter {
    /// Whatever the server thinks fit: a legacy client that said nothing.
    All,
    /// Those of this level and above.
    From(LogLevel),
    /// None: a modern request that does not ask for them.
    None,
}

impl LogFilter {
    /// Whether the notification may be sent; those that are no log messages always may.
    pub fn admits(self, notification: &Notification) -> bool {
        if notification.method != "notifications/message" {
            return true;
        }
        match self {
            Self::All => true,
            // Of an unknown level nobody knows that it is less severe.
            Self::From(least) => LogLevel::of_message(notification).is_none_or(|it| it >= least),
            Self::None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::RawJson;
    use super::*;
    use serde_json::json;

    fn message(level: &str) -> Notification {
        let params = RawJson::of(&json!({"level": level, "data": 1}));
        Notification::new("notifications/message", Some(params))
    }

    #[test]
    fn messages_below_the_level_are_kept_back() {
        for (filter, heard) in [
            (
                LogFilter::All,
                &["debug", "warning", "emergency", "odd"][..],
            ),
            (
                LogFilter::From(LogLevel::Warning),
                &["warning", "emergency", "odd"],
            ),
            (LogFilter::None, &[]),
        ] {
            for level in ["debug", "warning", "emergency", "odd"] {
                assert_eq!(
                    filter.admits(&message(level)),
                    heard.contains(&level),
                    "{filter:?} {level}"
                );
            }
            assert!(filter.admits(&Notification::new("notifications/progress", None)));
        }
    }
}
