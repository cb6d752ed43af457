//! The Delta log: creating the table, reading its state, and writing one commit at one version.
//!
//! deltalake replays and writes the log; *when* to write what is decided in [`commit`](super::commit). A commit here is
//! a single conditional put of `_delta_log/<version>.json`: no refresh, no checkpoint and no clean-up hang on it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, Schema};
use bytes::Bytes;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::TransactionError;
use deltalake::kernel::{Action, Add, Remove, StructField, StructType, Transaction};
use deltalake::logstore::{CommitOrBytes, LogStoreRef, StorageConfig, default_logstore};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::table::state::DeltaTableState;
use deltalake::{DeltaTable, DeltaTableError, TableProperty, checkpoints};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;
use uuid::Uuid;

use super::LakeConfig;
use super::files::LakeFile;
use super::stats::{INDEXED_COLUMNS, LogColumns, to_log};
use crate::clock::{MILLISECOND, Micros};
use crate::error::{Error, Kind, Result};
use crate::event::{EVENT_DATE, NodeId, Seq, day_name, parse_day, stored_schema};

/// The table's log.
pub(super) struct Log {
    store: LogStoreRef,
    app_id: String,
}

/// What the log says of the table at its latest version.
pub(super) struct Loaded {
    pub(super) version: i64,
    /// The last [`Seq`] this node committed.
    pub(super) covered: Seq,
    pub(super) files: Vec<LakeFile>,
}

/// One commit: what it adds and removes.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) added: Vec<Arc<LakeFile>>,
    pub(super) removed: Vec<Arc<LakeFile>>,
    /// The last [`Seq`] the table holds of this node from then on.
    pub(super) last: Seq,
    pub(super) operation: DeltaOperation,
    /// Whether rows come or go; not when they only move between files.
    pub(super) data_change: bool,
}

/// What became of an attempt to write a version.
#[derive(Debug)]
pub(super) enum Written {
    /// It is ours.
    Done,
    /// The version was there already.
    Taken,
    /// The store failed: it may be there or not.
    Unknown(Error),
}

impl Log {
    /// Opens the log at the root of `store`, creating the table when there is none.
    pub(super) async fn open(store: Arc<dyn ObjectStore>, node: &NodeId, config: &LakeConfig) -> Result<Self> {
        // The store is rooted at the table, so that is where the table is for deltalake. Of a `file` it expects no order in listings.
        let url = Url::parse("file:///").map_err(|e| Error::internal(format!("the table's URL: {e}")))?;
        let store = default_logstore(Arc::clone(&store), store, &url, &StorageConfig::default());
        let log = Self { store, app_id: format!("tideline-{node}") };
        if !log.store.is_delta_table_location().await.map_err(|e| delta_error("looking for the table", e))? {
            log.create(config).await?;
        }
        Ok(log)
    }

    async fn create(&self, config: &LakeConfig) -> Result<()> {
        let days = |days: u32| Some(format!("interval {days} days"));
        let table = CreateBuilder::new()
            .with_log_store(Arc::clone(&self.store))
            .with_table_name("events")
            .with_comment("Events, written by Tideline")
            .with_columns(delta_schema()?.fields().cloned())
            .with_partition_columns([EVENT_DATE])
            .with_configuration_property(TableProperty::CheckpointInterval, Some(config.checkpoint_commits.to_string()))
            .with_configuration_property(TableProperty::DataSkippingNumIndexedCols, Some(INDEXED_COLUMNS.to_string()))
            .with_configuration_property(TableProperty::LogRetentionDuration, days(config.log_retention_days))
            .with_configuration_property(TableProperty::DeletedFileRetentionDuration, days(config.vacuum_days))
            .await;
        match table {
            Ok(_) => Ok(()),
            // Another process may have been quicker; or it is there although the store said otherwise.
            Err(e) => match self.state().await {
                Ok(_) => Ok(()),
                Err(_) => Err(delta_error("creating the table", e)),
            },
        }
    }

    /// Adds the columns to the table that it was made without: readers find nulls in the files that are older. Nothing else
    /// may be writing yet.
    pub(super) async fn upgrade(&self, now: Micros, attempts: u32) -> Result<()> {
        let mut failure = None;
        for _ in 0..=attempts {
            // Also after a failure: it may have landed.
            let state = self.state().await?;
            let missing = match check_table(&state)? {
                Columns::Same => return Ok(()),
                Columns::Older(missing) => missing,
            };
            let mut metadata = json(state.metadata())?;
            metadata["schemaString"] = serde_json::Value::String(json(&delta_schema()?)?.to_string());
            let names: Vec<_> = missing.iter().map(|field| field.name().clone()).collect();
            let mut info = DeltaOperation::AddColumn { fields: missing }.get_commit_info();
            info.timestamp = Some(now / MILLISECOND);
            info.engine_info = Some(format!("tideline/{}", env!("CARGO_PKG_VERSION")));
            let lines = [json(&Action::CommitInfo(info))?, serde_json::json!({ "metaData": metadata })];
            let commit: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let version = i64::try_from(state.version()).unwrap_or(i64::MAX) + 1;
            match self.write(version, commit.into()).await {
                Written::Done => tracing::info!(version, columns = ?names, "the table has new columns"),
                Written::Taken => {}
                Written::Unknown(e) => failure = Some(e),
            }
        }
        Err(failure
            .unwrap_or_else(|| Error::busy("lake_conflict", "other writers of the table were quicker each time")))
    }

    async fn state(&self) -> Result<DeltaTableState> {
        DeltaTableState::try_new(self.store.as_ref(), None).await.map_err(|e| delta_error("reading the table's log", e))
    }

    /// Replays the log.
    pub(super) async fn load(&self) -> Result<Loaded> {
        let state = self.state().await?;
        check_table(&state)?;
        let covered = state
            .transaction_version(self.store.as_ref(), &self.app_id)
            .await
            .map_err(|e| delta_error("reading the table's last transaction", e))?
            .unwrap_or(0);
        let covered =
            u64::try_from(covered).map_err(|_| Error::corrupt("the table's transaction version is negative"))?;
        let version = i64::try_from(state.version()).unwrap_or(i64::MAX);
        Ok(Loaded { version, covered: Seq(covered), files: live_files(&state)? })
    }

    /// The commit as it will stand in the log. It is unique, so that it can be recognised.
    pub(super) fn encode(&self, change: &Change, now: Micros) -> Result<Bytes> {
        let now_ms = now / MILLISECOND;
        let mut info = change.operation.get_commit_info();
        info.timestamp = Some(now_ms);
        info.engine_info = Some(format!("tideline/{}", env!("CARGO_PKG_VERSION")));
        info.is_blind_append = Some(change.removed.is_empty());
        info.info.insert("tidelineCommit".to_owned(), Uuid::new_v4().to_string().into());
        let last = i64::try_from(change.last.0).map_err(|_| Error::internal("the sequence number is out of range"))?;
        let mut actions = vec![Action::CommitInfo(info)];
        actions.push(Action::Txn(Transaction::new_with_last_update(&self.app_id, last, Some(now_ms))));
        actions.extend(change.removed.iter().map(|f| Action::Remove(remove(f, change.data_change, now_ms))));
        actions.extend(change.added.iter().map(|f| Action::Add(add(f, change.data_change))));
        let lines = actions.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
        let lines = lines.map_err(|e| Error::internal(format!("cannot write a commit as JSON: {e}")))?;
        Ok(Bytes::from(lines.join("\n") + "\n"))
    }

    /// Writes `commit` as `version`, if that is free.
    pub(super) async fn write(&self, version: i64, commit: Bytes) -> Written {
        let entry = CommitOrBytes::LogBytes(commit);
        match self.store.write_commit_entry(version.unsigned_abs(), entry, Uuid::new_v4()).await {
            Ok(()) => Written::Done,
            Err(TransactionError::VersionAlreadyExists(_)) => Written::Taken,
            Err(e) => Written::Unknown(delta_error("committing to the table", e.into())),
        }
    }

    /// What stands in the log at `version`.
    pub(super) async fn entry(&self, version: i64) -> Result<Option<Bytes>> {
        let entry = self.store.read_commit_entry(version.unsigned_abs()).await;
        entry.map_err(|e| delta_error("reading the table's log", e))
    }

    /// When each removed file was removed, where the log still knows it.
    pub(super) async fn removals(&self) -> Result<HashMap<String, Micros>> {
        let state = self.state().await?;
        let removed = state.all_tombstones(self.store.as_ref());
        removed
            .map_ok(|t| (t.path().into_owned(), t.deletion_timestamp().unwrap_or(0).saturating_mul(MILLISECOND)))
            .try_collect()
            .await
            .map_err(|e| delta_error("reading the table's removed files", e))
    }

    /// Writes a checkpoint of the latest version and deletes everything before it, whatever the retention says; returns the
    /// version and how many files went.
    pub(super) async fn forget_history(&self) -> Result<(i64, usize)> {
        let failed = |e| delta_error("writing a checkpoint", e);
        let mut table = DeltaTable::new(Arc::clone(&self.store));
        table.load().await.map_err(failed)?;
        checkpoints::create_checkpoint(&table, None).await.map_err(failed)?;
        let version = i64::try_from(table.version().unwrap_or(0)).unwrap_or(i64::MAX);
        let store = self.store.object_store(None);
        let folder = object_store::path::Path::from("_delta_log");
        let listed: Vec<_> =
            store.list(Some(&folder)).try_collect().await.map_err(|e| store_error("listing the table's log", e))?;
        let mut dropped = 0;
        for entry in listed {
            if entry.location.filename().and_then(version_of).is_some_and(|of| of < version) {
                match store.delete(&entry.location).await {
                    Ok(()) => dropped += 1,
                    Err(object_store::Error::NotFound { .. }) => {}
                    Err(e) => return Err(store_error("deleting an entry of the table's log", e)),
                }
            }
        }
        Ok((version, dropped))
    }

    /// Writes a checkpoint of the latest version and drops log entries that are past their retention; returns the
    /// version and how many were dropped.
    pub(super) async fn checkpoint(&self) -> Result<(i64, usize)> {
        let failed = |e| delta_error("writing a checkpoint", e);
        let mut table = DeltaTable::new(Arc::clone(&self.store));
        table.load().await.map_err(failed)?;
        checkpoints::create_checkpoint(&table, None).await.map_err(failed)?;
        let dropped = checkpoints::cleanup_metadata(&table, None).await.map_err(failed)?;
        Ok((i64::try_from(table.version().unwrap_or(0)).unwrap_or(i64::MAX), dropped))
    }
}

/// The version of an entry or checkpoint of the log.
pub fn version_of(name: &str) -> Option<i64> {
    let (digits, rest) = name.split_at_checked(20)?;
    (rest.starts_with('.') && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// The table's schema in Delta's terms.
fn delta_schema() -> Result<StructType> {
    let mut fields: Vec<_> = stored_schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(arrow::datatypes::Field::new(EVENT_DATE, arrow::datatypes::DataType::Date32, false));
    let schema: StructType = (&Schema::new(fields))
        .try_into_kernel()
        .map_err(|e| Error::internal(format!("the event schema does not fit Delta: {e}")))?;
    Ok(schema)
}

fn json(value: &impl serde::Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|e| Error::internal(format!("cannot write the table's log as JSON: {e}")))
}

/// How a table's columns stand to the event schema.
#[derive(Debug)]
enum Columns {
    Same,
    /// It was made without these.
    Older(Vec<StructField>),
}

/// Refuses a table that is not ours to write.
fn check_table(state: &DeltaTableState) -> Result<Columns> {
    let refuse = |what: String, hint: &str| {
        let message = format!("the Delta table is not one this Tideline writes: {what}");
        Err(Error::new(Kind::Corrupt, "lake_schema", message).with_hint(hint))
    };
    let elsewhere = "point the data folder at an empty place, or move the folder `lake` aside";
    if state.metadata().partition_columns() != [EVENT_DATE.to_owned()] {
        return refuse(format!("it is partitioned by {:?}", state.metadata().partition_columns()), elsewhere);
    }
    let (found, ours) = (state.schema(), delta_schema()?);
    let shape = |f: &StructField| (f.name().clone(), f.data_type().clone(), f.is_nullable());
    if let Some(unknown) = found.fields().find(|f| ours.field(f.name()).is_none()) {
        let hint = "a newer Tideline has written it: use that one, or move the folder `lake` aside";
        return refuse(format!("it has the column {}", unknown.name()), hint);
    }
    let mut missing = Vec::new();
    for field in ours.fields() {
        match found.field(field.name()) {
            Some(there) if shape(there) == shape(field) => {}
            // Rows that are there have no value in a column that is added.
            None if field.is_nullable() => missing.push(field.clone()),
            Some(_) => return refuse(format!("column {} is of another type", field.name()), elsewhere),
            None => return refuse(format!("column {} is missing", field.name()), elsewhere),
        }
    }
    Ok(if missing.is_empty() { Columns::Same } else { Columns::Older(missing) })
}

fn live_files(state: &DeltaTableState) -> Result<Vec<LakeFile>> {
    let batches = state.add_actions_batches(true).map_err(|e| delta_error("reading the table's files", e))?;
    let mut files = Vec::new();
    for batch in &batches {
        let missing = |name: &str| Error::corrupt(format!("the table's log has no {name} of its files"));
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| missing(name));
        let number = |name: &str| column(name)?.as_primitive_opt::<Int64Type>().ok_or_else(|| missing(name));
        let paths = column("path")?.as_string_opt::<i32>().ok_or_else(|| missing("path"))?;
        let (sizes, times, counts) = (number("size_bytes")?, number("modification_time")?, number("num_records")?);
        let columns = LogColumns::new(batch);
        for row in 0..batch.num_rows() {
            let path = paths.value(row).to_owned();
            if counts.is_null(row) {
                return Err(Error::corrupt(format!("the table's log does not say how many rows {path} has")));
            }
            let day = day_of_path(&path)
                .ok_or_else(|| Error::corrupt(format!("the table names a file outside its partitions: {path}")))?;
            let (bytes, rows) = (sizes.value(row).unsigned_abs(), counts.value(row).unsigned_abs());
            let statistics = columns.statistics(row, rows, bytes, day)?;
            let modified = times.value(row).saturating_mul(MILLISECOND);
            files.push(LakeFile::new(path, day, bytes, rows, modified, statistics));
        }
    }
    Ok(files)
}

/// The partition a path lies in.
pub(super) fn day_of_path(path: &str) -> Option<i32> {
    let (folder, name) = path.split_once('/')?;
    if name.contains('/') || !name.ends_with(".parquet") {
        return None;
    }
    parse_day(folder.strip_prefix(EVENT_DATE)?.strip_prefix('=')?)
}

/// A new path in a day's partition.
pub(super) fn new_path(day: i32) -> String {
    format!("{EVENT_DATE}={}/part-{}.zstd.parquet", day_name(day), Uuid::new_v4())
}

fn partition(file: &LakeFile) -> HashMap<String, Option<String>> {
    HashMap::from([(EVENT_DATE.to_owned(), Some(day_name(file.day)))])
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn add(file: &LakeFile, data_change: bool) -> Add {
    Add {
        path: file.path.clone(),
        partition_values: partition(file),
        size: signed(file.bytes),
        modification_time: file.modified / MILLISECOND,
        data_change,
        stats: Some(to_log(&file.statistics)),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

fn remove(file: &LakeFile, data_change: bool, now_ms: i64) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change,
        deletion_timestamp: Some(now_ms),
        extended_file_metadata: Some(true),
        partition_values: Some(partition(file)),
        size: Some(signed(file.bytes)),
        ..Default::default()
    }
}

/// What a flush is called in the table's history.
pub(super) fn write_operation() -> DeltaOperation {
    DeltaOperation::Write { mode: SaveMode::Append, partition_by: Some(vec![EVENT_DATE.to_owned()]), predicate: None }
}

/// deltalake's errors in our terms; a full disk stays recognisable.
pub(super) fn delta_error(doing: &str, e: DeltaTableError) -> Error {
    store_failure(&e).unwrap_or_else(|| Error::internal(e.to_string()).with_source(e)).context(doing)
}

/// The store's errors in our terms; a full disk stays recognisable.
pub(super) fn store_error(doing: &str, e: object_store::Error) -> Error {
    store_failure(&e).unwrap_or_else(|| Error::from(e)).context(doing)
}

/// A full disk somewhere down the chain of causes.
fn store_failure(e: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut cause = Some(e);
    while let Some(e) = cause {
        if let Some(io) = e.downcast_ref::<std::io::Error>() {
            let translated = Error::from(std::io::Error::new(io.kind(), io.to_string()));
            return (translated.kind == Kind::Busy).then_some(translated);
        }
        cause = e.source();
    }
    None
}
