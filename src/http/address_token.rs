//! `/c/TOKEN/mcp`: a token in the address, for clients that cannot send headers.

use std::sync::Arc;

use axum::extract::Request;
use http::Uri;
use http::uri::PathAndQuery;

/// A token that stood in the address; an extension of the request.
#[derive(Clone)]
pub(super) struct AddressToken(pub(super) Arc<str>);

/// Takes the token out of the address before anybody looks at that: it is to be in no message.
pub(super) fn take(mut request: Request) -> Request {
    if let Some((token, rest)) = split(request.uri()) {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.path_and_query = Some(rest);
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        request.extensions_mut().insert(AddressToken(token));
    }
    request
}

/// The token, and the address without it.
fn split(uri: &Uri) -> Option<(Arc<str>, PathAndQuery)> {
    let whole = uri.path_and_query()?.as_str().strip_prefix("/c/")?;
    let end = whole.find(['/', '?']).unwrap_or(whole.len());
    let (token, rest) = whole.split_at(end);
    let slash = if rest.starts_with('/') { "" } else { "/" };
    let rest = format!("{slash}{rest}");
    let rest = rest
        .parse()
        .unwrap_or_else(|_| PathAndQuery::from_static("/"));
    Some((token.into(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn the_token_is_taken_out_of_the_address() {
        for (address, token, rest) in [
            ("/c/mcpb_x/mcp", Some("mcpb_x"), "/mcp"),
            (
                "/c/mcpb_x/mcp/tools/call?a=/b",
                Some("mcpb_x"),
                "/mcp/tools/call?a=/b",
            ),
            ("/c/mcpb_x", Some("mcpb_x"), "/"),
            ("/c/mcpb_x?a", Some("mcpb_x"), "/?a"),
            ("/c//mcp", Some(""), "/mcp"),
            ("/c/mcpb_x//mcp", Some("mcpb_x"), "//mcp"),
            (
                "http://bridge:8124/c/mcpb_x/mcp",
                Some("mcpb_x"),
                "http://bridge:8124/mcp",
            ),
            ("/c", None, "/c"),
            ("/mcp/c/mcpb_x", None, "/mcp/c/mcpb_x"),
        ] {
            let request = Request::get(address).body(Body::empty()).unwrap();
            let taken = take(request);
            let found = taken.extensions().get::<AddressToken>();
            assert_eq!(found.map(|token| &*token.0), token, "{address}");
            assert_eq!(taken.uri().to_string(), rest, "{address}");
        }
    }
}
