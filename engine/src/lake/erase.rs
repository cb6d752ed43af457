//! Taking a person out of the table: the files that speak of them are written anew, in commits like any other; then the old
//! ones are deleted, with every other file that the table no longer names and that speaks of them, and the log's history.
//!
//! Every file is read: no statistics of personal columns are kept that could tell which ones to leave out.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use datafusion::common::Statistics;
use deltalake::protocol::DeltaOperation;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use serde::Serialize;

use super::files::{LakeFile, LakeSnapshot, Writing};
use super::log::{Change, day_of_path, new_path, store_error};
use super::merge::{Merge, Upload};
use super::read::{self, Part, damaged};
use super::writer::{Encoder, Purpose, properties};
use super::{Footer, Lake, LakeConfig, blocking};
use crate::erase::{Eraser, Touch};
use crate::error::{Error, Kind, Result};

/// Files searched at a time.
const PARALLEL_SEARCHES: usize = 2;
/// Files written anew in one commit.
const FILES_A_COMMIT: usize = 16;
/// How often to look whether a file is still read.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What an erasure did to the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Live files that were read.
    pub files_searched: usize,
    /// Files that were written anew.
    pub files_rewritten: usize,
    /// Rows of the person that stay as facts about the shop.
    pub rows_emptied: u64,
    /// Rows of the person that went.
    pub rows_removed: u64,
    /// Rows of others that named the person.
    pub rows_mentioning: u64,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Files that the table no longer names and that spoke of the person.
    pub files_deleted: usize,
    /// Entries and checkpoints of the log from before.
    pub log_entries_deleted: usize,
}

impl Lake {
    /// Writes the files anew that speak of a person. What is committed meanwhile is looked at too. It may be repeated.
    pub async fn erase(&self, eraser: &Arc<Eraser>) -> Result<Erased> {
        let _maintaining = self.maintaining.lock().await;
        let mut done = Erased::default();
        let mut seen = HashSet::new();
        loop {
            let files: Vec<_> =
                self.current().files.iter().filter(|file| !seen.contains(&file.path)).map(Arc::clone).collect();
            if files.is_empty() {
                return Ok(done);
            }
            done.files_searched += files.len();
            seen.extend(files.iter().map(|file| file.path.clone()));
            let searches = files
                .into_iter()
                .map(|file| async move { Ok::<_, Error>(self.speaks_of(&file, eraser).await?.then_some(file)) });
            let found = futures::stream::iter(searches).buffered(PARALLEL_SEARCHES);
            let found: Vec<Arc<LakeFile>> = found.try_filter_map(|file| async { Ok(file) }).try_collect().await?;
            for files in found.chunks(FILES_A_COMMIT) {
                for written in self.replace(files, eraser, &mut done).await? {
                    seen.insert(written);
                }
            }
        }
    }

    /// Whether a file speaks of the person.
    async fn speaks_of(&self, file: &Arc<LakeFile>, eraser: &Arc<Eraser>) -> Result<bool> {
        let footer = read::footer(&self.store, file).await?;
        let (store, file, eraser) = (Arc::clone(&self.store), Arc::clone(file), Arc::clone(eraser));
        let runtime = tokio::runtime::Handle::current();
        blocking(move || {
            runtime.block_on(async {
                let part = Part { columns: Some(crate::erase::text_columns()), row_groups: None };
                let mut batches = read::open(&store, &file, footer, part)?;
                while let Some(batch) = batches.try_next().await.map_err(|e| damaged(&file, e))? {
                    if eraser.touched(&batch).is_some() {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
        })
        .await
    }

    /// Puts files without the person in the place of these, in one commit; returns the new ones' paths.
    async fn replace(&self, files: &[Arc<LakeFile>], eraser: &Arc<Eraser>, done: &mut Erased) -> Result<Vec<String>> {
        let mut added: Vec<(Arc<LakeFile>, Writing)> = Vec::new();
        for file in files {
            let footer = read::footer(&self.store, file).await?;
            let writing = self.known.writing(new_path(file.day));
            let (store, config, path) =
                (Arc::clone(&self.store), self.config.clone(), read::store_path(&writing.path)?);
            let (input, eraser) = ((Arc::clone(file), footer), Arc::clone(eraser));
            let runtime = tokio::runtime::Handle::current();
            let work = move || {
                let upload = Upload::new(&store, path);
                runtime.block_on(rewrite(&store, input, upload, &config, &eraser))
            };
            let (written, counts) = blocking(work).await?;
            let rows = written.as_ref().map_or(0, |(_, footer)| footer.file_metadata().num_rows().unsigned_abs());
            if rows + counts.rows_removed != file.rows {
                return Err(Error::corrupt(format!(
                    "{} rows became {rows} when {} were to go; nothing was changed",
                    file.rows, counts.rows_removed
                ))
                .with_hint("run `tideline check`"));
            }
            if let Some((bytes, footer)) = written {
                added.push((self.written(&writing, file.day, bytes, &footer)?, writing));
            }
            done.rows_emptied += counts.rows_emptied;
            done.rows_removed += counts.rows_removed;
            done.rows_mentioning += counts.rows_mentioning;
        }
        // Without a predicate: it would name the person in the log.
        let operation = match eraser.removes_rows() {
            true => DeltaOperation::Delete { predicate: None },
            false => DeltaOperation::Update { predicate: None },
        };
        let (added, _writing): (Vec<_>, Vec<_>) = added.into_iter().unzip();
        let mut tip = self.tip().await?;
        let change = Change {
            added: added.clone(),
            removed: files.to_vec(),
            last: self.covered(),
            operation,
            data_change: true,
        };
        self.commit(&mut tip, &change, self.config.commit_attempts).await?;
        done.files_rewritten += files.len();
        Ok(added.iter().map(|file| file.path.clone()).collect())
    }

    /// Deletes what the table no longer names and what speaks of the person: data files, once no query holds them, and the
    /// log's entries and checkpoints before the latest, whose statistics may name anybody. Versions before that can no
    /// longer be read, by nobody.
    ///
    /// # Errors
    /// `still_read` when a query holds a file for longer than `wait`; it may be repeated.
    pub async fn purge(&self, eraser: &Arc<Eraser>, wait: Duration) -> Result<Purged> {
        let _maintaining = self.maintaining.lock().await;
        let mut done = Purged::default();
        let begun = Instant::now();
        let listed: Vec<_> =
            self.store.list(None).try_collect().await.map_err(|e| store_error("listing the lake", e))?;
        for object in listed {
            let path = object.location.as_ref();
            let Some(day) = day_of_path(path) else { continue };
            if self.is_live(path) || self.known.is_being_written(path) {
                continue;
            }
            let unknown = Statistics::new_unknown(&crate::event::table_schema());
            let file = Arc::new(LakeFile::new(path.to_owned(), day, object.size, 0, 0, unknown));
            match self.speaks_of(&file, eraser).await {
                Ok(false) => continue,
                // What cannot be read is the rest of a file that was never finished.
                Ok(true) => {}
                Err(e) if e.kind == Kind::Corrupt => {}
                Err(e) => return Err(e),
            }
            while self.known.is_held(path) {
                if begun.elapsed() > wait {
                    return Err(Error::busy("still_read", "a query still reads a file that is to be deleted")
                        .with_hint(
                            "what was done stays done: wait for the query, or cancel it, and run the same again",
                        ));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            match self.store.delete(&object.location).await {
                Ok(()) => done.files_deleted += 1,
                Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(store_error("deleting a lake file", e)),
            }
        }
        self.known.tidy();
        // Settled first: an attempt whose outcome is unknown is looked up in the entries.
        let _tip = self.tip().await?;
        let (version, dropped) = self.log.forget_history().await?;
        self.checkpointed.store(version, Ordering::Relaxed);
        done.log_entries_deleted = dropped;
        Ok(done)
    }

    fn is_live(&self, path: &str) -> bool {
        let current: Arc<LakeSnapshot> = self.current();
        current.files.iter().any(|file| file.path == path)
    }
}

/// Writes a file anew; `None` when nothing is left of it.
async fn rewrite(
    store: &Arc<dyn object_store::ObjectStore>,
    input: (Arc<LakeFile>, Arc<Footer>),
    mut upload: Upload,
    config: &LakeConfig,
    eraser: &Eraser,
) -> Result<(Option<(u64, Arc<Footer>)>, Erased)> {
    let mut done = Erased::default();
    let written = async {
        let mut rows = Merge::open(store, vec![input]).await?;
        let mut encoder = Encoder::new(properties(config, Purpose::Compact)?, 1)?;
        let mut kept = 0;
        loop {
            let (mut batches, mut order) = rows.next(config.row_group_rows.max(1)).await?;
            if order.is_empty() {
                break;
            }
            let mut touched = vec![None; batches.len()];
            for (batch, touched) in batches.iter_mut().zip(&mut touched) {
                if let Some(rewritten) = eraser.rewrite(batch)? {
                    *batch = rewritten.batch;
                    *touched = Some(rewritten.touched);
                }
            }
            order.retain(|&(batch, row)| match touched[batch].as_ref().map_or(Touch::No, |touched| touched[row]) {
                Touch::Own if eraser.removes_rows() => {
                    done.rows_removed += 1;
                    false
                }
                touch => {
                    done.rows_emptied += u64::from(touch == Touch::Own);
                    done.rows_mentioning += u64::from(touch == Touch::Mentions);
                    true
                }
            });
            if !order.is_empty() {
                kept += order.len();
                encoder.row_group(&batches, &order)?;
                upload.push(&encoder.take()).await?;
            }
        }
        if kept == 0 {
            return Ok(None);
        }
        let end = encoder.finish()?;
        upload.push(&end.content).await?;
        Ok(Some(end.footer))
    };
    match written.await {
        Ok(Some(footer)) => Ok((Some((upload.finish().await?, footer)), done)),
        other => {
            upload.abort().await;
            other.map(|_| (None, done))
        }
    }
}
