//! Home Assistant's ingress: it lets people in by itself, and says who they are.

use std::fmt;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;

/// More of a header than a name or an id has.
const MAX_TEXT: usize = 200;

/// Who guards the second listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The bridge: a token is needed.
    Token,
    /// Home Assistant: whoever comes has logged in there. The listener must take connections of the
    /// ingress alone, since everybody can write its headers.
    Ingress,
}

/// A person whom Home Assistant has let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The id of the user in Home Assistant; empty if it was not said.
    pub id: Arc<str>,
    /// The name for people: the display name, else the name to log in with.
    pub name: Arc<str>,
    /// Where their browser finds the address `/` of this listener, without a slash at the end.
    pub base: Arc<str>,
}

impl Person {
    /// As the ingress says in its headers, which it writes itself and takes from nobody.
    fn from_headers(headers: &HeaderMap) -> Self {
        let said = |name| text(headers, name);
        let name = said("x-remote-user-display-name").or_else(|| said("x-remote-user-name"));
        let base = said("x-ingress-path").filter(|path| path.starts_with('/'));
        Self {
            id: said("x-remote-user-id").unwrap_or_default().into(),
            name: name.unwrap_or_default().into(),
            base: base.unwrap_or_default().trim_end_matches('/').into(),
        }
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&*self.name, &*self.id) {
            ("", "") => "somebody in Home Assistant",
            ("", id) => id,
            (name, _) => name,
        })
    }
}

/// Notes who comes, for those who have to know.
pub(super) async fn identify(mut request: Request, next: Next) -> Response {
    let person = Person::from_headers(request.headers());
    request.extensions_mut().insert(person);
    next.run(request).await
}

/// A header as the ingress writes it: UTF-8, which HTTP libraries do not take for text.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    let text = text.trim();
    let shown = text[..text.floor_char_boundary(MAX_TEXT)].chars();
    let shown: String = shown.filter(|c| !c.is_control()).collect();
    Some(shown).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn person(headers: &[(&'static str, &[u8])]) -> Person {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_bytes(value).unwrap());
        }
        Person::from_headers(&map)
    }

    #[test]
    fn a_person_has_the_name_that_people_know_them_by() {
        let anna = person(&[
            ("x-remote-user-id", b"0a1b"),
            ("x-remote-user-name", b"anna"),
            ("x-remote-user-display-name", "Änna Ü.".as_bytes()),
            ("x-ingress-path", b"/api/hassio_ingress/t0ken/"),
        ]);
        assert_eq!((anna.to_string().as_str(), &*anna.id), ("Änna Ü.", "0a1b"));
        assert_eq!(&*anna.base, "/api/hassio_ingress/t0ken");
        assert_eq!(
            person(&[("x-remote-user-name", b"anna")]).to_string(),
            "anna"
        );
        assert_eq!(person(&[("x-remote-user-id", b"0a1b")]).to_string(), "0a1b");
        assert_eq!(person(&[]).to_string(), "somebody in Home Assistant");
    }

    #[test]
    fn what_is_no_text_does_no_harm() {
        let strange = person(&[
            ("x-remote-user-display-name", &[0xff, b'a', 0xc2, 0x85]),
            ("x-ingress-path", b"https://elsewhere.example"),
        ]);
        assert_eq!((&*strange.name, &*strange.base), ("\u{fffd}a", ""));
        let long = person(&[("x-remote-user-name", "ü".repeat(5000).as_bytes())]);
        assert_eq!(long.name.chars().count(), MAX_TEXT / 2);
    }
}
