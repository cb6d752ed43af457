//! What a load comes to: one structure, shown as a table and written as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use tideline_benches::Latencies;
use tideline_server::traffic::drive::Outcome;

use crate::Arguments;
use crate::crowd::{Seen, Times};
use crate::process::Usage;

#[derive(Debug, Serialize)]
struct Line {
    latency: Latencies,
    busy: u64,
    errors: u64,
}

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    seconds: u32,
    wanted_events_per_second: u32,
    events_per_second: f64,
    batch: u32,
    dashboards: u32,
    analysts: u32,
    /// Requests with events: acknowledgement latencies from their intended time.
    ingest: Outcome,
    /// Real-time questions, all and by path, from their intended time.
    questions: Line,
    questions_by_path: BTreeMap<&'static str, Line>,
    /// Queries, all and by name, from when they were asked.
    queries: Line,
    queries_by_name: BTreeMap<&'static str, Line>,
    /// Time between two ticks at a listener.
    ticks: Line,
    /// From sending an event to the answer of a query that has it, and to a tick that counts it.
    fresh_sql: Line,
    fresh_live: Line,
    server: Option<Server>,
    reasons: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Server {
    /// The most memory it had resident since it started (VmHWM).
    peak_mib: u64,
    /// What it had at the end.
    resident_mib: u64,
    /// Cores it used on average.
    cores: f64,
}

impl Report {
    /// Sums up.
    pub fn new(arguments: &Arguments, ingest: Outcome, seen: Seen, usage: Option<(Usage, Usage)>) -> Self {
        let seconds = ingest.seconds.max(0.001);
        Self {
            seconds: arguments.seconds,
            wanted_events_per_second: arguments.rate,
            events_per_second: (ingest.accepted + ingest.duplicates) as f64 / seconds,
            batch: arguments.batch,
            dashboards: arguments.dashboards,
            analysts: arguments.analysts,
            questions: all(&seen.questions),
            questions_by_path: each(seen.questions),
            queries: all(&seen.queries),
            queries_by_name: each(seen.queries),
            ticks: line(seen.ticks),
            fresh_sql: line(seen.fresh_sql),
            fresh_live: line(seen.fresh_live),
            server: usage.map(|(before, after)| Server {
                peak_mib: after.peak_mib,
                resident_mib: after.resident_mib,
                cores: (after.cpu_seconds - before.cpu_seconds) / seconds,
            }),
            reasons: seen.reasons,
            ingest,
        }
    }

    /// For people; Markdown.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let Outcome { requests, ok, limited, other, accepted, rejected, latency: l, .. } = &self.ingest;
        let _ = writeln!(
            out,
            "{} s, {:.0} events/s stored of {} wanted, in batches of {}; {} dashboards, {} analysts\n",
            self.seconds,
            self.events_per_second,
            self.wanted_events_per_second,
            self.batch,
            self.dashboards,
            self.analysts
        );
        let _ = writeln!(
            out,
            "{ok} of {requests} requests ok, {limited} limited, {other} failed; {accepted} events accepted, {rejected} rejected"
        );
        if let Some(Server { peak_mib, resident_mib, cores }) = &self.server {
            let _ = writeln!(out, "server: {peak_mib} MiB at most, {resident_mib} MiB at the end, {cores:.2} cores");
        }
        let _ = writeln!(
            out,
            "\n| ms | count | p50 | p90 | p99 | p99.9 | max | busy | errors |\n|---|---|---|---|---|---|---|---|---|"
        );
        let _ = writeln!(
            out,
            "| acknowledged | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {limited} | {other} |",
            l.count, l.p50_ms, l.p90_ms, l.p99_ms, l.p999_ms, l.max_ms
        );
        row(&mut out, "in SQL", &self.fresh_sql);
        row(&mut out, "in a tick", &self.fresh_live);
        row(&mut out, "between ticks", &self.ticks);
        row(&mut out, "real-time questions", &self.questions);
        row(&mut out, "queries", &self.queries);
        for (name, line) in self.queries_by_name.iter().chain(&self.questions_by_path) {
            row(&mut out, &format!("· {name}"), line);
        }
        for (reason, count) in &self.reasons {
            let _ = writeln!(out, "{count} × {reason}");
        }
        out
    }
}

fn row(out: &mut String, name: &str, line: &Line) {
    let Line { latency: l, busy, errors } = line;
    if l.count as u64 + busy + errors > 0 {
        let _ = writeln!(
            out,
            "| {name} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {busy} | {errors} |",
            l.count, l.p50_ms, l.p90_ms, l.p99_ms, l.p999_ms, l.max_ms
        );
    }
}

fn line(times: Times) -> Line {
    Line { latency: Latencies::of(times.all), busy: times.busy, errors: times.errors }
}

fn all(times: &BTreeMap<&'static str, Times>) -> Line {
    let latencies: Vec<Duration> = times.values().flat_map(|t| t.all.iter().copied()).collect();
    let sum = |of: fn(&Times) -> u64| times.values().map(of).sum::<u64>();
    Line { latency: Latencies::of(latencies), busy: sum(|t| t.busy), errors: sum(|t| t.errors) }
}

fn each(times: BTreeMap<&'static str, Times>) -> BTreeMap<&'static str, Line> {
    times.into_iter().map(|(name, times)| (name, line(times))).collect()
}
