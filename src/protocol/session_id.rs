//! Session ids of legacy clients that say themselves what the session is, so that they survive a
//! restart of the bridge and are good at every replica that has the same key.

use serde::{Deserialize, Serialize};

use super::client::ClientProfile;
use super::json::{Members, RawJson};
use super::revision::Revision;
use super::seal::Seal;

/// Bytes of what a client says about itself that find room in an id. It travels in a header of
/// every request, and servers before the bridge take some 8 KB of headers.
const MAX_PROFILE: usize = 2048;
/// Capabilities that decide what the bridge does; they find room in any case.
const DECISIVE: [&str; 3] = ["sampling", "elicitation", "roots"];

/// What a session id says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionId {
    /// Tells sessions apart; random.
    pub number: u128,
    /// The revision that was agreed on.
    pub revision: Revision,
    /// What the client said about itself.
    pub profile: ClientProfile,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(rename = "n")]
    number: String,
    #[serde(rename = "v")]
    revision: String,
    #[serde(rename = "c")]
    capabilities: Box<serde_json::value::RawValue>,
    #[serde(rename = "i", skip_serializing_if = "Option::is_none")]
    info: Option<Box<serde_json::value::RawValue>>,
}

impl SessionId {
    /// Of a new session. What the client says about itself is cut to what finds room.
    pub fn new(number: u128, revision: Revision, profile: ClientProfile) -> Self {
        Self {
            number,
            revision,
            profile: fitting(profile),
        }
    }

    /// The id as `client` is given it: visible ASCII, as the specification demands.
    pub fn write(&self, seal: &Seal, client: &str) -> String {
        let raw = |json: &RawJson| serde_json::from_slice(json.as_bytes()).ok();
        let content = Content {
            number: format!("{:x}", self.number),
            revision: self.revision.as_str().to_owned(),
            capabilities: raw(&self.profile.capabilities).unwrap_or_default(),
            info: self.profile.info.as_ref().and_then(raw),
        };
        let content = RawJson::of(&content);
        seal.close(content.as_bytes(), client)
    }

    /// The id that `client` sent; nothing if the bridge did not give it to this client.
    pub fn read(text: &str, seal: &Seal, client: &str) -> Option<Self> {
        let content = seal.open(text, client)?;
        let content: Content = serde_json::from_slice(&content).ok()?;
        let json = |raw: Box<serde_json::value::RawValue>| {
            RawJson::parse(String::from(Box::<str>::from(raw)).into()).ok()
        };
        Some(Self {
            number: u128::from_str_radix(&content.number, 16).ok()?,
            revision: Revision::parse(&content.revision)?,
            profile: ClientProfile {
                capabilities: json(content.capabilities)?,
                info: content.info.and_then(json),
            },
        })
    }
}

/// As much of a profile as an id has room for.
fn fitting(profile: ClientProfile) -> ClientProfile {
    let ClientProfile { capabilities, info } = profile;
    let decisive = |text: &RawJson| kept(text, |key| DECISIVE.contains(&key));
    let capabilities = if capabilities.as_bytes().len() > MAX_PROFILE {
        Some(decisive(&capabilities)).filter(|json| json.as_bytes().len() <= MAX_PROFILE)
    } else {
        Some(capabilities)
    };
    let capabilities = capabilities.unwrap_or_else(|| ClientProfile::default().capabilities);
    let room = MAX_PROFILE.saturating_sub(capabilities.as_bytes().len());
    let fits = |json: &RawJson| json.as_bytes().len() <= room;
    let name = |json: RawJson| kept(&json, |key| matches!(key, "name" | "version"));
    let info = info.map(|json| if fits(&json) { json } else { name(json) });
    ClientProfile {
        capabilities,
        info: info.filter(fits),
    }
}

/// An object without the members that do not satisfy the condition.
fn kept(json: &RawJson, condition: impl Fn(&str) -> bool) -> RawJson {
    let mut members = json.members().unwrap_or_else(Members::empty);
    members.remove_where(|key| !condition(key));
    members.write()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn seal() -> Seal {
        Seal::new(&[7; 32], "session")
    }

    fn id(capabilities: &Value, info: &Value) -> SessionId {
        let profile = ClientProfile {
            capabilities: RawJson::of(capabilities),
            info: Some(RawJson::of(info)),
        };
        SessionId::new(u128::MAX, Revision::V2025_06_18, profile)
    }

    #[test]
    fn an_id_says_what_the_session_is_to_the_client_that_has_it() {
        let id = id(
            &json!({"sampling": {}, "new": [1.0]}),
            &json!({"name": "x", "version": "1"}),
        );
        let text = id.write(&seal(), "n8n");
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
        assert_eq!(SessionId::read(&text, &seal(), "n8n"), Some(id));
        assert_eq!(SessionId::read(&text, &seal(), "other"), None);
        assert_eq!(
            SessionId::read(&text, &Seal::new(&[8; 32], "session"), "n8n"),
            None
        );
    }

    #[test]
    fn a_talkative_client_gets_a_short_id_all_the_same() {
        let long = "x".repeat(100_000);
        let talk = json!({"sampling": {}, "experimental": {"x": long}});
        let id = id(
            &talk,
            &json!({"name": "n", "version": "1", "icons": [long]}),
        );
        assert_eq!(
            id.profile.capabilities,
            RawJson::of(&json!({"sampling": {}}))
        );
        assert_eq!(
            id.profile.info,
            Some(RawJson::of(&json!({"name": "n", "version": "1"})))
        );
        let text = id.write(&seal(), "n8n");
        assert!(text.len() < 4096, "{}", text.len());
        assert_eq!(SessionId::read(&text, &seal(), "n8n"), Some(id));
    }

    #[test]
    fn what_finds_no_room_at_all_is_left_out() {
        let long = json!({"sampling": {"x": "x".repeat(100_000)}});
        let id = id(&long, &json!({"name": "x".repeat(100_000)}));
        assert_eq!(id.profile, ClientProfile::default());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>(), client in any::<String>()) {
            prop_assert_eq!(SessionId::read(&text, &seal(), &client), None);
        }

        #[test]
        fn no_content_makes_the_parser_panic(content: Vec<u8>) {
            let text = seal().close(&content, "n8n");
            let _ = SessionId::read(&text, &seal(), "n8n");
        }
    }
}
