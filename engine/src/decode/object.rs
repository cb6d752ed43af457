//! One JSON object → [`Row`], in one pass over its text and without a tree of values in between.
//!
//! A [`Scanner`] walks over the object and hands out each value as its raw text; what the column wants is read from that text,
//! so money and ids keep every digit. The rules, where the text leaves a choice:
//!
//! - Names: `timestamp` is `event_ts`, `page_url` is `page`; `utm{source,medium,campaign}`,
//!   `device{user_agent,os,mobile,bot}` and `geo{country,city,lat,lon}` are the flat columns of those names.
//! - The flat canonical name wins over an alias or the nested form, whatever the order. What loses is kept in
//!   `properties`, under its own name (`page_url`) or flattened (`utm_source`).
//! - The same name twice: the last one counts. `null` and blank text are the same as absent.
//! - Unknown fields go into `properties` with their text untouched, those of `utm`, `device` and `geo` flattened
//!   (`utm_term`), those of `items` as an array `items` with one object an item. A client's own `properties` (an
//!   object, or a string that holds one) is merged with them; where both have a name, the field outside wins.
//! - Text columns take strings, and numbers where shops number things (ids, `coupon`, `category`, `utm_campaign`):
//!   their text is the value. Money, quantities and times take numbers, and strings that hold one. Everything else is
//!   strict. A lone surrogate (`"\ud83d"`) becomes U+FFFD.

use std::borrow::Cow;

use super::items;
use super::names::{Alias, Parent, Target, takes_numbers, target};
use super::properties::{mended, merged, own_properties};
use super::raw::{Kind, Raw, unscannable, wrong_type};
use super::scan::{ScanError, Scanner};
use crate::validate::{MONEY_NAMES, Reject, Row, code, flag, float, int, text};

/// Reads events of one request, one after the other, and keeps its buffers between them.
#[derive(Debug, Default)]
pub(crate) struct ObjectReader<'de> {
    /// The event read last.
    pub row: Row<'de>,
    /// A page URL given beside `page`: campaign parameters may stand only there.
    pub page_url: Option<Cow<'de, str>>,
    /// The first field that could not be taken.
    pub(super) problem: Option<Reject>,
    /// Values under an alias or nested: applied after the object is read, where the canonical name is absent.
    second: Vec<(Target, &'static str, Raw<'de>)>,
    /// Unknown fields.
    pub(super) extras: Vec<(Cow<'de, str>, Cow<'de, str>)>,
    properties: Option<Raw<'de>>,
    /// Columns that what stands around the object has filled: the object's own values for them are kept as unknown fields.
    pub(super) taken: Vec<Target>,
    /// The names of the events before, by position: clients send the same ones in the same order, and comparing is
    /// quicker than looking up.
    expected: Vec<(&'de str, Target)>,
    /// Which of them comes next.
    position: usize,
}

/// Names remembered; what an event has beyond is looked up.
const MAX_EXPECTED: usize = 128;

impl<'de> ObjectReader<'de> {
    /// Reads the event at the scanner into [`row`](Self::row), and passes it. The outer error means that its end was
    /// not found; with the inner one the event is JSON, but no event.
    pub fn read(&mut self, scanner: &mut Scanner<'de>) -> Result<Result<(), Reject>, ScanError> {
        self.reset();
        if scanner.skip_space() != b'{' {
            scanner.value()?;
            return Ok(Err(Reject::event(code::NOT_AN_OBJECT, "an event must be a JSON object")));
        }
        self.members(scanner)?;
        self.merge_properties();
        Ok(self.verdict())
    }

    /// Reads the fields of the object at the scanner, and passes it.
    #[inline]
    pub(super) fn members(&mut self, scanner: &mut Scanner<'de>) -> Result<(), ScanError> {
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(key) = scanner.next_key(&mut first)? {
            let target = self.target(&key);
            if let Target::Nested(parent) = target
                && scanner.skip_space() == b'{'
            {
                self.children(parent, scanner)?;
                continue;
            }
            let raw = scanner.value()?;
            match target {
                _ if !self.taken.is_empty() && self.taken.contains(&target) => {
                    if !raw.is_null() {
                        self.extras.push((key, Cow::Borrowed(raw.text)));
                    }
                }
                Target::Unknown => self.extras.push((key, Cow::Borrowed(raw.text))),
                Target::Properties => self.properties = Some(raw),
                Target::Alias(Alias::Timestamp) => self.second.push((Target::EventTs, "timestamp", raw)),
                Target::Alias(Alias::PageUrl) => self.second.push((Target::Text(text::PAGE), "page_url", raw)),
                target => self.take(target, &raw),
            }
        }
        self.apply_second();
        Ok(())
    }

    /// Forgets the event before.
    pub(super) fn reset(&mut self) {
        self.row = Row::default();
        self.page_url = None;
        self.problem = None;
        self.second.clear();
        self.extras.clear();
        self.properties = None;
        self.taken.clear();
        self.position = 0;
    }

    /// What was wrong with the event, once.
    pub(super) fn verdict(&mut self) -> Result<(), Reject> {
        self.problem.take().map_or(Ok(()), Err)
    }

    /// What a top-level name stands for.
    #[inline]
    #[expect(clippy::ptr_arg, reason = "only a borrowed name can be remembered")]
    fn target(&mut self, key: &Cow<'de, str>) -> Target {
        let position = self.position;
        self.position += 1;
        if let Some((name, target)) = self.expected.get(position)
            && **name == **key
        {
            return *target;
        }
        let target = target(key);
        if let Cow::Borrowed(name) = key {
            if position < self.expected.len() {
                self.expected[position] = (name, target);
            } else if position == self.expected.len() && position < MAX_EXPECTED {
                self.expected.push((name, target));
            }
        }
        target
    }

    fn apply_second(&mut self) {
        let mut second = std::mem::take(&mut self.second);
        // From the last to the first: of a name that is there twice the last one counts.
        for (target, name, raw) in second.drain(..).rev() {
            if raw.is_null() {
                continue;
            }
            if target == Target::Text(text::PAGE) && self.page_url.is_none() {
                self.page_url = raw.text(false).ok().flatten();
            }
            if self.is_absent(target) {
                self.take(target, &raw);
            } else {
                self.extras.push((Cow::Borrowed(name), Cow::Borrowed(raw.text)));
            }
        }
        self.second = second;
    }

    fn is_absent(&self, target: Target) -> bool {
        match target {
            Target::Text(slot) => self.row.text[slot].is_none(),
            Target::EventTs => self.row.event_ts.is_none(),
            Target::Flag(slot) => self.row.flag[slot].is_none(),
            Target::Float(slot) => self.row.float[slot].is_none(),
            _ => false,
        }
    }

    /// Puts a value where it belongs, or remembers why that cannot be.
    pub(super) fn take(&mut self, target: Target, raw: &Raw<'de>) {
        if let Err(reject) = self.try_take(target, raw) {
            self.problem.get_or_insert(reject);
        }
    }

    fn try_take(&mut self, target: Target, raw: &Raw<'de>) -> Result<(), Reject> {
        let row = &mut self.row;
        match target {
            Target::Text(slot) => {
                row.text[slot] = raw.text(takes_numbers(slot)).map_err(|problem| problem.reject(text::NAMES[slot]))?;
            }
            Target::EventTs => row.event_ts = raw.time("event_ts")?,
            Target::ClientTs => row.client_ts = raw.time("client_ts")?,
            Target::Money(slot) => row.money[slot] = raw.money(MONEY_NAMES[slot].into())?,
            Target::Int(int::LOAD_MS) => row.int[int::LOAD_MS] = raw.load_ms()?,
            Target::Int(slot) => row.int[slot] = raw.integer(int::NAMES[slot].into(), true)?,
            Target::SchemaVersion => row.schema_version = raw.integer("schema_version".into(), false)?,
            Target::Flag(slot) => row.flag[slot] = raw.flag(flag::NAMES[slot])?,
            Target::Float(slot) => row.float[slot] = raw.float(float::NAMES[slot])?,
            Target::Items => self.items(raw)?,
            // Objects have been read by now.
            Target::Nested(_) if raw.is_null() => {}
            Target::Nested(parent) => return Err(wrong_type(parent.name().into(), "an object", raw.kind())),
            Target::Properties => self.properties = Some(*raw),
            Target::Alias(_) | Target::Unknown => {}
        }
        Ok(())
    }

    /// Reads `utm`, `device` or `geo`.
    fn children(&mut self, parent: Parent, scanner: &mut Scanner<'de>) -> Result<(), ScanError> {
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(key) = scanner.next_key(&mut first)? {
            let raw = scanner.value()?;
            match parent.column(&key) {
                // The same place in the next event is taken for the same name, so the lookup is saved there, too.
                Some(column) => {
                    let target = self.target(&Cow::Borrowed(column));
                    self.second.push((target, column, raw));
                }
                None => {
                    let name = format!("{}_{key}", parent.name());
                    self.extras.push((Cow::Owned(name), Cow::Borrowed(raw.text)));
                }
            }
        }
        Ok(())
    }

    fn items(&mut self, raw: &Raw<'de>) -> Result<(), Reject> {
        // The last `items` counts, with the fields only it has.
        self.extras.retain(|(name, _)| name != "items");
        self.row.items = None;
        match raw.kind() {
            Kind::Null => Ok(()),
            Kind::Array => {
                let found = items::read(raw.text)?;
                self.extras.extend(found.extras.map(|extras| (Cow::Borrowed("items"), Cow::Owned(extras))));
                self.row.items = Some(found.items);
                Ok(())
            }
            kind => Err(wrong_type("items".into(), "an array", kind)),
        }
    }

    /// `properties` ∪ unknown fields, as the text of one object.
    pub(super) fn merge_properties(&mut self) {
        let own = match self.properties.take().map(own_properties) {
            None => None,
            Some(Ok(own)) => own,
            Some(Err(reject)) => {
                self.problem.get_or_insert(reject);
                None
            }
        };
        if own.is_none() && self.extras.is_empty() {
            return;
        }
        let own = own.map(mended);
        for (_, value) in &mut self.extras {
            *value = mended(std::mem::take(value));
        }
        self.row.text[text::PROPERTIES] = match own {
            // The most frequent case needs no copy.
            Some(own) if self.extras.is_empty() => Some(own),
            own => match merged(own.as_deref(), &self.extras) {
                Ok(merged) => Some(Cow::Owned(merged)),
                Err(error) => {
                    self.problem.get_or_insert(unscannable(error));
                    None
                }
            },
        };
    }
}
