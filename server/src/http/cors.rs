//! Which pages of other sites may talk to this server from a browser: those of `http.cors_origins`, with a key, and
//! never with a session's cookie.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::X_REQUEST_ID;
use crate::auth::credential::X_API_KEY;
use crate::config::Http;

/// Segment's SDKs count their tries in it.
const X_RETRY_COUNT: HeaderName = HeaderName::from_static("x-retry-count");
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

/// Whether a page of this origin may talk to the server.
pub fn is_allowed(settings: &Http, origin: &HeaderValue) -> bool {
    settings.cors_origins.0.iter().any(|allowed| allowed == "*" || origin.as_bytes() == allowed.as_bytes())
}
