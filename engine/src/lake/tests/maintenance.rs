//! Compaction, retention, vacuum: rows stay what they are, and files stay while they are read.

use super::*;
use crate::error::Kind;
use crate::event::day_of;

/// Files of the store, without the log.
async fn on_disk(store: &Arc<dyn ObjectStore>) -> Vec<String> {
    let all: Vec<_> = store.list(None).try_collect().await.unwrap();
    let paths = all.into_iter().map(|o| o.location.to_string());
    paths.filter(|p| p.ends_with(".parquet") && !p.starts_with('_')).collect()
}

async fn with_small_files(store: &Arc<dyn ObjectStore>, files: i64) -> Lake {
    let lake = open(store, A).await;
    for n in 0..files {
        // Each file overlaps its neighbours by half an hour.
        append(&lake, A, &minutes(1 + n * 100..101 + n * 100, NOON + n * HOUR)).await.unwrap();
    }
    lake
}

#[tokio::test]
async fn compaction_keeps_every_row_sorts_them_and_leaves_the_position_alone() {
    let store = memory();
    let lake = with_small_files(&store, 9).await;
    let before = lake.current();
    let mut expected = rows(&lake, &before).await;
    expected.sort_by_key(|(_, e)| std::cmp::Reverse((e.ts, e.seq)));
    let after = lake.compact(Eagerness::Background).await.unwrap().unwrap();
    assert_eq!((after.files.len(), after.rows, after.covered), (1, 900, before.covered));
    assert_eq!(rows(&lake, &after).await, expected);
    assert_eq!(after.files[0].time_bounds(index::EVENT_TS), Some((NOON, NOON + 8 * HOUR + 99 * 60_000 * MILLISECOND)));
    let footer = lake.footer(&after.files[0]).await.unwrap();
    assert_eq!(footer.num_row_groups(), 900_usize.div_ceil(64));
    assert!(lake.compact(Eagerness::Background).await.unwrap().is_none());
    assert_eq!(rows(&lake, &before).await.len(), 900, "a query that began before still reads its files");
    append(&lake, A, &minutes(901..911, NOON)).await.unwrap();
    assert_eq!(stored(&store, A).await, (1..911).collect::<Vec<_>>());
    let log = store.get(&Path::from("_delta_log/00000000000000000010.json")).await.unwrap().bytes().await.unwrap();
    let log = String::from_utf8(log.to_vec()).unwrap();
    assert_eq!(log.matches(r#""dataChange":false"#).count(), 10, "readers of changes see none");
}

#[tokio::test]
async fn two_compactions_of_the_same_files_do_not_double_rows() {
    let store = memory();
    let lake = with_small_files(&store, 9).await;
    let other = open(&store, B).await;
    let stale = plan(&other.current().files, &quick().compaction, NOON, Eagerness::Background).remove(0);
    assert!(lake.compact(Eagerness::Background).await.unwrap().is_some());
    assert!(other.merge(&stale, Pace::Calm).await.unwrap().is_none(), "the other node's is dropped");
    assert!(lake.merge(&stale, Pace::Hurried).await.unwrap().is_none(), "and so is a late one of our own");
    assert_eq!(stored(&store, A).await, (1..901).collect::<Vec<_>>());
    assert_eq!(other.current().files.len(), 1, "and it has seen the new state");
}

#[tokio::test]
async fn a_compaction_is_dropped_when_the_table_moved_on_and_settled_when_its_commit_only_seemed_to_fail() {
    let flaky = Flaky::new();
    let store: Arc<dyn ObjectStore> = Arc::clone(&flaky) as _;
    let lake = with_small_files(&store, 9).await;
    let other = open(&store, B).await;
    append(&other, B, &minutes(1..5, NOON)).await.unwrap();
    assert!(lake.compact(Eagerness::Background).await.unwrap().is_none());
    flaky.land_and_fail.store(1, Ordering::SeqCst);
    let after = lake.compact(Eagerness::Background).await.unwrap().unwrap();
    assert_eq!((after.rows, after.covered), (904, Seq(900)));
    assert_eq!(stored(&store, A).await, (1..901).collect::<Vec<_>>());
    append(&lake, A, &minutes(901..911, NOON)).await.unwrap();
}

#[tokio::test]
async fn retention_removes_whole_days_and_vacuum_deletes_what_nobody_reads() {
    let store = memory();
    let clock = Arc::new(ManualClock::new(crate::clock::SystemClock::new().now()));
    let lake = open_at(&store, A, Arc::clone(&clock) as _).await;
    append(&lake, A, &minutes(1..11, NOON - 40 * DAY)).await.unwrap();
    append(&lake, A, &minutes(11..21, NOON)).await.unwrap();
    store.put(&Path::from("event_date=2026-01-31/part-orphan.parquet"), "x".into()).await.unwrap();
    store.put(&Path::from("notes.txt"), "x".into()).await.unwrap();
    assert!(lake.retain(day_of(NOON) - 40).await.unwrap().is_none(), "that day is not older");
    let pinned = lake.current();
    let kept = lake.retain(day_of(NOON)).await.unwrap().unwrap();
    assert_eq!((kept.rows, kept.covered), (10, Seq(20)));
    assert_eq!(stored(&store, A).await, (11..21).collect::<Vec<_>>());

    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(lake.vacuum(week).await.unwrap(), Vacuumed::default(), "nothing is old enough");
    clock.advance(week + Duration::from_secs(3600));
    assert_eq!(lake.vacuum(week).await.unwrap().files, 1, "the file that was never committed");
    assert_eq!(rows(&lake, &pinned).await.len(), 20, "a query still reads the removed day");
    drop(pinned);
    assert_eq!(lake.vacuum(week).await.unwrap().files, 1);
    assert_eq!(on_disk(&store).await.len(), 1);
    assert!(store.head(&Path::from("notes.txt")).await.is_ok(), "what is not ours stays");
    assert!(lake.verify().await.unwrap().problems.is_empty());
}

/// A file's age counts from its removal: other readers may have opened the version before.
#[tokio::test]
async fn a_file_removed_lately_stays_however_old_it_is() {
    let store = memory();
    let clock = Arc::new(ManualClock::new(crate::clock::SystemClock::new().now()));
    let lake = open_at(&store, A, Arc::clone(&clock) as _).await;
    append(&lake, A, &minutes(1..11, NOON)).await.unwrap();
    append(&lake, A, &minutes(11..21, NOON)).await.unwrap();
    let day = Duration::from_secs(86_400);
    clock.advance(9 * day);
    lake.compact(Eagerness::Everything).await.unwrap().unwrap();
    clock.advance(6 * day);
    assert_eq!(lake.vacuum(7 * day).await.unwrap().files, 0);
    clock.advance(2 * day);
    assert_eq!(lake.vacuum(7 * day).await.unwrap().files, 2);
}

#[tokio::test]
async fn files_being_written_are_not_vacuumed() {
    let store = memory();
    let lake = open(&store, A).await;
    let encoded = writer::encode_file(
        &writer::properties(&quick(), Purpose::Flush).unwrap(),
        &quick(),
        &[batch_of(A, &minutes(1..3, NOON))],
        &[(0, 1), (0, 0)],
    );
    let (file, writing) = lake.put(day_of(NOON), encoded.unwrap()).await.unwrap();
    drop(file);
    let far = ManualClock::new(i64::MAX / 2).now();
    let later = open_at(&store, B, Arc::new(ManualClock::new(far))).await;
    assert_eq!(lake.vacuum(Duration::ZERO).await.unwrap().files, 0);
    drop(writing);
    assert_eq!(later.vacuum(Duration::ZERO).await.unwrap().files, 1, "once abandoned it goes");
}

#[tokio::test]
async fn files_that_another_node_committed_meanwhile_are_not_vacuumed() {
    let store = memory();
    let much_later = ManualClock::new(crate::clock::SystemClock::new().now() + 30 * DAY);
    let (other, lake) = (open(&store, B).await, open_at(&store, A, Arc::new(much_later)).await);
    append(&other, B, &minutes(1..11, NOON)).await.unwrap();
    assert_eq!(lake.vacuum(Duration::ZERO).await.unwrap().files, 0);
    assert_eq!(stored(&store, B).await.len(), 10);
}

#[tokio::test]
async fn verify_names_what_is_wrong() {
    let store = memory();
    let lake = open(&store, A).await;
    for day in 0..3 {
        append(&lake, A, &minutes(1 + day * 10..11 + day * 10, NOON + day * DAY)).await.unwrap();
    }
    let files = lake.current().files.clone();
    store.delete(&Path::from(files[0].path.as_str())).await.unwrap();
    store.put(&Path::from(files[1].path.as_str()), "short".into()).await.unwrap();
    let damaged = vec![b'x'; usize::try_from(files[2].bytes).unwrap()];
    store.put(&Path::from(files[2].path.as_str()), damaged.into()).await.unwrap();
    let check = lake.verify().await.unwrap();
    assert_eq!((check.files, check.rows), (3, 0));
    assert!(check.problems[0].contains("missing"), "{:?}", check.problems);
    assert!(check.problems[1].contains("has 5 bytes"), "{:?}", check.problems);
    assert_eq!(check.problems.len(), 3);
}

#[tokio::test]
async fn a_damaged_file_keeps_only_its_own_day_from_being_merged() {
    let store = memory();
    let lake = open(&store, A).await;
    for n in 0..5 {
        append(&lake, A, &minutes(1 + n * 10..11 + n * 10, NOON + (n % 2) * DAY)).await.unwrap();
    }
    drop(lake);
    let lake = open(&store, A).await;
    let worst = lake.current().files.iter().find(|f| f.day == day_of(NOON)).map(Arc::clone).unwrap();
    let damaged = vec![b'x'; usize::try_from(worst.bytes).unwrap()];
    store.put(&Path::from(worst.path.as_str()), damaged.into()).await.unwrap();
    let merged = lake.compact(Eagerness::Everything).await.unwrap().unwrap();
    assert_eq!((merged.files.len(), merged.rows), (4, 50), "the other day is merged");
    let failed = lake.compact(Eagerness::Everything).await.unwrap_err();
    assert_eq!(failed.kind, Kind::Corrupt);
    assert!(failed.message.contains(&worst.path), "{failed}");
    append(&lake, A, &minutes(51..61, NOON)).await.unwrap();
}

#[tokio::test]
async fn the_log_is_checkpointed_when_it_has_grown() {
    let store = memory();
    let config = LakeConfig { checkpoint_commits: 3, ..quick() };
    let clock = Arc::new(ManualClock::new(NOON));
    let lake = Lake::open(Arc::clone(&store), node(A), Arc::clone(&clock) as _, config.clone()).await.unwrap();
    for n in 0..3 {
        assert!(!lake.checkpoint_due());
        append(&lake, A, &minutes(1 + n * 10..11 + n * 10, NOON)).await.unwrap();
    }
    assert!(lake.checkpoint_due());
    lake.checkpoint().await.unwrap();
    assert!(!lake.checkpoint_due());
    let reopened = Lake::open(store, node(A), clock, config).await.unwrap();
    assert!(!reopened.checkpoint_due());
    assert_eq!((reopened.covered(), reopened.current().rows), (Seq(30), 30));
}

fn sized(day: i32, megabytes: u64, modified: Micros) -> Arc<LakeFile> {
    let statistics = datafusion::common::Statistics::default();
    Arc::new(LakeFile::new(String::new(), day, megabytes << 20, 1, modified, statistics))
}

#[test]
fn a_live_day_is_merged_by_size_class_and_a_quiet_one_once() {
    let policy = CompactionPolicy::default();
    let today = day_of(NOON);
    let plan = |files: &[Arc<LakeFile>], eagerness| plan(files, &policy, NOON, eagerness);
    let sizes = |jobs: &[Job]| jobs.iter().map(|j| j.files.len()).collect::<Vec<_>>();

    let few: Vec<_> = (0..7).map(|_| sized(today, 1, NOON)).collect();
    assert!(plan(&few, Eagerness::Background).is_empty());
    assert_eq!(sizes(&plan(&few, Eagerness::Everything)), [7]);
    let mut many: Vec<_> = (0..8).map(|_| sized(today, 1, NOON)).collect();
    many.extend((0..7).map(|_| sized(today, 20, NOON)));
    many.push(sized(today, 150, NOON));
    let jobs = plan(&many, Eagerness::Background);
    assert_eq!(sizes(&jobs), [8], "the big ones are not rewritten for the small");
    assert!(jobs[0].files.iter().all(|f| f.bytes == 1 << 20));

    let hours = |n: i64| NOON - n * HOUR;
    let past = |modified| vec![sized(today - 1, 30, hours(30)), sized(today - 1, 8, modified)];
    assert_eq!(sizes(&plan(&past(hours(2)), Eagerness::Background)), [2]);
    assert!(plan(&past(NOON), Eagerness::Background).is_empty(), "somebody still loads that day");
    let late = vec![sized(today - 1, 90, hours(30)), sized(today - 1, 1, hours(2))];
    assert!(plan(&late, Eagerness::Background).is_empty(), "one late file is not worth 90 MiB");

    let full: Vec<_> = (0..60).map(|_| sized(today, 60, NOON)).collect();
    for job in plan(&full, Eagerness::Everything) {
        assert!(job.files.iter().map(|f| f.bytes).sum::<u64>() <= policy.target_bytes, "within the target");
    }
}
