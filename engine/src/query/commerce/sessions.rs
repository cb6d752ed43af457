//! `sessions` and `session_count`: a user's visits, where events closer together than a gap are one visit.
//!
//! Kept of a group are intervals: first and last event and how many. Events under a gap apart share one, so two sets
//! of intervals unite into what all their events together would have made. The interval last touched is at hand, so
//! events that come roughly in the order of time, rising or falling, cost one comparison each; others open intervals
//! that are united later.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, TimestampMicrosecondType};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};

use super::SECTION;
use super::constants::{fixed, literal, not_constant, span, span_type};
use super::grouped::{Groups, OneGroup, Pairs, check_groups, emitted, list_offsets, passes};
use crate::clock::Micros;
use crate::event::time_type;

/// Loose intervals are united when there are so many of them, and again when there are twice as many as were left.
const UNITE_FROM: usize = 64 * 1024;

pub(super) fn functions() -> Vec<AggregateUDF> {
    [Answer::List, Answer::Count].map(|answer| AggregateUDF::from(Sessions::new(answer))).to_vec()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    List,
    Count,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sessions {
    answer: Answer,
    /// Known once the query is simplified; the only argument is the time from then on.
    gap: Option<Micros>,
    signature: Signature,
}

impl Sessions {
    fn new(answer: Answer) -> Self {
        Self { answer, gap: None, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn groups(&self) -> Result<Intervals> {
        match self.gap {
            Some(gap) => Ok(Intervals::new(self.answer, gap)),
            None => Err(not_constant(self.name(), "the gap")),
        }
    }
}

fn result_fields() -> Fields {
    Fields::from(vec![
        Field::new("start_ts", time_type(), true),
        Field::new("end_ts", time_type(), true),
        Field::new("events", DataType::Int64, true),
    ])
}

fn result_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(result_fields()), true))
}

fn state_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, true))
}

impl AggregateUDFImpl for Sessions {
    fn name(&self) -> &str {
        match self.answer {
            Answer::List => "sessions",
            Answer::Count => "session_count",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match (given, self.gap) {
            ([_], Some(_)) => Ok(vec![time_type()]),
            ([_, gap], None) => Ok(vec![time_type(), span_type(self.name(), gap)?]),
            _ => plan_err!("{0} takes {0}(ts, gap)", self.name()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.answer {
            Answer::List => DataType::List(result_field()),
            Answer::Count => DataType::Int64,
        })
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        if self.gap.is_some() {
            return None;
        }
        let answer = self.answer;
        Some(Box::new(move |call, _| {
            let function = Self::new(answer);
            let Some(gap) = call.params.args.get(1).and_then(literal) else {
                return Ok(Expr::AggregateFunction(call));
            };
            match span(function.name(), gap)? {
                Some(gap) => Ok(fixed(call, 1, Self { gap: Some(gap), ..function })),
                None => plan_err!("{} takes a gap that is not null", function.name()),
            }
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "intervals");
        Ok(vec![Arc::new(Field::new(name, DataType::List(state_field()), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::new(self.name(), &args, self.groups()?)?))
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
        Some(&DOCUMENTATION[self.answer as usize])
    }
}

static DOCUMENTATION: LazyLock<[Documentation; 2]> = LazyLock::new(|| {
    let of = |name: &str, what: &str, example: &str| {
        Documentation::builder(
            SECTION,
            format!(
                "{what} of a group (a user): events less than `gap` apart belong to one visit, also across midnight. \
                 The usual rule of web analytics, which sets the gap to 30 minutes; see sessionize() for a number \
                 beside each event."
            ),
            format!("{name}(ts, gap)"),
        )
        .with_argument("ts", "when the event happened; nulls are passed over")
        .with_argument("gap", "a constant interval; this far apart or more is another visit")
        .with_sql_example(example)
        .build()
    };
    [
        of(
            "sessions",
            "The visits, a list of structs of start_ts, end_ts and events,",
            "SELECT user_id, unnest(sessions(event_ts, INTERVAL '30 minutes')) AS visit FROM events GROUP BY user_id",
        ),
        of(
            "session_count",
            "How many visits there are",
            "SELECT user_id, session_count(event_ts, INTERVAL '30 minutes') AS visits FROM events GROUP BY user_id",
        ),
    ]
});

/// Events without a gap between: the first, the last, how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Interval {
    start: Micros,
    end: Micros,
    events: i64,
}

impl Interval {
    #[inline]
    fn touches(&self, other: &Self, gap: Micros) -> bool {
        other.start < self.end.saturating_add(gap) && self.start < other.end.saturating_add(gap)
    }

    #[inline]
    fn unite(&mut self, other: &Self) {
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.events += other.events;
    }
}

/// The intervals of all groups.
#[derive(Debug, Clone)]
struct Intervals {
    answer: Answer,
    gap: Micros,
    /// The one last touched of each group; of no events where there is none.
    last: Vec<Interval>,
    /// All others, which may touch one another and the last.
    loose: Pairs<Interval>,
    unite_at: usize,
}

impl Intervals {
    fn new(answer: Answer, gap: Micros) -> Self {
        Self { answer, gap, last: Vec::new(), loose: Pairs::default(), unite_at: UNITE_FROM }
    }

    #[inline]
    fn add(&mut self, group: usize, interval: Interval) {
        let last = &mut self.last[group];
        if last.events > 0 && last.touches(&interval, self.gap) {
            last.unite(&interval);
            return;
        }
        let before = std::mem::replace(last, interval);
        if before.events > 0 {
            self.loose.push(group, before);
        }
    }

    /// Keeps memory in proportion to the sessions there are, in whatever order the events come.
    fn tidy(&mut self) {
        if self.loose.len() < self.unite_at {
            return;
        }
        let groups = self.last.len();
        let last = self.last.clone();
        let (offsets, united) = self.take(groups);
        self.last = vec![Interval::default(); groups];
        for (group, last) in last.iter().enumerate() {
            for interval in &united[offsets[group]..offsets[group + 1]] {
                if interval.touches(last, self.gap) {
                    self.last[group] = *interval;
                } else {
                    self.loose.push(group, *interval);
                }
            }
        }
        self.unite_at = (self.loose.len() * 2).max(UNITE_FROM);
    }

    /// The sessions of the first `n` groups, in the order of time: `offsets[g]..offsets[g + 1]` are those of `g`.
    fn take(&mut self, n: usize) -> (Vec<usize>, Vec<Interval>) {
        let all = self.last.len();
        for (group, last) in self.last.iter().enumerate().take(n) {
            if last.events > 0 {
                self.loose.push(group, *last);
            }
        }
        let (mut offsets, mut intervals) = self.loose.take(n, all);
        self.last.drain(..n);
        let mut kept = 0;
        let mut start = 0;
        for group in 0..n {
            let end = offsets[group + 1];
            intervals[start..end].sort_unstable_by_key(|interval| (interval.start, interval.end));
            offsets[group] = kept;
            for at in start..end {
                let interval = intervals[at];
                if kept > offsets[group] && intervals[kept - 1].touches(&interval, self.gap) {
                    intervals[kept - 1].unite(&interval);
                } else {
                    intervals[kept] = interval;
                    kept += 1;
                }
            }
            start = end;
        }
        offsets[n] = kept;
        intervals.truncate(kept);
        (offsets, intervals)
    }
}

impl Groups for Intervals {
    fn ensure(&mut self, groups: usize) -> Result<()> {
        if groups > self.last.len() {
            self.last.resize(groups, Interval::default());
        }
        check_groups(self.last.len())
    }
}

impl GroupsAccumulator for Intervals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.ensure(total_num_groups)?;
        let Some(times) = values.first().map(|v| v.as_primitive::<TimestampMicrosecondType>()) else { return Ok(()) };
        let all = opt_filter.is_none() && times.null_count() == 0;
        for (row, (&group, &time)) in group_indices.iter().zip(times.values()).enumerate() {
            if all || (times.is_valid(row) && passes(opt_filter, row)) {
                self.add(group, Interval { start: time, end: time, events: 1 });
            }
        }
        self.tidy();
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.ensure(total_num_groups)?;
        let Some(lists) = values.first().map(|v| v.as_list::<i32>()) else { return Ok(()) };
        let numbers = lists.values().as_primitive::<Int64Type>().values();
        let offsets = lists.value_offsets();
        for (row, &group) in group_indices.iter().enumerate() {
            if lists.is_null(row) {
                continue;
            }
            for triple in numbers[offsets[row] as usize..offsets[row + 1] as usize].chunks_exact(3) {
                self.add(group, Interval { start: triple[0], end: triple[1], events: triple[2] });
            }
        }
        self.tidy();
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (offsets, intervals) = self.take(emitted(emit_to, self.last.len()));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(list_offsets(&offsets, 3)?));
        let mut numbers = Vec::with_capacity(intervals.len() * 3);
        for interval in intervals {
            numbers.extend([interval.start, interval.end, interval.events]);
        }
        Ok(vec![Arc::new(ListArray::try_new(state_field(), offsets, Arc::new(Int64Array::from(numbers)), None)?)])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (offsets, intervals) = self.take(emitted(emit_to, self.last.len()));
        if self.answer == Answer::Count {
            let count = |range: &[usize]| i64::try_from(range[1] - range[0]).unwrap_or(i64::MAX);
            return Ok(Arc::new(offsets.windows(2).map(count).collect::<Int64Array>()));
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(list_offsets(&offsets, 1)?));
        let times = |of: fn(&Interval) -> Micros| -> ArrayRef {
            let times = TimestampMicrosecondArray::from_iter_values(intervals.iter().map(of));
            Arc::new(times.with_timezone("UTC"))
        };
        let events = Int64Array::from_iter_values(intervals.iter().map(|interval| interval.events));
        let columns = vec![times(|i| i.start), times(|i| i.end), Arc::new(events) as ArrayRef];
        let visits = StructArray::try_new(result_fields(), columns, None)?;
        Ok(Arc::new(ListArray::try_new(result_field(), offsets, Arc::new(visits), None)?))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(times) = values.first().map(|v| v.as_primitive::<TimestampMicrosecondType>()) else {
            return exec_err!("sessions need a time");
        };
        let mut lengths = vec![0; times.len()];
        let mut numbers = Vec::with_capacity(times.len() * 3);
        for (row, &time) in times.values().iter().enumerate() {
            if times.is_valid(row) && passes(opt_filter, row) {
                lengths[row] = 3;
                numbers.extend([time, time, 1]);
            }
        }
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(vec![Arc::new(ListArray::try_new(state_field(), offsets, Arc::new(Int64Array::from(numbers)), None)?)])
    }

    fn size(&self) -> usize {
        self.last.capacity() * size_of::<Interval>() + self.loose.size()
    }
}
