//! The things of the upstream as resources of the bridge: listed behind the upstream's own, read from
//! what is known of them, watched.
//!
//! A resource tells what the tool for the live context would tell of that one thing, so whoever may
//! not call the tool with its name, area and domain does not see the resource.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::answers::{LIVE_CONTEXT, List};
use super::flights::Outcome;
use super::guard::{Guard, Tool, Verdict};
use super::watching::{Watchers, Watching};
use super::{Call, Dispatcher};
use crate::error::{Code, Failure};
use crate::protocol::code;
use crate::protocol::json::{Members, RawJson};
use crate::protocol::message::{Notification, Payload, Response};
use crate::protocol::subscription;
use crate::upstream::{Insight, Thing, Told};

/// The addresses of everything that belongs to Home Assistant.
const SCHEME: &str = "homeassistant://";
/// What stands before the id of a thing.
const PREFIX: &str = "homeassistant://entity/";
/// What stands before the id of a thing in the cursor of the page behind it.
const CURSOR: &str = "mcp-bridge/entity/";
/// Resources on a page.
const PAGE: usize = 100;
const MIME: &str = "application/json";
/// Under which names the tool for the live context is known where no list tells.
const LIVE_CONTEXT_NAMES: [&str; 2] = ["homeassistant__GetLiveContext", "GetLiveContext"];

/// What is remembered of those who listen.
#[derive(Debug)]
pub(super) struct Resources {
    watchers: Arc<Watchers>,
    /// What the list looked like when it was last told that it is another one.
    told: AtomicU64,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            watchers: Arc::default(),
            told: DefaultHasher::new().finish().into(),
        }
    }
}

/// What one caller sees of things.
struct View {
    guard: Arc<dyn Guard>,
    /// The names that the tool for the live context may have. None are needed where everything may be
    /// seen.
    names: Vec<String>,
    takes: Vec<String>,
}

impl View {
    /// # Errors
    /// The rule that forbids to see the thing, or everything if none is given.
    fn check(&self, thing: Option<&Thing>) -> Result<(), String> {
        let mut arguments = Map::new();
        if let Some(thing) = thing {
            let domain = thing.id.split('.').next().unwrap_or_default();
            let said = [
                ("name", thing.name.as_deref()),
                ("area", thing.area.as_deref()),
                ("domain", Some(domain)),
            ];
            let said = said
                .into_iter()
                .filter_map(|(key, text)| Some((key, text?)));
            arguments.extend(said.map(|(key, text)| (key.to_owned(), text.into())));
        }
        for name in &self.names {
            let tool = Tool {
                name,
                looks: true,
                takes: Some(&self.takes),
            };
            match self.guard.judge(&tool, Some(&arguments)) {
                Verdict::Allowed => {}
                Verdict::Denied(why) | Verdict::Confirm(why) => return Err(why),
            }
        }
        Ok(())
    }

    /// A page of the things that may be seen, and whether there is another one behind it.
    fn page(&self, insight: &dyn Insight, after: Option<&str>) -> (Vec<Thing>, bool) {
        let mut page = Vec::new();
        let mut after = after.map(Arc::from);
        loop {
            let things = insight.things_after(after.as_deref(), PAGE + 1);
            let Some(last) = things.last() else {
                return (page, false);
            };
            after = Some(last.id.clone());
            let seen = things
                .into_iter()
                .filter(|thing| self.check(Some(thing)).is_ok());
            page.extend(seen);
            if page.len() > PAGE {
                page.truncate(PAGE);
                return (page, true);
            }
        }
    }
}

impl Dispatcher {
    /// Whether there are such resources.
    pub(super) fn has_own_resources(&self) -> bool {
        self.teller().is_some()
    }

    /// The answer to a request about a resource of the bridge; nothing if the upstream has to be asked.
    pub(super) fn own_resource(&self, call: &Call) -> Option<Outcome> {
        let request = &call.request;
        let params = request.param_members();
        match request.method.as_str() {
            "resources/list" => {
                let cursor = params.get_str("cursor")?;
                let after = cursor.strip_prefix(CURSOR)?;
                Some(Ok(self.page(call, Members::empty(), Some(after))))
            }
            "resources/read" | subscription::SUBSCRIBE | subscription::UNSUBSCRIBE => {
                let uri = params.get_str("uri")?;
                match (self.teller(), uri.strip_prefix(PREFIX)) {
                    (Some(insight), Some(id)) => Some(self.about(call, insight.told(id), &uri)),
                    // It tells everything at once.
                    _ if uri.starts_with(SCHEME) => {
                        let view = self.view(&call.client.guard);
                        let why = view.check(None).err()?;
                        Some(Err(Failure::with(Code::Denied, why)))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn about(&self, call: &Call, told: Option<Told>, uri: &str) -> Outcome {
        let request = &call.request;
        if request.method == subscription::UNSUBSCRIBE {
            return Ok(subscription::watched(request));
        }
        let Some(told) = told else {
            let error = json!({"code": code::RESOURCE_NOT_FOUND, "message": "Resource not found",
                "data": {"uri": uri}});
            let error = Payload::Error(RawJson::of(&error));
            return Ok(Response::new(Some(request.id.clone()), error));
        };
        let seen = self.view(&call.client.guard).check(Some(&told.thing));
        seen.map_err(|why| Failure::with(Code::Denied, why))?;
        if request.method == subscription::SUBSCRIBE {
            if call.in_session {
                return Ok(subscription::watched(request));
            }
            let why = "without a session there is nobody to tell later. Listen with \
                       subscriptions/listen, connect over WebSocket or HTTP+SSE, or set \
                       `legacy_sessions: always`";
            return Err(Failure::with(Code::MethodNotFound, why));
        }
        let result = Payload::Result(read(uri, &told));
        Ok(Response::new(Some(request.id.clone()), result))
    }

    /// The upstream's answer with what the bridge adds to it.
    pub(super) fn with_own_resources(&self, call: &Call, outcome: Outcome) -> Outcome {
        let method = call.request.method.as_str();
        let adds = matches!(method, "resources/list" | "resources/templates/list");
        if !adds || !self.has_own_resources() {
            return outcome;
        }
        let response = outcome?;
        let members = match &response.payload {
            Payload::Result(result) => result.members(),
            // It has none, or no such list.
            Payload::Error(_) => {
                let has_none = response.error_code() == Some(code::METHOD_NOT_FOUND.into());
                has_none.then(Members::empty)
            }
        };
        let Some(mut members) = members else {
            return Ok(response);
        };
        if members
            .get("nextCursor")
            .is_some_and(|cursor| cursor != "null")
        {
            return Ok(response);
        }
        if method == "resources/list" {
            return Ok(self.page(call, members, None));
        }
        extend(&mut members, "resourceTemplates", &[template()]);
        let result = Payload::Result(members.write());
        Ok(Response::new(Some(call.request.id.clone()), result))
    }

    /// A list of resources with a page of the bridge's own behind them.
    fn page(&self, call: &Call, mut list: Members<'_>, after: Option<&str>) -> Response {
        let view = self.view(&call.client.guard);
        let teller = self.teller();
        let (things, is_more) =
            teller.map_or_else(Default::default, |insight| view.page(&*insight, after));
        let entries: Vec<Value> = things.iter().map(entry).collect();
        extend(&mut list, "resources", &entries);
        if is_more && let Some(last) = things.last() {
            let cursor = format!("{CURSOR}{}", last.id);
            list.set("nextCursor", &RawJson::of(&cursor));
        }
        let result = Payload::Result(list.write());
        Response::new(Some(call.request.id.clone()), result)
    }

    /// Watches a resource of the bridge for whoever has this guard: says whether it does, or nothing
    /// if it is none of the bridge's.
    pub(super) fn watch_for(
        &self,
        guard: &Arc<dyn Guard>,
        watching: &Watching,
        uri: &str,
    ) -> Option<bool> {
        let id = uri.strip_prefix(PREFIX)?;
        let told = self.teller()?.told(id);
        let may = told.is_some_and(|told| self.view(guard).check(Some(&told.thing)).is_ok());
        Some(may && watching.watch(&self.resources.watchers, uri))
    }

    /// Watches a resource for a client to which that was granted; false if it is none of the bridge's.
    pub fn watch(&self, watching: &Watching, uri: &str) -> bool {
        let is_own = uri.starts_with(PREFIX) && self.has_own_resources();
        if is_own && !watching.watch(&self.resources.watchers, uri) {
            tracing::warn!(uri, "too many resources are watched already");
        }
        is_own
    }

    /// Something else is told of a thing than before.
    pub fn told(&self, id: &str) {
        let watchers = &self.resources.watchers;
        if !watchers.is_empty() {
            watchers.updated(&uri(id));
        }
    }

    /// Whether the client may ask for the live context of everything.
    pub(super) fn may_see_everything(&self, call: &Call) -> bool {
        self.view(&call.client.guard).check(None).is_ok()
    }

    /// Tells those who listen that the list of resources is another one, if it is.
    pub(super) fn tell_of_own_list(&self) {
        let mut hasher = DefaultHasher::new();
        if let Some(insight) = self.teller() {
            let mut after = None;
            loop {
                let things = insight.things_after(after.as_deref(), PAGE);
                let Some(last) = things.last() else { break };
                after = Some(last.id.clone());
                for thing in &things {
                    (&thing.id, &thing.name).hash(&mut hasher);
                }
            }
        }
        let now = hasher.finish();
        if self.resources.told.swap(now, Ordering::Relaxed) != now {
            tracing::debug!("other entities are told of, or by other names");
            let changed = Notification::new(List::Resources.notification(), None);
            self.announcements.announce(changed);
        }
    }

    /// Who tells of things, if anybody does.
    fn teller(&self) -> Option<Arc<dyn Insight>> {
        let upstream = self.upstream();
        let insight = upstream.insight()?;
        insight.tells_of_things().then(|| insight.clone())
    }

    fn view(&self, guard: &Arc<dyn Guard>) -> View {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let mut names = Vec::new();
        if !guard.is_open() {
            names = self.screening.tools_like(LIVE_CONTEXT);
            if names.is_empty() {
                names = texts(&LIVE_CONTEXT_NAMES);
            }
        }
        View {
            guard: guard.clone(),
            names,
            takes: texts(&["name", "area", "domain"]),
        }
    }
}

/// The address of a thing.
fn uri(id: &str) -> String {
    format!("{PREFIX}{id}")
}

/// Its entry in `resources/list`.
fn entry(thing: &Thing) -> Value {
    let mut entry = json!({"uri": uri(&thing.id), "name": thing.id, "mimeType": MIME});
    if let Some(name) = &thing.name {
        entry["title"] = json!(name);
    }
    entry
}

/// The entry in `resources/templates/list`.
fn template() -> Value {
    json!({
        "uriTemplate": format!("{PREFIX}{{entity_id}}"),
        "name": "entity",
        "title": "Entity of Home Assistant",
        "description": "State, area and attributes of an entity that is exposed to the assistant, as \
                        JSON",
        "mimeType": MIME,
    })
}

/// The result of `resources/read`. One that may be old says so: in `_meta` for programs, and in the
/// text, since a model sees nothing else.
fn read(uri: &str, told: &Told) -> RawJson {
    let mut text = told.text.clone();
    if let (Some(age), Ok(mut members)) = (told.age, Members::parse(told.text.as_bytes())) {
        members.set("not_heard_of_for_s", &RawJson::of(&age.as_secs()));
        text = String::from_utf8_lossy(members.write().as_bytes()).into_owned();
    }
    let contents = json!([{"uri": uri, "mimeType": MIME, "text": text}]);
    let mut result = Members::empty();
    result.set("contents", &RawJson::of(&contents));
    if let Some(age) = told.age {
        super::answers::mark_stale(&mut result, age);
    }
    result.write()
}

/// Puts entries behind those of a list; what is there keeps its bytes.
fn extend(members: &mut Members<'_>, key: &str, entries: &[Value]) {
    let before = members.get(key).unwrap_or("[]");
    let Ok(mut all) = serde_json::from_str::<Vec<Box<RawValue>>>(before) else {
        return;
    };
    let new = entries.iter().map(serde_json::value::to_raw_value);
    all.extend(new.filter_map(Result::ok));
    members.set(key, &RawJson::of(&all));
}
