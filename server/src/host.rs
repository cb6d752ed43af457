//! Who has a port or a lock, from Linux's `/proc`: so that an error can name the process and not only its effect.
//! Elsewhere, and for processes of other users, nobody is found.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A process, as people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// How it was started, cut short.
    pub command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.command)
    }
}

impl Process {
    /// The running process of this id.
    pub fn find(pid: u32) -> Option<Self> {
        let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(Self { pid, command: command.trim().to_owned() })
    }
}

/// The process that listens on an address, if it can be told.
pub fn listener(address: SocketAddr) -> Option<Process> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: String = tables.iter().filter_map(|table| std::fs::read_to_string(table).ok()).collect();
    let socket = format!("socket:[{}]", listening_inode(&text, address)?);
    let owns = |pid: &u32| {
        let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == socket.as_str()))
    };
    let pids = std::fs::read_dir("/proc").ok()?.flatten();
    let pid = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(owns)?;
    Process::find(pid)
}

/// The inode of the socket that listens on `address` or on every address with its port.
fn listening_inode(table: &str, address: SocketAddr) -> Option<u64> {
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let local = socket_address(fields.nth(1)?)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?.parse().ok()?;
        let everywhere = local.ip().is_unspecified() || address.ip().is_unspecified();
        let matches = local.port() == address.port() && (everywhere || local.ip() == address.ip());
        (state == LISTEN && matches).then_some(inode)
    })
}

/// `0100007F:1F90` and its longer sister of IPv6: words of four bytes in the host's order.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<[u8; 4]>> = (0..ip.len() / 8)
        .map(|i| u32::from_str_radix(ip.get(i * 8..i * 8 + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect();
    let bytes = words?.concat();
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
        _ => return None,
    };
    let ip = if ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED) { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { ip };
    Some(SocketAddr::new(ip, port))
}

/// The process that holds the lock of a file, if it can be told.
pub fn lock_holder(path: &Path) -> Option<Process> {
    let inode = std::fs::metadata(path).ok()?.ino();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locking_pid(&locks, inode).and_then(Process::find)
}

/// `1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF`. The device is left out: overlays show another one.
fn locking_pid(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let pid = fields.nth(4)?.parse().ok()?;
        let locked = fields.next()?.rsplit(':').next()?.parse::<u64>().ok()?;
        (locked == inode).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(super::listener(address).map(|p| p.pid), Some(std::process::id()));
        drop(listener);
        assert_eq!(super::listener(address), None);
    }

    #[test]
    fn addresses_of_the_kernel_are_read() {
        let address = |text: &str| socket_address(text).map(|a| a.to_string());
        assert_eq!(address("0100007F:1F90").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(address("00000000000000000000000000000000:0050").as_deref(), Some("0.0.0.0:80"));
        assert_eq!(address("0000000000000000FFFF00000100007F:0050").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(address("junk"), None);
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 0100007F:0001 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n   \
            1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1\n";
        assert_eq!(listening_inode(table, "127.0.0.1:8080".parse().unwrap()), Some(12));
        assert_eq!(listening_inode(table, "127.0.0.1:8081".parse().unwrap()), None);
    }

    #[test]
    fn a_lock_is_found_by_its_file() {
        let locks = "1: POSIX  ADVISORY  READ  7 00:19:5 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF\n";
        assert_eq!((locking_pid(locks, 1_234), locking_pid(locks, 1)), (Some(4_711), None));
    }
}
