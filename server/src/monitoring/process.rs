//! What the system says of this process, under the names every client library uses. Only Linux says it; elsewhere these
//! families are absent.

use std::fs::read_to_string;

use super::text::Page;

/// Ticks a second in `/proc/self/stat`: part of Linux' interface, whatever the kernel's own clock does.
const TICKS: f64 = 100.0;

/// Adds them.
pub fn families(page: &mut Page) {
    let of = |name: &str| read_to_string(format!("/proc/{name}")).ok();
    if let (Some(stat), Some(boot)) = (of("self/stat"), of("stat"))
        && let Some(times) = Times::read(&stat, &boot)
    {
        page.counter("process_cpu_seconds_total", "User and system time, in seconds.", times.cpu);
        page.gauge("process_start_time_seconds", "When the process started, in Unix time.", times.started);
    }
    if let Some(status) = of("self/status") {
        let (kib, number) = (|name| field(&status, name).map(|kib| kib << 10), |name| field(&status, name));
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory.", kib("VmRSS")),
            ("process_virtual_memory_bytes", "Virtual memory.", kib("VmSize")),
            ("process_threads", "Threads.", number("Threads")),
        ] {
            value.into_iter().for_each(|value| page.gauge(name, help, value));
        }
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // Looking opens one.
        page.gauge("process_open_fds", "Open files and connections.", open.count().saturating_sub(1));
    }
    if let Some(most) = of("self/limits").and_then(|limits| most_files(&limits)) {
        page.gauge("process_max_fds", "Files and connections that may be open.", most);
    }
}

struct Times {
    cpu: f64,
    started: f64,
}

impl Times {
    fn read(stat: &str, boot: &str) -> Option<Self> {
        // The second field is the program's name, which may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok().map(|n| n as f64 / TICKS);
        let booted = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok()?;
        // Fields 14, 15 and 22, counted from 1 with the two before.
        Some(Self { cpu: ticks(11)? + ticks(12)?, started: booted + ticks(19)? })
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

fn most_files(limits: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc_are_read_as_the_kernel_writes_them() {
        let stat = "4242 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 12345 1 2 3";
        let times = Times::read(stat, "cpu 1 2\nbtime 1700000000\n").unwrap();
        assert_eq!((times.cpu, times.started), (3.0, 1_700_000_123.45));
        assert!(Times::read("4242 (a) S 1", "btime 1\n").is_none());
        let status = "Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t7\n";
        assert_eq!(
            (field(status, "VmRSS"), field(status, "Threads"), field(status, "VmSize")),
            (Some(2048), Some(7), None)
        );
        assert_eq!(
            most_files("Limit  Soft\nMax open files            1024                 4096  files\n"),
            Some(1_024)
        );
        assert_eq!(most_files("Max open files            unlimited            unlimited            files\n"), None);
    }
}
