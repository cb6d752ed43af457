//! Rows of text: NDJSON, an array of JSON objects, CSV.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;

use super::cell::{CellOptions, Cells};
use super::plain::{csv_text, json_text};
use crate::error::Result;

/// Prepares a batch's columns.
fn columns(batch: &RecordBatch, options: CellOptions) -> Result<Vec<Cells>> {
    batch.columns().iter().map(|column| Cells::new(column, options)).collect()
}

/// JSON objects, one a line or in an array.
pub(super) struct JsonRows {
    /// `"name":` of each column, escaped once.
    names: Vec<Vec<u8>>,
    options: CellOptions,
    array: bool,
    started: bool,
}

impl JsonRows {
    pub(super) fn lines(schema: &SchemaRef, options: CellOptions) -> Self {
        let name = |name: &str| {
            let mut out = Vec::new();
            json_text(name, &mut out);
            out.push(b':');
            out
        };
        let names = schema.fields().iter().map(|field| name(field.name())).collect();
        Self { names, options, array: false, started: false }
    }

    pub(super) fn array(schema: &SchemaRef, options: CellOptions) -> Self {
        Self { array: true, ..Self::lines(schema, options) }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        let mut out = Vec::with_capacity(batch.num_rows() * (self.names.len() * 24 + 2));
        self.write_into(batch, &mut out)?;
        Ok(out.into())
    }

    pub(super) fn write_into(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let columns = columns(batch, self.options)?;
        for row in 0..batch.num_rows() {
            if self.array {
                out.push(if self.started { b',' } else { b'[' });
            }
            self.started = true;
            out.push(b'{');
            for (i, (name, cells)) in self.names.iter().zip(&columns).enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(name);
                cells.json(row, out);
            }
            out.push(b'}');
            if !self.array {
                out.push(b'\n');
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Bytes {
        match (self.array, self.started) {
            (false, _) => Bytes::new(),
            (true, true) => Bytes::from_static(b"]"),
            (true, false) => Bytes::from_static(b"[]"),
        }
    }
}

/// RFC 4180: a header, CRLF, quotes where needed.
pub(super) struct Csv {
    schema: SchemaRef,
    options: CellOptions,
    started: bool,
}

impl Csv {
    pub(super) fn new(schema: &SchemaRef, options: CellOptions) -> Self {
        Self { schema: Arc::clone(schema), options, started: false }
    }

    fn header(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        for (i, field) in self.schema.fields().iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            csv_text(field.name().as_bytes(), out);
        }
        out.extend_from_slice(b"\r\n");
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        let mut out = Vec::with_capacity(batch.num_rows() * (batch.num_columns() * 12 + 2));
        self.header(&mut out);
        let columns = columns(batch, self.options)?;
        for row in 0..batch.num_rows() {
            for (i, cells) in columns.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                cells.csv(row, &mut out);
            }
            out.extend_from_slice(b"\r\n");
        }
        Ok(out.into())
    }

    /// The header, where there was no row.
    pub(super) fn finish(mut self) -> Bytes {
        let mut out = Vec::new();
        self.header(&mut out);
        out.into()
    }
}
