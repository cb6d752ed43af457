//! PostHog's capture API, as its SDKs speak it → the same rows as JSON of our own.
//!
//! A request is a batch (`{"api_key": …, "batch": […], "sent_at": …}`), one event, or an array of events; whichever it is, it may
//! come to any of the paths. One broken event never costs its neighbours. PostHog recommends Segment's names for what shops
//! do, so those are read by Segment's tables (`segment::commerce`); besides that:
//!
//! | event | becomes |
//! |---|---|
//! | `uuid` | `event_id`; without one, derived from the event's text |
//! | `distinct_id`, beside `event` or in `properties` | `user_id`; but `anonymous_id` where the event says that it is nobody in particular: `$process_person_profile` or `$is_identified` is false, or `$device_id` is the same |
//! | `$anon_distinct_id`, else `$device_id` | `anonymous_id` beside a `user_id` |
//! | `timestamp`, else `offset` milliseconds before it came in | `client_ts` and `event_ts`, corrected by `sent_at` as Segment's are. Without a time: when the request came in |
//! | `$pageview`, `$screen` | `page_view` |
//! | `$identify`, `$set`, `$set_once` | `identify`, with `$set` in `properties` as `traits` |
//! | `$groupidentify` | `group`, with `$group_key` and `$group_set` in `properties` as `group_id` and `traits` |
//! | `$create_alias` | `alias`; `anonymous_id` is the `alias` |
//! | any other name | Segment's e-commerce names as those are; else the name as it is, with all its `properties` |
//! | names of our columns beside these | those columns, over everything else: what a fixed dead letter says |
//! | `api_key`, `token`, `type`, `library`, `library_version`, `historical_migration` | nothing: they are for the receiver |
//! | anything else | `properties` |
//!
//! | property | column |
//! |---|---|
//! | `$pathname`, else `$current_url`, else `$screen_name` | `page`; the URL beside a path is `page_url` in `properties` |
//! | `$session_id` | `session_id`; without one a visit is a visitor's UTC day, as Segment's are |
//! | `$referrer` | `referrer`, unless it is `$direct` |
//! | `$raw_user_agent`, `$useragent`, `$user_agent` | `user_agent`, and from it `os`, `mobile`, `bot` |
//! | `utm_source`, `utm_medium`, `utm_campaign` | those of the same name |
//! | `$device_type`, and `$os` beside it | `mobile`, `os`: an `$os` alone is that of a back end's machine |
//! | `$ip` | none, see [`segment::IpAddresses`] |
//!
//! **Dead letters** keep the event with what it had from its request written at its front (`received_at`, `sent_at`, `uuid`), so
//! that a replay reads it as it was read first.

use std::borrow::Cow;

use bytes::Bytes;
use siphasher::sip128::SipHasher24;

use super::json::array;
use super::names::{Target, target};
use super::object::ObjectReader;
use super::raw::Raw;
use super::scan::{ScanError, Scanner, check};
use super::segment::context::{set_page, take_text};
use super::segment::{self, IpAddresses, commerce, derive_session, each_member};
use super::{CONTENT_KEY, DecodeContext, Decoded, Dialect, Sink};
use crate::clock::{MILLISECOND, Micros};
use crate::error::{Error, Result};
use crate::validate::{Reject, code, flag, text};

/// What dead letters of this source are known by, so that a replay reads them as they were read first.
pub const SOURCE: &str = "posthog";

/// What `$referrer` says of a visitor who came from nowhere.
const DIRECT: &str = "$direct";

/// What the events of a request have from it.
#[derive(Debug)]
pub(super) struct Envelope<'de> {
    sent_at: Option<Raw<'de>>,
    received_at: Micros,
    ip: IpAddresses,
    /// Whether the event is a dead letter's, and says itself when it was received.
    is_replay: bool,
    /// Properties on their way; kept for its room.
    rest: Vec<(Cow<'de, str>, Cow<'de, str>)>,
}

impl Envelope<'_> {
    fn new(ctx: &DecodeContext) -> Self {
        let (received_at, ip) = (ctx.received_at, ctx.ip_addresses);
        Self { sent_at: None, received_at, ip, is_replay: false, rest: Vec::new() }
    }

    /// Of a dead letter's event.
    pub(super) fn of_letter(ctx: &DecodeContext) -> Self {
        Self { is_replay: true, ..Self::new(ctx) }
    }
}

/// Decodes a whole body.
pub(super) fn decode(body: &Bytes, ctx: &DecodeContext) -> Result<Decoded> {
    let all = segment::whole(body);
    if all.is_empty() {
        return Err(Error::invalid("empty_body", "the body is empty").with_hint("send an event, or {\"batch\": […]}"));
    }
    let mut envelope = Envelope::new(ctx);
    let batch = if body[all.start] == b'[' {
        Some(all.clone())
    } else {
        let mut sent_at = None;
        let batch = segment::batch(body, &all, |name, raw| {
            if name == "sent_at" {
                sent_at = Some(raw);
            }
        })?;
        // Of an event alone it is the event's own.
        envelope.sent_at = sent_at.filter(|_| batch.is_some());
        batch
    };
    let mut sink = Sink::new(body, ctx);
    sink.dialect = Dialect::PostHog(envelope);
    match batch {
        Some(events) => array(body, events, &mut sink)?,
        None => sink.event(all)?,
    }
    sink.finish()
}

/// The key in a request's body, where there is one: `api_key` or `token` of the request, or those of its only or first event.
pub fn api_key(body: &[u8]) -> Option<String> {
    let whole_text = std::str::from_utf8(body).ok()?;
    let all = segment::whole(body);
    let (mut keys, mut properties) = ([None; 2], None);
    let mut take = |name: &str, raw| match name {
        "api_key" => keys[0] = Some(raw),
        "token" => keys[1] = Some(raw),
        "properties" => properties = Some(raw),
        _ => {}
    };
    if body.get(all.start) == Some(&b'[') {
        let mut scanner = Scanner::new(&whole_text[..all.end], all.start);
        scanner.open(b'[').ok()?;
        let event = scanner.next_element(&mut true).ok()??;
        each_member(&event, "event", |name, raw| take(&name, raw)).ok()?;
    } else {
        segment::members(whole_text, &all, &mut take).1.ok()?;
    }
    let mut token = None;
    if let Some(properties) = &properties {
        // Where they are none, the event says so.
        let _ = each_member(properties, "properties", |name, raw| {
            if name == "token" {
                token = Some(raw);
            }
        });
    }
    let read = |raw: Option<Raw<'_>>| raw.and_then(|raw| raw.text(false).ok().flatten().map(Cow::into_owned));
    read(keys[0]).or_else(|| read(keys[1])).or_else(|| read(token))
}

/// What kind of event a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    View,
    Identify,
    Group,
    Alias,
    /// One of the sender's own names, or of Segment's.
    Named,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            "$pageview" | "$screen" => Self::View,
            "$identify" | "$set" | "$set_once" => Self::Identify,
            "$groupidentify" => Self::Group,
            "$create_alias" => Self::Alias,
            _ => Self::Named,
        }
    }

    /// Our type, where the name alone says it.
    const fn event_type(self) -> Option<&'static str> {
        match self {
            Self::View => Some("page_view"),
            Self::Identify => Some("identify"),
            Self::Group => Some("group"),
            Self::Alias => Some("alias"),
            Self::Named => None,
        }
    }
}

/// An event's members, as they were sent.
#[derive(Debug, Default)]
struct Event<'de> {
    name: Option<Raw<'de>>,
    uuid: Option<Raw<'de>>,
    distinct_id: Option<Raw<'de>>,
    timestamp: Option<Raw<'de>>,
    offset: Option<Raw<'de>>,
    sent_at: Option<Raw<'de>>,
    received_at: Option<Raw<'de>>,
    properties: Option<Raw<'de>>,
}

/// Reads the event at the scanner into the reader's row, and passes it; like [`ObjectReader::read`].
pub(super) fn read<'de>(
    reader: &mut ObjectReader<'de>,
    envelope: &mut Envelope<'de>,
    scanner: &mut Scanner<'de>,
) -> Result<Result<(), Reject>, ScanError> {
    reader.reset();
    if scanner.skip_space() != b'{' {
        scanner.value()?;
        return Ok(Err(Reject::event(code::NOT_AN_OBJECT, "an event must be a JSON object")));
    }
    scanner.open(b'{')?;
    let (mut event, mut columns, mut others) = (Event::default(), Vec::new(), Vec::new());
    let mut first = true;
    while let Some(name) = scanner.next_key(&mut first)? {
        let raw = scanner.value()?;
        let place = match &*name {
            "event" => &mut event.name,
            "uuid" => &mut event.uuid,
            "distinct_id" => &mut event.distinct_id,
            "timestamp" => &mut event.timestamp,
            "offset" => &mut event.offset,
            "properties" => &mut event.properties,
            // What stands at the front of a dead letter's event is the request's.
            "sent_at" if envelope.is_replay && event.sent_at.is_some() => continue,
            "received_at" if envelope.is_replay && event.received_at.is_some() => continue,
            "sent_at" => &mut event.sent_at,
            "received_at" => &mut event.received_at,
            "api_key" | "token" | "type" | "library" | "library_version" | "historical_migration" => continue,
            _ => {
                match target(&name) {
                    Target::Unknown | Target::Alias(_) | Target::Nested(_) | Target::Properties => {
                        others.push((name, Cow::Borrowed(raw.text)));
                    }
                    column => columns.push((column, raw)),
                }
                continue;
            }
        };
        *place = (!raw.is_null()).then_some(raw);
    }
    let kind = fill(reader, envelope, &event, others).unwrap_or_else(|reject| {
        reader.problem.get_or_insert(reject);
        Kind::Named
    });
    for (column, raw) in columns {
        reader.take(column, &raw);
    }
    if reader.problem.is_none() && matches!(kind, Kind::View | Kind::Named) {
        derive_session(&mut reader.row);
    }
    envelope.ip.clean_values(&mut reader.extras);
    reader.merge_properties();
    Ok(reader.verdict())
}

fn fill<'de>(
    reader: &mut ObjectReader<'de>,
    envelope: &mut Envelope<'de>,
    event: &Event<'de>,
    others: Vec<(Cow<'de, str>, Cow<'de, str>)>,
) -> Result<Kind, Reject> {
    let name = event.name.map(|raw| raw.text(false).map_err(|problem| problem.reject("event_type"))).transpose()?;
    let Some(name) = name.flatten() else {
        let message = "event is required: the name of what happened, for example \"$pageview\"";
        return Err(Reject::new("event_type", code::MISSING_FIELD, message));
    };
    if let Some(raw) = &event.uuid {
        reader.take(Target::Text(text::EVENT_ID), raw);
    }
    fill_time(reader, envelope, event)?;
    let kind = Kind::of(&name);
    match kind.event_type() {
        None => commerce::fill(reader, event.name, event.properties)?,
        Some(event_type) => {
            reader.row.text[text::EVENT_TYPE] = Some(Cow::Borrowed(event_type));
            if let Some(raw) = &event.properties {
                each_member(raw, "properties", |name, value| reader.extras.push((name, Cow::Borrowed(value.text))))?;
            }
        }
    }
    reader.extras.extend(others);
    let said = Said { distinct: event.distinct_id, ..Said::default() };
    let said = take_properties(reader, &mut envelope.rest, kind, said);
    let read = |raw: Option<Raw<'de>>| raw.and_then(|raw| raw.text(false).ok().flatten());
    if said.path.is_some() || said.url.is_some() {
        set_page(reader, said.path, said.url);
    } else if kind == Kind::View {
        reader.row.text[text::PAGE] = read(said.screen);
    }
    if let Some(device) = read(said.device_type) {
        reader.row.flag[flag::MOBILE] = match &*device {
            "Mobile" | "Tablet" => Some(true),
            "Desktop" => Some(false),
            _ => None,
        };
        reader.row.text[text::OS] = read(said.os);
    }
    identify(reader, kind, &said)?;
    Ok(kind)
}

fn fill_time<'de>(reader: &mut ObjectReader<'de>, envelope: &Envelope<'de>, event: &Event<'de>) -> Result<(), Reject> {
    // What cannot be read corrects nothing: it is not the event's fault.
    let lenient = |raw: Option<Raw<'_>>| raw.and_then(|raw| raw.time("sent_at").ok().flatten());
    let received_at = match envelope.is_replay {
        true => lenient(event.received_at).unwrap_or(envelope.received_at),
        false => envelope.received_at,
    };
    let stated = event.timestamp.map(|raw| raw.time("event_ts")).transpose()?.flatten();
    let offset = event.offset.and_then(|raw| raw.float("offset").ok().flatten()).filter(|ms| *ms >= 0.0);
    let (stated, sent_at) = match (stated, offset) {
        (None, Some(ms)) => (Some(received_at.saturating_sub((ms * MILLISECOND as f64) as i64)), None),
        (stated, _) => (stated, lenient(envelope.sent_at.or(event.sent_at))),
    };
    segment::set_time(&mut reader.row, stated, sent_at, received_at)
}

/// What an SDK says in properties.
#[derive(Debug, Default)]
struct Said<'de> {
    distinct: Option<Raw<'de>>,
    anonymous: Option<Raw<'de>>,
    device: Option<Raw<'de>>,
    alias: Option<Raw<'de>>,
    is_anonymous: bool,
    path: Option<Raw<'de>>,
    url: Option<Raw<'de>>,
    screen: Option<Raw<'de>>,
    os: Option<Raw<'de>>,
    device_type: Option<Raw<'de>>,
}

/// Takes what is for columns out of the properties that have been read so far. `rest` lends its room.
fn take_properties<'de>(
    reader: &mut ObjectReader<'de>,
    rest: &mut Vec<(Cow<'de, str>, Cow<'de, str>)>,
    kind: Kind,
    mut said: Said<'de>,
) -> Said<'de> {
    rest.clear();
    std::mem::swap(rest, &mut reader.extras);
    for (name, value) in rest.drain(..) {
        let Cow::Borrowed(json) = value else {
            reader.extras.push((name, value));
            continue;
        };
        let raw = Raw::new(json, json.contains('\\'));
        let is_false = json == "false";
        // Taken; or kept, under its own name or another.
        let kept = match &*name {
            _ if raw.is_null() => Some(name),
            "token" => None,
            "distinct_id" => {
                said.distinct.get_or_insert(raw);
                None
            }
            "$anon_distinct_id" => said.anonymous.replace(raw).map(|_| name),
            "$device_id" => said.device.replace(raw).map(|_| name),
            "alias" if kind == Kind::Alias => said.alias.replace(raw).map(|_| name),
            "$process_person_profile" | "$is_identified" => {
                said.is_anonymous |= is_false;
                Some(name)
            }
            "$pathname" => said.path.replace(raw).map(|_| name),
            "$current_url" => said.url.replace(raw).map(|_| name),
            "$screen_name" => {
                said.screen = Some(raw);
                Some(name)
            }
            "$os" => {
                said.os = Some(raw);
                Some(name)
            }
            "$device_type" => {
                said.device_type = Some(raw);
                Some(name)
            }
            "$referrer" if raw.text(false).is_ok_and(|referrer| referrer.as_deref() == Some(DIRECT)) => None,
            "$set" if kind == Kind::Identify => Some(Cow::Borrowed("traits")),
            "$group_set" if kind == Kind::Group => Some(Cow::Borrowed("traits")),
            "$group_key" if kind == Kind::Group => Some(Cow::Borrowed("group_id")),
            _ => {
                let slot = match &*name {
                    "$session_id" => Some(text::SESSION_ID),
                    "$referrer" => Some(text::REFERRER),
                    "$raw_user_agent" | "$useragent" | "$user_agent" => Some(text::USER_AGENT),
                    "utm_source" => Some(text::UTM_SOURCE),
                    "utm_medium" => Some(text::UTM_MEDIUM),
                    "utm_campaign" => Some(text::UTM_CAMPAIGN),
                    _ => None,
                };
                (!slot.is_some_and(|slot| take_text(reader, slot, &raw))).then_some(name)
            }
        };
        if let Some(name) = kept {
            reader.extras.push((name, value));
        }
    }
    said
}

/// Says whose event it is.
fn identify<'de>(reader: &mut ObjectReader<'de>, kind: Kind, said: &Said<'de>) -> Result<(), Reject> {
    let read = |raw: Option<Raw<'de>>, field: &'static str| {
        raw.map(|raw| raw.text(true).map_err(|problem| problem.reject(field))).transpose().map(Option::flatten)
    };
    let distinct = read(said.distinct, "distinct_id")?;
    let device = read(said.device, "$device_id")?;
    let anonymous = read(said.anonymous, "$anon_distinct_id")?;
    let names_somebody = matches!(kind, Kind::Identify | Kind::Alias);
    let is_nobody = !names_somebody && (said.is_anonymous || (distinct.is_some() && distinct == device));
    let (user, anonymous) = match (kind, distinct) {
        (Kind::Alias, distinct) => (distinct, read(said.alias, "alias")?),
        // An id that the SDK made for the group.
        (Kind::Group, Some(made)) if made.starts_with('$') => (None, None),
        (_, distinct) if is_nobody => (None, distinct.or(anonymous).or(device)),
        (_, distinct) => {
            let other = anonymous.or(device).filter(|other| Some(other) != distinct.as_ref());
            (distinct, other)
        }
    };
    reader.row.text[text::USER_ID] = user;
    reader.row.text[text::ANONYMOUS_ID] = anonymous;
    Ok(())
}

impl Envelope<'_> {
    /// An event as its dead letter keeps it: with what it had from its request, without addresses.
    pub(super) fn original(&self, event: &[u8]) -> Bytes {
        let Ok(text) = std::str::from_utf8(event) else { return Bytes::copy_from_slice(event) };
        let text = self.ip.cleaned(text);
        if self.is_replay || !text.starts_with('{') || check(&text).is_err() {
            return Bytes::from(text.into_owned());
        }
        let mut front = format!("{{\"received_at\":{}", self.received_at / MILLISECOND);
        // What is no time says nothing, and may hold what is not to be kept.
        if let Some(sent_at) = self.sent_at.filter(|raw| raw.time("sent_at").is_ok_and(|time| time.is_some())) {
            front.extend([",\"sent_at\":", sent_at.text]);
        }
        let id = SipHasher24::new_with_key(&CONTENT_KEY).hash(event);
        front.push_str(&format!(",\"uuid\":\"c_{:032x}\"", id.as_u128()));
        let rest = text[1..].trim_start();
        let comma = if rest.starts_with('}') { "" } else { "," };
        Bytes::from(format!("{front}{comma}{rest}"))
    }
}

#[cfg(test)]
mod tests;
