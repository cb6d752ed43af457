//! Segment's tracking API, which RudderStack's SDKs speak too → the same rows as JSON of our own.
//!
//! A request is a batch (`{"batch": […], "sentAt": …}`) or one message; whichever it is, it may come to any of the paths.
//! One broken message never costs its neighbours. What a message says lands where `commerce` and `context` say;
//! besides that:
//!
//! | message | becomes |
//! |---|---|
//! | `messageId` | `event_id`; without one, derived from the message's text |
//! | `userId`, `anonymousId` | `user_id`, `anonymous_id` |
//! | `timestamp`, else `originalTimestamp` | `client_ts`; `event_ts` is that plus how far the client's clock was behind when it sent the request (received − `sentAt`). Without a time: when the request came in |
//! | `track` | the type of its name, see `commerce`; any other name as it is, with all its `properties` |
//! | `page`, `screen` | `page_view`; `page` is the path, else the URL, else the name |
//! | `identify`, `group` | the same, with `traits` (and `group_id`) in `properties` |
//! | `alias` | the same; `anonymous_id` is the `previousId` |
//! | names of our columns beside these | those columns, over everything else: what a fixed dead letter says |
//! | `integrations`, `writeKey`, `_metadata`, `channel`, `version` | nothing: they are instructions for a router |
//! | anything else | `properties` |
//!
//! **Sessions.** Segment has none. Where neither `context.sessionId` nor a property `session_id` names one, the visit of a
//! browsing message, or of any track, page or screen with an `anonymousId`, is the visitor's UTC day: `VISITOR@2026-01-31`.
//! It is coarser than half an hour of silence, and needs no memory: it is the same after a restart, and in a replay.
//!
//! **Dead letters** keep the message with what it had from its request written at its front (`receivedAt`, `sentAt`, `type`,
//! `messageId`), so that a replay reads it as it was read first. IP addresses are taken out of both, see [`IpAddresses`].

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use siphasher::sip128::SipHasher24;

use super::json::{BYTE_ORDER_MARK, array, container_end, trimmed};
use super::names::{Target, target};
use super::object::ObjectReader;
use super::raw::{Kind, Raw, bad_time, unscannable, wrong_type};
use super::scan::{ScanError, Scanner, check};
use super::{CONTENT_KEY, DecodeContext, Decoded, Dialect, Sink, time};
use crate::clock::{MILLISECOND, Micros};
use crate::error::{Error, Result};
use crate::event::{day_name, day_of};
use crate::validate::{Reject, Row, code, is_browsing, text};

pub(super) mod commerce;
pub(super) mod context;
mod ip;
#[cfg(test)]
mod tests;

pub use ip::IpAddresses;

/// What dead letters of this source are known by, so that a replay reads them as they were read first.
pub const SOURCE: &str = "segment";

/// Longest visitor id that stands in a derived session id as it is.
const PLAIN_VISITOR_BYTES: usize = 256;

/// What a path says of the messages that come to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Nothing: each has its `type`.
    Batch,
    /// Those without a `type` are of this one.
    One(MessageType),
}

/// The types of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// Something happened.
    Track,
    /// A page was seen.
    Page,
    /// A screen of an app was seen.
    Screen,
    /// Who somebody is.
    Identify,
    /// What somebody belongs to.
    Group,
    /// Two ids are one person.
    Alias,
}

impl MessageType {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Track, Self::Page, Self::Screen, Self::Identify, Self::Group, Self::Alias];

    /// As messages say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Identify => "identify",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What the messages of a request have from it.
#[derive(Debug)]
pub(super) struct Envelope<'de> {
    kind: Option<MessageType>,
    sent_at: Option<Raw<'de>>,
    context: Option<Raw<'de>>,
    received_at: Micros,
    ip: IpAddresses,
    /// Whether the message is a dead letter's, and says itself when it was received.
    is_replay: bool,
    /// What is left of a context; kept for its room.
    rest: Vec<(Cow<'de, str>, Cow<'de, str>)>,
}

impl Envelope<'_> {
    fn new(call: Call, ctx: &DecodeContext) -> Self {
        let kind = match call {
            Call::Batch => None,
            Call::One(kind) => Some(kind),
        };
        Self {
            kind,
            sent_at: None,
            context: None,
            received_at: ctx.received_at,
            ip: ctx.ip_addresses,
            is_replay: false,
            rest: Vec::new(),
        }
    }

    /// Of a dead letter's message.
    pub(super) fn of_letter(ctx: &DecodeContext) -> Self {
        Self { is_replay: true, ..Self::new(Call::Batch, ctx) }
    }
}

/// Decodes a whole body.
pub(super) fn decode(body: &Bytes, call: Call, ctx: &DecodeContext) -> Result<Decoded> {
    let all = whole(body);
    if all.is_empty() {
        return Err(Error::invalid("empty_body", "the body is empty").with_hint("send a message, or {\"batch\": […]}"));
    }
    let mut envelope = Envelope::new(call, ctx);
    let batch = batch(body, &all, |name, raw| match name {
        "sentAt" => envelope.sent_at = Some(raw),
        "context" => envelope.context = Some(raw),
        _ => {}
    })?;
    if batch.is_none() {
        // Then they are the message's own.
        (envelope.sent_at, envelope.context) = (None, None);
    }
    let mut sink = Sink::new(body, ctx);
    sink.dialect = Dialect::Segment(envelope);
    match batch {
        Some(messages) => array(body, messages, &mut sink)?,
        None => sink.event(all)?,
    }
    sink.finish()
}

/// The place of the array `batch` in a body that is an object and has one; its other members are handed out.
pub(super) fn batch<'b>(
    body: &'b [u8],
    all: &Range<usize>,
    take: impl FnMut(&str, Raw<'b>),
) -> Result<Option<Range<usize>>> {
    // What is not UTF-8 is one dead letter, which says so.
    let Ok(text) = std::str::from_utf8(body) else { return Ok(None) };
    let (batch, scanned) = members(text, all, take);
    if let (Some(_), Err(error)) = (&batch, scanned) {
        let message = format!("the body is not valid JSON: {}", unscannable(error).message);
        return Err(Error::invalid("invalid_json", message).with_hint("send {\"batch\": […]} as UTF-8"));
    }
    Ok(batch)
}

/// The `writeKey` in a request's body, where there is one.
pub fn write_key(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let mut key = None;
    let (_, scanned) = members(text, &whole(body), |name, raw| {
        if name == "writeKey" {
            key = raw.text(false).ok().flatten().map(Cow::into_owned);
        }
    });
    scanned.ok().and(key)
}

/// The body without a byte order mark and white space at its ends.
pub(super) fn whole(body: &[u8]) -> Range<usize> {
    let start = if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    trimmed(body, start..body.len())
}

/// Hands out the members of an object but the array `batch`, whose place is returned: what is in it need not be JSON.
pub(super) fn members<'de>(
    text: &'de str,
    all: &Range<usize>,
    mut take: impl FnMut(&str, Raw<'de>),
) -> (Option<Range<usize>>, Result<(), ScanError>) {
    let mut batch = None;
    let mut scan = || -> Result<(), ScanError> {
        let mut scanner = Scanner::new(&text[..all.end], all.start);
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(name) = scanner.next_key(&mut first)? {
            if name == "batch" && scanner.skip_space() == b'[' {
                let start = scanner.at();
                let end = container_end(&text.as_bytes()[..all.end], start);
                let end = end.ok_or(ScanError::Syntax("the batch has no end", start))?;
                batch = Some(start..end);
                scanner.move_to(end);
            } else {
                take(&name, scanner.value()?);
            }
        }
        scanner.end()
    };
    let scanned = scan();
    (batch, scanned)
}

/// A message's members, as they were sent.
#[derive(Debug, Default)]
struct Message<'de> {
    kind: Option<Raw<'de>>,
    event: Option<Raw<'de>>,
    user_id: Option<Raw<'de>>,
    anonymous_id: Option<Raw<'de>>,
    message_id: Option<Raw<'de>>,
    timestamp: Option<Raw<'de>>,
    original_timestamp: Option<Raw<'de>>,
    sent_at: Option<Raw<'de>>,
    received_at: Option<Raw<'de>>,
    context: Option<Raw<'de>>,
    properties: Option<Raw<'de>>,
    traits: Option<Raw<'de>>,
    name: Option<Raw<'de>>,
    category: Option<Raw<'de>>,
    group_id: Option<Raw<'de>>,
    previous_id: Option<Raw<'de>>,
}

/// Reads the message at the scanner into the reader's row, and passes it; like [`ObjectReader::read`].
pub(super) fn read<'de>(
    reader: &mut ObjectReader<'de>,
    envelope: &mut Envelope<'de>,
    scanner: &mut Scanner<'de>,
) -> Result<Result<(), Reject>, ScanError> {
    reader.reset();
    if scanner.skip_space() != b'{' {
        scanner.value()?;
        return Ok(Err(Reject::event(code::NOT_AN_OBJECT, "a message must be a JSON object")));
    }
    scanner.open(b'{')?;
    let mut message = Message::default();
    let mut columns = Vec::new();
    let mut first = true;
    while let Some(name) = scanner.next_key(&mut first)? {
        let raw = scanner.value()?;
        let place = match &*name {
            "type" => &mut message.kind,
            "event" => &mut message.event,
            "userId" => &mut message.user_id,
            "anonymousId" => &mut message.anonymous_id,
            "messageId" => &mut message.message_id,
            "timestamp" => &mut message.timestamp,
            "originalTimestamp" => &mut message.original_timestamp,
            // What stands at the front of a dead letter's message is the request's.
            "sentAt" if envelope.is_replay && message.sent_at.is_some() => continue,
            "receivedAt" if envelope.is_replay && message.received_at.is_some() => continue,
            "sentAt" => &mut message.sent_at,
            "receivedAt" => &mut message.received_at,
            "context" => &mut message.context,
            "properties" => &mut message.properties,
            "traits" => &mut message.traits,
            "name" => &mut message.name,
            "category" => &mut message.category,
            "groupId" => &mut message.group_id,
            "previousId" => &mut message.previous_id,
            "integrations" | "writeKey" | "_metadata" | "channel" | "version" => continue,
            _ => {
                match target(&name) {
                    Target::Unknown | Target::Alias(_) | Target::Nested(_) | Target::Properties => {
                        reader.extras.push((name, Cow::Borrowed(raw.text)));
                    }
                    column => columns.push((column, raw)),
                }
                continue;
            }
        };
        *place = (!raw.is_null()).then_some(raw);
    }
    if let Err(reject) = fill(reader, envelope, &message) {
        reader.problem.get_or_insert(reject);
    }
    for (column, raw) in columns {
        reader.take(column, &raw);
    }
    if reader.problem.is_none() && message.is_visit(envelope) {
        derive_session(&mut reader.row);
    }
    envelope.ip.clean_values(&mut reader.extras);
    reader.merge_properties();
    Ok(reader.verdict())
}

impl<'de> Message<'de> {
    fn kind(&self, envelope: &Envelope<'_>) -> Result<MessageType, Reject> {
        let named =
            self.kind.map(|raw| raw.text(false).map_err(|problem| problem.reject("type"))).transpose()?.flatten();
        match named {
            Some(name) => MessageType::parse(&name).ok_or_else(|| {
                let known = MessageType::ALL.map(MessageType::name).join(", ");
                Reject::new("type", code::INVALID_TYPE, format!("type must be one of {known}"))
            }),
            None => envelope
                .kind
                .ok_or_else(|| Reject::new("type", code::MISSING_FIELD, "type is required, for example \"track\"")),
        }
    }

    /// Whether it is of a kind that belongs to a visit.
    fn is_visit(&self, envelope: &Envelope<'_>) -> bool {
        matches!(self.kind(envelope), Ok(MessageType::Track | MessageType::Page | MessageType::Screen))
    }
}

fn fill<'de>(
    reader: &mut ObjectReader<'de>,
    envelope: &mut Envelope<'de>,
    message: &Message<'de>,
) -> Result<(), Reject> {
    let kind = message.kind(envelope)?;
    for (slot, raw) in [
        (text::EVENT_ID, &message.message_id),
        (text::USER_ID, &message.user_id),
        (text::ANONYMOUS_ID, &message.anonymous_id),
    ] {
        if let Some(raw) = raw {
            reader.take(Target::Text(slot), raw);
        }
    }
    fill_time(&mut reader.row, envelope, message)?;
    context::fill(reader, message.context.or(envelope.context), &mut envelope.rest, envelope.ip)?;
    let as_sent =
        |name: &'static str, raw: &Option<Raw<'de>>| raw.map(|r| (Cow::Borrowed(name), Cow::Borrowed(r.text)));
    reader.row.text[text::EVENT_TYPE] = Some(Cow::Borrowed(match kind {
        MessageType::Track => return commerce::fill(reader, message.event, message.properties),
        MessageType::Page | MessageType::Screen => {
            reader.extras.extend(as_sent("category", &message.category));
            reader.extras.extend(as_sent("name", &message.name));
            context::fill_page(reader, message.properties)?;
            if reader.row.text[text::PAGE].is_none()
                && let Some(name) = message.name
            {
                reader.row.text[text::PAGE] = name.text(true).map_err(|problem| problem.reject("page"))?;
            }
            "page_view"
        }
        MessageType::Identify => {
            reader.extras.extend(as_sent("traits", &message.traits));
            "identify"
        }
        MessageType::Group => {
            reader.extras.extend(as_sent("group_id", &message.group_id));
            reader.extras.extend(as_sent("traits", &message.traits));
            "group"
        }
        MessageType::Alias => {
            if let Some(previous) = &message.previous_id {
                // Who it was before; the ids of now stay findable.
                reader.extras.extend(as_sent("anonymous_id", &message.anonymous_id));
                reader.take(Target::Text(text::ANONYMOUS_ID), previous);
            }
            "alias"
        }
    }));
    // Such messages have no properties by the book; some senders add some.
    if !matches!(kind, MessageType::Page | MessageType::Screen)
        && let Some(raw) = &message.properties
    {
        each_member(raw, "properties", |name, value| reader.extras.push((name, Cow::Borrowed(value.text))))?;
    }
    Ok(())
}

fn fill_time(row: &mut Row<'_>, envelope: &Envelope<'_>, message: &Message<'_>) -> Result<(), Reject> {
    // What cannot be read corrects nothing: it is not the event's fault.
    let lenient = |raw: Option<Raw<'_>>| raw.and_then(|raw| raw.time("sentAt").ok().flatten());
    let received_at = match envelope.is_replay {
        true => lenient(message.received_at).unwrap_or(envelope.received_at),
        false => envelope.received_at,
    };
    let stated = match message.timestamp.or(message.original_timestamp) {
        Some(raw) => raw.time("event_ts")?,
        None => None,
    };
    set_time(row, stated, lenient(envelope.sent_at.or(message.sent_at)), received_at)
}

/// Sets an event's time: the client's, corrected by what its clock was off when it sent the request; without one, when the
/// request came in.
pub(super) fn set_time(
    row: &mut Row<'_>,
    stated: Option<Micros>,
    sent_at: Option<Micros>,
    received_at: Micros,
) -> Result<(), Reject> {
    let received_at = received_at - received_at.rem_euclid(MILLISECOND);
    let Some(stated) = stated else {
        row.event_ts = Some(received_at);
        return Ok(());
    };
    let behind = sent_at.map_or(0, |sent_at| received_at - sent_at);
    let corrected = stated.saturating_add(behind);
    row.event_ts = Some(time::checked(corrected).map_err(|e| bad_time("event_ts", e))?);
    row.client_ts = (behind != 0).then_some(stated);
    Ok(())
}

/// The visitor's day, where nothing names the visit.
pub(super) fn derive_session(row: &mut Row<'_>) {
    if row.text[text::SESSION_ID].is_some() {
        return;
    }
    let browsing = row.text[text::EVENT_TYPE].as_deref().is_some_and(is_browsing);
    let visitor = match (&row.text[text::ANONYMOUS_ID], &row.text[text::USER_ID]) {
        (Some(anonymous), _) => anonymous,
        // What a back office knows of a user is no visit.
        (None, Some(user)) if browsing => user,
        _ => return,
    };
    let Some(event_ts) = row.event_ts else { return };
    let day = day_name(day_of(event_ts));
    let session = if visitor.len() <= PLAIN_VISITOR_BYTES {
        format!("{visitor}@{day}")
    } else {
        format!("{:032x}@{day}", SipHasher24::new_with_key(&CONTENT_KEY).hash(visitor.as_bytes()).as_u128())
    };
    row.text[text::SESSION_ID] = Some(Cow::Owned(session));
}

/// Hands out the members of an object that was scanned.
pub(super) fn each_member<'de>(
    raw: &Raw<'de>,
    field: &'static str,
    mut take: impl FnMut(Cow<'de, str>, Raw<'de>),
) -> Result<(), Reject> {
    match raw.kind() {
        Kind::Null => return Ok(()),
        Kind::Object => {}
        kind => return Err(wrong_type(field.into(), "an object", kind)),
    }
    let mut scanner = Scanner::new(raw.text, 0);
    scanner.open(b'{').map_err(unscannable)?;
    let mut first = true;
    while let Some(name) = scanner.next_key(&mut first).map_err(unscannable)? {
        let value = scanner.value().map_err(unscannable)?;
        take(name, value);
    }
    Ok(())
}

impl Envelope<'_> {
    /// A message as its dead letter keeps it: with what it had from its request, without addresses.
    pub(super) fn original(&self, message: &[u8]) -> Bytes {
        let Ok(text) = std::str::from_utf8(message) else { return Bytes::copy_from_slice(message) };
        let text = self.ip.cleaned(text);
        if self.is_replay || !text.starts_with('{') || check(&text).is_err() {
            return Bytes::from(text.into_owned());
        }
        let mut front = format!("{{\"receivedAt\":{}", self.received_at / MILLISECOND);
        let mut add = |name: &str, value: &str| {
            front.extend([",\"", name, "\":", value]);
        };
        // What is no time says nothing, and may hold what is not to be kept.
        if let Some(sent_at) = self.sent_at.filter(|raw| raw.time("sentAt").is_ok_and(|time| time.is_some())) {
            add("sentAt", sent_at.text);
        }
        if let Some(kind) = self.kind {
            add("type", &format!("\"{}\"", kind.name()));
        }
        if let Some(context) = self.context {
            add("context", &self.ip.cleaned(context.text));
        }
        let id = SipHasher24::new_with_key(&CONTENT_KEY).hash(message);
        add("messageId", &format!("\"c_{:032x}\"", id.as_u128()));
        let rest = text[1..].trim_start();
        let comma = if rest.starts_with('}') { "" } else { "," };
        Bytes::from(format!("{front}{comma}{rest}"))
    }
}

/// Whether a dead letter's event, changed by a mapping, is one of ours and no message any more; `theirs` are names that only
/// messages have.
pub(super) fn is_ours(event: &[u8], theirs: &[&str]) -> bool {
    let Ok(text) = std::str::from_utf8(event) else { return false };
    let (mut has_ours, mut has_theirs) = (false, false);
    let _ = members(text, &whole(event), |name, _| {
        has_ours |= name == "event_type";
        has_theirs |= theirs.contains(&name);
    });
    has_ours && !has_theirs
}

/// The text of a dead letter's member: its id.
pub(super) fn member_text(original: &[u8], wanted: &str) -> Option<String> {
    let text = std::str::from_utf8(original).ok()?;
    let mut found = None;
    let _ = members(text, &whole(original), |name, raw| {
        if name == wanted {
            found = raw.text(true).ok().flatten().map(Cow::into_owned);
        }
    });
    found
}
