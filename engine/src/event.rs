//! The event model and its Arrow schema: the only place that names the columns.
//!
//! An event is one flat row. It has three forms, each a prefix of steps on the data path:
//!
//! - [`client_schema`]: what decoding makes, everything but `seq` and `node`;
//! - [`stored_schema`]: with `seq` and `node` added by the sequencer; what the write-ahead log and Parquet hold;
//! - [`table_schema`]: what SQL sees: text as `Utf8View`, and the partition column `event_date` last.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::clock::{DAY, HOUR, Micros};
use crate::error::Result;

/// The position of an event in its node's history. The write-ahead log assigns it, without gaps, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    /// The position `n` further on.
    #[must_use]
    pub fn plus(self, n: u64) -> Self {
        Self(self.0 + n)
    }

    /// As it is stored in the `seq` column.
    pub fn as_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which write-ahead log an event came through: 8 lower-case hex digits, made once for a data folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeId(String);

impl NodeId {
    /// A new random one.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string()[..8].to_owned())
    }

    /// Reads one back; `None` when it is not 8 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Digits of money in all, and after the point.
pub const MONEY_PRECISION: u8 = 18;
/// Digits of money after the point.
pub const MONEY_SCALE: i8 = 4;
/// 10^[`MONEY_SCALE`].
pub const MONEY_UNIT: i128 = 10_000;
/// The version of the event schema this build writes (column `schema_version`), and the newest it takes: what a later one
/// means is not known here.
pub const SCHEMA_VERSION: i16 = 1;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// UTF-8 text.
    Text,
    /// Microseconds UTC, whole milliseconds.
    Time,
    /// Decimal128(18, 4).
    Money,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
    /// 16-bit integer.
    Small,
    /// Boolean.
    Bool,
    /// 64-bit float (coordinates only).
    Float,
    /// `list<struct>` of order lines, see [`item_fields`].
    Items,
}

/// One column of the event table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name in SQL, Parquet and JSON.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether every row has a value.
    pub required: bool,
    /// One line for people.
    pub doc: &'static str,
}

const fn required(name: &'static str, kind: ColumnKind, doc: &'static str) -> Column {
    Column { name, kind, required: true, doc }
}

const fn optional(name: &'static str, kind: ColumnKind, doc: &'static str) -> Column {
    Column { name, kind, required: false, doc }
}

use ColumnKind::{Bool, Float, Int, Items, Long, Money, Small, Text, Time};

/// Every stored column, in order. Delta keeps statistics for the first 32, so what is filtered on comes first.
pub const COLUMNS: [Column; 42] = [
    required("event_ts", Time, "when it happened, by the client's clock (corrected for skew)"),
    required("event_type", Text, "page_view, product_view, add_to_cart, purchase, … or any other name"),
    required("event_id", Text, "the client's id of the event, or one derived from its content"),
    required(SEQ, Long, "position in the node's history"),
    required(NODE, Text, "which node's write-ahead log it came through"),
    required("received_at", Time, "when the server received it"),
    optional("client_ts", Time, "the client's own time where event_ts was corrected"),
    optional(USER_ID, Text, "the shop's id of a known user"),
    optional(ANONYMOUS_ID, Text, "the client's id of an unknown visitor"),
    optional("session_id", Text, "the client's id of the visit"),
    optional("page", Text, "path or URL of the page"),
    optional("referrer", Text, "URL the visitor came from"),
    optional("channel", Text, "direct, organic, paid, social, email or referral"),
    optional("bot", Bool, "whether the user agent is a known bot"),
    optional("load_ms", Int, "page load time in milliseconds"),
    optional("product_id", Text, "the product, where the event is about one"),
    optional("product_name", Text, "its name"),
    optional("category", Text, "its category"),
    optional("brand", Text, "its brand"),
    optional("price", Money, "price of one unit"),
    optional("quantity", Int, "units"),
    optional("currency", Text, "ISO 4217 code"),
    optional("order_id", Text, "the order"),
    optional("cart_id", Text, "the cart"),
    optional("revenue", Money, "value of the order, where the client states it"),
    optional("tax", Money, "tax of the order"),
    optional("shipping", Money, "shipping of the order"),
    optional("discount", Money, "discount of the order or line"),
    optional("coupon", Text, "coupon code"),
    optional("country", Text, "country of the visitor"),
    optional("utm_source", Text, "campaign source"),
    optional("utm_campaign", Text, "campaign name"),
    optional("utm_medium", Text, "campaign medium"),
    optional("os", Text, "operating system of the visitor"),
    optional("mobile", Bool, "whether the device is a phone or tablet"),
    optional("city", Text, "city of the visitor"),
    optional("lat", Float, "latitude in degrees"),
    optional("lon", Float, "longitude in degrees"),
    optional("user_agent", Text, "user agent string"),
    optional("items", Items, "lines of the order or cart"),
    optional("schema_version", Small, "version of the event schema it was written with"),
    optional("properties", Text, "unknown fields as JSON text"),
];

/// Columns that name or describe a person, or may. No bounds of them stand in the Delta log, which outlives the files
/// it speaks of; an erasure empties them (see `erase`).
pub const PERSONAL: [&str; 14] = [
    "event_id",
    USER_ID,
    ANONYMOUS_ID,
    "session_id",
    "page",
    "referrer",
    "order_id",
    "cart_id",
    "coupon",
    "city",
    "lat",
    "lon",
    "user_agent",
    "properties",
];

/// The partition column: the UTC day of `event_ts`.
pub const EVENT_DATE: &str = "event_date";
/// The event's time.
pub const EVENT_TS: &str = "event_ts";
/// Position in the node's history.
pub const SEQ: &str = "seq";
/// Which node's log it came through.
pub const NODE: &str = "node";
/// The shop's id of a known user.
pub const USER_ID: &str = "user_id";
/// The client's id of an unknown visitor.
pub const ANONYMOUS_ID: &str = "anonymous_id";

/// Where a column stands in [`stored_schema`].
pub mod index {
    /// `event_ts`
    pub const EVENT_TS: usize = 0;
    /// `event_type`
    pub const EVENT_TYPE: usize = 1;
    /// `event_id`
    pub const EVENT_ID: usize = 2;
    /// `seq`
    pub const SEQ: usize = 3;
    /// `node`
    pub const NODE: usize = 4;
    /// `received_at`
    pub const RECEIVED_AT: usize = 5;
    /// `client_ts`
    pub const CLIENT_TS: usize = 6;
}

/// The type of every time column.
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type of every money column.
pub fn money_type() -> DataType {
    DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE)
}

/// The fields of one order line.
pub fn item_fields() -> Fields {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Fields::from(vec![
        text("product_id"),
        text("name"),
        text("category"),
        text("brand"),
        Field::new("price", money_type(), true),
        Field::new("quantity", DataType::Int32, true),
        Field::new("discount", money_type(), true),
    ])
}

/// The field of the list's child; Delta and Parquet both expect the name `element`.
pub fn items_element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(item_fields()), true))
}

impl ColumnKind {
    /// The Arrow type in storage.
    pub fn stored_type(self) -> DataType {
        match self {
            Text => DataType::Utf8,
            Time => time_type(),
            Money => money_type(),
            Int => DataType::Int32,
            Long => DataType::Int64,
            Small => DataType::Int16,
            Bool => DataType::Boolean,
            Float => DataType::Float64,
            Items => DataType::List(items_element()),
        }
    }
}

fn field(column: &Column) -> Field {
    Field::new(column.name, column.kind.stored_type(), !column.required)
}

static STORED: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>())));

static CLIENT: LazyLock<SchemaRef> = LazyLock::new(|| {
    let assigned = |c: &&Column| c.name != SEQ && c.name != NODE;
    Arc::new(Schema::new(COLUMNS.iter().filter(assigned).map(field).collect::<Vec<_>>()))
});

static TABLE: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields: Vec<Field> = COLUMNS
        .iter()
        .map(|c| match c.kind {
            Text => Field::new(c.name, DataType::Utf8View, !c.required),
            _ => field(c),
        })
        .collect();
    fields.push(Field::new(EVENT_DATE, DataType::Date32, false));
    Arc::new(Schema::new(fields))
});

/// What decoding makes: every column but `seq` and `node`.
pub fn client_schema() -> SchemaRef {
    Arc::clone(&CLIENT)
}

/// What the write-ahead log and Parquet files hold.
pub fn stored_schema() -> SchemaRef {
    Arc::clone(&STORED)
}

/// What SQL sees.
pub fn table_schema() -> SchemaRef {
    Arc::clone(&TABLE)
}

/// A batch in a schema of today: its columns by name, in whatever order they come; those that did not exist when it was
/// written are null.
///
/// # Errors
/// Arrow's, where a column that every row must have is missing.
pub fn conform(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref().fields() == schema.fields() {
        return Ok(batch);
    }
    let column = |field: &Arc<Field>| -> Result<ArrayRef> {
        match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => Ok(arrow::compute::cast(column, field.data_type())?),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The UTC day of a time, in days since the epoch.
pub fn day_of(time: Micros) -> i32 {
    i32::try_from(time.div_euclid(DAY)).unwrap_or(i32::MAX)
}

/// The UTC hour of a time, in hours since the epoch.
pub fn hour_of(time: Micros) -> i64 {
    time.div_euclid(HOUR)
}

/// A day as Delta writes it in partition values: `2026-01-31`.
pub fn day_name(day: i32) -> String {
    chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0)
        .map_or_else(|| day.to_string(), |t| t.format("%Y-%m-%d").to_string())
}

/// Reads [`day_name`] back.
pub fn parse_day(name: &str) -> Option<i32> {
    let date = chrono::NaiveDate::parse_from_str(name, "%Y-%m-%d").ok()?;
    let days = date.signed_duration_since(chrono::NaiveDate::from_ymd_opt(1970, 1, 1)?).num_days();
    i32::try_from(days).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_positions_are_where_the_columns_stand() {
        let schema = stored_schema();
        for (position, name) in [
            (index::EVENT_TS, EVENT_TS),
            (index::EVENT_TYPE, "event_type"),
            (index::EVENT_ID, "event_id"),
            (index::SEQ, SEQ),
            (index::NODE, NODE),
            (index::RECEIVED_AT, "received_at"),
            (index::CLIENT_TS, "client_ts"),
        ] {
            assert_eq!(schema.field(position).name(), name);
        }
        assert_eq!(table_schema().fields().len(), COLUMNS.len() + 1);
        assert_eq!(client_schema().fields().len(), COLUMNS.len() - 2);
    }

    #[test]
    fn days_before_the_epoch_round_down() {
        assert_eq!(day_of(-1), -1);
        assert_eq!(day_name(-1), "1969-12-31");
        assert_eq!(parse_day("2010-12-01").map(day_name).as_deref(), Some("2010-12-01"));
    }
}
