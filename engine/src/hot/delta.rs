//! What a batch of rows adds to the windows: a pure function of the rows.
//!
//! A delta is small: an entry for each distinct user, session, page and order, not for each event. Deltas of
//! consecutive rows merge into one.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::Seq;

use super::latency::Latency;
use super::{Board, MINUTE, Minute, minute_of};

/// The steps of the funnel, as event types.
pub const FUNNEL_STEPS: [&str; 4] = ["product_view", "add_to_cart", "checkout_start", "purchase"];
/// Every board, in the order of [`WindowDelta::boards`].
pub const BOARDS: [Board; 5] =
    [Board::Pages, Board::ProductViews, Board::ProductsBought, Board::RevenueBySource, Board::RevenueByCountry];
/// What stands on a board for rows without a value.
const NONE: &str = "(none)";
/// Purchases remembered by name.
pub(super) const LATEST_ORDERS: usize = 20;

/// Events by what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// All but bots'.
    pub events: u64,
    /// Events of bots, which count nowhere else.
    pub bots: u64,
    /// `page_view`
    pub page_views: u64,
    /// `product_view`
    pub product_views: u64,
    /// `add_to_cart`
    pub add_to_carts: u64,
    /// `remove_from_cart`
    pub remove_from_carts: u64,
    /// `view_cart`
    pub view_carts: u64,
    /// `checkout_start`
    pub checkouts: u64,
    /// `purchase`
    pub purchases: u64,
}

impl Counts {
    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.events, other.events),
            (&mut self.bots, other.bots),
            (&mut self.page_views, other.page_views),
            (&mut self.product_views, other.product_views),
            (&mut self.add_to_carts, other.add_to_carts),
            (&mut self.remove_from_carts, other.remove_from_carts),
            (&mut self.view_carts, other.view_carts),
            (&mut self.checkouts, other.checkouts),
            (&mut self.purchases, other.purchases),
        ];
        pairs.into_iter().for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Events that change or show a cart.
    pub fn cart_actions(&self) -> u64 {
        self.add_to_carts + self.remove_from_carts + self.view_carts
    }
}

/// When an id was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdSeen {
    /// The latest event's time.
    pub last: Micros,
    /// The minutes with an event, in order.
    pub minutes: Vec<Minute>,
}

impl IdSeen {
    fn see(&mut self, time: Micros) {
        self.last = if self.minutes.is_empty() { time } else { self.last.max(time) };
        insert(&mut self.minutes, minute_of(time));
    }

    fn merge(&mut self, other: Self) {
        self.last = if self.minutes.is_empty() { other.last } else { self.last.max(other.last) };
        other.minutes.into_iter().for_each(|m| insert(&mut self.minutes, m));
    }
}

/// A user: when it was seen, and in which sessions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserSeen {
    /// When.
    pub seen: IdSeen,
    /// Its latest event in each session.
    pub sessions: BTreeMap<String, Micros>,
}

/// A session: when it was seen, and what it did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionSeen {
    /// When.
    pub seen: IdSeen,
    /// The minutes with a purchase, in order.
    pub converted: Vec<Minute>,
    /// Steps of the funnel: time and index into [`FUNNEL_STEPS`].
    pub steps: Vec<(Micros, usize)>,
}

/// An order's own amount, which counts once: the one that came first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSeen {
    /// The position of the purchase that stated it.
    pub seq: Seq,
    /// The amount, in 1/10,000.
    pub amount: i128,
    /// Where it counts on [`Board::RevenueBySource`].
    pub source: String,
    /// Where it counts on [`Board::RevenueByCountry`].
    pub country: String,
}

/// One minute's share of a delta, but for distinct users and sessions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MinuteDelta {
    /// Events by what they are.
    pub counts: Counts,
    /// Purchases without an order id: each is an order by itself.
    pub own_orders: u64,
    /// Amounts that add whatever else comes: of lines, and of purchases without an order id. In 1/10,000.
    pub amounts: i128,
    /// Orders by id, with the amount where the order states one.
    pub orders: HashMap<String, Option<OrderSeen>>,
}

/// A purchase, for the list of the latest ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LatestOrder {
    /// When it happened, in microseconds since the epoch.
    pub event_ts: Micros,
    /// The event's id.
    pub event_id: String,
    /// The order, where the event names one.
    pub order_id: Option<String>,
    /// Its value in 1/10,000.
    pub value: i128,
    /// ISO 4217 code.
    pub currency: Option<String>,
    /// The visitor's country.
    pub country: Option<String>,
}

/// What consecutive rows of one node add to the windows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WindowDelta {
    /// The position before the first row.
    pub prev: Seq,
    /// The last row's position.
    pub last: Seq,
    /// By minute of event time.
    pub minutes: BTreeMap<Minute, MinuteDelta>,
    /// By `user_id`, else `anonymous_id`.
    pub users: HashMap<String, UserSeen>,
    /// By `session_id`.
    pub sessions: HashMap<String, SessionSeen>,
    /// What adds on each board, in the order of [`BOARDS`]: name, minute, value.
    pub boards: [HashMap<String, BTreeMap<Minute, i128>>; BOARDS.len()],
    /// The latest purchases, the latest first.
    pub latest_orders: Vec<LatestOrder>,
    /// Events by the second in which they arrived.
    pub arrivals: BTreeMap<i64, u64>,
    /// From arrival to being visible, by the minute of arrival.
    pub latency: BTreeMap<Minute, Latency>,
}

fn insert(minutes: &mut Vec<Minute>, minute: Minute) {
    if let Err(at) = minutes.binary_search(&minute) {
        minutes.insert(at, minute);
    }
}

/// A text column in either of the forms it has: stored, or as SQL sees it.
enum Text<'a> {
    Plain(&'a StringArray),
    View(&'a StringViewArray),
}

impl<'a> Text<'a> {
    fn of(array: &'a ArrayRef) -> Self {
        match array.data_type() {
            DataType::Utf8View => Self::View(array.as_string_view()),
            _ => Self::Plain(array.as_string()),
        }
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Plain(a) => a.is_valid(row).then(|| a.value(row)),
            Self::View(a) => a.is_valid(row).then(|| a.value(row)),
        }
    }
}

/// The columns windows are made of.
struct Rows<'a> {
    seq: &'a Int64Array,
    event_ts: &'a TimestampMicrosecondArray,
    event_id: Text<'a>,
    event_type: Text<'a>,
    user_id: Text<'a>,
    anonymous_id: Text<'a>,
    session_id: Text<'a>,
    page: Text<'a>,
    product_id: Text<'a>,
    order_id: Text<'a>,
    currency: Text<'a>,
    utm_source: Text<'a>,
    country: Text<'a>,
    bot: &'a BooleanArray,
    price: &'a Decimal128Array,
    revenue: &'a Decimal128Array,
    quantity: &'a Int32Array,
    items: &'a ListArray,
}

/// Names of the columns that [`WindowDelta::of_rows`] reads.
pub const COLUMNS: [&str; 18] = [
    "seq",
    "event_ts",
    "event_id",
    "event_type",
    "user_id",
    "anonymous_id",
    "session_id",
    "page",
    "product_id",
    "order_id",
    "currency",
    "utm_source",
    "country",
    "bot",
    "price",
    "revenue",
    "quantity",
    "items",
];

/// One line of a purchase.
struct Line<'a> {
    product: Option<&'a str>,
    price: i128,
    quantity: i128,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        let column =
            |name| batch.column_by_name(name).ok_or_else(|| Error::internal(format!("windows need the column {name}")));
        let text = |name| column(name).map(Text::of);
        Ok(Self {
            seq: column("seq")?.as_primitive(),
            event_ts: column("event_ts")?.as_primitive(),
            event_id: text("event_id")?,
            event_type: text("event_type")?,
            user_id: text("user_id")?,
            anonymous_id: text("anonymous_id")?,
            session_id: text("session_id")?,
            page: text("page")?,
            product_id: text("product_id")?,
            order_id: text("order_id")?,
            currency: text("currency")?,
            utm_source: text("utm_source")?,
            country: text("country")?,
            bot: column("bot")?.as_boolean(),
            price: column("price")?.as_primitive(),
            revenue: column("revenue")?.as_primitive(),
            quantity: column("quantity")?.as_primitive(),
            items: column("items")?.as_list(),
        })
    }

    /// The lines of a purchase; an event without items is its own line. A missing quantity is one unit.
    fn lines(&self, row: usize) -> Vec<Line<'a>> {
        let units = |quantities: &Int32Array, at| if quantities.is_valid(at) { quantities.value(at).into() } else { 1 };
        let price = |prices: &Decimal128Array, at| if prices.is_valid(at) { prices.value(at) } else { 0 };
        let items: std::ops::Range<usize> = match self.items.is_valid(row) {
            true => self.items.value_offsets()[row] as usize..self.items.value_offsets()[row + 1] as usize,
            false => 0..0,
        };
        if items.is_empty() {
            let product = self.product_id.get(row);
            return vec![Line { product, price: price(self.price, row), quantity: units(self.quantity, row) }];
        }
        let fields = self.items.values().as_struct();
        let (Some(products), Some(prices), Some(quantities)) =
            (fields.column_by_name("product_id"), fields.column_by_name("price"), fields.column_by_name("quantity"))
        else {
            return Vec::new();
        };
        let (products, prices, quantities) = (Text::of(products), prices.as_primitive(), quantities.as_primitive());
        let line = |at| Line { product: products.get(at), price: price(prices, at), quantity: units(quantities, at) };
        items.map(line).collect()
    }
}

impl WindowDelta {
    /// What the rows of `batch` add that are in minutes from `floor` on. The batch has at least [`COLUMNS`].
    pub fn of_rows(batch: &RecordBatch, floor: Minute) -> Result<Self> {
        let rows = Rows::of(batch)?;
        let mut delta = Self::default();
        for row in 0..batch.num_rows() {
            if rows.event_ts.value(row) >= floor * MINUTE {
                delta.add_row(&rows, row);
            }
        }
        delta.latest_orders.sort_unstable_by(|a, b| b.cmp(a));
        delta.latest_orders.truncate(LATEST_ORDERS);
        Ok(delta)
    }

    fn add_row(&mut self, rows: &Rows<'_>, row: usize) {
        let time = rows.event_ts.value(row);
        let minute = minute_of(time);
        let counts = &mut self.minutes.entry(minute).or_default().counts;
        if rows.bot.is_valid(row) && rows.bot.value(row) {
            counts.bots += 1;
            return;
        }
        counts.events += 1;
        let event_type = rows.event_type.get(row).unwrap_or_default();
        let step = FUNNEL_STEPS.iter().position(|s| *s == event_type);
        match event_type {
            "page_view" => {
                counts.page_views += 1;
                if let Some(page) = rows.page.get(row) {
                    self.score(Board::Pages, page, minute, 1);
                }
            }
            "product_view" => {
                counts.product_views += 1;
                if let Some(product) = rows.product_id.get(row) {
                    self.score(Board::ProductViews, product, minute, 1);
                }
            }
            "add_to_cart" => counts.add_to_carts += 1,
            "remove_from_cart" => counts.remove_from_carts += 1,
            "view_cart" => counts.view_carts += 1,
            "checkout_start" => counts.checkouts += 1,
            "purchase" => {
                counts.purchases += 1;
                self.add_purchase(rows, row, minute);
            }
            _ => {}
        }
        let session = rows.session_id.get(row);
        if let Some(session) = session {
            let entry = self.sessions.entry_ref(session).or_default();
            entry.seen.see(time);
            if event_type == "purchase" {
                insert(&mut entry.converted, minute);
            }
            entry.steps.extend(step.map(|step| (time, step)));
        }
        if let Some(user) = rows.user_id.get(row).or_else(|| rows.anonymous_id.get(row)) {
            let entry = self.users.entry_ref(user).or_default();
            entry.seen.see(time);
            if let Some(session) = session {
                match entry.sessions.get_mut(session) {
                    Some(last) => *last = time.max(*last),
                    None => drop(entry.sessions.insert(session.into(), time)),
                }
            }
        }
    }

    fn add_purchase(&mut self, rows: &Rows<'_>, row: usize, minute: Minute) {
        let stated = rows.revenue.is_valid(row).then(|| rows.revenue.value(row));
        let lines = rows.lines(row);
        let value = stated.unwrap_or_else(|| lines.iter().map(|l| l.price * l.quantity).sum());
        for line in &lines {
            if let Some(product) = line.product {
                self.score(Board::ProductsBought, product, minute, line.quantity);
            }
        }
        let source = rows.utm_source.get(row).unwrap_or(NONE);
        let country = rows.country.get(row).unwrap_or(NONE);
        let order = rows.order_id.get(row);
        let of_minute = self.minutes.entry(minute).or_default();
        // An order's own amount may come twice and counts once; lines are events by themselves and add.
        let counts_once = stated.is_some() && order.is_some();
        match order {
            None => of_minute.own_orders += 1,
            Some(order) => {
                let seq = Seq(u64::try_from(rows.seq.value(row)).unwrap_or(0));
                let seen = counts_once.then(|| OrderSeen {
                    seq,
                    amount: value,
                    source: source.into(),
                    country: country.into(),
                });
                keep_first(of_minute.orders.entry_ref(order).or_default(), seen);
            }
        }
        if !counts_once {
            of_minute.amounts += value;
            self.score(Board::RevenueBySource, source, minute, value);
            self.score(Board::RevenueByCountry, country, minute, value);
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        self.latest_orders.push(LatestOrder {
            event_ts: rows.event_ts.value(row),
            event_id: rows.event_id.get(row).unwrap_or_default().to_owned(),
            order_id: owned(order),
            value,
            currency: owned(rows.currency.get(row)),
            country: owned(rows.country.get(row)),
        });
    }

    fn score(&mut self, board: Board, name: &str, minute: Minute, value: i128) {
        *self.boards[board as usize].entry_ref(name).or_default().entry(minute).or_default() += value;
    }

    /// The same, as what follows `prev` and ends with `last`.
    #[must_use]
    pub fn between(mut self, prev: Seq, last: Seq) -> Self {
        (self.prev, self.last) = (prev, last);
        self
    }

    /// Notes that `events` that took `took` became visible at `now`.
    pub fn arrived(&mut self, now: Micros, took: Duration, events: u64) {
        let second = now.div_euclid(1_000_000);
        *self.arrivals.entry(second).or_default() += events;
        self.latency.entry(minute_of(now)).or_default().record(took, events);
    }

    /// Adds the delta of the rows that follow.
    pub fn merge(&mut self, next: Self) {
        self.last = next.last;
        for (minute, theirs) in next.minutes {
            let mine = self.minutes.entry(minute).or_default();
            mine.counts.add(&theirs.counts);
            mine.own_orders += theirs.own_orders;
            mine.amounts += theirs.amounts;
            for (order, seen) in theirs.orders {
                keep_first(mine.orders.entry(order).or_default(), seen);
            }
        }
        for (user, theirs) in next.users {
            let mine = self.users.entry(user).or_default();
            mine.seen.merge(theirs.seen);
            for (session, time) in theirs.sessions {
                let last = mine.sessions.entry(session).or_insert(time);
                *last = time.max(*last);
            }
        }
        for (session, theirs) in next.sessions {
            let mine = self.sessions.entry(session).or_default();
            mine.seen.merge(theirs.seen);
            theirs.converted.into_iter().for_each(|m| insert(&mut mine.converted, m));
            mine.steps.extend(theirs.steps);
        }
        for (mine, theirs) in self.boards.iter_mut().zip(next.boards) {
            for (name, values) in theirs {
                let mine = mine.entry(name).or_default();
                values.into_iter().for_each(|(minute, value)| *mine.entry(minute).or_default() += value);
            }
        }
        self.latest_orders.extend(next.latest_orders);
        self.latest_orders.sort_unstable_by(|a, b| b.cmp(a));
        self.latest_orders.truncate(LATEST_ORDERS);
        for (second, events) in next.arrivals {
            *self.arrivals.entry(second).or_default() += events;
        }
        for (minute, latency) in next.latency {
            self.latency.entry(minute).or_default().merge(&latency);
        }
    }

    /// How many entries it has: what applying it costs.
    pub fn entries(&self) -> usize {
        let orders: usize = self.minutes.values().map(|m| 1 + m.orders.len()).sum();
        let names: usize = self.boards.iter().map(HashMap::len).sum();
        self.users.len() + self.sessions.len() + orders + names
    }
}

/// Keeps the amount that came first.
pub(super) fn keep_first(mine: &mut Option<OrderSeen>, theirs: Option<OrderSeen>) {
    let replace = match (&mine, &theirs) {
        (None, Some(_)) => true,
        (Some(mine), Some(theirs)) => theirs.seq < mine.seq,
        (_, None) => false,
    };
    if replace {
        *mine = theirs;
    }
}
