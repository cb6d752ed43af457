//! CloudEvents 1.0 in JSON → the same rows as JSON of our own (<https://github.com/cloudevents/spec>, JSON event format and HTTP
//! protocol binding).
//!
//! A body is one event or an array of them. `data` is read exactly as an event of our own would be; the attributes
//! around it come first:
//!
//! | attribute | becomes |
//! |---|---|
//! | `specversion` | nothing; it must be `1.0` |
//! | `source`, `id` | `event_id`: `SOURCE\|ID`, as only both together are unique. Where that is longer than 256 bytes, or the source has a `\|` (no URI has), it is `ce_` and the 32 hex digits of SipHash-2-4-128 of both, a NUL between them |
//! | `type` | `event_type`: its last part (`com.example.shop.purchase`, `com.example.shop.purchase.v2`), where that is a type of ours, else all of it |
//! | `time` | `event_ts`. Without it that of `data` counts; one of them is needed |
//! | names of our columns | those columns: what a fixed dead letter says |
//! | `source`, `subject`, `dataschema`, other extensions, and a `type` of which only the end was used | `properties`, under `cloudevent` |
//!
//! `subject` is no user: it is whatever the event is about, often an order or a file. What `data` says of the columns that the
//! attributes fill stays in `properties`, as it was sent.
//!
//! In binary mode the attributes are headers: [`structured`] makes of such a request what structured mode would have sent.

use std::borrow::Cow;

use bytes::Bytes;
use siphasher::sip128::SipHasher24;

use super::json::{BYTE_ORDER_MARK, array, trimmed};
use super::names::{Target, target};
use super::object::ObjectReader;
use super::properties::{merged, push_json_string};
use super::raw::{Kind, Raw, unscannable, wrong_type};
use super::scan::{ScanError, Scanner, check};
use super::{CONTENT_KEY, DecodeContext, Decoded, Dialect, Sink};
use crate::error::{Error, Result};
use crate::validate::{Reject, code, is_browsing, text};

/// What dead letters of this source are known by, so that a replay reads them as they were read first.
pub const SOURCE: &str = "cloudevents";

/// The version of the specification that is read.
const VERSION: &str = "1.0";
/// Longest `SOURCE|ID` that stands in an event id as it is.
const PLAIN_ID_BYTES: usize = 256;
/// What headers of the binary mode begin with.
const HEADER_PREFIX: &str = "ce-";

/// Whether an event type is one that metrics know.
fn is_known(event_type: &str) -> bool {
    const OTHERS: [&str; 8] =
        ["purchase", "refund", "order_cancelled", "order_updated", "stock_level", "identify", "group", "alias"];
    is_browsing(event_type) || OTHERS.contains(&event_type)
}

/// The end of a type that is one of ours.
fn known_end(kind: &str) -> Option<&str> {
    let is_version =
        |part: &str| part.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let mut parts = kind.rsplit(['.', '/']);
    let last = parts.next().filter(|part| !is_version(part)).or_else(|| parts.next())?;
    is_known(last).then_some(last)
}

/// Decodes a whole body.
pub(super) fn decode(body: &Bytes, ctx: &DecodeContext) -> Result<Decoded> {
    let start = if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let all = trimmed(body, start..body.len());
    if all.is_empty() {
        return Err(Error::invalid("empty_body", "the body is empty")
            .with_hint("send one CloudEvent, or a JSON array of them as application/cloudevents-batch+json"));
    }
    let mut sink = Sink::new(body, ctx);
    sink.dialect = Dialect::CloudEvents;
    if body[all.start] == b'[' {
        array(body, all, &mut sink)?
    } else {
        sink.event(all)?
    }
    sink.finish()
}

/// An event's attributes, as they were sent.
#[derive(Debug, Default)]
struct Attributes<'de> {
    version: Option<Raw<'de>>,
    id: Option<Raw<'de>>,
    source: Option<Raw<'de>>,
    kind: Option<Raw<'de>>,
    time: Option<Raw<'de>>,
    data: Option<Raw<'de>>,
    binary: Option<Raw<'de>>,
    /// Those that are columns of ours.
    columns: Vec<(Target, Raw<'de>)>,
    /// Those that are kept as they are.
    others: Vec<(Cow<'de, str>, Cow<'de, str>)>,
}

impl<'de> Attributes<'de> {
    fn read(scanner: &mut Scanner<'de>) -> Result<Self, ScanError> {
        let mut found = Self::default();
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(name) = scanner.next_key(&mut first)? {
            let raw = scanner.value()?;
            let place = match &*name {
                "specversion" => &mut found.version,
                "id" => &mut found.id,
                "source" => &mut found.source,
                "type" => &mut found.kind,
                "time" => &mut found.time,
                "data" => &mut found.data,
                "data_base64" => &mut found.binary,
                // The data was read, so it says nothing more.
                "datacontenttype" => continue,
                _ if raw.is_null() => continue,
                _ => {
                    match target(&name) {
                        Target::Unknown | Target::Alias(_) | Target::Nested(_) => {
                            found.others.push((name, Cow::Borrowed(raw.text)));
                        }
                        column => found.columns.push((column, raw)),
                    }
                    continue;
                }
            };
            *place = (!raw.is_null()).then_some(raw);
        }
        Ok(found)
    }

    fn event_id(&self) -> Result<String, Reject> {
        let (source, id) = (required(self.source, "source")?, required(self.id, "id")?);
        Ok(if source.len() + id.len() < PLAIN_ID_BYTES && !source.contains('|') {
            format!("{source}|{id}")
        } else {
            let hash = SipHasher24::new_with_key(&CONTENT_KEY).hash(format!("{source}\0{id}").as_bytes());
            format!("ce_{:032x}", hash.as_u128())
        })
    }

    fn check_version(&self) -> Result<(), Reject> {
        match required(self.version, "specversion")?.as_ref() {
            VERSION => Ok(()),
            other => {
                let message = format!("specversion {other:?} is not known: send CloudEvents {VERSION}");
                Err(Reject::new("specversion", code::UNSUPPORTED_SPECVERSION, message))
            }
        }
    }

    fn sets(&self, slot: usize) -> bool {
        self.columns.iter().any(|(target, _)| *target == Target::Text(slot))
    }
}

fn required<'de>(raw: Option<Raw<'de>>, name: &'static str) -> Result<Cow<'de, str>, Reject> {
    // Senders number their events; and a fix on the command line writes 1.0 as a number.
    let numbers = matches!(name, "id" | "specversion");
    let text = raw.map(|raw| raw.text(numbers).map_err(|problem| problem.reject(name))).transpose()?.flatten();
    text.ok_or_else(|| Reject::new(name, code::MISSING_FIELD, format!("{name} is required of every CloudEvent")))
}

/// Reads the event at the scanner into the reader's row, and passes it; like [`ObjectReader::read`].
pub(super) fn read<'de>(
    reader: &mut ObjectReader<'de>,
    scanner: &mut Scanner<'de>,
) -> Result<Result<(), Reject>, ScanError> {
    reader.reset();
    if scanner.skip_space() != b'{' {
        scanner.value()?;
        return Ok(Err(Reject::event(code::NOT_AN_OBJECT, "a CloudEvent must be a JSON object")));
    }
    let attributes = Attributes::read(scanner)?;
    if let Err(reject) = fill(reader, attributes) {
        reader.problem.get_or_insert(reject);
    }
    reader.merge_properties();
    Ok(reader.verdict())
}

fn fill<'de>(reader: &mut ObjectReader<'de>, attributes: Attributes<'de>) -> Result<(), Reject> {
    attributes.check_version()?;
    // A fixed dead letter's columns stand for the attributes that would fill them.
    if !attributes.sets(text::EVENT_ID) {
        reader.row.text[text::EVENT_ID] = Some(Cow::Owned(attributes.event_id()?));
    }
    let sets_type = attributes.sets(text::EVENT_TYPE);
    let mut others = attributes.others;
    let mut keep = |name: &'static str, raw: Option<Raw<'de>>| {
        others.extend(raw.map(|raw| (Cow::Borrowed(name), Cow::Borrowed(raw.text))));
    };
    keep("source", attributes.source);
    reader.taken.extend([Target::Text(text::EVENT_ID), Target::Text(text::EVENT_TYPE)]);
    if sets_type {
        keep("type", attributes.kind);
    } else {
        let kind = required(attributes.kind, "type")?;
        let end = known_end(&kind).filter(|end| end.len() < kind.len()).map(|end| Cow::Owned(end.to_owned()));
        if end.is_some() {
            keep("type", attributes.kind);
        }
        reader.row.text[text::EVENT_TYPE] = Some(end.unwrap_or(kind));
    }
    let sets_time = attributes.columns.iter().any(|(target, _)| *target == Target::EventTs);
    if let Some(time) = attributes.time.filter(|_| !sets_time) {
        reader.row.event_ts = time.time("time")?;
        if reader.row.event_ts.is_some() {
            reader.taken.push(Target::EventTs);
        }
    }
    for (column, raw) in attributes.columns {
        reader.taken.push(column);
        reader.take(column, &raw);
    }
    if let Some(raw) = attributes.data {
        if raw.kind() != Kind::Object {
            return Err(wrong_type("data".into(), "a JSON object with our fields", raw.kind()));
        }
        reader.members(&mut Scanner::new(raw.text, 0)).map_err(unscannable)?;
    } else if attributes.binary.is_some() {
        let message = "data_base64 is not read: send the event's fields as a JSON object in data";
        return Err(Reject::new("data_base64", code::INVALID_TYPE, message));
    }
    reader.extras.push((Cow::Borrowed("cloudevent"), Cow::Owned(merged(None, &others).map_err(unscannable)?)));
    Ok(())
}

/// What structured mode would have sent for a request in binary mode: `headers` are all of its headers, lower case.
///
/// # Errors
/// `invalid_json` where the body is not JSON; `invalid_header` where a header is not what the protocol binding says.
pub fn structured<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>, body: &[u8]) -> Result<Bytes> {
    let mut out = String::with_capacity(body.len() + 256);
    for (name, value) in headers {
        let Some(name) = name.strip_prefix(HEADER_PREFIX) else { continue };
        // Attributes that headers do not hold in binary mode.
        if matches!(name, "data" | "data_base64" | "datacontenttype") {
            continue;
        }
        let value = header_text(value)
            .ok_or_else(|| Error::invalid("invalid_header", format!("the header ce-{name} is not UTF-8")))?;
        out.push(if out.is_empty() { '{' } else { ',' });
        push_json_string(&mut out, name);
        out.push(':');
        push_json_string(&mut out, &value);
    }
    let data = std::str::from_utf8(body).map_err(|e| format!("{e}"));
    let data = data.map(|data| data.trim_start_matches('\u{feff}').trim_ascii());
    let data =
        data.and_then(|data| if data.is_empty() { Ok(data) } else { check(data).map(|()| data).map_err(reason) });
    let data = data.map_err(|why| {
        Error::invalid("invalid_json", format!("the body is not JSON: {why}"))
            .with_hint("in binary mode the body is the event's data: send a JSON object")
    })?;
    if out.is_empty() {
        out.push('{');
    } else if !data.is_empty() {
        out.push(',');
    }
    if !data.is_empty() {
        out.push_str("\"data\":");
        out.push_str(data);
    }
    out.push('}');
    Ok(Bytes::from(out))
}

fn reason(error: ScanError) -> String {
    unscannable(error).message
}

/// A header's value: quotes around it taken off, `%C3%BC` decoded. `None` when it is not UTF-8 then.
fn header_text(value: &[u8]) -> Option<String> {
    let value = value.trim_ascii();
    let (inner, quoted) = match value {
        [b'"', inner @ .., b'"'] => (inner, true),
        value => (value, false),
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut at = 0;
    while let Some(&byte) = inner.get(at) {
        let hex = |offset: usize| inner.get(at + offset).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).ok()?);
                at += 2;
            }
            (b'\\', ..) if quoted && at + 1 < inner.len() => {
                at += 1;
                bytes.push(inner[at]);
            }
            _ => bytes.push(byte),
        }
        at += 1;
    }
    String::from_utf8(bytes).ok()
}

/// Whether a dead letter's event, changed by a mapping, is one of ours and no CloudEvent any more.
pub(super) fn is_ours(event: &[u8]) -> bool {
    attributes(event).is_some_and(|found| found.version.is_none() && found.sets(text::EVENT_TYPE))
}

/// The id of a dead letter's event.
pub(super) fn event_id(original: &[u8]) -> Option<String> {
    attributes(original)?.event_id().ok()
}

fn attributes(event: &[u8]) -> Option<Attributes<'_>> {
    Attributes::read(&mut Scanner::new(std::str::from_utf8(event).ok()?, 0)).ok()
}

#[cfg(test)]
mod tests;
