//! The application: what handlers share, and the router. Tests drive the router in process.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use tideline_engine::engine::Engine;
use tideline_engine::query::encode::Format;
use tokio::sync::Semaphore;

use crate::auth::Auth;
use crate::auth::keys::KeyStore;
use crate::auth::oidc::Oidc;
use crate::auth::scope::Scope::{Admin, Ingest, Read};
use crate::config::Config;
use crate::http::{
    self, admin, alerts, analytics, cors, dead_letters, docs, export, ingest, keys, lifecycle, live, metrics, oidc,
    ops, page, posthog, segment, session, sql,
};
use crate::monitoring::http::HttpMeasures;
use crate::rate_limit::RateLimiter;
use crate::realtime::RealTime;
use crate::realtime::live::Live;
use crate::routes::Access::{AnyKey, Anyone, Needs, Public, Scrape, WriteKey};
use crate::routes::{Route, Routes};
use crate::tls::Tls;

/// What handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The configuration.
    pub config: Arc<Config>,
    /// The address the server listens on: what `Host` may name besides loopback.
    pub listen: SocketAddr,
    /// Keys and sessions.
    pub auth: Arc<Auth>,
    /// What each client may do in a window of time.
    pub limits: Arc<RateLimiter>,
    /// Room for request bodies, in KiB.
    pub body_room: Arc<Semaphore>,
    /// Real-time metrics.
    pub realtime: RealTime,
    /// What HTTP counts of itself.
    pub http: Arc<HttpMeasures>,
    /// What is pushed to listeners.
    pub live: Arc<Live>,
    /// The data folder as errors might name it.
    pub data_dir: Arc<str>,
    /// Every route, where somebody has asked for it: what the API's description is made of.
    pub routes: Arc<OnceLock<Vec<Route>>>,
    /// The certificate, where there is one.
    pub tls: Option<Arc<Tls>>,
    /// The OpenID provider, where people sign in with one.
    pub oidc: Option<Arc<Oidc>>,
    draining: Arc<AtomicBool>,
}

impl AppState {
    /// Over an open engine and the keys of its folder.
    pub fn new(engine: Arc<Engine>, config: Arc<Config>, listen: SocketAddr, keys: Arc<KeyStore>) -> Self {
        let room_kib = config.ingest.max_in_flight_bytes.as_usize().div_ceil(1 << 10).min(Semaphore::MAX_PERMITS);
        let clock = Arc::clone(engine.clock());
        let limits = RateLimiter::new(&config.rate_limit, config.redis_url.expose(), Arc::clone(&clock));
        Self {
            realtime: RealTime::new(Arc::clone(&engine), Arc::clone(&config)),
            live: Arc::new(Live::new(&engine, Arc::clone(&config))),
            engine,
            listen,
            auth: Arc::new(Auth::new(keys, &config.session, clock)),
            limits: Arc::new(limits),
            body_room: Arc::new(Semaphore::new(room_kib)),
            data_dir: config.data_dir.to_string_lossy().into(),
            config,
            routes: Arc::default(),
            http: Arc::default(),
            tls: None,
            oidc: None,
            draining: Arc::default(),
        }
    }

    /// Served over TLS, with this certificate.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<Tls>>) -> Self {
        self.tls = tls;
        self
    }

    /// With people who sign in with an OpenID provider.
    #[must_use]
    pub fn with_oidc(mut self, oidc: Option<Arc<Oidc>>) -> Self {
        self.oidc = oidc;
        self
    }

    /// Whether one can sign in with an OpenID provider: there is one, and something to sign in to.
    pub fn has_single_sign_on(&self) -> bool {
        self.oidc.is_some() && self.auth.keys.are_required()
    }

    /// From now on `/health/ready` says no, so that whoever balances load stops sending; and live streams end, which
    /// would never end by themselves.
    pub fn drain(&self) {
        self.live.close();
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Every route with who may use it: the one place that says so.
fn declared(state: AppState) -> Routes {
    let mut routes = Routes::new(state)
        .get("/", Anyone, page::home)
        .get("/history", Anyone, page::page)
        .get("/history/{*metric}", Anyone, page::page)
        .get("/console", Anyone, page::page)
        .get("/operations", Anyone, page::page)
        .get("/assets/{*file}", Anyone, page::asset)
        .get("/config", Anyone, page::config)
        .post("/events", Needs(Ingest), ingest::events)
        .post("/ingest", Needs(Ingest), ingest::events)
        .get("/sql", Needs(Read), sql::get)
        .post("/sql", Needs(Read), sql::post)
        .delete("/queries/{id}", Needs(Read), sql::cancel)
        .get("/analytics", Needs(Read), analytics::list)
        .get("/analytics/{*name}", Needs(Read), analytics::metric)
        .get("/export/events", Needs(Read), export::events)
        .get("/export/kpis", Needs(Read), export::kpis)
        .get("/alerts", Needs(Read), alerts::list)
        .get("/health", Public, ops::health)
        .get("/health/live", Public, ops::live)
        .get("/health/ready", Public, ops::ready)
        .get("/version", Public, ops::version)
        .get("/openapi.json", Anyone, docs::openapi)
        .get("/docs", Anyone, docs::page)
        .get("/docs/docs.js", Anyone, docs::script)
        .get("/docs/docs.css", Anyone, docs::style)
        .get("/metrics", Scrape, metrics::summary)
        .get("/metrics/active_users", Needs(Read), metrics::active_users)
        .get("/metrics/active_sessions", Needs(Read), metrics::active_sessions)
        .get("/metrics/top_pages", Needs(Read), metrics::top_pages)
        .get("/users/active", Needs(Read), metrics::users)
        .get("/users/{id}/sessions", Needs(Read), metrics::user_sessions)
        .get("/sessions/active", Needs(Read), metrics::sessions)
        .get("/kpis/latest", Needs(Read), metrics::latest_kpi)
        .get("/kpis/history", Needs(Read), metrics::history)
        .get("/funnel/current", Needs(Read), metrics::funnel)
        .get("/api/analytics/metrics", Needs(Read), metrics::analytics)
        .get("/api/analytics/page-views", Needs(Read), metrics::page_views)
        .get("/api/analytics/cart-actions", Needs(Read), metrics::cart_actions)
        .get("/live", Needs(Read), live::sse)
        .get("/ws", Needs(Read), live::ws)
        .post("/session", Anyone, session::begin)
        .get("/session", AnyKey, session::show)
        .delete("/session", Anyone, session::end)
        .get("/session/oidc", Anyone, oidc::begin)
        .get("/session/oidc/callback", Anyone, oidc::callback)
        .get("/admin/keys", Needs(Admin), keys::list)
        .post("/admin/keys", Needs(Admin), keys::create)
        .delete("/admin/keys/{id}", Needs(Admin), keys::revoke)
        .post("/admin/flush", Needs(Admin), admin::flush)
        .post("/admin/compact", Needs(Admin), admin::compact)
        .post("/admin/retain", Needs(Admin), admin::retain)
        .post("/admin/vacuum", Needs(Admin), admin::vacuum)
        .get("/admin/queries", Needs(Admin), admin::queries)
        .get("/admin/backup", Needs(Admin), lifecycle::backup)
        .post("/admin/erase", Needs(Admin), lifecycle::erase)
        .get("/admin/dead-letters", Needs(Admin), dead_letters::list)
        .delete("/admin/dead-letters", Needs(Admin), dead_letters::drop)
        .post("/admin/dead-letters/replay", Needs(Admin), dead_letters::replay)
        .get("/admin/dead-letters/{id}", Needs(Admin), dead_letters::show);
    for format in Format::ALL {
        let path = format!("/sql.{}", format.name());
        let [events, kpis] = ["events", "kpis"].map(|what| format!("/export/{what}.{}", format.name()));
        routes = routes
            .get(&path, Needs(Read), sql::get)
            .post(&path, Needs(Read), sql::post)
            .get(&events, Needs(Read), export::events)
            .get(&kpis, Needs(Read), export::kpis);
    }
    for path in ["/sql.{*other}", "/export/events.{*other}", "/export/kpis.{*other}"] {
        routes = routes.any(path, Needs(Read), sql::unknown_suffix);
    }
    routes
}

/// What SDKs of Segment and PostHog send to: what [`cors::may_send_events`] says of other sites' pages holds here and nowhere
/// else.
fn sdk_routes(state: AppState) -> Routes {
    let routes = Routes::new(state).get("/v1/projects/{key}/settings", Anyone, segment::settings);
    let routes = segment::CALLS
        .iter()
        .fold(routes, |routes, (name, _)| routes.post(&format!("/v1/{name}"), WriteKey, segment::post));
    posthog::PATHS.iter().fold(routes, |routes, path| routes.post(path, WriteKey, posthog::post))
}

/// The same with a slash behind, or without it, as some SDKs write: no paths of their own.
fn sdk_aliases(state: AppState) -> Routes {
    let routes = Routes::new(state);
    let routes = segment::CALLS
        .iter()
        .fold(routes, |routes, (name, _)| routes.post(&format!("/v1/{name}/"), WriteKey, segment::post));
    posthog::PATHS
        .iter()
        .fold(routes, |routes, path| routes.post(posthog::without_slash(path), WriteKey, posthog::post))
}

/// Every route of the server, as it was declared.
pub fn route_table(state: AppState) -> Vec<Route> {
    let mut table = declared(state.clone()).finish().1;
    table.extend(sdk_routes(state).finish().1);
    table
}

/// Every path of the server.
pub fn router(state: AppState) -> Router {
    let (router, mut table) = declared(state.clone()).finish();
    let (sdks, sdk_table) = sdk_routes(state.clone()).finish();
    table.extend(sdk_table);
    let sdks = sdks.merge(sdk_aliases(state.clone()).finish().0);
    let sdks = sdks.method_not_allowed_fallback(http::method_not_allowed).layer(cors::sdk_layer(&state));
    // Further paths of metrics are known at run time only: they lead to the same guarded route.
    let metrics = Routes::new(state.clone()).get("/analytics/{*name}", Needs(Read), analytics::metric).finish().0;
    let metrics = metrics.method_not_allowed_fallback(http::method_not_allowed).with_state(state.clone());
    let paths: Arc<[String]> = table.into_iter().map(|route| route.path).collect();
    let mut router = router
        .fallback(move |State(state): State<AppState>, request: Request| {
            analytics::by_path(state, Arc::clone(&paths), metrics.clone(), request)
        })
        .method_not_allowed_fallback(http::method_not_allowed);
    if let Some(cors) = cors::layer(&state.config.http) {
        router = router.layer(cors);
    }
    router
        .merge(sdks)
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn_with_state(state.clone(), http::frame))
        .with_state(state)
}
