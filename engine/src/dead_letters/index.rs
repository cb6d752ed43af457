//! What the store knows without reading its files: where each letter is, why it was refused, what became of it. Pure.
//!
//! About 150 bytes a letter. Reasons (source, key, field, code) are kept once, however many letters share one.

use std::collections::BTreeMap;
use std::ops::Bound;

use hashbrown::HashMap;

use super::format::{Mark, Meta};
use super::{Filter, LetterId, Reason, Status, Try};
use crate::clock::Micros;

/// A letter's place and state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub id: LetterId,
    /// The segment's number, and where in it the letter is, without its length.
    pub segment: u64,
    pub offset: u64,
    pub len: u32,
    pub received_at: Micros,
    pub attempts: u32,
    /// Its place among the reasons.
    pub reason: u32,
    pub status: Status,
    /// When it ceased to be open.
    pub settled_at: Micros,
}

impl Entry {
    /// What it takes in its file.
    pub fn bytes(&self) -> u64 {
        u64::from(self.len) + 4
    }
}

/// A segment's size, and how much of it nobody needs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Segment {
    pub bytes: u64,
    pub garbage: u64,
}

/// How many letters there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub open: usize,
    pub replayed: usize,
    pub dropped: usize,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    /// By the order in which they came, which never changes while the store is open.
    entries: BTreeMap<u64, Entry>,
    orders: HashMap<LetterId, u64>,
    next: u64,
    reasons: Vec<Reason>,
    reason_places: HashMap<Reason, u32>,
    tries: HashMap<LetterId, Vec<Try>>,
    pub segments: BTreeMap<u64, Segment>,
    pub counts: Counts,
}

impl Index {
    fn reason(&mut self, meta: &Meta) -> u32 {
        let reason = Reason {
            source: meta.source.clone(),
            key: meta.key.clone(),
            field: meta.field.clone(),
            code: meta.code.clone(),
        };
        if let Some(&place) = self.reason_places.get(&reason) {
            return place;
        }
        let place = self.reasons.len() as u32;
        self.reasons.push(reason.clone());
        self.reason_places.insert(reason, place);
        place
    }

    pub fn reason_of(&self, entry: &Entry) -> &Reason {
        &self.reasons[entry.reason as usize]
    }

    pub fn get(&self, id: LetterId) -> Option<&Entry> {
        self.entries.get(self.orders.get(&id)?)
    }

    pub fn order_of(&self, id: LetterId) -> Option<u64> {
        self.orders.get(&id).copied()
    }

    /// The order that the next new letter gets.
    pub fn end(&self) -> u64 {
        self.next
    }

    pub fn tries(&self, id: LetterId) -> &[Try] {
        self.tries.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Takes a letter's record. Of several (a repair that was run twice, a letter that came again after it was dropped
    /// or that was refused again) the latest counts; the others are garbage.
    pub fn add(&mut self, id: LetterId, segment: u64, offset: u64, len: u32, meta: &Meta) {
        let reason = self.reason(meta);
        let entry = Entry {
            id,
            segment,
            offset,
            len,
            received_at: meta.received_at,
            attempts: meta.attempts,
            reason,
            status: Status::Open,
            settled_at: 0,
        };
        let Some(known) = self.orders.get(&id).and_then(|order| self.entries.get_mut(order)) else {
            self.orders.insert(id, self.next);
            self.entries.insert(self.next, entry);
            self.next += 1;
            self.counts.open += 1;
            return;
        };
        if (entry.received_at, entry.attempts) <= (known.received_at, known.attempts) {
            self.waste(segment, u64::from(len) + 4);
            return;
        }
        let before = std::mem::replace(known, entry);
        if before.status == Status::Open {
            self.waste(before.segment, before.bytes());
        } else {
            *self.count(before.status) -= 1;
            self.counts.open += 1;
            self.tries.remove(&id);
        }
    }

    /// Takes a mark that stands in `segment` and takes `len` bytes there.
    pub fn mark(&mut self, id: LetterId, mark: &Mark, segment: u64, len: u64) {
        let at = mark.at();
        let known = self.orders.get(&id).and_then(|order| self.entries.get_mut(order));
        let Some(entry) = known.filter(|e| e.status == Status::Open && at >= e.received_at) else {
            self.waste(segment, len);
            return;
        };
        let status = match mark {
            Mark::Trying { event_id, hour, .. } => {
                self.tries.entry(id).or_default().push(Try { at, event_id: event_id.clone(), hour: *hour });
                return;
            }
            Mark::Replayed { .. } => Status::Replayed,
            Mark::Dropped { .. } => Status::Dropped,
        };
        (entry.status, entry.settled_at) = (status, at);
        let (home, bytes) = (entry.segment, entry.bytes());
        self.counts.open -= 1;
        *self.count(status) += 1;
        self.tries.remove(&id);
        // Both can go, the mark only after the letter: see `compact`.
        self.waste(home, bytes);
        self.waste(segment, len);
    }

    fn count(&mut self, status: Status) -> &mut usize {
        match status {
            Status::Open => &mut self.counts.open,
            Status::Replayed => &mut self.counts.replayed,
            Status::Dropped => &mut self.counts.dropped,
        }
    }

    fn waste(&mut self, segment: u64, bytes: u64) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.garbage += bytes;
        }
    }

    /// Forgets letters; what they take is garbage from now on.
    pub fn forget(&mut self, which: impl Fn(&Entry) -> bool) -> usize {
        let gone: Vec<(u64, Entry)> = self.entries.iter().filter(|(_, e)| which(e)).map(|(&o, &e)| (o, e)).collect();
        for (order, entry) in &gone {
            self.entries.remove(order);
            self.orders.remove(&entry.id);
            self.tries.remove(&entry.id);
            *self.count(entry.status) -= 1;
            if entry.status == Status::Open {
                self.waste(entry.segment, entry.bytes());
            }
        }
        gone.len()
    }

    /// Letters moved within their segment, or the segment has gone.
    pub fn moved(&mut self, segment: u64, now: Option<Segment>, places: &[(LetterId, u64, u32)]) {
        match now {
            Some(now) => self.segments.insert(segment, now),
            None => self.segments.remove(&segment),
        };
        let mut garbage = 0;
        for &(id, offset, len) in places {
            if let Some(entry) = self.orders.get(&id).and_then(|order| self.entries.get_mut(order)) {
                (entry.offset, entry.len) = (offset, len);
                garbage += if entry.status == Status::Open { 0 } else { entry.bytes() };
            }
        }
        self.waste(segment, garbage);
    }

    /// Entries from `from` on and before `to`, with their order.
    pub fn range(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let bounds = (Bound::Included(from), Bound::Excluded(to.max(from)));
        self.entries.range(bounds).map(|(&order, entry)| (order, entry))
    }

    /// Whether a filter takes this letter.
    pub fn matches(&self, entry: &Entry, filter: &Filter) -> bool {
        let reason = self.reason_of(entry);
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
        filter.status.is_none_or(|s| s == entry.status)
            && filter.since.is_none_or(|t| entry.received_at >= t)
            && filter.until.is_none_or(|t| entry.received_at < t)
            && is(&filter.code, &reason.code)
            && is(&filter.field, &reason.field)
            && is(&filter.source, &reason.source)
            && is(&filter.key, reason.key.as_deref().unwrap_or_default())
            && (filter.ids.is_empty() || filter.ids.contains(&entry.id))
    }

    /// Size of the store.
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|s| s.bytes).sum()
    }

    /// What of it cannot be given back.
    pub fn used(&self) -> u64 {
        self.segments.values().map(|s| s.bytes.saturating_sub(s.garbage)).sum()
    }
}
