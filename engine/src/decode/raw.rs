//! One JSON value as its text, and what columns read from that text.

use std::borrow::Cow;

use super::MAX_DEPTH;
use super::number::{self, NumberError};
use super::scan::{ScanError, unescape};
use super::time::{self, TimeError};
use crate::clock::Micros;
use crate::validate::{Reject, code};

/// One JSON value as its text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Raw<'de> {
    pub text: &'de str,
    /// Whether it is a string with escapes.
    escaped: bool,
}

pub(super) const NOT_JSON: &str = "the event is not valid JSON";

/// The reason for a text that is no event.
#[cold]
pub(super) fn unscannable(error: ScanError) -> Reject {
    match error {
        ScanError::Syntax(what, at) => Reject::event(code::INVALID_JSON, format!("{NOT_JSON}: {what} (byte {at})")),
        ScanError::TooDeep => {
            let message = format!("the event nests objects and arrays more than {MAX_DEPTH} deep");
            Reject::event(code::TOO_DEEP, message)
        }
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
}

impl TextProblem {
    #[cold]
    pub(super) fn reject(self, field: impl Into<Cow<'static, str>>) -> Reject {
        match self {
            Self::Type(kind, false) => wrong_type(field.into(), "a string", kind),
            Self::Type(kind, true) => wrong_type(field.into(), "a string or a number", kind),
            Self::Nul => nul(field.into()),
        }
    }
}

/// The reason for a text with a NUL in it.
pub(crate) fn nul(field: Cow<'static, str>) -> Reject {
    let message = format!("{field} holds a NUL character (\\u0000): remove it");
    Reject::new(field, code::INVALID_TEXT, message)
}

impl<'de> Raw<'de> {
    pub(super) fn new(text: &'de str, escaped: bool) -> Self {
        Self { text, escaped }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.text.as_bytes().first() {
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
            Kind::String => {
                let inner = &self.text[1..self.text.len() - 1];
                if self.escaped { unescaped(inner)? } else { Cow::Borrowed(inner) }
            }
            Kind::Number if numbers => return Ok(Some(Cow::Borrowed(self.text))),
            kind => return Err(TextProblem::Type(kind, numbers)),
        };
        Ok(if is_blank(&text) { None } else { Some(text) })
    }

    /// A number's text, or that of a string where those are taken too; `None` when it is null or blank.
    #[expect(clippy::ptr_arg, reason = "cloned into a rejection: a borrowed static name stays borrowed")]
    pub(super) fn number(&self, field: &Cow<'static, str>, strings: bool) -> Result<Option<Cow<'_, str>>, Reject> {
        match self.kind() {
            Kind::Null => Ok(None),
            Kind::Number => Ok(Some(Cow::Borrowed(self.text))),
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

    /// Money with decimals beyond the fourth rounded.
    pub(super) fn rounded_money(&self, field: Cow<'static, str>) -> Result<Option<i64>, Reject> {
        let Some(text) = self.number(&field, true)? else { return Ok(None) };
        number::rounded_money(&text).map(Some).map_err(|e| bad_money(field, e))
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
            Kind::Bool => Ok(Some(self.text.starts_with('t'))),
            kind => Err(wrong_type(field.into(), "true or false", kind)),
        }
    }

    pub(super) fn float(&self, field: &'static str) -> Result<Option<f64>, Reject> {
        match self.kind() {
            Kind::Null => Ok(None),
            // JSON numbers are a subset of what Rust reads; too large ones become infinite and fail their range.
            Kind::Number => Ok(self.text.parse().ok()),
            kind => Err(wrong_type(field.into(), "a number", kind)),
        }
    }

    pub(super) fn time(&self, field: &'static str) -> Result<Option<Micros>, Reject> {
        let time = match self.kind() {
            Kind::Null => return Ok(None),
            Kind::Number => time::epoch_ms(self.text),
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

/// The value of a string with escapes.
#[cold]
fn unescaped(inner: &str) -> Result<Cow<'static, str>, TextProblem> {
    let text = unescape(inner);
    if text.contains('\0') { Err(TextProblem::Nul) } else { Ok(Cow::Owned(text)) }
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
