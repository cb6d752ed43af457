//! This server's own windows, in memory.
//!
//! At most `max_callers` of them: two generations of half as many. One that is used moves to the young generation; when
//! that is full, or a window has passed, the old one is forgotten, and with it only windows nobody used for that long.
//! A window takes 100 bytes and 16 for each slot in use, so at most 2 KiB.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::window::{Charge, Shape, Verdict, Window};

/// The windows.
#[derive(Debug)]
pub struct Local {
    shape: Shape,
    max_young: usize,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, Window>,
    old: HashMap<String, Window>,
    turns_at_ms: i64,
}

impl Local {
    /// None yet.
    pub fn new(shape: Shape, max_callers: usize) -> Self {
        Self { shape, max_young: (max_callers / 2).max(1), generations: Mutex::default() }
    }

    /// Takes all charges or none.
    pub fn take(&self, charges: &[Charge], now_ms: i64) -> Verdict {
        let mut all = self.generations.lock();
        let mut verdict = Verdict { fits: true, ..Verdict::default() };
        for (at, charge) in charges.iter().enumerate() {
            let window = self.window(&mut all, &charge.name, now_ms);
            if verdict.fits && !window.fits(charge) {
                let wait_ms = window.wait_ms(self.shape, charge, now_ms);
                verdict = Verdict { fits: false, refused: Some(at), wait_ms, ..verdict };
            }
            verdict.counts.push(window.count(self.shape, now_ms));
        }
        if verdict.fits {
            for (charge, count) in charges.iter().zip(&mut verdict.counts) {
                let window = self.window(&mut all, &charge.name, now_ms);
                window.add(self.shape, charge.cost, now_ms);
                *count = window.count(self.shape, now_ms);
            }
        }
        verdict
    }

    /// Whether [`Local::take`] would take them.
    pub fn would_fit(&self, charges: &[Charge], now_ms: i64) -> bool {
        let mut all = self.generations.lock();
        charges.iter().all(|charge| self.window(&mut all, &charge.name, now_ms).fits(charge))
    }

    /// Takes what somebody else allowed.
    pub fn record(&self, charges: &[Charge], now_ms: i64) {
        let mut all = self.generations.lock();
        for charge in charges {
            self.window(&mut all, &charge.name, now_ms).add(self.shape, charge.cost, now_ms);
        }
    }

    fn window<'a>(&self, all: &'a mut Generations, name: &str, now_ms: i64) -> &'a mut Window {
        let has_passed = now_ms >= all.turns_at_ms;
        if has_passed || (all.young.len() >= self.max_young && !all.young.contains_key(name)) {
            // Nothing in the old generation was used since the last turn; after a whole window it holds nothing.
            all.old = std::mem::take(&mut all.young);
            let window = i64::try_from(self.shape.window_ms()).unwrap_or(i64::MAX / 2);
            all.turns_at_ms = now_ms + window + self.shape.slot_ms;
        }
        if !all.young.contains_key(name) {
            let window = all.old.remove(name).unwrap_or_default();
            all.young.insert(name.to_owned(), window);
        }
        let window = all.young.entry(name.to_owned()).or_default();
        window.advance(self.shape, now_ms);
        window
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let all = self.generations.lock();
        all.young.len() + all.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const LIMIT: u64 = 1_000;
    const WINDOW_MS: i64 = 60_000;

    fn local(max_callers: usize) -> Local {
        Local::new(Shape::of(Duration::from_secs(60)), max_callers)
    }

    fn charge(name: &str, cost: u64) -> Charge {
        Charge { name: name.to_owned(), limit: LIMIT, cost }
    }

    /// The most that was taken in any span of a window's length.
    fn most_in_a_window(taken: &[(i64, u64)]) -> u64 {
        let within = |from: i64| taken.iter().filter(move |(at, _)| (from..from + WINDOW_MS).contains(at));
        taken.iter().map(|(from, _)| within(*from).map(|(_, cost)| cost).sum()).max().unwrap_or(0)
    }

    #[test]
    fn a_steady_wave_of_ten_times_the_limit_gets_the_limit() {
        let (local, windows) = (local(100), 20);
        // One each 6 ms is 10,000 in a window.
        let times = (0..windows * WINDOW_MS).step_by(6);
        let taken: Vec<(i64, u64)> =
            times.filter(|now| local.take(&[charge("a", 1)], *now).fits).map(|now| (now, 1)).collect();
        let wanted = LIMIT * windows.unsigned_abs();
        let total = taken.len() as u64;
        assert!(total * 100 >= wanted * 98 && total * 100 <= wanted * 102, "{total} of {wanted}");
        assert_eq!(most_in_a_window(&taken), LIMIT);
    }

    #[test]
    fn a_refusal_says_when_and_then_it_fits() {
        let local = local(100);
        for (now, cost) in [(0, 600), (10_000, 400)] {
            assert!(local.take(&[charge("a", cost)], now).fits);
        }
        for (cost, wait) in [(1, 60_600 - 20_000), (600, 60_600 - 20_000), (601, 70_200 - 20_000)] {
            let verdict = local.take(&[charge("a", cost)], 20_000);
            assert_eq!((verdict.fits, verdict.refused, verdict.wait_ms), (false, Some(0), wait), "{cost}");
            assert_eq!(verdict.counts[0].used, LIMIT, "a refusal costs nothing");
        }
        assert!(!local.take(&[charge("a", 600)], 60_599).fits);
        assert!(local.take(&[charge("a", 600)], 60_600).fits);
    }

    #[test]
    fn charges_are_taken_together_or_not_at_all() {
        let local = local(100);
        assert!(local.take(&[charge("b", LIMIT)], 0).fits);
        let verdict = local.take(&[charge("a", 1), charge("b", 1)], 0);
        assert_eq!((verdict.fits, verdict.refused), (false, Some(1)));
        assert!(local.take(&[charge("a", LIMIT)], 0).fits, "the first was charged all the same");
    }

    #[test]
    fn memory_is_bounded_and_the_busy_are_not_forgotten() {
        let local = local(100);
        assert!(local.take(&[charge("busy", LIMIT)], 0).fits);
        for stranger in 0..10_000 {
            local.take(&[charge(&format!("s{stranger}"), 1)], 1);
            assert!(!local.take(&[charge("busy", 1)], 1).fits, "forgotten after {stranger} strangers");
            assert!(local.len() <= 100);
        }
        // A window later nothing of it is left.
        local.take(&[charge("x", 1)], 61_000);
        local.take(&[charge("x", 1)], 130_000);
        assert_eq!(local.len(), 1);
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_the_limit_nor_much_less_than_it_could(
            waves in proptest::collection::vec((0..20_000_i64, 1..400_u64), 50..300),
        ) {
            let local = local(100);
            let (mut now, mut taken, mut refused) = (0, Vec::new(), Vec::new());
            for (pause, cost) in waves {
                now += pause;
                if local.take(&[charge("a", cost)], now).fits {
                    taken.push((now, cost));
                } else {
                    refused.push((now, cost));
                }
            }
            prop_assert!(most_in_a_window(&taken) <= LIMIT);
            // What was refused would not have fit into a window one slot longer.
            for (at, cost) in refused {
                let before = at - WINDOW_MS - WINDOW_MS / 100;
                let used: u64 = taken.iter().filter(|(t, _)| *t <= at && *t >= before).map(|(_, c)| c).sum();
                prop_assert!(used + cost > LIMIT, "{used} + {cost} was refused");
            }
        }
    }
}
