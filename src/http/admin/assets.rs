//! The files of the status page, in the program itself and compressed once.

use std::io::Write;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::error::{Code, Failure};
use crate::http::{admission, reply};

/// One file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    gzip: Bytes,
    etag: HeaderValue,
}

macro_rules! assets {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("../../../addon/page/", $name)).as_slice())),*]
    };
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let files = assets! {
        "style.css" "icon.svg"
        "app.js" "dom.js" "texts.js" "look.js" "live.js" "charts.js" "state.js" "connect.js"
        "clients.js" "client-dialog.js" "approvals.js" "calls.js" "operate.js"
        "settings.js" "tools.js" "check.js"
        "texts/en.json" "texts/de.json" "texts/es.json" "texts/fr.json" "texts/it.json"
        "texts/nl.json" "texts/pl.json"
    };
    files
        .into_iter()
        .map(|(name, plain)| Asset::new(name, plain))
        .collect()
});

impl Asset {
    fn new(name: &'static str, plain: &'static [u8]) -> Self {
        let kind = match name.rsplit('.').next() {
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("json") => "application/json",
            _ => "image/svg+xml",
        };
        let etag = format!("\"{:08x}-{:x}\"", crc32fast::hash(plain), plain.len());
        Self {
            name,
            kind,
            plain,
            gzip: gzip(plain),
            etag: HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }
}

/// `GET /assets/...`: open to everybody, since there is nothing in them that is not in the project's
/// repository.
pub(super) async fn get(Path(name): Path<String>, request: Request) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return reply::problem(&Failure::new(Code::NotFound));
    };
    let headers = request.headers();
    let known = headers.get(IF_NONE_MATCH) == Some(&asset.etag);
    let (status, body) = match (known, takes_gzip(headers)) {
        (true, _) => (StatusCode::NOT_MODIFIED, None),
        (false, true) => (StatusCode::OK, Some(asset.gzip.clone())),
        (false, false) => (StatusCode::OK, Some(Bytes::from_static(asset.plain))),
    };
    let compressed = body.as_ref() == Some(&asset.gzip);
    let mut reply = Response::new(body.map_or_else(Body::empty, Body::from));
    *reply.status_mut() = status;
    let head = reply.headers_mut();
    head.insert(ETAG, asset.etag.clone());
    // Asked for again each time, and mostly answered with a 304: an update shows at once.
    head.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    head.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    mark(head, compressed);
    reply
}

/// A text of the page, compressed if the browser takes it so.
pub(super) fn page(request: &HeaderMap, html: &str) -> Response {
    let compressed = takes_gzip(request);
    let body = if compressed {
        gzip(html.as_bytes())
    } else {
        Bytes::from(html.to_owned())
    };
    let mut reply = Response::new(Body::from(body));
    let head = reply.headers_mut();
    head.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    head.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    mark(head, compressed);
    reply
}

fn mark(head: &mut HeaderMap, compressed: bool) {
    head.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if compressed {
        head.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = admission::text(headers, ACCEPT_ENCODING.as_str()).unwrap_or_default();
    accepted.split(',').any(|coding| {
        coding
            .split(';')
            .next()
            .is_some_and(|name| name.trim() == "gzip")
    })
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail; what is not there shows as a broken page.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_there() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/addon/page");
        let mut names = Vec::new();
        for folder in [folder.to_owned(), format!("{folder}/texts")] {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.to_str().unwrap().split("/addon/page/").nth(1).unwrap();
                if path.is_file() && path.extension().is_some_and(|kind| kind != "html") {
                    names.push(name.to_owned());
                }
            }
        }
        names.sort();
        let mut known: Vec<_> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();
        known.sort();
        assert_eq!(known, names);
    }
}
