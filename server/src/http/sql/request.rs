//! What a client asks of `/sql`: query string, form, JSON or the SQL itself, and the format of the answer.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde_json::Value;
use tideline_engine::query::encode::Format;

use crate::error::Problem;
use crate::http::ingest::media_type;
use crate::http::params::Params;

const NAMES: [&str; 5] = ["q", "params", "format", "limit", "timeout_ms"];

/// A request, not yet checked against the limits.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    q: Option<String>,
    /// Values of `$name` in the text.
    pub params: BTreeMap<String, Value>,
    format: Option<String>,
    /// Most rows wanted.
    pub limit: Option<usize>,
    timeout_ms: Option<u64>,
}

impl Asked {
    /// Reads the query string.
    pub fn from_uri(uri: &Uri) -> Result<Self, Problem> {
        Self::from_params(&Params::read(uri, &NAMES)?)
    }

    fn from_params(params: &Params) -> Result<Self, Problem> {
        let values = params.get("params").map_or(Ok(BTreeMap::new()), |text| {
            serde_json::from_str(text).map_err(|e| {
                Problem::bad_request("invalid_parameter", format!("`params` is not a JSON object: {e}"))
                    .with_hint(r#"write it like params={"country":"DE"}"#)
            })
        })?;
        Ok(Self {
            q: params.get("q").map(str::to_owned),
            params: values,
            format: params.get("format").map(str::to_owned),
            limit: params.number("limit")?.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            timeout_ms: params.number("timeout_ms")?,
        })
    }

    /// Adds what the body says; the body wins.
    pub fn with_body(self, headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body)
            .map_err(|_| Problem::bad_request("invalid_utf8", "the body is not UTF-8"))?
            .trim_start_matches('\u{feff}');
        let declared = headers.get(CONTENT_TYPE).map(|v| media_type(v.to_str().unwrap_or("?")));
        let body = match declared.as_deref() {
            Some("application/json") => Self::from_json(text)?,
            Some("application/sql" | "text/plain" | "text/x-sql") => Self::from_sql(text),
            // What curl sends when nothing is said: look at the text.
            None | Some("" | "application/x-www-form-urlencoded" | "application/octet-stream") => Self::guess(text)?,
            Some(_) => {
                let message = "SQL is not taken in this Content-Type";
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
                    .with_hint(r#"send application/sql, or application/json like {"q":"SELECT 1"}"#));
            }
        };
        Ok(Self {
            q: body.q.or(self.q),
            params: if body.params.is_empty() { self.params } else { body.params },
            format: body.format.or(self.format),
            limit: body.limit.or(self.limit),
            timeout_ms: body.timeout_ms.or(self.timeout_ms),
        })
    }

    fn from_sql(text: &str) -> Self {
        Self { q: Some(text.to_owned()), ..Self::default() }
    }

    fn from_json(text: &str) -> Result<Self, Problem> {
        serde_json::from_str(text).map_err(|e| {
            Problem::bad_request("invalid_json", format!("the body is not the JSON of a query: {e}"))
                .with_hint(r#"write it like {"q":"SELECT …","params":{"country":"DE"},"format":"csv","limit":10}"#)
        })
    }

    fn guess(text: &str) -> Result<Self, Problem> {
        let begins = text.trim_start();
        if begins.starts_with('{') {
            return Self::from_json(text);
        }
        if begins.starts_with("q=") {
            let uri = Uri::builder().path_and_query(format!("/?{}", begins.trim_end())).build();
            return match uri {
                Ok(uri) => Self::from_uri(&uri),
                Err(_) => Err(Problem::bad_request("invalid_form", "the form cannot be read")
                    .with_hint("send it with curl --data-urlencode 'q=SELECT …'")),
            };
        }
        Ok(Self::from_sql(text))
    }

    /// The text.
    pub fn sql(&self) -> Result<String, Problem> {
        match self.q.as_deref().map(str::trim) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(Problem::bad_request("missing_query", "there is no SQL in the request")
                .with_hint("GET /sql?q=SELECT%201, or POST it as application/sql")),
        }
    }

    /// The time asked for, within what is allowed.
    pub fn timeout(&self, most: Duration) -> Result<Option<Duration>, Problem> {
        let asked = self.timeout_ms.map(Duration::from_millis);
        if asked.is_some_and(|t| t > most || t.is_zero()) {
            let message = format!("`timeout_ms` must be from 1 to {}", most.as_millis());
            return Err(Problem::bad_request("invalid_parameter", message));
        }
        Ok(asked)
    }

    /// Path suffix, then `format`, then `Accept`, then JSON.
    pub fn format(&self, uri: &Uri, headers: &HeaderMap) -> Result<Format, Problem> {
        if let Some(name) = uri.path().strip_prefix("/sql.").or(self.format.as_deref()) {
            return Format::from_name(name).ok_or_else(|| not_a_format(name));
        }
        accepted(headers, Format::Json)
    }
}

/// The best format that `Accept` names; `usual` where it is not there.
pub fn accepted(headers: &HeaderMap, usual: Format) -> Result<Format, Problem> {
    let accepted: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    let accepted = (!accepted.is_empty()).then(|| accepted.join(", "));
    Format::from_accept(accepted.as_deref(), usual).ok_or_else(|| {
        Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", "no format that Accept names is offered")
            .with_hint(format!("the formats are {}", offered()))
    })
}

fn offered() -> String {
    let types: Vec<String> = Format::ALL.iter().map(|f| format!("{} ({})", f.name(), f.content_type())).collect();
    types.join(", ")
}

/// 406 for a format that is not offered.
pub fn not_a_format(name: &str) -> Problem {
    Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", format!("`{name}` is not a format"))
        .with_hint(format!("the formats are {}", offered()))
        .with_nearest(name, Format::ALL.iter().map(|f| f.name()))
}
