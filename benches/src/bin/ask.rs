//! Keeps asking a running server its real-time questions and reports, for each, how long the answer took at the
//! server (from its `Server-Timing` header) and at the client. Run it beside `post --rate`, which brings the events.
//!
//! Each connection asks the questions in turn, at a fixed rate for all of them together; latency at the client counts
//! from when a question was due, so that a slow answer also counts for those it holds up.

use std::collections::BTreeMap;
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde::Serialize;
use tideline_benches::Latencies;

/// What is asked when nothing else is said: counts and KPIs, then lists, which are made once a second.
const QUESTIONS: [&str; 12] = [
    "/metrics/active_users?minutes=5",
    "/metrics/active_sessions",
    "/kpis/latest",
    "/kpis/history?minutes_back=60",
    "/funnel/current?minutes=60",
    "/api/analytics/metrics?minutes=60",
    "/api/analytics/cart-actions?minutes=60",
    "/metrics/top_pages?minutes=15&limit=5",
    "/users/active?limit=100",
    "/users/u_1/sessions",
    "/sessions/active?limit=100",
    "/api/analytics/page-views?minutes=60",
];

/// Asks a Tideline server its real-time questions and reports latencies as JSON.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Ask this path instead of the usual ones; may be repeated.
    #[arg(long)]
    path: Vec<String>,
    /// Questions a second, in all.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Connections asking at the same time.
    #[arg(long, default_value_t = 4)]
    connections: u32,
    /// How long to ask.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    /// From the end of the request's headers to the begin of the answer.
    server: Latencies,
    /// From when the question was due to the last byte of the answer.
    client: Latencies,
}

/// By path: times at the server and at the client.
type Times = BTreeMap<String, (Vec<Duration>, Vec<Duration>)>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let paths = match arguments.path.is_empty() {
        true => QUESTIONS.map(str::to_owned).to_vec(),
        false => arguments.path.clone(),
    };
    let started = Instant::now();
    let workers: Vec<_> = (0..arguments.connections.max(1))
        .map(|worker| {
            let (arguments, paths) = (arguments.clone(), paths.clone());
            thread::spawn(move || ask(&arguments, &paths, worker, started))
        })
        .collect();
    let mut all = Times::new();
    for worker in workers {
        for (path, (server, client)) in worker.join().map_err(|_| "an asking thread failed")?? {
            let times = all.entry(path).or_default();
            times.0.extend(server);
            times.1.extend(client);
        }
    }
    let report = |(server, client)| Report { server: Latencies::of(server), client: Latencies::of(client) };
    let reports: BTreeMap<String, Report> = all.into_iter().map(|(path, times)| (path, report(times))).collect();
    println!("{}", serde_json::to_string_pretty(&reports)?);
    Ok(())
}

/// One connection: asks every question in turn until the time is over.
fn ask(arguments: &Arguments, paths: &[String], worker: u32, started: Instant) -> Result<Times, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let connections = arguments.connections.max(1);
    let between = Duration::from_secs_f64(1.0 / f64::from(arguments.rate.max(1)));
    let mut times = Times::new();
    for turn in 0_u32.. {
        let place = turn * connections + worker;
        let due = between * place;
        if due > Duration::from_secs(arguments.seconds) {
            break;
        }
        thread::sleep(due.saturating_sub(started.elapsed()));
        let path = &paths[place as usize % paths.len()];
        let mut answer = agent.get(format!("{}{path}", arguments.url)).call().map_err(|e| format!("{path}: {e}"))?;
        let timing = answer.headers().get("server-timing").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let text = answer.body_mut().read_to_string().map_err(|e| format!("{path}: {e}"))?;
        if !answer.status().is_success() {
            return Err(format!("{path} answered {}: {text}", answer.status()));
        }
        let at_server = timing.as_deref().and_then(total).ok_or_else(|| format!("{path}: no Server-Timing"))?;
        let (server, client) = times.entry(path.clone()).or_default();
        server.push(at_server);
        client.push(started.elapsed().saturating_sub(due));
    }
    Ok(times)
}

/// The whole time in a `Server-Timing` header.
fn total(header: &str) -> Option<Duration> {
    let part = header.split(',').find_map(|part| part.trim().strip_prefix("total;dur="))?;
    Some(Duration::from_secs_f64(part.parse::<f64>().ok()? / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_time_is_found_among_parts() {
        assert_eq!(total("query;dur=1.50, total;dur=2.25"), Some(Duration::from_micros(2_250)));
        assert_eq!(total("query;dur=1.50"), None);
    }
}
