//! Loss of power: what was acknowledged is there afterwards, and every single fsync is needed for that.

use std::path::Path;
use std::sync::Arc;

use tideline_engine::fs::sim::{SimFs, SyncKind};

use crate::support::{Event, MARCH_MS, ingest, open, sorted, stored};

/// Two flushed days and a rest in the log: every kind of file and folder is needed to get the answer back.
async fn work(disk: &SimFs) -> Vec<Event> {
    let engine = open(Arc::new(disk.clone())).await.unwrap();
    let mut all = Vec::new();
    for round in 0..3i64 {
        let day = MARCH_MS + round.min(1) * 86_400_000;
        let events: Vec<_> = (0..500).map(|i| Event::new(format!("r{round}-{i}"), day + i * 1_000, i)).collect();
        let receipt = ingest(&engine, &events).await.unwrap();
        assert_eq!(receipt.accepted, events.len());
        all.extend(events);
        if round < 2 {
            engine.flush().await.unwrap();
        }
    }
    drop(engine);
    sorted(all)
}

/// What a new process finds, or why it refuses to start.
async fn found(disk: SimFs) -> Result<Vec<Event>, String> {
    let engine = open(Arc::new(disk)).await.map_err(|e| e.to_string())?;
    stored(&engine).await.map_err(|e| e.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_survives() {
    let disk = SimFs::new();
    let expected = work(&disk).await;
    assert_eq!(found(disk.power_loss()).await.as_deref(), Ok(expected.as_slice()));
    for seed in 0..20 {
        let survivor = disk.power_loss_random(seed);
        assert_eq!(found(survivor).await.as_deref(), Ok(expected.as_slice()), "seed {seed}");
    }
}

/// A disk that lies about one kind of sync loses events (or refuses to start): so each of them is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_one_of_the_syncs_events_are_lost() {
    type Ignored = fn(&Path, SyncKind) -> bool;
    fn within(path: &Path, folder: &str) -> bool {
        path.parent().is_some_and(|p| p.ends_with(folder))
    }
    fn in_partition(path: &Path) -> bool {
        path.parent().and_then(Path::file_name).is_some_and(|n| n.to_string_lossy().starts_with("event_date="))
    }
    let sites: [(&str, Ignored); 7] = [
        ("the log's segments", |p, k| k == SyncKind::File && within(p, "wal")),
        ("the log's folder", |p, k| k == SyncKind::Dir && p.ends_with("wal")),
        ("Parquet files", |p, k| k == SyncKind::File && in_partition(p)),
        ("partition folders", |p, k| k == SyncKind::Dir && p.to_string_lossy().contains("event_date=")),
        ("Delta log entries", |p, k| k == SyncKind::File && within(p, "_delta_log")),
        ("the Delta log's folder", |p, k| k == SyncKind::Dir && p.ends_with("_delta_log")),
        ("the table's root", |p, k| k == SyncKind::Dir && p.ends_with("lake")),
    ];
    for (site, ignored) in sites {
        let disk = SimFs::new();
        disk.ignore_syncs(ignored);
        let expected = work(&disk).await;
        let found = found(disk.power_loss()).await;
        assert_ne!(found.as_ref(), Ok(&expected), "nothing was lost although {site} were never synced");
    }
}
