//! What a connection may set and show: a list, because drivers send these. None of them changes what a query may do;
//! `statement_timeout` can only shorten.

use std::collections::BTreeMap;
use std::time::Duration;

use super::errors::Failure;

/// The version clients are told, which decides what they ask the catalogue for.
pub const SERVER_VERSION: &str = concat!("15.0 (Tideline ", env!("CARGO_PKG_VERSION"), ")");
/// The longest value that is kept.
const MAX_VALUE: usize = 200;

/// What a setting takes.
enum Rule {
    /// Anything; it is remembered and changes nothing.
    Any,
    /// Anything; it stays as it is.
    Ignored,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A length of time.
    Timeout,
    /// Nothing.
    Fixed,
}

use Rule::{Any, Fixed, Ignored, OneOf, Timeout};

const ON: Rule = OneOf(&["on", "true", "yes", "1"]);

/// Name, value at the beginning, rule.
const KNOWN: [(&str, &str, Rule); 44] = [
    ("application_name", "", Any),
    ("array_nulls", "on", ON),
    ("backslash_quote", "safe_encoding", Any),
    ("bytea_output", "hex", OneOf(&["hex"])),
    ("client_encoding", "UTF8", OneOf(&["utf8", "utf-8", "unicode"])),
    ("client_min_messages", "notice", Any),
    ("datestyle", "ISO, MDY", Ignored),
    ("default_transaction_deferrable", "off", Any),
    ("default_transaction_isolation", "read committed", Any),
    ("default_transaction_read_only", "on", Ignored),
    ("escape_string_warning", "on", Any),
    ("extra_float_digits", "1", Ignored),
    ("geqo", "on", Any),
    ("idle_in_transaction_session_timeout", "0", Any),
    ("idle_session_timeout", "0", Any),
    ("in_hot_standby", "off", Fixed),
    ("integer_datetimes", "on", Fixed),
    ("intervalstyle", "postgres", OneOf(&["postgres"])),
    ("is_superuser", "off", Fixed),
    ("jit", "off", Any),
    ("lc_collate", "C", Fixed),
    ("lc_ctype", "C.UTF-8", Fixed),
    ("lc_messages", "C", Any),
    ("lc_monetary", "C", Any),
    ("lc_numeric", "C", Any),
    ("lc_time", "C", Any),
    ("lock_timeout", "0", Any),
    ("max_identifier_length", "63", Fixed),
    ("max_index_keys", "32", Fixed),
    ("role", "none", OneOf(&["none"])),
    ("row_security", "on", Any),
    ("search_path", "\"$user\", public", Any),
    ("server_encoding", "UTF8", Fixed),
    ("server_version", SERVER_VERSION, Fixed),
    ("server_version_num", "150000", Fixed),
    ("ssl", "off", Fixed),
    ("standard_conforming_strings", "on", ON),
    ("statement_timeout", "0", Timeout),
    ("synchronous_commit", "on", Any),
    ("timezone", "UTC", Ignored),
    ("transaction_deferrable", "off", Any),
    ("transaction_isolation", "read committed", Any),
    ("transaction_read_only", "on", Ignored),
    ("work_mem", "4MB", Any),
];

/// Those a client is told of at the beginning, and when they change, by the name it knows them by.
const REPORTED: [(&str, &str); 12] = [
    ("application_name", "application_name"),
    ("client_encoding", "client_encoding"),
    ("datestyle", "DateStyle"),
    ("default_transaction_read_only", "default_transaction_read_only"),
    ("in_hot_standby", "in_hot_standby"),
    ("integer_datetimes", "integer_datetimes"),
    ("intervalstyle", "IntervalStyle"),
    ("is_superuser", "is_superuser"),
    ("server_encoding", "server_encoding"),
    ("server_version", "server_version"),
    ("standard_conforming_strings", "standard_conforming_strings"),
    ("timezone", "TimeZone"),
];

/// The settings of one connection.
#[derive(Debug, Default)]
pub struct Settings {
    changed: BTreeMap<&'static str, String>,
    timeout: Option<Duration>,
}

fn known(name: &str) -> Option<&'static (&'static str, &'static str, Rule)> {
    KNOWN.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> Failure {
    let shown: String = name.chars().take(60).collect();
    Failure::error("42704", format!("there is no setting \"{shown}\""))
}

impl Settings {
    /// Sets one. `true` when the client is to be told of its new value.
    ///
    /// # Errors
    /// When there is none of that name, or it does not take that value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<Option<(&'static str, String)>, Failure> {
        let (name, default, rule) = known(name).ok_or_else(|| unknown(name))?;
        // Some put quotes around what is no text of SQL, too.
        let value = value.trim_matches('\'');
        let value = if value.eq_ignore_ascii_case("default") { default } else { value };
        let refused = |takes: &str| {
            let shown: String = value.chars().take(60).collect();
            Failure::error("22023", format!("{name} cannot be \"{shown}\" here: it takes {takes}"))
        };
        match rule {
            Fixed => return Err(Failure::error("55P02", format!("{name} cannot be changed"))),
            Ignored => return Ok(None),
            OneOf(values) if values.iter().any(|known| known.eq_ignore_ascii_case(value)) => {}
            OneOf(values) => return Err(refused(&values.join(", "))),
            Timeout => {
                let time = milliseconds(value).ok_or_else(|| refused("a time like 5000, 5s or 1min"))?;
                self.timeout = (time > 0).then(|| Duration::from_millis(time));
            }
            Any if value.len() > MAX_VALUE => return Err(refused("at most 200 bytes")),
            Any => {}
        }
        // A client that asked for UTF-8 by another name is told the one there is.
        let kept = if matches!(rule, OneOf(_)) { (*default).to_owned() } else { value.to_owned() };
        self.changed.insert(name, kept.clone());
        Ok(REPORTED.iter().find(|(known, _)| known == name).map(|(_, shown)| (*shown, kept)))
    }

    /// Back to what it was at the beginning.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// One's value.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn show(&self, name: &str) -> Result<String, Failure> {
        let (name, default, _) = known(name).ok_or_else(|| unknown(name))?;
        Ok(self.changed.get(name).cloned().unwrap_or_else(|| (*default).to_owned()))
    }

    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, String)> {
        let value = |name: &'static str, default: &'static str| {
            self.changed.get(name).cloned().unwrap_or_else(|| default.to_owned())
        };
        KNOWN.iter().map(move |(name, default, _)| (*name, value(name, default)))
    }

    /// What a client is told at the beginning.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, String)> {
        REPORTED.iter().map(|(name, shown)| (*shown, self.show(name).unwrap_or_default()))
    }

    /// How long a statement may take, where the client wants less than the server would give.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

/// What a setting is at the beginning, for the function that tells.
pub fn default_of(name: &str) -> Option<&'static str> {
    known(name).map(|(_, default, _)| *default)
}

/// What each setting is at the beginning.
pub fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    KNOWN.iter().map(|(name, default, _)| (*name, *default))
}

/// `5000`, `5s`, `500ms`, `1min`.
fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drivers_send_is_taken_and_what_would_change_answers_is_not() {
        let mut settings = Settings::default();
        assert_eq!(settings.set("extra_float_digits", "3").unwrap(), None);
        assert_eq!(settings.set("Client_Encoding", "UTF-8").unwrap(), Some(("client_encoding", "UTF8".to_owned())));
        assert!(settings.set("client_encoding", "'utf-8'").is_ok());
        assert_eq!(settings.set("client_encoding", "LATIN1").unwrap_err().state, "22023");
        assert_eq!(settings.set("standard_conforming_strings", "off").unwrap_err().state, "22023");
        assert_eq!(settings.set("server_version", "1").unwrap_err().state, "55P02");
        assert_eq!(settings.set("datafusion.execution.batch_size", "1").unwrap_err().state, "42704");
        settings.set("application_name", "psql").unwrap();
        assert_eq!(settings.show("application_name").unwrap(), "psql");
        settings.reset();
        assert_eq!(settings.show("application_name").unwrap(), "");
        assert!(KNOWN.is_sorted_by_key(|(name, ..)| *name));
    }

    #[test]
    fn a_timeout_has_units_and_zero_is_none() {
        let mut settings = Settings::default();
        for (text, expected) in [("250", Some(250)), ("5s", Some(5_000)), ("1min", Some(60_000)), ("0", None)] {
            settings.set("statement_timeout", text).unwrap();
            assert_eq!(settings.timeout(), expected.map(Duration::from_millis), "{text}");
        }
        assert_eq!(settings.set("statement_timeout", "soon").unwrap_err().state, "22023");
        assert_eq!(settings.set("statement_timeout", "99999999999999999999d").unwrap_err().state, "22023");
    }
}
