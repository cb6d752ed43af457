//! Which files a query needs, and which of them wholly: decided on time bounds and statistics, before anything is read.
//!
//! Filters on `event_ts` and `event_date` against constants are applied exactly here: a file outside the bounds is
//! left out, a file wholly inside needs no filter (nor the column), and only files on the border, and the buffer, are
//! filtered row by row.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use parking_lot::Mutex;

use super::events::{ScanFile, TableState};
use crate::event::{self, EVENT_DATE, EVENT_TS, index};

/// A filter on time that can be decided for a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bound {
    /// event_ts between, both ends included
    Time(i64, i64),
    /// event_date between, both ends included
    Day(i32, i32),
    /// event_date one of
    Days(Vec<i32>),
}

/// How a file stands to the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Outside,
    Border,
    Inside,
}

/// The files a scan needs.
#[derive(Debug)]
pub(super) struct Selected {
    /// Every row satisfies the filters on time.
    pub(super) inside: Vec<Arc<ScanFile>>,
    /// Some rows may not.
    pub(super) border: Vec<Arc<ScanFile>>,
    /// The filters on time, for the border and the buffer.
    pub(super) time_filters: Vec<Expr>,
}

impl Selected {
    /// Rows of all selected files.
    pub(super) fn rows(&self) -> usize {
        self.inside.iter().chain(&self.border).map(|f| f.rows).sum()
    }
}

/// What was selected for which filters: planning asks more than once.
#[derive(Debug, Default)]
pub(super) struct Selections(Mutex<HashMap<Vec<Expr>, Arc<Selected>>>);

/// Whether a filter is one that [`select`] applies exactly.
pub(super) fn is_exact(filter: &Expr) -> bool {
    bound(filter).is_some()
}

/// Whether a filter speaks of nothing but time, in values known now. Everything that [`is_exact`] ever said yes to
/// stays one of these however the optimizer rewrites it, so applying all of these by row keeps the promise.
fn is_time_only(filter: &Expr) -> bool {
    let plain = !filter
        .exists(|e| {
            Ok(matches!(
                e,
                Expr::ScalarSubquery(_)
                    | Expr::InSubquery(_)
                    | Expr::Exists(_)
                    | Expr::OuterReferenceColumn(..)
                    | Expr::Placeholder(_)
            ))
        })
        .unwrap_or(true);
    plain
        && !filter.is_volatile()
        && filter.column_refs().iter().all(|column| column.name == EVENT_TS || column.name == EVENT_DATE)
}

fn micros(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampMicrosecond(Some(v), Some(_)) => Some(*v),
        _ => None,
    }
}

fn day(value: &ScalarValue) -> Option<i32> {
    match value {
        ScalarValue::Date32(Some(v)) => Some(*v),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn bound(filter: &Expr) -> Option<Bound> {
    match filter {
        Expr::BinaryExpr(binary) => match (binary.left.as_ref(), binary.right.as_ref()) {
            (Expr::Column(column), right) => compared(&column.name, binary.op, literal(right)?),
            (left, Expr::Column(column)) => compared(&column.name, binary.op.swap()?, literal(left)?),
            _ => None,
        },
        Expr::Between(between) if !between.negated => {
            let Expr::Column(column) = between.expr.as_ref() else {
                return None;
            };
            let (low, high) = (literal(&between.low)?, literal(&between.high)?);
            match column.name.as_str() {
                EVENT_TS => Some(Bound::Time(micros(low)?, micros(high)?)),
                EVENT_DATE => Some(Bound::Day(day(low)?, day(high)?)),
                _ => None,
            }
        }
        Expr::InList(list) if !list.negated => match list.expr.as_ref() {
            Expr::Column(column) if column.name == EVENT_DATE => {
                list.list.iter().map(|e| day(literal(e)?)).collect::<Option<_>>().map(Bound::Days)
            }
            _ => None,
        },
        _ => None,
    }
}

fn compared(column: &str, op: Operator, value: &ScalarValue) -> Option<Bound> {
    match column {
        EVENT_TS => {
            let at = micros(value)?;
            match op {
                Operator::Eq => Some(Bound::Time(at, at)),
                Operator::GtEq => Some(Bound::Time(at, i64::MAX)),
                Operator::Gt => Some(Bound::Time(at.checked_add(1)?, i64::MAX)),
                Operator::LtEq => Some(Bound::Time(i64::MIN, at)),
                Operator::Lt => Some(Bound::Time(i64::MIN, at.checked_sub(1)?)),
                _ => None,
            }
        }
        EVENT_DATE => {
            let at = day(value)?;
            match op {
                Operator::Eq => Some(Bound::Day(at, at)),
                Operator::GtEq => Some(Bound::Day(at, i32::MAX)),
                Operator::Gt => Some(Bound::Day(at.checked_add(1)?, i32::MAX)),
                Operator::LtEq => Some(Bound::Day(i32::MIN, at)),
                Operator::Lt => Some(Bound::Day(i32::MIN, at.checked_sub(1)?)),
                _ => None,
            }
        }
        _ => None,
    }
}

impl Bound {
    fn stand(&self, file: &ScanFile) -> Stand {
        match self {
            Self::Time(from, to) => match file.time_bounds() {
                Some((min, max)) if max < *from || min > *to => Stand::Outside,
                Some((min, max)) if min >= *from && max <= *to => Stand::Inside,
                _ => Stand::Border,
            },
            // A file holds one day: never a border.
            Self::Day(from, to) => inside((*from..=*to).contains(&file.day)),
            Self::Days(days) => inside(days.contains(&file.day)),
        }
    }
}

fn inside(yes: bool) -> Stand {
    if yes { Stand::Inside } else { Stand::Outside }
}

impl ScanFile {
    /// The greatest `seq` in it, when its statistics are exact.
    pub(super) fn last_seq(&self) -> Option<i64> {
        match &self.statistics.column_statistics.get(index::SEQ)?.max_value {
            Precision::Exact(ScalarValue::Int64(last)) => *last,
            _ => None,
        }
    }

    /// The least and greatest `event_ts` of the file, when its statistics are exact.
    pub(super) fn time_bounds(&self) -> Option<(i64, i64)> {
        let column = self.statistics.column_statistics.get(index::EVENT_TS)?;
        match (&column.min_value, &column.max_value) {
            (Precision::Exact(min), Precision::Exact(max)) => Some((micros(min)?, micros(max)?)),
            _ => None,
        }
    }
}

/// The files of `state` that rows satisfying all of `filters` can be in.
pub(super) fn select(state: &TableState, session: &dyn Session, filters: &[Expr]) -> Result<Arc<Selected>> {
    if let Some(known) = state.selections.0.lock().get(filters) {
        return Ok(Arc::clone(known));
    }
    let (time_filters, others): (Vec<Expr>, Vec<Expr>) = filters.iter().cloned().partition(is_time_only);
    let bounds: Vec<Option<Bound>> = time_filters.iter().map(bound).collect();
    let decided = bounds.iter().all(Option::is_some);
    let mut inside = Vec::new();
    let mut border = Vec::new();
    for file in &state.files {
        let stands = bounds.iter().flatten().map(|b| b.stand(file));
        let mut stand = if decided { Stand::Inside } else { Stand::Border };
        for next in stands {
            stand = match (stand, next) {
                (Stand::Outside, _) | (_, Stand::Outside) => Stand::Outside,
                (Stand::Border, _) | (_, Stand::Border) => Stand::Border,
                _ => Stand::Inside,
            };
        }
        match stand {
            Stand::Outside => {}
            Stand::Border => border.push(Arc::clone(file)),
            Stand::Inside => inside.push(Arc::clone(file)),
        }
    }
    prune(session, &others, &mut inside)?;
    let undecided: Vec<Expr> =
        others.into_iter().chain(time_filters.iter().filter(|f| bound(f).is_none()).cloned()).collect();
    prune(session, &undecided, &mut border)?;
    let selected = Arc::new(Selected { inside, border, time_filters });
    state.selections.0.lock().insert(filters.to_vec(), Arc::clone(&selected));
    Ok(selected)
}

/// Drops the files whose statistics rule the filters out.
fn prune(session: &dyn Session, filters: &[Expr], files: &mut Vec<Arc<ScanFile>>) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let schema = event::table_schema();
    let Some(filter) = conjunction(filters.iter().cloned()) else {
        return Ok(());
    };
    let df_schema = DFSchema::try_from(Arc::clone(&schema))?;
    // What cannot be made an expression over the file cannot prune it either.
    let Ok(physical) = session.create_physical_expr(filter, &df_schema) else {
        return Ok(());
    };
    let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(&schema));
    let Some(predicate) = builder.build(physical) else {
        return Ok(());
    };
    let statistics = PrunableStatistics::new(files.iter().map(|f| Arc::clone(&f.statistics)).collect(), schema);
    if let Ok(keep) = predicate.prune(&statistics) {
        let mut keep = keep.into_iter();
        files.retain(|_| keep.next().unwrap_or(true));
    }
    Ok(())
}
