//! Maintenance by hand. Each command runs to its end even when its client goes away.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use tideline_engine::engine::Engine;
use tideline_engine::error::Result;

use crate::app::AppState;
use crate::error::Problem;

/// Runs `work` on a task of its own: between a commit and its publication nothing may be dropped.
pub async fn to_its_end<T, F>(state: AppState, work: impl FnOnce(Arc<Engine>) -> F) -> Result<Response, Problem>
where
    T: Serialize + Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let done = tokio::spawn(work(state.engine)).await;
    let report = done.map_err(|e| Problem::internal(format!("maintenance failed: {e}")))??;
    Ok(super::json(StatusCode::OK, &report))
}

/// Moves everything buffered to the lake.
pub async fn flush(State(state): State<AppState>) -> Result<Response, Problem> {
    to_its_end(state, |engine| async move { engine.flush().await }).await
}

/// Merges small files.
pub async fn compact(State(state): State<AppState>) -> Result<Response, Problem> {
    to_its_end(state, |engine| async move { engine.compact().await }).await
}

/// Drops days, and dead letters, older than the retention.
pub async fn retain(State(state): State<AppState>) -> Result<Response, Problem> {
    let work = |engine: Arc<Engine>| async move {
        let (files, letters) = (engine.retain().await?, engine.retain_letters().await?);
        Ok(json!({ "files_removed": files, "dead_letters_expired": letters.expired }))
    };
    to_its_end(state, work).await
}

/// Deletes files the table no longer names.
pub async fn vacuum(State(state): State<AppState>) -> Result<Response, Problem> {
    let work = |engine: Arc<Engine>| async move {
        let vacuumed = engine.vacuum().await?;
        Ok(json!({ "files_deleted": vacuumed.files, "bytes_deleted": vacuumed.bytes }))
    };
    to_its_end(state, work).await
}
