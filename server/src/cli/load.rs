//! `tideline load`: files of events into a running server or a data folder.

pub mod convert;
pub(crate) mod csv_file;
pub mod mapping;
pub(crate) mod parquet_file;
pub mod read;
pub mod send;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tideline_engine::error::{Error, Result};

use super::client::{Target, TargetArgs};
use super::folder::Folder;
use mapping::Mapping;
use read::{Batch, FileFormat, Input, ReadOptions};
use send::{ServerSink, Sink, Tally, send_all};

/// What `tideline load --help` begins with.
pub const ABOUT: &str = "Loads files of events into a running server, or directly into a data folder.\n\n\
    NDJSON (one event a line), CSV with a header line, and Parquet; each also compressed with gzip or zstd. \
    Columns that are not called like the fields of an event are translated by a mapping file.\n\n\
    Loading the same file twice stores nothing twice: events are told apart by their event_id. So a load that was \
    interrupted is simply started again. A line of CSV or Parquet without an event_id gets one made from the \
    file's name, the line's number and its content; an event of NDJSON, and of standard input, gets one from its \
    content alone.";

/// Arguments of `tideline load`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline load events.ndjson.gz                         into the server on 127.0.0.1:8080\n  \
        tideline load *.parquet --url http://10.0.0.5:8080     into another one\n  \
        tideline load orders.csv --mapping orders.mapping.toml --data-dir tideline-data\n  \
        zcat clicks.gz | tideline load - --format ndjson --json\n\n\
        Mapping files are described in data/README.md; data/online_retail.mapping.toml is one.\n\n\
        Exit code: 0 when every event was taken or already there, or some were refused (they are counted, named, and \
        kept as dead letters); 1 when nothing at all was acceptable, when --strict and any was refused, or when the \
        load could not be finished; 2 when it was called wrongly.")]
pub struct LoadArgs {
    /// Files to load; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    /// Mapping file (TOML): which columns become which fields of an event
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// How the files are written
    #[arg(long, value_enum, default_value = "auto")]
    format: FileFormat,
    /// Most events in one request
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// Requests under way at once
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Compress requests with zstd; for servers far away
    #[arg(long, conflicts_with = "data_dir")]
    compress: bool,
    /// How many seconds to keep trying while the server is away or full
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    retry_for: u64,
    /// Exit with 1 when any event was refused
    #[arg(long)]
    strict: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Show no progress bar
    #[arg(long, short)]
    quiet: bool,
}

/// Loads the files.
pub fn run(args: &LoadArgs) -> Result<ExitCode> {
    let inputs = args.files.iter().map(|path| Input::find(path)).collect::<Result<Vec<_>>>()?;
    let options = ReadOptions {
        format: args.format,
        mapping: args.mapping.as_deref().map(read_mapping).transpose()?,
        batch_rows: args.batch as usize,
    };
    let started = Instant::now();
    let (tally, failure) = match args.target.target()? {
        Target::Server(client) => {
            client.reach()?;
            load(args, &inputs, &options, &ServerSink { client, compress: args.compress })
        }
        Target::Folder(dir) => {
            let folder = Folder::open(&dir)?;
            let (tally, failure) = load(args, &inputs, &options, &folder);
            let closed = folder.close().err();
            (tally, failure.or(closed))
        }
    };
    report(args, &tally, started.elapsed())?;
    if let Some(error) = failure {
        return Err(error);
    }
    let nothing = tally.rejected > 0 && tally.accepted + tally.duplicates == 0;
    Ok(if nothing || (args.strict && tally.rejected > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reads a mapping file.
///
/// # Errors
/// When it cannot be read, or with the line and column of what is wrong in it.
pub fn read_mapping(path: &Path) -> Result<Mapping> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::invalid("file_not_readable", format!("cannot read the mapping file {}: {e}", path.display()))
    })?;
    Mapping::parse(&path.display().to_string(), &text)
}

fn load(args: &LoadArgs, inputs: &[Input], options: &ReadOptions, sink: &dyn Sink) -> (Tally, Option<Error>) {
    let bar = progress_bar(args, inputs);
    let bytes = Arc::new(AtomicU64::new(0));
    let done = |tally: &Tally| {
        bar.set_position(bytes.load(Ordering::Relaxed));
        bar.set_message(format!("{} events", grouped(tally.accepted + tally.duplicates + tally.rejected)));
    };
    let patience = Duration::from_secs(args.retry_for);
    let result =
        send_all(sink, usize::from(args.jobs), patience, &done, |emit| read_all(inputs, options, &bytes, emit));
    bar.finish_and_clear();
    result
}

/// Reads the files one after the other.
///
/// # Errors
/// As [`read::read`].
pub fn read_all(
    inputs: &[Input],
    options: &ReadOptions,
    bytes: &Arc<AtomicU64>,
    emit: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<u64> {
    let mut skipped = 0;
    let mut before = 0;
    for input in inputs {
        skipped += read::read(input, options, bytes, emit)?;
        // Parquet is read out of order and past the counter.
        before += input.bytes;
        bytes.fetch_max(before, Ordering::Relaxed);
    }
    Ok(skipped)
}

fn progress_bar(args: &LoadArgs, inputs: &[Input]) -> ProgressBar {
    let total: u64 = inputs.iter().map(|i| i.bytes).sum();
    if args.quiet || args.json || !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    }
    let bar = if inputs.iter().any(Input::is_stdin) { ProgressBar::new_spinner() } else { ProgressBar::new(total) };
    let style = "{wide_bar} {bytes}/{total_bytes}  {msg}  {elapsed} (left {eta})";
    if let (Ok(style), Some(_)) = (ProgressStyle::with_template(style), bar.length()) {
        bar.set_style(style);
    }
    bar
}

fn report(args: &LoadArgs, tally: &Tally, elapsed: Duration) -> Result<()> {
    let events = tally.accepted + tally.duplicates + tally.rejected;
    let rate = events as f64 / elapsed.as_secs_f64().max(0.001);
    let mut out = std::io::stdout().lock();
    if args.json {
        let mut value = serde_json::to_value(tally).map_err(|e| Error::internal(e.to_string()))?;
        if let Some(object) = value.as_object_mut() {
            object.insert("events".to_owned(), events.into());
            object.insert("elapsed_seconds".to_owned(), elapsed.as_secs_f64().into());
        }
        writeln!(out, "{value}")?;
        return Ok(());
    }
    writeln!(out, "events      {:>14}", grouped(events))?;
    writeln!(out, "accepted    {:>14}", grouped(tally.accepted))?;
    writeln!(out, "duplicates  {:>14}", grouped(tally.duplicates))?;
    writeln!(out, "rejected    {:>14}", grouped(tally.rejected))?;
    if tally.skipped > 0 {
        writeln!(out, "skipped     {:>14}", grouped(tally.skipped))?;
    }
    writeln!(out, "in {:.1} s, {} events/s", elapsed.as_secs_f64(), grouped(rate as u64))?;
    if tally.retries > 0 {
        writeln!(out, "{} requests had to be sent again", grouped(tally.retries))?;
    }
    for error in &tally.errors {
        let field = if error.field.is_empty() { String::new() } else { format!("{}: ", error.field) };
        writeln!(out, "rejected: {} line {}: {field}{} ({})", error.file, error.line, error.message, error.code)?;
    }
    if tally.rejected > tally.errors.len() as u64 {
        let more = tally.rejected - tally.errors.len() as u64;
        writeln!(out, "… and {} more; all are kept as dead letters with their reasons", grouped(more))?;
    }
    Ok(())
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
