//! Parquet into batches: as an Arrow stream with its own types, or through the mapping as text.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, Seek as _};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::writer::StreamWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tideline_engine::error::{Error, Result};

use super::convert::{Place, derived_id};
use super::mapping::kind_of;
use super::read::{Batcher, Body, bind};

/// Reads a Parquet file to its end.
pub(super) fn read(mut reader: Box<dyn BufRead>, mut batcher: Batcher<'_>) -> Result<u64> {
    let bad = |e: &dyn std::fmt::Display, label: &str| {
        Error::invalid("file_not_readable", format!("{label} is not readable as Parquet: {e}"))
    };
    let label = batcher.input.label();
    let head = reader.fill_buf().map_err(|e| bad(&e, &label))?;
    if !head.starts_with(b"PAR1") {
        return Err(bad(&"it does not begin with PAR1", &label));
    }
    let file = match batcher.input.open_plain() {
        Some(file) => file,
        None => seekable(reader).map_err(|e| bad(&e, &label))?,
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| bad(&e, &label))?;
    let header: Vec<String> = builder.schema().fields().iter().map(|f| f.name().clone()).collect();
    let (mapping, slots) = bind(batcher.options.mapping.as_ref(), &header, &batcher)?;
    let batches = builder.with_batch_size(batcher.options.batch_rows).build().map_err(|e| bad(&e, &label))?;
    let mut line = 1;
    for batch in batches {
        let batch = batch.map_err(|e| bad(&e, &label))?;
        if batcher.options.mapping.is_some() {
            let columns = slots.iter().map(|slot| batch.column(*slot)).collect::<Vec<_>>();
            let texts = Texts::new(&columns)?;
            for row in 0..batch.num_rows() {
                batcher.push_row(&mapping, &texts.row(row, &mapping.source.null), line + row as u64)?;
            }
        } else {
            let body = arrow_body(&own_columns(&batch, batcher.id_name.as_deref(), line)?)?;
            batcher.push_body(Body::Arrow, body, line, batch.num_rows())?;
        }
        line += batch.num_rows() as u64;
    }
    batcher.finish()
}

/// Parquet is read from its end: what cannot be rewound (a pipe, a compressed file) goes to a temporary file first.
fn seekable(mut reader: Box<dyn BufRead>) -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("tideline-load-{}.parquet", uuid::Uuid::new_v4().simple()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
    // Without a name it goes away with this process, however that ends.
    std::fs::remove_file(&path)?;
    io::copy(&mut reader, &mut file)?;
    file.rewind()?;
    Ok(file)
}

/// Without the columns the server sets itself, and with an id for every event.
fn own_columns(batch: &RecordBatch, file: Option<&str>, first_line: u64) -> Result<RecordBatch> {
    let schema = batch.schema();
    let kept: Vec<usize> = (0..batch.num_columns()).filter(|i| kind_of(schema.field(*i).name()).is_some()).collect();
    let batch = batch.project(&kept)?;
    if batch.column_by_name("event_id").is_some() || file.is_none() {
        return Ok(batch);
    }
    let columns: Vec<&ArrayRef> = batch.columns().iter().collect();
    let texts = Texts::new(&columns)?;
    let id = |row: usize| derived_id(&texts.row(row, &[]), Place { file, line: first_line + row as u64 });
    let ids: StringArray = (0..batch.num_rows()).map(id).collect();
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("event_id", DataType::Utf8, true)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(ids));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn arrow_body(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    Ok(writer.into_inner()?)
}

/// The values of columns as text.
struct Texts<'a> {
    columns: Vec<(&'a ArrayRef, ArrayFormatter<'a>)>,
}

impl<'a> Texts<'a> {
    fn new(columns: &[&'a ArrayRef]) -> Result<Self> {
        const OPTIONS: FormatOptions<'static> = FormatOptions::new();
        let columns = columns
            .iter()
            .map(|&column: &&'a ArrayRef| Ok((column, ArrayFormatter::try_new(column.as_ref(), &OPTIONS)?)))
            .collect::<Result<_>>()?;
        Ok(Self { columns })
    }

    fn row(&self, row: usize, nulls: &[String]) -> Vec<Option<Cow<'static, str>>> {
        let text = |(column, format): &(&ArrayRef, ArrayFormatter<'_>)| {
            let text = column.is_valid(row).then(|| format.value(row).to_string())?;
            (!nulls.contains(&text)).then_some(Cow::Owned(text))
        };
        self.columns.iter().map(text).collect()
    }
}
