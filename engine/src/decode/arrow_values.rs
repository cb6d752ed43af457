//! Single values of Arrow arrays as JSON text, without loss.

use std::fmt::Write;

use ::arrow::array::{Array, AsArray};
use ::arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};

use super::properties::push_json_string;
use crate::event;

/// Whether values of this type can be written.
pub(super) fn is_supported(data_type: &DataType) -> bool {
    use DataType as T;
    match data_type {
        T::Null | T::Boolean | T::Float16 | T::Float32 | T::Float64 => true,
        T::Utf8 | T::LargeUtf8 | T::Utf8View => true,
        T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..) => true,
        T::Dictionary(_, values) => is_supported(values),
        T::List(field) | T::LargeList(field) | T::FixedSizeList(field, _) => is_supported(field.data_type()),
        T::Struct(fields) => fields.iter().all(|field| is_supported(field.data_type())),
        data_type => data_type.is_integer() || is_time(data_type),
    }
}

/// Whether the type is an instant.
pub(super) fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

/// Appends an instant as epoch milliseconds, cut off below; one beyond 64 bits as the nearest that fits.
pub(super) fn write_epoch_ms(out: &mut String, array: &dyn Array, row: usize) -> Option<()> {
    let ms = match array.data_type() {
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1_000),
            TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
            TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row).div_euclid(1_000),
            TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000_000),
        },
        DataType::Date32 => i64::from(array.as_primitive::<Date32Type>().value(row)) * 86_400_000,
        DataType::Date64 => array.as_primitive::<Date64Type>().value(row),
        _ => return None,
    };
    write!(out, "{ms}").ok()
}

/// Appends a value; `None` where the text grows beyond `most` bytes.
pub(super) fn write(out: &mut String, array: &dyn Array, row: usize, most: usize) -> Option<()> {
    use DataType as T;
    // An array of type null says of no row that it is null.
    if array.is_null(row) || *array.data_type() == T::Null {
        out.push_str("null");
        return Some(());
    }
    match array.data_type() {
        T::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        T::Utf8 => write_text(out, array.as_string::<i32>().value(row), most)?,
        T::LargeUtf8 => write_text(out, array.as_string::<i64>().value(row), most)?,
        T::Utf8View => write_text(out, array.as_string_view().value(row), most)?,
        T::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            match integer(dictionary.keys(), row).and_then(|key| usize::try_from(key).ok()) {
                Some(key) if key < dictionary.values().len() => write(out, dictionary.values(), key, most)?,
                _ => out.push_str("null"),
            }
        }
        T::List(_) => write_list(out, &*array.as_list::<i32>().value(row), most)?,
        T::LargeList(_) => write_list(out, &*array.as_list::<i64>().value(row), most)?,
        T::FixedSizeList(..) => write_list(out, &*array.as_fixed_size_list().value(row), most)?,
        T::Struct(fields) => {
            for (at, (field, values)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                out.push(if at == 0 { '{' } else { ',' });
                push_json_string(out, field.name());
                out.push(':');
                write(out, values, row, most)?;
            }
            out.push_str(if fields.is_empty() { "{}" } else { "}" });
        }
        T::Timestamp(..) | T::Date32 | T::Date64 => write_time(out, array, row)?,
        _ => write_number(out, array, row)?,
    }
    (out.len() <= most).then_some(())
}

fn write_text(out: &mut String, text: &str, most: usize) -> Option<()> {
    // Looked at before it is copied: a view or a dictionary repeats a long text at no cost.
    if text.len() > most.saturating_sub(out.len()) {
        return None;
    }
    push_json_string(out, text);
    Some(())
}

fn write_list(out: &mut String, list: &dyn Array, most: usize) -> Option<()> {
    out.push('[');
    for at in 0..list.len() {
        if at > 0 {
            out.push(',');
        }
        write(out, list, at, most)?;
    }
    out.push(']');
    Some(())
}

/// An instant in a column that is none of ours: readable, in the precision of its type.
fn write_time(out: &mut String, array: &dyn Array, row: usize) -> Option<()> {
    if *array.data_type() == DataType::Date32 {
        return write!(out, "\"{}\"", event::day_name(array.as_primitive::<Date32Type>().value(row))).ok();
    }
    let (value, per_second) = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => (array.as_primitive::<TimestampSecondType>().value(row), 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            (array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000_000)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            (array.as_primitive::<TimestampNanosecondType>().value(row), 1_000_000_000)
        }
        _ => (array.as_primitive::<Date64Type>().value(row), 1_000),
    };
    let nanos = u32::try_from(value.rem_euclid(per_second) * (1_000_000_000 / per_second)).ok()?;
    match chrono::DateTime::from_timestamp(value.div_euclid(per_second), nanos) {
        Some(time) => write!(out, "\"{}\"", time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)).ok(),
        // Beyond what a calendar can say: the number itself.
        None => write!(out, "{value}").ok(),
    }
}

fn integer(array: &dyn Array, row: usize) -> Option<i128> {
    use DataType as T;
    Some(match array.data_type() {
        T::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        T::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        T::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        T::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        T::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        T::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        T::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        T::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        _ => return None,
    })
}

fn write_number(out: &mut String, array: &dyn Array, row: usize) -> Option<()> {
    use DataType as T;
    match array.data_type() {
        T::Float16 => write_float(out, array.as_primitive::<Float16Type>().value(row).to_f32()),
        T::Float32 => write_float(out, array.as_primitive::<Float32Type>().value(row)),
        T::Float64 => write_float(out, array.as_primitive::<Float64Type>().value(row)),
        T::Decimal32(..) => out.push_str(&array.as_primitive::<Decimal32Type>().value_as_string(row)),
        T::Decimal64(..) => out.push_str(&array.as_primitive::<Decimal64Type>().value_as_string(row)),
        T::Decimal128(..) => out.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(row)),
        T::Decimal256(..) => out.push_str(&array.as_primitive::<Decimal256Type>().value_as_string(row)),
        _ => write!(out, "{}", integer(array, row)?).ok()?,
    }
    Some(())
}

/// Rust writes the shortest digits that read back as the same float. JSON has no word for the others: they become text,
/// which no number column takes.
fn write_float(out: &mut String, value: impl std::fmt::Display + Into<f64> + Copy) {
    let written = if value.into().is_finite() { write!(out, "{value}") } else { write!(out, "\"{value}\"") };
    // Writing to a string does not fail.
    debug_assert!(written.is_ok());
}
