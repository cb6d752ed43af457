//! The judge: a table of what happens, and what holds whatever happens.

use std::time::Duration;

use proptest::prelude::*;

use super::judge::{Change, State, judge};
use crate::alert_log::Closed;
use crate::clock::Micros;
use crate::metrics::Rule;

const SECOND: Micros = 1_000_000;

/// Opens below 1 after 30 s, closes from 3 on after 60 s, lapses after 10 minutes.
fn rule() -> Rule {
    let second = Duration::from_secs(1);
    Rule::of("< 1", ">= 3", 30 * second, 60 * second, 600 * second)
}

/// What changes at which second, for a value every ten of them.
fn changes(rule: &Rule, values: &[Option<f64>]) -> Vec<(i64, Change)> {
    let mut state = State::default();
    let mut seen = Vec::new();
    for (second, value) in (0..).step_by(10).zip(values) {
        let (after, change) = judge(rule, state, second * SECOND, *value);
        state = after;
        seen.extend(change.map(|change| (second, change)));
    }
    seen
}

#[test]
fn alerts_open_and_close_as_the_table_says() {
    let (low, mid, high, none) = (Some(0.0), Some(2.0), Some(5.0), None);
    let opens = |second| (second, Change::Opens { value: 0.0 });
    let closes = |second| (second, Change::Closes(Closed::Recovered));
    type Case = (&'static str, Vec<Option<f64>>, Vec<(i64, Change)>);
    let cases: Vec<Case> = vec![
        ("nothing is wrong", vec![high; 20], vec![]),
        ("it opens once", vec![low; 20], vec![opens(30)]),
        ("not for long enough", [vec![low; 3], vec![mid], vec![low; 3], vec![high]].concat(), vec![]),
        ("the band changes nothing", [vec![low; 5], vec![mid; 20]].concat(), vec![opens(30)]),
        ("it closes", [vec![low; 5], vec![high; 10]].concat(), vec![opens(30), closes(110)]),
        (
            "a relapse begins the wait anew",
            [vec![low; 4], vec![high; 5], vec![low], vec![high; 7]].concat(),
            vec![opens(30), closes(160)],
        ),
        ("nothing to judge confirms nothing", [vec![low; 3], vec![none], vec![low; 3], vec![high]].concat(), vec![]),
        ("nor an end", [vec![low; 4], vec![high; 6], vec![none], vec![high; 7]].concat(), vec![opens(30), closes(170)]),
        (
            "nothing to judge for too long",
            [vec![low; 4], vec![none; 60]].concat(),
            vec![opens(30), (630, Change::Closes(Closed::Lapsed))],
        ),
        ("no number", vec![Some(f64::NAN); 20], vec![]),
        (
            "it opens again",
            [vec![low; 4], vec![high; 7], vec![low; 4]].concat(),
            vec![opens(30), closes(100), opens(140)],
        ),
    ];
    for (what, values, wanted) in cases {
        assert_eq!(changes(&rule(), &values), wanted, "{what}");
    }
    let at_once = Rule::of("< 1", ">= 3", Duration::ZERO, Duration::ZERO, Duration::from_secs(600));
    assert_eq!(changes(&at_once, &[low, high, low]), [opens(0), closes(10), opens(20)]);
}

proptest! {
    /// Against a naive reading of the rule over the whole history.
    #[test]
    fn it_does_what_the_history_says(
        steps in proptest::collection::vec((1..120_i64, prop_oneof![Just(None), (0..6_i32).prop_map(Some)]), 1..200),
    ) {
        let rule = rule();
        let (mut state, mut now, mut open_since) = (State::default(), 0, None::<usize>);
        let mut history: Vec<(Micros, Option<f64>)> = Vec::new();
        for (passed, value) in steps {
            now += passed * SECOND;
            history.push((now, value.map(f64::from)));
            let (after, change) = judge(&rule, state, now, value.map(f64::from));
            // How long a condition has held without a gap, looking back to `from` at most.
            let holds = |from: usize, condition: &dyn Fn(f64) -> bool| {
                let held = history[from..].iter().rev().take_while(|(_, v)| v.is_some_and(condition));
                held.last().map(|(since, _)| now - since)
            };
            let last_value = |from: usize| history[from..].iter().rev().find(|(_, v)| v.is_some()).map(|(at, _)| *at);
            let wanted = match open_since {
                // A history begins anew when an alert closes.
                None => holds(0, &|v| v < 1.0).filter(|held| *held >= 30 * SECOND).map(|_| true),
                Some(from) => {
                    let recovered = holds(from, &|v| v >= 3.0).is_some_and(|held| held >= 60 * SECOND);
                    let lapsed = value.is_none() && last_value(from).is_some_and(|at| now - at >= 600 * SECOND);
                    (recovered || lapsed).then_some(false)
                }
            };
            prop_assert_eq!(change.map(|c| matches!(c, Change::Opens { .. })), wanted, "{:?}", history);
            match change {
                Some(Change::Opens { .. }) => open_since = Some(history.len() - 1),
                Some(Change::Closes(_)) => (open_since, history) = (None, Vec::new()),
                None => {}
            }
            state = after;
            prop_assert_eq!(state.is_open(), open_since.is_some());
        }
    }
}
