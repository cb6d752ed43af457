//! Funnels against a naive implementation, in any order of rows, batches and partitions.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use datafusion::logical_expr::{Accumulator as _, EmitTo, GroupsAccumulator};
use proptest::prelude::*;

use super::funnel::{Order, Plan, accumulator};
use super::funnel_count::{one_group, per_group};

/// Longer than a view holds, equal in their first bytes, and short.
const STEPS: [&str; 4] = ["checkout_started", "checkout_started_again", "purchase", "x"];
const OTHER: &str = "checkout_finished";

/// An event: its actor, its moment, which step it is (or none).
#[derive(Debug, Clone, Copy)]
struct Event {
    actor: u8,
    time: i64,
    step: usize,
}

/// Few actors and few moments, so that there are ties.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..6u8, 0..12i64, 0..=STEPS.len()).prop_map(|(actor, time, step)| Event { actor, time, step });
    prop::collection::vec(event, 0..60)
}

fn columns(events: &[Event]) -> [ArrayRef; 3] {
    let actors = events.iter().map(|e| format!("an actor with a long name {}", e.actor));
    let types = events.iter().map(|e| STEPS.get(e.step).copied().unwrap_or(OTHER));
    [
        Arc::new(StringViewArray::from_iter_values(actors)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(events.iter().map(|e| e.time)).with_timezone("UTC")),
        Arc::new(StringViewArray::from_iter_values(types)),
    ]
}

/// The events of steps of one actor, in the order of time, ties in the order of the steps.
fn of_actor(events: &[Event], actor: u8) -> Vec<(i64, usize)> {
    let mut own: Vec<_> =
        events.iter().filter(|e| e.actor == actor && e.step < STEPS.len()).map(|e| (e.time, e.step)).collect();
    own.sort_unstable();
    own
}

/// Every chain there is; the deepest, then the earliest.
fn naive(events: &[(i64, usize)], order: Order, window: Option<i64>) -> (i32, Vec<Option<i64>>) {
    let mut best = (0, Vec::new());
    for (at, (start, first)) in events.iter().enumerate() {
        let within = events[at..].iter().take_while(|(time, _)| window.is_none_or(|window| *time <= start + window));
        let mut times = vec![None; STEPS.len()];
        let mut next = 0;
        for (time, step) in within {
            match order {
                Order::Any => times[*step] = times[*step].or(Some(*time)),
                _ if *step == next => {
                    times[next] = Some(*time);
                    next += 1;
                }
                // Another visit to the same step changes nothing; any other step ends it.
                Order::Strict if *step + 1 != next => break,
                _ => {}
            }
        }
        if order != Order::Any {
            times.truncate(next);
        }
        let level = i32::try_from(times.iter().flatten().count()).unwrap();
        if level > best.0 && (order == Order::Any || *first == 0) {
            best = (level, times);
        }
    }
    best
}

fn plan(order: Order, window: Option<i64>) -> Arc<Plan> {
    Arc::new(Plan::of(order, &STEPS, window))
}

/// Aggregates parts apart and unites them; some of them row by row, as when partial aggregation is skipped.
fn united<G: GroupsAccumulator>(
    make: impl Fn() -> G,
    parts: &[(Vec<ArrayRef>, Vec<usize>)],
    by_row: bool,
    groups: usize,
) -> ArrayRef {
    let mut all = make();
    for (values, indices) in parts {
        let mut one = make();
        if by_row {
            all.merge_batch(&one.convert_to_state(values, None).unwrap(), indices, groups).unwrap();
        } else {
            one.update_batch(values, indices, None, groups).unwrap();
            let states = one.state(EmitTo::All).unwrap();
            all.merge_batch(&states, &(0..groups).collect::<Vec<_>>(), groups).unwrap();
        }
    }
    all.evaluate(EmitTo::All).unwrap()
}

/// Cuts events into parts, each with its own columns.
fn parts(events: &[Event], cuts: usize) -> Vec<Vec<Event>> {
    (0..cuts).map(|part| events.iter().skip(part).step_by(cuts).copied().collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_funnel_is_the_best_of_all_chains(
        events in events(),
        cuts in 1..4usize,
        by_row in any::<bool>(),
        window in prop::option::of(1..8i64),
        order in prop_oneof![Just(Order::Time), Just(Order::Strict), Just(Order::Any)],
    ) {
        const ACTORS: usize = 6;
        let parts: Vec<_> = parts(&events, cuts).iter().map(|part| {
            let [_, times, types] = columns(part);
            (vec![times, types], part.iter().map(|e| usize::from(e.actor)).collect())
        }).collect();
        let answer = united(|| accumulator(plan(order, window)), &parts, by_row, ACTORS);
        let (levels, times) = (answer.as_struct().column(0), answer.as_struct().column(1).as_list::<i32>());
        for actor in 0..ACTORS {
            let own = times.value(actor);
            let own: Vec<_> = own.as_primitive::<TimestampMicrosecondType>().iter().collect();
            let found = (levels.as_primitive::<Int32Type>().value(actor), own);
            let actor = u8::try_from(actor).unwrap();
            prop_assert_eq!(found, naive(&of_actor(&events, actor), order, window), "actor {}", actor);
        }
    }

    /// With and without groups, the counts are those of the levels of all actors.
    #[test]
    fn counts_are_those_of_the_levels(
        events in events(),
        cuts in 1..4usize,
        by_row in any::<bool>(),
        window in prop::option::of(1..8i64),
        many in any::<bool>(),
    ) {
        // More actors than are taken in one by one.
        let mut events = events;
        if many {
            events.extend((0..200u8).map(|n| Event { actor: n, time: i64::from(n % 7), step: usize::from(n % 3) }));
        }
        let mut truth = vec![0i64; STEPS.len()];
        for actor in 0..=u8::MAX {
            let level = naive(&of_actor(&events, actor), Order::Time, window).0;
            (0..STEPS.len()).filter(|step| i32::try_from(*step).unwrap() < level).for_each(|step| truth[step] += 1);
        }
        let parts = parts(&events, cuts);
        let mut all = one_group(plan(Order::Time, window));
        for part in &parts {
            let mut one = one_group(plan(Order::Time, window));
            one.update_batch(&columns(part)).unwrap();
            let states: Vec<_> = one.state().unwrap().iter().map(|state| state.to_array().unwrap()).collect();
            all.merge_batch(&states).unwrap();
        }
        // Asked twice, as a window does.
        for _ in 0..2 {
            let answer = all.evaluate().unwrap().to_array().unwrap();
            prop_assert_eq!(answer.as_list::<i32>().value(0).as_primitive::<Int64Type>().values().to_vec(), truth.clone());
        }
        let parts: Vec<_> = parts.iter().map(|part| (columns(part).to_vec(), vec![0; part.len()])).collect();
        let answer = united(|| per_group(plan(Order::Time, window)), &parts, by_row, 1);
        prop_assert_eq!(answer.as_list::<i32>().value(0).as_primitive::<Int64Type>().values().to_vec(), truth);
    }
}
