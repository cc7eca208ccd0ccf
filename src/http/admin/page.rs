//! The status page as HTML: what can be said without a script, in the reader's language.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

use super::snapshot::Snapshot;
use super::texts::Texts;
use super::{assets, gate, session};
use crate::http::{Bridge, Person, admission, reply};

const INDEX: &str = include_str!("../../../addon/page/index.html");
const LOGIN: &str = include_str!("../../../addon/page/login.html");

/// `GET /`: the page, or the way to the form for those who have to sign in first.
pub(super) async fn index(State(bridge): State<Arc<Bridge>>, request: Request) -> Response {
    match gate::admit(&bridge, &request) {
        Ok(_) => {
            let texts = texts(request.headers());
            let snapshot = Snapshot::take(&bridge, super::snapshot::Cursor::default());
            let signed_in = request.extensions().get::<Person>().is_none();
            let slots = [
                ("verdict", verdict(&snapshot, texts)),
                ("version", escaped(env!("CARGO_PKG_VERSION"))),
                ("addresses", addresses(&snapshot)),
                ("clients", clients(&snapshot)),
                ("signed-in", signed_in.to_string()),
            ];
            assets::page(request.headers(), &fill(INDEX, texts, &slots))
        }
        Err(failure) if failure.code.entry().http == 401 => session::redirect("login"),
        Err(failure) => reply::problem(&failure),
    }
}

/// `GET /login`: the form for the admin token.
pub(super) async fn login(request: Request) -> Response {
    let texts = texts(request.headers());
    let wrong = match request.uri().query() {
        Some("wrong") => texts.get("login.wrong"),
        Some("wait") => texts.get("login.wait"),
        _ => "",
    };
    let slots = [("wrong", escaped(wrong))];
    assets::page(request.headers(), &fill(LOGIN, texts, &slots))
}

fn texts(headers: &HeaderMap) -> &'static Texts {
    Texts::accepted(admission::text(headers, ACCEPT_LANGUAGE.as_str()))
}

/// How it is, in one sentence.
fn verdict(snapshot: &Snapshot, texts: &Texts) -> String {
    let (clients, waiting) = snapshot.counts();
    let values = [
        ("clients", clients.to_string()),
        ("waiting", waiting.to_string()),
    ];
    let values = values
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    escaped(&texts.with(snapshot.verdict(), &values))
}

fn addresses(snapshot: &Snapshot) -> String {
    let mut html = String::new();
    for address in snapshot.addresses() {
        // Writing to a text cannot fail.
        let _ = write!(html, "<li><code>{}</code></li>", escaped(&address));
    }
    html
}

fn clients(snapshot: &Snapshot) -> String {
    let mut html = String::new();
    for client in snapshot.clients() {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>",
            escaped(&client.name),
            client.calls,
            client.errors
        );
    }
    html
}

/// Puts texts into the elements that name theirs, and values into `{{slots}}`.
fn fill(template: &str, texts: &Texts, slots: &[(&str, String)]) -> String {
    const MARK: &str = "data-t=\"";
    let mut html = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(place) = rest.find(MARK) {
        let key = &rest[place + MARK.len()..];
        let key = &key[..key.find('"').unwrap_or(0)];
        let end = rest[place..]
            .find('>')
            .map_or(rest.len(), |end| place + end + 1);
        html.push_str(&rest[..end]);
        html.push_str(&escaped(texts.get(key)));
        rest = &rest[end..];
    }
    html.push_str(rest);
    html = html.replace("{{language}}", texts.language);
    for (name, value) in slots {
        html = html.replace(&format!("{{{{{name}}}}}"), value);
    }
    html
}

/// A text that stays a text inside of HTML, in elements and in attributes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // Slots are looked for in what was put in before.
            '{' => html.push_str("&#123;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_into_their_elements_and_values_into_their_slots() {
        let texts = Texts::accepted(Some("de"));
        let html =
            "<html lang=\"{{language}}\"><b id=\"x\" data-t=\"login.title\"></b>{{v}}<i>{{w}}</i>";
        let slots = [("v", escaped("<{{w}}>")), ("w", "1".to_owned())];
        let title = texts.get("login.title");
        assert_eq!(
            fill(html, texts, &slots),
            format!(
                "<html lang=\"de\"><b id=\"x\" data-t=\"login.title\">{title}</b>\
                 &lt;&#123;&#123;w}}}}&gt;<i>1</i>"
            )
        );
    }
}
