//! One decoded row → accepted | rejected (field, code, message). Pure: no I/O, no clock; what it needs comes in.
//!
//! Decoding parses the fields of an event into a [`Row`] that borrows from the request, asks [`validate`], and only
//! then copies the row into the batch: a rejected event leaves no trace in it.

use std::borrow::Cow;

use crate::clock::Micros;
use crate::event::{self, COLUMNS, Column, ColumnKind};

/// Why an event, or a line of a request, was not accepted. Stable names, for programs.
pub mod code {
    /// Not a JSON text: the line or array element cannot be parsed.
    pub const INVALID_JSON: &str = "invalid_json";
    /// Not UTF-8.
    pub const INVALID_UTF8: &str = "invalid_utf8";
    /// JSON, but not an object.
    pub const NOT_AN_OBJECT: &str = "not_an_object";
    /// Objects and arrays nested too deep.
    pub const TOO_DEEP: &str = "too_deep";
    /// The event as a whole has too many bytes.
    pub const EVENT_TOO_LARGE: &str = "event_too_large";
    /// A required field is absent, null or blank.
    pub const MISSING_FIELD: &str = "missing_field";
    /// The field's JSON (or Arrow) type cannot be taken for the column.
    pub const INVALID_TYPE: &str = "invalid_type";
    /// Text where a number is expected that is not one.
    pub const INVALID_NUMBER: &str = "invalid_number";
    /// A fraction where a whole number is expected.
    pub const NOT_AN_INTEGER: &str = "not_an_integer";
    /// A number or time outside what the column can hold or means.
    pub const OUT_OF_RANGE: &str = "out_of_range";
    /// Money with more than four decimals that are not zeros: rounding it is the sender's decision.
    pub const MONEY_PRECISION: &str = "money_precision";
    /// Neither RFC 3339 nor epoch milliseconds.
    pub const INVALID_TIMESTAMP: &str = "invalid_timestamp";
    /// Later than the server's clock allows.
    pub const FUTURE_TIMESTAMP: &str = "future_timestamp";
    /// More bytes (or items) than the column takes.
    pub const TOO_LONG: &str = "too_long";
    /// A NUL character: clients on the Postgres wire cannot read it.
    pub const INVALID_TEXT: &str = "invalid_text";
    /// Written with a version of the event schema that this build does not know.
    pub const NEWER_SCHEMA: &str = "newer_schema_version";
    /// A CloudEvent of a version of that specification that is not read here.
    pub const UNSUPPORTED_SPECVERSION: &str = "unsupported_specversion";
    /// The person it is about was erased after it happened; it is not kept as a dead letter either.
    pub const ERASED: &str = "erased";

    /// All of them, in the order above.
    pub const ALL: [&str; 18] = [
        INVALID_JSON,
        INVALID_UTF8,
        NOT_AN_OBJECT,
        TOO_DEEP,
        EVENT_TOO_LARGE,
        MISSING_FIELD,
        INVALID_TYPE,
        INVALID_NUMBER,
        NOT_AN_INTEGER,
        OUT_OF_RANGE,
        MONEY_PRECISION,
        INVALID_TIMESTAMP,
        FUTURE_TIMESTAMP,
        TOO_LONG,
        INVALID_TEXT,
        NEWER_SCHEMA,
        UNSUPPORTED_SPECVERSION,
        ERASED,
    ];
}

/// Why a row was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The field, as the canonical column name; empty when it is the event as a whole.
    pub field: Cow<'static, str>,
    /// One of [`code`].
    pub code: &'static str,
    /// One sentence for people: what is wrong and what to send.
    pub message: String,
}

impl Reject {
    /// A reason tied to one field.
    pub fn new(field: impl Into<Cow<'static, str>>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }

    /// A reason that concerns the event as a whole.
    pub fn event(code: &'static str, message: impl Into<String>) -> Self {
        Self::new("", code, message)
    }
}

/// Sizes a row must keep within, in bytes of UTF-8 unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Ids, names, codes.
    pub max_id_bytes: usize,
    /// `page`, `referrer`, `user_agent`, `product_name`, `category`.
    pub max_text_bytes: usize,
    /// `properties`, unknown fields included.
    pub max_properties_bytes: usize,
    /// Entries of `items`.
    pub max_items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_id_bytes: 512, max_text_bytes: 8 * 1024, max_properties_bytes: 64 * 1024, max_items: 1_000 }
    }
}

/// One line of an order, as sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Item<'a> {
    /// `product_id`, `name`, `category`, `brand`, in the order of [`ITEM_TEXTS`].
    pub text: [Option<Cow<'a, str>>; ITEM_TEXTS.len()],
    /// Price of one unit in 1/10,000.
    pub price: Option<i64>,
    /// Units.
    pub quantity: Option<i32>,
    /// Discount of the line in 1/10,000.
    pub discount: Option<i64>,
}

/// The text fields of an item, in the order of [`event::item_fields`].
pub const ITEM_TEXTS: [&str; 4] = ["product_id", "name", "category", "brand"];

/// One event's parsed fields, borrowed from the request where possible. Fields of one kind stand in arrays, in the
/// order of [`event::COLUMNS`]; the modules below give their positions names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row<'a> {
    /// `event_ts`
    pub event_ts: Option<Micros>,
    /// `client_ts`
    pub client_ts: Option<Micros>,
    /// Text columns, see [`text`]. Never blank: a blank text is an absent one.
    pub text: [Option<Cow<'a, str>>; text::COUNT],
    /// Money columns in 1/10,000, see [`MONEY_NAMES`].
    pub money: [Option<i64>; MONEY_COUNT],
    /// Integer columns, see [`int`].
    pub int: [Option<i32>; int::COUNT],
    /// Boolean columns, see [`flag`].
    pub flag: [Option<bool>; flag::COUNT],
    /// Float columns, see [`float`].
    pub float: [Option<f64>; float::COUNT],
    /// `schema_version`
    pub schema_version: Option<i16>,
    /// `items`
    pub items: Option<Vec<Item<'a>>>,
}

/// Positions in [`Row::text`].
pub mod text {
    use super::{ColumnKind::Text, count, names, position};

    /// How many text columns a client can send.
    pub const COUNT: usize = count(Text);
    /// Their names.
    pub const NAMES: [&str; COUNT] = names(Text);
    /// `event_type`
    pub const EVENT_TYPE: usize = position(Text, "event_type");
    /// `event_id`
    pub const EVENT_ID: usize = position(Text, "event_id");
    /// `user_id`
    pub const USER_ID: usize = position(Text, "user_id");
    /// `anonymous_id`
    pub const ANONYMOUS_ID: usize = position(Text, "anonymous_id");
    /// `session_id`
    pub const SESSION_ID: usize = position(Text, "session_id");
    /// `page`
    pub const PAGE: usize = position(Text, "page");
    /// `referrer`
    pub const REFERRER: usize = position(Text, "referrer");
    /// `channel`
    pub const CHANNEL: usize = position(Text, "channel");
    /// `product_id`
    pub const PRODUCT_ID: usize = position(Text, "product_id");
    /// `product_name`
    pub const PRODUCT_NAME: usize = position(Text, "product_name");
    /// `category`
    pub const CATEGORY: usize = position(Text, "category");
    /// `brand`
    pub const BRAND: usize = position(Text, "brand");
    /// `currency`
    pub const CURRENCY: usize = position(Text, "currency");
    /// `country`
    pub const COUNTRY: usize = position(Text, "country");
    /// `city`
    pub const CITY: usize = position(Text, "city");
    /// `order_id`
    pub const ORDER_ID: usize = position(Text, "order_id");
    /// `cart_id`
    pub const CART_ID: usize = position(Text, "cart_id");
    /// `coupon`
    pub const COUPON: usize = position(Text, "coupon");
    /// `utm_source`
    pub const UTM_SOURCE: usize = position(Text, "utm_source");
    /// `utm_campaign`
    pub const UTM_CAMPAIGN: usize = position(Text, "utm_campaign");
    /// `utm_medium`
    pub const UTM_MEDIUM: usize = position(Text, "utm_medium");
    /// `os`
    pub const OS: usize = position(Text, "os");
    /// `user_agent`
    pub const USER_AGENT: usize = position(Text, "user_agent");
    /// `properties`
    pub const PROPERTIES: usize = position(Text, "properties");
}

/// Positions in [`Row::int`].
pub mod int {
    use super::{ColumnKind::Int, count, names, position};

    /// How many integer columns there are.
    pub const COUNT: usize = count(Int);
    /// Their names.
    pub const NAMES: [&str; COUNT] = names(Int);
    /// `load_ms`
    pub const LOAD_MS: usize = position(Int, "load_ms");
    /// `quantity`
    pub const QUANTITY: usize = position(Int, "quantity");
}

/// Positions in [`Row::flag`].
pub mod flag {
    use super::{ColumnKind::Bool, count, names, position};

    /// How many boolean columns there are.
    pub const COUNT: usize = count(Bool);
    /// Their names.
    pub const NAMES: [&str; COUNT] = names(Bool);
    /// `bot`
    pub const BOT: usize = position(Bool, "bot");
    /// `mobile`
    pub const MOBILE: usize = position(Bool, "mobile");
}

/// Positions in [`Row::float`].
pub mod float {
    use super::{ColumnKind::Float, count, names, position};

    /// How many float columns there are.
    pub const COUNT: usize = count(Float);
    /// Their names.
    pub const NAMES: [&str; COUNT] = names(Float);
    /// `lat`
    pub const LAT: usize = position(Float, "lat");
    /// `lon`
    pub const LON: usize = position(Float, "lon");
}

/// Positions in [`Row::money`].
pub mod money {
    use super::{ColumnKind::Money, position};

    /// `price`
    pub const PRICE: usize = position(Money, "price");
    /// `revenue`
    pub const REVENUE: usize = position(Money, "revenue");
    /// `tax`
    pub const TAX: usize = position(Money, "tax");
    /// `shipping`
    pub const SHIPPING: usize = position(Money, "shipping");
    /// `discount`
    pub const DISCOUNT: usize = position(Money, "discount");
}

/// How many money columns there are.
pub const MONEY_COUNT: usize = count(ColumnKind::Money);
/// Their names, in the order of [`Row::money`].
pub const MONEY_NAMES: [&str; MONEY_COUNT] = names(ColumnKind::Money);

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Whether a client can send this column; the others are the engine's.
pub const fn is_client_column(column: &Column) -> bool {
    !same(column.name, event::SEQ) && !same(column.name, event::NODE) && !same(column.name, "received_at")
}

const fn counts(column: &Column, kind: ColumnKind) -> bool {
    column.kind as u8 == kind as u8 && is_client_column(column)
}

const fn count(kind: ColumnKind) -> usize {
    let (mut i, mut found) = (0, 0);
    while i < COLUMNS.len() {
        if counts(&COLUMNS[i], kind) {
            found += 1;
        }
        i += 1;
    }
    found
}

const fn names<const N: usize>(kind: ColumnKind) -> [&'static str; N] {
    let mut names = [""; N];
    let (mut i, mut found) = (0, 0);
    while i < COLUMNS.len() {
        if counts(&COLUMNS[i], kind) {
            names[found] = COLUMNS[i].name;
            found += 1;
        }
        i += 1;
    }
    names
}

/// Where `name` stands among the columns of its kind; used in constants only, so a wrong name fails the build.
const fn position(kind: ColumnKind, name: &str) -> usize {
    let (mut i, mut found) = (0, 0);
    while i < COLUMNS.len() {
        if counts(&COLUMNS[i], kind) {
            if same(COLUMNS[i].name, name) {
                return found;
            }
            found += 1;
        }
        i += 1;
    }
    // Out of bounds: there is no such column.
    COLUMNS.len()
}

/// Whether what this event says is about one visit, so that it needs a session and a visitor. What a back office sends
/// (purchase, refund, cancellation, stock, own types) need not have them.
pub fn is_browsing(event_type: &str) -> bool {
    matches!(
        event_type,
        "page_view"
            | "product_view"
            | "product_list_view"
            | "search"
            | "add_to_cart"
            | "remove_from_cart"
            | "view_cart"
            | "checkout_start"
            | "checkout_step"
            | "payment_info"
    )
}

/// Checks a row against the rules of the event model. `latest` is the latest `event_ts` that is not the future.
///
/// The first rule broken is reported: required fields, then times, sizes, ranges.
pub fn validate(row: &Row<'_>, limits: &Limits, latest: Micros) -> Result<(), Reject> {
    required(row)?;
    if row.event_ts.is_some_and(|ts| ts > latest) {
        return Err(Reject::new(
            "event_ts",
            code::FUTURE_TIMESTAMP,
            "event_ts is in the future by the server's clock: check the sender's clock and its time zone",
        ));
    }
    sizes(row, limits)?;
    ranges(row)
}

fn required(row: &Row<'_>) -> Result<(), Reject> {
    let missing = |field: &'static str, what: &str| Err(Reject::new(field, code::MISSING_FIELD, what));
    let Some(event_type) = row.text[text::EVENT_TYPE].as_deref() else {
        return missing("event_type", "event_type is required, for example \"page_view\"");
    };
    if row.event_ts.is_none() {
        return missing("event_ts", "event_ts (or timestamp) is required: RFC 3339, or epoch milliseconds");
    }
    if !is_browsing(event_type) {
        return Ok(());
    }
    if row.text[text::SESSION_ID].is_none() {
        return missing("session_id", "session_id is required for browsing events");
    }
    if row.text[text::USER_ID].is_none() && row.text[text::ANONYMOUS_ID].is_none() {
        return missing("user_id", "user_id or anonymous_id is required for browsing events");
    }
    if event_type == "page_view" && row.text[text::PAGE].is_none() {
        return missing("page", "page (or page_url) is required for page_view");
    }
    Ok(())
}

fn is_long_text(slot: usize) -> bool {
    matches!(slot, text::PAGE | text::REFERRER | text::USER_AGENT | text::PRODUCT_NAME | text::CATEGORY)
}

fn sizes(row: &Row<'_>, limits: &Limits) -> Result<(), Reject> {
    for (slot, value) in row.text.iter().enumerate() {
        let Some(value) = value else { continue };
        // Nearly every text is short: one comparison settles it.
        if value.len() > limits.max_id_bytes {
            let most = match slot {
                text::PROPERTIES => limits.max_properties_bytes,
                slot if is_long_text(slot) => limits.max_text_bytes,
                _ => limits.max_id_bytes,
            };
            fits(text::NAMES[slot].into(), value.len(), most)?;
        }
    }
    let Some(items) = &row.items else { return Ok(()) };
    if items.len() > limits.max_items {
        let message = format!("items has {} entries; the limit is {}", items.len(), limits.max_items);
        return Err(Reject::new("items", code::TOO_LONG, message));
    }
    for (at, item) in items.iter().enumerate() {
        for (value, name) in item.text.iter().zip(ITEM_TEXTS) {
            let long = matches!(name, "name" | "category");
            let most = if long { limits.max_text_bytes } else { limits.max_id_bytes };
            if let Some(value) = value
                && value.len() > most
            {
                fits(format!("items[{at}].{name}").into(), value.len(), most)?;
            }
        }
    }
    Ok(())
}

fn fits(field: Cow<'static, str>, bytes: usize, most: usize) -> Result<(), Reject> {
    if bytes <= most {
        return Ok(());
    }
    let message = format!("{field} has {bytes} bytes; the limit is {most}");
    Err(Reject::new(field, code::TOO_LONG, message))
}

fn ranges(row: &Row<'_>) -> Result<(), Reject> {
    let outside = |field: &'static str, range: &str| {
        Err(Reject::new(field, code::OUT_OF_RANGE, format!("{field} must be {range}")))
    };
    if row.int[int::LOAD_MS].is_some_and(|ms| ms < 0) {
        return outside("load_ms", "0 or more");
    }
    if row.float[float::LAT].is_some_and(|lat| !(-90.0..=90.0).contains(&lat)) {
        return outside("lat", "between -90 and 90 degrees");
    }
    if row.float[float::LON].is_some_and(|lon| !(-180.0..=180.0).contains(&lon)) {
        return outside("lon", "between -180 and 180 degrees");
    }
    schema_version(row)
}

/// Each version of the event schema has its rules; those above are of version 1, the first, and of no version. A later one
/// may give fields another meaning, so it is not guessed.
fn schema_version(row: &Row<'_>) -> Result<(), Reject> {
    let reject = |code, message| Err(Reject::new("schema_version", code, message));
    match row.schema_version {
        None | Some(1..=event::SCHEMA_VERSION) => Ok(()),
        Some(..1) => reject(code::OUT_OF_RANGE, "schema_version must be 1 or more".to_owned()),
        Some(newer) => reject(
            code::NEWER_SCHEMA,
            format!(
                "schema_version {newer} is newer than what this server knows ({}): upgrade it, then replay",
                event::SCHEMA_VERSION
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> Row<'static> {
        let mut row = Row { event_ts: Some(1_000), ..Row::default() };
        for (slot, value) in
            [(text::EVENT_TYPE, "page_view"), (text::SESSION_ID, "s"), (text::ANONYMOUS_ID, "a"), (text::PAGE, "/")]
        {
            row.text[slot] = Some(value.into());
        }
        row
    }

    /// The field and code of the first broken rule, for a valid page view after `change`.
    fn verdict(change: impl FnOnce(&mut Row<'static>)) -> Option<(String, &'static str)> {
        let mut row = view();
        change(&mut row);
        validate(&row, &Limits::default(), 2_000).err().map(|r| (r.field.into_owned(), r.code))
    }

    fn broken(field: &str, code: &'static str) -> Option<(String, &'static str)> {
        Some((field.to_owned(), code))
    }

    #[test]
    fn every_column_a_client_can_send_has_exactly_one_place() {
        let mut names: Vec<&str> = ["event_ts", "client_ts", "schema_version", "items"].into();
        names.extend(text::NAMES);
        names.extend(int::NAMES);
        names.extend(flag::NAMES);
        names.extend(float::NAMES);
        names.extend(MONEY_NAMES);
        names.sort_unstable();
        let mut columns: Vec<&str> = COLUMNS.iter().filter(|c| is_client_column(c)).map(|c| c.name).collect();
        columns.sort_unstable();
        assert_eq!(names, columns);
        assert_eq!(text::NAMES[text::PROPERTIES], "properties");
        assert_eq!(
            ITEM_TEXTS.as_slice(),
            &event::item_fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>()[..4]
        );
    }

    #[test]
    fn the_first_broken_rule_is_named() {
        assert_eq!(verdict(|_| ()), None);
        assert_eq!(verdict(|r| r.text[text::EVENT_TYPE] = None), broken("event_type", "missing_field"));
        assert_eq!(verdict(|r| r.event_ts = None), broken("event_ts", "missing_field"));
        assert_eq!(verdict(|r| r.text[text::SESSION_ID] = None), broken("session_id", "missing_field"));
        assert_eq!(verdict(|r| r.text[text::ANONYMOUS_ID] = None), broken("user_id", "missing_field"));
        assert_eq!(verdict(|r| r.text[text::PAGE] = None), broken("page", "missing_field"));
        assert_eq!(verdict(|r| r.event_ts = Some(2_001)), broken("event_ts", "future_timestamp"));
        assert_eq!(verdict(|r| r.event_ts = Some(2_000)), None);
        assert_eq!(verdict(|r| r.float[float::LAT] = Some(90.5)), broken("lat", "out_of_range"));
        assert_eq!(verdict(|r| r.float[float::LON] = Some(f64::NAN)), broken("lon", "out_of_range"));
        assert_eq!(verdict(|r| r.int[int::LOAD_MS] = Some(-1)), broken("load_ms", "out_of_range"));
    }

    #[test]
    fn a_back_office_event_needs_no_visit() {
        assert_eq!(
            verdict(|r| *r = {
                let mut row = Row { event_ts: Some(0), ..Row::default() };
                row.text[text::EVENT_TYPE] = Some("refund".into());
                row
            }),
            None
        );
    }

    #[test]
    fn sizes_are_limited_exactly() {
        let of = |bytes: usize| Some(Cow::Owned("x".repeat(bytes)));
        assert_eq!(verdict(|r| r.text[text::USER_ID] = of(512)), None);
        assert_eq!(verdict(|r| r.text[text::USER_ID] = of(513)), broken("user_id", "too_long"));
        assert_eq!(verdict(|r| r.text[text::PAGE] = of(8 * 1024)), None);
        assert_eq!(verdict(|r| r.text[text::PAGE] = of(8 * 1024 + 1)), broken("page", "too_long"));
        assert_eq!(verdict(|r| r.text[text::PROPERTIES] = of(64 * 1024)), None);
        assert_eq!(verdict(|r| r.text[text::PROPERTIES] = of(64 * 1024 + 1)), broken("properties", "too_long"));
        assert_eq!(verdict(|r| r.items = Some(vec![Item::default(); 1_000])), None);
        assert_eq!(verdict(|r| r.items = Some(vec![Item::default(); 1_001])), broken("items", "too_long"));
        let item = Item { text: [of(513), None, None, None], ..Item::default() };
        assert_eq!(verdict(|r| r.items = Some(vec![Item::default(), item])), broken("items[1].product_id", "too_long"));
    }
}
