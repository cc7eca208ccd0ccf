//! What a client wants to hear of: the stream of `subscriptions/listen` (revision 2026-07-28,
//! basic/patterns/subscriptions), and what a legacy client hears without asking.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::json::{Members, RawJson};
use super::message::{Id, Notification, Payload, Request, Response};

/// The method of a request that opens such a stream.
pub const LISTEN: &str = "subscriptions/listen";
/// In `_meta`: to which stream a message belongs.
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// Resources that one client may watch.
const MAX_URIS: usize = 1000;

/// The lists that can change: their part of the filter, their capability, their notification.
const LISTS: [(&str, &str, &str); 3] = [
    (
        "toolsListChanged",
        "tools",
        "notifications/tools/list_changed",
    ),
    (
        "promptsListChanged",
        "prompts",
        "notifications/prompts/list_changed",
    ),
    (
        "resourcesListChanged",
        "resources",
        "notifications/resources/list_changed",
    ),
];
const URIS: &str = "resourceSubscriptions";
/// How a legacy client begins to watch a resource.
pub const SUBSCRIBE: &str = "resources/subscribe";
/// How it ends that.
pub const UNSUBSCRIBE: &str = "resources/unsubscribe";
const UPDATED: &str = "notifications/resources/updated";

/// What a client wants to hear of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Notifications of changed lists, in the order of the specification.
    lists: BTreeSet<&'static str>,
    /// Resources whose updates it wants.
    uris: BTreeSet<String>,
}

impl Filter {
    /// Every change of a list, and no resources.
    pub fn lists() -> Self {
        Self {
            lists: LISTS.map(|(_, _, method)| method).into(),
            uris: BTreeSet::new(),
        }
    }

    /// What a `subscriptions/listen` asks for.
    ///
    /// # Errors
    /// What is wrong with its params.
    pub fn of_request(request: &Request) -> Result<Self, &'static str> {
        let params = request.param_members();
        let wanted = params
            .get("notifications")
            .ok_or("`notifications` is missing")?;
        let wanted: Map<String, Value> =
            serde_json::from_str(wanted).map_err(|_| "`notifications` must be an object")?;
        let mut filter = Self::default();
        for (key, _, method) in LISTS {
            match wanted.get(key) {
                None | Some(Value::Bool(false) | Value::Null) => {}
                Some(Value::Bool(true)) => drop(filter.lists.insert(method)),
                Some(_) => return Err("what is listened to is true or false"),
            }
        }
        let uris = wanted.get(URIS).filter(|uris| !uris.is_null());
        for uri in uris.map_or(Ok(&Vec::new()), |uris| {
            uris.as_array()
                .ok_or("`resourceSubscriptions` must be a list")
        })? {
            let uri = uri.as_str().ok_or("a resource is named by its URI")?;
            if !filter.watch(uri) {
                return Err("that are too many resources for one stream");
            }
        }
        Ok(filter)
    }

    /// Wants to hear of this resource, too; false if it wants so much already that it cannot.
    pub fn watch(&mut self, uri: &str) -> bool {
        if self.uris.len() >= MAX_URIS && !self.uris.contains(uri) {
            return false;
        }
        self.uris.insert(uri.to_owned());
        true
    }

    /// Wants to hear of those resources only that are `kept`.
    pub fn keep_uris(&mut self, kept: impl FnMut(&String) -> bool) {
        self.uris.retain(kept);
    }

    /// Does not want to hear of this resource any more.
    pub fn unwatch(&mut self, uri: &str) {
        self.uris.remove(uri);
    }

    /// The same, wanting to hear of these resources.
    #[must_use]
    pub fn watching(mut self, uris: BTreeSet<String>) -> Self {
        self.uris = uris;
        self
    }

    /// A request that asks for it.
    pub fn request(&self, id: Id) -> Request {
        let params = json!({"notifications": self.as_params()});
        Request::new(id, LISTEN, Some(RawJson::of(&params)))
    }

    fn as_params(&self) -> Map<String, Value> {
        let mut params = Map::new();
        for (key, _, method) in LISTS {
            if self.lists.contains(method) {
                params.insert(key.to_owned(), true.into());
            }
        }
        if !self.uris.is_empty() {
            params.insert(URIS.to_owned(), json!(self.uris));
        }
        params
    }

    /// What is left of it at a server with these capabilities.
    #[must_use]
    pub fn honoured(mut self, capabilities: &RawJson) -> Self {
        for (_, kind, method) in LISTS {
            if !offers(capabilities, kind, "listChanged") {
                self.lists.remove(method);
            }
        }
        if !tells_of_resources(capabilities) {
            self.uris.clear();
        }
        self
    }

    /// The resources whose updates it wants.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.uris.iter().map(String::as_str)
    }

    /// Whether the client wants to hear this.
    pub fn admits(&self, notification: &Notification) -> bool {
        if notification.method != UPDATED {
            return self.lists.contains(notification.method.as_str());
        }
        let params = notification.param_members();
        params
            .get_str("uri")
            .is_some_and(|uri| self.uris.contains(&*uri))
    }

    /// All that it wants to hear of, for a client that may have missed any of it.
    pub fn everything(&self) -> Vec<Notification> {
        let lists = self
            .lists
            .iter()
            .map(|method| Notification::new(method, None));
        lists
            .chain(self.uris.iter().map(|uri| updated(uri)))
            .collect()
    }

    /// The first message of a stream that was opened by request `id`.
    pub fn acknowledgement(&self, id: &Id) -> Notification {
        let params = RawJson::of(&json!({"notifications": self.as_params()}));
        let acknowledged =
            Notification::new("notifications/subscriptions/acknowledged", Some(params));
        tagged(&acknowledged, id)
    }
}

/// Says that a resource is different.
pub fn updated(uri: &str) -> Notification {
    Notification::new(UPDATED, Some(RawJson::of(&json!({"uri": uri}))))
}

fn offers(capabilities: &RawJson, kind: &str, flag: &str) -> bool {
    let capabilities = capabilities.members();
    let kind = capabilities.as_ref().and_then(|members| members.get(kind));
    kind.and_then(|text| Members::parse(text.as_bytes()).ok())
        .is_some_and(|offer| offer.get(flag) == Some("true"))
}

/// Whether a server with these capabilities tells of updated resources.
pub fn tells_of_resources(capabilities: &RawJson) -> bool {
    offers(capabilities, "resources", "subscribe")
}

/// Whether a server with these capabilities has anything to say that belongs to no call.
pub fn can_be_heard(capabilities: &RawJson) -> bool {
    let lists = LISTS.iter();
    let mut lists = lists.map(|(_, kind, _)| offers(capabilities, kind, "listChanged"));
    lists.any(|offered| offered) || tells_of_resources(capabilities)
}

/// Whether this is how a legacy client says which resources it watches.
pub fn is_watching(method: &str) -> bool {
    matches!(method, SUBSCRIBE | UNSUBSCRIBE)
}

/// The answer to such a request that was granted.
pub fn watched(request: &Request) -> Response {
    let nothing = Payload::Result(RawJson::of(&json!({})));
    Response::new(Some(request.id.clone()), nothing)
}

/// Whether a notification is for all who listen, whatever stream it came on.
pub fn belongs_to_no_call(notification: &Notification) -> bool {
    let method = notification.method.as_str();
    method == UPDATED || LISTS.iter().any(|(_, _, changed)| *changed == method)
}

/// The notification as it came on a stream of another.
#[must_use]
pub fn untagged(notification: &Notification) -> Notification {
    let mut params = notification.param_members();
    let meta = params.get("_meta").unwrap_or("{}").to_owned();
    let Ok(mut meta) = Members::parse(meta.as_bytes()) else {
        return notification.clone();
    };
    meta.remove_where(|key| key == SUBSCRIPTION_ID);
    if meta.is_empty() {
        params.remove_where(|key| key == "_meta");
    } else {
        params.set("_meta", &meta.write());
    }
    notification.with_params(params.write())
}

/// The notification as it goes out on the stream that was opened by request `id`.
#[must_use]
pub fn tagged(notification: &Notification, id: &Id) -> Notification {
    let mut params = notification.param_members();
    let meta = params.get("_meta").unwrap_or("{}").to_owned();
    let mut meta = Members::parse(meta.as_bytes()).unwrap_or_else(|_| Members::empty());
    meta.set(SUBSCRIPTION_ID, id.json());
    params.set("_meta", &meta.write());
    notification.with_params(params.write())
}

/// The last message of a stream that the server ends.
pub fn end(id: &Id) -> Response {
    let result = json!({"resultType": "complete", "_meta": {SUBSCRIPTION_ID: id.json()}});
    Response::new(Some(id.clone()), Payload::Result(RawJson::of(&result)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(notifications: Value) -> Result<Filter, &'static str> {
        let params = RawJson::of(&json!({"notifications": notifications}));
        Filter::of_request(&Request::new(Id::text("s"), LISTEN, Some(params)))
    }

    fn updated(uri: &str) -> Notification {
        Notification::new(UPDATED, Some(RawJson::of(&json!({"uri": uri, "x": 1.0}))))
    }

    #[test]
    fn only_what_was_asked_for_is_heard() {
        let filter = listen(
            json!({"toolsListChanged": true, "promptsListChanged": false,
            "resourceSubscriptions": ["a://1"]}),
        );
        let filter = filter.unwrap();
        let heard = |method: &str| filter.admits(&Notification::new(method, None));
        assert!(heard("notifications/tools/list_changed"));
        assert!(!heard("notifications/prompts/list_changed"));
        assert!(!heard("notifications/message") && !heard("notifications/progress"));
        assert!(filter.admits(&updated("a://1")) && !filter.admits(&updated("a://2")));
    }

    #[test]
    fn what_is_wrong_with_a_filter_is_said() {
        for bad in [
            json!(5),
            json!({"toolsListChanged": 1}),
            json!({"resourceSubscriptions": "a://1"}),
            json!({"resourceSubscriptions": [5]}),
            json!({"resourceSubscriptions": (0..1001).map(|n| n.to_string()).collect::<Vec<_>>()}),
        ] {
            assert!(listen(bad.clone()).is_err(), "{bad}");
        }
        assert!(Filter::of_request(&Request::new(Id::number(1), LISTEN, None)).is_err());
        assert_eq!(listen(json!({"somethingNew": true})), Ok(Filter::default()));
    }

    #[test]
    fn the_acknowledgement_names_what_the_server_can_do() {
        let filter = listen(
            json!({"toolsListChanged": true, "resourcesListChanged": true,
            "resourceSubscriptions": ["a://1"]}),
        );
        let capabilities =
            json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}});
        let filter = filter.unwrap().honoured(&RawJson::of(&capabilities));
        let told: Value =
            serde_json::from_slice(&filter.acknowledgement(&Id::text("s")).to_bytes()).unwrap();
        assert_eq!(told["method"], "notifications/subscriptions/acknowledged");
        let expected = json!({"toolsListChanged": true, "resourceSubscriptions": ["a://1"]});
        assert_eq!(told["params"]["notifications"], expected);
        assert_eq!(told["params"]["_meta"][SUBSCRIPTION_ID], "s");
        assert_eq!(filter.everything().len(), 2);
        let nothing = filter.honoured(&RawJson::of(&json!({})));
        assert_eq!(nothing, Filter::default());
    }

    #[test]
    fn every_message_says_to_which_stream_it_belongs() {
        let tagged = tagged(&updated("a://1"), &Id::number(7)).to_bytes();
        let text = std::str::from_utf8(&tagged).unwrap();
        assert!(
            text.contains(r#""x":1.0"#) && text.contains(r#"subscriptionId":7"#),
            "{text}"
        );
        let text = String::from_utf8(end(&Id::number(7)).to_bytes().to_vec()).unwrap();
        assert!(
            text.contains(r#"subscriptionId":7"#) && text.contains(r#""id":7"#),
            "{text}"
        );
    }

    #[test]
    fn a_client_watches_a_bounded_number_of_resources() {
        let mut filter = Filter::lists();
        assert!((0..MAX_URIS).all(|n| filter.watch(&n.to_string())));
        assert!(!filter.watch("x") && filter.watch("0"));
        filter.unwatch("0");
        assert!(filter.watch("x") && !filter.admits(&updated("0")));
    }
}
