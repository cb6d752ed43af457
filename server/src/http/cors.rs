//! Which pages of other sites may talk to this server from a browser: those of `http.cors_origins`, with a key, and
//! never with a session's cookie. Paths of Segment and PostHog, to which browsers' SDKs send, are open to more: see [`may_send_events`].

use std::net::IpAddr;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::X_REQUEST_ID;
use crate::app::AppState;
use crate::auth::credential::X_API_KEY;
use crate::config::Http;

/// Segment's SDKs count their tries in it.
const X_RETRY_COUNT: HeaderName = HeaderName::from_static("x-retry-count");
/// RudderStack's browser SDK says whose events it sends.
const ANONYMOUS_ID: HeaderName = HeaderName::from_static("anonymousid");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How long a browser remembers the answer; it keeps none longer.
const MAX_AGE: Duration = Duration::from_secs(7_200);
/// Paths that are for this server's own pages and for programs alone.
const OWN: [&str; 2] = ["/admin", "/session"];

/// The layer; `None` when no page of another site may.
pub fn layer(settings: &Http) -> Option<CorsLayer> {
    if settings.cors_origins.0.is_empty() {
        return None;
    }
    let settings = settings.clone();
    let allowed = AllowOrigin::predicate(move |origin, request| {
        let path = request.uri.path();
        let is_own = OWN.iter().any(|own| path.strip_prefix(own).is_some_and(|rest| !rest.starts_with(|c| c != '/')));
        !is_own && is_allowed(&settings, origin)
    });
    let exposed = ["ratelimit", "ratelimit-policy", "x-query-id", "server-timing"].map(HeaderName::from_static);
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([AUTHORIZATION, CONTENT_TYPE, CONTENT_ENCODING, X_RETRY_COUNT, X_API_KEY, LAST_EVENT_ID])
            .expose_headers(exposed.into_iter().chain([RETRY_AFTER, X_REQUEST_ID]).collect::<Vec<_>>())
            .max_age(MAX_AGE),
    )
}

/// The layer of the paths to which SDKs send.
pub fn sdk_layer(state: &AppState) -> CorsLayer {
    let state = state.clone();
    let allowed = AllowOrigin::predicate(move |origin, _| may_send_events(&state, origin));
    let exposed = ["ratelimit", "ratelimit-policy"].map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, CONTENT_ENCODING, X_RETRY_COUNT, X_API_KEY, ANONYMOUS_ID])
        .expose_headers(exposed.into_iter().chain([RETRY_AFTER, X_REQUEST_ID]).collect::<Vec<_>>())
        .max_age(MAX_AGE)
}

/// Whether a page of this origin may send events to the paths of SDKs. With keys any page: it has to show a key, which is
/// public once it stands in a shop's page, may do nothing but add events, and would be sent by a program of another origin
/// all the same. Without keys only pages of this machine, besides those of `http.cors_origins`: else any site its user
/// visits could write into the server.
pub fn may_send_events(state: &AppState, origin: &HeaderValue) -> bool {
    state.auth.keys.are_required() || is_allowed(&state.config.http, origin) || is_of_this_machine(origin)
}

fn is_of_this_machine(origin: &HeaderValue) -> bool {
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")?.1.parse::<Authority>().ok());
    authority.is_some_and(|authority| is_local(authority.host()))
}

/// Whether a host's name is of this machine.
pub fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// Whether a page of this origin may talk to the server.
pub fn is_allowed(settings: &Http, origin: &HeaderValue) -> bool {
    settings.cors_origins.0.iter().any(|allowed| allowed == "*" || origin.as_bytes() == allowed.as_bytes())
}
