//! A histogram of latencies: eight buckets to each doubling, so a percentile is at most an eighth too high.

use std::collections::BTreeMap;
use std::time::Duration;

/// Buckets to each doubling, as a power of two.
const PRECISION: u32 = 3;

/// Latencies in microseconds, by bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latency {
    buckets: BTreeMap<u16, u64>,
    sum_us: u128,
}

/// The bucket a value lies in.
fn bucket_of(us: u64) -> u16 {
    let us = us.max(1);
    let exponent = us.ilog2();
    let fraction = if exponent < PRECISION { us << (PRECISION - exponent) } else { us >> (exponent - PRECISION) };
    (exponent << PRECISION) as u16 + (fraction as u16 & ((1 << PRECISION) - 1))
}

/// The upper end of a bucket, in microseconds.
fn upper_us(bucket: u16) -> f64 {
    let (exponent, fraction) = (bucket >> PRECISION, bucket & ((1 << PRECISION) - 1));
    f64::from(exponent).exp2() * (1.0 + f64::from(fraction + 1) / f64::from(1_u16 << PRECISION))
}

impl Latency {
    /// Counts `events` that took this long.
    pub fn record(&mut self, took: Duration, events: u64) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        *self.buckets.entry(bucket_of(us)).or_default() += events;
        self.sum_us += u128::from(us) * u128::from(events);
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, events) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += events;
        }
        self.sum_us += other.sum_us;
    }

    /// Bucket and events, for storage elsewhere; [`Latency::from_parts`] reads it back.
    pub fn parts(&self) -> (impl Iterator<Item = (u16, u64)> + '_, u128) {
        (self.buckets.iter().map(|(b, n)| (*b, *n)), self.sum_us)
    }

    /// From stored parts.
    pub fn from_parts(buckets: impl IntoIterator<Item = (u16, u64)>, sum_us: u128) -> Self {
        Self { buckets: buckets.into_iter().collect(), sum_us }
    }

    /// How many events.
    pub fn events(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// The time within which the share `p` of events became visible, in milliseconds; `None` without events.
    pub fn percentile_ms(&self, p: f64) -> Option<f64> {
        let events = self.events();
        let rank = ((p * events as f64).ceil() as u64).clamp(1, events.max(1));
        let mut seen = 0;
        let bucket = self.buckets.iter().find(|(_, n)| {
            seen += **n;
            seen >= rank
        });
        bucket.map(|(b, _)| (upper_us(*b) / 10.0).round() / 100.0)
    }

    /// The mean, in milliseconds; `None` without events.
    pub fn mean_ms(&self) -> Option<f64> {
        let events = self.events();
        (events > 0).then(|| (self.sum_us as f64 / events as f64 / 10.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_an_eighth_too_high() {
        for us in [1_u64, 2, 3, 7, 8, 9, 1_000, 1_234, 99_999, 10_000_000] {
            let upper = upper_us(bucket_of(us));
            assert!(upper >= us as f64 && upper <= us as f64 * 1.126 + 1.0, "{us}: {upper}");
        }
        let mut latency = Latency::default();
        (1..=100).for_each(|ms| latency.record(Duration::from_millis(ms), 1));
        let near = |p: f64, ms: f64| latency.percentile_ms(p).is_some_and(|v| v >= ms && v <= ms * 1.13);
        assert!(near(0.5, 50.0) && near(0.95, 95.0) && near(0.99, 99.0), "{latency:?}");
        assert_eq!(latency.mean_ms(), Some(50.5));
        assert_eq!(Latency::default().percentile_ms(0.5), None);
    }
}
