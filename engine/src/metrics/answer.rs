//! The answer of a metric: computed from one state of the table, and encoded in every format.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use datafusion::common::ScalarValue;
use futures::StreamExt;
use serde_json::json;

use super::catalogue::{Column, Metric, PERIOD};
use super::params::Resolved;
use crate::error::{Error, Kind, Result};
use crate::query::encode::{CellOptions, Encoder, Format, timestamp_text, type_name};
use crate::query::{Freshness, QueryEngine, TableState};

/// Money keeps its full scale, as numbers.
const CELLS: CellOptions = CellOptions { decimal_numbers: true };

/// A metric's rows.
#[derive(Debug)]
pub struct Answer {
    /// Their columns.
    pub schema: SchemaRef,
    /// They.
    pub batches: Vec<RecordBatch>,
    /// How many.
    pub rows: usize,
    /// The values they were computed with.
    pub params: Resolved,
    /// How current they are.
    pub freshness: Freshness,
}

/// What is computed.
pub(super) struct Work {
    pub(super) query: Arc<QueryEngine>,
    pub(super) metric: Arc<Metric>,
    pub(super) params: Resolved,
    pub(super) compare: bool,
    pub(super) state: Arc<TableState>,
    pub(super) max_bytes: usize,
    pub(super) timeout: Option<std::time::Duration>,
}

impl Work {
    /// Computes it. Also says how many bytes it takes.
    pub(super) async fn run(self) -> Result<(Answer, usize)> {
        let mut bytes = 0;
        let (schema, freshness, mut batches) = self.rows(self.params.scalars(), &mut bytes).await?;
        let mut answer = Answer { schema, batches: Vec::new(), rows: 0, params: self.params.clone(), freshness };
        if self.compare {
            let out_of_range = || Error::invalid("invalid_range", "there is no range of this length before it");
            let before = self.params.previous().ok_or_else(out_of_range)?;
            // The same state of the table: what is compared is two ranges, not two moments.
            let (_, _, previous) = self.rows(before.scalars(), &mut bytes).await?;
            answer.schema = with_period(&answer.schema);
            let current = batches.iter().map(|batch| marked(batch, "current", &answer.schema));
            let previous = previous.iter().map(|batch| marked(batch, "previous", &answer.schema));
            batches = current.chain(previous).collect::<Result<_>>()?;
        }
        answer.rows = batches.iter().map(RecordBatch::num_rows).sum();
        answer.batches = batches;
        Ok((answer, bytes))
    }

    async fn rows(
        &self,
        values: Vec<(String, ScalarValue)>,
        bytes: &mut usize,
    ) -> Result<(SchemaRef, Freshness, Vec<RecordBatch>)> {
        let state = Arc::clone(&self.state);
        let mut output = self.query.run(&self.metric.prepared, values, state, self.timeout).await?;
        let schema = without_views(&output.schema);
        let mut batches = Vec::new();
        while let Some(batch) = output.stream.next().await {
            let batch = compact(&batch?, &schema)?;
            *bytes += batch.columns().iter().map(size).sum::<usize>();
            if *bytes > self.max_bytes {
                let message = format!("the answer is larger than the {} bytes an answer may have", self.max_bytes);
                return Err(Error::new(Kind::TooLarge, "answer_too_large", message)
                    .with_hint("narrow the range or ask for fewer rows; /sql streams answers of any size"));
            }
            batches.push(batch);
        }
        Ok((schema, output.freshness, batches))
    }
}

/// Views of text keep alive whatever they look into; an answer that is kept must not. All columns may hold nulls, so
/// that the rows of two runs fit one schema.
fn without_views(schema: &SchemaRef) -> SchemaRef {
    let kind = |kind: &DataType| match kind {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    };
    let fields = schema.fields().iter().map(|f| Field::new(f.name(), kind(f.data_type()), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn compact(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns: Vec<ArrayRef> = columns.map(|(c, f)| cast(c, f.data_type())).collect::<Result<_, _>>()?;
    rebuilt(schema, columns, batch.num_rows())
}

fn rebuilt(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn size(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

fn with_period(schema: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(PERIOD, DataType::Utf8, true)));
    Arc::new(Schema::new(fields))
}

fn marked(batch: &RecordBatch, period: &str, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(StringArray::from(vec![period; batch.num_rows()])));
    rebuilt(schema, columns, batch.num_rows())
}

impl Answer {
    /// Its columns with the units of `metric`.
    pub fn columns(&self, metric: &Metric) -> Vec<Column> {
        let column = |field: &Arc<Field>| Column {
            name: field.name().clone(),
            r#type: type_name(field.data_type()),
            unit: metric.header.units.get(field.name()).cloned(),
        };
        self.schema.fields().iter().map(column).collect()
    }

    /// All of it in a format; as JSON with what it is and how it was asked for around the rows.
    ///
    /// # Errors
    /// When a format cannot hold a column's type.
    pub fn encode(&self, metric: &Metric, format: Format) -> Result<Bytes> {
        let mut encoder = Encoder::new(format, &self.schema, CELLS)?;
        let mut rows = Vec::new();
        for batch in &self.batches {
            rows.extend_from_slice(&encoder.write(batch)?);
        }
        rows.extend_from_slice(&encoder.finish()?);
        if format != Format::Json {
            return Ok(rows.into());
        }
        let mut out = Vec::with_capacity(rows.len() + 1_024);
        out.extend_from_slice(b"{\"metric\":");
        out.extend_from_slice(json!(metric.name).to_string().as_bytes());
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(self.params.json().to_string().as_bytes());
        out.extend_from_slice(b",\"meta\":");
        out.extend_from_slice(json!(self.columns(metric)).to_string().as_bytes());
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(&rows);
        let freshness = json!({
            "through": self.freshness.through.map(timestamp_text),
            "lake_version": self.freshness.lake_version,
            "buffered_rows": self.freshness.buffered_rows,
        });
        out.extend_from_slice(format!(",\"rows\":{},\"freshness\":{freshness}", self.rows).as_bytes());
        if let Some(warning) = &metric.warning {
            out.extend_from_slice(format!(",\"warning\":{}", json!(warning)).as_bytes());
        }
        out.push(b'}');
        Ok(out.into())
    }
}
