//! One JSON value as its text, and what columns read from that text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Visitor};

use super::number::{self, NumberError};
use super::properties::check_escapes;
use super::time::{self, TimeError};
use crate::clock::Micros;
use crate::validate::{Reject, code};

/// How sonic-rs names its "give me the raw text" type; a test fails should that change.
const RAW_TOKEN: &str = "$sonic_rs::LazyValue";

/// One JSON value as its text: borrowed, unless it is a string with escapes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Raw<'de>(pub(super) Cow<'de, str>);

pub(super) struct RawSeed;

impl<'de> DeserializeSeed<'de> for RawSeed {
    type Value = Raw<'de>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw<'de>, D::Error> {
        deserializer.deserialize_newtype_struct(RAW_TOKEN, self)
    }
}

impl<'de> Visitor<'de> for RawSeed {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    #[inline]
    fn visit_borrowed_str<E>(self, raw: &'de str) -> Result<Raw<'de>, E> {
        Ok(Raw(Cow::Borrowed(raw)))
    }

    fn visit_str<E>(self, raw: &str) -> Result<Raw<'de>, E> {
        Ok(Raw(Cow::Owned(raw.to_owned())))
    }
}

/// A key of an object.
pub(super) struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    #[inline]
    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

pub(super) const NOT_JSON: &str = "the event is not valid JSON";

#[cold]
pub(super) fn syntax(error: &sonic_rs::Error) -> Reject {
    // Its first line is the reason; a drawing of the surrounding text follows.
    let text = error.to_string();
    let reason = text.lines().next().unwrap_or_default().trim_end_matches(['\n', ':', ' ']);
    Reject::event(code::INVALID_JSON, format!("{NOT_JSON}: {reason}"))
}

#[cold]
pub(super) fn not_an_object(event: &str) -> Reject {
    match sonic_rs::from_str::<serde::de::IgnoredAny>(event) {
        Ok(_) => Reject::event(code::NOT_AN_OBJECT, "an event must be a JSON object"),
        Err(e) => syntax(&e),
    }
}

#[cold]
pub(super) fn wrong_type(field: Cow<'static, str>, expected: &str, found: Kind) -> Reject {
    let message = format!("{field} must be {expected}, not {}", found.name());
    Reject::new(field, code::INVALID_TYPE, message)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// Why a value is no text for a column.
pub(super) enum TextProblem {
    Type(Kind, bool),
    Nul,
    Json,
}

impl TextProblem {
    #[cold]
    pub(super) fn reject(self, field: impl Into<Cow<'static, str>>) -> Reject {
        match self {
            Self::Type(kind, false) => wrong_type(field.into(), "a string", kind),
            Self::Type(kind, true) => wrong_type(field.into(), "a string or a number", kind),
            Self::Nul => nul(field.into()),
            Self::Json => Reject::event(code::INVALID_JSON, format!("{NOT_JSON}: invalid escape in a string")),
        }
    }
}

/// The reason for a text with a NUL in it.
pub(crate) fn nul(field: Cow<'static, str>) -> Reject {
    let message = format!("{field} holds a NUL character (\\u0000): remove it");
    Reject::new(field, code::INVALID_TEXT, message)
}

impl<'de> Raw<'de> {
    pub(super) fn kind(&self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// The text; `None` when it is null or blank.
    pub(super) fn text(&self, numbers: bool) -> Result<Option<Cow<'de, str>>, TextProblem> {
        let text = match self.kind() {
            Kind::Null => return Ok(None),
            Kind::String => match &self.0 {
                Cow::Borrowed(raw) => Cow::Borrowed(&raw[1..raw.len() - 1]),
                Cow::Owned(raw) => unescape(raw)?,
            },
            Kind::Number if numbers => return Ok(Some(self.0.clone())),
            kind => return Err(TextProblem::Type(kind, numbers)),
        };
        Ok(if is_blank(&text) { None } else { Some(text) })
    }

    /// A number's text, or that of a string where those are taken too; `None` when it is null or blank.
    #[expect(clippy::ptr_arg, reason = "cloned into a rejection: a borrowed static name stays borrowed")]
    pub(super) fn number(&self, field: &Cow<'static, str>, strings: bool) -> Result<Option<Cow<'_, str>>, Reject> {
        match self.kind() {
            Kind::Null => Ok(None),
            Kind::Number => Ok(Some(Cow::Borrowed(&*self.0))),
            Kind::String if strings => {
                let text = self.text(false).map_err(|problem| problem.reject(field.clone()))?;
                Ok(text.map(|text| match text {
                    Cow::Borrowed(text) => Cow::Borrowed(text.trim_ascii()),
                    Cow::Owned(text) => Cow::Owned(text.trim_ascii().to_owned()),
                }))
            }
            kind => Err(wrong_type(field.clone(), "a number", kind)),
        }
    }

    pub(super) fn money(&self, field: Cow<'static, str>) -> Result<Option<i64>, Reject> {
        let Some(text) = self.number(&field, true)? else { return Ok(None) };
        number::money(&text).map(Some).map_err(|e| bad_money(field, e))
    }

    pub(super) fn integer<T: TryFrom<i64>>(
        &self,
        field: Cow<'static, str>,
        strings: bool,
    ) -> Result<Option<T>, Reject> {
        let Some(text) = self.number(&field, strings)? else { return Ok(None) };
        let value = number::integer(&text).and_then(|value| T::try_from(value).map_err(|_| NumberError::Range));
        value.map(Some).map_err(|e| bad_integer(field, e))
    }

    /// Browsers measure in fractions of a millisecond: those are cut off.
    pub(super) fn load_ms(&self) -> Result<Option<i32>, Reject> {
        let field = Cow::Borrowed("load_ms");
        let Some(text) = self.number(&field, false)? else { return Ok(None) };
        let value = number::truncated(&text).and_then(|ms| i32::try_from(ms).map_err(|_| NumberError::Range));
        value.map(Some).map_err(|e| bad_integer(field, e))
    }

    pub(super) fn flag(&self, field: &'static str) -> Result<Option<bool>, Reject> {
        match self.kind() {
            Kind::Null => Ok(None),
            Kind::Bool => Ok(Some(self.0.starts_with('t'))),
            kind => Err(wrong_type(field.into(), "true or false", kind)),
        }
    }

    pub(super) fn float(&self, field: &'static str) -> Result<Option<f64>, Reject> {
        match self.kind() {
            Kind::Null => Ok(None),
            // JSON numbers are a subset of what Rust reads; too large ones become infinite and fail their range.
            Kind::Number => Ok(self.0.parse().ok()),
            kind => Err(wrong_type(field.into(), "a number", kind)),
        }
    }

    pub(super) fn time(&self, field: &'static str) -> Result<Option<Micros>, Reject> {
        let time = match self.kind() {
            Kind::Null => return Ok(None),
            Kind::Number => time::epoch_ms(&self.0),
            Kind::String => match self.text(false).map_err(|problem| problem.reject(field))? {
                None => return Ok(None),
                Some(text) => time::parse(&text),
            },
            kind => return Err(wrong_type(field.into(), "RFC 3339 text or epoch milliseconds", kind)),
        };
        time.map(Some).map_err(|e| bad_time(field, e))
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_whitespace())
}

/// The value of a JSON string with escapes. A lone surrogate becomes U+FFFD.
#[cold]
fn unescape(raw: &str) -> Result<Cow<'static, str>, TextProblem> {
    check_escapes(raw).map_err(|_| TextProblem::Json)?;
    let read = || sonic_rs::from_str::<String>(raw).or_else(|_| lossy(raw));
    let text = read().map_err(|_| TextProblem::Json)?;
    if text.contains('\0') { Err(TextProblem::Nul) } else { Ok(Cow::Owned(text)) }
}

fn lossy(raw: &str) -> sonic_rs::Result<String> {
    sonic_rs::Deserializer::from_str(raw).utf8_lossy().deserialize()
}

/// The reason for text that is no money.
#[cold]
pub(crate) fn bad_money(field: Cow<'static, str>, error: NumberError) -> Reject {
    let (code, message) = match error {
        NumberError::Syntax => (code::INVALID_NUMBER, format!("{field} is not a number such as 29.90")),
        NumberError::Inexact => {
            (code::MONEY_PRECISION, format!("{field} has more than 4 decimals: round it before sending"))
        }
        NumberError::Range => (code::OUT_OF_RANGE, format!("{field} must be below 100,000,000,000,000")),
    };
    Reject::new(field, code, message)
}

/// The reason for text that is no whole number.
#[cold]
pub(crate) fn bad_integer(field: Cow<'static, str>, error: NumberError) -> Reject {
    let (code, message) = match error {
        NumberError::Syntax => (code::INVALID_NUMBER, format!("{field} is not a whole number")),
        NumberError::Inexact => (code::NOT_AN_INTEGER, format!("{field} must be a whole number")),
        NumberError::Range => (code::OUT_OF_RANGE, format!("{field} is too large")),
    };
    Reject::new(field, code, message)
}

/// The reason for text that is no time.
#[cold]
pub(crate) fn bad_time(field: &'static str, error: TimeError) -> Reject {
    match error {
        TimeError::Syntax => Reject::new(
            field,
            code::INVALID_TIMESTAMP,
            format!("{field} must be RFC 3339 (2023-11-16T12:00:04.235Z) or epoch milliseconds"),
        ),
        TimeError::Range => {
            Reject::new(field, code::OUT_OF_RANGE, format!("{field} must lie between the years 1970 and 9999"))
        }
    }
}
