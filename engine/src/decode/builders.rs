//! Accepted rows → one record batch of [`event::client_schema`]. A row is appended as a whole or not at all.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Decimal128Builder, Float64Builder, Int16Builder, Int32Builder, ListArray,
    RecordBatch, StringBuilder, StructArray, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::{self, COLUMNS, ColumnKind};
use crate::validate::{ITEM_TEXTS, Item, MONEY_COUNT, Row, flag, float, int, is_client_column, text};

/// Bytes of text a column gets room for at first, per row.
const TEXT_BYTES_PER_ROW: usize = 16;

/// One builder a column, in the arrays of [`Row`].
pub(super) struct Builders {
    rows: usize,
    event_ts: TimestampMicrosecondBuilder,
    client_ts: TimestampMicrosecondBuilder,
    text: [StringBuilder; text::COUNT],
    money: [Decimal128Builder; MONEY_COUNT],
    int: [Int32Builder; int::COUNT],
    flag: [BooleanBuilder; flag::COUNT],
    float: [Float64Builder; float::COUNT],
    schema_version: Int16Builder,
    items: ItemsBuilder,
}

fn times(rows: usize) -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(event::time_type())
}

fn moneys(rows: usize) -> Decimal128Builder {
    Decimal128Builder::with_capacity(rows).with_data_type(event::money_type())
}

impl Builders {
    /// With room for about `rows` rows; more are fine.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            rows: 0,
            event_ts: times(rows),
            client_ts: times(rows),
            text: std::array::from_fn(|_| StringBuilder::with_capacity(rows, rows * TEXT_BYTES_PER_ROW)),
            money: std::array::from_fn(|_| moneys(rows)),
            int: std::array::from_fn(|_| Int32Builder::with_capacity(rows)),
            flag: std::array::from_fn(|_| BooleanBuilder::with_capacity(rows)),
            float: std::array::from_fn(|_| Float64Builder::with_capacity(rows)),
            schema_version: Int16Builder::with_capacity(rows),
            items: ItemsBuilder::default(),
        }
    }

    /// Appends a validated row. `None`, and nothing appended, where a required column has no value.
    pub fn append(&mut self, row: &Row<'_>) -> Option<()> {
        let event_ts = row.event_ts?;
        row.text[text::EVENT_TYPE].as_ref().and(row.text[text::EVENT_ID].as_ref())?;
        self.rows += 1;
        self.event_ts.append_value(event_ts);
        self.client_ts.append_option(row.client_ts);
        for (builder, value) in self.text.iter_mut().zip(&row.text) {
            match value {
                Some(value) => builder.append_value(value),
                None => builder.append_null(),
            }
        }
        for (builder, value) in self.money.iter_mut().zip(row.money) {
            builder.append_option(value.map(i128::from));
        }
        for (builder, value) in self.int.iter_mut().zip(row.int) {
            builder.append_option(value);
        }
        for (builder, value) in self.flag.iter_mut().zip(row.flag) {
            builder.append_option(value);
        }
        for (builder, value) in self.float.iter_mut().zip(row.float) {
            builder.append_option(value);
        }
        self.schema_version.append_option(row.schema_version);
        self.items.append(row.items.as_deref());
        Some(())
    }

    /// The batch, every row received at the same moment.
    pub fn finish(mut self, received_at: Micros) -> Result<RecordBatch> {
        let received = TimestampMicrosecondArray::from_value(received_at, self.rows).with_timezone("UTC");
        let items = self.items.finish()?;
        let mut text = self.text.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef);
        let mut money = self.money.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef);
        let mut int = self.int.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef);
        let mut flag = self.flag.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef);
        let mut float = self.float.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef);
        let mut columns = Vec::with_capacity(COLUMNS.len());
        for column in COLUMNS.iter().filter(|c| is_client_column(c) || c.name == "received_at") {
            let array = match (column.kind, column.name) {
                (ColumnKind::Time, "event_ts") => Some(Arc::new(self.event_ts.finish()) as ArrayRef),
                (ColumnKind::Time, "received_at") => Some(Arc::new(received.clone()) as ArrayRef),
                (ColumnKind::Time, _) => Some(Arc::new(self.client_ts.finish()) as ArrayRef),
                (ColumnKind::Text, _) => text.next(),
                (ColumnKind::Money, _) => money.next(),
                (ColumnKind::Int, _) => int.next(),
                (ColumnKind::Bool, _) => flag.next(),
                (ColumnKind::Float, _) => float.next(),
                (ColumnKind::Small, _) => Some(Arc::new(self.schema_version.finish()) as ArrayRef),
                (ColumnKind::Items, _) => Some(Arc::clone(&items)),
                (ColumnKind::Long, _) => None,
            };
            let mut array = array.ok_or_else(|| Error::internal(format!("no values for column {}", column.name)))?;
            // It may stay in the buffer as it is: room that was only guessed would stay with it.
            array.shrink_to_fit();
            columns.push(array);
        }
        Ok(RecordBatch::try_new(event::client_schema(), columns)?)
    }
}

/// The column `items`: a list of structs.
#[derive(Default)]
struct ItemsBuilder {
    /// Length of each row's list, null or not.
    lengths: Vec<usize>,
    valid: Vec<bool>,
    text: [StringBuilder; ITEM_TEXTS.len()],
    price: Option<Decimal128Builder>,
    quantity: Int32Builder,
    discount: Option<Decimal128Builder>,
}

impl ItemsBuilder {
    fn append(&mut self, items: Option<&[Item<'_>]>) {
        self.valid.push(items.is_some());
        let items = items.unwrap_or_default();
        self.lengths.push(items.len());
        for item in items {
            for (builder, value) in self.text.iter_mut().zip(&item.text) {
                builder.append_option(value.as_deref());
            }
            self.price.get_or_insert_with(|| moneys(0)).append_option(item.price.map(i128::from));
            self.quantity.append_option(item.quantity);
            self.discount.get_or_insert_with(|| moneys(0)).append_option(item.discount.map(i128::from));
        }
    }

    fn finish(mut self) -> Result<ArrayRef> {
        let mut columns: Vec<ArrayRef> = self.text.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef).collect();
        columns.push(Arc::new(self.price.unwrap_or_else(|| moneys(0)).finish()));
        columns.push(Arc::new(self.quantity.finish()));
        columns.push(Arc::new(self.discount.unwrap_or_else(|| moneys(0)).finish()));
        let structs = StructArray::try_new(event::item_fields(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        let nulls = NullBuffer::from(self.valid);
        Ok(Arc::new(ListArray::try_new(event::items_element(), offsets, Arc::new(structs), Some(nulls))?))
    }
}
