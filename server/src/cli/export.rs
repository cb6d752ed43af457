//! `tideline export`: events of a span of time into a file, or into a folder with a file for each day.

mod folder;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use serde_json::json;
use tideline_engine::clock::Micros;
use tideline_engine::error::{Error, Result};
use tideline_engine::query::encode::Format;

use super::client::TargetArgs;
use super::load::grouped;
use super::session::{Ask, Session};
use crate::export::{Span, TIME_HINT, columns, parse_time};

/// What `tideline export --help` begins with.
pub const ABOUT: &str = "Writes the events of a span of time into a file, newest first, with every column; as \
    NDJSON without those the server sets itself, so that each line can be sent to it again.\n\n\
    With --partition day it is a folder with a file for each day of event time (UTC), as \
    event_date=2026-01-31/events.parquet, which readers of partitioned data take as one table.\n\n\
    Rows are streamed, so any amount fits. File and folder appear under their name only when they are complete. What \
    is exported can be loaded again with `tideline load`: events keep their ids.";

/// Arguments of `tideline export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline export --start 2026-01-01 --end 2026-02-01 --out january.parquet\n  \
        tideline export --start 2026-01-31T12:00:00Z --format ndjson --out - | zstd > tail.ndjson.zst\n  \
        tideline export --data-dir tideline-data --format csv --out all.csv\n  \
        tideline export --start 2026-01-01 --partition day --out january/\n\n\
        Times are UTC unless they name an offset; --start is included, --end is not.")]
pub struct ExportArgs {
    /// From this time on: 2026-01-31 or 2026-01-31T12:00:00Z [default: the first event]
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Until before this time [default: the last event]
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// How the file is written [default: by its name, else Parquet]
    #[arg(long, value_enum)]
    format: Option<ExportFormat>,
    /// File to write, or folder with --partition; `-` is standard output
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Write a folder with a file for each of these instead of one file
    #[arg(long, value_enum)]
    partition: Option<Partition>,
    /// Write over a file that is there; with --partition: into a folder that is not empty, replacing the same days
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    target: TargetArgs,
    /// Seconds it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Parquet
    Parquet,
    /// Columns with a header line
    Csv,
    /// One JSON object a line
    Ndjson,
}

/// What a folder has a file for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Partition {
    /// Each day of event time, UTC
    Day,
}

impl ExportFormat {
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => Self::Csv,
            Some("ndjson" | "jsonl" | "json") => Self::Ndjson,
            _ => Self::Parquet,
        }
    }

    fn encoder(self) -> Format {
        match self {
            Self::Parquet => Format::Parquet,
            Self::Csv => Format::Csv,
            Self::Ndjson => Format::Ndjson,
        }
    }
}

/// Exports.
pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    let format = args.format.unwrap_or_else(|| ExportFormat::of(&args.out)).encoder();
    let (start, end) = (bound("--start", args.start.as_deref())?, bound("--end", args.end.as_deref())?);
    let sql = Span::new(start, end)?.query(&columns(format));
    let ask = Ask { timeout: Some(Duration::from_secs(args.timeout)), ..Ask::new(sql) };
    match args.partition {
        Some(Partition::Day) => run_folder(args, &ask, format),
        None => run_file(args, &ask, format),
    }
}

fn bound(flag: &str, text: Option<&str>) -> Result<Option<Micros>> {
    text.map(|text| time(flag, text).map(|time| time.timestamp_micros())).transpose()
}

fn run_folder(args: &ExportArgs, ask: &Ask, format: Format) -> Result<ExitCode> {
    if args.out.as_os_str() == "-" {
        return Err(Error::invalid("invalid_config", "a folder is not for standard output")
            .with_hint("name a folder with --out, or leave out --partition"));
    }
    let started = Instant::now();
    let target = folder::Target::new(&args.out, args.force)?;
    let session = Session::open(args.target.target()?)?;
    let written = target.write(&session, ask, format)?;
    session.close()?;
    let (out, seconds) = (args.out.display(), started.elapsed().as_secs_f64());
    let folder::Written { files, rows, bytes } = written;
    let text = if args.json {
        let path = out.to_string();
        json!({ "path": path, "files": files, "rows": rows, "bytes": bytes, "elapsed_seconds": seconds }).to_string()
    } else {
        let (events, bytes) = (grouped(rows), grouped(bytes));
        format!("{out}: {events} events of {files} days, {bytes} bytes in {seconds:.1} s")
    };
    writeln!(io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn run_file(args: &ExportArgs, ask: &Ask, format: Format) -> Result<ExitCode> {
    let stdout = args.out.as_os_str() == "-";
    if stdout && format == Format::Parquet && io::stdout().is_terminal() {
        return Err(
            Error::invalid("invalid_config", "Parquet is not for a terminal").with_hint("name a file with --out")
        );
    }
    if args.out.is_dir() {
        let error = Error::invalid("file_exists", format!("{} is a folder", args.out.display()));
        return Err(error.with_hint("name a file, or add --partition day"));
    }
    if !stdout && !args.force && args.out.exists() {
        let error = Error::invalid("file_exists", format!("{} is there already", args.out.display()));
        return Err(error.with_hint("name another file, or write over it with --force"));
    }
    let started = Instant::now();
    let session = Session::open(args.target.target()?)?;
    let bytes = if stdout {
        write(&session, ask, format, io::stdout().lock())?
    } else {
        to_file(&session, ask, format, &args.out)?
    };
    session.close()?;
    if !stdout {
        let (out, seconds) = (args.out.display(), started.elapsed().as_secs_f64());
        let text = if args.json {
            json!({ "path": out.to_string(), "bytes": bytes, "elapsed_seconds": seconds }).to_string()
        } else {
            format!("{out}: {} bytes in {seconds:.1} s", grouped(bytes))
        };
        writeln!(io::stdout(), "{text}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Into a file beside the wanted one, which then takes its name: nobody takes a part for the whole.
fn to_file(session: &Session, ask: &Ask, format: Format, path: &Path) -> Result<u64> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = path.with_file_name(name);
    let cannot = |e: io::Error| Error::from(e).context(format!("cannot write {}", part.display()));
    let file = File::create(&part).map_err(cannot)?;
    let written = write(session, ask, format, &file).and_then(|bytes| {
        file.sync_all().map_err(cannot)?;
        std::fs::rename(&part, path).map_err(cannot)?;
        Ok(bytes)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written
}

fn write(session: &Session, ask: &Ask, format: Format, out: impl Write) -> Result<u64> {
    let mut out = Counted { inner: BufWriter::with_capacity(1 << 20, out), bytes: 0 };
    session.write(ask, format, &mut out)?;
    out.flush()?;
    Ok(out.bytes)
}

struct Counted<W: Write> {
    inner: BufWriter<W>,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads a time as people write it; `flag` is what it is called in the error.
pub fn time(flag: &str, text: &str) -> Result<DateTime<Utc>> {
    let time = parse_time(text).and_then(DateTime::from_timestamp_micros);
    time.ok_or_else(|| Error::invalid("invalid_config", format!("{flag}: `{text}` is not a time")).with_hint(TIME_HINT))
}
