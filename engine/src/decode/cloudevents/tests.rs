//! What CloudEvents become, over the public entry points.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::tests::{NOON, check, context, rejections, value};
use super::super::{InputFormat, decode, decode_one};
use super::*;

fn of(body: impl Into<Vec<u8>>) -> Result<Decoded> {
    let decoded = decode(&Bytes::from(body.into()), InputFormat::CloudEvents, &context());
    if let Ok(decoded) = &decoded {
        check(decoded);
    }
    decoded
}

fn event(change: &Value) -> Value {
    let mut event = json!({
        "specversion": "1.0", "id": "1", "source": "/shop", "type": "com.example.shop.purchase",
        "time": "2023-11-16T11:00:00Z", "datacontenttype": "application/json",
        "data": { "order_id": "o1", "user_id": "u", "revenue": 12.5, "currency": "EUR", "note": "n" },
    });
    for (name, value) in change.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

fn column(change: &Value, name: &str) -> String {
    let decoded = of(event(change).to_string()).unwrap();
    assert_eq!(rejections(&decoded), [], "{:?}", decoded.rejected);
    value(&decoded, 0, name)
}

#[test]
fn data_is_read_as_an_event_of_our_own_is() {
    let data = json!({ "session_id": "s", "user_id": 7, "page_url": "https://x/y?utm_source=a", "page": "/y", "price": "1.50",
                       "utm": { "medium": "cpc", "term": "t" }, "properties": { "a": 1 }, "b": [2], "items": [{ "price": 3, "x": 4 }] });
    let ours = {
        let mut ours = data.clone();
        let named = json!({ "event_id": "/shop|1", "event_type": "product_view", "event_ts": "2023-11-16T11:00:00Z" });
        ours.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
        decode(&Bytes::from(ours.to_string()), InputFormat::Json, &context()).unwrap()
    };
    let theirs = of(event(&json!({ "type": "product_view", "data": data })).to_string()).unwrap();
    assert_eq!((rejections(&ours), rejections(&theirs)), (Vec::new(), Vec::new()));
    for column in theirs.batch.schema().fields().iter().map(|f| f.name().as_str()).filter(|name| *name != "properties")
    {
        assert_eq!(value(&theirs, 0, column), value(&ours, 0, column), "{column}");
    }
    let mut properties: Value = serde_json::from_str(&value(&theirs, 0, "properties")).unwrap();
    assert_eq!(properties.as_object_mut().unwrap().remove("cloudevent"), Some(json!({ "source": "/shop" })));
    assert_eq!(properties, serde_json::from_str::<Value>(&value(&ours, 0, "properties")).unwrap());
}

#[test]
fn the_last_part_of_a_type_is_ours_or_all_of_it_stays() {
    for (kind, wanted, kept) in [
        ("com.example.shop.purchase", "purchase", true),
        ("com.example.shop.purchase.v2", "purchase", true),
        ("https://shop.example/events/refund", "refund", true),
        ("purchase", "purchase", false),
        ("com.example.shop.Purchase", "com.example.shop.Purchase", false),
        ("com.example.shop.order_shipped", "com.example.shop.order_shipped", false),
        ("com.example.purchase.made", "com.example.purchase.made", false),
        ("v2", "v2", false),
        (".", ".", false),
    ] {
        let change = json!({ "type": kind });
        assert_eq!(column(&change, "event_type"), wanted);
        let properties: Value = serde_json::from_str(&column(&change, "properties")).unwrap();
        assert_eq!(properties["cloudevent"]["type"], if kept { json!(kind) } else { Value::Null }, "{kind}");
    }
}

#[test]
fn only_source_and_id_together_are_an_id() {
    let id = |source: &str, id: &str| column(&json!({ "source": source, "id": id }), "event_id");
    assert_eq!(id("/shop", "1"), "/shop|1");
    assert_ne!(id("/shop", "1"), id("/other", "1"));
    assert_ne!(id("a|b", "c"), id("a", "b|c"), "whatever a source looks like");
    let long = "x".repeat(300);
    assert_eq!(id("/shop", &long).len(), 3 + 32);
    assert_ne!(id("/shop", &long), id("/shop2", &long));
    assert_eq!(id("/shop", &long), id("/shop", &long));
    assert_eq!(id("a|b", "c"), "ce_f4eb56a9d483483ac8655368d3c4136d", "part of the format: never change it");
}

#[test]
fn attributes_come_first_and_nothing_is_lost() {
    let change = json!({
        "subject": "order/o1", "traceparent": "00-a", "dataschema": "https://x/s", "country": "DE", "nothing": null,
        "data": { "event_id": "own", "event_type": "refund", "timestamp": 5, "country": "AT", "order_id": "o1", "subject": "s" },
    });
    for (name, wanted) in [
        ("event_id", "/shop|1"),
        ("event_type", "purchase"),
        ("country", "DE"),
        ("event_ts", &(NOON - 3_600_000_000).to_string()),
        ("user_id", "null"),
    ] {
        assert_eq!(column(&change, name), wanted, "{name}");
    }
    let properties: Value = serde_json::from_str(&column(&change, "properties")).unwrap();
    let wanted = json!({ "event_id": "own", "event_type": "refund", "timestamp": 5, "country": "AT", "subject": "s",
        "cloudevent": { "source": "/shop", "type": "com.example.shop.purchase", "subject": "order/o1", "traceparent": "00-a",
                        "dataschema": "https://x/s" } });
    assert_eq!(properties, wanted);
    // Without a time that of the data counts.
    let own_time = json!({ "time": null, "data": { "event_ts": 5_000 } });
    assert_eq!(column(&own_time, "event_ts"), "5000000");
}

#[test]
fn what_is_wrong_with_one_costs_the_others_nothing() {
    let wrong = |name: &str, value: Value| event(&json!({ name: value })).to_string();
    let without = |name: &str| {
        let mut event = event(&json!({}));
        event.as_object_mut().unwrap().remove(name);
        event.to_string()
    };
    let events = [
        event(&json!({})).to_string(),
        without("specversion"),
        wrong("specversion", json!("0.3")),
        wrong("specversion", json!(true)),
        without("id"),
        wrong("id", json!(" ")),
        without("source"),
        without("type"),
        without("time"),
        wrong("time", json!("yesterday")),
        wrong("data", json!("{\"order_id\":\"o\"}")),
        wrong("data", json!([{}])),
        wrong("data", json!({ "revenue": "ten" })),
        "7".to_owned(),
        "{\"specversion\":}".to_owned(),
        event(&json!({ "data": null, "data_base64": "e30=" })).to_string(),
        event(&json!({ "id": "2", "data": null })).to_string(),
        wrong("type", json!("x.page_view")),
    ];
    let decoded = of(format!("[{}]", events.join(","))).unwrap();
    assert_eq!(
        rejections(&decoded),
        [
            (1, "specversion", "missing_field"),
            (2, "specversion", "unsupported_specversion"),
            (3, "specversion", "invalid_type"),
            (4, "id", "missing_field"),
            (5, "id", "missing_field"),
            (6, "source", "missing_field"),
            (7, "type", "missing_field"),
            (8, "event_ts", "missing_field"),
            (9, "time", "invalid_timestamp"),
            (10, "data", "invalid_type"),
            (11, "data", "invalid_type"),
            (12, "revenue", "invalid_number"),
            (13, "", "not_an_object"),
            (14, "", "invalid_json"),
            (15, "data_base64", "invalid_type"),
            (17, "session_id", "missing_field"),
        ]
    );
    assert_eq!((decoded.rows.as_slice(), value(&decoded, 1, "event_id").as_str()), ([0, 16].as_slice(), "/shop|2"));
    for (body, code) in [("", "empty_body"), (" ", "empty_body"), ("{", "invalid_json"), ("x", "invalid_json")] {
        assert_eq!(of(body).unwrap_err().code, code, "{body:?}");
    }
    assert_eq!(of("[]").unwrap().total, 0);
}

#[test]
fn headers_become_attributes() {
    let headers: [(&str, &[u8]); 9] = [
        ("host", b"x"),
        ("content-type", b"application/json"),
        ("ce-specversion", b"1.0"),
        ("ce-id", b"\"1 \\\"\""),
        ("ce-source", b"/sh%C3%B6p"),
        ("ce-type", b"purchase"),
        ("ce-time", b"2023-11-16T11:00:00Z"),
        ("ce-note", b"100% %zz %"),
        ("ce-data", b"{}"),
    ];
    let text = structured(headers.into_iter(), b" {\"revenue\":1.50} ").unwrap();
    assert_eq!(
        std::str::from_utf8(&text).unwrap(),
        r#"{"specversion":"1.0","id":"1 \"","source":"/shöp","type":"purchase","time":"2023-11-16T11:00:00Z","note":"100% %zz %","data":{"revenue":1.50}}"#
    );
    let decoded = of(text.to_vec()).unwrap();
    assert_eq!((rejections(&decoded), value(&decoded, 0, "revenue").as_str()), (Vec::new(), "1.5000"));
    assert_eq!(value(&decoded, 0, "event_id"), "/shöp|1 \"");

    assert_eq!(&structured(headers.into_iter().skip(5).take(1), b"").unwrap()[..], br#"{"type":"purchase"}"#);
    assert_eq!(&structured([].into_iter(), b"[1]").unwrap()[..], br#"{"data":[1]}"#);
    // No body may close its object and go on.
    for body in [&b"{},\"id\":\"2\""[..], b"{", b"\xff", b"x"] {
        assert_eq!(structured(headers.into_iter(), body).unwrap_err().code, "invalid_json");
    }
    let bad = [("ce-id", &b"%ff"[..])];
    assert_eq!(structured(bad.into_iter(), b"{}").unwrap_err().code, "invalid_header");
}

#[test]
fn a_dead_letter_can_be_fixed_by_attributes_columns_or_a_mapping() {
    let refused = event(&json!({ "specversion": "0.3", "data": { "order_id": "o", "revenue": "ten" } })).to_string();
    let original = of(refused.clone()).unwrap().rejected[0].original.clone();
    let again = |event: &str| {
        let decoded = decode_one(&Bytes::from(event.to_owned()), &original, SOURCE, &context()).unwrap();
        check(&decoded);
        decoded
    };
    assert_eq!(rejections(&again(&refused)), [(0, "specversion", "unsupported_specversion")]);
    let right = refused.replace("0.3", "1.0");
    assert_eq!(rejections(&again(&right)), [(0, "revenue", "invalid_number")]);
    let fixed =
        again(&format!("{},\"revenue\":10,\"event_ts\":5000,\"event_type\":\"refund\"}}", &right[..right.len() - 1]));
    assert_eq!(rejections(&fixed), []);
    for (name, wanted) in
        [("revenue", "10.0000"), ("event_ts", "5000000"), ("event_type", "refund"), ("event_id", "/shop|1")]
    {
        assert_eq!(value(&fixed, 0, name), wanted, "{name}");
    }
    let mapped = again(r#"{"event_type":"stock_level","event_ts":5000,"source":"s"}"#);
    assert_eq!([value(&mapped, 0, "event_type"), value(&mapped, 0, "event_id")], ["stock_level", "/shop|1"]);
}

proptest! {
    #[test]
    fn no_text_and_no_header_breaks_it(
        text in "[\\[\\]{}\":,a-z0-9. ]{0,60}",
        header in proptest::collection::vec(any::<u8>(), 0..12),
    ) {
        let _ = of(text.clone());
        let _ = of(format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"purchase","time":1,"data":{{{text}}}}}"#));
        if let Ok(made) = structured([("ce-id", header.as_slice()), ("ce-x", b"y")].into_iter(), text.as_bytes()) {
            prop_assert!(serde_json::from_slice::<Value>(&made).is_ok(), "{:?}", made);
        }
    }
}
