//! How many things happened after a moment, at any millisecond of the window: counts by second, and within a second
//! by millisecond where there is anything.

use std::collections::VecDeque;

use crate::clock::{MILLISECOND, Micros};

const SECOND: Micros = 1_000 * MILLISECOND;
const MILLIS: usize = 1_000;

#[derive(Debug, Default)]
struct Second {
    total: u32,
    millis: Option<Box<[u32; MILLIS]>>,
}

/// Counts of times. Times before the floor are forgotten.
#[derive(Debug, Default)]
pub struct Recency {
    /// The second that `seconds[0]` stands for.
    first: i64,
    seconds: VecDeque<Second>,
}

fn split(time: Micros) -> (i64, usize) {
    let millis = time.rem_euclid(SECOND) / MILLISECOND;
    (time.div_euclid(SECOND), usize::try_from(millis).unwrap_or(0))
}

impl Recency {
    /// Forgets what is before `floor`.
    pub fn advance(&mut self, floor: Micros) {
        let floor = floor.div_euclid(SECOND);
        while self.first < floor {
            if self.seconds.pop_front().is_none() {
                self.first = floor;
                return;
            }
            self.first += 1;
        }
    }

    /// Counts a time that is not before the floor.
    pub fn add(&mut self, time: Micros) {
        let (second, millis) = split(time);
        let Ok(at) = usize::try_from(second - self.first) else { return };
        while self.seconds.len() <= at {
            self.seconds.push_back(Second::default());
        }
        let slot = &mut self.seconds[at];
        slot.total += 1;
        slot.millis.get_or_insert_with(|| Box::new([0; MILLIS]))[millis] += 1;
    }

    /// Takes back a time that was counted. One that is forgotten already is ignored.
    pub fn remove(&mut self, time: Micros) {
        let (second, millis) = split(time);
        let slot = usize::try_from(second - self.first).ok().and_then(|at| self.seconds.get_mut(at));
        if let Some(Second { total, millis: Some(counts) }) = slot {
            *total -= 1;
            counts[millis] -= 1;
        }
    }

    /// How many are later than `since`.
    pub fn later_than(&self, since: Micros) -> u64 {
        let (second, millis) = split(since);
        let Ok(at) = usize::try_from(second - self.first) else {
            return self.seconds.iter().map(|s| u64::from(s.total)).sum();
        };
        let within = self.seconds.get(at).and_then(|s| s.millis.as_ref());
        let within = within.map_or(0, |counts| counts[millis + 1..].iter().map(|c| u64::from(*c)).sum());
        within + self.seconds.iter().skip(at + 1).map(|s| u64::from(s.total)).sum::<u64>()
    }

    /// Bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let detailed = self.seconds.iter().filter(|s| s.millis.is_some()).count();
        self.seconds.len() * size_of::<Second>() + detailed * size_of::<[u32; MILLIS]>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_strictly_later() {
        let mut recency = Recency::default();
        recency.advance(100 * SECOND);
        let times = [100 * SECOND, 100 * SECOND + 5_000, 101 * SECOND, 160 * SECOND + 999_000];
        times.iter().for_each(|t| recency.add(*t));
        for since in (99 * SECOND..162 * SECOND).step_by(1_000) {
            let naive = times.iter().filter(|t| **t > since).count() as u64;
            assert_eq!(recency.later_than(since), naive, "since {since}");
        }
        recency.remove(times[2]);
        assert_eq!(recency.later_than(0), 3);
        recency.advance(101 * SECOND);
        assert_eq!(recency.later_than(0), 1);
        recency.remove(times[0]);
        assert_eq!(recency.later_than(0), 1);
    }
}
