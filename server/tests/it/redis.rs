//! A real redis-server on a free loopback port, without persistence, stopped by its own process id.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often a server is looked for before it counts as hanging: a guard, not a measurement.
const LOOKS: usize = 3_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// A free port may be taken by somebody else before the server has it.
const PORTS_TRIED: usize = 10;

/// A running redis-server. Killed when dropped.
pub struct Redis {
    child: Child,
    dir: PathBuf,
    port: u16,
    /// `redis://127.0.0.1:PORT`
    pub url: String,
}

impl Redis {
    /// Starts one whose files (its log) stand in `dir`.
    pub fn start(dir: &Path) -> Self {
        let mut said = String::new();
        for _ in 0..PORTS_TRIED {
            let port = free_port();
            match spawn(dir, port) {
                Ok(child) => {
                    let url = format!("redis://127.0.0.1:{port}");
                    return Self { child, dir: dir.to_owned(), port, url };
                }
                Err(why) => said = why,
            }
        }
        panic!("redis-server did not start; `make setup` installs it: {said}");
    }

    /// `kill -9`, and waits for its end: connections break, and new ones are refused.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGSTOP: connections stay open, new ones are even taken by the kernel, and nothing answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT: it goes on where it was paused.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// A new process on the same port, which has none of the data.
    pub fn restart_empty(&mut self) {
        self.kill();
        let started = spawn(&self.dir, self.port);
        self.child = started.unwrap_or_else(|why| panic!("redis-server did not come back: {why}"));
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill {name} failed");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Starts a server and waits until it answers; the error is its log.
fn spawn(dir: &Path, port: u16) -> Result<Child, String> {
    let log = dir.join(format!("redis-{port}.log"));
    let output = File::create(&log).map_err(|e| e.to_string())?;
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(dir);
    command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    for _ in 0..LOOKS {
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return Err(std::fs::read_to_string(&log).unwrap_or_default());
        }
        if answers(port, BETWEEN_LOOKS) {
            return Ok(child);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(format!("no answer: {}", std::fs::read_to_string(&log).unwrap_or_default()))
}

/// Whether a PING comes back. While it loads it answers with an error, which is not yet an answer.
fn answers(port: u16, within: Duration) -> bool {
    let ping = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(within))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ping().is_ok_and(|answer| &answer == b"+PONG\r\n")
}

/// What a command answers.
pub fn ask(url: &str, command: &[&str]) -> String {
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    cmd.query(&mut connection).unwrap()
}

#[test]
fn a_redis_can_be_paused_killed_and_started_again_without_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Redis::start(dir.path());
    assert_eq!(ask(&server.url, &["SET", "k", "v"]), "OK");
    server.pause();
    assert!(!answers(server.port, Duration::from_millis(50)), "it is paused and answers");
    server.resume();
    assert_eq!(ask(&server.url, &["GET", "k"]), "v");
    server.restart_empty();
    assert_eq!(ask(&server.url, &["SET", "k", "new", "NX"]), "OK", "it still has its data");
    server.kill();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).is_err(), "it is killed and takes connections");
}
