//! The table `dead_letters`: events that were not accepted, and what became of them.
//!
//! It reads the store page by page as rows are asked for, up to the letter that was the last when the query was
//! planned. Only `index`, `message` and `original` are read from disk; a query without them is answered from memory.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringViewBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::errors;
use crate::dead_letters::{Cursor, DeadLetters, Filter, Kept, Parts, Status};
use crate::event::time_type;

/// Its name.
pub const TABLE: &str = "dead_letters";

/// Rows in a batch, at most.
const BATCH_ROWS: usize = 1_024;

/// Its columns, and what they mean.
pub const COLUMNS: [(&str, &str); 12] = [
    ("id", "made of source, original and the first code: the same bad event again is the same letter"),
    ("received_at", "when the server received it"),
    ("source", "what it came through: http, load"),
    ("key", "id of the API key it came with"),
    ("index", "its place in its request, from 0"),
    ("field", "the field that is wrong; empty when it is the event as a whole"),
    ("code", "why it was not accepted, for programs"),
    ("message", "why it was not accepted, for people"),
    ("original", "the event as it was sent; null when that is not UTF-8"),
    ("status", "open, replayed or dropped"),
    ("replayed_at", "when its event was stored"),
    ("attempts", "how often a replay refused it for another reason"),
];

/// Columns that are not in memory.
const ON_DISK: [&str; 3] = ["index", "message", "original"];

fn schema() -> SchemaRef {
    let fields = COLUMNS.iter().map(|(name, _)| {
        let (kind, nullable) = match *name {
            "received_at" => (time_type(), false),
            "replayed_at" => (time_type(), true),
            "index" | "attempts" => (DataType::Int64, false),
            name => (DataType::Utf8View, matches!(name, "key" | "original")),
        };
        Field::new(*name, kind, nullable)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The table over a store.
#[derive(Debug)]
pub(super) struct LettersTable {
    store: Arc<DeadLetters>,
    schema: SchemaRef,
}

impl LettersTable {
    pub(super) fn new(store: Arc<DeadLetters>) -> Self {
        Self { store, schema: schema() }
    }
}

#[async_trait]
impl TableProvider for LettersTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let store = Arc::clone(&self.store);
        let letters = Letters { end: store.end(), store, schema: Arc::clone(&schema), limit };
        let plan = StreamingTableExec::try_new(schema, vec![Arc::new(letters)], None, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// One reference to the table in one query: the columns it wants, up to the last letter there was.
struct Letters {
    store: Arc<DeadLetters>,
    schema: SchemaRef,
    end: Cursor,
    limit: Option<usize>,
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letters").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl PartitionStream for Letters {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let whole = self.schema.fields().iter().any(|f| ON_DISK.contains(&f.name().as_str()));
        let reader = Reader {
            store: Arc::clone(&self.store),
            schema: Arc::clone(&self.schema),
            parts: if whole { Parts::Whole } else { Parts::Summary },
            from: Cursor::default(),
            end: self.end,
            left: self.limit.unwrap_or(usize::MAX),
        };
        let batches = futures::stream::try_unfold(reader, |reader| async move {
            // Reading files blocks, and this thread plans and runs other queries too.
            let next = tokio::task::spawn_blocking(move || reader.next()).await;
            next.map_err(|e| exec_datafusion_err!("reading dead letters failed: {e}"))?
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

struct Reader {
    store: Arc<DeadLetters>,
    schema: SchemaRef,
    parts: Parts,
    from: Cursor,
    end: Cursor,
    left: usize,
}

impl Reader {
    fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        if self.from >= self.end || self.left == 0 {
            return Ok(None);
        }
        let rows = self.left.min(BATCH_ROWS);
        let page = self.store.page(&Filter::default(), self.from, self.end, rows, self.parts);
        let (letters, next) = page.map_err(errors::external)?;
        (self.from, self.left) = (next, self.left - letters.len());
        Ok(Some((batch(&self.schema, &letters)?, self)))
    }
}

fn batch(schema: &SchemaRef, letters: &[Kept]) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|f| column(f.name(), letters)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(letters.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn column(name: &str, letters: &[Kept]) -> ArrayRef {
    let replayed_at = |l: &Kept| l.settled_at.filter(|_| l.status == Status::Replayed);
    match name {
        "received_at" => times(letters.iter().map(|l| Some(l.letter.received_at))),
        "replayed_at" => times(letters.iter().map(replayed_at)),
        "index" => Arc::new(
            letters.iter().map(|l| Some(i64::try_from(l.letter.index).unwrap_or(i64::MAX))).collect::<Int64Array>(),
        ),
        "attempts" => Arc::new(letters.iter().map(|l| Some(i64::from(l.letter.attempts))).collect::<Int64Array>()),
        name => {
            let mut texts = StringViewBuilder::new();
            for kept in letters {
                let letter = &kept.letter;
                match name {
                    "id" => texts.append_value(kept.id.to_string()),
                    "source" => texts.append_value(&letter.source),
                    "key" => texts.append_option(letter.key.as_deref()),
                    "field" => texts.append_value(&letter.field),
                    "code" => texts.append_value(&letter.code),
                    "message" => texts.append_value(&letter.message),
                    "original" => texts.append_option(std::str::from_utf8(&letter.original).ok()),
                    _ => texts.append_value(kept.status.name()),
                }
            }
            Arc::new(texts.finish())
        }
    }
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}
