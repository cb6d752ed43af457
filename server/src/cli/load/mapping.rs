//! A mapping: which columns of a foreign file become which fields of an event. A TOML text is read (in `parse`) into
//! plans with every name resolved; [`super::convert`] runs them line by line. `data/README.md` is its manual.

mod parse;

use std::collections::BTreeMap;

use chrono::FixedOffset;
use serde::Deserialize;
use tideline_engine::error::{Error, Result};
use tideline_engine::event::{COLUMNS, ColumnKind};

/// Fields the server sets itself.
const ASSIGNED: [&str; 5] = ["seq", "node", "received_at", "event_date", "schema_version"];
/// Other spellings of fields, as the server accepts them.
const SPELLINGS: [(&str, &str); 2] = [("timestamp", "event_ts"), ("page_url", "page")];

/// What a field of an event takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A column of the event table.
    Column(ColumnKind),
    /// JSON text that is passed as it is (`properties`).
    Json,
    /// An unknown field, kept in `properties`.
    Extra,
}

/// Whether clients send the field `name`; the others are set by the server.
pub fn is_sent(name: &str) -> bool {
    !ASSIGNED.contains(&name)
}

/// What the field `name` of an event takes; `None` where the server sets it itself.
pub fn kind_of(name: &str) -> Option<Kind> {
    if !is_sent(name) {
        return None;
    }
    if name == "properties" {
        return Some(Kind::Json);
    }
    let name = SPELLINGS.iter().find(|(other, _)| *other == name).map_or(name, |(_, name)| name);
    Some(COLUMNS.iter().find(|c| c.name == name).map_or(Kind::Extra, |c| Kind::Column(c.kind)))
}

/// A mapping with its names resolved. Columns are numbered: a slot is a position in [`Mapping::columns`].
#[derive(Debug, Clone)]
pub struct Mapping {
    /// How the file is written.
    pub source: Source,
    /// The columns it reads, by slot.
    pub columns: Vec<String>,
    /// Tried in order; the first whose conditions hold makes the event. The last has no conditions.
    pub plans: Vec<Plan>,
}

/// How the foreign file is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// Texts that mean "no value", in every column.
    pub null: Vec<String>,
    /// What separates the columns of a CSV file.
    pub delimiter: char,
    /// How the bytes of a CSV file are read.
    pub encoding: Encoding,
}

impl Default for Source {
    fn default() -> Self {
        Self { null: vec![String::new()], delimiter: ',', encoding: Encoding::Utf8 }
    }
}

/// How bytes become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Encoding {
    /// UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
    /// ISO 8859-1: every byte is a character.
    #[serde(rename = "latin-1")]
    Latin1,
}

/// What to make of the lines for which all `conditions` hold.
#[derive(Debug, Clone)]
pub struct Plan {
    /// All must hold.
    pub conditions: Vec<(usize, Condition)>,
    /// Leave the line out; it is counted as skipped.
    pub skip: bool,
    /// The fields of the event.
    pub fields: Vec<Field>,
    /// Whether the event gets an id made from its line, because no field gives one.
    pub derives_id: bool,
}

impl Plan {
    fn new(conditions: Vec<(usize, Condition)>, skip: bool, fields: Vec<Field>) -> Self {
        let derives_id = !fields.iter().any(|f| f.name == "event_id");
        Self { conditions, skip, fields, derives_id }
    }
}

/// One field of the event to make.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
    /// Where its value comes from.
    pub value: Value,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub enum Value {
    /// The same for every line, as JSON.
    Constant(String),
    /// Text with columns in it; no value when any of them has none.
    Template(Vec<Part>),
    /// A column, read in a certain way.
    Column(Column),
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// The column in this slot.
    Column(usize),
    /// The number of the line in its file, from 1.
    Line,
    /// The name of the file, without folder and compression.
    File,
}

/// How a column is read.
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// Which one.
    pub slot: usize,
    /// How its time is written.
    pub time: Option<TimeFormat>,
    /// Change the sign of its number.
    pub negate: bool,
    /// Drop the sign of its number.
    pub abs: bool,
    /// Its numbers have a decimal comma, and points between thousands.
    pub decimal_comma: bool,
    /// Texts to replace; others stay as they are.
    pub map: BTreeMap<String, String>,
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFormat {
    /// Seconds since 1970, with a fraction or without.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
    /// A pattern, and the zone of times that do not name theirs.
    Pattern(String, FixedOffset),
}

/// What a column must be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// Exactly this text.
    pub is: Option<String>,
    /// Anything but this text; no value will do.
    pub not: Option<String>,
    /// One of these texts.
    #[serde(rename = "in")]
    pub one_of: Option<Vec<String>>,
    /// A text that starts like this.
    pub starts_with: Option<String>,
    /// A number above this one.
    pub gt: Option<f64>,
    /// A number not below this one.
    pub ge: Option<f64>,
    /// A number below this one.
    pub lt: Option<f64>,
    /// A number not above this one.
    pub le: Option<f64>,
    /// Without a value (`true`) or with one (`false`).
    pub null: Option<bool>,
}

impl Condition {
    fn is_empty(&self) -> bool {
        let texts = self.is.is_none() && self.not.is_none() && self.one_of.is_none() && self.starts_with.is_none();
        let numbers = self.gt.is_none() && self.ge.is_none() && self.lt.is_none() && self.le.is_none();
        texts && numbers && self.null.is_none()
    }
}

impl Mapping {
    /// Reads a mapping file's text; `name` is the file's, for messages.
    ///
    /// # Errors
    /// `invalid_mapping` with the line and column of what is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        parse::parse(name, text)
    }

    /// The mapping of a file whose columns already are called like the fields of an event.
    pub fn of_header(header: &[String]) -> Self {
        let mut fields = Vec::new();
        for (slot, name) in header.iter().enumerate() {
            if let Some(kind) = kind_of(name) {
                let value = Value::Column(Column { slot, ..Column::default() });
                fields.push(Field { name: name.clone(), kind, value });
            }
        }
        let plans = vec![Plan::new(Vec::new(), false, fields)];
        Self { source: Source::default(), columns: header.to_vec(), plans }
    }

    /// Finds each slot's column among the columns of a file.
    ///
    /// # Errors
    /// `unknown_column` naming the first that is not there.
    pub fn bind(&self, header: &[String], file: &str) -> Result<Vec<usize>> {
        let find = |name: &String| {
            header.iter().position(|h| h == name).ok_or_else(|| {
                let message = format!("{file} has no column `{name}`, which the mapping reads");
                let error = Error::invalid("unknown_column", message);
                error.with_hint(format!("its columns are: {}", header.join(", ")))
            })
        };
        self.columns.iter().map(find).collect()
    }
}
