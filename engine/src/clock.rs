//! Time, handed in. Nothing else in the project reads the wall clock (a lint bans it), so that tests own time.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// Microseconds since the Unix epoch, UTC, always whole milliseconds: Delta's log statistics are truncated to
/// milliseconds, so finer times would make file bounds inexact.
pub type Micros = i64;

/// One millisecond in [`Micros`].
pub const MILLISECOND: Micros = 1_000;
/// One hour in [`Micros`].
pub const HOUR: Micros = 3_600_000_000;
/// One day in [`Micros`].
pub const DAY: Micros = 24 * HOUR;

/// A source of time.
pub trait Clock: Debug + Send + Sync {
    /// Now, UTC, whole milliseconds. Never runs backwards within a process.
    fn now(&self) -> Micros;

    /// How far the system's wall clock has moved away from this one since the start, in microseconds: not 0 when
    /// somebody set the clock.
    fn system_step(&self) -> Micros {
        0
    }
}

/// How fast the clock follows a stepped system clock: 1 ms for each 200 ms that pass.
const SLEW_DIVISOR: i64 = 200;

/// The system's time, anchored to the monotonic clock and slewed towards the wall clock: a step of the system
/// clock must not turn live traffic into events from the future.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    anchor: Micros,
    state: Mutex<Slew>,
}

#[derive(Debug, Default)]
struct Slew {
    last_elapsed: i64,
    offset: Micros,
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
fn wall_now() -> Micros {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

/// The next slew offset: `offset` moved towards `wanted` by at most the share of `passed` that slewing allows.
fn slew(offset: Micros, wanted: Micros, passed: i64) -> Micros {
    let most = passed / SLEW_DIVISOR;
    offset + (wanted - offset).clamp(-most, most)
}

impl SystemClock {
    /// Anchors at the system's wall clock of this moment.
    pub fn new() -> Self {
        Self { start: Instant::now(), anchor: wall_now(), state: Mutex::default() }
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Micros {
        let mut state = self.state.lock();
        let elapsed = self.elapsed();
        let passed = elapsed - state.last_elapsed;
        // Slewing works on whole steps of time; remember the remainder by not advancing on a zero step.
        if passed >= SLEW_DIVISOR {
            state.offset = slew(state.offset, wall_now() - (self.anchor + elapsed), passed);
            state.last_elapsed = elapsed;
        }
        let now = self.anchor + elapsed + state.offset;
        now - now.rem_euclid(MILLISECOND)
    }

    fn system_step(&self) -> Micros {
        let offset = self.state.lock().offset;
        wall_now() - (self.anchor + self.elapsed() + offset)
    }
}

/// A clock that moves only when told. For tests and simulations.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at `now`.
    pub fn new(now: Micros) -> Self {
        Self(AtomicI64::new(now - now.rem_euclid(MILLISECOND)))
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap_or(0) * MILLISECOND, Ordering::SeqCst);
    }

    /// Jumps to `now`.
    pub fn set(&self, now: Micros) {
        self.0.store(now - now.rem_euclid(MILLISECOND), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Micros {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_wall_clock_is_followed_slowly_and_never_overshot() {
        let hour_ahead = slew(0, HOUR, 1_000_000);
        assert_eq!(hour_ahead, 5_000, "1 s of time moves the clock by 5 ms");
        assert_eq!(slew(0, -HOUR, 1_000_000), -5_000);
        assert_eq!(slew(0, 3, 1_000_000), 3);
    }

    #[test]
    fn time_is_whole_milliseconds() {
        assert_eq!(SystemClock::new().now() % MILLISECOND, 0);
        assert_eq!(ManualClock::new(1_234_567).now(), 1_234_000);
    }
}
