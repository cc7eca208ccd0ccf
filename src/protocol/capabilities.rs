//! What the bridge says about an upstream in its own `initialize` and `server/discover` answers.

use super::era;
use super::json::{Members, RawJson};
use super::revision::Revision;

/// What an upstream said about itself when it was greeted; each part as it was written.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// `capabilities`.
    pub capabilities: RawJson,
    /// `serverInfo`, without `icons`: their addresses are those under which the bridge reaches the
    /// upstream, which are nobody's business and lead nowhere from elsewhere. SDKs of revisions
    /// that had none refuse the whole answer over them.
    pub server_info: RawJson,
    /// `instructions`, a JSON string.
    pub instructions: Option<RawJson>,
}

impl Introduction {
    /// The parts of an `initialize` result; nothing if it is none.
    pub fn of_result(result: &RawJson) -> Option<Self> {
        let members = result.members()?;
        let part = |key: &str| {
            members
                .get(key)
                .and_then(|text| RawJson::parse(text.to_owned().into()).ok())
        };
        Some(Self {
            capabilities: part("capabilities").filter(|json| json.members().is_some())?,
            server_info: without_icons(part("serverInfo")?)?,
            instructions: part("instructions"),
        })
    }

    /// The parts of a `server/discover` result, whose name for the server stands in its metadata;
    /// nothing if it is none.
    pub fn of_discovery(result: &RawJson) -> Option<Self> {
        let mut members = result.members()?;
        let meta = members.get("_meta").unwrap_or("{}").to_owned();
        let meta = Members::parse(meta.as_bytes()).ok()?;
        let unnamed = RawJson::of(&serde_json::json!({"name": "", "version": ""}));
        let info = meta
            .get(era::meta::SERVER_INFO)
            .and_then(|text| RawJson::parse(text.to_owned().into()).ok());
        members.set("serverInfo", &info.unwrap_or(unnamed));
        Self::of_result(&members.write())
    }

    /// What is said of an upstream that could not be asked yet: the three kinds of things that Home
    /// Assistant offers, so that a client that connects during an outage finds its tools when it is
    /// over.
    pub fn assumed() -> Self {
        Self {
            capabilities: RawJson::of(
                &serde_json::json!({"tools": {}, "prompts": {}, "resources": {}}),
            ),
            server_info: RawJson::of(
                &serde_json::json!({"name": "mcp-bridge", "version": env!("CARGO_PKG_VERSION")}),
            ),
            instructions: None,
        }
    }

    /// The capabilities, as far as they are carried to a client.
    pub fn offered(&self, reach: Reach) -> RawJson {
        carried(&self.capabilities, reach)
    }

    /// Whether it has a capability, such as `prompts`.
    pub fn offers(&self, capability: &str) -> bool {
        let capabilities = self.capabilities.members();
        capabilities.is_some_and(|members| members.get(capability).is_some())
    }

    /// The result of `initialize` in `revision`.
    pub fn initialize_result(&self, revision: Revision, reach: Reach) -> RawJson {
        let mut members = Members::empty();
        members.set("protocolVersion", &RawJson::of(&revision.as_str()));
        members.set("capabilities", &self.offered(reach));
        members.set("serverInfo", &self.server_info);
        if let Some(instructions) = &self.instructions {
            members.set("instructions", instructions);
        }
        members.write()
    }

    /// The result of `server/discover`, without what every modern result has
    /// ([`super::era::to_modern`] adds that).
    pub fn discover_result(&self, reach: Reach) -> RawJson {
        let mut members = Members::empty();
        let versions = Revision::MODERN.map(Revision::as_str);
        members.set("supportedVersions", &RawJson::of(&versions));
        members.set("capabilities", &self.offered(reach));
        if let Some(instructions) = &self.instructions {
            members.set("instructions", instructions);
        }
        members.write()
    }
}

/// How far a client can be reached besides the answers to its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Whether the bridge knows from one request to the next which resources the client watches and
    /// how severe log messages have to be. Modern clients say so in their requests, legacy ones
    /// only once.
    pub is_remembered: bool,
    /// Whether the bridge finds out by itself that a list has changed, and tells everybody who
    /// listens. Otherwise that is up to the server.
    pub hears_of_lists: bool,
    /// Whether the bridge has resources of its own, which can be watched, and tells of changes in
    /// their list.
    pub has_own_resources: bool,
}

/// The capabilities without those that do not reach the client, and with what the bridge adds. Tasks
/// reach nobody: they live in the session of the bridge with the upstream.
fn carried(capabilities: &RawJson, reach: Reach) -> RawJson {
    let Some(mut kept) = capabilities.members() else {
        return capabilities.clone();
    };
    kept.remove_where(|key| key == "tasks" || key == "logging" && !reach.is_remembered);
    if reach.hears_of_lists {
        for kind in ["tools", "prompts", "resources"] {
            offer_changes(&mut kept, kind);
        }
    }
    if reach.has_own_resources {
        kept.set_if_absent("resources", &Members::empty().write());
        kept.set_within("resources", "subscribe", &RawJson::of(&true));
        offer_changes(&mut kept, "resources");
    }
    let resources = kept.get("resources").unwrap_or_default().to_owned();
    if let Ok(mut offer) = Members::parse(resources.as_bytes())
        && offer.get("subscribe") == Some("true")
        && !reach.is_remembered
    {
        offer.set("subscribe", &RawJson::of(&false));
        kept.set("resources", &offer.write());
    }
    kept.write()
}

/// Says that changes of a list are told, if there is such a list.
fn offer_changes(capabilities: &mut Members<'_>, kind: &str) {
    let offer = capabilities.get(kind).unwrap_or_default().to_owned();
    if let Ok(mut offer) = Members::parse(offer.as_bytes())
        && offer.get("listChanged") != Some("true")
    {
        offer.set("listChanged", &RawJson::of(&true));
        capabilities.set(kind, &offer.write());
    }
}

/// The same bytes where there are none; nothing if it is no object.
fn without_icons(info: RawJson) -> Option<RawJson> {
    let mut members = info.members()?;
    let had_some = members.remove_where(|key| key == "icons");
    Some(if had_some { members.write() } else { info })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// Of a client that is told what the server tells.
    const FAR: Reach = Reach {
        is_remembered: true,
        hears_of_lists: false,
        has_own_resources: false,
    };

    fn introduction(result: &'static str) -> Introduction {
        let result = RawJson::parse(Bytes::from_static(result.as_bytes())).unwrap();
        Introduction::of_result(&result).unwrap()
    }

    #[test]
    fn icons_stay_with_the_bridge_and_the_rest_is_said_as_it_was_written() {
        for (said, told) in [
            (
                r#"{"capabilities":{},"serverInfo":{"name":"ha","icons":[{"src":"http://127.0.0.1/x"}],"version":""}}"#,
                r#"{"name":"ha","version":""}"#,
            ),
            (
                r#"{"capabilities":{},"serverInfo":{ "name": "ha" }}"#,
                r#"{ "name": "ha" }"#,
            ),
        ] {
            let upstream = introduction(said);
            assert_eq!(upstream.server_info.as_bytes(), told.as_bytes());
            let result = upstream.initialize_result(Revision::V2025_11_25, FAR);
            assert_eq!(result.members().unwrap().get("serverInfo"), Some(told));
        }
    }

    #[test]
    fn what_does_not_reach_the_client_is_not_promised_and_the_unknown_stays() {
        let upstream = introduction(
            r#"{"capabilities":{"tools":{"listChanged":true,"x":1.0},"logging":{},"tasks":{},"resources":{"subscribe":true},"new":{"a":[]}},"serverInfo":{}}"#,
        );
        for (in_session, told) in [
            (
                true,
                r#"{"tools":{"listChanged":true,"x":1.0},"logging":{},"resources":{"subscribe":true},"new":{"a":[]}}"#,
            ),
            (
                false,
                r#"{"tools":{"listChanged":true,"x":1.0},"resources":{"subscribe":false},"new":{"a":[]}}"#,
            ),
        ] {
            let reach = Reach {
                is_remembered: in_session,
                ..FAR
            };
            let result = upstream.initialize_result(Revision::V2025_11_25, reach);
            assert_eq!(result.members().unwrap().get("capabilities"), Some(told));
        }
    }

    #[test]
    fn changes_that_the_bridge_finds_out_by_itself_are_offered_for_every_list_that_is_there() {
        let upstream = introduction(
            r#"{"capabilities":{"tools":{"listChanged":false,"x":1.0},"prompts":{}},"serverInfo":{}}"#,
        );
        let reach = Reach {
            hears_of_lists: true,
            ..FAR
        };
        let told = r#"{"tools":{"listChanged":true,"x":1.0},"prompts":{"listChanged":true}}"#;
        assert_eq!(upstream.offered(reach).as_bytes(), told.as_bytes());
    }

    #[test]
    fn resources_of_the_bridge_can_be_watched_by_those_who_can_be_told() {
        for (offers, is_remembered, told) in [
            (
                "{}",
                true,
                r#"{"resources":{"subscribe":true,"listChanged":true}}"#,
            ),
            (
                r#"{"resources":{"listChanged":false,"subscribe":false}}"#,
                true,
                r#"{"resources":{"listChanged":true,"subscribe":true}}"#,
            ),
            (
                "{}",
                false,
                r#"{"resources":{"subscribe":false,"listChanged":true}}"#,
            ),
        ] {
            let said = format!(r#"{{"capabilities":{offers},"serverInfo":{{}}}}"#);
            let said = RawJson::parse(said.into()).unwrap();
            let upstream = Introduction::of_result(&said).unwrap();
            let reach = Reach {
                is_remembered,
                has_own_resources: true,
                ..FAR
            };
            assert_eq!(upstream.offered(reach).as_bytes(), told.as_bytes());
        }
    }

    #[test]
    fn instructions_reach_both_eras() {
        let upstream =
            introduction(r#"{"capabilities":{},"serverInfo":{},"instructions":"Be \u00e9!"}"#);
        for result in [
            upstream.initialize_result(Revision::V2024_11_05, FAR),
            upstream.discover_result(FAR),
        ] {
            assert_eq!(
                result.members().unwrap().get("instructions"),
                Some(r#""Be \u00e9!""#)
            );
        }
    }

    #[test]
    fn a_modern_server_is_introduced_by_its_discovery() {
        let text = r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},
            "_meta":{"io.modelcontextprotocol/serverInfo":{"name":"m"}}}"#;
        let result = RawJson::parse(Bytes::from_static(text.as_bytes())).unwrap();
        let introduction = Introduction::of_discovery(&result).unwrap();
        assert_eq!(introduction.server_info.as_bytes(), br#"{"name":"m"}"#);
    }

    #[test]
    fn a_result_that_is_no_introduction_is_none() {
        for text in [&b"5"[..], b"{}", br#"{"capabilities":1,"serverInfo":{}}"#] {
            assert!(
                Introduction::of_result(&RawJson::parse(Bytes::from_static(text)).unwrap())
                    .is_none()
            );
        }
    }
}
