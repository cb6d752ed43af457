//! Those who look while events come in: dashboards, analysts and probes, each a thread that mostly waits.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use tideline_engine::clock::{Clock as _, SystemClock};

use crate::Arguments;

/// What a dashboard asks, in turn.
const QUESTIONS: [&str; 8] = [
    "/metrics/active_users?minutes=5",
    "/metrics/active_sessions",
    "/metrics/top_pages?minutes=15&limit=5",
    "/kpis/latest",
    "/kpis/history?minutes_back=60",
    "/funnel/current?minutes=60",
    "/api/analytics/metrics?minutes=60",
    "/users/active?limit=100",
];

/// What analysts ask, in turn.
const SUITE: [(&str, &str); 12] = [
    ("count_by_day", "SELECT event_date, count(*) AS events FROM events GROUP BY event_date ORDER BY event_date"),
    ("users_5min", "SELECT count(DISTINCT user_id) AS users FROM events WHERE event_ts > now() - INTERVAL '5 minutes'"),
    ("users_1h", "SELECT count(DISTINCT user_id) AS users FROM events WHERE event_ts > now() - INTERVAL '1 hour'"),
    (
        "pages_15min",
        "SELECT page, count(*) AS views FROM events WHERE event_type = 'page_view' \
         AND event_ts > now() - INTERVAL '15 minutes' GROUP BY page ORDER BY views DESC, page LIMIT 10",
    ),
    (
        "pages_all",
        "SELECT page, count(*) AS views FROM events WHERE event_type = 'page_view' \
         GROUP BY page ORDER BY views DESC, page LIMIT 10",
    ),
    (
        "revenue_by_day",
        "SELECT event_date, sum(revenue) AS sales, count(DISTINCT order_id) AS orders FROM events \
         WHERE event_type = 'purchase' GROUP BY event_date ORDER BY event_date",
    ),
    (
        "kpi_by_minute",
        "SELECT date_trunc('minute', event_ts) AS minute, count(*) FILTER (WHERE event_type = 'page_view') AS views, \
         count(*) FILTER (WHERE event_type = 'purchase') AS purchases, count(DISTINCT session_id) AS sessions \
         FROM events WHERE event_ts > now() - INTERVAL '1 hour' GROUP BY 1 ORDER BY 1",
    ),
    (
        "conversion_by_source",
        "SELECT utm_source, count(DISTINCT session_id) AS sessions, \
         count(DISTINCT session_id) FILTER (WHERE event_type = 'purchase') AS buying \
         FROM events GROUP BY utm_source ORDER BY sessions DESC",
    ),
    (
        "top_products",
        "SELECT product_id, sum(price * quantity) AS revenue FROM events \
         WHERE event_type = 'purchase' AND product_id IS NOT NULL GROUP BY product_id ORDER BY revenue DESC LIMIT 100",
    ),
    ("approx_users", "SELECT event_date, approx_distinct(user_id) AS users FROM events GROUP BY event_date"),
    (
        "user_last_100",
        "SELECT event_ts, event_type, page FROM events WHERE user_id = 'demo-u_000040' ORDER BY event_ts DESC LIMIT 100",
    ),
    ("latest_100", "SELECT event_ts, event_type, page, event_id FROM events ORDER BY event_ts DESC LIMIT 100"),
];

/// Threads that ask the dashboards' questions.
const ASKING: u32 = 16;
/// Time between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Reasons of errors that are kept.
const MAX_REASONS: usize = 20;
/// Waiting probes that are remembered.
const MAX_PENDING: usize = 100;

/// Latencies and failures of one kind of request.
#[derive(Debug, Default)]
pub struct Times {
    pub all: Vec<Duration>,
    /// Answered with 429 or 503: come again later.
    pub busy: u64,
    pub errors: u64,
}

/// What the crowd saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Real-time questions by path.
    pub questions: BTreeMap<&'static str, Times>,
    /// Queries by name.
    pub queries: BTreeMap<&'static str, Times>,
    /// Time between two ticks of the live stream.
    pub ticks: Times,
    /// From sending an event to the answer of the first query that has it.
    pub fresh_sql: Times,
    /// From sending an event to the first tick that counts it.
    pub fresh_live: Times,
    /// What went wrong, and how often.
    pub reasons: BTreeMap<String, u64>,
}

/// Who is there, and until when.
pub struct Crowd<'a> {
    arguments: &'a Arguments,
    started: Instant,
    until: Instant,
    seen: Mutex<Seen>,
    /// Probes that no tick has counted yet: position and when they were sent.
    pending: Mutex<Vec<(u64, Instant)>>,
    asked: AtomicU64,
}

impl<'a> Crowd<'a> {
    pub fn new(arguments: &'a Arguments, until: Instant) -> Self {
        let (started, asked) = (Instant::now(), AtomicU64::new(0));
        Self { arguments, started, until, seen: Mutex::default(), pending: Mutex::default(), asked }
    }

    /// Everybody looks until the time is over; what they saw.
    pub fn gather(self) -> Seen {
        thread::scope(|scope| {
            for dashboard in 0..self.arguments.dashboards {
                // 200 of them: small stacks do.
                let listen = thread::Builder::new().stack_size(256 << 10);
                let _ = listen.spawn_scoped(scope, || self.listen());
                if dashboard < ASKING {
                    scope.spawn(|| self.ask());
                }
            }
            for analyst in 0..self.arguments.analysts {
                let crowd = &self;
                scope.spawn(move || crowd.analyse(analyst as usize));
            }
            if self.arguments.dashboards > 0 {
                scope.spawn(|| self.probe());
            }
        });
        self.seen.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn agent(&self) -> ureq::Agent {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        config.timeout_connect(Some(Duration::from_secs(10))).build().into()
    }

    fn note(&self, count: impl FnOnce(&mut Seen)) {
        count(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn failed(&self, what: &str, why: &str) {
        self.note(|seen| {
            let reason = format!("{what}: {}", why.chars().take(120).collect::<String>());
            if seen.reasons.len() < MAX_REASONS || seen.reasons.contains_key(&reason) {
                *seen.reasons.entry(reason).or_default() += 1;
            }
        });
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.arguments.key.as_deref().unwrap_or_default())
    }

    fn get(&self, agent: &ureq::Agent, path: &str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let request = agent.get(format!("{}{path}", self.arguments.url));
        match self.arguments.key {
            Some(_) => request.header("authorization", self.authorization()).call(),
            None => request.call(),
        }
    }

    fn post(&self, agent: &ureq::Agent, path: &str, body: &Value) -> Result<(u16, String), String> {
        let mut request = agent.post(format!("{}{path}", self.arguments.url)).content_type("application/json");
        if self.arguments.key.is_some() {
            request = request.header("authorization", self.authorization());
        }
        let mut answer = request.send(body.to_string().as_bytes()).map_err(|e| e.to_string())?;
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|e| e.to_string())?;
        Ok((answer.status().as_u16(), text))
    }

    /// One dashboard's live stream, opened again when it breaks.
    fn listen(&self) {
        let agent = self.agent();
        while !self.over() {
            match self.get(&agent, "/live") {
                Ok(answer) if answer.status() == 200 => self.hear(BufReader::new(answer.into_body().into_reader())),
                Ok(answer) => {
                    self.note(|seen| seen.ticks.errors += 1);
                    self.failed("/live", answer.status().as_str());
                    thread::sleep(Duration::from_secs(1));
                }
                Err(error) => {
                    self.note(|seen| seen.ticks.errors += 1);
                    self.failed("/live", &error.to_string());
                    thread::sleep(Duration::from_secs(1));
                }
            }
        }
    }

    fn hear(&self, mut stream: impl std::io::BufRead) {
        let (mut line, mut last) = (String::new(), None::<Instant>);
        while !self.over() {
            line.clear();
            match stream.read_line(&mut line) {
                Ok(1..) => {}
                _ => {
                    self.note(|seen| seen.ticks.errors += 1);
                    return self.failed("/live", "the stream ended");
                }
            }
            let Some(tick) = line.strip_prefix("data:") else { continue };
            let now = Instant::now();
            if let Some(before) = last.replace(now) {
                self.note(|seen| seen.ticks.all.push(now - before));
            }
            let waiting = !self.pending.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            if waiting && let Some(applied) = applied(tick) {
                self.resolve(applied, now);
            }
        }
    }

    /// Probes up to that position are counted now.
    fn resolve(&self, applied: u64, now: Instant) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let counted: Vec<Duration> =
            pending.iter().filter(|(seq, _)| *seq <= applied).map(|(_, sent)| now - *sent).collect();
        pending.retain(|(seq, _)| *seq > applied);
        drop(pending);
        self.note(|seen| seen.fresh_live.all.extend(counted));
    }

    /// Asks the questions of all dashboards, each when it is due.
    fn ask(&self) {
        let agent = self.agent();
        let between = self.arguments.ask_every / f64::from(self.arguments.dashboards.max(1));
        loop {
            let turn = self.asked.fetch_add(1, Ordering::Relaxed);
            let due = self.started + Duration::from_secs_f64(between * turn as f64);
            if due >= self.until {
                return;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let path = QUESTIONS[turn as usize % QUESTIONS.len()];
            let answer = self
                .get(&agent, path)
                .and_then(|mut answer| answer.body_mut().read_to_string().map(|_| answer.status().as_u16()));
            let status = answer.map_err(|error| error.to_string());
            self.count(path, status, due, |seen| seen.questions.entry(path).or_default());
        }
    }

    /// Runs the suite over and over.
    fn analyse(&self, analyst: usize) {
        let agent = self.agent();
        for turn in analyst.. {
            if self.over() {
                return;
            }
            let (name, sql) = SUITE[turn % SUITE.len()];
            let asked = Instant::now();
            let status = self.post(&agent, "/sql", &json!({ "q": sql })).map(|(status, _)| status);
            self.count(name, status, asked, |seen| seen.queries.entry(name).or_default());
            thread::sleep(Duration::from_secs_f64(self.arguments.think.max(0.0)));
        }
    }

    fn count(
        &self,
        what: &str,
        status: Result<u16, String>,
        due: Instant,
        times: impl FnOnce(&mut Seen) -> &mut Times,
    ) {
        let took = due.elapsed();
        let why = match &status {
            Ok(200) | Ok(429 | 503) => None,
            Ok(other) => Some(other.to_string()),
            Err(error) => Some(error.clone()),
        };
        self.note(|seen| match status {
            Ok(200) => times(seen).all.push(took),
            Ok(429 | 503) => times(seen).busy += 1,
            _ => times(seen).errors += 1,
        });
        if let Some(why) = why {
            self.failed(what, &why);
        }
    }

    /// Sends an event of its own now and then, and looks how long it takes until SQL and the live stream have it.
    fn probe(&self) {
        let (agent, clock) = (self.agent(), SystemClock::new());
        for number in 0_u32.. {
            let due = self.started + PROBE_EVERY * number;
            if due >= self.until {
                return;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let at = DateTime::from_timestamp_micros(clock.now()).unwrap_or_default();
            let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
            let id = format!("demo-probe-{number}-{at}");
            let sent = Instant::now();
            let event = json!({ "event_id": id, "event_type": "probe", "event_ts": at });
            let receipt = self.post(&agent, "/events", &event);
            let seq = receipt
                .as_ref()
                .ok()
                .filter(|(status, _)| *status == 202)
                .and_then(|(_, text)| serde_json::from_str::<Value>(text).ok()?["seq"]["last"].as_u64());
            let Some(seq) = seq else {
                self.note(|seen| seen.fresh_sql.errors += 1);
                self.failed("probe", &receipt.map_or_else(|error| error, |(_, text)| text));
                continue;
            };
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            if pending.len() < MAX_PENDING {
                pending.push((seq, sent));
            }
            drop(pending);
            let question =
                "SELECT count(*) AS n FROM events WHERE event_id = $id AND event_ts > now() - INTERVAL '10 minutes'";
            let answer = self.post(&agent, "/sql", &json!({ "q": question, "params": { "id": id } }));
            let found = answer.as_ref().is_ok_and(|(_, text)| {
                serde_json::from_str::<Value>(text).is_ok_and(|answer| answer["data"][0]["n"] == 1)
            });
            let busy = answer.as_ref().is_ok_and(|(status, _)| [429, 503].contains(status));
            self.note(|seen| match (found, busy) {
                (true, _) => seen.fresh_sql.all.push(sent.elapsed()),
                (_, true) => seen.fresh_sql.busy += 1,
                _ => seen.fresh_sql.errors += 1,
            });
            if !found && !busy {
                self.failed(
                    "an acknowledged event is not in SQL",
                    &answer.map_or_else(|error| error, |(_, text)| text),
                );
            }
        }
    }
}

/// Up to which position a tick counts.
fn applied(tick: &str) -> Option<u64> {
    let tick: Value = serde_json::from_str(tick.trim()).ok()?;
    let freshness = &tick["freshness"];
    Some(freshness["seq"].as_u64()? - freshness["behind"].as_u64()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_says_how_far_it_counts() {
        assert_eq!(applied(r#" {"freshness":{"seq":12,"behind":2}}"#), Some(10));
        assert_eq!(applied("x"), None);
    }
}
