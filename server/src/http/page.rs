//! The dashboard: the files that `dashboard/` was built into, part of the program, and what they need to know first.
//!
//! The page itself is the same for every path a view has, and for whoever asks: it holds no data. Everything it shows it
//! asks for, with the visitor's session.

use axum::extract::State;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::ops::{self, VERSION};
use crate::app::AppState;
use crate::error::Problem;

/// A file of the page.
pub struct File {
    /// Where it is found.
    path: &'static str,
    /// Names its content.
    etag: &'static str,
    plain: &'static [u8],
    /// The same, compressed.
    br: Option<&'static [u8]>,
    gz: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// What is served where the page was not built.
const STUB: &str = include_str!("page/stub.html");
/// Nothing from elsewhere, nothing inline, nowhere in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Where files stand whose names change with their content.
const HASHED: &str = "/assets/";

/// Whether the page is part of this program.
pub fn is_built() -> bool {
    !FILES.is_empty()
}

/// `GET /`: the page for browsers, words for everybody else.
pub async fn home(state: State<AppState>, headers: HeaderMap) -> Response {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).any(|v| v.contains("text/html"));
    let mut response = if accepts { page(headers).await } else { ops::home(state).await };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    response
}

/// Any path of a view: the page reads it.
pub async fn page(headers: HeaderMap) -> Response {
    let mut response = match FILES.iter().find(|file| file.path == "/index.html") {
        Some(file) => send(file, &headers, "no-cache"),
        None => ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-store")], STUB).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// `GET /assets/…`
pub async fn asset(uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let file = FILES.iter().find(|file| file.path == uri.path() && file.path.starts_with(HASHED));
    let file = file.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "the page has no such file")
            .with_hint("it is of another version of the server: load the page again")
    })?;
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let is_hashed = name.contains('-');
    Ok(send(file, &headers, if is_hashed { "public, max-age=31536000, immutable" } else { "public, max-age=86400" }))
}

/// `GET /config`: what the page must know before anybody has signed in. Nothing of it is secret.
pub async fn config(State(state): State<AppState>) -> Response {
    let config = &state.config;
    let answer = json!({
        "version": VERSION,
        "keys_required": state.auth.keys.are_required(),
        "single_sign_on": state.has_single_sign_on(),
        "shop": { "name": config.shop.name, "time_zone": config.shop.time_zone, "currency": config.shop.currency },
        "live_every_ms": u64::try_from(config.live.every.0.as_millis()).unwrap_or(u64::MAX),
        "hot_window_minutes": config.hot.minutes(),
        "json_rows": config.query.json_rows,
    });
    let mut response = super::json(StatusCode::OK, &answer);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn send(file: &File, headers: &HeaderMap, keep: &'static str) -> Response {
    let says = |name: &str| {
        let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|v| {
            let (coding, weight) = v.split_once(';').unwrap_or((v, ""));
            coding.trim() == name && weight.replace(' ', "") != "q=0"
        })
    };
    let br = file.br.filter(|_| says("br")).map(|bytes| (bytes, "br"));
    let encoded = br.or_else(|| file.gz.filter(|_| says("gzip")).map(|bytes| (bytes, "gzip")));
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|tag| tag == file.etag);
    let mut response = match encoded {
        _ if is_known => StatusCode::NOT_MODIFIED.into_response(),
        Some((bytes, coding)) => ([(CONTENT_ENCODING, coding)], bytes).into_response(),
        None => file.plain.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(file.path)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(ETAG, HeaderValue::from_static(file.etag));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "webmanifest") => "application/json",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}
