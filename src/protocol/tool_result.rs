//! What the result of a `tools/call` says of itself.

use serde::Deserialize;

use super::json::RawJson;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(default)]
    is_error: bool,
}

/// Whether the tool has failed (`isError`).
pub fn is_error(result: &RawJson) -> bool {
    result.read::<Told>().is_ok_and(|told| told.is_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_has_failed_if_it_says_so() {
        for (text, failed) in [
            (r#"{"content": [], "isError": true}"#, true),
            (r#"{"\u0069sError": true}"#, true),
            (
                r#"{"content": [{"isError": true}], "isError": false}"#,
                false,
            ),
            (r#"{"content": []}"#, false),
            (r#"{"isError": "true"}"#, false),
            ("[]", false),
        ] {
            let result = RawJson::parse(text.into()).unwrap();
            assert_eq!(is_error(&result), failed, "{text}");
        }
    }
}
