//! Fixed metrics: files of SQL with a header, planned once, asked for by name.
//!
//! ```text
//! queries/**.sql ─▶ header (TOML, parameters) ─▶ plan once ─▶ catalogue
//! a request ─▶ parameters become values ─▶ bound to the plan ─▶ rows of one state ─▶ kept while the state stays ─▶ encode
//! ```
//!
//! One file is one definition, whoever asks: HTTP, the command line, tests. `queries/README.md` has the format.

mod answer;
mod cache;
mod catalogue;
mod embedded;
mod header;
mod params;
mod rule;
mod tables;

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures::StreamExt;
use siphasher::sip128::{Hasher128, SipHasher13};
use tokio::sync::Mutex;

pub use answer::Answer;
pub use cache::CacheStats;
pub use catalogue::{Catalogue, Column, Description, File, Metric, Origin, PERIOD, PREFIX, Problem};
pub use header::{Chart, Header, RESERVED};
pub use params::{Kind, Moment, Param, Resolved, Value, resolve};
pub use rule::{Condition, Part, Rule};
pub use tables::{MetricFunction, MetricTables, SCHEMA as METRICS_SCHEMA, table_name};

use crate::alert_log::{AlertLimits, AlertLog};
use crate::clock::{Clock, Micros};
use crate::dead_letters::DeadLetters;
use crate::error::{Error, Result};
use crate::fs::sim::SimFs;
use crate::query::{QueryEngine, TableState};
use answer::Work;
use cache::ResultCache;
use catalogue::Look;

/// Settings of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// A folder of further metrics, which also replace built-in ones of the same name.
    pub dir: Option<PathBuf>,
    /// Whether edits in that folder are seen while the process runs.
    pub reload: bool,
    /// How often the folder is looked at, at most.
    pub look_every: Duration,
    /// Memory for answers that are kept.
    pub cache_bytes: usize,
    /// The largest answer.
    pub answer_bytes: usize,
    /// The longest a metric may run; the limit of queries when absent.
    pub timeout: Option<Duration>,
    /// Rows from which on a table is worth warming up.
    pub warm_from: usize,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            dir: None,
            reload: false,
            look_every: Duration::from_secs(1),
            cache_bytes: 64 << 20,
            answer_bytes: 64 << 20,
            timeout: None,
            warm_from: 1_000_000,
        }
    }
}

/// The table's state of this moment, and a name that no other state of it has.
pub type VersionedSource = Arc<dyn Fn() -> Result<(String, Arc<TableState>)> + Send + Sync>;

/// The metrics of one engine.
pub struct Metrics {
    config: MetricsConfig,
    query: Arc<QueryEngine>,
    clock: Arc<dyn Clock>,
    source: VersionedSource,
    loaded: ArcSwapOption<Catalogue>,
    watch: Mutex<Watch>,
    cache: Arc<ResultCache<Answer>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("config", &self.config).field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// What was seen of the folder, and when.
#[derive(Debug, Default)]
struct Watch {
    seen: Option<Look>,
    at: Option<Instant>,
}

/// A request that was understood, and the state it will be answered from.
pub struct Asked {
    /// What is asked for.
    pub metric: Arc<Metric>,
    /// The values it is asked with.
    pub params: Resolved,
    /// Whether the range before is answered too.
    pub compare: bool,
    /// Changes when the answer may.
    pub etag: String,
    request: String,
    tag: String,
    state: Arc<TableState>,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("request", &self.request).field("tag", &self.tag).finish_non_exhaustive()
    }
}

impl Metrics {
    /// Nothing is read before it is needed.
    pub fn new(config: MetricsConfig, query: Arc<QueryEngine>, clock: Arc<dyn Clock>, source: VersionedSource) -> Self {
        let cache = ResultCache::new(config.cache_bytes);
        Self { config, query, clock, source, loaded: ArcSwapOption::empty(), watch: Mutex::default(), cache }
    }

    /// Every metric, as their files are now.
    pub async fn catalogue(&self) -> Arc<Catalogue> {
        if let Some(catalogue) = self.loaded.load_full()
            && !(self.config.reload && self.config.dir.is_some())
        {
            return catalogue;
        }
        let mut watch = self.watch.lock().await;
        let before = self.loaded.load_full();
        if let Some(catalogue) = &before {
            let rests = watch.at.is_some_and(|at| at.elapsed() < self.config.look_every);
            if rests || !self.config.reload {
                return Arc::clone(catalogue);
            }
        }
        let look = self.look().await;
        watch.at = Some(Instant::now());
        if let Some(catalogue) = &before
            && watch.seen.as_ref() == Some(&look)
        {
            return Arc::clone(catalogue);
        }
        let (files, problems) = look.read();
        watch.seen = Some(look);
        let files = files.into_iter().chain(catalogue::built_in()).collect();
        let catalogue = Catalogue::load(&self.query, files, problems, before.as_deref(), &self.moment()).await;
        for problem in &catalogue.problems {
            tracing::error!("a metric's file: {problem}");
        }
        let catalogue = Arc::new(catalogue);
        self.loaded.store(Some(Arc::clone(&catalogue)));
        catalogue
    }

    async fn look(&self) -> Look {
        let Some(dir) = self.config.dir.clone() else { return Look::default() };
        tokio::task::spawn_blocking(move || Look::at(&dir)).await.unwrap_or_default()
    }

    fn moment(&self) -> Moment<'_> {
        Moment { now: self.clock.now(), shop: self.query.shop() }
    }

    /// Understands a request: `given` are its parameters, and `compare=previous`.
    ///
    /// # Errors
    /// `unknown_metric`, `unknown_parameter`, `invalid_parameter` and the like.
    pub async fn ask(&self, name: &str, given: &[(String, String)]) -> Result<Asked> {
        let catalogue = self.catalogue().await;
        let metric = Arc::clone(catalogue.get(name)?);
        let (compare, given): (Vec<_>, Vec<_>) = given.iter().cloned().partition(|(name, _)| name == "compare");
        let compare = compares(&metric, &compare)?;
        let also: &[&str] = if metric.compares() { &RESERVED } else { &RESERVED[..1] };
        let moment = self.moment();
        let params = resolve(&metric.header.params, &given, moment, also)?;
        // The state first, the clock later would do as well: what counts is that the tag names this very state.
        let (state_version, state) = (self.source)()?;
        let begin = bucket(moment.now, metric.header.cache);
        let stable = resolve(&metric.header.params, &given, Moment { now: begin, ..moment }, also);
        let stable = stable.unwrap_or_else(|_| params.clone());
        let request = format!("{} {} {compare}", metric.name, given_key(&given));
        let mut tag = format!("{} {state_version} {}", metric.version, stable.json());
        if metric.prepared.changes_by_itself() {
            tag = format!("{tag} {begin}");
        }
        let etag = fingerprint(&[&request, &tag]);
        Ok(Asked { metric, params, compare, etag, request, tag, state })
    }

    /// Answers what was asked: from memory where the same was answered from the same state.
    ///
    /// # Errors
    /// Those of queries, and `answer_too_large`.
    pub async fn answer(&self, asked: &Asked) -> Result<Arc<Answer>> {
        let work = Work {
            query: Arc::clone(&self.query),
            metric: Arc::clone(&asked.metric),
            params: asked.params.clone(),
            compare: asked.compare,
            state: Arc::clone(&asked.state),
            max_bytes: self.config.answer_bytes,
            timeout: self.config.timeout,
        };
        self.cache.get(&asked.request, &asked.tag, work.run()).await
    }

    /// Brings into memory what the answers of metrics that say `warm` are made from (orders, partial aggregates), where
    /// the table is large, so that the first reader after a start does not wait for it. Returns how many were asked.
    ///
    /// # Errors
    /// Those of queries.
    pub async fn warm(&self) -> Result<usize> {
        let catalogue = self.catalogue().await;
        let mut warmed = 0;
        for metric in catalogue.metrics.values().filter(|metric| metric.header.warm) {
            let (_, state) = (self.source)()?;
            if state.rows() < self.config.warm_from {
                break;
            }
            let params = resolve(&metric.header.params, &[], self.moment(), &RESERVED)?;
            // Aggregates are kept from the second time on.
            for _ in 0..2 {
                let mut output = self.query.run_own(&metric.prepared, params.scalars(), Arc::clone(&state)).await?;
                while let Some(batch) = output.stream.next().await {
                    batch?;
                }
            }
            warmed += 1;
        }
        Ok(warmed)
    }

    /// Forgets every answer that is kept.
    pub fn forget(&self) {
        self.cache.forget();
    }

    /// How the memory for answers is used.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }
}

fn compares(metric: &Metric, given: &[(String, String)]) -> Result<bool> {
    let Some((_, value)) = given.first() else { return Ok(false) };
    if given.len() > 1 {
        return Err(Error::invalid("repeated_parameter", "`compare` is given twice"));
    }
    match value.trim() {
        "" => Ok(false),
        "previous" if metric.compares() => Ok(true),
        "previous" => {
            let message = format!("{} has no range to compare: `compare` needs `start` and `end`", metric.name);
            Err(Error::invalid("unknown_parameter", message))
        }
        other => {
            let shown: String = other.chars().take(60).collect();
            Err(Error::invalid("invalid_parameter", format!("`compare` must be previous, not `{shown}`"))
                .with_did_you_mean("previous"))
        }
    }
}

/// Where the span of time begins within which answers that depend on the clock are the same.
fn bucket(now: Micros, cache: Duration) -> Micros {
    let length = Micros::try_from(cache.as_micros()).unwrap_or(Micros::MAX).max(1_000_000);
    now - now.rem_euclid(length)
}

/// A request's own parameters in one order.
fn given_key(given: &[(String, String)]) -> String {
    let mut given: Vec<_> = given.iter().filter(|(_, value)| !value.trim().is_empty()).collect();
    given.sort();
    format!("{given:?}")
}

fn fingerprint(parts: &[&str]) -> String {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part.as_bytes());
    }
    format!("{:032x}", hasher.finish128().as_u128())
}

/// Plans every file, built in or of the folder of `config`, without a data folder. Says how many are good, and what is
/// wrong with the others.
///
/// # Errors
/// When threads to plan on cannot be started.
pub async fn check(
    query: crate::query::QueryConfig,
    config: MetricsConfig,
    clock: Arc<dyn Clock>,
) -> Result<(usize, Vec<Problem>)> {
    let store = Arc::new(object_store::memory::InMemory::new());
    let nothing = || Ok(Arc::new(TableState::default()));
    let query = crate::query::QueryConfig { spill_dir: None, threads: 1, ..query };
    let letters = DeadLetters::open(Arc::new(SimFs::new()), Path::new("/dead_letters"), 1 << 20)?;
    let query = QueryEngine::new(query, store, Arc::new(nothing), Arc::clone(&clock))?;
    let alerts = AlertLog::open(Arc::new(SimFs::new()), Path::new("/"), AlertLimits::default(), Vec::new())?;
    let query = Arc::new(query.with_dead_letters(Arc::new(letters))?.with_alerts(Arc::new(alerts))?);
    let source = Arc::new(|| Ok((String::new(), Arc::new(TableState::default()))));
    let metrics = Metrics::new(config, Arc::clone(&query), clock, source);
    let catalogue = metrics.catalogue().await;
    query.shutdown();
    let good = catalogue.metrics.values().filter(|m| m.warning.is_none()).count();
    Ok((good, catalogue.problems.clone()))
}
