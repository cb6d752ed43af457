//! What operators and load balancers ask: is it there, is it ready, how is it, which version.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tideline_engine::engine::Status;
use tideline_engine::hot::{Degraded, NodeWindows, ReplicaState, ReplicaStatus};

use crate::app::AppState;

/// This build's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    dependencies: Dependencies,
    engine: Status,
}

#[derive(Serialize)]
struct Dependencies {
    wal: Dependency,
    lake: Dependency,
    dead_letters: Dependency,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limits: Option<Dependency>,
    /// Live windows, whoever answers.
    windows: Dependency,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<Redis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Dependency>,
}

#[derive(Serialize)]
struct Redis {
    #[serde(flatten)]
    dependency: Dependency,
    #[serde(flatten)]
    replica: ReplicaStatus,
}

#[derive(Serialize)]
struct Dependency {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

/// How full the store of dead letters may be.
const LETTERS_DEGRADED_AT: f64 = 0.9;

const OK: Dependency = Dependency { status: "ok", message: None };

/// Said before it hurts: a full store answers requests that hold a bad event with 503.
fn letters(fullness: f64) -> Dependency {
    if fullness < LETTERS_DEGRADED_AT {
        return OK;
    }
    let message = "the store of rejected events is nearly full; requests with events to reject are refused when it is: \
                   replay or drop dead letters, or raise dead_letters.max_bytes";
    degraded(message)
}

const fn degraded(message: &'static str) -> Dependency {
    Dependency { status: "degraded", message: Some(message) }
}

fn windows(windows: &NodeWindows) -> Dependency {
    match windows.answering().degraded {
        None => OK,
        // As after every start; it passes by itself.
        Some(Degraded::Filling) => {
            Dependency { status: "filling", message: Some("the last minutes are being read from the table") }
        }
        Some(Degraded::Alone(_)) => degraded("answers are this server's own until Redis is back"),
        Some(Degraded::Lacking) => degraded("another server's share is still being put into Redis"),
    }
}

fn redis(windows: &NodeWindows) -> Option<Redis> {
    let mut replica = windows.replica()?;
    // It may name the host: it is in the log.
    replica.last_error = None;
    let dependency = match replica.state {
        ReplicaState::Live if replica.evicts.is_some() => degraded(
            "it forgets keys when it is full, and windows count too little then: set maxmemory-policy noeviction",
        ),
        ReplicaState::Live => OK,
        ReplicaState::Joining => degraded("it was not reached yet"),
        ReplicaState::CatchingUp => degraded("it is being sent what it missed"),
        ReplicaState::Rebuilding => degraded("this server's share is being put there anew"),
        ReplicaState::Away => degraded("it does not answer, or refuses writes; see the log. Events are not affected"),
    };
    Some(Redis { dependency, replica })
}

impl Health {
    fn of(state: &AppState) -> Self {
        let mut engine = state.engine.status();
        // The reasons may name what is no business of a client: they are in the log.
        let (stopped, flush) = (engine.failed.take(), engine.flush_error.take());
        let wal = match stopped {
            None => OK,
            Some(_) => Dependency { status: "failed", message: Some("a write did not become durable; see the log") },
        };
        let lake = match flush {
            None => OK,
            Some(_) => Dependency {
                status: "degraded",
                message: Some("the last flush failed and is tried again; events are safe in the log"),
            },
        };
        let dead_letters = letters(engine.dead_letters.fullness);
        let rate_limits = state.limits.is_shared().map(|is_shared| match is_shared {
            true => OK,
            false => Dependency {
                status: "degraded",
                message: Some("Redis does not answer; until it does, each server limits by its own count"),
            },
        });
        let (windows, redis) = (windows(state.engine.windows()), redis(state.engine.windows()));
        let tls = state.tls.as_ref().map(|tls| match tls.is_stale() {
            false => OK,
            true => degraded(
                "the certificate's files cannot be used as they are now, so the one before is shown; see the log",
            ),
        });
        let may_degrade = [Some(&lake), Some(&dead_letters), Some(&windows), rate_limits.as_ref(), tls.as_ref()];
        let is_degraded = may_degrade.iter().flatten().any(|d| d.status == "degraded");
        let status = match (wal.status, is_degraded, state.is_draining()) {
            ("failed", ..) => "failed",
            (.., true) => "stopping",
            (_, true, _) => "degraded",
            _ => "ok",
        };
        let dependencies = Dependencies { wal, lake, dead_letters, rate_limits, windows, redis, tls };
        Self { status, version: VERSION, dependencies, engine }
    }

    fn takes_traffic(&self) -> bool {
        matches!(self.status, "ok" | "degraded")
    }
}

fn unless_down(health: &Health) -> StatusCode {
    if health.takes_traffic() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Status, and each dependency's.
pub async fn health(State(state): State<AppState>) -> Response {
    let health = Health::of(&state);
    super::json(unless_down(&health), &health)
}

/// The process runs and answers.
pub async fn live() -> Response {
    super::json(StatusCode::OK, &json!({ "status": "live" }))
}

/// Requests may be sent here.
pub async fn ready(State(state): State<AppState>) -> Response {
    let health = Health::of(&state);
    let status = if health.takes_traffic() { "ready" } else { health.status };
    super::json(unless_down(&health), &json!({ "status": status }))
}

/// Name and version.
pub async fn version() -> Response {
    super::json(StatusCode::OK, &json!({ "name": "tideline", "version": VERSION }))
}

/// What is here, for someone who opens the address in a browser.
pub async fn home(State(state): State<AppState>) -> Response {
    let url = format!("{}://{}", if state.tls.is_some() { "https" } else { "http" }, state.listen);
    let text = format!(
        "Tideline {VERSION}\n\n\
         Send an event:\n\n  \
         curl -sS {url}/events -H 'Content-Type: application/json' -d '{{\"event_type\":\"page_view\",\
         \"event_ts\":\"2026-01-31T12:00:00Z\",\"session_id\":\"s1\",\"user_id\":\"u1\",\"page\":\"/\"}}'\n\n\
         Ask about them:\n\n  \
         curl -sS {url}/sql -H 'Content-Type: application/sql' -d 'SELECT event_type, count(*) FROM events GROUP BY 1'\n  \
         curl -sS '{url}/sql.csv?q=SELECT%20*%20FROM%20events%20LIMIT%205'\n\n\
         POST   /events, /ingest      JSON object, array or NDJSON, Arrow stream; gzip or zstd; ?ack=durable|committed\n\
         POST   /v1/batch, /v1/track  … what SDKs of Segment and RudderStack send\n\
         POST   /batch/, /capture/    … what SDKs of PostHog send\n\
         GET    /sql?q=…              read-only SQL over the table `events`; POST takes SQL or JSON\n\
         GET    /sql.json|.ndjson|.csv|.parquet|.arrow\n\
         GET    /analytics            the fixed metrics; /analytics/sales/daily?start=-7d&compare=previous is one\n\
         GET    /export/events?start_time=…&end_time=…   events of a span; /export/kpis?date=… KPIs of a day\n\
         GET    /alerts               what is wrong now, what was, and how the rules are; ?status=open\n\
         DELETE /queries/{{id}}         stops a query, by its X-Query-Id\n\
         GET    /metrics, /metrics/active_users, /metrics/active_sessions, /metrics/top_pages\n\
         GET    /users/active, /users/{{id}}/sessions, /sessions/active, /funnel/current\n\
         GET    /kpis/latest, /kpis/history, /api/analytics/metrics|page-views|cart-actions\n\
         GET    /live, /ws            pushed each second: server-sent events, WebSocket\n\
         GET    /health, /health/live, /health/ready, /version\n\
         GET    /docs                 all of this as a page; /openapi.json for programs\n\
         GET    /admin/dead-letters    events that were not accepted; POST …/replay sends them again, DELETE drops them\n\
         POST   /session              a key for a browser's cookie; GET shows it, DELETE ends it\n\
         POST   /admin/keys           makes a key; GET lists them, DELETE /admin/keys/{{id}} revokes one\n\
         POST   /admin/flush, /admin/compact, /admin/retain, /admin/vacuum\n"
    );
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
