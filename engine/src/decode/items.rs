//! The lines of an order: a JSON array of objects → [`Item`]s.

use std::borrow::Cow;

use super::properties::merged;
use super::raw::{Kind, Raw, unscannable, wrong_type};
use super::scan::Scanner;
use crate::validate::{ITEM_TEXTS, Item, Reject};

/// What an array of items holds.
#[derive(Debug, Default)]
pub(super) struct Items<'de> {
    pub items: Vec<Item<'de>>,
    /// An array with one object an item, of the fields that items do not have; `None` when there are none.
    pub extras: Option<String>,
}

/// Reads an array that was scanned.
pub(super) fn read(array: &str) -> Result<Items<'_>, Reject> {
    let mut found = Items::default();
    let mut extras: Vec<String> = Vec::new();
    let mut has_extras = false;
    let mut scanner = Scanner::new(array, 0);
    scanner.open(b'[').map_err(unscannable)?;
    let mut first = true;
    while let Some(raw) = scanner.next_element(&mut first).map_err(unscannable)? {
        let at = found.items.len();
        if raw.kind() != Kind::Object {
            return Err(wrong_type(format!("items[{at}]").into(), "an object", raw.kind()));
        }
        let mut item = Item::default();
        let unknown = read_item(&mut item, at, raw.text)?;
        has_extras |= !unknown.is_empty();
        extras.push(merged(None, &unknown).map_err(unscannable)?);
        found.items.push(item);
    }
    if has_extras {
        found.extras = Some(format!("[{}]", extras.join(",")));
    }
    Ok(found)
}

type Unknown<'de> = Vec<(Cow<'de, str>, Cow<'de, str>)>;

/// Reads one item; its unknown fields.
fn read_item<'de>(item: &mut Item<'de>, at: usize, object: &'de str) -> Result<Unknown<'de>, Reject> {
    let mut unknown = Vec::new();
    let mut alias = None;
    let mut scanner = Scanner::new(object, 0);
    scanner.open(b'{').map_err(unscannable)?;
    let mut first = true;
    while let Some(key) = scanner.next_key(&mut first).map_err(unscannable)? {
        let raw = scanner.value().map_err(unscannable)?;
        if key == "product_name" {
            alias = Some((key, raw));
        } else if !take_field(item, at, &key, &raw)? {
            unknown.push((key, Cow::Borrowed(raw.text)));
        }
    }
    // `name` is the canonical one.
    if let Some((key, raw)) = alias.filter(|(_, raw)| !raw.is_null()) {
        if item.text[1].is_some() {
            unknown.push((key, Cow::Borrowed(raw.text)));
        } else {
            take_field(item, at, "name", &raw)?;
        }
    }
    Ok(unknown)
}

/// Takes one field of an item; `false` when it is no field of items.
fn take_field<'de>(item: &mut Item<'de>, at: usize, key: &str, raw: &Raw<'de>) -> Result<bool, Reject> {
    let field = |key: &str| Cow::Owned(format!("items[{at}].{key}"));
    match key {
        // Naming the field costs an allocation, so only amounts that are given pay for it.
        "price" | "quantity" | "discount" if raw.is_null() => {}
        "price" => item.price = raw.money(field(key))?,
        "discount" => item.discount = raw.money(field(key))?,
        "quantity" => item.quantity = raw.integer(field(key), true)?,
        _ => {
            let Some(slot) = ITEM_TEXTS.iter().position(|name| *name == key) else { return Ok(false) };
            let numbers = matches!(key, "product_id" | "category");
            item.text[slot] = raw.text(numbers).map_err(|problem| problem.reject(field(key)))?;
        }
    }
    Ok(true)
}
