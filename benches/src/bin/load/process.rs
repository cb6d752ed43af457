//! What Linux says of the server's process.

use std::fs;

use serde::Serialize;

/// A process by its id.
#[derive(Debug)]
pub struct Process(u32);

/// What it uses; zeros when it is gone.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    /// The most memory it had resident since it started (VmHWM).
    pub peak_mib: u64,
    /// What it has resident now (VmRSS).
    pub resident_mib: u64,
    /// CPU time since it started, in user and kernel, in seconds.
    pub cpu_seconds: f64,
}

/// Ticks of CPU time a second: the same on every Linux.
const TICKS: f64 = 100.0;

impl Process {
    /// Of this id.
    pub fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// Looks now.
    pub fn look(&self) -> Usage {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        Usage { peak_mib: mib(&status, "VmHWM:"), resident_mib: mib(&status, "VmRSS:"), cpu_seconds: cpu(&stat) }
    }
}

fn mib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() / 1_024
}

/// Fields 14 and 15, counted behind the name, which may hold spaces.
fn cpu(stat: &str) -> f64 {
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_cpu_time_are_found() {
        assert_eq!(mib("Name:\tx\nVmHWM:\t  204800 kB\nVmRSS:\t 1024 kB\n", "VmHWM:"), 200);
        assert_eq!(cpu("7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0"), 3.0);
        let own = Process::new(std::process::id()).look();
        assert!(own.peak_mib > 0 && own.resident_mib > 0, "{own:?}");
    }
}
