//! The data folder: who has it, and how log, lake and dead letters are.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tideline_engine::clock::SystemClock;
use tideline_engine::dead_letters::DeadLetters;
use tideline_engine::error::{Error, Result};
use tideline_engine::event::{NodeId, Seq};
use tideline_engine::fs::store::FsStore;
use tideline_engine::fs::{Fs, RealFs};
use tideline_engine::lake::{Lake, LakeConfig, LakeSnapshot};
use tideline_engine::wal;

use super::{Report, size};
use crate::cli::check::node;
use crate::cli::client::Client;
use crate::cli::serve::Note;
use crate::config::Config;
use crate::host::{self, Process};

/// Small files a lake may have before somebody should look why nothing merges them.
const MANY_SMALL_FILES: usize = 500;
/// A file below this share of the wanted size is a small one.
const SMALL: u64 = 8;
/// How full a bounded store may be.
const NEARLY_FULL: f64 = 0.8;
/// How far a server's clock may have been moved.
const STEP_MS: u64 = 2_000;

/// The server that has the folder.
pub(super) struct Server {
    pub(super) url: String,
}

/// Looks at the folder, through its server where one has it.
pub(super) fn look(config: &Config, report: &mut Report) -> Option<Server> {
    let dir = &config.data_dir;
    if !dir.exists() {
        report.ok("data folder", format!("{} is not there yet; the first start makes it", dir.display()));
        return None;
    }
    if !dir.join("node.json").exists() {
        if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            let what = format!("{} holds files, and none of them is Tideline's", dir.display());
            report.warn(
                "data folder",
                what,
                "name an empty folder, or the one a server was started with, with --data-dir",
            );
        } else {
            report.ok("data folder", format!("{} is empty; the first start fills it", dir.display()));
        }
        return None;
    }
    writable_by_others(dir, report);
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let lock = dir.join("LOCK");
    match fs.lock(&lock) {
        Ok(_held) => {
            if let Err(error) = at_rest(config, &fs, report) {
                report.error("data folder", &error);
            }
            None
        }
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => in_use(config, &lock, report),
        Err(e) => {
            let what = format!("{} cannot be locked: {e}", lock.display());
            report.fail("data folder", what, format!("run as its owner, or: chown -R USER {}", dir.display()));
            None
        }
    }
}

fn writable_by_others(dir: &Path, report: &mut Report) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(dir).map_or(0, |meta| meta.permissions().mode() & 0o777);
    if mode & 0o022 != 0 {
        let what = format!("users other than the owner may write in {} (mode {mode:o})", dir.display());
        report.warn("data folder", what, format!("chmod go-w {}", dir.display()));
    }
}

fn in_use(config: &Config, lock: &Path, report: &mut Report) -> Option<Server> {
    let dir = config.data_dir.display();
    let note = Note::read(&config.data_dir).filter(|note| Process::find(note.pid).is_some());
    let holder = host::lock_holder(lock).or_else(|| Process::find(note.as_ref()?.pid));
    let by = holder.map_or_else(|| "another process".to_owned(), |process| process.to_string());
    let Some(note) = note else {
        let what = format!("{dir} is in use by {by}, which is no server");
        report.warn("data folder", what, "wait for it (a load, an export), or end it");
        return None;
    };
    report.ok("data folder", format!("{dir} is served by {by} at {}", note.url));
    match health(&note.url) {
        Ok(health) => judge_health(config, &health, report),
        Err(error) => {
            let fix = "look at its log; where it hangs, end it (it recovers what it acknowledged) and start it again";
            report.fail("server", error.to_string(), fix);
        }
    }
    Some(Server { url: note.url })
}

fn health(url: &str) -> Result<Value> {
    // It answers 503 when it is not well, and says why.
    let answer = Client::new(url, None)?.get("/health")?;
    serde_json::from_slice(&answer.bytes()?).map_err(|e| Error::internal(format!("{url}/health is not JSON: {e}")))
}

fn judge_health(config: &Config, health: &Value, report: &mut Report) {
    let engine = &health["engine"];
    let number = |field: &str| engine[field].as_u64().unwrap_or(0);
    let status = health["status"].as_str().unwrap_or("unknown");
    let mut said = Vec::new();
    for (name, dependency) in health["dependencies"].as_object().into_iter().flatten() {
        if let (Some(state), Some(message)) = (dependency["status"].as_str(), dependency["message"].as_str())
            && state != "ok"
        {
            said.push(format!("{name}: {message}"));
        }
    }
    match status {
        "ok" => report.ok("server", "it says that it is well"),
        "degraded" => {
            report.warn("server", format!("it is degraded; {}", said.join("; ")), "see its log for the cause")
        }
        other => {
            report.fail("server", format!("it is {other}; {}", said.join("; ")), "see its log, and start it again")
        }
    }
    report.ok(
        "lake",
        format!(
            "version {}, {} files, {} rows, {}",
            engine["lake_version"],
            number("lake_files"),
            number("lake_rows"),
            size(number("lake_bytes"))
        ),
    );
    judge_log(config, number("wal_bytes"), report);
    let letters = &engine["dead_letters"];
    judge_letters(letters["open"].as_u64().unwrap_or(0), letters["fullness"].as_f64().unwrap_or(0.0), report);
    let step = engine["clock_step_ms"].as_i64().unwrap_or(0);
    if step.unsigned_abs() > STEP_MS {
        let what = format!("it was moved by {step} ms while the server ran, which follows it by 5 ms a second");
        report.warn("clock", what, "keep it with a time server that slews; restart the server to follow at once");
    }
}

fn judge_log(config: &Config, bytes: u64, report: &mut Report) {
    let most = config.wal.max_bytes.0;
    let what = format!("{} in the write-ahead log, of {}", size(bytes), size(most));
    if bytes as f64 > most as f64 * NEARLY_FULL {
        let fix = "ingest is refused when it is full: see why the lake does not follow (its disk, its log), or raise wal.max_bytes";
        report.warn("log", what, fix);
    } else {
        report.ok("log", what);
    }
}

fn judge_letters(open: u64, fullness: f64, report: &mut Report) {
    let what = format!("{open} events wait in the dead letters, which are {:.0} % full", fullness * 100.0);
    if fullness > NEARLY_FULL {
        report.warn(
            "dead letters",
            what,
            "tideline dead-letters list; replay or drop them, or raise dead_letters.max_bytes",
        );
    } else {
        report.ok("dead letters", what);
    }
}

/// Nobody has the folder: its files are opened, as a start would.
fn at_rest(config: &Config, fs: &Arc<dyn Fs>, report: &mut Report) -> Result<()> {
    let dir = &config.data_dir;
    let node = node(fs, dir)?;
    report.ok("data folder", format!("{}, node {node}; no server has it", dir.display()));
    let covered = match lake(fs, dir, node) {
        Ok(Some(snapshot)) => {
            judge_lake(config, &snapshot, report);
            Some(snapshot.covered)
        }
        Ok(None) => {
            report.ok("lake", "there is none yet");
            Some(Seq::ZERO)
        }
        Err(error) => {
            report.fail(
                "lake",
                format!("it cannot be opened: {error}"),
                "tideline check says what is damaged; restore it from a backup",
            );
            None
        }
    };
    log(config, fs, covered, report)?;
    let letters = DeadLetters::open(Arc::clone(fs), &dir.join("dead_letters"), config.dead_letters.max_bytes.0);
    match letters.map(|letters| letters.status()) {
        Ok(status) => judge_letters(status.open as u64, status.fullness, report),
        Err(error) => report.fail("dead letters", error.to_string(), "tideline check --repair keeps what can be read"),
    }
    Ok(())
}

fn lake(fs: &Arc<dyn Fs>, dir: &Path, node: NodeId) -> Result<Option<Arc<LakeSnapshot>>> {
    let root = dir.join("lake");
    if !root.join("_delta_log").exists() {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let store = Arc::new(FsStore::open(Arc::clone(fs), &root)?);
    let opened = Lake::open(store, node, Arc::new(SystemClock::new()), LakeConfig::default());
    runtime.block_on(opened).map(|lake| Some(lake.current()))
}

fn judge_lake(config: &Config, snapshot: &LakeSnapshot, report: &mut Report) {
    let (files, rows, bytes) =
        snapshot.files.iter().fold((0, 0, 0), |(n, rows, bytes), f| (n + 1, rows + f.rows, bytes + f.bytes));
    let small = snapshot.files.iter().filter(|f| f.bytes < config.lake.target_file_bytes.0 / SMALL).count();
    let what = format!("version {}, {files} files ({small} small), {rows} rows, {}", snapshot.version, size(bytes));
    if small > MANY_SMALL_FILES {
        report.warn(
            "lake",
            what,
            "tideline maintain compact; a server does it by itself unless lake.maintain_every is 0",
        );
    } else {
        report.ok("lake", what);
    }
    let lost = snapshot.files.iter().find(|f| !config.data_dir.join("lake").join(&f.path).exists());
    if let Some(file) = lost {
        let what = format!("the table names {}, which is not there", file.path);
        report.fail("lake", what, "restore the file from a backup; tideline check lists what else is missing");
    }
}

fn log(config: &Config, fs: &Arc<dyn Fs>, covered: Option<Seq>, report: &mut Report) -> Result<()> {
    let dir = config.data_dir.join("wal");
    if !dir.exists() {
        return Ok(());
    }
    let found = wal::check(fs.as_ref(), &dir, covered)?;
    if let Some(damage) = &found.damage {
        let what = format!("{}, byte {}: {}", damage.file.display(), damage.offset, damage.what);
        report.fail("log", what, "copy the folder, then run `tideline check --repair`");
        return Ok(());
    }
    judge_log(config, found.segments.iter().map(|s| s.bytes).sum(), report);
    let torn: u64 = found.segments.iter().map(|s| s.torn_bytes).sum();
    if torn > 0 {
        let what =
            format!("{torn} bytes at its end are of a group that was never acknowledged; the next start cuts them");
        report.ok("log", what);
    }
    Ok(())
}
