//! What queries count of themselves: how they end, how long they take, what they read.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::error::{Error, Kind};
use crate::measure::{Counter, Histogram, LONG};

/// Whose query it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A client's text.
    Sql,
    /// A fixed metric.
    Metric,
    /// The engine's own: live windows read their past, for example.
    Own,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sql, Self::Metric, Self::Own];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Metric => "metric",
            Self::Own => "own",
        }
    }
}

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All its rows were made.
    Ok,
    /// Something is wrong with its text or its values.
    Invalid,
    /// It ran out of time.
    Timeout,
    /// It was cancelled, or whoever asked went away.
    Cancelled,
    /// It needed more memory or disk than there is for queries.
    Memory,
    /// It was not let in: too many others.
    Refused,
    /// It failed, which is a defect or a broken disk.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ok, Self::Invalid, Self::Timeout, Self::Cancelled, Self::Memory, Self::Refused, Self::Failed];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Invalid => "invalid",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Memory => "memory",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// What an error makes of a query.
    pub(super) fn of(error: &Error) -> Self {
        match error.kind {
            Kind::TooLarge => Self::Memory,
            Kind::Invalid | Kind::NotFound | Kind::Forbidden => Self::Invalid,
            Kind::Timeout => Self::Timeout,
            Kind::Cancelled => Self::Cancelled,
            Kind::Busy => Self::Refused,
            Kind::Corrupt | Kind::Fatal | Kind::Internal => Self::Failed,
        }
    }
}

/// What queries count, since the process started.
#[derive(Debug)]
pub struct QueryMeasures {
    ended: [[Counter; Outcome::ALL.len()]; Class::ALL.len()],
    took: [Histogram; Class::ALL.len()],
    /// Rows decoded from files and taken from the buffer.
    pub read_rows: Counter,
    /// Bytes read from files.
    pub read_bytes: Counter,
}

impl Default for QueryMeasures {
    fn default() -> Self {
        Self {
            ended: Default::default(),
            took: std::array::from_fn(|_| Histogram::new(LONG)),
            read_rows: Counter::default(),
            read_bytes: Counter::default(),
        }
    }
}

impl QueryMeasures {
    /// How many of a class ended so.
    pub fn ended(&self, class: Class, outcome: Outcome) -> u64 {
        self.ended[class as usize][outcome as usize].get()
    }

    /// How long those of a class took that were let in, from the start of planning to the last row.
    pub fn took(&self, class: Class) -> &Histogram {
        &self.took[class as usize]
    }

    pub(super) fn refused(&self, class: Class, error: &Error) {
        self.ended[class as usize][Outcome::of(error) as usize].inc();
    }

    pub(super) fn note(&self, class: Class, outcome: Outcome, took: Duration, rows: usize, bytes: usize) {
        self.ended[class as usize][outcome as usize].inc();
        self.took[class as usize].took(took);
        self.read_rows.add(rows as u64);
        self.read_bytes.add(bytes as u64);
    }
}

/// How one query ends; what is said first holds.
#[derive(Debug, Default)]
pub(super) struct End(AtomicU8);

impl End {
    pub(super) fn settle(&self, outcome: Outcome) {
        // 0 is not known yet.
        let _ = self.0.compare_exchange(0, outcome as u8 + 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Nothing said: whoever asked went away.
    pub(super) fn outcome(&self) -> Outcome {
        let said = usize::from(self.0.load(Ordering::Relaxed));
        said.checked_sub(1).and_then(|at| Outcome::ALL.get(at).copied()).unwrap_or(Outcome::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_first_holds() {
        for outcome in Outcome::ALL {
            let end = End::default();
            assert_eq!(end.outcome(), Outcome::Cancelled);
            end.settle(outcome);
            end.settle(Outcome::Ok);
            assert_eq!(end.outcome(), outcome);
        }
    }
}
