//! Rows on their way out: buffered as one JSON document, or streamed batch by batch.

use std::time::Instant;

use arrow::array::RecordBatch;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use tideline_engine::error::{Error, Result};
use tideline_engine::query::QueryOutput;
use tideline_engine::query::encode::{CellOptions, Encoder, Format, JsonAnswer};

use crate::config::ByteSize;
use crate::error::Problem;
use crate::http::time_part;

/// Rows written between two looks at the size.
const ROWS_PER_LOOK: usize = 256;
/// Batches of at least so many rows are encoded on a thread for blocking work, so that other requests do not wait.
const LARGE_ROWS: usize = 1_024;

/// All rows as one document of at most `most` bytes. The query itself stops at the most rows.
pub async fn buffered(mut output: QueryOutput, most: ByteSize, begun: Instant) -> Result<Response, Problem> {
    let mut answer = JsonAnswer::new(&output.id, &output.schema, CellOptions::default());
    while let Some(batch) = output.stream.next().await {
        let batch = batch?;
        for first in (0..batch.num_rows()).step_by(ROWS_PER_LOOK) {
            answer.push(&batch.slice(first, ROWS_PER_LOOK.min(batch.num_rows() - first)))?;
            if answer.len() > most.as_usize() {
                let message = format!("the answer is larger than the limit of {most} for JSON, which is buffered");
                return Err(Problem::too_large("answer_too_large", message)
                    .with_hint("ask for fewer rows or columns, or for ndjson, csv, parquet or arrow, which stream"));
            }
        }
    }
    let document = answer.finish(&output.stats, &output.freshness);
    let mut response = (StatusCode::OK, [(CONTENT_TYPE, Format::Json.content_type())], document).into_response();
    time_part(&mut response, "query", begun);
    Ok(response)
}

/// Where a streamed answer stands.
struct Streaming {
    output: QueryOutput,
    /// Gone when its last bytes are out.
    encoder: Option<Encoder>,
    /// The next batch, where it is known; inner `None` at the end of the rows.
    next: Option<Option<RecordBatch>>,
}

impl Streaming {
    async fn batch(&mut self) -> Result<Option<RecordBatch>> {
        match self.next.take() {
            Some(batch) => Ok(batch),
            None => self.output.stream.next().await.transpose(),
        }
    }

    /// The next bytes; `None` after the last ones.
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        while let Some(encoder) = self.encoder.take() {
            let Some(batch) = self.batch().await? else {
                // Parquet may have a whole row group left to write.
                return elsewhere(move || encoder.finish().map(Some)).await;
            };
            let rows = batch.num_rows();
            let encode = move || {
                let mut encoder = encoder;
                encoder.write(&batch).map(|piece| (piece, encoder))
            };
            let (piece, encoder) = if rows < LARGE_ROWS { encode() } else { elsewhere(encode).await }?;
            self.encoder = Some(encoder);
            // Parquet gathers a row group before it has anything to send.
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal(format!("rows could not be encoded: {e}")))?
}

/// Batch by batch. The first is awaited, so that an error before any row is still a proper answer.
pub async fn streamed(output: QueryOutput, format: Format, begun: Instant) -> Result<Response, Problem> {
    let encoder = Some(Encoder::new(format, &output.schema, CellOptions::default())?);
    let mut streaming = Streaming { output, encoder, next: None };
    let first = streaming.batch().await?;
    streaming.next = Some(first);
    let pieces = futures::stream::try_unfold(streaming, async |mut streaming| match streaming.piece().await {
        Ok(piece) => Ok(piece.map(|piece| (piece, streaming))),
        Err(e) => Err(broken(&streaming.output.id, &e)),
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
