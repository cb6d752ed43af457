//! What HTTP counts of itself. Labels are bounded: a route is a declared template, never what a client wrote.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use tideline_engine::measure::{Counter, Histogram, LONG, Named, REST};

/// Templates told apart; there are fewer.
const MAX_ROUTES: usize = 256;
/// Methods told apart.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", REST];
/// Classes of status codes.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Requests of one route and method.
#[derive(Debug)]
pub struct RouteMeasures {
    answered: [Counter; CLASSES.len()],
    /// From the end of the request's headers to the beginning of its answer.
    pub took: Histogram,
}

impl RouteMeasures {
    fn new() -> Self {
        Self { answered: Default::default(), took: Histogram::new(LONG) }
    }

    /// How many were answered with each class of status.
    pub fn answered(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.answered.iter().map(Counter::get))
    }
}

#[derive(Debug, Default)]
struct Route([OnceLock<RouteMeasures>; METHODS.len()]);

/// Requests.
#[derive(Debug)]
pub struct HttpMeasures {
    routes: Named<Route>,
    in_flight: AtomicU64,
}

impl Default for HttpMeasures {
    fn default() -> Self {
        Self { routes: Named::new(MAX_ROUTES), in_flight: AtomicU64::new(0) }
    }
}

/// A request that is being worked on; counted for as long as this lives.
#[derive(Debug)]
pub struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpMeasures {
    /// A request begins.
    pub fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    /// How many are being worked on.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A request was answered; `route` is its template, where there is one.
    pub fn answered(&self, route: Option<&str>, method: &Method, status: StatusCode, took: Duration) {
        let route = self.routes.get(route.unwrap_or(REST));
        let at = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1);
        let Some(measures) = route.0.get(at) else { return };
        let measures = measures.get_or_init(RouteMeasures::new);
        if let Some(count) = measures.answered.get(usize::from(status.as_u16() / 100).saturating_sub(1)) {
            count.inc();
        }
        measures.took.took(took);
    }

    /// Looks at all of them: template, method, measures.
    pub fn each(&self, mut look: impl FnMut(&str, &'static str, &RouteMeasures)) {
        for (template, route) in self.routes.all() {
            for (method, measures) in METHODS.into_iter().zip(&route.0) {
                if let Some(measures) = measures.get() {
                    look(&template, method, measures);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_writes_never_becomes_a_label() {
        let http = HttpMeasures::default();
        let lie = Method::from_bytes(b"PROPFIND").unwrap();
        for (route, method, status) in [
            (Some("/sql"), Method::GET, 200),
            (Some("/sql"), Method::GET, 504),
            (Some("/queries/{id}"), Method::DELETE, 404),
            (None, Method::GET, 404),
            (None, lie, 405),
        ] {
            http.answered(route, &method, StatusCode::from_u16(status).unwrap(), Duration::from_millis(1));
        }
        let mut seen = Vec::new();
        http.each(|route, method, m| {
            let classes: Vec<u64> = m.answered().map(|(_, n)| n).collect();
            seen.push(format!("{method} {route} {classes:?}"));
        });
        assert_eq!(
            seen,
            [
                "DELETE /queries/{id} [0, 0, 0, 1, 0]",
                "GET /sql [0, 1, 0, 0, 1]",
                "GET other [0, 0, 0, 1, 0]",
                "other other [0, 0, 0, 1, 0]",
            ]
        );
        let one = http.begin();
        assert_eq!(http.in_flight(), 1);
        drop(one);
        assert_eq!(http.in_flight(), 0);
    }
}
