//! Latencies in memory that does not grow with their number: a histogram whose buckets are at most 1.6 % wide.

use std::time::Duration;

use serde::Serialize;

/// Buckets a doubling is divided into.
const SUB: u64 = 64;
/// The longest latency told apart is 2^36 µs, 19 hours.
const DOUBLINGS: usize = 31;
const BUCKETS: usize = SUB as usize * (DOUBLINGS + 1);

/// Counts of latencies by bucket. Below 64 µs a bucket is 1 µs wide, above 1/64 of its doubling (the layout of HDR
/// Histogram, <https://hdrhistogram.org>).
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum_us: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, sum_us: 0, max_us: 0 }
    }
}

/// A summary in milliseconds; all zeros when there were none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How many there were.
    pub count: u64,
    /// The mean.
    pub avg_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// 90 of 100 are at most this.
    pub p90_ms: f64,
    /// 95 of 100 are at most this.
    pub p95_ms: f64,
    /// 99 of 100 are at most this.
    pub p99_ms: f64,
    /// 999 of 1,000 are at most this.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(us)) {
            *count += 1;
        }
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.max_us = self.max_us.max(us);
    }

    /// Counts those of another one too.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        (self.count, self.sum_us, self.max_us) = (0, 0, 0);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least latency that so many of 1,000 do not exceed, by nearest rank; the upper end of its bucket.
    pub fn permille(&self, permille: u64) -> Duration {
        let rank = (u128::from(self.count) * u128::from(permille)).div_ceil(1_000).max(1) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(upper(bucket).min(self.max_us));
            }
        }
        Duration::from_micros(self.max_us)
    }

    /// Sums up.
    pub fn summary(&self) -> Summary {
        let ms = |permille| self.permille(permille).as_secs_f64() * 1e3;
        Summary {
            count: self.count,
            avg_ms: if self.count == 0 { 0.0 } else { self.sum_us as f64 / self.count as f64 / 1e3 },
            p50_ms: ms(500),
            p90_ms: ms(900),
            p95_ms: ms(950),
            p99_ms: ms(990),
            p999_ms: ms(999),
            max_ms: self.max_us as f64 / 1e3,
        }
    }
}

/// The bucket a latency falls into.
fn bucket(us: u64) -> usize {
    if us < SUB {
        return us as usize;
    }
    let doubling = u64::from(us.ilog2() - SUB.ilog2());
    let within = (us >> doubling) - SUB;
    ((SUB * (doubling + 1) + within) as usize).min(BUCKETS - 1)
}

/// The largest latency of a bucket, in microseconds.
fn upper(bucket: usize) -> u64 {
    let (bucket, sub) = (bucket as u64, SUB);
    if bucket < sub {
        return bucket;
    }
    let (doubling, within) = (bucket / sub - 1, bucket % sub);
    ((sub + within + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_lies_in_its_bucket_and_buckets_are_narrow() {
        for us in (0..2_000).chain((2_000..3_000_000_000).step_by(777_777)) {
            let bucket = bucket(us);
            assert!(upper(bucket) >= us, "{us}");
            assert!(bucket == 0 || upper(bucket - 1) < us, "{us}");
            assert!(upper(bucket) - us <= us / 64 + 1, "{us} up to {}", upper(bucket));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut all = Histogram::default();
        assert_eq!(all.summary(), Summary::default());
        for ms in 1..=200 {
            all.add(Duration::from_millis(ms));
        }
        let sum = all.summary();
        assert_eq!((sum.count, sum.max_ms), (200, 200.0));
        assert!((sum.avg_ms - 100.5).abs() < 1e-9);
        for (found, exact) in [(sum.p50_ms, 100.0), (sum.p95_ms, 190.0), (sum.p99_ms, 198.0)] {
            assert!(found >= exact && found < exact * 1.016, "{found} for {exact}");
        }
        let mut twice = all.clone();
        twice.merge(&all);
        assert_eq!((twice.count(), twice.permille(500)), (400, all.permille(500)));
    }
}
