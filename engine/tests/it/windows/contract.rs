//! What every backend must do. The macro runs each function on each backend; one that it does not name is never used,
//! which does not compile without a warning.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tideline_engine::clock::Micros;
use tideline_engine::event::Seq;
use tideline_engine::hot::{
    Applied, Board, Count, HotConfig, HotWindow, Ids, LatestOrder, MINUTE, MemoryWindows, WindowDelta, minute_of,
};

use super::events::{Event, NOON, answers, assert_same, delta};
use super::{Backend, InMemory, InRedis};

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        contract!(@on memory, InMemory: $($test),*);
        contract!(@on redis, InRedis: $($test),*);
    };
    (@on $name:ident, $backend:ident: $($test:ident),*) => {
        mod $name {
            use super::{Backend as _, $backend};
            $(
                #[test]
                fn $test() {
                    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
                    super::$test(&$backend::start(), &runtime.unwrap());
                }
            )*
        }
    };
}

contract! {
    what_was_applied_counts_and_nothing_else_does,
    a_delta_that_does_not_follow_changes_nothing,
    late_events_count_in_their_own_minute_and_move_nobody_back,
    early_events_wait_in_their_own_minute,
    minutes_expire_by_the_time_that_is_handed_in,
    an_order_states_its_amount_once,
    steps_of_the_funnel_count_in_order_of_time_alone,
    too_many_ids_are_estimated_and_a_window_later_exact_again,
    a_share_of_estimates_is_estimated_too,
    too_many_names_are_lumped_together_and_lose_nothing,
    a_share_takes_the_place_of_what_was_applied,
    a_large_delta_counts_as_a_whole,
    every_answer_equals_memory_for_random_traffic,
}

type Runtime = tokio::runtime::Runtime;

async fn apply(windows: &dyn HotWindow, delta: &WindowDelta, now: Micros) {
    assert_eq!(windows.apply(delta, now).await.unwrap(), Applied::Yes);
}

fn exactly(count: u64) -> Count {
    Count { count, exact: true }
}

fn what_was_applied_counts_and_nothing_else_does(backend: &impl Backend, runtime: &Runtime) {
    runtime.block_on(async {
        let windows = backend.open(HotConfig::default());
        assert_eq!(windows.applied().await.unwrap(), Seq::ZERO);
        assert_eq!(windows.active(Ids::Users, 0).await.unwrap(), exactly(0));
        let empty = windows.kpis(minute_of(NOON), minute_of(NOON) + 1, NOON).await.unwrap();
        assert_eq!((empty.len(), empty[0].counts.events, empty[0].revenue), (1, 0, 0));
        let events = [Event::view(1, 0), Event::view(2, 1), Event::purchase(2, 2, Some(1), Some(1_999))];
        apply(&*windows, &delta(&events, 0, NOON), NOON).await;
        assert_eq!(windows.applied().await.unwrap(), Seq(3));
        let kpis = windows.kpis(minute_of(NOON) - 1, minute_of(NOON) + 1, NOON).await.unwrap();
        assert_eq!((kpis[0].counts.events, kpis[1].counts.events), (2, 1), "two of them are of 11:59");
        assert_eq!((kpis[0].orders, kpis[0].revenue, kpis[0].converted), (1, 199_900, exactly(1)));
        assert_eq!(kpis[1].latency.events(), 3);
        let top = windows.top(Board::Pages, minute_of(NOON) - 1, minute_of(NOON) + 1, 10).await.unwrap();
        assert_eq!((top.entries, top.exact), (vec![("/p/0".to_owned(), 2)], true));
        assert_eq!(windows.arrivals(NOON / 1_000_000 - 1, NOON / 1_000_000 + 1).await.unwrap(), [0, 3]);
    });
}

fn a_delta_that_does_not_follow_changes_nothing(backend: &impl Backend, runtime: &Runtime) {
    runtime.block_on(async {
        let windows = backend.open(HotConfig::default());
        let first = delta(&[Event::view(1, 0), Event::purchase(1, 0, None, Some(100))], 0, NOON);
        apply(&*windows, &first, NOON).await;
        let before = answers(&*windows, NOON).await;
        let lost = delta(&[Event::view(7, 0), Event::purchase(8, 0, Some(4), Some(100))], 5, NOON);
        let behind = delta(&[Event::view(9, 0)], 1, NOON);
        for wrong in [&first, &lost, &behind] {
            assert_eq!(windows.apply(wrong, NOON).await.unwrap(), Applied::No { at: Seq(2) });
            assert_eq!(answers(&*windows, NOON).await, before);
        }
        // Nothing to add, and a way to ask where the windows stand.
        apply(&*windows, &WindowDelta::default().between(Seq(2), Seq(2)), NOON).await;
        assert_eq!(answers(&*windows, NOON).await, before);
    });
}

fn late_events_count_in_their_own_minute_and_move_nobody_back(backend: &impl Backend, runtime: &Runtime) {
    runtime.block_on(async {
        let windows = backend.open(HotConfig::default());
        apply(&*windows, &delta(&[Event::view(1, 0)], 0, NOON), NOON).await;
        apply(&*windows, &delta(&[Event::view(1, 600), Event::view(2, 3_535), Event::view(3, 3_700)], 1, NOON), NOON)
            .await;
        let seen = windows.active_ids(Ids::Users, 0, 10).await.unwrap();
        let seen: Vec<_> = seen.iter().map(|a| (&*a.id, (NOON - a.last_seen) / 1_000_000)).collect();
        assert_eq!(seen, [("u1", 0), ("u2", 3_535)], "u3 is older than the window");
        let kpis = windows.kpis(minute_of(NOON) - 10, minute_of(NOON) - 9, NOON).await.unwrap();
        assert_eq!((kpis[0].counts.events, kpis[0].users), (1, exactly(1)));
        assert_eq!(windows.sessions_of("u1", 0).await.unwrap()[0].last_seen, NOON);
    });
}

fn early_events_wait_in_their_own_minute(backend: &impl Backend, runtime: &Runtime) {
    runtime.block_on(async {
        let windows = backend.open(HotConfig::default());
        apply(&*windows, &delta(&[Event::view(1, 0), Event::view(2, -290)], 0, NOON), NOON).await;
        assert_eq!(windows.active(Ids::Users, NOON - 60_000_000).await.unwrap(), exactly(2));
        let kpis = windows.kpis(minute_of(NOON), minute_of(NOON) + 100, NOON).await.unwrap();
        let events: Vec<u64> = kpis.iter().map(|k| k.counts.events).collect();
        assert_eq!(events, [1, 0, 0, 0, 1, 0]);
    });
}

fn minutes_expire_by_the_time_that_is_handed_in(backend: &impl Backend, runtime: &Runtime) {
    runtime.block_on(async {
        let windows = backend.open(HotConfig { window: 60, ..HotConfig::default() });
        let events = [Event::view(1, 0), Event::view(1, 120), Event::view(2, 120)];
        apply(&*windows, &delta(&events, 0, NOON), NOON).await;
        let later = NOON + 59 * MINUTE;
        apply(&*windows, &delta(&[Event::view(3, 0)], 3, later), later).await;
        assert_eq!(windows.active(Ids::Users, 0).await.unwrap(), exactly(2), "u2 is gone");
        assert_eq!(windows.kpis(0, i64::MAX, later).await.unwrap().first().unwrap().minute, minute_of(NOON));
        // The past does not come back: here comes what was late for an hour.
        let mut old = delta(&[Event::view(4, 0)], 4, NOON);
        old.prev = Seq(4);
        let later = NOON + 61 * MINUTE;
        apply(&*windows, &old, later).await;
        assert_eq!(windows.active(Ids::Users, 0).await.unwrap(), exactly(1));
        let kpis = windows.kpis(minute_of(NOON) - 5, i64::MAX, later).await.unwrap();
        assert_eq!(kpis.first().unwrap().minute, minute_of(NOON) + 2);
        assert_eq!(kpis.iter().map(|k| k.counts.events).sum::<u64>(), 1);
    });
}

fn an_order_states_its_amount_once(backend: &impl Backend, runtime: &Runtime) {
    runtime.block_on(async {
        let windows = backend.open(HotConfig::default());
        let purchase = |session, revenue| Event { thing: session, ..Event::purchase(session, 0, Some(3), revenue) };
        // Where it counts follows from the thing and the session: ads and DE, mail and FR.
        let first = delta(&[purchase(0, Some(1_000))], 0, NOON);
        let second = delta(&[purchase(1, Some(2_000)), purchase(1, None)], 1, NOON);
        let memory = MemoryWindows::new(HotConfig::default(), Seq::ZERO);
        // The one with the lower position states it, in whichever order they come.
        let mut early = second.clone();
        (early.prev, early.last) = (Seq(0), Seq(2));
        let mut late = first.clone();
        (late.prev, late.last) = (Seq(2), Seq(3));
        for delta in [&early, &late] {
            apply(&*windows, delta, NOON).await;
            apply(&memory, delta, NOON).await;
        }
        let kpi = &windows.kpis(minute_of(NOON), minute_of(NOON) + 1, NOON).await.unwrap()[0];
        assert_eq!((kpi.orders, kpi.counts.purchases), (1, 3));
        assert_eq!(kpi.revenue, 100_000 + 123_456, "10.00 stated once, and a line of 12.3456 by itself");
        let top = async |board| windows.top(board, minute_of(NOON), minute_of(NOON) + 1, 9).await.unwrap().entries;
        let expected = |a: &str, b: &str| vec![(b.to_owned(), 123_456), (a.to_owned(), 100_000)];
        assert_eq!(top(Board::RevenueBySource).await, expected("ads", "mail"));
        assert_eq!(top(Board::RevenueByCountry).await, expected("DE", "FR"));
        assert_same(&*windows, &memory, NOON).await;
    });
}

fn steps_of_the_funnel_count_in_order_of_time_alone(backend: &impl Backend, runtime: &Runtime) {
    let step = |session, kind, age_s| Event { kind, ..Event::view(session, age_s) };
    runtime.block_on(async {
        let windows = backend.open(HotConfig::default());
        // Session 1 goes all the way, its steps arrive backwards; session 2 buys before it looks.
        let steps = [step(1, 6, 10), step(1, 5, 20), step(2, 6, 30), step(2, 1, 20)];
        apply(&*windows, &delta(&steps, 0, NOON), NOON).await;
        assert_eq!(windows.funnel(0).await.unwrap(), [1, 0, 0, 0]);
        apply(&*windows, &delta(&[step(1, 2, 30), step(1, 1, 40)], 4, NOON), NOON).await;
        assert_eq!(windows.funnel(0).await.unwrap(), [2, 1, 1, 1]);
        assert_eq!(windows.funnel(NOON - 35_000_000).await.unwrap(), [1, 0, 0, 0]);
        // A second chain starts later, and reaches only the second step.
        apply(&*windows, &delta(&[step(1, 1, 5), step(1, 2, 4)], 6, NOON), NOON).await;
        assert_eq!(windows.funnel(NOON - 35_000_000).await.unwrap(), [2, 1, 0, 0]);
    });
}

/// A delta of one page view for each of many users and sessions.
fn crowd(ids: std::ops::Range<u32>, prev: u64, now: Micros) -> WindowDelta {
    let mut delta = delta(&[Event::view(1, 0)], prev, now);
    let (user, session) = (delta.users.remove("u1").unwrap(), delta.sessions.remove("s1").unwrap());
    for id in ids {
        delta.users.insert(format!("user-{id:014}"), user.clone());
        delta.sessions.insert(format!("session-{id:011}"), session.clone());
    }
    delta
}

fn too_many_ids_are_estimated_and_a_window_later_exact_again(backend: &impl Backend, runtime: &Runtime) {
    runtime.block_on(async {
        let config = HotConfig { max_ids: 500, window: 60, ..HotConfig::default() };
        let windows = backend.open(config);
        apply(&*windows, &crowd(0..500, 0, NOON), NOON).await;
        assert_eq!(windows.active(Ids::Users, 0).await.unwrap(), exactly(500));
        apply(&*windows, &crowd(400..3_000, 1, NOON + MINUTE), NOON + MINUTE).await;
        for ids in [Ids::Users, Ids::Sessions] {
            let active = windows.active(ids, 0).await.unwrap();
            assert!(!active.exact && active.count.abs_diff(3_000) < 100, "{ids:?} {active:?}");
            assert_eq!(windows.active_ids(ids, 0, 10_000).await.unwrap().len(), 500);
        }
        let kpis = windows.kpis(minute_of(NOON), minute_of(NOON) + 2, NOON + MINUTE).await.unwrap();
        for (kpi, expected) in kpis.iter().zip([500, 2_600]) {
            for count in [kpi.users, kpi.sessions] {
                assert!(!count.exact && count.count.abs_diff(expected) < 100, "{kpi:?}");
            }
            assert!(!kpi.converted.exact);
        }
        let later = NOON + 61 * MINUTE;
        apply(&*windows, &crowd(0..10, 2, later), later).await;
        assert_eq!(windows.active(Ids::Users, 0).await.unwrap(), exactly(10));
        assert_eq!(windows.kpis(minute_of(later), i64::MAX, later).await.unwrap()[0].sessions, exactly(10));
    });
}

fn a_share_of_estimates_is_estimated_too(backend: &impl Backend, runtime: &Runtime) {
    runtime.block_on(async {
        let config = HotConfig { max_ids: 500, ..HotConfig::default() };
        let memory = MemoryWindows::new(config.clone(), Seq::ZERO);
        apply(&memory, &crowd(0..3_000, 0, NOON), NOON).await;
        let windows = backend.open(config);
        windows.replace(&memory.share(), NOON).await.unwrap();
        for ids in [Ids::Users, Ids::Sessions] {
            // The same registers and the same estimator.
            let (ours, theirs) = (windows.active(ids, 0).await.unwrap(), memory.active(ids, 0).await.unwrap());
            assert!(!ours.exact && ours.count.abs_diff(theirs.count) <= 1, "{ids:?} {ours:?} {theirs:?}");
        }
        // Ids that were counted before are known again.
        apply(&*windows, &crowd(1_000..3_100, 1, NOON), NOON).await;
        let active = windows.active(Ids::Users, 0).await.unwrap();
        assert!(!active.exact && active.count.abs_diff(3_100) < 100, "{active:?}");
        let kpi = &windows.kpis(minute_of(NOON), minute_of(NOON) + 1, NOON).await.unwrap()[0];
        assert_eq!(kpi.users, active);
    });
}

fn too_many_names_are_lumped_together_and_lose_nothing(backend: &impl Backend, runtime: &Runtime) {
    runtime.block_on(async {
        let windows = backend.open(HotConfig { max_names: 3, ..HotConfig::default() });
        let pages = |from: u8, n: u8| (from..from + n).map(|thing| Event { thing, ..Event::view(1, 0) });
        let top = async || windows.top(Board::Pages, minute_of(NOON), minute_of(NOON) + 1, 100).await.unwrap();
        apply(&*windows, &delta(&pages(0, 3).collect::<Vec<_>>(), 0, NOON), NOON).await;
        assert!(top().await.exact);
        apply(&*windows, &delta(&pages(1, 6).collect::<Vec<_>>(), 3, NOON), NOON).await;
        let top = top().await;
        assert!(!top.exact);
        assert_eq!(top.entries.iter().map(|(_, views)| views).sum::<i128>(), 9);
        assert_eq!(top.entries[0], ("(other)".to_owned(), 4));
    });
}

fn a_share_takes_the_place_of_what_was_applied(backend: &impl Backend, runtime: &Runtime) {
    runtime.block_on(async {
        let windows = backend.open(HotConfig::default());
        let memory = MemoryWindows::new(HotConfig::default(), Seq::ZERO);
        let events: Vec<Event> = (0..40).map(|n| Event { kind: usize::from(n % 8), ..Event::view(n % 6, 7) }).collect();
        apply(&*windows, &delta(&events[..25], 0, NOON), NOON).await;
        for (from, to) in [(0, 10), (10, 40)] {
            apply(&memory, &delta(&events[from..to], from as u64, NOON), NOON).await;
        }
        // Twice: the second time it replaces itself.
        for _ in 0..2 {
            windows.replace(&memory.share(), NOON).await.unwrap();
            assert_same(&*windows, &memory, NOON).await;
        }
        let next = delta(&[Event::view(6, 0)], 40, NOON);
        apply(&*windows, &next, NOON).await;
        apply(&memory, &next, NOON).await;
        assert_same(&*windows, &memory, NOON).await;
    });
}

fn a_large_delta_counts_as_a_whole(backend: &impl Backend, runtime: &Runtime) {
    runtime.block_on(async {
        let windows = backend.open(HotConfig::default());
        let mut large = crowd(0..3_000, 0, NOON);
        // One user with more sessions than fit into one entry, one session with more steps than are remembered.
        let user = large.users.get_mut("user-00000000000007").unwrap();
        user.sessions.extend((0..1_700).map(|n| (format!("many-{n:04}"), NOON - n * 1_000)));
        let session = large.sessions.get_mut("session-00000000007").unwrap();
        session.steps.extend((0..400).map(|n| (NOON - n * 1_000, (n % 4) as usize)));
        for n in 0..2_500 {
            large.boards[0].insert(format!("/long/{n}"), [(minute_of(NOON), 2)].into());
        }
        let memory = MemoryWindows::new(HotConfig::default(), Seq::ZERO);
        apply(&*windows, &large, NOON).await;
        apply(&memory, &large, NOON).await;
        assert_eq!(windows.sessions_of("user-00000000000007", 0).await.unwrap().len(), 1_701);
        assert_same(&*windows, &memory, NOON).await;
        windows.replace(&memory.share(), NOON).await.unwrap();
        assert_same(&*windows, &memory, NOON).await;
    });
}

fn every_answer_equals_memory_for_random_traffic(backend: &impl Backend, runtime: &Runtime) {
    #[derive(Debug, Clone)]
    struct Step {
        events: Vec<Event>,
        /// Time that passes before it, in seconds.
        pause_s: i64,
        /// 0 to 2: it comes twice, it is lost and the share is put in place, or all is well.
        fate: u8,
    }
    let step = (prop::collection::vec(Event::any(), 1..25), 0_i64..900, 0_u8..8)
        .prop_map(|(events, pause_s, fate)| Step { events, pause_s, fate });
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&prop::collection::vec(step, 1..9), |steps| {
        runtime.block_on(async {
            let windows = backend.open(HotConfig::default());
            let memory = MemoryWindows::new(HotConfig::default(), Seq::ZERO);
            let (mut now, mut at) = (NOON, 0);
            for Step { events, pause_s, fate } in steps {
                now += pause_s * 1_000_000;
                let delta = delta(&events, at, now);
                at = delta.last.0;
                apply(&memory, &delta, now).await;
                match fate {
                    0 => {
                        apply(&*windows, &delta, now).await;
                        let again = windows.apply(&delta, now).await.unwrap();
                        prop_assert_eq!(again, Applied::No { at: delta.last });
                    }
                    1 => windows.replace(&memory.share(), now).await.unwrap(),
                    _ => apply(&*windows, &delta, now).await,
                }
                assert_same(&*windows, &memory, now).await;
            }
            Ok(())
        })
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn what_is_kept_of_an_order_reads_back() {
    let order = LatestOrder {
        event_ts: NOON,
        event_id: "e".into(),
        order_id: None,
        value: -i128::from(u64::MAX),
        currency: Some("EUR".into()),
        country: None,
    };
    let text = serde_json::to_string(&order).unwrap();
    assert_eq!(serde_json::from_str::<LatestOrder>(&text).unwrap(), order);
}
