//! Disk, memory, open files and clock of the machine, against what the settings may come to need.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tideline_engine::clock::{Clock as _, Micros, SystemClock};
use tideline_engine::fs::host::{Space, clock_is_synchronised, space};
use tideline_engine::fs::{Fs as _, RealFs, open_files};

use super::{Report, size};
use crate::config::Config;

/// Below this much room a server cannot be expected to go on.
const LEAST_ROOM: u64 = 256 << 20;
/// Syncs that are measured, and how long one should take.
const SYNCS: usize = 20;
const SLOW_SYNC: Duration = Duration::from_millis(20);
/// Footers and page indexes that queries keep, besides what is a setting.
const CACHES: u64 = 256 << 20;
/// How many times its pool a query's process may take.
const QUERY_FACTOR: u64 = 3;
/// Open files that connections leave to log, lake and queries.
const FILES_BESIDES: u64 = 1_024;
/// 2026-01-01T00:00:00Z: no clock of a machine that runs this shows an earlier time.
const EARLIEST: Micros = 1_767_225_600_000_000;
/// How far the newest file may lie ahead of the clock.
const AHEAD: Micros = 2_000_000;

/// Whether users other than the owner may read a file.
pub(super) fn others_may_read(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o044 != 0)
}

/// Looks at the machine.
pub(super) fn look(config: &Config, report: &mut Report) {
    let existing = config.data_dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    disk(config, existing, report);
    memory(config, report);
    files(config, report);
    clock(config, report);
}

fn disk(config: &Config, at: &Path, report: &mut Report) {
    match space(at) {
        Ok(room) => judge_room(config, room, report),
        Err(e) => {
            report.fail("disk", format!("{} cannot be looked at: {e}", at.display()), "check the mount and its rights")
        }
    }
    match file_system(at).as_deref() {
        Some("tmpfs" | "ramfs") => {
            let what =
                format!("{} is in memory: what is acknowledged is gone after a restart of the machine", at.display());
            report.warn("disk", what, "name a folder on a disk with --data-dir");
        }
        Some(kind @ ("nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "fuse.sshfs")) => {
            let what = format!("{} is on {kind}: locks and syncs are what that server makes of them", at.display());
            report.warn("disk", what, "use a local disk or a block device");
        }
        Some("overlay") => {
            let what = format!("{} is part of a container's own layer and goes away with it", at.display());
            report.warn("disk", what, "mount a volume there");
        }
        Some(kind) => report.ok("disk", format!("the file system is {kind}")),
        None => {}
    }
    match sync_times(at) {
        Ok(times) => {
            let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
            let ms = |t: Duration| t.as_secs_f64() * 1e3;
            let what = format!(
                "a sync of 4 KiB takes {:.2} ms (median), {:.2} ms at most of {SYNCS}",
                ms(median),
                ms(longest)
            );
            if median > SLOW_SYNC {
                let fix = "every acknowledgement waits for one: use a faster disk, or send larger batches";
                report.warn("disk", what, fix);
            } else {
                report.ok("disk", what);
            }
        }
        Err(e) if config.data_dir.exists() => {
            let what = format!("this user cannot write in {}: {e}", at.display());
            report.fail("disk", what, format!("run as its owner, or: chown -R USER {}", at.display()));
        }
        Err(e) => {
            let what = format!(
                "{} is not there, and this user cannot make it in {}: {e}",
                config.data_dir.display(),
                at.display()
            );
            report.fail("disk", what, "name a folder this user may write with --data-dir");
        }
    }
}

fn judge_room(config: &Config, room: Space, report: &mut Report) {
    let Space { total, free, free_files } = room;
    let what = format!("{} of {} are free", size(free), size(total));
    let least = LEAST_ROOM.max(config.wal.segment_bytes.0.saturating_mul(4));
    let wanted = [config.wal.max_bytes, config.dead_letters.max_bytes, config.query.spill_bytes];
    let wanted = wanted.iter().fold(0, |sum: u64, b| sum.saturating_add(b.0));
    if free < least {
        report.fail("disk", what, format!("free space: below {} the log soon has none", size(least)));
    } else if free < wanted {
        let what = format!("{what}; log, dead letters and spilled queries may take {} beside the lake", size(wanted));
        let fix = "free space, or lower wal.max_bytes, dead_letters.max_bytes or query.spill_bytes";
        report.warn("disk", what, fix);
    } else {
        report.ok("disk", what);
    }
    if let Some(left @ 0..1_000) = free_files {
        report.fail(
            "disk",
            format!("{left} further files can be made there"),
            "the file system is out of inodes: remove files",
        );
    }
}

/// How long syncs take, sorted.
fn sync_times(dir: &Path) -> std::io::Result<Vec<Duration>> {
    let path = dir.join(format!(".tideline-doctor-{}", std::process::id()));
    let measure = || -> std::io::Result<Vec<Duration>> {
        let mut file = RealFs.create(&path)?;
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            file.write_all(&[0; 4_096])?;
            let start = Instant::now();
            file.sync()?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        Ok(times)
    };
    let measured = measure();
    // Where it could not be made there is nothing to remove.
    let _ = std::fs::remove_file(&path);
    measured
}

/// The kind of the file system that holds a path, where the system says.
fn file_system(path: &Path) -> Option<String> {
    let path = std::fs::canonicalize(path).ok()?;
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let of = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?.replace("\\040", " "), fields.next()?.to_owned());
        path.starts_with(&at).then_some((at.len(), kind))
    };
    // Of mounts at one place the last one counts.
    mounts.lines().filter_map(of).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

fn memory(config: &Config, report: &mut Report) {
    let Some(total) = memory_limit() else { return };
    let fixed = [
        config.buffer.max_bytes,
        config.dedup.max_bytes,
        config.query.derived_bytes,
        config.ingest.max_in_flight_bytes,
        config.metrics.cache_bytes,
        config.lake.footer_bytes,
    ];
    let fixed = fixed.iter().fold(CACHES, |sum, b| sum.saturating_add(b.0));
    let queries = config.query.memory_bytes.0;
    let (least, most) = (fixed.saturating_add(queries), fixed.saturating_add(queries.saturating_mul(QUERY_FACTOR)));
    let what = format!(
        "this process may use {}; its budgets add up to {}, at most {} beside large queries",
        size(total),
        size(least),
        size(most)
    );
    let fix =
        "lower query.memory_bytes, buffer.max_bytes, dedup.max_bytes or query.derived_bytes, or give it more memory";
    if least > total {
        report.fail("memory", what, fix);
    } else if most > total {
        report.warn("memory", what, fix);
    } else {
        report.ok("memory", what);
    }
}

/// What the machine has, or the control group allows.
fn memory_limit() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total =
        info.lines().find_map(|l| l.strip_prefix("MemTotal:"))?.trim().trim_end_matches(" kB").parse::<u64>().ok()?;
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").trim_start_matches('/').to_owned();
    let files = [
        Path::new("/sys/fs/cgroup").join(&own).join("memory.max"),
        Path::new("/sys/fs/cgroup/memory.max").to_owned(),
        Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").to_owned(),
    ];
    let limits = files.iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    Some(limits.chain([total << 10]).min().unwrap_or(total << 10))
}

fn files(config: &Config, report: &mut Report) {
    let Some(limit) = open_files::raise_limit() else { return };
    let wanted = config.http.max_connections as u64 + FILES_BESIDES;
    let what = format!("{limit} files may be open");
    if limit < wanted {
        let what = format!("{what}; http.max_connections and the engine's own want {wanted}");
        let fix = "raise it (ulimit -n, LimitNOFILE= in a unit), or lower http.max_connections; until then fewer connections are taken";
        report.warn("limits", what, fix);
    } else {
        report.ok("limits", what);
    }
}

fn clock(config: &Config, report: &mut Report) {
    let now = SystemClock::new().now();
    const FIX: &str = "set the clock, and keep it with a time server (chrony, systemd-timesyncd)";
    if now < EARLIEST {
        report.fail(
            "clock",
            "it shows a time before this program was made: live traffic would be events of the future",
            FIX,
        );
        return;
    }
    let dir = &config.data_dir;
    let newest = ["wal", "lake/_delta_log", "dead_letters"].iter().filter_map(|sub| newest_file(&dir.join(sub))).max();
    match newest {
        Some(newest) if newest > now + AHEAD => {
            let ahead = (newest - now) / 1_000_000;
            let what = format!("the newest file of the data folder is {ahead} s ahead of it: it was set back");
            report.fail("clock", what, FIX);
        }
        _ if clock_is_synchronised() == Some(false) => {
            report.warn("clock", "the kernel knows of no time server that keeps it", FIX);
        }
        _ => report.ok("clock", "plausible, and not behind the newest file"),
    }
}

fn newest_file(dir: &Path) -> Option<Micros> {
    let modified = |entry: std::fs::DirEntry| {
        let since = entry.metadata().ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Micros::try_from(since.as_micros()).ok()
    };
    std::fs::read_dir(dir).ok()?.flatten().filter_map(modified).max()
}
