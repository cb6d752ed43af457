//! The Postgres wire: SQL for clients that speak Postgres' protocol, version 3. Reading only, by the guard, the session and
//! the limits of `/sql`; a key with the scope `read` is the password.
//!
//! ```text
//! accept ─▶ TLS, startup, key (startup) ─▶ messages (frames, frontend) ─▶ session ─▶ queries through a surface
//!                                                                          └─▶ rows, as the client takes them (encode)
//! ```
//!
//! The protocol's loop is our own over pgwire's messages: handlers that are called by somebody else's loop could bound
//! neither what a stranger sends before the password nor how long anything takes.

pub mod cancel;
pub mod catalogue;
pub mod encode;
pub mod errors;
pub mod frames;
pub mod frontend;
pub mod portal;
pub mod rewrite;
pub mod session;
pub mod settings;
pub mod split;
pub mod startup;
pub mod types;
pub mod utility;
pub mod values;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tideline_engine::error::Result;
use tideline_engine::metrics::MetricTables;
use tideline_engine::query::Surface;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::app::AppState;
use crate::config;
use cancel::Cancels;
use frames::Ended;

/// Clients on their way in, besides those that are; also those that come to cancel.
const MAX_GREETING: usize = 128;
/// Pause after a failed accept, as in [`crate::listen`].
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What connections share.
pub struct Shared {
    state: AppState,
    surface: Arc<Surface>,
    metrics: Arc<MetricTables>,
    tls: Option<TlsAcceptor>,
    cancels: Arc<Cancels>,
    places: Arc<Semaphore>,
    greeting: Arc<Semaphore>,
    stop: CancellationToken,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("cancels", &self.cancels).finish_non_exhaustive()
    }
}

impl Shared {
    /// Prepares what a listener needs.
    ///
    /// # Errors
    /// None that is expected.
    pub fn new(state: AppState, stop: CancellationToken) -> Result<Arc<Self>> {
        let (surface, metrics) = catalogue::surface(&state.engine)?;
        let tls = state.tls.as_ref().map(|tls| tls.postgres()).transpose()?;
        let places = Arc::new(Semaphore::new(state.config.postgres.max_connections));
        let greeting = Arc::new(Semaphore::new(MAX_GREETING));
        Ok(Arc::new(Self { state, surface, metrics, tls, cancels: Arc::default(), places, greeting, stop }))
    }

    fn settings(&self) -> &config::Postgres {
        &self.state.config.postgres
    }
}

/// Serves connections until the stop, then lets running queries finish. Returns how many connections had to be cut.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>) -> usize {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // So many strangers at once want nothing good: those beyond are not even answered.
                let Ok(greeting) = Arc::clone(&shared.greeting).try_acquire_owned() else { continue };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let greeted = greet(stream, peer, &shared).await;
                    drop(greeting);
                    if let Some(greeted) = greeted {
                        Box::pin(session::run(greeted, shared)).await;
                    }
                });
            }
            Err(e) => {
                tracing::warn!(error = %e, "a connection of the Postgres wire could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let within = shared.state.config.http.drain_timeout.0;
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(within, drained).await.is_ok() {
        return 0;
    }
    let left = connections.len();
    connections.shutdown().await;
    left
}

async fn greet(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) -> Option<startup::Greeted> {
    // Small answers leave at once. A socket that refuses the option works all the same.
    let _ = stream.set_nodelay(true);
    let within = shared.settings().startup_timeout.0;
    let greeted = tokio::select! {
        () = shared.stop.cancelled() => return None,
        greeted = tokio::time::timeout(within, startup::greet(stream, peer, shared)) => greeted,
    };
    match greeted {
        Ok(Ok(greeted)) => greeted,
        // Rubbish, and clients that go away, are their own business.
        Ok(Err(ended)) => {
            tracing::debug!(?ended, "a client of the Postgres wire was not let in");
            None
        }
        Err(_) => {
            tracing::debug!("a client of the Postgres wire took too long to begin");
            None
        }
    }
}

/// Why a session ended that did not end in good order.
fn log_end(process: i32, ended: &Ended) {
    match ended {
        Ended::Gone(error) => tracing::debug!(process, %error, "a client of the Postgres wire has gone"),
        other => tracing::info!(process, reason = ?other, "a connection of the Postgres wire was ended"),
    }
}
