//! One session's way through the funnel, in time order, for every possible window at once.
//!
//! A session has done steps 1 to k in order after a moment exactly when the chain of steps to k that starts latest
//! starts after that moment. So it is enough to keep, for each step, that latest start: `starts[k]`. Reading the
//! steps in time order, a first step starts a chain, and a step k takes over the best chain that has reached k − 1.

use crate::clock::{MILLISECOND, Micros};

use super::FUNNEL_STEPS;

const STEPS: usize = FUNNEL_STEPS.len();
/// Steps remembered for the case that an earlier one comes late. The oldest are let go first.
const MAX_STEPS: usize = 64;
/// Before every time.
pub const NEVER: Micros = Micros::MIN;

/// The steps of one session, as far as they are in the window.
#[derive(Debug, Clone)]
pub struct Path {
    /// Milliseconds × 4 + step, sorted.
    steps: Vec<i64>,
    /// For each step, when the latest chain that has reached it started; [`NEVER`] when none has.
    starts: [Micros; STEPS],
}

impl Default for Path {
    fn default() -> Self {
        Self { steps: Vec::new(), starts: [NEVER; STEPS] }
    }
}

/// A step as one number that sorts by time, then by step.
fn pack(time: Micros, step: usize) -> i64 {
    time.div_euclid(MILLISECOND) * STEPS as i64 + step as i64
}

fn unpack(packed: i64) -> (Micros, usize) {
    let step = usize::try_from(packed.rem_euclid(STEPS as i64)).unwrap_or(0);
    (packed.div_euclid(STEPS as i64) * MILLISECOND, step)
}

fn follow(starts: &mut [Micros; STEPS], (time, step): (Micros, usize)) {
    let start = if step == 0 { time } else { starts[step - 1] };
    starts[step] = starts[step].max(start);
}

impl Path {
    /// Adds a step; [`Path::starts`] may change.
    pub fn add(&mut self, time: Micros, step: usize) {
        let packed = pack(time, step);
        let at = self.steps.partition_point(|s| *s < packed);
        if self.steps.get(at) == Some(&packed) {
            return;
        }
        self.steps.insert(at, packed);
        if at + 1 == self.steps.len() {
            follow(&mut self.starts, (time, step));
        } else {
            let mut starts = [NEVER; STEPS];
            self.steps.iter().for_each(|s| follow(&mut starts, unpack(*s)));
            self.starts.iter_mut().zip(starts).for_each(|(best, start)| *best = start.max(*best));
        }
        if self.steps.len() > MAX_STEPS {
            self.steps.remove(0);
        }
    }

    /// For each step, when the latest chain that has reached it started.
    pub fn starts(&self) -> [Micros; STEPS] {
        self.starts
    }

    /// The steps it remembers as milliseconds × 4 + step, in order.
    pub fn packed_steps(&self) -> &[i64] {
        &self.steps
    }

    /// The steps it remembers.
    pub fn steps(&self) -> impl Iterator<Item = (Micros, usize)> + '_ {
        self.steps.iter().map(|s| unpack(*s))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Greedy: the earliest step of each kind not before the one found last.
    fn reached(steps: &[(Micros, usize)], since: Micros) -> usize {
        let mut after = since + 1;
        for wanted in 0..STEPS {
            let found = steps.iter().filter(|(t, s)| *s == wanted && *t >= after).map(|(t, _)| *t).min();
            let Some(found) = found else { return wanted };
            after = found;
        }
        STEPS
    }

    proptest! {
        #[test]
        fn every_window_at_once_equals_each_by_itself(
            steps in prop::collection::vec((0_i64..40, 0_usize..STEPS), 0..30),
            since in -1_i64..40,
        ) {
            let steps: Vec<_> = steps.into_iter().map(|(ms, step)| (ms * MILLISECOND, step)).collect();
            let mut path = Path::default();
            steps.iter().for_each(|(time, step)| path.add(*time, *step));
            let since = since * MILLISECOND;
            let by_starts = path.starts().iter().filter(|start| **start > since).count();
            prop_assert_eq!(by_starts, reached(&steps, since));
        }
    }
}
