//! One JSON object → [`Row`], in one pass over its text and without a tree of values in between.
//!
//! sonic-rs walks the object and hands out each value as its raw text; what the column wants is read from that text,
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
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};

use super::items::ItemsVisitor;
use super::names::{Alias, Parent, Target, takes_numbers, target};
use super::properties::{mended, merged, own_properties};
use super::raw::{KeySeed, Kind, NOT_JSON, Raw, RawSeed, not_an_object, syntax, wrong_type};
use crate::validate::{MONEY_NAMES, Reject, Row, code, flag, float, int, text};

/// Reads events of one request, one after the other, and keeps its buffers between them.
#[derive(Debug, Default)]
pub(crate) struct ObjectReader<'de> {
    /// The event read last.
    pub row: Row<'de>,
    /// A page URL given beside `page`: campaign parameters may stand only there.
    pub page_url: Option<Cow<'de, str>>,
    /// The first field that could not be taken.
    problem: Option<Reject>,
    /// Values under an alias or nested: applied after the object is read, where the canonical name is absent.
    second: Vec<(Target, Cow<'de, str>, Raw<'de>)>,
    /// Unknown fields.
    extras: Vec<(Cow<'de, str>, Raw<'de>)>,
    properties: Option<Raw<'de>>,
}

impl<'de> ObjectReader<'de> {
    /// Reads one event into [`row`](Self::row). `event` must not be nested deeper than the limit.
    pub fn read(&mut self, event: &'de str) -> Result<(), Reject> {
        self.row = Row::default();
        self.page_url = None;
        self.problem = None;
        self.second.clear();
        self.extras.clear();
        self.properties = None;

        if !event.starts_with('{') {
            return Err(not_an_object(event));
        }
        let mut deserializer = sonic_rs::Deserializer::from_str(event);
        deserializer.deserialize_map(EventVisitor(self)).and_then(|()| deserializer.end()).map_err(|e| syntax(&e))?;
        self.apply_second();
        self.merge_properties()?;
        self.problem.take().map_or(Ok(()), Err)
    }

    fn apply_second(&mut self) {
        let mut second = std::mem::take(&mut self.second);
        for (target, name, raw) in second.drain(..) {
            if raw.is_null() {
                continue;
            }
            if target == Target::Text(text::PAGE) && self.page_url.is_none() {
                self.page_url = raw.text(false).ok().flatten();
            }
            if self.is_absent(target) {
                self.take(target, &raw);
            } else {
                self.extras.push((name, raw));
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
    fn take(&mut self, target: Target, raw: &Raw<'de>) {
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
            Target::Nested(parent) => self.nested(parent, raw)?,
            Target::Properties | Target::Alias(_) | Target::Unknown => {}
        }
        Ok(())
    }

    fn nested(&mut self, parent: Parent, raw: &Raw<'de>) -> Result<(), Reject> {
        match raw.kind() {
            Kind::Null => Ok(()),
            Kind::Object => {
                let Cow::Borrowed(text) = raw.0 else { return Err(Reject::event(code::INVALID_JSON, NOT_JSON)) };
                sonic_rs::Deserializer::from_str(text)
                    .deserialize_map(NestedVisitor { reader: self, parent })
                    .map_err(|e| syntax(&e))
            }
            kind => Err(wrong_type(parent.name().into(), "an object", kind)),
        }
    }

    fn items(&mut self, raw: &Raw<'de>) -> Result<(), Reject> {
        // The last `items` counts, with the fields only it has.
        self.extras.retain(|(name, _)| name != "items");
        self.row.items = None;
        match raw.kind() {
            Kind::Null => Ok(()),
            Kind::Array => {
                let Cow::Borrowed(text) = raw.0 else { return Err(Reject::event(code::INVALID_JSON, NOT_JSON)) };
                let mut visitor = ItemsVisitor::default();
                sonic_rs::Deserializer::from_str(text).deserialize_seq(&mut visitor).map_err(|e| syntax(&e))?;
                if let Some(problem) = visitor.problem {
                    return Err(problem);
                }
                if visitor.has_extras {
                    let joined = format!("[{}]", visitor.extras.join(","));
                    self.extras.push((Cow::Borrowed("items"), Raw(Cow::Owned(joined))));
                }
                self.row.items = Some(visitor.items);
                Ok(())
            }
            kind => Err(wrong_type("items".into(), "an array", kind)),
        }
    }

    /// `properties` ∪ unknown fields, as the text of one object.
    fn merge_properties(&mut self) -> Result<(), Reject> {
        let own = match self.properties.take() {
            None => None,
            Some(raw) => match own_properties(raw) {
                Ok(own) => own,
                Err(reject) => {
                    self.problem.get_or_insert(reject);
                    None
                }
            },
        };
        if own.is_none() && self.extras.is_empty() {
            return Ok(());
        }
        let own = own.map(mended).transpose()?;
        for (_, raw) in &mut self.extras {
            raw.0 = mended(std::mem::take(&mut raw.0))?;
        }
        self.row.text[text::PROPERTIES] = match own {
            // The most frequent case needs no copy.
            Some(own) if self.extras.is_empty() => Some(own),
            own => Some(Cow::Owned(merged(own.as_deref(), &self.extras)?)),
        };
        Ok(())
    }
}

struct EventVisitor<'r, 'de>(&'r mut ObjectReader<'de>);

impl<'de> Visitor<'de> for EventVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let raw = map.next_value_seed(RawSeed)?;
            match target(&key) {
                Target::Unknown => reader.extras.push((key, raw)),
                Target::Properties => reader.properties = Some(raw),
                Target::Alias(Alias::Timestamp) => reader.second.push((Target::EventTs, key, raw)),
                Target::Alias(Alias::PageUrl) => reader.second.push((Target::Text(text::PAGE), key, raw)),
                target => reader.take(target, &raw),
            }
        }
        Ok(())
    }
}

struct NestedVisitor<'r, 'de> {
    reader: &'r mut ObjectReader<'de>,
    parent: Parent,
}

impl<'de> Visitor<'de> for NestedVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { reader, parent } = self;
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let raw = map.next_value_seed(RawSeed)?;
            let flat = || Cow::Owned(format!("{}_{key}", parent.name()));
            match parent.child(&key) {
                None => reader.extras.push((flat(), raw)),
                // The flat name of a nested field that loses; the columns of `device` and `geo` are not prefixed.
                Some(target) if parent == Parent::Utm => reader.second.push((target, flat(), raw)),
                Some(target) => reader.second.push((target, key, raw)),
            }
        }
        Ok(())
    }
}
