//! The functions SQL may call: an allow-list, with those that can make much out of little bounded.
//!
//! DataFusion's memory pool does not see what scalar functions allocate: `repeat('x', 1e9)` or
//! `generate_series(1, 2e8)` take gigabytes under any pool. So each such function computes what it would make from
//! its arguments first, and refuses.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef, Float64Type, IntervalMonthDayNanoType};
use datafusion::catalog::{TableFunction, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::errors::external;
use crate::error::{Error, Kind};

/// The most bytes one call may make for one batch of rows.
const MAX_CALL_BYTES: f64 = 64.0 * 1024.0 * 1024.0;
/// The most list elements one call may make for one batch of rows.
const MAX_CALL_ELEMENTS: f64 = 1_000_000.0;
/// The most steps a quadratic function may take for one batch of rows: it cannot be interrupted.
const MAX_CALL_STEPS: f64 = 200_000_000.0;
/// The most rows `FROM generate_series(…)` may make.
const MAX_SERIES_ROWS: f64 = 10_000_000.0;

const DAY_SECONDS: f64 = 86_400.0;

/// Scalar functions that can be called. A new version of DataFusion adds to this only through a change here.
/// Left out on purpose: `input_file_name` and `file_row_index` (storage is not the client's business).
#[rustfmt::skip]
const ALLOWED: &[&str] = &[
    "abs", "acos", "acosh", "array_add", "array_any_value", "array_append", "array_avg", "array_compact",
    "array_concat", "array_dims", "array_distance", "array_distinct", "array_element", "array_except", "array_has",
    "array_has_all", "array_has_any", "array_intersect", "array_length", "array_max", "array_min", "array_ndims",
    "array_normalize", "array_pop_back", "array_pop_front", "array_position", "array_positions", "array_prepend",
    "array_product", "array_remove", "array_remove_all", "array_remove_n", "array_repeat", "array_replace",
    "array_replace_all", "array_replace_n", "array_resize", "array_reverse", "array_scale", "array_slice",
    "array_sort", "array_subtract", "array_sum", "array_to_string", "array_union", "arrays_zip", "arrow_cast",
    "arrow_field", "arrow_metadata", "arrow_try_cast", "arrow_typeof", "ascii", "asin", "asinh", "atan", "atan2",
    "atanh", "bit_length", "btrim", "cardinality", "cast_to_type", "cbrt", "ceil", "character_length", "chr",
    "coalesce", "concat", "concat_ws", "contains", "cos", "cosh", "cosine_distance", "cot", "current_date",
    "current_time", "date_bin", "date_part", "date_trunc", "decode", "degrees", "empty", "encode", "ends_with", "exp", "factorial",
    "find_in_set", "flatten", "floor", "from_unixtime", "gcd", "generate_series", "get_field", "greatest", "initcap",
    "inner_product", "isnan", "iszero", "lcm", "least", "left", "levenshtein", "ln", "log", "log10", "log2", "lower",
    "lpad", "ltrim", "make_array", "make_date", "make_time", "map", "map_entries", "map_extract", "map_keys",
    "map_values", "named_struct", "nanvl", "now", "nullif", "nvl", "nvl2", "octet_length", "overlay", "pi", "power",
    "radians", "random", "range", "regexp_count", "regexp_instr", "regexp_like", "regexp_match", "regexp_replace",
    "repeat", "replace", "reverse", "right", "round", "rpad", "rtrim", "signum", "sin", "sinh", "split_part",
    "sqrt", "starts_with", "string_to_array", "strpos", "struct", "substr", "substr_index", "tan",
    "tanh", "to_char", "to_date", "to_hex", "to_local_time", "to_time", "to_timestamp", "to_timestamp_micros",
    "to_timestamp_millis", "to_timestamp_nanos", "to_timestamp_seconds", "to_unixtime", "translate", "trunc",
    "try_cast_to_type", "union_extract", "union_tag", "upper", "uuid", "version",
];

/// The allowed scalar functions, bounded where they need it.
pub(super) fn scalar() -> Vec<Arc<ScalarUDF>> {
    SessionStateDefaults::default_scalar_functions()
        .into_iter()
        .filter(|udf| ALLOWED.contains(&udf.name()))
        .map(|udf| match Cost::of(udf.name()) {
            Some(cost) => Arc::new(ScalarUDF::from(Bounded { inner: udf, cost })),
            None => udf,
        })
        .collect()
}

/// The allowed table functions: series of a bounded length.
pub(super) fn table() -> Vec<Arc<TableFunction>> {
    SessionStateDefaults::default_table_functions()
        .into_iter()
        .filter(|function| ["generate_series", "range"].contains(&function.name()))
        .map(|inner| Arc::new(TableFunction::new(inner.name().to_owned(), Arc::new(BoundedSeries(inner)))))
        .collect()
}

fn too_much(name: &str, what: &str) -> DataFusionError {
    external(
        Error::new(Kind::TooLarge, "function_limit", format!("{name}() would make {what}, more than it may"))
            .with_hint("ask for less of it"),
    )
}

/// What a function makes of its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Cost {
    /// text × count
    Repeat,
    /// count, in characters
    Pad,
    /// count, in list elements
    Resize,
    /// value × count
    RepeatValue,
    /// (end − start) / step
    Series,
    /// every occurrence replaced by something longer
    Replace,
    /// text + every separator
    Join,
    /// the sum of all arguments
    Sum,
    /// length × length
    Product,
}

impl Cost {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "repeat" => Self::Repeat,
            "lpad" | "rpad" => Self::Pad,
            "array_resize" => Self::Resize,
            "array_repeat" => Self::RepeatValue,
            "range" | "generate_series" => Self::Series,
            "replace" | "regexp_replace" => Self::Replace,
            "array_to_string" => Self::Join,
            "concat" | "concat_ws" | "array_concat" | "make_array" => Self::Sum,
            "levenshtein" => Self::Product,
            _ => return None,
        })
    }

    /// Refuses what would be too much for one batch.
    pub(super) fn check(self, name: &str, args: &[ColumnarValue], rows: usize) -> Result<()> {
        let arg = |i: usize| args.get(i);
        let bytes = |total: f64| {
            if total > MAX_CALL_BYTES { Err(too_much(name, &format!("{total:.0} bytes of text"))) } else { Ok(()) }
        };
        let elements = |total: f64| {
            if total > MAX_CALL_ELEMENTS {
                Err(too_much(name, &format!("lists of {total:.0} elements in all")))
            } else {
                Ok(())
            }
        };
        match self {
            Self::Repeat => bytes(product(&lengths(arg(0), rows)?, &numbers(arg(1), rows)?)),
            Self::Pad => bytes(numbers(arg(1), rows)?.iter().map(|n| n.max(0.0)).sum()),
            Self::Resize => elements(numbers(arg(1), rows)?.iter().map(|n| n.max(0.0)).sum()),
            Self::RepeatValue => {
                let counts = numbers(arg(1), rows)?;
                bytes(product(&lengths(arg(0), rows)?, &counts))?;
                elements(counts.iter().map(|n| n.max(0.0)).sum())
            }
            Self::Series => elements(series(args, rows)?),
            Self::Replace => {
                let (texts, from, to) = (lengths(arg(0), rows)?, lengths(arg(1), rows)?, lengths(arg(2), rows)?);
                // A regular expression may match the empty text between any two characters.
                let shortest = |from: f64| if name == "replace" { from.max(1.0) } else { 1.0 };
                let total = (0..rows).map(|i| texts[i] + (texts[i] / shortest(from[i]) + 1.0) * to[i]).sum();
                bytes(total)
            }
            Self::Join => bytes(product(&lengths(arg(0), rows)?, &lengths(arg(1), rows)?)),
            Self::Sum => {
                let mut total = 0.0;
                for value in args {
                    total += lengths(Some(value), rows)?.iter().sum::<f64>();
                }
                bytes(total)
            }
            Self::Product => {
                let steps = product(&lengths(arg(0), rows)?, &lengths(arg(1), rows)?);
                if steps > MAX_CALL_STEPS { Err(too_much(name, &format!("{steps:.0} comparisons"))) } else { Ok(()) }
            }
        }
    }
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b.max(0.0)).sum()
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

/// How long each row's value is: bytes of text, elements of a list (8 bytes each at least), else 8.
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
        // Lists and the like: the mean of what the whole column takes.
        _ if array.is_empty() => Vec::new(),
        _ => vec![array.get_array_memory_size() as f64 / array.len() as f64; array.len()],
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

/// The elements a series makes in all rows: integers as they are, times in seconds.
fn series(args: &[ColumnarValue], rows: usize) -> Result<f64> {
    let (start, end) = match args {
        [end] => (vec![0.0; rows], points(Some(end), rows)?),
        _ => (points(args.first(), rows)?, points(args.get(1), rows)?),
    };
    let steps = match args.get(2) {
        Some(step) => points(Some(step), rows)?,
        None => vec![1.0; rows],
    };
    Ok((0..rows).map(|i| count(start[i], end[i], steps[i])).sum())
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

/// A function that looks at what it would make before it makes it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    cost: Cost,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.cost.check(self.inner.name(), &args.args, args.number_rows)?;
        self.inner.invoke_with_args(args)
    }
}

/// `FROM generate_series(…)` of a bounded length; it streams, so only time is at stake.
#[derive(Debug)]
struct BoundedSeries(Arc<TableFunction>);

impl TableFunctionImpl for BoundedSeries {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let literals: Option<Vec<ColumnarValue>> = args
            .exprs()
            .iter()
            .map(|e| match e {
                Expr::Literal(ScalarValue::Utf8(_), _) => None,
                Expr::Literal(value, _) => Some(ColumnarValue::Scalar(value.clone())),
                _ => None,
            })
            .collect();
        if let Some(literals) = literals {
            let rows = series(&literals, 1)?;
            if rows > MAX_SERIES_ROWS {
                return Err(too_much(self.0.name(), &format!("{rows:.0} rows")));
            }
        }
        self.0.function().call_with_args(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_on_the_list_exists() {
        let names: Vec<String> =
            SessionStateDefaults::default_scalar_functions().iter().map(|f| f.name().to_owned()).collect();
        let missing: Vec<&&str> = ALLOWED.iter().filter(|name| !names.iter().any(|n| n == *name)).collect();
        assert!(missing.is_empty(), "not functions: {missing:?}");
    }

    #[test]
    fn every_function_left_out_is_left_out_on_purpose() {
        let left_out: Vec<String> = SessionStateDefaults::default_scalar_functions()
            .iter()
            .map(|f| f.name().to_owned())
            .filter(|name| !ALLOWED.contains(&name.as_str()))
            .collect();
        // The digests come with a feature that another crate turns on: they are there in some builds only.
        let digests = ["digest", "md5", "sha224", "sha256", "sha384", "sha512"];
        let expected = [&["file_row_index", "input_file_name", "with_metadata"][..], &digests[..]].concat();
        assert!(left_out.iter().all(|n| expected.contains(&n.as_str())), "look at these: {left_out:?}");
    }
}
