//! Alerts: metrics whose header says when a row of theirs is one, asked again and again.
//!
//! ```text
//! clock ─▶ rules that are due ─▶ their metric's rows ─▶ judge (pure) ─▶ alert log (durable) ─▶ SQL, stream, notices
//! ```
//!
//! A rule is a file like any metric ([`crate::metrics`]): built in, or from the folder of the settings. What a rule
//! finds is in [`crate::alert_log`]; who is told by which means is not the engine's business.

pub mod judge;
mod row;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use parking_lot::RwLock;
use serde::Serialize;

use crate::alert_log::{AlertLimits, AlertLog, Closed, Opening};
use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::metrics::{Catalogue, Metric, Metrics, Rule};
use judge::{Change, State, judge};
use row::Row;

/// Rules whose queries run at once.
const AT_ONCE: usize = 2;

/// Settings of alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertsConfig {
    /// Whether rules are judged in the background.
    pub enabled: bool,
    /// How often to look which rules are due.
    pub look_every: Duration,
    /// How long after the start nothing is judged: what was sent while the server was away comes first.
    pub warm_up: Duration,
    /// Rows of a rule that are judged; one with more is not judged at all.
    pub max_keys: usize,
    /// How much is kept.
    pub limits: AlertLimits,
    /// Who is told, by opaque names.
    pub targets: Vec<String>,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            look_every: Duration::from_secs(1),
            warm_up: Duration::from_secs(60),
            max_keys: 1_000,
            limits: AlertLimits::default(),
            targets: Vec::new(),
        }
    }
}

/// How a rule is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleStatus {
    /// Its name.
    pub rule: String,
    /// What it is about.
    pub summary: String,
    /// When it was judged last, in microseconds since the epoch.
    #[serde(skip)]
    pub judged_at: Option<Micros>,
    /// Alerts of it that are open.
    pub open: usize,
    /// Why the last judgement failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Judges the rules of one engine.
#[derive(Debug)]
pub struct Alerts {
    config: AlertsConfig,
    log: Arc<AlertLog>,
    clock: Arc<dyn Clock>,
    /// Held by whoever judges.
    judging: tokio::sync::Mutex<BTreeMap<String, Standing>>,
    status: RwLock<Vec<RuleStatus>>,
}

/// What is known about a rule between judgements.
#[derive(Debug, Default)]
struct Standing {
    next_at: Micros,
    judged_at: Option<Micros>,
    error: Option<String>,
    /// Where its rows stand; those that are quiet have no entry.
    rows: BTreeMap<Option<String>, State>,
}

impl Alerts {
    /// Over a log. Nothing is judged before [`Alerts::judge`] is called.
    pub fn new(config: AlertsConfig, log: Arc<AlertLog>, clock: Arc<dyn Clock>) -> Self {
        Self { config, log, clock, judging: tokio::sync::Mutex::default(), status: RwLock::default() }
    }

    /// The log.
    pub fn log(&self) -> &Arc<AlertLog> {
        &self.log
    }

    /// Its settings.
    pub fn config(&self) -> &AlertsConfig {
        &self.config
    }

    /// How each rule is.
    pub fn status(&self) -> Vec<RuleStatus> {
        self.status.read().clone()
    }

    /// Judges every rule that is due.
    pub async fn judge(&self, metrics: &Metrics) {
        let mut standings = self.judging.lock().await;
        let catalogue = metrics.catalogue().await;
        let has_rule = |metric: &&Arc<Metric>| metric.header.alert.is_some();
        let rules: Vec<Arc<Metric>> = catalogue.metrics.values().filter(has_rule).cloned().collect();
        let now = self.clock.now();
        standings.retain(|name, _| rules.iter().any(|metric| metric.name == *name));
        self.close_orphans(&catalogue, now).await;
        let is_due = |m: &&Arc<Metric>| standings.get(&m.name).is_none_or(|standing| standing.next_at <= now);
        let due: Vec<Arc<Metric>> = rules.iter().filter(is_due).cloned().collect();
        if due.is_empty() {
            return;
        }
        let most = self.config.max_keys;
        let asking = due.into_iter().map(|metric| async move {
            let rows = ask(metrics, &metric, most).await;
            (metric, rows)
        });
        let mut answers = futures::stream::iter(asking).buffered(AT_ONCE);
        while let Some((metric, rows)) = answers.next().await {
            let (name, Some(rule)) = (metric.name.as_str(), &metric.header.alert) else { continue };
            let standing = standings.entry(name.to_owned()).or_insert_with(|| self.begin(name));
            standing.next_at = now.saturating_add(micros(rule.every));
            let outcome = match rows {
                Ok(rows) => {
                    standing.judged_at = Some(now);
                    self.settle(name, rule, standing, rows, now).await
                }
                Err(error) => Err(error),
            };
            let error = outcome.err().map(|error| error.message);
            if error.is_some() && error != standing.error {
                tracing::warn!(rule = name, error, "an alert's rule could not be judged; it is tried again");
            }
            standing.error = error;
        }
        drop(answers);
        let status = rules.iter().filter_map(|metric| Some(status(metric, standings.get(&metric.name)?)));
        *self.status.write() = status.collect();
    }

    /// Where a rule's rows stand when it is judged for the first time: what is open stays open.
    fn begin(&self, name: &str) -> Standing {
        let open = self.log.open_ones().into_iter().filter(|alert| alert.rule == name);
        let rows = open.map(|alert| (alert.key.clone(), State::Open { judged: self.clock.now() })).collect();
        Standing { rows, ..Standing::default() }
    }

    /// Judges the rows of a rule, and those that were there before.
    async fn settle(
        &self,
        name: &str,
        rule: &Rule,
        standing: &mut Standing,
        rows: BTreeMap<Option<String>, Row>,
        now: Micros,
    ) -> Result<()> {
        let keys: BTreeSet<Option<String>> = standing.rows.keys().chain(rows.keys()).cloned().collect();
        let mut failed = None;
        for key in keys {
            let row = rows.get(&key);
            let before = standing.rows.get(&key).copied().unwrap_or_default();
            let (after, change) = judge(rule, before, now, row.and_then(|row| row.value));
            let written = match change {
                None => Ok(()),
                Some(Change::Opens { value }) => {
                    let message = row.map(|row| row.message(rule)).unwrap_or_default();
                    self.open(name, key.clone(), rule, message, value, now).await
                }
                Some(Change::Closes(why)) => self.close(name, key.clone(), why, now).await,
            };
            match written {
                Ok(()) if after == State::Quiet => drop(standing.rows.remove(&key)),
                Ok(()) => drop(standing.rows.insert(key, after)),
                // It stands where it stood, so the next judgement tries again.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn open(
        &self,
        name: &str,
        key: Option<String>,
        rule: &Rule,
        message: String,
        value: f64,
        now: Micros,
    ) -> Result<()> {
        let (severity, threshold) = (rule.severity, rule.open.limit());
        let opening = Opening { rule: name.to_owned(), key, severity, message, value, threshold };
        let alert = self.writing(move |log| log.raise(opening, now)).await?;
        tracing::warn!(rule = name, key = alert.key, severity = severity.name(), "alert: {}", alert.message);
        Ok(())
    }

    async fn close(&self, name: &str, key: Option<String>, why: Closed, now: Micros) -> Result<()> {
        let rule = name.to_owned();
        if let Some(alert) = self.writing(move |log| log.close(&rule, key.as_deref(), why, now)).await? {
            tracing::info!(rule = name, key = alert.key, why = why.name(), "alert closed: {}", alert.message);
        }
        Ok(())
    }

    /// Closes what no rule stands behind any more. A rule that is broken for now is still one.
    async fn close_orphans(&self, catalogue: &Catalogue, now: Micros) {
        for alert in self.log.open_ones() {
            let stands = match catalogue.get(&alert.rule) {
                Ok(metric) => metric.header.alert.is_some(),
                Err(error) => error.code == "metric_broken",
            };
            if stands {
                continue;
            }
            if let Err(error) = self.close(&alert.rule, alert.key.clone(), Closed::RuleRemoved, now).await {
                tracing::warn!(rule = alert.rule, %error, "an alert whose rule is gone could not be closed");
            }
        }
    }

    /// Waits for the disk on a thread for that.
    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AlertLog) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let log = Arc::clone(&self.log);
        let done = tokio::task::spawn_blocking(move || work(&log)).await;
        done.map_err(|e| Error::internal(format!("writing alerts failed: {e}")))?
    }
}

/// A rule's rows of this moment.
async fn ask(metrics: &Metrics, metric: &Metric, most: usize) -> Result<BTreeMap<Option<String>, Row>> {
    let Some(rule) = &metric.header.alert else { return Ok(BTreeMap::new()) };
    let asked = metrics.ask(&metric.name, &[]).await?;
    let answer = metrics.answer(&asked).await?;
    row::read(rule, answer, most)
}

fn micros(length: Duration) -> Micros {
    Micros::try_from(length.as_micros()).unwrap_or(Micros::MAX)
}

fn status(metric: &Metric, standing: &Standing) -> RuleStatus {
    RuleStatus {
        rule: metric.name.clone(),
        summary: metric.header.summary.clone(),
        judged_at: standing.judged_at,
        open: standing.rows.values().filter(|state| state.is_open()).count(),
        error: standing.error.clone(),
    }
}
