//! One line of a foreign file becomes one event as JSON, by a plan of the mapping.
//!
//! Nothing is refused here. What cannot be read as its field needs it is passed on as it is written: the server then
//! refuses the event with the reason and keeps it, so that there is one place for what was not accepted.

use std::borrow::Cow;
use std::hash::Hasher as _;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, SecondsFormat, TimeZone as _, Utc};
use serde::de::IgnoredAny;
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use tideline_engine::event::ColumnKind;

use super::mapping::{Column, Condition, Field, Kind, Mapping, Part, Plan, TimeFormat, Value};

/// Where a line comes from.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The file's name without folder and compression; `None` for standard input.
    pub file: Option<&'a str>,
    /// The line within it, from 1.
    pub line: u64,
}

/// The values of one line, by slot; `None` where there is no value.
pub type Row<'a> = [Option<Cow<'a, str>>];

/// Appends the line's event and a newline to `out`. `false` when the mapping says to skip the line.
pub fn convert(mapping: &Mapping, row: &Row<'_>, place: Place<'_>, out: &mut Vec<u8>) -> bool {
    let Some(plan) = mapping.plans.iter().find(|plan| holds(plan, row)) else { return false };
    if plan.skip {
        return false;
    }
    out.push(b'{');
    let start = out.len();
    if let (true, Some(id)) = (plan.derives_id, derived_id(row, place)) {
        member(out, start, "event_id");
        string(out, &id);
    }
    for field in &plan.fields {
        emit(field, row, place, start, out);
    }
    out.extend_from_slice(b"}\n");
    true
}

/// The id of a line that has none: made from the file's name, the line's number and its content. So loading a file
/// again finds every event there, a copy of a line within a file is an event of its own, and another file of the
/// same name takes nothing away. Standard input has no name: the server derives the id from the content alone.
pub fn derived_id(row: &Row<'_>, place: Place<'_>) -> Option<String> {
    let file = place.file?;
    let mut hasher = SipHasher24::new();
    let mut add = |text: &str| {
        hasher.write_u64(text.len() as u64);
        hasher.write(text.as_bytes());
    };
    add(file);
    for value in row {
        add(value.as_deref().unwrap_or("\u{0}"));
    }
    hasher.write_u64(place.line);
    let hash = hasher.finish128().as_u128();
    Some(format!("{hash:032x}"))
}

fn holds(plan: &Plan, row: &Row<'_>) -> bool {
    plan.conditions.iter().all(|(slot, condition)| matches(condition, row.get(*slot).and_then(Option::as_deref)))
}

fn matches(condition: &Condition, value: Option<&str>) -> bool {
    let number = || value.and_then(|v| v.trim().parse::<f64>().ok());
    let compare = |limit: Option<f64>, test: fn(&f64, &f64) -> bool| match limit {
        None => true,
        Some(limit) => number().is_some_and(|n| test(&n, &limit)),
    };
    let text = |wanted: Option<&String>, test: fn(&str, &str) -> bool| match wanted {
        None => true,
        Some(wanted) => value.is_some_and(|v| test(v, wanted)),
    };
    condition.null.is_none_or(|null| null == value.is_none())
        && text(condition.is.as_ref(), |v, wanted| v == wanted)
        && condition.not.as_ref().is_none_or(|other| value != Some(other))
        && condition.one_of.as_ref().is_none_or(|list| value.is_some_and(|v| list.iter().any(|l| l == v)))
        && text(condition.starts_with.as_ref(), |v, wanted| v.starts_with(wanted))
        && compare(condition.gt, f64::gt)
        && compare(condition.ge, f64::ge)
        && compare(condition.lt, f64::lt)
        && compare(condition.le, f64::le)
}

fn emit(field: &Field, row: &Row<'_>, place: Place<'_>, start: usize, out: &mut Vec<u8>) {
    let (text, column) = match &field.value {
        Value::Constant(json) => {
            member(out, start, &field.name);
            out.extend_from_slice(json.as_bytes());
            return;
        }
        Value::Template(parts) => match fill(parts, row, place) {
            Some(text) => (text, None),
            None => return,
        },
        Value::Column(column) => match row.get(column.slot).and_then(Option::as_deref) {
            Some(text) => (Cow::Borrowed(column.map.get(text).map_or(text, String::as_str)), Some(column)),
            None => return,
        },
    };
    member(out, start, &field.name);
    typed(out, field.kind, &text, column);
}

fn fill<'a>(parts: &[Part], row: &'a Row<'_>, place: Place<'_>) -> Option<Cow<'a, str>> {
    if let [Part::Column(slot)] = parts {
        return row.get(*slot)?.as_deref().map(Cow::Borrowed);
    }
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Column(slot) => text.push_str(row.get(*slot)?.as_deref()?),
            Part::Line => text.push_str(&place.line.to_string()),
            Part::File => text.push_str(place.file.unwrap_or("stdin")),
        }
    }
    Some(Cow::Owned(text))
}

/// Writes `text` as the JSON its field takes.
fn typed(out: &mut Vec<u8>, kind: Kind, text: &str, column: Option<&Column>) {
    match kind {
        Kind::Column(
            ColumnKind::Money | ColumnKind::Int | ColumnKind::Long | ColumnKind::Small | ColumnKind::Float,
        ) => {
            let whole = !matches!(kind, Kind::Column(ColumnKind::Money | ColumnKind::Float));
            match number(text, column, whole) {
                Some(number) => out.extend_from_slice(number.as_bytes()),
                None => string(out, text),
            }
        }
        Kind::Column(ColumnKind::Bool) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" => out.extend_from_slice(b"true"),
            "false" | "f" | "no" | "n" | "0" => out.extend_from_slice(b"false"),
            _ => string(out, text),
        },
        Kind::Column(ColumnKind::Time) => {
            let time = column.and_then(|c| c.time.as_ref()).and_then(|format| time(text.trim(), format));
            match time {
                Some(time) => string(out, &time.to_rfc3339_opts(SecondsFormat::Millis, true)),
                // Epoch milliseconds are a number in JSON.
                None if text.trim().parse::<i64>().is_ok_and(|n| n.abs() > 99_999_999) => {
                    out.extend_from_slice(text.trim().as_bytes());
                }
                None => string(out, text),
            }
        }
        Kind::Column(ColumnKind::Items) | Kind::Json => match serde_json::from_str::<IgnoredAny>(text) {
            // Outside of strings a line break is only layout, and inside it is always escaped.
            Ok(_) => out.extend(text.bytes().map(|b| if b == b'\n' || b == b'\r' { b' ' } else { b })),
            Err(_) => string(out, text),
        },
        Kind::Column(ColumnKind::Text) | Kind::Extra => string(out, text),
    }
}

/// A number as JSON writes it, digit by digit as it was; `None` when the text is not one.
fn number(text: &str, column: Option<&Column>, whole: bool) -> Option<String> {
    let mut text = Cow::Borrowed(text.trim());
    if column.is_some_and(|c| c.decimal_comma) {
        text = Cow::Owned(text.replace('.', "").replace(',', "."));
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (digits.get(..at)?, digits.get(at..)?),
        None => (digits, ""),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if integer.len() + fraction.len() == 0 || !all_digits(integer) || !all_digits(fraction) {
        return None;
    }
    if !exponent.is_empty() && exponent.get(1..)?.parse::<i32>().is_err() {
        return None;
    }
    let integer = integer.trim_start_matches('0');
    // Spreadsheets and dataframes write whole numbers as 6.0.
    let fraction = if whole && exponent.is_empty() { fraction.trim_end_matches('0') } else { fraction };
    let zero = integer.is_empty() && fraction.bytes().all(|b| b == b'0');
    let negative = match column {
        Some(c) if c.abs => false,
        Some(c) if c.negate => !negative,
        _ => negative,
    };
    let sign = if negative && !zero { "-" } else { "" };
    let integer = if integer.is_empty() { "0" } else { integer };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{integer}{point}{fraction}{exponent}"))
}

fn time(text: &str, format: &TimeFormat) -> Option<DateTime<Utc>> {
    match format {
        TimeFormat::UnixMillis => DateTime::from_timestamp_millis(text.parse().ok()?),
        TimeFormat::UnixSeconds => {
            let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
            let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
            let seconds: i64 = seconds.parse().ok()?;
            let sign = if text.starts_with('-') { -1 } else { 1 };
            DateTime::from_timestamp_millis(seconds.checked_mul(1_000)?.checked_add(sign * millis)?)
        }
        TimeFormat::Pattern(pattern, zone) => {
            if let Ok(time) = DateTime::parse_from_str(text, pattern) {
                return Some(time.to_utc());
            }
            let local = NaiveDateTime::parse_from_str(text, pattern)
                .or_else(|_| NaiveDate::parse_from_str(text, pattern).map(|d| d.and_time(chrono::NaiveTime::MIN)));
            local_to_utc(local.ok()?, *zone)
        }
    }
}

fn local_to_utc(local: NaiveDateTime, zone: FixedOffset) -> Option<DateTime<Utc>> {
    zone.from_local_datetime(&local).single().map(|t| t.to_utc())
}

fn member(out: &mut Vec<u8>, start: usize, name: &str) {
    if out.len() > start {
        out.push(b',');
    }
    string(out, name);
    out.push(b':');
}

/// Appends `text` as a JSON string.
fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\') {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        match tail.first() {
            Some(&b @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', b]),
            Some(b'\n') => out.extend_from_slice(b"\\n"),
            Some(b'\t') => out.extend_from_slice(b"\\t"),
            Some(b) => out.extend_from_slice(format!("\\u{b:04x}").as_bytes()),
            None => {}
        }
        rest = tail.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
