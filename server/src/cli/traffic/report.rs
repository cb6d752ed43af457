//! What a run of `tideline traffic` comes to, for people and for programs.

use std::io::Write;

use chrono::DateTime;
use serde::Serialize;
use tideline_engine::clock::Micros;
use tideline_engine::error::{Error, Result};

use super::TrafficArgs;
use crate::cli::load::grouped;
use crate::traffic::drive::Outcome;
use crate::traffic::latency::Summary;
use crate::traffic::{Ledger, Promise};

/// A run.
#[derive(Debug, Serialize)]
pub struct Report {
    url: String,
    seed: u64,
    start: String,
    #[serde(flatten)]
    outcome: Outcome,
    /// What was made, as SQL should find it if all of it was stored.
    made: Ledger,
    /// Chances by which the shop's visitors act, for comparison with `made.funnel`.
    promised: Promise,
    thresholds: Vec<Threshold>,
    /// Whether every threshold was kept.
    pub passed: bool,
}

#[derive(Debug, Serialize)]
struct Threshold {
    name: &'static str,
    limit: f64,
    found: f64,
    kept: bool,
}

impl Report {
    /// Sums up and compares with the thresholds.
    pub fn new(args: &TrafficArgs, start: Micros, outcome: Outcome, made: Ledger) -> Self {
        let share = |part: u64| part as f64 * 100.0 / outcome.requests.max(1) as f64;
        let thresholds: Vec<Threshold> = [
            ("p95_ms", args.max_p95_ms, outcome.ok_latency.p95_ms),
            ("p99_ms", args.max_p99_ms, outcome.ok_latency.p99_ms),
            ("errors_pct", args.max_errors_pct, share(outcome.other)),
            ("limited_pct", args.max_limited_pct, share(outcome.limited)),
        ]
        .into_iter()
        .filter_map(|(name, limit, found)| limit.map(|limit| Threshold { name, limit, found, kept: found <= limit }))
        .collect();
        let start = DateTime::from_timestamp_micros(start).unwrap_or_default();
        Self {
            url: args.url.clone(),
            seed: args.seed,
            start: start.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            passed: thresholds.iter().all(|t| t.kept),
            outcome,
            made,
            promised: Promise::of_the_shop(),
            thresholds,
        }
    }

    /// One line of JSON.
    pub fn write_json(&self, out: &mut dyn Write) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|e| Error::internal(e.to_string()))?;
        Ok(writeln!(out, "{text}")?)
    }

    /// For people.
    pub fn write_text(&self, out: &mut dyn Write) -> Result<()> {
        let Outcome { requests, ok, limited, other, seconds, .. } = self.outcome;
        let rate = requests as f64 / seconds.max(0.001);
        writeln!(out, "\n{} requests in {seconds:.1} s, {rate:.1} a second", grouped(requests))?;
        writeln!(out, "  OK {}, 429 {}, other {}", grouped(ok), grouped(limited), grouped(other))?;
        for (why, count) in &self.outcome.failures {
            writeln!(out, "  {} without an answer: {why}", grouped(*count))?;
        }
        let odd = |status: u16| !(200..300).contains(&status) && status != 429;
        for (status, count) in self.outcome.statuses.iter().filter(|(status, _)| odd(**status)) {
            writeln!(out, "  {} answered with {status}", grouped(*count))?;
        }
        let Outcome { accepted, duplicates, rejected, .. } = self.outcome;
        let (accepted, duplicates, rejected) = (grouped(accepted), grouped(duplicates), grouped(rejected));
        writeln!(out, "events: {accepted} accepted, {duplicates} duplicates, {rejected} rejected")?;
        writeln!(out, "\nlatency (ms)     count     avg     p50     p90     p95     p99   p99.9     max")?;
        row(out, "OK", &self.outcome.ok_latency)?;
        row(out, "all", &self.outcome.latency)?;
        for (phase, latency) in &self.outcome.phases {
            row(out, phase, latency)?;
        }
        self.write_shop(out)?;
        for t in &self.thresholds {
            let verdict = if t.kept { "kept" } else { "MISSED" };
            writeln!(out, "threshold {} at most {}: {:.3}, {verdict}", t.name, t.limit, t.found)?;
        }
        Ok(())
    }

    fn write_shop(&self, out: &mut dyn Write) -> Result<()> {
        let Ledger { sessions, funnel, orders, revenue_cents, refunds, bot_sessions, late, .. } = self.made;
        let euros = format!("{}.{:02}", grouped(revenue_cents / 100), revenue_cents % 100);
        let [viewed, added, started, bought] = funnel.map(grouped);
        writeln!(
            out,
            "\nmade: {} sessions, {} of programs, {} events late",
            grouped(sessions),
            grouped(bot_sessions),
            grouped(late)
        )?;
        writeln!(
            out,
            "  {viewed} viewed a product, {added} added to the cart, {started} started checkout, {bought} bought"
        )?;
        writeln!(out, "  {} orders of EUR {euros}, {} refunds", grouped(orders), grouped(refunds))?;
        Ok(())
    }
}

fn row(out: &mut dyn Write, name: &str, s: &Summary) -> Result<()> {
    let Summary { count, avg_ms, p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms } = s;
    let count = grouped(*count);
    Ok(writeln!(
        out,
        "{name:<10} {count:>11} {avg_ms:>7.1} {p50_ms:>7.1} {p90_ms:>7.1} {p95_ms:>7.1} {p99_ms:>7.1} {p999_ms:>7.1} {max_ms:>7.1}"
    )?)
}
