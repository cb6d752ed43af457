//! `/session/oidc`: a browser goes to the OpenID provider, and comes back with a session. Both are addresses that people
//! open, so what goes wrong is told by the page, in its own words for one of a few codes.

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use super::session;
use crate::app::AppState;
use crate::auth::credential;
use crate::auth::oidc::{Failure, LIFETIME_S, Oidc};
use crate::error::Problem;

/// Binds what a provider answers to the browser that was sent there. Sent along with links of other sites, unlike the
/// session's own: the way back is one.
const COOKIE_NAME: &str = "tideline_oidc";

/// `GET /session/oidc`
pub async fn begin(State(state): State<AppState>) -> Result<Response, Problem> {
    let oidc = configured(&state)?;
    Ok(match oidc.begin().await {
        Ok(begun) => redirect(&begun.location, &[cookie(&state, &begun.browser, LIFETIME_S)]),
        Err(failure) => to_page(&failure),
    })
}

/// `GET /session/oidc/callback`
pub async fn callback(State(state): State<AppState>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let oidc = configured(&state)?;
    let browser = credential::cookie(&headers, COOKIE_NAME);
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&uri).unwrap_or_default();
    let count = pairs.len();
    let params: HashMap<String, String> = pairs.into_iter().collect();
    // What is there twice may mean either.
    let finished = match params.len() == count {
        true => oidc.finish(browser.as_deref(), &params).await,
        false => Err(Failure::Invalid("a parameter is given twice".to_owned())),
    };
    let person = match finished {
        Ok(person) => person,
        Err(failure) => return Ok(to_page(&failure)),
    };
    tracing::info!(subject = person.subject, scopes = %person.scopes, "somebody signed in with single sign-on");
    let begun = state.auth.begin_session_of(person);
    let signed_in = session::cookie(&state, &begun.token, begun.lasts_s);
    Ok(redirect("/", &[cookie(&state, "", 0), signed_in]))
}

fn configured(state: &AppState) -> Result<&Oidc, Problem> {
    state.oidc.as_deref().filter(|_| state.has_single_sign_on()).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "single_sign_on_off", "this server has no single sign-on")
            .with_hint("sign in with a key, or set oidc.issuer")
    })
}

/// Back to the page, which has words for each code.
fn to_page(failure: &Failure) -> Response {
    let code = failure.code();
    match failure {
        Failure::Unreachable(why) => tracing::warn!(why, "single sign-on: the provider cannot be asked"),
        Failure::Invalid(why) => tracing::warn!(why, "single sign-on: what the provider sent does not hold"),
        Failure::Refused(why) => tracing::info!(why, "single sign-on: the provider refused"),
        Failure::Expired | Failure::NotAllowed => tracing::info!(code, "single sign-on: nobody was signed in"),
    }
    redirect(&format!("/?sign_in={code}"), &[])
}

fn cookie(state: &AppState, value: &str, seconds: i64) -> String {
    let secure = if state.config.oidc.is_https() { "; Secure" } else { "" };
    format!("{COOKIE_NAME}={value}; Path=/session/oidc; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

fn redirect(to: &str, cookies: &[String]) -> Response {
    let mut answer = StatusCode::SEE_OTHER.into_response();
    let headers = answer.headers_mut();
    for cookie in cookies {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            headers.append(SET_COOKIE, value);
        }
    }
    match HeaderValue::from_str(to) {
        Ok(to) => headers.insert(LOCATION, to),
        Err(_) => return Problem::internal("an address is no header").into_response(),
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}
