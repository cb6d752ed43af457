//! `retention`: in which periods after its first one an actor came back.
//!
//! Kept of a group are the first period and 64 bits for the periods from it on. Two of those unite by shifting the
//! later one's bits, so nothing but the length of the answer bounds what is exact.
//!
//! After ClickHouse's `retention(cond1, …)`, which takes a condition for each period and leaves finding the first one
//! to a query of its own; here the first is found on the way.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StructArray, UInt64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};

use super::SECTION;
use super::constants::{fixed, literal, not_constant};
use super::grouped::{Groups, OneGroup, passes};

const NAME: &str = "retention";
/// The most periods: one bit each.
const MAX_PERIODS: usize = 64;

pub(super) fn function() -> AggregateUDF {
    AggregateUDF::from(Retention { periods: None, signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Retention {
    /// Known once the query is simplified; the arguments are one or two numbers from then on.
    periods: Option<usize>,
    signature: Signature,
}

impl Retention {
    fn groups(&self) -> Result<Returns> {
        match self.periods {
            Some(periods) => Ok(Returns { periods, groups: Vec::new() }),
            None => Err(not_constant(NAME, "the number of periods")),
        }
    }
}

fn active_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Boolean, true))
}

fn result_fields() -> Fields {
    Fields::from(vec![
        Field::new("first", DataType::Int64, true),
        Field::new("active", DataType::List(active_field()), true),
    ])
}

impl AggregateUDFImpl for Retention {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let right = match self.periods {
            Some(_) => matches!(given.len(), 1 | 2),
            None => matches!(given.len(), 2 | 3),
        };
        if !right {
            return plan_err!("{NAME} takes {NAME}(period, periods) or {NAME}(period, first_period, periods)");
        }
        match given.iter().find(|given| !given.is_integer() && !given.is_null()) {
            Some(other) => plan_err!("{NAME} takes numbers of periods as integers, not {other}"),
            None => Ok(vec![DataType::Int64; given.len()]),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(result_fields()))
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        if self.periods.is_some() {
            return None;
        }
        Some(Box::new(move |call, _| {
            let periods = match call.params.args.last().and_then(literal) {
                Some(ScalarValue::Int64(Some(periods))) => usize::try_from(*periods).unwrap_or(0),
                Some(_) => 0,
                None => return Ok(Expr::AggregateFunction(call)),
            };
            if !(1..=MAX_PERIODS).contains(&periods) {
                return plan_err!("{NAME} takes 1 to {MAX_PERIODS} periods");
            }
            let columns = call.params.args.len() - 1;
            let signature = Signature::user_defined(Volatility::Immutable);
            Ok(fixed(call, columns, Self { periods: Some(periods), signature }))
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |part, kind| Arc::new(Field::new(format_state_name(args.name, part), kind, true));
        Ok(vec![field("first", DataType::Int64), field("bits", DataType::UInt64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::new(NAME, &args, self.groups()?)?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups()?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "In which periods a group (a user) came back: a struct of `first`, its first period, and `active`, a list of \
         booleans of which the first stands for that period and each next one for the next period. count_each() adds \
         them up by cohort. The idea is ClickHouse's retention(), which takes conditions instead of numbers.",
        "retention(period[, first_period], periods)",
    )
    .with_argument("period", "the number of the event's period, such as its week; nulls are passed over")
    .with_argument(
        "first_period",
        "the group's first period where it is known, such as that of its first order; periods before it are passed over",
    )
    .with_argument("periods", "a constant, how many periods from the first on are wanted, at most 64")
    .with_sql_example(
        "SELECT r['first'] AS week, count_each(r['active']) AS users FROM (SELECT retention((CAST(event_date AS INT) + 3) \
         / 7, 5) AS r FROM events WHERE user_id IS NOT NULL GROUP BY user_id) GROUP BY 1 ORDER BY 1",
    )
    .build()
});

/// The first period and, from it on, a bit for each.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: i64,
    bits: u64,
}

/// Nothing seen: what every group begins with, and later than any other.
const NOTHING: Seen = Seen { first: i64::MAX, bits: 0 };

impl Seen {
    /// The bits counted from `first`, which is not later.
    #[inline]
    fn since(&self, first: i64) -> u64 {
        let shift = u32::try_from(self.first.abs_diff(first)).unwrap_or(u32::MAX);
        self.bits.checked_shl(shift).unwrap_or(0)
    }

    #[inline]
    fn unite(&mut self, other: Self) {
        let first = self.first.min(other.first);
        *self = Self { first, bits: self.since(first) | other.since(first) };
    }
}

#[derive(Debug, Clone)]
struct Returns {
    periods: usize,
    groups: Vec<Seen>,
}

impl Returns {
    fn each(values: &[ArrayRef], filter: Option<&BooleanArray>, mut take: impl FnMut(usize, Seen)) -> Result<()> {
        let Some(periods) = values.first().map(|v| v.as_primitive::<Int64Type>()) else {
            return exec_err!("{NAME} needs a period");
        };
        let firsts = values.get(1).map(|v| v.as_primitive::<Int64Type>());
        for (row, &period) in periods.values().iter().enumerate() {
            if periods.is_null(row) || !passes(filter, row) {
                continue;
            }
            let seen = match firsts {
                None => Seen { first: period, bits: 1 },
                Some(firsts) if firsts.is_null(row) => continue,
                Some(firsts) => {
                    let first = firsts.value(row);
                    let bits = if period < first { 0 } else { Seen { first: period, bits: 1 }.since(first) };
                    Seen { first, bits }
                }
            };
            take(row, seen);
        }
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Seen> {
        emit_to.take_needed(&mut self.groups)
    }
}

impl Groups for Returns {
    fn ensure(&mut self, groups: usize) -> Result<()> {
        if groups > self.groups.len() {
            self.groups.resize(groups, NOTHING);
        }
        Ok(())
    }
}

fn columns(seen: &[Seen], nulls: Option<NullBuffer>) -> Vec<ArrayRef> {
    let firsts = Int64Array::new(seen.iter().map(|s| s.first).collect(), nulls.clone());
    let bits = UInt64Array::new(seen.iter().map(|s| s.bits).collect(), nulls);
    vec![Arc::new(firsts), Arc::new(bits)]
}

fn known(seen: &[Seen]) -> NullBuffer {
    seen.iter().map(|s| s.first != NOTHING.first).collect::<Vec<bool>>().into()
}

impl GroupsAccumulator for Returns {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.ensure(total_num_groups)?;
        Self::each(values, opt_filter, |row, seen| self.groups[group_indices[row]].unite(seen))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.ensure(total_num_groups)?;
        let [firsts, bits] = values else { return exec_err!("{NAME} has a state of two columns") };
        let (firsts, bits) = (firsts.as_primitive::<Int64Type>(), bits.as_primitive::<UInt64Type>());
        for (row, &group) in group_indices.iter().enumerate() {
            if firsts.is_valid(row) {
                self.groups[group].unite(Seen { first: firsts.value(row), bits: bits.value(row) });
            }
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let seen = self.take(emit_to);
        Ok(columns(&seen, Some(known(&seen))))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let seen = self.take(emit_to);
        let nulls = known(&seen);
        let active = seen.iter().flat_map(|s| (0..self.periods).map(|period| s.bits >> period & 1 == 1));
        let active = BooleanArray::new(BooleanBuffer::from_iter(active), None);
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(self.periods, seen.len()));
        let active = ListArray::try_new(active_field(), offsets, Arc::new(active), None)?;
        let firsts = Int64Array::new(seen.iter().map(|s| s.first).collect(), Some(nulls.clone()));
        Ok(Arc::new(StructArray::try_new(result_fields(), vec![Arc::new(firsts), Arc::new(active)], Some(nulls))?))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut seen = vec![NOTHING; values.first().map_or(0, |v| v.len())];
        Self::each(values, opt_filter, |row, one| seen[row] = one)?;
        Ok(columns(&seen, Some(known(&seen))))
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Seen>()
    }
}
