//! The races that the invariants name, each forced by holding one file operation.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tideline_engine::error::Kind;
use tideline_engine::fs::hook::{HookFs, Op, When};
use tideline_engine::fs::sim::{Fault, On, SimFs};
use tideline_engine::fs::{Entry, Fs, LockGuard, ReadFile, Stat, WriteFile};

use crate::support::{Event, MARCH_MS, ingest, open, sorted, sql, stored};

/// Holds operations while closed, and counts those that wait.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
}

impl Gate {
    fn close(&self) {
        *self.closed.lock() = true;
    }

    fn open(&self) {
        *self.closed.lock() = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut closed = self.closed.lock();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while *closed {
            self.opened.wait(&mut closed);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    async fn somebody_waits(&self) {
        while self.waiting.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn is_log(path: &Path) -> bool {
    path.parent().is_some_and(|p| p.ends_with("wal"))
}

fn is_commit(path: &Path) -> bool {
    path.parent().is_some_and(|p| p.ends_with("_delta_log")) && path.extension().is_some_and(|e| e == "json")
}

fn event(id: &str) -> Event {
    Event::new(id, MARCH_MS, 1)
}

fn hooked(disk: &SimFs, hook: impl Fn(When, Op, &Path) -> io::Result<()> + Send + Sync + 'static) -> Arc<dyn Fs> {
    Arc::new(HookFs::new(Arc::new(disk.clone()), Arc::new(hook)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_duplicate_is_answered_only_after_its_original_is_durable() {
    let gate = Arc::new(Gate::default());
    let at_gate = Arc::clone(&gate);
    let fs = hooked(&SimFs::new(), move |when, op, path| {
        if (when, op) == (When::Before, Op::Sync) && is_log(path) {
            at_gate.pass();
        }
        Ok(())
    });
    let engine = open(fs).await.unwrap();
    gate.close();
    let send = || {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { ingest(&engine, &[event("a")]).await })
    };
    let original = send();
    gate.somebody_waits().await;
    let duplicate = send();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!original.is_finished() && !duplicate.is_finished(), "answered before the sync");
    assert_eq!(stored(&engine).await.unwrap(), [], "visible before it is durable");
    gate.open();
    assert_eq!(original.await.unwrap().unwrap().accepted, 1);
    assert_eq!(duplicate.await.unwrap().unwrap().duplicates, 1);
    assert_eq!(stored(&engine).await.unwrap(), [event("a")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_the_sync_of_the_original_fails_nobody_is_told_duplicate_and_the_engine_stops() {
    let gate = Arc::new(Gate::default());
    let fails = Arc::new(AtomicBool::new(false));
    let (at_gate, failing) = (Arc::clone(&gate), Arc::clone(&fails));
    let disk = SimFs::new();
    let fs = hooked(&disk, move |when, op, path| {
        if (when, op) == (When::Before, Op::Sync) && is_log(path) {
            at_gate.pass();
            if failing.load(Ordering::SeqCst) {
                return Err(io::Error::other("I/O error"));
            }
        }
        Ok(())
    });
    let engine = open(fs).await.unwrap();
    gate.close();
    fails.store(true, Ordering::SeqCst);
    let send = || {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { ingest(&engine, &[event("a")]).await })
    };
    let original = send();
    gate.somebody_waits().await;
    let duplicate = send();
    gate.open();
    for outcome in [original.await.unwrap(), duplicate.await.unwrap()] {
        assert_eq!(outcome.unwrap_err().kind, Kind::Fatal);
    }
    assert_eq!(engine.failed().await.kind, Kind::Fatal);
    drop(engine);
    let engine = open(Arc::new(disk.power_loss())).await.unwrap();
    assert_eq!(ingest(&engine, &[event("a")]).await.unwrap().accepted, 1, "the id must be free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_refuses_and_takes_the_same_event_later() {
    let disk = SimFs::new();
    let engine = open(Arc::new(disk.clone())).await.unwrap();
    ingest(&engine, &[event("before")]).await.unwrap();
    disk.fail(Fault::once(On::Write, 1, io::ErrorKind::StorageFull));
    let error = ingest(&engine, &[event("a")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Busy, "{error}");
    assert_eq!(ingest(&engine, &[event("a")]).await.unwrap().accepted, 1);
    assert_eq!(stored(&engine).await.unwrap(), sorted(vec![event("before"), event("a")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn queries_across_flushes_and_compactions_never_miss_or_repeat_a_row() {
    let engine = open(Arc::new(SimFs::new())).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (engine, done) = (Arc::clone(&engine), Arc::clone(&done));
        tokio::spawn(async move {
            for round in 0..12 {
                let events: Vec<_> = (0..50).map(|i| event(&format!("{round}-{i}"))).collect();
                ingest(&engine, &events).await.unwrap();
                if round % 2 == 1 {
                    engine.flush().await.unwrap();
                }
                if round % 4 == 3 {
                    engine.compact().await.unwrap();
                    engine.vacuum().await.unwrap();
                }
            }
            done.store(true, Ordering::SeqCst);
        })
    };
    let mut reads = 0;
    let mut last = 0;
    while !done.load(Ordering::SeqCst) || reads == 0 {
        let rows = stored(&engine);
        // `stored` counts twice in two statements, which may see two states: only each by itself is exact here.
        drop(rows);
        let batches = sql(&engine, "SELECT event_id, count(*) AS n FROM events GROUP BY event_id").await.unwrap();
        let ids: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
        let repeated = sql(&engine, "SELECT event_id FROM events GROUP BY event_id HAVING count(*) > 1");
        assert_eq!(repeated.await.unwrap().iter().map(|b| b.num_rows()).sum::<usize>(), 0);
        assert!(ids.is_multiple_of(50) && ids >= last, "{last} rows, then {ids}: a part of a request was visible");
        last = ids;
        reads += 1;
    }
    writer.await.unwrap();
    assert_eq!(stored(&engine).await.unwrap().len(), 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_landed_and_answered_an_error_counts_once() {
    let lie = Arc::new(AtomicBool::new(false));
    let lying = Arc::clone(&lie);
    let disk = SimFs::new();
    let fs = hooked(&disk, move |when, op, path| {
        if (when, op) == (When::After, Op::Name) && is_commit(path) && lying.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("the answer was lost"));
        }
        Ok(())
    });
    let engine = open(Arc::clone(&fs)).await.unwrap();
    let events: Vec<_> = (0..100).map(|i| event(&format!("e{i}"))).collect();
    ingest(&engine, &events).await.unwrap();
    lie.store(true, Ordering::SeqCst);
    // Whether the flush notices by itself or reports the error: the next one must not write the rows again.
    if engine.flush().await.is_err() {
        engine.flush().await.unwrap();
    }
    assert!(!lie.load(Ordering::SeqCst), "the commit was never made");
    assert_eq!(stored(&engine).await.unwrap(), sorted(events.clone()));
    drop(engine);
    let engine = open(Arc::new(disk.power_loss())).await.unwrap();
    assert_eq!(stored(&engine).await.unwrap(), sorted(events));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_opens_once() {
    let disk = SimFs::new();
    let engine = open(Arc::new(disk.clone())).await.unwrap();
    let second = open(Arc::new(disk.clone())).await.unwrap_err();
    assert_eq!((second.kind, second.code), (Kind::Busy, "data_dir_locked"));
    engine.close().await.unwrap();
    drop(engine);
    open(Arc::new(disk)).await.unwrap();
}

/// A copied folder has the same node id. Over a lake of its own it is simply a second shop; what must never happen is
/// that both write to one lake: the second finds the lake ahead of its own log, and stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_folder_cannot_write_to_the_same_lake() {
    let disk = SimFs::new();
    let engine = open(Arc::new(disk.clone())).await.unwrap();
    ingest(&engine, &[event("a")]).await.unwrap();
    engine.flush().await.unwrap();
    ingest(&engine, &[event("b")]).await.unwrap();
    let copied = disk.power_loss();
    let copy = open(Arc::new(SharedLake { own: copied, lake: disk.clone() })).await.unwrap();
    ingest(&copy, &[event("c")]).await.unwrap();
    engine.flush().await.unwrap();
    let error = copy.flush().await.unwrap_err();
    assert_eq!(error.kind, Kind::Fatal, "{error}");
    assert_eq!(stored(&engine).await.unwrap(), sorted(vec![event("a"), event("b")]));
}

/// A disk whose folder `lake` is another disk's.
#[derive(Debug)]
struct SharedLake {
    own: SimFs,
    lake: SimFs,
}

impl SharedLake {
    fn of(&self, path: &Path) -> &SimFs {
        if path.starts_with("/data/lake") { &self.lake } else { &self.own }
    }
}

impl Fs for SharedLake {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.of(path).create(path)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        self.of(path).open(path)
    }
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.of(path).truncate(path, len)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.of(to).link(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.of(to).rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.of(path).remove(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.of(path).create_dir(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.of(path).remove_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.of(dir).list(dir)
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.of(path).stat(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.of(dir).sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.own.lock(path)
    }
}

/// A folder's sync that fails in the lake is as final as one in the log: the page cache may have dropped the names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_in_the_lake_stops_the_engine_and_loses_nothing() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let disk = SimFs::new();
    let fs = hooked(&disk, move |when, op, path| {
        let lake = path.to_string_lossy().contains("_delta_log");
        if (when, op) == (When::Before, Op::SyncDir) && lake && failing.load(Ordering::SeqCst) {
            return Err(io::Error::other("I/O error"));
        }
        Ok(())
    });
    let engine = open(fs).await.unwrap();
    ingest(&engine, &[event("a")]).await.unwrap();
    fails.store(true, Ordering::SeqCst);
    engine.flush().await.unwrap_err();
    assert_eq!(engine.failed().await.kind, Kind::Fatal);
    drop(engine);
    let engine = open(Arc::new(disk.power_loss())).await.unwrap();
    assert_eq!(stored(&engine).await.unwrap(), [event("a")]);
}
