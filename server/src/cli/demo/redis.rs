//! A redis-server for as long as the demo runs: on a free loopback port, and without files.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tideline_engine::error::{Error, Result};

/// How often it is asked whether it is there yet.
const ASKS: u32 = 500;
const BETWEEN: Duration = Duration::from_millis(10);

/// A running redis-server. Ends when dropped.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    url: String,
}

impl Redis {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When the machine has none, or it does not answer.
    pub fn start() -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|e| {
            let error = Error::invalid("invalid_config", format!("redis-server cannot be started: {e}"));
            error.with_hint("install Redis 7 or newer, or run the demo without --redis: it does not need one")
        })?;
        // From here on whatever happens ends it.
        let redis = Self { child, url: format!("redis://127.0.0.1:{port}") };
        for _ in 0..ASKS {
            if answers(port).is_ok_and(|answered| answered) {
                return Ok(redis);
            }
            std::thread::sleep(BETWEEN);
        }
        Err(Error::internal("redis-server was started and does not answer"))
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // When it has ended already, all the better.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answers(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(BETWEEN * 10))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG\r\n")
}
