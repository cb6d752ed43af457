//! Parameters of metrics: what a header declares, and a request's text as a value of that type, or a refusal.
//!
//! A value is bound to its placeholder and never becomes part of the query's text.

use chrono::{Days, Months, NaiveDate};
use datafusion::common::ScalarValue;
use datafusion::common::arrow::array::types::IntervalMonthDayNano;
use datafusion::common::arrow::datatypes::DataType;
use serde::Serialize;
use serde_json::json;

use crate::clock::{DAY, HOUR, MILLISECOND, Micros};
use crate::decode::time;
use crate::error::{Error, Result};
use crate::event::{day_name, day_of, parse_day};
use crate::query::encode::timestamp_text;
use crate::query::{BindType, Shop, nearest};

/// The instant a metric is asked for: what `now` is for its other parameters.
pub const AT: &str = "at";
/// The beginning of the range a metric is about.
pub const START: &str = "start";
/// Its end: the last day where it is a date, the first moment after where it is a timestamp.
pub const END: &str = "end";

/// The longest text and the most elements of a list, where a header sets no `max`.
const MAX_CHARS: usize = 1_000;
const MAX_ELEMENTS: usize = 200;
/// The longest duration and the farthest relative time.
const MAX_DAYS: i64 = 36_500;
/// The end of the year 9999.
const END_OF_TIME: Micros = 253_402_300_800_000_000;
/// Digits of [`BindType::Decimal`] after the point.
const SCALE: usize = 4;
/// The most digits before it.
const WHOLE_DIGITS: usize = 30;

/// The types of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Any text.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// An exact number with up to four digits after the point.
    Decimal,
    /// `true` or `false`.
    Boolean,
    /// A moment.
    Timestamp,
    /// A local day of the shop.
    Date,
    /// A length of time.
    Duration,
    /// One of the texts in [`Param::values`].
    Enum,
    /// Texts, separated by commas.
    List,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::String,
        Self::Integer,
        Self::Decimal,
        Self::Boolean,
        Self::Timestamp,
        Self::Date,
        Self::Duration,
        Self::Enum,
        Self::List,
    ];

    /// Its name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Duration => "duration",
            Self::Enum => "enum",
            Self::List => "list",
        }
    }

    /// Reads [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As what the query sees it.
    pub fn bind_type(self) -> BindType {
        match self {
            Self::String | Self::Enum => BindType::Text,
            Self::Integer => BindType::Integer,
            Self::Decimal => BindType::Decimal,
            Self::Boolean => BindType::Boolean,
            Self::Timestamp => BindType::Timestamp,
            Self::Date => BindType::Date,
            Self::Duration => BindType::Interval,
            Self::List => BindType::TextList,
        }
    }

    /// How it is written, for people.
    fn written(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Integer => "a whole number",
            Self::Decimal => "a number with at most 4 digits after the point",
            Self::Boolean => "true or false",
            Self::Timestamp => "a time (2026-03-01T09:30:00Z, now, today, or relative like -1h)",
            Self::Date => "a date (2026-03-01, today, or relative like -7d)",
            Self::Duration => "a duration (like 30m, 24h or 7d)",
            Self::Enum => "one of the listed values",
            Self::List => "a list of texts (a,b,c)",
        }
    }
}

/// A parameter as its header declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Param {
    /// Its name, in requests and, with a dollar sign, in the query.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether a request must have it.
    pub required: bool,
    /// Its value where a request does not have it; relative ones as they are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The least value; of a text the fewest characters, of a list the fewest elements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// The greatest value; of a text the most characters, of a list the most elements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// What an enum, or each element of a list, can be; of others empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What it is for.
    pub doc: String,
}

/// What relative times are relative to.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Now.
    pub now: Micros,
    /// Whose days they are.
    pub shop: &'a Shop,
}

/// A value of one of the types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An optional parameter that was not given.
    Null,
    /// Of [`Kind::String`] and [`Kind::Enum`].
    Text(String),
    /// Of [`Kind::Integer`].
    Integer(i64),
    /// Of [`Kind::Decimal`], in ten-thousandths.
    Decimal(i128),
    /// Of [`Kind::Boolean`].
    Boolean(bool),
    /// Of [`Kind::Timestamp`].
    Timestamp(Micros),
    /// Of [`Kind::Date`], in days since 1970-01-01.
    Date(i32),
    /// Of [`Kind::Duration`], in microseconds.
    Duration(Micros),
    /// Of [`Kind::List`].
    List(Vec<String>),
}

impl Value {
    /// As JSON shows it.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Text(text) => json!(text),
            Self::Integer(n) => json!(n),
            Self::Boolean(b) => json!(b),
            Self::List(texts) => json!(texts),
            Self::Decimal(n) => json!(decimal_text(*n)),
            Self::Timestamp(at) => json!(timestamp_text(*at)),
            Self::Date(day) => json!(day_name(*day)),
            Self::Duration(length) => json!(duration_text(*length)),
        }
    }

    /// As the query sees it.
    pub fn scalar(&self, kind: Kind) -> ScalarValue {
        match self {
            Self::Null => null(kind),
            Self::Text(text) => ScalarValue::Utf8View(Some(text.clone())),
            Self::Integer(n) => ScalarValue::Int64(Some(*n)),
            Self::Decimal(n) => ScalarValue::Decimal128(Some(*n), 38, 4),
            Self::Boolean(b) => ScalarValue::Boolean(Some(*b)),
            Self::Timestamp(at) => ScalarValue::TimestampMicrosecond(Some(*at), Some("UTC".into())),
            Self::Date(day) => ScalarValue::Date32(Some(*day)),
            Self::Duration(length) => {
                ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(0, 0, length * 1_000)))
            }
            Self::List(texts) => {
                let texts: Vec<ScalarValue> = texts.iter().map(|t| ScalarValue::Utf8View(Some(t.clone()))).collect();
                ScalarValue::List(ScalarValue::new_list_nullable(&texts, &DataType::Utf8View))
            }
        }
    }
}

fn null(kind: Kind) -> ScalarValue {
    match kind {
        Kind::String | Kind::Enum => ScalarValue::Utf8View(None),
        Kind::Integer => ScalarValue::Int64(None),
        Kind::Decimal => ScalarValue::Decimal128(None, 38, 4),
        Kind::Boolean => ScalarValue::Boolean(None),
        Kind::Timestamp => ScalarValue::TimestampMicrosecond(None, Some("UTC".into())),
        Kind::Date => ScalarValue::Date32(None),
        Kind::Duration => ScalarValue::IntervalMonthDayNano(None),
        Kind::List => ScalarValue::new_null_list(DataType::Utf8View, true, 1),
    }
}

fn decimal_text(units: i128) -> String {
    let (sign, digits) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    format!("{sign}{}.{:04}", digits / 10_000, digits % 10_000)
}

fn duration_text(length: Micros) -> String {
    let units = [(DAY, "d"), (HOUR, "h"), (60_000_000, "m"), (1_000_000, "s"), (MILLISECOND, "ms")];
    let (unit, name) = units.into_iter().find(|(unit, _)| length % unit == 0).unwrap_or((MILLISECOND, "ms"));
    format!("{}{name}", length / unit)
}

impl Param {
    /// Checks what the header says of itself: that default, bounds and values fit the type and each other.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, moment: &Moment<'_>) -> Result<()> {
        for bound in [&self.min, &self.max].into_iter().flatten() {
            if self.bound(bound, moment).is_none() {
                let what = self.bound_kind().map_or("no bounds at all", Kind::written);
                return Err(self.wrong(format!("the bound `{bound}` is not {what}")));
            }
        }
        if self.kind == Kind::Enum && self.values.is_empty() {
            return Err(self.wrong("an enum needs `values`").with_hint("write values = [\"a\", \"b\"]"));
        }
        match &self.default {
            Some(default) => self.read(default, moment).map(|_| ()).map_err(|e| e.context("its default")),
            None => Ok(()),
        }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Error {
        Error::invalid("invalid_parameter", format!("the parameter `{}`: {what}", self.name))
    }

    /// A request's text as a value within the bounds.
    ///
    /// # Errors
    /// `invalid_parameter`, naming the parameter, its type and its bounds.
    pub fn read(&self, text: &str, moment: &Moment<'_>) -> Result<Value> {
        let refused = || {
            let shown: String = text.chars().take(60).collect();
            let more = if text.chars().nth(60).is_some() { "…" } else { "" };
            Error::invalid(
                "invalid_parameter",
                format!("`{}` must be {}, not `{shown}{more}`", self.name, self.expected()),
            )
        };
        let value = self.parse(text, moment).ok_or_else(|| {
            let mut error = refused();
            if !self.values.is_empty() {
                error.did_you_mean = nearest(text, self.values.iter().map(String::as_str));
            }
            error
        })?;
        if self.is_within(&value, moment) { Ok(value) } else { Err(refused()) }
    }

    /// Type and bounds, for people: `a whole number from 1 to 100`.
    pub fn expected(&self) -> String {
        let mut text = match self.kind {
            Kind::Enum => format!("one of {}", self.values.join(", ")),
            Kind::List if !self.values.is_empty() => format!("a list of {}", self.values.join(", ")),
            kind => kind.written().to_owned(),
        };
        let of = match self.kind {
            Kind::String => " characters",
            Kind::List => " elements",
            _ => "",
        };
        match (&self.min, &self.max) {
            (Some(min), Some(max)) => text += &format!(" from {min} to {max}{of}"),
            (Some(min), None) => text += &format!(" of at least {min}{of}"),
            (None, Some(max)) => text += &format!(" of at most {max}{of}"),
            (None, None) => {}
        }
        text
    }

    fn parse(&self, text: &str, moment: &Moment<'_>) -> Option<Value> {
        let is_listed = |text: &str| self.values.is_empty() || self.values.iter().any(|v| v == text);
        Some(match self.kind {
            Kind::String => Value::Text(text.to_owned()),
            Kind::Enum => Value::Text(is_listed(text).then(|| text.to_owned())?),
            Kind::Integer => Value::Integer(text.trim().parse().ok()?),
            Kind::Decimal => Value::Decimal(decimal(text.trim())?),
            Kind::Boolean => Value::Boolean(match text.trim() {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return None,
            }),
            Kind::Timestamp => Value::Timestamp(timestamp(text.trim(), moment)?),
            Kind::Date => Value::Date(date(text.trim(), moment)?),
            Kind::Duration => Value::Duration(duration(text.trim())?),
            Kind::List => {
                let texts = list(text)?;
                Value::List(texts.iter().all(|t| is_listed(t)).then_some(texts)?)
            }
        })
    }

    /// The type bounds are written in; `None` where there cannot be any.
    fn bound_kind(&self) -> Option<Kind> {
        match self.kind {
            Kind::Boolean | Kind::Enum => None,
            Kind::String | Kind::List => Some(Kind::Integer),
            kind => Some(kind),
        }
    }

    /// A bound, comparable with [`measure`].
    fn bound(&self, text: &str, moment: &Moment<'_>) -> Option<i128> {
        let kind = self.bound_kind()?;
        let plain = Self { kind, min: None, max: None, values: Vec::new(), ..self.clone() };
        plain.parse(text, moment).map(|value| measure(&value))
    }

    fn is_within(&self, value: &Value, moment: &Moment<'_>) -> bool {
        let size = measure(value);
        let of = |bound: &Option<String>| bound.as_ref().and_then(|text| self.bound(text, moment));
        let max = of(&self.max).or(match self.kind {
            Kind::String => Some(MAX_CHARS as i128),
            Kind::List => Some(MAX_ELEMENTS as i128),
            _ => None,
        });
        of(&self.min).is_none_or(|min| size >= min) && max.is_none_or(|max| size <= max)
    }
}

/// What bounds are compared with.
fn measure(value: &Value) -> i128 {
    match value {
        Value::Null | Value::Boolean(_) => 0,
        Value::Text(text) => text.chars().count() as i128,
        Value::List(texts) => texts.len() as i128,
        Value::Integer(n) | Value::Timestamp(n) | Value::Duration(n) => i128::from(*n),
        Value::Decimal(n) => *n,
        Value::Date(day) => i128::from(*day),
    }
}

/// `-12.5` in ten-thousandths.
fn decimal(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || fraction.len() > SCALE || whole.len() > WHOLE_DIGITS {
        return None;
    }
    let units: i128 = format!("{whole}{fraction:0<SCALE$}").parse().ok()?;
    Some(if digits.len() < text.len() { -units } else { units })
}

/// `90s`, `1h30m`, `7d`: never negative, at most [`MAX_DAYS`].
pub(super) fn duration(text: &str) -> Option<Micros> {
    let mut rest = text;
    let mut total: Micros = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit {
            "ms" => MILLISECOND,
            "s" => 1_000_000,
            "m" | "min" => 60_000_000,
            "h" => HOUR,
            "d" => DAY,
            "w" => 7 * DAY,
            _ => return None,
        };
        total = number.parse::<Micros>().ok()?.checked_mul(unit)?.checked_add(total)?;
        rest = tail;
    }
    (!text.is_empty() && total <= MAX_DAYS * DAY).then_some(total)
}

/// A sign and what follows it.
fn signed(text: &str) -> Option<(i64, &str)> {
    match text.split_at_checked(1)? {
        ("-", rest) => Some((-1, rest)),
        ("+", rest) => Some((1, rest)),
        _ => None,
    }
}

/// From 1970 to 9999, as events are.
fn timestamp(text: &str, moment: &Moment<'_>) -> Option<Micros> {
    any_timestamp(text, moment).filter(|at| (0..END_OF_TIME).contains(at))
}

fn any_timestamp(text: &str, moment: &Moment<'_>) -> Option<Micros> {
    let midnight = |day: i32| moment.shop.midnight(day);
    match text {
        "now" => return Some(moment.now),
        "today" => return midnight(moment.shop.day(moment.now)),
        _ => {}
    }
    if let Some((sign, length)) = signed(text) {
        return moment.now.checked_add(sign * duration(length)?);
    }
    if let Some(day) = plain_day(text) {
        return midnight(day);
    }
    // A plus sign that nobody escaped arrives as a space.
    let offset = text.len().checked_sub(6).filter(|at| text.as_bytes().get(*at) == Some(&b' '));
    let mended = match offset {
        Some(at) if text.contains('T') => format!("{}+{}", text.get(..at)?, text.get(at + 1..)?),
        _ => text.to_owned(),
    };
    time::parse(&mended).ok()
}

/// `2026-03-01` and nothing looser.
fn plain_day(text: &str) -> Option<i32> {
    parse_day(text).filter(|day| day_name(*day) == text)
}

fn date(text: &str, moment: &Moment<'_>) -> Option<i32> {
    let today = moment.shop.day(moment.now);
    match text {
        "now" | "today" => return Some(today),
        "yesterday" => return Some(today - 1),
        _ => {}
    }
    let Some((sign, length)) = signed(text) else { return plain_day(text) };
    let digits = length.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = length.split_at(digits);
    let number: u32 = number.parse().ok().filter(|n| i64::from(*n) <= MAX_DAYS)?;
    let from = NaiveDate::from_ymd_opt(1970, 1, 1)?;
    let from = match u64::try_from(today) {
        Ok(days) => from.checked_add_days(Days::new(days))?,
        Err(_) => from.checked_sub_days(Days::new(u64::from(today.unsigned_abs())))?,
    };
    let (days, months) = match unit {
        "d" => (u64::from(number), 0),
        "w" => (u64::from(number) * 7, 0),
        "mo" => (0, number),
        "y" => (0, number.checked_mul(12)?),
        _ => return None,
    };
    let (days, months) = (Days::new(days), Months::new(months));
    let to = if sign < 0 {
        from.checked_sub_days(days)?.checked_sub_months(months)?
    } else {
        from.checked_add_days(days)?.checked_add_months(months)?
    };
    plain_day(&to.format("%Y-%m-%d").to_string())
}

/// `a,b` or, where an element has a comma, `["a,b","c"]`.
fn list(text: &str) -> Option<Vec<String>> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).ok();
    }
    Some(text.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect())
}

/// The values of a request, in the order of the header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved(pub Vec<(String, Kind, Value)>);

impl Resolved {
    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, ..)| n == name).map(|(.., value)| value)
    }

    /// As answers show them.
    pub fn json(&self) -> serde_json::Value {
        self.0.iter().map(|(name, _, value)| (name.clone(), value.json())).collect::<serde_json::Map<_, _>>().into()
    }

    /// As the query sees them.
    pub fn scalars(&self) -> Vec<(String, ScalarValue)> {
        self.0.iter().map(|(name, kind, value)| (name.clone(), value.scalar(*kind))).collect()
    }

    /// The range of the same length that ends where this one begins; `None` without a range.
    pub fn previous(&self) -> Option<Self> {
        let (start, end) = match (self.get(START)?, self.get(END)?) {
            // Both days belong to the range.
            (Value::Date(start), Value::Date(end)) => {
                let days = end.checked_sub(*start)?.checked_add(1)?;
                (Value::Date(start.checked_sub(days)?), Value::Date(start.checked_sub(1)?))
            }
            // The end does not.
            (Value::Timestamp(start), Value::Timestamp(end)) => {
                (Value::Timestamp(start.checked_sub(end.checked_sub(*start)?)?), Value::Timestamp(*start))
            }
            _ => return None,
        };
        let mut previous = self.clone();
        for (name, _, value) in &mut previous.0 {
            match name.as_str() {
                START => *value = start.clone(),
                END => *value = end.clone(),
                _ => {}
            }
        }
        Some(previous)
    }
}

/// The values of a request for `params`. `also` are names that the request may have besides.
///
/// A blank value is a missing one. Where a metric takes `at`, that moment is `now` for its other parameters.
///
/// # Errors
/// `unknown_parameter`, `missing_parameter`, `repeated_parameter`, `invalid_parameter`, `invalid_range`.
pub fn resolve(
    params: &[Param],
    given: &[(String, String)],
    moment: Moment<'_>,
    also: &[&'static str],
) -> Result<Resolved> {
    for (place, (name, _)) in given.iter().enumerate() {
        if !params.iter().any(|p| p.name == *name) {
            return Err(unknown(params, name, also));
        }
        if given.iter().take(place).any(|(earlier, _)| earlier == name) {
            return Err(Error::invalid("repeated_parameter", format!("`{name}` is given twice")));
        }
    }
    let mut moment = moment;
    if let Some(at) = params.iter().find(|p| p.name == AT && p.kind == Kind::Timestamp)
        && let Some(text) = text_of(at, given)
        && let Value::Timestamp(at) = at.read(text, &moment)?
    {
        moment.now = at;
    }
    let mut resolved = Resolved::default();
    for param in params {
        let value = match text_of(param, given) {
            Some(text) => param.read(text, &moment)?,
            None if param.required => {
                let message = format!("`{}` is missing; it must be {}", param.name, param.expected());
                return Err(Error::invalid("missing_parameter", message).with_hint(param.doc.clone()));
            }
            None => Value::Null,
        };
        resolved.0.push((param.name.clone(), param.kind, value));
    }
    let backwards = match (resolved.get(START), resolved.get(END)) {
        (Some(Value::Date(start)), Some(Value::Date(end))) => start > end,
        (Some(Value::Timestamp(start)), Some(Value::Timestamp(end))) => start > end,
        _ => false,
    };
    if backwards {
        let show = |name| resolved.get(name).map_or_else(String::new, |v| v.json().to_string().replace('"', ""));
        let message = format!("`start` ({}) is after `end` ({})", show(START), show(END));
        return Err(Error::invalid("invalid_range", message));
    }
    Ok(resolved)
}

/// What a request says of a parameter, else its default.
fn text_of<'a>(param: &'a Param, given: &'a [(String, String)]) -> Option<&'a str> {
    let given = given.iter().find(|(name, value)| *name == param.name && !value.trim().is_empty());
    given.map(|(_, value)| value.as_str()).or(param.default.as_deref())
}

fn unknown(params: &[Param], name: &str, also: &[&'static str]) -> Error {
    let known: Vec<&str> = params.iter().map(|p| p.name.as_str()).chain(also.iter().copied()).collect();
    let shown: String = name.chars().take(60).collect();
    let mut error = Error::invalid("unknown_parameter", format!("`{shown}` is not a parameter here"))
        .with_hint(format!("the parameters are {}", known.join(", ")));
    error.did_you_mean = nearest(name, known);
    error
}

/// A value within the bounds for trying a query out, where there is no default.
pub fn sample(param: &Param, moment: &Moment<'_>) -> Value {
    let text = param.default.as_ref().or(param.min.as_ref().filter(|_| param.bound_kind() == Some(param.kind)));
    if let Some(value) = text.and_then(|text| param.read(text, moment).ok()) {
        return value;
    }
    match param.kind {
        Kind::String => Value::Text("x".to_owned()),
        Kind::Enum => Value::Text(param.values.first().cloned().unwrap_or_default()),
        Kind::Integer => Value::Integer(1),
        Kind::Decimal => Value::Decimal(10_000),
        Kind::Boolean => Value::Boolean(true),
        Kind::Timestamp => Value::Timestamp(moment.now),
        Kind::Date => Value::Date(day_of(moment.now)),
        Kind::Duration => Value::Duration(HOUR),
        Kind::List => Value::List(vec!["x".to_owned()]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::query::time_zone;

    /// 2026-03-29T00:30:00Z: a quarter past … in Berlin it is 01:30, half an hour before clocks move.
    const NOW: Micros = 1_774_744_200_000_000;

    fn berlin() -> Shop {
        Shop { time_zone: time_zone("Europe/Berlin").unwrap(), ..Shop::default() }
    }

    fn param(kind: Kind) -> Param {
        Param {
            name: "p".to_owned(),
            kind,
            required: true,
            default: None,
            min: None,
            max: None,
            values: if kind == Kind::Enum { vec!["day".into(), "hour".into()] } else { Vec::new() },
            doc: String::new(),
        }
    }

    fn read(kind: Kind, text: &str) -> Option<String> {
        let shop = berlin();
        let value = param(kind).read(text, &Moment { now: NOW, shop: &shop }).ok()?;
        let json = value.json();
        Some(json.as_str().map_or_else(|| json.to_string(), str::to_owned))
    }

    #[test]
    fn texts_become_values_of_their_type() {
        for (kind, text, value) in [
            (Kind::Integer, "-42", Some("-42")),
            (Kind::Integer, "4.5", None),
            (Kind::Integer, "99999999999999999999", None),
            (Kind::Decimal, "12.5", Some("12.5000")),
            (Kind::Decimal, "-0.0005", Some("-0.0005")),
            (Kind::Decimal, "0.00005", None),
            (Kind::Decimal, "1e3", None),
            (Kind::Decimal, ".", None),
            (Kind::Boolean, "true", Some("true")),
            (Kind::Boolean, "yes", None),
            (Kind::Date, "2026-02-28", Some("2026-02-28")),
            (Kind::Date, "2026-02-29", None),
            (Kind::Date, "2026-2-28", None),
            (Kind::Date, "today", Some("2026-03-29")),
            (Kind::Date, "-29d", Some("2026-02-28")),
            (Kind::Date, "+1w", Some("2026-04-05")),
            (Kind::Date, "-1mo", Some("2026-02-28")),
            (Kind::Date, "-1y", Some("2025-03-29")),
            (Kind::Date, "29d", None),
            (Kind::Date, "-", None),
            (Kind::Date, "", None),
            (Kind::Timestamp, "now", Some("2026-03-29T00:30:00.000Z")),
            (Kind::Timestamp, "today", Some("2026-03-28T23:00:00.000Z")),
            (Kind::Timestamp, "2026-03-30", Some("2026-03-29T22:00:00.000Z")),
            (Kind::Timestamp, "-1h30m", Some("2026-03-28T23:00:00.000Z")),
            (Kind::Timestamp, "2026-03-01T09:30:00+01:00", Some("2026-03-01T08:30:00.000Z")),
            (Kind::Timestamp, "2026-03-01T09:30:00 01:00", Some("2026-03-01T08:30:00.000Z")),
            (Kind::Timestamp, "yesterday", None),
            (Kind::Duration, "90m", Some("90m")),
            (Kind::Duration, "1h30m", Some("90m")),
            (Kind::Duration, "7d", Some("7d")),
            (Kind::Duration, "7", None),
            (Kind::Duration, "999999999999d", None),
            (Kind::Enum, "day", Some("day")),
            (Kind::Enum, "week", None),
            (Kind::List, "a, b,,c", Some(r#"["a","b","c"]"#)),
            (Kind::List, r#"["a,b"]"#, Some(r#"["a,b"]"#)),
            (Kind::List, "[1", None),
        ] {
            assert_eq!(read(kind, text).as_deref(), value, "{kind:?} {text}");
        }
    }

    #[test]
    fn bounds_are_kept_and_named() {
        let shop = berlin();
        let moment = Moment { now: NOW, shop: &shop };
        let limit = Param { min: Some("1".into()), max: Some("100".into()), ..param(Kind::Integer) };
        assert_eq!(limit.read("100", &moment).unwrap(), Value::Integer(100));
        let error = limit.read("101", &moment).unwrap_err();
        assert_eq!(error.code, "invalid_parameter");
        assert_eq!(error.message, "`p` must be a whole number from 1 to 100, not `101`");
        let day = Param { max: Some("today".into()), ..param(Kind::Date) };
        assert!(day.read("today", &moment).is_ok() && day.read("+1d", &moment).is_err());
        let text = Param { max: Some("3".into()), ..param(Kind::String) };
        assert!(text.read("äöü", &moment).is_ok() && text.read("abcd", &moment).is_err());
        assert!(param(Kind::String).read(&"x".repeat(1_001), &moment).is_err());
        let slip = param(Kind::Enum).read("dya", &moment).unwrap_err();
        assert_eq!(slip.did_you_mean.as_deref(), Some("day"));
        for wrong in [
            Param { max: Some("today".into()), ..param(Kind::Integer) },
            Param { min: Some("1".into()), ..param(Kind::Boolean) },
            Param { default: Some("0".into()), min: Some("1".into()), ..param(Kind::Integer) },
            Param { values: Vec::new(), ..param(Kind::Enum) },
        ] {
            assert!(wrong.check(&moment).is_err(), "{wrong:?}");
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    fn named(name: &str, kind: Kind, default: Option<&str>) -> Param {
        let default = default.map(str::to_owned);
        Param { name: name.to_owned(), required: default.is_none(), default, ..param(kind) }
    }

    #[test]
    fn what_is_relative_is_relative_to_at() {
        let shop = berlin();
        let params = [
            named(START, Kind::Date, Some("-6d")),
            named(END, Kind::Date, Some("today")),
            named(AT, Kind::Timestamp, Some("now")),
        ];
        let get = |given: &[(&str, &str)]| {
            let moment = Moment { now: NOW, shop: &shop };
            resolve(&params, &pairs(given), moment, &["format"]).map(|r| r.json().to_string())
        };
        assert_eq!(
            get(&[("at", "2026-03-09T23:30:00Z"), ("start", " ")]).unwrap(),
            r#"{"at":"2026-03-09T23:30:00.000Z","end":"2026-03-10","start":"2026-03-04"}"#
        );
        let code = |given: &[(&str, &str)]| get(given).unwrap_err().code;
        assert_eq!(code(&[("start", "2026-03-30")]), "invalid_range");
        assert_eq!(code(&[("start", "-1d"), ("start", "-2d")]), "repeated_parameter");
        let unknown = get(&[("strat", "-1d")]).unwrap_err();
        assert_eq!((unknown.code, unknown.did_you_mean.as_deref()), ("unknown_parameter", Some("start")));
        let required = [named("user", Kind::String, None)];
        let missing = resolve(&required, &[], Moment { now: NOW, shop: &shop }, &[]).unwrap_err();
        assert_eq!(missing.code, "missing_parameter");
    }

    #[test]
    fn the_range_before_has_the_same_length() {
        let range = |start: Value, end: Value, kind| {
            Resolved(vec![(START.to_owned(), kind, start), (END.to_owned(), kind, end)]).previous().unwrap()
        };
        let days = range(Value::Date(100), Value::Date(106), Kind::Date);
        assert_eq!((days.get(START), days.get(END)), (Some(&Value::Date(93)), Some(&Value::Date(99))));
        let moments = range(Value::Timestamp(100), Value::Timestamp(160), Kind::Timestamp);
        assert_eq!((moments.get(START), moments.get(END)), (Some(&Value::Timestamp(40)), Some(&Value::Timestamp(100))));
        assert_eq!(Resolved::default().previous(), None);
    }

    proptest! {
        /// Whatever is sent, it is a value of the declared type or a refusal: nothing panics, nothing is spliced.
        #[test]
        fn any_text_is_bound_or_refused(
            text in prop_oneof![any::<String>(), "[-+]?[0-9]{0,22}(d|w|mo|y|h|m|s|ms|\\.[0-9]{0,6})?", "[0-9T:. +-]{0,30}"],
            kind in 0..9usize,
            now in prop_oneof![any::<i64>(), Just(NOW)],
        ) {
            let kind = Kind::ALL[kind];
            let shop = berlin();
            let moment = Moment { now: now.clamp(0, 250_000_000_000_000_000) / 1_000 * 1_000, shop: &shop };
            match param(kind).read(&text, &moment) {
                Ok(value) => {
                    let scalar = value.scalar(kind);
                    prop_assert_eq!(scalar.data_type(), null(kind).data_type());
                    prop_assert!(!scalar.is_null());
                    // What is shown in the answer can be sent back and means the same.
                    if kind != Kind::String && kind != Kind::List {
                        let shown = value.json();
                        let shown = shown.as_str().map_or_else(|| shown.to_string(), str::to_owned);
                        prop_assert_eq!(param(kind).read(&shown, &moment).ok(), Some(value));
                    }
                }
                Err(error) => prop_assert_eq!(error.code, "invalid_parameter"),
            }
        }
    }
}
