//! `funnel`, `funnel_strict`, `funnel_any`: how far each actor came through the steps, and when.
//!
//! Kept of a group are its steps' events as 8-byte numbers, time and step together, so that sorting them puts ties in
//! time into the order of the steps. They are sorted, group by group, when the answer is made: order and batches of
//! the input do not matter. Walking them from the last to the first then finds the best chain in one pass, because
//! the chain that begins at an event is that event and the chain of the earliest next step after it.
//!
//! After ClickHouse's `windowFunnel(window, mode)(timestamp, cond1, …)`. What differs: the times of the steps are
//! given, not only the level; simultaneous events count in the order of the steps, not as they happen to lie; the
//! chain is the earliest of the deepest, where ClickHouse keeps the latest start; strict means that no other step's
//! event lies between, also one whose predecessor was seen (`strict_order` lets that pass); any order is ours.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, ListArray, StringViewArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, TimestampMicrosecondType};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};

use super::SECTION;
use super::constants::{fixed, literal, not_constant, span, span_type, texts};
use super::grouped::{Groups, OneGroup, Pairs, check_groups, emitted, list_offsets, passes};
use crate::clock::Micros;
use crate::event::time_type;

/// The most steps: their numbers take five bits beside a time.
const MAX_STEPS: usize = 32;
const STEP_BITS: u32 = 5;

pub(super) fn functions() -> Vec<AggregateUDF> {
    [Order::Time, Order::Strict, Order::Any].map(|order| AggregateUDF::from(Funnel::new(order))).to_vec()
}

/// How the steps must follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Order {
    Time,
    Strict,
    Any,
}

/// The constants of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    order: Order,
    pub(super) steps: Vec<String>,
    window: Option<Micros>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Funnel {
    order: Order,
    /// Known once the query is simplified; the arguments are time and type only from then on.
    plan: Option<Arc<Plan>>,
    signature: Signature,
}

impl Funnel {
    fn new(order: Order) -> Self {
        Self { order, plan: None, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// The call with its constants inside.
    fn planned(order: Order, call: &AggregateFunction) -> Result<Option<Self>> {
        let function = Self::new(order);
        let plan = plan(function.name(), order, call.params.args.get(2..).unwrap_or_default())?;
        Ok(plan.map(|plan| Self { plan: Some(Arc::new(plan)), ..function }))
    }

    fn groups(&self) -> Result<Funnels> {
        match &self.plan {
            Some(plan) => Ok(Funnels::new(Arc::clone(plan))),
            None => Err(not_constant(self.name(), "steps and window")),
        }
    }
}

/// The constants `[steps]` or `[steps, window]` of a call; `None` while they are not known to be constants.
pub(super) fn plan(function: &str, order: Order, constants: &[Expr]) -> Result<Option<Plan>> {
    let [steps, rest @ ..] = constants else { return Ok(None) };
    let (Some(steps), Some(window)) = (literal(steps), rest.first().map_or(Some(None), |w| literal(w).map(Some)))
    else {
        return Ok(None);
    };
    let steps = texts(function, steps)?;
    if steps.is_empty() || steps.len() > MAX_STEPS {
        return plan_err!("{function} takes 1 to {MAX_STEPS} steps, not {}", steps.len());
    }
    if let Some(twice) = steps.iter().enumerate().find(|(i, step)| steps[..*i].contains(step)) {
        return plan_err!("{function} has the step {} twice: each must be another event", twice.1);
    }
    let window = match window {
        Some(window) => span(function, window)?,
        None => None,
    };
    Ok(Some(Plan { order, steps, window }))
}

/// The types `steps` and `window` are wanted in.
pub(super) fn wanted_constants(function: &str, steps: &DataType, window: &[DataType]) -> Result<Vec<DataType>> {
    let steps = match steps {
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => steps.clone(),
        other => {
            return plan_err!("{function} takes its steps as a list like ['product_view', 'purchase'], not {other}");
        }
    };
    std::iter::once(Ok(steps)).chain(window.iter().map(|window| span_type(function, window))).collect()
}

fn times_field() -> FieldRef {
    Arc::new(Field::new_list_field(time_type(), true))
}

fn result_fields() -> Fields {
    Fields::from(vec![
        Field::new("level", DataType::Int32, true),
        Field::new("times", DataType::List(times_field()), true),
    ])
}

fn state_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, true))
}

impl AggregateUDFImpl for Funnel {
    fn name(&self) -> &str {
        match self.order {
            Order::Time => "funnel",
            Order::Strict => "funnel_strict",
            Order::Any => "funnel_any",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let mut wanted = vec![time_type(), DataType::Utf8View];
        match (given, &self.plan) {
            ([_, _], Some(_)) => {}
            ([_, _, steps, rest @ ..], None) if rest.len() < 2 => {
                wanted.extend(wanted_constants(self.name(), steps, rest)?);
            }
            _ => return plan_err!("{0} takes {0}(ts, event_type, steps, window)", self.name()),
        }
        Ok(wanted)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(result_fields()))
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        if self.plan.is_some() {
            return None;
        }
        let order = self.order;
        Some(Box::new(move |call, _| {
            Ok(match Self::planned(order, &call)? {
                Some(planned) => fixed(call, 2, planned),
                None => Expr::AggregateFunction(call),
            })
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "events");
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
        Some(&DOCUMENTATION[self.order as usize])
    }
}

static DOCUMENTATION: LazyLock<[Documentation; 3]> = LazyLock::new(|| {
    let of = |name: &str, what: &str| {
        let text = format!(
            "How far a group (a session or a user) came through the steps, {what}, within `window` of its first step: \
             a struct of `level` (steps reached, 0 to the number of steps) and `times` (when each was reached). Of \
             several ways the deepest counts, then the earliest; simultaneous events count in the order of the steps. \
             After ClickHouse's windowFunnel; rows of other events and with nulls are passed over."
        );
        Documentation::builder(SECTION, text, format!("{name}(ts, event_type, steps[, window])"))
            .with_argument("ts", "when the event happened")
            .with_argument("event_type", "which event it is; a CASE expression makes steps of other columns")
            .with_argument("steps", "a constant list of up to 32 different event types, in order")
            .with_argument("window", "a constant interval, ends included; null or left out for no limit")
            .with_sql_example(format!(
                "SELECT f['level'] AS level, count(*) AS sessions FROM (SELECT {name}(event_ts, event_type, \
                 ['product_view', 'add_to_cart', 'purchase'], INTERVAL '1 hour') AS f FROM events GROUP BY session_id) \
                 GROUP BY 1 ORDER BY 1"
            ))
            .build()
    };
    [
        of("funnel", "in the order of time, whatever lies between"),
        of("funnel_strict", "in the order of time without an event of another step between"),
        of("funnel_any", "in any order, all within one window; `times` has a null for each step not reached"),
    ]
});

/// Which step a text is.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    /// Length and first four bytes of each step, as a view's lower half holds them.
    heads: Vec<u64>,
    steps: Vec<String>,
}

/// The lower half of a text's view: its length, then its first four bytes.
fn head(text: &str) -> u64 {
    let mut prefix = [0; 4];
    for (to, from) in prefix.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    (u64::from(u32::from_le_bytes(prefix)) << 32) | (text.len() as u64 & u64::from(u32::MAX))
}

impl Matcher {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { heads: plan.steps.iter().map(|step| head(step)).collect(), steps: plan.steps.clone() }
    }

    #[inline]
    pub(super) fn step(&self, texts: &StringViewArray, row: usize) -> Option<usize> {
        #[allow(clippy::cast_possible_truncation)]
        let low = texts.views()[row] as u64;
        let mut from = 0;
        while let Some(at) = self.heads[from..].iter().position(|head| *head == low) {
            if texts.value(row) == self.steps[from + at] {
                return Some(from + at);
            }
            from += at + 1;
        }
        None
    }
}

/// The steps' events of all groups.
#[derive(Clone)]
struct Funnels {
    plan: Arc<Plan>,
    matcher: Matcher,
    events: Pairs<i64>,
    count: usize,
}

impl fmt::Debug for Funnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Funnels").field("plan", &self.plan).field("groups", &self.count).finish_non_exhaustive()
    }
}

/// Time and step as one number that sorts by time, then step.
#[inline]
pub(super) fn pack(time: Micros, step: usize) -> Result<i64> {
    let packed = time << STEP_BITS;
    if packed >> STEP_BITS != time {
        return exec_err!("a funnel cannot hold a time thousands of years away");
    }
    Ok(packed | step as i64)
}

fn unpack(packed: i64) -> (Micros, usize) {
    (packed >> STEP_BITS, (packed & (MAX_STEPS as i64 - 1)) as usize)
}

impl Funnels {
    fn new(plan: Arc<Plan>) -> Self {
        Self { matcher: Matcher::new(&plan), plan, events: Pairs::default(), count: 0 }
    }

    /// Hands over each event of a step, by its row.
    fn each(&self, values: &[ArrayRef], filter: Option<&BooleanArray>, mut take: impl FnMut(usize, i64)) -> Result<()> {
        let [times, types, ..] = values else { return exec_err!("a funnel needs a time and a type") };
        let (times, types) = (times.as_primitive::<TimestampMicrosecondType>(), types.as_string_view());
        for row in 0..times.len() {
            let Some(step) = self.matcher.step(types, row) else { continue };
            if types.is_valid(row) && times.is_valid(row) && passes(filter, row) {
                take(row, pack(times.value(row), step)?);
            }
        }
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> (Vec<usize>, Vec<i64>) {
        let n = emitted(emit_to, self.count);
        let taken = self.events.take(n, self.count);
        self.count -= n;
        taken
    }
}

impl Groups for Funnels {
    fn ensure(&mut self, groups: usize) -> Result<()> {
        self.count = self.count.max(groups);
        check_groups(self.count)
    }
}

impl GroupsAccumulator for Funnels {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.ensure(total_num_groups)?;
        let mut events = std::mem::take(&mut self.events);
        let done = self.each(values, opt_filter, |row, event| events.push(group_indices[row], event));
        self.events = events;
        done
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.ensure(total_num_groups)?;
        let Some(lists) = values.first().map(|v| v.as_list::<i32>()) else { return Ok(()) };
        let events = lists.values().as_primitive::<Int64Type>().values();
        let offsets = lists.value_offsets();
        for (row, &group) in group_indices.iter().enumerate() {
            if lists.is_valid(row) {
                for &event in &events[offsets[row] as usize..offsets[row + 1] as usize] {
                    self.events.push(group, event);
                }
            }
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (offsets, events) = self.take(emit_to);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(list_offsets(&offsets, 1)?));
        let list = ListArray::try_new(state_field(), offsets, Arc::new(Int64Array::from(events)), None)?;
        Ok(vec![Arc::new(list)])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (offsets, mut events) = self.take(emit_to);
        let mut answer = Answer::with_capacity(offsets.len());
        let mut walk = Walk::new(&self.plan);
        for range in offsets.windows(2) {
            let events = &mut events[range[0]..range[1]];
            events.sort_unstable();
            walk.best(events);
            answer.push(&walk)?;
        }
        answer.finish()
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let mut lengths = vec![0; rows];
        let mut events = Vec::with_capacity(rows);
        self.each(values, opt_filter, |row, event| {
            lengths[row] = 1;
            events.push(event);
        })?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        let list = ListArray::try_new(state_field(), offsets, Arc::new(Int64Array::from(events)), None)?;
        Ok(vec![Arc::new(list)])
    }

    fn size(&self) -> usize {
        self.events.size()
    }
}

/// The structs of the answer.
struct Answer {
    levels: Vec<i32>,
    offsets: Vec<i32>,
    times: Vec<Micros>,
    valid: Vec<bool>,
}

impl Answer {
    fn with_capacity(groups: usize) -> Self {
        let mut offsets = Vec::with_capacity(groups);
        offsets.push(0);
        Self { levels: Vec::with_capacity(groups), offsets, times: Vec::new(), valid: Vec::new() }
    }

    fn push(&mut self, walk: &Walk<'_>) -> Result<()> {
        let reached = &walk.best[..walk.length];
        self.times.extend(reached.iter().map(|time| time.unwrap_or(0)));
        self.valid.extend(reached.iter().map(Option::is_some));
        #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
        self.levels.push(walk.level as i32);
        match i32::try_from(self.times.len()) {
            Ok(offset) => self.offsets.push(offset),
            Err(_) => return exec_err!("more than {} times in one column of lists", i32::MAX),
        }
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef> {
        let nulls = self.valid.contains(&false).then(|| NullBuffer::from(self.valid));
        let times = TimestampMicrosecondArray::new(ScalarBuffer::from(self.times), nulls).with_timezone("UTC");
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let lists = ListArray::try_new(times_field(), offsets, Arc::new(times), None)?;
        let levels = Int32Array::from(self.levels);
        Ok(Arc::new(StructArray::try_new(result_fields(), vec![Arc::new(levels), Arc::new(lists)], None)?))
    }
}

/// Finds the best chain of one group after another.
pub(super) struct Walk<'a> {
    plan: &'a Plan,
    steps: usize,
    /// `chains[from * steps + step]`: when the chain that begins at step `from` reaches `step`; in strict and any
    /// order only the first row is used.
    chains: Vec<Micros>,
    /// Where the chain from each step ends, and in any order whether the step was seen.
    ends: Vec<usize>,
    level: usize,
    /// How many of `best` the answer has.
    length: usize,
    best: Vec<Option<Micros>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let steps = plan.steps.len();
        Self {
            plan,
            steps,
            chains: vec![0; steps * steps],
            ends: vec![0; steps + 1],
            level: 0,
            length: 0,
            best: vec![None; steps],
        }
    }

    /// How far the best chain through events sorted ascending comes.
    pub(super) fn level_of(&mut self, events: &[i64]) -> u8 {
        // Without its first step no chain begins, and alone it is one.
        match (self.plan.order, events) {
            (Order::Time, [one]) => u8::from(unpack(*one).1 == 0),
            (Order::Time, all) if all.iter().all(|event| unpack(*event).1 != 0) => 0,
            _ => {
                self.best(events);
                u8::try_from(self.level).unwrap_or(u8::MAX)
            }
        }
    }

    /// The best chain through events sorted ascending.
    fn best(&mut self, events: &[i64]) {
        self.level = 0;
        self.length = 0;
        self.ends.fill(0);
        match self.plan.order {
            Order::Time => self.in_time(events),
            Order::Strict => self.strict(events),
            Order::Any => self.any(events),
        }
    }

    /// The last moment that still counts for a chain from `start`.
    fn until(&self, start: Micros) -> Micros {
        self.plan.window.map_or(Micros::MAX, |window| start.saturating_add(window))
    }

    /// `chain` begins at step 1 and is later than none seen: keeps it when it is as deep as the best.
    fn offer(&mut self, end: usize) {
        let until = self.until(self.chains[0]);
        let level = self.chains[..end].iter().take_while(|time| **time <= until).count();
        if level >= self.level {
            self.level = level;
            self.length = level;
            for (to, from) in self.best.iter_mut().zip(&self.chains[..level]) {
                *to = Some(*from);
            }
        }
    }

    fn in_time(&mut self, events: &[i64]) {
        let n = self.steps;
        for &event in events.iter().rev() {
            let (time, step) = unpack(event);
            // The next step's chain so far begins at its earliest event after this one.
            let (at, end) = (step * n, self.ends[step + 1]);
            self.chains[at + step] = time;
            if end > 0 {
                let (head, tail) = self.chains.split_at_mut(at + n);
                head[at + step + 1..at + end].copy_from_slice(&tail[step + 1..end]);
            }
            self.ends[step] = end.max(step + 1);
            if step == 0 {
                self.offer(self.ends[0]);
            }
        }
    }

    fn strict(&mut self, events: &[i64]) {
        let (mut after, mut end) = (usize::MAX, 0);
        for &event in events.iter().rev() {
            let (time, step) = unpack(event);
            // Repeats of a step are one visit to it; anything but the next step ends the chain.
            if after != step && after != step + 1 {
                end = step + 1;
            }
            self.chains[step] = time;
            after = step;
            if step == 0 {
                self.offer(end);
            }
        }
    }

    fn any(&mut self, events: &[i64]) {
        let n = self.steps;
        for &event in events.iter().rev() {
            let (time, step) = unpack(event);
            self.chains[step] = time;
            self.ends[step] = 1;
            let until = self.until(time);
            let within = |step: usize| self.ends[step] > 0 && self.chains[step] <= until;
            let level = (0..n).filter(|step| within(*step)).count();
            if level >= self.level {
                self.level = level;
                self.length = n;
                for step in 0..n {
                    self.best[step] = (self.ends[step] > 0 && self.chains[step] <= until).then_some(self.chains[step]);
                }
            }
        }
    }
}

#[cfg(test)]
impl Plan {
    pub(super) fn of(order: Order, steps: &[&str], window: Option<Micros>) -> Self {
        Self { order, steps: steps.iter().map(|step| (*step).to_owned()).collect(), window }
    }
}

#[cfg(test)]
pub(super) fn accumulator(plan: Arc<Plan>) -> impl GroupsAccumulator {
    Funnels::new(plan)
}
