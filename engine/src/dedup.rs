//! Event ids seen, by hour of the client's time: exact for the whole history, in bounded memory.
//!
//! An hour's ids are in memory while it is *recent* (touched lately) and otherwise loaded on first touch from the
//! lake and the buffer, through [`IdSource`]. A request [pins](Dedup::pin) the hours it touches before its events
//! enter the sequencer, and holds them until it is answered. So while an hour is being loaded nothing of that hour
//! can be on its way, and the loaded set is complete.
//!
//! [claim](Dedup::claim) and [release](Dedup::release) are called by the sequencer alone, one group at a time: a
//! claim is pending exactly until its group is published or has failed, and a duplicate of a pending event sits in
//! the same group or a later one, so it is answered after the original's outcome is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use async_trait::async_trait;
use hashbrown::HashMap;
use parking_lot::Mutex;
use siphasher::sip128::SipHasher13;
use tokio::sync::Notify;

use crate::error::{Error, Result};
use crate::event::hour_of;

/// Hours since the Unix epoch.
pub type Hour = i64;

/// What makes an event itself: the hour of the client's own time, and the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Hour of the client's time: a retry carries the same time.
    pub hour: Hour,
    /// 128-bit keyed hash of the event id.
    pub id: u128,
}

/// Hashes event ids to 128 bits under a random key, so that nobody can construct two ids that collide; by chance two
/// of a trillion ids collide with a probability below 10⁻¹⁴.
#[derive(Debug, Clone)]
pub struct IdHasher(SipHasher13);

impl IdHasher {
    /// With a fresh random key.
    pub fn random() -> Self {
        Self(SipHasher13::new_with_key(uuid::Uuid::new_v4().as_bytes()))
    }

    /// The hash of one id.
    pub fn id(&self, event_id: &str) -> u128 {
        self.0.hash(event_id.as_bytes()).as_u128()
    }

    /// The key of each row. `batch` needs the columns `event_id`, `event_ts` and `client_ts`.
    pub fn keys(&self, batch: &RecordBatch) -> Result<Vec<Key>> {
        let column =
            |name| batch.column_by_name(name).ok_or_else(|| Error::internal(format!("dedup needs the column {name}")));
        let ids = column("event_id")?.as_string::<i32>();
        let event_ts = column("event_ts")?.as_primitive::<TimestampMicrosecondType>();
        let client_ts = column("client_ts")?.as_primitive::<TimestampMicrosecondType>();
        Ok((0..batch.num_rows())
            .map(|row| {
                let time = if client_ts.is_valid(row) { client_ts.value(row) } else { event_ts.value(row) };
                Key { hour: hour_of(time), id: self.id(ids.value(row)) }
            })
            .collect())
    }
}

/// Where the ids of hours that are not in memory come from: lake ∪ buffer.
#[async_trait]
pub trait IdSource: Send + Sync {
    /// Every stored event's key in these hours, in any order; keys of other hours may be among them.
    async fn keys_of(&self, hours: &BTreeSet<Hour>) -> Result<Vec<Key>>;
}

type IdSet = hashbrown::HashSet<u128, foldless::IdentityBuild>;

/// The ids are keyed hashes already: their low half is as good a table hash as any.
mod foldless {
    #[derive(Debug, Default, Clone, Copy)]
    pub struct Identity(u64);
    pub type IdentityBuild = std::hash::BuildHasherDefault<Identity>;

    impl std::hash::Hasher for Identity {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for chunk in bytes.chunks(8) {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                self.0 ^= u64::from_le_bytes(word);
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "the low half is the hash")]
        fn write_u128(&mut self, id: u128) {
            self.0 = id as u64;
        }
    }
}

/// Bytes for each id that a set has room for: a bucket takes 17, and seven in eight may be taken.
const BYTES_PER_ID: usize = 20;
/// Hours, the latest touched, that stay whatever they take: events come in for these, and to load them anew for each
/// request would cost many times their memory.
const STAY: usize = 2;
/// Bytes an hour costs besides its ids.
const BYTES_PER_HOUR: usize = 256;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Load {
    #[default]
    Absent,
    /// The first request that touched the hour is loading it.
    Underway,
    Done,
}

#[derive(Debug, Default)]
struct HourState {
    ids: IdSet,
    load: Load,
    pins: usize,
    touched: u64,
}

impl HourState {
    fn bytes(&self) -> usize {
        BYTES_PER_HOUR + self.ids.capacity() * BYTES_PER_ID
    }

    /// Adds ids and returns which were new and by how many bytes the set grew.
    fn insert(&mut self, id: u128) -> (bool, usize) {
        let before = self.ids.capacity();
        let fresh = self.ids.insert(id);
        (fresh, (self.ids.capacity() - before) * BYTES_PER_ID)
    }
}

#[derive(Debug, Default)]
struct State {
    hours: HashMap<Hour, HourState>,
    tick: u64,
    bytes: usize,
}

impl State {
    fn remove(&mut self, hour: Hour) {
        if let Some(gone) = self.hours.remove(&hour) {
            self.bytes = self.bytes.saturating_sub(gone.bytes());
        }
    }
}

/// The ids seen. See the module's documentation.
#[derive(Debug)]
pub struct Dedup {
    state: Mutex<State>,
    changed: Notify,
    max_bytes: usize,
}

/// Hours held in memory for a request; dropping it lets them go.
#[derive(Debug)]
pub struct Pins {
    dedup: Arc<Dedup>,
    hours: BTreeSet<Hour>,
}

impl Drop for Pins {
    fn drop(&mut self) {
        let mut state = self.dedup.state.lock();
        for &hour in &self.hours {
            let Some(h) = state.hours.get_mut(&hour) else { continue };
            h.pins -= 1;
            if h.pins == 0 && h.load == Load::Absent {
                state.remove(hour);
            }
        }
        self.dedup.evict(&mut state);
    }
}

/// What a request that pinned hours has to do next.
enum Next {
    Load(BTreeSet<Hour>),
    Wait,
    Ready,
}

impl Dedup {
    /// Keeps the ids of recently touched hours in about `max_bytes` of memory; in more where the last two alone take more.
    pub fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Notify::new(), max_bytes })
    }

    /// Holds `hours` in memory, loading those that are not. Several requests for one hour share one load; when it
    /// fails the request that loaded gets the error, and the next one tries again.
    pub async fn pin(self: &Arc<Self>, hours: BTreeSet<Hour>, source: &dyn IdSource) -> Result<Pins> {
        let pins = self.take(hours);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.next(&pins.hours) {
                Next::Ready => return Ok(pins),
                Next::Wait => changed.await,
                Next::Load(hours) => {
                    let underway = Underway { dedup: self, hours: &hours };
                    let keys = source.keys_of(&hours).await?;
                    underway.finish(&keys);
                }
            }
        }
    }

    fn take(self: &Arc<Self>, hours: BTreeSet<Hour>) -> Pins {
        let mut state = self.state.lock();
        state.tick += 1;
        let State { hours: known, tick, bytes } = &mut *state;
        for &hour in &hours {
            let h = known.entry(hour).or_insert_with(|| {
                *bytes += BYTES_PER_HOUR;
                HourState::default()
            });
            h.pins += 1;
            h.touched = *tick;
        }
        drop(state);
        Pins { dedup: Arc::clone(self), hours }
    }

    fn next(&self, hours: &BTreeSet<Hour>) -> Next {
        let mut state = self.state.lock();
        let mut to_load = BTreeSet::new();
        let mut waiting = false;
        for hour in hours {
            let Some(h) = state.hours.get_mut(hour) else { continue };
            match h.load {
                Load::Absent => {
                    h.load = Load::Underway;
                    to_load.insert(*hour);
                }
                Load::Underway => waiting = true,
                Load::Done => {}
            }
        }
        match (to_load.is_empty(), waiting) {
            (false, _) => Next::Load(to_load),
            (true, true) => Next::Wait,
            (true, false) => Next::Ready,
        }
    }

    /// Marks each key's event as seen; pushes `true` where it was not before. Every key's hour must be pinned.
    pub fn claim(&self, keys: &[Key], fresh: &mut Vec<bool>) {
        let mut state = self.state.lock();
        let State { hours, bytes, .. } = &mut *state;
        for key in keys {
            let (new, grown) = hours.entry(key.hour).or_default().insert(key.id);
            fresh.push(new);
            *bytes += grown;
        }
    }

    /// Takes claims back whose events did not become durable.
    pub fn release(&self, keys: impl IntoIterator<Item = Key>) {
        let mut state = self.state.lock();
        for key in keys {
            if let Some(hour) = state.hours.get_mut(&key.hour) {
                hour.ids.remove(&key.id);
            }
        }
    }

    /// Memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Lets the least recently touched hours go that no request holds, down to the limit.
    fn evict(&self, state: &mut State) {
        if state.bytes <= self.max_bytes {
            return;
        }
        let mut by_touch: Vec<_> = state.hours.iter().map(|(hour, h)| (h.touched, *hour)).collect();
        by_touch.sort_unstable();
        by_touch.truncate(by_touch.len().saturating_sub(STAY));
        for (_, hour) in by_touch {
            if state.bytes <= self.max_bytes {
                return;
            }
            if state.hours.get(&hour).is_some_and(|h| h.pins == 0 && h.load == Load::Done) {
                state.remove(hour);
            }
        }
    }
}

/// A load that this request performs; dropped unfinished, the hours are anyone's to load again.
struct Underway<'a> {
    dedup: &'a Dedup,
    hours: &'a BTreeSet<Hour>,
}

impl Underway<'_> {
    fn finish(self, keys: &[Key]) {
        let mut state = self.dedup.state.lock();
        let State { hours, bytes, .. } = &mut *state;
        for key in keys.iter().filter(|k| self.hours.contains(&k.hour)) {
            if let Some(h) = hours.get_mut(&key.hour) {
                *bytes += h.insert(key.id).1;
            }
        }
        for hour in self.hours {
            if let Some(h) = hours.get_mut(hour) {
                h.load = Load::Done;
            }
        }
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let mut state = self.dedup.state.lock();
        for hour in self.hours {
            if let Some(h) = state.hours.get_mut(hour)
                && h.load == Load::Underway
            {
                h.load = Load::Absent;
            }
        }
        drop(state);
        self.dedup.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Stored {
        keys: Vec<Key>,
        loads: AtomicUsize,
        failures: AtomicUsize,
    }

    impl Stored {
        fn new(keys: Vec<Key>) -> Self {
            Self { keys, loads: AtomicUsize::new(0), failures: AtomicUsize::new(0) }
        }
    }

    #[async_trait]
    impl IdSource for Stored {
        async fn keys_of(&self, _: &BTreeSet<Hour>) -> Result<Vec<Key>> {
            tokio::task::yield_now().await;
            self.loads.fetch_add(1, Ordering::SeqCst);
            if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
                return Err(Error::internal("the lake is away"));
            }
            Ok(self.keys.clone())
        }
    }

    fn key(hour: Hour, id: u128) -> Key {
        Key { hour, id }
    }

    fn claim(dedup: &Dedup, keys: &[Key]) -> Vec<bool> {
        let mut fresh = Vec::new();
        dedup.claim(keys, &mut fresh);
        fresh
    }

    #[tokio::test]
    async fn stored_ids_are_known_after_the_first_touch_and_other_hours_stay_apart() {
        let stored = Stored::new(vec![key(1, 7), key(2, 7)]);
        let dedup = Dedup::new(1 << 20);
        let _pins = dedup.pin(BTreeSet::from([1, 3]), &stored).await.unwrap();
        assert_eq!(claim(&dedup, &[key(1, 7), key(3, 7), key(3, 7), key(1, 8)]), [false, true, false, true]);
        dedup.release([key(3, 7)]);
        assert_eq!(claim(&dedup, &[key(3, 7)]), [true], "a failed append gives the id back");
    }

    #[tokio::test]
    async fn concurrent_requests_share_one_load_and_survive_a_failed_one() {
        let stored = Stored::new(vec![key(1, 7)]);
        stored.failures.store(1, Ordering::SeqCst);
        let dedup = Dedup::new(1 << 20);
        let pin = || dedup.pin(BTreeSet::from([1]), &stored);
        let (a, b, c) = tokio::join!(pin(), pin(), pin());
        let failed = [&a, &b, &c].iter().filter(|r| r.is_err()).count();
        assert_eq!((failed, stored.loads.load(Ordering::SeqCst)), (1, 2));
        assert_eq!(claim(&dedup, &[key(1, 7)]), [false]);
    }

    #[tokio::test]
    async fn memory_stays_bounded_and_pinned_hours_stay() {
        let dedup = Dedup::new(64 << 10);
        let nothing = Stored::new(vec![]);
        let held = dedup.pin(BTreeSet::from([0]), &nothing).await.unwrap();
        claim(&dedup, &[key(0, 1)]);
        for hour in 1..500 {
            let _pins = dedup.pin(BTreeSet::from([hour]), &nothing).await.unwrap();
            claim(&dedup, &(0..100).map(|i| key(hour, i)).collect::<Vec<_>>());
        }
        assert!(dedup.bytes() <= 80 << 10, "{}", dedup.bytes());
        assert_eq!(claim(&dedup, &[key(0, 1)]), [false], "a pinned hour is never let go");
        drop(held);
    }

    #[tokio::test]
    async fn hours_that_events_come_in_for_are_not_loaded_again_and_again() {
        let dedup = Dedup::new(1 << 10);
        let stored = Stored::new((0..1_000).map(|id| key(i64::try_from(id % 3).unwrap(), id)).collect());
        let loads = || stored.loads.load(Ordering::SeqCst);
        for _ in 0..10 {
            for hour in [1, 2] {
                let _pins = dedup.pin(BTreeSet::from([hour]), &stored).await.unwrap();
            }
        }
        assert!(dedup.bytes() > 1 << 10);
        assert_eq!(loads(), 2, "these two are larger than the limit");
        let late = dedup.pin(BTreeSet::from([0]), &stored).await.unwrap();
        drop(late);
        let _pins = dedup.pin(BTreeSet::from([2]), &stored).await.unwrap();
        assert_eq!(loads(), 3);
    }

    #[test]
    fn keys_follow_the_clients_own_time() {
        let hasher = IdHasher::random();
        assert_eq!(hasher.id("a"), hasher.id("a"));
        assert_ne!(hasher.id("a"), hasher.id("b"));
    }
}
