//! Backups of a running engine and data folders made of them: everything acknowledged before is there once, whatever was
//! flushed, merged and deleted meanwhile; damage is named; and every sync is needed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tideline_engine::backup::{MANIFEST, Manifest, Target, verify};
use tideline_engine::clock::ManualClock;
use tideline_engine::engine::{Engine, EngineConfig, RestoreReport, restore};
use tideline_engine::erase::Person;
use tideline_engine::error::Result;
use tideline_engine::fs::Fs;
use tideline_engine::fs::sim::{Fault, SimFs, SyncKind};

use crate::support::{Event, MARCH_MS, cases, config, ingest, open, open_with, sorted, sql, stored};

const HOUR: Duration = Duration::from_secs(3600);

fn events(prefix: &str, n: i64) -> Vec<Event> {
    (0..n).map(|i| Event::new(format!("{prefix}-{i}"), MARCH_MS + (i % 3) * 86_400_000 + i * 1_000, i)).collect()
}

async fn back_up(engine: &Engine, disk: &SimFs, out: &str) -> Result<Manifest> {
    let mut backup = engine.backup(true, HOUR).await?;
    let mut target = Target::new(Arc::new(disk.clone()), Path::new(out))?;
    while let Some(piece) = backup.next_piece()? {
        target.take(piece)?;
    }
    target.finish()
}

async fn restored(disk: &SimFs, from: &str, to: &str) -> Result<RestoreReport> {
    let clock = Arc::new(ManualClock::new((MARCH_MS + 40 * 86_400_000) * 1_000));
    restore(Arc::new(disk.clone()), clock, at(to), Path::new(from)).await
}

fn at(dir: &str) -> EngineConfig {
    EngineConfig { data_dir: dir.into(), ..config() }
}

fn files(fs: &SimFs, dir: &Path) -> Vec<PathBuf> {
    let entries = fs.list(dir).unwrap();
    entries.into_iter().flat_map(|e| if e.is_dir { files(fs, &e.path) } else { vec![e.path] }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_is_restored_once_while_the_engine_goes_on() {
    let disk = SimFs::new();
    let engine = open(Arc::new(disk.clone())).await.unwrap();
    let mut before = Vec::new();
    for round in 0..4 {
        let sent = events(&format!("r{round}"), 300);
        ingest(&engine, &sent).await.unwrap();
        before.extend(sent);
        if round < 3 {
            engine.flush().await.unwrap();
        }
    }
    engine.ingest("{}".into(), tideline_engine::decode::InputFormat::Json, "test", Default::default()).await.unwrap();
    let mut backup = engine.backup(true, HOUR).await.unwrap();
    assert_eq!(engine.backup(true, HOUR).await.unwrap_err().code, "folder_busy", "one at a time");
    let someone = Person { user_id: Some("u".into()), anonymous_ids: Vec::new() };
    assert_eq!(engine.erase(someone, false).await.unwrap_err().code, "folder_busy");
    let mut target = Target::new(Arc::new(disk.clone()), Path::new("/b/one")).unwrap();
    let mut after = Vec::new();
    let mut round = 0;
    // Between any two pieces the engine does all it ever does, so that what the copy still needs is deleted.
    while let Some(piece) = backup.next_piece().unwrap() {
        target.take(piece).unwrap();
        if round < 6 {
            let sent = events(&format!("meanwhile{round}"), 50);
            ingest(&engine, &sent).await.unwrap();
            after.extend(sent);
            engine.flush().await.unwrap();
            engine.compact().await.unwrap();
            engine.vacuum().await.unwrap();
            round += 1;
        }
    }
    drop(backup);
    let manifest = target.finish().unwrap();
    assert_eq!(manifest, verify(&disk, Path::new("/b/one")).unwrap());
    assert!(manifest.seq >= 1_200 && manifest.files.iter().any(|f| f.path.starts_with("wal/")), "{manifest:?}");
    assert!(Target::new(Arc::new(disk.clone()), Path::new("/b/one")).unwrap_err().code == "folder_exists");

    let report = restored(&disk, "/b/one", "/r").await.unwrap();
    assert!(report.moved >= 300 && report.node != report.node_before, "{report:?}");
    let copy = open_with(at("/r"), Arc::new(disk.clone())).await.unwrap();
    let found = stored(&copy).await.unwrap();
    let known = sorted(before.iter().chain(&after).cloned().collect());
    assert!(before.iter().all(|event| found.contains(event)), "something acknowledged before is missing");
    assert!(found.iter().all(|event| known.contains(event)) && found.windows(2).all(|w| w[0] != w[1]));
    let again = ingest(&copy, &before).await.unwrap();
    assert_eq!((again.accepted, again.duplicates), (0, before.len()));
    assert_eq!(copy.dead_letters().count(), 1);
    // Both go on, each under its own name.
    ingest(&copy, &events("copy", 10)).await.unwrap();
    ingest(&engine, &events("original", 10)).await.unwrap();
    copy.flush().await.unwrap();
    engine.flush().await.unwrap();
    assert_eq!(stored(&copy).await.unwrap().len(), found.len() + 10);
    assert_eq!(stored(&engine).await.unwrap().len(), known.len() + 10);
    disk.create_dir_all(Path::new("/full")).unwrap();
    disk.create(Path::new("/full/something")).unwrap();
    let refused = restored(&disk, "/b/one", "/full").await.unwrap_err();
    assert!(refused.code == "folder_not_empty" && refused.message.contains("something"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_by_the_name_of_the_file() {
    let disk = SimFs::new();
    let engine = open(Arc::new(disk.clone())).await.unwrap();
    ingest(&engine, &events("a", 100)).await.unwrap();
    engine.flush().await.unwrap();
    ingest(&engine, &events("b", 100)).await.unwrap();
    back_up(&engine, &disk, "/b/one").await.unwrap();
    let backup = Path::new("/b/one");
    for path in files(&disk, backup) {
        let whole = disk.read(&path).unwrap();
        let mut damaged = whole.to_vec();
        let at = damaged.len() / 2;
        damaged[at] ^= 0x20;
        disk.overwrite(&path, &damaged).unwrap();
        let name = path.strip_prefix(backup).unwrap().to_str().unwrap();
        let refused = verify(&disk, backup).unwrap_err();
        assert!(refused.code == "backup_damaged" && refused.message.contains(name), "{name}: {refused}");
        let refused = restored(&disk, "/b/one", "/r").await.unwrap_err();
        assert!(refused.message.contains(name), "{name}: {refused}");
        assert!(disk.list(Path::new("/r")).unwrap_or_default().iter().all(|e| e.path.ends_with("LOCK")), "{name}");
        disk.overwrite(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(verify(&disk, backup).unwrap_err().code, "backup_damaged", "{name}");
        disk.overwrite(&path, &whole).unwrap();
    }
    verify(&disk, backup).unwrap();
    disk.remove(&backup.join(MANIFEST)).unwrap();
    assert_eq!(verify(&disk, backup).unwrap_err().code, "not_a_backup");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_takes_too_long_ends_and_one_that_broke_off_has_no_name() {
    let disk = SimFs::new();
    let engine = open(Arc::new(disk.clone())).await.unwrap();
    ingest(&engine, &events("a", 10)).await.unwrap();
    let mut late = engine.backup(false, Duration::ZERO).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(late.next_piece().unwrap_err().code, "backup_timeout");
    drop(late);
    let mut backup = engine.backup(false, HOUR).await.unwrap();
    let mut target = Target::new(Arc::new(disk.clone()), Path::new("/b/one")).unwrap();
    for _ in 0..3 {
        target.take(backup.next_piece().unwrap().unwrap()).unwrap();
    }
    let other = Target::new(Arc::new(disk.clone()), Path::new("/b/one")).unwrap_err();
    assert_eq!(other.code, "backup_runs");
    assert!(target.finish().unwrap_err().message.contains("broke off"));
    drop(backup);
    assert!(disk.list(Path::new("/b/one")).is_err());
    back_up(&engine, &disk, "/b/one").await.unwrap();
    assert_eq!(disk.list(Path::new("/b")).unwrap().len(), 1, "what was left is gone");
}

/// A backup of a folder with a bit of everything, and what is in it.
async fn small() -> (SimFs, Vec<Event>) {
    let disk = SimFs::new();
    let engine = open(Arc::new(disk.clone())).await.unwrap();
    let (mut all, rest) = (events("a", 60), events("b", 60));
    ingest(&engine, &all).await.unwrap();
    engine.flush().await.unwrap();
    ingest(&engine, &rest).await.unwrap();
    all.extend(rest);
    back_up(&engine, &disk, "/b/one").await.unwrap();
    (disk, sorted(all))
}

async fn found(disk: &SimFs) -> Result<Vec<Event>> {
    let engine = open_with(at("/r"), Arc::new(disk.clone())).await?;
    stored(&engine).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_and_restored_folder_survive_a_loss_of_power() {
    let (disk, all) = small().await;
    verify(&disk.power_loss(), Path::new("/b/one")).unwrap();
    restored(&disk, "/b/one", "/r").await.unwrap();
    assert_eq!(found(&disk.power_loss()).await.unwrap(), all);
    for seed in 0..5 {
        assert_eq!(found(&disk.power_loss_random(seed)).await.unwrap(), all, "seed {seed}");
    }
}

/// A disk that lies about one kind of sync loses some of it: so each of them is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_one_of_the_syncs_a_backup_or_a_restored_folder_is_not_whole() {
    type Ignored = fn(&Path, SyncKind) -> bool;
    let of_backup: [(&str, Ignored); 3] = [
        ("files", |p, k| k == SyncKind::File && p.starts_with("/b")),
        ("folders", |p, k| k == SyncKind::Dir && p.starts_with("/b") && p != Path::new("/b")),
        ("its name", |p, k| k == SyncKind::Dir && p == Path::new("/b")),
    ];
    for (site, ignored) in of_backup {
        let disk = SimFs::new();
        let engine = open(Arc::new(disk.clone())).await.unwrap();
        ingest(&engine, &events("a", 60)).await.unwrap();
        disk.create_dir_all(Path::new("/b")).unwrap();
        disk.ignore_syncs(ignored);
        back_up(&engine, &disk, "/b/one").await.unwrap();
        let survivor = disk.power_loss();
        assert!(verify(&survivor, Path::new("/b/one")).is_err(), "it is whole although {site} were never synced");
    }
    let of_restore: [(&str, Ignored); 3] = [
        ("files", |p, k| k == SyncKind::File && p.starts_with("/r/.restore")),
        ("folders", |p, k| k == SyncKind::Dir && p.starts_with("/r/.restore") && p != Path::new("/r/.restore")),
        ("the data folder", |p, k| k == SyncKind::Dir && p == Path::new("/r")),
    ];
    for (site, ignored) in of_restore {
        let (disk, all) = small().await;
        disk.ignore_syncs(ignored);
        restored(&disk, "/b/one", "/r").await.unwrap();
        let whole = found(&disk.power_loss()).await.is_ok_and(|found| found == all);
        assert!(!whole, "everything is there although {site} were never synced");
    }
}

/// Cut anywhere, a restored folder is not there, refuses to be opened, or is whole; and restoring again makes it whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_cut_anywhere_can_be_run_again() {
    let (base, all) = small().await;
    let steps = {
        let disk = base.power_loss();
        let begun = disk.op_count();
        restored(&disk, "/b/one", "/r").await.unwrap();
        disk.op_count() - begun
    };
    let mut refused = 0;
    for nth in (1..=steps).step_by(usize::try_from(steps / u64::from(cases(10).cases)).unwrap().max(1)) {
        let disk = base.power_loss();
        disk.fail(Fault::crash(nth));
        let outcome = restored(&disk, "/b/one", "/r").await;
        let disk = disk.power_loss_random(nth);
        let unfinished = disk.list(Path::new("/r/.restore")).is_ok();
        if unfinished {
            let error = found(&disk).await.unwrap_err();
            assert_eq!(error.code, "restore_unfinished", "cut at {nth}: {error}");
            refused += 1;
        }
        if unfinished
            || disk.list(Path::new("/r")).map_or(true, |entries| entries.iter().all(|e| e.path.ends_with("LOCK")))
        {
            assert!(outcome.is_err(), "cut at {nth}");
            restored(&disk, "/b/one", "/r").await.unwrap();
        }
        assert_eq!(found(&disk).await.unwrap(), all, "cut at {nth}");
    }
    assert!(refused > 3, "only {refused} were refused");
}

/// Whoever copies the table alone, the log first, has a table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_alone_can_be_copied_at_any_time() {
    let disk = SimFs::new();
    let engine = open(Arc::new(disk.clone())).await.unwrap();
    let all = events("a", 200);
    for part in all.chunks(50) {
        ingest(&engine, part).await.unwrap();
        engine.flush().await.unwrap();
    }
    let lake = Path::new("/data/lake");
    let copy = |from: PathBuf| {
        let to = Path::new("/copy/lake").join(from.strip_prefix(lake).unwrap());
        disk.create_dir_all(to.parent().unwrap()).unwrap();
        let mut file = disk.create(&to).unwrap();
        std::io::Write::write_all(&mut file, &disk.read(&from).unwrap()).unwrap();
    };
    files(&disk, &lake.join("_delta_log")).into_iter().for_each(copy);
    // Merged files stay for readers of the version before.
    engine.compact().await.unwrap();
    engine.vacuum().await.unwrap();
    files(&disk, lake).into_iter().filter(|path| path.extension().is_some_and(|e| e == "parquet")).for_each(copy);
    let engine = open_with(at("/copy"), Arc::new(disk.clone())).await.unwrap();
    assert_eq!(stored(&engine).await.unwrap(), sorted(all));
    assert_eq!(sql(&engine, "SELECT count(DISTINCT node) FROM events").await.unwrap().len(), 1);
}
