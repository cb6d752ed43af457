//! Deltas on their way to Redis: in order, merged, and bounded.

use std::collections::VecDeque;

use super::super::WindowDelta;
use crate::event::Seq;

/// Entries in one call.
const MERGED: usize = 5_000;
/// Entries kept in all, about 200 bytes each; beyond it a share is rebuilt instead. An event makes about two, and what comes
/// in while a large share is put into Redis must fit: else the next rebuild begins where this one ended, and so on.
const ROOM: usize = 1_000_000;

/// What there is to send.
#[derive(Debug)]
pub(super) enum Taken {
    /// The next delta.
    Delta(Box<WindowDelta>),
    /// Nothing new.
    Nothing,
    /// Something after the position asked for is not here any more.
    Gap,
}

/// Deltas that follow each other.
#[derive(Debug)]
pub(super) struct Pending {
    deltas: VecDeque<WindowDelta>,
    entries: usize,
    /// The last position offered.
    last: Seq,
    /// Up to here a share has everything; `None` while it is being made, and nothing may reach across its end.
    since: Option<Seq>,
    room: usize,
}

impl Pending {
    pub fn new(last: Seq) -> Self {
        Self { deltas: VecDeque::new(), entries: 0, last, since: Some(last), room: ROOM }
    }

    /// The last position that was offered.
    pub fn last(&self) -> Seq {
        self.last
    }

    pub fn is_empty(&self) -> bool {
        self.deltas.is_empty()
    }

    /// Whether there is enough for a call of its own.
    pub fn is_crowded(&self) -> bool {
        self.deltas.len() > 1
    }

    /// Adds what follows. Where there is no room, everything is forgotten. Whether somebody should be woken up.
    pub fn offer(&mut self, delta: WindowDelta) -> bool {
        self.last = delta.last;
        if self.since.is_some_and(|since| delta.last <= since) {
            return false;
        }
        let was_empty = self.deltas.is_empty();
        if self.entries + delta.entries() > self.room {
            self.start_over();
            return true;
        }
        match self.deltas.back_mut() {
            Some(back)
                if self.since.is_some() && back.last == delta.prev && back.entries() + delta.entries() <= MERGED =>
            {
                let before = back.entries();
                back.merge(delta);
                self.entries += back.entries() - before;
            }
            _ => {
                self.entries += delta.entries();
                self.deltas.push_back(delta);
            }
        }
        was_empty || self.is_crowded()
    }

    /// Forgets everything: a share is made that has it.
    pub fn start_over(&mut self) {
        self.deltas.clear();
        self.entries = 0;
        self.since = None;
    }

    /// The share is made, and has everything up to here.
    pub fn shared(&mut self, upto: Seq) {
        self.since = Some(upto);
        self.forget_until(upto);
    }

    fn forget_until(&mut self, at: Seq) {
        while self.deltas.front().is_some_and(|d| d.last <= at) {
            self.entries -= self.deltas.pop_front().map_or(0, |d| d.entries());
        }
    }

    /// Whether all that comes after `at` is here.
    pub fn goes_on_from(&self, at: Seq) -> bool {
        at == self.last || self.deltas.iter().any(|d| d.prev == at)
    }

    /// Takes what follows `at`.
    pub fn take(&mut self, at: Seq) -> Taken {
        self.forget_until(at);
        match self.deltas.pop_front() {
            Some(delta) if delta.prev == at => {
                self.entries -= delta.entries();
                Taken::Delta(Box::new(delta))
            }
            None if at >= self.last => Taken::Nothing,
            _ => Taken::Gap,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(prev: u64, last: u64) -> WindowDelta {
        let mut delta = WindowDelta::default().between(Seq(prev), Seq(last));
        delta.users.insert(format!("u{last}"), Default::default());
        delta
    }

    fn taken(pending: &mut Pending, at: u64) -> String {
        match pending.take(Seq(at)) {
            Taken::Delta(delta) => format!("{}..{} {}", delta.prev, delta.last, delta.entries()),
            Taken::Nothing => "nothing".into(),
            Taken::Gap => "gap".into(),
        }
    }

    #[test]
    fn deltas_leave_in_order_and_merged() {
        let mut pending = Pending::new(Seq(5));
        assert_eq!(taken(&mut pending, 5), "nothing");
        assert!(pending.offer(delta(5, 7)), "the first one wakes");
        assert!(!pending.offer(delta(7, 8)));
        assert!(pending.goes_on_from(Seq(5)) && pending.goes_on_from(Seq(8)) && !pending.goes_on_from(Seq(7)));
        assert_eq!(taken(&mut pending, 5), "5..8 2");
        assert_eq!(taken(&mut pending, 8), "nothing");
        // Redis is behind what is still here, or ahead of it.
        assert_eq!(taken(&mut pending, 5), "gap");
        pending.offer(delta(8, 9));
        assert_eq!(taken(&mut pending, 9), "nothing");
        assert_eq!(pending.entries, 0);
    }

    #[test]
    fn without_room_everything_goes_and_that_shows() {
        let mut pending = Pending { room: 2, ..Pending::new(Seq(0)) };
        pending.offer(delta(0, 1));
        pending.offer(delta(1, 2));
        pending.offer(delta(2, 3));
        assert!(pending.is_empty() && !pending.goes_on_from(Seq(0)));
        assert_eq!(taken(&mut pending, 0), "gap");
        pending.offer(delta(3, 4));
        assert_eq!(taken(&mut pending, 0), "gap");
        assert!(pending.goes_on_from(Seq(4)));
    }

    #[test]
    fn nothing_reaches_across_the_end_of_a_share() {
        let mut pending = Pending::new(Seq(0));
        pending.offer(delta(0, 1));
        pending.start_over();
        // The share, whose position nobody knows yet, will have some of these.
        for n in 1..6 {
            pending.offer(delta(n, n + 1));
        }
        pending.shared(Seq(7));
        // In memory before the share was made, offered after it.
        pending.offer(delta(6, 7));
        pending.offer(delta(7, 8));
        pending.offer(delta(8, 9));
        assert_eq!(taken(&mut pending, 7), "7..9 2");
    }
}
