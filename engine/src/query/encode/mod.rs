//! Results as bytes: JSON, NDJSON, CSV, Parquet and Arrow, batch by batch.

mod binary;
mod cell;
mod json;
mod plain;
mod text;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;

pub use cell::{CellOptions, Cells};
pub use json::{JsonAnswer, type_name};
pub use plain::timestamp_text;

use crate::error::Result;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One document with the rows, their columns and statistics.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a header.
    Csv,
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    /// All of them, the default first.
    pub const ALL: [Self; 5] = [Self::Json, Self::Ndjson, Self::Csv, Self::Parquet, Self::Arrow];

    /// Its name in requests and as a path's suffix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }

    /// Reads [`Self::name`], and a few other spellings.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" | "jsonlines" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            "arrow" | "arrows" | "ipc" => Some(Self::Arrow),
            _ => None,
        }
    }

    /// The format of a path's suffix, and the path without it: `/analytics/sales/daily.csv`.
    pub fn from_suffix(path: &str) -> Option<(&str, Self)> {
        let (rest, suffix) = path.rsplit_once('.')?;
        (!suffix.contains('/')).then_some(())?;
        Self::from_name(suffix).map(|format| (rest, format))
    }

    /// The best of an `Accept` header; `usual` where it is absent or accepts anything, `None` where nothing fits (406).
    pub fn from_accept(header: Option<&str>, usual: Self) -> Option<Self> {
        let Some(header) = header.map(str::trim).filter(|h| !h.is_empty()) else {
            return Some(usual);
        };
        let ranges: Vec<(String, f32)> = header.split(',').map(media_range).collect();
        let mut best: Option<(Self, f32)> = None;
        for format in std::iter::once(usual).chain(Self::ALL) {
            let q = format.quality(&ranges);
            if q > 0.0 && best.is_none_or(|(_, known)| q > known) {
                best = Some((format, q));
            }
        }
        best.map(|(format, _)| format)
    }

    /// How much a client wants it: the most specific range that fits decides (RFC 9110, 12.5.1).
    fn quality(self, ranges: &[(String, f32)]) -> f32 {
        let fits = |range: &str| -> u8 {
            if self.media_types().contains(&range) {
                return 3;
            }
            match range.strip_suffix("/*") {
                Some("*") => 1,
                Some(kind) if self.media_types().iter().any(|m| m.split('/').next() == Some(kind)) => 2,
                _ => 0,
            }
        };
        let mut best = (0, 0.0);
        for (range, q) in ranges {
            let specific = fits(range);
            if specific > best.0 {
                best = (specific, *q);
            }
        }
        best.1
    }

    fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["application/json"],
            Self::Ndjson => {
                &["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"]
            }
            Self::Csv => &["text/csv", "application/csv"],
            Self::Parquet => &["application/vnd.apache.parquet", "application/x-parquet"],
            Self::Arrow => &["application/vnd.apache.arrow.stream"],
        }
    }

    /// The `Content-Type` of an answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// One range of an `Accept` header with its weight.
fn media_range(part: &str) -> (String, f32) {
    let mut pieces = part.split(';').map(str::trim);
    let range = pieces.next().unwrap_or_default().to_ascii_lowercase();
    let q = pieces
        .filter_map(|p| p.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .map_or(1.0, |(_, q)| q.trim().parse().unwrap_or(0.0));
    (range, q)
}

/// Writes a result in one of the formats that stream. JSON's document is [`JsonAnswer`]; as a stream it is an array of
/// the rows.
pub struct Encoder(Inner);

enum Inner {
    JsonArray(text::JsonRows),
    Ndjson(text::JsonRows),
    Csv(text::Csv),
    Parquet(binary::Parquet),
    Arrow(binary::Arrow),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    /// An encoder of batches of `schema`.
    ///
    /// # Errors
    /// When the format cannot hold a column's type.
    pub fn new(format: Format, schema: &SchemaRef, options: CellOptions) -> Result<Self> {
        Ok(Self(match format {
            Format::Json => Inner::JsonArray(text::JsonRows::array(schema, options)),
            Format::Ndjson => Inner::Ndjson(text::JsonRows::lines(schema, options)),
            Format::Csv => Inner::Csv(text::Csv::new(schema, options)),
            Format::Parquet => Inner::Parquet(binary::Parquet::new(schema)?),
            Format::Arrow => Inner::Arrow(binary::Arrow::new(schema)?),
        }))
    }

    /// The bytes of one more batch; may be empty while a row group fills.
    ///
    /// # Errors
    /// When the batch cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        match &mut self.0 {
            Inner::JsonArray(rows) | Inner::Ndjson(rows) => rows.write(batch),
            Inner::Csv(csv) => csv.write(batch),
            Inner::Parquet(parquet) => parquet.write(batch),
            Inner::Arrow(arrow) => arrow.write(batch),
        }
    }

    /// The last bytes. A transfer that ends without them is a part, not the whole.
    ///
    /// # Errors
    /// When the end cannot be written.
    pub fn finish(self) -> Result<Bytes> {
        match self.0 {
            Inner::JsonArray(rows) | Inner::Ndjson(rows) => Ok(rows.finish()),
            Inner::Csv(csv) => Ok(csv.finish()),
            Inner::Parquet(parquet) => parquet.finish(),
            Inner::Arrow(arrow) => arrow.finish(),
        }
    }
}

#[cfg(test)]
mod tests;
