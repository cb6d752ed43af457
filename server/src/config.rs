//! The configuration: one tree of settings, its defaults and its limits.
//!
//! A setting's value comes from the strongest of four layers: its default, the file (`--config`, else
//! `TIDELINE_CONFIG`, else `./tideline.toml` where there is one), the environment (`TIDELINE_WAL_MAX_BYTES` or
//! `TIDELINE_WAL__MAX_BYTES` for `wal.max_bytes`), a flag. [`load`] merges them and remembers where each value came
//! from; [`show`] prints that. This module and those below it are the only readers of the environment.

pub mod engine;
pub mod load;
pub mod show;
pub mod units;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use load::{Layers, Loaded, Origin};
pub use units::{ByteSize, Period, Secret};

/// What is known about a setting besides its value.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The table it stands in; empty at the top.
    pub section: &'static str,
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
    bool => "true/false", u32 => "number", usize => "number", String => "text", PathBuf => "path",
    ByteSize => "size", Period => "time", Secret => "secret", LogFormat => "text/json",
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
                $( into.push(Setting {
                    section: $section,
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
        /// `redis://…` for shared live windows. Accepted, and not used by this version.
        redis_url: Secret = Secret::default(),
        /// For tests only: ends the process at a moment of the data path, like `log-synced:3`.
        crash_at: String = String::new(),
        ..http: Http,
        ..ingest: Ingest,
        ..wal: Wal,
        ..dedup: Dedup,
        ..buffer: Buffer,
        ..flush: Flush,
        ..lake: Lake,
        ..query: Query,
        ..dead_letters: DeadLetters,
        ..log: Log,
    }
}

settings! {
    /// Connections and requests.
    "http" Http {
        /// Threads that serve connections and decode events; 0 is one for each core.
        threads: usize = 0,
        /// Connections open at once; further ones wait to be accepted.
        max_connections: usize = 1_024,
        /// How long a client may take to send a request's headers.
        header_timeout: Period = Period::secs(10),
        /// How long a request's body, or the reading of an answer, may stand still.
        body_timeout: Period = Period::secs(15),
        /// How long a connection may stay open without a request.
        idle_timeout: Period = Period::secs(75),
        /// Longest path and query accepted, in bytes.
        max_uri_bytes: ByteSize = ByteSize::kib(72),
        /// On shutdown: how long running requests may take to finish.
        drain_timeout: Period = Period::secs(8),
        /// On shutdown: how long the last flush may take; then the write-ahead log keeps what is left.
        close_timeout: Period = Period::secs(18),
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
        /// Request bodies in memory at once, in all; beyond it requests are answered 503.
        max_in_flight_bytes: ByteSize = ByteSize::mib(256),
        /// How long a request waits for room in the buffer or the log before it is answered 503.
        max_wait: Period = Period::secs(5),
        /// Largest single event.
        max_event_bytes: ByteSize = ByteSize::kib(256),
        /// How far ahead of the server's clock an event's time may be.
        max_future: Period = Period::secs(300),
    }
}

settings! {
    /// The write-ahead log.
    "wal" Wal {
        /// Size at which a new segment file is begun.
        segment_bytes: ByteSize = ByteSize::mib(64),
        /// Size of all segments at which ingest is answered 503 until the lake has caught up.
        max_bytes: ByteSize = ByteSize::gib(2),
    }
}

settings! {
    /// Memory for exact deduplication.
    "dedup" Dedup {
        /// Event ids of recent hours kept in memory; older hours are read from the lake when touched.
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
        /// How often to look for small files to merge, days to drop and files to delete; 0 turns that off.
        maintain_every: Period = Period::secs(30),
        /// How long files that are no longer part of the table are kept for its readers.
        vacuum_after: Period = Period::secs(7 * 86_400),
    }
}

settings! {
    /// SQL.
    "query" Query {
        /// Threads that run queries; 0 is one for each core.
        threads: usize = 0,
        /// Memory all queries share before they spill to disk. The process may reach about three times as much.
        memory_bytes: ByteSize = ByteSize::mib(1_024),
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
    /// Events that were refused, kept with the reason.
    "dead_letters" DeadLetters {
        /// Size of the store; when it is full, requests with events to refuse are answered 503.
        max_bytes: ByteSize = ByteSize::gib(1),
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
        let text = self.listen.trim();
        let parsed = match text.rsplit_once(':') {
            Some(("localhost", port)) => port.parse().map(|p| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), p)).ok(),
            _ => text.parse().ok(),
        };
        parsed.ok_or_else(|| Wrong {
            key: "listen",
            message: format!("`{text}` is not an address with a port"),
            hint: "write it like 127.0.0.1:8080, localhost:8080 or [::1]:8080".to_owned(),
        })
    }

    /// Checks every range and every relation between settings.
    pub fn validate(&self) -> Result<(), Wrong> {
        self.listen_addr()?;
        if self.data_dir.as_os_str().is_empty() {
            return wrong("data_dir", "it is empty", "name a folder");
        }
        let h = &self.http;
        within("http.threads", h.threads, 0, 1_024)?;
        within("http.max_connections", h.max_connections, 1, 1_000_000)?;
        for (key, value) in [
            ("http.header_timeout", h.header_timeout),
            ("http.body_timeout", h.body_timeout),
            ("http.idle_timeout", h.idle_timeout),
            ("query.timeout", self.query.timeout),
            ("query.max_timeout", self.query.max_timeout),
            ("flush.age", self.flush.age),
        ] {
            within(key, value, Period(std::time::Duration::from_millis(10)), Period::secs(86_400))?;
        }
        within("http.max_uri_bytes", h.max_uri_bytes, ByteSize::kib(1), ByteSize::mib(1))?;
        within("http.drain_timeout", h.drain_timeout, Period::secs(0), Period::secs(3_600))?;
        within("http.close_timeout", h.close_timeout, Period::secs(1), Period::secs(3_600))?;
        self.validate_storage()?;
        let q = &self.query;
        within("query.threads", q.threads, 0, 1_024)?;
        within("query.memory_bytes", q.memory_bytes, ByteSize::mib(32), ByteSize::gib(4_096))?;
        within("query.max_concurrent", q.max_concurrent, 1, 10_000)?;
        within("query.max_waiting", q.max_waiting, 0, 100_000)?;
        within("query.max_wait", q.max_wait, Period::secs(0), Period::secs(600))?;
        within("query.max_text_bytes", q.max_text_bytes, ByteSize(64), ByteSize::mib(1))?;
        within("query.max_operators", q.max_operators, 10, 2_000)?;
        within("query.json_rows", q.json_rows, 1, 10_000_000)?;
        within("query.json_bytes", q.json_bytes, ByteSize::kib(64), ByteSize::gib(4))?;
        at_least("query.max_timeout", q.max_timeout, "query.timeout", q.timeout)
    }

    fn validate_storage(&self) -> Result<(), Wrong> {
        let i = &self.ingest;
        within("ingest.max_event_bytes", i.max_event_bytes, ByteSize::kib(1), ByteSize::mib(16))?;
        within("ingest.max_body_bytes", i.max_body_bytes, ByteSize::kib(1), ByteSize::gib(1))?;
        within("ingest.max_decoded_bytes", i.max_decoded_bytes, ByteSize::kib(1), ByteSize::gib(2))?;
        within("ingest.max_ratio", i.max_ratio, 2, 100_000)?;
        within("ingest.max_wait", i.max_wait, Period::secs(0), Period::secs(60))?;
        within("ingest.max_future", i.max_future, Period::secs(0), Period::secs(86_400))?;
        at_least("ingest.max_decoded_bytes", i.max_decoded_bytes, "ingest.max_body_bytes", i.max_body_bytes)?;
        at_least("ingest.max_in_flight_bytes", i.max_in_flight_bytes, "ingest.max_decoded_bytes", i.max_decoded_bytes)?;
        within("wal.segment_bytes", self.wal.segment_bytes, ByteSize::kib(64), ByteSize::gib(4))?;
        at_least("wal.max_bytes", self.wal.max_bytes, "wal.segment_bytes", self.wal.segment_bytes)?;
        within("dedup.max_bytes", self.dedup.max_bytes, ByteSize::mib(1), ByteSize::gib(1_024))?;
        within("flush.bytes", self.flush.bytes, ByteSize::kib(64), ByteSize::gib(64))?;
        at_least("buffer.max_bytes", self.buffer.max_bytes, "flush.bytes", self.flush.bytes)?;
        within("lake.retention_days", self.lake.retention_days, 0, 36_500)?;
        within("lake.maintain_every", self.lake.maintain_every, Period::secs(0), Period::secs(86_400))?;
        within("lake.vacuum_after", self.lake.vacuum_after, Period::secs(0), Period::secs(3_650 * 86_400))?;
        within("dead_letters.max_bytes", self.dead_letters.max_bytes, ByteSize::kib(64), ByteSize::gib(1_024))
    }
}

fn wrong(key: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Result<(), Wrong> {
    Err(Wrong { key, message: message.into(), hint: hint.into() })
}

fn within<T: PartialOrd + std::fmt::Display>(key: &'static str, value: T, low: T, high: T) -> Result<(), Wrong> {
    if value < low || value > high {
        return wrong(key, format!("`{value}` is out of range"), format!("choose from {low} to {high}"));
    }
    Ok(())
}

fn at_least<T: PartialOrd + std::fmt::Display>(
    key: &'static str,
    value: T,
    other_key: &str,
    other: T,
) -> Result<(), Wrong> {
    if value < other {
        return wrong(
            key,
            format!("`{value}` is less than {other_key} ({other})"),
            format!("raise {key} to {other} or more, or lower {other_key}"),
        );
    }
    Ok(())
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

    #[test]
    fn ranges_and_relations_are_checked() {
        let mut config = Config::default();
        config.wal.max_bytes = ByteSize::mib(1);
        let wrong = config.validate().unwrap_err();
        assert_eq!(wrong.key, "wal.max_bytes");
        assert!(wrong.message.contains("1MiB") && wrong.hint.contains("64MiB"), "{wrong:?}");
        let config = Config { listen: "nowhere".to_owned(), ..Config::default() };
        assert_eq!(config.validate().unwrap_err().key, "listen");
    }
}
