//! The file behind the log: JSON, with a format number, and the limits on what it holds.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Alert, AlertLimits, Notice};
use crate::error::{Error, Kind, Result};
use crate::fs::Fs;

/// What this build writes and reads.
const FORMAT: u32 = 1;

/// All that is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    format: u32,
    /// Counts changes.
    pub revision: u64,
    /// Closed alerts that were dropped to make room.
    pub dropped: u64,
    /// Notices that were.
    pub notices_dropped: u64,
    /// By the moment they opened.
    #[serde(with = "shared")]
    pub alerts: Vec<Arc<Alert>>,
    /// In the order they are to be sent.
    pub notices: Vec<Notice>,
}

impl Default for Contents {
    fn default() -> Self {
        Self { format: FORMAT, revision: 0, dropped: 0, notices_dropped: 0, alerts: Vec::new(), notices: Vec::new() }
    }
}

impl Contents {
    /// Drops what there is no room for: the oldest closed alerts; notices that were given up, then the oldest.
    pub(super) fn fit(&mut self, limits: &AlertLimits) {
        while self.alerts.len() > limits.kept
            && let Some(oldest) = self.alerts.iter().position(|alert| !alert.is_open())
        {
            self.alerts.remove(oldest);
            self.dropped += 1;
        }
        while self.notices.len() > limits.notices {
            let oldest = self.notices.iter().position(|notice| notice.dead).unwrap_or(0);
            let gone = self.notices.remove(oldest);
            self.notices_dropped += 1;
            if !gone.dead {
                tracing::warn!(notice = gone.id, "a notice that was not sent yet was dropped: too many are waiting");
            }
        }
    }
}

/// What the file holds; nothing where there is none.
pub(super) fn read(fs: &dyn Fs, path: &Path) -> Result<Contents> {
    let damaged = |why: String| {
        Error::corrupt(format!("{} cannot be read: {why}", path.display()))
            .with_hint("restore it from a backup, or move it away: alerts that are open then open anew")
    };
    let bytes = match fs.read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Contents::default()),
        Err(e) => return Err(damaged(e.to_string())),
    };
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    if let Some(format) = value.get("format").and_then(serde_json::Value::as_u64)
        && format > u64::from(FORMAT)
    {
        let message = format!("{} has format {format}, this build reads up to {FORMAT}", path.display());
        return Err(Error::new(Kind::Invalid, "newer_format", message).with_hint("use a newer tideline"));
    }
    serde_json::from_value(value).map_err(|e| damaged(e.to_string()))
}

/// Times as RFC 3339 text with milliseconds: what they are is whole milliseconds.
pub(super) mod time {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::clock::Micros;

    pub fn text(time: Micros) -> String {
        let format = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        chrono::DateTime::from_timestamp_micros(time).map_or_else(|| time.to_string(), format)
    }

    pub fn serialize<S: Serializer>(time: &Micros, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Micros, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = chrono::DateTime::parse_from_rfc3339(&text).map_err(de::Error::custom)?;
        Ok(time.timestamp_micros())
    }
}

/// [`time`], or null.
pub(super) mod time_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::time;
    use crate::clock::Micros;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Time(#[serde(with = "time")] Micros);

    pub fn serialize<S: Serializer>(time: &Option<Micros>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(Time).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Micros>, D::Error> {
        Ok(Option::<Time>::deserialize(deserializer)?.map(|time| time.0))
    }
}

/// Values behind `Arc`s, written as what they are.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(values: &[Arc<T>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(AsRef::as_ref))
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Arc<T>>, D::Error> {
        Ok(Vec::<T>::deserialize(deserializer)?.into_iter().map(Arc::new).collect())
    }
}
