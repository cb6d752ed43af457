//! The real-time metrics: `/metrics/*`, `/users/*`, `/kpis/*`, `/funnel/current`, `/sessions/active`,
//! `/api/analytics/*`, and `GET /metrics` itself. What each figure means is in [`crate::realtime`].

use std::fmt::Write as _;

use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::DateTime;
use serde::Serialize;
use tideline_engine::clock::{MILLISECOND, Micros};
use tideline_engine::error::Result as EngineResult;

use super::params::Params;
use crate::app::AppState;
use crate::error::Problem;
use crate::realtime::shapes::Answer;
use crate::realtime::{MAX_LISTED, MAX_MINUTES, Span};

/// Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A request's parameters, within their bounds.
struct Asked<'a> {
    state: &'a AppState,
    params: Params,
}

impl<'a> Asked<'a> {
    fn read(state: &'a AppState, uri: &Uri, known: &[&'static str]) -> Result<Self, Problem> {
        Ok(Self { state, params: Params::read(uri, known)? })
    }

    fn within(&self, name: &str, usual: u32, most: u32, hint: impl FnOnce() -> String) -> Result<u32, Problem> {
        let Some(text) = self.params.get(name) else { return Ok(usual) };
        let number = text.parse::<u32>().ok().filter(|n| (1..=most).contains(n));
        number.ok_or_else(|| {
            let message = format!("`{name}` must be a whole number from 1 to {most}, not `{text}`");
            Problem::bad_request("invalid_parameter", message).with_hint(hint())
        })
    }

    /// So many minutes up to `at`.
    fn span(&self, name: &str, usual: u32) -> Result<Span, Problem> {
        let window = self.state.config.hot.minutes();
        let hint = || {
            format!(
                "live windows reach {window} minutes back (hot.window), SQL answers up to {MAX_MINUTES}; for more use /sql"
            )
        };
        let minutes = self.within(name, usual, MAX_MINUTES, hint)?;
        Ok(self.state.realtime.span(minutes, self.at()?))
    }

    fn limit(&self, usual: u32) -> Result<usize, Problem> {
        let limit = self.within("limit", usual, MAX_LISTED, || "for longer lists use /sql".to_owned())?;
        Ok(limit as usize)
    }

    /// The instant asked about.
    fn at(&self) -> Result<Option<Micros>, Problem> {
        let Some(text) = self.params.get("at") else { return Ok(None) };
        let wrong = |message| {
            Problem::bad_request("invalid_parameter", message)
                .with_hint("write it like 2026-01-31T12:00:00Z, or as milliseconds since 1970")
        };
        let at = instant(text).ok_or_else(|| wrong(format!("`at` is not a time: `{text}`")))?;
        let now = self.state.engine.clock().now();
        if at > now {
            return Err(wrong(format!("`at` lies in the future: `{text}`")));
        }
        if at < 0 {
            return Err(wrong(format!("`at` lies before 1970: `{text}`")));
        }
        Ok(Some(at))
    }
}

/// RFC 3339, or milliseconds since the epoch; in whole milliseconds.
fn instant(text: &str) -> Option<Micros> {
    if let Ok(ms) = text.parse::<i64>() {
        return ms.checked_mul(MILLISECOND);
    }
    // A plus that was not escaped arrives as a space.
    let text = text.trim();
    let time = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc3339(&text.replace(' ', "+")));
    time.ok().map(|time| time.timestamp_millis() * MILLISECOND)
}

fn no_blank(name: &str, text: &str) -> Result<String, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::bad_request("invalid_parameter", format!("`{name}` is empty")));
    }
    Ok(text.to_owned())
}

fn answer<T: Serialize>(answer: EngineResult<Answer<T>>) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(&answer?).map_err(|e| Problem::internal(format!("an answer is not JSON: {e}")))?;
    Ok(json(bytes.into()))
}

fn json(body: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response()
}

/// `GET /metrics/active_users`
pub async fn active_users(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let span = Asked::read(&state, &uri, &["minutes", "at"])?.span("minutes", 5)?;
    answer(state.realtime.active_users(span).await)
}

/// `GET /metrics/active_sessions`
pub async fn active_sessions(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::read(&state, &uri, &["user_id", "minutes", "at"])?;
    let span = asked.span("minutes", 5)?;
    match asked.params.get("user_id") {
        Some(user) => state.realtime.user_sessions(no_blank("user_id", user)?, span).await.map(json),
        None => answer(state.realtime.active_sessions(span).await),
    }
}

/// `GET /users/{id}/sessions`
pub async fn user_sessions(
    State(state): State<AppState>,
    Path(user): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let span = Asked::read(&state, &uri, &["minutes", "at"])?.span("minutes", 5)?;
    state.realtime.user_sessions(no_blank("id", &user)?, span).await.map(json)
}

/// `GET /metrics/top_pages`
pub async fn top_pages(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::read(&state, &uri, &["minutes", "limit", "at"])?;
    state.realtime.top_pages(asked.span("minutes", 15)?, asked.limit(5)?).await.map(json)
}

/// `GET /users/active`
pub async fn users(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::read(&state, &uri, &["minutes", "limit", "at"])?;
    state.realtime.users(asked.span("minutes", 5)?, asked.limit(100)?).await.map(json)
}

/// `GET /sessions/active`
pub async fn sessions(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::read(&state, &uri, &["minutes", "limit", "at"])?;
    state.realtime.sessions(asked.span("minutes", 5)?, asked.limit(100)?).await.map(json)
}

/// `GET /kpis/latest`
pub async fn latest_kpi(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let at = Asked::read(&state, &uri, &["at"])?.at()?;
    answer(state.realtime.latest_kpi(at).await)
}

/// `GET /kpis/history`
pub async fn history(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let span = Asked::read(&state, &uri, &["minutes_back", "at"])?.span("minutes_back", 60)?;
    answer(state.realtime.history(span).await)
}

/// `GET /funnel/current`
pub async fn funnel(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let span = Asked::read(&state, &uri, &["minutes", "at"])?.span("minutes", 60)?;
    answer(state.realtime.funnel(span).await)
}

/// `GET /api/analytics/metrics`
pub async fn analytics(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let span = Asked::read(&state, &uri, &["minutes", "at"])?.span("minutes", 60)?;
    answer(state.realtime.analytics(span).await)
}

/// `GET /api/analytics/page-views`
pub async fn page_views(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::read(&state, &uri, &["minutes", "limit", "at"])?;
    state.realtime.page_views(asked.span("minutes", 60)?, asked.limit(10)?).await.map(json)
}

/// `GET /api/analytics/cart-actions`
pub async fn cart_actions(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let span = Asked::read(&state, &uri, &["minutes", "at"])?.span("minutes", 60)?;
    answer(state.realtime.cart_actions(span).await)
}

/// `GET /metrics`: JSON where `Accept` asks for it, else Prometheus' text.
pub async fn summary(State(state): State<AppState>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let asked = Asked::read(&state, &uri, &["minutes", "limit", "at"])?;
    let (span, limit) = (asked.span("minutes", 5)?, asked.limit(5)?);
    let accepted: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    match Form::of(&accepted.join(",")) {
        Some(Form::Json) => state.realtime.summary(span, limit).await.map(json),
        Some(Form::Prometheus) => Ok(([(CONTENT_TYPE, PROMETHEUS)], prometheus(&state)).into_response()),
        None => {
            Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", "no format that Accept names is offered")
                .with_hint("ask for application/json or text/plain"))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    Json,
    Prometheus,
}

impl Form {
    /// The first that `Accept` names; text where it leaves the choice to us.
    fn of(accept: &str) -> Option<Self> {
        let mut types = accept.split(',').map(super::ingest::media_type).filter(|t| !t.is_empty()).peekable();
        if types.peek().is_none() {
            return Some(Self::Prometheus);
        }
        types.find_map(|name| match name.as_str() {
            "application/json" | "application/*" => Some(Self::Json),
            "text/plain" | "text/*" | "*/*" => Some(Self::Prometheus),
            _ => None,
        })
    }
}

/// What the engine says of itself, as gauges.
fn prometheus(state: &AppState) -> String {
    let status = state.engine.status();
    let gauges: [(&str, &str, f64); 11] = [
        ("tideline_seq", "Position of the last event stored.", status.seq as f64),
        ("tideline_applied_seq", "Position up to which live windows count.", state.engine.windows().applied().0 as f64),
        ("tideline_wal_bytes", "Size of the write-ahead log.", status.wal_bytes as f64),
        ("tideline_buffer_rows", "Events not yet in the lake.", status.buffer_rows as f64),
        ("tideline_buffer_bytes", "Memory of events not yet in the lake.", status.buffer_bytes as f64),
        ("tideline_lake_files", "Live Parquet files.", status.lake_files as f64),
        ("tideline_lake_rows", "Events in the lake.", status.lake_rows as f64),
        ("tideline_lake_bytes", "Size of the live Parquet files.", status.lake_bytes as f64),
        ("tideline_dead_letters", "Events that were not accepted and wait for a fix.", status.dead_letters.open as f64),
        ("tideline_queries", "Queries running now.", status.queries as f64),
        ("tideline_live_listeners", "Listeners of /live and /ws.", state.live.listeners() as f64),
    ];
    let mut text = String::new();
    for (name, help, value) in gauges {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_rfc_3339_or_milliseconds() {
        let wanted = Some(1_772_366_400_250 * MILLISECOND);
        for text in [
            "2026-03-01T12:00:00.250Z",
            "2026-03-01T13:00:00.2509+01:00",
            "2026-03-01T13:00:00.250 01:00",
            "1772366400250",
        ] {
            assert_eq!(instant(text), wanted, "{text}");
        }
        for text in ["", "yesterday", "2026-03-01", "99999999999999999999", "9223372036854775807"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn metrics_are_text_unless_json_is_asked_for() {
        let scraper = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for (accept, form) in [
            ("", Some(Form::Prometheus)),
            ("*/*", Some(Form::Prometheus)),
            (scraper, Some(Form::Prometheus)),
            ("application/json", Some(Form::Json)),
            ("application/json, text/plain, */*", Some(Form::Json)),
            ("image/png", None),
        ] {
            assert_eq!(Form::of(accept), form, "{accept}");
        }
    }
}
