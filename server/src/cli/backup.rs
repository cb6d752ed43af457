//! `tideline backup`: a copy of everything at one moment, of a running server or a folder at rest; and looking whether one is
//! whole. `tideline restore`: a data folder made of it.

use std::io::{BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use tideline_engine::backup::{Manifest, Piece, Target, verify};
use tideline_engine::clock::SystemClock;
use tideline_engine::engine::restore;
use tideline_engine::error::{Error, Result};
use tideline_engine::fs::Fs;
use tideline_engine::fs::real::RealFs;

use super::SettingArgs;
use super::client::{Client, Target as From, TargetArgs};
use super::folder::Folder;
use super::load::grouped;
use crate::config::ByteSize;
use crate::tar;

/// What `tideline backup --help` begins with.
pub const ABOUT: &str = "Copies everything a data folder holds, as it is at one moment: the lake at one version, the \
    events in the write-ahead log beyond it, dead letters, alerts, who was erased, and the keys (which are hashes). Every event \
    that was acknowledged before is in it. The server goes on meanwhile; what it would delete is kept until the copy is done.\n\n\
    The copy is made by this command, on this machine: the server sends it over HTTP and writes nothing itself. It appears \
    under its name only when every file is there, has the checksum of the manifest, and is synced.";

/// What `tideline restore --help` begins with.
pub const ABOUT_RESTORE: &str = "Makes a data folder of a backup. The folder must be empty. Every file is compared with the \
    backup's manifest first; a damaged one is named, and nothing is restored. Events in the backup's log are moved into the lake, \
    and then the folder gets a new node id: the server the backup was made of may still be running. Sending events again that \
    are in the backup gives duplicates.";

/// Bytes asked of the transfer at a time.
const READ_BYTES: usize = 1 << 20;

/// Arguments of `tideline backup`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline backup /backups/shop-2026-01-31\n  \
        tideline backup /backups/shop-2026-01-31 --data-dir tideline-data     a folder no server is using\n  \
        tideline backup /backups/shop-2026-01-31 --rate 50MiB\n  \
        tideline backup --verify /backups/shop-2026-01-31\n\n\
        Over the network put TLS or a tunnel in between: the copy holds every event. The Delta table alone (the folder \
        `lake`) can be copied at any time with any tool that reads Delta.")]
pub struct BackupArgs {
    /// Folder to make; it must not exist
    #[arg(value_name = "DEST")]
    dest: PathBuf,
    /// Make nothing: read the backup DEST and compare every file with its manifest
    #[arg(long, conflicts_with_all = ["url", "data_dir", "key", "without_keys", "rate"])]
    verify: bool,
    /// Leave the keys out: a server on the restored folder has none until new ones are made
    #[arg(long)]
    without_keys: bool,
    /// Most bytes a second, like 50MiB [default: no limit]
    #[arg(long, value_name = "BYTES")]
    rate: Option<ByteSize>,
    #[command(flatten)]
    target: TargetArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `tideline restore`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline restore /backups/shop-2026-01-31 /srv/tideline\n  \
        tideline serve --data-dir /srv/tideline")]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "SRC")]
    src: PathBuf,
    /// The data folder to make: new, or empty
    #[arg(value_name = "DATA_DIR")]
    data_dir: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What was copied, or verified.
#[derive(Debug, Serialize)]
struct Report {
    backup: PathBuf,
    files: usize,
    bytes: u64,
    node: String,
    lake_version: i64,
    seq: u64,
}

impl Report {
    fn new(backup: PathBuf, manifest: &Manifest) -> Self {
        let Manifest { node, lake_version, seq, files, .. } = manifest;
        Self {
            backup,
            files: files.len(),
            bytes: manifest.bytes(),
            node: node.clone(),
            lake_version: *lake_version,
            seq: *seq,
        }
    }
}

/// Copies, or verifies.
pub fn run(args: &BackupArgs) -> Result<ExitCode> {
    let dest = std::path::absolute(&args.dest)?;
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let (manifest, done) = if args.verify {
        (verify(&*fs, &dest)?, "every file is what was written")
    } else {
        let from = args.target.target()?;
        let mut to = Writer::new(Target::new(fs, &dest)?, args.rate);
        let copied = match from {
            From::Server(client) => from_server(&client, !args.without_keys, &mut to),
            From::Folder(dir) => from_folder(&dir, !args.without_keys, &mut to),
        };
        match copied {
            Ok(()) => (to.target.finish()?, "backed up"),
            Err(e) => {
                to.target.abort();
                return Err(e);
            }
        }
    };
    let report = Report::new(dest, &manifest);
    let text = if args.json {
        json(&report)?
    } else {
        let Report { backup, files, bytes, lake_version, seq, .. } = &report;
        let (files, bytes, seq) = (grouped(*files as u64), grouped(*bytes), grouped(*seq));
        format!(
            "{}: {done}: {files} files, {bytes} bytes; the lake at version {lake_version}, events up to {seq}",
            backup.display()
        )
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn json(report: &impl Serialize) -> Result<String> {
    serde_json::to_string(report).map_err(|e| Error::internal(e.to_string()))
}

/// A target that is written at a rate.
#[derive(Debug)]
struct Writer {
    target: Target,
    rate: Option<u64>,
    begun: Instant,
    written: u64,
}

impl Writer {
    fn new(target: Target, rate: Option<ByteSize>) -> Self {
        Self { target, rate: rate.map(|rate| rate.0.max(1)), begun: Instant::now(), written: 0 }
    }

    fn take(&mut self, piece: Piece) -> Result<()> {
        if let Piece::Bytes(bytes) = &piece {
            self.written += bytes.len() as u64;
        }
        self.target.take(piece)?;
        if let Some(rate) = self.rate {
            let due = Duration::from_secs_f64(self.written as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(self.begun.elapsed()));
        }
        Ok(())
    }
}

fn from_server(client: &Client, keys: bool, to: &mut Writer) -> Result<()> {
    let answer = client.get(&format!("/admin/backup?keys={keys}"))?.success()?;
    let mut tar = BufReader::with_capacity(READ_BYTES, answer.reader());
    while let Some((path, bytes)) = tar::next(&mut tar)? {
        to.take(Piece::File { path, bytes })?;
        let (mut left, mut buffer) = (bytes, vec![0; READ_BYTES]);
        let broken = |e: std::io::Error| Error::internal(format!("the transfer broke off: {e}"));
        while left > 0 {
            let piece = &mut buffer[..usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES)];
            tar.read_exact(piece).map_err(broken)?;
            left -= piece.len() as u64;
            to.take(Piece::Bytes(Bytes::copy_from_slice(piece)))?;
        }
        tar.read_exact(&mut buffer[..tar::padding(bytes)]).map_err(broken)?;
    }
    Ok(())
}

fn from_folder(dir: &std::path::Path, keys: bool, to: &mut Writer) -> Result<()> {
    let folder = Folder::open_existing(dir)?;
    let copied = copy(&folder, keys, to);
    let closed = folder.close();
    copied?;
    closed.map(|_| ())
}

fn copy(folder: &Folder, keys: bool, to: &mut Writer) -> Result<()> {
    let no_limit = Duration::from_secs(u64::from(u32::MAX));
    let mut backup = folder.wait(folder.engine().backup(keys, no_limit))?;
    while let Some(piece) = backup.next_piece()? {
        to.take(piece)?;
    }
    Ok(())
}

/// Restores.
pub fn run_restore(args: &RestoreArgs) -> Result<ExitCode> {
    let from = std::path::absolute(&args.src)?;
    let settings = SettingArgs { data_dir: Some(args.data_dir.clone()), ..SettingArgs::default() };
    let config = settings.load()?.config.engine();
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("engine").enable_all().build()?;
    let restored = restore(Arc::new(RealFs), Arc::new(SystemClock::new()), config, &from);
    let report = runtime.block_on(restored)?;
    let text = if args.json {
        json(&report)?
    } else {
        let (events, moved) = (grouped(report.events), grouped(report.moved as u64));
        let (to, node, before) = (args.data_dir.display(), &report.node, &report.node_before);
        format!(
            "restored {events} events into {to}, {moved} of them from the log; its node id is {node}, it was {before}\n\
             next: tideline serve --data-dir {to}"
        )
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}
