//! `tideline check`: whether a data folder is whole, and setting damage in its log aside.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tideline_engine::alert_log::{AlertCounts, AlertLimits, AlertLog};
use tideline_engine::clock::SystemClock;
use tideline_engine::dead_letters::{self, DeadLetters};
use tideline_engine::error::{Error, Kind, Result};
use tideline_engine::event::{NodeId, Seq};
use tideline_engine::fs::Fs;
use tideline_engine::fs::real::RealFs;
use tideline_engine::fs::store::FsStore;
use tideline_engine::lake::{Lake, LakeConfig};
use tideline_engine::metrics;
use tideline_engine::wal;
use tokio::runtime::Runtime;

use super::SettingArgs;
use super::folder::require;
use super::load::grouped;
use crate::config::Config;

/// What `tideline check --help` begins with.
pub const ABOUT: &str = "Reads everything in a data folder and says whether it is whole: its identity, the write-ahead log \
    frame by frame, every file of the lake, the store of refused events, the alerts; and whether every metric can be planned. It \
    changes nothing.\n\n\
    With --repair, damage in the log (and in the refused events, of which all that is readable is kept) is set aside: the first damaged byte and everything after it move into files \
    called damaged-… beside the log, which then opens again. Nothing is deleted, and what is missing from then on \
    is named. Keep a copy of the folder first. No server may be using it.";

/// Arguments of `tideline check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline check\n  \
        tideline check --data-dir /srv/tideline --json\n  \
        tideline check --data-dir /srv/tideline --repair\n  \
        TIDELINE_METRICS_DIR=my-metrics tideline check --metrics\n\n\
        Exit code: 0 when all is well, or was repaired; 1 when something is wrong.")]
pub struct CheckArgs {
    /// Folder to check [default: the one `tideline serve` would use]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Set damage in the log aside
    #[arg(long)]
    repair: bool,
    /// Only plan the metrics, built in and of the folder metrics.dir; needs no data folder
    #[arg(long, conflicts_with = "repair")]
    metrics: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    data_dir: PathBuf,
    node: Option<String>,
    log: Option<wal::Report>,
    lake: Option<LakeFindings>,
    dead_letters: Option<LetterFindings>,
    alerts: Option<AlertCounts>,
    metrics: Option<MetricFindings>,
    /// What is wrong, a sentence each.
    problems: Vec<String>,
    /// Whether a repair changed the folder.
    repaired: bool,
}

#[derive(Debug, Serialize)]
struct LakeFindings {
    version: i64,
    covered_seq: u64,
    files: u64,
    rows: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct LetterFindings {
    /// Open ones.
    count: u64,
    replayed: u64,
    dropped: u64,
    bytes: u64,
    /// Damaged files that a repair set aside; what could be read of them is kept.
    set_aside: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct MetricFindings {
    /// Metrics that can be asked for.
    good: usize,
    /// What is wrong with files, and where.
    problems: Vec<metrics::Problem>,
}

/// Checks the folder.
pub fn run(args: &CheckArgs) -> Result<ExitCode> {
    let settings = SettingArgs { data_dir: args.data_dir.clone(), ..SettingArgs::default() };
    let config = settings.load()?.config;
    let dir = std::path::absolute(&config.data_dir)?;
    let mut findings = Findings {
        data_dir: dir.clone(),
        node: None,
        log: None,
        lake: None,
        dead_letters: None,
        alerts: None,
        metrics: None,
        problems: Vec::new(),
        repaired: false,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if args.metrics {
        check_metrics(&config, &runtime, &mut findings)?;
        report_metrics(args, &findings)?;
        return Ok(if findings.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    require(&dir)?;
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let _lock = fs.lock(&dir.join("LOCK")).map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock => {
            let message = format!("another process is using the data folder {}", dir.display());
            Error::busy("data_dir_locked", message).with_hint("stop that server first: it writes while this reads")
        }
        _ => Error::from(e).context(format!("cannot lock {}", dir.display())),
    })?;
    let covered = match node(&fs, &dir) {
        Ok(node) => {
            findings.node = Some(node.to_string());
            runtime.block_on(check_lake(&fs, &dir, node, &mut findings))
        }
        Err(error) => {
            findings.problems.push(error.to_string());
            None
        }
    };
    check_log(fs.as_ref(), &dir.join("wal"), covered, args.repair, &mut findings)?;
    match AlertLog::open(Arc::clone(&fs), &dir, AlertLimits::default(), Vec::new()) {
        Ok(log) => findings.alerts = Some(log.counts()),
        Err(error) => findings.problems.push(error.to_string()),
    }
    check_letters(fs, &dir.join("dead_letters"), config.dead_letters.max_bytes.0, args.repair, &mut findings);
    check_metrics(&config, &runtime, &mut findings)?;
    report(args, &findings)?;
    Ok(if findings.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_metrics(config: &Config, runtime: &Runtime, findings: &mut Findings) -> Result<()> {
    let clock = Arc::new(SystemClock::new());
    let (good, problems) = runtime.block_on(metrics::check(config.engine().query, config.metrics(), clock))?;
    findings.problems.extend(problems.iter().map(|problem| format!("the metric {problem}")));
    findings.metrics = Some(MetricFindings { good, problems });
    Ok(())
}

fn report_metrics(args: &CheckArgs, findings: &Findings) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let text = serde_json::to_string_pretty(&findings.metrics).map_err(|e| Error::internal(e.to_string()))?;
        writeln!(out, "{text}")?;
        return Ok(());
    }
    write_metrics(&mut out, findings)?;
    for problem in &findings.problems {
        writeln!(out, "PROBLEM       {problem}")?;
    }
    if findings.problems.is_empty() {
        writeln!(out, "all is well")?;
    }
    Ok(())
}

fn write_metrics(out: &mut impl std::io::Write, findings: &Findings) -> Result<()> {
    if let Some(metrics) = &findings.metrics {
        writeln!(out, "metrics       {} can be asked for, {} problems", metrics.good, metrics.problems.len())?;
    }
    Ok(())
}

/// Whose folder it is.
pub(super) fn node(fs: &Arc<dyn Fs>, dir: &Path) -> Result<NodeId> {
    let path = dir.join("node.json");
    let damaged = |why: &str| Error::corrupt(format!("{} cannot be read: {why}", path.display()));
    let bytes = fs.read(&path).map_err(|e| damaged(&e.to_string()))?;
    let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| damaged(&e.to_string()))?;
    let node = json.get("node").and_then(serde_json::Value::as_str).and_then(NodeId::parse);
    node.ok_or_else(|| damaged("it names no node"))
}

/// Looks at every live file of the table. Returns the last position it holds of this node.
async fn check_lake(fs: &Arc<dyn Fs>, dir: &Path, node: NodeId, findings: &mut Findings) -> Option<Seq> {
    let root = dir.join("lake");
    if fs.stat(&root.join("_delta_log")).is_err() && fs.list(&root.join("_delta_log")).is_err() {
        findings.problems.push(format!("{} is not a Delta table", root.display()));
        return None;
    }
    let looked = async {
        let store = Arc::new(FsStore::open(Arc::clone(fs), &root)?);
        let lake = Lake::open(store, node, Arc::new(SystemClock::new()), LakeConfig::default()).await?;
        let found = lake.verify().await?;
        Ok::<_, Error>((lake.current(), found))
    };
    match looked.await {
        Ok((snapshot, found)) => {
            findings.problems.extend(found.problems);
            findings.lake = Some(LakeFindings {
                version: snapshot.version,
                covered_seq: snapshot.covered.0,
                files: found.files,
                rows: found.rows,
                bytes: found.bytes,
            });
            Some(snapshot.covered)
        }
        Err(error) => {
            findings.problems.push(format!("the lake cannot be opened: {error}"));
            None
        }
    }
}

fn check_log(fs: &dyn Fs, wal: &Path, covered: Option<Seq>, repair: bool, findings: &mut Findings) -> Result<()> {
    let found = wal::check(fs, wal, covered);
    let mut log = match found {
        Ok(log) => log,
        Err(error) => {
            findings.problems.push(format!("the write-ahead log cannot be read: {error}"));
            return Ok(());
        }
    };
    if let Some(damage) = &log.damage {
        if repair && covered.is_none() {
            let message = "the log is damaged, and so is what says which of it the lake holds already";
            let hint = "mend the lake or node.json first (from a backup); nothing was changed";
            return Err(Error::new(Kind::Corrupt, "lake_unreadable", message).with_hint(hint));
        }
        if repair {
            log = wal::repair(fs, wal, covered)?;
            findings.repaired = true;
        } else {
            let file = damage.file.display();
            findings.problems.push(format!("the write-ahead log: {file}, byte {}: {}", damage.offset, damage.what));
        }
    }
    findings.log = Some(log);
    Ok(())
}

fn check_letters(fs: Arc<dyn Fs>, dir: &Path, max_bytes: u64, repair: bool, findings: &mut Findings) {
    let open = || DeadLetters::open(Arc::clone(&fs), dir, max_bytes);
    let (mut opened, mut set_aside) = (open(), Vec::new());
    if repair && opened.as_ref().is_err_and(|e| e.kind == Kind::Corrupt) {
        opened = dead_letters::repair(fs.as_ref(), dir).and_then(|files| {
            set_aside = files;
            open()
        });
        findings.repaired |= opened.is_ok();
    }
    match opened {
        Ok(letters) => {
            let status = letters.status();
            findings.dead_letters = Some(LetterFindings {
                count: status.open as u64,
                replayed: status.replayed as u64,
                dropped: status.dropped as u64,
                bytes: status.bytes,
                set_aside,
            });
        }
        Err(error) => findings.problems.push(error.to_string()),
    }
}

fn report(args: &CheckArgs, findings: &Findings) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let text = serde_json::to_string_pretty(findings).map_err(|e| Error::internal(e.to_string()))?;
        writeln!(out, "{text}")?;
        return Ok(());
    }
    let unknown = "unknown".to_owned();
    writeln!(out, "folder        {}", findings.data_dir.display())?;
    writeln!(out, "node          {}", findings.node.as_ref().unwrap_or(&unknown))?;
    if let Some(lake) = &findings.lake {
        let (version, files, rows, bytes) =
            (lake.version, grouped(lake.files), grouped(lake.rows), grouped(lake.bytes));
        writeln!(out, "lake          version {version}: {files} files, {rows} rows, {bytes} bytes")?;
        writeln!(out, "              holds everything up to seq {}", grouped(lake.covered_seq))?;
    }
    if let Some(log) = &findings.log {
        let bytes: u64 = log.segments.iter().map(|s| s.bytes).sum();
        let frames: usize = log.segments.iter().map(|s| s.frames).sum();
        let segments = log.segments.len();
        writeln!(out, "log           {segments} segments, {frames} groups, {} bytes", grouped(bytes))?;
        let first = log.segments.iter().find_map(|s| s.first);
        if let (Some(first), Some(last)) = (first, log.segments.iter().rev().find_map(|s| s.last)) {
            writeln!(out, "              seq {} to {}", grouped(first), grouped(last))?;
        }
        let torn: u64 = log.segments.iter().map(|s| s.torn_bytes).sum();
        if torn > 0 {
            let torn = grouped(torn);
            writeln!(
                out,
                "              {torn} bytes of an unacknowledged group at the end are cut at the next start"
            )?;
        }
    }
    if let Some(letters) = &findings.dead_letters {
        let (open, bytes) = (grouped(letters.count), grouped(letters.bytes));
        let (replayed, dropped) = (grouped(letters.replayed), grouped(letters.dropped));
        writeln!(out, "dead letters  {open} open, {replayed} replayed, {dropped} dropped, {bytes} bytes")?;
        for file in &letters.set_aside {
            writeln!(out, "set aside     {}", file.display())?;
        }
    }
    if let Some(alerts) = &findings.alerts {
        writeln!(out, "alerts        {} open, {} closed", alerts.open, alerts.closed)?;
    }
    write_metrics(&mut out, findings)?;
    report_repair(&mut out, findings)?;
    for problem in &findings.problems {
        writeln!(out, "PROBLEM       {problem}")?;
    }
    match (findings.problems.is_empty(), findings.repaired) {
        (true, false) => writeln!(out, "all is well")?,
        (true, true) => writeln!(out, "repaired: a server can be started on it")?,
        (false, _) if findings.log.as_ref().is_some_and(|l| l.damage.is_some()) && !findings.repaired => {
            writeln!(out, "copy the folder, then run `tideline check --repair`")?;
        }
        (false, _) if findings.metrics.as_ref().is_some_and(|m| m.problems.len() == findings.problems.len()) => {
            writeln!(out, "the data is whole; correct the files named above")?;
        }
        (false, _) => writeln!(out, "restore what is named above from a backup")?,
    }
    Ok(())
}

fn report_repair(out: &mut impl std::io::Write, findings: &Findings) -> Result<()> {
    let Some(log) = findings.log.as_ref().filter(|_| findings.repaired) else { return Ok(()) };
    if let Some(damage) = &log.damage {
        writeln!(out, "damage        {}, byte {}: {}", damage.file.display(), damage.offset, damage.what)?;
    }
    for file in &log.set_aside {
        writeln!(out, "set aside     {}", file.display())?;
    }
    if let Some(lost) = &log.lost {
        let first = grouped(lost.first);
        match lost.last {
            Some(last) => writeln!(out, "LOST          events {first} to {}", grouped(last))?,
            None => writeln!(out, "LOST          events from {first} on")?,
        }
    }
    Ok(())
}
