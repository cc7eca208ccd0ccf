//! What makes another call the same as this one.

use sha2::{Digest as _, Sha256};

use super::Call;
use super::classify::Nature;
use super::deduplication::{Digest, Key};
use super::queue::Effect;
use super::writes::Writes;
use crate::protocol::json::RawJson;
use crate::protocol::message::Request;
use crate::protocol::{canonical, era};
use crate::upstream::Distinctions;

/// Params beyond this many bytes are not compared with others: it costs more than it saves.
const MAX_COMPARED: usize = 64 << 10;

/// What another call is recognised by as the same as this one. Nothing for calls that are meant to be
/// repeated, and for those with metadata that the upstream may look at.
pub(super) fn key(
    call: &Call,
    nature: &Nature,
    writes: &Writes,
    distinctions: Distinctions,
) -> Option<Key> {
    let request = &call.request;
    let own = call.client.name.as_bytes();
    if let Some(key) = &call.wishes.idempotency_key {
        let key = digest(&[own, key.as_bytes(), &round(request)]);
        // Whoever sends a key says that it is the same call; one that cannot be put into one form
        // is compared by its bytes.
        let fingerprint = fingerprint(request).unwrap_or_else(|| as_sent(request));
        return Some(Key::Idempotency { key, fingerprint });
    }
    if nature.effect == Effect::Read {
        let repeated = (!nature.repeatable).then(|| question(call, distinctions));
        return repeated?.map(Key::Read);
    }
    let same = fingerprint(request).filter(|_| !nature.repeatable);
    let place = writes.place(&call.client.name, same);
    same.map(|same| Key::Write(digest(&[own, &same.0, &place.to_be_bytes()])))
}

/// This call by this client, down to its arguments, however they are written.
pub(super) fn exactly(call: &Call) -> Digest {
    let request = &call.request;
    let same = fingerprint(request).unwrap_or_else(|| as_sent(request));
    digest(&[call.client.name.as_bytes(), &same.0])
}

/// What tells apart the rounds of a call that its client sends again with what the server wanted to
/// know: each is a request of its own under the same key.
fn round(request: &Request) -> Vec<u8> {
    let params = request.param_members();
    let brought = ["requestState", "inputResponses"].map(|name| params.get(name));
    brought
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(",")
        .into()
}

/// What a request asks for, by its very bytes.
fn as_sent(request: &Request) -> Digest {
    let params = request.params.as_ref().map_or(&[][..], RawJson::as_bytes);
    digest(&[request.method.as_bytes(), params])
}

/// What a read asks for and who may be given the answer; nothing if nobody else may.
pub(super) fn question(call: &Call, distinctions: Distinctions) -> Option<Digest> {
    let asked = fingerprint(&call.request)?;
    Some(digest(&[&asked.0, &audience(call, distinctions)?]))
}

/// To whom the answer may be given as it is: a server that speaks both eras answers each in its own
/// way, and asks a client back only for what that one declared. Nothing for a client that is asked
/// while its call runs, since nobody else can answer for it.
fn audience(call: &Call, distinctions: Distinctions) -> Option<Vec<u8>> {
    let can_be_asked = call
        .downstream
        .as_ref()
        .is_some_and(|downstream| downstream.capabilities().is_some());
    if distinctions.clients && can_be_asked {
        return None;
    }
    if !distinctions.eras || !call.revision.is_modern() {
        return Some(Vec::new());
    }
    let declared = era::declared_capabilities(&call.request)?;
    let mut text = Vec::new();
    canonical::write(&declared, &mut text).ok()?;
    Some(text)
}

/// What a request asks for, whoever asks and under whichever id; nothing if it cannot be compared.
fn fingerprint(request: &Request) -> Option<Digest> {
    let mut params = request.param_members();
    let meta = params.get("_meta").map(str::to_owned);
    if request.to_bytes().len() > MAX_COMPARED || !meta.is_none_or(|meta| era::is_own_meta(&meta)) {
        return None;
    }
    params.remove_where(|key| key == "_meta");
    let mut text = Vec::new();
    canonical::write(
        std::str::from_utf8(params.write().as_bytes()).ok()?,
        &mut text,
    )
    .ok()?;
    Some(digest(&[request.method.as_bytes(), &text]))
}

/// Over the parts and their lengths, so that no two lists of parts look the same.
fn digest(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Digest(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::*;
    use crate::dispatch::{Caller, Wishes, guard};
    use crate::protocol::message::Id;
    use crate::protocol::priority::Priority;
    use crate::protocol::revision::Revision;

    const BOTH_ERAS: Distinctions = Distinctions {
        eras: true,
        clients: false,
    };
    const LEGACY_ONLY: Distinctions = Distinctions {
        eras: false,
        clients: false,
    };

    #[test]
    fn every_round_of_a_call_is_a_request_of_its_own_under_the_key_of_the_call() {
        let rounds = [
            json!({"name": "x"}),
            json!({"name": "x", "requestState": "a", "inputResponses": {"q": 1}}),
            json!({"name": "x", "requestState": "a", "inputResponses": {"q": 2}}),
            json!({"name": "x", "requestState": "b"}),
        ];
        let round = |params: &Value| {
            let params = Some(RawJson::of(params));
            round(&Request::new(Id::number(1), "tools/call", params))
        };
        for (n, one) in rounds.iter().enumerate() {
            for (m, other) in rounds.iter().enumerate() {
                assert_eq!(round(one) == round(other), n == m, "{one} {other}");
            }
        }
        assert!(round(&rounds[0]).is_empty());
    }

    fn read(
        distinctions: Distinctions,
        revision: Revision,
        capabilities: Option<Value>,
    ) -> Option<Key> {
        let mut params = json!({"name": "look"});
        if let Some(capabilities) = capabilities {
            params["_meta"] = json!({
                era::meta::PROTOCOL_VERSION: "2026-07-28",
                era::meta::CLIENT_CAPABILITIES: capabilities,
            });
        }
        let call = Call {
            client: Caller {
                name: "n8n".into(),
                priority: Priority::default(),
                timeout: None,
                guard: Arc::new(guard::Open),
            },
            request: Request::new(Id::number(1), "tools/call", Some(RawJson::of(&params))),
            revision,
            received: Instant::now(),
            wishes: Wishes::default(),
            in_session: false,
            downstream: None,
            mirrored: http::HeaderMap::new(),
            origin: crate::dispatch::Origin::default(),
        };
        let nature = Nature {
            effect: Effect::Read,
            cost: 1,
            repeatable: false,
        };
        key(&call, &nature, &Writes::default(), distinctions)
    }

    #[test]
    fn an_answer_is_shared_only_with_those_to_whom_a_server_would_say_the_same() {
        let legacy = || read(BOTH_ERAS, Revision::V2025_06_18, None);
        let modern = |capabilities| read(BOTH_ERAS, Revision::V2026_07_28, Some(capabilities));
        let bare = || modern(json!({}));
        let asked = || modern(json!({"elicitation": {}, "roots": {}}));
        assert_eq!(legacy(), read(BOTH_ERAS, Revision::V2025_11_25, None));
        assert_eq!(bare(), bare());
        assert_eq!(asked(), modern(json!({"roots": {}, "elicitation": {}})));
        assert_ne!(legacy(), bare());
        assert_ne!(bare(), asked());
        assert!(legacy().is_some() && bare().is_some());
    }

    #[test]
    fn an_upstream_of_the_legacy_era_says_the_same_to_everybody() {
        let legacy = read(LEGACY_ONLY, Revision::V2025_06_18, None);
        let declared = json!({"elicitation": {}});
        let modern = read(LEGACY_ONLY, Revision::V2026_07_28, Some(declared));
        assert!(legacy.is_some());
        assert_eq!(legacy, modern);
    }
}
