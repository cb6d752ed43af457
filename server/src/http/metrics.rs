//! The real-time metrics: `/metrics/*`, `/users/*`, `/kpis/*`, `/funnel/current`, `/sessions/active`,
//! `/api/analytics/*`, and `GET /metrics` itself. What each figure means is in [`crate::realtime`].

use axum::Extension;
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
use crate::auth::{Caller, Refusal};
use crate::error::Problem;
use crate::monitoring::scrape;
use crate::monitoring::text::Dialect;
use crate::realtime::shapes::Answer;
use crate::realtime::{MAX_LISTED, MAX_MINUTES, Span};

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

/// `GET /metrics`: the server's own figures in a form of Prometheus, unless `Accept` would rather have JSON: then users,
/// sessions and pages of the last minutes, which are for keys only.
pub async fn summary(
    State(state): State<AppState>,
    caller: Option<Extension<Caller>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = Asked::read(&state, &uri, &["minutes", "limit", "at"])?;
    let (span, limit) = (asked.span("minutes", 5)?, asked.limit(5)?);
    let accepted: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    match Form::of(&accepted.join(",")) {
        Some(Form::Json) if caller.is_none() => Err(Refusal::Missing.into()),
        Some(Form::Json) => state.realtime.summary(span, limit).await.map(json),
        Some(Form::Text(dialect)) => {
            let page = scrape(&state, dialect).map_err(|_| Problem::internal("the page of figures was not written"))?;
            Ok(([(CONTENT_TYPE, dialect.content_type()), (CACHE_CONTROL, "no-store")], page).into_response())
        }
        None => {
            Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", "no format that Accept names is offered")
                .with_hint("ask for application/json, text/plain or application/openmetrics-text"))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text(Dialect),
}

impl Form {
    /// What `Accept` wants most, and of several the first; Prometheus' text where it leaves the choice to us.
    fn of(accept: &str) -> Option<Self> {
        let mut ranges = accept.split(',').filter(|range| !range.trim().is_empty()).peekable();
        if ranges.peek().is_none() {
            return Some(Self::Text(Dialect::Prometheus));
        }
        let offered = ranges.filter_map(|range| Some((Self::named(range)?, quality(range))));
        let mut best: Option<(Self, u32)> = None;
        for (form, quality) in offered.filter(|(_, quality)| *quality > 0) {
            if best.as_ref().is_none_or(|(_, most)| quality > *most) {
                best = Some((form, quality));
            }
        }
        best.map(|(form, _)| form)
    }

    fn named(range: &str) -> Option<Self> {
        match super::ingest::media_type(range).as_str() {
            "application/json" | "application/*" => Some(Self::Json),
            "text/plain" | "text/*" | "*/*" => Some(Self::Text(Dialect::Prometheus)),
            "application/openmetrics-text" => {
                // Of the older version, nobody knows what it was.
                let version = parameter(range, "version");
                version.is_none_or(|v| v.starts_with("1.")).then_some(Self::Text(Dialect::OpenMetrics))
            }
            _ => None,
        }
    }
}

/// A parameter of a media range.
fn parameter<'a>(range: &'a str, name: &str) -> Option<&'a str> {
    let mut parameters = range.split(';').skip(1).filter_map(|p| p.split_once('='));
    parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().trim_matches('"'))
}

/// How much a media range is wanted, in thousandths.
fn quality(range: &str) -> u32 {
    let q = parameter(range, "q").map_or(Some(1.0), |q| q.parse::<f32>().ok());
    q.map_or(0, |q| (q.clamp(0.0, 1.0) * 1e3) as u32)
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
        let (text, open) = (Some(Form::Text(Dialect::Prometheus)), Some(Form::Text(Dialect::OpenMetrics)));
        let scraper = "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
                       text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let newest =
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4";
        for (accept, form) in [
            ("", &text),
            ("*/*", &text),
            ("text/plain;version=0.0.4;q=1, */*;q=0.1", &text),
            (scraper, &open),
            (newest, &open),
            ("application/openmetrics-text", &open),
            ("application/openmetrics-text;version=0.0.1,text/plain;q=0.2", &text),
            ("application/json", &Some(Form::Json)),
            ("application/json, text/plain, */*", &Some(Form::Json)),
            ("text/plain;q=0.5, application/json", &Some(Form::Json)),
            ("text/plain, application/json", &text),
            ("application/json;q=0, */*", &text),
            ("application/json;q=0", &None),
            ("image/png", &None),
        ] {
            assert_eq!(Form::of(accept), *form, "{accept}");
        }
    }
}
