//! Dead letters as operators see them: what they ask and what they get, the same over HTTP and on the command line.

use std::fmt;

use base64::Engine as _;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tideline_engine::clock::Micros;
use tideline_engine::dead_letters::{DeadLetters, Filter, Kept, LetterId, Status};
use tideline_engine::engine::{Fix, Fixed, Replay};
use tideline_engine::error::{Error, Result};

use crate::cli::export;
use crate::cli::load::convert::{Place, convert};
use crate::cli::load::mapping::{Mapping, Part, Value as Source};
use crate::cli::load::read::mapped_row;
use crate::config::load::nearest;

/// Letters on a page unless told otherwise.
pub const PAGE: usize = 100;
/// The most on a page.
pub const MAX_PAGE: usize = 1_000;

/// Which letters are meant: those for which all that is given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Select {
    /// With this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Through this source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// With this API key's id; empty for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// With this field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Received at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Received before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

fn wrong(message: String) -> Error {
    Error::invalid("invalid_parameter", message)
}

/// Reads a letter's id.
///
/// # Errors
/// When it is none.
pub fn id(text: &str) -> Result<LetterId> {
    LetterId::parse(text.trim()).ok_or_else(|| {
        wrong(format!("`{text}` is not the id of a dead letter"))
            .with_hint("an id has 32 hex digits; `tideline dead-letters list` shows them")
    })
}

/// Reads a status; `None` is all of them.
///
/// # Errors
/// When it is none.
pub fn status(text: &str) -> Result<Option<Status>> {
    if text == "all" {
        return Ok(None);
    }
    Status::parse(text).map(Some).ok_or_else(|| {
        let mut error = wrong(format!("`status` is open, replayed, dropped or all, not `{text}`"));
        error.did_you_mean = nearest(text, ["open", "replayed", "dropped", "all"].into_iter()).map(str::to_owned);
        error
    })
}

impl Select {
    /// Whether nothing is given, so that all letters are meant.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As the engine takes it.
    ///
    /// # Errors
    /// When a time or an id is none.
    pub fn filter(&self, ids: &[String], status: Option<Status>) -> Result<Filter> {
        let time = |name: &str, text: &Option<String>| -> Result<Option<Micros>> {
            let Some(text) = text else { return Ok(None) };
            let time = export::time(name, text).map_err(|e| wrong(e.message).with_hint(e.hint.unwrap_or_default()))?;
            Ok(Some(time.timestamp_micros()))
        };
        Ok(Filter {
            ids: ids.iter().map(|text| id(text)).collect::<Result<_>>()?,
            code: self.code.clone(),
            source: self.source.clone(),
            key: self.key.clone(),
            field: self.field.clone(),
            since: time("since", &self.since)?,
            until: time("until", &self.until)?,
            status,
        })
    }
}

fn time(time: Micros) -> String {
    DateTime::from_timestamp_micros(time).map_or_else(String::new, |t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// A letter as JSON.
pub fn letter(kept: &Kept) -> Value {
    let letter = &kept.letter;
    let original = std::str::from_utf8(&letter.original);
    let mut value = json!({
        "id": kept.id.to_string(),
        "status": kept.status.name(),
        "received_at": time(letter.received_at),
        "source": letter.source,
        "key": letter.key,
        "index": letter.index,
        "field": letter.field,
        "code": letter.code,
        "message": letter.message,
        "original": original.ok(),
        "attempts": letter.attempts,
    });
    if original.is_err() {
        value["original_base64"] = base64::prelude::BASE64_STANDARD.encode(&letter.original).into();
    }
    match (kept.status, kept.settled_at) {
        (Status::Replayed, Some(at)) => value["replayed_at"] = time(at).into(),
        (Status::Dropped, Some(at)) => value["dropped_at"] = time(at).into(),
        _ => {}
    }
    value
}

/// A page of letters. The first one says how many there are of each code.
///
/// # Errors
/// When there is no letter `after`; else the disk's.
pub fn page(store: &DeadLetters, filter: &Filter, after: Option<LetterId>, limit: usize) -> Result<Value> {
    let found = store.list(filter, after, limit)?;
    let more = match found.last() {
        Some(last) => store.list(filter, Some(last.id), 1).map(|rest| !rest.is_empty())?.then_some(last.id),
        None => None,
    };
    let mut value = json!({
        "letters": found.iter().map(letter).collect::<Vec<_>>(),
        "next": more.map(|id| id.to_string()),
    });
    if after.is_none() {
        let counts = store.count_by_code(filter);
        value["total"] = counts.values().sum::<u64>().into();
        value["counts"] = json!(counts);
    }
    Ok(value)
}

/// What to replay and how.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayRequest {
    /// These letters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Of them, or of all: those.
    pub filter: Select,
    /// The text of a mapping file: makes each event anew from the members of the one that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// What the mapping is called in messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping_name: Option<String>,
    /// Fields to set in each event; null takes one out.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub fixes: Map<String, Value>,
    /// Say what would happen, and change nothing.
    pub dry_run: bool,
}

impl ReplayRequest {
    /// As the engine takes it.
    ///
    /// # Errors
    /// When the mapping, a time or an id is wrong.
    pub fn replay(&self) -> Result<Replay> {
        let name = self.mapping_name.as_deref().unwrap_or("mapping");
        let mapping = self.mapping.as_deref().map(|text| Mapping::parse(name, text)).transpose()?;
        if let Some(mapping) = &mapping {
            refuse_places(name, mapping)?;
        }
        let fixes: Vec<_> = self.fixes.iter().map(|(field, value)| (field.clone(), text_of(value))).collect();
        let fixer = Fixer { mapping, fixes };
        let is_needed = fixer.mapping.is_some() || !fixer.fixes.is_empty();
        Ok(Replay {
            select: self.filter.filter(&self.ids, Some(Status::Open))?,
            fix: if is_needed { Some(std::sync::Arc::new(fixer)) } else { None },
            dry_run: self.dry_run,
        })
    }
}

fn text_of(value: &Value) -> Option<String> {
    (!value.is_null()).then(|| value.to_string())
}

/// A letter has no line of a file: two letters would get the same.
fn refuse_places(name: &str, mapping: &Mapping) -> Result<()> {
    let names_place = |value: &Source| match value {
        Source::Template(parts) => parts.iter().any(|p| matches!(p, Part::Line | Part::File)),
        _ => false,
    };
    let field = mapping.plans.iter().flat_map(|plan| &plan.fields).find(|field| names_place(&field.value));
    field.map_or(Ok(()), |field| {
        let message = format!("{name}: `{}` uses {{line}} or {{file}}, and a dead letter has neither", field.name);
        Err(Error::invalid("invalid_mapping", message))
    })
}

/// Makes the event to store out of the one that was sent.
struct Fixer {
    mapping: Option<Mapping>,
    /// Field, and the JSON it is to be; `None` takes it out.
    fixes: Vec<(String, Option<String>)>,
}

impl fmt::Debug for Fixer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixer").field("fixes", &self.fixes).finish_non_exhaustive()
    }
}

impl Fix for Fixer {
    fn apply(&self, original: &Bytes) -> Result<Fixed, String> {
        let text = std::str::from_utf8(original).map_err(|_| "the event is not UTF-8".to_owned())?;
        let members = members(text).ok_or("the event is not a JSON object, so no field of it can be changed")?;
        let mut mapped = Vec::new();
        let mut members = match &self.mapping {
            None => members,
            Some(mapping) => {
                let event: Value = serde_json::from_str(text).map_err(|e| format!("the event is not JSON: {e}"))?;
                if !convert(mapping, &mapped_row(&event, mapping), Place { file: None, line: 0 }, &mut mapped) {
                    return Ok(Fixed::Skip);
                }
                let made = std::str::from_utf8(&mapped).ok().and_then(self::members);
                let mut made = made.ok_or("the mapping makes no JSON object of the event")?;
                // The event stays the one it was.
                let kept = members.into_iter().filter(|(name, _)| name == "event_id");
                if !made.iter().any(|(name, _)| name == "event_id") {
                    made.extend(kept);
                }
                made
            }
        };
        for (field, value) in &self.fixes {
            members.retain(|(name, _)| name != field);
            members.extend(value.as_deref().map(|value| (field.clone(), value)));
        }
        let members = members.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())));
        Ok(Fixed::Event(format!("{{{}}}", members.collect::<Vec<_>>().join(",")).into()))
    }
}

/// The members of a JSON object with their values as they are written: a number keeps all its digits. `None` when the
/// text is something else.
fn members(text: &str) -> Option<Vec<(String, &str)>> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let mut members = Vec::new();
    if let Some(after) = rest.strip_prefix('}') {
        return after.trim().is_empty().then_some(members);
    }
    loop {
        let mut names = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let name = names.next()?.ok()?;
        rest = rest.get(names.byte_offset()..)?.trim_start().strip_prefix(':')?.trim_start();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let end = values.byte_offset();
        members.push((name, rest.get(..end)?.trim()));
        rest = rest.get(end..)?.trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => return rest.strip_prefix('}').filter(|r| r.trim().is_empty()).map(|_| members),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(request: &ReplayRequest, original: &'static str) -> Result<Fixed, String> {
        let fix = request.replay().unwrap().fix.unwrap();
        fix.apply(&Bytes::from_static(original.as_bytes()))
    }

    fn event(text: &'static str) -> Result<Fixed, String> {
        Ok(Fixed::Event(text.into()))
    }

    fn fixes(json: Value) -> ReplayRequest {
        serde_json::from_value(json!({ "fixes": json })).unwrap()
    }

    #[test]
    fn fixes_set_add_and_take_out_fields_and_leave_the_others_as_they_are_written() {
        let request = fixes(json!({ "event_ts": "2026-01-31T12:00:00Z", "x": null, "n": 1.5 }));
        let original = r#" { "price" : 12345678901234.5000,"x":{"a":[1,2]}, "event_ts":"yesterday","s":"a\"}," } "#;
        let wanted = r#"{"price":12345678901234.5000,"s":"a\"},","event_ts":"2026-01-31T12:00:00Z","n":1.5}"#;
        assert_eq!(fixed(&request, original), event(wanted));
        assert_eq!(fixed(&fixes(json!({ "a": 1 })), "{}"), event(r#"{"a":1}"#));
    }

    #[test]
    fn what_is_no_object_cannot_be_fixed() {
        let request = fixes(json!({ "a": 1 }));
        for text in ["[{}]", "7", "{\"a\":1", "{\"a\" 1}", "{\"a\":1}}", "{,}", "{\"a\":1,}", ""] {
            assert!(fixed(&request, text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mapping_makes_the_event_anew_and_keeps_its_id() {
        let mapping = "[fields]\nevent_type = \"purchase\"\nevent_ts = { column = \"day\", time = \"%d.%m.%Y\" }\n\
                       price = \"{amount}\"\n[[rules]]\nwhen = { amount = { is = \"0\" } }\nskip = true\n";
        let request = ReplayRequest { mapping: Some(mapping.to_owned()), ..ReplayRequest::default() };
        let wanted = r#"{"event_ts":"2026-01-31T00:00:00.000Z","event_type":"purchase","price":7.50,"event_id":"e"}"#;
        let original = r#"{"event_id":"e","day":"31.01.2026","amount":"7.50","more":1}"#;
        assert_eq!(fixed(&request, original), event(wanted));
        assert_eq!(fixed(&request, r#"{"amount":"0"}"#), Ok(Fixed::Skip));
        let place = mapping.replace("\"{amount}\"", "\"{line}\"");
        let request = ReplayRequest { mapping: Some(place), ..ReplayRequest::default() };
        assert_eq!(request.replay().unwrap_err().code, "invalid_mapping");
    }

    #[test]
    fn what_is_asked_wrongly_is_said() {
        let select = |json: Value| serde_json::from_value::<Select>(json).unwrap().filter(&[], None);
        let filter = select(json!({ "since": "2026-01-31", "key": "" })).unwrap();
        assert_eq!(filter.since, Some(1_769_817_600_000_000));
        assert_eq!(select(json!({ "until": "soon" })).unwrap_err().code, "invalid_parameter");
        assert!(serde_json::from_value::<Select>(json!({ "cod": "x" })).is_err());
        assert_eq!(id("abc").unwrap_err().code, "invalid_parameter");
        assert_eq!(status("opne").unwrap_err().did_you_mean.as_deref(), Some("open"));
    }
}
