//! The `[alert]` table of a metric's header: when a row of its answer is an alert, and when it no longer is.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize, Serializer};
use toml::Spanned;

use super::header::Comments;
use super::params::{self, Param};
use crate::alert_log::Severity;
use crate::error::{Error, Position, Result};
use crate::query::nearest;

/// How often a rule is judged where it does not say.
const EVERY: Duration = Duration::from_secs(30);
/// After how long without a value an open alert closes, where a rule does not say.
const LAPSE: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// The longest message, before its columns are filled in, in characters.
const MAX_MESSAGE: usize = 500;

/// How a value is compared with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// `< 1`: what a value must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    comparison: Comparison,
    limit: f64,
}

impl Condition {
    /// Reads `< 1`, `<= 1`, `> 1` or `>= 1`.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (comparison, rest) = [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Below),
            (">", Comparison::Above),
        ]
        .into_iter()
        .find_map(|(sign, comparison)| Some((comparison, text.strip_prefix(sign)?)))?;
        let limit: f64 = rest.trim().parse().ok()?;
        limit.is_finite().then_some(Self { comparison, limit })
    }

    /// Whether a value is so.
    pub fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Below => value < self.limit,
            Comparison::AtMost => value <= self.limit,
            Comparison::Above => value > self.limit,
            Comparison::AtLeast => value >= self.limit,
        }
    }

    /// What values are compared with.
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// True of exactly those values that this one is not true of.
    fn opposite(self) -> Self {
        let comparison = match self.comparison {
            Comparison::Below => Comparison::AtLeast,
            Comparison::AtMost => Comparison::Above,
            Comparison::Above => Comparison::AtMost,
            Comparison::AtLeast => Comparison::Below,
        };
        Self { comparison, ..self }
    }

    /// Whether there is a value that both are true of.
    fn overlaps(&self, other: &Self) -> bool {
        let up = |c: &Self| matches!(c.comparison, Comparison::Above | Comparison::AtLeast);
        let (low, high) = match (up(self), up(other)) {
            (true, false) => (self, other),
            (false, true) => (other, self),
            _ => return true,
        };
        low.limit < high.limit || (low.limit == high.limit && low.holds(low.limit) && high.holds(high.limit))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.comparison {
            Comparison::Below => "<",
            Comparison::AtMost => "<=",
            Comparison::Above => ">",
            Comparison::AtLeast => ">=",
        };
        write!(f, "{sign} {}", self.limit)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// What stands in this column.
    Column(String),
}

/// When a metric's rows are alerts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rule {
    /// The column that is judged; null is not judged.
    pub value: String,
    /// The column whose values have an alert each; without it the answer is one row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it opens.
    pub open: Condition,
    /// When it closes.
    pub close: Condition,
    /// How long `open` must hold before it opens.
    #[serde(rename = "for_seconds", serialize_with = "seconds")]
    pub hold: Duration,
    /// How long `close` must hold before it closes.
    #[serde(rename = "keep_seconds", serialize_with = "seconds")]
    pub keep: Duration,
    /// How often it is judged.
    #[serde(rename = "every_seconds", serialize_with = "seconds")]
    pub every: Duration,
    /// After how long without a value an open alert closes.
    #[serde(rename = "lapse_seconds", serialize_with = "seconds")]
    pub lapse: Duration,
    /// How bad it is.
    pub severity: Severity,
    /// What it says.
    #[serde(serialize_with = "template")]
    pub message: Vec<Part>,
    /// Columns it reads, and where the header names them.
    #[serde(skip)]
    pub(super) columns: Vec<(String, Position)>,
    /// Where the table stands.
    #[serde(skip)]
    pub(super) place: Position,
}

fn seconds<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(length.as_secs_f64())
}

fn template<S: Serializer>(parts: &[Part], serializer: S) -> Result<S::Ok, S::Error> {
    let text: String = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Column(name) => format!("{{{name}}}"),
        })
        .collect();
    serializer.serialize_str(&text)
}

/// The table as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    value: Spanned<String>,
    key: Option<Spanned<String>>,
    open: Spanned<String>,
    close: Option<Spanned<String>>,
    r#for: Option<Spanned<String>>,
    keep: Option<Spanned<String>>,
    every: Option<Spanned<String>>,
    lapse: Option<Spanned<String>>,
    #[serde(default)]
    severity: Severity,
    message: Spanned<String>,
}

/// Checks the table.
pub(super) fn rule(comments: &Comments, raw: Spanned<RawRule>) -> Result<Rule> {
    let place = comments.position(&raw.span());
    let raw = raw.into_inner();
    let condition = |text: &Spanned<String>| {
        Condition::parse(text.get_ref()).ok_or_else(|| {
            comments.wrong(&text.span(), "a condition is written like \"< 1\": <, <=, > or >=, and a number")
        })
    };
    let open = condition(&raw.open)?;
    let close = raw.close.as_ref().map_or(Ok(open.opposite()), condition)?;
    if open.overlaps(&close) {
        let at = raw.close.as_ref().map_or(raw.open.span(), Spanned::span);
        let what = format!("a value can be `{open}` and `{close}` at once: an alert would open and close for ever");
        return Err(comments.wrong(&at, what));
    }
    let length = |text: &Option<Spanned<String>>, otherwise: Duration, least: Duration, most: Duration| {
        let Some(text) = text else { return Ok(otherwise) };
        let found = params::duration(text.get_ref()).and_then(|micros| u64::try_from(micros).ok());
        found.map(Duration::from_micros).filter(|length| (least..=most).contains(length)).ok_or_else(|| {
            let (least, most) = (least.as_secs(), most.as_secs());
            comments.wrong(&text.span(), format!("it is a time from {least} to {most} seconds, written like \"2m\""))
        })
    };
    let mut columns = Vec::new();
    let mut column = |name: &str, at: &Range<usize>| columns.push((name.to_owned(), comments.position(at)));
    column(raw.value.get_ref(), &raw.value.span());
    if let Some(key) = &raw.key {
        column(key.get_ref(), &key.span());
    }
    let text = raw.message.get_ref();
    let parts = parts(text).filter(|parts| !parts.is_empty() && text.chars().count() <= MAX_MESSAGE);
    let message = parts.ok_or_else(|| {
        let what = format!("a message is up to {MAX_MESSAGE} characters of text with columns in braces: {{orders}}");
        comments.wrong(&raw.message.span(), what)
    })?;
    for part in &message {
        if let Part::Column(name) = part {
            column(name, &raw.message.span());
        }
    }
    Ok(Rule {
        open,
        close,
        hold: length(&raw.r#for, Duration::ZERO, Duration::ZERO, DAY)?,
        keep: length(&raw.keep, Duration::ZERO, Duration::ZERO, DAY)?,
        every: length(&raw.every, EVERY, SECOND, DAY)?,
        lapse: length(&raw.lapse, LAPSE, SECOND, 30 * DAY)?,
        severity: raw.severity,
        value: raw.value.into_inner(),
        key: raw.key.map(Spanned::into_inner),
        message,
        columns,
        place,
    })
}

impl Rule {
    /// One for tests of what is done with rules.
    #[cfg(test)]
    pub(crate) fn of(open: &str, close: &str, hold: Duration, keep: Duration, lapse: Duration) -> Self {
        let condition = |text| Condition::parse(text).unwrap();
        Self {
            value: "n".to_owned(),
            key: None,
            open: condition(open),
            close: condition(close),
            hold,
            keep,
            every: EVERY,
            lapse,
            severity: Severity::default(),
            message: Vec::new(),
            columns: Vec::new(),
            place: Position { line: 1, column: 1 },
        }
    }

    /// Checks it against the columns of its query, and that the query can be asked without being told anything.
    pub(super) fn check(&self, schema: &Schema, params: &[Param]) -> Result<()> {
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        for (name, place) in &self.columns {
            let Ok(field) = schema.field_with_name(name) else {
                let mut error = Error::invalid("invalid_header", format!("there is no column {name} for the alert"));
                error.did_you_mean = nearest(name, names());
                return Err(error.with_position(*place));
            };
            if *name == self.value && !field.data_type().is_numeric() {
                let message = format!("the column {name} is not a number: an alert compares numbers");
                return Err(Error::invalid("invalid_header", message).with_position(*place));
            }
        }
        match params.iter().find(|param| param.required) {
            Some(param) => {
                let message = format!("the parameter {} has no default: nobody gives an alert's query any", param.name);
                Err(Error::invalid("invalid_header", message).with_position(self.place))
            }
            None => Ok(()),
        }
    }
}

/// `No order for {minutes} minutes` in its parts; `None` where a brace is alone.
fn parts(text: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let at = rest.find(['{', '}']).unwrap_or(rest.len());
        let (plain, tail) = rest.split_at(at);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.to_owned()));
        }
        if tail.is_empty() {
            break;
        }
        let (name, after) = tail.strip_prefix('{')?.split_once('}')?;
        parts.push(Part::Column(name.trim().to_owned()));
        rest = after;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_written_and_compared() {
        for (text, holds, fails) in [("< 1", 0.9, 1.0), ("<=1", 1.0, 1.1), ("> -4.5", -4.0, -4.5), (">= 0", 0.0, -0.1)]
        {
            let condition = Condition::parse(text).unwrap();
            assert!(condition.holds(holds) && !condition.holds(fails), "{text}");
            assert!(!condition.holds(f64::NAN), "{text}");
            assert_eq!(Condition::parse(&condition.to_string()), Some(condition));
            assert!(!condition.overlaps(&condition.opposite()), "{text}");
        }
        for text in ["", "1", "= 1", "< one", "< inf", "<> 1"] {
            assert_eq!(Condition::parse(text), None, "{text}");
        }
        let overlaps = |a, b| Condition::parse(a).unwrap().overlaps(&Condition::parse(b).unwrap());
        assert!(overlaps("< 1", "< 5") && overlaps("< 5", "> 1") && overlaps("<= 1", ">= 1"));
        assert!(!overlaps("< 1", ">= 5") && !overlaps("< 1", ">= 1") && !overlaps("> 6", "< 3"));
    }

    #[test]
    fn messages_are_text_and_columns() {
        let text = |t: &str| Part::Text(t.to_owned());
        assert_eq!(
            parts("{a} of { b }."),
            Some(vec![Part::Column("a".to_owned()), text(" of "), Part::Column("b".to_owned()), text("."),])
        );
        assert_eq!(parts("a } b"), None);
        assert_eq!(parts("a { b"), None);
    }
}
