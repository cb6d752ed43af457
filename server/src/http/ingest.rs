//! `POST /events`: bytes in, a receipt for each event out. CloudEvents come here too, told apart by their Content-Type, or
//! by headers where their attributes are headers.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use tideline_engine::decode::{InputFormat, cloudevents};
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
/// CloudEvents in JSON: one, and an array of them.
const CLOUDEVENTS: [&str; 2] = ["application/cloudevents+json", "application/cloudevents-batch+json"];
/// Their other encodings.
const CLOUDEVENTS_PREFIX: &str = "application/cloudevents";
/// Attributes that every CloudEvent has: any of them as a header makes a request one.
const CLOUDEVENT_HEADERS: [&str; 4] = ["ce-specversion", "ce-id", "ce-source", "ce-type"];
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
    let (format, in_headers) = format(&headers)?;
    let settings = &state.config.ingest;
    let limits = Limits {
        sent: settings.max_body_bytes,
        decoded: settings.max_decoded_bytes,
        ratio: settings.max_ratio,
        stall: state.config.http.body_timeout.0,
    };
    let (mut bytes, _room) = body::read(&state, &headers, body, limits).await?;
    if in_headers {
        let all = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        bytes = cloudevents::structured(all, &bytes)?;
    }
    let received = state.engine.receive(bytes, format).await?;
    let standings = if state.limits.counts_events(&account) {
        state.limits.events(&account, received.events(), &received.events_per_user()).await?
    } else {
        Standings::default()
    };
    let source = if format == InputFormat::CloudEvents { cloudevents::SOURCE } else { SOURCE };
    let origin = Origin { source, key: caller.key_id() };
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

/// How the body is to be read, and whether what it is about stands in headers (the binary mode of CloudEvents).
fn format(headers: &HeaderMap) -> Result<(InputFormat, bool), Problem> {
    let value = headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    let media_type = media_type(value);
    let in_headers = CLOUDEVENT_HEADERS.iter().any(|name| headers.contains_key(*name));
    match media_type.as_str() {
        ARROW_STREAM if !in_headers => Ok((InputFormat::ArrowStream, false)),
        cloudevents if CLOUDEVENTS.contains(&cloudevents) => Ok((InputFormat::CloudEvents, false)),
        json if json.is_empty() || is_json(json) => {
            Ok((if in_headers { InputFormat::CloudEvents } else { InputFormat::Json }, in_headers))
        }
        _ => {
            let message = "events are not taken in this Content-Type";
            let hint = format!("send application/json, application/x-ndjson, {ARROW_STREAM} or {}", CLOUDEVENTS[0]);
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message).with_hint(hint))
        }
    }
}

fn is_json(media_type: &str) -> bool {
    JSON_TYPES.contains(&media_type) || (media_type.ends_with("+json") && !media_type.starts_with(CLOUDEVENTS_PREFIX))
}

/// A media type without its parameters, lower case.
pub fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
