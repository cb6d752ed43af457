//! Posts a file of events to a running server over a few keep-alive connections, as a shop's backend would, and
//! reports rate and acknowledgement latency as JSON.
//!
//! Without `--rate` each connection sends its next batch when the last one is acknowledged: the most the server
//! takes. With `--rate` the batches have fixed due times and latency counts from those, so that a slow answer also
//! counts for the batches it holds up (no coordinated omission).

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde::Serialize;
use serde_json::Value;
use tideline_benches::{Latencies, read_batch};
use tideline_engine::clock::{Clock as _, SystemClock};
use tideline_engine::hot::MINUTE;
use tideline_server::traffic::{Generator, GeneratorConfig};

/// Posts NDJSON to a Tideline server and reports rate and acknowledgement latency as JSON.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// Where events go.
    #[arg(long, default_value = "http://127.0.0.1:8080/events")]
    url: String,
    /// The NDJSON file to send.
    #[arg(long, required_unless_present = "generate")]
    file: Option<PathBuf>,
    /// Send that many made-up events instead of a file's.
    #[arg(long, conflicts_with = "file")]
    generate: Option<u64>,
    /// Make up events that happen now, at the rate, for live windows.
    #[arg(long, requires_all = ["generate", "rate"])]
    live: bool,
    /// Spread made-up events over that many minutes before now, to fill live windows without waiting for them.
    #[arg(long, value_name = "MINUTES", requires = "generate", conflicts_with = "live")]
    past: Option<u32>,
    /// The seed of made-up events.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Events per request.
    #[arg(long, default_value_t = 5_000)]
    batch: u64,
    /// Connections sending at the same time.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Events per second to offer; as many as are taken if left out.
    #[arg(long)]
    rate: Option<u64>,
    /// Skip that many events first.
    #[arg(long, default_value_t = 0)]
    skip: u64,
    /// Stop after that many events.
    #[arg(long, default_value_t = u64::MAX)]
    limit: u64,
}

/// A batch and when it is due, counted from the start; zero: at once.
struct Batch {
    body: Vec<u8>,
    due: Duration,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    /// Requests answered with 429 or 503 and sent again.
    retries: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    events: u64,
    seconds: f64,
    events_per_second: f64,
    #[serde(flatten)]
    counts: Counts,
    acknowledged: Latencies,
}

type Outcome = Result<(Counts, Vec<Duration>), String>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut source = Source::open(&arguments)?;
    let (sender, receiver) = sync_channel(arguments.connections * 2);
    let receiver = Arc::new(Mutex::new(receiver));
    let started = Instant::now();
    let workers: Vec<_> = (0..arguments.connections.max(1))
        .map(|_| {
            let (receiver, url) = (Arc::clone(&receiver), arguments.url.clone());
            thread::spawn(move || send(&receiver, &url, started))
        })
        .collect();
    // The workers hold the only receivers: when they all fail, reading ends too.
    drop(receiver);
    let read = read(&arguments, &mut source, &sender);
    drop(sender);
    let (mut counts, mut latencies) = (Counts::default(), Vec::new());
    for worker in workers {
        let (part, waits) = worker.join().map_err(|_| "a sending thread failed")??;
        counts.accepted += part.accepted;
        counts.duplicates += part.duplicates;
        counts.rejected += part.rejected;
        counts.retries += part.retries;
        latencies.extend(waits);
    }
    let events = read?;
    let seconds = started.elapsed().as_secs_f64();
    let report = Report {
        events,
        seconds,
        events_per_second: events as f64 / seconds,
        counts,
        acknowledged: Latencies::of(latencies),
    };
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

/// Where events come from.
enum Source {
    File(BufReader<File>),
    MadeUp(Box<Generator>),
}

impl Source {
    /// Opens it behind the events to skip.
    fn open(arguments: &Arguments) -> Result<Self, String> {
        let mut source = match (&arguments.file, arguments.generate) {
            (Some(file), _) => {
                let opened = File::open(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
                Self::File(BufReader::with_capacity(1 << 20, opened))
            }
            (None, _) if arguments.live => {
                let rate = u32::try_from(arguments.rate.unwrap_or(1)).unwrap_or(u32::MAX);
                let now = SystemClock::new().now();
                Self::MadeUp(Box::new(Generator::live(arguments.seed, rate, now)))
            }
            (None, events) => {
                let mut config = GeneratorConfig {
                    seed: arguments.seed,
                    events: events.unwrap_or_default(),
                    ..GeneratorConfig::default()
                };
                if let Some(minutes) = arguments.past {
                    config.span = Duration::from_secs(u64::from(minutes) * 60);
                    config.start = SystemClock::new().now() - i64::from(minutes) * MINUTE;
                    config.daily_rhythm = false;
                }
                Self::MadeUp(Box::new(Generator::new(config)))
            }
        };
        let (mut skip, mut skipped) = (arguments.skip, Vec::new());
        while skip > 0 {
            match source.batch(skip.min(10_000), &mut skipped).map_err(|e| e.to_string())? {
                0 => break,
                events => skip -= events,
            }
        }
        Ok(source)
    }

    /// The next batch of at most `events` into `out` (cleared first); returns how many there were.
    fn batch(&mut self, events: u64, out: &mut Vec<u8>) -> io::Result<u64> {
        match self {
            Self::File(file) => read_batch(file, events, out),
            Self::MadeUp(generator) => {
                out.clear();
                Ok((0..events).take_while(|_| generator.next_line(out).is_some()).count() as u64)
            }
        }
    }
}

/// Cuts the source into batches and hands them out; returns how many events they hold.
fn read(arguments: &Arguments, source: &mut Source, sender: &SyncSender<Batch>) -> io::Result<u64> {
    let (mut events, mut largest) = (0, 0);
    // A live stream has no end of its own.
    let limit = arguments.limit.min(arguments.generate.unwrap_or(u64::MAX));
    while events < limit {
        let mut body = Vec::with_capacity(largest);
        let lines = source.batch(arguments.batch.min(limit - events), &mut body)?;
        largest = largest.max(body.len());
        let due = arguments.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(events as f64 / rate as f64));
        if lines == 0 || sender.send(Batch { body, due }).is_err() {
            break;
        }
        events += lines;
    }
    Ok(events)
}

/// One connection: sends batches until there are no more.
fn send(receiver: &Mutex<Receiver<Batch>>, url: &str, started: Instant) -> Outcome {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let (mut counts, mut latencies) = (Counts::default(), Vec::new());
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = next else { return Ok((counts, latencies)) };
        let early = batch.due.saturating_sub(started.elapsed());
        thread::sleep(early);
        let from = if batch.due.is_zero() { started.elapsed() } else { batch.due };
        post(&agent, url, &batch.body, &mut counts)?;
        latencies.push(started.elapsed().saturating_sub(from));
    }
}

/// Posts one batch until it is answered with anything but "later".
fn post(agent: &ureq::Agent, url: &str, body: &[u8], counts: &mut Counts) -> Result<(), String> {
    loop {
        let request = agent.post(url).header("content-type", "application/x-ndjson");
        let mut response = request.send(body).map_err(|e| format!("{url}: {e}"))?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().map_err(|e| format!("{url}: {e}"))?;
        match status {
            202 => {
                let receipt: Value = serde_json::from_str(&text).map_err(|e| format!("{url}: {e}: {text}"))?;
                let count = |name: &str| receipt.get(name).and_then(Value::as_u64).unwrap_or_default();
                counts.accepted += count("accepted");
                counts.duplicates += count("duplicates");
                counts.rejected += count("rejected");
                return Ok(());
            }
            // The ids make sending again safe.
            429 | 503 => {
                counts.retries += 1;
                thread::sleep(Duration::from_millis(20));
            }
            _ => return Err(format!("{url} answered {status}: {text}")),
        }
    }
}
