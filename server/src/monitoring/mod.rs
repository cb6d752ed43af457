//! `GET /metrics`: what the process counts and measures, for Prometheus. deploy/METRICS.md lists every family, and a test
//! compares that list with a scrape.
//!
//! Counters live where things happen; a scrape reads them and asks the engine how it is. That takes no lock which anybody
//! holds for long, runs no query, and does not get slower with the table. [`text`] writes the page, [`http`] counts
//! requests, `process` asks the system; the families of the engine stand in `engine`, those of the server here.

pub mod http;
mod engine;
mod process;
pub mod text;

use std::fmt;

use tideline_engine::fs::host::space;

use crate::app::AppState;
use crate::config::Config;
use crate::http::ops::VERSION;
use crate::listen;
use crate::rate_limit::POLICIES;
use text::{Dialect, Page, Value, labels, seconds};

/// A scrape.
///
/// # Errors
/// None is expected.
pub fn scrape(state: &AppState, dialect: Dialect) -> Result<String, fmt::Error> {
    let mut page = Page::default();
    page.gauges(
        "tideline_build_info",
        "Always 1; its label says which version runs.",
        [(labels([("version", VERSION)]), Value::Whole(1))],
    );
    requests(&mut page, state);
    engine::families(&mut page, state);
    limits(&mut page, state);
    alerts(&mut page, state);
    disk(&mut page, &state.config);
    process::families(&mut page);
    page.write(dialect)
}

fn requests(page: &mut Page, state: &AppState) {
    let (mut answered, mut took) = (Vec::new(), Vec::new());
    state.http.each(|route, method, measures| {
        for (status, n) in measures.answered() {
            // The classes one looks for are there from the beginning, so that their rates have one.
            if n > 0 || matches!(status, "2xx" | "4xx" | "5xx") {
                answered.push((labels([("route", route), ("method", method), ("status", status)]), Value::Whole(n)));
            }
        }
        took.push((labels([("route", route), ("method", method)]), seconds(&measures.took)));
    });
    page.counters("tideline_http_requests_total", "Requests answered, by route and class of status.", answered);
    page.histograms("tideline_http_request_duration_seconds", "From a request's headers to its answer's.", took);
    page.gauge("tideline_http_requests_in_flight", "Requests being worked on.", state.http.in_flight());
    page.gauge("tideline_http_connections", "Open connections.", listen::connections());
    let most = state.config.http.max_connections;
    page.gauge("tideline_http_connections_limit", "Connections that may be open (http.max_connections).", most);
    page.gauge("tideline_draining", "1 while the server stops and takes no new requests.", state.is_draining());
}

fn limits(page: &mut Page, state: &AppState) {
    page.counters(
        "tideline_rate_limited_total",
        "Requests refused with 429, by the limit they met.",
        POLICIES.map(|policy| (labels([("policy", policy.name())]), Value::Whole(state.limits.refusals(policy)))),
    );
    let shared = state.limits.is_shared();
    page.gauges(
        "tideline_rate_limit_shared",
        "1 while limits are counted in Redis with other servers; absent where they are not meant to be.",
        shared.map(|is| (labels([]), Value::from(is))),
    );
    page.gauge("tideline_live_listeners", "Listeners of /live and /ws.", state.live.listeners());
    let most = state.config.live.max_listeners;
    page.gauge("tideline_live_listeners_limit", "Listeners there may be (live.max_listeners).", most);
    page.counter("tideline_live_ticks_total", "Pictures made for listeners.", state.live.number());
}

fn alerts(page: &mut Page, state: &AppState) {
    let alerts = state.engine.alerts();
    let counts = alerts.log().counts();
    let open = alerts.log().open_ones();
    page.gauges(
        "tideline_alerts_open",
        "Alerts that are open, by severity.",
        ["info", "warning", "critical"].map(|severity| {
            let n = open.iter().filter(|alert| alert.severity.name() == severity).count();
            (labels([("severity", severity)]), Value::from(n))
        }),
    );
    let fired = (counts.open + counts.closed) as u64 + counts.dropped;
    page.counter("tideline_alerts_opened_total", "Alerts that have opened, since the data folder was made.", fired);
    let failing = alerts.status().iter().filter(|rule| rule.error.is_some()).count();
    page.gauge("tideline_alert_rules_failing", "Rules whose last judgement failed.", failing);
    let notices = alerts.log().measures();
    page.counters(
        "tideline_webhook_notices_total",
        "Tries to send a notice of an alert, by what became of them.",
        [("sent", &notices.sent), ("failed", &notices.failed), ("given_up", &notices.given_up)]
            .map(|(outcome, count)| (labels([("outcome", outcome)]), Value::from(count))),
    );
    page.gauge("tideline_webhook_notices_waiting", "Notices that are still to be sent.", counts.notices_pending);
    page.gauge("tideline_webhook_notices_given_up", "Notices that were given up and are kept.", counts.notices_dead);
}

fn disk(page: &mut Page, config: &Config) {
    let Ok(room) = space(&config.data_dir) else { return };
    page.gauge("tideline_disk_available_bytes", "Room that is left on the data folder's file system.", room.free);
    page.gauge("tideline_disk_total_bytes", "Size of the data folder's file system.", room.total);
}
