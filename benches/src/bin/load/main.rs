//! Holds a load on a running server for some minutes and reports how it took it: events at a fixed rate, dashboards
//! that listen and ask, analysts who run the query suite, and probes that measure how fresh answers are.
//!
//! Events and questions of dashboards have intended times, and latency counts from those (no coordinated omission).
//! Analysts ask, read the answer, think, and ask the next question. `load.sh` starts a server for it.

mod crowd;
mod process;
mod report;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use tideline_engine::clock::{Clock as _, SystemClock};
use tideline_server::traffic::drive::{Drive, Tick, drive_alone};
use tideline_server::traffic::phases::{Phase, Phases};
use tideline_server::traffic::wire::Server;
use tideline_server::traffic::{Scenario, Simulator};

use crowd::Crowd;
use process::Process;
use report::Report;

/// Holds a load on a Tideline server and reports percentiles, freshness, memory and errors, as a table and as JSON.
#[derive(Debug, Clone, Parser)]
#[command(args_override_self = true)]
pub struct Arguments {
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// Its key, if it has any.
    #[arg(long, env = "TIDELINE_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// For how many seconds.
    #[arg(long, default_value_t = 600)]
    pub seconds: u32,
    /// Events a second; a multiple of the batch.
    #[arg(long, default_value_t = 50_000)]
    pub rate: u32,
    /// Events in a request.
    #[arg(long, default_value_t = 500)]
    pub batch: u32,
    /// Requests with events under way at the same time, at most.
    #[arg(long, default_value_t = 32)]
    pub connections: u32,
    /// Dashboards: each listens to the live stream and asks real-time questions.
    #[arg(long, default_value_t = 200)]
    pub dashboards: u32,
    /// Seconds between two questions of a dashboard.
    #[arg(long, default_value_t = 5.0)]
    pub ask_every: f64,
    /// Analysts: each runs the query suite over and over.
    #[arg(long, default_value_t = 20)]
    pub analysts: u32,
    /// Seconds an analyst thinks between two queries.
    #[arg(long, default_value_t = 1.0)]
    pub think: f64,
    /// The seed of made-up events.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// The server's process id, for its memory and CPU time.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Also write the report there, as JSON.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let process = arguments.pid.map(Process::new);
    let before = process.as_ref().map(Process::look);
    let start = SystemClock::new().now();
    let mut simulator = Simulator::new(Scenario::live(arguments.seed, start, f64::from(arguments.rate)));
    let plan = Drive {
        server: Arc::new(Server::new(&arguments.url, arguments.key.as_deref())),
        phases: Phases {
            round: vec![Phase {
                name: "BASE",
                rps: arguments.rate.div_ceil(arguments.batch.max(1)),
                secs: arguments.seconds,
            }],
            rounds: 1,
            jitter_pct: 0,
            seed: arguments.seed,
            rhythm_from: None,
        },
        connections: arguments.connections as usize,
        batch: arguments.batch as usize,
        junk_permille: 0,
        timeout: Duration::from_secs(30),
    };
    let crowd = Crowd::new(&arguments, Instant::now() + Duration::from_secs(u64::from(arguments.seconds)));
    let (outcome, crowd) = thread::scope(|scope| {
        let crowd = scope.spawn(|| crowd.gather());
        let mut on_tick = |tick: &Tick| progress(tick, process.as_ref());
        let start = SystemClock::new().now();
        let outcome = drive_alone(&plan, &mut simulator, start, &mut on_tick);
        (outcome, crowd.join())
    });
    let crowd = crowd.map_err(|_| "a thread of the crowd failed")?;
    let after = process.as_ref().map(Process::look);
    let report = Report::new(&arguments, outcome?, crowd, before.zip(after));
    print!("{}", report.table());
    let json = serde_json::to_string_pretty(&report)?;
    match &arguments.out {
        Some(path) => fs::write(path, json + "\n")?,
        None => println!("\n{json}"),
    }
    Ok(())
}

/// A line every ten seconds, to standard error.
fn progress(tick: &Tick, process: Option<&Process>) {
    if tick.at / 1_000_000 % 10 != 0 {
        return;
    }
    let Tick { ok, limited, other, avg_ms, p95_ms, second, .. } = tick;
    let memory = process.map(|p| format!(", {} MiB resident", p.look().resident_mib)).unwrap_or_default();
    eprintln!(
        "{ok} of {} requests ok, {limited} limited, {other} other, avg {avg_ms:.1} ms, p95 {p95_ms:.1} ms{memory}",
        second.target
    );
}
