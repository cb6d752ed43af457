//! `/export`: the events of a span of time, streamed in constant memory; and a local day's KPIs, minute by minute.
//!
//! What an export of events holds is [`crate::export`]; its rows go the road of every streamed answer, from one state
//! of the table, buffer included, and a failure after the first of them aborts the transfer.

use std::time::Instant;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse as _, Response};
use tideline_engine::clock::Micros;
use tideline_engine::event::{day_name, day_of, parse_day};
use tideline_engine::query::QueryRequest;
use tideline_engine::query::encode::{CellOptions, Encoder, Format};

use super::params::Params;
use super::sql::{X_QUERY_ID, accepted, not_a_format, streamed};
use crate::app::AppState;
use crate::error::Problem;
use crate::export::{self, Span, TIME_HINT};
use crate::realtime::table::{Day, table};

/// Path suffix, then `format`, then `Accept`, then what is usual.
fn format(uri: &Uri, params: &Params, headers: &HeaderMap, usual: Format) -> Result<Format, Problem> {
    let suffix = uri.path().split_once('.').map(|(_, suffix)| suffix);
    match suffix.or_else(|| params.get("format")) {
        Some(name) => Format::from_name(name).ok_or_else(|| not_a_format(name)),
        None => accepted(headers, usual),
    }
}

fn required<'a>(params: &'a Params, name: &str, hint: &str) -> Result<&'a str, Problem> {
    match params.get(name).map(str::trim) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(Problem::bad_request("missing_parameter", format!("`{name}` is missing")).with_hint(hint)),
    }
}

fn time(params: &Params, name: &str) -> Result<Micros, Problem> {
    let text = required(params, name, TIME_HINT)?;
    export::parse_time(text).ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        Problem::bad_request("invalid_parameter", format!("`{name}` is not a time: `{shown}`")).with_hint(TIME_HINT)
    })
}

/// What a browser or `curl -OJ` calls the file.
fn named(mut response: Response, name: &str, format: Format) -> Result<Response, Problem> {
    let name = format!("attachment; filename=\"{name}.{}\"", format.name());
    let name = HeaderValue::from_str(&name).map_err(|e| Problem::internal(e.to_string()))?;
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET /export/events?start_time&end_time`: newest first.
pub async fn events(State(state): State<AppState>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let begun = Instant::now();
    let params = Params::read(&uri, &["start_time", "end_time", "format"])?;
    let format = format(&uri, &params, &headers, Format::Parquet)?;
    let (start, end) = (time(&params, "start_time")?, time(&params, "end_time")?);
    let span = Span::new(Some(start), Some(end)).map_err(|_| {
        Problem::bad_request("invalid_range", "`end_time` is not after `start_time`")
            .with_hint("events from start_time on and before end_time are exported")
    })?;
    let request = QueryRequest {
        sql: span.query(&export::columns(format)),
        timeout: Some(state.config.query.max_timeout.0),
        ..QueryRequest::default()
    };
    let output = state.engine.query(request).await?;
    let id = HeaderValue::from_str(&output.id).map_err(|e| Problem::internal(e.to_string()))?;
    let mut response = streamed(output, format, begun).await?;
    response.headers_mut().insert(X_QUERY_ID, id);
    let (first, last) = (day_name(day_of(start)), day_name(day_of(end - 1)));
    let name = if first == last { format!("events-{first}") } else { format!("events-{first}-to-{last}") };
    named(response, &name, format)
}

/// `GET /export/kpis?date=`: every complete minute of a day of the shop, oldest first.
pub async fn kpis(State(state): State<AppState>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let begun = Instant::now();
    let params = Params::read(&uri, &["date", "format"])?;
    let format = format(&uri, &params, &headers, Format::Json)?;
    let hint = "write it like date=2026-01-31; it is a day of shop.time_zone";
    let text = required(&params, "date", hint)?;
    let wrong = |why: &str| {
        let shown: String = text.chars().take(60).collect();
        Problem::bad_request("invalid_parameter", format!("`date` {why}: `{shown}`")).with_hint(hint)
    };
    let day = parse_day(text).filter(|day| day_name(*day) == text).ok_or_else(|| wrong("is not a date"))?;
    let shop = state.config.shop();
    let (Some(start), Some(end)) = (shop.midnight(day), day.checked_add(1).and_then(|next| shop.midnight(next))) else {
        return Err(wrong("is out of reach"));
    };
    if day < 0 {
        return Err(wrong("lies before 1970"));
    }
    if start > state.engine.clock().now() {
        return Err(wrong("lies in the future"));
    }
    let kpis = state.realtime.minutes(start, end).await?;
    let body = match format {
        Format::Json => {
            let day = kpis.map(|kpis| Day::new(text.to_owned(), shop.time_zone.name(), start, end, kpis));
            serde_json::to_vec(&day).map_err(|e| Problem::internal(format!("an answer is not JSON: {e}")))?
        }
        _ => {
            let rows = table(&kpis.body)?;
            let mut encoder = Encoder::new(format, &rows.schema(), CellOptions { decimal_numbers: true })?;
            let mut body = encoder.write(&rows)?.to_vec();
            body.extend_from_slice(&encoder.finish()?);
            body
        }
    };
    let mut response = ([(CONTENT_TYPE, format.content_type())], body).into_response();
    super::time_part(&mut response, "kpis", begun);
    named(response, &format!("kpis-{text}"), format)
}
