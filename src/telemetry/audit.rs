//! The audit: who had what done through the bridge, one line of JSON for each call, in the data
//! folder.
//!
//! Calls do not wait for the disk: entries go through a bounded queue to a writer of its own. When
//! that cannot follow, entries are lost, and the next one says how many.

mod entry;
mod files;
mod query;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::broadcast;

use super::redaction::{Redaction, hide_tokens};
use crate::protocol::json::unambiguous;
pub use entry::{Decision, Entry, OPERATOR, plain};
pub use files::Bounds;
use files::Files;
pub use query::{Query, Since, search};

/// The folder of the audit in the data folder.
const FOLDER: &str = "audit";
/// Entries that wait to be written.
const QUEUE: usize = 4096;
/// Entries that wait for those who follow.
const FOLLOWED: usize = 64;
/// Bytes of arguments that are kept of one call.
const MAX_ARGUMENTS: usize = 4096;
/// Bytes of a name that are kept.
const MAX_NAME: usize = 200;
/// How often it is looked for files that are no longer kept.
const TIDY_INTERVAL: Duration = Duration::from_hours(1);

/// What is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Settings {
    /// Whether anything is.
    pub enabled: bool,
    /// Whether calls that only look are.
    pub reads: bool,
    /// Whether arguments are.
    pub arguments: bool,
    /// Patterns for the names of arguments whose values are hidden, besides those that are plainly
    /// secret.
    pub redact: Vec<String>,
    /// Whether calls are told to those who follow.
    pub logbook: bool,
    /// How much is kept.
    pub bounds: Bounds,
}

/// Takes entries and has them written. The default takes none.
#[derive(Debug)]
pub struct Audit {
    followers: broadcast::Sender<Arc<Entry>>,
    rules: ArcSwap<Rules>,
    queue: Option<SyncSender<Message>>,
    lost: Arc<Lost>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            followers: broadcast::Sender::new(FOLLOWED),
            rules: ArcSwap::default(),
            queue: None,
            lost: Arc::default(),
        }
    }
}

/// How many entries could not be written down.
#[derive(Debug, Default)]
struct Lost {
    /// Since the last one that could.
    lately: AtomicU64,
    ever: AtomicU64,
}

impl Lost {
    fn add(&self) {
        self.lately.fetch_add(1, Ordering::Relaxed);
        self.ever.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is in force.
#[derive(Debug, Default)]
struct Rules {
    settings: Option<Settings>,
    redaction: Redaction,
}

impl Rules {
    fn of(settings: Settings) -> Self {
        Self {
            redaction: Redaction::new(&settings.redact),
            settings: Some(settings).filter(|settings| settings.enabled),
        }
    }
}

#[derive(Debug)]
enum Message {
    /// To be written, within the bounds of that moment.
    Entry(Box<Entry>, Bounds),
    /// There is nothing more to come.
    End,
}

/// Writes what an [`Audit`] takes.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    queue: Receiver<Message>,
    files: Option<Files>,
    bounds: Bounds,
    lost: Arc<Lost>,
    is_well: bool,
}

impl Audit {
    /// An audit in this data folder, and what writes it.
    pub fn new(settings: Settings, data: &Path) -> (Self, Writer) {
        let (sender, queue) = sync_channel(QUEUE);
        let lost = Arc::<Lost>::default();
        let writer = Writer {
            folder: data.join(FOLDER),
            queue,
            files: None,
            bounds: settings.bounds,
            lost: lost.clone(),
            is_well: true,
        };
        let audit = Self {
            rules: ArcSwap::from_pointee(Rules::of(settings)),
            queue: Some(sender),
            lost,
            ..Self::default()
        };
        (audit, writer)
    }

    /// Other settings from now on.
    pub fn configure(&self, settings: Settings) {
        self.rules.store(Arc::new(Rules::of(settings)));
    }

    /// Whether calls that may act are written down, and whether those are that only look.
    pub fn wants(&self, looks: bool) -> bool {
        let rules = self.rules.load();
        let settings = rules.settings.as_ref();
        settings.is_some_and(|settings| settings.reads || !looks)
    }

    /// Writes an entry down, with what may be kept of the arguments, their JSON. Never waits.
    pub fn record(&self, mut entry: Entry, arguments: Option<&str>) {
        let rules = self.rules.load();
        let (Some(settings), Some(queue)) = (&rules.settings, &self.queue) else {
            return;
        };
        let arguments = arguments.filter(|_| settings.arguments);
        entry.arguments = arguments.map(|text| kept(&rules.redaction, text));
        for text in [&mut entry.client, &mut entry.tool] {
            text.truncate(text.floor_char_boundary(MAX_NAME));
            *text = hide_tokens(text);
        }
        entry.why = entry.why.as_deref().map(hide_tokens);
        if settings.logbook && entry.source != OPERATOR {
            // Nobody has to follow.
            let _ = self.followers.send(Arc::new(entry.clone()));
        }
        match queue.try_send(Message::Entry(Box::new(entry), settings.bounds)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.lost.add();
            }
        }
    }

    /// The calls of clients as they are over from now on, if the settings say so. Whoever is slow
    /// misses some.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.followers.subscribe()
    }

    /// Entries that could not be written down, ever.
    pub fn lost(&self) -> u64 {
        self.lost.ever.load(Ordering::Relaxed)
    }

    /// Ends the writer when it has written what was recorded until now. Waits for room in its queue.
    pub fn close(&self) {
        if let Some(queue) = &self.queue {
            // Where there is no writer any more, there is nothing to end.
            let _ = queue.send(Message::End);
        }
    }
}

/// As much of arguments as may be kept. What can be read in two ways cannot be told to be harmless.
fn kept(redaction: &Redaction, text: &str) -> Value {
    let Some(arguments) = unambiguous(text) else {
        return format!("{} bytes", text.len()).into();
    };
    let arguments = redaction.hide(arguments);
    let text = arguments.to_string();
    if text.len() <= MAX_ARGUMENTS {
        return arguments;
    }
    let beginning = &text[..text.floor_char_boundary(MAX_ARGUMENTS)];
    format!("{beginning}… ({} bytes)", text.len()).into()
}

impl Writer {
    /// Writes what comes, until the audit is closed or gone.
    pub fn run(mut self) {
        loop {
            let done = match self.queue.recv_timeout(TIDY_INTERVAL) {
                Ok(Message::Entry(entry, bounds)) => {
                    self.bounds = bounds;
                    self.write(*entry)
                }
                Err(RecvTimeoutError::Timeout) => self.tidy(),
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
            };
            self.tell(done);
        }
        let synced = self.files.as_ref().map_or(Ok(()), Files::sync);
        self.tell(synced);
    }

    fn write(&mut self, mut entry: Entry) -> io::Result<()> {
        entry.lost = self.lost.lately.swap(0, Ordering::Relaxed);
        let (now, bounds) = (Timestamp::now(), self.bounds);
        let files = self.files(now);
        let written = files.and_then(|files| files.append(&entry.line(), bounds, now));
        if written.is_err() {
            self.lost.lately.fetch_add(entry.lost, Ordering::Relaxed);
            self.lost.add();
        }
        written
    }

    fn tidy(&mut self) -> io::Result<()> {
        let (now, bounds) = (Timestamp::now(), self.bounds);
        self.files(now)?.tidy(bounds, now)
    }

    /// The files; opened when they are first needed, and again as long as that does not work.
    fn files(&mut self, now: Timestamp) -> io::Result<&mut Files> {
        let files = if let Some(files) = self.files.take() {
            files
        } else {
            let mut files = Files::open(&self.folder, now)?;
            files.tidy(self.bounds, now)?;
            files
        };
        Ok(self.files.insert(files))
    }

    /// Says when it stops working, and when it works again.
    fn tell(&mut self, done: io::Result<()>) {
        let was_well = std::mem::replace(&mut self.is_well, done.is_ok());
        match done {
            Err(error) if was_well => {
                tracing::error!(%error, "the audit cannot be written; calls go on without it");
            }
            Ok(()) if !was_well => tracing::info!("the audit is written again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BOUNDS: Bounds = Bounds {
        file_size: 1 << 20,
        files: 10,
        days: 30,
    };

    fn settings() -> Settings {
        Settings {
            enabled: true,
            reads: false,
            arguments: true,
            redact: vec!["*_phrase".to_owned()],
            logbook: false,
            bounds: BOUNDS,
        }
    }

    fn entry(tool: &str) -> Entry {
        Entry {
            client: "n8n".to_owned(),
            tool: tool.to_owned(),
            ..Entry::default()
        }
    }

    fn written(data: &Path) -> Vec<Entry> {
        let most = usize::MAX;
        let all = Query {
            most,
            ..Query::default()
        };
        search(data, &all).unwrap()
    }

    #[test]
    fn entries_are_written_with_what_may_be_kept_of_their_arguments() {
        let data = tempfile::tempdir().unwrap();
        let (audit, writer) = Audit::new(settings(), data.path());
        let token = format!("mcpb_{}", "a".repeat(58));
        let long = json!({"pin": "0000", "text": "ü".repeat(MAX_ARGUMENTS)}).to_string();
        for text in [
            Some(r#"{"name": "Door", "code": 1, "pass_phrase": "x"}"#),
            Some(r#"{"name": 1, "name": 2}"#),
            Some(long.as_str()),
            None,
        ] {
            audit.record(entry(&token), text);
        }
        let without = Settings {
            arguments: false,
            ..settings()
        };
        audit.configure(without);
        audit.record(entry("b"), Some("{}"));
        audit.close();
        writer.run();
        let entries = written(data.path());
        let arguments = entries.iter().map(|entry| entry.arguments.clone());
        let arguments: Vec<_> = arguments.collect();
        let hidden = json!({"name": "Door", "code": "•••", "pass_phrase": "•••"});
        assert_eq!(arguments[0], Some(hidden));
        assert_eq!(arguments[1], Some(json!("22 bytes")));
        let beginning = arguments[2].as_ref().and_then(Value::as_str).unwrap();
        assert!(beginning.starts_with(r#"{"pin":"•••","text":"ü"#) && beginning.len() < 4200);
        assert_eq!(arguments[3..], [None, None]);
        assert_eq!(
            (entries[0].tool.as_str(), entries[4].tool.as_str()),
            ("•••", "b")
        );
    }

    #[test]
    fn what_is_written_down_is_a_setting() {
        let data = tempfile::tempdir().unwrap();
        let (audit, _writer) = Audit::new(settings(), data.path());
        assert!(audit.wants(false) && !audit.wants(true));
        let reads = true;
        audit.configure(Settings {
            reads,
            ..settings()
        });
        assert!(audit.wants(false) && audit.wants(true));
        audit.configure(Settings {
            enabled: false,
            ..settings()
        });
        assert!(!audit.wants(false) && !Audit::default().wants(false));
    }

    #[test]
    fn what_could_not_be_written_is_counted_by_the_next_entry_that_is() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join(FOLDER);
        std::fs::write(&folder, "a file is in the way").unwrap();
        let (audit, mut writer) = Audit::new(settings(), data.path());
        assert!(writer.write(entry("a")).is_err());
        assert!(writer.write(entry("b")).is_err());
        for n in 0..QUEUE + 3 {
            audit.record(entry(&n.to_string()), None);
        }
        assert_eq!(audit.lost(), 5);
        std::fs::remove_file(&folder).unwrap();
        drop(audit);
        writer.run();
        let entries = written(data.path());
        assert_eq!(entries.len(), QUEUE);
        assert_eq!((entries[0].lost, entries[1].lost), (5, 0));
    }
}
