//! `count_each`: adds up lists of booleans place by place, the second step of a retention table.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use super::SECTION;
use super::grouped::{Groups, OneGroup, passes};

const NAME: &str = "count_each";

pub(super) fn function() -> AggregateUDF {
    AggregateUDF::from(CountEach { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CountEach {
    signature: Signature,
}

fn count_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, true))
}

impl AggregateUDFImpl for CountEach {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let element = match given {
            [DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _)] => f.data_type(),
            [DataType::Null] => &DataType::Boolean,
            _ => return plan_err!("{NAME} takes one list of booleans"),
        };
        if !matches!(element, DataType::Boolean | DataType::Null) {
            return plan_err!("{NAME} takes a list of booleans, not of {element}");
        }
        Ok(vec![DataType::List(Arc::new(Field::new_list_field(DataType::Boolean, true)))])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(count_field()))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "counts");
        Ok(vec![Arc::new(Field::new(name, DataType::List(count_field()), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::new(NAME, &args, Counts::default())?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Counts::default()))
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
        "How many of a group's lists are true at each place, as a list as long as the longest of them.",
        "count_each(list)",
    )
    .with_argument("list", "a list of booleans; null counts as false")
    .with_sql_example("SELECT count_each(r) FROM (VALUES ([true, false]), ([true, true])) AS t (r)")
    .build()
});

/// The counts of all groups.
#[derive(Debug, Clone, Default)]
struct Counts {
    groups: Vec<Vec<i64>>,
    /// Numbers in all groups.
    held: usize,
}

impl Counts {
    fn add(&mut self, group: usize, place: usize, count: i64) {
        let counts = &mut self.groups[group];
        if place >= counts.len() {
            self.held += place + 1 - counts.len();
            counts.resize(place + 1, 0);
        }
        counts[place] += count;
    }

    fn take(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        self.held -= groups.iter().map(Vec::len).sum::<usize>();
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
        let counts = Int64Array::from_iter_values(groups.into_iter().flatten());
        Ok(Arc::new(ListArray::try_new(count_field(), offsets, Arc::new(counts), None)?))
    }
}

impl Groups for Counts {
    fn ensure(&mut self, groups: usize) -> Result<()> {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, Vec::new);
        }
        Ok(())
    }
}

/// The range of each row's elements; empty where the row is null or filtered out.
fn ranges<'a>(
    lists: &'a ListArray,
    filter: Option<&'a BooleanArray>,
) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
    lists.value_offsets().windows(2).enumerate().map(move |(row, range)| {
        let start = range[0] as usize;
        if lists.is_valid(row) && passes(filter, row) { start..range[1] as usize } else { start..start }
    })
}

impl GroupsAccumulator for Counts {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.ensure(total_num_groups)?;
        let Some(lists) = values.first().map(|v| v.as_list::<i32>()) else { return Ok(()) };
        let marks = lists.values().as_boolean();
        for (range, &group) in ranges(lists, opt_filter).zip(group_indices) {
            let start = range.start;
            for at in range {
                self.add(group, at - start, i64::from(marks.is_valid(at) && marks.value(at)));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.ensure(total_num_groups)?;
        let Some(lists) = values.first().map(|v| v.as_list::<i32>()) else { return Ok(()) };
        let counts = lists.values().as_primitive::<Int64Type>().values();
        for (range, &group) in ranges(lists, None).zip(group_indices) {
            for (place, &count) in counts[range].iter().enumerate() {
                self.add(group, place, count);
            }
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.take(emit_to)?])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.take(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(lists) = values.first().map(|v| v.as_list::<i32>()) else {
            return exec_err!("{NAME} needs a list");
        };
        let marks = lists.values().as_boolean();
        let offsets = OffsetBuffer::from_lengths(ranges(lists, opt_filter).map(|range| range.len()));
        let counts = ranges(lists, opt_filter).flatten().map(|at| i64::from(marks.is_valid(at) && marks.value(at)));
        let counts = Int64Array::from_iter_values(counts);
        Ok(vec![Arc::new(ListArray::try_new(count_field(), offsets, Arc::new(counts), None)?)])
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Vec<i64>>() + self.held * size_of::<i64>()
    }
}
