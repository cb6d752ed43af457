//! Which queries run, and which of those that ended took long: what an operator looks at when answers are slow.
//!
//! Texts may name people. They are kept in memory only, shortened, and forgotten with everything else that is derived.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::stats::QueryStats;
use crate::clock::Micros;

/// Slow queries that are remembered, the latest.
const SLOW: usize = 100;
/// Characters of a text that are kept.
const TEXT: usize = 2_000;

/// Which query it is.
#[derive(Debug, Clone, Serialize)]
pub struct Named {
    /// Its id, by which it can be cancelled.
    pub id: String,
    /// `sql`, `metric` or `own`.
    pub kind: &'static str,
    /// Its text, or the metric's name; a long text ends with an ellipsis.
    pub text: Arc<str>,
    /// When it was let in.
    #[serde(skip)]
    pub started: Micros,
}

impl Named {
    /// A query with this text, shortened.
    pub(super) fn new(id: String, kind: &'static str, text: &str, started: Micros) -> Self {
        let text = match text.char_indices().nth(TEXT) {
            Some((end, _)) => format!("{}…", &text[..end]).into(),
            None => text.into(),
        };
        Self { id, kind, text, started }
    }
}

/// A query as it is now, or as it ended.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which one.
    pub query: Named,
    /// From the start of planning on.
    pub elapsed: Duration,
    /// Rows decoded from files and taken from the buffer.
    pub rows_read: usize,
    /// Bytes read from files.
    pub bytes_read: usize,
    /// How it ended; `None` while it runs.
    pub outcome: Option<&'static str>,
}

/// The queries of one engine.
#[derive(Debug)]
pub struct Journal {
    slow_after: Duration,
    running: Mutex<HashMap<String, Weak<QueryStats>>>,
    slow: Mutex<VecDeque<Entry>>,
}

impl Journal {
    /// Remembers what takes this long.
    pub(super) fn new(slow_after: Duration) -> Arc<Self> {
        Arc::new(Self { slow_after, running: Mutex::default(), slow: Mutex::default() })
    }

    /// From when on a query is slow.
    pub fn slow_after(&self) -> Duration {
        self.slow_after
    }

    /// What runs, the oldest first.
    pub fn running(&self) -> Vec<Entry> {
        // Whoever lets go of the last one writes to this journal: not while it is locked.
        let all: Vec<_> = self.running.lock().values().filter_map(Weak::upgrade).collect();
        let mut entries: Vec<_> = all.iter().filter_map(|stats| stats.entry()).collect();
        entries.sort_by(|a, b| (a.query.started, &a.query.id).cmp(&(b.query.started, &b.query.id)));
        entries
    }

    /// What was slow, the latest first.
    pub fn slow(&self) -> Vec<Entry> {
        self.slow.lock().iter().rev().cloned().collect()
    }

    pub(super) fn begin(&self, id: &str, stats: &Arc<QueryStats>) {
        self.running.lock().insert(id.to_owned(), Arc::downgrade(stats));
    }

    pub(super) fn end(&self, entry: Entry) {
        self.running.lock().remove(&entry.query.id);
        if entry.elapsed < self.slow_after {
            return;
        }
        let mut slow = self.slow.lock();
        if slow.len() == SLOW {
            slow.pop_front();
        }
        slow.push_back(entry);
    }

    /// Forgets the texts of queries that ended.
    pub(super) fn forget(&self) {
        self.slow.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(id: usize, text: &str, ms: u64) -> Entry {
        let query = Named::new(id.to_string(), "sql", text, 0);
        Entry { query, elapsed: Duration::from_millis(ms), rows_read: 0, bytes_read: 0, outcome: Some("ok") }
    }

    #[test]
    fn only_the_latest_slow_ones_are_kept_and_their_texts_have_an_end() {
        let journal = Journal::new(Duration::from_millis(100));
        journal.end(ended(0, "SELECT 1", 99));
        assert!(journal.slow().is_empty());
        for id in 0..=SLOW {
            journal.end(ended(id, &"ä".repeat(TEXT + 1), 100));
        }
        let slow = journal.slow();
        assert_eq!(slow.len(), SLOW);
        assert_eq!((&*slow[0].query.id, &*slow[SLOW - 1].query.id), (&*SLOW.to_string(), "1"));
        assert_eq!(slow[0].query.text.chars().count(), TEXT + 1);
        assert!(slow[0].query.text.ends_with("ä…"));
        journal.forget();
        assert!(journal.slow().is_empty());
    }
}
