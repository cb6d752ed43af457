//! Alerts as they are kept: what is open, what was, and the notices about them that are still to be sent.
//!
//! It stands before SQL on purpose: the table `alerts` reads it. The rules are judged further down ([`crate::alerts`]).
//! All of it is one small file, written whole and durably before a change counts, so that a restart neither forgets an
//! open alert nor opens it twice, and a notice exists exactly when its alert does.

mod file;
mod outbox;
#[cfg(test)]
mod tests;

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};
use tokio::sync::watch;

pub use outbox::{Notice, NoticeEvent};

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::fs::{Fs, write_durably};
use file::{Contents, time, time_option};

use crate::measure::Counter;

/// Its name in the data folder.
pub const FILE: &str = "alerts.json";

/// How bad an alert is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look today.
    #[default]
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Why an alert is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// Its condition to close held for long enough.
    Recovered,
    /// There was nothing to judge for too long.
    Lapsed,
    /// Its rule is no more.
    RuleRemoved,
}

impl Closed {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Lapsed => "lapsed",
            Self::RuleRemoved => "rule_removed",
        }
    }
}

/// One alert; this is also its shape over HTTP, in the stream and in webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Made of rule, key and the moment it opened.
    pub id: String,
    /// The metric whose header is the rule: `alerts/no-orders`.
    pub rule: String,
    /// The row it is about, where the rule judges several.
    pub key: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// For people, as it was when it opened.
    pub message: String,
    /// The value it opened with.
    pub value: f64,
    /// What that was compared with.
    pub threshold: f64,
    /// When it opened.
    #[serde(with = "time")]
    pub opened_at: Micros,
    /// When it closed.
    #[serde(default, with = "time_option", skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Micros>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_because: Option<Closed>,
}

impl Alert {
    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    fn is_about(&self, rule: &str, key: Option<&str>) -> bool {
        self.rule == rule && self.key.as_deref() == key
    }
}

/// What opens.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The rule.
    pub rule: String,
    /// The row.
    pub key: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// For people.
    pub message: String,
    /// The value.
    pub value: f64,
    /// What it was compared with.
    pub threshold: f64,
}

/// How much is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertLimits {
    /// Alerts kept, open and closed; beyond it the oldest closed ones are dropped.
    pub kept: usize,
    /// Alerts open at once; further ones are refused.
    pub open: usize,
    /// Notices kept, to be sent and given up; beyond it those given up longest ago are dropped, then the oldest.
    pub notices: usize,
}

impl Default for AlertLimits {
    fn default() -> Self {
        Self { kept: 1_000, open: 100, notices: 1_000 }
    }
}

/// How the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AlertCounts {
    /// Open alerts.
    pub open: usize,
    /// Closed ones that are kept.
    pub closed: usize,
    /// Closed ones that were dropped to make room, since the folder was made.
    pub dropped: u64,
    /// Notices to be sent.
    pub notices_pending: usize,
    /// Notices that were given up and are kept.
    pub notices_dead: usize,
    /// Notices that were dropped to make room, since the folder was made.
    pub notices_dropped: u64,
}

/// What became of notices since the process started.
#[derive(Debug, Default)]
pub struct NoticeMeasures {
    /// Taken by their receivers.
    pub sent: Counter,
    /// Tries that failed; the notice is sent again.
    pub failed: Counter,
    /// Given up after the last try.
    pub given_up: Counter,
}

/// The alerts of a data folder.
#[derive(Debug)]
pub struct AlertLog {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    limits: AlertLimits,
    /// Who is told, by opaque names.
    targets: Vec<String>,
    contents: Mutex<Arc<Contents>>,
    /// The revision, for those who wait for a change.
    changes: watch::Sender<u64>,
    measures: NoticeMeasures,
}

impl AlertLog {
    /// Reads the log of a data folder; it is made with the first alert.
    ///
    /// # Errors
    /// `corrupt` when it cannot be read, `newer_format`.
    pub fn open(fs: Arc<dyn Fs>, data_dir: &Path, limits: AlertLimits, targets: Vec<String>) -> Result<Self> {
        let path = data_dir.join(FILE);
        let contents = file::read(&*fs, &path)?;
        let changes = watch::Sender::new(contents.revision);
        let (contents, measures) = (Mutex::new(Arc::new(contents)), NoticeMeasures::default());
        Ok(Self { fs, path, limits, targets, contents, changes, measures })
    }

    /// Counts durable changes, also over restarts: the same number is the same contents.
    pub fn revision(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Sees when the revision changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// All of them, by the moment they opened.
    pub fn all(&self) -> Vec<Arc<Alert>> {
        self.now().alerts.clone()
    }

    /// Those that are open, the latest first.
    pub fn open_ones(&self) -> Vec<Arc<Alert>> {
        self.now().alerts.iter().rev().filter(|alert| alert.is_open()).cloned().collect()
    }

    /// What became of notices.
    pub fn measures(&self) -> &NoticeMeasures {
        &self.measures
    }

    /// How it is.
    pub fn counts(&self) -> AlertCounts {
        let now = self.now();
        let open = now.alerts.iter().filter(|alert| alert.is_open()).count();
        let dead = now.notices.iter().filter(|notice| notice.dead).count();
        AlertCounts {
            open,
            closed: now.alerts.len() - open,
            dropped: now.dropped,
            notices_pending: now.notices.len() - dead,
            notices_dead: dead,
            notices_dropped: now.notices_dropped,
        }
    }

    /// Opens an alert and writes its notices. One that is open already stays as it is.
    ///
    /// # Errors
    /// `too_many_alerts`; when it cannot be written, and then nothing has changed.
    pub fn raise(&self, opening: Opening, now: Micros) -> Result<Arc<Alert>> {
        self.change(|contents| {
            let same = |alert: &&Arc<Alert>| alert.is_open() && alert.is_about(&opening.rule, opening.key.as_deref());
            if let Some(open) = contents.alerts.iter().find(same) {
                return Ok((Arc::clone(open), false));
            }
            if contents.alerts.iter().filter(|alert| alert.is_open()).count() >= self.limits.open {
                let message = format!("{} alerts are open already", self.limits.open);
                return Err(Error::busy("too_many_alerts", message));
            }
            let Opening { rule, key, severity, message, value, threshold } = opening;
            let id = id_of(&rule, key.as_deref(), now);
            let (opened_at, closed_at, closed_because) = (now, None, None);
            let alert =
                Alert { id, rule, key, severity, message, value, threshold, opened_at, closed_at, closed_because };
            let alert = Arc::new(alert);
            contents.alerts.push(Arc::clone(&alert));
            outbox::announce(contents, NoticeEvent::Opened, &alert, &self.targets, now);
            Ok((alert, true))
        })
    }

    /// Closes an alert and writes its notices; `None` when none is open.
    ///
    /// # Errors
    /// When it cannot be written, and then nothing has changed.
    pub fn close(&self, rule: &str, key: Option<&str>, why: Closed, now: Micros) -> Result<Option<Arc<Alert>>> {
        self.change(|contents| {
            let open = contents.alerts.iter_mut().find(|alert| alert.is_open() && alert.is_about(rule, key));
            let Some(alert) = open else { return Ok((None, false)) };
            let closed = Alert { closed_at: Some(now), closed_because: Some(why), ..alert.as_ref().clone() };
            let closed = Arc::new(closed);
            *alert = Arc::clone(&closed);
            outbox::announce(contents, NoticeEvent::Closed, &closed, &self.targets, now);
            Ok((Some(closed), true))
        })
    }

    fn now(&self) -> Arc<Contents> {
        Arc::clone(&self.contents.lock())
    }

    /// Changes the contents: first on disk, then in memory. `change` says whether there is anything to write.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> Result<(T, bool)>) -> Result<T> {
        let mut current = self.contents.lock();
        let mut next = current.as_ref().clone();
        let (answer, changed) = change(&mut next)?;
        if !changed {
            return Ok(answer);
        }
        next.fit(&self.limits);
        next.revision += 1;
        let bytes = serde_json::to_vec(&next).map_err(|e| Error::internal(e.to_string()))?;
        let cannot = |e: std::io::Error| Error::from(e).context(format!("cannot write {}", self.path.display()));
        write_durably(&*self.fs, &self.path, &bytes).map_err(cannot)?;
        let revision = next.revision;
        *current = Arc::new(next);
        drop(current);
        self.changes.send_replace(revision);
        Ok(answer)
    }
}

/// The same alert has the same id, so that whoever is told twice can tell.
fn id_of(rule: &str, key: Option<&str>, opened_at: Micros) -> String {
    let mut hasher = SipHasher13::new();
    for part in [rule.as_bytes(), key.unwrap_or("\u{0}").as_bytes(), &opened_at.to_le_bytes()] {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    format!("al_{:016x}", hasher.finish128().h1)
}
