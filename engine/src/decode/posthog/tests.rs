//! What PostHog's events become, over the public entry point; and what the SDKs really send.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::tests::{NOON, check, context, rejections, value};
use super::super::{InputFormat, decode, decode_one};
use super::*;

fn of(body: impl Into<Vec<u8>>) -> Result<Decoded> {
    let decoded = decode(&Bytes::from(body.into()), InputFormat::PostHog, &context());
    if let Ok(decoded) = &decoded {
        check(decoded);
    }
    decoded
}

fn event(name: &str, properties: &Value) -> Value {
    json!({ "event": name, "distinct_id": "u", "uuid": "e", "timestamp": "2023-11-16T11:00:00Z", "properties": properties })
}

/// The columns of one event that have a value, but those every event has.
fn columns(event: &Value) -> Value {
    let decoded = of(json!({ "api_key": "k", "batch": [event] }).to_string()).unwrap();
    assert_eq!(rejections(&decoded), [], "{:?}", decoded.rejected);
    let common = ["event_ts", "event_id", "received_at", "schema_version"];
    let names = decoded.batch.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let of_row = names.into_iter().map(|name| (name.clone(), value(&decoded, 0, &name)));
    let of_row = of_row.filter(|(name, value)| value != "null" && !common.contains(&name.as_str()));
    let typed = |name: &str, text: String| match name {
        "properties" => serde_json::from_str(&text).unwrap(),
        _ => Value::from(text),
    };
    of_row.map(|(name, text)| (name.clone(), typed(&name, text))).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn a_page_of_a_browser_fills_its_columns() {
    let sent = event(
        "$pageview",
        &json!({
            "token": "tl_secret", "distinct_id": "ignored", "$current_url": "https://shop.example/p?utm_source=ad", "$pathname": "/p",
            "$session_id": "s1", "$window_id": "w", "$referrer": "https://www.google.com/", "$device_id": "d",
            "$raw_user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0", "$device_type": "Desktop",
            "$os": "Linux", "$ip": "203.0.113.7", "utm_medium": "cpc", "utm_term": "t", "title": "P",
        }),
    );
    let wanted = json!({
        "event_type": "page_view", "user_id": "u", "anonymous_id": "d", "session_id": "s1", "page": "/p",
        "referrer": "https://www.google.com/", "utm_source": "ad", "utm_medium": "cpc", "channel": "paid", "os": "Linux",
        "mobile": "false", "bot": "false",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
        "properties": { "$window_id": "w", "$device_type": "Desktop", "$os": "Linux", "utm_term": "t", "title": "P",
                        "page_url": "https://shop.example/p?utm_source=ad" },
    });
    assert_eq!(columns(&sent), wanted);
    // A URL alone is the page; so is a screen's name. Nobody's machine is the visitor's.
    let alone =
        columns(&event("$pageview", &json!({ "$current_url": "https://x/y", "$referrer": "$direct", "$os": "Linux" })));
    assert_eq!(
        (&alone["page"], &alone["referrer"], &alone["os"], &alone["session_id"]),
        (&json!("https://x/y"), &Value::Null, &Value::Null, &json!("u@2023-11-16"))
    );
    assert_eq!(columns(&event("$screen", &json!({ "$screen_name": "Home" })))["page"], "Home");
}

#[test]
fn orders_and_products_are_read_by_segments_tables() {
    let order = json!({ "order_id": 7, "subtotal": 22.5, "total": 27.5, "currency": "EUR", "$lib": "posthog-node",
                        "products": [{ "product_id": "p", "price": 11.25, "quantity": 2, "url": "u" }] });
    let found = columns(&event("Order Completed", &order));
    let wanted = [("event_type", "purchase"), ("order_id", "7"), ("revenue", "22.5000"), ("user_id", "u")];
    for (name, wanted) in wanted {
        assert_eq!(found[name], wanted, "{name}");
    }
    let properties = json!({ "$lib": "posthog-node", "subtotal": 22.5, "total": 27.5, "items": [{ "url": "u" }] });
    assert_eq!(found["properties"], properties);
    assert_eq!(found["session_id"], Value::Null, "what a back end knows is no visit");
    assert_eq!(columns(&event("Product Viewed", &json!({ "sku": "p" })))["session_id"], "u@2023-11-16");
    let own = columns(&event("Signed Up", &json!({ "plan": "gold", "$groups": { "company": "c" } })));
    assert_eq!((&own["event_type"], &own["properties"]["$groups"]), (&json!("Signed Up"), &json!({ "company": "c" })));
}

#[test]
fn who_it_is_follows_what_the_event_says() {
    let who = |name: &str, properties: Value| {
        let found = columns(&event(name, &properties));
        [found["user_id"].clone(), found["anonymous_id"].clone()].map(|id| id.as_str().unwrap_or("-").to_owned())
    };
    for (name, properties, wanted) in [
        ("x", json!({}), ["u", "-"]),
        ("x", json!({ "$device_id": "d" }), ["u", "d"]),
        ("x", json!({ "$device_id": "u" }), ["-", "u"]),
        ("x", json!({ "$process_person_profile": false }), ["-", "u"]),
        ("x", json!({ "$is_identified": false, "$device_id": "d" }), ["-", "u"]),
        ("x", json!({ "$is_identified": true, "$anon_distinct_id": "a" }), ["u", "a"]),
        ("$identify", json!({ "$anon_distinct_id": "a", "$device_id": "d", "$is_identified": false }), ["u", "a"]),
        ("$set", json!({}), ["u", "-"]),
        ("$create_alias", json!({ "distinct_id": "u", "alias": "before" }), ["u", "before"]),
        ("$groupidentify", json!({ "$group_key": "c" }), ["u", "-"]),
    ] {
        assert_eq!(who(name, properties.clone()), wanted, "{name} {properties}");
    }
    let mut group =
        event("$groupidentify", &json!({ "$group_type": "company", "$group_key": "c", "$group_set": { "n": 1 } }));
    group["distinct_id"] = "$company_c".into();
    assert_eq!(
        columns(&group),
        json!({ "event_type": "group", "properties": { "$group_type": "company", "group_id": "c", "traits": { "n": 1 } } })
    );
    let mut set = event("$identify", &json!({ "a": 1 }));
    set["$set"] = json!({ "plan": "gold" });
    assert_eq!(columns(&set)["properties"], json!({ "a": 1, "traits": { "plan": "gold" } }));
}

#[test]
fn times_are_corrected_and_ids_are_theirs() {
    let of_batch = |event: &str, rest: &str| of(format!(r#"{{"batch":[{event}]{rest}}}"#)).unwrap();
    let late = of_batch(
        r#"{"event":"x","distinct_id":"u","uuid":"e","timestamp":"2023-11-16T11:00:00+00:00"}"#,
        r#","sent_at":"2023-11-16T11:30:00.000000+00:00""#,
    );
    assert_eq!(value(&late, 0, "event_ts"), (NOON - 1_800_000_000).to_string());
    assert_eq!(value(&late, 0, "client_ts"), (NOON - 3_600_000_000).to_string());
    assert_eq!(value(&late, 0, "event_id"), "e");
    let ago = of_batch(r#"{"event":"x","distinct_id":"u","offset":1500}"#, "");
    assert_eq!(value(&ago, 0, "event_ts"), (NOON - 1_500_000).to_string());
    assert!(value(&ago, 0, "event_id").starts_with("c_"));
    assert_eq!(value(&of_batch(r#"{"event":"x","distinct_id":"u"}"#, ""), 0, "event_ts"), NOON.to_string());
}

#[test]
fn every_form_of_a_body_is_taken_and_one_bad_event_costs_no_other() {
    let good = event("x", &json!({ "token": "t" })).to_string();
    for body in [good.clone(), format!("[{good}]"), format!(r#"{{"batch":[{good}],"api_key":"k"}}"#)] {
        assert_eq!(of(body.clone()).unwrap().rows.len(), 1, "{body}");
    }
    let body = format!(
        r#"{{"batch":[{good},{{}},7,{{"event":"x","timestamp":"?"}},{{"event":}},{},{{"event":"Product Viewed"}},{{"event":"x","distinct_id":{{}}}}]}}"#,
        event("Product Viewed", &json!({ "price": "?" }))
    );
    let decoded = of(body).unwrap();
    assert_eq!(
        rejections(&decoded),
        [
            (1, "event_type", "missing_field"),
            (2, "", "not_an_object"),
            (3, "event_ts", "invalid_timestamp"),
            (4, "", "invalid_json"),
            (5, "price", "invalid_number"),
            (6, "session_id", "missing_field"),
            (7, "distinct_id", "invalid_type"),
        ]
    );
    for (body, code) in [("", "empty_body"), ("{", "invalid_json"), ("{\"batch\":[{}", "invalid_json")] {
        assert_eq!(of(body).unwrap_err().code, code, "{body}");
    }
    assert_eq!(of("{\"batch\":[]}").unwrap().total, 0);
}

#[test]
fn the_key_is_found_wherever_sdks_put_it() {
    for (body, wanted) in [
        (r#"{"batch":[{"a":broken}],"api_key":"k"}"#, Some("k")),
        (r#"{"api_key":"k","event":"x","properties":{"token":"t"}}"#, Some("k")),
        (r#"{"token":"t","event":"x"}"#, Some("t")),
        (r#"{"event":"x","properties":{"token":"t"}}"#, Some("t")),
        (r#" [{"event":"x","properties":{"token":"t"}}, 7]"#, Some("t")),
        (r#"[{"api_key":"k"}]"#, Some("k")),
        (r#"{"api_key":7,"properties":7}"#, None),
        ("[]", None),
        ("[7]", None),
        ("{\"api_key\":\"k\"", None),
        ("", None),
    ] {
        assert_eq!(api_key(body.as_bytes()).as_deref(), wanted, "{body}");
    }
}

#[test]
fn a_dead_letter_is_read_again_as_it_was_read_first() {
    let sent = r#"{"event":"Product Viewed","distinct_id":"u","uuid":"e","timestamp":"2023-11-16T11:00:00Z","properties":{"product_id":"p","price":"?","$ip":"203.0.113.7"}}"#;
    let refused = of(format!(r#"{{"batch":[{sent}],"sent_at":"2023-11-16T11:30:00Z","api_key":"k"}}"#)).unwrap();
    let original = refused.rejected[0].original.clone();
    let text = std::str::from_utf8(&original).unwrap();
    assert!(!text.contains("203.0.113") && text.contains(r#""$ip":null"#), "{text}");
    // A day later.
    let later = DecodeContext { received_at: NOON + 86_400_000_000, ..context() };
    let again = |event: &str| {
        let decoded = decode_one(&Bytes::from(event.to_owned()), &original, SOURCE, &later).unwrap();
        check(&decoded);
        decoded
    };
    assert_eq!(rejections(&again(text)), [(0, "price", "invalid_number")]);
    let fixed = again(&text.replace("\"?\"", "9.99"));
    for (column, wanted) in [
        ("event_type", "product_view"),
        ("event_id", "e"),
        ("event_ts", &(NOON - 1_800_000_000).to_string()),
        ("client_ts", &(NOON - 3_600_000_000).to_string()),
        ("price", "9.9900"),
        ("session_id", "u@2023-11-16"),
    ] {
        assert_eq!(value(&fixed, 0, column), wanted, "{column}");
    }
    let mapped = again(r#"{"event_type":"stock_level","event_ts":"2023-11-16T10:00:00Z","note":1}"#);
    assert_eq!([value(&mapped, 0, "event_type"), value(&mapped, 0, "event_id")], ["stock_level", "e"]);
}

#[test]
fn what_the_sdks_send_is_accepted() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients/captured");
    for sdk in ["posthog-python", "posthog-node"] {
        let text = std::fs::read_to_string(folder.join(format!("{sdk}.json"))).unwrap();
        let requests: Vec<Value> = serde_json::from_str(&text).unwrap();
        let mut types = std::collections::BTreeSet::new();
        let mut orders = 0;
        for request in &requests {
            assert_eq!(request["path"], "/batch/", "{sdk}");
            let body = request["body"].to_string();
            assert_eq!(api_key(body.as_bytes()).as_deref(), Some("tl_test"), "{sdk}");
            let decoded = of(body).unwrap();
            assert_eq!(rejections(&decoded), [], "{sdk}: {:?}", decoded.rejected);
            for row in 0..decoded.batch.num_rows() {
                let event_type = value(&decoded, row, "event_type");
                orders += usize::from(event_type == "purchase");
                assert!(!value(&decoded, row, "event_id").starts_with("c_"), "{sdk}: {event_type}");
                types.insert(event_type);
            }
        }
        assert_eq!(orders, 5, "{sdk}");
        for wanted in ["page_view", "identify", "group", "alias", "product_view", "Signed Up"] {
            assert!(types.contains(wanted), "{sdk}: {wanted} of {types:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_breaks_it(text in "[\\[\\]{}\":,a-z0-9$_. ]{0,60}") {
        let _ = of(text.clone());
        let _ = api_key(text.as_bytes());
        let _ = of(format!(r#"{{"batch":[{{"event":"$pageview","properties":{{{text}}}}}]}}"#));
        let _ = api_key(format!(r#"{{"properties":{{{text}}}}}"#).as_bytes());
    }
}
