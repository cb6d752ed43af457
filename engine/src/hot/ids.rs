//! Distinct ids: when each was last seen, and in which minutes. Exact up to a number of ids; beyond it new ids are
//! not told apart any more, counts come from sketches and say so, until a whole window has gone by without that.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use crate::clock::Micros;

use super::delta::IdSeen;
use super::recency::Recency;
use super::sketch::Sketch;
use super::{Active, Count, MINUTE, Minute, minute_of};

/// Parts of a table: expired ids are swept out of one part at a time.
pub const SHARDS: usize = 64;

/// Minutes of a window, as bits above a base.
#[derive(Debug, Clone, Copy, Default)]
pub struct MinuteSet {
    base: Minute,
    bits: u128,
}

impl MinuteSet {
    /// Adds a minute that is not before `floor`; whether it is new. Minutes before `floor` are forgotten.
    pub fn insert(&mut self, minute: Minute, floor: Minute) -> bool {
        let shift = floor - self.base;
        if shift > 0 {
            self.bits = u32::try_from(shift).ok().and_then(|s| self.bits.checked_shr(s)).unwrap_or(0);
            self.base = floor;
        }
        let bit = u32::try_from(minute - self.base).ok().and_then(|s| 1_u128.checked_shl(s)).unwrap_or(0);
        let new = self.bits & bit == 0 && bit != 0;
        self.bits |= bit;
        new
    }

    /// The minutes, in order.
    pub fn iter(self) -> impl Iterator<Item = Minute> {
        (0..128).filter(move |n| self.bits >> n & 1 == 1).map(move |n| self.base + n)
    }
}

/// One id.
#[derive(Debug)]
pub struct Entry<V> {
    /// The id.
    pub id: Arc<str>,
    /// Its latest event.
    pub last: Micros,
    /// The minutes with an event.
    pub minutes: MinuteSet,
    /// What else is known.
    pub value: V,
}

/// The ids of one kind.
#[derive(Debug)]
pub struct IdTable<V> {
    hasher: SipHasher13,
    shards: Vec<HashTable<Entry<V>>>,
    len: usize,
    max: usize,
    floor: Minute,
    /// Shards still to be swept of ids that expired when the floor moved.
    unswept: usize,
    recency: Recency,
    /// Distinct ids by minute.
    minutes: BTreeMap<Minute, u64>,
    /// The latest minute in which an id could not be told apart.
    refused: Minute,
    /// By minute, while there is such a minute in the window.
    sketches: BTreeMap<Minute, Sketch>,
}

impl<V: Default> IdTable<V> {
    /// With room for `max` ids.
    pub fn new(max: usize) -> Self {
        Self {
            hasher: SipHasher13::new_with_key(uuid::Uuid::new_v4().as_bytes()),
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            len: 0,
            max,
            floor: 0,
            unswept: 0,
            recency: Recency::default(),
            minutes: BTreeMap::new(),
            refused: Minute::MIN,
            sketches: BTreeMap::new(),
        }
    }

    /// Forgets minutes before `floor`; their ids go a few shards at a time.
    pub fn advance(&mut self, floor: Minute) {
        if floor > self.floor {
            self.floor = floor;
            self.unswept = SHARDS;
            self.recency.advance(floor * MINUTE);
            self.minutes = self.minutes.split_off(&floor);
            self.sketches = self.sketches.split_off(&floor);
        }
        self.sweep(4);
    }

    fn sweep(&mut self, shards: usize) {
        for _ in 0..shards.min(self.unswept) {
            self.unswept -= 1;
            let (shard, floor) = (&mut self.shards[self.unswept], self.floor * MINUTE);
            let before = shard.len();
            shard.retain(|e| e.last >= floor);
            self.len -= before - shard.len();
            if shard.capacity() > 4 * shard.len().max(16) {
                let hasher = &self.hasher;
                shard.shrink_to_fit(|e| hasher.hash(e.id.as_bytes()));
            }
        }
    }

    /// Notes that an id was seen in minutes of the window. The entry, unless there is no room for the id.
    pub fn see(&mut self, id: &str, seen: &IdSeen) -> Option<&mut Entry<V>> {
        let live = seen.minutes.partition_point(|m| *m < self.floor);
        let live = &seen.minutes[live..];
        live.first()?;
        let hash = self.hasher.hash(id.as_bytes());
        let at = shard_of(hash);
        let known = self.shards[at].find(hash, |e| &*e.id == id).is_some();
        if !known && self.len >= self.max {
            self.sweep(SHARDS);
        }
        if !known && self.len >= self.max {
            self.refuse(live[live.len() - 1]);
        }
        if self.refused >= self.floor {
            live.iter().for_each(|m| self.sketches.entry(*m).or_default().add(hash));
        }
        if !known && self.len >= self.max {
            return None;
        }
        let hasher = &self.hasher;
        let slot = self.shards[at].entry(hash, |e| &*e.id == id, |e| hasher.hash(e.id.as_bytes()));
        let entry = match slot {
            hashbrown::hash_table::Entry::Occupied(entry) => {
                let entry = entry.into_mut();
                if seen.last > entry.last {
                    self.recency.remove(entry.last);
                    self.recency.add(seen.last);
                    entry.last = seen.last;
                }
                entry
            }
            hashbrown::hash_table::Entry::Vacant(slot) => {
                self.len += 1;
                self.recency.add(seen.last);
                let minutes = MinuteSet::default();
                let entry = Entry { id: id.into(), last: seen.last, minutes, value: V::default() };
                slot.insert(entry).into_mut()
            }
        };
        for minute in live {
            if entry.minutes.insert(*minute, self.floor) {
                *self.minutes.entry(*minute).or_default() += 1;
            }
        }
        Some(entry)
    }

    /// From now on sketches count: they begin with every id that is known.
    fn refuse(&mut self, minute: Minute) {
        if self.refused < self.floor {
            self.sketches.clear();
            for entry in self.shards.iter().flatten() {
                let hash = self.hasher.hash(entry.id.as_bytes());
                let live = entry.minutes.iter().filter(|m| *m >= self.floor);
                live.for_each(|m| self.sketches.entry(m).or_default().add(hash));
            }
        }
        self.refused = self.refused.max(minute);
    }

    /// One id.
    pub fn get(&self, id: &str) -> Option<&Entry<V>> {
        let hash = self.hasher.hash(id.as_bytes());
        self.shards[shard_of(hash)].find(hash, |e| &*e.id == id)
    }

    /// Distinct ids later than `since`. While it is an estimate, from the whole minute in which `since` lies.
    pub fn active(&self, since: Micros) -> Count {
        if self.refused < self.floor {
            return Count { count: self.recency.later_than(since), exact: true };
        }
        let mut all = Sketch::default();
        self.sketches.range(minute_of(since)..).for_each(|(_, s)| all.merge(s));
        Count { count: all.estimate(), exact: false }
    }

    /// Distinct ids of one minute.
    pub fn in_minute(&self, minute: Minute) -> Count {
        match self.sketches.get(&minute) {
            Some(sketch) if minute <= self.refused => Count { count: sketch.estimate(), exact: false },
            _ => Count { count: self.minutes.get(&minute).copied().unwrap_or(0), exact: true },
        }
    }

    /// The ids later than `since`, the latest first, at most `limit`.
    pub fn latest(&self, since: Micros, limit: usize) -> Vec<Active> {
        let mut found: Vec<(Micros, &str)> =
            self.shards.iter().flatten().filter(|e| e.last > since).map(|e| (e.last, &*e.id)).collect();
        let order = |a: &(Micros, &str), b: &(Micros, &str)| b.0.cmp(&a.0).then(a.1.cmp(b.1));
        if limit > 0 && limit < found.len() {
            found.select_nth_unstable_by(limit - 1, order);
        }
        found.truncate(limit);
        found.sort_unstable_by(order);
        found.into_iter().map(|(last_seen, id)| Active { id: id.to_owned(), last_seen }).collect()
    }

    /// The entries of one of [`SHARDS`] parts.
    pub fn shard(&self, shard: usize) -> impl Iterator<Item = &Entry<V>> {
        self.shards[shard].iter()
    }

    /// Ids known, expired ones that were not swept yet included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// About how many bytes of memory it takes, without what values hold on the heap.
    pub fn bytes(&self) -> usize {
        let slots: usize = self.shards.iter().map(|s| s.capacity() * (size_of::<Entry<V>>() + 1)).sum();
        // An id on the heap: two counters, its text (about 20 bytes), the allocator's own.
        slots + self.len * 48 + self.recency.bytes() + self.sketches.len() * Sketch::BYTES
    }
}

fn shard_of(hash: u64) -> usize {
    // Neither the bits the table takes (lowest and highest) nor those of a sketch's register.
    (hash >> 40) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(minute: Minute) -> IdSeen {
        IdSeen { last: minute * MINUTE, minutes: vec![minute] }
    }

    fn see_all(table: &mut IdTable<()>, name: char, ids: std::ops::Range<u32>, minute: Minute) {
        for n in ids {
            table.see(&format!("{name}{n}"), &seen(minute));
        }
    }

    #[test]
    fn beyond_its_room_it_estimates_and_a_window_later_it_is_exact_again() {
        let mut table = IdTable::<()>::new(1_000);
        table.advance(100);
        see_all(&mut table, 'u', 0..1_000, 100);
        assert_eq!(table.active(0), Count { count: 1_000, exact: true });
        see_all(&mut table, 'v', 0..5_000, 101);
        let active = table.active(0);
        assert!(!active.exact && active.count.abs_diff(6_000) < 200, "{active:?}");
        assert!(table.in_minute(101).count.abs_diff(5_000) < 170, "{:?}", table.in_minute(101));
        assert_eq!(table.len(), 1_000);
        table.advance(102);
        (0..16).for_each(|_| table.advance(102));
        see_all(&mut table, 'w', 0..10, 103);
        assert_eq!((table.active(0), table.len()), (Count { count: 10, exact: true }, 10));
    }

    #[test]
    fn minutes_move_with_the_floor() {
        let mut set = MinuteSet::default();
        assert!(set.insert(1_000, 990) && !set.insert(1_000, 990));
        assert!(set.insert(1_060, 1_000) && !set.insert(1_000, 1_000));
        assert!(set.insert(1_060 + 128, 1_100));
        assert_eq!(set.iter().collect::<Vec<_>>(), [1_188]);
        assert!(!set.insert(1_050, 1_100), "a minute before the base is not kept");
    }
}
