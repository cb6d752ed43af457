//! `count(DISTINCT text)`, exact and quick to unite.
//!
//! A value is kept as its 128-bit hash under a random key, as ids are for deduplication, so nobody can construct two texts
//! that collide (ClickHouse's `uniqExact` keeps texts so, too). The state of a group is its hashes in order, end to end.
//! So a state that is kept ([`super::partials`]) or sent on is bytes that nobody looks into until two of them meet in one
//! group: a day that lies in one file is counted by the length of its state.
//!
//! Of DataFusion's own, the accumulator for texts keeps each value's bytes in a set for each group; grouping by the value
//! first (`SingleDistinctToGroupBy`) does better, for a single DISTINCT and nothing else. That is left alone where there is no
//! GROUP BY: it can spill.

use std::cmp::Reverse;
use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, BooleanArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, Aggregate, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, ExprSchemable, GroupsAccumulator,
    LogicalPlan, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use hashbrown::HashTable;

use super::commerce::grouped::{Groups, OneGroup, Pairs, check_groups, emitted, passes};
use crate::dedup::IdHasher;

/// Bytes of a hash.
const WIDTH: usize = size_of::<u128>();

/// Hashes of all queries are under one key, so that states that are kept meet others.
static HASHER: LazyLock<IdHasher> = LazyLock::new(IdHasher::random);
static FUNCTION: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
    Arc::new(AggregateUDF::from(CountDistinct { signature: Signature::any(1, Volatility::Immutable) }))
});

/// Puts [`CountDistinct`] in place of `count(DISTINCT text)`. After types are settled.
#[derive(Debug)]
pub(super) struct CountDistinctTexts;

impl AnalyzerRule for CountDistinctTexts {
    fn name(&self) -> &str {
        "CountDistinctTexts"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
            let is_single = aggregate.group_expr.is_empty() && aggregate.aggr_expr.len() == 1;
            if is_single || !aggregate.aggr_expr.iter().any(|expr| counts_texts(expr, aggregate)) {
                return Ok(Transformed::no(node));
            }
            let functions = aggregate.aggr_expr.iter().map(|expr| replaced(expr, aggregate)).collect();
            let new = Aggregate::try_new(Arc::clone(&aggregate.input), aggregate.group_expr.clone(), functions)?;
            Ok(Transformed::yes(LogicalPlan::Aggregate(new)))
        })
        .data()
    }
}

fn counts_texts(expr: &Expr, aggregate: &Aggregate) -> bool {
    let Expr::AggregateFunction(call) = expr else { return false };
    let params = &call.params;
    let [argument] = params.args.as_slice() else { return false };
    params.distinct
        && params.order_by.is_empty()
        && params.null_treatment.is_none()
        && call.func.as_ref() == count_udaf().as_ref()
        && argument.get_type(aggregate.input.schema()).is_ok_and(|of| of.is_string())
}

fn replaced(expr: &Expr, aggregate: &Aggregate) -> Expr {
    match expr {
        Expr::AggregateFunction(call) if counts_texts(expr, aggregate) => {
            let params = AggregateFunctionParams { distinct: false, ..call.params.clone() };
            Expr::AggregateFunction(AggregateFunction { func: Arc::clone(&FUNCTION), params })
        }
        other => other.clone(),
    }
}

/// The function, which SQL cannot name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CountDistinct {
    signature: Signature,
}

/// What the call was before it was replaced: columns keep their names.
fn as_written(params: &AggregateFunctionParams) -> AggregateFunctionParams {
    AggregateFunctionParams { distinct: true, ..params.clone() }
}

impl AggregateUDFImpl for CountDistinct {
    fn name(&self) -> &str {
        "count_distinct_texts"
    }

    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        count_udaf().schema_name(&as_written(params))
    }

    fn display_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        count_udaf().display_name(&as_written(params))
    }

    fn human_display(&self, params: &AggregateFunctionParams) -> Result<String> {
        count_udaf().human_display(&as_written(params))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match given {
            [of] if of.is_string() => Ok(DataType::Int64),
            _ => plan_err!("{} takes one text", self.name()),
        }
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn default_value(&self, _: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(0)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "hashes"), DataType::BinaryView, false))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::new(self.name(), &args, Sets::default())?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Sets::default()))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The sets of all groups: values that came as rows, and states as they came.
#[derive(Clone, Default)]
struct Sets {
    groups: Vec<HashTable<u128>>,
    /// Room in all of them.
    room: usize,
    states: Vec<BinaryViewArray>,
    /// For each group the states it has, as array and row.
    of_group: Pairs<(u32, u32)>,
    /// Bytes of states.
    held: usize,
}

impl fmt::Debug for Sets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sets").field("groups", &self.groups.len()).field("room", &self.room).finish_non_exhaustive()
    }
}

impl Groups for Sets {
    fn ensure(&mut self, groups: usize) -> Result<()> {
        check_groups(groups)?;
        if groups > self.groups.len() {
            self.groups.resize_with(groups, HashTable::new);
        }
        Ok(())
    }
}

/// Where a hash stands in a table: it is one already.
fn slot(hash: &u128) -> u64 {
    *hash as u64
}

impl Sets {
    fn add(&mut self, group: usize, hash: u128) {
        let set = &mut self.groups[group];
        let before = set.capacity();
        if let hashbrown::hash_table::Entry::Vacant(place) = set.entry(slot(&hash), |known| *known == hash, slot) {
            place.insert(hash);
        }
        self.room += set.capacity() - before;
    }

    /// Takes the first groups.
    fn take(&mut self, emit_to: EmitTo) -> Taken {
        let all = self.groups.len();
        let n = emitted(emit_to, all);
        let sets: Vec<_> = self.groups.drain(..n).collect();
        self.room -= sets.iter().map(HashTable::capacity).sum::<usize>();
        let (offsets, places) = self.of_group.take(n, all);
        let arrays = if n == all { std::mem::take(&mut self.states) } else { self.states.clone() };
        let states = |group: usize| places[offsets[group]..offsets[group + 1]].iter();
        self.held -= (0..n).flat_map(states).map(|at| arrays[at.0 as usize].value(at.1 as usize).len()).sum::<usize>();
        Taken { sets, offsets, places, arrays }
    }
}

/// What some groups had.
struct Taken {
    sets: Vec<HashTable<u128>>,
    offsets: Vec<usize>,
    places: Vec<(u32, u32)>,
    arrays: Vec<BinaryViewArray>,
}

impl Taken {
    fn states(&self, group: usize) -> impl Iterator<Item = &[u8]> {
        let places = &self.places[self.offsets[group]..self.offsets[group + 1]];
        places.iter().map(|(array, row)| self.arrays[*array as usize].value(*row as usize))
    }

    /// How many values a group has.
    fn count(&mut self, group: usize) -> usize {
        match (self.sets[group].len(), self.states(group).count()) {
            (values, 0) => values,
            (0, 1) => self.states(group).map(|state| state.len() / WIDTH).sum(),
            _ => self.sorted(group).len(),
        }
    }

    /// The values of a group, in order.
    fn sorted(&mut self, group: usize) -> Vec<u128> {
        let mut own: Vec<u128> = std::mem::take(&mut self.sets[group]).into_iter().collect();
        own.sort_unstable();
        let decode =
            |state: &[u8]| state.as_chunks::<WIDTH>().0.iter().map(|hash| u128::from_be_bytes(*hash)).collect();
        let mut runs: Vec<Vec<u128>> = self.states(group).map(decode).chain([own]).collect();
        // Always the two shortest: a long one is gone through once, however many short ones there are.
        runs.sort_unstable_by_key(|run| Reverse(run.len()));
        while runs.len() > 1 {
            let (one, other) = (runs.pop().unwrap_or_default(), runs.pop().unwrap_or_default());
            let united = united(&one, &other);
            let at = runs.partition_point(|run| run.len() > united.len());
            runs.insert(at, united);
        }
        runs.pop().unwrap_or_default()
    }
}

/// Two ordered lists as one, without what both have.
fn united(one: &[u128], other: &[u128]) -> Vec<u128> {
    if one.is_empty() {
        return other.to_vec();
    }
    let mut all = Vec::with_capacity(one.len() + other.len());
    let (mut i, mut j) = (0, 0);
    while i < one.len() && j < other.len() {
        let (a, b) = (one[i], other[j]);
        all.push(a.min(b));
        // Without a branch: which comes first cannot be predicted.
        i += usize::from(a <= b);
        j += usize::from(b <= a);
    }
    all.extend_from_slice(&one[i..]);
    all.extend_from_slice(&other[j..]);
    all
}

impl GroupsAccumulator for Sets {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.ensure(total_num_groups)?;
        let texts = texts(values)?;
        for (row, text) in texts.as_string_view().iter().enumerate() {
            let Some(text) = text.filter(|_| passes(opt_filter, row)) else { continue };
            self.add(group_indices[row], HASHER.id(text));
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.ensure(total_num_groups)?;
        let Some(states) = values.first().and_then(|v| v.as_binary_view_opt()) else {
            return exec_err!("the state of a distinct count is one column of bytes");
        };
        let (Ok(array), Ok(_)) = (u32::try_from(self.states.len()), u32::try_from(states.len())) else {
            return exec_err!("too many states of a distinct count in one query");
        };
        for (row, &group) in group_indices.iter().enumerate() {
            let bytes = states.value(row).len();
            if bytes > 0 {
                #[allow(clippy::cast_possible_truncation)]
                self.of_group.push(group, (array, row as u32));
                self.held += bytes;
            }
        }
        self.states.push(states.clone());
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut taken = self.take(emit_to);
        let mut column = BinaryViewBuilder::with_capacity(taken.sets.len());
        let mut bytes = Vec::new();
        for group in 0..taken.sets.len() {
            bytes.clear();
            bytes.extend(taken.sorted(group).iter().flat_map(|hash| hash.to_be_bytes()));
            if u32::try_from(bytes.len()).is_err() {
                return exec_err!("a group has more distinct values than one state holds");
            }
            column.append_value(&bytes);
        }
        Ok(vec![Arc::new(column.finish())])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut taken = self.take(emit_to);
        let counts = (0..taken.sets.len()).map(|group| i64::try_from(taken.count(group)).unwrap_or(i64::MAX));
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let texts = texts(values)?;
        let mut column = BinaryViewBuilder::with_capacity(texts.len());
        for (row, text) in texts.as_string_view().iter().enumerate() {
            match text.filter(|_| passes(opt_filter, row)) {
                Some(text) => column.append_value(HASHER.id(text).to_be_bytes()),
                None => column.append_value([]),
            }
        }
        Ok(vec![Arc::new(column.finish())])
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<HashTable<u128>>()
            // A slot has a byte beside its value, and tables are at most 7/8 full.
            + self.room * (WIDTH + 1) * 8 / 7
            + self.of_group.size()
            + self.states.capacity() * size_of::<BinaryViewArray>()
            + self.held
    }
}

/// The argument, in the form in which tables have it.
fn texts(values: &[ArrayRef]) -> Result<ArrayRef> {
    match values {
        [texts] if *texts.data_type() == DataType::Utf8View => Ok(Arc::clone(texts)),
        [texts] => Ok(cast(texts, &DataType::Utf8View)?),
        _ => exec_err!("a distinct count takes one text"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::StringViewArray;
    use proptest::prelude::*;

    use super::*;

    type Row = (usize, Option<u16>, Option<bool>);

    fn column(rows: &[Row]) -> [ArrayRef; 1] {
        let text = |n: u16| format!("value number {n}");
        [Arc::new(StringViewArray::from_iter(rows.iter().map(|(_, value, _)| value.map(text))))]
    }

    fn naive(parts: &[Vec<Row>], groups: usize) -> Vec<i64> {
        let mut sets = vec![BTreeSet::new(); groups];
        for (group, value, passes) in parts.iter().flatten() {
            if let (Some(value), Some(true)) = (value, passes) {
                sets[*group].insert(*value);
            }
        }
        sets.iter().map(|set| i64::try_from(set.len()).unwrap()).collect()
    }

    fn counts(array: &ArrayRef) -> Vec<i64> {
        array.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        /// In parts that come as rows, as states, or as states of single rows, and leave in two goes.
        #[test]
        fn counts_equal_those_of_plain_sets(
            parts in prop::collection::vec(
                (0_u8..3, prop::collection::vec((0_usize..5, prop::option::weighted(0.9, 0_u16..6_000), prop::option::of(any::<bool>())), 0..4_000)),
                1..4,
            ),
            first in 0_usize..=5,
        ) {
            let mut all = Sets::default();
            all.ensure(5).unwrap();
            for (how, rows) in &parts {
                let groups: Vec<usize> = rows.iter().map(|(group, ..)| *group).collect();
                let filter = BooleanArray::from_iter(rows.iter().map(|(.., passes)| *passes));
                match how {
                    0 => all.update_batch(&column(rows), &groups, Some(&filter), 5).unwrap(),
                    1 => {
                        let state = all.convert_to_state(&column(rows), Some(&filter)).unwrap();
                        all.merge_batch(&state, &groups, 5).unwrap();
                    }
                    _ => {
                        let mut one = Sets::default();
                        one.update_batch(&column(rows), &groups, Some(&filter), 5).unwrap();
                        let state = one.state(EmitTo::First(2)).unwrap();
                        all.merge_batch(&state, &[0, 1], 5).unwrap();
                        let rest = one.state(EmitTo::All).unwrap();
                        all.merge_batch(&rest, &[2, 3, 4], 5).unwrap();
                    }
                }
            }
            let mut found = counts(&all.evaluate(EmitTo::First(first)).unwrap());
            found.extend(counts(&all.evaluate(EmitTo::All).unwrap()));
            let parts: Vec<_> = parts.into_iter().map(|(_, rows)| rows).collect();
            prop_assert_eq!(found, naive(&parts, 5));
            prop_assert_eq!(all.held, 0, "bytes are given back");
        }
    }
}
