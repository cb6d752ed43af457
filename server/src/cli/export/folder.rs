//! `tideline export --partition day`: a folder with a file for each day, as readers of partitioned data expect it:
//! `event_date=2026-01-31/events.parquet`.
//!
//! Rows come newest first from one state of the table, so that one file is open at a time. Everything is written into a
//! hidden folder beside the wanted one and takes its name when it is whole: a part is never taken for it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use tideline_engine::error::{Error, Result};
use tideline_engine::event::{EVENT_DATE, EVENT_TS, day_name, day_of};
use tideline_engine::query::encode::{CellOptions, Encoder, Format};

use crate::cli::session::{Ask, Session};

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Files, one for each day that has events.
    pub files: usize,
    /// Events.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Where an export goes, and where it is made.
#[derive(Debug)]
pub struct Target {
    out: PathBuf,
    /// Locked for as long as it is written to.
    made_in: PathBuf,
    _lock: File,
}

impl Target {
    /// Looks whether `out` may be written, and makes the folder beside it. What an export that died has left there
    /// goes.
    ///
    /// # Errors
    /// When `out` is a file, or holds something and `force` is not given; when another export is writing it.
    pub fn new(out: &Path, force: bool) -> Result<Self> {
        let out = std::path::absolute(out)?;
        let Some(name) = out.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            return Err(Error::invalid("invalid_config", format!("{} cannot be made anew", out.display()))
                .with_hint("name a folder inside it"));
        };
        if out.exists() && !out.is_dir() {
            return Err(Error::invalid("file_exists", format!("{} is a file", out.display()))
                .with_hint("--partition makes a folder: name another"));
        }
        if !force && !is_empty(&out)? {
            return Err(Error::invalid("folder_not_empty", format!("{} is not empty", out.display())).with_hint(
                "name another folder; or --force: the days that are exported replace those in it, the rest stays",
            ));
        }
        let made_in = out.with_file_name(format!(".{name}.tideline-export"));
        fs::create_dir_all(&made_in).map_err(|e| cannot(&made_in, e))?;
        let lock = File::open(&made_in).map_err(|e| cannot(&made_in, e))?;
        if lock.try_lock().is_err() {
            return Err(Error::invalid("export_runs", format!("another export is writing {}", out.display()))
                .with_hint("wait for it, or name another folder"));
        }
        for entry in fs::read_dir(&made_in)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
                .map_err(|e| cannot(&path, e))?;
        }
        Ok(Self { out, made_in, _lock: lock })
    }

    /// Asks and writes.
    ///
    /// # Errors
    /// Those of the query and of the disk. Then nothing appears, and what was there before is as it was.
    pub fn write(self, session: &Session, ask: &Ask, format: Format) -> Result<Written> {
        let written = self.days(session, ask, format).and_then(|written| self.appear().map(|()| written));
        if written.is_err() {
            let _ = fs::remove_dir_all(&self.made_in);
        }
        written
    }

    fn days(&self, session: &Session, ask: &Ask, format: Format) -> Result<Written> {
        let rows = session.rows(ask)?;
        let (schema, kept) = without_date(&rows.schema)?;
        let (mut written, mut open): (Written, Option<Day>) = (Written::default(), None);
        for batch in rows.batches {
            let batch = batch?;
            let times = batch.column_by_name(EVENT_TS).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
            let times = times.ok_or_else(|| Error::internal("the answer has no times"))?.values().clone();
            let batch = batch.project(&kept)?;
            let mut from = 0;
            while let Some(first) = times.get(from) {
                let day = day_of(*first);
                let to = from + times.iter().skip(from).take_while(|time| day_of(**time) == day).count();
                if let Some(done) = open.take_if(|open| open.day != day) {
                    done.finish(&mut written)?;
                }
                let file = match &mut open {
                    Some(file) => file,
                    None => open.insert(Day::create(&self.made_in, day, format, &schema)?),
                };
                file.write(&batch.slice(from, to - from))?;
                from = to;
            }
        }
        if let Some(last) = open {
            last.finish(&mut written)?;
        }
        Ok(written)
    }

    /// Gives it its name.
    fn appear(&self) -> Result<()> {
        sync(&self.made_in)?;
        if is_empty(&self.out)? {
            if self.out.exists() {
                fs::remove_dir(&self.out).map_err(|e| cannot(&self.out, e))?;
            }
            fs::rename(&self.made_in, &self.out).map_err(|e| cannot(&self.out, e))?;
        } else {
            let mut days = fs::read_dir(&self.made_in)?.collect::<io::Result<Vec<_>>>()?;
            days.sort_by_key(fs::DirEntry::file_name);
            for day in days {
                let (new, there) = (day.path(), self.out.join(day.file_name()));
                if there.exists() {
                    let old = self.made_in.join(format!("old-{}", day.file_name().to_string_lossy()));
                    fs::rename(&there, old).map_err(|e| cannot(&there, e))?;
                }
                fs::rename(new, &there).map_err(|e| cannot(&there, e))?;
            }
            sync(&self.out)?;
            fs::remove_dir_all(&self.made_in).map_err(|e| cannot(&self.made_in, e))?;
        }
        self.out.parent().map_or(Ok(()), sync)
    }
}

/// The columns of a file, and where they stand in the answer: the day is in the path.
fn without_date(schema: &SchemaRef) -> Result<(SchemaRef, Vec<usize>)> {
    let kept: Vec<usize> = (0..schema.fields().len()).filter(|at| schema.field(*at).name() != EVENT_DATE).collect();
    Ok((schema.project(&kept)?.into(), kept))
}

/// The file of a day.
struct Day {
    day: i32,
    file: BufWriter<File>,
    encoder: Encoder,
    rows: u64,
    bytes: u64,
    path: PathBuf,
}

impl Day {
    fn create(folder: &Path, day: i32, format: Format, schema: &SchemaRef) -> Result<Self> {
        let folder = folder.join(format!("{EVENT_DATE}={}", day_name(day)));
        fs::create_dir(&folder).map_err(|e| cannot(&folder, e))?;
        let path = folder.join(format!("events.{}", format.name()));
        let file = BufWriter::with_capacity(WRITE_BYTES, File::create_new(&path).map_err(|e| cannot(&path, e))?);
        let encoder = Encoder::new(format, schema, CellOptions::default())?;
        Ok(Self { day, file, encoder, rows: 0, bytes: 0, path })
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let bytes = self.encoder.write(rows)?;
        (self.rows, self.bytes) = (self.rows + rows.num_rows() as u64, self.bytes + bytes.len() as u64);
        self.file.write_all(&bytes).map_err(|e| cannot(&self.path, e))
    }

    fn finish(mut self, written: &mut Written) -> Result<()> {
        let bytes = self.encoder.finish()?;
        self.file.write_all(&bytes).map_err(|e| cannot(&self.path, e))?;
        let file = self.file.into_inner().map_err(|e| cannot(&self.path, e.into_error()))?;
        file.sync_all().map_err(|e| cannot(&self.path, e))?;
        self.path.parent().map_or(Ok(()), sync)?;
        written.files += 1;
        written.rows += self.rows;
        written.bytes += self.bytes + bytes.len() as u64;
        Ok(())
    }
}

fn is_empty(folder: &Path) -> Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(cannot(folder, e)),
    }
}

fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| cannot(folder, e))
}

fn cannot(path: &Path, error: io::Error) -> Error {
    Error::from(error).context(format!("cannot write {}", path.display()))
}
