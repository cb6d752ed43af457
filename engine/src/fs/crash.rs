//! Ends the process at a named moment of the data path, as `kill -9` would, so that tests can kill it exactly where
//! it hurts. Used only when a test asks for it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Entry, Fs, LockGuard, ReadFile, Stat, WriteFile};

/// A moment between two steps that must not be torn apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A group is written to the log and not yet synced.
    LogWritten,
    /// A group is synced and not yet published or acknowledged.
    LogSynced,
    /// Parquet files are durable and the Delta commit is not yet made.
    BeforeCommit,
    /// The Delta commit is durable and the log is not yet truncated.
    BeforeTruncate,
}

/// The n-th time that [`Moment`] comes, from 1. Written `log-synced:3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashAt {
    moment: Moment,
    nth: u64,
}

impl FromStr for CrashAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
        let moment = match name {
            "log-written" => Moment::LogWritten,
            "log-synced" => Moment::LogSynced,
            "before-commit" => Moment::BeforeCommit,
            "before-truncate" => Moment::BeforeTruncate,
            _ => {
                return Err(format!(
                    "'{name}' is not a moment: use log-written, log-synced, before-commit or before-truncate"
                ));
            }
        };
        let nth = nth.parse().map_err(|_| format!("'{nth}' is not a count"))?;
        Ok(Self { moment, nth })
    }
}

#[derive(Debug)]
struct Trigger {
    at: CrashAt,
    seen: AtomicU64,
}

impl Trigger {
    fn reached(&self, moment: Moment) {
        if moment == self.at.moment && self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.at.nth {
            std::process::abort();
        }
    }
}

/// Another [`Fs`], until the moment comes.
#[derive(Debug)]
pub struct CrashFs {
    inner: Arc<dyn Fs>,
    trigger: Arc<Trigger>,
}

impl CrashFs {
    /// Works like `inner` and aborts the process at `at`.
    pub fn new(inner: Arc<dyn Fs>, at: CrashAt) -> Self {
        Self { inner, trigger: Arc::new(Trigger { at, seen: AtomicU64::new(0) }) }
    }
}

fn is_log_segment(path: &Path) -> bool {
    path.parent().is_some_and(|p| p.ends_with("wal"))
}

fn is_commit(path: &Path) -> bool {
    path.parent().is_some_and(|p| p.ends_with("_delta_log")) && path.extension().is_some_and(|e| e == "json")
}

#[derive(Debug)]
struct CrashFile {
    inner: Box<dyn WriteFile>,
    path: PathBuf,
    trigger: Arc<Trigger>,
}

impl Write for CrashFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl WriteFile for CrashFile {
    fn sync(&mut self) -> io::Result<()> {
        let log = is_log_segment(&self.path);
        if log {
            self.trigger.reached(Moment::LogWritten);
        }
        self.inner.sync()?;
        if log {
            self.trigger.reached(Moment::LogSynced);
        }
        Ok(())
    }
}

impl Fs for CrashFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let inner = self.inner.create(path)?;
        Ok(Box::new(CrashFile { inner, path: path.to_owned(), trigger: Arc::clone(&self.trigger) }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        self.inner.open(path)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.inner.truncate(path, len)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if is_commit(to) {
            self.trigger.reached(Moment::BeforeCommit);
        }
        self.inner.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if is_commit(to) {
            self.trigger.reached(Moment::BeforeCommit);
        }
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if is_log_segment(path) {
            self.trigger.reached(Moment::BeforeTruncate);
        }
        self.inner.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.inner.stat(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.inner.lock(path)
    }
}
