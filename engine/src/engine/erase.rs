//! Erasing a person from everything a data folder holds, in steps that may each be repeated:
//!
//! ```text
//! note (durable; from here on their earlier events are refused) ─▶ log and buffer into the lake, segments deleted
//!   ─▶ files written anew ─▶ live windows filled again, Redis emptied ─▶ what queries keep is forgotten ─▶ dead letters
//!   ─▶ old files, once no query reads them, and the Delta log's history deleted ─▶ done (the ids leave the note) ─▶ search
//! ```
//!
//! A process that dies on the way takes all steps again at the next start. The search at the end reads every file of the
//! folder, decompressed, and is the proof.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::compute::{filter_record_batch, not};
use bytes::Bytes;
use serde::Serialize;

use crate::clock::MILLISECOND;
use crate::decode::{Decoded, Rejected};
use crate::dedup::Key;
use crate::erase::{Eraser, Erasure, Ids, Person, Tombstones};
use crate::error::{Error, Result};
use crate::event::{Seq, USER_ID};
use crate::lake::{Erased, Purged};
use crate::validate::code;
use crate::wal;

use super::Engine;
use super::search::{Found, search};

/// How long to wait for Redis to be emptied and filled again.
const REDIS_WITHIN: Duration = Duration::from_secs(120);
/// How long after a failure an erasure is taken up again.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Where copies may be that no server can reach.
pub const BEYOND_REACH: [&str; 7] = [
    "backups of this folder, and snapshots of its disk",
    "files that were exported, and answers that clients have kept",
    "copies of the Delta table, and readers that hold its files open",
    "logs of proxies and of clients",
    "what webhooks were told",
    "data folders of other nodes, where the shop has several: erase there too",
    "blocks that the file system has given back and not written over",
];

/// What an erasure found and removed, place by place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EraseReport {
    /// When, in milliseconds since the epoch.
    pub erased_at_ms: i64,
    /// `identifiers`: the person's rows stay, as nobody's; `rows`: they went.
    pub mode: &'static str,
    /// Segments of the write-ahead log that were deleted after their events had been moved.
    pub log_segments_deleted: usize,
    /// The table's live files.
    pub lake: Erased,
    /// Files the table no longer names, and its log's history.
    pub purged: Purged,
    /// Rows of the last hour that were counted again in the live windows.
    pub window_rows: usize,
    /// What became of the windows in Redis, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<&'static str>,
    /// Dead letters that were removed.
    pub dead_letters: usize,
    /// Other anonymous ids that the person's rows had: they are not erased unless they are asked for.
    pub linked_anonymous_ids: Vec<String>,
    /// Files that were searched at the end, all there are.
    pub files_searched: usize,
    /// Their bytes.
    pub bytes_searched: u64,
    /// Where the person was found all the same.
    pub found: Vec<Found>,
    /// Nothing was found.
    pub complete: bool,
    /// Where nobody looked.
    pub beyond_reach: &'static [&'static str],
}

impl Engine {
    /// Erases a person; see the module. `rows` removes their rows as a whole. Events of theirs from before are refused from
    /// then on, those from after are taken.
    ///
    /// # Errors
    /// `invalid_person`; `Busy` while another erasure or a backup runs, or when something stood in the way: what was done
    /// stays done, and the same call goes on.
    pub async fn erase(&self, person: Person, rows: bool) -> Result<EraseReport> {
        person.check()?;
        let _alone = self.alone()?;
        let mut key = *uuid::Uuid::new_v4().as_bytes();
        if let Some(before) = self.erasures.running() {
            if before.person == person && before.rows == rows {
                key = before.key;
            } else {
                self.erase_noted(&before).await?;
            }
        }
        let at = self.clock.now();
        // A client's clock may be ahead by as much as is taken.
        let ahead = i64::try_from(self.config.max_future.as_micros()).unwrap_or(0);
        let erasure = Erasure { person, rows, at, until: at.saturating_add(ahead), key };
        {
            let mut erased = self.erased.write().await;
            self.erasures.begin(erasure.clone())?;
            *erased = self.erasures.tombstones();
        }
        self.erase_noted(&erasure).await
    }

    /// Whether an erasure was begun and is not done.
    pub fn is_erasing(&self) -> bool {
        self.erasures.running().is_some()
    }

    /// The folder to oneself, but for ingest and queries.
    pub(super) fn alone(&self) -> Result<tokio::sync::OwnedMutexGuard<()>> {
        Arc::clone(&self.alone).try_lock_owned().map_err(|_| {
            Error::busy("folder_busy", "a backup or an erasure of this folder is under way")
                .with_hint("wait for it, then do the same again")
        })
    }

    /// Goes on with an erasure that the last process did not finish.
    pub(super) fn go_on_erasing(self: &Arc<Self>) {
        if self.erasures.running().is_none() {
            return;
        }
        let (weak, stop) = (Arc::downgrade(self), self.stop.clone());
        let background = self.background.lock();
        let Some(runtime) = background.as_ref() else { return };
        runtime.spawn(async move {
            while let Some(engine) = weak.upgrade() {
                let alone = Arc::clone(&engine.alone).lock_owned().await;
                let Some(erasure) = engine.erasures.running() else { return };
                match engine.erase_noted(&erasure).await {
                    Ok(report) => tracing::info!(complete = report.complete, "finished an interrupted erasure"),
                    Err(e) => tracing::warn!(error = %e, "an erasure is not finished; it is tried again"),
                }
                drop((alone, engine));
                tokio::select! {
                    () = tokio::time::sleep(AGAIN_AFTER) => {}
                    () = stop.cancelled() => return,
                }
            }
        });
    }

    /// All steps but the first.
    async fn erase_noted(&self, erasure: &Erasure) -> Result<EraseReport> {
        let eraser = Arc::new(Eraser::new(&erasure.person, erasure.rows, erasure.key));
        let log_segments_deleted = self.empty_log().await?;
        let lake = self.lake.erase(&eraser).await;
        self.note_fatal(&lake);
        // Also when it failed half-way: what was committed is the table.
        self.published.lake_changed(self.lake.current());
        let lake = lake?;
        let window_rows = self.fill_windows_again().await?;
        let redis = self.windows.wipe_shared(REDIS_WITHIN).await.map(|done| match done {
            true => "emptied, and filled again",
            false => "out of reach: it is emptied when it is back, and by itself after the window",
        });
        self.query.forget().await;
        self.metrics.forget();
        let dead_letters = self.erase_letters(&eraser).await?;
        let purged = self.lake.purge(&eraser, self.config.erase.max_wait).await;
        self.note_fatal(&purged);
        let purged = purged?;
        let store = Arc::clone(&self.store);
        blocking(move || Ok(store.sync_names()?)).await?;
        self.erasures.done()?;
        let (fs, dir, ids) = (Arc::clone(&self.fs), self.config.data_dir.clone(), Ids::of(&erasure.person));
        let searched = blocking(move || search(&*fs, &dir, &ids)).await?;
        let complete = searched.found.is_empty();
        let (rows, emptied, removed) = (lake.rows_mentioning, lake.rows_emptied, lake.rows_removed);
        tracing::info!(emptied, removed, mentioning = rows, letters = dead_letters, complete, "erased a person");
        Ok(EraseReport {
            erased_at_ms: erasure.at / MILLISECOND,
            mode: if erasure.rows { "rows" } else { "identifiers" },
            log_segments_deleted,
            lake,
            purged,
            window_rows,
            redis,
            dead_letters,
            linked_anonymous_ids: eraser.linked(),
            files_searched: searched.files,
            bytes_searched: searched.bytes,
            found: searched.found,
            complete,
            beyond_reach: &BEYOND_REACH,
        })
    }

    /// Moves everything that is in the log now to the lake and deletes its segments. Returns how many.
    async fn empty_log(&self) -> Result<usize> {
        let dir = self.config.data_dir.join("wal");
        self.sequencer.rotate().await?;
        let before = self.log_segments(&dir, self.sequencer.last())?;
        self.flush().await?;
        self.sequencer.truncate(self.lake.covered()).await?;
        let after = before.iter().filter(|path| self.fs.stat(path).is_ok()).count();
        if after > 0 {
            return Err(Error::busy(
                "log_stays",
                format!("{after} segments of the write-ahead log could not be deleted"),
            )
            .with_hint("the server's log says why; then run the same again"));
        }
        self.fs.sync_dir(&dir)?;
        Ok(before.len())
    }

    fn log_segments(&self, dir: &Path, upto: Seq) -> Result<Vec<std::path::PathBuf>> {
        let files = self.fs.list(dir)?.into_iter().map(|entry| entry.path);
        Ok(files.filter(|path| wal::first_of(path).is_some_and(|first| first <= upto)).collect())
    }

    /// Counts the live windows' past again, which no longer has the person.
    async fn fill_windows_again(&self) -> Result<usize> {
        tokio::select! {
            () = self.windows.until_filled() => {}
            () = self.stop.cancelled() => return Err(Error::busy("shutting_down", "the server is stopping")),
        }
        loop {
            let last = self.windows.forget();
            match self.fill_windows(last).await {
                Ok(rows) => {
                    self.windows.filled();
                    return Ok(rows);
                }
                // A process that has to stop never gets there; the next one does.
                Err(e) if self.failure().is_some() => return Err(e),
                Err(e) => tracing::warn!(error = %e, "could not fill the live windows; it is tried again"),
            }
            tokio::select! {
                () = tokio::time::sleep(super::fill::RETRY) => {}
                () = self.stop.cancelled() => return Err(Error::busy("shutting_down", "the server is stopping")),
            }
        }
    }

    async fn erase_letters(&self, eraser: &Arc<Eraser>) -> Result<usize> {
        let _one_at_a_time = self.settling.lock().await;
        let (store, eraser) = (Arc::clone(&self.dead_letters), Arc::clone(eraser));
        blocking(move || store.erase(eraser.ids())).await
    }
}

/// Sets events of people apart who were erased since these were made. They are named in the answer, and nothing of them is
/// kept: a dead letter would be what the erasure took away.
pub(super) fn refuse_erased(erased: &Tombstones, decoded: &mut Decoded, keys: &mut Vec<Key>) -> Result<Vec<Rejected>> {
    let Some(theirs) = erased.find(&decoded.batch) else { return Ok(Vec::new()) };
    let refused = decoded.rows.iter().zip(theirs.values()).filter(|(_, erased)| *erased).map(|(&index, _)| Rejected {
        index: index as usize,
        field: USER_ID.into(),
        code: code::ERASED,
        message: "this person was erased after the event happened; nothing of it is kept".to_owned(),
        original: Bytes::new(),
    });
    let refused = refused.collect();
    decoded.batch = filter_record_batch(&decoded.batch, &not(&theirs)?)?;
    let mut of_rows = theirs.values().iter();
    decoded.rows.retain(|_| !of_rows.next().unwrap_or(false));
    let mut of_keys = theirs.values().iter();
    keys.retain(|_| !of_keys.next().unwrap_or(false));
    Ok(refused)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal(format!("an erasure's step failed: {e}")))?
}
