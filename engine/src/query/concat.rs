//! `a || b` as a function of ours: the operator's own kernel has no bound, and doubling a text thirty times in nested
//! queries takes one kilobyte of SQL.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::kernels::concat_elements::concat_elements_string_view_array;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::functions::Cost;

/// Plans `||` of texts as [`TextConcat`]; lists are left to DataFusion.
#[derive(Debug)]
pub(super) struct ConcatPlanner(Arc<ScalarUDF>);

impl ConcatPlanner {
    pub(super) fn new() -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self(Arc::new(ScalarUDF::from(TextConcat { signature })))
    }
}

impl ExprPlanner for ConcatPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let text = |e: &Expr| Ok::<_, datafusion::error::DataFusionError>(!e.get_type(schema)?.is_nested());
        if expr.op == BinaryOperator::StringConcat && text(&expr.left)? && text(&expr.right)? {
            return Ok(PlannerResult::Planned(self.0.call(vec![expr.left, expr.right])));
        }
        Ok(PlannerResult::Original(expr))
    }
}

/// Two texts joined; null when either is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TextConcat {
    signature: Signature,
}

impl ScalarUDFImpl for TextConcat {
    fn name(&self) -> &'static str {
        "text_concat"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|a| a.schema_name().to_string()).collect::<Vec<_>>().join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Utf8View; arg_types.len()])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Cost::Sum.check("||", &args.args, args.number_rows)?;
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.into_iter().map(|a| a.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let [left, right] = arrays.as_slice() else {
            return Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(None)));
        };
        let joined = concat_elements_string_view_array(left.as_string_view(), right.as_string_view())?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(joined)))
    }
}
