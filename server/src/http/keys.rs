//! `/admin/keys`: makes, lists and revokes keys; in effect when it is answered.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use tideline_engine::error::Result;

use super::body::{self, Limits};
use crate::app::AppState;
use crate::auth::keys::{KeyStore, NewKey, may_be_first};
use crate::config::ByteSize;
use crate::error::Problem;

/// The largest request about a key or a session.
const MAX_BODY: ByteSize = ByteSize::kib(16);

/// What makes a key.
const SHAPE: &str = r#"{"name":"web shop","scopes":["ingest"],"expires_in":"90d","limits":{"events":100000}}"#;

/// `GET /admin/keys`
pub async fn list(State(state): State<AppState>) -> Response {
    super::json(StatusCode::OK, &json!({ "keys": state.auth.keys.list() }))
}

/// `POST /admin/keys`: 201 with the key, this once.
pub async fn create(State(state): State<AppState>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let new: NewKey = read_json(&state, &headers, body, SHAPE).await?;
    if !state.auth.keys.are_required() {
        may_be_first(&new)?;
    }
    let made = changed(&state, move |keys| keys.create(new)).await?;
    tracing::info!(key = made.id, name = made.name, scopes = %made.scopes, "a key was made");
    Ok(super::json(StatusCode::CREATED, &made))
}

/// `DELETE /admin/keys/{id}`
pub async fn revoke(State(state): State<AppState>, Path(id): Path<String>) -> Result<Response, Problem> {
    let revoked = changed(&state, move |keys| keys.revoke(&id)).await?;
    tracing::info!(key = revoked.id, name = revoked.name, "a key was revoked");
    Ok(super::json(StatusCode::OK, &revoked))
}

/// A change waits for the disk, so it is on a thread for that; and it runs to its end when the client goes away.
async fn changed<T: Send + 'static>(
    state: &AppState,
    change: impl FnOnce(&KeyStore) -> Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let keys = state.auth.keys.clone();
    let done = tokio::task::spawn_blocking(move || change(&keys)).await;
    Ok(done.map_err(|e| Problem::internal(format!("changing the keys failed: {e}")))??)
}

/// A small JSON body; `shape` is an example of it.
pub async fn read_json<T: serde::de::DeserializeOwned>(
    state: &AppState,
    headers: &HeaderMap,
    body: Body,
    shape: &str,
) -> Result<T, Problem> {
    let limits = Limits {
        sent: MAX_BODY,
        decoded: MAX_BODY,
        ratio: state.config.ingest.max_ratio,
        stall: state.config.http.body_timeout.0,
    };
    let (bytes, _room) = body::read(state, headers, body, limits).await?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Problem::bad_request("invalid_json", format!("the body is not what is wanted here: {e}"))
            .with_hint(format!("send it like {shape}"))
    })
}
