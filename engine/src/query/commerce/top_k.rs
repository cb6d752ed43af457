//! `approx_top_k`: the most frequent values of a column, each with its count and how far that may be off.
//!
//! Kept of a group are counters of values, at most twice [`Plan::counters`] of them. When there are more, those with
//! the smallest counts go, and the largest count that went is remembered as the floor: a value without a counter came
//! at most so often. One that comes anew starts with the floor as its error. So a count is never too low, and the
//! floor never exceeds rows / counters (by induction: the counts above the floor, and the floor once for each counter,
//! add up to the rows at most; dropping, adding and uniting keep that so).
//!
//! After Metwally, Agrawal and El Abbadi's space-saving (2005), dropping many counters at once as Anderson et al. do
//! (2017, "A high-performance algorithm for identifying frequent items in data streams"), united after Agarwal et al.
//! (2012, "Mergeable summaries"). Where no value was ever dropped everything is exact.

use std::cmp::Reverse;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringArray, StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};
use hashbrown::HashMap;

use super::SECTION;
use super::constants::{fixed, literal, not_constant};
use super::grouped::{Groups, OneGroup, passes};

const NAME: &str = "approx_top_k";
/// The most values an answer has.
const MAX_K: usize = 1_000;
/// Counters for each value that is wanted, and the fewest.
const COUNTERS_PER_VALUE: usize = 8;
const LEAST_COUNTERS: usize = 256;

pub(super) fn function() -> AggregateUDF {
    AggregateUDF::from(TopK { plan: None, signature: Signature::user_defined(Volatility::Immutable) })
}

/// The constants of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Plan {
    k: usize,
    /// Counters that stay when there are too many.
    counters: usize,
}

impl Plan {
    fn new(k: usize) -> Self {
        Self { k, counters: (k * COUNTERS_PER_VALUE).max(LEAST_COUNTERS) }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TopK {
    /// Known once the query is simplified; the only argument is the column from then on.
    plan: Option<Plan>,
    signature: Signature,
}

impl TopK {
    fn groups(&self) -> Result<Sketches> {
        match self.plan {
            Some(plan) => Ok(Sketches::new(plan)),
            None => Err(not_constant(NAME, "k")),
        }
    }
}

fn result_fields() -> Fields {
    Fields::from(vec![
        Field::new("value", DataType::Utf8, true),
        Field::new("count", DataType::Int64, true),
        Field::new("error", DataType::Int64, true),
    ])
}

fn list_field(of: DataType) -> FieldRef {
    Arc::new(Field::new_list_field(of, true))
}

impl AggregateUDFImpl for TopK {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let column = match (given, self.plan) {
            ([column], Some(_)) => column,
            ([column, k], None) if k.is_integer() || k.is_null() => column,
            _ => return plan_err!("{NAME} takes {NAME}(column, k) with a constant k"),
        };
        if column.is_nested() {
            return plan_err!("{NAME} takes a column of single values, not of {column}");
        }
        let mut wanted = vec![DataType::Utf8View];
        wanted.resize(given.len(), DataType::Int64);
        Ok(wanted)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(list_field(DataType::Struct(result_fields()))))
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        if self.plan.is_some() {
            return None;
        }
        Some(Box::new(|call, _| {
            let k = match call.params.args.get(1).and_then(literal) {
                Some(ScalarValue::Int64(Some(k))) => usize::try_from(*k).unwrap_or(0),
                Some(_) => 0,
                None => return Ok(Expr::AggregateFunction(call)),
            };
            if !(1..=MAX_K).contains(&k) {
                return plan_err!("{NAME} takes a k of 1 to {MAX_K}");
            }
            let signature = Signature::user_defined(Volatility::Immutable);
            Ok(fixed(call, 1, Self { plan: Some(Plan::new(k)), signature }))
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |part, kind| Arc::new(Field::new(format_state_name(args.name, part), kind, true));
        Ok(vec![
            field("values", DataType::List(list_field(DataType::Utf8))),
            field("counts", DataType::List(list_field(DataType::Int64))),
            field("floor", DataType::Int64),
        ])
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
        format!(
            "The k most frequent values of a group, a list of structs of `value` (as text), `count` and `error`, most \
             frequent first, ties by value. The true count lies between count - error and count. Space-saving with m = \
             max({LEAST_COUNTERS}, {COUNTERS_PER_VALUE} k) counters: no error exceeds rows / m, no value that is left \
             out came more often than the last count says, and up to 2 m different values are counted exactly."
        ),
        "approx_top_k(column, k)",
    )
    .with_argument("column", "what to count; nulls are passed over")
    .with_argument("k", format!("a constant, how many values are wanted, at most {MAX_K}"))
    .with_sql_example(
        "SELECT country, approx_top_k(page, 3) AS pages FROM events WHERE event_type = 'page_view' GROUP BY country",
    )
    .build()
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    /// Never less than the value's rows,
    count: i64,
    /// and at most so much more.
    error: i64,
}

/// The counters of one group.
#[derive(Debug, Clone, Default)]
struct Sketch {
    values: HashMap<Box<str>, Counted>,
    /// The most rows of a value that has no counter.
    floor: i64,
}

impl Sketch {
    /// Bytes a counter takes beside its text.
    const ENTRY_BYTES: usize = size_of::<(Box<str>, Counted)>() * 2;

    /// Counts a value; the bytes it takes when it is new.
    fn count(&mut self, value: &str) -> usize {
        if let Some(known) = self.values.get_mut(value) {
            known.count += 1;
            return 0;
        }
        self.values.insert(value.into(), Counted { count: self.floor + 1, error: self.floor });
        value.len() + Self::ENTRY_BYTES
    }

    /// Adds the floor of another sketch to everything that is here: [`Self::unite`] takes it back where it has a counter.
    fn raise(&mut self, floor: i64) {
        if floor > 0 {
            for known in self.values.values_mut() {
                known.count += floor;
                known.error += floor;
            }
        }
    }

    /// One counter of another sketch whose floor was raised to; `before` is the floor that was here.
    fn unite(&mut self, value: &str, other: Counted, floor: i64, before: i64) -> usize {
        if let Some(known) = self.values.get_mut(value) {
            known.count += other.count - floor;
            known.error += other.error - floor;
            return 0;
        }
        self.values.insert(value.into(), Counted { count: other.count + before, error: other.error + before });
        value.len() + Self::ENTRY_BYTES
    }

    /// The most frequent first, ties by value.
    fn sorted(values: impl IntoIterator<Item = (Box<str>, Counted)>) -> Vec<(Box<str>, Counted)> {
        let mut sorted: Vec<_> = values.into_iter().collect();
        sorted.sort_unstable_by(|a, b| (Reverse(a.1.count), &a.0).cmp(&(Reverse(b.1.count), &b.0)));
        sorted
    }

    /// Drops the smallest counts when there are too many; the bytes they took.
    fn tidy(&mut self, counters: usize) -> usize {
        if self.values.len() <= counters * 2 {
            return 0;
        }
        let mut values = Self::sorted(self.values.drain());
        let dropped = values.split_off(counters);
        self.floor = dropped.iter().map(|(_, counted)| counted.count).max().unwrap_or(0).max(self.floor);
        self.values.extend(values);
        dropped.iter().map(|(value, _)| value.len() + Self::ENTRY_BYTES).sum()
    }

    fn bytes(&self) -> usize {
        self.values.keys().map(|value| value.len() + Self::ENTRY_BYTES).sum()
    }
}

/// The counters of all groups.
#[derive(Debug, Clone)]
struct Sketches {
    plan: Plan,
    groups: Vec<Sketch>,
    /// Bytes all of them take.
    held: usize,
}

impl Sketches {
    fn new(plan: Plan) -> Self {
        Self { plan, groups: Vec::new(), held: 0 }
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Sketch> {
        let taken = emit_to.take_needed(&mut self.groups);
        self.held -= taken.iter().map(Sketch::bytes).sum::<usize>();
        taken
    }
}

impl Groups for Sketches {
    fn ensure(&mut self, groups: usize) -> Result<()> {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, Sketch::default);
        }
        Ok(())
    }
}

/// A column of lists.
fn lists(of: DataType, lengths: impl IntoIterator<Item = usize>, values: ArrayRef) -> Result<ArrayRef> {
    Ok(Arc::new(ListArray::try_new(list_field(of), OffsetBuffer::from_lengths(lengths), values, None)?))
}

impl GroupsAccumulator for Sketches {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.ensure(total_num_groups)?;
        let Some(texts) = values.first().map(|v| v.as_string_view()) else { return Ok(()) };
        for (row, &group) in group_indices.iter().enumerate() {
            if texts.is_valid(row) && passes(opt_filter, row) {
                let sketch = &mut self.groups[group];
                let added = sketch.count(texts.value(row));
                if added > 0 {
                    self.held = self.held + added - sketch.tidy(self.plan.counters);
                }
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.ensure(total_num_groups)?;
        let [texts, counts, floors] = values else { return exec_err!("{NAME} has three columns of state") };
        let (texts, counts) = (texts.as_list::<i32>(), counts.as_list::<i32>());
        let floors = floors.as_primitive::<Int64Type>();
        let all_texts = texts.values().as_string::<i32>();
        let all_counts = counts.values().as_primitive::<Int64Type>().values();
        for (row, &group) in group_indices.iter().enumerate() {
            if texts.is_null(row) || counts.is_null(row) {
                continue;
            }
            let sketch = &mut self.groups[group];
            let (floor, before) = (floors.value(row), sketch.floor);
            sketch.raise(floor);
            let from = texts.value_offsets()[row] as usize;
            let range = counts.value_offsets()[row] as usize..counts.value_offsets()[row + 1] as usize;
            for (at, pair) in all_counts[range].chunks_exact(2).enumerate() {
                let counted = Counted { count: pair[0], error: pair[1] };
                self.held += sketch.unite(all_texts.value(from + at), counted, floor, before);
            }
            sketch.floor += floor;
            self.held -= sketch.tidy(self.plan.counters);
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit_to);
        let lengths: Vec<usize> = groups.iter().map(|sketch| sketch.values.len()).collect();
        let floors: Int64Array = groups.iter().map(|sketch| Some(sketch.floor)).collect();
        let (mut texts, mut counts) = (StringBuilder::new(), Vec::new());
        for sketch in groups {
            for (value, counted) in Sketch::sorted(sketch.values) {
                texts.append_value(value);
                counts.extend([counted.count, counted.error]);
            }
        }
        Ok(vec![
            lists(DataType::Utf8, lengths.iter().copied(), Arc::new(texts.finish()))?,
            lists(DataType::Int64, lengths.iter().map(|n| n * 2), Arc::new(Int64Array::from(counts)))?,
            Arc::new(floors),
        ])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.take(emit_to);
        let mut lengths = Vec::with_capacity(groups.len());
        let (mut texts, mut counts, mut errors) = (StringBuilder::new(), Vec::new(), Vec::new());
        for sketch in groups {
            let mut sorted = Sketch::sorted(sketch.values);
            sorted.truncate(self.plan.k);
            lengths.push(sorted.len());
            for (value, counted) in sorted {
                texts.append_value(value);
                counts.push(counted.count);
                errors.push(counted.error);
            }
        }
        let columns: Vec<ArrayRef> =
            vec![Arc::new(texts.finish()), Arc::new(Int64Array::from(counts)), Arc::new(Int64Array::from(errors))];
        let structs = StructArray::try_new(result_fields(), columns, None)?;
        lists(DataType::Struct(result_fields()), lengths, Arc::new(structs))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(texts) = values.first().map(|v| v.as_string_view()) else {
            return exec_err!("{NAME} needs a column");
        };
        let rows: Vec<Option<&str>> = (0..texts.len())
            .map(|row| (texts.is_valid(row) && passes(opt_filter, row)).then(|| texts.value(row)))
            .collect();
        let counts = rows.iter().flatten().flat_map(|_| [1, 0]);
        Ok(vec![
            lists(
                DataType::Utf8,
                rows.iter().map(|row| usize::from(row.is_some())),
                Arc::new(StringArray::from_iter_values(rows.iter().flatten())),
            )?,
            lists(
                DataType::Int64,
                rows.iter().map(|row| usize::from(row.is_some()) * 2),
                Arc::new(Int64Array::from_iter_values(counts)),
            )?,
            Arc::new(Int64Array::from(vec![0; rows.len()])),
        ])
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Sketch>() + self.held
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::StringViewArray;
    use proptest::prelude::*;

    use super::*;

    const COUNTERS: usize = 4;

    fn texts(numbers: &[u8]) -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(numbers.iter().map(|n| format!("value {n}"))))
    }

    /// What an answer holds of its first group, and the floor before it.
    fn answer(mut sketches: Sketches) -> (Vec<(String, i64, i64)>, i64) {
        let floor = sketches.groups.first().map_or(0, |sketch| sketch.floor);
        let list = sketches.evaluate(EmitTo::All).unwrap();
        assert_eq!(sketches.held, 0, "bytes are given back");
        let rows = list.as_list::<i32>().value(0);
        let rows = rows.as_struct();
        let number = |column: usize, row| rows.column(column).as_primitive::<Int64Type>().value(row);
        let values = rows.column(0).as_string::<i32>();
        ((0..rows.len()).map(|row| (values.value(row).to_owned(), number(1, row), number(2, row))).collect(), floor)
    }

    fn naive(parts: &[Vec<u8>]) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for n in parts.iter().flatten() {
            *counts.entry(format!("value {n}")).or_default() += 1;
        }
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        /// Counted in parts, some of them row by row, and united in turn: within the bounds of the naive count.
        #[test]
        fn counts_are_within_their_error_and_errors_within_the_bound(
            parts in prop::collection::vec(prop::collection::vec((0..40u8, 0..40u8).prop_map(|(a, b)| a.min(b)), 0..120), 1..5),
            by_row in any::<bool>(),
        ) {
            let plan = Plan { k: 2 * COUNTERS, counters: COUNTERS };
            let mut all = Sketches::new(plan);
            for part in &parts {
                let column = [texts(part)];
                let groups = vec![0; part.len()];
                if by_row {
                    let state = all.convert_to_state(&column, None).unwrap();
                    all.merge_batch(&state, &groups, 1).unwrap();
                } else {
                    let mut one = Sketches::new(plan);
                    one.update_batch(&column, &groups, None, 1).unwrap();
                    prop_assert!(one.groups[0].values.len() <= 2 * COUNTERS);
                    prop_assert_eq!(one.held, one.groups[0].bytes());
                    all.merge_batch(&one.state(EmitTo::All).unwrap(), &[0], 1).unwrap();
                }
            }
            prop_assert_eq!(all.held, all.groups[0].bytes());
            let (found, floor) = answer(all);
            let truth = naive(&parts);
            let rows: i64 = truth.values().sum();
            prop_assert!(floor * COUNTERS as i64 <= rows);
            for (value, count, error) in &found {
                let true_count = truth[value];
                prop_assert!(*error <= floor && true_count <= *count && count - error <= true_count);
            }
            for (value, true_count) in &truth {
                prop_assert!(*true_count <= floor || found.iter().any(|(known, ..)| known == value));
            }
            prop_assert!(found.is_sorted_by_key(|(value, count, _)| (Reverse(*count), value.clone())));
        }

        /// As many values as counters: nothing is approximate, ties by value.
        #[test]
        fn few_values_are_counted_exactly(parts in prop::collection::vec(prop::collection::vec(0..COUNTERS as u8, 0..80), 1..5)) {
            let plan = Plan { k: 3, counters: COUNTERS };
            let mut all = Sketches::new(plan);
            all.ensure(1).unwrap();
            for part in &parts {
                let mut one = Sketches::new(plan);
                one.update_batch(&[texts(part)], &vec![0; part.len()], None, 1).unwrap();
                all.merge_batch(&one.state(EmitTo::All).unwrap(), &[0], 1).unwrap();
            }
            let mut truth: Vec<_> = naive(&parts).into_iter().map(|(value, count)| (value, count, 0)).collect();
            truth.sort_by_key(|(value, count, _)| (Reverse(*count), value.clone()));
            truth.truncate(3);
            prop_assert_eq!(answer(all), (truth, 0));
        }
    }
}
