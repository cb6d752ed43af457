//! The header of a metric's file: TOML in its leading comment lines. Every mistake is named with its place in the file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::params::{END, Kind, Moment, Param, START, Value};
use super::rule::{self, RawRule, Rule};
use crate::error::{Error, Position, Result};
use crate::query::nearest;

/// Names a parameter cannot have: every metric takes them.
pub const RESERVED: [&str; 2] = ["format", "compare"];
/// The longest an answer may be kept.
const MAX_CACHE: Duration = Duration::from_secs(86_400);

/// How a metric is best drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chart {
    /// A bar for each row.
    Bars,
    /// A line through the rows.
    Line,
    /// Rows and columns.
    Table,
    /// One row of figures.
    Number,
    /// Steps that narrow.
    Funnel,
    /// A grid, coloured by value.
    Heatmap,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// One line.
    pub summary: String,
    /// More, in Markdown; may be empty.
    pub description: String,
    /// Further paths, besides `/analytics/NAME`.
    pub paths: Vec<String>,
    /// How long an answer may be kept; zero where the header does not say.
    pub cache: Duration,
    /// Whether it is asked once after a start, so that its first reader does not wait for what is kept in memory.
    pub warm: bool,
    /// How it is best drawn.
    pub chart: Option<Chart>,
    /// What the figures of a column are: `money`, `count`, `ratio` …
    pub units: BTreeMap<String, String>,
    /// Its parameters, in the order of the file.
    pub params: Vec<Param>,
    /// When its rows are alerts, where they ever are.
    pub alert: Option<Rule>,
    /// Where names stand, for what is found wrong later.
    pub(super) places: Places,
}

/// Where in the file names stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Columns that have a unit.
    pub(super) units: BTreeMap<String, Position>,
    /// Parameters.
    pub(super) params: BTreeMap<String, Position>,
}

// The file as it is written.

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeader {
    summary: Spanned<String>,
    #[serde(default)]
    description: String,
    path: Option<Spanned<toml::Value>>,
    cache: Option<Spanned<toml::Value>>,
    #[serde(default)]
    warm: bool,
    chart: Option<Chart>,
    #[serde(default)]
    units: BTreeMap<Spanned<String>, String>,
    #[serde(default)]
    params: BTreeMap<Spanned<String>, RawParam>,
    alert: Option<Spanned<RawRule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParam {
    r#type: Spanned<String>,
    default: Option<toml::Value>,
    min: Option<toml::Value>,
    max: Option<toml::Value>,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    doc: String,
}

/// The comment lines as one TOML text, and the way back from its offsets to places in the file.
pub(super) struct Comments {
    toml: String,
    /// Characters taken off the beginning of each line.
    taken: Vec<u64>,
}

impl Comments {
    fn of(text: &str) -> Self {
        let (mut toml, mut taken) = (String::new(), Vec::new());
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("--") else { break };
            let bare = rest.strip_prefix(' ').unwrap_or(rest);
            taken.push(2 + u64::from(bare.len() < rest.len()));
            toml += bare;
            toml.push('\n');
        }
        Self { toml, taken }
    }

    pub(super) fn position(&self, span: &Range<usize>) -> Position {
        let mut start = span.start.min(self.toml.len());
        while !self.toml.is_char_boundary(start) {
            start -= 1;
        }
        let before = self.toml.get(..start).unwrap_or_default();
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64;
        let taken = self.taken.get(line).copied().unwrap_or(0);
        Position { line: line as u64 + 1, column: column + taken + 1 }
    }

    pub(super) fn wrong(&self, span: &Range<usize>, what: impl Into<String>) -> Error {
        Error::invalid("invalid_header", what).with_position(self.position(span))
    }
}

/// Splits a file into its header and its query; the query's part of the text.
pub fn body(text: &str) -> &str {
    let mut rest = text.trim_start_matches('\u{feff}');
    while rest.starts_with("--") {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest.trim()
}

/// Reads the header of a file.
///
/// # Errors
/// `invalid_header` with a position in the file.
pub fn parse(text: &str, moment: &Moment<'_>) -> Result<Header> {
    let comments = Comments::of(text.trim_start_matches('\u{feff}'));
    if comments.toml.trim().is_empty() {
        return Err(Error::invalid("invalid_header", "the file has no header")
            .with_position(Position { line: 1, column: 1 })
            .with_hint("begin it with -- summary = \"…\""));
    }
    let raw: RawHeader = toml::from_str(&comments.toml).map_err(|e| {
        // A key that is missing has no place: the header's beginning.
        let what = e.message().replace('\n', " ");
        comments.wrong(&e.span().unwrap_or(0..0), what)
    })?;
    if raw.summary.get_ref().trim().is_empty() {
        return Err(comments.wrong(&raw.summary.span(), "the summary is empty"));
    }
    let places = Places {
        units: raw.units.keys().map(|k| (k.get_ref().clone(), comments.position(&k.span()))).collect(),
        params: raw.params.keys().map(|k| (k.get_ref().clone(), comments.position(&k.span()))).collect(),
    };
    let mut params: Vec<(usize, Param)> = Vec::new();
    for (name, raw) in raw.params {
        params.push((name.span().start, param(&comments, &name, raw, moment)?));
    }
    params.sort_by_key(|(at, _)| *at);
    let params: Vec<Param> = params.into_iter().map(|(_, param)| param).collect();
    Ok(Header {
        paths: raw.path.as_ref().map_or(Ok(Vec::new()), |path| paths(&comments, path))?,
        cache: raw.cache.as_ref().map_or(Ok(Duration::ZERO), |cache| seconds(&comments, cache))?,
        summary: raw.summary.into_inner().trim().to_owned(),
        description: raw.description.trim().to_owned(),
        warm: raw.warm,
        chart: raw.chart,
        units: raw.units.into_iter().map(|(column, unit)| (column.into_inner(), unit)).collect(),
        alert: raw.alert.map(|alert| rule::rule(&comments, alert)).transpose()?,
        params,
        places,
    })
}

fn param(comments: &Comments, name: &Spanned<String>, raw: RawParam, moment: &Moment<'_>) -> Result<Param> {
    let at = name.span();
    let text = name.get_ref();
    let is_name = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !is_name || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(comments.wrong(&at, format!("`{text}` is no name for a parameter: use a-z, 0-9 and _")));
    }
    if RESERVED.contains(&text.as_str()) {
        return Err(comments.wrong(&at, format!("the parameter name `{text}` is taken: every metric has it")));
    }
    let Some(kind) = Kind::from_name(raw.r#type.get_ref()) else {
        let kinds = Kind::ALL.map(Kind::name);
        let message = format!("`{}` is not a type: {}", raw.r#type.get_ref(), kinds.join(", "));
        let mut error = comments.wrong(&raw.r#type.span(), message);
        error.did_you_mean = nearest(raw.r#type.get_ref(), kinds);
        return Err(error);
    };
    if raw.required && (raw.optional || raw.default.is_some()) {
        return Err(comments.wrong(&at, format!("`{text}` is required and cannot be optional or have a default")));
    }
    if raw.optional && raw.default.is_some() {
        return Err(comments.wrong(&at, format!("`{text}` has a default: it need not be optional")));
    }
    let as_text = |value: Option<toml::Value>| {
        value.map(|value| plain(&value).ok_or_else(|| comments.wrong(&at, format!("a value of `{text}` is a table"))))
    };
    let param = Param {
        name: text.clone(),
        kind,
        required: raw.default.is_none() && !raw.optional,
        default: as_text(raw.default).transpose()?,
        min: as_text(raw.min).transpose()?,
        max: as_text(raw.max).transpose()?,
        values: raw.values,
        doc: raw.doc.trim().to_owned(),
    };
    param.check(moment).map_err(|e| comments.wrong(&at, e.message))?;
    Ok(param)
}

/// A TOML value as a request would write it.
fn plain(value: &toml::Value) -> Option<String> {
    Some(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(n) => n.to_string(),
        toml::Value::Float(n) => n.to_string(),
        toml::Value::Boolean(b) => b.to_string(),
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::Array(values) => {
            let texts: Option<Vec<String>> = values.iter().map(plain).collect();
            serde_json::to_string(&texts?).ok()?
        }
        toml::Value::Table(_) => return None,
    })
}

fn paths(comments: &Comments, path: &Spanned<toml::Value>) -> Result<Vec<String>> {
    let given = match path.get_ref() {
        toml::Value::Array(values) => values.iter().map(|v| v.as_str()).collect::<Option<Vec<_>>>(),
        value => value.as_str().map(|text| vec![text]),
    };
    let fits = |path: &&str| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_');
        path.len() > 1 && path.starts_with('/') && !path.ends_with('/') && path.bytes().all(is_plain)
    };
    match given {
        Some(paths) if paths.iter().all(fits) => Ok(paths.into_iter().map(str::to_owned).collect()),
        _ => Err(comments.wrong(&path.span(), "a path is written like \"/sales\": letters, digits, - and _")),
    }
}

fn seconds(comments: &Comments, cache: &Spanned<toml::Value>) -> Result<Duration> {
    let text = match cache.get_ref() {
        toml::Value::Integer(n) => format!("{n}s"),
        value => value.as_str().unwrap_or_default().to_owned(),
    };
    let found = super::params::duration(&text).and_then(|micros| u64::try_from(micros).ok());
    match found.map(Duration::from_micros) {
        Some(cache) if cache <= MAX_CACHE && cache.subsec_nanos() == 0 => Ok(cache),
        _ => Err(comments.wrong(&cache.span(), "`cache` is a time in whole seconds up to a day, like \"10s\"")),
    }
}

impl Header {
    /// Whether it has a range that a range before it can be compared with.
    pub fn has_range(&self) -> bool {
        let kind = |name| self.params.iter().find(|p| p.name == name).map(|p| p.kind);
        matches!(
            (kind(START), kind(END)),
            (Some(Kind::Date), Some(Kind::Date)) | (Some(Kind::Timestamp), Some(Kind::Timestamp))
        )
    }

    /// Values to try the query with.
    pub fn samples(&self, moment: &Moment<'_>) -> Vec<(String, Kind, Value)> {
        self.params.iter().map(|p| (p.name.clone(), p.kind, super::params::sample(p, moment))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Shop;

    const GOOD: &str = r#"-- summary = "Sales by day"
-- description = """
-- Gross and net.
--
-- By local day.
-- """
-- path = "/sales"
-- cache = "10s"
-- chart = "bars"
-- units = { day = "date", gross = "money" }
--
-- [params.start]
-- type = "date"
-- default = "-29d"
-- doc = "first day"
-- [params.limit]
-- type = "integer"
-- default = 10
-- min = 1
-- max = 100
-- [params.country]
-- type = "string"
-- optional = true
SELECT 1 -- not the header
"#;

    fn read(text: &str) -> Result<Header> {
        parse(text, &Moment { now: 1_772_323_200_000_000, shop: &Shop::default() })
    }

    #[test]
    fn a_header_is_read_whole() {
        let header = read(GOOD).unwrap();
        assert_eq!((header.summary.as_str(), header.cache), ("Sales by day", Duration::from_secs(10)));
        assert_eq!(header.description, "Gross and net.\n\nBy local day.");
        assert_eq!((header.paths, header.chart), (vec!["/sales".to_owned()], Some(Chart::Bars)));
        assert_eq!(header.units.get("gross").map(String::as_str), Some("money"));
        let names: Vec<(&str, bool)> = header.params.iter().map(|p| (p.name.as_str(), p.required)).collect();
        assert_eq!(names, [("start", false), ("limit", false), ("country", false)]);
        assert_eq!(header.params[1].default.as_deref(), Some("10"));
        assert_eq!(body(GOOD), "SELECT 1 -- not the header");
    }

    #[test]
    fn mistakes_are_named_with_their_place_in_the_file() {
        let place = |text: &str| {
            let error = read(text).unwrap_err();
            let at = error.position.unwrap_or_else(|| panic!("{text}: {error} has no place"));
            (at.line, at.column, error.message)
        };
        for (text, line, column, part) in [
            ("SELECT 1", 1, 1, "no header"),
            ("-- just words\nSELECT 1", 1, 9, "expected"),
            ("-- summary = \"s\"\n-- colour = 1\nSELECT 1", 2, 4, "colour"),
            ("-- summary = \"\"\nSELECT 1", 1, 14, "empty"),
            ("--summary = \"s\"\n--chart = \"pie\"\nSELECT 1", 2, 11, "pie"),
            ("-- summary = \"s\"\n-- cache = \"soon\"\nSELECT 1", 2, 12, "cache"),
            ("-- summary = \"s\"\n-- path = \"sales\"\nSELECT 1", 2, 11, "path"),
            ("-- summary = \"s\"\n-- [params.a]\n-- type = \"dat\"\nSELECT $a", 3, 11, "`dat` is not a type"),
            ("-- summary = \"s\"\n-- [params.a]\n-- type = \"date\"\n-- default = \"x\"\nSELECT $a", 2, 12, "default"),
            ("-- summary = \"s\"\n-- [params.format]\n-- type = \"date\"\nSELECT 1", 2, 12, "taken"),
            (
                "-- summary = \"s\"\n-- [alert]\n-- value = \"n\"\n-- open = \"1\"\n-- message = \"m\"\nSELECT 1",
                4,
                11,
                "condition",
            ),
            (
                "-- summary = \"s\"\n-- [alert]\n-- value = \"n\"\n-- open = \"< 1\"\n-- close = \"< 2\"\n-- message = \"m\"\nSELECT 1",
                5,
                12,
                "at once",
            ),
            (
                "-- summary = \"s\"\n-- [alert]\n-- value = \"n\"\n-- open = \"< 1\"\n-- for = \"2\"\n-- message = \"m\"\nSELECT 1",
                5,
                10,
                "a time from",
            ),
            (
                "-- summary = \"s\"\n-- [alert]\n-- value = \"n\"\n-- open = \"< 1\"\n-- message = \"{n\"\nSELECT 1",
                5,
                14,
                "braces",
            ),
            ("-- summary = \"s\"\n-- [alert]\n-- value = \"n\"\n-- severity = \"bad\"\nSELECT 1", 4, 15, "bad"),
            ("-- summary = \"ä\"\n-- [params.ä]\n-- type = \"date\"\nSELECT 1", 2, 11, "table header"),
        ] {
            let (l, c, message) = place(text);
            assert_eq!((l, c), (line, column), "{text}: {message}");
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics(text in "(--[ -~äß]{0,40}\n){0,6}[ -~\n]{0,20}") {
            let _ = (read(&text), body(&text));
        }
    }
}
