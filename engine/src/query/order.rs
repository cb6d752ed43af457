//! Where the order of files is used, and where it is not.
//!
//! Files are sorted by `event_ts`, the buffer is not. DataFusion sorts a union of the two as a whole; [`SortIntoUnion`]
//! sorts only the part that needs it, so that "latest" never sorts files. And a scan that has to keep its order cannot
//! hand files from a busy core to an idle one: [`RelaxUnusedOrder`] takes the order back where nothing above uses it.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode, replace_children_if_necessary};

/// Moves a sort over a union into those of its inputs that are not in order already.
#[derive(Debug)]
pub(super) struct SortIntoUnion;

impl PhysicalOptimizerRule for SortIntoUnion {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|node| {
            let moved = match node.downcast_ref::<SortExec>() {
                Some(sort) => sort_into_union(sort)?,
                None => None,
            };
            Ok(match moved {
                Some(union) => Transformed::yes(union),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "SortIntoUnion"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn sort_into_union(sort: &SortExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(union) = sort.input().downcast_ref::<UnionExec>().filter(|_| sort.preserve_partitioning()) else {
        return Ok(None);
    };
    let in_order = |input: &Arc<dyn ExecutionPlan>| {
        input.properties().equivalence_properties().ordering_satisfy(sort.expr().iter().cloned())
    };
    let ordered = union.inputs().iter().map(in_order).collect::<Result<Vec<_>>>()?;
    if !ordered.contains(&true) {
        return Ok(None);
    }
    let inputs = union.inputs().iter().zip(ordered).map(|(input, ordered)| -> Arc<dyn ExecutionPlan> {
        if ordered {
            return sort.fetch().and_then(|n| input.with_fetch(Some(n))).unwrap_or_else(|| Arc::clone(input));
        }
        let sorted = SortExec::new(sort.expr().clone(), Arc::clone(input)).with_preserve_partitioning(true);
        Arc::new(sorted.with_fetch(sort.fetch()))
    });
    UnionExec::try_new(inputs.collect()).map(Some)
}

/// Lets scans share work where their order is not used.
#[derive(Debug)]
pub(super) struct RelaxUnusedOrder;

impl PhysicalOptimizerRule for RelaxUnusedOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        relax(plan, true)
    }

    fn name(&self) -> &'static str {
        "RelaxUnusedOrder"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `used`: whether anything above may rely on the order of `plan`'s rows.
fn relax(plan: Arc<dyn ExecutionPlan>, used: bool) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else {
            return Ok(plan);
        };
        if used || config.limit.is_some() || config.output_ordering.is_empty() {
            return Ok(plan);
        }
        let mut config = config.clone();
        config.preserve_order = false;
        config.output_ordering = Vec::new();
        return Ok(DataSourceExec::from_data_source(config));
    }
    let below = used_below(&plan, used);
    let children = plan.children().into_iter().map(|child| relax(Arc::clone(child), below)).collect::<Result<_>>()?;
    replace_children_if_necessary(plan, children)
}

/// What is not known here counts as relying on order.
fn used_below(plan: &Arc<dyn ExecutionPlan>, used: bool) -> bool {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return *aggregate.input_order_mode() != InputOrderMode::Linear
            || aggregate.aggr_expr().iter().any(|function| !function.order_bys().is_empty());
    }
    if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
        return repartition.preserve_order();
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        // A sort that keeps the partitions apart still sorts all of each.
        return sort.fetch().is_some() && used;
    }
    if plan.is::<CoalescePartitionsExec>() {
        return false;
    }
    let passes = plan.is::<FilterExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<UnionExec>()
        || plan.is::<CooperativeExec>();
    if passes { used } else { true }
}
