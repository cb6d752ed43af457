//! `tideline traffic`: made-up shop traffic for a running server, steady or in spikes, and how the server took it.

mod report;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use clap::Args;
use tideline_engine::clock::{Clock as _, Micros, SystemClock};
use tideline_engine::error::{Error, Result};
use tokio_util::sync::CancellationToken;

use super::client::{Client, DEFAULT_URL};
use super::history;
use super::load::send::ServerSink;
use crate::config::load::key_from_environment;
use crate::shutdown::Signals;
use crate::traffic::drive::{Drive, Tick, drive, runtime};
use crate::traffic::phases::{Phase, Phases};
use crate::traffic::wire::Server;
use crate::traffic::{MARK, Scenario, Simulator};
use report::Report;

/// Exit code of a run that missed one of its thresholds.
const MISSED: u8 = 3;

/// What `tideline traffic --help` begins with.
pub const ABOUT: &str = "Sends a running server the traffic of a made-up shop: visitors with sessions who browse, fill carts, \
    check out, buy and send back; crawlers, campaigns, stock levels; events that come late or twice. In phases of a given \
    rate, base, spike and cooldown, with a line about each second and a summary at the end.\n\n\
    Latency counts from the moment a request was due, so that a slow answer also counts for those it held up. Times are \
    UTC. OK are requests answered as they should be; with --junk that is a 4xx for the malformed ones.\n\n\
    The same --seed and --start make the same events, byte for byte. Every id begins with `demo-`, so that SQL can tell \
    made-up events: event_id LIKE 'demo-%'.\n\n\
    Exit codes: 0 all well, 1 it could not run, 2 wrong arguments, 3 a threshold was missed.";

/// Arguments of `tideline traffic`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tideline traffic                                         20 requests a second for a minute\n  \
    tideline traffic --base-sec 15 --spike-rps 150 --spike-sec 10 --cooldown-sec 15\n  \
    SPIKE_RPS=500 SPIKE_SEC=20 tideline traffic --repeat 0   up and down until Ctrl-C\n  \
    tideline traffic --base-rps 10000 --connections 256 --max-p99-ms 50 --max-errors-pct 0\n  \
    tideline traffic --base-rps 100 --batch 500 --json       50,000 events a second; a report for programs\n  \
    tideline traffic --junk 20                               every fifth request is malformed\n  \
    tideline traffic --print 1000 > events.ndjson            no server: events into a file")]
pub struct TrafficArgs {
    /// The running server to talk to
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
    url: String,
    /// The server's key, if it has any; better in the environment, as TIDELINE_KEY: other users see command lines
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Which made-up traffic
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// When the first event happens, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    start: Option<Micros>,
    #[command(flatten)]
    rates: RateArgs,
    /// Events in a request; a request of one is sent as a page sends it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Requests under way at the same time, at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// A request without an answer for that long has failed
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    timeout_ms: u64,
    /// Percent of the requests that are malformed: broken JSON, wrong types, future times, too large, …
    #[arg(long, value_name = "PCT", default_value_t = 0.0, default_missing_value = "5", num_args = 0..=1, value_parser = percent)]
    junk: f64,
    /// Percent of the events that arrive late
    #[arg(long, value_name = "PCT", default_value_t = 1.5, value_parser = percent)]
    late_pct: f64,
    /// Percent of the events that are sent twice
    #[arg(long, value_name = "PCT", default_value_t = 0.8, value_parser = percent)]
    twice_pct: f64,
    /// Percent of the visits that are made by programs
    #[arg(long, value_name = "PCT", default_value_t = 2.0, value_parser = percent)]
    bots_pct: f64,
    /// What every id begins with; may be empty
    #[arg(long, value_name = "TEXT", default_value = MARK)]
    mark: String,
    /// First send that many days of history, with quiet nights and busy weekends
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3_650))]
    history_days: u32,
    /// Events of history
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    history_events: u64,
    /// Write that many events to standard output instead, at the base rate
    #[arg(long, value_name = "N", conflicts_with_all = ["url", "json", "history_days"])]
    print: Option<u64>,
    /// Fail (exit code 3) when the 95th percentile of OK requests is above
    #[arg(long, value_name = "MS")]
    max_p95_ms: Option<f64>,
    /// Fail when the 99th percentile of OK requests is above
    #[arg(long, value_name = "MS")]
    max_p99_ms: Option<f64>,
    /// Fail when more than that many percent of the requests failed, 429 not counted
    #[arg(long, value_name = "PCT", value_parser = percent)]
    max_errors_pct: Option<f64>,
    /// Fail when more than that many percent of the requests were answered with 429
    #[arg(long, value_name = "PCT", value_parser = percent)]
    max_limited_pct: Option<f64>,
    /// Print the report as JSON; the lines about seconds go to standard error
    #[arg(long)]
    json: bool,
    /// No lines about seconds
    #[arg(long, short)]
    quiet: bool,
}

/// How many requests when.
#[derive(Debug, Args)]
struct RateArgs {
    /// Requests a second in the base phase
    #[arg(long, env = "BASE_RPS", value_name = "N", default_value_t = 20, value_parser = rate())]
    base_rps: u32,
    /// Its seconds
    #[arg(long, env = "BASE_SEC", value_name = "N", default_value_t = 60, value_parser = seconds())]
    base_sec: u32,
    /// Requests a second in the spike
    #[arg(long, env = "SPIKE_RPS", value_name = "N", default_value_t = 150, value_parser = rate())]
    spike_rps: u32,
    /// Its seconds; 0 is no spike
    #[arg(long, env = "SPIKE_SEC", value_name = "N", default_value_t = 0, value_parser = seconds())]
    spike_sec: u32,
    /// Requests a second in the cooldown
    #[arg(long, env = "COOLDOWN_RPS", value_name = "N", default_value_t = 20, value_parser = rate())]
    cooldown_rps: u32,
    /// Its seconds; 0 is no cooldown
    #[arg(long, env = "COOLDOWN_SEC", value_name = "N", default_value_t = 0, value_parser = seconds())]
    cooldown_sec: u32,
    /// By how many percent the rate of a second may be off, either way
    #[arg(long, env = "JITTER_PCT", value_name = "PCT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    jitter_pct: u32,
    /// How often the phases follow each other; 0 is until Ctrl-C
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: u32,
    /// Rates follow the hours of the day (UTC): quiet at night, busy in the evening
    #[arg(long)]
    daily_rhythm: bool,
}

fn rate() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=200_000)
}

fn seconds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=31_536_000)
}

fn percent(text: &str) -> Result<f64, String> {
    let value: f64 = text.trim_end_matches('%').trim().parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=100.0).contains(&value) { Ok(value) } else { Err("a percentage is between 0 and 100".to_owned()) }
}

fn parse_time(text: &str) -> Result<Micros, String> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|e| format!("{e}; write it like 2026-01-16T22:15:00Z"))?;
    Ok(time.timestamp_millis() * 1_000)
}

fn permille(percent: f64) -> u32 {
    (percent * 10.0).round() as u32
}

/// Runs the plan, or prints events.
pub fn run(args: &TrafficArgs) -> Result<ExitCode> {
    let now = SystemClock::new().now();
    if let Some(events) = args.print {
        return print(args, args.start.unwrap_or(now), events);
    }
    let key = args.key.clone().or_else(key_from_environment);
    let client = Client::new(&args.url, key.clone())?;
    client.reach()?;
    let runtime = runtime()?;
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        tokio::spawn(async move {
            signals.next().await;
            signalled.cancel();
        });
        Ok::<_, Error>(())
    })?;
    let mut simulator = args.simulator(args.start.unwrap_or(now));
    if args.history_days > 0 {
        args.send_history(&client, &mut simulator, args.start.unwrap_or(now), &stop)?;
    }
    let plan = Drive {
        server: Arc::new(Server::new(client.url(), key.as_deref().map(str::trim))),
        phases: args.phases(args.start.unwrap_or(now)),
        connections: args.connections as usize,
        batch: args.batch as usize,
        junk_permille: permille(args.junk),
        timeout: Duration::from_millis(args.timeout_ms),
    };
    // History took a while; what happens now happens from now on.
    let start = args.start.unwrap_or_else(|| SystemClock::new().now());
    let mut on_tick = |tick: &Tick| {
        // Whoever looks at the lines may have gone.
        let _ = match (args.quiet, args.json) {
            (true, _) => Ok(()),
            (_, true) => writeln!(std::io::stderr(), "{}", line(tick)),
            _ => writeln!(std::io::stdout(), "{}", line(tick)),
        };
    };
    let outcome = drive(&plan, runtime.handle(), &mut simulator, start, &stop, &mut on_tick);
    let report = Report::new(args, start, outcome, simulator.ledger().clone());
    let mut out = std::io::stdout().lock();
    if args.json {
        report.write_json(&mut out)?;
    } else {
        report.write_text(&mut out)?;
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
}

/// The line about a second.
fn line(tick: &Tick) -> String {
    let at = DateTime::from_timestamp_micros(tick.at).map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string());
    format!(
        "[{}] phase={:<8} | OK: {:<4} | 429: {:<4} | Other: {:<4} | RPS Target: {:<3} | avg(ms): {:>6.1} | p95(ms): {:>6.1}",
        at.unwrap_or_default(),
        tick.second.phase,
        tick.ok,
        tick.limited,
        tick.other,
        tick.second.target,
        tick.avg_ms,
        tick.p95_ms,
    )
}

fn print(args: &TrafficArgs, start: Micros, events: u64) -> Result<ExitCode> {
    let mut simulator = args.simulator(start);
    let per_second = u64::from(args.rates.base_rps.max(1)) * u64::from(args.batch);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    for i in 0..events {
        line.clear();
        simulator.next_at(start + i64::try_from(i * 1_000_000 / per_second).unwrap_or(i64::MAX), &mut line);
        out.write_all(&line)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

impl TrafficArgs {
    fn phases(&self, start: Micros) -> Phases {
        let rates = &self.rates;
        let phase = |name, rps, secs| Phase { name, rps, secs };
        Phases {
            round: vec![
                phase("BASE", rates.base_rps, rates.base_sec),
                phase("SPIKE", rates.spike_rps, rates.spike_sec),
                phase("COOLDOWN", rates.cooldown_rps, rates.cooldown_sec),
            ],
            rounds: rates.repeat,
            jitter_pct: rates.jitter_pct,
            seed: self.seed,
            rhythm_from: rates.daily_rhythm.then_some(start),
        }
    }

    /// The shop; it starts at `start`, or so many days of history before.
    fn simulator(&self, start: Micros) -> Simulator {
        let mut scenario = if self.history_days > 0 {
            let (from, span) = history::span(start, self.history_days);
            Scenario::past(self.seed, from, span, self.history_events)
        } else {
            Scenario::live(self.seed, start, f64::from(self.rates.base_rps) * f64::from(self.batch))
        };
        scenario.bots_permille = permille(self.bots_pct);
        scenario.late_permille = permille(self.late_pct);
        scenario.twice_permille = permille(self.twice_pct);
        scenario.mark.clone_from(&self.mark);
        Simulator::new(scenario)
    }

    fn send_history(
        &self,
        client: &Client,
        simulator: &mut Simulator,
        until: Micros,
        stop: &CancellationToken,
    ) -> Result<()> {
        let sink = ServerSink { client: client.clone(), compress: false };
        let sent = history::send(&sink, stop, |max, body| simulator.due(until, max, body))?;
        if !self.quiet && !self.json {
            writeln!(
                std::io::stdout(),
                "{} events of {} days are there.",
                super::load::grouped(sent.accepted),
                self.history_days
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
