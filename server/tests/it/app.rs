//! The application in process, over a data folder of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tideline_engine::clock::SystemClock;
use tideline_engine::engine::Engine;
use tideline_engine::fs::real::RealFs;
use tideline_server::app::{AppState, router};
use tideline_server::auth::keys::KeyStore;
use tideline_server::config::{Config, Layers};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// An application. Calls block, so that tests are plain functions.
pub struct App {
    // Dropped first: the engine must not be dropped inside its runtime.
    pub router: Router,
    pub state: AppState,
    pub engine: Arc<Engine>,
    pub config: Arc<Config>,
    pub runtime: Runtime,
    _dir: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl App {
    /// With these settings.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layers = Layers::default();
        layers.flag("--data-dir", "data_dir", dir.path().to_str().unwrap());
        layers.flag("test", "query.threads", "1");
        layers.flag("test", "query.memory_bytes", "64MiB");
        for (key, value) in settings {
            layers.flag("test", *key, *value);
        }
        let config = Arc::new(layers.load().unwrap().config);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let open = Engine::open(config.engine(), Arc::new(RealFs), Arc::new(SystemClock::new()));
        let engine = runtime.block_on(open).unwrap();
        let listen: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let keys = KeyStore::open(Arc::new(RealFs), &config.data_dir, Arc::clone(engine.clock()));
        let state = AppState::new(Arc::clone(&engine), Arc::clone(&config), listen, Arc::new(keys.unwrap()));
        Self { router: router(state.clone()), state, engine, config, runtime, _dir: dir }
    }

    /// Sends a request through the router.
    pub fn send(&self, request: Request<Body>) -> Answer {
        self.runtime.block_on(async {
            let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
            let body = body.collect().await.map_or_else(|e| panic!("the transfer broke: {e}"), |b| b.to_bytes());
            Answer { status: parts.status, headers: parts.headers, body }
        })
    }

    /// Posts events.
    pub fn post(&self, uri: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(uri).body(body.into()).unwrap())
    }

    /// Runs SQL.
    pub fn sql(&self, text: &str) -> Answer {
        let request = Request::post("/sql").header("content-type", "application/sql");
        self.send(request.body(Body::from(text.to_owned())).unwrap())
    }
}

/// One good event.
pub fn event(id: &str) -> String {
    format!(
        r#"{{"event_id":"{id}","event_type":"purchase","event_ts":"2026-03-01T12:00:00Z","price":"12.50","order_id":"{id}"}}"#
    )
}

/// Waits until `done`; gives up after a time that means something is wrong.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("did not happen: {what}");
}
