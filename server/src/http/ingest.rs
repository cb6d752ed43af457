//! `POST /events`: bytes in, a receipt for each event out.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, Origin};

use super::body::{self, Limits};
use super::params::Params;
use crate::app::AppState;
use crate::auth::Caller;
use crate::error::Problem;
use crate::rate_limit::{Account, Standings};

/// How dead letters name what came in here.
const SOURCE: &str = "http";
/// Arrow's stream format.
const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";
/// Types under which clients send JSON; the second line is what simple clients say of anything.
const JSON_TYPES: [&str; 10] = [
    "application/json",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/json-seq",
    "text/json",
    "text/plain",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
];

/// Takes events in: 202 with a receipt, 422 when nothing in the request was acceptable.
pub async fn events(
    State(state): State<AppState>,
    Extension(account): Extension<Account>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let ack = ack(&Params::read(&uri, &["ack"])?)?;
    let format = format(&headers)?;
    let settings = &state.config.ingest;
    let limits = Limits {
        sent: settings.max_body_bytes,
        decoded: settings.max_decoded_bytes,
        ratio: settings.max_ratio,
        stall: state.config.http.body_timeout.0,
    };
    let (bytes, _room) = body::read(&state, &headers, body, limits).await?;
    let received = state.engine.receive(bytes, format).await?;
    let standings = if state.limits.counts_events(&account) {
        state.limits.events(&account, received.events(), &received.events_per_user()).await?
    } else {
        Standings::default()
    };
    let origin = Origin { source: SOURCE, key: caller.key_id() };
    let receipt = state.engine.keep(received, origin, ack).await?;
    let status = if receipt.is_rejected() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::ACCEPTED };
    let mut answer = super::json(status, &receipt);
    state.limits.write_headers(&standings, answer.headers_mut());
    Ok(answer)
}

fn ack(params: &Params) -> Result<Ack, Problem> {
    match params.get("ack") {
        None | Some("durable") => Ok(Ack::Durable),
        Some("committed") => Ok(Ack::Committed),
        Some(other) => {
            Err(Problem::bad_request("invalid_parameter", format!("`ack` is durable or committed, not `{other}`"))
                .with_nearest(other, ["durable", "committed"].into_iter()))
        }
    }
}

fn format(headers: &HeaderMap) -> Result<InputFormat, Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(InputFormat::Json) };
    match media_type(value.to_str().unwrap_or("?")).as_str() {
        ARROW_STREAM => Ok(InputFormat::ArrowStream),
        "" => Ok(InputFormat::Json),
        json if JSON_TYPES.contains(&json) || json.ends_with("+json") => Ok(InputFormat::Json),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "events are not taken in this Content-Type",
        )
        .with_hint(format!("send application/json, application/x-ndjson or {ARROW_STREAM}"))),
    }
}

/// A media type without its parameters, lower case.
pub fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
