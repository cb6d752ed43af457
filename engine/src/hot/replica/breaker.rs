//! A circuit breaker: when to stop trying at once.

use std::time::{Duration, Instant};

/// Failures in a row that open it,
const FAILURES: u32 = 5;
/// and for how long there may have been nothing but failures.
const FAILING: Duration = Duration::from_secs(1);
/// The first pause after a failure; each further one is twice as long,
const PAUSE: Duration = Duration::from_millis(50);
/// up to this.
const LONGEST: Duration = Duration::from_secs(1);

/// Counts failures. While it is open, each further call is a probe.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    since: Option<Instant>,
}

impl Breaker {
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether it is open now, and how long to wait before the next call.
    pub fn failed(&mut self, now: Instant) -> (bool, Duration) {
        self.failures += 1;
        let since = *self.since.get_or_insert(now);
        let open = self.failures >= FAILURES || now.duration_since(since) >= FAILING;
        (open, LONGEST.min(PAUSE * 2_u32.pow(self.failures.min(10) - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_five_failures_or_a_second_of_them() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let opened: Vec<bool> = (0..6).map(|_| breaker.failed(start).0).collect();
        assert_eq!(opened, [false, false, false, false, true, true]);
        breaker.succeeded();
        assert!(!breaker.failed(start).0 && breaker.failed(start + FAILING).0);
        let pauses: Vec<Duration> = (0..20).map(|_| breaker.failed(start).1).collect();
        assert!(pauses.is_sorted() && pauses.iter().all(|p| *p <= LONGEST), "{pauses:?}");
    }
}
