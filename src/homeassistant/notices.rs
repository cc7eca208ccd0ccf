//! What a person must see to, shown among Home Assistant's notifications: which notice should stand
//! there now. A state machine; whoever drives it tells the time and shows or removes the notice.

use std::time::{Duration, Instant};

use super::knowledge::McpServer;

/// A concern must last so long before anybody is troubled with it.
const LASTS: Duration = Duration::from_secs(5);
/// The same for an MCP server that does not answer, which may be busy.
const SILENCE: Duration = Duration::from_mins(5);

/// States of an integration that could not be set up.
const FAILED: [&str; 4] = [
    "setup_error",
    "setup_retry",
    "migration_error",
    "failed_unload",
];

/// What a person must see to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Concern {
    /// Home Assistant has no MCP server.
    Missing,
    /// Somebody has turned it off.
    TurnedOff,
    /// It is set up, but does not run.
    NotLoaded {
        /// Why, if Home Assistant says so.
        reason: Option<String>,
    },
    /// It runs, but calls fail.
    Silent,
}

impl Concern {
    /// The concern about a Home Assistant that is there; nothing if all is well.
    pub(super) fn about(
        is_missing: bool,
        server: Option<&McpServer>,
        is_silent: bool,
    ) -> Option<Self> {
        if is_missing {
            return Some(Self::Missing);
        }
        match server {
            Some(server) if server.disabled_by.is_some() => Some(Self::TurnedOff),
            Some(server) if FAILED.contains(&server.state.as_str()) => Some(Self::NotLoaded {
                reason: server.reason.clone(),
            }),
            _ => is_silent.then_some(Self::Silent),
        }
    }

    /// What the person reads.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Missing => {
                "Home Assistant has no MCP server, so that no client can use it. Open MCP Bridge \
                 and press *Set up*, or add the integration *Model Context Protocol Server* in the \
                 settings."
                    .to_owned()
            }
            Self::TurnedOff => {
                "The integration *Model Context Protocol Server* is turned off, so that no client \
                 can use Home Assistant. Turn it on in the settings."
                    .to_owned()
            }
            Self::NotLoaded { reason } => format!(
                "The integration *Model Context Protocol Server* does not run: {}.",
                reason.as_deref().unwrap_or("Home Assistant says no reason")
            ),
            Self::Silent => {
                "Home Assistant runs, but the last calls to its MCP server failed and none has \
                 succeeded for some minutes. The page of MCP Bridge says what they met."
                    .to_owned()
            }
        }
    }

    const fn lasts(&self) -> Duration {
        match self {
            Self::Silent => SILENCE,
            Self::Missing | Self::TurnedOff | Self::NotLoaded { .. } => LASTS,
        }
    }
}

/// What stands in the place of the bridge's one notice in Home Assistant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// None.
    Nothing,
    /// One about this.
    About(Concern),
}

/// Which notice there should be.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// What stands there; nothing if that is not known, as at first: an earlier run may have left
    /// something.
    shown: Option<Notice>,
    present: Option<(Concern, Instant)>,
}

impl Notices {
    /// What should stand there instead of what does.
    pub(super) fn look(&mut self, now: Instant, concern: Option<Concern>) -> Option<Notice> {
        self.present = concern.map(|concern| match self.present.take() {
            Some((same, since)) if same == concern => (same, since),
            _ => (concern, now),
        });
        let wanted = match &self.present {
            Some((concern, since)) if now.saturating_duration_since(*since) < concern.lasts() => {
                return None;
            }
            Some((concern, _)) => Notice::About(concern.clone()),
            None => Notice::Nothing,
        };
        (self.shown.as_ref() != Some(&wanted)).then_some(wanted)
    }

    /// Home Assistant shows it now.
    pub(super) fn shown(&mut self, notice: Notice) {
        self.shown = Some(notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_shown_once_and_removed_once_it_is_well() {
        let start = tokio::time::Instant::now().into_std();
        let mut notices = Notices::default();
        let left = notices.look(start, None);
        assert_eq!(left, Some(Notice::Nothing), "an earlier run left something");
        notices.shown(Notice::Nothing);
        let missing = || Some(Concern::Missing);
        let notice = || Notice::About(Concern::Missing);
        assert_eq!(notices.look(start, missing()), None);
        let again = [
            notices.look(start + LASTS, missing()),
            notices.look(start + LASTS, missing()),
        ];
        assert_eq!(again, [Some(notice()), Some(notice())], "it was not shown");
        notices.shown(notice());
        assert_eq!(notices.look(start + LASTS * 2, missing()), None);
        assert_eq!(notices.look(start + LASTS * 3, None), Some(Notice::Nothing));
        notices.shown(Notice::Nothing);
        assert_eq!(notices.look(start + LASTS * 4, None), None);
    }

    #[test]
    fn what_passes_by_itself_troubles_nobody() {
        let start = tokio::time::Instant::now().into_std();
        let mut notices = Notices::default();
        notices.shown(Notice::Nothing);
        for second in 0..SILENCE.as_secs() {
            let now = start + Duration::from_secs(second);
            assert_eq!(notices.look(now, Some(Concern::Silent)), None);
        }
        assert_eq!(notices.look(start + SILENCE, None), None);
        let anew = notices.look(start + SILENCE * 2, Some(Concern::Silent));
        assert_eq!(anew, None);
    }

    #[test]
    fn a_server_that_is_turned_off_or_fails_is_a_concern_and_one_that_starts_is_none() {
        let server = |state: &str, disabled_by: Option<&str>| McpServer {
            title: "All LLM APIs".to_owned(),
            state: state.to_owned(),
            disabled_by: disabled_by.map(str::to_owned),
            reason: None,
        };
        let about = |server: &McpServer| Concern::about(false, Some(server), false);
        assert_eq!(about(&server("loaded", None)), None);
        assert_eq!(about(&server("setup_in_progress", None)), None);
        assert_eq!(
            about(&server("not_loaded", Some("user"))),
            Some(Concern::TurnedOff)
        );
        assert_eq!(
            about(&server("setup_error", None)),
            Some(Concern::NotLoaded { reason: None })
        );
        assert_eq!(Concern::about(true, None, true), Some(Concern::Missing));
    }
}
