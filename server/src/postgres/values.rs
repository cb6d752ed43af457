//! Values of parameters: what a client bound, as text or in binary, as the engine's values.

use arrow::datatypes::DataType;
use bytes::{Buf as _, Bytes};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::common::ScalarValue;
use pgwire::api::Type;
use tideline_engine::error::{Error, Result};

use super::types;

const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;
/// Elements of one list.
const MAX_ELEMENTS: usize = 100_000;
/// The most digits of a number.
const MAX_DIGITS: usize = 38;

/// One value of this type.
///
/// # Errors
/// `invalid_value` when the bytes are none.
pub fn read(value: Option<&Bytes>, binary: bool, kind: &Type) -> Result<ScalarValue> {
    let bound = types::bound_as(kind).unwrap_or(DataType::Utf8);
    let Some(bytes) = value else {
        return ScalarValue::try_from(&bound).map_err(|_| wrong(kind));
    };
    let read = if binary { from_binary(bytes.clone(), kind) } else { from_text(bytes, kind) };
    read.ok_or_else(|| wrong(kind))
}

fn wrong(kind: &Type) -> Error {
    Error::invalid("invalid_value", format!("a parameter's value is not of the type {}", kind.name()))
}

fn from_text(bytes: &[u8], kind: &Type) -> Option<ScalarValue> {
    let text = std::str::from_utf8(bytes).ok()?;
    if let Some(element) = types::element(kind) {
        let read = |text: &Option<String>| match text {
            Some(text) => from_text(text.as_bytes(), &element),
            None => ScalarValue::try_from(&types::bound_as(&element)?).ok(),
        };
        let elements: Option<Vec<_>> = array_texts(text)?.iter().map(read).collect();
        return Some(list(elements?, &element));
    }
    let trimmed = text.trim();
    Some(match *kind {
        Type::BOOL => ScalarValue::Boolean(Some(match trimmed.to_ascii_lowercase().as_str() {
            "t" | "true" | "1" | "on" | "yes" | "y" => true,
            "f" | "false" | "0" | "off" | "no" | "n" => false,
            _ => return None,
        })),
        Type::INT2 | Type::INT4 | Type::INT8 => ScalarValue::Int64(Some(trimmed.parse().ok()?)),
        Type::OID | Type::REGCLASS | Type::REGTYPE | Type::REGPROC | Type::REGNAMESPACE => {
            ScalarValue::Int64(Some(trimmed.parse().ok()?))
        }
        Type::FLOAT4 | Type::FLOAT8 => ScalarValue::Float64(Some(trimmed.parse().ok()?)),
        Type::NUMERIC => decimal(trimmed)?,
        Type::DATE => ScalarValue::Date32(Some(day(trimmed)?)),
        Type::TIMESTAMP => ScalarValue::TimestampMicrosecond(Some(moment(trimmed)?), None),
        Type::TIMESTAMPTZ => ScalarValue::TimestampMicrosecond(Some(moment(trimmed)?), Some("UTC".into())),
        Type::BYTEA => ScalarValue::Binary(Some(hex(trimmed.strip_prefix("\\x")?)?)),
        _ => ScalarValue::Utf8(Some(text.to_owned())),
    })
}

fn from_binary(mut bytes: Bytes, kind: &Type) -> Option<ScalarValue> {
    if let Some(element) = types::element(kind) {
        return array_binary(bytes, &element);
    }
    let length = bytes.len();
    let sized = |expected: usize| (length == expected).then_some(());
    Some(match *kind {
        Type::BOOL => sized(1).map(|()| ScalarValue::Boolean(Some(bytes[0] != 0)))?,
        Type::INT2 => sized(2).map(|()| ScalarValue::Int64(Some(bytes.get_i16().into())))?,
        Type::INT4 => sized(4).map(|()| ScalarValue::Int64(Some(bytes.get_i32().into())))?,
        Type::INT8 => sized(8).map(|()| ScalarValue::Int64(Some(bytes.get_i64())))?,
        Type::OID | Type::REGCLASS | Type::REGTYPE | Type::REGPROC | Type::REGNAMESPACE => {
            sized(4).map(|()| ScalarValue::Int64(Some(bytes.get_u32().into())))?
        }
        Type::FLOAT4 => sized(4).map(|()| ScalarValue::Float64(Some(bytes.get_f32().into())))?,
        Type::FLOAT8 => sized(8).map(|()| ScalarValue::Float64(Some(bytes.get_f64())))?,
        Type::NUMERIC => numeric(bytes)?,
        Type::DATE => {
            sized(4)?;
            ScalarValue::Date32(Some(bytes.get_i32().checked_add(EPOCH_DAYS)?))
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            sized(8)?;
            let zone = (*kind == Type::TIMESTAMPTZ).then(|| "UTC".into());
            ScalarValue::TimestampMicrosecond(Some(bytes.get_i64().checked_add(EPOCH_MICROS)?), zone)
        }
        Type::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        Type::UUID => {
            sized(16)?;
            ScalarValue::Utf8(Some(uuid::Uuid::from_slice(&bytes).ok()?.to_string()))
        }
        // A byte before it says in which form it is.
        Type::JSONB => ScalarValue::Utf8(Some(String::from_utf8(bytes.get(1..)?.to_vec()).ok()?)),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::CHAR | Type::JSON | Type::UNKNOWN => {
            ScalarValue::Utf8(Some(String::from_utf8(bytes.to_vec()).ok()?))
        }
        _ => return None,
    })
}

fn list(elements: Vec<ScalarValue>, element: &Type) -> ScalarValue {
    let item = types::bound_as(element).unwrap_or(DataType::Utf8);
    ScalarValue::List(ScalarValue::new_list_nullable(&elements, &item))
}

fn array_binary(mut bytes: Bytes, element: &Type) -> Option<ScalarValue> {
    if bytes.len() < 12 {
        return None;
    }
    let (dimensions, _nulls, kind) = (bytes.get_i32(), bytes.get_i32(), bytes.get_u32());
    let element =
        Type::from_oid(kind).filter(|kind| types::bound_as(kind).is_some()).unwrap_or_else(|| element.clone());
    if dimensions == 0 {
        return Some(list(Vec::new(), &element));
    }
    if dimensions != 1 || bytes.len() < 8 {
        return None;
    }
    let (count, _lower) = (usize::try_from(bytes.get_i32()).ok()?, bytes.get_i32());
    if count > MAX_ELEMENTS || bytes.len() < count.checked_mul(4)? {
        return None;
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        if bytes.len() < 4 {
            return None;
        }
        let length = bytes.get_i32();
        if length == -1 {
            elements.push(ScalarValue::try_from(&types::bound_as(&element)?).ok()?);
            continue;
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len())?;
        elements.push(from_binary(bytes.split_to(length), &element)?);
    }
    bytes.is_empty().then(|| list(elements, &element))
}

/// The elements of `{a,"b,c",NULL}`.
fn array_texts(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    let mut chars = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Some(elements);
    }
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut element = String::new();
        let is_quoted = chars.next_if_eq(&'"').is_some();
        if is_quoted {
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => element.push(chars.next()?),
                    c => element.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                match c {
                    '{' | '}' | '"' => return None,
                    '\\' => element.push(chars.next()?),
                    c => element.push(c),
                }
            }
            element.truncate(element.trim_end().len());
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let is_null = !is_quoted && element.eq_ignore_ascii_case("null");
        elements.push((!is_null).then_some(element));
        match chars.next() {
            None => return Some(elements),
            Some(',') if elements.len() < MAX_ELEMENTS => {}
            Some(_) => return None,
        }
    }
}

/// Digits as an exact number; with an exponent as a float.
fn decimal(text: &str) -> Option<ScalarValue> {
    if text.contains(['e', 'E']) {
        return Some(ScalarValue::Float64(Some(text.parse().ok()?)));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let units: i128 = digits.parse().ok()?;
    let units = if text.starts_with('-') { -units } else { units };
    let precision = u8::try_from(digits.len()).ok()?;
    Some(ScalarValue::Decimal128(Some(units), precision.max(1), i8::try_from(fraction.len()).ok()?))
}

/// Groups of four digits.
fn numeric(mut bytes: Bytes) -> Option<ScalarValue> {
    if bytes.len() < 8 {
        return None;
    }
    let (count, weight, sign, scale) =
        (usize::from(bytes.get_u16()), i32::from(bytes.get_i16()), bytes.get_u16(), usize::from(bytes.get_u16()));
    if bytes.len() != count * 2 || !matches!(sign, 0 | 0x4000) || scale > MAX_DIGITS || weight.unsigned_abs() > 10 {
        return None;
    }
    let groups: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    if groups.iter().any(|group| *group > 9_999) {
        return None;
    }
    let group = |at: i32| usize::try_from(at).ok().and_then(|at| groups.get(at)).copied().unwrap_or(0);
    let whole: String = (0..=weight).map(|at| format!("{:04}", group(at))).collect();
    let needed = i32::try_from(scale.div_ceil(4)).ok()?;
    let mut fraction: String = (1..=needed).map(|at| format!("{:04}", group(weight + at))).collect();
    fraction.truncate(scale);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    decimal(&format!("{}{whole}.{fraction}", if sign == 0 { "" } else { "-" }))
}

fn day(text: &str) -> Option<i32> {
    let date: NaiveDate = text.get(..10)?.parse().ok()?;
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
    i32::try_from(date.signed_duration_since(epoch).num_days()).ok()
}

/// A moment; without a zone it is UTC.
fn moment(text: &str) -> Option<i64> {
    if text.len() == 10 {
        return Some(i64::from(day(text)?) * 86_400_000_000);
    }
    let zoned = ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"];
    if let Some(time) = zoned.iter().find_map(|format| DateTime::parse_from_str(text, format).ok()) {
        return Some(time.timestamp_micros());
    }
    let bare = text.trim_end_matches(['Z', 'z']).trim_end_matches(" UTC");
    let formats = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(bare, format).ok())?;
    Some(time.and_utc().timestamp_micros())
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str, kind: &Type) -> Option<ScalarValue> {
        read(Some(&Bytes::from(text.to_owned())), false, kind).ok()
    }

    #[test]
    fn texts_are_read_as_their_types() {
        assert_eq!(of(" 12 ", &Type::INT4), Some(ScalarValue::Int64(Some(12))));
        assert_eq!(of("29.90", &Type::NUMERIC), Some(ScalarValue::Decimal128(Some(2_990), 4, 2)));
        assert_eq!(of("-0.05", &Type::NUMERIC), Some(ScalarValue::Decimal128(Some(-5), 3, 2)));
        assert_eq!(of("1970-01-02", &Type::DATE), Some(ScalarValue::Date32(Some(1))));
        let at = |text| match of(text, &Type::TIMESTAMPTZ) {
            Some(ScalarValue::TimestampMicrosecond(at, _)) => at,
            _ => None,
        };
        for text in
            ["2023-11-14 22:13:20+00", "2023-11-14T23:13:20+01:00", "2023-11-14 22:13:20", "2023-11-14T22:13:20Z"]
        {
            assert_eq!(at(text), Some(1_700_000_000_000_000), "{text}");
        }
        assert_eq!(at("yesterday"), None);
        let Some(ScalarValue::List(list)) = of(r#"{a,"b,\"c",NULL}"#, &Type::TEXT_ARRAY) else { panic!() };
        assert_eq!(list.value_length(0), 3);
        assert_eq!(of("{a", &Type::TEXT_ARRAY), None);
        assert_eq!(of("x", &Type::INT8), None);
    }

    #[test]
    fn binary_numbers_are_read_to_their_last_digit() {
        let twelve = [0u8, 3, 0, 1, 0x40, 0, 0, 4, 0, 1, 9, 41, 26, 133];
        let value = read(Some(&Bytes::copy_from_slice(&twelve)), true, &Type::NUMERIC).unwrap();
        assert_eq!(value, ScalarValue::Decimal128(Some(-123_456_789), 9, 4));
        let small = [0u8, 1, 255, 255, 0, 0, 0, 4, 0, 5];
        let value = read(Some(&Bytes::copy_from_slice(&small)), true, &Type::NUMERIC).unwrap();
        assert_eq!(value, ScalarValue::Decimal128(Some(5), 5, 4));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>, binary: bool) {
            let bytes = Bytes::from(bytes);
            for kind in [Type::BOOL, Type::INT4, Type::NUMERIC, Type::DATE, Type::TIMESTAMPTZ, Type::TEXT, Type::UUID,
                         Type::JSONB, Type::BYTEA, Type::INT4_ARRAY, Type::TEXT_ARRAY, Type::NUMERIC_ARRAY] {
                let _ = read(Some(&bytes), binary, &kind);
            }
        }
    }
}
