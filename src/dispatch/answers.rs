//! The cache at work: gives it the real time, and tells whoever wants to know which lists changed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::record::Counter;
use super::{Call, keys};
use crate::cache::{self, Cache, Change, Found, Key, Kind, Policy, State, Ticket};
use crate::protocol::json::{Members, RawJson};
use crate::protocol::message::{Notification, Payload, Request, Response};
use crate::upstream::{Announcements, Distinctions};

/// Home Assistant's tool that tells the states of exposed entities and nothing else. The name carries
/// the domain in front, which changes from release to release.
pub(super) const LIVE_CONTEXT: &str = "*GetLiveContext";
/// As much of the params as a person needs to tell two questions apart.
const MAX_SHOWN: usize = 120;
/// Changes come in swarms: lists are asked for again when it has been quiet for so long,
const QUIET: Duration = Duration::from_millis(300);
/// but no later than this after the first one.
const SWARM: Duration = Duration::from_secs(3);

/// However short the life of a list is, it is not asked for more often than this while nobody does.
const SHORTEST_POLL: Duration = Duration::from_secs(1);

/// What is kept, and for how long. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether anything is.
    pub enabled: bool,
    /// For how long, and how much.
    pub bounds: cache::Settings,
    /// Tools whose answers are kept besides the live context, as patterns: those that tell nothing
    /// but the states of exposed entities.
    pub tools: Vec<String>,
}

/// A list of the upstream that may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum List {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list` and `resources/templates/list`.
    Resources,
}

impl List {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// The notification that tells of a change.
    pub const fn notification(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
        }
    }

    /// The list whose change a server announces.
    pub(super) fn announced_by(notification: &Notification) -> Option<Self> {
        let mut lists = Self::ALL.into_iter();
        lists.find(|list| notification.method == list.notification())
    }

    /// The kind of its answers.
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Tools => Kind::Tools,
            Self::Prompts => Kind::Prompts,
            Self::Resources => Kind::Resources,
        }
    }

    /// The method that gives it.
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
        }
    }

    /// The capability of an upstream that has it.
    pub(super) const fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
        }
    }

    const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Tools => Some(Self::Tools),
            Kind::Prompts => Some(Self::Prompts),
            Kind::Resources | Kind::ResourceTemplates => Some(Self::Resources),
            Kind::Prompt | Kind::Resource | Kind::Live => None,
        }
    }
}

/// What a request asks for, where the answer may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    key: Key,
    pub kind: Kind,
}

/// What is kept, as it was said.
#[derive(Debug)]
struct Rules {
    enabled: bool,
    policy: Policy,
    without_events: Duration,
}

impl From<&Settings> for Rules {
    fn from(settings: &Settings) -> Self {
        let own = settings.tools.iter().map(String::as_str);
        Self {
            enabled: settings.enabled,
            policy: Policy::new(std::iter::once(LIVE_CONTEXT).chain(own)),
            without_events: settings.bounds.list_ttl_without_events,
        }
    }
}

/// The answers that are kept of one upstream.
#[derive(Debug)]
pub(super) struct Answers {
    rules: ArcSwap<Rules>,
    cache: Mutex<Cache>,
    refreshing: Mutex<HashSet<Key>>,
    /// Where changed lists are told.
    announcements: Announcements,
    /// Wakes whoever asks for lists again that may have changed.
    lists_touched: Notify,
    /// Whether the lists are wanted even if nobody listens: so that they are there when Home
    /// Assistant is not.
    lists_wanted: AtomicBool,
    stale: Counter,
}

impl Answers {
    pub(super) fn new(settings: &Settings, announcements: Announcements) -> Arc<Self> {
        Arc::new(Self {
            rules: ArcSwap::from_pointee(settings.into()),
            cache: Mutex::new(Cache::new(settings.bounds)),
            refreshing: Mutex::default(),
            announcements,
            lists_touched: Notify::new(),
            lists_wanted: AtomicBool::new(false),
            stale: Counter::default(),
        })
    }

    /// Other settings from now on. Without a cache, what was kept is forgotten.
    pub(super) fn configure(&self, settings: &Settings) {
        self.rules.store(Arc::new(settings.into()));
        let mut cache = lock(&self.cache);
        cache.configure(settings.bounds);
        if !settings.enabled {
            cache.flush();
        }
    }

    /// There is another upstream: nothing is kept of the one before. Whoever listens hears which of
    /// the lists differ there.
    pub(super) fn forget(&self) {
        lock(&self.cache).replace_upstream();
        self.apply(&Change::Started);
    }

    /// Whether anything is kept.
    pub(super) fn is_enabled(&self) -> bool {
        self.rules.load().enabled
    }

    /// What a request asks for; nothing if its answer is not kept.
    pub(super) fn question(&self, call: &Call, distinctions: Distinctions) -> Option<Question> {
        let rules = self.rules.load();
        if !rules.enabled {
            return None;
        }
        let request = &call.request;
        let params = request.param_members();
        let tool = params.get_str("name");
        let kind = rules.policy.kind(&request.method, tool.as_deref())?;
        let key = Key(keys::question(call, distinctions)?.0);
        Some(Question { key, kind })
    }

    /// The kept answer.
    pub(super) fn find(&self, question: Question) -> Option<Found> {
        lock(&self.cache).find(now(), question.key)
    }

    /// The kept answer, if it is as good as asking. Counts as nothing: whoever asks was counted
    /// before.
    pub(super) fn fresh(&self, question: Question) -> Option<RawJson> {
        lock(&self.cache).fresh(now(), question.key)
    }

    /// How long a client may keep the answer, too. It hears of no change, so it is no longer than
    /// the bridge keeps one while it hears of none.
    pub(super) fn lifetime(&self, question: Question) -> Duration {
        match lock(&self.cache).peek(now(), question.key) {
            Some(State::Fresh { left }) => left.min(self.rules.load().without_events),
            _ => Duration::ZERO,
        }
    }

    /// The upstream is about to be asked.
    pub(super) fn begin(&self, question: Question) -> Ticket {
        lock(&self.cache).begin(now(), question.key, question.kind)
    }

    /// The upstream answered.
    pub(super) fn keep(&self, ticket: Ticket, request: &Request, response: &Response) {
        let Payload::Result(result) = &response.payload else {
            return;
        };
        let differs = lock(&self.cache).keep(ticket, &shown(request), result);
        if let Some(list) = differs.and_then(List::of) {
            tracing::info!(?list, "the list changed");
            let notification = Notification::new(list.notification(), None);
            self.announcements.announce(notification);
        }
    }

    /// Something happened in Home Assistant, or a write is over.
    pub(super) fn apply(&self, change: &Change) {
        lock(&self.cache).apply(now(), change);
        if matches!(change, Change::Started) {
            self.lists_wanted.store(true, Ordering::Relaxed);
        }
        if change
            .touches()
            .iter()
            .any(|kind| List::of(*kind).is_some())
        {
            self.lists_touched.notify_one();
        }
    }

    /// Whether the upstream is starting or stopping, as far as it tells.
    pub(super) fn is_settled(&self) -> bool {
        lock(&self.cache).is_settled()
    }

    /// An answer that stands in for an upstream in trouble: it says how old it is.
    pub(super) fn stale(&self, question: Question, found: &Found) -> RawJson {
        self.stale.add();
        marked(&found.result, found.age, question.kind)
    }

    pub(super) fn flush(&self) -> usize {
        lock(&self.cache).flush()
    }

    /// Whether the caller is the one who asks again; until the permission is dropped, nobody else
    /// is.
    pub(super) fn may_refresh(self: &Arc<Self>, question: Question) -> Option<Refreshing> {
        lock(&self.refreshing)
            .insert(question.key)
            .then(|| Refreshing {
                answers: self.clone(),
                key: question.key,
            })
    }

    /// Waits until lists should be asked for again: when it is quiet after something may have changed
    /// them, or when their time is over.
    pub(super) async fn lists_due(&self) {
        let lifetime = lock(&self.cache).list_lifetime();
        let over = Instant::now() + lifetime.max(SHORTEST_POLL);
        if timeout_at(over, self.lists_touched.notified())
            .await
            .is_err()
        {
            return;
        }
        let latest = Instant::now() + SWARM;
        loop {
            let quiet = latest.min(Instant::now() + QUIET);
            let more = timeout_at(quiet, self.lists_touched.notified()).await;
            if more.is_err() || Instant::now() >= latest {
                return;
            }
        }
    }

    /// Whether somebody wants the lists to be asked for again.
    pub(super) fn lists_are_wanted(&self) -> bool {
        let wanted = self.lists_wanted.swap(false, Ordering::Relaxed);
        self.rules.load().enabled && (wanted || self.announcements.listeners() > 0)
    }

    /// The figures now; nothing if nothing is kept.
    pub(super) fn figures(&self) -> Option<Figures> {
        self.rules.load().enabled.then(|| Figures {
            stale: self.stale.total(),
            listeners: self.announcements.listeners(),
            cache: lock(&self.cache).figures(now()),
        })
    }
}

/// Figures of the kept answers, for the status.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Figures {
    /// The cache itself.
    #[serde(flatten)]
    pub cache: cache::Figures,
    /// Answers given in the place of an upstream in trouble, ever.
    pub stale: u64,
    /// Streams that hear of changed lists now.
    pub listeners: usize,
}

/// The permission to ask again.
#[derive(Debug)]
pub(super) struct Refreshing {
    answers: Arc<Answers>,
    key: Key,
}

impl Drop for Refreshing {
    fn drop(&mut self) {
        lock(&self.answers.refreshing).remove(&self.key);
    }
}

/// A result that says how old it is: in `_meta` for programs, and where it tells states also in
/// words, since a model sees nothing else.
fn marked(result: &RawJson, age: Duration, kind: Kind) -> RawJson {
    let Some(mut members) = result.members() else {
        return result.clone();
    };
    mark_stale(&mut members, age);
    if kind == Kind::Live {
        let seconds = age.as_secs();
        let text = format!(
            "Home Assistant does not answer now. This is how things were {seconds} s ago; do not \
             rely on it."
        );
        members.push_to(
            "content",
            &RawJson::of(&json!({"type": "text", "text": text})),
        );
    }
    members.write()
}

/// Says of a result how old it is, for programs.
pub(super) fn mark_stale(result: &mut Members<'_>, age: Duration) {
    let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    result.set_within("_meta", "mcp-bridge/stale", &RawJson::of(&true));
    result.set_within("_meta", "mcp-bridge/ageMs", &RawJson::of(&millis));
}

/// Method and params, as far as a person wants to read them.
fn shown(request: &Request) -> String {
    let mut params = request.param_members();
    params.remove_where(|key| key == "_meta");
    let mut text = request.method.clone();
    if !params.is_empty() {
        text.push(' ');
        text.push_str(&String::from_utf8_lossy(params.write().as_bytes()));
    }
    text.truncate(text.floor_char_boundary(MAX_SHOWN));
    text
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
