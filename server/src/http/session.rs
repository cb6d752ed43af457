//! `/session`: a browser exchanges a key for a cookie, because its event streams and WebSockets send no headers.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::cross_site_write;
use super::{guard, keys};
use crate::app::AppState;
use crate::auth::credential::{COOKIE_NAME, Credential, read as read_credential};
use crate::auth::keys::Stamp;
use crate::auth::{By, Caller, Refusal};
use crate::error::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    key: String,
}

/// `POST /session`: the key as `{"key":"tl_…"}` or as any request sends it.
pub async fn begin(State(state): State<AppState>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    if !state.auth.keys.are_required() {
        let problem = Problem::bad_request("no_keys", "this server has no keys, so there is nothing to exchange");
        return Err(problem.with_hint("everything is allowed to programs on this machine; make a key to change that"));
    }
    let key = match read_credential(&headers) {
        Credential::Key { text, .. } => text,
        Credential::Malformed => return Err(Refusal::Malformed.into()),
        Credential::None | Credential::Session(_) => {
            keys::read_json::<Login>(&state, &headers, body, r#"{"key":"tl_…"}"#).await?.key
        }
    };
    let (begun, caller) = state.auth.begin_session(&key)?;
    let answer = super::json(StatusCode::CREATED, &describe(&state, &caller));
    Ok(with_cookie(answer, &cookie(&state, &begun.token, begun.lasts_s)))
}

/// `GET /session`: who is asking, and for how long.
pub async fn show(State(state): State<AppState>, Extension(caller): Extension<Caller>) -> Response {
    let mut answer = super::json(StatusCode::OK, &describe(&state, &caller));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// `DELETE /session`: ends it. Again is fine.
pub async fn end(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    if !guard::says_own_page(&request) {
        return Err(cross_site_write());
    }
    state.auth.end_session(request.headers());
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), &cookie(&state, "", 0)))
}

fn describe(state: &AppState, caller: &Caller) -> Value {
    let (by, expires_at) = match &caller.by {
        By::Local => ("local", None),
        By::Key { .. } => ("key", None),
        By::Session { expires_at, .. } => ("session", Some(Stamp(*expires_at))),
    };
    let key = caller.key_id().and_then(|id| state.auth.keys.get(id));
    let expires_at = expires_at.or_else(|| key.as_ref().and_then(|key| key.expires_at));
    let name = key.map(|key| key.name.clone()).or_else(|| caller.person().map(|person| person.name.clone()));
    json!({
        "by": by,
        "key_id": caller.key_id(),
        "name": name,
        "scopes": caller.scopes,
        "expires_at": expires_at,
    })
}

/// The session's cookie. Over https it is for https only, as far as this server knows of it.
pub fn cookie(state: &AppState, token: &str, seconds: i64) -> String {
    let is_https = state.tls.is_some() || state.config.session.secure_cookie;
    let secure = if is_https || state.config.oidc.is_https() { "; Secure" } else { "" };
    format!("{COOKIE_NAME}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

fn with_cookie(mut answer: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(SET_COOKIE, value);
    }
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
