//! Writes made-up shop events to a file, one JSON object per line: the same bytes for the same arguments.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use tideline_engine::clock::Micros;
use tideline_server::traffic::{DEFAULT_START, Generator, GeneratorConfig};

/// Bytes gathered before each write.
const CHUNK_BYTES: usize = 1 << 20;

/// Writes deterministic, realistic shop events as NDJSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many events to write.
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Another seed gives other events of the same shape.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
    /// Time of the first event (RFC 3339); 2024-01-01T00:00:00Z if left out.
    #[arg(long, value_parser = parse_time)]
    start: Option<Micros>,
    /// Days the events spread over.
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// How many different users there are.
    #[arg(long, default_value_t = 500_000)]
    users: u32,
    /// How many different products there are.
    #[arg(long, default_value_t = 10_000)]
    products: u32,
}

fn parse_time(text: &str) -> Result<Micros, String> {
    let time =
        chrono::DateTime::parse_from_rfc3339(text).map_err(|e| format!("{e}: write it as 2024-01-31T12:00:00Z"))?;
    Ok(time.timestamp_micros())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let mut generator = Generator::new(GeneratorConfig {
        seed: arguments.seed,
        start: arguments.start.unwrap_or(DEFAULT_START),
        span: Duration::from_secs(u64::from(arguments.days) * 86_400),
        users: arguments.users,
        products: arguments.products,
        events: arguments.events,
        daily_rhythm: true,
    });
    let mut file = File::create(&arguments.out)?;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + 4_096);
    let mut bytes = 0;
    while generator.next_line(&mut chunk).is_some() {
        if chunk.len() >= CHUNK_BYTES {
            file.write_all(&chunk)?;
            bytes += chunk.len();
            chunk.clear();
        }
    }
    file.write_all(&chunk)?;
    bytes += chunk.len();
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "{} events, {bytes} bytes ({:.1} an event) in {seconds:.1} s: {:.0} events/s",
        arguments.events,
        bytes as f64 / arguments.events.max(1) as f64,
        arguments.events as f64 / seconds
    );
    Ok(())
}
