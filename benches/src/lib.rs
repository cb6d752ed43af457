//! What the benchmark programs share: cutting a file of NDJSON into batches, and summing up latencies.
//!
//! The programs are `generate` (writes made-up events), `post` (loads a server over HTTP and reports how it took it),
//! `ask` (its real-time questions) and `load` (all of it at once for minutes, started by `load.sh`); `side_by_side/` drives
//! the first two beside DuckDB and chDB. `make bench` runs that.

use std::io::{BufRead, Result};
use std::time::Duration;

use serde::Serialize;

/// Reads the next batch of at most `lines` lines into `out` (cleared first) and returns how many there were.
pub fn read_batch(input: &mut impl BufRead, lines: u64, out: &mut Vec<u8>) -> Result<u64> {
    out.clear();
    let mut count = 0;
    while count < lines && input.read_until(b'\n', out)? > 0 {
        count += 1;
    }
    Ok(count)
}

/// A summary of latencies, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latencies {
    /// How many there were.
    pub count: usize,
    /// The median.
    pub p50_ms: f64,
    /// Nine of ten are at most this.
    pub p90_ms: f64,
    /// 99 of 100 are at most this.
    pub p99_ms: f64,
    /// 999 of 1,000 are at most this.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Latencies {
    /// Sums up; all zeros for an empty list. Percentiles by the nearest rank: a value that occurred.
    pub fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let rank = |permille: usize| {
            let rank = (all.len() * permille).div_ceil(1_000).max(1);
            all.get(rank - 1).map_or(0.0, |d| d.as_secs_f64() * 1_000.0)
        };
        Self {
            count: all.len(),
            p50_ms: rank(500),
            p90_ms: rank(900),
            p99_ms: rank(990),
            p999_ms: rank(999),
            max_ms: rank(1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_whole_lines_and_the_rest_at_the_end() {
        let mut input = &b"one\ntwo\nthree"[..];
        let mut out = Vec::new();
        assert_eq!(read_batch(&mut input, 2, &mut out).unwrap(), 2);
        assert_eq!(out, b"one\ntwo\n");
        assert_eq!(read_batch(&mut input, 2, &mut out).unwrap(), 1);
        assert_eq!(out, b"three");
        assert_eq!(read_batch(&mut input, 2, &mut out).unwrap(), 0);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let all = (1..=200).rev().map(Duration::from_millis).collect();
        let sum = Latencies::of(all);
        assert_eq!((sum.count, sum.p50_ms, sum.p99_ms, sum.max_ms), (200, 100.0, 198.0, 200.0));
        assert_eq!(Latencies::of(Vec::new()).max_ms, 0.0);
    }
}
