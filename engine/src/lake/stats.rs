//! What is known of a file's columns, three ways: from the Parquet footer, for DataFusion, and as the JSON that the
//! Delta log keeps.
//!
//! Times are whole milliseconds, so the log's bounds are exact. Text is cut to [`TEXT_CHARS`] characters in the log:
//! a bound shorter than that is the value itself, a longer one only encloses it and is marked `Inexact`.
//!
//! Of columns that are about a person no bounds are kept: the log outlives the files it speaks of. Nothing is lost by that,
//! as ids are random and every file's bounds enclose nearly all of them; within a file, Parquet's own statistics and bloom
//! filters tell which row groups may have one, and they go with the file.

use std::fmt::Write as _;
use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, RecordBatch};
use chrono::SecondsFormat;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use parquet::file::metadata::ParquetMetaData;

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::{COLUMNS, Column, ColumnKind, MONEY_PRECISION, MONEY_SCALE, MONEY_UNIT, PERSONAL, table_schema};

/// How many leading columns the log has statistics for (`delta.dataSkippingNumIndexedCols`).
pub(super) const INDEXED_COLUMNS: usize = 32;
/// Characters of text the log keeps of a bound.
const TEXT_CHARS: usize = 32;

/// From a Parquet footer.
pub(super) fn from_footer(footer: &ParquetMetaData, day: i32, bytes: u64) -> Result<Statistics> {
    let found = DFParquetMetadata::statistics_from_parquet_metadata(footer, &table_schema())
        .map_err(|e| Error::internal(format!("cannot read a Parquet footer's statistics: {e}")).with_source(e))?;
    let rows = found.num_rows.get_value().copied().unwrap_or(0);
    let columns = COLUMNS.iter().zip(found.column_statistics).map(|(column, found)| tidy(column, found)).collect();
    Ok(whole(rows, bytes, columns, day))
}

/// Drops bounds that would mislead: a null is no bound, and floats have no total order.
fn tidy(column: &Column, found: ColumnStatistics) -> ColumnStatistics {
    let bound = |bound: Precision<ScalarValue>| match bound {
        Precision::Exact(value) | Precision::Inexact(value) if value.is_null() => Precision::Absent,
        Precision::Exact(value) if column.kind == ColumnKind::Float => Precision::Inexact(value),
        bound => bound,
    };
    let (min_value, max_value) = match column.kind {
        _ if PERSONAL.contains(&column.name) => (Precision::Absent, Precision::Absent),
        ColumnKind::Items => (Precision::Absent, Precision::Absent),
        _ => (bound(found.min_value), bound(found.max_value)),
    };
    let null_count = if column.required { Precision::Exact(0) } else { found.null_count };
    let null_count = if column.kind == ColumnKind::Items { Precision::Absent } else { null_count };
    ColumnStatistics { null_count, min_value, max_value, byte_size: found.byte_size, ..Default::default() }
}

fn whole(rows: usize, bytes: u64, mut columns: Vec<ColumnStatistics>, day: i32) -> Statistics {
    let day = Precision::Exact(ScalarValue::Date32(Some(day)));
    columns.push(ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: day.clone(),
        max_value: day,
        distinct_count: Precision::Exact(usize::from(rows > 0)),
        ..Default::default()
    });
    Statistics {
        num_rows: Precision::Exact(rows),
        total_byte_size: Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)),
        column_statistics: columns,
    }
}

/// As the Delta log keeps it: `{"numRecords":…,"minValues":{…},"maxValues":{…},"nullCount":{…}}`.
pub(super) fn to_log(statistics: &Statistics) -> String {
    let (mut min, mut max, mut nulls) = (Object::default(), Object::default(), Object::default());
    for (column, known) in COLUMNS.iter().zip(&statistics.column_statistics).take(INDEXED_COLUMNS) {
        if let Some(value) = json(&known.min_value, Bound::Lowest) {
            min.add(column.name, &value);
        }
        if let Some(value) = json(&known.max_value, Bound::Highest) {
            max.add(column.name, &value);
        }
        if let Precision::Exact(count) = known.null_count {
            nulls.add(column.name, &count.to_string());
        }
    }
    let rows = statistics.num_rows.get_value().copied().unwrap_or(0);
    let (min, max, nulls) = (min.0, max.0, nulls.0);
    format!(r#"{{"numRecords":{rows},"minValues":{{{min}}},"maxValues":{{{max}}},"nullCount":{{{nulls}}}}}"#)
}

/// The members of a JSON object.
#[derive(Default)]
struct Object(String);

impl Object {
    fn add(&mut self, name: &str, value: &str) {
        let comma = if self.0.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(self.0, r#"{comma}"{name}":{value}"#);
    }
}

#[derive(Clone, Copy)]
enum Bound {
    Lowest,
    Highest,
}

/// A bound as JSON; `None` where the log has none: booleans, floats, text that cannot be rounded up, and text that is
/// inexact and yet so short that a reader would take it for exact.
fn json(value: &Precision<ScalarValue>, bound: Bound) -> Option<String> {
    let exact = value.is_exact()?;
    Some(match value.get_value()? {
        ScalarValue::Utf8View(Some(text)) => {
            if !exact && text.chars().nth(TEXT_CHARS - 1).is_none() {
                return None;
            }
            serde_json::Value::String(match bound {
                Bound::Lowest => text.chars().take(TEXT_CHARS).collect(),
                Bound::Highest => round_up(text)?,
            })
            .to_string()
        }
        ScalarValue::TimestampMicrosecond(Some(micros), _) => format!("\"{}\"", rfc3339(*micros)?),
        ScalarValue::Decimal128(Some(value), _, MONEY_SCALE) => {
            let sign = if *value < 0 { "-" } else { "" };
            let (units, rest) = (value.unsigned_abs() / MONEY_UNIT.unsigned_abs(), value.unsigned_abs() % 10_000);
            format!("{sign}{units}.{rest:04}")
        }
        ScalarValue::Int64(Some(value)) => value.to_string(),
        ScalarValue::Int32(Some(value)) => value.to_string(),
        ScalarValue::Int16(Some(value)) => value.to_string(),
        _ => return None,
    })
}

fn rfc3339(micros: Micros) -> Option<String> {
    Some(chrono::DateTime::from_timestamp_micros(micros)?.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// The text itself when short, else its beginning with the last character replaced by the next higher one, so that it
/// stays above every text with that beginning.
fn round_up(text: &str) -> Option<String> {
    if text.chars().nth(TEXT_CHARS).is_none() {
        return Some(text.to_owned());
    }
    let mut kept: Vec<char> = text.chars().take(TEXT_CHARS).collect();
    let last = kept.pop()?;
    // The code points between the two ranges of `char` are not characters.
    kept.push(if last == '\u{d7ff}' { '\u{e000}' } else { char::from_u32(u32::from(last) + 1)? });
    Some(kept.into_iter().collect())
}

/// Where each column's bounds stand in the log's flat table of files.
pub(super) struct LogColumns<'a> {
    columns: Vec<[Option<&'a ArrayRef>; 3]>,
}

static LOG_NAMES: LazyLock<Vec<[String; 3]>> = LazyLock::new(|| {
    COLUMNS.iter().map(|c| ["min", "max", "null_count"].map(|prefix| format!("{prefix}.{}", c.name))).collect()
});

impl<'a> LogColumns<'a> {
    pub(super) fn new(files: &'a RecordBatch) -> Self {
        let find = |names: &[String; 3]| names.each_ref().map(|name| files.column_by_name(name));
        Self { columns: LOG_NAMES.iter().map(find).collect() }
    }

    /// What the log knows of the file in `row`.
    pub(super) fn statistics(&self, row: usize, rows: u64, bytes: u64, day: i32) -> Result<Statistics> {
        let columns = COLUMNS.iter().zip(&self.columns).map(|(column, [min, max, nulls])| {
            let null_count = match nulls.filter(|a| a.is_valid(row)).map(|a| ScalarValue::try_from_array(a, row)) {
                _ if column.required => Precision::Exact(0),
                Some(Ok(ScalarValue::Int64(Some(n)))) => Precision::Exact(usize::try_from(n).unwrap_or(0)),
                _ => Precision::Absent,
            };
            let (min_value, max_value) = (bound(column, *min, row)?, bound(column, *max, row)?);
            Ok(ColumnStatistics { null_count, min_value, max_value, ..Default::default() })
        });
        let columns = columns.collect::<Result<_>>()?;
        Ok(whole(usize::try_from(rows).unwrap_or(usize::MAX), bytes, columns, day))
    }
}

fn bound(column: &Column, values: Option<&ArrayRef>, row: usize) -> Result<Precision<ScalarValue>> {
    let Some(values) = values.filter(|a| a.is_valid(row)) else { return Ok(Precision::Absent) };
    let value = ScalarValue::try_from_array(values, row)
        .map_err(|e| Error::corrupt(format!("the log's statistics of {} cannot be read: {e}", column.name)))?;
    Ok(match (column.kind, value) {
        (ColumnKind::Text, ScalarValue::Utf8(Some(text))) => {
            let exact = text.chars().nth(TEXT_CHARS - 1).is_none();
            let text = ScalarValue::Utf8View(Some(text));
            if exact { Precision::Exact(text) } else { Precision::Inexact(text) }
        }
        (ColumnKind::Money, value @ ScalarValue::Decimal128(Some(_), MONEY_PRECISION, MONEY_SCALE))
        | (ColumnKind::Time, value @ ScalarValue::TimestampMicrosecond(Some(_), _))
        | (ColumnKind::Int, value @ ScalarValue::Int32(Some(_)))
        | (ColumnKind::Long, value @ ScalarValue::Int64(Some(_)))
        | (ColumnKind::Small, value @ ScalarValue::Int16(Some(_))) => Precision::Exact(value),
        _ => Precision::Absent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_rounded_down_and_up() {
        let long = "ä".repeat(40);
        let value = Precision::Exact(ScalarValue::Utf8View(Some(long.clone())));
        let low: String = serde_json::from_str(&json(&value, Bound::Lowest).unwrap()).unwrap();
        let high: String = serde_json::from_str(&json(&value, Bound::Highest).unwrap()).unwrap();
        assert!(low < long && long < high, "{low} {long} {high}");
        assert_eq!(
            (low.chars().count(), high.chars().count()),
            (TEXT_CHARS, TEXT_CHARS),
            "so that it reads as inexact"
        );
        assert_eq!(round_up("short").as_deref(), Some("short"));
        assert_eq!(round_up(&"\u{10ffff}".repeat(33)), None, "no character is above the highest");
        assert_eq!(round_up(&format!("{}\u{d7ff}z", "a".repeat(31))).unwrap().chars().last(), Some('\u{e000}'));
    }

    #[test]
    fn money_and_time_are_written_in_full() {
        let money = |v| {
            let value = ScalarValue::Decimal128(Some(v), MONEY_PRECISION, MONEY_SCALE);
            json(&Precision::Exact(value), Bound::Lowest).unwrap()
        };
        assert_eq!(money(125_000), "12.5000");
        assert_eq!(money(-7), "-0.0007");
        assert_eq!(rfc3339(1_700_136_004_235_000).as_deref(), Some("2023-11-16T12:00:04.235Z"));
        assert_eq!(rfc3339(-1_000).as_deref(), Some("1969-12-31T23:59:59.999Z"));
    }
}
