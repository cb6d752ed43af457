//! Counters and histograms that the engine keeps of itself, for whoever watches it. Everything below uses it; it knows
//! nobody: no names of metrics, no format, no registry. A count on the data path is an atomic addition, and reading takes
//! no lock that a writer could hold for long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

/// Bounds, in microseconds, of what takes a disk or a network once: syncs, calls of Redis, becoming visible.
pub const SHORT: &[u64] =
    &[50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];
/// Bounds, in microseconds, of work: queries, flushes, merges.
pub const LONG: &[u64] = &[
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];
/// Bounds of how many: rows of a group, requests of a group.
pub const SIZES: &[u64] = &[1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// What it has come to.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many values lay below each bound. Times are counted in microseconds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what lies above all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The upper bounds, inclusive.
    pub bounds: &'static [u64],
    /// How many lay in each bucket alone; the last is what lay above all bounds.
    pub buckets: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

impl Histogram {
    /// With these bounds, which ascend.
    pub fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// Counts a value `n` times.
    pub fn record_many(&self, value: u64, n: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(n, Ordering::Relaxed);
        }
        self.sum.fetch_add(value.saturating_mul(n), Ordering::Relaxed);
    }

    /// Counts a time, in microseconds.
    pub fn took(&self, time: Duration) {
        self.record(micros(time));
    }

    /// What it has come to. What is counted meanwhile may be in the sum and not in a bucket yet.
    pub fn read(&self) -> Reading {
        let buckets = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        Reading { bounds: self.bounds, buckets, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// A time in whole microseconds.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Counts by one of the codes that stand in the source, so there is a limited number of them. For what is rare: it locks.
#[derive(Debug, Default)]
pub struct Codes(Mutex<BTreeMap<&'static str, u64>>);

impl Codes {
    /// Adds to a code's count.
    pub fn add(&self, code: &'static str, n: u64) {
        *self.0.lock().entry(code).or_default() += n;
    }

    /// All of them.
    pub fn read(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().clone()
    }
}

/// One `T` for each of a few names, made when the name comes up first. What comes after the `most`th shares one.
#[derive(Debug)]
pub struct Named<T> {
    most: usize,
    all: RwLock<BTreeMap<Box<str>, Arc<T>>>,
}

/// Under which name the rest is counted.
pub const REST: &str = "other";

impl<T: Default> Named<T> {
    /// For at most so many names.
    pub fn new(most: usize) -> Self {
        Self { most, all: RwLock::default() }
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Arc<T> {
        if let Some(known) = self.all.read().get(name) {
            return Arc::clone(known);
        }
        let mut all = self.all.write();
        let name = if all.len() < self.most || all.contains_key(name) { name } else { REST };
        Arc::clone(all.entry(name.into()).or_default())
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<(String, Arc<T>)> {
        self.all.read().iter().map(|(name, value)| (name.to_string(), Arc::clone(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::new(&[1, 4, 16]);
        for value in [0, 1, 2, 4, 5, 16, 17, 1_000] {
            histogram.record(value);
        }
        histogram.record_many(3, 10);
        let read = histogram.read();
        assert_eq!((read.buckets, read.sum), (vec![2, 12, 2, 2], 1_045 + 30));
        let times = Histogram::new(SHORT);
        times.took(Duration::from_millis(3));
        times.took(Duration::MAX);
        assert_eq!(times.read().buckets.iter().rposition(|n| *n == 1), Some(SHORT.len()));
        assert!([SHORT, LONG, SIZES].iter().all(|bounds| bounds.is_sorted()));
    }

    #[test]
    fn names_are_limited() {
        let named = Named::<Counter>::new(2);
        for name in ["a", "b", "c", "d", "a", "c"] {
            named.get(name).inc();
        }
        let counts: Vec<(String, u64)> = named.all().into_iter().map(|(name, n)| (name, n.get())).collect();
        assert_eq!(counts, [("a".to_owned(), 2), ("b".to_owned(), 1), (REST.to_owned(), 3)]);
    }
}
