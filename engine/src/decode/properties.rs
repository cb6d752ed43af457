//! The column `properties`: what a client sends under that name and the fields no column takes, as the text of one
//! JSON object.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::raw::{Kind, Raw, wrong_type};
use super::scan::{self, ScanError, Scanner, code_unit};
use crate::validate::{Reject, code};

/// The object in `properties`; `None` when there is nothing in it.
pub(super) fn own_properties(raw: Raw<'_>) -> Result<Option<Cow<'_, str>>, Reject> {
    let object = match raw.kind() {
        Kind::Null => return Ok(None),
        Kind::Object => Cow::Borrowed(raw.text),
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
    text.starts_with('{') && text.ends_with('}') && scan::check(text).is_ok()
}

/// Members beyond which a map is quicker than comparing; events as clients send them stay below.
const MANY: usize = 64;

/// One object of an object's members and others; of a name that is there twice the last one counts.
pub(super) fn merged(own: Option<&str>, extras: &[(Cow<'_, str>, Cow<'_, str>)]) -> Result<String, ScanError> {
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
    let last: Option<HashMap<&str, usize>> =
        (extras.len() > MANY).then(|| extras.iter().enumerate().map(|(at, (name, _))| (&**name, at)).collect());
    let is_last = |at: usize, name: &str| match &last {
        Some(last) => last.get(name) == Some(&at),
        None => !extras[at + 1..].iter().any(|(other, _)| other == name),
    };
    let is_extra = |name: &str| match &last {
        Some(last) => last.contains_key(name),
        None => extras.iter().any(|(other, _)| other == name),
    };
    if let Some(own) = own {
        let mut scanner = Scanner::new(own, 0);
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(key) = scanner.next_key(&mut first)? {
            let value = scanner.value()?;
            if !is_extra(&key) {
                add(&key, value.text);
            }
        }
    }
    for (at, (key, value)) in extras.iter().enumerate() {
        if is_last(at, key) {
            add(key, value);
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

/// A scanned text with each lone surrogate replaced by U+FFFD: JSON's grammar allows them, but nobody can read them.
pub(super) fn mended(raw: Cow<'_, str>) -> Cow<'_, str> {
    let mut copy: Option<String> = None;
    let mut at = 0;
    while let Some(found) = raw[at..].find('\\') {
        let escape = at + found;
        at = escape + 2;
        if let Some(unit) = code_unit(&raw, escape) {
            at = escape + 6;
            match (unit, code_unit(&raw, at)) {
                (0xd800..0xdc00, Some(0xdc00..0xe000)) => at += 6,
                (0xd800..0xe000, _) => {
                    copy.get_or_insert_with(|| raw.to_string()).replace_range(escape + 2..at, "fffd");
                }
                _ => {}
            }
        }
    }
    copy.map_or(raw, Cow::Owned)
}
