//! Alerts as they are listed, over HTTP and on the command line.

use std::sync::Arc;

use serde_json::{Value, json};
use tideline_engine::alert_log::{Alert, Notice};
use tideline_engine::alerts::Alerts;
use tideline_engine::error::{Error, Result};
use tideline_engine::query::encode::timestamp_text;

use crate::config::WebhookUrl;
use crate::config::load::nearest;

/// How many are listed where nobody says.
pub const PAGE: usize = 100;
/// The most that are listed.
pub const MAX_PAGE: usize = 1_000;

/// Which alerts to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Which {
    /// Those that are open.
    Open,
    /// Those that are not.
    Closed,
    /// Both.
    #[default]
    All,
}

impl Which {
    const NAMES: [(&'static str, Self); 3] = [("open", Self::Open), ("closed", Self::Closed), ("all", Self::All)];

    /// Reads `open`, `closed` or `all`.
    ///
    /// # Errors
    /// `invalid_parameter`, with the nearest name.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some((_, which)) = Self::NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*which);
        }
        let shown: String = text.chars().take(60).collect();
        let mut error = Error::invalid("invalid_parameter", format!("`status` is open, closed or all, not `{shown}`"));
        error.did_you_mean = nearest(text, Self::NAMES.iter().map(|(name, _)| *name)).map(str::to_owned);
        Err(error)
    }

    fn takes(self, alert: &Alert) -> bool {
        match self {
            Self::Open => alert.is_open(),
            Self::Closed => !alert.is_open(),
            Self::All => true,
        }
    }
}

/// Alerts, the open ones first and then the latest; how the rules are; notices that were given up.
pub fn listing(alerts: &Alerts, receivers: &[WebhookUrl], which: Which, limit: usize) -> Value {
    let log = alerts.log();
    let mut all: Vec<Arc<Alert>> = log.all().into_iter().rev().filter(|alert| which.takes(alert)).collect();
    let total = all.len();
    all.sort_by_key(|alert| !alert.is_open());
    let shown: Vec<&Alert> = all.iter().take(limit).map(AsRef::as_ref).collect();
    let rules: Vec<Value> = alerts
        .status()
        .into_iter()
        .map(|status| {
            let judged_at = status.judged_at.map(timestamp_text);
            let mut rule = json!(status);
            rule["judged_at"] = json!(judged_at);
            rule
        })
        .collect();
    let given_up: Vec<Value> = log.dead_notices().iter().take(limit).map(|n| notice(n, receivers)).collect();
    json!({ "alerts": shown, "total": total, "counts": log.counts(), "rules": rules, "notices_given_up": given_up })
}

fn notice(notice: &Notice, receivers: &[WebhookUrl]) -> Value {
    let receiver = receivers.iter().find(|url| url.target() == notice.target).map(ToString::to_string);
    json!({
        "id": notice.id,
        "event": notice.event.name(),
        "receiver": receiver,
        "created_at": timestamp_text(notice.created_at),
        "attempts": notice.attempts,
        "error": notice.error,
    })
}
