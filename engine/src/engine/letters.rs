//! What becomes of dead letters: replayed after a fix, dropped, or removed by the retention.
//!
//! A replay stores an event and then marks its letter; the process may end in between. Nothing is doubled by that: the
//! next replay sends the same event id, and the id of an event that has none is made of the letter's original bytes,
//! however it was changed. Since ids are told apart by hour, and the next fix may set another time, a changed event's id
//! and hour are noted before it is stored; whoever finds such a note looks first whether that event is there.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::AsArray;
use arrow::compute::{concat_batches, filter_record_batch, not};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use serde::Serialize;

use crate::clock::DAY;
use crate::dead_letters::{Cursor, Filter, Kept, LetterId, Parts, Status, Tidied, Try};
use crate::decode::{DecodeContext, decode_one};
use crate::dedup::{Hour, IdHasher, IdSource, Key};
use crate::error::{Error, Kind, Result};
use crate::event::client_schema;

use super::{Engine, MAX_LISTED_ERRORS};

/// Letters read, decoded, stored and marked at once.
const CHUNK_LETTERS: usize = 1_000;

/// Changes letters' events so that they can be accepted.
pub trait Fix: Debug + Send + Sync {
    /// The event to store instead of `original`; the error says why it cannot be made, in one sentence.
    fn apply(&self, original: &Bytes) -> Result<Fixed, String>;
}

/// What a [`Fix`] makes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fixed {
    /// This text.
    Event(Bytes),
    /// Nothing: it is to be left as it is.
    Skip,
}

/// Which letters to replay, and how.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Which; only open ones are replayed.
    pub select: Filter,
    /// How to change them; without it they are sent as they were (after a setting was changed).
    pub fix: Option<Arc<dyn Fix>>,
    /// Say what would happen, and change nothing.
    pub dry_run: bool,
}

/// Why a letter was not replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayError {
    /// The letter.
    pub id: String,
    /// The field that is wrong.
    pub field: String,
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub message: String,
}

/// What a replay did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// Whether it only looked.
    pub dry_run: bool,
    /// Open letters that were selected.
    pub selected: usize,
    /// Letters whose event is accepted; they are open no more. With `dry_run`: that would be.
    pub replayed: usize,
    /// Of these, events that were stored before.
    pub duplicates: usize,
    /// Letters that were refused again; they stay, with the new reason.
    pub rejected: usize,
    /// Letters that the fix leaves out; they stay as they are.
    pub skipped: usize,
    /// The first of the reasons.
    pub errors: Vec<ReplayError>,
    /// How many there are.
    pub errors_total: usize,
}

impl ReplayReport {
    fn refuse(&mut self, id: LetterId, field: &str, code: &str, message: &str) {
        self.rejected += 1;
        self.errors_total += 1;
        if self.errors.len() < MAX_LISTED_ERRORS {
            let (field, code, message) = (field.to_owned(), code.to_owned(), message.to_owned());
            self.errors.push(ReplayError { id: id.to_string(), field, code, message });
        }
    }
}

/// A letter after decoding.
enum Verdict {
    Accepted(Box<Acceptable>),
    /// Field, code, message.
    Rejected(String, String, String),
    CannotFix(String),
    Skipped,
}

struct Acceptable {
    batch: RecordBatch,
    key: Key,
    event_id: String,
    changed: bool,
    bytes: usize,
}

impl Engine {
    /// Sends open letters' events again, changed by a fix. What is accepted is durable and visible when this returns, and
    /// its letter is marked; what is refused again stays one letter, with the new reason. One replay runs at a time; what
    /// it has done when it fails stays done, and it can be run again.
    ///
    /// # Errors
    /// `Busy` when the engine is full; else the disk's.
    pub async fn replay(&self, replay: Replay) -> Result<ReplayReport> {
        let _one_at_a_time = self.settling.lock().await;
        let select = Filter { status: Some(Status::Open), ..replay.select.clone() };
        let mut report = ReplayReport { dry_run: replay.dry_run, ..ReplayReport::default() };
        let (mut from, end) = (Cursor::default(), self.dead_letters.end());
        while from < end {
            let (store, select, at) = (Arc::clone(&self.dead_letters), select.clone(), from);
            let read = move || store.page(&select, at, end, CHUNK_LETTERS, Parts::Whole);
            let (letters, next) = blocking(read).await?;
            from = next;
            if !letters.is_empty() {
                report.selected += letters.len();
                self.replay_some(letters, &replay, &mut report).await?;
            }
        }
        if !replay.dry_run && report.selected > 0 {
            let ReplayReport { selected, replayed, duplicates, rejected, skipped, .. } = report;
            tracing::info!(selected, replayed, duplicates, rejected, skipped, "replayed dead letters");
        }
        Ok(report)
    }

    async fn replay_some(&self, letters: Vec<Kept>, replay: &Replay, report: &mut ReplayReport) -> Result<()> {
        let letters = if replay.dry_run { letters } else { self.settle_stored(letters, report).await? };
        let (context, hasher, fix) = (self.decode_context(), self.hasher.clone(), replay.fix.clone());
        let judge = move || {
            let judge = |letter: Kept| Ok((judge(&letter, fix.as_deref(), &context, &hasher)?, letter));
            letters.into_iter().map(judge).collect::<Result<Vec<_>>>()
        };
        let mut accepted = Vec::new();
        let mut revised = Vec::new();
        for (verdict, letter) in blocking(judge).await? {
            match verdict {
                Verdict::Accepted(acceptable) => accepted.push((letter.id, acceptable)),
                Verdict::Skipped => report.skipped += 1,
                Verdict::CannotFix(why) => report.refuse(letter.id, "", "cannot_be_fixed", &why),
                Verdict::Rejected(field, code, message) => {
                    report.refuse(letter.id, &field, &code, &message);
                    let now = &letter.letter;
                    if (&now.field, &now.code, &now.message) != (&field, &code, &message) {
                        let mut letter = letter;
                        (letter.letter.field, letter.letter.code, letter.letter.message) = (field, code, message);
                        revised.push((letter.id, letter.letter));
                    }
                }
            }
        }
        report.replayed += accepted.len();
        if replay.dry_run {
            return Ok(());
        }
        report.duplicates += self.store_letters(accepted).await?;
        let store = Arc::clone(&self.dead_letters);
        match blocking(move || store.revise(revised)).await {
            // The letters are kept all the same; only their new reasons are not.
            Err(e) if e.kind == Kind::Busy => {
                tracing::warn!(error = %e, "new reasons of dead letters were not noted");
                Ok(())
            }
            other => other,
        }
    }

    /// Marks letters whose event an interrupted replay has stored; returns the others.
    async fn settle_stored(&self, letters: Vec<Kept>, report: &mut ReplayReport) -> Result<Vec<Kept>> {
        let tries: Vec<Vec<Try>> = letters.iter().map(|l| self.dead_letters.tries(l.id)).collect();
        let hours: BTreeSet<Hour> = tries.iter().flatten().map(|t| t.hour).collect();
        if hours.is_empty() {
            return Ok(letters);
        }
        let stored: hashbrown::HashSet<Key> = self.keys_of(&hours).await?.into_iter().collect();
        let is_stored = |t: &Try| stored.contains(&Key { hour: t.hour, id: self.hasher.id(&t.event_id) });
        let (mut done, mut rest) = (Vec::new(), Vec::new());
        for (letter, tries) in letters.into_iter().zip(&tries) {
            if tries.iter().any(is_stored) { done.push(letter.id) } else { rest.push(letter) }
        }
        report.replayed += done.len();
        report.duplicates += done.len();
        let (store, now) = (Arc::clone(&self.dead_letters), self.clock.now());
        blocking(move || store.mark_replayed(&done, now)).await?;
        Ok(rest)
    }

    /// Stores events and marks their letters; says how many were there before.
    async fn store_letters(&self, accepted: Vec<(LetterId, Box<Acceptable>)>) -> Result<usize> {
        if accepted.is_empty() {
            return Ok(0);
        }
        let now = self.clock.now();
        let is_new = |id: LetterId, a: &Acceptable| {
            let known = self.dead_letters.tries(id);
            a.changed && !known.iter().any(|t| t.hour == a.key.hour && t.event_id == a.event_id)
        };
        let tries = accepted.iter().filter(|(id, a)| is_new(*id, a));
        let tries = tries.map(|(id, a)| (*id, Try { at: now, event_id: a.event_id.clone(), hour: a.key.hour }));
        let (store, tries) = (Arc::clone(&self.dead_letters), tries.collect());
        blocking(move || store.mark_trying(tries)).await?;

        let erased = self.erased.read().await;
        let _room = self.admit(accepted.iter().map(|(_, a)| a.bytes).sum()).await?;
        let batch = concat_batches(&client_schema(), accepted.iter().map(|(_, a)| &a.batch))?;
        let mut keys: Vec<Key> = accepted.iter().map(|(_, a)| a.key).collect();
        // Marked all the same: an event of somebody who was erased since is not wanted any more.
        let batch = match erased.find(&batch) {
            None => batch,
            Some(theirs) => {
                let mut theirs_too = theirs.values().iter();
                keys.retain(|_| !theirs_too.next().unwrap_or(false));
                filter_record_batch(&batch, &not(&theirs)?)?
            }
        };
        let stored = self.store(&batch, keys, Instant::now()).await?;
        drop(erased);
        self.own.ingest.replayed.add(stored.accepted as u64);
        let (store, now) = (Arc::clone(&self.dead_letters), self.clock.now());
        let ids: Vec<LetterId> = accepted.iter().map(|(id, _)| *id).collect();
        blocking(move || store.mark_replayed(&ids, now)).await?;
        Ok(stored.duplicates)
    }

    /// Marks open letters as not wanted. Returns how many.
    ///
    /// # Errors
    /// The disk's.
    pub async fn drop_letters(&self, select: Filter) -> Result<usize> {
        let _one_at_a_time = self.settling.lock().await;
        let select = Filter { status: Some(Status::Open), ..select };
        let (store, now) = (Arc::clone(&self.dead_letters), self.clock.now());
        let dropped = blocking(move || {
            let (mut from, end, mut dropped) = (Cursor::default(), store.end(), 0);
            while from < end {
                let (page, next) = store.page(&select, from, end, CHUNK_LETTERS, Parts::Summary)?;
                let ids: Vec<LetterId> = page.iter().map(|l| l.id).collect();
                store.mark_dropped(&ids, now)?;
                (from, dropped) = (next, dropped + ids.len());
            }
            Ok(dropped)
        })
        .await?;
        tracing::info!(dropped, "dropped dead letters");
        Ok(dropped)
    }

    /// Removes dead letters older than the retention, and gives the space of settled ones back.
    ///
    /// # Errors
    /// The disk's.
    pub async fn retain_letters(&self) -> Result<Tidied> {
        let _one_at_a_time = self.settling.lock().await;
        let days = self.config.dead_letter_days;
        let oldest = days.map(|days| self.clock.now().saturating_sub(i64::from(days) * DAY));
        let store = Arc::clone(&self.dead_letters);
        let tidied = blocking(move || store.tidy(oldest)).await?;
        if tidied.expired > 0 {
            tracing::warn!(
                expired = tidied.expired,
                retention_days = days,
                "the retention removed dead letters that nobody replayed"
            );
        }
        if tidied.forgotten > 0 {
            tracing::info!(forgotten = tidied.forgotten, bytes = tidied.bytes, "removed settled dead letters");
        }
        Ok(tidied)
    }
}

/// Decodes a letter's event as it is to be stored.
fn judge(letter: &Kept, fix: Option<&dyn Fix>, context: &DecodeContext, hasher: &IdHasher) -> Result<Verdict> {
    let original = &letter.letter.original;
    let event = match fix.map(|fix| fix.apply(original)) {
        None => original.clone(),
        Some(Ok(Fixed::Event(event))) => event,
        Some(Ok(Fixed::Skip)) => return Ok(Verdict::Skipped),
        Some(Err(why)) => return Ok(Verdict::CannotFix(why)),
    };
    let mut decoded = decode_one(&event, original, &letter.letter.source, context)?;
    if let Some(rejected) = decoded.rejected.pop() {
        return Ok(Verdict::Rejected(rejected.field.into_owned(), rejected.code.to_owned(), rejected.message));
    }
    let key = hasher.keys(&decoded.batch)?.pop().ok_or_else(|| Error::internal("an event without a key"))?;
    let ids = decoded.batch.column_by_name("event_id").ok_or_else(|| Error::internal("an event without an id"))?;
    let event_id = ids.as_string::<i32>().value(0).to_owned();
    let changed = event != *original;
    Ok(Verdict::Accepted(Box::new(Acceptable { batch: decoded.batch, key, event_id, changed, bytes: event.len() })))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal(format!("working on dead letters failed: {e}")))?
}
