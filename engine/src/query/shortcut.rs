//! Counts, minima and maxima per day come from the files' statistics: no page is read for them.
//!
//! DataFusion answers `count(*)` over a whole table so; with a GROUP BY on the partition column, a filter on time or
//! rows in memory it would scan. A file wholly inside the filters needs no scan: its partial aggregate is one row.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::union::UnionExec;

use crate::event::EVENT_DATE;

/// Replaces partial aggregates over scans of whole files by one row for each file.
#[derive(Debug)]
pub(super) struct AnswerFromStatistics;

impl PhysicalOptimizerRule for AnswerFromStatistics {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|node| {
            let replaced = match node.downcast_ref::<AggregateExec>() {
                Some(aggregate) => replace(aggregate)?,
                None => None,
            };
            Ok(match replaced {
                Some(new) => Transformed::yes(new),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "AnswerFromStatistics"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What one output column of the partial aggregate is made of.
enum Part {
    Day,
    Rows,
    NonNull(String),
    Min(String),
    Max(String),
}

fn replace(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if *aggregate.mode() != AggregateMode::Partial || aggregate.limit_options().is_some() {
        return Ok(None);
    }
    let Some(parts) = parts(aggregate) else {
        return Ok(None);
    };
    let input = aggregate.input();
    let children: Vec<Arc<dyn ExecutionPlan>> = match input.downcast_ref::<UnionExec>() {
        Some(union) => union.inputs().clone(),
        None => vec![Arc::clone(input)],
    };
    let schema = aggregate.schema();
    let mut replaced = false;
    let mut inputs = Vec::with_capacity(children.len());
    for child in children {
        inputs.push(match from_statistics(&child, &parts, &schema)? {
            Some(known) => {
                replaced = true;
                known
            }
            None => Arc::new(AggregateExec::try_new(
                AggregateMode::Partial,
                aggregate.group_expr().clone(),
                aggregate.aggr_expr().to_vec(),
                aggregate.filter_expr().to_vec(),
                child,
                aggregate.input_schema(),
            )?) as Arc<dyn ExecutionPlan>,
        });
    }
    match (replaced, inputs.len()) {
        (false, _) => Ok(None),
        (true, 1) => Ok(inputs.pop()),
        (true, _) => UnionExec::try_new(inputs).map(Some),
    }
}

/// The columns of the partial aggregate, when statistics can tell them all.
fn parts(aggregate: &AggregateExec) -> Option<Vec<Part>> {
    let group = aggregate.group_expr();
    if group.has_grouping_set() || group.expr().len() > 1 || aggregate.filter_expr().iter().any(Option::is_some) {
        return None;
    }
    let mut parts = Vec::new();
    for (expr, _) in group.expr() {
        let column = expr.downcast_ref::<Column>()?;
        if column.name() != EVENT_DATE {
            return None;
        }
        parts.push(Part::Day);
    }
    for function in aggregate.aggr_expr() {
        parts.push(part(function)?);
    }
    (parts.len() == aggregate.schema().fields().len()).then_some(parts)
}

fn part(function: &AggregateFunctionExpr) -> Option<Part> {
    let arguments = function.expressions();
    let [argument] = arguments.as_slice() else {
        return None;
    };
    if function.is_distinct() || !function.order_bys().is_empty() {
        return None;
    }
    if let Some(literal) = argument.downcast_ref::<Literal>() {
        return (function.fun().name() == "count" && !literal.value().is_null()).then_some(Part::Rows);
    }
    let column = argument.downcast_ref::<Column>()?.name().to_owned();
    match function.fun().name() {
        "count" => Some(Part::NonNull(column)),
        "min" => Some(Part::Min(column)),
        "max" => Some(Part::Max(column)),
        _ => None,
    }
}

/// The partial aggregate of a scan of whole, unfiltered files, one row a file.
fn from_statistics(
    plan: &Arc<dyn ExecutionPlan>,
    parts: &[Part],
    schema: &SchemaRef,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some((config, source)) =
        plan.downcast_ref::<DataSourceExec>().and_then(|scan| scan.downcast_to_file_source::<ParquetSource>())
    else {
        return Ok(None);
    };
    if source.filter().is_some() || config.limit.is_some() || !plain_columns(config) {
        return Ok(None);
    }
    let table = config.file_source.table_schema().table_schema();
    let mut columns: Vec<Vec<ScalarValue>> = parts.iter().map(|_| Vec::new()).collect();
    for file in config.file_groups.iter().flat_map(|group| group.iter()) {
        let Some(statistics) = file.statistics.as_ref().filter(|_| file.range.is_none()) else {
            return Ok(None);
        };
        for (values, part) in columns.iter_mut().zip(parts) {
            let column = |name: &str| table.index_of(name).ok().and_then(|i| statistics.column_statistics.get(i));
            match value(part, statistics, column) {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
    }
    let rows = columns.first().map_or(0, Vec::len);
    if rows == 0 {
        return Ok(None);
    }
    let arrays = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(values, field)| {
            let array = ScalarValue::iter_to_array(values)?;
            Ok(if array.data_type() == field.data_type() {
                array
            } else {
                arrow::compute::cast(&array, field.data_type())?
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let Ok(batch) = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options) else {
        return Ok(None);
    };
    Ok(Some(MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(schema), None)?))
}

/// Whether the scan hands out columns as they are, under their own names.
fn plain_columns(config: &FileScanConfig) -> bool {
    config.file_source.projection().is_none_or(|projection| {
        projection.iter().all(|p| p.expr.downcast_ref::<Column>().is_some_and(|column| column.name() == p.alias))
    })
}

fn value<'a>(
    part: &Part,
    file: &Statistics,
    column: impl Fn(&str) -> Option<&'a ColumnStatistics>,
) -> Option<ScalarValue> {
    let Precision::Exact(rows) = file.num_rows else {
        return None;
    };
    let count = |n: usize| i64::try_from(n).ok().map(|n| ScalarValue::Int64(Some(n)));
    match part {
        Part::Rows => count(rows),
        Part::Day => exact(&column(EVENT_DATE)?.min_value),
        Part::NonNull(name) => match column(name)?.null_count {
            Precision::Exact(nulls) => count(rows.checked_sub(nulls)?),
            _ => None,
        },
        Part::Min(name) => exact(&column(name)?.min_value),
        Part::Max(name) => exact(&column(name)?.max_value),
    }
}

fn exact(value: &Precision<ScalarValue>) -> Option<ScalarValue> {
    match value {
        Precision::Exact(value) if !value.is_null() => Some(value.clone()),
        _ => None,
    }
}
