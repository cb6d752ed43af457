//! The JSON document of `/sql`: rows with their columns, and what it took to answer.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;

use super::cell::CellOptions;
use super::plain::{json_text, timestamp_text};
use super::text::JsonRows;
use crate::error::Result;
use crate::query::{Freshness, QueryStats};

/// Builds the document piece by piece; each call hands out the bytes it made.
#[derive(Default)]
pub struct JsonAnswer {
    rows: Option<JsonRows>,
    out: Vec<u8>,
    count: usize,
}

impl std::fmt::Debug for JsonAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonAnswer").field("rows", &self.count).finish_non_exhaustive()
    }
}

impl JsonAnswer {
    /// Starts a document: `{"query_id":…,"meta":[…],"data":`.
    pub fn new(query_id: &str, schema: &SchemaRef, options: CellOptions) -> Self {
        let mut out = Vec::with_capacity(4_096);
        out.extend_from_slice(b"{\"query_id\":");
        json_text(query_id, &mut out);
        out.extend_from_slice(b",\"meta\":[");
        for (i, field) in schema.fields().iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"name\":");
            json_text(field.name(), &mut out);
            out.extend_from_slice(b",\"type\":");
            json_text(&type_name(field.data_type()), &mut out);
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"data\":");
        Self { rows: Some(JsonRows::array(schema, options)), out, count: 0 }
    }

    /// Adds a batch of rows.
    ///
    /// # Errors
    /// When a column cannot be written.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if let Some(rows) = &mut self.rows {
            rows.write_into(batch, &mut self.out)?;
            self.count += batch.num_rows();
        }
        Ok(())
    }

    /// How many bytes are held.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Ends the document and hands it out.
    pub fn finish(mut self, stats: &QueryStats, freshness: &Freshness) -> Bytes {
        if let Some(rows) = self.rows.take() {
            self.out.extend_from_slice(&rows.finish());
        }
        let through = freshness.through.map_or_else(|| "null".to_owned(), |at| format!("\"{}\"", timestamp_text(at)));
        let tail = format!(
            ",\"rows\":{},\"truncated\":{},\"statistics\":{{\"elapsed_ms\":{:.3},\"rows_read\":{},\"bytes_read\":{}}},\
             \"freshness\":{{\"through\":{through},\"lake_version\":{},\"buffered_rows\":{}}}}}",
            self.count,
            stats.truncated(),
            stats.elapsed().as_secs_f64() * 1_000.0,
            stats.rows_read(),
            stats.bytes_read(),
            freshness.lake_version,
            freshness.buffered_rows,
        );
        self.out.extend_from_slice(tail.as_bytes());
        self.out.into()
    }
}

/// A type as answers name it: `Decimal128(18,4)`, `Timestamp(UTC)`, `Utf8`.
pub fn type_name(kind: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType as D;
    match kind {
        D::Utf8 | D::LargeUtf8 | D::Utf8View => "Utf8".to_owned(),
        D::Binary | D::LargeBinary | D::BinaryView => "Binary".to_owned(),
        D::Decimal128(precision, scale) => format!("Decimal128({precision},{scale})"),
        D::Timestamp(_, Some(zone)) => format!("Timestamp({zone})"),
        D::Timestamp(_, None) => "Timestamp".to_owned(),
        D::Date32 | D::Date64 => "Date".to_owned(),
        D::Dictionary(_, values) => type_name(values),
        D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _) => {
            format!("List<{}>", type_name(item.data_type()))
        }
        D::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{}: {}", f.name(), type_name(f.data_type()))).collect();
            format!("Struct<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}
