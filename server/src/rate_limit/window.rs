//! A sliding window: counts in slots of a hundredth of it. Pure; `limit.lua` does the same inside Redis.
//!
//! A slot counts until every moment of it is older than the window, so that no span of the window's length ever holds
//! more than the limit; what is used comes back at most one slot late, which costs at most 1 % of the limit.

use std::collections::VecDeque;
use std::time::Duration;

/// Slots of a window.
pub const SLOTS: i64 = 100;

/// A window's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Length of a slot.
    pub slot_ms: i64,
}

impl Shape {
    /// Of a window of this length.
    pub fn of(window: Duration) -> Self {
        let ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX / 2);
        Self { slot_ms: (ms / SLOTS + i64::from(ms % SLOTS != 0)).max(1) }
    }

    /// The window's length.
    pub fn window_ms(&self) -> u64 {
        self.slot_ms.saturating_mul(SLOTS).unsigned_abs()
    }

    fn slot(&self, now_ms: i64) -> i64 {
        now_ms.div_euclid(self.slot_ms)
    }

    /// How long until a slot no longer counts.
    fn until_gone(&self, slot: i64, now_ms: i64) -> u64 {
        ((slot + SLOTS + 1) * self.slot_ms - now_ms).max(0).unsigned_abs()
    }
}

/// What is to be taken, and from how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Whose window.
    pub name: String,
    /// The most in a window.
    pub limit: u64,
    /// How much of it.
    pub cost: u64,
}

/// What is in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Taken within the window.
    pub used: u64,
    /// In how many milliseconds some of that comes back; 0 when there is nothing to come back.
    pub returns_ms: u64,
}

/// What became of charges that are taken all together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Whether they were taken.
    pub fits: bool,
    /// The first that did not fit.
    pub refused: Option<usize>,
    /// In how many milliseconds that one would, if nobody took anything meanwhile.
    pub wait_ms: u64,
    /// Each window, after the charge.
    pub counts: Vec<Count>,
}

/// Used slots, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Window {
    slots: VecDeque<(i64, u64)>,
    used: u64,
}

impl Window {
    /// Forgets what is older than the window.
    pub fn advance(&mut self, shape: Shape, now_ms: i64) {
        let oldest = shape.slot(now_ms) - SLOTS;
        while let Some((slot, used)) = self.slots.front().copied()
            && slot < oldest
        {
            self.used -= used;
            self.slots.pop_front();
        }
    }

    /// Whether `charge` fits; after [`Window::advance`].
    pub fn fits(&self, charge: &Charge) -> bool {
        self.used.saturating_add(charge.cost) <= charge.limit
    }

    /// Takes.
    pub fn add(&mut self, shape: Shape, cost: u64, now_ms: i64) {
        if cost == 0 {
            return;
        }
        self.used += cost;
        let slot = shape.slot(now_ms);
        match self.slots.back_mut() {
            // A clock does not run backwards; if it did, the newest slot would be the safe one.
            Some((last, used)) if *last >= slot => *used += cost,
            _ => self.slots.push_back((slot, cost)),
        }
    }

    /// What is in it.
    pub fn count(&self, shape: Shape, now_ms: i64) -> Count {
        let returns_ms = self.slots.front().map_or(0, |(slot, _)| shape.until_gone(*slot, now_ms));
        Count { used: self.used, returns_ms }
    }

    /// In how many milliseconds `charge` would fit.
    pub fn wait_ms(&self, shape: Shape, charge: &Charge, now_ms: i64) -> u64 {
        let mut used = self.used;
        for (slot, taken) in &self.slots {
            used -= taken;
            if used.saturating_add(charge.cost) <= charge.limit {
                return shape.until_gone(*slot, now_ms);
            }
        }
        shape.window_ms()
    }
}
