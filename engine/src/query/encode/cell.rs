//! One cell as text: the only place that decides how a value of each type looks in JSON, NDJSON and CSV.
//!
//! Decimals are JSON strings (a float would lose digits) or, for fixed metrics, numbers at full scale; times are
//! RFC 3339 in UTC with milliseconds (more digits only where they are not zero); NaN and infinities are null; binary
//! is hex; lists and structs are nested JSON.

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, FixedSizeBinaryArray, StringViewArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::plain::{HEX, csv_text, json_text, write_date, write_decimal, write_int, write_time, write_timestamp};
use crate::error::Result;

/// How cells are written where there is a choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CellOptions {
    /// Decimals as JSON numbers at full scale instead of strings.
    pub decimal_numbers: bool,
}

/// A column, ready to be written cell by cell.
pub struct Cells {
    nulls: Option<NullBuffer>,
    kind: Kind,
    options: CellOptions,
}

impl std::fmt::Debug for Cells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cells")
    }
}

enum Kind {
    Null,
    Bool(arrow::array::BooleanArray),
    Int(Vec<i64>),
    UInt(Vec<u64>),
    Float(Vec<f64>),
    Float32(Vec<f32>),
    Decimal { values: Vec<i128>, scale: i8 },
    WideDecimal(Vec<String>),
    Text(Text),
    Date(Vec<i64>),
    Timestamp { values: Vec<i64>, per_second: i64 },
    Time { values: Vec<i64>, per_second: i64 },
    Hex(Hex),
    List { values: Box<Cells>, ranges: Vec<(usize, usize)> },
    Struct(Vec<(Vec<u8>, Cells)>),
    Map { keys: Box<Cells>, values: Box<Cells>, ranges: Vec<(usize, usize)> },
    Other(Vec<Option<String>>),
}

enum Text {
    Small(arrow::array::StringArray),
    Large(arrow::array::LargeStringArray),
    View(StringViewArray),
}

enum Hex {
    Small(arrow::array::BinaryArray),
    Large(arrow::array::LargeBinaryArray),
    View(BinaryViewArray),
    Fixed(FixedSizeBinaryArray),
}

macro_rules! ints {
    ($array:expr, $type:ty) => {
        $array.as_primitive::<$type>().values().iter().map(|v| (*v).into()).collect()
    };
}

impl Cells {
    /// Prepares a column.
    ///
    /// # Errors
    /// When a value of an unusual type cannot be formatted.
    pub fn new(array: &ArrayRef, options: CellOptions) -> Result<Self> {
        if let DataType::Dictionary(_, values) = array.data_type() {
            return Self::new(&arrow::compute::cast(array, values)?, options);
        }
        Ok(Self { nulls: array.logical_nulls(), kind: Kind::new(array, options)?, options })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Writes a cell as JSON.
    pub fn json(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.kind {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Float(values) => json_float(values[row], out),
            Kind::Float32(values) => json_float32(values[row], out),
            Kind::Decimal { .. } | Kind::WideDecimal(_) if self.options.decimal_numbers => self.plain(row, out),
            Kind::Bool(_) | Kind::Int(_) | Kind::UInt(_) => self.plain(row, out),
            Kind::Text(text) => json_text(text.get(row), out),
            Kind::List { values, ranges } => {
                out.push(b'[');
                let (start, end) = ranges[row];
                for i in start..end {
                    if i > start {
                        out.push(b',');
                    }
                    values.json(i, out);
                }
                out.push(b']');
            }
            Kind::Struct(fields) => {
                out.push(b'{');
                for (i, (name, cells)) in fields.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(name);
                    cells.json(row, out);
                }
                out.push(b'}');
            }
            Kind::Map { keys, values, ranges } => json_map(keys, values, ranges[row], out),
            Kind::Other(values) => match &values[row] {
                Some(text) => json_text(text, out),
                None => out.extend_from_slice(b"null"),
            },
            Kind::Decimal { .. }
            | Kind::WideDecimal(_)
            | Kind::Date(_)
            | Kind::Timestamp { .. }
            | Kind::Time { .. }
            | Kind::Hex(_) => {
                out.push(b'"');
                self.plain(row, out);
                out.push(b'"');
            }
        }
    }

    /// Writes a cell as a CSV field: empty for null, quoted where it must be (RFC 4180), nested values as JSON.
    pub fn csv(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return;
        }
        match &self.kind {
            Kind::Text(text) => csv_text(text.get(row).as_bytes(), out),
            Kind::Other(values) => csv_text(values[row].as_deref().unwrap_or_default().as_bytes(), out),
            Kind::List { .. } | Kind::Struct(_) | Kind::Map { .. } => {
                let mut json = Vec::new();
                self.json(row, &mut json);
                csv_text(&json, out);
            }
            _ => self.plain(row, out),
        }
    }

    /// Writes what needs neither quotes nor escapes.
    fn plain(&self, row: usize, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Bool(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Kind::Int(values) => write_int(i128::from(values[row]), out),
            Kind::UInt(values) => write_int(i128::from(values[row]), out),
            Kind::Float(values) if values[row].is_finite() => json_float(values[row], out),
            Kind::Float32(values) if values[row].is_finite() => json_float32(values[row], out),
            Kind::Decimal { values, scale } => write_decimal(values[row], *scale, out),
            Kind::WideDecimal(values) => out.extend_from_slice(values[row].as_bytes()),
            Kind::Date(values) => write_date(values[row], out),
            Kind::Timestamp { values, per_second } => write_timestamp(values[row], *per_second, out),
            Kind::Time { values, per_second } => write_time(values[row], *per_second, out),
            Kind::Hex(hex) => {
                for byte in hex.get(row) {
                    out.push(HEX[usize::from(byte >> 4)]);
                    out.push(HEX[usize::from(byte & 15)]);
                }
            }
            // Not finite, or handled by the callers.
            _ => {}
        }
    }
}

impl Text {
    fn get(&self, row: usize) -> &str {
        match self {
            Self::Small(values) => values.value(row),
            Self::Large(values) => values.value(row),
            Self::View(values) => values.value(row),
        }
    }
}

impl Hex {
    fn get(&self, row: usize) -> &[u8] {
        match self {
            Self::Small(values) => values.value(row),
            Self::Large(values) => values.value(row),
            Self::View(values) => values.value(row),
            Self::Fixed(values) => values.value(row),
        }
    }
}

impl Kind {
    fn new(array: &ArrayRef, options: CellOptions) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Int8 => Self::Int(ints!(array, Int8Type)),
            DataType::Int16 => Self::Int(ints!(array, Int16Type)),
            DataType::Int32 => Self::Int(ints!(array, Int32Type)),
            DataType::Int64 => Self::Int(ints!(array, Int64Type)),
            DataType::UInt8 => Self::UInt(ints!(array, UInt8Type)),
            DataType::UInt16 => Self::UInt(ints!(array, UInt16Type)),
            DataType::UInt32 => Self::UInt(ints!(array, UInt32Type)),
            DataType::UInt64 => Self::UInt(ints!(array, UInt64Type)),
            DataType::Float16 => {
                Self::Float32(array.as_primitive::<Float16Type>().values().iter().map(|v| v.to_f32()).collect())
            }
            DataType::Float32 => Self::Float32(array.as_primitive::<Float32Type>().values().to_vec()),
            DataType::Float64 => Self::Float(array.as_primitive::<Float64Type>().values().to_vec()),
            DataType::Decimal32(_, scale) => Self::Decimal { values: ints!(array, Decimal32Type), scale: *scale },
            DataType::Decimal64(_, scale) => Self::Decimal { values: ints!(array, Decimal64Type), scale: *scale },
            DataType::Decimal128(_, scale) => {
                Self::Decimal { values: array.as_primitive::<Decimal128Type>().values().to_vec(), scale: *scale }
            }
            DataType::Decimal256(..) => {
                let values = array.as_primitive::<Decimal256Type>();
                Self::WideDecimal((0..values.len()).map(|i| values.value_as_string(i)).collect())
            }
            DataType::Utf8 => Self::Text(Text::Small(array.as_string().clone())),
            DataType::LargeUtf8 => Self::Text(Text::Large(array.as_string().clone())),
            DataType::Utf8View => Self::Text(Text::View(array.as_string_view().clone())),
            DataType::Binary => Self::Hex(Hex::Small(array.as_binary().clone())),
            DataType::LargeBinary => Self::Hex(Hex::Large(array.as_binary().clone())),
            DataType::BinaryView => Self::Hex(Hex::View(array.as_binary_view().clone())),
            DataType::FixedSizeBinary(_) => Self::Hex(Hex::Fixed(array.as_fixed_size_binary().clone())),
            DataType::Date32
            | DataType::Date64
            | DataType::Timestamp(..)
            | DataType::Time32(_)
            | DataType::Time64(_) => Self::temporal(array),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Self::list(
                    list.values(),
                    list.value_offsets().windows(2).map(|w| (w[0] as usize, w[1] as usize)),
                    options,
                )?
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                Self::list(
                    list.values(),
                    list.value_offsets().windows(2).map(|w| (w[0] as usize, w[1] as usize)),
                    options,
                )?
            }
            DataType::FixedSizeList(_, n) => {
                let (list, n) = (array.as_fixed_size_list(), *n as usize);
                Self::list(list.values(), (0..list.len()).map(|i| (i * n, (i + 1) * n)), options)?
            }
            DataType::Struct(_) => Self::structure(array.as_struct(), options)?,
            DataType::Map(..) => {
                let map = array.as_map();
                let ranges = map.value_offsets().windows(2).map(|w| (w[0] as usize, w[1] as usize)).collect();
                Self::Map {
                    keys: Box::new(Cells::new(map.keys(), options)?),
                    values: Box::new(Cells::new(map.values(), options)?),
                    ranges,
                }
            }
            _ => Self::other(array)?,
        })
    }

    fn temporal(array: &ArrayRef) -> Self {
        const DAY_MS: i64 = 86_400_000;
        let timestamp = |values: Vec<i64>, per_second| Self::Timestamp { values, per_second };
        let time = |values: Vec<i64>, per_second| Self::Time { values, per_second };
        match array.data_type() {
            DataType::Date32 => Self::Date(ints!(array, Date32Type)),
            DataType::Date64 => {
                Self::Date(array.as_primitive::<Date64Type>().values().iter().map(|v| v.div_euclid(DAY_MS)).collect())
            }
            DataType::Timestamp(TimeUnit::Second, _) => timestamp(ints!(array, TimestampSecondType), 1),
            DataType::Timestamp(TimeUnit::Millisecond, _) => timestamp(ints!(array, TimestampMillisecondType), 1_000),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                timestamp(ints!(array, TimestampMicrosecondType), 1_000_000)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                timestamp(ints!(array, TimestampNanosecondType), 1_000_000_000)
            }
            DataType::Time32(TimeUnit::Second) => time(ints!(array, Time32SecondType), 1),
            DataType::Time32(_) => time(ints!(array, Time32MillisecondType), 1_000),
            DataType::Time64(TimeUnit::Microsecond) => time(ints!(array, Time64MicrosecondType), 1_000_000),
            _ => time(ints!(array, Time64NanosecondType), 1_000_000_000),
        }
    }

    fn list(values: &ArrayRef, ranges: impl Iterator<Item = (usize, usize)>, options: CellOptions) -> Result<Self> {
        Ok(Self::List { values: Box::new(Cells::new(values, options)?), ranges: ranges.collect() })
    }

    fn structure(array: &StructArray, options: CellOptions) -> Result<Self> {
        let fields = array.fields().iter().zip(array.columns()).map(|(field, column)| {
            let mut name = Vec::new();
            json_text(field.name(), &mut name);
            name.push(b':');
            Ok((name, Cells::new(column, options)?))
        });
        Ok(Self::Struct(fields.collect::<Result<_>>()?))
    }

    /// Intervals, durations, unions: as Arrow shows them.
    fn other(array: &ArrayRef) -> Result<Self> {
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
        let text = |row| array.is_valid(row).then(|| formatter.value(row).to_string());
        Ok(Self::Other((0..array.len()).map(text).collect()))
    }
}

fn json_map(keys: &Cells, values: &Cells, (start, end): (usize, usize), out: &mut Vec<u8>) {
    out.push(b'{');
    for i in start..end {
        if i > start {
            out.push(b',');
        }
        let mut key = Vec::new();
        keys.json(i, &mut key);
        if key.first() == Some(&b'"') {
            out.extend_from_slice(&key);
        } else {
            json_text(&String::from_utf8_lossy(&key), out);
        }
        out.push(b':');
        values.json(i, out);
    }
    out.push(b'}');
}

fn json_float(value: f64, out: &mut Vec<u8>) {
    // Writes null for what is not finite; a Vec never fails.
    drop(serde_json::to_writer(out, &value));
}

fn json_float32(value: f32, out: &mut Vec<u8>) {
    drop(serde_json::to_writer(out, &value));
}
