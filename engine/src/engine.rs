//! The engine: opens and recovers a data folder, takes events, answers queries, and closes. The only wiring.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray as _;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use crate::alert_log::AlertLog;
use crate::alerts::{Alerts, AlertsConfig};
use crate::buffer::Sealed;
use crate::clock::{Clock, Micros};
use crate::dead_letters::{DeadLetter, DeadLetters, LetterStatus};
use crate::decode::segment::IpAddresses;
use crate::decode::{self, DecodeContext, Decoded, Deriver, InputFormat, Rejected};
use crate::dedup::{Dedup, Hour, IdHasher, IdSource, Key};
use crate::erase::{EraseConfig, Erasures, Tombstones};
use crate::error::{Error, Kind, Result};
use crate::event::{NodeId, Seq};
use crate::flush::FlushConfig;
use crate::fs::Fs;
use crate::fs::store::FsStore;
use crate::hot::{HotConfig, NodeWindows};
use crate::lake::{Lake, LakeConfig};
use crate::metrics::{Metrics, MetricsConfig};
use crate::query::{QueryConfig, QueryEngine, QueryOutput, QueryRequest};
use crate::sequencer::{Sequenced, Sequencer};
use crate::snapshot::{Published, Snapshot};
use crate::wal::WalConfig;

mod backup;
mod erase;
mod fill;
mod letters;
mod maintain;
mod measures;
mod open;
mod restore;
mod search;
mod table;

use erase::refuse_erased;
use table::TableStates;

pub use backup::Backup;
pub use erase::{BEYOND_REACH, EraseReport};
pub use letters::{Fix, Fixed, Replay, ReplayError, ReplayReport};
pub use maintain::{CloseReport, CompactReport, FlushReport, MaintainConfig};
pub use measures::{FlushMeasures, IngestMeasures, Measures, SourceMeasures};
pub use open::{FolderLock, lock as lock_folder};
pub use restore::{RestoreReport, restore};
pub use search::Found;

/// Bodies up to this size are decoded where they arrive; larger ones on a thread of their own.
const DECODE_INLINE_BYTES: usize = 512 << 10;
/// `errors` in a receipt is cut to this many, with the total beside it.
const MAX_LISTED_ERRORS: usize = 100;

/// Every setting of the engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The folder that holds everything.
    pub data_dir: PathBuf,
    /// The write-ahead log.
    pub wal: WalConfig,
    /// When the buffer goes to the lake.
    pub flush: FlushConfig,
    /// Parquet and Delta.
    pub lake: LakeConfig,
    /// SQL.
    pub query: QueryConfig,
    /// Compaction, retention, vacuum, checkpoints.
    pub maintain: MaintainConfig,
    /// Live windows.
    pub hot: HotConfig,
    /// Fixed metrics.
    pub metrics: MetricsConfig,
    /// Alerts.
    pub alerts: AlertsConfig,
    /// What is remembered of people who were erased.
    pub erase: EraseConfig,
    /// Memory for event ids, in bytes.
    pub dedup_bytes: usize,
    /// Room for dead letters on disk, in bytes.
    pub dead_letter_bytes: u64,
    /// Days to keep dead letters that nobody fixes; `None` keeps all.
    pub dead_letter_days: Option<u32>,
    /// Bytes of request bodies that may be worked on at once.
    pub inflight_bytes: usize,
    /// How long a request waits for room before it is answered 503.
    pub max_wait: Duration,
    /// The longest single event, in bytes.
    pub max_event_bytes: usize,
    /// How far ahead of the server's clock an event may be.
    pub max_future: Duration,
    /// What becomes of IP addresses in Segment's messages.
    pub ip_addresses: IpAddresses,
}

impl EngineConfig {
    /// The defaults, over this folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            wal: WalConfig::default(),
            flush: FlushConfig::default(),
            lake: LakeConfig::default(),
            query: QueryConfig::default(),
            maintain: MaintainConfig::default(),
            hot: HotConfig::default(),
            metrics: MetricsConfig::default(),
            alerts: AlertsConfig::default(),
            erase: EraseConfig::default(),
            dedup_bytes: 512 << 20,
            dead_letter_bytes: 1 << 30,
            dead_letter_days: Some(30),
            inflight_bytes: 256 << 20,
            max_wait: Duration::from_secs(5),
            max_event_bytes: 256 << 10,
            max_future: Duration::from_secs(300),
            ip_addresses: IpAddresses::default(),
        }
    }
}

/// Where events come from; kept with those that are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// What they came through: `http`, a file, a stream.
    pub source: &'a str,
    /// The id of the API key they came with, never the key itself.
    pub key: Option<&'a str>,
}

impl<'a> From<&'a str> for Origin<'a> {
    /// A source without keys.
    fn from(source: &'a str) -> Self {
        Self { source, key: None }
    }
}

/// When a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ack {
    /// On disk and in the next query.
    #[default]
    Durable,
    /// In the lake.
    Committed,
}

/// One event that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventError {
    /// Its position in the request, from 0.
    pub index: usize,
    /// The field that is wrong; empty when it is the event as a whole.
    pub field: String,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

/// Positions of stored events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SeqRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// `accepted`, or `rejected` when nothing in it was acceptable.
    pub status: &'static str,
    /// Events stored.
    pub accepted: usize,
    /// Events that were stored before.
    pub duplicates: usize,
    /// Events kept as dead letters.
    pub rejected: usize,
    /// The first of the errors.
    pub errors: Vec<EventError>,
    /// How many errors there are.
    pub errors_total: usize,
    /// Where the stored events stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<SeqRange>,
}

impl Receipt {
    /// Whether nothing in the request was acceptable.
    pub fn is_rejected(&self) -> bool {
        self.status == "rejected"
    }

    fn new(stored: Sequenced, rejected: &[Rejected]) -> Self {
        let errors = rejected.iter().take(MAX_LISTED_ERRORS).map(|r| EventError {
            index: r.index,
            field: r.field.to_string(),
            code: r.code,
            message: r.message.clone(),
        });
        let nothing = stored.accepted + stored.duplicates == 0;
        Self {
            status: if nothing { "rejected" } else { "accepted" },
            accepted: stored.accepted,
            duplicates: stored.duplicates,
            rejected: rejected.len(),
            errors: errors.collect(),
            errors_total: rejected.len(),
            seq: stored.seq.map(|(first, last)| SeqRange { first: first.0, last: last.0 }),
        }
    }
}

/// A request's events, decoded and not yet stored; dropping it forgets them.
#[derive(Debug)]
pub struct Received {
    decoded: Decoded,
    keys: Vec<Key>,
    /// The body, decompressed.
    bytes: usize,
    /// When the request's body was there.
    arrived: Instant,
    /// Its share of [`EngineConfig::inflight_bytes`].
    _room: tokio::sync::OwnedSemaphorePermit,
}

impl Received {
    /// How many events the body held, acceptable or not.
    pub fn events(&self) -> usize {
        self.decoded.total
    }

    /// How many acceptable events each known user has.
    pub fn events_per_user(&self) -> BTreeMap<&str, u64> {
        let mut counts = BTreeMap::new();
        let users = self.decoded.batch.column_by_name("user_id").and_then(|c| c.as_string_opt::<i32>());
        for user in users.into_iter().flatten().flatten() {
            *counts.entry(user).or_default() += 1;
        }
        counts
    }
}

/// How the engine is, for health checks and operators.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// This data folder's node id.
    pub node: String,
    /// The last position stored.
    pub seq: u64,
    /// Bytes in the write-ahead log.
    pub wal_bytes: u64,
    /// Events not yet in the lake.
    pub buffer_rows: usize,
    /// Their memory, in bytes.
    pub buffer_bytes: usize,
    /// The lake's version.
    pub lake_version: i64,
    /// The last position the lake holds.
    pub lake_seq: u64,
    /// Live Parquet files.
    pub lake_files: usize,
    /// Their rows.
    pub lake_rows: u64,
    /// Their size, in bytes.
    pub lake_bytes: u64,
    /// Memory of event ids, in bytes.
    pub dedup_bytes: usize,
    /// Events that were not accepted.
    pub dead_letters: LetterStatus,
    /// Queries running now.
    pub queries: usize,
    /// How far the system's clock was moved since the start, in milliseconds.
    pub clock_step_ms: i64,
    /// Why the last flush failed, while it has not succeeded since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flush_error: Option<String>,
    /// Why the process has to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// A running engine over one data folder.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    node: NodeId,
    deriver: Arc<Deriver>,
    hasher: IdHasher,
    dedup: Arc<Dedup>,
    dead_letters: Arc<DeadLetters>,
    /// Held by whoever decides what becomes of letters: a replay, a drop, the retention.
    settling: tokio::sync::Mutex<()>,
    erasures: Erasures,
    /// Whose events are refused. Read from the look at a request's events until they are stored: whoever changes it knows
    /// that what was looked at before is stored.
    erased: tokio::sync::RwLock<Tombstones>,
    /// Held while the folder is copied, and while somebody is erased from it.
    alone: Arc<tokio::sync::Mutex<()>>,
    published: Arc<Published>,
    windows: Arc<NodeWindows>,
    sequencer: Sequencer,
    store: Arc<FsStore>,
    lake: Arc<Lake>,
    query: Arc<QueryEngine>,
    metrics: Metrics,
    alerts: Alerts,
    /// Why the process has to stop, when it is not the log that says so.
    fatal: watch::Sender<Option<String>>,
    inflight: Arc<Semaphore>,
    decoding: Arc<Semaphore>,
    flushing: tokio::sync::Mutex<()>,
    flush_state: watch::Sender<maintain::FlushState>,
    flush_wanted: tokio::sync::Notify,
    own: measures::Own,
    stop: tokio_util::sync::CancellationToken,
    background: parking_lot::Mutex<Option<tokio::runtime::Runtime>>,
    /// Held while the engine lives.
    _lock: FolderLock,
}

impl Engine {
    /// Opens a data folder, creating it when it is not there: takes its lock, reads the lake, replays the log.
    ///
    /// # Errors
    /// `Busy` (`data_dir_locked`) while another process has it; `Corrupt` when bytes on disk are damaged.
    pub async fn open(config: EngineConfig, fs: Arc<dyn Fs>, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let lock = open::lock(&fs, &config.data_dir)?;
        if let Some(spilled) = &config.query.spill_dir {
            // A process that was killed leaves rows there.
            crate::backup::remove_tree(&*fs, spilled)?;
        }
        let node = open::node(&fs, &config.data_dir, clock.now())?;
        let store: Arc<FsStore> = open::store(&fs, &config.data_dir)?;
        let lake = Lake::open(Arc::clone(&store) as _, node.clone(), Arc::clone(&clock), config.lake.clone());
        let lake = Arc::new(lake.await?);
        let at = lake.current();
        let (wal, buffer, last) = open::recover_log(&fs, &config, at.covered)?;
        let AlertsConfig { limits, targets, .. } = config.alerts.clone();
        let alert_log = Arc::new(AlertLog::open(Arc::clone(&fs), &config.data_dir, limits, targets)?);
        let erasures = Erasures::open(Arc::clone(&fs), &config.data_dir, config.erase.clone())?;
        let dead_letters =
            DeadLetters::open(Arc::clone(&fs), &config.data_dir.join("dead_letters"), config.dead_letter_bytes)?;
        let dead_letters = Arc::new(dead_letters);
        let published = Arc::new(Published::new(at, buffer));
        let dedup = Dedup::new(config.dedup_bytes);
        let windows = Arc::new(NodeWindows::new(config.hot.clone(), Arc::clone(&clock), &node, last)?);
        let sequencer =
            Sequencer::start(wal, last, &node, Arc::clone(&dedup), Arc::clone(&published), Arc::clone(&windows))?;
        let states = Arc::new(TableStates::new(Arc::clone(&published)));
        let (current, versioned, name) = (Arc::clone(&states), states, node.clone());
        let source = Arc::new(move || current.current());
        let query = QueryEngine::new(config.query.clone(), Arc::clone(&store) as _, source, Arc::clone(&clock))?
            .with_dead_letters(Arc::clone(&dead_letters))?
            .with_alerts(Arc::clone(&alert_log))?;
        let query = Arc::new(query);
        let (letters, alerts) = (Arc::clone(&dead_letters), Arc::clone(&alert_log));
        let source = Arc::new(move || {
            let (version, state) = versioned.versioned(&name)?;
            // The other tables metrics may read.
            Ok((format!("{version} {} {} {}", letters.count(), letters.bytes(), alerts.revision()), state))
        });
        let metrics = Metrics::new(config.metrics.clone(), Arc::clone(&query), Arc::clone(&clock), source);
        let alerts = Alerts::new(config.alerts.clone(), alert_log, Arc::clone(&clock));
        let engine = Arc::new(Self {
            inflight: Arc::new(Semaphore::new(config.inflight_bytes)),
            decoding: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from))),
            clock,
            node,
            deriver: Arc::default(),
            hasher: IdHasher::random(),
            dedup,
            dead_letters,
            settling: tokio::sync::Mutex::new(()),
            erased: tokio::sync::RwLock::new(erasures.tombstones()),
            erasures,
            alone: Arc::default(),
            fs,
            published,
            windows,
            sequencer,
            store,
            lake,
            query,
            metrics,
            alerts,
            fatal: watch::Sender::new(None),
            flushing: tokio::sync::Mutex::new(()),
            flush_state: watch::Sender::new(maintain::FlushState::default()),
            flush_wanted: tokio::sync::Notify::new(),
            own: measures::Own::default(),
            stop: tokio_util::sync::CancellationToken::new(),
            background: parking_lot::Mutex::new(None),
            _lock: lock,
            config,
        });
        engine.start_background()?;
        engine.start_filling(last);
        engine.go_on_erasing();
        Ok(engine)
    }

    /// Takes a request's events. Returns when every acceptable one is durable and visible (or in the lake, with
    /// [`Ack::Committed`]) and every other one is kept as a dead letter.
    ///
    /// # Errors
    /// `Invalid` when the body cannot be read at all, `TooLarge`, `Busy` when the engine is full.
    pub async fn ingest<'a>(
        &self,
        body: Bytes,
        format: InputFormat,
        origin: impl Into<Origin<'a>>,
        ack: Ack,
    ) -> Result<Receipt> {
        let received = self.receive(body, format).await?;
        self.keep(received, origin, ack).await
    }

    /// The first half of [`Engine::ingest`]: decodes, and stores nothing. What it returns says how many events there
    /// are, so that a caller can still refuse them all.
    ///
    /// # Errors
    /// `Invalid` when the body cannot be read at all, `TooLarge`, `Busy` when the engine is full.
    pub async fn receive(&self, body: Bytes, format: InputFormat) -> Result<Received> {
        let arrived = Instant::now();
        let bytes = body.len();
        let refused = |e: &Error| self.own.ingest.refused(e);
        let room = self.admit(bytes).await.inspect_err(refused)?;
        let (decoded, keys) = self.decode(body, format).await.inspect_err(refused)?;
        Ok(Received { decoded, keys, bytes, arrived, _room: room })
    }

    /// The second half of [`Engine::ingest`].
    ///
    /// # Errors
    /// `Busy` when the engine is stopping or the store of dead letters is full.
    pub async fn keep<'a>(&self, received: Received, origin: impl Into<Origin<'a>>, ack: Ack) -> Result<Receipt> {
        let origin = origin.into();
        let Received { mut decoded, mut keys, bytes, arrived, _room } = received;
        // Until they are stored: an erasure that begins meanwhile finds them.
        let erased = self.erased.read().await;
        let of_erased = refuse_erased(&erased, &mut decoded, &mut keys)?;
        let (stored, letters) =
            tokio::join!(self.store(&decoded.batch, keys, arrived), self.keep_rejected(&decoded.rejected, origin),);
        // Both must hold before the answer; a dead letter that could not be kept is an answer that cannot be given.
        let failed = |e: &Error| self.own.ingest.refused(e);
        let stored = stored.inspect_err(failed)?;
        letters.inspect_err(failed)?;
        drop(erased);
        decoded.rejected.extend(of_erased);
        decoded.rejected.sort_by_key(|r| r.index);
        let receipt = Receipt::new(stored, &decoded.rejected);
        self.own.ingest.taken(origin.source, bytes, &receipt, decoded.rejected.iter().map(|r| r.code));
        if let (Ack::Committed, Some((_, last))) = (ack, stored.seq) {
            self.wait_committed(last).await?;
        }
        Ok(receipt)
    }

    /// Runs read-only SQL over everything acknowledged.
    pub async fn query(&self, request: QueryRequest) -> Result<QueryOutput> {
        self.query.query(request).await
    }

    /// [`Self::query`] by a name of the client's, who can so stop it before an answer names it.
    pub async fn query_as(&self, id: String, request: QueryRequest) -> Result<QueryOutput> {
        self.query.query_as(id, request).await
    }

    /// What plans and runs queries, for those who ask through a surface of their own.
    pub fn queries(&self) -> &Arc<QueryEngine> {
        &self.query
    }

    /// Partial aggregates that are kept to answer sooner, and their bytes.
    pub fn kept(&self) -> (usize, usize) {
        self.query.kept()
    }

    /// Stops a running query; `false` when there is none of that id.
    pub fn cancel(&self, id: &str) -> bool {
        self.query.cancel(id)
    }

    /// The fixed metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Alerts: the rules' state and the log.
    pub fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Judges the rules that are due at this moment of the clock; the background does it where settings say so.
    pub async fn judge_alerts(&self) {
        self.alerts.judge(&self.metrics).await;
    }

    /// The clock the engine was given.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The state SQL reads at this moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.load()
    }

    /// The last position stored.
    pub fn last_seq(&self) -> Seq {
        self.sequencer.last()
    }

    /// The live windows.
    pub fn windows(&self) -> &Arc<NodeWindows> {
        &self.windows
    }

    /// The store of events that were not accepted.
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.dead_letters
    }

    /// How the engine is.
    pub fn status(&self) -> Status {
        let now = self.published.load();
        Status {
            node: self.node.to_string(),
            seq: self.sequencer.last().0,
            wal_bytes: self.sequencer.wal_bytes(),
            buffer_rows: now.buffer.rows(),
            buffer_bytes: now.buffer.bytes(),
            lake_version: now.lake.version,
            lake_seq: now.lake.covered.0,
            lake_files: now.lake.files.len(),
            lake_rows: now.lake.rows,
            lake_bytes: now.lake.bytes,
            dedup_bytes: self.dedup.bytes(),
            dead_letters: self.dead_letters.status(),
            queries: self.query.running(),
            clock_step_ms: self.clock.system_step() / crate::clock::MILLISECOND,
            flush_error: self.flush_state.borrow().error.clone(),
            failed: self.failure(),
        }
    }

    /// Resolves when a guarantee can no longer be given and the process must stop.
    pub async fn failed(&self) -> Error {
        let (mut log, mut lake) = (self.sequencer.failure(), self.fatal.subscribe());
        loop {
            if let Some(why) = self.failure() {
                return Error::fatal(why);
            }
            tokio::select! {
                Ok(()) = log.changed() => {}
                Ok(()) = lake.changed() => {}
                // The log's thread ended in good order.
                else => std::future::pending::<()>().await,
            }
        }
    }

    fn failure(&self) -> Option<String> {
        let log = self.sequencer.failure().borrow().clone();
        log.or_else(|| self.fatal.borrow().clone())
    }

    /// Remembers an error of the lake that only a restart can mend: a failed sync, or a table that is ahead of us.
    fn note_fatal<T>(&self, result: &Result<T>) {
        let Err(error) = result else { return };
        let why = match self.store.failure() {
            Some(why) => why.to_owned(),
            None if error.kind == Kind::Fatal => error.message.clone(),
            None => return,
        };
        self.fatal.send_replace(Some(why));
    }

    /// Waits for room: for the body itself, in the buffer, and in the log.
    async fn admit(&self, bytes: usize) -> Result<tokio::sync::OwnedSemaphorePermit> {
        let full = |code, what: &str| {
            Error::busy(code, format!("{what}; nothing of this request was stored"))
                .with_hint("send the same request again after Retry-After; event ids make that safe")
        };
        let permits = u32::try_from(bytes.clamp(1, self.config.inflight_bytes)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.inflight).acquire_many_owned(permits);
        let permit = tokio::time::timeout(self.config.max_wait, permit)
            .await
            .map_err(|_| full("too_many_requests_in_flight", "too many events are being taken in at once"))?
            .map_err(|_| full("shutting_down", "the server is stopping"))?;
        if self.has_room() {
            return Ok(permit);
        }
        let mut flushed = self.flush_state.subscribe();
        self.flush_wanted.notify_one();
        let wait = tokio::time::timeout(self.config.max_wait, flushed.wait_for(|_| self.has_room()));
        match wait.await {
            Ok(Ok(_)) => Ok(permit),
            _ => {
                let why = self.flush_state.borrow().error.clone();
                let why = why.map_or_else(String::new, |e| format!(" (the last flush failed: {e})"));
                Err(full("buffer_full", &format!("the buffer or the write-ahead log is full{why}")))
            }
        }
    }

    fn has_room(&self) -> bool {
        self.published.load().buffer.bytes() < self.config.flush.max_bytes
            && self.sequencer.wal_bytes() < self.config.wal.max_bytes
    }

    async fn decode(&self, body: Bytes, format: InputFormat) -> Result<(Decoded, Vec<Key>)> {
        let context = self.decode_context();
        let hasher = self.hasher.clone();
        let inline = body.len() <= DECODE_INLINE_BYTES;
        let work = move || {
            let decoded = decode::decode(&body, format, &context)?;
            let keys = hasher.keys(&decoded.batch)?;
            Ok((decoded, keys))
        };
        // The permit bounds CPU-bound decoding to the cores, whichever thread it is on.
        let _core = self.decoding.acquire().await.map_err(|_| Error::internal("the decoder is gone"))?;
        if inline {
            return work();
        }
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal(format!("decoding failed: {e}")))?
    }

    fn decode_context(&self) -> DecodeContext {
        DecodeContext {
            max_future: self.config.max_future,
            max_event_bytes: self.config.max_event_bytes,
            ip_addresses: self.config.ip_addresses,
            ..DecodeContext::new(self.clock.now(), Arc::clone(&self.deriver))
        }
    }

    async fn store(&self, batch: &RecordBatch, keys: Vec<Key>, arrived: Instant) -> Result<Sequenced> {
        if keys.is_empty() {
            return Ok(Sequenced { accepted: 0, duplicates: 0, seq: None });
        }
        let hours: BTreeSet<Hour> = keys.iter().map(|k| k.hour).collect();
        let pins = self.dedup.pin(hours, self).await?;
        self.sequencer.append(batch.clone(), keys, pins, arrived).await
    }

    async fn keep_rejected(&self, rejected: &[Rejected], origin: Origin<'_>) -> Result<()> {
        if rejected.is_empty() {
            return Ok(());
        }
        let received_at: Micros = self.clock.now();
        let letters = rejected.iter().map(|r| DeadLetter {
            received_at,
            source: origin.source.to_owned(),
            key: origin.key.map(str::to_owned),
            index: r.index as u64,
            field: r.field.to_string(),
            code: r.code.to_owned(),
            message: r.message.clone(),
            original: r.original.clone(),
            attempts: 0,
        });
        let letters: Vec<DeadLetter> = letters.collect();
        let store = Arc::clone(&self.dead_letters);
        tokio::task::spawn_blocking(move || store.append(letters))
            .await
            .map_err(|e| Error::internal(format!("keeping dead letters failed: {e}")))?
    }

    async fn wait_committed(&self, last: Seq) -> Result<()> {
        let mut state = self.flush_state.subscribe();
        self.flush_wanted.notify_one();
        let covered = state.wait_for(|_| self.published.load().lake.covered >= last || self.stop.is_cancelled());
        covered.await.map_err(|_| Error::internal("the flusher is gone"))?;
        if self.published.load().lake.covered >= last {
            return Ok(());
        }
        Err(Error::busy("shutting_down", "the events are durable and will be in the lake after the next start"))
    }
}

#[async_trait]
impl IdSource for Engine {
    async fn keys_of(&self, hours: &BTreeSet<Hour>) -> Result<Vec<Key>> {
        let now = self.published.load();
        let mut keys = Vec::new();
        let within = |sealed: &&Arc<Sealed>| hours.range(sealed.hours().clone()).next().is_some();
        for sealed in now.buffer.batches().iter().filter(within) {
            keys.extend(self.hasher.keys(sealed.stored())?.into_iter().filter(|key| hours.contains(&key.hour)));
        }
        for batch in self.lake.read_keys(&now.lake, hours).await? {
            keys.extend(self.hasher.keys(&batch)?.into_iter().filter(|key| hours.contains(&key.hour)));
        }
        Ok(keys)
    }
}
