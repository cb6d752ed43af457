//! `funnel_count`: how many actors came to each step, without a group for each of them.
//!
//! A funnel by session groups by a text of millions of values, only to count levels afterwards. Here the actor is an
//! argument: only rows of a step are looked at, an actor is a number, and an event 12 bytes until partitions unite.
//! Each partition then puts its actors in the order of a hash and finds their levels. Uniting partitions is a walk
//! along these orders: an actor that only one of them knows has its level already, others are looked at again with all
//! their events. So the work is done where rows are read, and nothing is sorted twice.
//!
//! The same answer as counting the levels of [`super::funnel`], and as exact: a hash only orders, texts are compared.

use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, LargeStringArray, ListArray, StringViewArray, StructArray,
    UInt8Array, UInt32Array, UInt64Array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Int64Type, TimestampMicrosecondType, UInt8Type, UInt32Type, UInt64Type,
};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};
use hashbrown::{DefaultHashBuilder, HashTable};

use super::SECTION;
use super::constants::{fixed, not_constant};
use super::funnel::{Matcher, Order, Plan, Walk, pack, plan, wanted_constants};
use super::grouped::{Pairs, check_groups, passes};
use crate::event::time_type;

const NAME: &str = "funnel_count";
/// Actors of another partition that are few enough to be taken in one by one.
const FEW: usize = 64;
/// Parts that are walked side by side; more become one first.
const MAX_PARTS: usize = 16;

/// One for all partitions, so that their orders are the same; random, so that nobody can make texts that collide.
static HASHER: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);

pub(super) fn function() -> AggregateUDF {
    AggregateUDF::from(FunnelCount { plan: None, signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FunnelCount {
    /// Known once the query is simplified; the arguments are actor, time and type only from then on.
    plan: Option<Arc<Plan>>,
    signature: Signature,
}

impl FunnelCount {
    fn plan(&self) -> Result<Arc<Plan>> {
        self.plan.clone().ok_or_else(|| not_constant(NAME, "steps and window"))
    }
}

fn list_field(of: DataType) -> FieldRef {
    Arc::new(Field::new_list_field(of, true))
}

/// What is handed from partition to partition: an actor's hash, text, level and number of events; and all events.
fn actor_fields() -> Fields {
    Fields::from(vec![
        Field::new("hash", DataType::UInt64, true),
        Field::new("actor", DataType::LargeUtf8, true),
        Field::new("level", DataType::UInt8, true),
        Field::new("events", DataType::UInt32, true),
    ])
}

impl AggregateUDFImpl for FunnelCount {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let mut wanted = vec![DataType::Utf8View, time_type(), DataType::Utf8View];
        match (given, &self.plan) {
            ([_, _, _], Some(_)) => {}
            ([_, _, _, steps, rest @ ..], None) if rest.len() < 2 => {
                wanted.extend(wanted_constants(NAME, steps, rest)?);
            }
            _ => return plan_err!("{NAME} takes {NAME}(actor, ts, event_type, steps, window)"),
        }
        Ok(wanted)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(list_field(DataType::Int64)))
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        if self.plan.is_some() {
            return None;
        }
        Some(Box::new(|call, _| {
            let constants = call.params.args.get(3..).unwrap_or_default();
            Ok(match plan(NAME, Order::Time, constants)? {
                Some(plan) => {
                    let signature = Signature::user_defined(Volatility::Immutable);
                    fixed(call, 3, Self { plan: Some(Arc::new(plan)), signature })
                }
                None => Expr::AggregateFunction(call),
            })
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |part, of| {
            let name = format_state_name(args.name, part);
            Arc::new(Field::new(name, DataType::List(list_field(of)), true))
        };
        Ok(vec![field("actors", DataType::Struct(actor_fields())), field("events", DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return plan_err!("{NAME} does not take DISTINCT: it looks at events, not at values");
        }
        Ok(Box::new(Everybody::new(self.plan()?)))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Grouped::new(self.plan()?)))
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
        "How many actors (sessions, users) reached each step, in the order of time, whatever lies between, within \
         `window` of their first step: a list as long as `steps`. The same as counting the levels of funnel() grouped \
         by actor, several times as fast. Rows of other events and with nulls are passed over.",
        "funnel_count(actor, ts, event_type, steps[, window])",
    )
    .with_argument("actor", "who goes through the funnel, such as session_id")
    .with_argument("ts", "when the event happened")
    .with_argument("event_type", "which event it is; a CASE expression makes steps of other columns")
    .with_argument("steps", "a constant list of up to 32 different event types, in order")
    .with_argument("window", "a constant interval, ends included; null or left out for no limit")
    .with_sql_example(
        "SELECT funnel_count(session_id, event_ts, event_type, ['product_view', 'add_to_cart', 'purchase'], \
         INTERVAL '1 hour') AS reached FROM events",
    )
    .build()
});

/// One actor of a [`Part`].
#[derive(Clone, Copy)]
struct Actor<'a> {
    hash: u64,
    id: &'a str,
    level: u8,
    /// Ascending.
    events: &'a [i64],
}

/// Actors in the order of (hash, text), with their events and the level these make.
#[derive(Debug, Clone)]
struct Part {
    hashes: UInt64Array,
    ids: LargeStringArray,
    levels: UInt8Array,
    /// `ends[n - 1]..ends[n]` are the events of actor `n`.
    ends: Vec<usize>,
    events: Int64Array,
}

impl Part {
    fn get(&self, at: usize) -> Option<Actor<'_>> {
        let end = *self.ends.get(at)?;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        Some(Actor {
            hash: self.hashes.value(at),
            id: self.ids.value(at),
            level: self.levels.value(at),
            events: &self.events.values()[start..end],
        })
    }

    /// What [`Self::into_arrays`] made.
    fn from_arrays(actors: &StructArray, events: &ArrayRef) -> Self {
        let mut end = 0;
        let counts = actors.column(3).as_primitive::<UInt32Type>();
        let ends = counts.values().iter().map(|count| {
            end += *count as usize;
            end
        });
        Self {
            hashes: actors.column(0).as_primitive::<UInt64Type>().clone(),
            ids: actors.column(1).as_string::<i64>().clone(),
            levels: actors.column(2).as_primitive::<UInt8Type>().clone(),
            ends: ends.collect(),
            events: events.as_primitive::<Int64Type>().clone(),
        }
    }

    fn into_arrays(self) -> Result<(StructArray, Int64Array)> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let counts = self.ends.iter().zip(starts).map(|(end, start)| u32::try_from(end - start).unwrap_or(u32::MAX));
        let counts: ArrayRef = Arc::new(UInt32Array::from_iter_values(counts));
        let columns: Vec<ArrayRef> = vec![Arc::new(self.hashes), Arc::new(self.ids), Arc::new(self.levels), counts];
        Ok((StructArray::try_new(actor_fields(), columns, None)?, self.events))
    }

    fn bytes(&self) -> usize {
        self.ends.capacity() * size_of::<usize>()
            + self.hashes.get_array_memory_size()
            + self.ids.get_array_memory_size()
            + self.levels.get_array_memory_size()
            + self.events.get_array_memory_size()
    }
}

/// A part under construction.
#[derive(Default)]
struct PartBuilder {
    hashes: Vec<u64>,
    ids: Vec<u8>,
    id_ends: Vec<i64>,
    levels: Vec<u8>,
    ends: Vec<usize>,
    events: Vec<i64>,
}

impl PartBuilder {
    fn push(&mut self, actor: Actor<'_>) -> Result<()> {
        if self.id_ends.is_empty() {
            self.id_ends.push(0);
        }
        self.hashes.push(actor.hash);
        self.ids.extend_from_slice(actor.id.as_bytes());
        match i64::try_from(self.ids.len()) {
            Ok(end) => self.id_ends.push(end),
            Err(_) => return exec_err!("{NAME} has too many actors"),
        }
        self.levels.push(actor.level);
        self.events.extend_from_slice(actor.events);
        self.ends.push(self.events.len());
        Ok(())
    }

    fn finish(mut self) -> Result<Part> {
        if self.id_ends.is_empty() {
            self.id_ends.push(0);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.id_ends));
        Ok(Part {
            hashes: UInt64Array::from(self.hashes),
            ids: LargeStringArray::try_new(offsets, self.ids.into(), None)?,
            levels: UInt8Array::from(self.levels),
            ends: self.ends,
            events: Int64Array::from(self.events),
        })
    }
}

/// Hands over each actor of all parts once, with everything that is known of it, in the order of (hash, text).
fn unite(parts: &[Part], plan: &Plan, mut take: impl FnMut(Actor<'_>) -> Result<()>) -> Result<()> {
    let mut walk = Walk::new(plan);
    let mut at = vec![0; parts.len()];
    let mut events = Vec::new();
    loop {
        let mut least: Option<Actor<'_>> = None;
        let mut shared = false;
        for (part, at) in parts.iter().zip(&at) {
            let Some(actor) = part.get(*at) else { continue };
            match least.map(|least| (actor.hash, actor.id).cmp(&(least.hash, least.id))) {
                Some(std::cmp::Ordering::Greater) => {}
                Some(std::cmp::Ordering::Equal) => shared = true,
                Some(std::cmp::Ordering::Less) | None => (least, shared) = (Some(actor), false),
            }
        }
        let Some(least) = least else { return Ok(()) };
        events.clear();
        for (part, at) in parts.iter().zip(&mut at) {
            if let Some(actor) = part.get(*at).filter(|actor| (actor.hash, actor.id) == (least.hash, least.id)) {
                *at += 1;
                if shared {
                    events.extend_from_slice(actor.events);
                }
            }
        }
        if shared {
            events.sort_unstable();
            take(Actor { level: walk.level_of(&events), events: &events, ..least })?;
        } else {
            take(least)?;
        }
    }
}

#[derive(Debug, Clone)]
struct Slot {
    hash: u64,
    code: u32,
}

/// The actors of one group.
#[derive(Debug, Clone, Default)]
struct Actors {
    /// Their codes by their texts,
    codes: HashTable<Slot>,
    /// which stand one after the other here,
    ids: Vec<u8>,
    id_ends: Vec<usize>,
    /// and their events, as they come.
    events: Pairs<i64>,
    /// What is in order already.
    parts: Vec<Part>,
}

impl Actors {
    fn id<'a>(ids: &'a [u8], id_ends: &[usize], code: u32) -> &'a [u8] {
        let code = code as usize;
        &ids[if code == 0 { 0 } else { id_ends[code - 1] }..id_ends[code]]
    }

    #[inline]
    fn code(&mut self, hash: u64, id: &str) -> Result<u32> {
        let (ids, id_ends) = (&self.ids, &self.id_ends);
        let same = |slot: &Slot| slot.hash == hash && Self::id(ids, id_ends, slot.code) == id.as_bytes();
        if let Some(slot) = self.codes.find(hash, same) {
            return Ok(slot.code);
        }
        check_groups(self.id_ends.len())?;
        #[allow(clippy::cast_possible_truncation)]
        let code = self.id_ends.len() as u32;
        self.ids.extend_from_slice(id.as_bytes());
        self.id_ends.push(self.ids.len());
        self.codes.insert_unique(hash, Slot { hash, code }, |slot| slot.hash);
        Ok(code)
    }

    #[inline]
    fn add(&mut self, id: &str, event: i64) -> Result<()> {
        let code = self.code(HASHER.hash_one(id), id)?;
        self.events.push(code as usize, event);
        Ok(())
    }

    /// Takes in a part, its actors one by one where they are few.
    fn adopt(&mut self, part: Part, plan: &Plan) -> Result<()> {
        if part.ends.len() > FEW {
            return self.keep(part, plan);
        }
        for at in 0..part.ends.len() {
            let Some(actor) = part.get(at) else { break };
            let code = self.code(actor.hash, actor.id)?;
            for event in actor.events {
                self.events.push(code as usize, *event);
            }
        }
        Ok(())
    }

    fn keep(&mut self, part: Part, plan: &Plan) -> Result<()> {
        self.parts.push(part);
        if self.parts.len() > MAX_PARTS {
            self.parts = vec![self.united(plan)?];
        }
        Ok(())
    }

    /// Puts everything in order.
    fn settle(&mut self, plan: &Plan) -> Result<()> {
        if self.id_ends.is_empty() {
            return Ok(());
        }
        let part = self.sorted(plan)?;
        self.codes = HashTable::new();
        (self.ids, self.id_ends) = (Vec::new(), Vec::new());
        self.keep(part, plan)
    }

    /// Rows that are not in a part yet, as one.
    fn sorted(&mut self, plan: &Plan) -> Result<Part> {
        let count = self.id_ends.len();
        let (offsets, mut events) = self.events.take(count, count);
        let (ids, id_ends) = (&self.ids, &self.id_ends);
        let mut order: Vec<Slot> = self.codes.iter().cloned().collect();
        order.sort_unstable_by(|a, b| {
            let texts = || Self::id(ids, id_ends, a.code).cmp(Self::id(ids, id_ends, b.code));
            a.hash.cmp(&b.hash).then_with(texts)
        });
        let mut walk = Walk::new(plan);
        let mut part = PartBuilder::default();
        for Slot { hash, code } in order {
            let events = &mut events[offsets[code as usize]..offsets[code as usize + 1]];
            events.sort_unstable();
            let Ok(id) = std::str::from_utf8(Self::id(ids, id_ends, code)) else {
                return exec_err!("{NAME} met a text that is none");
            };
            part.push(Actor { hash, id, level: walk.level_of(events), events })?;
        }
        part.finish()
    }

    fn united(&self, plan: &Plan) -> Result<Part> {
        let mut part = PartBuilder::default();
        unite(&self.parts, plan, |actor| part.push(actor))?;
        part.finish()
    }

    /// Everything as one part.
    fn state(&mut self, plan: &Plan) -> Result<(StructArray, Int64Array)> {
        self.settle(plan)?;
        let one = if let [part] = self.parts.as_slice() { part.clone() } else { self.united(plan)? };
        one.into_arrays()
    }

    /// How many came to each step.
    fn count(&mut self, plan: &Plan) -> Result<Vec<i64>> {
        self.settle(plan)?;
        let mut levels = vec![0; plan.steps.len() + 1];
        unite(&self.parts, plan, |actor| {
            levels[usize::from(actor.level)] += 1;
            Ok(())
        })?;
        for step in (1..plan.steps.len()).rev() {
            levels[step] += levels[step + 1];
        }
        Ok(levels.split_off(1))
    }

    fn bytes(&self) -> usize {
        self.codes.capacity() * size_of::<Slot>() * 8 / 7
            + self.ids.capacity()
            + self.id_ends.capacity() * size_of::<usize>()
            + self.events.size()
            + self.parts.iter().map(Part::bytes).sum::<usize>()
    }
}

/// Hands over each event of a step: its row, its actor, itself.
fn each<'a>(
    matcher: &Matcher,
    values: &'a [ArrayRef],
    filter: Option<&BooleanArray>,
    mut take: impl FnMut(usize, &'a str, i64) -> Result<()>,
) -> Result<()> {
    let [actors, times, types, ..] = values else { return exec_err!("{NAME} needs an actor, a time and a type") };
    let (actors, types): (&StringViewArray, &StringViewArray) = (actors.as_string_view(), types.as_string_view());
    let times = times.as_primitive::<TimestampMicrosecondType>();
    for row in 0..times.len() {
        let Some(step) = matcher.step(types, row) else { continue };
        if types.is_valid(row) && times.is_valid(row) && actors.is_valid(row) && passes(filter, row) {
            take(row, actors.value(row), pack(times.value(row), step)?)?;
        }
    }
    Ok(())
}

/// Lists of one column, one for each group.
fn lists<'a>(of: DataType, each: impl Iterator<Item = &'a dyn Array>) -> Result<ArrayRef> {
    let each: Vec<&dyn Array> = each.collect();
    let values: usize = each.iter().map(|array| array.len()).sum();
    if i32::try_from(values).is_err() {
        return exec_err!("{NAME} has more than {} events or actors in one partition", i32::MAX);
    }
    let offsets = OffsetBuffer::from_lengths(each.iter().map(|array| array.len()));
    let values = match each.as_slice() {
        [] => arrow::array::new_empty_array(&of),
        // Without a copy, which may be of hundreds of megabytes.
        [one] => one.slice(0, one.len()),
        all => arrow::compute::concat(all)?,
    };
    Ok(Arc::new(ListArray::try_new(list_field(of), offsets, values, None)?))
}

fn states(parts: &[(StructArray, Int64Array)]) -> Result<Vec<ArrayRef>> {
    Ok(vec![
        lists(DataType::Struct(actor_fields()), parts.iter().map(|(actors, _)| actors as &dyn Array))?,
        lists(DataType::Int64, parts.iter().map(|(_, events)| events as &dyn Array))?,
    ])
}

/// The part in each row of a state.
fn each_part(states: &[ArrayRef], mut take: impl FnMut(usize, Part) -> Result<()>) -> Result<()> {
    let [actors, events] = states else { return exec_err!("{NAME} has two columns of state") };
    let (actors, events) = (actors.as_list::<i32>(), events.as_list::<i32>());
    for row in 0..actors.len() {
        if actors.is_valid(row) && events.is_valid(row) {
            take(row, Part::from_arrays(actors.value(row).as_struct(), &events.value(row)))?;
        }
    }
    Ok(())
}

fn answers(counts: &[Vec<i64>]) -> Result<ArrayRef> {
    let values = Int64Array::from_iter_values(counts.iter().flatten().copied());
    let offsets = OffsetBuffer::from_lengths(counts.iter().map(Vec::len));
    Ok(Arc::new(ListArray::try_new(list_field(DataType::Int64), offsets, Arc::new(values), None)?))
}

/// All rows as one group.
#[derive(Debug)]
struct Everybody {
    plan: Arc<Plan>,
    matcher: Matcher,
    actors: Actors,
}

impl Everybody {
    fn new(plan: Arc<Plan>) -> Self {
        Self { matcher: Matcher::new(&plan), plan, actors: Actors::default() }
    }
}

impl Accumulator for Everybody {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&self.matcher, values, None, |_, actor, event| self.actors.add(actor, event))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        each_part(states, |_, part| self.actors.adopt(part, &self.plan))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let part = self.actors.state(&self.plan)?;
        states(&[part])?.iter().map(|state| ScalarValue::try_from_array(state, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let counts = self.actors.count(&self.plan)?;
        ScalarValue::try_from_array(&answers(&[counts])?, 0)
    }

    fn size(&self) -> usize {
        self.actors.bytes()
    }
}

/// The actors of each group.
#[derive(Debug)]
struct Grouped {
    plan: Arc<Plan>,
    matcher: Matcher,
    groups: Vec<Actors>,
    /// Bytes all of them take.
    held: usize,
}

impl Grouped {
    fn new(plan: Arc<Plan>) -> Self {
        Self { matcher: Matcher::new(&plan), plan, groups: Vec::new(), held: 0 }
    }

    fn ensure(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, Actors::default);
        }
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Actors> {
        let taken = emit_to.take_needed(&mut self.groups);
        self.held -= taken.iter().map(Actors::bytes).sum::<usize>();
        taken
    }
}

impl GroupsAccumulator for Grouped {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.ensure(total_num_groups);
        let Self { matcher, groups, held, .. } = self;
        each(matcher, values, opt_filter, |row, actor, event| {
            let group = &mut groups[group_indices[row]];
            let before = group.bytes();
            group.add(actor, event)?;
            *held = *held + group.bytes() - before;
            Ok(())
        })
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.ensure(total_num_groups);
        each_part(values, |row, part| {
            let group = &mut self.groups[group_indices[row]];
            let before = group.bytes();
            group.adopt(part, &self.plan)?;
            self.held = self.held + group.bytes() - before;
            Ok(())
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit_to);
        let parts = groups.into_iter().map(|mut actors| actors.state(&self.plan)).collect::<Result<Vec<_>>>()?;
        states(&parts)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.take(emit_to);
        let counts = groups.into_iter().map(|mut actors| actors.count(&self.plan)).collect::<Result<Vec<_>>>()?;
        answers(&counts)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let mut walk = Walk::new(&self.plan);
        let mut lengths = vec![0; rows];
        let mut part = PartBuilder::default();
        each(&self.matcher, values, opt_filter, |row, id, event| {
            lengths[row] = 1;
            let level = walk.level_of(&[event]);
            part.push(Actor { hash: HASHER.hash_one(id), id, level, events: &[event] })
        })?;
        let (actors, events) = part.finish()?.into_arrays()?;
        let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
        let list = |of, offsets, values| -> Result<ArrayRef> {
            Ok(Arc::new(ListArray::try_new(list_field(of), offsets, values, None)?))
        };
        Ok(vec![
            list(DataType::Struct(actor_fields()), offsets.clone(), Arc::new(actors))?,
            list(DataType::Int64, offsets, Arc::new(events))?,
        ])
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Actors>() + self.held
    }
}

#[cfg(test)]
pub(super) fn one_group(plan: Arc<Plan>) -> impl Accumulator {
    Everybody::new(plan)
}

#[cfg(test)]
pub(super) fn per_group(plan: Arc<Plan>) -> impl GroupsAccumulator {
    Grouped::new(plan)
}
