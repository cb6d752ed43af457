//! Files become batches of events in the forms the server takes: NDJSON as it is, CSV and foreign columns as NDJSON by
//! way of the mapping, Parquet as an Arrow stream. Only one batch at a time is in memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use clap::ValueEnum;
use tideline_engine::error::{Error, Result};

use super::convert::{Place, convert};
use super::mapping::Mapping;
use super::{csv_file, parquet_file};

/// Most bytes in one batch; the server's default limit is four times that.
pub const MAX_BATCH_BYTES: usize = 8 << 20;
/// The longest line of a file.
const MAX_LINE_BYTES: u64 = 16 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// By the file's name, else by how it begins
    Auto,
    /// One JSON object a line
    Ndjson,
    /// Columns with a header line
    Csv,
    /// Parquet
    Parquet,
}

/// How files are read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// How they are written.
    pub format: FileFormat,
    /// Which columns become which fields.
    pub mapping: Option<Mapping>,
    /// Most events in one batch.
    pub batch_rows: usize,
}

/// What a batch's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// One JSON object a line.
    Ndjson,
    /// An Arrow IPC stream.
    Arrow,
}

/// Events ready to be sent.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Which file they come from.
    pub file: Arc<str>,
    /// What the body is.
    pub body_kind: Body,
    /// The events.
    pub body: Bytes,
    /// The line of each event.
    pub lines: Vec<u64>,
    /// What is known about lines that the server cannot know: (position in the batch, what is wrong).
    pub notes: Vec<(usize, String)>,
}

/// Where batches go; an error ends the reading.
pub type Emit<'a> = &'a mut dyn FnMut(Batch) -> Result<()>;

/// A file to read.
#[derive(Debug, Clone)]
pub struct Input {
    /// As it was named; `-` is standard input.
    pub path: PathBuf,
    /// Its size; 0 where it cannot be told.
    pub bytes: u64,
}

impl Input {
    /// Finds the file.
    ///
    /// # Errors
    /// `file_not_readable` when it is not there, or is a folder.
    pub fn find(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { path: path.to_owned(), bytes: 0 });
        }
        let found = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        if found.is_dir() {
            let error = Error::invalid("file_not_readable", format!("{} is a folder", path.display()));
            return Err(
                error.with_hint("name the files in it, for example with a pattern of the shell: folder/*.parquet")
            );
        }
        Ok(Self { path: path.to_owned(), bytes: found.len() })
    }

    /// Whether it is standard input.
    pub fn is_stdin(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// For people.
    pub fn label(&self) -> String {
        if self.is_stdin() { "standard input".to_owned() } else { self.path.display().to_string() }
    }

    /// The name ids are made from: without folder and compression. `None` for standard input.
    pub fn id_name(&self) -> Option<String> {
        if self.is_stdin() {
            return None;
        }
        let name = self.path.file_name()?.to_string_lossy();
        let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        Some(plain.to_owned())
    }

    fn open(&self, read_bytes: &Arc<AtomicU64>) -> Result<Box<dyn BufRead>> {
        let raw: Box<dyn Read> = if self.is_stdin() {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(&self.path).map_err(|e| unreadable(&self.path, &e))?)
        };
        let counted = Counted { inner: raw, bytes: Arc::clone(read_bytes) };
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, counted);
        let head = reader.fill_buf().map_err(|e| unreadable(&self.path, &e))?;
        // By content, not by name: standard input has no name, and names lie.
        let reader: Box<dyn BufRead> = if head.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, flate2::bufread::MultiGzDecoder::new(reader)))
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let decoder = zstd::Decoder::with_buffer(reader).map_err(|e| unreadable(&self.path, &e))?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        } else {
            Box::new(reader)
        };
        Ok(reader)
    }

    /// The file itself, where it is an uncompressed Parquet file that can be read from any place.
    pub(super) fn open_plain(&self) -> Option<File> {
        let mut file = File::open(&self.path).ok().filter(|_| !self.is_stdin())?;
        let mut magic = [0; 4];
        file.read_exact(&mut magic).ok().filter(|()| magic == *b"PAR1")?;
        file.rewind().ok()?;
        Some(file)
    }

    fn format(&self, wanted: FileFormat, head: &[u8]) -> FileFormat {
        if wanted != FileFormat::Auto {
            return wanted;
        }
        let name = self.id_name().unwrap_or_default().to_ascii_lowercase();
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("ndjson" | "jsonl" | "json") => FileFormat::Ndjson,
            Some("csv" | "tsv") => FileFormat::Csv,
            Some("parquet") => FileFormat::Parquet,
            _ if head.starts_with(b"PAR1") => FileFormat::Parquet,
            _ if head.trim_ascii_start().starts_with(b"{") => FileFormat::Ndjson,
            _ => FileFormat::Csv,
        }
    }
}

/// Reads a file to its end. `read_bytes` grows with what is read of it, compressed as it is. Returns how many lines
/// the mapping skipped.
///
/// # Errors
/// When the file cannot be read or is not what it should be; and what `emit` answers.
pub fn read(input: &Input, options: &ReadOptions, read_bytes: &Arc<AtomicU64>, emit: Emit<'_>) -> Result<u64> {
    let mut reader = input.open(read_bytes)?;
    let head = reader.fill_buf().map_err(|e| unreadable(&input.path, &e))?;
    let batcher = Batcher::new(input, options, emit);
    match (input.format(options.format, head), &options.mapping) {
        (FileFormat::Parquet, _) => parquet_file::read(reader, batcher),
        (FileFormat::Csv, _) => csv_file::read(reader, batcher),
        (_, None) => read_lines(reader, batcher),
        (_, Some(mapping)) => read_mapped_lines(reader, mapping, batcher),
    }
}

/// Gathers events into batches.
pub(super) struct Batcher<'a> {
    pub input: &'a Input,
    pub options: &'a ReadOptions,
    pub id_name: Option<String>,
    file: Arc<str>,
    body: Vec<u8>,
    lines: Vec<u64>,
    notes: Vec<(usize, String)>,
    pub skipped: u64,
    emit: Emit<'a>,
}

impl<'a> Batcher<'a> {
    fn new(input: &'a Input, options: &'a ReadOptions, emit: Emit<'a>) -> Self {
        Self {
            input,
            options,
            id_name: input.id_name(),
            file: input.label().into(),
            body: Vec::new(),
            lines: Vec::new(),
            notes: Vec::new(),
            skipped: 0,
            emit,
        }
    }

    /// Makes an event of a line's values.
    pub fn push_row(&mut self, mapping: &Mapping, row: &[Option<Cow<'_, str>>], line: u64) -> Result<()> {
        let place = Place { file: self.id_name.as_deref(), line };
        if convert(mapping, row, place, &mut self.body) {
            self.lines.push(line);
            return self.emit_when_full();
        }
        self.skipped += 1;
        Ok(())
    }

    /// Passes on a line of which no event can be made: the server refuses it and keeps it.
    pub fn push_malformed(&mut self, raw: &str, why: String, line: u64) -> Result<()> {
        let json = serde_json::json!({ "malformed_line": raw });
        self.body.extend_from_slice(json.to_string().as_bytes());
        self.body.push(b'\n');
        self.notes.push((self.lines.len(), why));
        self.lines.push(line);
        self.emit_when_full()
    }

    fn emit_when_full(&mut self) -> Result<()> {
        if self.lines.len() >= self.options.batch_rows || self.body.len() >= MAX_BATCH_BYTES {
            self.emit_now(Body::Ndjson)?;
        }
        Ok(())
    }

    fn emit_now(&mut self, body_kind: Body) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let capacity = self.body.len() + self.body.len() / 8;
        let body = std::mem::replace(&mut self.body, Vec::with_capacity(capacity));
        (self.emit)(Batch {
            file: Arc::clone(&self.file),
            body_kind,
            body: body.into(),
            lines: std::mem::take(&mut self.lines),
            notes: std::mem::take(&mut self.notes),
        })
    }

    /// Passes on a whole body at once.
    pub fn push_body(&mut self, body_kind: Body, body: Vec<u8>, first_line: u64, rows: usize) -> Result<()> {
        self.body = body;
        self.lines = (first_line..).take(rows).collect();
        self.emit_now(body_kind)
    }

    /// Passes on what is left.
    pub fn finish(mut self) -> Result<u64> {
        self.emit_now(Body::Ndjson)?;
        Ok(self.skipped)
    }

    pub fn unreadable(&self, line: u64, why: impl std::fmt::Display) -> Error {
        Error::invalid("file_not_readable", format!("{} line {line}: {why}", self.input.label()))
    }
}

/// Reads one line, with its end, to the end of `into`; `false` at the end of the file.
fn next_line(reader: &mut dyn BufRead, into: &mut Vec<u8>, line: u64, batcher: &Batcher<'_>) -> Result<bool> {
    let read = reader.take(MAX_LINE_BYTES).read_until(b'\n', into).map_err(|e| batcher.unreadable(line, e))?;
    if read as u64 == MAX_LINE_BYTES && into.last() != Some(&b'\n') {
        let error = batcher.unreadable(line, format!("it is longer than {} MiB", MAX_LINE_BYTES >> 20));
        return Err(error.with_hint("events stand one on a line; `jq -c .` writes them so"));
    }
    Ok(read > 0)
}

fn refuse_array(first: &[u8], batcher: &Batcher<'_>, line: u64) -> Result<()> {
    if first.trim_ascii_start().starts_with(b"[") {
        let error = batcher.unreadable(line, "it is a JSON array; events have to stand one on a line");
        return Err(error.with_hint("write it so with `jq -c '.[]' FILE`"));
    }
    Ok(())
}

fn read_lines(mut reader: Box<dyn BufRead>, mut batcher: Batcher<'_>) -> Result<u64> {
    let (mut line, mut begun) = (0, false);
    loop {
        line += 1;
        let mut body = std::mem::take(&mut batcher.body);
        let start = body.len();
        let more = next_line(&mut *reader, &mut body, line, &batcher)?;
        let text = body.get(start..).unwrap_or_default();
        let blank = text.trim_ascii().is_empty();
        if !blank && !std::mem::replace(&mut begun, true) {
            refuse_array(text, &batcher, line)?;
        }
        if blank {
            body.truncate(start);
        } else if body.last() != Some(&b'\n') {
            body.push(b'\n');
        }
        batcher.body = body;
        if !more {
            return batcher.finish();
        }
        if !blank {
            batcher.lines.push(line);
            batcher.emit_when_full()?;
        }
    }
}

fn read_mapped_lines(mut reader: Box<dyn BufRead>, mapping: &Mapping, mut batcher: Batcher<'_>) -> Result<u64> {
    let mut text = Vec::new();
    let (mut line, mut begun) = (0, false);
    loop {
        line += 1;
        text.clear();
        if !next_line(&mut *reader, &mut text, line, &batcher)? {
            return batcher.finish();
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        if !std::mem::replace(&mut begun, true) {
            refuse_array(&text, &batcher, line)?;
        }
        match serde_json::from_slice::<serde_json::Value>(&text) {
            Ok(object @ serde_json::Value::Object(_)) => {
                batcher.push_row(mapping, &mapped_row(&object, mapping), line)?;
            }
            Ok(_) => batcher.push_malformed(&lossy(&text), "not a JSON object".to_owned(), line)?,
            Err(e) => batcher.push_malformed(&lossy(&text), format!("not JSON: {e}"), line)?,
        }
    }
}

/// An object's values by the mapping's slots.
pub fn mapped_row<'a>(object: &'a serde_json::Value, mapping: &Mapping) -> Vec<Option<Cow<'a, str>>> {
    mapping.columns.iter().map(|name| json_text(member(object, name)?, mapping)).collect()
}

/// The member called `name`, or, with dots, the one inside another: `utm.source`.
fn member<'a>(object: &'a serde_json::Value, name: &str) -> Option<&'a serde_json::Value> {
    object.get(name).or_else(|| name.split('.').try_fold(object, |value, part| value.get(part)))
}

fn json_text<'a>(value: &'a serde_json::Value, mapping: &Mapping) -> Option<Cow<'a, str>> {
    let text = match value {
        serde_json::Value::Null => return None,
        serde_json::Value::String(text) => Cow::Borrowed(text.as_str()),
        other => Cow::Owned(other.to_string()),
    };
    (!mapping.source.null.iter().any(|n| *n == text)).then_some(text)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned()
}

/// The mapping to use for a file with this header, and the file's column for each of its slots.
pub(super) fn bind<'m>(
    mapping: Option<&'m Mapping>,
    header: &[String],
    batcher: &Batcher<'_>,
) -> Result<(Cow<'m, Mapping>, Vec<usize>)> {
    if let Some(mapping) = mapping {
        return Ok((Cow::Borrowed(mapping), mapping.bind(header, &batcher.input.label())?));
    }
    let has = |names: &[&str]| header.iter().any(|h| names.contains(&h.as_str()));
    if !has(&["event_type"]) || !has(&["event_ts", "timestamp"]) {
        let message = format!("{} has no columns `event_type` and `event_ts`", batcher.input.label());
        let hint = format!(
            "its columns are: {}. Say with --mapping FILE which of them become which fields; \
             data/online_retail.mapping.toml is an example",
            header.join(", ")
        );
        return Err(Error::invalid("unknown_columns", message).with_hint(hint));
    }
    Ok((Cow::Owned(Mapping::of_header(header)), (0..header.len()).collect()))
}

fn unreadable(path: &Path, why: &io::Error) -> Error {
    Error::invalid("file_not_readable", format!("cannot read {}: {why}", path.display()))
}

/// Counts what is read.
struct Counted {
    inner: Box<dyn Read>,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
