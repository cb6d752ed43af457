//! A real server process on a free loopback port, stopped by its own process id.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How long a server may take to start: a guard against hanging, not a measurement.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Lines a server may print before the rest is dropped.
const LINES: usize = 1_024;

/// A running server. Killed when dropped.
pub struct Server {
    child: Child,
    printed: Receiver<String>,
    /// `http://127.0.0.1:PORT`
    pub url: String,
}

impl Server {
    /// Starts `tideline serve` over a data folder, with these environment settings.
    pub fn start(data_dir: &Path, settings: &[(&str, &str)]) -> Self {
        Self::try_start(data_dir, settings).unwrap_or_else(|e| panic!("the server did not start: {e}"))
    }

    /// The same; the error is what it printed before it ended.
    pub fn try_start(data_dir: &Path, settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::try_start_at("127.0.0.1:0", data_dir, settings)
    }

    /// The same, at another address.
    pub fn try_start_at(listen: &str, data_dir: &Path, settings: &[(&str, &str)]) -> Result<Self, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
        command.args(["serve", "--listen", listen, "--data-dir"]).arg(data_dir);
        command.env_remove("TIDELINE_FIXTURES").stdout(Stdio::null()).stderr(Stdio::piped()).stdin(Stdio::null());
        for (name, value) in settings {
            command.env(name, value);
        }
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let Some(stderr) = child.stderr.take() else { return Err("no stderr".into()) };
        let (lines, printed) = sync_channel(LINES);
        // Keeps reading for as long as the server lives, so that it never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = lines.try_send(line);
            }
        });
        let mut said = String::new();
        loop {
            match printed.recv_timeout(START_WITHIN) {
                Ok(line) => {
                    if let Some(at) = line.find("listening on http://") {
                        let url: String =
                            line[at + 13..].chars().take_while(|c| !c.is_whitespace() && *c != '"').collect();
                        return Ok(Self { child, printed, url });
                    }
                    said += &line;
                    said.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = child.wait().map_err(|e| e.to_string())?;
                    return Err(format!("{said}({status})"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    let _ = child.kill();
                    return Err(format!("{said}(not ready in {START_WITHIN:?})"));
                }
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; returns the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill is missing");
        self.child.wait().ok()?.code()
    }

    /// Waits until it ends by itself; the exit code and what it printed since it was ready.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        loop {
            match self.printed.recv_timeout(START_WITHIN) {
                Ok(line) => said = said + &line + "\n",
                Err(RecvTimeoutError::Disconnected) => return (self.child.wait().ok().and_then(|s| s.code()), said),
                Err(RecvTimeoutError::Timeout) => panic!("the server did not end by itself: {said}"),
            }
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Posts events; the status and body, or `None` when no answer came.
    pub fn post(url: &str, body: &str) -> Option<(u16, serde_json::Value)> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let answer = agent.post(format!("{url}/events")).content_type("application/x-ndjson").send(body);
        let mut answer = answer.ok()?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))))
    }

    /// Runs SQL; the CSV rows without the header.
    pub fn csv(&self, sql: &str) -> Vec<String> {
        let answer = ureq::post(format!("{}/sql.csv", self.url)).content_type("application/sql").send(sql);
        let mut answer = answer.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let text = answer.body_mut().with_config().limit(1 << 30).read_to_string();
        let text = text.unwrap_or_else(|e| panic!("{sql}: {e}"));
        text.lines().skip(1).map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
