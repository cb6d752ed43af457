//! What is written is what is read back: rows, order, statistics, keys.

use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;
use object_store::local::LocalFileSystem;

use super::*;
use crate::event::{PERSONAL, day_of, parse_day};
use crate::fs::{FsStore, RealFs};

#[tokio::test]
async fn rows_are_split_by_day_sorted_newest_first_and_survive_a_restart() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let durable = FsStore::open(Arc::new(RealFs), dirs[0].path()).unwrap();
    let local = LocalFileSystem::new_with_prefix(dirs[1].path()).unwrap();
    for store in [Arc::new(durable) as Arc<dyn ObjectStore>, Arc::new(local)] {
        keeps_rows(store).await;
    }
}

async fn keeps_rows(store: Arc<dyn ObjectStore>) {
    let lake = open(&store, A).await;
    assert_eq!((lake.covered(), lake.current().version), (Seq(0), 0));
    // 1,500 minutes are two days; the last event is a late one of the first minute, and two share a time.
    let mut events = minutes(1..1501, NOON);
    events.extend([event(1501, NOON), event(1502, NOON + DAY)]);
    let snapshot = append(&lake, A, &events).await.unwrap();
    assert_eq!((snapshot.version, snapshot.covered, snapshot.rows), (1, Seq(1502), 1502));
    assert_eq!(snapshot.files.iter().map(|f| f.day).collect::<Vec<_>>(), [day_of(NOON) + 1, day_of(NOON)]);
    assert_eq!(snapshot.max_event_ts(), Some(NOON + 1499 * 60_000 * MILLISECOND));

    events.sort_by_key(|e| std::cmp::Reverse((e.ts, e.seq)));
    let read: Vec<_> = rows(&lake, &snapshot).await.into_iter().map(|(_, e)| e).collect();
    assert_eq!(read, events);

    drop(lake);
    let reopened = open(&store, A).await;
    let current = reopened.current();
    assert_eq!((current.version, current.covered, current.rows), (1, Seq(1502), 1502));
    assert_eq!(current.bytes, snapshot.bytes);
    assert_eq!(open(&store, B).await.covered(), Seq(0), "another node has its own position");
    let next = append(&reopened, A, &minutes(1503..1504, NOON)).await.unwrap();
    assert_eq!((next.version, next.rows), (2, 1503));
    assert_eq!(reopened.compact(Eagerness::Everything).await.unwrap().unwrap().rows, 1503);
    reopened.checkpoint().await.unwrap();
    assert_eq!(open(&store, A).await.covered(), Seq(1503));
    assert!(reopened.verify().await.unwrap().problems.is_empty());
}

/// Every bound that the log can hold exactly is the same after a restart as it was when written, with and without a
/// checkpoint in between.
#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_exact_and_survive_a_restart_and_a_checkpoint() {
    let store = memory();
    let lake = open(&store, A).await;
    let mut events = minutes(1..301, NOON);
    events[7].client_ts = Some(NOON - 5 * DAY + 123 * MILLISECOND);
    let written = append(&lake, A, &events).await.unwrap();
    let mut reopened = vec![open(&store, A).await];
    assert_eq!(lake.checkpoint().await.unwrap(), 1);
    reopened.push(open(&store, A).await);
    assert!(!reopened[1].checkpoint_due());

    let file = &written.files[0];
    assert_eq!(file.time_bounds(index::EVENT_TS), Some((NOON, NOON + 299 * 60_000 * MILLISECOND)));
    assert_eq!(
        file.time_bounds(index::CLIENT_TS),
        Some((NOON - 5 * DAY + 123 * MILLISECOND, NOON - 5 * DAY + 123 * MILLISECOND))
    );
    let statistics = |f: &LakeFile, name: &str| {
        let column = crate::event::table_schema().index_of(name).unwrap();
        f.statistics.column_statistics[column].clone()
    };
    let price = statistics(file, "price");
    let money = |v| Precision::Exact(ScalarValue::Decimal128(Some(v), MONEY_PRECISION, MONEY_SCALE));
    assert_eq!(
        (price.min_value, price.max_value, price.null_count),
        (money(20_002), money(3_000_300), Precision::Exact(150))
    );
    let text = |v: &str| Precision::Exact(ScalarValue::Utf8View(Some(v.into())));
    assert_eq!(statistics(file, "event_type").max_value, text("page_view"));
    for personal in PERSONAL {
        let known = statistics(file, personal);
        assert_eq!((known.min_value, known.max_value), (Precision::Absent, Precision::Absent), "{personal}");
    }
    assert_eq!(
        statistics(file, "event_date").min_value,
        Precision::Exact(ScalarValue::Date32(parse_day("2026-01-31")))
    );
    assert_eq!(statistics(file, "coupon").min_value, Precision::Absent);
    assert!(file.all_null(COLUMNS.iter().position(|c| c.name == "coupon").unwrap()));

    for lake in &reopened {
        let again = &lake.current().files[0];
        assert_eq!(
            (again.rows, again.bytes, again.day, again.modified),
            (file.rows, file.bytes, file.day, file.modified)
        );
        assert_eq!(again.statistics.num_rows, Precision::Exact(300));
        for (i, column) in COLUMNS.iter().enumerate().take(stats::INDEXED_COLUMNS) {
            let (was, is) = (&file.statistics.column_statistics[i], &again.statistics.column_statistics[i]);
            assert_eq!(was.null_count, is.null_count, "{}", column.name);
            match column.name {
                // Longer than the log keeps: enclosed, and said to be inexact.
                "product_name" => {
                    let (low, high) = (is.min_value.get_value().unwrap(), is.max_value.get_value().unwrap());
                    assert!(low <= was.min_value.get_value().unwrap() && high >= was.max_value.get_value().unwrap());
                    assert!(!is.min_value.is_exact().unwrap() && !is.max_value.is_exact().unwrap());
                }
                name => assert_eq!((&was.min_value, &was.max_value), (&is.min_value, &is.max_value), "{name}"),
            }
        }
        assert_eq!(
            file.statistics.column_statistics.last().unwrap().max_value,
            again.statistics.column_statistics.last().unwrap().max_value
        );
    }
}

#[tokio::test]
async fn keys_come_from_the_files_and_row_groups_that_can_have_them() {
    let store = memory();
    let lake = open(&store, A).await;
    let mut events = minutes(1..601, NOON);
    events[500].client_ts = Some(NOON - 9 * HOUR);
    append(&lake, A, &events).await.unwrap();
    append(&lake, A, &minutes(601..701, NOON + 3 * DAY)).await.unwrap();
    drop(lake);
    let lake = open(&store, A).await;

    let keys = async |hours: &[i64]| {
        let hours = hours.iter().map(|h| NOON / HOUR + h).collect();
        let mut ids = Vec::new();
        for batch in lake.read_keys(&lake.current(), &hours).await.unwrap() {
            let names: Vec<_> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
            assert_eq!(names, ["event_ts", "event_id", "client_ts"]);
            ids.extend(batch.column(1).as_string::<i32>().iter().flatten().map(|id| id[9..].parse::<i64>().unwrap()));
        }
        ids.sort_unstable();
        ids
    };
    assert_eq!(keys(&[2]).await, (121..181).collect::<Vec<_>>());
    assert_eq!(keys(&[-9]).await, [501], "found by the client's own time");
    assert_eq!(keys(&[-1, 20]).await, Vec::<i64>::new());
    assert_eq!(keys(&[0, 72]).await, (1..61).chain(601..661).collect::<Vec<_>>());

    let newest = &lake.current().files[0];
    assert!(!read::file_touches(newest, &BTreeSet::from([NOON / HOUR])), "that file is not even opened");
}

#[tokio::test]
async fn a_table_of_another_shape_is_refused() {
    let store = memory();
    drop(open(&store, A).await);
    let first = Path::from("_delta_log/00000000000000000000.json");
    let log = store.get(&first).await.unwrap().bytes().await.unwrap();
    let log = String::from_utf8(log.to_vec()).unwrap().replace("load_ms", "load_us");
    store.put(&first, log.into()).await.unwrap();
    let config = LakeConfig::default();
    let refused = Lake::open(store, node(A), Arc::new(ManualClock::new(NOON)), config).await.unwrap_err();
    assert_eq!(refused.code, "lake_schema");
}

#[tokio::test]
async fn rows_that_are_there_already_are_left_out_and_no_rows_still_move_the_position() {
    let store = memory();
    let lake = open(&store, A).await;
    append(&lake, A, &minutes(1..11, NOON)).await.unwrap();
    assert_eq!(append(&lake, A, &minutes(1..11, NOON)).await.unwrap().version, 1, "nothing new, no commit");
    append(&lake, A, &minutes(1..21, NOON)).await.unwrap();
    assert_eq!(stored(&store, A).await, (1..21).collect::<Vec<_>>());
    let moved = lake.append(Vec::new(), Seq(25), Pace::Calm).await.unwrap();
    assert_eq!((moved.version, moved.covered, moved.rows), (3, Seq(25), 20));
    assert_eq!(open(&store, A).await.covered(), Seq(25));
}
