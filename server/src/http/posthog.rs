//! PostHog's capture API: `POST /batch/` and its other names. The answer is what the SDKs expect, `{"status":1}`, and only when
//! every acceptable event is durable; 429 and 503 make them send again.

use std::borrow::Cow;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use serde::Serialize;
use tideline_engine::decode::{InputFormat, posthog};

use super::client::ClientAddress;
use super::sdk::{self, Api, Sender};
use crate::app::AppState;
use crate::auth::Caller;
use crate::error::Problem;
use crate::rate_limit::Account;

/// Where events come to: whatever a body holds, it may come to any of them.
pub const PATHS: [&str; 4] = ["/batch/", "/capture/", "/e/", "/i/v0/e/"];

const API: Api = Api { format: InputFormat::PostHog, source: posthog::SOURCE, key: posthog::api_key };

/// A path of [`PATHS`] without the slash at its end, which some senders leave out.
pub fn without_slash(path: &'static str) -> &'static str {
    path.trim_end_matches('/')
}

/// Whether a path is of this API.
pub fn is_path(path: &str) -> bool {
    PATHS.iter().any(|known| path == *known || path == without_slash(known))
}

/// What an SDK takes for success.
#[derive(Serialize)]
struct Status {
    status: u8,
}

/// Takes events in.
pub async fn post(
    State(state): State<AppState>,
    account: Option<Extension<Account>>,
    caller: Option<Extension<Caller>>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let headers = encoded(&uri, &headers);
    sdk::take(&state, API, Sender::new(caller, account, address), &headers, body, &Status { status: 1 }).await
}

/// The headers with the compression that browsers name in the query, as a header would be a question to the server first.
fn encoded<'h>(uri: &Uri, headers: &'h HeaderMap) -> Cow<'h, HeaderMap> {
    let is_gzip = |pair: &str| matches!(pair, "compression=gzip-js" | "compression=gzip");
    if headers.contains_key(CONTENT_ENCODING) || !uri.query().unwrap_or_default().split('&').any(is_gzip) {
        return Cow::Borrowed(headers);
    }
    let mut headers = headers.clone();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Cow::Owned(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_paths_are_its_own_only() {
        for (path, ours) in
            [("/batch", true), ("/batch/", true), ("/i/v0/e", true), ("/batches", false), ("/i/v0", false)]
        {
            assert_eq!(is_path(path), ours, "{path}");
        }
    }

    #[test]
    fn compression_may_stand_in_the_query() {
        let of = |uri: &'static str, header: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value))));
            let headers = encoded(&Uri::from_static(uri), &headers).into_owned();
            headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(of("/e/?ip=1&compression=gzip-js", None).as_deref(), Some("gzip"));
        assert_eq!(of("/e/?compression=gzip-js", Some("zstd")).as_deref(), Some("zstd"));
        assert_eq!(of("/e/?compression=base64", None), None);
        assert_eq!(of("/e/", None), None);
    }
}
