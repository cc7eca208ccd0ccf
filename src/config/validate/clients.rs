//! The clients that the configuration declares.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;

use super::Faults;
use crate::access::{Client, Credential, Token, TokenHash};
use crate::config::file::DeclaredClient;

/// More clients than a house has.
const MAX_CLIENTS: usize = 1000;

/// Checks them, and reads the files of their tokens.
pub(super) fn settings(
    declared: BTreeMap<String, DeclaredClient>,
    faults: &mut Faults<'_>,
) -> Vec<Client> {
    if declared.len() > MAX_CLIENTS {
        let what = format_args!("there are more than {MAX_CLIENTS}");
        faults.add("clients", what);
        return Vec::new();
    }
    let mut clients: Vec<Client> = Vec::new();
    for (name, one) in declared {
        let key = format!("clients.{name}");
        if !Client::is_name(&name) {
            let what = "this is no name for a client: 1 to 64 characters, no control characters";
            faults.add(&key, what);
        }
        let hashes = hashes(&one, &key, faults);
        if hashes.is_empty() && one.terms.certificates.is_empty() {
            let what = "it has no token: set `token_sha256` or `token_file`";
            faults.add(&key, what);
        }
        let others = clients.iter().flat_map(|client| &client.tokens);
        if others
            .into_iter()
            .any(|other| hashes.contains(&other.sha256))
        {
            faults.add(&key, "another client has the same token");
        }
        clients.push(Client {
            tokens: hashes.into_iter().map(credential).collect(),
            enabled: !one.disabled,
            terms: one.terms,
            declared: true,
            ..Client::new(name, Timestamp::UNIX_EPOCH)
        });
    }
    clients
}

fn hashes(client: &DeclaredClient, key: &str, faults: &mut Faults<'_>) -> Vec<TokenHash> {
    let mut hashes = Vec::new();
    for text in &client.token_sha256 {
        match text.parse() {
            Ok(hash) => hashes.push(hash),
            Err(why) => faults.add(&format!("{key}.token_sha256"), why),
        }
    }
    for path in &client.token_file {
        match token(path) {
            Ok(token) => hashes.push(token.hash()),
            Err(why) => faults.add(&format!("{key}.token_file"), why),
        }
    }
    hashes
}

fn token(path: &Path) -> Result<Token, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    Token::parse(text.trim()).ok_or_else(|| {
        let path = path.display();
        format!("{path} holds no token of the bridge; `mcp-bridge token generate` makes one")
    })
}

const fn credential(sha256: TokenHash) -> Credential {
    Credential {
        sha256,
        created: Timestamp::UNIX_EPOCH,
        expires: None,
    }
}
