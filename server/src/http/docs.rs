//! `/openapi.json`, and `/docs`: a page that shows it. Nothing of the page comes from elsewhere.

use std::hash::Hasher as _;

use axum::Extension;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use siphasher::sip::SipHasher13;
use tideline_engine::metrics::{Catalogue, Origin};

use crate::app::{AppState, route_table};
use crate::auth::Caller;
use crate::auth::scope::Scope;
use crate::error::Problem;
use crate::openapi;

const PAGE: &str = include_str!("../openapi/page/docs.html");
const SCRIPT: &str = include_str!("../openapi/page/docs.js");
const STYLE: &str = include_str!("../openapi/page/docs.css");

/// The page's own files and this server's answers, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// `GET /openapi.json`. Metrics of the shop's own are for those who may ask for them.
pub async fn openapi(
    State(state): State<AppState>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let catalogue = state.engine.metrics().catalogue().await;
    let reads = caller.is_some_and(|Extension(caller)| caller.scopes.allow(Scope::Read));
    let routes = state.routes.get_or_init(|| route_table(state.clone()));
    let document = if reads {
        openapi::document(routes, &catalogue)
    } else {
        let built_in = catalogue.metrics.iter().filter(|(_, metric)| metric.origin == Origin::BuiltIn);
        let mut shown = Catalogue::default();
        shown.metrics = built_in.map(|(name, metric)| (name.clone(), metric.clone())).collect();
        openapi::document(routes, &shown)
    };
    let body = document.to_string();
    let mut hasher = SipHasher13::new();
    hasher.write(body.as_bytes());
    let tag = format!("\"{:016x}\"", hasher.finish());
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|v| v.to_str().is_ok_and(|v| v.contains(&tag)));
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(CONTENT_TYPE, "application/json")], body).into_response(),
    };
    let tag = HeaderValue::from_str(&tag).map_err(|e| Problem::internal(e.to_string()))?;
    response.headers_mut().insert(ETAG, tag);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers =
        [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY), (NO_SNIFF, "nosniff"), (CACHE_CONTROL, "no-cache")];
    (headers, text).into_response()
}

/// `GET /docs`
pub async fn page() -> Response {
    file("text/html; charset=utf-8", PAGE)
}

/// `GET /docs/docs.js`
pub async fn script() -> Response {
    file("text/javascript; charset=utf-8", SCRIPT)
}

/// `GET /docs/docs.css`
pub async fn style() -> Response {
    file("text/css; charset=utf-8", STYLE)
}
