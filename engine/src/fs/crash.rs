//! Ends the process at a named moment of the data path, as `kill -9` would, or lets the disk fail there, so that tests
//! can hit it exactly where it hurts. Used only when a test asks for it.

use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Fs;
use super::hook::{HookFs, Op, When};

/// A moment between two steps that must not be torn apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// A group is written to the log and not yet synced.
    LogWritten,
    /// A group is synced and not yet published or acknowledged.
    LogSynced,
    /// A sync of the log is answered with an error of the disk; the process goes on.
    LogSyncFails,
    /// Parquet files are durable and the Delta commit is not yet made.
    BeforeCommit,
    /// The Delta commit is durable and the log is not yet truncated.
    BeforeTruncate,
    /// Dead letters, or what became of them, are written and not yet synced.
    LettersWritten,
    /// They are synced.
    LettersSynced,
}

impl Moment {
    fn is(self, when: When, op: Op, path: &Path) -> bool {
        let within = |folder: &str| path.parent().is_some_and(|p| p.ends_with(folder));
        match self {
            Self::LogWritten | Self::LogSyncFails => (when, op) == (When::Before, Op::Sync) && within("wal"),
            Self::LogSynced => (when, op) == (When::After, Op::Sync) && within("wal"),
            Self::BeforeCommit => {
                (when, op) == (When::Before, Op::Name)
                    && within("_delta_log")
                    && path.extension().is_some_and(|e| e == "json")
            }
            Self::BeforeTruncate => (when, op) == (When::Before, Op::Remove) && within("wal"),
            Self::LettersWritten => (when, op) == (When::Before, Op::Sync) && within("dead_letters"),
            Self::LettersSynced => (when, op) == (When::After, Op::Sync) && within("dead_letters"),
        }
    }
}

/// The n-th time that a moment comes, from 1. Written `log-synced:3`. A segment of the log begins with a sync of its own.
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
            "log-sync-fails" => Moment::LogSyncFails,
            "before-commit" => Moment::BeforeCommit,
            "before-truncate" => Moment::BeforeTruncate,
            "letters-written" => Moment::LettersWritten,
            "letters-synced" => Moment::LettersSynced,
            _ => {
                let known = "log-written, log-synced, log-sync-fails, before-commit, before-truncate, letters-written \
                             or letters-synced";
                return Err(format!("'{name}' is not a moment: use {known}"));
            }
        };
        let nth = nth.parse().map_err(|_| format!("'{nth}' is not a count"))?;
        Ok(Self { moment, nth })
    }
}

/// `inner`, until the moment comes.
pub fn crash_at(inner: Arc<dyn Fs>, at: CrashAt) -> Arc<dyn Fs> {
    let seen = AtomicU64::new(0);
    Arc::new(HookFs::new(
        inner,
        Arc::new(move |when, op, path| {
            if at.moment.is(when, op, path) && seen.fetch_add(1, Ordering::SeqCst) + 1 == at.nth {
                match at.moment {
                    Moment::LogSyncFails => return Err(io::Error::from_raw_os_error(libc::EIO)),
                    _ => std::process::abort(),
                }
            }
            Ok(())
        }),
    ))
}
