//! The column `properties`: what a client sends under that name and the fields no column takes, as the text of one
//! JSON object.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};

use super::raw::{KeySeed, Kind, NOT_JSON, Raw, RawSeed, syntax, wrong_type};
use crate::validate::{Reject, code};

/// The object in `properties`; `None` when there is nothing in it.
pub(super) fn own_properties<'de>(raw: Raw<'de>) -> Result<Option<Cow<'de, str>>, Reject> {
    let object = match raw.kind() {
        Kind::Null => return Ok(None),
        Kind::Object => raw.0,
        // Our own exports carry the column as text.
        Kind::String => match raw.text(false).map_err(|problem| problem.reject("properties"))? {
            None => return Ok(None),
            Some(text) if is_object(&text) => text,
            Some(_) => {
                let message = "properties must be an object, or a string that holds one";
                return Err(Reject::new("properties", code::INVALID_TYPE, message));
            }
        },
        kind => return Err(wrong_type("properties".into(), "an object", kind)),
    };
    let inner = object[1..object.len() - 1].trim_ascii();
    Ok(if inner.is_empty() { None } else { Some(object) })
}

/// Whether a text is one JSON object, not nested deeper than an event may be.
pub(crate) fn is_object(text: &str) -> bool {
    text.starts_with('{')
        && text.ends_with('}')
        && super::json::depth_within(text.as_bytes(), super::MAX_DEPTH)
        && sonic_rs::from_str::<serde::de::IgnoredAny>(text).is_ok()
        && check_escapes(text).is_ok()
}

pub(super) fn merged(own: Option<&str>, extras: &[(Cow<'_, str>, Raw<'_>)]) -> Result<String, Reject> {
    let mut out = String::with_capacity(own.map_or(0, str::len) + extras.len() * 48 + 2);
    out.push('{');
    let mut add = |key: &str, value: &str| {
        if out.len() > 1 {
            out.push(',');
        }
        push_json_string(&mut out, key);
        out.push(':');
        out.push_str(value);
    };
    if let Some(own) = own {
        let mut deserializer = sonic_rs::Deserializer::from_str(own);
        let pairs = deserializer.deserialize_map(PairsVisitor).map_err(|e| syntax(&e))?;
        for (key, value) in pairs {
            if !extras.iter().any(|(name, _)| *name == key) {
                add(&key, &value.0);
            }
        }
    }
    for (at, (key, value)) in extras.iter().enumerate() {
        if !extras[at + 1..].iter().any(|(name, _)| name == key) {
            add(key, &value.0);
        }
    }
    out.push('}');
    Ok(out)
}

/// Appends a text as a JSON string.
pub(crate) fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                out.push_str("\\u00");
                out.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
                out.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            }
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// The parser skips over `\u` without looking at the digits, so raw text is checked before it is kept.
pub(super) fn check_escapes(raw: &str) -> Result<(), Reject> {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let escape = &rest.as_bytes()[at + 1..];
        let length = match escape.first() {
            Some(b'u') if escape.len() >= 5 && escape[1..5].iter().all(u8::is_ascii_hexdigit) => 5,
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 1,
            _ => return Err(Reject::event(code::INVALID_JSON, format!("{NOT_JSON}: invalid escape in a string"))),
        };
        // After an escape only ASCII was passed, so this is a character boundary.
        rest = &rest[at + 1 + length..];
    }
    Ok(())
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Vec<(Cow<'de, str>, Raw<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            pairs.push((key, map.next_value_seed(RawSeed)?));
        }
        Ok(pairs)
    }
}
