//! Random ingest, duplicates, late events, flushes, compactions, crashes and reopenings: SQL always equals a plain
//! list of events.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tideline_engine::fs::sim::SimFs;

use crate::support::{Event, MARCH_MS, cases, ingest, open, stored};

#[derive(Debug, Clone)]
enum Step {
    Ingest(Vec<Event>),
    Flush,
    Compact,
    Vacuum,
    PowerLoss,
    Reopen,
}

/// Few ids over few hours of three days, so that duplicates, late events and equal ids in other hours all happen.
fn event() -> impl Strategy<Value = Event> {
    (0..12u8, 0..3i64, 0..2i64, 0..3i64, 1..100i64).prop_map(|(id, day, hour, minute, price)| {
        Event::new(format!("e{id}"), MARCH_MS + day * 86_400_000 + hour * 3_600_000 + minute * 60_000, price)
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(event(), 1..8).prop_map(Step::Ingest),
        3 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Vacuum),
        2 => Just(Step::PowerLoss),
        1 => Just(Step::Reopen),
    ]
}

/// What the engine promises, in ten lines: the first event of an id in an hour counts, the others are duplicates.
#[derive(Default)]
struct Model(BTreeMap<(i64, String), Event>);

impl Model {
    fn ingest(&mut self, events: &[Event]) -> (usize, usize) {
        let before = self.0.len();
        for event in events {
            self.0.entry((event.ts_ms / 3_600_000, event.id.clone())).or_insert_with(|| event.clone());
        }
        let accepted = self.0.len() - before;
        (accepted, events.len() - accepted)
    }

    fn events(&self) -> Vec<Event> {
        let mut events: Vec<_> = self.0.values().cloned().collect();
        events.sort();
        events
    }
}

async fn run(steps: Vec<Step>) {
    let mut disk = SimFs::new();
    let mut engine = open(Arc::new(disk.clone())).await.unwrap();
    let mut model = Model::default();
    for step in steps {
        match &step {
            Step::Ingest(events) => {
                let receipt = ingest(&engine, events).await.unwrap();
                assert_eq!((receipt.accepted, receipt.duplicates), model.ingest(events), "{step:?}");
            }
            Step::Flush => drop(engine.flush().await.unwrap()),
            Step::Compact => drop(engine.compact().await.unwrap()),
            Step::Vacuum => drop(engine.vacuum().await.unwrap()),
            Step::PowerLoss => {
                drop(engine);
                disk = disk.power_loss();
                engine = open(Arc::new(disk.clone())).await.unwrap();
            }
            Step::Reopen => {
                assert_eq!(engine.close().await.unwrap().rows_kept_in_log, 0);
                drop(engine);
                engine = open(Arc::new(disk.clone())).await.unwrap();
            }
        }
        assert_eq!(stored(&engine).await.unwrap(), model.events(), "after {step:?}");
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn sql_always_equals_the_model(steps in prop::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
