//! Segment's tracking API: `POST /v1/batch` and its fourteen other names, and what Segment's browser SDK asks first.
//!
//! The answers are what the SDKs were seen to need: exactly 200 with `{"success":true}` (some send again on any other 2xx),
//! and that only when every acceptable message is durable; `code` and `message` in every error, which all problems have.

use std::borrow::Cow;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use tideline_engine::decode::InputFormat;
use tideline_engine::decode::segment::MessageType::{Alias, Group, Identify, Page, Screen, Track};
use tideline_engine::decode::segment::{self, Call};

use super::client::ClientAddress;
use super::cors;
use super::sdk::{self, Api, Sender};
use crate::app::AppState;
use crate::auth::scope::Scope;
use crate::auth::{Caller, scope_missing};
use crate::error::Problem;
use crate::rate_limit::Account;

/// The paths below `/v1/` and what comes to them.
pub const CALLS: [(&str, Call); 15] = [
    ("batch", Call::Batch),
    ("b", Call::Batch),
    ("import", Call::Batch),
    ("track", Call::One(Track)),
    ("t", Call::One(Track)),
    ("page", Call::One(Page)),
    ("p", Call::One(Page)),
    ("screen", Call::One(Screen)),
    ("s", Call::One(Screen)),
    ("identify", Call::One(Identify)),
    ("i", Call::One(Identify)),
    ("group", Call::One(Group)),
    ("g", Call::One(Group)),
    ("alias", Call::One(Alias)),
    ("a", Call::One(Alias)),
];

const PREFIX: &str = "/v1/";
/// `/v1/projects/{key}/settings`
const PROJECTS: &str = "/v1/projects/";

/// Whether a path is of this API.
pub fn is_path(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// A path as the log may show it.
pub fn without_key(path: &str) -> Cow<'_, str> {
    match path.strip_prefix(PROJECTS).map(|rest| rest.split_once('/')) {
        None => Cow::Borrowed(path),
        Some(None) => Cow::Owned(format!("{PROJECTS}…")),
        Some(Some((_, rest))) => Cow::Owned(format!("{PROJECTS}…/{rest}")),
    }
}

fn call(path: &str) -> Call {
    let name = path.strip_prefix(PREFIX).unwrap_or_default().trim_end_matches('/');
    CALLS.iter().find(|(known, _)| *known == name).map_or(Call::Batch, |(_, call)| *call)
}

/// What an SDK takes for success.
#[derive(Serialize)]
struct Success {
    success: bool,
}

/// Takes messages in.
pub async fn post(
    State(state): State<AppState>,
    account: Option<Extension<Account>>,
    caller: Option<Extension<Caller>>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let format = InputFormat::Segment(call(uri.path()));
    let api = Api { format, source: segment::SOURCE, key: segment::write_key };
    sdk::take(&state, api, Sender::new(caller, account, address), &headers, body, &Success { success: true }).await
}

/// Tells Segment's browser SDK where to send: here.
pub async fn settings(
    State(state): State<AppState>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = state.auth.by_write_key(&key)?;
    if !caller.scopes.allow(Scope::Ingest) {
        return Err(scope_missing(Scope::Ingest));
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST).map_or_else(|| state.listen.to_string(), str::to_owned);
    // A page with TLS can only reach what has it, too, except on its own machine.
    let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    let tls = text(ORIGIN).is_some_and(|origin| origin.starts_with("https:")) && !cors::is_local(name);
    let every = json!({ "__default": { "enabled": true, "integrations": {} } });
    let settings = json!({
        "integrations": {
            "Segment.io": {
                "apiKey": key,
                "apiHost": format!("{host}/v1"),
                "protocol": if tls { "https" } else { "http" },
                "unbundledIntegrations": [],
                "addBundledMetadata": false,
                "versionSettings": { "version": "4.4.7", "componentTypes": ["browser"] },
            },
        },
        "plan": { "track": every, "identify": every, "group": every },
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        // The SDK's reports about itself, which would go to its maker.
        "metrics": { "sampleRate": 0 },
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": [],
    });
    Ok(super::json(StatusCode::OK, &settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_path_is_not_for_the_log() {
        assert_eq!(without_key("/v1/projects/tl_secret/settings"), "/v1/projects/…/settings");
        assert_eq!(without_key("/v1/projects/tl_secret"), "/v1/projects/…");
        assert_eq!(without_key("/v1/track/"), "/v1/track/");
        assert_eq!(call("/v1/track/"), Call::One(Track));
        assert_eq!(call("/v1/b"), Call::Batch);
    }
}
