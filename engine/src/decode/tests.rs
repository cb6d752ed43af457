//! What goes in and what comes out, over the public entry point.

use std::sync::LazyLock;

use ::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int64Array, LargeStringArray, ListArray, NullArray, StringArray, StringViewArray, StructArray,
    TimestampNanosecondArray, UInt16Array,
};
use ::arrow::buffer::OffsetBuffer;
use ::arrow::datatypes::{DataType, Decimal128Type, Field, Fields, Int32Type, Schema, TimestampMicrosecondType};
use ::arrow::ipc::writer::StreamWriter;
use proptest::prelude::*;

use super::*;
use crate::event;

/// 2023-11-16T12:00:00Z
pub(super) const NOON: Micros = 1_700_136_000_000_000;

static DERIVER: LazyLock<Arc<Deriver>> = LazyLock::new(|| Arc::new(Deriver::new()));

pub(super) fn context() -> DecodeContext {
    DecodeContext::new(NOON, Arc::clone(&DERIVER))
}

fn json(body: impl Into<Vec<u8>>) -> Result<Decoded> {
    let body = Bytes::from(body.into());
    let decoded = decode(&body, InputFormat::Json, &context());
    if let Ok(decoded) = &decoded {
        check(decoded);
    }
    decoded
}

/// What holds of every answer.
pub(super) fn check(decoded: &Decoded) {
    assert_eq!(decoded.batch.schema(), event::client_schema());
    assert_eq!(decoded.rows.len(), decoded.batch.num_rows());
    assert_eq!(decoded.total, decoded.rows.len() + decoded.rejected.len());
    let mut indices: Vec<usize> = decoded.rows.iter().map(|row| *row as usize).collect();
    assert!(indices.is_sorted());
    indices.extend(decoded.rejected.iter().map(|rejected| rejected.index));
    indices.sort_unstable();
    assert_eq!(indices, (0..decoded.total).collect::<Vec<_>>());
    assert!(decoded.rejected.iter().all(|r| code::ALL.contains(&r.code) && !r.message.is_empty()));
    if let Some(properties) = decoded.batch.column_by_name("properties") {
        for text in properties.as_string::<i32>().iter().flatten() {
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok_and(|v| v.is_object()), "{text}");
        }
    }
}

/// A column's value in a row, as text.
pub(super) fn value(decoded: &Decoded, row: usize, column: &str) -> String {
    let array = decoded.batch.column_by_name(column).unwrap();
    if array.is_null(row) {
        return "null".to_owned();
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        _ => {
            let mut out = String::new();
            arrow_values::write(&mut out, array, row, usize::MAX).unwrap();
            out
        }
    }
}

/// (index, field, code) of each rejected event.
pub(super) fn rejections(decoded: &Decoded) -> Vec<(usize, &str, &'static str)> {
    decoded.rejected.iter().map(|r| (r.index, r.field.as_ref(), r.code)).collect()
}

/// A minimal event of a back office with more fields.
fn sale(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"event_type":"purchase","event_ts":"2023-11-16T11:00:00Z"{comma}{fields}}}"#)
}

const DESIGN_EVENT: &str = r#"{"event_id":"b1a9e1f0-2aee-4dfb-9d19-0a3c0b5a2c0e","event_type":"page_view",
 "event_ts":"2023-11-16T12:00:04.235Z","user_id":"u_204983","session_id":"s_7a3b1e2f8c9d0e1f",
 "page":"/product/sku_12345","product_id":"sku_12345","price":29.90,"currency":"EUR",
 "utm":{"source":"google","medium":"cpc","campaign":"winter_sale_2023"},
 "device":{"user_agent":"Mozilla/5.0...","os":"Windows 11","mobile":false},
 "geo":{"country":"DE","city":"Munich","lat":48.1351,"lon":11.5820}}"#;

#[test]
fn the_event_of_the_design_in_every_spelling() {
    let flat = r#"{"event_id":"b1a9e1f0-2aee-4dfb-9d19-0a3c0b5a2c0e","event_type":"page_view",
        "timestamp":1700136004235,"user_id":"u_204983","session_id":"s_7a3b1e2f8c9d0e1f",
        "page_url":"/product/sku_12345","product_id":"sku_12345","price":"29.9","currency":"EUR",
        "utm_source":"google","utm_medium":"cpc","utm_campaign":"winter_sale_2023","user_agent":"Mozilla/5.0...",
        "os":"Windows 11","mobile":false,"country":"DE","city":"Munich","lat":48.1351,"lon":11.582}"#;
    let nested = json(DESIGN_EVENT).unwrap();
    let flat = json(flat).unwrap();
    assert_eq!(nested.batch, flat.batch);
    for (column, expected) in [
        ("event_ts", "1700136004235000"),
        ("received_at", "1700136000000000"),
        ("event_type", "page_view"),
        ("price", "29.9000"),
        ("utm_campaign", "winter_sale_2023"),
        ("channel", "paid"),
        ("os", "Windows 11"),
        ("mobile", "false"),
        ("bot", "false"),
        ("lat", "48.1351"),
        ("schema_version", "1"),
        ("properties", "null"),
        ("items", "null"),
    ] {
        assert_eq!(value(&nested, 0, column), expected, "{column}");
    }
}

#[test]
fn each_bad_event_is_named_and_costs_only_itself() {
    let good = sale("");
    for (event, field, code) in [
        ("nope".to_owned(), "", "invalid_json"),
        (r#"{"event_type":"purchase""#.to_owned(), "", "invalid_json"),
        (format!("{good} x"), "", "invalid_json"),
        (format!("{good}{good}"), "", "invalid_json"),
        (sale(r#""a":"\u12""#), "", "invalid_json"),
        (sale(r#""a":{"b":"\u12zz"}"#), "", "invalid_json"),
        (sale(r#""a":"\x""#), "", "invalid_json"),
        (sale(r#""page":"\u12zz""#), "", "invalid_json"),
        (sale(r#""price":01"#), "", "invalid_json"),
        (sale(r#""price":1."#), "", "invalid_json"),
        (sale(r#""a":1,"#), "", "invalid_json"),
        ("42".to_owned(), "", "not_an_object"),
        (r#""text""#.to_owned(), "", "not_an_object"),
        (sale(&format!(r#""a":{}{}"#, "[".repeat(64), "]".repeat(64))), "", "too_deep"),
        (sale(&format!(r#""a":{}"#, "[".repeat(100_000))), "", "too_deep"),
        (r#"{"event_ts":0}"#.to_owned(), "event_type", "missing_field"),
        (r#"{"event_type":"  ","event_ts":0}"#.to_owned(), "event_type", "missing_field"),
        (r#"{"event_type":"x"}"#.to_owned(), "event_ts", "missing_field"),
        (r#"{"event_type":"x","event_ts":null}"#.to_owned(), "event_ts", "missing_field"),
        (r#"{"event_type":"search","event_ts":0,"user_id":"u"}"#.to_owned(), "session_id", "missing_field"),
        (r#"{"event_type":"search","event_ts":0,"session_id":"s"}"#.to_owned(), "user_id", "missing_field"),
        (
            r#"{"event_type":"search","event_ts":0,"session_id":"s","user_id":""}"#.to_owned(),
            "user_id",
            "missing_field",
        ),
        (
            r#"{"event_type":"page_view","event_ts":0,"session_id":"s","user_id":"u"}"#.to_owned(),
            "page",
            "missing_field",
        ),
        (r#"{"event_type":7,"event_ts":0}"#.to_owned(), "event_type", "invalid_type"),
        (r#"{"event_type":"x","event_ts":true}"#.to_owned(), "event_ts", "invalid_type"),
        (r#"{"event_type":"x","event_ts":"yesterday"}"#.to_owned(), "event_ts", "invalid_timestamp"),
        (r#"{"event_type":"x","timestamp":"2023-02-30T00:00:00Z"}"#.to_owned(), "event_ts", "invalid_timestamp"),
        (r#"{"event_type":"x","event_ts":-1}"#.to_owned(), "event_ts", "out_of_range"),
        (r#"{"event_type":"x","event_ts":"2023-11-16T12:05:00.001Z"}"#.to_owned(), "event_ts", "future_timestamp"),
        (sale(r#""client_ts":"x""#), "client_ts", "invalid_timestamp"),
        (sale(r#""user_id":{}"#), "user_id", "invalid_type"),
        (sale(r#""user_id":"a\u0000b""#), "user_id", "invalid_text"),
        (sale(r#""page":5"#), "page", "invalid_type"),
        (sale(r#""price":true"#), "price", "invalid_type"),
        (sale(r#""price":"29,90""#), "price", "invalid_number"),
        (sale(r#""price":12.345678"#), "price", "money_precision"),
        (sale(r#""revenue":1e14"#), "revenue", "out_of_range"),
        (sale(r#""quantity":1.5"#), "quantity", "not_an_integer"),
        (sale(r#""quantity":3000000000"#), "quantity", "out_of_range"),
        (sale(r#""load_ms":-3"#), "load_ms", "out_of_range"),
        (sale(r#""load_ms":"3""#), "load_ms", "invalid_type"),
        (sale(r#""mobile":"yes""#), "mobile", "invalid_type"),
        (sale(r#""lat":"48""#), "lat", "invalid_type"),
        (sale(r#""lat":91"#), "lat", "out_of_range"),
        (sale(r#""geo":{"lon":1e999}"#), "lon", "out_of_range"),
        (sale(r#""geo":[1]"#), "geo", "invalid_type"),
        (sale(r#""utm":"google""#), "utm", "invalid_type"),
        (sale(r#""utm":{"source":[]}"#), "utm_source", "invalid_type"),
        (sale(r#""schema_version":99999"#), "schema_version", "out_of_range"),
        (sale(r#""schema_version":0"#), "schema_version", "out_of_range"),
        (sale(r#""properties":[1]"#), "properties", "invalid_type"),
        (sale(r#""properties":"{\"a\":}""#), "properties", "invalid_type"),
        (sale(r#""items":{}"#), "items", "invalid_type"),
        (sale(r#""items":[{},7]"#), "items[1]", "invalid_type"),
        (sale(r#""items":[{},{"price":"x"}]"#), "items[1].price", "invalid_number"),
        (sale(r#""items":[{"product_name":1}]"#), "items[0].name", "invalid_type"),
        (sale(&format!(r#""user_id":"{}""#, "x".repeat(513))), "user_id", "too_long"),
        (sale(&format!(r#""note":"{}""#, "x".repeat(65_600))), "properties", "too_long"),
        (sale(&format!(r#""note":"{}""#, "x".repeat(1 << 20))), "", "event_too_large"),
    ] {
        let lines = json(format!("{good}\n{event}\n{good}")).unwrap();
        assert_eq!(rejections(&lines), [(1, field, code)], "{}", event.get(..200).unwrap_or(&event));
        assert_eq!(lines.rows, [0, 2]);
        assert_eq!(lines.rejected[0].original, event.as_bytes());
        // In an array the bad element's quotes and brackets must close for the others to be found.
        if !event.contains("[[[") || code == "too_deep" && event.contains(']') {
            let closed = event.matches('{').count() == event.matches('}').count();
            if closed {
                let array = json(format!("[{good}, {event} ,{good}]")).unwrap();
                assert_eq!(rejections(&array), rejections(&lines), "{event}");
                assert_eq!(array.rows, [0, 2]);
                assert_eq!(array.rejected[0].original, event.as_bytes());
            }
        }
    }
}

#[test]
fn bodies_are_told_apart_by_looking() {
    let good = sale("");
    let counts = |body: String| {
        let decoded = json(body.clone()).unwrap_or_else(|e| panic!("{e}: {body}"));
        (decoded.rows.len(), decoded.rejected.len())
    };
    assert_eq!(counts(good.clone()), (1, 0));
    assert_eq!(counts(DESIGN_EVENT.to_owned()), (1, 0));
    assert_eq!(counts(DESIGN_EVENT.replace('\n', "\r\n")), (1, 0));
    assert_eq!(counts(format!("{good}\n")), (1, 0));
    assert_eq!(counts(format!("\u{feff}{good}\r\n\r\n  \n{good}\r\n")), (2, 0));
    assert_eq!(counts(format!("nope\n{good}")), (1, 1));
    assert_eq!(counts(format!("{{\n{good}")), (1, 1));
    assert_eq!(counts("[]".to_owned()), (0, 0));
    assert_eq!(counts(" [ ] ".to_owned()), (0, 0));
    assert_eq!(counts(format!("[{good}]")), (1, 0));
    assert_eq!(counts(format!(" [\n{DESIGN_EVENT},\n{good}\n]\n")), (2, 0));
    assert_eq!(counts(format!("[{good},{good}] trailing")), (2, 1));
    assert_eq!(counts(format!("[{good},,{good},]")), (2, 2));
    // Broken off in the middle: what is complete counts.
    assert_eq!(counts(format!("[{good},{}", &good[..30])), (1, 1));
    assert_eq!(counts(format!("[{good},{good}")), (2, 0));
    assert_eq!(counts(format!("[{good} {good},{good}]")), (1, 1));
    for (body, code) in [
        ("", "empty_body"),
        (" \r\n\t ", "empty_body"),
        ("\u{feff}", "empty_body"),
        ("nope", "invalid_json"),
        ("nope\nneither", "invalid_json"),
        ("[", "invalid_json"),
        ("[nope", "invalid_json"),
        ("[nope]", "invalid_json"),
        ("[{]", "invalid_json"),
        ("{", "invalid_json"),
        ("{\"event_type\":", "invalid_json"),
    ] {
        let error = json(body).expect_err(body);
        assert_eq!((error.kind, error.code), (Kind::Invalid, code), "{body:?}");
        assert!(error.hint.is_some());
    }
    assert_eq!(json(b"\x1f\x8b\x08\x00\xff").unwrap_err().code, "invalid_json");
    assert_eq!(json("[".repeat(1_000_000)).map(|d| d.total).unwrap_err().code, "invalid_json");
    assert_eq!(rejections(&json("{\"a\":".repeat(1_000)).unwrap()), [(0, "", "too_deep")]);
}

#[test]
fn a_first_line_that_is_an_array_costs_only_itself() {
    let event = r#"{"event_type":"cart_view","event_ts":1700136000000,"session_id":"s","user_id":"u"}"#;
    let decoded = json(format!("[\"id\",1,2]\n{event}\n\n{event}\n")).unwrap();
    assert_eq!((decoded.rows.len(), decoded.rejected.len(), decoded.rejected[0].index), (2, 1, 0));
    let spread = json(format!("[\n{event},\n{event}]\n")).unwrap();
    assert_eq!((spread.rows.len(), spread.rejected.len()), (2, 0));
}

#[test]
fn a_line_that_is_not_utf8_costs_only_itself() {
    let mut body = sale(r#""city":"München""#).into_bytes();
    body.extend(b"\n{\"event_type\":\"x\",\"event_ts\":0,\"city\":\"\xff\"}\n");
    body.extend(sale("").into_bytes());
    let decoded = json(body).unwrap();
    assert_eq!(rejections(&decoded), [(1, "", "invalid_utf8")]);
    assert_eq!(value(&decoded, 0, "city"), "München");
    let alone = json(b"{\"event_type\":\"\xff\"}".to_vec()).unwrap();
    assert_eq!(rejections(&alone), [(0, "", "invalid_utf8")]);
}

#[test]
fn values_are_taken_as_the_rules_say() {
    for (fields, column, expected) in [
        (r#""user_id":17850.0"#, "user_id", "17850.0"),
        (r#""order_id":123456789012345678901234567890"#, "order_id", "123456789012345678901234567890"),
        (r#""user_id":"""#, "user_id", "null"),
        (r#""user_id":" a ""#, "user_id", " a "),
        (r#""user_id":"a","user_id":"b""#, "user_id", "b"),
        (r#""user_id":"a","user_id":null"#, "user_id", "null"),
        (r#""\u0075ser_id":"a""#, "user_id", "a"),
        (r#""page":"https:\/\/x\/?a=\"\u00fc\"""#, "page", "https://x/?a=\"ü\""),
        (r#""product_name":"\ud83d\ude00""#, "product_name", "😀"),
        (r#""product_name":"x\ud83d""#, "product_name", "x\u{fffd}"),
        (r#""product_name":"x\ud83dy""#, "product_name", "x\u{fffd}y"),
        (r#""price":" 29.90 ""#, "price", "29.9000"),
        (r#""price":-11062.06"#, "price", "-11062.0600"),
        (r#""price":1.99999999e1"#, "price", "null"),
        (r#""price":"""#, "price", "null"),
        (r#""quantity":"-12""#, "quantity", "-12"),
        (r#""quantity":2.0"#, "quantity", "2"),
        (r#""load_ms":1234.9"#, "load_ms", "1234"),
        (r#""client_ts":1700000000123"#, "client_ts", "1700000000123000"),
        (r#""event_ts":"2023-11-16 10:00:00.9999""#, "event_ts", "1700128800999000"),
        // The canonical name wins; what loses is kept.
        (r#""timestamp":0"#, "event_ts", "1700132400000000"),
        (r#""timestamp":0"#, "properties", r#"{"timestamp":0}"#),
        (r#""page_url":"https://x/y","page":"/y""#, "page", "/y"),
        (r#""page_url":"https://x/y","page":"/y""#, "properties", r#"{"page_url":"https://x/y"}"#),
        (r#""page_url":"https://x/y?utm_source=z","page":"/y""#, "utm_source", "z"),
        (r#""utm":{"source":"a","term":"t"},"utm_source":"b""#, "utm_source", "b"),
        (r#""utm":{"source":"a","term":"t"},"utm_source":"b""#, "properties", r#"{"utm_term":"t","utm_source":"a"}"#),
        (r#""utm":{"source":"a"},"utm":{"source":"b"}"#, "utm_source", "b"),
        (r#""timestamp":0,"event_ts":null,"timestamp":5"#, "event_ts", "5000"),
        (r#""device":null,"geo":{}"#, "properties", "null"),
        (r#""geo":{"region":"BY"}"#, "properties", r#"{"geo_region":"BY"}"#),
        // Unknown fields keep their text.
        (r#""a":1.50,"b":{"c":[1, 2]},"d":"\u00fc""#, "properties", r#"{"a":1.50,"b":{"c":[1, 2]},"d":"\u00fc"}"#),
        (r#""a":"\ud83d","b":"\ude00\ud83d\uDE00""#, "properties", r#"{"a":"\ufffd","b":"\ufffd\ud83d\uDE00"}"#),
        (r#""a\nb":1"#, "properties", r#"{"a\nb":1}"#),
        (r#""a":1,"a":2"#, "properties", r#"{"a":2}"#),
        (r#""properties":{"a":1, "b":2}"#, "properties", r#"{"a":1, "b":2}"#),
        (r#""properties":{"a":1, "b":2},"a":3"#, "properties", r#"{"b":2,"a":3}"#),
        (r#""properties":{},"seq":5"#, "properties", r#"{"seq":5}"#),
        (r#""properties":{ }"#, "properties", "null"),
        (r#""properties":"{\"a\":\"\\u00fc\"}""#, "properties", r#"{"a":"\u00fc"}"#),
        (r#""items":[]"#, "items", "[]"),
        (
            r#""items":[{"product_id":7,"product_name":"n","price":1.5,"quantity":"2","variant":"red"},{"discount":0.25}]"#,
            "items",
            r#"[{"product_id":"7","name":"n","category":null,"brand":null,"price":1.5000,"quantity":2,"discount":null},{"product_id":null,"name":null,"category":null,"brand":null,"price":null,"quantity":null,"discount":0.2500}]"#,
        ),
        (
            r#""items":[{"variant":"red"},{"name":"a","product_name":"b"},{}]"#,
            "properties",
            r#"{"items":[{"variant":"red"},{"product_name":"b"},{}]}"#,
        ),
        (r#""page":"/","referrer":"https://www.google.com/""#, "channel", "organic"),
        ("", "channel", "null"),
        ("", "bot", "null"),
    ] {
        if expected == "null" && fields.contains("1.99999999e1") {
            assert_eq!(rejections(&json(sale(fields)).unwrap()), [(0, "price", "money_precision")]);
            continue;
        }
        let decoded = json(sale(fields)).unwrap();
        assert_eq!(rejections(&decoded), [], "{fields}");
        assert_eq!(value(&decoded, 0, column), expected, "{fields}");
    }
}

#[test]
fn an_event_without_an_id_gets_one_from_its_text() {
    let event = sale(r#""revenue":1"#);
    let ids = |body: String| {
        let decoded = json(body).unwrap();
        (0..decoded.rows.len()).map(|row| value(&decoded, row, "event_id")).collect::<Vec<_>>()
    };
    let alone = ids(event.clone());
    // The format never changes: retries of events sent before an upgrade must still be recognised.
    assert_eq!(alone, ["c_de42dc01faa50a9d498ae8893c2c387c"]);
    assert_eq!(ids(format!("[ {event} ,{}]", sale(r#""revenue":2"#)))[0], alone[0]);
    assert_ne!(ids(event.replacen(':', ": ", 1))[0], alone[0]);
    assert_eq!(ids(sale(r#""event_id":" ""#))[0].len(), 34);
    assert_eq!(ids(sale(r#""event_id":5"#)), ["5"]);
}

#[test]
fn limits_are_reached() {
    let event = sale("");
    let body = Bytes::from(format!("{event}\n{event}\n{event}"));
    let three = DecodeContext { max_events: 3, max_event_bytes: event.len(), ..context() };
    assert_eq!(decode(&body, InputFormat::Json, &three).unwrap().total, 3);
    let two = DecodeContext { max_events: 2, ..context() };
    let error = decode(&body, InputFormat::Json, &two).unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::TooLarge, "too_many_events"));
    let short = DecodeContext { max_event_bytes: event.len() - 1, ..context() };
    assert_eq!(rejections(&decode(&body, InputFormat::Json, &short).unwrap()).len(), 3);
}

fn stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn arrow(body: Vec<u8>) -> Result<Decoded> {
    let decoded = decode(&Bytes::from(body), InputFormat::ArrowStream, &context());
    if let Ok(decoded) = &decoded {
        check(decoded);
    }
    decoded
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn arrow_columns_of_many_types_become_the_same_rows() {
    let item_fields: Fields =
        vec![Field::new("product_id", DataType::Utf8, true), Field::new("price", DataType::Float64, true)].into();
    let items = StructArray::new(
        item_fields.clone(),
        vec![texts(&[Some("a"), Some("b")]), Arc::new(Float64Array::from(vec![1.25, 2.0]))],
        None,
    );
    let element = Arc::new(Field::new("item", DataType::Struct(item_fields), true));
    let items = ListArray::new(element, OffsetBuffer::from_lengths([2, 0, 0]), Arc::new(items), None);
    let utm = StructArray::from(vec![(
        Arc::new(Field::new("source", DataType::Utf8, true)),
        texts(&[Some("g"), None, None]),
    )]);
    let decoded = arrow(stream(&batch(vec![
        ("event_type", Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("purchase"), Some("purchase"), None]))),
        ("timestamp", Arc::new(TimestampNanosecondArray::from(vec![1_700_000_000_123_456_789, 0, 0]))),
        ("user_id", Arc::new(Int64Array::from(vec![Some(17850), None, None]))),
        ("page_url", Arc::new(StringViewArray::from(vec![Some("/ü\"\u{1}"), None, None]))),
        ("city", Arc::new(LargeStringArray::from(vec![Some("Bonn"), None, None]))),
        (
            "revenue",
            Arc::new(
                Decimal128Array::from(vec![Some(123_450_000), None, None]).with_precision_and_scale(20, 6).unwrap(),
            ),
        ),
        ("price", Arc::new(Float32Array::from(vec![Some(29.9), Some(0.123_456), None]))),
        ("quantity", Arc::new(UInt16Array::from(vec![Some(3), None, None]))),
        ("mobile", Arc::new(BooleanArray::from(vec![Some(true), None, None]))),
        ("client_ts", Arc::new(Date32Array::from(vec![Some(1), None, None]))),
        ("items", Arc::new(items)),
        ("utm", Arc::new(utm)),
        ("born", Arc::new(Date32Array::from(vec![Some(0), None, None]))),
        ("nothing", Arc::new(NullArray::new(3))),
    ])))
    .unwrap();
    assert_eq!(rejections(&decoded), [(1, "price", "money_precision"), (2, "event_type", "missing_field")]);
    for (column, expected) in [
        ("event_ts", "1700000000123000"),
        ("user_id", "17850"),
        ("page", "/ü\"\u{1}"),
        ("city", "Bonn"),
        ("revenue", "123.4500"),
        ("price", "29.9000"),
        ("quantity", "3"),
        ("mobile", "true"),
        ("client_ts", "86400000000"),
        ("utm_source", "g"),
        ("properties", r#"{"born":"1970-01-01"}"#),
    ] {
        assert_eq!(value(&decoded, 0, column), expected, "{column}");
    }
    assert!(value(&decoded, 0, "items").contains(r#""price":1.2500"#));
    assert!(value(&decoded, 0, "event_id").starts_with("c_"));
    // The original of a rejected row can be fixed and sent again, as JSON.
    let original: serde_json::Value = serde_json::from_slice(&decoded.rejected[0].original).unwrap();
    assert_eq!(original["price"].as_f64(), Some(0.123_456));
}

#[test]
fn what_was_accepted_once_is_accepted_again_as_arrow() {
    let first =
        json(format!("{}\n{}", sale(r#""items":[{"price":1.5}],"note":"x","lat":1.5"#), sale(r#""event_id":"i""#)))
            .unwrap();
    let again = arrow(stream(&first.batch)).unwrap();
    // The server's own column comes back as a property of the client; everything else is as it was.
    for column in event::client_schema().fields().iter().filter(|f| f.name() != "properties") {
        let of = |d: &Decoded| (value(d, 0, column.name()), value(d, 1, column.name()));
        assert_eq!(of(&first), of(&again), "{}", column.name());
    }
    assert!(value(&again, 0, "properties").contains(r#""note":"x""#));
}

#[test]
fn arrow_that_cannot_be_read_is_refused_as_a_whole() {
    let good = batch(vec![("event_type", texts(&[Some("x")])), ("event_ts", Arc::new(Int64Array::from(vec![0])))]);
    let bytes = stream(&good);
    assert_eq!(arrow(bytes.clone()).unwrap().rows, [0]);
    let code_of = |body: Vec<u8>| arrow(body).unwrap_err().code;
    assert_eq!(code_of(Vec::new()), "empty_body");
    assert_eq!(code_of(b"ARROW1\0\0".to_vec()), "invalid_arrow");
    assert_eq!(code_of(bytes[..bytes.len() - 20].to_vec()), "invalid_arrow");
    assert_eq!(code_of([&bytes[..], b"xx"].concat()), "invalid_arrow");
    assert_eq!(code_of(stream(&batch(vec![("event_type", texts(&[None]))]))), "missing_column");
    assert_eq!(code_of(stream(&batch(vec![("event_ts", texts(&[None]))]))), "missing_column");
    let binary: ArrayRef = Arc::new(::arrow::array::BinaryArray::from(vec![Some(&b"x"[..])]));
    let with_binary = batch(vec![("event_type", texts(&[None])), ("event_ts", texts(&[None])), ("raw", binary)]);
    assert_eq!(code_of(stream(&with_binary)), "unsupported_type");
}

#[test]
fn small_arrow_bodies_cannot_become_large_ones() {
    let rows = 100_000;
    let nulls: ArrayRef = Arc::new(NullArray::new(rows));
    let body = Bytes::from(stream(&batch(vec![("event_type", Arc::clone(&nulls)), ("event_ts", nulls)])));
    let few = DecodeContext { max_events: rows - 1, ..context() };
    let error = decode(&body, InputFormat::ArrowStream, &few).unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::TooLarge, "too_many_events"));

    let long = "x".repeat(10_000);
    let keys = ::arrow::array::Int32Array::from(vec![0; 1_000]);
    let repeated: ArrayRef = Arc::new(DictionaryArray::new(keys, texts(&[Some(&long)])));
    let body = Bytes::from(stream(&batch(vec![("event_type", Arc::clone(&repeated)), ("event_ts", repeated)])));
    let small = DecodeContext { max_decoded_bytes: 1_000_000, ..context() };
    let error = decode(&body, InputFormat::ArrowStream, &small).unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::TooLarge, "too_large"));
}

#[test]
fn a_batch_without_rows_is_a_batch() {
    let decoded = json("[]").unwrap();
    assert_eq!(decoded.batch.num_rows(), 0);
    let empty = RecordBatch::new_empty(Arc::new(Schema::new(vec![
        Field::new("event_type", DataType::Utf8, true),
        Field::new("event_ts", DataType::Int64, true),
    ])));
    assert_eq!(arrow(stream(&empty)).unwrap().total, 0);
}

/// Every event of a real tracker. Ten name no session: the five that are browsing events are rejected as such.
#[test]
fn the_tracker_s_events_are_read() {
    let Some(folder) = std::env::var_os("TIDELINE_FIXTURES") else {
        eprintln!("SKIPPED: TIDELINE_FIXTURES is not set");
        return;
    };
    let file = std::fs::File::open(std::path::Path::new(&folder).join("snowplow/events.ndjson.gz")).unwrap();
    let mut body = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut body).unwrap();
    let decoded = json(body).unwrap();
    assert_eq!(decoded.total, 833);
    let without_session =
        decoded.rejected.iter().filter(|r| (r.field.as_ref(), r.code) == ("session_id", "missing_field"));
    assert_eq!(without_session.count(), decoded.rejected.len());
    assert_eq!(decoded.rejected.len(), 5);
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let events = [
        DESIGN_EVENT.to_owned(),
        DESIGN_EVENT.replace('\n', ""),
        sale(r#""items":[{"price":1,"x":"\u00fc\\"}],"properties":{"a":"\ud83d\ude00"},"n":[1,{"b":null}]"#),
        format!("[{},{}]", sale(r#""a":"\"""#), sale("")),
        format!("{}\r\n\n{}", sale(""), sale(r#""timestamp":5"#)),
    ];
    let change =
        (any::<prop::sample::Index>(), 0u8..4, any::<u8>(), prop::sample::select(&b"{}[]\",:\\u0\n\r \xff-e."[..]));
    (prop::sample::select(events.to_vec()), prop::collection::vec(change, 0..6)).prop_map(|(event, changes)| {
        let mut bytes = event.into_bytes();
        for (at, what, byte, special) in changes {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            match what {
                0 if at < bytes.len() => bytes[at] = special,
                1 => bytes.insert(at, special),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_bytes_every_event_is_accounted_for(body: Vec<u8>) {
        let _ = json(body.clone());
        let _ = arrow(body);
    }

    #[test]
    fn whatever_happens_to_a_good_body_every_event_is_accounted_for(body in mutated()) {
        let _ = json(body);
    }

    #[test]
    fn whatever_happens_to_a_good_stream_there_is_an_answer(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut body = stream(&batch(vec![
            ("event_type", Arc::new(DictionaryArray::<Int32Type>::from_iter(["a", "b", "a"]))),
            ("event_ts", Arc::new(Int64Array::from(vec![0, 1, 2]))),
            ("page", texts(&[Some("x"), None, Some("yz")])),
            ("note", Arc::new(StringViewArray::from(vec!["long enough not to be inlined", "b", "c"]))),
        ]));
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = arrow(body);
    }

    /// One object with any fields: the same event flat and nested is the same row.
    #[test]
    fn nested_and_flat_spellings_agree(source in "[a-zü \"\\\\]{0,8}", os in "[a-z]{0,5}", lat in -90.0f64..90.0, mobile: bool) {
        let text = |s: &str| serde_json::Value::from(s).to_string();
        let flat = sale(&format!(r#""event_id":"i","utm_source":{},"os":{},"mobile":{mobile},"lat":{lat}"#, text(&source), text(&os)));
        let nested = sale(&format!(
            r#""event_id":"i","utm":{{"source":{}}},"device":{{"mobile":{mobile},"os":{}}},"geo":{{"lat":{lat}}}"#,
            text(&source), text(&os)
        ));
        prop_assert_eq!(json(flat).unwrap().batch, json(nested).unwrap().batch);
    }
}
