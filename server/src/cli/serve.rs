//! `tideline serve`: runs the server until it is told to stop.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use tideline_engine::clock::{Clock, SystemClock};
use tideline_engine::engine::Engine;
use tideline_engine::error::{Error, Kind, Result};
use tideline_engine::fs::Fs;
use tideline_engine::fs::crash::crash_at;
use tideline_engine::fs::open_files;
use tideline_engine::fs::real::RealFs;
use tokio_util::sync::CancellationToken;

use super::SettingArgs;
use crate::app::{AppState, router};
use crate::auth::keys::KeyStore;
use crate::auth::oidc::{self, Oidc};
use crate::config::{Config, Loaded};
use crate::host::{self, Process};
use crate::shutdown::Signals;
use crate::tls::Tls;
use crate::{listen, postgres, telemetry, webhooks};

/// How long threads may take to end once everything is closed.
const END_WITHIN: Duration = Duration::from_millis(500);
/// How long running requests may take to be answered when the disk has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Open files that connections leave to log, lake and queries.
const FILES_OF_OUR_OWN: u64 = 1_024;

/// Arguments of `tideline serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tideline serve\n  \
    tideline serve --listen 127.0.0.1:9000 --data-dir /srv/tideline\n  \
    tideline serve --listen 0.0.0.0:8080          once there is a key: tideline keys create --help\n  \
    tideline serve --config /etc/tideline.toml --set query.memory_bytes=4GiB\n  \
    TIDELINE_DATA_DIR=/srv/tideline TIDELINE_LOG_FORMAT=json tideline serve\n\n\
    Stops on SIGTERM or Ctrl-C: finishes running requests, moves what is buffered into the lake, exits 0.\n\
    A second signal stops at once; what is acknowledged is in the log and comes back at the next start.")]
pub struct ServeArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

/// Runs the server.
pub fn run(args: &ServeArgs) -> Result<ExitCode> {
    let Loaded { config, .. } = args.settings.load()?;
    telemetry::start(&config.log)?;
    serve(config, Embedding::default())
}

/// What a command that runs a server of its own wants of it. The default wants nothing.
#[derive(Default)]
pub struct Embedding {
    /// Called once it listens, instead of the line on standard output.
    pub ready: Option<Box<dyn FnOnce(SocketAddr) + Send>>,
    /// Stops it as a signal does.
    pub stop: CancellationToken,
}

/// Runs the server with these settings until a signal, or until it is told to stop.
pub fn serve(config: Config, embedding: Embedding) -> Result<ExitCode> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.http.threads > 0 {
        runtime.worker_threads(config.http.threads);
    }
    let runtime = runtime.thread_name("http").enable_all().build()?;
    let outcome = runtime.block_on(until_stopped(config, embedding));
    runtime.shutdown_timeout(END_WITHIN);
    outcome
}

async fn until_stopped(mut config: Config, embedding: Embedding) -> Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let address = config.listen_addr().map_err(|w| Error::invalid("invalid_config", w.message).with_hint(w.hint))?;
    let postgres = config.postgres_addr().map_err(|w| Error::invalid("invalid_config", w.message).with_hint(w.hint))?;
    // Before anything is bound: a certificate that cannot be used is no reason to serve without.
    let tls = Tls::load(&config.tls)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let keys = Arc::new(KeyStore::open(Arc::new(RealFs), &config.data_dir, Arc::clone(&clock))?);
    oidc::may_start(&config.oidc, keys.are_required())?;
    // The port first: that it is taken should be known before a log is replayed.
    let listener = listen::bind(address, keys.any_active())?;
    let address = listener.local_addr()?;
    let postgres = match postgres {
        Some(wanted) => Some(listen::bind_for(wanted, keys.any_active(), "--postgres-listen")?),
        None => None,
    };
    let engine = tokio::select! {
        engine = open(&config, clock) => engine?,
        name = signals.next() => {
            tracing::info!("{name} before the server was ready");
            end(ExitStatus::Ok)
        }
    };
    // The folder is ours only now.
    keys.reload()?;
    oidc::may_start(&config.oidc, keys.are_required())?;
    listen::may_listen(address, keys.any_active())?;
    if let Some(listener) = &postgres {
        listen::may_listen(listener.local_addr()?, keys.any_active())?;
    }
    fit_connections(&mut config);
    // Planned now, so that what is wrong with a metric is in the log before anybody asks; events need not wait for it.
    let planning = Arc::clone(&engine);
    tokio::spawn(async move {
        planning.metrics().catalogue().await;
        warm_up(&planning).await;
    });
    let config = Arc::new(config);
    let oidc = Oidc::load(&config, Arc::clone(engine.clock()))?;
    let state = AppState::new(Arc::clone(&engine), Arc::clone(&config), address, keys);
    let state = state.with_tls(tls.clone()).with_oidc(oidc);
    state.limits.connect().await;
    let stop = CancellationToken::new();
    webhooks::start(&engine, &config, &stop)?;
    let acceptor = tls.as_ref().map(|tls| tls.http()).transpose()?;
    if let Some(tls) = &tls {
        tls.watch(&config.tls, stop.clone())?;
    }
    let mut wire_url = None;
    let wire = match postgres {
        Some(listener) => {
            let address = listener.local_addr()?;
            wire_url = Some(format!("postgres://{address}/{}", postgres::catalogue::DATABASE));
            let shared = postgres::Shared::new(state.clone(), stop.clone())?;
            tracing::info!("listening on postgres://{address}/{}", postgres::catalogue::DATABASE);
            if tls.is_none() && !address.ip().is_loopback() {
                tracing::warn!("keys reach {address} unencrypted: set tls.cert_file and tls.key_file");
            }
            Some(tokio::spawn(postgres::serve(listener, shared)))
        }
        None => None,
    };
    let serving = listen::serve(listener, acceptor, router(state.clone()), config.http.clone(), stop.clone());
    let server = tokio::spawn(async move {
        let served = tokio::spawn(serving).await;
        let wired = match wire {
            Some(wire) => wire.await.unwrap_or(0),
            None => 0,
        };
        served.unwrap_or(0) + wired
    });
    let url = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
    Note { pid: std::process::id(), url: url.clone(), postgres: wire_url }.write(&config.data_dir);
    match embedding.ready {
        Some(ready) => ready(address),
        None => announce(&url),
    }
    tokio::select! {
        name = signals.next() => tracing::info!("{name}: stopping"),
        () = embedding.stop.cancelled() => {}
        error = engine.failed() => {
            // Those who wait for an answer get it: 503, so that they send again.
            stop.cancel();
            return Ok(give_up(&error, async { drop(server.await) }).await);
        }
    }
    state.drain();
    stop.cancel();
    let closed = async {
        if let Ok(cut @ 1..) = server.await {
            tracing::warn!(connections = cut, "requests that did not finish in time were cut");
        }
        Note::remove(&config.data_dir);
        close(&engine, config.http.close_timeout.0).await
    };
    tokio::select! {
        code = closed => Ok(code),
        name = signals.next() => {
            tracing::warn!("{name} again: stopping at once; what is acknowledged stays in the write-ahead log");
            end(ExitStatus::Failed)
        }
        error = engine.failed() => Ok(give_up(&error, std::future::ready(())).await),
    }
}

/// Makes ready what the first answers are made from.
async fn warm_up(engine: &Engine) {
    let begun = Instant::now();
    match engine.metrics().warm().await {
        Ok(0) => {}
        Ok(metrics) => tracing::info!(metrics, took_ms = begun.elapsed().as_millis(), "the first answers are ready"),
        // Whoever asks first waits, or is told the same.
        Err(error) => tracing::debug!(%error, "the first answers could not be made ready"),
    }
}

/// Makes as many connections fit as files may be open. The engine's own files come first: a log that cannot be
/// opened stops the server.
fn fit_connections(config: &mut Config) {
    let Some(files) = open_files::raise_limit() else { return };
    let most = most_connections(files);
    let wanted = config.http.max_connections;
    if wanted > most {
        tracing::warn!(
            "this process may have {files} files open, so it takes {most} connections at once and not the {wanted} of \
             http.max_connections; raise the limit (ulimit -n, LimitNOFILE) for more"
        );
        config.http.max_connections = most;
    }
}

/// How many connections fit when the process may have so many files open.
fn most_connections(files: u64) -> usize {
    usize::try_from(files.saturating_sub(FILES_OF_OUR_OWN).max(files / 2)).unwrap_or(usize::MAX)
}

async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<Engine>> {
    let mut fs: Arc<dyn Fs> = Arc::new(RealFs);
    if let Some(at) = config.crash_at()? {
        tracing::warn!("this process will end at {}: for tests only", config.crash_at);
        fs = crash_at(fs, at);
    }
    let opened = Engine::open(config.engine(), fs, clock).await;
    opened.map_err(|error| match error.code {
        "data_dir_locked" => locked(&config.data_dir, error),
        "disk_full" => error.with_hint(format!(
            "free space on the file system of {}, or name another folder with --data-dir, and start again",
            config.data_dir.display()
        )),
        _ if error.kind == Kind::Corrupt && error.hint.is_none() => error.with_hint(format!(
            "run `tideline check --data-dir {0}` to see what is damaged, and with --repair to set it aside",
            config.data_dir.display()
        )),
        _ => error,
    })
}

/// Names who has the folder. The note alone would not do: it stays after a crash, and commands lock the folder too.
fn locked(data_dir: &Path, error: Error) -> Error {
    let note = Note::read(data_dir).filter(|note| Process::find(note.pid).is_some());
    match (host::lock_holder(&data_dir.join("LOCK")), note) {
        (Some(holder), Some(note)) if holder.pid == note.pid => {
            error.context(format!("{holder}, a server at {}", note.url))
        }
        (Some(holder), _) => error.context(holder),
        (None, Some(note)) => error.context(format!("the server with process id {} at {}", note.pid, note.url)),
        (None, None) => error,
    }
}

/// `server.json` in the data folder: which process serves it, and where. A convenience for people and for commands
/// that look for the server; what keeps others out is the lock.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) pid: u32,
    pub(super) url: String,
    /// Where the Postgres wire is, if it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    postgres: Option<String>,
}

impl Note {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("server.json")
    }

    pub(super) fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(data_dir)).ok()?).ok()
    }

    fn write(&self, data_dir: &Path) {
        let written =
            serde_json::to_vec(self).map_err(Into::into).and_then(|t| std::fs::write(Self::path(data_dir), t));
        if let Err(e) = written {
            tracing::debug!(error = %e, "server.json could not be written");
        }
    }

    fn remove(data_dir: &Path) {
        // After a crash an old note stays; its process id tells.
        let _ = std::fs::remove_file(Self::path(data_dir));
    }
}

/// Says where the server is: one line on standard output for whoever started it, and in the log.
fn announce(url: &str) {
    // Nobody reading it is fine.
    let _ = writeln!(std::io::stdout(), "listening on {url}");
    let _ = std::io::stdout().flush();
    tracing::info!("listening on {url}");
}

/// Moves what is buffered to the lake, within a limit: the log keeps the rest.
async fn close(engine: &Engine, within: Duration) -> ExitCode {
    match tokio::time::timeout(within, engine.close()).await {
        Ok(Ok(report)) => {
            match report.reason {
                None if report.rows_kept_in_log == 0 => tracing::info!("stopped; everything is in the lake"),
                reason => tracing::warn!(
                    rows = report.rows_kept_in_log,
                    reason,
                    "stopped; the lake was out of reach, so these events stay in the write-ahead log, durable, and \
                     are moved to the lake after the next start"
                ),
            }
            ExitCode::SUCCESS
        }
        Ok(Err(e)) => {
            tracing::error!(error = %e, "the data folder was not closed in good order; the next start recovers it");
            end(ExitStatus::Failed)
        }
        Err(_) => {
            tracing::warn!(
                within_s = within.as_secs(),
                "stopped before the last flush was done; what it did not reach stays in the write-ahead log, \
                 durable, and is moved to the lake after the next start"
            );
            end(ExitStatus::Ok)
        }
    }
}

/// A guarantee is gone (a failed fsync): nothing more may be promised, and the next start recovers from the log.
async fn give_up(error: &Error, answered: impl Future<Output = ()>) -> ExitCode {
    tracing::error!(error = %error, "the server stops: it can no longer promise that events are durable. Check the \
         disk, then start it again: it recovers what was acknowledged from the write-ahead log");
    // How many got their answer does not matter: none of them was told that its events are stored.
    let _ = tokio::time::timeout(ANSWER_WITHIN, answered).await;
    end(ExitStatus::Failed)
}

enum ExitStatus {
    Ok,
    Failed,
}

/// Ends the process without running anything else.
fn end(status: ExitStatus) -> ! {
    let _ = std::io::stderr().flush();
    std::process::exit(match status {
        ExitStatus::Ok => 0,
        ExitStatus::Failed => 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_engine() {
        assert_eq!([256, 1_024, 4_096, 1 << 20].map(most_connections), [128, 512, 3_072, (1 << 20) - 1_024]);
    }
}
