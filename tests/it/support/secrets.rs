//! What no log line, answer or file may hold: the tokens that are used during the tests.

use std::path::Path;

/// Letters and digits that two tokens have in common by chance: never so many.
const TELLING: usize = 20;

/// The first token in a text, or what is left of one.
pub(crate) fn token_in(text: &str) -> Option<&str> {
    let of_the_bridge = ("mcpb_", 'a'..='z');
    let of_home_assistant = ("eyJ", 'A'..='z');
    [of_the_bridge, of_home_assistant]
        .into_iter()
        .find_map(|(prefix, letters)| {
            text.match_indices(prefix).find_map(|(start, _)| {
                let rest = &text[start + prefix.len()..];
                let fits = |c: char| letters.contains(&c) || c.is_ascii_digit();
                let length = rest.find(|c| !fits(c)).unwrap_or(rest.len());
                (length >= TELLING).then(|| &text[start..start + prefix.len() + length])
            })
        })
}

/// Fails if a file in the folder holds a token, other than those whose purpose it is.
pub(crate) fn expect_no_token_in_files(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            expect_no_token_in_files(&path);
        } else if !matches!(name, "first-token" | "admin-token") {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert_eq!(token_in(&text), None, "{} holds a token", path.display());
        }
    }
}

#[test]
fn tokens_are_found_wherever_they_stand_and_hashes_are_none() {
    let token = mcp_bridge::access::Token::generate().unwrap();
    let token = token.reveal();
    for text in [token.to_owned(), format!("{{\"a\":\"Bearer {token}\"}}")] {
        assert_eq!(token_in(&text), Some(token));
    }
    assert_eq!(token_in(&token[..40]), Some(&token[..40]));
    assert!(token_in("Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x").is_some());
    for text in [
        "mcpb_...",
        "Authorization: Bearer mcpb_x",
        &"0123456789abcdef".repeat(4),
    ] {
        assert_eq!(token_in(text), None, "{text}");
    }
}
