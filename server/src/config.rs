//! The configuration: one tree of settings, its defaults and its limits.
//!
//! A setting's value comes from the strongest of four layers: its default, the file (`--config`, else
//! `TIDELINE_CONFIG`, else `./tideline.toml` where there is one), the environment (`TIDELINE_WAL_MAX_BYTES` or
//! `TIDELINE_WAL__MAX_BYTES` for `wal.max_bytes`), a flag. [`load`] merges them and remembers where each value came
//! from; [`show`] prints that. This module and those below it are the only readers of the environment.

pub mod allow;
pub mod engine;
pub mod load;
pub mod net;
pub mod show;
pub mod units;
pub mod webhook;
mod validate;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tideline_engine::decode::segment::IpAddresses;

pub use allow::Allow;
pub use load::{Layers, Loaded, Origin};
pub use net::Net;
pub use units::{ByteSize, List, Period, Secret};
pub use validate::is_web_address;
pub use webhook::WebhookUrl;

/// What is known about a setting besides its value.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The table it stands in; empty at the top.
    pub section: &'static str,
    /// What that table is about.
    pub about: &'static str,
    /// Its name within that table.
    pub name: &'static str,
    /// The type, as people write it.
    pub kind: &'static str,
    /// What it is for.
    pub doc: &'static str,
}

impl Setting {
    /// Its full name: `wal.max_bytes`.
    pub fn key(&self) -> String {
        if self.section.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.section, self.name) }
    }

    /// Its name in the environment: `TIDELINE_WAL_MAX_BYTES`.
    pub fn env(&self) -> String {
        format!("TIDELINE_{}", self.key().replace('.', "_").to_uppercase())
    }
}

/// How the type of a setting is called in the documentation.
trait Kind {
    const KIND: &'static str;
}

macro_rules! kinds {
    ($($ty:ty => $name:literal),* $(,)?) => { $(impl Kind for $ty { const KIND: &'static str = $name; })* };
}

kinds! {
    bool => "true/false", IpAddresses => "drop/truncate/keep", u32 => "number", usize => "number", String => "text", PathBuf => "path",
    ByteSize => "size", Period => "time", Secret => "secret", LogFormat => "text/json",
    List<String> => "list", List<Net> => "addresses", List<WebhookUrl> => "secret", List<Allow> => "list",
}

/// Declares one table of settings: the struct, its defaults, and the documentation from the very same lines.
macro_rules! settings {
    ($(#[doc = $about:literal])+ $section:literal $name:ident {
        $( $(#[doc = $doc:literal])+ $field:ident: $ty:ty = $default:expr, )*
        $( ..$nested:ident: $nested_ty:ty, )*
    }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $ty, )*
            $( #[doc = concat!("The table `[", stringify!($nested), "]`.")] pub $nested: $nested_ty, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* $( $nested: Default::default(), )* }
            }
        }

        impl $name {
            /// Appends what is known about each setting of this table, in order.
            fn describe(into: &mut Vec<Setting>) {
                let about = concat!($($about),+).trim_ascii();
                $( into.push(Setting {
                    section: $section,
                    about,
                    name: stringify!($field),
                    kind: <$ty as Kind>::KIND,
                    doc: concat!($($doc),+).trim_ascii(),
                }); )*
                $( <$nested_ty>::describe(into); )*
            }
        }
    };
}

settings! {
    /// Every setting.
    "" Config {
        /// Address and port to listen on. Without keys only a loopback address is accepted.
        listen: String = "127.0.0.1:8080".to_owned(),
        /// Folder that holds everything Tideline keeps: log, lake, dead letters, spill files.
        data_dir: PathBuf = PathBuf::from("tideline-data"),
        /// `redis://…` for what several servers share: live windows and rate limits. Without it each has its own.
        redis_url: Secret = Secret::default(),
        /// Address and port of the Postgres wire, like 127.0.0.1:5432; empty is off.
        postgres_listen: String = String::new(),
        /// For tests only: ends the process at a moment of the data path, like `log-synced:3`.
        crash_at: String = String::new(),
        ..http: Http,
        ..tls: Tls,
        ..postgres: Postgres,
        ..session: Session,
        ..oidc: Oidc,
        ..rate_limit: RateLimit,
        ..ingest: Ingest,
        ..wal: Wal,
        ..dedup: Dedup,
        ..buffer: Buffer,
        ..flush: Flush,
        ..lake: Lake,
        ..hot: Hot,
        ..query: Query,
        ..metrics: Metrics,
        ..alerts: Alerts,
        ..dead_letters: DeadLetters,
        ..backup: Backup,
        ..erase: Erase,
        ..shop: Shop,
        ..live: Live,
        ..log: Log,
    }
}

settings! {
    /// Connections and requests.
    "http" Http {
        /// Threads that serve connections and decode events; 0 is one for each core.
        threads: usize = 0,
        /// Connections open at once, live listeners among them; further ones wait to be accepted.
        max_connections: usize = 12_288,
        /// How long a client may take to send a request's headers.
        header_timeout: Period = Period::secs(10),
        /// How long a request's body, or the reading of an answer, may stand still.
        body_timeout: Period = Period::secs(15),
        /// Bytes a second at which a request's body must come once it takes longer than `http.body_timeout`; 0 is no limit.
        min_body_rate: ByteSize = ByteSize::kib(4),
        /// How long a connection may stay open without a request.
        idle_timeout: Period = Period::secs(75),
        /// Longest path and query accepted, in bytes.
        max_uri_bytes: ByteSize = ByteSize::kib(72),
        /// Web pages that may talk to this server from a browser, like `https://shop.example`; `*` is any, with keys. Any page
        /// may send events to the paths of Segment's and PostHog's SDKs with a key, whatever stands here.
        cors_origins: List<String> = List::default(),
        /// Proxies in front whose X-Forwarded-For is believed, like `10.0.0.0/8`.
        trusted_proxies: List<Net> = List::default(),
        /// Whether programs on this machine may read `GET /metrics` in Prometheus' form without a key. Not behind a proxy on
        /// the same machine that does not say for whom it asks.
        scrape_without_key: bool = false,
        /// On shutdown: how long running requests may take to finish.
        drain_timeout: Period = Period::secs(8),
        /// On shutdown: how long the last flush may take; then the write-ahead log keeps what is left.
        close_timeout: Period = Period::secs(18),
    }
}

settings! {
    /// TLS of both listeners, and whom this server trusts when it asks others.
    "tls" Tls {
        /// Certificate with its chain (PEM). With it nothing is served without TLS over HTTP.
        cert_file: PathBuf = PathBuf::new(),
        /// Its private key (PEM).
        key_file: PathBuf = PathBuf::new(),
        /// How often to look whether the files have changed; SIGHUP loads them at once.
        reload_every: Period = Period::secs(10),
        /// Certificates of authorities (PEM) that are trusted besides the system's where this server asks others, like receivers
        /// of notices. Read at the start.
        ca_file: PathBuf = PathBuf::new(),
    }
}

settings! {
    /// The Postgres wire.
    "postgres" Postgres {
        /// Connections open at once; further ones are refused.
        max_connections: usize = 100,
        /// How long a client may take from connecting to being let in.
        startup_timeout: Period = Period::secs(10),
        /// How long a connection may be without a query.
        idle_timeout: Period = Period::secs(3_600),
        /// How long the rest of a message, or the reading of an answer, may stand still.
        stall_timeout: Period = Period::secs(15),
        /// Largest message of a client; parameters are in it.
        max_message_bytes: ByteSize = ByteSize::mib(1),
        /// Prepared statements of one connection.
        max_statements: usize = 256,
        /// Whether clients on this machine need TLS too, where there is a certificate; others always do.
        require_tls: bool = false,
    }
}

settings! {
    /// Sessions of the page, for which a browser exchanges a key.
    "session" Session {
        /// How long a session lasts.
        lifetime: Period = Period::secs(12 * 3_600),
        /// Sessions at once; a further one ends the oldest.
        max_sessions: usize = 10_000,
        /// Whether browsers send the cookie over TLS only: for servers behind a TLS proxy. With a certificate they always do.
        secure_cookie: bool = false,
    }
}

settings! {
    /// Signing in to the page with an OpenID provider, beside keys.
    "oidc" Oidc {
        /// The provider, as it names itself, like `https://login.example/realms/shop`; empty is off.
        issuer: String = String::new(),
        /// Name by which the provider knows this server.
        client_id: String = String::new(),
        /// The secret that goes with it; without one the provider must take public clients.
        client_secret: Secret = Secret::default(),
        /// What the provider is asked to tell.
        scopes: String = "openid profile email".to_owned(),
        /// Where browsers reach this server, like `https://stats.shop.example`. The provider sends them back to its
        /// `/session/oidc/callback`.
        public_url: String = String::new(),
        /// Who may read: `anna@shop.example`, `@shop.example` (only addresses the provider has verified), `group:analysts`.
        /// Nobody else is let in.
        allow_read: List<Allow> = List::default(),
        /// Who may do everything, in the same way.
        allow_admin: List<Allow> = List::default(),
        /// The claim that lists somebody's groups; a path like `realm_access.roles` leads into others.
        groups_claim: String = "groups".to_owned(),
        /// How long the provider may take to answer.
        timeout: Period = Period::secs(10),
    }
}

settings! {
    /// What one client may do in a sliding window of time. 0 is no limit.
    "rate_limit" RateLimit {
        /// Length of the window.
        window: Period = Period::secs(60),
        /// Requests of one key, or of one address without a key, in a window.
        requests: u32 = 0,
        /// Events of one key, or of one address without a key, in a window.
        events: u32 = 0,
        /// Events with the same user_id, whoever sends them, in a window.
        user_events: u32 = 0,
        /// How long a request waits for Redis before this server's own count decides.
        redis_timeout: Period = Period(Duration::from_millis(50)),
        /// Keys, addresses and users this server remembers at once; beyond it the longest silent are forgotten.
        max_callers: usize = 20_000,
    }
}

settings! {
    /// Events coming in.
    "ingest" Ingest {
        /// Largest request body as sent, compressed or not.
        max_body_bytes: ByteSize = ByteSize::mib(32),
        /// Largest request body after decompression.
        max_decoded_bytes: ByteSize = ByteSize::mib(128),
        /// Largest ratio of decompressed to compressed bytes, from 1 MiB of decompressed bytes on.
        max_ratio: u32 = 100,
        /// Largest body of a request whose key stands in it (`writeKey`), before and after decompression: it has to be read
        /// before anybody knows who sent it.
        max_keyless_body_bytes: ByteSize = ByteSize::mib(4),
        /// Request bodies in memory at once, in all; beyond it requests are answered 503.
        max_in_flight_bytes: ByteSize = ByteSize::mib(256),
        /// How long a request waits for room in the buffer or the log before it is answered 503.
        max_wait: Period = Period::secs(5),
        /// Largest single event.
        max_event_bytes: ByteSize = ByteSize::kib(256),
        /// How far ahead of the server's clock an event's time may be, at most 5 minutes: live windows end there.
        max_future: Period = Period::secs(300),
        /// What becomes of IP addresses in what SDKs of Segment and PostHog send: `drop`, `truncate` (the last 8 bits of IPv4, 80 of
        /// IPv6), or `keep`. Nothing else of a request's address is stored.
        ip_addresses: IpAddresses = IpAddresses::Drop,
    }
}

settings! {
    /// The write-ahead log.
    "wal" Wal {
        /// Size at which a new segment file is begun. Deleting a large one holds up the disk.
        segment_bytes: ByteSize = ByteSize::mib(16),
        /// Size of all segments at which ingest is answered 503 until the lake has caught up.
        max_bytes: ByteSize = ByteSize::gib(4),
    }
}

settings! {
    /// Memory for exact deduplication.
    "dedup" Dedup {
        /// Event ids of recent hours kept in memory, 20 to 40 bytes each; older hours are read from the lake when touched. The
        /// two hours touched last stay, whatever they take.
        max_bytes: ByteSize = ByteSize::mib(512),
    }
}

settings! {
    /// Events in memory that are not yet in the lake.
    "buffer" Buffer {
        /// Size at which ingest is answered 503 until a flush has made room.
        max_bytes: ByteSize = ByteSize::mib(768),
    }
}

settings! {
    /// Moving the buffer into the lake.
    "flush" Flush {
        /// Size of the buffer at which it is flushed.
        bytes: ByteSize = ByteSize::mib(192),
        /// Age of the oldest event in the buffer at which it is flushed.
        age: Period = Period::secs(15),
    }
}

settings! {
    /// The Delta table.
    "lake" Lake {
        /// Days of events kept, by their date; 0 keeps them for ever.
        retention_days: u32 = 0,
        /// How often to look for small files to merge; 0 turns all maintenance in the background off.
        maintain_every: Period = Period::secs(30),
        /// How often to drop days beyond the retention and to delete files that nothing names any more.
        tidy_every: Period = Period::secs(3_600),
        /// How long files that are no longer part of the table are kept for its readers.
        vacuum_after: Period = Period::secs(7 * 86_400),
        /// Days of the table's history that other readers can go back in.
        log_retention_days: u32 = 2,
        /// Size that merged files should reach; files of half this and more are left alone.
        target_file_bytes: ByteSize = ByteSize::mib(192),
        /// zstd level of flushed files, 1 to 22; more costs ingest throughput.
        flush_zstd_level: u32 = 1,
        /// zstd level of merged files, 1 to 22.
        merge_zstd_level: u32 = 3,
        /// Whether merged files get bloom filters on the id columns: quicker lookups of one id, larger files.
        bloom_filters: bool = false,
        /// Memory for the footers of files.
        footer_bytes: ByteSize = ByteSize::mib(32),
    }
}

settings! {
    /// SQL.
    "query" Query {
        /// Threads that run queries; 0 is one for each core.
        threads: usize = 0,
        /// Memory all queries share before they spill to disk. The process may reach about three times as much.
        memory_bytes: ByteSize = ByteSize::mib(1_024),
        /// Memory for what is derived from events and kept to answer sooner: half for orders, half for partial aggregates of
        /// files. 0 keeps nothing.
        derived_bytes: ByteSize = ByteSize::mib(512),
        /// Disk all queries share for spilling.
        spill_bytes: ByteSize = ByteSize::gib(8),
        /// Time a query may take when the request does not say.
        timeout: Period = Period::secs(30),
        /// Most time a request may ask for.
        max_timeout: Period = Period::secs(600),
        /// Queries running at once; further ones wait.
        max_concurrent: usize = 16,
        /// Queries waiting at once; further ones are answered 503.
        max_waiting: usize = 64,
        /// How long a query waits for its turn before it is answered 503.
        max_wait: Period = Period::secs(5),
        /// Queries that take this long are remembered, for `/admin/queries` and the page.
        slow_after: Period = Period::secs(1),
        /// Longest SQL text.
        max_text_bytes: ByteSize = ByteSize::kib(64),
        /// Most operators and set operations in one statement.
        max_operators: usize = 500,
        /// Most rows in a JSON answer, which is buffered; the other formats stream without a limit.
        json_rows: usize = 10_000,
        /// Most bytes in a JSON answer.
        json_bytes: ByteSize = ByteSize::mib(64),
    }
}

settings! {
    /// Fixed metrics.
    "metrics" Metrics {
        /// Folder of further metrics, which also replace built-in ones of the same name.
        dir: PathBuf = PathBuf::new(),
        /// Whether edits in that folder are seen at once, for development; else at the next start.
        reload: bool = false,
        /// Memory for answers that are kept while the table does not change.
        cache_bytes: ByteSize = ByteSize::mib(64),
        /// Events from which on the most asked metrics are made ready after a start, so that nobody waits for the first answer.
        warm_from: usize = 1_000_000,
        /// Largest answer of a metric.
        answer_bytes: ByteSize = ByteSize::mib(64),
    }
}

settings! {
    /// Alerts: metrics that are judged again and again, and who is told.
    "alerts" Alerts {
        /// Whether rules are judged: built-in ones, and those in `metrics.dir`.
        enabled: bool = true,
        /// How long after the start nothing is judged, so that what clients kept while the server was away comes first.
        warm_up: Period = Period::secs(60),
        /// Alerts kept, open and closed; beyond it the oldest closed ones are dropped, which is counted.
        max_kept: usize = 1_000,
        /// Alerts open at once; further ones do not open, which is logged.
        max_open: usize = 100,
        /// Rows of a rule that are judged; a rule with more is not judged, which is logged.
        max_rows: usize = 1_000,
        /// Addresses that are sent a POST when an alert opens and when it closes, like `https://hooks.example/shop`.
        webhooks: List<WebhookUrl> = List::default(),
        /// What these are signed with (HMAC-SHA256), at least 16 characters.
        webhook_secret: Secret = Secret::default(),
        /// How long a receiver may take to answer.
        webhook_timeout: Period = Period::secs(10),
        /// How often a notice is tried before it is given up, and kept as such.
        webhook_attempts: u32 = 12,
        /// How long after the first failed try comes the next; it doubles with each, and varies by up to a half.
        webhook_retry: Period = Period::secs(1),
        /// The longest time between two tries.
        webhook_max_retry: Period = Period::secs(600),
        /// Notices kept, waiting and given up; beyond it those given up are dropped first, which is counted.
        max_notices: usize = 1_000,
    }
}

settings! {
    /// Events that were refused, kept with the reason.
    "dead_letters" DeadLetters {
        /// Size of the store; when it is full, requests with events to refuse are answered 503. An event takes about
        /// 150 bytes of memory besides.
        max_bytes: ByteSize = ByteSize::gib(1),
        /// Days to keep events that nobody replays or drops; what is removed then is counted and logged. 0 keeps all.
        retention_days: u32 = 30,
    }
}

settings! {
    /// Backups of a running server.
    "backup" Backup {
        /// How long one may take; as long as it does, no space of deleted files is given back.
        max_time: Period = Period::secs(6 * 3_600),
    }
}

settings! {
    /// People who were erased.
    "erase" Erase {
        /// Days for which their events from before are refused, so that no retry brings them back.
        remember_days: u32 = 400,
        /// Most ids remembered, as keyed hashes of about 100 bytes.
        max_ids: usize = 100_000,
        /// How long an erasure waits for queries that still read files it is to delete.
        max_wait: Period = Period::secs(600),
    }
}

settings! {
    /// The shop whose events these are.
    "shop" Shop {
        /// What it is called on the page.
        name: String = String::new(),
        /// Time zone of its days, like Europe/Berlin.
        time_zone: String = "UTC".to_owned(),
        /// Currency of amounts that name none, ISO 4217.
        currency: String = "EUR".to_owned(),
    }
}

settings! {
    /// Live windows: KPIs of the last minutes, in memory.
    "hot" Hot {
        /// How far back live windows reach, in whole minutes; older minutes are answered from SQL.
        window: Period = Period::secs(3_600),
        /// How long after its end a minute's KPIs may still change by late events; then they are `final`.
        late_after: Period = Period::secs(600),
        /// Users, and sessions, that are counted exactly; above it counts are estimates and say so.
        max_ids: usize = 1_000_000,
        /// Pages, products, sources or countries told apart; the rest is counted together as `(other)`.
        max_names: usize = 50_000,
        /// How long connecting to Redis may take.
        redis_connect_timeout: Period = Period::secs(1),
        /// How long Redis may take to answer; after a second without answers this server's own windows answer.
        redis_timeout: Period = Period(Duration::from_millis(500)),
    }
}

settings! {
    /// What is pushed to listeners (`/live`, `/ws`).
    "live" Live {
        /// Time from one tick to the next.
        every: Period = Period::secs(1),
        /// Listeners at once; further ones are answered 503.
        max_listeners: usize = 10_000,
        /// After how long without anything sent a listener gets a sign of life.
        heartbeat: Period = Period::secs(15),
        /// Largest message a WebSocket client may send; what it says is ignored.
        max_message_bytes: ByteSize = ByteSize::kib(4),
    }
}

settings! {
    /// Logging, to standard error.
    "log" Log {
        /// error, warn, info, debug or trace; or filters like `info,tideline_server=debug`.
        level: String = "info".to_owned(),
        /// `text` for people, `json` for machines.
        format: LogFormat = LogFormat::Text,
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is wrong with a value: the setting's key, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The setting.
    pub key: &'static str,
    /// What is wrong, with the value.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Config {
    /// Every setting, in the order of the tree.
    pub fn settings() -> Vec<Setting> {
        let mut settings = Vec::new();
        Self::describe(&mut settings);
        settings
    }

    /// The address to listen on.
    pub fn listen_addr(&self) -> Result<SocketAddr, Wrong> {
        address("listen", &self.listen)
    }

    /// The address of the Postgres wire, where it is on.
    pub fn postgres_addr(&self) -> Result<Option<SocketAddr>, Wrong> {
        let is_on = !self.postgres_listen.trim().is_empty();
        is_on.then(|| address("postgres_listen", &self.postgres_listen)).transpose()
    }
}

impl Oidc {
    /// Whether there is a provider.
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    /// Whether browsers reach this server over https, as far as it is said.
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}

impl Tls {
    /// Whether there is a certificate.
    pub fn is_on(&self) -> bool {
        !self.cert_file.as_os_str().is_empty()
    }
}

fn address(key: &'static str, text: &str) -> Result<SocketAddr, Wrong> {
    let text = text.trim();
    let parsed = match text.rsplit_once(':') {
        Some(("localhost", port)) => port.parse().map(|p| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), p)).ok(),
        _ => text.parse().ok(),
    };
    parsed.ok_or_else(|| Wrong {
        key,
        message: format!("`{text}` is not an address with a port"),
        hint: "write it like 127.0.0.1:8080, localhost:8080 or [::1]:8080".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn environment_names_are_unambiguous() {
        let mut names: Vec<String> = Config::settings().iter().map(Setting::env).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_setting_says_what_it_is_for() {
        for setting in Config::settings() {
            assert!(setting.doc.ends_with('.'), "{}: {:?}", setting.key(), setting.doc);
        }
    }
}
