//! `sessionize`: the number of the visit beside each event, as a window function.
//!
//! `sum(CASE WHEN ts - lag(ts) >= gap THEN 1 END)` in one pass. Where only the visits are asked for, `sessions` and
//! `session_count` answer without sorting.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, TimestampMicrosecondType};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Documentation, LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

use super::SECTION;
use super::constants::{not_constant, span, span_type};
use crate::clock::Micros;
use crate::event::time_type;

const NAME: &str = "sessionize";

pub(super) fn function() -> WindowUDF {
    WindowUDF::from(Sessionize { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sessionize {
    signature: Signature,
}

impl WindowUDFImpl for Sessionize {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [_, gap] => Ok(vec![time_type(), span_type(NAME, gap)?]),
            _ => plan_err!("{NAME} takes {NAME}(ts, gap) OVER (PARTITION BY … ORDER BY ts)"),
        }
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Int64, false)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let gap = args.input_exprs().get(1).and_then(|gap| gap.downcast_ref::<Literal>());
        let Some(gap) = gap else { return Err(not_constant(NAME, "the gap")) };
        match span(NAME, gap.value())? {
            Some(gap) => Ok(Box::new(Visits { gap })),
            None => plan_err!("{NAME} takes a gap that is not null"),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::None
    }
}

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "The number, from 1, of the visit an event belongs to: a visit ends where the next event is `gap` or more away, \
         and not at midnight. A row without a time belongs to the visit before it. sessions() and session_count() are \
         much faster where the events themselves are not wanted.",
        "sessionize(ts, gap) OVER (PARTITION BY user_id ORDER BY ts)",
    )
    .with_argument("ts", "when the event happened, the same as in ORDER BY")
    .with_argument("gap", "a constant interval")
    .with_sql_example(
        "SELECT user_id, event_ts, sessionize(event_ts, INTERVAL '30 minutes') OVER (PARTITION BY user_id ORDER BY \
         event_ts) AS visit FROM events",
    )
    .build()
});

#[derive(Debug)]
struct Visits {
    gap: Micros,
}

impl PartitionEvaluator for Visits {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let Some(times) = values.first().map(|v| v.as_primitive::<TimestampMicrosecondType>()) else {
            return exec_err!("{NAME} needs a time");
        };
        let (mut before, mut visit): (Option<Micros>, i64) = (None, 1);
        let numbers = (0..num_rows).map(|row| {
            if times.is_valid(row) {
                let time = times.value(row);
                // Either way around: the window may be ordered from the last to the first.
                if before.is_some_and(|before| time.abs_diff(before) >= self.gap.unsigned_abs()) {
                    visit += 1;
                }
                before = Some(time);
            }
            visit
        });
        Ok(Arc::new(Int64Array::from_iter_values(numbers)))
    }
}
