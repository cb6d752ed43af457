//! Arguments that are constants of the query: lists of names, spans of time, small numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalUnit, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, AggregateUDFImpl};

use crate::clock::{DAY, Micros};

/// How an interval arrives.
pub(super) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// The type of an argument that is a span of time.
pub(super) fn span_type(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Null | DataType::Interval(_) | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Ok(INTERVAL)
        }
        DataType::Duration(_) => Ok(given.clone()),
        other => plan_err!("{function} takes an interval like INTERVAL '30 minutes' where it was given {other}"),
    }
}

/// A span of time in microseconds; `None` for null.
pub(super) fn span(function: &str, value: &ScalarValue) -> Result<Option<Micros>> {
    let micros = match value {
        _ if value.is_null() => return Ok(None),
        ScalarValue::IntervalMonthDayNano(Some(i)) if i.months == 0 => {
            i64::from(i.days).checked_mul(DAY).and_then(|days| days.checked_add(i.nanoseconds / 1_000))
        }
        ScalarValue::IntervalMonthDayNano(_) => {
            return plan_err!("{function} cannot count months, whose lengths differ: give days or hours");
        }
        ScalarValue::DurationSecond(_)
        | ScalarValue::DurationMillisecond(_)
        | ScalarValue::DurationMicrosecond(_)
        | ScalarValue::DurationNanosecond(_) => {
            let one = cast(&value.to_array()?, &DataType::Duration(TimeUnit::Microsecond))?;
            let one = cast(&one, &DataType::Int64)?;
            one.is_valid(0).then(|| one.as_primitive::<Int64Type>().value(0))
        }
        other => return plan_err!("{function} takes an interval like INTERVAL '30 minutes', not {other}"),
    };
    match micros {
        Some(micros) if micros > 0 => Ok(Some(micros)),
        _ => plan_err!("{function} takes an interval longer than nothing"),
    }
}

/// The texts of a list like `['product_view', 'purchase']`.
pub(super) fn texts(function: &str, value: &ScalarValue) -> Result<Vec<String>> {
    let list: ArrayRef = match value {
        ScalarValue::List(list) if list.len() == 1 => list.value(0),
        ScalarValue::LargeList(list) if list.len() == 1 => list.value(0),
        ScalarValue::FixedSizeList(list) if list.len() == 1 => list.value(0),
        other => return plan_err!("{function} takes a list like ['product_view', 'purchase'], not {other}"),
    };
    let list = cast(&list, &DataType::Utf8)?;
    list.as_string::<i32>()
        .iter()
        .map(|text| match text {
            Some(text) => Ok(text.to_owned()),
            None => plan_err!("{function} takes a list without nulls"),
        })
        .collect()
}

/// The value of an argument that has been simplified to a constant.
pub(super) fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Cast(cast) if matches!(cast.expr.as_ref(), Expr::Literal(value, _) if value.is_null()) => {
            literal(&cast.expr)
        }
        _ => None,
    }
}

/// The same call with the constants inside the function: only the first `columns` arguments stay.
pub(super) fn fixed(call: AggregateFunction, columns: usize, function: impl AggregateUDFImpl + 'static) -> Expr {
    let AggregateFunction { mut params, .. } = call;
    params.args.truncate(columns);
    Expr::AggregateFunction(AggregateFunction { func: Arc::new(AggregateUDF::from(function)), params })
}

/// What is said where constants are not: the arguments named must not depend on rows.
pub(super) fn not_constant(function: &str, what: &str) -> DataFusionError {
    DataFusionError::Plan(format!("{what} of {function} must be the same for all rows: write them as constants"))
}
