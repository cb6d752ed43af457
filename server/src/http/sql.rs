//! `/sql`: read-only SQL in, rows out in the format asked for.
//!
//! JSON is buffered and capped, so that its answer is whole or an error. The other formats stream: memory stays
//! constant, and an error after the first rows aborts the transfer, so that no client takes a part for the whole.

mod answer;
mod request;

use std::time::Instant;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use serde_json::json;
use tideline_engine::query::QueryRequest;
use tideline_engine::query::encode::Format;

use super::body::{self, Limits};
use crate::app::AppState;
use crate::config::ByteSize;
use crate::error::Problem;
pub use answer::streamed;
use request::Asked;
pub use request::{accepted, not_a_format};

/// Names a query: `DELETE /queries/{id}` stops it. A client may name it itself, and so stop it before it is answered.
pub const X_QUERY_ID: HeaderName = HeaderName::from_static("x-query-id");
/// How long a client's own name for a query may be.
const ID_CHARS: std::ops::RangeInclusive<usize> = 16..=64;
/// Room for bound parameters beside the SQL text.
const PARAMS_BYTES: u64 = 1 << 20;

/// `GET /sql?q=…`
pub async fn get(State(state): State<AppState>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let asked = Asked::from_uri(&uri)?;
    run(state, &uri, &headers, asked).await
}

/// `POST /sql`: JSON, a form, or the SQL itself.
pub async fn post(
    State(state): State<AppState>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = Asked::from_uri(&uri)?;
    let most = ByteSize(state.config.query.max_text_bytes.0 + PARAMS_BYTES);
    let limits = Limits {
        sent: most,
        decoded: most,
        ratio: state.config.ingest.max_ratio,
        stall: state.config.http.body_timeout.0,
    };
    let (bytes, _room) = body::read(&state, &headers, body, limits).await?;
    let asked = asked.with_body(&headers, &bytes)?;
    run(state, &uri, &headers, asked).await
}

/// `DELETE /queries/{id}`
pub async fn cancel(State(state): State<AppState>, Path(id): Path<String>) -> Result<Response, Problem> {
    if state.engine.cancel(&id) {
        return Ok(super::json(StatusCode::ACCEPTED, &json!({ "query_id": id, "status": "cancelled" })));
    }
    Err(Problem::new(StatusCode::NOT_FOUND, "query_not_found", "no query of this id is running")
        .with_hint("the id is in the header X-Query-Id of its answer; it may have ended"))
}

/// `/sql.xml` and the like.
pub async fn unknown_suffix(uri: Uri) -> Problem {
    let suffix = uri.path().split_once('.').map_or("", |(_, suffix)| suffix);
    not_a_format(suffix)
}

/// The client's own name for the query. Long and random ones are nobody else's to guess, and so to stop.
fn named(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(X_QUERY_ID) else { return Ok(None) };
    let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    let sane = |id: &&str| ID_CHARS.contains(&id.len()) && id.bytes().all(plain);
    value.to_str().ok().filter(sane).map(|id| Some(id.to_owned())).ok_or_else(|| {
        Problem::bad_request("invalid_query_id", "X-Query-Id must be 16 to 64 letters, digits, `-` and `_`")
            .with_hint("a random UUID is one")
    })
}

async fn run(state: AppState, uri: &Uri, headers: &HeaderMap, asked: Asked) -> Result<Response, Problem> {
    let begun = Instant::now();
    let format = asked.format(uri, headers)?;
    let settings = &state.config.query;
    let limit = match format {
        Format::Json => Some(settings.json_rows.min(asked.limit.unwrap_or(usize::MAX))),
        _ => asked.limit,
    };
    let timeout = asked.timeout(settings.max_timeout.0)?.unwrap_or(settings.timeout.0);
    let sql = asked.sql()?;
    let request = QueryRequest { sql, params: asked.params, timeout: Some(timeout), limit };
    let output = match named(headers)? {
        Some(id) => state.engine.query_as(id, request).await?,
        None => state.engine.query(request).await?,
    };
    let id = HeaderValue::from_str(&output.id).map_err(|e| Problem::internal(e.to_string()))?;
    let outcome = match format {
        Format::Json => answer::buffered(output, settings.json_bytes, begun).await,
        _ => streamed(output, format, begun).await,
    };
    match outcome {
        Ok(mut response) => {
            response.headers_mut().insert(X_QUERY_ID, id);
            Ok(response)
        }
        Err(problem) => Err(problem.with_header("x-query-id", id)),
    }
}
