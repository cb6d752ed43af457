//! What a call of a function would make, computed from its arguments before it makes it.
//!
//! Three bounds, because three things multiply: a batch has thousands of rows, a join repeats one row thousands of times,
//! and a constant becomes a column as long as the batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, IntervalMonthDayNanoType};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use super::super::errors::external;
use crate::error::{Error, Kind};

/// The most bytes one call may make for one batch of rows.
const MAX_CALL_BYTES: f64 = 64.0 * 1024.0 * 1024.0;
/// The most list elements one call may make for one batch of rows.
const MAX_CALL_ELEMENTS: f64 = 1_000_000.0;
/// The most steps a quadratic function may take for one batch of rows: it cannot be interrupted.
const MAX_CALL_STEPS: f64 = 200_000_000.0;
/// The longest text, and the most bytes of a list, that one row may be given: as much as an event may have.
const MAX_VALUE_BYTES: f64 = 256.0 * 1024.0;
/// The same where what is made can only be estimated from above.
const MAX_ESTIMATED_BYTES: f64 = 4.0 * MAX_VALUE_BYTES;
/// The longest text that may be made of constants: it is written out for each row of a batch.
const MAX_CONSTANT_BYTES: f64 = 16.0 * 1024.0;
/// The same for lists and structs, which are rarely made a column and hold long lists of ids.
const MAX_CONSTANT_LIST_BYTES: f64 = 128.0 * 1024.0;
/// The most list elements that may be made of constants.
const MAX_CONSTANT_ELEMENTS: f64 = 4_000.0;
/// The most columns a nested type may stand for: a struct of a struct twice doubles with every level.
const MAX_LEAVES: usize = 1_000;
/// The longest text a format of times makes of two of its bytes.
const FORMAT_BYTES: f64 = 32.0;

const DAY_SECONDS: f64 = 86_400.0;

pub(super) fn too_much(name: &str, what: &str) -> DataFusionError {
    external(
        Error::new(Kind::TooLarge, "function_limit", format!("{name}() would make {what}, more than it may"))
            .with_hint("ask for less of it; rows are made by FROM generate_series(start, end)"),
    )
}

/// What a function makes of its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum Cost {
    /// text × count
    Repeat,
    /// count, in characters
    Pad,
    /// count × value, in list elements
    Resize,
    /// value × count
    RepeatValue,
    /// (end − start) / step
    Series,
    /// every occurrence replaced by something longer
    Replace,
    /// every element of a list replaced by something longer
    ReplaceElements,
    /// text + every separator, and what stands for nulls
    Join,
    /// the sum of all arguments, the first between each two of the others
    JoinArguments,
    /// the sum of all arguments
    Sum,
    /// the sum of all arguments, as a list or a struct
    Collect,
    /// twice the text
    Double,
    /// text × groups of the pattern
    Groups,
    /// the format, each of whose fields becomes a text
    Format,
    /// length × length
    Product,
}

impl Cost {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "repeat" => Self::Repeat,
            "lpad" | "rpad" => Self::Pad,
            "array_resize" => Self::Resize,
            "array_repeat" => Self::RepeatValue,
            "range" | "generate_series" => Self::Series,
            "replace" | "regexp_replace" => Self::Replace,
            "array_replace" | "array_replace_n" | "array_replace_all" => Self::ReplaceElements,
            "array_to_string" => Self::Join,
            "concat_ws" => Self::JoinArguments,
            "concat" | "overlay" => Self::Sum,
            "make_array" | "array_concat" | "array_append" | "array_prepend" | "array_union" | "map" | "arrays_zip"
            | "struct" | "named_struct" => Self::Collect,
            "encode" => Self::Double,
            "regexp_match" => Self::Groups,
            "to_char" => Self::Format,
            "levenshtein" => Self::Product,
            _ => return None,
        })
    }

    /// Refuses what would be too much for one batch, for one row, or for a constant.
    pub(in super::super) fn check(self, name: &str, args: &[ColumnarValue], rows: usize) -> Result<()> {
        let arg = |i: usize| args.get(i);
        let limits = Limits { name, constant: args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) };
        match self {
            Self::Repeat => limits.bytes(&product(&lengths(arg(0), rows)?, &numbers(arg(1), rows)?)),
            Self::Pad => limits.bytes(&numbers(arg(1), rows)?),
            Self::Resize => {
                let counts = numbers(arg(1), rows)?;
                limits.elements(&counts)?;
                limits.bytes(&product(&lengths(arg(2), rows)?, &counts))
            }
            Self::RepeatValue => {
                let counts = numbers(arg(1), rows)?;
                limits.bytes(&product(&lengths(arg(0), rows)?, &counts))?;
                limits.elements(&counts)
            }
            Self::Series => limits.elements(&series(args, rows)?),
            Self::Replace => {
                let (texts, from, to) = (lengths(arg(0), rows)?, lengths(arg(1), rows)?, lengths(arg(2), rows)?);
                // A regular expression may match the empty text between any two characters.
                let shortest = |from: f64| if name == "replace" { from.max(1.0) } else { 1.0 };
                let made = |i: usize| texts[i] + (texts[i] / shortest(from[i]) + 1.0) * to[i];
                limits.estimated(&(0..rows).map(made).collect::<Vec<_>>())
            }
            Self::ReplaceElements => {
                // An element takes a byte of offsets or of itself at least.
                limits.estimated(&product(&lengths(arg(0), rows)?, &lengths(arg(2), rows)?))
            }
            Self::Join => {
                let (lists, nulls) = (lengths(arg(0), rows)?, lengths(arg(2), rows)?);
                let between = lengths(arg(1), rows)?.iter().zip(nulls).map(|(s, n)| s + n).collect::<Vec<_>>();
                limits.estimated(&product(&lists, &between))
            }
            Self::JoinArguments => {
                let separators = lengths(arg(0), rows)?;
                let joints = args.len().saturating_sub(2) as f64;
                let mut made: Vec<f64> = separators.iter().map(|s| s * joints).collect();
                add_all(&mut made, args.get(1..).unwrap_or_default(), rows)?;
                limits.bytes(&made)
            }
            Self::Sum => {
                let mut made = vec![0.0; rows];
                add_all(&mut made, args, rows)?;
                limits.bytes(&made)
            }
            Self::Collect => {
                let mut made = vec![0.0; rows];
                add_all(&mut made, args, rows)?;
                limits.collected(&made)
            }
            Self::Double => limits.bytes(&lengths(arg(0), rows)?.iter().map(|n| n * 2.0).collect::<Vec<_>>()),
            Self::Groups => {
                let groups = most_groups(arg(1), rows)?;
                limits.estimated(&lengths(arg(0), rows)?.iter().map(|n| n * groups).collect::<Vec<_>>())
            }
            Self::Format => {
                let made: Vec<f64> = lengths(arg(1), rows)?.iter().map(|n| n / 2.0 * FORMAT_BYTES).collect();
                limits.bytes(&made)
            }
            Self::Product => {
                let steps = product(&lengths(arg(0), rows)?, &lengths(arg(1), rows)?).iter().sum::<f64>();
                if steps > MAX_CALL_STEPS { Err(too_much(name, &format!("{steps:.0} comparisons"))) } else { Ok(()) }
            }
        }
    }
}

/// Refuses a type that stands for very many columns, which planning would walk again and again.
pub(super) fn check_type(name: &str, made: &DataType) -> Result<()> {
    if leaves(made, MAX_LEAVES) > MAX_LEAVES {
        return Err(too_much(name, &format!("a value of more than {MAX_LEAVES} fields")));
    }
    Ok(())
}

/// How many columns a type stands for; no more than a few beyond `enough` are counted.
fn leaves(of: &DataType, enough: usize) -> usize {
    match of {
        DataType::Struct(fields) => {
            fields.iter().fold(0, |sum, f| if sum > enough { sum } else { sum + leaves(f.data_type(), enough - sum) })
        }
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => leaves(field.data_type(), enough),
        _ => 1,
    }
}

/// What is compared with the bounds: what one call makes of each row.
struct Limits<'a> {
    name: &'a str,
    constant: bool,
}

impl Limits<'_> {
    fn bytes(&self, rows: &[f64]) -> Result<()> {
        self.within(rows, if self.constant { MAX_CONSTANT_BYTES } else { MAX_VALUE_BYTES })
    }

    fn collected(&self, rows: &[f64]) -> Result<()> {
        self.within(rows, if self.constant { MAX_CONSTANT_LIST_BYTES } else { MAX_VALUE_BYTES })
    }

    /// For what is computed too generously to be held against a row as it is.
    fn estimated(&self, rows: &[f64]) -> Result<()> {
        self.within(rows, if self.constant { MAX_CONSTANT_BYTES } else { MAX_ESTIMATED_BYTES })
    }

    fn within(&self, rows: &[f64], most: f64) -> Result<()> {
        self.refuse_over(largest(rows), most, "bytes in one value")?;
        self.refuse_over(rows.iter().map(|n| n.max(0.0)).sum(), MAX_CALL_BYTES, "bytes")
    }

    fn elements(&self, rows: &[f64]) -> Result<()> {
        let most = if self.constant { MAX_CONSTANT_ELEMENTS } else { MAX_CALL_ELEMENTS };
        self.refuse_over(largest(rows), most, "elements in one value")?;
        self.refuse_over(rows.iter().map(|n| n.max(0.0)).sum(), MAX_CALL_ELEMENTS, "elements")
    }

    fn refuse_over(&self, made: f64, most: f64, of: &str) -> Result<()> {
        if made > most { Err(too_much(self.name, &format!("{made:.0} {of}"))) } else { Ok(()) }
    }
}

fn largest(rows: &[f64]) -> f64 {
    rows.iter().copied().fold(0.0, f64::max)
}

fn add_all(made: &mut [f64], args: &[ColumnarValue], rows: usize) -> Result<()> {
    for value in args {
        made.iter_mut().zip(lengths(Some(value), rows)?).for_each(|(sum, n)| *sum += n);
    }
    Ok(())
}

/// The most groups any pattern has, itself included.
fn most_groups(patterns: Option<&ColumnarValue>, rows: usize) -> Result<f64> {
    let Some(patterns) = patterns else { return Ok(1.0) };
    let texts = arrow::compute::cast(&array(patterns, rows)?, &DataType::Utf8View)?;
    let groups = texts.as_string_view().iter().flatten().map(|text| text.bytes().filter(|b| *b == b'(').count());
    Ok(groups.max().unwrap_or(0) as f64 + 1.0)
}

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b.max(0.0)).collect()
}

fn array(value: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    match value {
        // One element is enough: the callers stretch it.
        ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(1),
        ColumnarValue::Array(array) => Ok(Arc::clone(array)),
    }
    .map(|array| if array.len() > rows { array.slice(0, rows) } else { array })
}

fn stretch(mut values: Vec<f64>, rows: usize) -> Vec<f64> {
    if values.len() == 1 && rows != 1 {
        values = vec![values[0]; rows];
    }
    values.resize(rows, 0.0);
    values
}

/// How many bytes each row's value has.
fn lengths(value: Option<&ColumnarValue>, rows: usize) -> Result<Vec<f64>> {
    let Some(value) = value else {
        return Ok(vec![0.0; rows]);
    };
    let array = array(value, rows)?;
    let values = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(|s| s.map_or(0.0, |s| s.len() as f64)).collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(|s| s.map_or(0.0, |s| s.len() as f64)).collect(),
        DataType::Utf8View => array.as_string_view().iter().map(|s| s.map_or(0.0, |s| s.len() as f64)).collect(),
        DataType::Null => vec![0.0; array.len()],
        _ if array.is_empty() => Vec::new(),
        fixed if fixed.primitive_width().is_some() => {
            vec![fixed.primitive_width().unwrap_or_default() as f64; array.len()]
        }
        // Lists and the like: the mean of what the whole column takes.
        _ => vec![array.to_data().get_slice_memory_size()? as f64 / array.len() as f64; array.len()],
    };
    Ok(stretch(values, rows))
}

/// Each row's number, 0 where there is none.
fn numbers(value: Option<&ColumnarValue>, rows: usize) -> Result<Vec<f64>> {
    let Some(value) = value else {
        return Ok(vec![0.0; rows]);
    };
    let array = arrow::compute::cast(&array(value, rows)?, &DataType::Float64)?;
    let values = array.as_primitive::<Float64Type>().iter().map(|n| n.unwrap_or(0.0)).collect();
    Ok(stretch(values, rows))
}

/// The elements a series makes in each row: integers as they are, times in seconds.
pub(super) fn series(args: &[ColumnarValue], rows: usize) -> Result<Vec<f64>> {
    let (start, end) = match args {
        [end] => (vec![0.0; rows], points(Some(end), rows)?),
        _ => (points(args.first(), rows)?, points(args.get(1), rows)?),
    };
    let steps = match args.get(2) {
        Some(step) => points(Some(step), rows)?,
        None => vec![1.0; rows],
    };
    Ok((0..rows).map(|i| count(start[i], end[i], steps[i])).collect())
}

/// How many steps lie between two points; a step of nothing is left to the function's own complaint.
fn count(start: f64, end: f64, step: f64) -> f64 {
    if step == 0.0 { 0.0 } else { ((end - start) / step + 1.0).max(0.0) }
}

/// Numbers, or times and intervals in seconds (a month counts 28 days: an upper bound on the count).
fn points(value: Option<&ColumnarValue>, rows: usize) -> Result<Vec<f64>> {
    let Some(value) = value else {
        return Ok(vec![0.0; rows]);
    };
    let array = array(value, rows)?;
    let seconds: Vec<f64> = match array.data_type() {
        DataType::Interval(_) => {
            let cast = arrow::compute::cast(&array, &DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano))?;
            let intervals = cast.as_primitive::<IntervalMonthDayNanoType>();
            intervals
                .iter()
                .map(|i| {
                    i.map_or(0.0, |i| {
                        (f64::from(i.months) * 28.0 + f64::from(i.days)) * DAY_SECONDS + i.nanoseconds as f64 / 1e9
                    })
                })
                .collect()
        }
        DataType::Date32 => numbers_of(&arrow::compute::cast(&array, &DataType::Int32)?, DAY_SECONDS)?,
        DataType::Date64 => numbers_of(&arrow::compute::cast(&array, &DataType::Int64)?, 1e-3)?,
        DataType::Timestamp(unit, _) => {
            use arrow::datatypes::TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
            let scale = match unit {
                Second => 1.0,
                Millisecond => 1e-3,
                Microsecond => 1e-6,
                Nanosecond => 1e-9,
            };
            numbers_of(&arrow::compute::cast(&array, &DataType::Int64)?, scale)?
        }
        _ => numbers_of(&array, 1.0)?,
    };
    Ok(stretch(seconds, rows))
}

fn numbers_of(array: &ArrayRef, scale: f64) -> Result<Vec<f64>> {
    let array = arrow::compute::cast(array, &DataType::Float64)?;
    Ok(array.as_primitive::<Float64Type>().iter().map(|n| n.unwrap_or(0.0) * scale).collect())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Fields};

    use super::*;

    #[test]
    fn a_type_is_counted_no_further_than_its_limit() {
        let mut doubled = DataType::Int64;
        for _ in 0..62 {
            let field = Arc::new(Field::new("x", doubled, true));
            doubled = DataType::Struct(Fields::from(vec![Arc::clone(&field), field]));
        }
        // It stands for 2^62 columns: counting them all would not end.
        assert!(check_type("struct", &doubled).is_err());
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        assert!(check_type("make_array", &DataType::List(item)).is_ok());
    }
}
