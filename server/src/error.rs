//! The one map from an error to what a client sees: a status and a problem document (RFC 9457).
//!
//! A handler returns a [`Problem`]; it travels in the response's extensions until [`crate::http`] renders it, where
//! the request's id is known. So every error has one shape, whoever made it.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tideline_engine::error::{Error, Kind, Position};

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// What `Retry-After` says, in seconds, where nothing better is known.
const RETRY_AFTER_S: u32 = 1;
/// Codes of [`Kind::Busy`] that are about the client's own rate, and so are 429, not 503.
const RATE_CODES: [&str; 1] = ["rate_limited"];

/// An error on its way to the client.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// Stable, snake_case, for programs.
    pub code: &'static str,
    /// One sentence for people.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Where in an SQL text.
    pub position: Option<Position>,
    /// The nearest name that exists.
    pub did_you_mean: Option<String>,
    /// Further headers.
    pub headers: Vec<(&'static str, HeaderValue)>,
    /// What only the log may say.
    pub private: Option<String>,
}

/// The document, with fields for both dialects of clients: `detail` and `message` are the same.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    did_you_mean: Option<&'a str>,
}

#[derive(Serialize)]
struct Place {
    line: u64,
    column: u64,
}

/// The status of an error's kind.
pub fn status_of(kind: Kind, code: &str) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::Busy if RATE_CODES.contains(&code) => StatusCode::TOO_MANY_REQUESTS,
        // A process that must stop is restarted: the client's next try may succeed.
        Kind::Busy | Kind::Fatal => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Cancelled => StatusCode::CONFLICT,
        Kind::Corrupt | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Problem {
    /// A problem with a status, a stable code and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            hint: None,
            position: None,
            did_you_mean: None,
            headers: Vec::new(),
            private: None,
        }
    }

    /// 400.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 413.
    pub fn too_large(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code, message)
    }

    /// 500; `private` goes to the log only, as it may name what is no business of a client.
    pub fn internal(private: impl Into<String>) -> Self {
        let message = "an internal error; the server's log has the details under this request's id";
        let mut problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message);
        problem.private = Some(private.into());
        problem
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds the nearest name that exists, where one is near.
    #[must_use]
    pub fn with_nearest<'a>(mut self, name: &str, names: impl Iterator<Item = &'a str>) -> Self {
        self.did_you_mean = crate::config::load::nearest(name, names).map(str::to_owned);
        self
    }

    /// Renders it. `host_path` is a folder of the host, whose name is taken out of what clients see.
    pub fn render(&self, request_id: &str, host_path: &str) -> Response {
        let public = |text: &str| match host_path {
            "" | "." | "/" => text.to_owned(),
            path => text.replace(path, "<data_dir>"),
        };
        let (message, hint) = (public(&self.message), self.hint.as_deref().map(public));
        let document = Document {
            r#type: format!("urn:tideline:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &message,
            code: self.code,
            message: &message,
            hint: hint.as_deref(),
            request_id,
            position: self.position.map(|p| Place { line: p.line, column: p.column }),
            did_you_mean: self.did_you_mean.as_deref(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (self.status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        for (name, value) in &self.headers {
            response.headers_mut().insert(*name, value.clone());
        }
        let waits = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&self.status);
        if waits && !response.headers().contains_key(RETRY_AFTER) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
    }
}

/// An error and what caused it, for the log.
fn with_causes(error: &Error) -> String {
    let mut text = error.message.clone();
    let mut cause = std::error::Error::source(error);
    while let Some(c) = cause {
        let said = c.to_string();
        // Many errors repeat their cause in their own words.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = c.source();
    }
    text
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = status_of(error.kind, error.code);
        let mut problem = match error.kind {
            Kind::Internal | Kind::Corrupt => return Self::internal(with_causes(&error)),
            Kind::Fatal => {
                let message = "the server can no longer keep what it promises and is stopping; nothing was stored";
                let mut problem = Self::new(status, error.code, message);
                problem.private = Some(with_causes(&error));
                problem
            }
            _ => Self::new(status, error.code, error.message),
        };
        problem.hint = error.hint;
        problem.position = error.position;
        problem.did_you_mean = error.did_you_mean;
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 10] = [
        Kind::Invalid,
        Kind::TooLarge,
        Kind::NotFound,
        Kind::Forbidden,
        Kind::Busy,
        Kind::Timeout,
        Kind::Cancelled,
        Kind::Corrupt,
        Kind::Fatal,
        Kind::Internal,
    ];

    #[test]
    fn what_the_client_can_mend_is_4xx_and_what_it_cannot_is_5xx() {
        let statuses = KINDS.map(|k| status_of(k, "x").as_u16());
        assert_eq!(statuses, [400, 413, 404, 403, 503, 504, 409, 500, 503, 500]);
        assert_eq!(status_of(Kind::Busy, "rate_limited").as_u16(), 429);
    }

    #[test]
    fn the_insides_of_the_host_stay_in_the_log() {
        for kind in [Kind::Internal, Kind::Corrupt, Kind::Fatal] {
            let problem = Problem::from(Error::new(kind, "internal", "open /srv/secret/wal/1: EIO"));
            assert!(!problem.message.contains("secret"), "{kind:?}");
            assert!(problem.private.is_some_and(|p| p.contains("EIO")), "{kind:?}");
        }
    }
}
