//! What a legacy client says about itself in its handshake.

use super::json::{Members, RawJson};
use super::message::Request;

/// What a client says about itself, each part as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientProfile {
    /// `capabilities`, an object.
    pub capabilities: RawJson,
    /// `clientInfo`, if it said who it is.
    pub info: Option<RawJson>,
}

impl Default for ClientProfile {
    /// A client that said nothing, and so can do nothing.
    fn default() -> Self {
        Self {
            capabilities: Members::empty().write(),
            info: None,
        }
    }
}

impl ClientProfile {
    /// What an `initialize` says.
    pub fn of_handshake(request: &Request) -> Self {
        let params = request.param_members();
        let object = |key| {
            let json = RawJson::parse(params.get(key)?.to_owned().into()).ok()?;
            json.members().is_some().then_some(json)
        };
        Self {
            capabilities: object("capabilities").unwrap_or_else(|| Members::empty().write()),
            info: object("clientInfo"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Id;
    use super::*;
    use serde_json::json;

    fn said(params: serde_json::Value) -> ClientProfile {
        let params = Some(RawJson::of(&params));
        ClientProfile::of_handshake(&Request::new(Id::number(1), "initialize", params))
    }

    #[test]
    fn each_part_is_kept_as_it_was_written() {
        let profile = said(json!({"capabilities": {"x": 1e2}, "clientInfo": {"name": "t"}}));
        assert_eq!(profile.capabilities.as_bytes(), br#"{"x":100.0}"#);
        assert_eq!(profile.info.unwrap().as_bytes(), br#"{"name":"t"}"#);
    }

    #[test]
    fn what_is_no_object_was_not_said() {
        for params in [json!({}), json!({"capabilities": [], "clientInfo": "t"})] {
            assert_eq!(said(params), ClientProfile::default());
        }
    }
}
