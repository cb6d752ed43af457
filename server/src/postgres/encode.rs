//! Cells as Postgres writes them, as text or in its binary form. A batch's columns are prepared once, rows are written
//! straight into what is sent.
//!
//! Money keeps all its digits: decimals are written from their digits, never through a float.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use arrow::record_batch::RecordBatch;
use bytes::{BufMut as _, BytesMut};
use chrono::{DateTime, Datelike as _, Timelike as _};
use pgwire::api::Type;
use tideline_engine::error::{Error, Result};
use tideline_engine::query::encode::{CellOptions, Cells};

use super::types;

/// Days from 1970-01-01 to 2000-01-01, from which Postgres counts.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// The rows of a batch, to be written one by one.
pub struct Rows {
    columns: Vec<(Column, bool)>,
    rows: usize,
    next: usize,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("left", &self.left()).finish_non_exhaustive()
    }
}

/// A column, ready to be written cell by cell.
struct Column {
    array: ArrayRef,
    kind: Type,
    values: Values,
}

enum Values {
    Plain,
    /// The elements of lists.
    List(Box<Column>),
    Json(Cells),
}

impl Rows {
    /// Prepares a batch. `formats` are of each column: whether it is written in binary.
    ///
    /// # Errors
    /// None that is expected.
    pub fn new(batch: &RecordBatch, formats: &[bool]) -> Result<Self> {
        let schema = batch.schema();
        let columns = batch.columns().iter().zip(schema.fields()).enumerate().map(|(at, (array, field))| {
            let column = Column::new(array, types::type_of(field))?;
            Ok((column, formats.get(at).copied().unwrap_or_default()))
        });
        Ok(Self { columns: columns.collect::<Result<_>>()?, rows: batch.num_rows(), next: 0 })
    }

    /// Rows that are not written yet.
    pub fn left(&self) -> usize {
        self.rows - self.next
    }

    /// Writes the next row as a message.
    pub fn write(&mut self, out: &mut BytesMut) {
        let begin = out.len();
        out.put_u8(b'D');
        out.put_u32(0);
        out.put_u16(u16::try_from(self.columns.len()).unwrap_or(u16::MAX));
        for (column, binary) in &self.columns {
            column.cell(self.next, *binary, out);
        }
        patch(out, begin + 1);
        self.next += 1;
    }
}

/// Writes the length of what stands from `at` on, which includes the length itself.
fn patch(out: &mut BytesMut, at: usize) {
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Writes a value with its length before it.
fn sized(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    write(out);
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

impl Column {
    fn new(array: &ArrayRef, kind: Type) -> Result<Self> {
        let to = |wanted: DataType| cast(array, &wanted).map_err(Error::from);
        if kind == Type::JSON {
            let cells = Cells::new(array, CellOptions { decimal_numbers: true })?;
            return Ok(Self { array: array.clone(), kind, values: Values::Json(cells) });
        }
        if let Some(element) = types::element(&kind) {
            let lists = match array.data_type() {
                DataType::List(_) => array.clone(),
                DataType::LargeList(item) | DataType::FixedSizeList(item, _) => to(DataType::List(item.clone()))?,
                _ => return Err(Error::internal("an array's column holds no lists")),
            };
            let elements = Self::new(lists.as_list::<i32>().values(), element)?;
            return Ok(Self { array: lists, kind, values: Values::List(Box::new(elements)) });
        }
        let array = match kind {
            Type::BOOL => array.clone(),
            Type::INT2 => to(DataType::Int16)?,
            Type::INT4 => to(DataType::Int32)?,
            Type::INT8 => to(DataType::Int64)?,
            Type::FLOAT4 => to(DataType::Float32)?,
            Type::FLOAT8 => to(DataType::Float64)?,
            Type::DATE => to(DataType::Date32)?,
            Type::TIMESTAMP | Type::TIMESTAMPTZ => {
                let DataType::Timestamp(_, zone) = array.data_type() else {
                    return Err(Error::internal("a column of times holds none"));
                };
                to(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?
            }
            Type::TIME => to(DataType::Time64(TimeUnit::Microsecond))?,
            Type::INTERVAL => to(DataType::Interval(IntervalUnit::MonthDayNano))?,
            Type::NUMERIC => match array.data_type() {
                DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => to(DataType::Decimal128(38, *scale))?,
                _ => array.clone(),
            },
            Type::BYTEA => to(DataType::Binary)?,
            // What counts in numbers without being a number: oid and its aliases.
            _ if array.data_type().is_integer() => to(DataType::Int64)?,
            _ => to(DataType::Utf8View)?,
        };
        Ok(Self { array, kind, values: Values::Plain })
    }

    /// A value with its length before it, or what says that there is none.
    fn cell(&self, row: usize, binary: bool, out: &mut BytesMut) {
        if self.array.is_null(row) || *self.array.data_type() == DataType::Null {
            out.put_i32(-1);
        } else if binary {
            sized(out, |out| self.binary(row, out));
        } else {
            sized(out, |out| self.text(row, out));
        }
    }

    fn text(&self, row: usize, out: &mut BytesMut) {
        match &self.values {
            Values::Json(cells) => json(cells, row, out),
            Values::List(elements) => self.array_text(elements, row, out),
            Values::Plain => self.plain_text(row, out),
        }
    }

    fn plain_text(&self, row: usize, out: &mut BytesMut) {
        let array = &self.array;
        // Writing into memory does not fail.
        let _ = match self.kind {
            Type::BOOL => out.write_str(if array.as_boolean().value(row) { "t" } else { "f" }),
            Type::INT2 => write!(out, "{}", array.as_primitive::<Int16Type>().value(row)),
            Type::INT4 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row)),
            Type::INT8 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
            Type::FLOAT4 => float_text(f64::from(array.as_primitive::<Float32Type>().value(row)), out, |out| {
                write!(out, "{}", array.as_primitive::<Float32Type>().value(row))
            }),
            Type::FLOAT8 => {
                let value = array.as_primitive::<Float64Type>().value(row);
                float_text(value, out, |out| write!(out, "{value}"))
            }
            Type::NUMERIC => out.write_str(&self.digits(row)),
            Type::DATE => write_date(array.as_primitive::<Date32Type>().value(row), out),
            Type::TIMESTAMP => write_timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row), "", out),
            Type::TIMESTAMPTZ => {
                write_timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row), "+00", out)
            }
            Type::TIME => write_time(array.as_primitive::<Time64MicrosecondType>().value(row), out),
            Type::INTERVAL => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                write_interval(value.months, value.days, value.nanoseconds / 1_000, out)
            }
            Type::BYTEA => {
                let _ = out.write_str("\\x");
                array.as_binary::<i32>().value(row).iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
            _ if *array.data_type() == DataType::Int64 => {
                write!(out, "{}", array.as_primitive::<Int64Type>().value(row))
            }
            _ => {
                out.extend_from_slice(array.as_string_view().value(row).as_bytes());
                Ok(())
            }
        };
    }

    /// A number's digits, as many after the point as its type has.
    fn digits(&self, row: usize) -> String {
        match self.array.data_type() {
            DataType::Decimal256(..) => self.array.as_primitive::<Decimal256Type>().value_as_string(row),
            DataType::UInt64 => self.array.as_primitive::<UInt64Type>().value(row).to_string(),
            _ => self.array.as_primitive::<Decimal128Type>().value_as_string(row),
        }
    }

    fn binary(&self, row: usize, out: &mut BytesMut) {
        let array = &self.array;
        match &self.values {
            Values::Json(cells) => return json(cells, row, out),
            Values::List(elements) => return self.array_binary(elements, row, out),
            Values::Plain => {}
        }
        match self.kind {
            Type::BOOL => out.put_u8(u8::from(array.as_boolean().value(row))),
            Type::INT2 => out.put_i16(array.as_primitive::<Int16Type>().value(row)),
            Type::INT4 => out.put_i32(array.as_primitive::<Int32Type>().value(row)),
            Type::INT8 => out.put_i64(array.as_primitive::<Int64Type>().value(row)),
            Type::FLOAT4 => out.put_f32(array.as_primitive::<Float32Type>().value(row)),
            Type::FLOAT8 => out.put_f64(array.as_primitive::<Float64Type>().value(row)),
            Type::NUMERIC => numeric_binary(&self.digits(row), out),
            Type::DATE => out.put_i32(array.as_primitive::<Date32Type>().value(row).saturating_sub(EPOCH_DAYS)),
            Type::TIMESTAMP | Type::TIMESTAMPTZ => {
                let value = array.as_primitive::<TimestampMicrosecondType>().value(row);
                out.put_i64(value.saturating_sub(EPOCH_MICROS));
            }
            Type::TIME => out.put_i64(array.as_primitive::<Time64MicrosecondType>().value(row)),
            Type::INTERVAL => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                out.put_i64(value.nanoseconds / 1_000);
                out.put_i32(value.days);
                out.put_i32(value.months);
            }
            Type::BYTEA => out.extend_from_slice(array.as_binary::<i32>().value(row)),
            _ if *array.data_type() == DataType::Int64 => {
                // A number of 32 bits without a sign.
                out.put_u32(array.as_primitive::<Int64Type>().value(row) as u32);
            }
            _ => out.extend_from_slice(array.as_string_view().value(row).as_bytes()),
        }
    }

    fn range(&self, row: usize) -> std::ops::Range<usize> {
        let offsets = self.array.as_list::<i32>().value_offsets();
        let at = |n: usize| usize::try_from(offsets[n]).unwrap_or(0);
        at(row)..at(row + 1)
    }

    fn array_text(&self, elements: &Self, row: usize, out: &mut BytesMut) {
        out.put_u8(b'{');
        let mut text = BytesMut::new();
        for (at, element) in self.range(row).enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            if elements.array.is_null(element) {
                out.extend_from_slice(b"NULL");
                continue;
            }
            text.clear();
            elements.text(element, &mut text);
            let is_special =
                |byte: &u8| matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\') || byte.is_ascii_whitespace();
            if text.is_empty() || text.eq_ignore_ascii_case(b"null") || text.iter().any(is_special) {
                out.put_u8(b'"');
                for byte in &text {
                    if matches!(byte, b'"' | b'\\') {
                        out.put_u8(b'\\');
                    }
                    out.put_u8(*byte);
                }
                out.put_u8(b'"');
            } else {
                out.extend_from_slice(&text);
            }
        }
        out.put_u8(b'}');
    }

    fn array_binary(&self, elements: &Self, row: usize, out: &mut BytesMut) {
        let range = self.range(row);
        let has_nulls = range.clone().any(|element| elements.array.is_null(element));
        out.put_i32(i32::from(!range.is_empty()));
        out.put_i32(i32::from(has_nulls));
        out.put_u32(elements.kind.oid());
        if range.is_empty() {
            return;
        }
        out.put_i32(i32::try_from(range.len()).unwrap_or(i32::MAX));
        out.put_i32(1);
        for element in range {
            elements.cell(element, true, out);
        }
    }
}

fn json(cells: &Cells, row: usize, out: &mut BytesMut) {
    let mut text = Vec::new();
    cells.json(row, &mut text);
    out.extend_from_slice(&text);
}

fn float_text(
    value: f64,
    out: &mut BytesMut,
    finite: impl FnOnce(&mut BytesMut) -> std::fmt::Result,
) -> std::fmt::Result {
    if value.is_finite() {
        return finite(out);
    }
    out.write_str(match value {
        value if value.is_nan() => "NaN",
        value if value > 0.0 => "Infinity",
        _ => "-Infinity",
    })
}

fn write_date(days: i32, out: &mut BytesMut) -> std::fmt::Result {
    match DateTime::from_timestamp(i64::from(days) * 86_400, 0) {
        Some(day) => write_day(day.year(), day.month(), day.day(), out),
        None => out.write_str(if days > 0 { "infinity" } else { "-infinity" }),
    }
}

fn write_day(year: i32, month: u32, day: u32, out: &mut BytesMut) -> std::fmt::Result {
    if year > 0 {
        write!(out, "{year:04}-{month:02}-{day:02}")
    } else {
        write!(out, "{:04}-{month:02}-{day:02} BC", 1 - year)
    }
}

fn write_timestamp(micros: i64, zone: &str, out: &mut BytesMut) -> std::fmt::Result {
    let Some(time) = DateTime::from_timestamp_micros(micros) else {
        return out.write_str(if micros > 0 { "infinity" } else { "-infinity" });
    };
    let is_bc = time.year() <= 0;
    let year = if is_bc { 1 - time.year() } else { time.year() };
    write!(out, "{year:04}-{:02}-{:02} ", time.month(), time.day())?;
    let seconds = i64::from(time.num_seconds_from_midnight());
    write_time(seconds * 1_000_000 + i64::from(time.timestamp_subsec_micros()), out)?;
    out.write_str(zone)?;
    out.write_str(if is_bc { " BC" } else { "" })
}

fn write_time(micros: i64, out: &mut BytesMut) -> std::fmt::Result {
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    write!(out, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)?;
    write_fraction(micros, out)
}

fn write_fraction(micros: i64, out: &mut BytesMut) -> std::fmt::Result {
    if micros == 0 {
        return Ok(());
    }
    let digits = format!("{micros:06}");
    write!(out, ".{}", digits.trim_end_matches('0'))
}

/// As Postgres' own style writes it: `1 year 2 mons 3 days -04:05:06.5`.
fn write_interval(months: i32, days: i32, micros: i64, out: &mut BytesMut) -> std::fmt::Result {
    let mut parts = Vec::new();
    for (count, one, many) in [(months / 12, "year", "years"), (months % 12, "mon", "mons"), (days, "day", "days")] {
        if count != 0 {
            parts.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
    }
    out.write_str(&parts.join(" "))?;
    if micros == 0 && !parts.is_empty() {
        return Ok(());
    }
    out.write_str(if parts.is_empty() { "" } else { " " })?;
    out.write_str(if micros < 0 { "-" } else { "" })?;
    write_time(i64::try_from(micros.unsigned_abs()).unwrap_or(i64::MAX), out)
}

/// Digits in groups of four, as Postgres keeps them.
fn numeric_binary(digits: &str, out: &mut BytesMut) {
    let (is_negative, digits) = digits.strip_prefix('-').map_or((false, digits), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!(
        "{}{whole}{fraction}{}",
        "0".repeat((4 - whole.len() % 4) % 4),
        "0".repeat((4 - fraction.len() % 4) % 4)
    );
    let groups = padded.as_bytes().chunks(4);
    let mut groups: Vec<i16> =
        groups.map(|group| group.iter().fold(0, |sum, digit| sum * 10 + i16::from(digit - b'0'))).collect();
    let mut weight = whole.len().div_ceil(4) as i16 - 1;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    weight -= leading as i16;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let is_zero = groups.is_empty();
    out.put_i16(groups.len() as i16);
    out.put_i16(if is_zero { 0 } else { weight });
    out.put_u16(if is_negative && !is_zero { 0x4000 } else { 0 });
    out.put_u16(fraction.len() as u16);
    for group in groups {
        out.put_i16(group);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Decimal128Array, Float64Array, ListArray, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn cell(array: ArrayRef, kind: Type, binary: bool) -> Vec<u8> {
        let mut out = BytesMut::new();
        Column::new(&array, kind).unwrap().cell(0, binary, &mut out);
        out.to_vec()
    }

    fn text(array: ArrayRef, kind: Type) -> String {
        String::from_utf8(cell(array, kind, false)[4..].to_vec()).unwrap()
    }

    #[test]
    fn numbers_keep_their_digits() {
        let money = |units: i128| -> ArrayRef {
            Arc::new(Decimal128Array::from(vec![units]).with_precision_and_scale(18, 4).unwrap())
        };
        assert_eq!(text(money(-123_456_789), Type::NUMERIC), "-12345.6789");
        assert_eq!(text(money(5), Type::NUMERIC), "0.0005");
        // As a server of Postgres sends 12345.6789 and 0.0005.
        let groups = |units| cell(money(units), Type::NUMERIC, true)[4..].to_vec();
        assert_eq!(groups(-123_456_789), [0, 3, 0, 1, 0x40, 0, 0, 4, 0, 1, 9, 41, 26, 133]);
        assert_eq!(groups(5), [0, 1, 255, 255, 0, 0, 0, 4, 0, 5]);
        assert_eq!(groups(0), [0, 0, 0, 0, 0, 0, 0, 4]);
        assert_eq!(groups(100_000_000), [0, 1, 0, 1, 0, 0, 0, 4, 0, 1]);
        assert_eq!(text(Arc::new(Float64Array::from(vec![f64::INFINITY])), Type::FLOAT8), "Infinity");
        assert_eq!(text(Arc::new(Float64Array::from(vec![0.1])), Type::FLOAT8), "0.1");
    }

    #[test]
    fn times_and_lists_are_written_as_postgres_does() {
        let at = |micros| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC")) };
        assert_eq!(text(at(1_700_000_000_123_000), Type::TIMESTAMPTZ), "2023-11-14 22:13:20.123+00");
        assert_eq!(text(at(-1), Type::TIMESTAMPTZ), "1969-12-31 23:59:59.999999+00");
        assert_eq!(text(at(-62_167_219_200_000_000 - 86_400_000_000), Type::TIMESTAMPTZ), "0002-12-31 00:00:00+00 BC");
        assert_eq!(cell(at(EPOCH_MICROS + 7), Type::TIMESTAMPTZ, true), [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7]);
        let list: ArrayRef =
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None, Some(3)])]));
        assert_eq!(text(list, Type::INT8_ARRAY), "{1,NULL,3}");
        let mut out = BytesMut::new();
        write_interval(14, 3, -14_706_500_000, &mut out).unwrap();
        assert_eq!(out, "1 year 2 mons 3 days -04:05:06.5");
    }

    #[test]
    fn texts_in_lists_are_quoted_where_they_must_be() {
        use arrow::buffer::OffsetBuffer;
        use arrow::datatypes::Field;
        let texts: ArrayRef =
            Arc::new(StringArray::from(vec!["plain", "a,b", "say \"hi\"", "", "NULL", "back\\slash"]));
        let field = Arc::new(Field::new_list_field(DataType::Utf8, true));
        let list: ArrayRef = Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([6]), texts, None));
        assert_eq!(text(list, Type::TEXT_ARRAY), r#"{plain,"a,b","say \"hi\"","","NULL","back\\slash"}"#);
    }
}
