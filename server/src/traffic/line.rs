//! Writes one event as a line of JSON, by hand: at 700,000 lines a second there is no time for a formatter.

use chrono::DateTime;

use super::catalogue::{Catalogue, Product, SEARCHES};
use super::rng::{Rng, mix};
use super::visit::{Step, Visit};

const HEX: &[u8; 16] = b"0123456789abcdef";
const DIGITS: &[u8; 10] = b"0123456789";
const MINUTE_MS: i64 = 60_000;

/// Formats times, remembering the minute: neighbours in the stream share it.
#[derive(Debug)]
pub struct TimeText {
    minute: i64,
    prefix: String,
}

impl TimeText {
    /// Nothing remembered yet.
    pub fn new() -> Self {
        Self { minute: i64::MIN, prefix: String::new() }
    }

    /// Appends `2024-01-31T23:59:59.123Z`.
    fn write(&mut self, out: &mut Vec<u8>, at_ms: i64) {
        let minute = at_ms.div_euclid(MINUTE_MS);
        if minute != self.minute {
            self.minute = minute;
            self.prefix = DateTime::from_timestamp(minute * 60, 0)
                .map(|t| t.format("%Y-%m-%dT%H:%M:").to_string())
                .unwrap_or_default();
        }
        out.extend_from_slice(self.prefix.as_bytes());
        let ms = at_ms.rem_euclid(MINUTE_MS) as u64;
        number(out, ms / 1_000, 2);
        out.push(b'.');
        number(out, ms % 1_000, 3);
        out.push(b'Z');
    }
}

/// Appends a number with at least `width` digits.
fn number(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut text = [b'0'; 20];
    let mut at = text.len();
    while value > 0 || text.len() - at < width {
        at -= 1;
        text[at] = DIGITS[(value % 10) as usize];
        value /= 10;
    }
    out.extend_from_slice(&text[at..]);
}

/// Appends the lowest `digits` hex digits of `bits`.
fn hex(out: &mut Vec<u8>, bits: u64, digits: usize) {
    let mut text = [0_u8; 16];
    for (i, slot) in text.iter_mut().enumerate() {
        *slot = HEX[(bits >> (60 - 4 * i) & 0xF) as usize];
    }
    out.extend_from_slice(&text[16 - digits..]);
}

/// How ids are spelled, and what an incident changes in an event.
#[derive(Debug, Clone)]
pub struct Spelling {
    /// What every id begins with.
    pub prefix: String,
    /// Makes ids of visits, orders and events others than those of the same visit in another run.
    pub salt: u64,
    /// How many times longer pages take to load.
    pub slow_pages: u64,
}

/// Appends a random UUID (version 4).
fn uuid(out: &mut Vec<u8>, rng: &mut Rng, salt: u64) {
    let (high, low) = (rng.next() ^ salt, rng.next());
    hex(out, high >> 32, 8);
    out.push(b'-');
    hex(out, high >> 16, 4);
    out.extend_from_slice(b"-4");
    hex(out, high, 3);
    out.push(b'-');
    out.push(b"89ab"[(low >> 62) as usize]);
    hex(out, low >> 48, 3);
    out.push(b'-');
    hex(out, low, 12);
}

/// Appends cents as `12.34`.
fn money(out: &mut Vec<u8>, cents: u64) {
    number(out, cents / 100, 1);
    out.push(b'.');
    number(out, cents % 100, 2);
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// The name of a step's event.
pub fn event_type(step: Step) -> &'static str {
    match step {
        Step::Home | Step::Category | Step::Landing => "page_view",
        Step::Search => "search",
        Step::Product => "product_view",
        Step::Add => "add_to_cart",
        Step::Remove => "remove_from_cart",
        Step::Cart => "view_cart",
        Step::Checkout => "checkout_start",
        Step::Payment => "payment_info",
        Step::Purchase => "purchase",
        Step::Refund => "refund",
    }
}

/// An order's amounts, in cents, from the cart.
pub struct Order {
    goods: u64,
    discount: u64,
    shipping: u64,
}

impl Order {
    /// Of what is in the visit's cart.
    pub fn of(visit: &Visit, products: &[Product]) -> Self {
        let line = |&(product, units): &(u32, u8)| u64::from(products[product as usize].cents) * u64::from(units);
        let goods = visit.cart[..visit.lines].iter().map(line).sum();
        // Every eighth order uses a coupon; parcels are free from 49.
        let discount = if visit.id.is_multiple_of(8) { goods / 10 } else { 0 };
        Self { goods, discount, shipping: if goods >= 4_900 { 0 } else { 490 } }
    }

    /// What the goods cost, the discount taken off.
    pub fn revenue(&self) -> u64 {
        self.goods - self.discount
    }
}

/// Appends the event of `visit`'s next step at `at_ms` and its line's end.
pub fn write(
    out: &mut Vec<u8>,
    times: &mut TimeText,
    rng: &mut Rng,
    shop: &Catalogue,
    spelling: &Spelling,
    visit: &Visit,
    at_ms: i64,
) {
    let Some(step) = visit.next() else { return };
    head(out, times, rng, spelling, event_type(step), at_ms);
    text(out, if visit.known { r#""user_id":""# } else { r#""anonymous_id":""# });
    text(out, &spelling.prefix);
    if visit.known {
        text(out, "u_");
        number(out, u64::from(visit.user), 6);
    } else {
        text(out, "a_");
        hex(out, mix(u64::from(visit.user)), 12);
    }
    text(out, "\",");
    if step == Step::Refund {
        return refund(out, shop, spelling, visit);
    }
    text(out, r#""session_id":""#);
    text(out, &spelling.prefix);
    text(out, "s_");
    hex(out, visit.id ^ spelling.salt, 16);
    text(out, "\",");
    page(out, shop, visit, step);
    if visit.is_new() {
        text(out, &shop.referrers[usize::from(visit.source)]);
    }
    details(out, rng, shop, spelling, visit, step);
    text(out, &shop.sources[usize::from(visit.source)]);
    text(out, &shop.devices[usize::from(visit.device)]);
    text(out, &shop.places[usize::from(visit.place)]);
}

/// Appends what every event begins with: id, type and time.
fn head(out: &mut Vec<u8>, times: &mut TimeText, rng: &mut Rng, spelling: &Spelling, event_type: &str, at_ms: i64) {
    text(out, r#"{"event_id":""#);
    text(out, &spelling.prefix);
    uuid(out, rng, spelling.salt);
    text(out, r#"","event_type":""#);
    text(out, event_type);
    text(out, r#"","event_ts":""#);
    times.write(out, at_ms);
    text(out, "\",");
}

/// Appends the warehouse's word on how many units of a product there are, as an event of its own.
pub fn write_stock(
    out: &mut Vec<u8>,
    times: &mut TimeText,
    rng: &mut Rng,
    shop: &Catalogue,
    spelling: &Spelling,
    (product, level): (u32, u32),
    at_ms: i64,
) {
    let Some(product) = shop.products.get(product as usize) else { return };
    head(out, times, rng, spelling, "stock_level", at_ms);
    text(out, r#""product_id":""#);
    text(out, &product.id);
    text(out, r#"","quantity":"#);
    number(out, u64::from(level), 1);
    text(out, "}\n");
}

fn page(out: &mut Vec<u8>, shop: &Catalogue, visit: &Visit, step: Step) {
    text(out, r#""page":""#);
    match step {
        Step::Home => text(out, "/"),
        Step::Category => {
            text(out, "/category/");
            text(out, Catalogue::category(visit.topic));
        }
        Step::Search => text(out, "/search"),
        Step::Landing | Step::Product | Step::Add => {
            text(out, "/product/");
            text(out, &shop.products[visit.product as usize].id);
        }
        Step::Remove | Step::Cart => text(out, "/cart"),
        Step::Checkout => text(out, "/checkout"),
        Step::Payment => text(out, "/checkout/payment"),
        Step::Purchase | Step::Refund => text(out, "/checkout/done"),
    }
    text(out, "\",");
}

fn details(out: &mut Vec<u8>, rng: &mut Rng, shop: &Catalogue, spelling: &Spelling, visit: &Visit, step: Step) {
    match step {
        Step::Home | Step::Category => load_time(out, rng, spelling.slow_pages),
        Step::Landing => {
            load_time(out, rng, spelling.slow_pages);
            text(out, &shop.products[visit.product as usize].view_members);
        }
        Step::Search => {
            text(out, r#""query":""#);
            text(out, SEARCHES[visit.topic as usize % SEARCHES.len()]);
            text(out, "\",");
        }
        Step::Product => text(out, &shop.products[visit.product as usize].view_members),
        Step::Add | Step::Remove => {
            if let Some(&(product, units)) = visit.cart[..visit.lines].last() {
                text(out, &shop.products[product as usize].cart_members);
                quantity(out, units);
                out.push(b',');
            }
            cart_id(out, spelling, visit);
        }
        Step::Cart | Step::Checkout | Step::Payment => cart_id(out, spelling, visit),
        Step::Purchase => {
            cart_id(out, spelling, visit);
            purchase(out, shop, spelling, visit);
        }
        Step::Refund => {}
    }
}

fn load_time(out: &mut Vec<u8>, rng: &mut Rng, times_slower: u64) {
    text(out, r#""load_ms":"#);
    // The product of two numbers leans to the left, with a long tail: 180 ms to 4 s.
    let (a, b) = (u64::from(rng.below(62)), u64::from(rng.below(62)));
    number(out, (180 + a * b) * times_slower, 1);
    out.push(b',');
}

fn quantity(out: &mut Vec<u8>, units: u8) {
    text(out, r#""quantity":"#);
    number(out, u64::from(units), 1);
}

fn cart_id(out: &mut Vec<u8>, spelling: &Spelling, visit: &Visit) {
    text(out, r#""cart_id":""#);
    text(out, &spelling.prefix);
    text(out, "c_");
    hex(out, visit.id ^ spelling.salt, 12);
    text(out, "\",");
}

fn order_id(out: &mut Vec<u8>, spelling: &Spelling, visit: &Visit) {
    text(out, r#""order_id":""#);
    text(out, &spelling.prefix);
    text(out, "o_");
    hex(out, mix(visit.id ^ spelling.salt), 12);
    text(out, "\",");
}

fn purchase(out: &mut Vec<u8>, shop: &Catalogue, spelling: &Spelling, visit: &Visit) {
    order_id(out, spelling, visit);
    match visit.cart[..visit.lines] {
        [(product, units)] => {
            text(out, &shop.products[product as usize].cart_members);
            quantity(out, units);
            out.push(b',');
        }
        ref lines => {
            text(out, r#""currency":"EUR","items":["#);
            for (i, &(product, units)) in lines.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                text(out, &shop.products[product as usize].item_members);
                quantity(out, units);
                out.push(b'}');
            }
            text(out, "],");
        }
    }
    let order = Order::of(visit, &shop.products);
    text(out, r#""revenue":"#);
    money(out, order.revenue());
    text(out, r#","tax":"#);
    money(out, order.revenue() * 19 / 119);
    text(out, r#","shipping":"#);
    money(out, order.shipping);
    if order.discount > 0 {
        text(out, r#","discount":"#);
        money(out, order.discount);
        text(out, r#","coupon":"WELCOME10""#);
    }
    out.push(b',');
}

/// The back office knows the order and the amount, not the browser.
fn refund(out: &mut Vec<u8>, shop: &Catalogue, spelling: &Spelling, visit: &Visit) {
    order_id(out, spelling, visit);
    text(out, r#""currency":"EUR","revenue":"#);
    money(out, Order::of(visit, &shop.products).revenue());
    text(out, "}\n");
}
