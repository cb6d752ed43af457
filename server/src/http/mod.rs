//! HTTP: what every request passes through, and the handlers. A handler extracts, makes one engine call, encodes.

pub mod access;
pub mod admin;
pub mod alerts;
pub mod analytics;
pub mod body;
pub mod client;
pub mod cors;
pub mod dead_letters;
pub mod docs;
pub mod export;
pub mod guard;
pub mod ingest;
pub mod keys;
pub mod lifecycle;
pub mod live;
pub mod metrics;
pub mod oidc;
pub mod ops;
pub mod page;
pub mod params;
pub mod posthog;
pub mod request_id;
pub mod sdk;
pub mod segment;
pub mod session;
pub mod sql;

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use serde::Serialize;

use crate::app::AppState;
use crate::error::{PROBLEM_JSON, Problem};
use access::Template;
use client::ClientAddress;
use request_id::RequestId;

/// Names a request in answers and in the log.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long the server took until the answer began.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Around every request: names it, finds out who sent it, guards it, gives every error its one shape, logs it.
pub async fn frame(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let _in_flight = state.http.begin();
    let id = RequestId::of(request.headers());
    let (method, path) = (request.method().clone(), segment::without_key(request.uri().path()).into_owned());
    request.extensions_mut().insert(id.clone());
    let identity = state.auth.resolve(request.headers());
    let trusted = &state.config.http.trusted_proxies.0;
    let address = ClientAddress::of(request.extensions(), request.headers(), trusted);
    request.extensions_mut().insert(address);
    let guarded = guard::check(&state, &request, &identity);
    request.extensions_mut().insert(identity);
    let handled = async {
        match guarded {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        }
    };
    let response = AssertUnwindSafe(handled)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Problem::internal(format!("a handler panicked: {}", reason(&*panic))).into_response());
    let template = response.extensions().get::<Template>().cloned();
    let mut response = in_one_shape(&state, &id, response);
    let elapsed = begun.elapsed();
    state.http.answered(template.as_ref().map(|t| &*t.0), &method, response.status(), elapsed);
    let elapsed_ms = elapsed.as_secs_f64() * 1e3;
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, id.header());
    let timing = match headers.get(&SERVER_TIMING).and_then(|v| v.to_str().ok()) {
        Some(parts) => format!("{parts}, total;dur={elapsed_ms:.2}"),
        None => format!("total;dur={elapsed_ms:.2}"),
    };
    if let Ok(timing) = HeaderValue::from_str(&timing) {
        headers.insert(SERVER_TIMING, timing);
    }
    log(&method, &path, &id, response.status(), elapsed_ms);
    response
}

/// Adds a part to the `Server-Timing` header.
pub fn time_part(response: &mut Response, name: &str, begun: Instant) {
    if let Ok(part) = HeaderValue::from_str(&format!("{name};dur={:.2}", begun.elapsed().as_secs_f64() * 1e3)) {
        response.headers_mut().insert(SERVER_TIMING, part);
    }
}

fn reason(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Renders a [`Problem`]; and turns an error that is not one (made by the framework) into one.
fn in_one_shape(state: &AppState, id: &RequestId, mut response: Response) -> Response {
    let status = response.status();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if let Some(private) = &problem.private {
            tracing::error!(request_id = id.as_str(), code = problem.code, error = private, "a request failed");
        }
        let mut rendered = problem.render(id.as_str(), &state.data_dir);
        // What the framework added around the handler: `Allow`.
        for (name, value) in response.headers() {
            if !rendered.headers().contains_key(name) && *name != CONTENT_LENGTH {
                rendered.headers_mut().insert(name.clone(), value.clone());
            }
        }
        return rendered;
    }
    let json = |v: &HeaderValue| v.as_bytes().ends_with(b"json");
    let is_ours = response.headers().get(CONTENT_TYPE).is_some_and(|v| v == PROBLEM_JSON || json(v));
    if (status.is_client_error() || status.is_server_error()) && !is_ours {
        let reason = status.canonical_reason().unwrap_or("error").to_lowercase();
        return Problem::new(status, "http_error", reason).render(id.as_str(), &state.data_dir);
    }
    response
}

fn log(method: &Method, path: &str, id: &RequestId, status: StatusCode, elapsed_ms: f64) {
    let (request_id, status) = (id.as_str(), status.as_u16());
    // Neither the query string nor bodies: they hold what people typed.
    match status {
        500.. => tracing::warn!(%method, path, status, elapsed_ms, request_id, "request"),
        400.. => tracing::info!(%method, path, status, elapsed_ms, request_id, "request"),
        _ => tracing::debug!(%method, path, status, elapsed_ms, request_id, "request"),
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(e) => Problem::internal(format!("an answer is not JSON: {e}")).into_response(),
    }
}

/// 404 for a path that is not there.
pub fn not_found(uri: &Uri, paths: &[String]) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
        .with_hint("GET / lists what is here")
        .with_nearest(uri.path(), paths.iter().map(String::as_str))
}

/// 405 for a path that takes another method; the framework adds `Allow`.
pub async fn method_not_allowed(method: Method) -> Problem {
    let message = format!("this path does not take {method}");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        .with_hint("the header Allow lists the methods it takes")
}
