//! Joins that notice that nobody waits any more.
//!
//! A query is cancelled where it yields, and operators yield when their inputs are read. A join compares whole inputs
//! with each other between two reads: with a filter that lets nothing through it computes for minutes without yielding,
//! and keeps its thread from everybody else. So every filter of a join asks first whether the query is still wanted.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder};
use tokio_util::sync::CancellationToken;

/// Lets the joins of a plan stop when `cancel` says so.
pub(super) fn joins(plan: Arc<dyn ExecutionPlan>, cancel: &CancellationToken) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
            && let Some(filter) = join.filter()
        {
            let asking = NestedLoopJoinExecBuilder::from(join).with_filter(Some(asking(filter, cancel))).build()?;
            return Ok(Transformed::yes(Arc::new(asking) as _));
        }
        if let Some(join) = node.downcast_ref::<HashJoinExec>()
            && let Some(filter) = join.filter()
        {
            let asking = join.builder().with_filter(Some(asking(filter, cancel))).build()?;
            return Ok(Transformed::yes(Arc::new(asking) as _));
        }
        if node.is::<CrossJoinExec>() {
            // Without a filter each step makes rows, so it is enough that whoever takes them yields.
            return Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as _));
        }
        Ok(Transformed::no(node))
    })
    .data()
}

fn asking(filter: &JoinFilter, cancel: &CancellationToken) -> JoinFilter {
    let wanted = WhileWanted { inner: Arc::clone(filter.expression()), cancel: cancel.clone() };
    JoinFilter::new(Arc::new(wanted), filter.column_indices().to_vec(), Arc::clone(filter.schema()))
}

/// An expression that fails once its query is cancelled.
#[derive(Debug)]
struct WhileWanted {
    inner: Arc<dyn PhysicalExpr>,
    cancel: CancellationToken,
}

impl PhysicalExpr for WhileWanted {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.cancel.is_cancelled() {
            return exec_err!("the query was cancelled");
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { inner, cancel: self.cancel.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

impl fmt::Display for WhileWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PartialEq for WhileWanted {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for WhileWanted {}

impl Hash for WhileWanted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}
