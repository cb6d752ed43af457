//! `tideline export`: events of a span of time into a file.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use clap::{Args, ValueEnum};
use serde_json::json;
use tideline_engine::error::{Error, Result};
use tideline_engine::event::COLUMNS;
use tideline_engine::query::encode::Format;

use super::client::TargetArgs;
use super::load::grouped;
use super::load::mapping::is_sent;
use super::session::{Ask, Session};

/// What `tideline export --help` begins with.
pub const ABOUT: &str = "Writes the events of a span of time into a file, newest first, with every column; as \
    NDJSON without those the server sets itself, so that each line can be sent to it again.\n\n\
    Rows are streamed, so any amount fits. The file appears under its name only when it is complete. What is \
    exported can be loaded again with `tideline load`: events keep their ids.";

/// Arguments of `tideline export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline export --start 2026-01-01 --end 2026-02-01 --out january.parquet\n  \
        tideline export --start 2026-01-31T12:00:00Z --format ndjson --out - | zstd > tail.ndjson.zst\n  \
        tideline export --data-dir tideline-data --format csv --out all.csv\n\n\
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
    /// File to write; `-` is standard output
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Write over a file that is there
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
    let sql = query(&columns(format), args.start.as_deref(), args.end.as_deref())?;
    let stdout = args.out.as_os_str() == "-";
    if stdout && format == Format::Parquet && io::stdout().is_terminal() {
        return Err(
            Error::invalid("invalid_config", "Parquet is not for a terminal").with_hint("name a file with --out")
        );
    }
    if !stdout && !args.force && args.out.exists() {
        let error = Error::invalid("file_exists", format!("{} is there already", args.out.display()));
        return Err(error.with_hint("name another file, or write over it with --force"));
    }
    let started = Instant::now();
    let session = Session::open(args.target.target()?)?;
    let ask = Ask { timeout: Some(Duration::from_secs(args.timeout)), ..Ask::new(sql) };
    let bytes = if stdout {
        write(&session, &ask, format, io::stdout().lock())?
    } else {
        to_file(&session, &ask, format, &args.out)?
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

/// What is exported: everything. Only NDJSON leaves out what the server sets itself, so that its lines are events as
/// `POST /events` takes them.
fn columns(format: Format) -> String {
    if format != Format::Ndjson {
        return "*".to_owned();
    }
    let names: Vec<&str> = COLUMNS.iter().map(|c| c.name).filter(|name| is_sent(name)).collect();
    names.join(", ")
}

/// The query of a span. Times are written into it only as this function itself formats them.
fn query(columns: &str, start: Option<&str>, end: Option<&str>) -> Result<String> {
    let start = start.map(|t| time("--start", t)).transpose()?;
    let end = end.map(|t| time("--end", t)).transpose()?;
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
    {
        return Err(Error::invalid("invalid_config", "--start is not before --end"));
    }
    let bound = |operator: &str, time: Option<DateTime<Utc>>| {
        let text = time?.to_rfc3339_opts(SecondsFormat::Millis, true);
        Some(format!("event_ts {operator} arrow_cast('{text}', 'Timestamp(Microsecond, Some(\"UTC\"))')"))
    };
    let bounds: Vec<String> = [bound(">=", start), bound("<", end)].into_iter().flatten().collect();
    let filter = if bounds.is_empty() { String::new() } else { format!(" where {}", bounds.join(" and ")) };
    // The order in which events are kept, so it costs nothing.
    Ok(format!("select {columns} from events{filter} order by event_ts desc"))
}

/// Reads a time as people write it; `flag` is what it is called in the error.
pub fn time(flag: &str, text: &str) -> Result<DateTime<Utc>> {
    let naive = || {
        let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
        formats.iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok())
    };
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|d| d.and_time(NaiveTime::MIN));
    let parsed = DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc());
    parsed.or_else(|| naive().or_else(date).map(|t| t.and_utc())).ok_or_else(|| {
        Error::invalid("invalid_config", format!("{flag}: `{text}` is not a time"))
            .with_hint("write it like 2026-01-31 or 2026-01-31T12:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_half_open_and_in_utc() {
        let sql = query("*", Some("2026-01-31"), Some("2026-02-01T01:30:00+01:00")).unwrap();
        assert!(sql.contains(">= arrow_cast('2026-01-31T00:00:00.000Z'"), "{sql}");
        assert!(sql.contains("< arrow_cast('2026-02-01T00:30:00.000Z'"), "{sql}");
        assert_eq!(query("*", None, None).unwrap(), "select * from events order by event_ts desc");
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        assert!(query("*", Some("yesterday"), None).is_err());
        assert!(query("*", Some("2026-01-01'; drop table events; --"), None).is_err());
        assert!(query("*", Some("2026-01-02"), Some("2026-01-01")).is_err());
    }
}
