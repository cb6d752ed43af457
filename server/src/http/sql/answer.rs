//! Rows on their way out: buffered as one JSON document, or streamed batch by batch.

use std::time::Instant;

use arrow::datatypes::SchemaRef;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use tideline_engine::clock::Micros;
use tideline_engine::error::{Error, Result};
use tideline_engine::query::QueryOutput;
use tideline_engine::query::encode::{Encoder, Format};

use crate::error::Problem;
use crate::http::time_part;

#[derive(Serialize)]
struct Document<'a> {
    query_id: &'a str,
    meta: Vec<Column<'a>>,
    data: &'a RawValue,
    rows: usize,
    truncated: bool,
    statistics: Statistics,
    freshness: Freshness,
}

#[derive(Serialize)]
struct Column<'a> {
    name: &'a str,
    r#type: String,
}

#[derive(Serialize)]
struct Statistics {
    elapsed_ms: f64,
    rows_read: u64,
    bytes_read: u64,
}

#[derive(Serialize)]
struct Freshness {
    through: Option<String>,
    lake_version: i64,
    buffered_rows: usize,
}

/// At most `most_rows` rows and `most_bytes` bytes as one document; `truncated` says that there are more.
pub async fn buffered(
    mut output: QueryOutput,
    most_rows: usize,
    most_bytes: usize,
    begun: Instant,
) -> Result<Response, Problem> {
    let schema = output.schema.clone();
    let mut rows = Rows::new(&schema, most_rows, most_bytes)?;
    while !rows.truncated
        && let Some(batch) = output.stream.next().await
    {
        rows.push(&batch?)?;
    }
    let data = rows.finish()?;
    let document = Document {
        query_id: &output.id,
        meta: columns(&schema),
        data: &data,
        rows: rows.count,
        truncated: rows.truncated,
        statistics: Statistics {
            elapsed_ms: (begun.elapsed().as_secs_f64() * 1e6).round() / 1e3,
            rows_read: output.stats.rows_read(),
            bytes_read: output.stats.bytes_read(),
        },
        freshness: Freshness {
            through: output.freshness.through.map(rfc3339),
            lake_version: output.freshness.lake_version,
            buffered_rows: output.freshness.buffered_rows,
        },
    };
    let mut response = super::super::json(axum::http::StatusCode::OK, &document);
    time_part(&mut response, "query", begun);
    Ok(response)
}

/// The array of rows, cut at its limits. Made of NDJSON lines, of which each is one row.
struct Rows {
    encoder: Encoder,
    array: Vec<u8>,
    count: usize,
    truncated: bool,
    most_rows: usize,
    most_bytes: usize,
}

impl Rows {
    fn new(schema: &SchemaRef, most_rows: usize, most_bytes: usize) -> Result<Self> {
        let encoder = Encoder::new(Format::Ndjson, schema.clone())?;
        Ok(Self { encoder, array: vec![b'['], count: 0, truncated: false, most_rows, most_bytes })
    }

    fn push(&mut self, batch: &arrow::array::RecordBatch) -> Result<()> {
        let room = self.most_rows - self.count;
        let lines = self.encoder.encode(&batch.slice(0, batch.num_rows().min(room)))?;
        self.truncated = batch.num_rows() > room;
        for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            if self.array.len() + line.len() > self.most_bytes {
                self.truncated = true;
                return Ok(());
            }
            if self.count > 0 {
                self.array.push(b',');
            }
            self.array.extend_from_slice(line);
            self.count += 1;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Box<RawValue>> {
        self.array.push(b']');
        let text = String::from_utf8(std::mem::take(&mut self.array));
        text.map_err(|e| Error::internal(format!("rows are not UTF-8: {e}")))
            .and_then(|t| RawValue::from_string(t).map_err(|e| Error::internal(format!("rows are not JSON: {e}"))))
    }
}

fn columns(schema: &SchemaRef) -> Vec<Column<'_>> {
    let column = |f: &'_ arrow::datatypes::FieldRef| f.data_type().to_string().replace(", ", ",");
    schema.fields().iter().map(|f| Column { name: f.name(), r#type: column(f) }).collect()
}

fn rfc3339(time: Micros) -> String {
    chrono::DateTime::from_timestamp_micros(time)
        .map_or_else(|| time.to_string(), |t| t.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

/// Where a streamed answer stands.
enum Step {
    First(Option<arrow::array::RecordBatch>),
    Rest,
    End,
}

/// Batch by batch. The first is awaited, so that an error before any row is still a proper answer.
pub async fn streamed(mut output: QueryOutput, format: Format, begun: Instant) -> Result<Response, Problem> {
    let encoder = Encoder::new(format, output.schema.clone())?;
    let first = output.stream.next().await.transpose()?;
    let pieces = futures::stream::try_unfold((output, encoder, Step::First(first)), move |state| async move {
        let (mut output, mut encoder, step) = state;
        let batch = match step {
            Step::First(batch) => batch,
            Step::Rest => match output.stream.next().await.transpose() {
                Ok(batch) => batch,
                Err(e) => return Err(broken(&output.id, &e)),
            },
            Step::End => return Ok(None),
        };
        let (piece, next) = match batch {
            Some(batch) => (encoder.encode(&batch), Step::Rest),
            None => (encoder.finish(), Step::End),
        };
        let piece: Bytes = piece.map_err(|e| broken(&output.id, &e))?;
        Ok(Some((piece, (output, encoder, next))))
    });
    let mut response = ([(CONTENT_TYPE, format.content_type())], Body::from_stream(pieces)).into_response();
    time_part(&mut response, "first_rows", begun);
    Ok(response)
}

/// An error after the answer began: the transfer is aborted, which is all that can still be said to the client.
fn broken(query_id: &str, error: &Error) -> std::io::Error {
    tracing::warn!(query_id, error = %error, "an answer was aborted after it had begun");
    std::io::Error::other("the query failed after its answer had begun")
}
