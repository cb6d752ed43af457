//! The mapping file's text into a [`Mapping`]: every mistake is named with its line and column.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use chrono::FixedOffset;
use chrono::format::{Item, StrftimeItems};
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};
use tideline_engine::error::{Error, Position, Result};
use tideline_engine::event::ColumnKind;
use toml::Spanned;

use super::{Column, Condition, Field, Kind, Mapping, Part, Plan, Source, TimeFormat, Value, kind_of};

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

/// Reads a mapping file's text; `name` is the file's, for messages.
pub(super) fn parse(name: &str, text: &str) -> Result<Mapping> {
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
        let otherwise_spelled = needed == "event_ts" && has("timestamp");
        if !has(needed) && !otherwise_spelled {
            let why = format!("neither [fields] nor a rule sets `{needed}`, which every event needs");
            return Err(reader.error(0..0, &why));
        }
    }
    plans.push(Plan::new(Vec::new(), false, base));
    Ok(Mapping { source: raw.source, columns: columns.0, plans })
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
