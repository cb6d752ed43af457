//! When the buffer goes to the lake, and how fast: a pure decision. The engine runs it.

use std::time::Duration;

use crate::pace::Pace;

/// When to flush, and how much may wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlushConfig {
    /// Flush when the buffer holds this many bytes of Arrow memory.
    pub bytes: usize,
    /// Flush when the oldest buffered event waits this long.
    pub age: Duration,
    /// Take no more events while the buffer holds this many bytes (503 with Retry-After).
    pub max_bytes: usize,
    /// After a failed flush, try again after this long, doubling up to a minute.
    pub retry: Duration,
}

impl Default for FlushConfig {
    fn default() -> Self {
        Self { bytes: 192 << 20, age: Duration::from_secs(15), max_bytes: 768 << 20, retry: Duration::from_secs(1) }
    }
}

/// The longest pause between attempts.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// What the decision looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// Bytes in the buffer.
    pub bytes: usize,
    /// Rows in the buffer.
    pub rows: usize,
    /// How long the oldest buffered row has waited.
    pub age: Duration,
    /// The write-ahead log is nearly full, or somebody asked.
    pub urgent: bool,
    /// Failed attempts since the last success.
    pub failures: u32,
    /// Time since the last attempt.
    pub since_attempt: Duration,
}

/// Whether to flush now.
pub fn is_due(config: &FlushConfig, pressure: &Pressure) -> bool {
    if pressure.rows == 0 {
        return false;
    }
    if pressure.failures > 0 && pressure.since_attempt < pause(config, pressure.failures) {
        return false;
    }
    pressure.urgent || pressure.bytes >= config.bytes || pressure.age >= config.age
}

/// How fast a flush that is due should go: calmly while events come slowly enough that the next one is far off, so that
/// acknowledgements do not wait behind sorting and encoding.
pub fn pace(config: &FlushConfig, pressure: &Pressure) -> Pace {
    let filled_quickly = pressure.bytes >= config.bytes && pressure.age < config.age / 4;
    let behind = pressure.bytes >= config.bytes.saturating_add(config.bytes / 2);
    let in_need = pressure.urgent || pressure.failures > 0;
    if filled_quickly || behind || in_need { Pace::Hurried } else { Pace::Calm }
}

/// How long to wait after this many failures in a row.
fn pause(config: &FlushConfig, failures: u32) -> Duration {
    config.retry.saturating_mul(1 << failures.min(16).saturating_sub(1)).min(MAX_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressure() -> Pressure {
        Pressure { rows: 1, since_attempt: Duration::from_secs(3600), ..Pressure::default() }
    }

    #[test]
    fn size_age_and_urgency_each_suffice_and_an_empty_buffer_never_flushes() {
        let config = FlushConfig::default();
        assert!(!is_due(&config, &pressure()));
        assert!(is_due(&config, &Pressure { bytes: config.bytes, ..pressure() }));
        assert!(is_due(&config, &Pressure { age: config.age, ..pressure() }));
        assert!(is_due(&config, &Pressure { urgent: true, ..pressure() }));
        assert!(!is_due(&config, &Pressure { rows: 0, urgent: true, age: config.age, ..pressure() }));
    }

    #[test]
    fn a_flush_is_calm_unless_events_come_quickly_or_something_is_wrong() {
        let config = FlushConfig::default();
        let aged = Pressure { age: config.age, bytes: 1, ..pressure() };
        assert_eq!(pace(&config, &aged), Pace::Calm);
        assert_eq!(pace(&config, &Pressure { bytes: config.bytes, ..aged }), Pace::Calm);
        let quick = Pressure { bytes: config.bytes, age: config.age / 5, ..pressure() };
        assert_eq!(pace(&config, &quick), Pace::Hurried);
        for in_need in [
            Pressure { bytes: config.bytes * 2, ..aged },
            Pressure { urgent: true, ..aged },
            Pressure { failures: 1, ..aged },
        ] {
            assert_eq!(pace(&config, &in_need), Pace::Hurried);
        }
    }

    #[test]
    fn failures_back_off_up_to_a_minute() {
        let config = FlushConfig::default();
        let failed = |failures, secs| Pressure {
            failures,
            urgent: true,
            since_attempt: Duration::from_secs(secs),
            ..pressure()
        };
        assert!(!is_due(&config, &failed(1, 0)));
        assert!(is_due(&config, &failed(1, 1)));
        assert!(!is_due(&config, &failed(4, 7)));
        assert!(is_due(&config, &failed(4, 8)));
        assert!(!is_due(&config, &failed(40, 59)));
        assert!(is_due(&config, &failed(40, 60)));
    }
}
