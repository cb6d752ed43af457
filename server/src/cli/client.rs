//! What the commands talk to: a running server over HTTP, or a data folder opened in this process.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use tideline_engine::error::{Error, Kind, Position, Result};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body, RequestBuilder};

use crate::config::Secret;
use crate::config::load::key_from_environment;

/// Where a server listens unless it is told otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// What to do when a server asks for a key.
const KEY_HINT: &str = "give a key of this server as TIDELINE_KEY in the environment, or with --key";

/// Which server or folder a command is for.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// The running server to talk to [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    pub url: Option<String>,
    /// Open this data folder in this process instead; no server may be using it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The server's key, if it has any; better in the environment, as TIDELINE_KEY: other users see command lines
    #[arg(long, value_name = "KEY", conflicts_with = "data_dir")]
    pub key: Option<String>,
}

/// [`TargetArgs`], decided.
#[derive(Debug)]
pub enum Target {
    /// A server.
    Server(Client),
    /// A folder.
    Folder(PathBuf),
}

impl TargetArgs {
    /// Decides.
    ///
    /// # Errors
    /// When the URL is not one that can be used.
    pub fn target(&self) -> Result<Target> {
        match &self.data_dir {
            Some(dir) => Ok(Target::Folder(dir.clone())),
            None => {
                let key = self.key.clone().or_else(key_from_environment);
                Client::new(self.url.as_deref().unwrap_or(DEFAULT_URL), key).map(Target::Server)
            }
        }
    }
}

/// Speaks to one server.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    url: String,
    key: Option<Secret>,
}

/// A problem answer (`application/problem+json`), as far as it is read here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    message: String,
    detail: String,
    hint: Option<String>,
    position: Option<Place>,
    did_you_mean: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Place {
    line: u64,
    column: u64,
}

/// An answer of the server, of any status.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// How long it asks to wait before the same request is sent again.
    pub retry_after: Option<Duration>,
    body: Body,
}

impl Answer {
    fn new(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let after = head.headers.get("retry-after").and_then(|v| v.to_str().ok()?.trim().parse().ok());
        Self { status: head.status.as_u16(), retry_after: after.map(Duration::from_secs), body }
    }

    /// Whether the server did what it was asked.
    pub fn is_success(&self) -> bool {
        StatusCode::from_u16(self.status).is_ok_and(|s| s.is_success())
    }

    /// The whole body, up to 64 MiB.
    pub fn bytes(mut self) -> Result<Vec<u8>> {
        let limited = self.body.with_config().limit(64 << 20);
        limited.read_to_vec().map_err(|e| Error::internal(format!("the answer broke off: {e}")))
    }

    /// The body as it comes.
    pub fn reader(self) -> impl Read + Send + 'static {
        self.body.into_with_config().limit(u64::MAX).reader()
    }

    /// The answer itself when it is a success, else the error it describes.
    pub fn success(self) -> Result<Self> {
        if self.is_success() { Ok(self) } else { Err(self.into_error()) }
    }

    /// The error this answer describes.
    pub fn into_error(self) -> Error {
        let status = self.status;
        let body = self.bytes().unwrap_or_default();
        let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
        let mut message = if problem.message.is_empty() { problem.detail } else { problem.message };
        if message.is_empty() {
            let text = String::from_utf8_lossy(&body);
            message = format!("the server answered {status}: {}", text.chars().take(200).collect::<String>());
        }
        let kind = match status {
            404 => Kind::NotFound,
            413 => Kind::TooLarge,
            401 | 403 => Kind::Forbidden,
            429 | 503 => Kind::Busy,
            504 => Kind::Timeout,
            400..=499 => Kind::Invalid,
            _ => Kind::Internal,
        };
        let mut error = Error::new(kind, code(&problem.code), message);
        error.hint = if problem.code == "key_missing" { Some(KEY_HINT.to_owned()) } else { problem.hint };
        error.position = problem.position.map(|p| Position { line: p.line, column: p.column });
        error.did_you_mean = problem.did_you_mean;
        error
    }
}

/// The codes the commands themselves look at.
fn code(name: &str) -> &'static str {
    ["not_found", "data_dir_locked"].into_iter().find(|known| *known == name).unwrap_or("server_error")
}

impl Client {
    /// A client of the server at `url`, which shows it this key.
    ///
    /// # Errors
    /// When it is not an `http://` URL, or the key cannot be one.
    pub fn new(url: &str, key: Option<String>) -> Result<Self> {
        let url = url.trim_end_matches('/');
        if !url.starts_with("http://") || url.len() == "http://".len() {
            let error = Error::invalid("invalid_url", format!("`{url}` is not an http:// URL"));
            let hint = "write it like http://127.0.0.1:8080; TLS is for a proxy or a tunnel in between";
            return Err(error.with_hint(hint));
        }
        let key = key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
        if key.as_ref().is_some_and(|key| !key.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(Error::invalid("invalid_key", "the key has characters that no key has").with_hint(KEY_HINT));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .user_agent(concat!("tideline/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .build();
        Ok(Self { agent: config.new_agent(), url: url.to_owned(), key: key.map(Secret::from) })
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks whether the server is there at all.
    ///
    /// # Errors
    /// When it is not, saying how to start one.
    pub fn reach(&self) -> Result<()> {
        self.get("/health/live").map(|_| ())
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Result<Answer> {
        let request = self.agent.get(format!("{}{path}", self.url));
        self.signed(request).call().map(Answer::new).map_err(|e| self.unreachable(&e))
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        let request = self.agent.delete(format!("{}{path}", self.url));
        self.signed(request).call().map(Answer::new).map_err(|e| self.unreachable(&e))
    }

    /// `POST` without a body.
    pub fn post_empty(&self, path: &str) -> Result<Answer> {
        let request = self.agent.post(format!("{}{path}", self.url));
        self.signed(request).send_empty().map(Answer::new).map_err(|e| self.unreachable(&e))
    }

    /// `POST` of a JSON value.
    pub fn post_json(&self, path: &str, body: &serde_json::Value) -> Result<Answer> {
        self.post(path, "application/json", None, body.to_string().as_bytes())
    }

    /// `POST` of bytes.
    pub fn post(&self, path: &str, content_type: &str, encoding: Option<&str>, body: &[u8]) -> Result<Answer> {
        let mut request: RequestBuilder<_> = self.agent.post(format!("{}{path}", self.url));
        request = self.signed(request).content_type(content_type);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        request.send(body).map(Answer::new).map_err(|e| self.unreachable(&e))
    }

    fn signed<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.key {
            Some(key) => request.header("authorization", format!("Bearer {}", key.expose())),
            None => request,
        }
    }

    fn unreachable(&self, why: &ureq::Error) -> Error {
        Error::new(Kind::Busy, "unreachable", format!("no answer from {}: {why}", self.url)).with_hint(
            "start a server with `tideline serve`, name another with --url, or open a data folder with --data-dir",
        )
    }
}
