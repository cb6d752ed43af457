//! The application: what handlers share, and the router. Tests drive the router in process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::routing::{any, delete, get, post};
use tideline_engine::engine::Engine;
use tideline_engine::query::encode::Format;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::http::{self, admin, dead_letters, ingest, ops, sql};

/// What handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The configuration.
    pub config: Arc<Config>,
    /// The address the server listens on: what `Host` may name besides loopback.
    pub listen: SocketAddr,
    /// Room for request bodies, in KiB.
    pub body_room: Arc<Semaphore>,
    /// The data folder as errors might name it.
    pub data_dir: Arc<str>,
    draining: Arc<AtomicBool>,
}

impl AppState {
    /// Over an open engine.
    pub fn new(engine: Arc<Engine>, config: Arc<Config>, listen: SocketAddr) -> Self {
        let room_kib = config.ingest.max_in_flight_bytes.as_usize().div_ceil(1 << 10).min(Semaphore::MAX_PERMITS);
        Self {
            engine,
            listen,
            body_room: Arc::new(Semaphore::new(room_kib)),
            data_dir: config.data_dir.to_string_lossy().into(),
            config,
            draining: Arc::default(),
        }
    }

    /// From now on `/health/ready` says no, so that whoever balances load stops sending.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Every path of the server.
pub fn router(state: AppState) -> Router {
    let mut router = Router::new()
        .route("/", get(ops::home))
        .route("/events", post(ingest::events))
        .route("/ingest", post(ingest::events))
        .route("/sql", get(sql::get).post(sql::post))
        .route("/queries/{id}", delete(sql::cancel))
        .route("/health", get(ops::health))
        .route("/health/live", get(ops::live))
        .route("/health/ready", get(ops::ready))
        .route("/version", get(ops::version))
        .route("/admin/flush", post(admin::flush))
        .route("/admin/compact", post(admin::compact))
        .route("/admin/retain", post(admin::retain))
        .route("/admin/vacuum", post(admin::vacuum))
        .route("/admin/dead-letters", get(dead_letters::list).delete(dead_letters::drop))
        .route("/admin/dead-letters/replay", post(dead_letters::replay))
        .route("/admin/dead-letters/{id}", get(dead_letters::show));
    for format in Format::ALL {
        router = router.route(&format!("/sql.{}", format.name()), get(sql::get).post(sql::post));
    }
    router
        .route("/sql.{*other}", any(sql::unknown_suffix))
        .fallback(http::not_found)
        .method_not_allowed_fallback(http::method_not_allowed)
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn_with_state(state.clone(), http::frame))
        .with_state(state)
}
