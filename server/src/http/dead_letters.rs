//! `/admin/dead-letters`: events that were not accepted, listed, replayed after a fix, dropped.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use tideline_engine::error::Result;

use super::admin::to_its_end;
use super::body::{self, Limits};
use super::params::Params;
use crate::app::AppState;
use crate::config::ByteSize;
use crate::error::Problem;
use crate::letters::{self, ReplayRequest, Select};

/// Names of a filter's parameters.
const FILTER: [&str; 6] = ["code", "source", "key", "field", "since", "until"];
/// Room for ids, a mapping and fixes.
const REPLAY_BYTES: ByteSize = ByteSize::mib(4);

fn select(params: &Params) -> Select {
    let text = |name| params.get(name).map(str::to_owned);
    Select {
        code: text("code"),
        source: text("source"),
        key: text("key"),
        field: text("field"),
        since: text("since"),
        until: text("until"),
    }
}

async fn reading(work: impl FnOnce() -> Result<Value> + Send + 'static) -> Result<Response, Problem> {
    let read = tokio::task::spawn_blocking(work).await;
    let value = read.map_err(|e| Problem::internal(format!("reading dead letters failed: {e}")))??;
    Ok(super::json(StatusCode::OK, &value))
}

/// `GET /admin/dead-letters`: a page of them.
pub async fn list(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let known = [&FILTER[..], &["status", "after", "limit"]].concat();
    let params = Params::read(&uri, &known)?;
    let filter = select(&params).filter(&[], letters::status(params.get("status").unwrap_or("open"))?)?;
    let after = params.get("after").map(letters::id).transpose()?;
    let limit = params.number("limit")?.map_or(letters::PAGE, |n| usize::try_from(n).unwrap_or(usize::MAX));
    if !(1..=letters::MAX_PAGE).contains(&limit) {
        let message = format!("`limit` is a number from 1 to {}", letters::MAX_PAGE);
        return Err(Problem::bad_request("invalid_parameter", message)
            .with_hint("ask for further ones with after= and the answer's `next`"));
    }
    reading(move || letters::page(state.engine.dead_letters(), &filter, after, limit)).await
}

/// `GET /admin/dead-letters/{id}`: one of them.
pub async fn show(State(state): State<AppState>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = letters::id(&id)?;
    reading(move || Ok(letters::letter(&state.engine.dead_letters().get(id)?))).await
}

/// `POST /admin/dead-letters/replay`: sends them again.
pub async fn replay(
    State(state): State<AppState>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let limits = Limits {
        sent: REPLAY_BYTES,
        decoded: REPLAY_BYTES,
        ratio: state.config.ingest.max_ratio,
        stall: state.config.http.body_timeout.0,
    };
    let (bytes, _room) = body::read(&state, &headers, body, limits).await?;
    let request = match bytes.trim_ascii() {
        b"" => ReplayRequest::default(),
        text => serde_json::from_slice(text).map_err(|e| {
            Problem::bad_request("invalid_json", format!("the body is not the JSON of a replay: {e}"))
                .with_hint(r#"write it like {"filter":{"code":"missing_field"},"fixes":{"currency":"EUR"}}"#)
        })?,
    };
    let replay = request.replay()?;
    to_its_end(state, |engine| async move { engine.replay(replay).await }).await
}

/// `DELETE /admin/dead-letters`: drops those that a filter takes.
pub async fn drop(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::read(&uri, &[&FILTER[..], &["id", "all"]].concat())?;
    let select = select(&params);
    let ids: Vec<String> = params.get("id").map(|ids| ids.split(',').map(str::to_owned).collect()).unwrap_or_default();
    if select.is_empty() && ids.is_empty() && params.get("all") != Some("true") {
        let message = "say which dead letters to drop";
        return Err(Problem::bad_request("missing_filter", message)
            .with_hint("give id= or one of code=, source=, key=, field=, since=, until=; or all=true"));
    }
    let filter = select.filter(&ids, None)?;
    to_its_end(state, |engine| async move { Ok(json!({ "dropped": engine.drop_letters(filter).await? })) }).await
}
