//! Which queries run and were slow; and maintenance by hand, each command of which runs to its end even when its client
//! goes away.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use tideline_engine::engine::Engine;
use tideline_engine::error::Result;
use tideline_engine::query::{Entry, Named};

use crate::app::AppState;
use crate::error::Problem;
use crate::realtime::shapes::Time;

#[derive(Serialize)]
struct Query {
    #[serde(flatten)]
    query: Named,
    started_at: Time,
    elapsed_ms: f64,
    rows_read: usize,
    bytes_read: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
}

impl From<Entry> for Query {
    fn from(entry: Entry) -> Self {
        Self {
            started_at: Time(entry.query.started),
            query: entry.query,
            elapsed_ms: (entry.elapsed.as_secs_f64() * 1e6).round() / 1e3,
            rows_read: entry.rows_read,
            bytes_read: entry.bytes_read,
            outcome: entry.outcome,
        }
    }
}

/// What runs, and what was slow.
pub async fn queries(State(state): State<AppState>) -> Response {
    let journal = state.engine.queries().journal();
    let queries = |entries: Vec<Entry>| entries.into_iter().map(Query::from).collect::<Vec<_>>();
    let (running, slow) = (queries(journal.running()), queries(journal.slow()));
    let slow_after_ms = u64::try_from(journal.slow_after().as_millis()).unwrap_or(u64::MAX);
    super::json(StatusCode::OK, &json!({ "slow_after_ms": slow_after_ms, "running": running, "slow": slow }))
}

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
