//! JSON in SQL: the functions and operators of `datafusion-functions-json`, and what becomes of a value of any type.
//!
//! `json_get` and `->` give a value that may be a text, a number or anything else, as a union of Arrow. Of those
//! nothing but JSON functions and casts can make use: a union cannot be grouped, sorted, joined or written to Parquet.
//! So a cast of it becomes the function that reads that type, and what is left becomes the value's JSON text ([`AsText`])
//! before anything runs. Comparing it with a text or a number is refused: `"red"` with its quotes never equals `red`.
//!
//! Scanning takes one pass over a text and stops at 200 levels of nesting; what is not JSON is null. The functions make
//! no more than a part of their argument, so they need no bound of their own. Left out are `json_from_scalar` and
//! `json_union_to_text`: calling one on the other escapes a text again and again, twice as long each time.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::functions::core::nullif;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::Analyzer;
use datafusion_functions_json::{register_all, udfs};

use super::errors;

/// Functions of the library that SQL may not call.
const LEFT_OUT: [&str; 2] = ["json_from_scalar", "json_union_to_text"];
/// The function that gives a value of any type.
const ANY_VALUE: &str = "json_get";

/// Adds functions, operators, and the rewriting of casts.
pub(super) fn register(session: &mut SessionState) -> Result<()> {
    register_all(session)?;
    LEFT_OUT.iter().try_for_each(|name| session.deregister_udf(name).map(drop))
}

/// DataFusion's rules of analysis after ours.
pub(super) fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = Analyzer::new().rules;
    // After casts were rewritten, before types are settled.
    rules.insert(0, Arc::new(AsText));
    rules
}

/// Makes values of any type into their JSON text; JSON's null is null.
#[derive(Debug)]
struct AsText;

impl AnalyzerRule for AsText {
    fn name(&self) -> &str {
        "JsonAsText"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        if !has_any_value(&plan)? {
            return Ok(plan);
        }
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            let plan = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                expr.apply(|part| comparable(part).map(|()| TreeNodeRecursion::Continue))?;
                Ok(expr.transform_up(|part| Ok(as_text(part)))?.update_data(|expr| name.restore(expr)))
            })?;
            // Types change all the way up.
            plan.map_data(LogicalPlan::recompute_schema)
        });
        rewritten.data()
    }
}

fn is_any_value(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => call.func.name() == ANY_VALUE,
        // Operators come with the name of their column.
        Expr::Alias(alias) => is_any_value(&alias.expr),
        _ => false,
    }
}

/// Refuses to compare a value of any type with something else, or to calculate with it.
fn comparable(expr: &Expr) -> Result<()> {
    let mixed = match expr {
        Expr::BinaryExpr(both) => is_any_value(&both.left) != is_any_value(&both.right),
        Expr::Like(like) | Expr::SimilarTo(like) => is_any_value(&like.expr) || is_any_value(&like.pattern),
        Expr::InList(list) => list.list.iter().any(|one| is_any_value(one) != is_any_value(&list.expr)),
        Expr::Between(range) => {
            [&range.low, &range.high].iter().any(|end| is_any_value(end) != is_any_value(&range.expr))
        }
        _ => false,
    };
    if mixed { Err(errors::external(errors::any_json_value())) } else { Ok(()) }
}

fn has_any_value(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found = found || expr.exists(|part| Ok(is_any_value(part)))?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(found)
}

fn as_text(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == ANY_VALUE => {
            let text = Expr::ScalarFunction(ScalarFunction { func: udfs::json_get_json_udf(), args: call.args });
            let null = Expr::Literal(ScalarValue::Utf8(Some("null".to_owned())), None);
            Transformed::yes(nullif().call(vec![text, null]))
        }
        other => Transformed::no(other),
    }
}
