//! What the aggregate functions share: one accumulator for all groups also serves a query without GROUP BY.

use std::fmt::Debug;

use arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// Everything a function keeps of its groups.
pub(in crate::query) trait Groups: GroupsAccumulator + Clone + Debug + Sync {
    /// There are so many groups now, whether they had rows or not.
    fn ensure(&mut self, groups: usize) -> Result<()>;
}

/// All rows as one group.
#[derive(Debug)]
pub(in crate::query) struct OneGroup<G> {
    groups: G,
    /// Zeros, as many as the longest batch had rows.
    indices: Vec<usize>,
}

impl<G: Groups> OneGroup<G> {
    pub(in crate::query) fn new(function: &str, args: &AccumulatorArgs, groups: G) -> Result<Self> {
        if args.is_distinct {
            return plan_err!("{function} does not take DISTINCT: it looks at events, not at values");
        }
        Ok(Self { groups, indices: Vec::new() })
    }

    /// The state with its group in place, also when there was no row. A window asks again and again, so it must not
    /// be used up.
    fn settled(&self) -> Result<G> {
        let mut groups = self.groups.clone();
        groups.ensure(1)?;
        Ok(groups)
    }
}

impl<G: Groups> Accumulator for OneGroup<G> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |v| v.len());
        self.indices.resize(rows, 0);
        self.groups.update_batch(values, &self.indices, None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |v| v.len());
        self.indices.resize(rows, 0);
        self.groups.merge_batch(states, &self.indices, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.settled()?.evaluate(EmitTo::All)?;
        ScalarValue::try_from_array(&value, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let states = self.settled()?.state(EmitTo::All)?;
        states.iter().map(|state| ScalarValue::try_from_array(state, 0)).collect()
    }

    fn size(&self) -> usize {
        self.groups.size() + self.indices.capacity() * size_of::<usize>()
    }
}

/// Whether a row counts: it passes the FILTER.
pub(in crate::query) fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// A group's number, in half the space.
pub(in crate::query) fn check_groups(count: usize) -> Result<()> {
    if u32::try_from(count).is_err() {
        return exec_err!("more than {} groups in one query", u32::MAX);
    }
    Ok(())
}

/// How many groups are emitted of `count`.
pub(in crate::query) fn emitted(emit_to: EmitTo, count: usize) -> usize {
    match emit_to {
        EmitTo::All => count,
        EmitTo::First(n) => n.min(count),
    }
}

/// Values of many groups in the order they came, each with its group.
#[derive(Debug, Clone)]
pub(in crate::query) struct Pairs<T> {
    groups: Vec<u32>,
    values: Vec<T>,
}

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self { groups: Vec::new(), values: Vec::new() }
    }
}

impl<T: Copy + Default> Pairs<T> {
    /// Adds a value of a group that [`check_groups`] has passed.
    #[inline]
    pub(in crate::query) fn push(&mut self, group: usize, value: T) {
        #[allow(clippy::cast_possible_truncation)]
        self.groups.push(group as u32);
        self.values.push(value);
    }

    pub(in crate::query) fn len(&self) -> usize {
        self.values.len()
    }

    pub(in crate::query) fn size(&self) -> usize {
        self.groups.capacity() * size_of::<u32>() + self.values.capacity() * size_of::<T>()
    }

    /// Takes the values of the first `n` of all groups, group by group: `offsets[g]..offsets[g + 1]` are those of `g`.
    /// The groups after them move down by `n`.
    pub(in crate::query) fn take(&mut self, n: usize, all: usize) -> (Vec<usize>, Vec<T>) {
        let (groups, values) =
            if n == all { (std::mem::take(&mut self.groups), std::mem::take(&mut self.values)) } else { self.split(n) };
        let mut offsets = vec![0; n + 2];
        // One place to the right, so that filling leaves the starts where they belong.
        for &group in &groups {
            offsets[group as usize + 2] += 1;
        }
        for at in 2..offsets.len() {
            offsets[at] += offsets[at - 1];
        }
        let mut sorted = vec![T::default(); values.len()];
        for (&group, value) in groups.iter().zip(values) {
            let at = &mut offsets[group as usize + 1];
            sorted[*at] = value;
            *at += 1;
        }
        offsets.truncate(n + 1);
        (offsets, sorted)
    }

    fn split(&mut self, n: usize) -> (Vec<u32>, Vec<T>) {
        let (mut groups, mut values) = (Vec::new(), Vec::new());
        let mut kept = 0;
        for at in 0..self.groups.len() {
            let (group, value) = (self.groups[at], self.values[at]);
            if (group as usize) < n {
                groups.push(group);
                values.push(value);
            } else {
                #[allow(clippy::cast_possible_truncation)]
                let moved = group - n as u32;
                self.groups[kept] = moved;
                self.values[kept] = value;
                kept += 1;
            }
        }
        self.groups.truncate(kept);
        self.values.truncate(kept);
        (groups, values)
    }
}

/// List offsets of 32 bits.
pub(in crate::query) fn list_offsets(offsets: &[usize], scale: usize) -> Result<Vec<i32>> {
    let Some(end) = offsets.last() else { return Ok(vec![0]) };
    if i32::try_from(end * scale).is_err() {
        return exec_err!("more than {} values in one column of lists", i32::MAX);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
    Ok(offsets.iter().map(|offset| (offset * scale) as i32).collect())
}
