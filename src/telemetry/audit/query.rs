//! Questions to the audit.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::str::FromStr;

use jiff::{Span, SpanRelativeTo, Timestamp};
use wildmatch::WildMatch;

use super::files::{CURRENT, kept};
use super::{Entry, FOLDER};

/// Which entries are wanted. Patterns are in any case, and `*` stands for anything.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Of clients that fit this pattern.
    pub client: Option<String>,
    /// Of tools that fit this pattern.
    pub tool: Option<String>,
    /// With an outcome or a decision that fits this pattern.
    pub outcome: Option<String>,
    /// Since then.
    pub since: Option<Since>,
    /// So many at most, the latest ones.
    pub most: usize,
}

/// A moment, as people say it: `2026-11-22T18:00:00Z`, or for how long it has been, `2h`, `3 days`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since(pub Timestamp);

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ago = |text: &str| {
            let span: Span = text.parse().ok()?;
            let relative = SpanRelativeTo::days_are_24_hours();
            let ago = span.to_duration(relative).ok()?.abs();
            Timestamp::now().checked_sub(ago).ok()
        };
        let moment = text.parse().ok().or_else(|| ago(text));
        moment
            .map(Self)
            .ok_or("write it like 2026-11-22T18:00:00Z, or 2h or 3days for how long ago it was")
    }
}

impl Query {
    fn wants(&self, entry: &Entry) -> bool {
        let fits = |pattern: &Option<String>, texts: &[&str]| {
            pattern.as_ref().is_none_or(|pattern| {
                let pattern = WildMatch::new_case_insensitive(pattern);
                texts.iter().any(|text| pattern.matches(text))
            })
        };
        self.since.is_none_or(|Since(since)| entry.time >= since)
            && fits(&self.client, &[&entry.client])
            && fits(&self.tool, &[&entry.tool])
            && fits(&self.outcome, &[&entry.outcome, entry.decision.name()])
    }
}

/// The entries in the data folder that are wanted, in the order in which they were written down.
/// Lines that are none are passed over: the power may have gone away in the middle of one.
///
/// # Errors
/// A folder or file that cannot be read. That there is none is no error.
pub fn search(data: &Path, query: &Query) -> io::Result<Vec<Entry>> {
    let folder = data.join(FOLDER);
    let mut paths = match kept(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        paths => paths?,
    };
    paths.push(folder.join(CURRENT));
    let mut found = VecDeque::new();
    for path in paths {
        let file = match File::open(path) {
            // It was turned over or removed just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        for line in BufReader::new(file).split(b'\n') {
            let entry = serde_json::from_slice(&line?).ok();
            let Some(entry) = entry.filter(|entry| query.wants(entry)) else {
                continue;
            };
            found.push_back(entry);
            if found.len() > query.most {
                found.pop_front();
            }
        }
    }
    Ok(found.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::audit::Decision;

    fn entry(n: i64, client: &str, tool: &str, decision: Decision, outcome: &str) -> Entry {
        Entry {
            time: Timestamp::from_second(n).unwrap(),
            client: client.to_owned(),
            tool: tool.to_owned(),
            decision,
            outcome: outcome.to_owned(),
            ..Entry::default()
        }
    }

    #[test]
    fn entries_are_found_in_all_files_and_what_is_none_is_passed_over() {
        let data = tempfile::tempdir().unwrap();
        assert!(search(data.path(), &Query::default()).unwrap().is_empty());
        let folder = data.path().join(FOLDER);
        std::fs::create_dir(&folder).unwrap();
        let one = entry(1, "n8n", "HassTurnOn", Decision::Allowed, "answered");
        let two = entry(2, "LM Studio", "HassUnlock", Decision::Denied, "denied");
        let three = entry(3, "n8n", "HassTurnOff", Decision::Agreed, "timeout");
        let older = [&one.line()[..], b"{\"half\n\n[]\n", &two.line()].concat();
        std::fs::write(folder.join("audit-20261122T000000-000.jsonl"), older).unwrap();
        std::fs::write(folder.join(CURRENT), [&three.line()[..], b"{\"ti"].concat()).unwrap();
        let found = |query: Query| {
            let entries = search(data.path(), &query).unwrap();
            let seconds = entries.iter().map(|entry| entry.time.as_second());
            seconds.collect::<Vec<_>>()
        };
        let all = Query {
            most: 10,
            ..Query::default()
        };
        let pattern = |text: &str| Some(text.to_owned());
        assert_eq!(found(all.clone()), [1, 2, 3]);
        for (query, expected) in [
            (
                Query {
                    most: 2,
                    ..all.clone()
                },
                &[2, 3][..],
            ),
            (
                Query {
                    most: 0,
                    ..all.clone()
                },
                &[],
            ),
            (
                Query {
                    client: pattern("N8N"),
                    ..all.clone()
                },
                &[1, 3],
            ),
            (
                Query {
                    tool: pattern("*turn*"),
                    ..all.clone()
                },
                &[1, 3],
            ),
            (
                Query {
                    outcome: pattern("denied"),
                    ..all.clone()
                },
                &[2],
            ),
            (
                Query {
                    outcome: pattern("agreed"),
                    ..all.clone()
                },
                &[3],
            ),
            (
                Query {
                    since: Some(Since(Timestamp::from_second(2).unwrap())),
                    ..all
                },
                &[2, 3],
            ),
        ] {
            assert_eq!(found(query.clone()), expected, "{query:?}");
        }
    }

    #[test]
    fn a_moment_is_said_as_a_time_or_as_how_long_ago_it_was() {
        let time = "2026-11-22T18:00:00Z";
        assert_eq!(time.parse(), Ok(Since(time.parse().unwrap())));
        for (text, seconds) in [("2h", 7200), ("3 days", 259_200), ("1h30m", 5400)] {
            let Since(moment) = text.parse().unwrap();
            let ago = Timestamp::now().duration_since(moment).as_secs();
            assert!((seconds..seconds + 60).contains(&ago), "{text}: {ago}");
        }
        for text in ["", "soon", "2", "yesterday"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }
}
