//! The functions SQL may call: an allow-list, with those that can make much out of little bounded.
//!
//! DataFusion's memory pool does not see what scalar functions allocate: `repeat('x', 1e9)` or
//! `generate_series(1, 2e8)` take gigabytes under any pool. So each such function computes what it would make from
//! its arguments first, and refuses.

mod cost;

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::catalog::{TableFunction, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawDictionaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

pub(super) use cost::Cost;
use cost::{check_type, series, too_much};

/// The most rows `FROM generate_series(…)` may make.
const MAX_SERIES_ROWS: f64 = 10_000_000.0;

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
        let made = self.inner.return_type(arg_types)?;
        check_type(self.inner.name(), &made)?;
        Ok(made)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let made = self.inner.return_field_from_args(args)?;
        check_type(self.inner.name(), made.data_type())?;
        Ok(made)
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

/// Plans what SQL has a notation for (`[a, b]`, `{k: v}`, `MAP {…}`, OVERLAY) as the bounded functions of that name;
/// DataFusion's planners would take its own.
#[derive(Debug)]
pub(super) struct LiteralPlanner {
    array: Arc<ScalarUDF>,
    tuple: Arc<ScalarUDF>,
    named: Arc<ScalarUDF>,
    map: Arc<ScalarUDF>,
    overlay: Arc<ScalarUDF>,
}

impl LiteralPlanner {
    /// Over the functions of [`scalar`]; `None` where one of them is not there.
    pub(super) fn new(functions: &[Arc<ScalarUDF>]) -> Option<Self> {
        let named = |name: &str| functions.iter().find(|f| f.name() == name).map(Arc::clone);
        Some(Self {
            array: named("make_array")?,
            tuple: named("struct")?,
            named: named("named_struct")?,
            map: named("map")?,
            overlay: named("overlay")?,
        })
    }
}

impl ExprPlanner for LiteralPlanner {
    fn plan_array_literal(&self, exprs: Vec<Expr>, _: &DFSchema) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(self.array.call(exprs)))
    }

    fn plan_struct_literal(&self, args: Vec<Expr>, is_named: bool) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(if is_named { self.named.call(args) } else { self.tuple.call(args) }))
    }

    fn plan_dictionary_literal(
        &self,
        expr: RawDictionaryExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawDictionaryExpr>> {
        let args = expr.keys.into_iter().zip(expr.values).flat_map(|(key, value)| [key, value]).collect();
        Ok(PlannerResult::Planned(self.named.call(args)))
    }

    fn plan_make_map(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        if !args.len().is_multiple_of(2) {
            return plan_err!("MAP requires a value for each key");
        }
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (i, expr) in args.into_iter().enumerate() {
            if i % 2 == 0 { keys.push(expr) } else { values.push(expr) }
        }
        Ok(PlannerResult::Planned(self.map.call(vec![self.array.call(keys), self.array.call(values)])))
    }

    fn plan_overlay(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(self.overlay.call(args)))
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
            let rows: f64 = series(&literals, 1)?.iter().sum();
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
