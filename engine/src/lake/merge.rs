//! Merging files that are each sorted newest first into one that is, a row group at a time.
//!
//! Memory is bounded by the inputs (one compressed row group and one decoded batch of each) and one output row group,
//! whatever the files' sizes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::async_reader::ParquetRecordBatchStream;

use super::Footer;
use super::files::LakeFile;
use super::log::store_error;
use super::read::{self, Part, StoreReader, damaged};
use super::writer::Place;
use crate::error::{Error, Result};
use crate::event::{conform, index, stored_schema};

/// The order of rows in a file: by time, then by position in the node's history, both descending.
type Key = (i64, i64);

/// One input file and where the merge stands in it.
struct Cursor {
    file: Arc<LakeFile>,
    stream: ParquetRecordBatchStream<StoreReader>,
    batch: RecordBatch,
    times: ScalarBuffer<i64>,
    seqs: ScalarBuffer<i64>,
    row: usize,
    /// Where `batch` stands among the batches of the group being put together.
    slot: Option<usize>,
}

impl Cursor {
    fn key(&self) -> Option<Key> {
        Some((*self.times.get(self.row)?, *self.seqs.get(self.row)?))
    }

    /// Moves to the next row, reading on when the batch is used up.
    async fn advance(&mut self) -> Result<()> {
        let before = self.key();
        self.row += 1;
        while self.row >= self.batch.num_rows() {
            self.slot = None;
            self.row = 0;
            self.batch = match self.stream.try_next().await.map_err(|e| damaged(&self.file, e))? {
                Some(batch) => conform(batch, &stored_schema())?,
                None => RecordBatch::new_empty(stored_schema()),
            };
            self.times = self.batch.column(index::EVENT_TS).as_primitive::<TimestampMicrosecondType>().values().clone();
            self.seqs = self.batch.column(index::SEQ).as_primitive::<Int64Type>().values().clone();
            if self.batch.num_rows() == 0 {
                break;
            }
        }
        match (before, self.key()) {
            (Some((before, _)), Some((now, _))) if now > before => {
                Err(Error::corrupt(format!("lake file {} is not sorted newest first", self.file.path)))
            }
            _ => Ok(()),
        }
    }
}

/// A merge under way.
pub(super) struct Merge {
    cursors: Vec<Cursor>,
    /// The next row of each input that has one.
    heads: BinaryHeap<(Key, Reverse<usize>)>,
}

impl Merge {
    pub(super) async fn open(store: &Arc<dyn ObjectStore>, inputs: Vec<(Arc<LakeFile>, Arc<Footer>)>) -> Result<Self> {
        let empty = RecordBatch::new_empty(stored_schema());
        let mut merge = Self { cursors: Vec::new(), heads: BinaryHeap::new() };
        for (file, footer) in inputs {
            let stream = read::open(store, &file, footer, Part { columns: None, row_groups: None })?;
            let (times, seqs) = (ScalarBuffer::default(), ScalarBuffer::default());
            let mut cursor = Cursor { file, stream, batch: empty.clone(), times, seqs, row: 0, slot: None };
            cursor.advance().await?;
            if let Some(key) = cursor.key() {
                merge.heads.push((key, Reverse(merge.cursors.len())));
                merge.cursors.push(cursor);
            }
        }
        Ok(merge)
    }

    /// The next `rows` rows in order, as places in a list of batches; fewer at the end, then none.
    pub(super) async fn next(&mut self, rows: usize) -> Result<(Vec<RecordBatch>, Vec<Place>)> {
        let (mut batches, mut order) = (Vec::new(), Vec::with_capacity(rows));
        self.cursors.iter_mut().for_each(|c| c.slot = None);
        while order.len() < rows {
            let Some((_, Reverse(input))) = self.heads.pop() else { break };
            let cursor = &mut self.cursors[input];
            // Inputs overlap little: stay with this one for as long as it is ahead of the others.
            loop {
                let slot = *cursor.slot.get_or_insert_with(|| {
                    batches.push(cursor.batch.clone());
                    batches.len() - 1
                });
                order.push((slot, cursor.row));
                cursor.advance().await?;
                let Some(key) = cursor.key() else { break };
                let head = (key, Reverse(input));
                if order.len() >= rows || self.heads.peek().is_some_and(|other| *other > head) {
                    self.heads.push(head);
                    break;
                }
            }
        }
        Ok((batches, order))
    }
}

/// A file going into the store in parts, so that it is never whole in memory.
pub(super) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    parts: Option<Box<dyn MultipartUpload>>,
    pending: Vec<u8>,
    bytes: u64,
}

/// Object stores want parts of at least 5 MiB.
const PART_BYTES: usize = 8 << 20;

impl Upload {
    pub(super) fn new(store: &Arc<dyn ObjectStore>, path: Path) -> Self {
        Self { store: Arc::clone(store), path, parts: None, pending: Vec::new(), bytes: 0 }
    }

    pub(super) async fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PART_BYTES {
            let parts = match &mut self.parts {
                Some(parts) => parts,
                None => {
                    let parts = self.store.put_multipart(&self.path).await;
                    self.parts.insert(parts.map_err(|e| store_error("starting a lake file", e))?)
                }
            };
            let part = parts.put_part(PutPayload::from(std::mem::take(&mut self.pending)));
            part.await.map_err(|e| store_error("writing a lake file", e))?;
        }
        Ok(())
    }

    /// Stores the rest; the file is there and durable when this returns its size.
    pub(super) async fn finish(mut self) -> Result<u64> {
        let rest = PutPayload::from(std::mem::take(&mut self.pending));
        let done = match &mut self.parts {
            None => self.store.put(&self.path, rest).await.map(drop),
            Some(parts) => {
                parts.put_part(rest).await.map_err(|e| store_error("writing a lake file", e))?;
                parts.complete().await.map(drop)
            }
        };
        done.map_err(|e| store_error("finishing a lake file", e))?;
        Ok(self.bytes)
    }

    /// Gives up, leaving as little as the store allows.
    pub(super) async fn abort(mut self) {
        if let Some(parts) = &mut self.parts
            && let Err(e) = parts.abort().await
        {
            tracing::warn!(path = %self.path, error = %e, "parts of an abandoned lake file remain");
        }
    }
}
