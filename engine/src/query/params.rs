//! Parameters: JSON values bound to `$name` and `$1` in the plan, never spliced into the text.

use std::collections::{BTreeMap, HashMap};

use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use serde_json::Value;

use super::errors;
use crate::error::{Error, Result};

/// Binds `params` to the placeholders of `plan`. Every placeholder needs a value and every value a placeholder.
pub(super) fn bind(plan: LogicalPlan, params: &BTreeMap<String, Value>) -> Result<LogicalPlan> {
    let names = plan.get_parameter_names().map_err(errors::from_datafusion)?;
    let given: BTreeMap<&str, &Value> = params.iter().map(|(k, v)| (k.trim_start_matches('$'), v)).collect();
    let mut wanted: Vec<&str> = names.iter().map(|id| id.trim_start_matches('$')).collect();
    wanted.sort_unstable();
    for name in &wanted {
        if !given.contains_key(name) {
            let mut error = Error::invalid("missing_parameter", format!("the parameter ${name} has no value"))
                .with_hint(format!("send it as params: {{\"{name}\": …}}"));
            error.did_you_mean = errors::nearest(name, given.keys().copied());
            return Err(error);
        }
    }
    if let Some(unused) = given.keys().find(|name| !wanted.contains(name)) {
        let mut error = Error::invalid("unknown_parameter", format!("the query has no parameter ${unused}"))
            .with_hint(format!("use it in the query as ${unused}, or leave it out"));
        error.did_you_mean = errors::nearest(unused, wanted.iter().copied());
        return Err(error);
    }
    if wanted.is_empty() {
        return Ok(plan);
    }
    let mut values = HashMap::with_capacity(given.len());
    for (name, value) in given {
        values.insert(name.to_owned(), scalar(name, value)?.into());
    }
    plan.with_param_values(ParamValues::Map(values)).map_err(errors::from_datafusion)
}

/// A JSON value as SQL's: numbers with a point become exact decimals, text is coerced by what it is compared with.
fn scalar(name: &str, value: &Value) -> Result<ScalarValue> {
    match value {
        Value::Null => Ok(ScalarValue::Null),
        Value::Bool(b) => Ok(ScalarValue::Boolean(Some(*b))),
        Value::String(s) => Ok(ScalarValue::Utf8(Some(s.clone()))),
        Value::Number(n) => Ok(match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => ScalarValue::Int64(Some(i)),
            (None, Some(u)) => ScalarValue::UInt64(Some(u)),
            (None, None) => decimal(&n.to_string()).unwrap_or_else(|| ScalarValue::Float64(n.as_f64())),
        }),
        Value::Array(_) | Value::Object(_) => Err(Error::invalid(
            "invalid_parameter",
            format!("the parameter ${name} must be text, a number, a bool or null"),
        )
        .with_hint("write the list into the query: IN ($a, $b)")),
    }
}

/// `12.50` as Decimal128(4, 2); `None` for exponents and for more digits than money has.
fn decimal(text: &str) -> Option<ScalarValue> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.')?;
    let precision = whole.len() + fraction.len();
    if precision > 18 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let signed = if text.starts_with('-') { -unscaled } else { unscaled };
    Some(ScalarValue::Decimal128(Some(signed), u8::try_from(precision).ok()?, i8::try_from(fraction.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_a_point_are_exact() {
        assert_eq!(decimal("12.50"), Some(ScalarValue::Decimal128(Some(1250), 4, 2)));
        assert_eq!(decimal("-0.05"), Some(ScalarValue::Decimal128(Some(-5), 3, 2)));
        assert_eq!(decimal("1e300"), None);
        assert_eq!(decimal("123456789.0123456789"), None);
    }
}
