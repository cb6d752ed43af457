//! Looking for a person in every file of a data folder: Parquet decoded, the log's frames decoded, everything else as its
//! bytes. It knows nothing of what the files are for, so that what an erasure forgot is found.

use std::io::ErrorKind;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Serialize;

use crate::erase::{Ids, names};
use crate::error::Result;
use crate::fs::Fs;
use crate::wal;

/// A file that speaks of the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its path within the data folder.
    pub file: String,
    /// What was found: a column's name, or that it is in the bytes.
    pub what: String,
}

/// What was looked through.
#[derive(Debug, Default)]
pub(super) struct Searched {
    pub files: usize,
    pub bytes: u64,
    pub found: Vec<Found>,
}

/// Searches every file below `dir`.
pub(super) fn search(fs: &dyn Fs, dir: &Path, ids: &Ids) -> Result<Searched> {
    let mut searched = Searched::default();
    let mut waiting = vec![dir.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        let entries = match fs.list(&folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            if entry.is_dir {
                waiting.push(entry.path);
                continue;
            }
            let bytes = match fs.read(&entry.path) {
                // Compacted or flushed meanwhile, into a file that is listed or does not speak of anybody erased.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                bytes => bytes?,
            };
            searched.files += 1;
            searched.bytes += bytes.len() as u64;
            if let Some(what) = in_file(fs, &entry.path, bytes, ids)? {
                let file = entry.path.strip_prefix(dir).unwrap_or(&entry.path).display().to_string();
                searched.found.push(Found { file, what });
            }
        }
    }
    Ok(searched)
}

fn in_file(fs: &dyn Fs, path: &Path, bytes: Bytes, ids: &Ids) -> Result<Option<String>> {
    let is = |extension: &str| path.extension().is_some_and(|e| e == extension);
    let of_the_log = is("log") && path.parent().is_some_and(|folder| folder.ends_with("wal"));
    let batches = if is("parquet") {
        parquet(bytes.clone())
    } else if of_the_log {
        wal::salvage(fs, path).ok()
    } else {
        return Ok(ids.mentioned_in(&bytes).then(|| "bytes".to_owned()));
    };
    let Some(batches) = batches else {
        // Damaged: all that can be said is whether the id is in what is left.
        return Ok(ids.holds(&bytes).then(|| "bytes of a damaged file".to_owned()));
    };
    for batch in &batches {
        if let Some(column) = in_batch(batch, ids)? {
            return Ok(Some(format!("column {column}")));
        }
    }
    Ok(None)
}

fn parquet(bytes: Bytes) -> Option<Vec<RecordBatch>> {
    ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?.build().ok()?.collect::<Result<_, _>>().ok()
}

fn in_batch(batch: &RecordBatch, ids: &Ids) -> Result<Option<String>> {
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let column: &ArrayRef = column;
        if names(ids, column)? {
            return Ok(Some(field.name().clone()));
        }
    }
    Ok(None)
}
