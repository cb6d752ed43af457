//! When an alert opens and closes: a state machine without input or output.
//!
//! ```text
//!         open holds           for so long            close holds           for so long
//! Quiet ──────────────▶ Pending ──────────▶ Open ──────────────────▶ Clearing ──────────▶ Quiet
//!   ▲───────────────────────┘ else            ▲──────────────────────────┘ else
//! ```
//!
//! Between the two conditions lies a band in which nothing changes: that is the hysteresis. A row without a value is not
//! judged: it confirms nothing, so what was pending or clearing is taken back, and an alert stays open until nothing
//! could be judged for too long.

use crate::alert_log::Closed;
use crate::clock::Micros;
use crate::metrics::Rule;

/// Where a row stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing is wrong.
    #[default]
    Quiet,
    /// The condition to open holds since this moment.
    Pending {
        /// This moment.
        since: Micros,
    },
    /// The alert is open.
    Open {
        /// When there was a value last.
        judged: Micros,
    },
    /// It is open, and the condition to close holds since this moment.
    Clearing {
        /// This moment.
        since: Micros,
        /// When there was a value last.
        judged: Micros,
    },
}

impl State {
    /// Whether an alert is open.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open { .. } | Self::Clearing { .. })
    }
}

/// What a judgement changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// An alert opens.
    Opens {
        /// The value that did it.
        value: f64,
    },
    /// It closes.
    Closes(Closed),
}

/// Judges a value at a moment; `None`, and what is no number, is not judged.
pub fn judge(rule: &Rule, state: State, now: Micros, value: Option<f64>) -> (State, Option<Change>) {
    let lasts = |since: Micros, length: std::time::Duration| {
        now.saturating_sub(since) >= Micros::try_from(length.as_micros()).unwrap_or(Micros::MAX)
    };
    let closes = |why| (State::Quiet, Some(Change::Closes(why)));
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return match state {
            State::Quiet | State::Pending { .. } => (State::Quiet, None),
            State::Open { judged } | State::Clearing { judged, .. } if lasts(judged, rule.lapse) => {
                closes(Closed::Lapsed)
            }
            State::Open { judged } | State::Clearing { judged, .. } => (State::Open { judged }, None),
        };
    };
    match state {
        State::Quiet | State::Pending { .. } if !rule.open.holds(value) => (State::Quiet, None),
        State::Quiet | State::Pending { .. } => {
            let since = if let State::Pending { since } = state { since } else { now };
            match lasts(since, rule.hold) {
                true => (State::Open { judged: now }, Some(Change::Opens { value })),
                false => (State::Pending { since }, None),
            }
        }
        State::Open { .. } | State::Clearing { .. } if !rule.close.holds(value) => (State::Open { judged: now }, None),
        State::Open { .. } | State::Clearing { .. } => {
            let since = if let State::Clearing { since, .. } = state { since } else { now };
            match lasts(since, rule.keep) {
                true => closes(Closed::Recovered),
                false => (State::Clearing { since, judged: now }, None),
            }
        }
    }
}
