//! The mapping file: which columns of a foreign file become which fields of an event. A TOML text is read here into
//! plans with every name resolved; [`super::convert`] runs them line by line. `data/README.md` is its manual.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use chrono::FixedOffset;
use chrono::format::{Item, StrftimeItems};
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};
use tideline_engine::error::{Error, Position, Result};
use tideline_engine::event::{COLUMNS, ColumnKind};
use toml::Spanned;

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

// The file as it is written. Spans keep where each name and value stands, for messages.

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMapping {
    #[serde(default)]
    source: Source,
    fields: Table,
    #[serde(default)]
    properties: Table,
    #[serde(default)]
    rules: Vec<RawRule>,
}

type Table = BTreeMap<Spanned<String>, Spanned<RawValue>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    when: Spanned<BTreeMap<Spanned<String>, Spanned<Condition>>>,
    #[serde(default)]
    set: Table,
    #[serde(default)]
    skip: bool,
}

#[derive(Debug)]
enum RawValue {
    Text(String),
    Constant(String),
    Column(Box<RawColumn>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumn {
    column: Spanned<String>,
    time: Option<Spanned<String>>,
    zone: Option<Spanned<String>>,
    #[serde(default)]
    negate: bool,
    #[serde(default)]
    abs: bool,
    decimal: Option<Spanned<String>>,
    #[serde(default)]
    map: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = RawValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text like \"{Column}\", a number, true, false, or a table like { column = \"Name\" }")
            }
            fn visit_str<E>(self, text: &str) -> Result<RawValue, E> {
                Ok(RawValue::Text(text.to_owned()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<RawValue, E> {
                Ok(RawValue::Constant(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<RawValue, E> {
                Ok(RawValue::Constant(value.to_string()))
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<RawValue, E> {
                if value.is_finite() {
                    Ok(RawValue::Constant(value.to_string()))
                } else {
                    Err(E::custom("a number has to be finite"))
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawValue, A::Error> {
                RawColumn::deserialize(MapAccessDeserializer::new(map)).map(|c| RawValue::Column(Box::new(c)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Mapping {
    /// Reads a mapping file's text; `name` is the file's, for messages.
    ///
    /// # Errors
    /// `invalid_mapping` with the line and column of what is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let reader = Reader { name, text };
        let raw: RawMapping = toml::from_str(text).map_err(|e| {
            let hint = "data/README.md describes the mapping file";
            reader.error(e.span().unwrap_or(0..0), e.message().trim()).with_hint(hint)
        })?;
        if !raw.source.delimiter.is_ascii() {
            return Err(reader.error(0..0, "source.delimiter has to be one ASCII character"));
        }
        let mut columns = Columns::default();
        let mut plans = Vec::with_capacity(raw.rules.len() + 1);
        let base = reader.fields(&raw.fields, &raw.properties, &mut columns)?;
        for rule in &raw.rules {
            plans.push(reader.rule(rule, &base, &mut columns)?);
        }
        let has = |name: &str| base.iter().chain(plans.iter().flat_map(|p| &p.fields)).any(|f| f.name == name);
        for needed in ["event_type", "event_ts"] {
            if !(has(needed) || needed == "event_ts" && has("timestamp")) {
                let why = format!("neither [fields] nor a rule sets `{needed}`, which every event needs");
                return Err(reader.error(0..0, &why));
            }
        }
        plans.push(Plan::new(Vec::new(), false, base));
        Ok(Self { source: raw.source, columns: columns.0, plans })
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

/// Names of columns, in the order they are first used.
#[derive(Default)]
struct Columns(Vec<String>);

impl Columns {
    fn slot(&mut self, name: &str) -> usize {
        self.0.iter().position(|c| c == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        })
    }
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn error(&self, span: Range<usize>, message: &str) -> Error {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
        let message = format!("{}:{line}:{column}: {message}", self.name);
        Error::invalid("invalid_mapping", message).with_position(Position { line, column })
    }

    fn fields(&self, fields: &Table, properties: &Table, columns: &mut Columns) -> Result<Vec<Field>> {
        let mut out = Vec::with_capacity(fields.len() + properties.len());
        for (name, value) in fields {
            let kind = match kind_of(name.get_ref()) {
                Some(Kind::Extra) => {
                    let why = format!("`{}` is not a field of an event", name.get_ref());
                    let hint = "data/schema.md lists the fields; what is not among them belongs under [properties]";
                    return Err(self.error(name.span(), &why).with_hint(hint));
                }
                None => {
                    let why = format!("`{}` is set by the server and cannot be mapped", name.get_ref());
                    return Err(self.error(name.span(), &why));
                }
                Some(Kind::Json) => {
                    let why = "`properties` cannot be mapped as a whole";
                    let hint = "name each of them in the table [properties]";
                    return Err(self.error(name.span(), why).with_hint(hint));
                }
                Some(Kind::Column(ColumnKind::Items)) => {
                    let why = "`items` cannot be mapped: each line of a foreign file is an event of its own";
                    return Err(self.error(name.span(), why));
                }
                Some(kind) => kind,
            };
            out.push(self.field(name, kind, value, columns)?);
        }
        for (name, value) in properties {
            if kind_of(name.get_ref()) != Some(Kind::Extra) {
                let why = format!("`{}` is a field of its own: move it to [fields]", name.get_ref());
                return Err(self.error(name.span(), &why));
            }
            out.push(self.field(name, Kind::Extra, value, columns)?);
        }
        Ok(out)
    }

    fn field(
        &self,
        name: &Spanned<String>,
        kind: Kind,
        value: &Spanned<RawValue>,
        columns: &mut Columns,
    ) -> Result<Field> {
        let value = match value.get_ref() {
            RawValue::Constant(json) => Value::Constant(json.clone()),
            RawValue::Text(text) => Value::Template(self.template(text, value.span(), columns)?),
            RawValue::Column(raw) => Value::Column(self.column(raw, kind, columns)?),
        };
        Ok(Field { name: name.get_ref().clone(), kind, value })
    }

    /// `text with {Column}`, `{line}`, `{file}`; braces that are meant as such are doubled.
    fn template(&self, text: &str, span: Range<usize>, columns: &mut Columns) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    literal.push(c);
                }
                '{' => {
                    let name: String = chars.by_ref().take_while(|&c| c != '}').collect();
                    let closed = text.matches('}').count() > 0 && !name.is_empty();
                    if !closed || name.contains('{') {
                        return Err(self.error(span, &format!("`{text}` has a `{{` without a name and `}}`")));
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(match name.as_str() {
                        "line" => Part::Line,
                        "file" => Part::File,
                        column => Part::Column(columns.slot(column)),
                    });
                }
                '}' => return Err(self.error(span, &format!("`{text}` has a `}}` without `{{`"))),
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(parts)
    }

    fn column(&self, raw: &RawColumn, kind: Kind, columns: &mut Columns) -> Result<Column> {
        let number = matches!(kind, Kind::Column(ColumnKind::Money | ColumnKind::Int | ColumnKind::Float));
        let span = raw.column.span();
        if (raw.negate || raw.abs || raw.decimal.is_some()) && !number {
            return Err(self.error(span, "`negate`, `abs` and `decimal` are for fields that hold numbers"));
        }
        if raw.negate && raw.abs {
            return Err(self.error(span, "`negate` and `abs` exclude each other"));
        }
        let is_time = kind == Kind::Column(ColumnKind::Time);
        if let Some(extra) = raw.time.as_ref().or(raw.zone.as_ref()).filter(|_| !is_time) {
            return Err(self.error(extra.span(), "`time` and `zone` are for fields that hold a time"));
        }
        let decimal_comma = match raw.decimal.as_ref().map(|d| (d.get_ref().as_str(), d.span())) {
            None | Some((".", _)) => false,
            Some((",", _)) => true,
            Some((_, span)) => return Err(self.error(span, "`decimal` is \".\" or \",\"")),
        };
        Ok(Column {
            slot: columns.slot(raw.column.get_ref()),
            time: self.time(raw)?,
            negate: raw.negate,
            abs: raw.abs,
            decimal_comma,
            map: raw.map.clone(),
        })
    }

    fn time(&self, raw: &RawColumn) -> Result<Option<TimeFormat>> {
        let zone = raw.zone.as_ref().map_or_else(
            || FixedOffset::east_opt(0).ok_or_else(|| Error::internal("UTC")),
            |zone| {
                parse_zone(zone.get_ref()).ok_or_else(|| {
                    let why = format!("`{}` is not a zone", zone.get_ref());
                    self.error(zone.span(), &why).with_hint("write \"UTC\" or an offset like \"+01:00\"")
                })
            },
        )?;
        let Some(time) = &raw.time else {
            if let Some(zone) = &raw.zone {
                return Err(self.error(zone.span(), "`zone` needs `time`, which says how the time is written"));
            }
            return Ok(None);
        };
        Ok(Some(match time.get_ref().as_str() {
            "unix_s" => TimeFormat::UnixSeconds,
            "unix_ms" => TimeFormat::UnixMillis,
            pattern => {
                if !pattern.contains('%') || StrftimeItems::new(pattern).any(|item| item == Item::Error) {
                    let why = format!("`{pattern}` is not a time format");
                    let hint = "write \"unix_s\", \"unix_ms\", or a pattern like \"%Y-%m-%d %H:%M:%S\"; \
                                RFC 3339 needs none";
                    return Err(self.error(time.span(), &why).with_hint(hint));
                }
                TimeFormat::Pattern(pattern.to_owned(), zone)
            }
        }))
    }

    fn rule(&self, raw: &RawRule, base: &[Field], columns: &mut Columns) -> Result<Plan> {
        let when = raw.when.get_ref();
        if when.is_empty() {
            return Err(self.error(raw.when.span(), "a rule needs a condition: when = { Column = { is = \"…\" } }"));
        }
        if raw.skip != raw.set.is_empty() {
            return Err(self.error(raw.when.span(), "a rule has either `set` or `skip = true`"));
        }
        let mut conditions = Vec::with_capacity(when.len());
        for (column, condition) in when {
            if condition.get_ref().is_empty() {
                let why = "a condition is one or more of is, not, in, starts_with, gt, ge, lt, le, null";
                return Err(self.error(condition.span(), why));
            }
            conditions.push((columns.slot(column.get_ref()), condition.get_ref().clone()));
        }
        let mut fields = self.fields(&raw.set, &Table::new(), columns)?;
        let kept = base.iter().filter(|f| !raw.set.keys().any(|name| name.get_ref() == &f.name));
        fields.extend(kept.cloned());
        Ok(Plan::new(conditions, raw.skip, fields))
    }
}

fn parse_zone(text: &str) -> Option<FixedOffset> {
    if matches!(text, "UTC" | "Z") {
        return FixedOffset::east_opt(0);
    }
    text.parse().ok()
}
