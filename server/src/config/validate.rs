//! The ranges of settings and the relations between them.

use std::time::Duration;

use axum::http::Uri;

use super::{ByteSize, Config, Period, Wrong};

/// One minute less than the engine has room for: see `Config::engine`.
const LONGEST_WINDOW: Period = Period::secs((tideline_engine::hot::MAX_WINDOW as u64 - 1) * 60);

/// Receivers of notices, each with a task of its own.
const MAX_WEBHOOKS: usize = 20;

impl Config {
    /// Checks every range and every relation between settings.
    pub fn validate(&self) -> Result<(), Wrong> {
        self.listen_addr()?;
        self.postgres_addr()?;
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
            within(key, value, Period(Duration::from_millis(10)), Period::secs(86_400))?;
        }
        within("http.max_uri_bytes", h.max_uri_bytes, ByteSize::kib(1), ByteSize::mib(1))?;
        within("http.drain_timeout", h.drain_timeout, Period::secs(0), Period::secs(3_600))?;
        within("http.close_timeout", h.close_timeout, Period::secs(1), Period::secs(3_600))?;
        self.validate_storage()?;
        if tideline_engine::query::time_zone(&self.shop.time_zone).is_none() {
            let message = format!("`{}` is not a time zone", self.shop.time_zone);
            return wrong("shop.time_zone", message, "use a name of the IANA database, like Europe/Berlin");
        }
        let currency = &self.shop.currency;
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return wrong(
                "shop.currency",
                format!("`{currency}` is not a currency"),
                "write its ISO 4217 code, like EUR",
            );
        }
        self.validate_clients()?;
        self.validate_oidc()?;
        self.validate_wire()?;
        self.validate_live()?;
        let m = &self.metrics;
        within("metrics.cache_bytes", m.cache_bytes, ByteSize(0), ByteSize::gib(64))?;
        within("metrics.answer_bytes", m.answer_bytes, ByteSize::kib(1), ByteSize::gib(4))?;
        self.validate_alerts()?;
        let q = &self.query;
        within("query.threads", q.threads, 0, 1_024)?;
        within("query.memory_bytes", q.memory_bytes, ByteSize::mib(32), ByteSize::gib(4_096))?;
        within("query.max_concurrent", q.max_concurrent, 1, 10_000)?;
        within("query.max_waiting", q.max_waiting, 0, 100_000)?;
        within("query.max_wait", q.max_wait, Period::secs(0), Period::secs(600))?;
        within("query.slow_after", q.slow_after, Period::secs(0), Period::secs(86_400))?;
        within("query.max_text_bytes", q.max_text_bytes, ByteSize(64), ByteSize::mib(1))?;
        within("query.max_operators", q.max_operators, 10, 2_000)?;
        within("query.json_rows", q.json_rows, 1, 10_000_000)?;
        within("query.json_bytes", q.json_bytes, ByteSize::kib(64), ByteSize::gib(4))?;
        at_least("query.max_timeout", q.max_timeout, "query.timeout", q.timeout)
    }

    fn validate_wire(&self) -> Result<(), Wrong> {
        let (tls, p) = (&self.tls, &self.postgres);
        if tls.is_on() == tls.key_file.as_os_str().is_empty() {
            let key = if tls.is_on() { "tls.key_file" } else { "tls.cert_file" };
            return wrong(key, "it is empty", "name both files, or neither: tls.cert_file and tls.key_file");
        }
        if p.require_tls && !tls.is_on() {
            let hint = "set tls.cert_file and tls.key_file, or leave it false";
            return wrong("postgres.require_tls", "there is no certificate", hint);
        }
        let (shortest, longest) = (Period(Duration::from_millis(10)), Period::secs(7 * 86_400));
        within("tls.reload_every", tls.reload_every, shortest, longest)?;
        within("postgres.max_connections", p.max_connections, 1, 100_000)?;
        within("postgres.startup_timeout", p.startup_timeout, shortest, Period::secs(600))?;
        within("postgres.idle_timeout", p.idle_timeout, shortest, longest)?;
        within("postgres.stall_timeout", p.stall_timeout, shortest, Period::secs(3_600))?;
        within("postgres.max_message_bytes", p.max_message_bytes, ByteSize::kib(16), ByteSize::mib(256))?;
        within("postgres.max_statements", p.max_statements, 1, 100_000)
    }

    fn validate_clients(&self) -> Result<(), Wrong> {
        within("session.lifetime", self.session.lifetime, Period::secs(60), Period::secs(30 * 86_400))?;
        within("session.max_sessions", self.session.max_sessions, 1, 1_000_000)?;
        within("rate_limit.window", self.rate_limit.window, Period::secs(1), Period::secs(86_400))?;
        let redis_timeout = self.rate_limit.redis_timeout;
        within("rate_limit.redis_timeout", redis_timeout, Period(Duration::from_millis(1)), Period::secs(60))?;
        within("rate_limit.max_callers", self.rate_limit.max_callers, 100, 10_000_000)?;
        if let Some(origin) = self.http.cors_origins.0.iter().find(|origin| !is_origin(origin)) {
            let message = format!("`{origin}` is not an origin");
            return wrong("http.cors_origins", message, "write it like https://shop.example, without a path");
        }
        if !self.redis_url.is_empty() && redis::Client::open(self.redis_url.expose()).is_err() {
            return wrong("redis_url", "it is not a Redis URL", "write it like redis://:password@host:6379/0");
        }
        Ok(())
    }

    fn validate_oidc(&self) -> Result<(), Wrong> {
        let o = &self.oidc;
        within("oidc.timeout", o.timeout, Period(Duration::from_millis(10)), Period::secs(60))?;
        if !o.is_on() {
            let is_half = !o.client_id.is_empty() || !o.allow_read.0.is_empty() || !o.allow_admin.0.is_empty();
            let hint = "name the provider, like https://login.example, or leave out the other settings of oidc";
            return if is_half { wrong("oidc.issuer", "it is empty", hint) } else { Ok(()) };
        }
        if !is_web_address(&o.issuer) || o.issuer.contains(['?', '#']) {
            let hint =
                "write it as the provider does, like https://login.example/realms/shop; http is for this machine only";
            return wrong("oidc.issuer", format!("`{}` is not an issuer", o.issuer), hint);
        }
        if o.client_id.is_empty() {
            return wrong(
                "oidc.client_id",
                "it is empty",
                "register this server with the provider, which gives it one",
            );
        }
        if o.client_secret.expose().contains("://") {
            return wrong("oidc.client_secret", "it looks like an address", "use the secret that the provider gave");
        }
        if o.public_url == "*" || !is_origin(&o.public_url) || !is_web_address(&o.public_url) {
            let message = format!("`{}` is not where browsers can reach this server safely", o.public_url);
            let hint = "write it like https://stats.shop.example, without a path; http is for this machine only";
            return wrong("oidc.public_url", message, hint);
        }
        if !o.scopes.split_ascii_whitespace().any(|scope| scope == "openid") {
            return wrong("oidc.scopes", "`openid` is missing", "without it the provider does not say who somebody is");
        }
        if o.allow_read.0.is_empty() && o.allow_admin.0.is_empty() {
            let hint = "name somebody, like @shop.example or group:analysts, here or in oidc.allow_admin";
            return wrong("oidc.allow_read", "nobody would be let in", hint);
        }
        Ok(())
    }

    fn validate_live(&self) -> Result<(), Wrong> {
        let (hot, live) = (&self.hot, &self.live);
        within("hot.window", hot.window, Period::secs(60), LONGEST_WINDOW)?;
        if !hot.window.0.as_secs().is_multiple_of(60) || hot.window.0.subsec_millis() > 0 {
            return wrong("hot.window", format!("`{}` is not whole minutes", hot.window), "write it like 60m");
        }
        within("hot.late_after", hot.late_after, Period::secs(0), Period::secs(7 * 86_400))?;
        within("hot.max_ids", hot.max_ids, 100, 100_000_000)?;
        within("hot.max_names", hot.max_names, 10, 10_000_000)?;
        let (shortest, longest) = (Period(Duration::from_millis(10)), Period::secs(60));
        within("hot.redis_connect_timeout", hot.redis_connect_timeout, shortest, longest)?;
        within("hot.redis_timeout", hot.redis_timeout, shortest, longest)?;
        within("live.every", live.every, Period(Duration::from_millis(10)), Period::secs(3_600))?;
        within("live.max_listeners", live.max_listeners, 0, 1_000_000)?;
        within("live.heartbeat", live.heartbeat, Period(Duration::from_millis(10)), Period::secs(3_600))?;
        within("live.max_message_bytes", live.max_message_bytes, ByteSize(1), ByteSize::mib(1))
    }

    fn validate_alerts(&self) -> Result<(), Wrong> {
        let a = &self.alerts;
        within("alerts.warm_up", a.warm_up, Period::secs(0), Period::secs(86_400))?;
        within("alerts.max_kept", a.max_kept, 1, 100_000)?;
        within("alerts.max_open", a.max_open, 1, 10_000)?;
        at_least("alerts.max_kept", a.max_kept, "alerts.max_open", a.max_open)?;
        within("alerts.max_rows", a.max_rows, 1, 100_000)?;
        within("alerts.webhook_timeout", a.webhook_timeout, Period(Duration::from_millis(10)), Period::secs(300))?;
        within("alerts.webhook_attempts", a.webhook_attempts, 1, 1_000)?;
        within("alerts.webhook_retry", a.webhook_retry, Period(Duration::from_millis(1)), Period::secs(86_400))?;
        at_least("alerts.webhook_max_retry", a.webhook_max_retry, "alerts.webhook_retry", a.webhook_retry)?;
        within("alerts.webhook_max_retry", a.webhook_max_retry, a.webhook_retry, Period::secs(86_400))?;
        within("alerts.max_notices", a.max_notices, 1, 100_000)?;
        if a.webhooks.0.len() > MAX_WEBHOOKS {
            let message = format!("{} addresses are more than {MAX_WEBHOOKS}", a.webhooks.0.len());
            return wrong("alerts.webhooks", message, "let one receiver pass notices on");
        }
        let secret = a.webhook_secret.expose();
        if !a.webhooks.0.is_empty() && secret.len() < 16 {
            let hint = "set alerts.webhook_secret to 16 random characters or more, which the receivers know too";
            return wrong("alerts.webhook_secret", "notices are signed, and it is too short for that", hint);
        }
        if secret.contains("://") {
            return wrong("alerts.webhook_secret", "it looks like an address", "use random letters and digits");
        }
        Ok(())
    }

    fn validate_storage(&self) -> Result<(), Wrong> {
        let i = &self.ingest;
        within("ingest.max_event_bytes", i.max_event_bytes, ByteSize::kib(1), ByteSize::mib(16))?;
        within("ingest.max_body_bytes", i.max_body_bytes, ByteSize::kib(1), ByteSize::gib(1))?;
        within("ingest.max_keyless_body_bytes", i.max_keyless_body_bytes, ByteSize::kib(1), ByteSize::gib(1))?;
        within("ingest.max_decoded_bytes", i.max_decoded_bytes, ByteSize::kib(1), ByteSize::gib(2))?;
        within("ingest.max_ratio", i.max_ratio, 2, 100_000)?;
        within("ingest.max_wait", i.max_wait, Period::secs(0), Period::secs(60))?;
        within("ingest.max_future", i.max_future, Period::secs(0), Period::secs(300))?;
        at_least("ingest.max_decoded_bytes", i.max_decoded_bytes, "ingest.max_body_bytes", i.max_body_bytes)?;
        at_least("ingest.max_in_flight_bytes", i.max_in_flight_bytes, "ingest.max_decoded_bytes", i.max_decoded_bytes)?;
        within("wal.segment_bytes", self.wal.segment_bytes, ByteSize::kib(64), ByteSize::gib(4))?;
        at_least("wal.max_bytes", self.wal.max_bytes, "wal.segment_bytes", self.wal.segment_bytes)?;
        within("dedup.max_bytes", self.dedup.max_bytes, ByteSize::mib(1), ByteSize::gib(1_024))?;
        within("flush.bytes", self.flush.bytes, ByteSize::kib(64), ByteSize::gib(64))?;
        at_least("buffer.max_bytes", self.buffer.max_bytes, "flush.bytes", self.flush.bytes)?;
        within("lake.retention_days", self.lake.retention_days, 0, 36_500)?;
        within("lake.maintain_every", self.lake.maintain_every, Period::secs(0), Period::secs(86_400))?;
        within("lake.tidy_every", self.lake.tidy_every, Period::secs(1), Period::secs(30 * 86_400))?;
        within("lake.log_retention_days", self.lake.log_retention_days, 1, 3_650)?;
        within("lake.target_file_bytes", self.lake.target_file_bytes, ByteSize::mib(1), ByteSize::gib(4))?;
        within("lake.flush_zstd_level", self.lake.flush_zstd_level, 1, 22)?;
        within("lake.merge_zstd_level", self.lake.merge_zstd_level, 1, 22)?;
        within("lake.footer_bytes", self.lake.footer_bytes, ByteSize::mib(1), ByteSize::gib(16))?;
        within("lake.vacuum_after", self.lake.vacuum_after, Period::secs(0), Period::secs(3_650 * 86_400))?;
        within("backup.max_time", self.backup.max_time, Period::secs(1), Period::secs(30 * 86_400))?;
        within("erase.remember_days", self.erase.remember_days, 1, 36_500)?;
        within("erase.max_ids", self.erase.max_ids, 1, 10_000_000)?;
        within("erase.max_wait", self.erase.max_wait, Period::secs(0), Period::secs(86_400))?;
        within("dead_letters.retention_days", self.dead_letters.retention_days, 0, 36_500)?;
        within("dead_letters.max_bytes", self.dead_letters.max_bytes, ByteSize::kib(64), ByteSize::gib(1_024))
    }
}

/// Whether text is what a browser puts into `Origin`: scheme, host and port, nothing after them.
fn is_origin(text: &str) -> bool {
    let bare = |uri: &Uri| {
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        is_web && uri.path() == "/" && uri.query().is_none() && !text.ends_with('/') && !text.contains('@')
    };
    text == "*" || text.parse::<Uri>().is_ok_and(|uri| bare(&uri))
}

/// Whether text is an address that only its owner can answer for: https, or http on this machine.
pub fn is_web_address(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    let is_bare = url.username().is_empty() && url.password().is_none();
    is_bare && (url.scheme() == "https" || (url.scheme() == "http" && is_here))
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
    use crate::config::List;

    #[test]
    fn single_sign_on_is_set_up_as_a_whole() {
        let set = [
            ("oidc.issuer", "https://login.example"),
            ("oidc.client_id", "tideline"),
            ("oidc.public_url", "https://stats.shop.example"),
            ("oidc.allow_read", "@shop.example"),
        ];
        let load = |changes: &[(&str, &str)]| {
            let mut layers = crate::config::Layers::default();
            set.iter().chain(changes).for_each(|(key, value)| layers.flag("--set", *key, *value));
            layers.load().map(|_| ()).map_err(|error| error.message)
        };
        assert_eq!(load(&[]), Ok(()));
        for (key, value) in [
            ("oidc.issuer", ""),
            ("oidc.issuer", "http://login.example"),
            ("oidc.issuer", "https://login.example/?tenant=1"),
            ("oidc.client_id", ""),
            ("oidc.client_secret", "https://hunter2"),
            ("oidc.public_url", ""),
            ("oidc.public_url", "*"),
            ("oidc.public_url", "http://stats.shop.example"),
            ("oidc.public_url", "https://stats.shop.example/"),
            ("oidc.scopes", "profile openid2"),
            ("oidc.allow_read", ""),
            ("oidc.allow_read", "everybody"),
        ] {
            let error = load(&[(key, value)]).unwrap_err();
            assert!(error.contains(key) && !error.contains("hunter2"), "{key} = {value}: {error}");
        }
    }

    #[test]
    fn ranges_and_relations_are_checked() {
        let mut config = Config::default();
        config.wal.max_bytes = ByteSize::mib(1);
        let wrong = config.validate().unwrap_err();
        assert_eq!(wrong.key, "wal.max_bytes");
        assert!(wrong.message.contains("1MiB") && wrong.hint.contains("16MiB"), "{wrong:?}");
        for (text, good) in [
            ("https://shop.example", true),
            ("http://localhost:3000", true),
            ("*", true),
            ("shop.example", false),
            ("https://shop.example/", false),
            ("https://shop.example/path", false),
            ("ftp://shop.example", false),
            ("https://me@shop.example", false),
        ] {
            assert_eq!(is_origin(text), good, "{text}");
        }
        let mut config = Config::default();
        config.http.cors_origins = List(vec!["shop.example".to_owned()]);
        assert_eq!(config.validate().unwrap_err().key, "http.cors_origins");
        for (text, good) in [
            ("https://login.example/realms/shop", true),
            ("http://localhost:8080", true),
            ("http://127.0.0.1:9/x", true),
            ("http://[::1]:9", true),
            ("http://login.example", false),
            ("http://localhost.evil.example", false),
            ("https://me:hunter2@login.example", false),
            ("ftp://localhost", false),
            ("login.example", false),
            ("", false),
        ] {
            assert_eq!(is_web_address(text), good, "{text}");
        }
        let config = Config { listen: "nowhere".to_owned(), ..Config::default() };
        assert_eq!(config.validate().unwrap_err().key, "listen");
    }
}
