//! CSV into batches, by way of the mapping. A line that is no row is passed on as it is, with the reason.

use std::borrow::Cow;
use std::io::BufRead;

use tideline_engine::error::Result;

use super::mapping::Encoding;
use super::read::{Batcher, bind};

/// Reads a CSV file to its end.
pub(super) fn read(reader: Box<dyn BufRead>, mut batcher: Batcher<'_>) -> Result<u64> {
    let options = batcher.options;
    let tabs = batcher.id_name.as_ref().is_some_and(|name| name.ends_with(".tsv"));
    let delimiter = options.mapping.as_ref().map_or(if tabs { '\t' } else { ',' }, |m| m.source.delimiter);
    let encoding = options.mapping.as_ref().map_or(Encoding::Utf8, |m| m.source.encoding);
    let mut csv =
        csv::ReaderBuilder::new().delimiter(u8::try_from(delimiter).unwrap_or(b',')).flexible(true).from_reader(reader);
    let header = csv.byte_headers().map_err(|e| batcher.unreadable(1, e))?;
    let header: Vec<String> = header.iter().map(|h| String::from_utf8_lossy(h).trim().to_owned()).collect();
    let (mapping, slots) = bind(options.mapping.as_ref(), &header, &batcher)?;
    let nulls: Vec<&[u8]> = mapping.source.null.iter().map(|n| n.as_bytes()).collect();
    let mut record = csv::ByteRecord::new();
    while csv.read_byte_record(&mut record).map_err(|e| batcher.unreadable(csv_line(&e), e))? {
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != header.len() {
            let why = format!("it has {} columns, the header has {}", record.len(), header.len());
            batcher.push_malformed(&raw_csv(&record), why, line)?;
            continue;
        }
        let cell = |slot: &usize| -> Result<Option<Cow<'_, str>>, std::str::Utf8Error> {
            match record.get(*slot) {
                None => Ok(None),
                Some(bytes) if nulls.contains(&bytes) => Ok(None),
                Some(bytes) if encoding == Encoding::Latin1 => Ok(Some(bytes.iter().map(|&b| char::from(b)).collect())),
                Some(bytes) => std::str::from_utf8(bytes).map(|text| Some(Cow::Borrowed(text))),
            }
        };
        match slots.iter().map(cell).collect::<Result<Vec<_>, _>>() {
            Ok(row) => batcher.push_row(&mapping, &row, line)?,
            Err(_) => {
                let why = "it is not UTF-8; a mapping may say [source] encoding = \"latin-1\"".to_owned();
                batcher.push_malformed(&raw_csv(&record), why, line)?;
            }
        }
    }
    batcher.finish()
}

fn raw_csv(record: &csv::ByteRecord) -> String {
    let cells: Vec<Cow<'_, str>> = record.iter().map(String::from_utf8_lossy).collect();
    cells.join(",")
}

fn csv_line(error: &csv::Error) -> u64 {
    error.position().map_or(0, csv::Position::line)
}
