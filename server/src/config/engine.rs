//! The engine's settings, from the tree.

use tideline_engine::alert_log::AlertLimits;
use tideline_engine::alerts::AlertsConfig;
use tideline_engine::engine::EngineConfig;
use tideline_engine::erase::EraseConfig;
use tideline_engine::error::{Error, Result};
use tideline_engine::fs::crash::CrashAt;
use tideline_engine::hot::{HotConfig, RedisConfig};
use tideline_engine::lake::LakeConfig;
use tideline_engine::metrics::MetricsConfig;
use tideline_engine::query::{Shop, time_zone};

use super::{Config, Hot, WebhookUrl};

impl Hot {
    /// How far back live windows reach, in minutes.
    pub fn minutes(&self) -> u32 {
        u32::try_from(self.window.0.as_secs() / 60).unwrap_or(u32::MAX)
    }
}

impl Config {
    /// The settings of the engine.
    pub fn engine(&self) -> EngineConfig {
        // File operations take absolute paths only, so that no later change of the working folder misleads them.
        let data_dir = std::path::absolute(&self.data_dir).unwrap_or_else(|_| self.data_dir.clone());
        let mut engine = EngineConfig::new(&data_dir);
        engine.wal.segment_bytes = self.wal.segment_bytes.0;
        engine.wal.max_bytes = self.wal.max_bytes.0;
        engine.flush.bytes = self.flush.bytes.as_usize();
        engine.flush.age = self.flush.age.0;
        engine.flush.max_bytes = self.buffer.max_bytes.as_usize();
        engine.maintain.every = self.lake.maintain_every.0;
        engine.maintain.retention_days = (self.lake.retention_days > 0).then_some(self.lake.retention_days);
        engine.maintain.vacuum_after = self.lake.vacuum_after.0;
        engine.maintain.tidy_every = self.lake.tidy_every.0;
        self.lake(&mut engine.lake);
        engine.hot = self.hot();
        engine.dedup_bytes = self.dedup.max_bytes.as_usize();
        engine.dead_letter_bytes = self.dead_letters.max_bytes.0;
        let days = self.dead_letters.retention_days;
        engine.dead_letter_days = (days > 0).then_some(days);
        engine.inflight_bytes = self.ingest.max_in_flight_bytes.as_usize();
        engine.max_wait = self.ingest.max_wait.0;
        engine.max_event_bytes = self.ingest.max_event_bytes.as_usize();
        engine.max_future = self.ingest.max_future.0;
        engine.erase = EraseConfig {
            remember_days: self.erase.remember_days,
            max_ids: self.erase.max_ids,
            max_wait: self.erase.max_wait.0,
        };
        engine.ip_addresses = self.ingest.ip_addresses;
        let query = &mut engine.query;
        query.shop = self.shop();
        if self.query.threads > 0 {
            query.threads = self.query.threads;
        }
        query.memory_bytes = self.query.memory_bytes.as_usize();
        query.derived_bytes = self.query.derived_bytes.as_usize();
        query.spill_bytes = self.query.spill_bytes.0;
        query.spill_dir = Some(data_dir.join("tmp"));
        query.max_text_bytes = self.query.max_text_bytes.as_usize();
        query.max_operators = self.query.max_operators;
        // The engine's is the most a request may have; the usual time goes with each request.
        query.timeout = self.query.max_timeout.0;
        query.max_concurrent = self.query.max_concurrent;
        query.max_waiting = self.query.max_waiting;
        query.max_wait = self.query.max_wait.0;
        query.slow_after = self.query.slow_after.0;
        engine.metrics = self.metrics();
        engine.alerts = self.alerts();
        engine
    }

    /// Where the shop is.
    pub fn shop(&self) -> Shop {
        let time_zone = time_zone(&self.shop.time_zone).unwrap_or(Shop::default().time_zone);
        Shop { time_zone, currency: self.shop.currency.clone() }
    }

    fn hot(&self) -> HotConfig {
        let redis = (!self.redis_url.is_empty()).then(|| RedisConfig {
            connect_timeout: self.hot.redis_connect_timeout.0,
            response_timeout: self.hot.redis_timeout.0,
            ..RedisConfig::new(self.redis_url.expose())
        });
        // The engine's window begins with a whole minute, and a question reaches back to the middle of one.
        let window = self.hot.minutes() + 1;
        HotConfig { window, max_ids: self.hot.max_ids, max_names: self.hot.max_names, redis }
    }

    /// The settings of fixed metrics.
    pub fn metrics(&self) -> MetricsConfig {
        MetricsConfig {
            dir: (!self.metrics.dir.as_os_str().is_empty()).then(|| self.metrics.dir.clone()),
            reload: self.metrics.reload,
            cache_bytes: self.metrics.cache_bytes.as_usize(),
            answer_bytes: self.metrics.answer_bytes.as_usize(),
            warm_from: self.metrics.warm_from,
            timeout: Some(self.query.timeout.0),
            ..MetricsConfig::default()
        }
    }

    /// The settings of alerts.
    pub fn alerts(&self) -> AlertsConfig {
        let alerts = &self.alerts;
        AlertsConfig {
            enabled: alerts.enabled,
            warm_up: alerts.warm_up.0,
            max_keys: alerts.max_rows,
            limits: AlertLimits { kept: alerts.max_kept, open: alerts.max_open, notices: alerts.max_notices },
            targets: alerts.webhooks.0.iter().map(WebhookUrl::target).collect(),
            ..AlertsConfig::default()
        }
    }

    fn lake(&self, lake: &mut LakeConfig) {
        let days = self.lake.vacuum_after.0.as_secs().div_ceil(86_400);
        lake.vacuum_days = u32::try_from(days).unwrap_or(u32::MAX);
        lake.log_retention_days = self.lake.log_retention_days;
        lake.compaction.target_bytes = self.lake.target_file_bytes.0;
        lake.flush_zstd_level = i32::try_from(self.lake.flush_zstd_level).unwrap_or(i32::MAX);
        lake.compact_zstd_level = i32::try_from(self.lake.merge_zstd_level).unwrap_or(i32::MAX);
        lake.bloom_filters = self.lake.bloom_filters;
        lake.metadata_bytes = self.lake.footer_bytes.as_usize();
    }

    /// The moment at which a test wants the process to end.
    pub fn crash_at(&self) -> Result<Option<CrashAt>> {
        if self.crash_at.is_empty() {
            return Ok(None);
        }
        let parsed = self.crash_at.parse().map(Some);
        parsed.map_err(|why: String| {
            Error::invalid("invalid_config", format!("the setting `crash_at` is refused: {why}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_the_engines_own() {
        let (ours, theirs) = (Config::default().engine(), EngineConfig::new("tideline-data"));
        assert_eq!(format!("{:?}", ours.lake), format!("{:?}", theirs.lake));
        assert_eq!(format!("{:?}", ours.wal), format!("{:?}", theirs.wal));
        assert_eq!((ours.flush, ours.maintain), (theirs.flush, theirs.maintain));
        assert_eq!(
            (ours.dedup_bytes, ours.dead_letter_bytes, ours.inflight_bytes, ours.max_event_bytes),
            (theirs.dedup_bytes, theirs.dead_letter_bytes, theirs.inflight_bytes, theirs.max_event_bytes)
        );
        assert_eq!(ours.dead_letter_days, theirs.dead_letter_days);
        assert_eq!((ours.max_wait, ours.max_future), (theirs.max_wait, theirs.max_future));
        assert_eq!(ours.ip_addresses, theirs.ip_addresses);
        assert_eq!((ours.hot, ours.erase), (theirs.hot, theirs.erase));
        // A server judges; an engine that is opened to be asked something does not.
        assert_eq!(ours.alerts, AlertsConfig { enabled: true, ..theirs.alerts });
        let config: Config = toml::from_str("redis_url = 'redis://cache'").unwrap();
        assert_eq!(config.engine().hot.redis, Some(RedisConfig::new("redis://cache")));
    }
}
