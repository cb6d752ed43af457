//! What an erasure makes of rows. By default a person's rows stay, as facts about the shop that are nobody's any more: type,
//! time, products, money, campaign, country; so every sum stays what it was. What says who it was goes. Or the rows go.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::nullif;
use arrow::datatypes::DataType;
use siphasher::sip128::SipHasher13;

use super::{Ids, Person};
use crate::error::{Error, Result};
use crate::event::{ANONYMOUS_ID, COLUMNS, ColumnKind, USER_ID};

/// Emptied in a person's own rows. `page` is cut at its query instead, `event_id` and `order_id` stay: they tell events and
/// orders apart, and the shop's own books name them.
const BLANK: [&str; 11] = [
    USER_ID,
    ANONYMOUS_ID,
    "session_id",
    "cart_id",
    "coupon",
    "referrer",
    "city",
    "lat",
    "lon",
    "user_agent",
    "properties",
];
/// Values out of small sets, in which an id can only stand by chance.
const FIXED: [&str; 6] = ["event_type", "node", "currency", "country", "channel", "os"];
/// Where they name a person they get another value, the same for the same: what they tell apart stays apart.
const RENAMED: [&str; 2] = ["event_id", "order_id"];
/// Other ids of the same person that are named to whoever asked.
const LINKED: usize = 100;

/// How a row stands to the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// It has nothing to do with them.
    No,
    /// It names them somewhere.
    Mentions,
    /// It is theirs.
    Own,
}

/// A batch without the person.
#[derive(Debug)]
pub struct Rewritten {
    /// The rows, all of them.
    pub batch: RecordBatch,
    /// How each stood to the person before.
    pub touched: Vec<Touch>,
}

/// Takes a person out of rows.
#[derive(Debug)]
pub struct Eraser {
    ids: Ids,
    rows: bool,
    hasher: SipHasher13,
    linked: parking_lot::Mutex<BTreeSet<String>>,
}

impl Eraser {
    /// Of this person. With `rows` their rows go as a whole; `key` makes the names of what has to stay apart.
    pub fn new(person: &Person, rows: bool, key: [u8; 16]) -> Self {
        Self {
            ids: Ids::of(person),
            rows,
            hasher: SipHasher13::new_with_key(&key),
            linked: parking_lot::Mutex::default(),
        }
    }

    /// The person's ids.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Whether own rows go as a whole.
    pub fn removes_rows(&self) -> bool {
        self.rows
    }

    /// Other anonymous ids that the person's rows had, as far as rows were rewritten.
    pub fn linked(&self) -> Vec<String> {
        self.linked.lock().iter().cloned().collect()
    }

    /// How each row of a batch stands to the person; `None` when none has to do with them. Columns that are not there are
    /// not looked at.
    pub fn touched(&self, batch: &RecordBatch) -> Option<Vec<Touch>> {
        let mut touched: Option<Vec<Touch>> = None;
        let mut note = |row: usize, touch: Touch| {
            let rows = touched.get_or_insert_with(|| vec![Touch::No; batch.num_rows()]);
            if rows[row] != Touch::Own {
                rows[row] = touch;
            }
        };
        let users = batch.column_by_name(USER_ID).and_then(|c| c.as_string_opt::<i32>());
        for (name, column) in texts(batch).filter(|(_, column)| self.ids.may_be_in(bytes_of(column))) {
            for row in (0..column.len()).filter(|&row| column.is_valid(row)) {
                let text = column.value(row);
                let is_own = match name {
                    USER_ID => self.ids.is(text),
                    ANONYMOUS_ID => self.ids.is(text) && users.is_none_or(|users| users.is_null(row)),
                    _ => false,
                };
                if is_own {
                    note(row, Touch::Own);
                } else if self.ids.mentioned_in(text.as_bytes()) {
                    note(row, Touch::Mentions);
                }
            }
        }
        touched
    }

    /// The rows without the person; `None` when they have nothing to do with them.
    ///
    /// # Errors
    /// Arrow's, when it is no batch of events.
    pub fn rewrite(&self, batch: &RecordBatch) -> Result<Option<Rewritten>> {
        let Some(touched) = self.touched(batch) else { return Ok(None) };
        self.note_linked(batch, &touched);
        let own: BooleanArray = touched.iter().map(|touch| Some(*touch == Touch::Own)).collect();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let name = field.name().as_str();
            columns.push(match column.as_string_opt::<i32>() {
                Some(text) if !FIXED.contains(&name) => Arc::new(self.text(name, text, &touched)) as ArrayRef,
                None if BLANK.contains(&name) => nullif(column, &own)?,
                _ => Arc::clone(column),
            });
        }
        Ok(Some(Rewritten { batch: RecordBatch::try_new(batch.schema(), columns)?, touched }))
    }

    fn text(&self, name: &str, column: &StringArray, touched: &[Touch]) -> StringArray {
        let value = |(text, touch): (Option<&str>, &Touch)| -> Option<String> {
            let text = text?;
            let own = *touch == Touch::Own;
            if own && BLANK.contains(&name) {
                return None;
            }
            let text = if own && name == "page" { text.split(['?', '#']).next().unwrap_or_default() } else { text };
            if *touch == Touch::No || !self.ids.mentioned_in(text.as_bytes()) {
                return Some(text.to_owned());
            }
            let name_of = || format!("erased-{:032x}", self.hasher.hash(text.as_bytes()).as_u128());
            RENAMED.contains(&name).then(name_of)
        };
        column.iter().zip(touched).map(value).collect()
    }

    fn note_linked(&self, batch: &RecordBatch, touched: &[Touch]) {
        let Some(column) = batch.column_by_name(ANONYMOUS_ID).and_then(|c| c.as_string_opt::<i32>()) else { return };
        let mut linked = self.linked.lock();
        for (text, touch) in column.iter().zip(touched) {
            if let (Some(text), Touch::Own) = (text, touch)
                && linked.len() < LINKED
                && !self.ids.is(text)
            {
                linked.insert(text.to_owned());
            }
        }
    }
}

/// The columns of text that may speak of a person.
pub(crate) fn text_columns() -> Vec<usize> {
    let is_text = |at: &usize| COLUMNS[*at].kind == ColumnKind::Text && !FIXED.contains(&COLUMNS[*at].name);
    (0..COLUMNS.len()).filter(is_text).collect()
}

fn texts(batch: &RecordBatch) -> impl Iterator<Item = (&str, &StringArray)> {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    fields.filter_map(|(field, column)| {
        let name = field.name().as_str();
        (!FIXED.contains(&name)).then(|| column.as_string_opt::<i32>().map(|text| (name, text))).flatten()
    })
}

/// The characters of all values, one after another.
fn bytes_of(column: &StringArray) -> &[u8] {
    let offsets = column.value_offsets();
    let (from, to) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    column.values().get(from as usize..to as usize).unwrap_or_default()
}

/// Whether text anywhere in a column, also within lists and structs, names the person: for files of any shape.
pub(crate) fn names(ids: &Ids, column: &ArrayRef) -> Result<bool> {
    Ok(match column.data_type() {
        DataType::Utf8 => {
            let text = column.as_string::<i32>();
            ids.may_be_in(bytes_of(text)) && text.iter().flatten().any(|text| ids.mentioned_in(text.as_bytes()))
        }
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..) => {
            names(ids, &arrow::compute::cast(column, &DataType::Utf8)?)?
        }
        DataType::List(_) => names(ids, column.as_list::<i32>().values())?,
        DataType::Map(..) => {
            let entries: ArrayRef = Arc::new(column.as_map().entries().clone());
            names(ids, &entries)?
        }
        DataType::Struct(_) => {
            for inner in column.as_struct().columns() {
                if names(ids, inner)? {
                    return Ok(true);
                }
            }
            false
        }
        DataType::Binary => {
            let bytes = column.as_binary_opt::<i32>().ok_or_else(|| Error::internal("a binary column is none"))?;
            bytes.iter().flatten().any(|bytes| ids.mentioned_in(bytes))
        }
        _ => false,
    })
}
