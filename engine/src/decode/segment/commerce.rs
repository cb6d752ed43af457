//! Tracked events by Segment's e-commerce specification (v2, and the names of v1) → our types and columns.
//!
//! | name | type |
//! |---|---|
//! | Products Searched | `search` |
//! | Product List Viewed, Viewed Product Category | `product_list_view` |
//! | Product Viewed, Viewed Product | `product_view` |
//! | Product Added, Added Product | `add_to_cart` |
//! | Product Removed, Removed Product | `remove_from_cart` |
//! | Cart Viewed | `view_cart` |
//! | Checkout Started | `checkout_start` |
//! | Checkout Step Viewed, Checkout Step Completed (told apart by `event` in `properties`) | `checkout_step` |
//! | Payment Info Entered | `payment_info` |
//! | Order Completed, Completed Order | `purchase` |
//! | Order Refunded, Refunded Order | `refund` |
//! | Order Cancelled, Cancelled Order | `order_cancelled` |
//! | our own names (`add_to_cart`) | themselves |
//! | Order Updated | `order_updated`, which no metric counts: as a second purchase it would add its lines again |
//! | any other name | the name as it is; all its properties stay in `properties` |
//!
//! Case, blanks, `_` and `-` in names do not matter. Of the properties:
//!
//! | property | column |
//! |---|---|
//! | `product_id`, else `sku`, else `id` | `product_id` |
//! | `name`, `category`, `brand`, `price`, `quantity` | `product_name`, and those of the same name |
//! | `currency`, `coupon`, `order_id`, `cart_id`, `session_id` | those of the same name |
//! | `products[]` | `items`, likewise; a product's other members are in `properties`, under `items` |
//! | `tax`, `shipping`, `discount` of purchases and refunds | those of the same name |
//! | `subtotal`, `total`, `revenue`, `value` of purchases and refunds | `revenue`, by the rule below; they stay in `properties` besides |
//! | all others | `properties` |
//!
//! **What an order is worth.** Our `revenue` is what the goods cost, discounts taken off, without shipping and tax. It is the
//! first of these that the message has:
//!
//! 1. `subtotal`: the specification says exactly that;
//! 2. Σ `price` × `quantity` of the products, less `discount` (else less the products' own), where every product has a price;
//! 3. `total` − `shipping` − `tax`, where it has all three;
//! 4. `revenue`, which shops fill with and without shipping and tax, so not before; 5. `total` less what there is of
//!    `shipping` and `tax`; 6. `value`.
//!
//! A refund with none of them is of the whole order. Amounts are read from their text, never as floats. SDKs compute in
//! floats, though (`179.97000000000003`), so decimals beyond the fourth are rounded, half away from zero.

use std::borrow::Cow;

use super::super::object::ObjectReader;
use super::super::properties::merged;
use super::super::raw::{Kind, Raw, unscannable, wrong_type};
use super::super::scan::Scanner;
use super::each_member;
use crate::event::MONEY_PRECISION;
use crate::validate::{Item, MONEY_NAMES, Reject, Row, code, int, money, text};

/// One more than the largest amount, in 1/10,000.
const MONEY_END: i128 = 10i128.pow(MONEY_PRECISION as u32);
/// Longer names are none of the table.
const MAX_NAME: usize = 32;

/// The type of a name of the specification, and whether the name says more than the type.
fn known(name: &str) -> Option<(&'static str, bool)> {
    // Upper case, blanks and strokes taken out: as long as the name at most.
    let mut plain = [0u8; MAX_NAME];
    let mut length = 0;
    for byte in name.bytes().filter(|byte| !matches!(byte, b' ' | b'_' | b'-')) {
        *plain.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    Some(match &plain[..length] {
        b"productssearched" | b"search" => ("search", false),
        b"productlistviewed" | b"viewedproductcategory" | b"productlistview" => ("product_list_view", false),
        b"productviewed" | b"viewedproduct" | b"productview" => ("product_view", false),
        b"productadded" | b"addedproduct" | b"addtocart" => ("add_to_cart", false),
        b"productremoved" | b"removedproduct" | b"removefromcart" => ("remove_from_cart", false),
        b"cartviewed" | b"viewcart" => ("view_cart", false),
        b"checkoutstarted" | b"checkoutstart" => ("checkout_start", false),
        b"checkoutstepviewed" | b"checkoutstepcompleted" => ("checkout_step", true),
        b"checkoutstep" => ("checkout_step", false),
        b"paymentinfoentered" | b"paymentinfo" => ("payment_info", false),
        b"ordercompleted" | b"completedorder" | b"purchase" => ("purchase", false),
        b"orderrefunded" | b"refundedorder" | b"refund" => ("refund", false),
        b"ordercancelled" | b"cancelledorder" => ("order_cancelled", false),
        b"orderupdated" => ("order_updated", false),
        _ => return None,
    })
}

/// Amounts of an order that more than one rule reads.
#[derive(Debug, Default)]
struct Amounts {
    subtotal: Option<i64>,
    total: Option<i64>,
    revenue: Option<i64>,
    value: Option<i64>,
}

/// Fills the row with a tracked event.
pub(in crate::decode) fn fill<'de>(
    reader: &mut ObjectReader<'de>,
    event: Option<Raw<'de>>,
    properties: Option<Raw<'de>>,
) -> Result<(), Reject> {
    let name = event.map(|raw| raw.text(false).map_err(|problem| problem.reject("event_type"))).transpose()?.flatten();
    let (Some(name), Some(event)) = (name, event) else {
        let message = "event is required: the name of what was tracked, for example \"Product Viewed\"";
        return Err(Reject::new("event_type", code::MISSING_FIELD, message));
    };
    let Some((event_type, says_more)) = known(&name) else {
        reader.row.text[text::EVENT_TYPE] = Some(name);
        let Some(properties) = properties else { return Ok(()) };
        return each_member(&properties, "properties", |name, raw| {
            let is_session = matches!(&*name, "session_id" | "sessionId");
            if !(is_session && super::context::take_text(reader, text::SESSION_ID, &raw)) {
                reader.extras.push((name, Cow::Borrowed(raw.text)));
            }
        });
    };
    reader.row.text[text::EVENT_TYPE] = Some(Cow::Borrowed(event_type));
    if says_more {
        reader.extras.push((Cow::Borrowed("event"), Cow::Borrowed(event.text)));
    }
    let is_order = matches!(event_type, "purchase" | "refund");
    let mut amounts = Amounts::default();
    let mut ids = Ids::default();
    let mut problem = None;
    if let Some(properties) = properties {
        each_member(&properties, "properties", |name, raw| {
            match member(reader, &name, &raw, is_order, &mut amounts, &mut ids) {
                Ok(true) => {}
                Ok(false) => reader.extras.push((name, Cow::Borrowed(raw.text))),
                Err(reject) => drop(problem.get_or_insert(reject)),
            }
        })?;
    }
    if let Some(reject) = problem {
        return Err(reject);
    }
    let (product, unused) = ids.product()?;
    reader.row.text[text::PRODUCT_ID] = product;
    reader.extras.extend(unused);
    if is_order {
        reader.row.money[money::REVENUE] = worth(&reader.row, &amounts);
    }
    Ok(())
}

/// Takes one property; `false` when it is to be kept as it is.
fn member<'de>(
    reader: &mut ObjectReader<'de>,
    name: &str,
    raw: &Raw<'de>,
    is_order: bool,
    amounts: &mut Amounts,
    ids: &mut Ids<'de>,
) -> Result<bool, Reject> {
    if ids.take(name, raw) {
        return Ok(true);
    }
    let row = &mut reader.row;
    let slot = match name {
        "name" => text::PRODUCT_NAME,
        "category" => text::CATEGORY,
        "brand" => text::BRAND,
        "currency" => text::CURRENCY,
        "coupon" => text::COUPON,
        "order_id" => text::ORDER_ID,
        "cart_id" => text::CART_ID,
        "session_id" | "sessionId" => text::SESSION_ID,
        "price" => {
            row.money[money::PRICE] = amount(raw, "price")?;
            return Ok(true);
        }
        "quantity" => {
            row.int[int::QUANTITY] = raw.integer("quantity".into(), true)?;
            return Ok(true);
        }
        "products" => {
            if !raw.is_null() {
                products(reader, raw)?;
            }
            return Ok(true);
        }
        _ if is_order => return order_amount(row, name, raw, amounts),
        _ => return Ok(false),
    };
    row.text[slot] = raw.text(true).map_err(|problem| problem.reject(text::NAMES[slot]))?;
    Ok(true)
}

/// Takes an amount of an order as a whole. What only helps to find its worth is kept as it was sent, too.
fn order_amount(row: &mut Row<'_>, name: &str, raw: &Raw<'_>, amounts: &mut Amounts) -> Result<bool, Reject> {
    let slot = match name {
        "tax" => money::TAX,
        "shipping" => money::SHIPPING,
        "discount" => money::DISCOUNT,
        _ => {
            let place = match name {
                "subtotal" => &mut amounts.subtotal,
                "total" => &mut amounts.total,
                "revenue" => &mut amounts.revenue,
                "value" => &mut amounts.value,
                _ => return Ok(false),
            };
            *place = amount(raw, "revenue")?;
            return Ok(false);
        }
    };
    row.money[slot] = amount(raw, MONEY_NAMES[slot])?;
    Ok(true)
}

fn amount(raw: &Raw<'_>, field: &'static str) -> Result<Option<i64>, Reject> {
    raw.rounded_money(field.into())
}

/// What the goods of an order cost, discounts taken off, without shipping and tax.
fn worth(row: &Row<'_>, amounts: &Amounts) -> Option<i64> {
    if amounts.subtotal.is_some() {
        return amounts.subtotal;
    }
    let (tax, shipping) = (row.money[money::TAX], row.money[money::SHIPPING]);
    let rest = |total: i64| total.checked_sub(tax.unwrap_or(0))?.checked_sub(shipping.unwrap_or(0));
    let all_three = amounts.total.filter(|_| tax.is_some() && shipping.is_some());
    lines(row)
        .or_else(|| all_three.and_then(rest))
        .or(amounts.revenue)
        .or_else(|| amounts.total.and_then(rest))
        .or(amounts.value)
        .filter(|worth| i128::from(*worth).abs() < MONEY_END)
}

/// Σ price × quantity, less the discount; `None` where a price is missing.
fn lines(row: &Row<'_>) -> Option<i64> {
    let whole = Item { price: row.money[money::PRICE], quantity: row.int[int::QUANTITY], ..Item::default() };
    let lines = match row.items.as_deref() {
        None | Some([]) => std::slice::from_ref(&whole),
        Some(items) => items,
    };
    // At most 2^63 × 2^31 × the items of an event: it cannot overflow.
    let mut gross = 0i128;
    for line in lines {
        gross += i128::from(line.price?) * i128::from(line.quantity.unwrap_or(1));
    }
    let own = || lines.iter().filter_map(|line| line.discount).map(i128::from).sum();
    let discount = row.money[money::DISCOUNT].map_or_else(own, i128::from);
    i64::try_from(gross - discount).ok()
}

/// The ids a product may go by; the first of them is the one.
#[derive(Debug, Default)]
struct Ids<'de>([Option<Raw<'de>>; 3]);

const ID_NAMES: [&str; 3] = ["product_id", "sku", "id"];

type Unused<'de> = Vec<(Cow<'de, str>, Cow<'de, str>)>;

impl<'de> Ids<'de> {
    fn take(&mut self, name: &str, raw: &Raw<'de>) -> bool {
        let Some(at) = ID_NAMES.iter().position(|id| *id == name) else { return false };
        self.0[at] = Some(*raw);
        true
    }

    /// The product's id, and the ids that are not it.
    fn product(self) -> Result<(Option<Cow<'de, str>>, Unused<'de>), Reject> {
        let (mut product, mut unused) = (None, Unused::new());
        for (name, raw) in ID_NAMES.into_iter().zip(self.0) {
            let Some(raw) = raw.filter(|raw| !raw.is_null()) else { continue };
            if product.is_some() {
                unused.push((Cow::Borrowed(name), Cow::Borrowed(raw.text)));
            } else {
                product = raw.text(true).map_err(|problem| problem.reject("product_id"))?;
            }
        }
        Ok((product, unused))
    }
}

/// Reads `products` into `items`.
fn products<'de>(reader: &mut ObjectReader<'de>, raw: &Raw<'de>) -> Result<(), Reject> {
    if raw.kind() != Kind::Array {
        return Err(wrong_type("items".into(), "an array (products)", raw.kind()));
    }
    let (mut items, mut others, mut has_others) = (Vec::new(), Vec::new(), false);
    let mut scanner = Scanner::new(raw.text, 0);
    scanner.open(b'[').map_err(unscannable)?;
    let mut first = true;
    while let Some(raw) = scanner.next_element(&mut first).map_err(unscannable)? {
        let at = items.len();
        if raw.kind() != Kind::Object {
            return Err(wrong_type(format!("items[{at}]").into(), "an object", raw.kind()));
        }
        let (item, left) = product(&raw, at)?;
        has_others |= !left.is_empty();
        others.push(merged(None, &left).map_err(unscannable)?);
        items.push(item);
    }
    // The last `products` counts, with the members only it has.
    reader.extras.retain(|(name, _)| name != "items");
    if has_others {
        reader.extras.push((Cow::Borrowed("items"), Cow::Owned(format!("[{}]", others.join(",")))));
    }
    reader.row.items = Some(items);
    Ok(())
}

/// Reads one product; the members that items do not have.
fn product<'de>(raw: &Raw<'de>, at: usize) -> Result<(Item<'de>, Unused<'de>), Reject> {
    let (mut item, mut ids, mut left) = (Item::default(), Ids::default(), Unused::new());
    let (mut problem, field) = (None, |name: &str| Cow::Owned(format!("items[{at}].{name}")));
    each_member(raw, "items", |name, raw| {
        let taken = match &*name {
            _ if raw.is_null() || ids.take(&name, &raw) => Ok(()),
            "price" => raw.rounded_money(field("price")).map(|price| item.price = price),
            "discount" => raw.rounded_money(field("discount")).map(|discount| item.discount = discount),
            "quantity" => raw.integer(field("quantity"), true).map(|quantity| item.quantity = quantity),
            "name" | "category" | "brand" => {
                let slot = match &*name {
                    "name" => 1,
                    "category" => 2,
                    _ => 3,
                };
                let text = raw.text(true).map_err(|problem| problem.reject(field(&name)));
                text.map(|text| item.text[slot] = text)
            }
            _ => {
                left.push((name, Cow::Borrowed(raw.text)));
                Ok(())
            }
        };
        if let Err(reject) = taken {
            problem.get_or_insert(reject);
        }
    })?;
    if let Some(reject) = problem {
        return Err(reject);
    }
    let (id, unused) = ids.product().map_err(|reject| Reject { field: field("product_id"), ..reject })?;
    item.text[0] = id;
    left.extend(unused);
    Ok((item, left))
}
