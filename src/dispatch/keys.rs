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

/// Params beyond this many bytes are not compared with others: it costs more than it saves.
const MAX_COMPARED: usize = 64 << 10;

/// What another call is recognised by as the same as this one. Nothing for calls that are meant to be
/// repeated, and for those with metadata that the upstream may look at.
pub(super) fn key(call: &Call, nature: &Nature, writes: &Writes) -> Option<Key> {
    let request = &call.request;
    let own = call.client.name.as_bytes();
    if let Some(key) = &call.wishes.idempotency_key {
        let key = digest(&[own, key.as_bytes()]);
        // Whoever sends a key says that it is the same call; one that cannot be put into one form
        // is compared by its bytes.
        let fingerprint = fingerprint(request).unwrap_or_else(|| as_sent(request));
        return Some(Key::Idempotency { key, fingerprint });
    }
    let same = fingerprint(request).filter(|_| !nature.repeatable);
    if nature.effect == Effect::Read {
        return same.map(Key::Read);
    }
    let place = writes.place(&call.client.name, same);
    same.map(|same| Key::Write(digest(&[own, &same.0, &place.to_be_bytes()])))
}

/// This call by this client, down to its arguments, however they are written.
pub(super) fn exactly(call: &Call) -> Digest {
    let request = &call.request;
    let same = fingerprint(request).unwrap_or_else(|| as_sent(request));
    digest(&[call.client.name.as_bytes(), &same.0])
}

/// What a request asks for, by its very bytes.
fn as_sent(request: &Request) -> Digest {
    let params = request.params.as_ref().map_or(&[][..], RawJson::as_bytes);
    digest(&[request.method.as_bytes(), params])
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
