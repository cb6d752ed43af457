//! The lines of an order: a JSON array of objects → [`Item`]s.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::properties::merged;
use super::raw::{KeySeed, Kind, Raw, RawSeed, wrong_type};
use crate::validate::{ITEM_TEXTS, Item, Reject};

#[derive(Default)]
pub(super) struct ItemsVisitor<'de> {
    pub items: Vec<Item<'de>>,
    /// For each item an object of its unknown fields.
    pub extras: Vec<String>,
    pub has_extras: bool,
    pub problem: Option<Reject>,
}

impl<'de> Visitor<'de> for &mut ItemsVisitor<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(raw) = seq.next_element_seed(RawSeed)? {
            let at = self.items.len();
            self.items.push(Item::default());
            self.extras.push("{}".to_owned());
            match (raw.kind(), &raw.0) {
                (Kind::Object, Cow::Borrowed(text)) => {
                    let visitor = ItemVisitor { items: self, at };
                    sonic_rs::Deserializer::from_str(text).deserialize_map(visitor).map_err(A::Error::custom)?;
                }
                (kind, _) => {
                    self.problem.get_or_insert_with(|| wrong_type(format!("items[{at}]").into(), "an object", kind));
                }
            }
        }
        Ok(())
    }
}

struct ItemVisitor<'r, 'de> {
    items: &'r mut ItemsVisitor<'de>,
    at: usize,
}

impl<'de> Visitor<'de> for ItemVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { items, at } = self;
        let mut extras: Vec<(Cow<'de, str>, Raw<'de>)> = Vec::new();
        let mut alias = None;
        let item = &mut items.items[at];
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let raw = map.next_value_seed(RawSeed)?;
            if key == "product_name" {
                alias = Some((key, raw));
            } else if let Some(taken) = take_item_field(item, at, &key, &raw) {
                if let Err(reject) = taken {
                    items.problem.get_or_insert(reject);
                }
            } else {
                extras.push((key, raw));
            }
        }
        // `name` is the canonical one.
        if let Some((key, raw)) = alias.filter(|(_, raw)| !raw.is_null()) {
            if item.text[1].is_some() {
                extras.push((key, raw));
            } else if let Some(Err(reject)) = take_item_field(item, at, "name", &raw) {
                items.problem.get_or_insert(reject);
            }
        }
        if !extras.is_empty() {
            items.has_extras = true;
            items.extras[at] = merged(None, &extras).map_err(|r| A::Error::custom(r.message))?;
        }
        Ok(())
    }
}

/// Takes one field of an item; `None` when it is no field of items.
fn take_item_field<'de>(item: &mut Item<'de>, at: usize, key: &str, raw: &Raw<'de>) -> Option<Result<(), Reject>> {
    let field = |key: &str| Cow::Owned(format!("items[{at}].{key}"));
    Some(match key {
        // Naming the field costs an allocation, so only money and quantities that are given pay for it.
        _ if raw.is_null() && matches!(key, "price" | "quantity" | "discount") => Ok(()),
        "price" => raw.money(field(key)).map(|value| item.price = value),
        "discount" => raw.money(field(key)).map(|value| item.discount = value),
        "quantity" => raw.integer(field(key), true).map(|value| item.quantity = value),
        _ => {
            let slot = ITEM_TEXTS.iter().position(|name| *name == key)?;
            let numbers = matches!(key, "product_id" | "category");
            raw.text(numbers).map(|value| item.text[slot] = value).map_err(|problem| problem.reject(field(key)))
        }
    })
}
