//! Bytes of a request → typed rows. The first step of the data path: what leaves here as a batch is valid, complete
//! and typed, and is what the write-ahead log keeps.
//!
//! [`decode`] takes a body (already decompressed) and answers with a batch of the accepted events in the order they
//! were sent, and the reason for each of the others: one event's error never costs its neighbours. Why an event can be
//! rejected is listed in [`crate::validate::code`].
//!
//! The parts: `json` cuts a body into events; `object` reads one event's fields, with a cursor over its text (`scan`), into a
//! `Row` that borrows from the body, as do `segment` and `posthog` with what the SDKs of those send, and `cloudevents` with
//! CloudEvents; [`crate::validate`] judges it; `derive` fills in what the client left out; `builders` appends it to the
//! batch. `arrow` turns Arrow input into the same rows.
//!
//! An event without an `event_id` gets one derived from its content: `c_` and the 32 hex digits of SipHash-2-4-128,
//! under the key [`CONTENT_KEY`], of the event's text exactly as sent (for Arrow, of the row as JSON: the columns in
//! the batch's order, nulls left out). So a retry of the same bytes is the same event.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ::arrow::array::RecordBatch;
use bytes::Bytes;
use siphasher::sip128::SipHasher24;

use crate::clock::Micros;
use crate::error::{Error, Kind, Result};
use crate::validate::{self, Limits, Reject, Row, code, text};

mod arrow;
mod arrow_values;
mod builders;
mod channel;
pub mod cloudevents;
mod derive;
mod items;
mod json;
mod names;
mod number;
mod object;
pub mod posthog;
mod properties;
mod raw;
mod scan;
pub mod segment;
pub(crate) mod time;

use builders::Builders;
pub use derive::{Agent, Deriver};
use object::ObjectReader;
use scan::{ScanError, Scanner};

/// How deep objects and arrays may nest in an event, the event itself included.
pub const MAX_DEPTH: usize = 64;

/// The key of the hash that derives an `event_id` from an event's content. Part of the format: never change it.
pub const CONTENT_KEY: [u8; 16] = *b"tideline.event.1";

/// Bytes an event takes at least, for the first size of the builders.
const TYPICAL_EVENT_BYTES: usize = 384;

/// How the bytes of a body are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// An object, an array of them, or one on each line: told apart by looking.
    Json,
    /// An Arrow IPC stream.
    ArrowStream,
    /// A request of Segment's tracking API.
    Segment(segment::Call),
    /// A CloudEvent, or an array of them.
    CloudEvents,
    /// A request of PostHog's capture API.
    PostHog,
}

/// An event that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Which of the request's events, from 0.
    pub index: usize,
    /// The field, as the canonical column name (`items[2].price` inside items); empty when it is the event as a whole.
    pub field: Cow<'static, str>,
    /// One of [`crate::validate::code`].
    pub code: &'static str,
    /// One sentence for people: what is wrong and what to send.
    pub message: String,
    /// The event as it was sent (a row of Arrow input as JSON).
    pub original: Bytes,
}

/// What a body held.
#[derive(Debug)]
pub struct Decoded {
    /// The accepted events, in the order they were sent: [`crate::event::client_schema`].
    pub batch: RecordBatch,
    /// For each row of the batch, which of the request's events it is.
    pub rows: Vec<u32>,
    /// The others, in the order they were sent.
    pub rejected: Vec<Rejected>,
    /// How many events the body held: accepted and rejected.
    pub total: usize,
}

/// What decoding needs besides the body.
#[derive(Debug, Clone)]
pub struct DecodeContext {
    /// When the request came in; becomes the column of that name.
    pub received_at: Micros,
    /// How far ahead of `received_at` an `event_ts` may be.
    pub max_future: Duration,
    /// The largest event as text, in bytes; a larger one is rejected by itself.
    pub max_event_bytes: usize,
    /// The most events in a body; a body with more is refused as a whole.
    pub max_events: usize,
    /// The most bytes that Arrow input may grow to as rows (dictionaries unpacked); beyond, it is refused as a whole.
    pub max_decoded_bytes: usize,
    /// Sizes of single fields.
    pub limits: Limits,
    /// What becomes of IP addresses in what SDKs of Segment and PostHog send.
    pub ip_addresses: segment::IpAddresses,
    /// Derives what clients leave out. Share one.
    pub deriver: Arc<Deriver>,
}

impl DecodeContext {
    /// With the default limits: 5 minutes ahead, 1 MiB an event, 250,000 events, 512 MiB as rows.
    pub fn new(received_at: Micros, deriver: Arc<Deriver>) -> Self {
        Self {
            received_at,
            max_future: Duration::from_secs(5 * 60),
            max_event_bytes: 1024 * 1024,
            max_events: 250_000,
            max_decoded_bytes: 512 * 1024 * 1024,
            limits: Limits::default(),
            ip_addresses: segment::IpAddresses::default(),
            deriver,
        }
    }

    fn latest(&self) -> Micros {
        self.received_at.saturating_add(i64::try_from(self.max_future.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Reads a body's events.
///
/// # Errors
///
/// Only where the body cannot be read as a whole, all of kind `Invalid` unless said otherwise: `empty_body`;
/// `invalid_json` where nothing in it is JSON; `invalid_arrow`, `missing_column`, `unsupported_type` and
/// `compressed_arrow` for Arrow input; `too_many_events` and `too_large` (kind `TooLarge`) beyond a limit.
pub fn decode(body: &Bytes, format: InputFormat, ctx: &DecodeContext) -> Result<Decoded> {
    // Arrow's string columns are indexed by 32 bits; no column holds more than the body does.
    if body.len() >= MAX_BODY_BYTES {
        return Err(Error::new(Kind::TooLarge, "too_large", "the body has more than 1 GiB")
            .with_hint("split it into several requests"));
    }
    match format {
        InputFormat::Json => json::decode(body, ctx),
        InputFormat::ArrowStream => arrow::decode(body, ctx),
        InputFormat::Segment(call) => segment::decode(body, call, ctx),
        InputFormat::CloudEvents => cloudevents::decode(body, ctx),
        InputFormat::PostHog => posthog::decode(body, ctx),
    }
}

const MAX_BODY_BYTES: usize = 1 << 30;

/// Reads one event that was refused before and has been changed since, or not: all of `event` is its text, whatever it
/// looks like. Without an `event_id` it gets the one `original` would have got, so that its id is the same however it
/// is changed. What came through `source` is read as it was read then.
///
/// # Errors
///
/// Only what is ours to fix: a text that is no event is a rejected one.
pub fn decode_one(event: &Bytes, original: &Bytes, source: &str, ctx: &DecodeContext) -> Result<Decoded> {
    let mut sink = Sink::new(event, ctx);
    sink.content = Some(original);
    match source {
        segment::SOURCE if segment::is_ours(event, &["type", "event"]) => {
            sink.id = segment::member_text(original, "messageId");
        }
        segment::SOURCE => sink.dialect = Dialect::Segment(segment::Envelope::of_letter(ctx)),
        cloudevents::SOURCE if cloudevents::is_ours(event) => sink.id = cloudevents::event_id(original),
        cloudevents::SOURCE => sink.dialect = Dialect::CloudEvents,
        posthog::SOURCE if segment::is_ours(event, &["event"]) => sink.id = segment::member_text(original, "uuid"),
        posthog::SOURCE => sink.dialect = Dialect::PostHog(posthog::Envelope::of_letter(ctx)),
        _ => {}
    }
    sink.event(0..event.len())?;
    let batch = sink.builders.finish(ctx.received_at)?;
    Ok(Decoded { batch, rows: sink.rows, rejected: sink.rejected, total: sink.total })
}

/// How the events of a body are to be read.
enum Dialect<'b> {
    /// As our own.
    Own,
    /// As messages of Segment's API, with what they have from their request.
    Segment(segment::Envelope<'b>),
    /// As CloudEvents.
    CloudEvents,
    /// As events of PostHog's API, with what they have from their request.
    PostHog(posthog::Envelope<'b>),
}

/// Takes the events of one body, one after the other.
struct Sink<'b> {
    body: &'b Bytes,
    ctx: &'b DecodeContext,
    /// What a missing id is derived from, when that is not the event's own text.
    content: Option<&'b [u8]>,
    /// The id of an event without one, where it is known.
    id: Option<String>,
    dialect: Dialect<'b>,
    /// Whether the body as a whole is UTF-8, so that its parts need no look.
    text: Option<&'b str>,
    latest: Micros,
    reader: ObjectReader<'b>,
    builders: Builders,
    rows: Vec<u32>,
    rejected: Vec<Rejected>,
    total: usize,
    /// Whether anything was JSON, or looked like an object that only its encoding spoils.
    any_json: bool,
}

impl<'b> Sink<'b> {
    fn new(body: &'b Bytes, ctx: &'b DecodeContext) -> Self {
        Self {
            body,
            ctx,
            content: None,
            id: None,
            dialect: Dialect::Own,
            text: std::str::from_utf8(body).ok(),
            latest: ctx.latest(),
            reader: ObjectReader::default(),
            builders: Builders::with_capacity((body.len() / TYPICAL_EVENT_BYTES).min(ctx.max_events)),
            rows: Vec::new(),
            rejected: Vec::new(),
            total: 0,
            any_json: false,
        }
    }

    /// Takes the event whose text is all of this range of the body. An error refuses the whole body.
    fn event(&mut self, range: Range<usize>) -> Result<()> {
        let verdict = self.read(range.clone()).and_then(|event| self.judge(event));
        self.settle(range, verdict)
    }

    /// Takes the element of an array that starts here, where it is JSON and a comma or the closing bracket follows;
    /// where those are. Otherwise nothing is done.
    fn element(&mut self, start: usize) -> Result<Option<usize>> {
        let Some(text) = self.text else { return Ok(None) };
        let mut scanner = Scanner::new(text, start);
        let Ok(read) = self.read_one(&mut scanner) else { return Ok(None) };
        let end = scanner.at();
        if !matches!(scanner.skip_space(), b',' | b']') {
            return Ok(None);
        }
        let verdict = self.check_size(end - start).and(read).and_then(|()| self.judge(&text[start..end]));
        self.settle(start..end, verdict)?;
        Ok(Some(scanner.at()))
    }

    #[inline]
    fn read_one(&mut self, scanner: &mut Scanner<'b>) -> Result<Result<(), Reject>, ScanError> {
        match &mut self.dialect {
            Dialect::Own => self.reader.read(scanner),
            Dialect::Segment(envelope) => segment::read(&mut self.reader, envelope, scanner),
            Dialect::CloudEvents => cloudevents::read(&mut self.reader, scanner),
            Dialect::PostHog(envelope) => posthog::read(&mut self.reader, envelope, scanner),
        }
    }

    fn check_size(&self, bytes: usize) -> Result<(), Reject> {
        if bytes <= self.ctx.max_event_bytes {
            return Ok(());
        }
        let message = format!("the event has {bytes} bytes; the limit is {}", self.ctx.max_event_bytes);
        Err(Reject::event(code::EVENT_TOO_LARGE, message))
    }

    /// Reads an event's fields; its text.
    fn read(&mut self, range: Range<usize>) -> Result<&'b str, Reject> {
        let bytes = &self.body[range.clone()];
        self.check_size(bytes.len())?;
        // The range begins and ends at ASCII characters or the body's ends, so on character boundaries.
        let event = match self.text.and_then(|text| text.get(range)) {
            Some(event) => event,
            None => std::str::from_utf8(bytes)
                .map_err(|e| Reject::event(code::INVALID_UTF8, format!("the event is not UTF-8: {e}")))?,
        };
        let mut scanner = Scanner::new(event, 0);
        let read = self.read_one(&mut scanner).map_err(raw::unscannable)?;
        scanner.end().map_err(raw::unscannable)?;
        read.map(|()| event)
    }

    /// Validates the event read last, fills it in and appends it.
    fn judge(&mut self, event: &str) -> Result<(), Reject> {
        let ObjectReader { row, page_url, .. } = &mut self.reader;
        validate::validate(row, &self.ctx.limits, self.latest)?;
        self.ctx.deriver.fill(row, page_url.as_deref(), &self.ctx.limits);
        if row.text[text::EVENT_ID].is_none() {
            row.text[text::EVENT_ID] = self.id.take().map(Cow::Owned);
        }
        identify(row, self.content.unwrap_or(event.as_bytes()));
        self.builders.append(row).ok_or_else(|| Reject::event(code::MISSING_FIELD, "a required field is missing"))
    }

    fn settle(&mut self, range: Range<usize>, verdict: Result<(), Reject>) -> Result<()> {
        if self.total >= self.ctx.max_events {
            return Err(Error::new(
                Kind::TooLarge,
                "too_many_events",
                format!("the body has more than {} events", self.ctx.max_events),
            )
            .with_hint("split it into several requests"));
        }
        let index = self.total;
        self.total += 1;
        match verdict {
            Ok(()) => {
                self.any_json = true;
                self.rows.push(u32::try_from(index).map_err(|_| Error::internal("more than 2^32 events in a body"))?);
            }
            Err(reject) => {
                self.any_json |= match reject.code {
                    code::INVALID_JSON => false,
                    code::INVALID_UTF8 | code::TOO_DEEP | code::EVENT_TOO_LARGE => {
                        self.body[range.clone()].starts_with(b"{")
                    }
                    _ => true,
                };
                let Reject { field, code, message } = reject;
                let original = match &self.dialect {
                    Dialect::Own | Dialect::CloudEvents => self.body.slice(range),
                    Dialect::Segment(envelope) => envelope.original(&self.body[range]),
                    Dialect::PostHog(envelope) => envelope.original(&self.body[range]),
                };
                self.rejected.push(Rejected { index, field, code, message, original });
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Decoded> {
        if self.total > 0 && !self.any_json {
            let first = self.rejected.first().map_or("", |rejected| rejected.message.as_str());
            return Err(Error::invalid("invalid_json", format!("nothing in the body is a JSON event: {first}"))
                .with_hint("send one JSON object, a JSON array of them, or one on each line, as UTF-8"));
        }
        let batch = self.builders.finish(self.ctx.received_at)?;
        Ok(Decoded { batch, rows: self.rows, rejected: self.rejected, total: self.total })
    }
}

/// Gives an event without an id one that its content determines.
fn identify(row: &mut Row<'_>, event: &[u8]) {
    if row.text[text::EVENT_ID].is_none() {
        let hash = SipHasher24::new_with_key(&CONTENT_KEY).hash(event);
        row.text[text::EVENT_ID] = Some(Cow::Owned(format!("c_{:032x}", hash.as_u128())));
    }
}

#[cfg(test)]
mod tests;
