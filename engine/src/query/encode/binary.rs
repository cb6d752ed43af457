//! Parquet and Arrow: files and streams other tools read, in bounded memory.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::Result;

/// Rows of a row group: what is held before it is written.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// A row group is closed early at this size in memory.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

/// A Parquet file, zstd, written row group by row group.
pub(super) struct Parquet(ArrowWriter<Vec<u8>>);

impl Parquet {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        Ok(Self(ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties))?))
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        self.0.write(batch)?;
        if self.0.memory_size() > ROW_GROUP_BYTES {
            self.0.flush()?;
        }
        Ok(std::mem::take(self.0.inner_mut()).into())
    }

    pub(super) fn finish(mut self) -> Result<Bytes> {
        self.0.finish()?;
        Ok(std::mem::take(self.0.inner_mut()).into())
    }
}

/// An Arrow IPC stream. Text views become plain text: many readers do not know views.
pub(super) struct Arrow {
    writer: StreamWriter<Vec<u8>>,
    schema: SchemaRef,
}

fn without_views(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}

impl Arrow {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let fields: Vec<Field> = schema
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_data_type(without_views(field.data_type())))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { writer: StreamWriter::try_new(Vec::new(), &schema)?, schema })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        let columns = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => Ok(arrow::compute::cast(column, field.data_type())?),
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        self.writer.write(&RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)?;
        Ok(std::mem::take(self.writer.get_mut()).into())
    }

    pub(super) fn finish(mut self) -> Result<Bytes> {
        self.writer.finish()?;
        Ok(std::mem::take(self.writer.get_mut()).into())
    }
}
