//! `/analytics`: fixed metrics, by name or by a further path of their own, in the formats of `/sql`.
//!
//! An answer names the state it is of in its ETag; a client that has it is told so without any query.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tideline_engine::metrics::{Asked, Catalogue, Description, Problem as FileProblem};
use tideline_engine::query::encode::Format;
use tower::ServiceExt as _;

use super::sql::{accepted, not_a_format};
use crate::app::AppState;
use crate::error::Problem;

/// Says that an answer is not of the metric's file as it is now.
const X_METRIC_WARNING: HeaderName = HeaderName::from_static("x-metric-warning");

#[derive(Serialize)]
struct Listing<'a> {
    metrics: Vec<Description<'a>>,
    problems: &'a [FileProblem],
}

/// `GET /analytics`: every metric with its parameters and SQL, and what is wrong with files.
pub async fn list(State(state): State<AppState>) -> Response {
    let catalogue = state.engine.metrics().catalogue().await;
    super::json(StatusCode::OK, &listing(&catalogue))
}

fn listing(catalogue: &Catalogue) -> impl Serialize {
    let metrics = catalogue.metrics.values().map(|metric| metric.describe()).collect();
    Listing { metrics, problems: &catalogue.problems }
}

/// `GET /analytics/{name}`, with or without a format as its suffix.
pub async fn metric(
    State(state): State<AppState>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some((name, format)) = Format::from_suffix(&name) {
        return answer(&state, name, Some(format), &uri, &headers).await;
    }
    if let Some((stem, suffix)) = name.rsplit_once('.')
        && state.engine.metrics().catalogue().await.get(stem).is_ok()
    {
        return Err(not_a_format(suffix));
    }
    answer(&state, &name, None, &uri, &headers).await
}

/// A path that no route has: it may be the further path of a metric, and is then answered by `metrics`, the guarded
/// route of all of them.
pub async fn by_path(state: AppState, paths: Arc<[String]>, metrics: Router, mut request: Request) -> Response {
    let uri = request.uri();
    let (path, suffix) = match Format::from_suffix(uri.path()) {
        Some((path, format)) => (path, format!(".{}", format.name())),
        None => (uri.path(), String::new()),
    };
    let catalogue = state.engine.metrics().catalogue().await;
    let Some(metric) = catalogue.by_path(path) else { return super::not_found(uri, &paths).into_response() };
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    match format!("{}{suffix}{query}", metric.path()).parse() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return super::not_found(uri, &paths).into_response(),
    }
    match metrics.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn answer(
    state: &AppState,
    name: &str,
    suffix: Option<Format>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    let Query(mut given) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Problem::bad_request("invalid_query_string", "the query string cannot be read"))?;
    let named = given.iter().find(|(name, _)| name == "format").map(|(_, value)| value.clone());
    given.retain(|(name, _)| name != "format");
    let metrics = state.engine.metrics();
    let asked = metrics.ask(name, &given).await?;
    let format = match (suffix, named) {
        (Some(format), _) => format,
        (None, Some(name)) => Format::from_name(&name).ok_or_else(|| not_a_format(&name))?,
        (None, None) => accepted(headers, Format::Json)?,
    };
    // Weak: the same rows, not the same bytes (an answer says how fresh it is).
    let etag = format!("W/\"{}-{}\"", asked.etag, format.name());
    if knows(headers, &etag) {
        return described(StatusCode::NOT_MODIFIED.into_response(), &asked, &etag);
    }
    let answer = metrics.answer(&asked).await?;
    let body = answer.encode(&asked.metric, format)?;
    let mut response = ([(CONTENT_TYPE, format.content_type())], body).into_response();
    super::time_part(&mut response, "metric", begun);
    described(response, &asked, &etag)
}

/// Whether the client has this very answer (RFC 9110, 13.1.2: compared weakly).
fn knows(headers: &HeaderMap, etag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    tags.map(bare).any(|tag| tag == "*" || tag == bare(etag))
}

fn described(mut response: Response, asked: &Asked, etag: &str) -> Result<Response, Problem> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|e| Problem::internal(e.to_string()));
    let keep = match asked.metric.header.cache.as_secs() {
        0 => "private, no-cache".to_owned(),
        seconds => format!("private, max-age={seconds}"),
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, value(etag)?);
    headers.insert(CACHE_CONTROL, value(&keep)?);
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if let Some(warning) = &asked.metric.warning {
        let plain: String = warning.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
        headers.insert(X_METRIC_WARNING, value(&plain)?);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let knows_it = |sent: &'static str| {
            let headers = [(IF_NONE_MATCH, HeaderValue::from_static(sent))].into_iter().collect();
            knows(&headers, "W/\"a-json\"")
        };
        assert!(knows_it("W/\"a-json\"") && knows_it("\"a-json\"") && knows_it("\"b\", W/\"a-json\"") && knows_it("*"));
        assert!(!knows_it("W/\"a-csv\"") && !knows_it("") && !knows_it("a-json"));
    }
}
