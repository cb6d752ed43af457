//! The rows of a rule's answer: what is judged, and what the message says.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, AsArray as _, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use crate::error::{Error, Result};
use crate::metrics::{Answer, Part, Rule};

/// The longest key, and the longest value within a message, in characters: they may be somebody's data.
const MAX_TEXT: usize = 200;

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    /// What is judged.
    pub(super) value: Option<f64>,
    answer: Arc<Answer>,
    batch: usize,
    row: usize,
}

/// The rows by their key.
pub(super) fn read(rule: &Rule, answer: Arc<Answer>, most: usize) -> Result<BTreeMap<Option<String>, Row>> {
    if answer.rows > most {
        let message = format!("the rule gave {} rows and at most {most} are judged", answer.rows);
        return Err(Error::invalid("too_many_rows", message).with_hint("let its query give fewer rows"));
    }
    let mut rows = BTreeMap::new();
    for batch in 0..answer.batches.len() {
        let values = cast(column(&answer, batch, &rule.value)?, &DataType::Float64)?;
        let values: &Float64Array = values.as_primitive::<Float64Type>();
        let keys = rule.key.as_deref().map(|key| texts(&answer, batch, key)).transpose()?;
        for row in 0..values.len() {
            let key = keys.as_ref().map(|keys| shown(keys, row));
            let value = values.is_valid(row).then(|| values.value(row));
            match rows.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(Row { value, answer: Arc::clone(&answer), batch, row });
                }
                Entry::Occupied(taken) => {
                    let message = match taken.key() {
                        Some(key) => format!("the rule gave two rows for the key `{key}`"),
                        None => "the rule gave several rows and has no key that tells them apart".to_owned(),
                    };
                    return Err(Error::invalid("repeated_key", message));
                }
            }
        }
    }
    Ok(rows)
}

fn column<'a>(answer: &'a Answer, batch: usize, name: &str) -> Result<&'a arrow::array::ArrayRef> {
    let column = answer.batches.get(batch).and_then(|batch| batch.column_by_name(name));
    column.ok_or_else(|| Error::internal(format!("the answer has no column {name}")))
}

fn texts(answer: &Answer, batch: usize, name: &str) -> Result<StringArray> {
    let texts = cast(column(answer, batch, name)?, &DataType::Utf8)?;
    Ok(texts.as_string::<i32>().clone())
}

/// A value as people read it: one line, not too long.
fn shown(texts: &StringArray, row: usize) -> String {
    if texts.is_null(row) {
        return "–".to_owned();
    }
    let plain = texts.value(row).chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_TEXT).collect()
}

/// With two digits after the point at most, and none that say nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

impl Row {
    /// The rule's message about this row.
    pub(super) fn message(&self, rule: &Rule) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Column(name) => self.cell(name).unwrap_or_default(),
        };
        rule.message.iter().map(part).collect()
    }

    fn cell(&self, name: &str) -> Result<String> {
        let values = column(&self.answer, self.batch, name)?;
        if values.data_type().is_floating() || matches!(values.data_type(), DataType::Decimal128(..)) {
            let numbers = cast(values, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            return Ok(if numbers.is_valid(self.row) { number(numbers.value(self.row)) } else { "–".to_owned() });
        }
        Ok(shown(&texts(&self.answer, self.batch, name)?, self.row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(12.0, "12"), (0.126, "0.13"), (-4.5, "-4.5"), (-0.001, "0"), (1_234_567.0, "1234567")] {
            assert_eq!(number(value), text);
        }
    }
}
