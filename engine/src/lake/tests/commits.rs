//! Commits with unknown outcomes, and writers that race.

use super::*;
use crate::error::Kind;

#[tokio::test]
async fn a_commit_that_landed_and_answered_with_an_error_counts_once() {
    let flaky = Flaky::new();
    let store: Arc<dyn ObjectStore> = Arc::clone(&flaky) as _;
    let lake = open(&store, A).await;
    flaky.land_and_fail.store(1, Ordering::SeqCst);
    let snapshot = append(&lake, A, &minutes(1..11, NOON)).await.unwrap();
    assert_eq!((snapshot.version, snapshot.covered, snapshot.rows), (1, Seq(10), 10));
    assert_eq!(stored(&store, A).await, (1..11).collect::<Vec<_>>());
    append(&lake, A, &minutes(11..21, NOON)).await.unwrap();
    assert_eq!(stored(&store, A).await, (1..21).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_commit_that_did_not_land_is_tried_again_and_then_given_up() {
    let flaky = Flaky::new();
    let store: Arc<dyn ObjectStore> = Arc::clone(&flaky) as _;
    let lake = open(&store, A).await;
    flaky.refuse.store(2, Ordering::SeqCst);
    assert_eq!(append(&lake, A, &minutes(1..11, NOON)).await.unwrap().version, 1);
    flaky.refuse.store(1000, Ordering::SeqCst);
    let failed = append(&lake, A, &minutes(11..21, NOON)).await.unwrap_err();
    assert_ne!(failed.kind, Kind::Fatal);
    assert_eq!((lake.covered(), lake.current().rows), (Seq(10), 10), "nothing is visible");
    flaky.refuse.store(0, Ordering::SeqCst);
    append(&lake, A, &minutes(11..21, NOON)).await.unwrap();
    assert_eq!(stored(&store, A).await, (1..21).collect::<Vec<_>>());
}

/// The worst case: the commit landed, said it did not, and the log cannot be read either. The next flush is longer and
/// holds the same rows again.
#[tokio::test]
async fn a_commit_whose_outcome_stayed_unknown_is_settled_by_the_next() {
    let flaky = Flaky::new();
    let store: Arc<dyn ObjectStore> = Arc::clone(&flaky) as _;
    let lake = open(&store, A).await;
    flaky.land_and_fail.store(1, Ordering::SeqCst);
    flaky.blind_after_commit.store(true, Ordering::SeqCst);
    append(&lake, A, &minutes(1..11, NOON)).await.unwrap_err();
    assert_eq!(lake.covered(), Seq(0));
    append(&lake, A, &minutes(1..16, NOON)).await.unwrap_err();
    flaky.blind.store(false, Ordering::SeqCst);
    flaky.blind_after_commit.store(false, Ordering::SeqCst);
    let snapshot = append(&lake, A, &minutes(1..21, NOON)).await.unwrap();
    assert_eq!((snapshot.covered, snapshot.rows), (Seq(20), 20));
    assert_eq!(stored(&store, A).await, (1..21).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_flush_dropped_in_the_middle_of_its_commit_is_settled_by_the_next() {
    let flaky = Flaky::new();
    let store: Arc<dyn ObjectStore> = Arc::clone(&flaky) as _;
    let lake = open(&store, A).await;
    flaky.land_and_hang.store(true, Ordering::SeqCst);
    let hanging = minutes(1..11, NOON);
    let mut flush = Box::pin(append(&lake, A, &hanging));
    while flaky.inner.head(&Path::from("_delta_log/00000000000000000001.json")).await.is_err() {
        assert!(futures::poll!(&mut flush).is_pending());
        tokio::task::yield_now().await;
    }
    drop(flush);
    flaky.land_and_hang.store(false, Ordering::SeqCst);
    let snapshot = append(&lake, A, &minutes(1..21, NOON)).await.unwrap();
    assert_eq!((snapshot.version, snapshot.rows), (2, 20));
    assert_eq!(stored(&store, A).await, (1..21).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_nodes_write_one_table_each_with_its_own_position() {
    let store = memory();
    let (a, b) = (open(&store, A).await, open(&store, B).await);
    for round in 0..3 {
        let events = minutes(1 + round * 10..11 + round * 10, NOON);
        let (from_a, from_b) = tokio::join!(append(&a, A, &events), append(&b, B, &events));
        assert_eq!(
            (from_a.unwrap().covered, from_b.unwrap().covered),
            (Seq(10 + round as u64 * 10), Seq(10 + round as u64 * 10))
        );
    }
    for name in [A, B] {
        assert_eq!(stored(&store, name).await, (1..31).collect::<Vec<_>>());
    }
    let last = append(&a, A, &minutes(31..32, NOON)).await.unwrap();
    assert_eq!((last.version, last.rows), (7, 61), "the other node's files are in the list");
}

#[tokio::test]
async fn a_second_process_under_the_same_name_stops_the_one_that_is_behind() {
    let store = memory();
    let (first, copy) = (open(&store, A).await, open(&store, A).await);
    append(&first, A, &minutes(1..11, NOON)).await.unwrap();
    // Even with the same last Seq: it is not this process's commit that stands there.
    for last in [6, 11, 21] {
        let stopped = append(&copy, A, &minutes(1..last, NOON)).await.unwrap_err();
        assert_eq!(stopped.kind, Kind::Fatal, "{stopped}");
    }
    assert_eq!(copy.covered(), Seq(0));
    append(&first, A, &minutes(11..21, NOON)).await.unwrap();
    assert_eq!(stored(&store, A).await, (1..21).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_disk_is_named() {
    let full = std::io::Error::new(std::io::ErrorKind::StorageFull, "no space");
    let e = object_store::Error::Generic { store: "x", source: Box::new(full) };
    assert_eq!(log::store_error("writing", e).code, "disk_full");
}
