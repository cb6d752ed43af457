//! What Segment's messages become, over the public entry point; and what the SDKs really send.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::tests::{NOON, check, context, rejections, value};
use super::super::{InputFormat, decode, decode_one};
use super::*;

fn of(call: Call, body: impl Into<Vec<u8>>) -> Result<Decoded> {
    let decoded = decode(&Bytes::from(body.into()), InputFormat::Segment(call), &context());
    if let Ok(decoded) = &decoded {
        check(decoded);
    }
    decoded
}

/// A batch of these messages.
fn batch(messages: &[Value]) -> Decoded {
    of(Call::Batch, json!({ "batch": messages }).to_string()).unwrap()
}

fn track(event: &str, properties: &Value) -> Value {
    json!({ "type": "track", "event": event, "messageId": "m", "userId": "u", "anonymousId": "a",
            "timestamp": "2023-11-16T11:00:00Z", "properties": properties })
}

/// The columns of one tracked event that have a value, but those every event has.
fn columns(event: &str, properties: &Value) -> Vec<(String, String)> {
    let decoded = batch(&[track(event, properties)]);
    assert_eq!(rejections(&decoded), [], "{:?}", decoded.rejected);
    let common = ["event_ts", "event_id", "received_at", "user_id", "anonymous_id", "session_id", "schema_version"];
    let names = decoded.batch.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let of_row = names.into_iter().map(|name| (name.clone(), value(&decoded, 0, &name)));
    of_row.filter(|(name, value)| value != "null" && !common.contains(&name.as_str())).collect()
}

fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    wanted.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn revenue(properties: &Value) -> String {
    value(&batch(&[track("Order Completed", properties)]), 0, "revenue")
}

#[test]
fn an_order_of_the_specification_comes_out_to_the_last_decimal() {
    let order = json!({
        "checkout_id": "f", "order_id": "50314", "affiliation": "Store", "total": 27.50, "subtotal": 22.50,
        "revenue": 25.00, "shipping": 3, "tax": 2, "discount": 2.5, "coupon": "hasbros", "currency": "USD",
        "products": [
            { "product_id": "507", "sku": "45790-32", "name": "Monopoly", "price": "19", "quantity": 1, "category": "Games",
              "url": "https://x/y" },
            { "product_id": "505", "sku": "46493-32", "name": "Uno", "price": 3, "quantity": 2, "category": "Games" },
        ],
    });
    let items = r#"[{"product_id":"507","name":"Monopoly","category":"Games","brand":null,"price":19.0000,"quantity":1,"discount":null},{"product_id":"505","name":"Uno","category":"Games","brand":null,"price":3.0000,"quantity":2,"discount":null}]"#;
    let properties = r#"{"affiliation":"Store","checkout_id":"f","items":[{"url":"https://x/y","sku":"45790-32"},{"sku":"46493-32"}],"revenue":25.0,"subtotal":22.5,"total":27.5}"#;
    let found = columns("Order Completed", &order);
    let found: std::collections::BTreeMap<_, _> = found.into_iter().collect();
    for (name, wanted) in [
        ("event_type", "purchase"),
        ("order_id", "50314"),
        ("revenue", "22.5000"),
        ("tax", "2.0000"),
        ("shipping", "3.0000"),
        ("discount", "2.5000"),
        ("coupon", "hasbros"),
        ("currency", "USD"),
        ("items", items),
        ("properties", properties),
    ] {
        assert_eq!(found[name], wanted, "{name}");
    }
    assert_eq!(found.len(), 10, "{found:?}");
}

#[test]
fn what_an_order_is_worth_follows_the_rule() {
    let lines = json!([{ "price": 19, "quantity": 1 }, { "price": 3, "quantity": 2 }]);
    for (properties, wanted) in [
        (json!({ "subtotal": 22.5, "total": 99, "revenue": 98, "products": lines }), "22.5000"),
        (
            json!({ "total": 27.5, "revenue": 25, "shipping": 3, "tax": 2, "discount": 2.5, "products": lines }),
            "22.5000",
        ),
        (json!({ "revenue": 98, "products": [{ "price": 19, "discount": 1.5 }] }), "17.5000"),
        (json!({ "total": 27.5, "revenue": 25, "shipping": 3, "tax": 2 }), "22.5000"),
        (json!({ "total": 27.5, "shipping": 3, "tax": 2, "products": [{ "name": "no price" }] }), "22.5000"),
        (json!({ "total": 30, "revenue": 25, "shipping": 3 }), "25.0000"),
        (json!({ "total": 30, "shipping": 3 }), "27.0000"),
        (json!({ "value": "12.3456" }), "12.3456"),
        (json!({ "price": 5, "quantity": 3, "product_id": "x", "revenue": 1 }), "15.0000"),
        (json!({ "products": [] }), "null"),
        (json!({ "subtotal": null, "revenue": "" }), "null"),
        // As floats make it.
        (json!({ "subtotal": 179.970_000_000_000_03 }), "179.9700"),
        (json!({ "products": [{ "price": 0.1, "quantity": 3 }], "discount": 0.300_000_000_000_000_04 }), "0.0000"),
    ] {
        assert_eq!(revenue(&properties), wanted, "{properties}");
    }
    let refund = |properties: &Value| value(&batch(&[track("Order Refunded", properties)]), 0, "revenue");
    assert_eq!(refund(&json!({ "order_id": "o" })), "null", "of the whole order");
    assert_eq!(refund(&json!({ "order_id": "o", "total": 5 })), "5.0000");
    // Amounts of an order are not those of a cart.
    let cart = json!({ "value": 20, "revenue": 20, "tax": 1, "currency": "EUR" });
    let wanted =
        [("event_type", "checkout_start"), ("currency", "EUR"), ("properties", r#"{"revenue":20,"tax":1,"value":20}"#)];
    let found: std::collections::BTreeSet<_> = columns("Checkout Started", &cart).into_iter().collect();
    assert_eq!(found, pairs(&wanted).into_iter().collect());
}

#[test]
fn names_of_the_specification_are_ours_and_others_stay() {
    for (name, event_type) in [
        ("Products Searched", "search"),
        ("Product List Viewed", "product_list_view"),
        ("Viewed Product Category", "product_list_view"),
        ("Product Viewed", "product_view"),
        ("product_viewed", "product_view"),
        ("productViewed", "product_view"),
        ("Product Added", "add_to_cart"),
        ("Product Removed", "remove_from_cart"),
        ("Cart Viewed", "view_cart"),
        ("Checkout Started", "checkout_start"),
        ("Checkout Step Viewed", "checkout_step"),
        ("Checkout Step Completed", "checkout_step"),
        ("Payment Info Entered", "payment_info"),
        ("Order Completed", "purchase"),
        ("Completed Order", "purchase"),
        ("Order Refunded", "refund"),
        ("Order Cancelled", "order_cancelled"),
        ("Order Updated", "order_updated"),
        ("add_to_cart", "add_to_cart"),
        ("Signed Up", "Signed Up"),
        ("Product Clicked", "Product Clicked"),
        ("Ünïcode 🛒", "Ünïcode 🛒"),
    ] {
        assert_eq!(value(&batch(&[track(name, &json!({}))]), 0, "event_type"), event_type, "{name}");
    }
    let own = json!({ "price": "lots", "nested": { "a": [1, { "b": "\u{1f6d2}" }] }, "revenue": 7.123456789 });
    assert_eq!(columns("Signed Up", &own), pairs(&[("event_type", "Signed Up"), ("properties", &own.to_string())]));
    let viewed =
        columns("Product Viewed", &json!({ "sku": "s", "name": 1984, "brand": "B", "price": 9.99, "variant": "red" }));
    let viewed: std::collections::BTreeSet<_> = viewed.into_iter().collect();
    let wanted = [
        ("event_type", "product_view"),
        ("product_id", "s"),
        ("product_name", "1984"),
        ("brand", "B"),
        ("price", "9.9900"),
        ("properties", r#"{"variant":"red"}"#),
    ];
    assert_eq!(viewed, pairs(&wanted).into_iter().collect());
}

#[test]
fn the_clock_is_corrected_by_when_the_client_says_it_sent() {
    // The client's clock is an hour behind; the server received it at noon.
    let message = r#"{"type":"track","event":"x","timestamp":"2023-11-16T10:30:00.250Z"}"#;
    let behind = format!(r#"{{"batch":[{message}],"sentAt":"2023-11-16T11:00:00Z"}}"#);
    let decoded = of(Call::Batch, behind).unwrap();
    assert_eq!(value(&decoded, 0, "event_ts"), (NOON - 1_800_000_000 + 250_000).to_string());
    assert_eq!(value(&decoded, 0, "client_ts"), (NOON - 5_400_000_000 + 250_000).to_string());
    // Nothing to correct by, or nothing to correct.
    for sent_at in ["", r#","sentAt":"soon""#, r#","sentAt":"2023-11-16T12:00:00Z""#] {
        let decoded = of(Call::Batch, format!(r#"{{"batch":[{message}]{sent_at}}}"#)).unwrap();
        assert_eq!(value(&decoded, 0, "event_ts"), (NOON - 5_400_000_000 + 250_000).to_string(), "{sent_at}");
        assert_eq!(value(&decoded, 0, "client_ts"), "null", "{sent_at}");
    }
    // A single message says so itself. A clock a day ahead does not make the future.
    let ahead = r#"{"event":"x","originalTimestamp":"2023-11-17T11:59:59Z","sentAt":"2023-11-17T12:00:00Z"}"#;
    let decoded = of(Call::One(MessageType::Track), ahead).unwrap();
    assert_eq!(value(&decoded, 0, "event_ts"), (NOON - 1_000_000).to_string());
    // Without a time it is now.
    let decoded = of(Call::One(MessageType::Track), r#"{"event":"x"}"#).unwrap();
    assert_eq!((value(&decoded, 0, "event_ts"), value(&decoded, 0, "client_ts")), (NOON.to_string(), "null".into()));
    let future = r#"{"event":"x","timestamp":"2023-11-16T12:06:00Z"}"#;
    let decoded = of(Call::One(MessageType::Track), future).unwrap();
    assert_eq!(rejections(&decoded), [(0, "event_ts", "future_timestamp")]);
}

#[test]
fn pages_people_and_groups() {
    let context = json!({
        "ip": "203.0.113.7", "locale": "de-DE", "userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) \
        AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1",
        "page": { "path": "/p", "url": "https://shop.example/p?utm_source=u", "referrer": "https://www.google.com/", "search": "?x", "title": "T" },
        "campaign": { "source": "news", "medium": "email", "name": "spring", "term": "shoes" },
        "os": { "name": "iOS", "version": "17" }, "device": { "type": "ios" }, "sessionId": 1_700_000_000_123_i64,
        "location": { "country": "DE", "city": "Berlin", "latitude": 52.5, "longitude": "east" },
    });
    let page = json!({ "type": "page", "messageId": "m", "anonymousId": 7, "name": "Home", "context": context,
                       "properties": { "path": "/home", "url": "https://shop.example/home" }, "integrations": { "All": true } });
    let decoded = batch(&[page]);
    let properties = r#"{"utm_term":"shoes","context":{"locale":"de-DE","os":{"name":"iOS","version":"17"},"device":{"type":"ios"},"location":{"city":"Berlin","country":"DE","latitude":52.5,"longitude":"east"},"page":{"title":"T"}},"name":"Home","page_url":"https://shop.example/home"}"#;
    let properties: Value = serde_json::from_str(properties).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&value(&decoded, 0, "properties")).unwrap(), properties);
    for (column, wanted) in [
        ("event_type", "page_view"),
        ("page", "/home"),
        ("referrer", "https://www.google.com/"),
        ("utm_source", "news"),
        ("utm_medium", "email"),
        ("utm_campaign", "spring"),
        ("channel", "email"),
        ("os", "iOS"),
        ("mobile", "true"),
        ("country", "DE"),
        ("lat", "52.5"),
        ("lon", "null"),
        ("session_id", "1700000000123"),
        ("anonymous_id", "7"),
    ] {
        assert_eq!(value(&decoded, 0, column), wanted, "{column}");
    }
    let decoded = batch(&[
        json!({ "type": "screen", "anonymousId": "a", "name": "Cart", "timestamp": "2023-11-16T11:00:00Z" }),
        json!({ "type": "identify", "userId": "u", "anonymousId": "a", "traits": { "email": "e@x" } }),
        json!({ "type": "group", "userId": "u", "groupId": 12, "traits": {} }),
        json!({ "type": "alias", "userId": "u", "previousId": "before", "anonymousId": "a" }),
    ]);
    assert_eq!(rejections(&decoded), []);
    let row = |row, names: [&str; 4]| names.map(|name| value(&decoded, row, name));
    let names = ["event_type", "user_id", "anonymous_id", "properties"];
    assert_eq!(
        row(0, ["event_type", "page", "session_id", "properties"]),
        ["page_view", "Cart", "a@2023-11-16", r#"{"name":"Cart"}"#]
    );
    assert_eq!(row(1, names), ["identify", "u", "a", r#"{"traits":{"email":"e@x"}}"#]);
    assert_eq!(row(2, names), ["group", "u", "null", r#"{"group_id":12,"traits":{}}"#]);
    assert_eq!(row(3, names), ["alias", "u", "before", r#"{"anonymous_id":"a"}"#]);
}

#[test]
fn a_visit_is_named_or_a_visitors_day() {
    let session = |event: &str, who: &str, properties: Value| {
        let mut message = track(event, &properties);
        message["anonymousId"] = if who == "u" { Value::Null } else { who.into() };
        value(&batch(&[message]), 0, "session_id")
    };
    assert_eq!(session("Product Viewed", "a", json!({})), "a@2023-11-16");
    assert_eq!(session("Signed Up", "a", json!({})), "a@2023-11-16");
    assert_eq!(session("Signed Up", "a", json!({ "session_id": 7 })), "7");
    assert_eq!(session("Product Viewed", "u", json!({})), "u@2023-11-16");
    // A back office's event is no visit.
    assert_eq!(session("Order Completed", "u", json!({ "order_id": "o" })), "null");
    assert_eq!(session("Product Viewed", &"x".repeat(300), json!({})).len(), 32 + 11);
}

#[test]
fn one_broken_message_costs_only_itself() {
    let good =
        |id: &str| format!(r#"{{"type":"track","event":"x","messageId":"{id}","timestamp":"2023-11-16T11:00:00Z"}}"#);
    let deep = format!(r#"{{"type":"track","event":"x","properties":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    let body = format!(
        r#"{{"sentAt":"2023-11-16T11:59:00Z","batch":[{},{{"type":"track"}},7,{{"type":"video"}},{{broken}},{deep},{},
            {{"type":"track","event":"Order Completed","properties":{{"products":[{{"price":"a lot"}}]}}}},
            {{"type":"page","userId":"u"}}, {}],"writeKey":"k"}}"#,
        good("a"),
        good("b"),
        good("c"),
    );
    let decoded = of(Call::Batch, body.clone()).unwrap();
    assert_eq!([0, 1, 2].map(|row| value(&decoded, row, "event_id")), ["a", "b", "c"]);
    assert_eq!(
        rejections(&decoded),
        [
            (1, "event_type", "missing_field"),
            (2, "", "not_an_object"),
            (3, "type", "invalid_type"),
            (4, "", "invalid_json"),
            (5, "", "too_deep"),
            (7, "items[0].price", "invalid_number"),
            (8, "page", "missing_field"),
        ]
    );
    assert_eq!(write_key(body.as_bytes()).as_deref(), Some("k"));
    assert_eq!(write_key(b"{\"writeKey\":\"k\"").as_deref(), None);
    for whole in ["", " ", "7", "x", "{\"batch\":[", "{\"batch\":[]", "{\"batch\":[] x}", "[}"] {
        assert!(
            of(Call::Batch, whole).map_or(true, |decoded| decoded.rows.is_empty() && decoded.total == 1),
            "{whole:?}"
        );
    }
    assert_eq!(of(Call::Batch, "{\"batch\":[]}").unwrap().total, 0);
    // A batch may come to any path, and a message to that of batches.
    assert_eq!(of(Call::One(MessageType::Page), format!(r#"{{"batch":[{}]}}"#, good("a"))).unwrap().rows.len(), 1);
    assert_eq!(of(Call::Batch, good("a")).unwrap().rows.len(), 1);
}

#[test]
fn the_same_message_is_the_same_event_whenever_it_is_sent() {
    let message = r#"{"type":"track","event":"x","timestamp":"2023-11-16T11:00:00Z"}"#;
    let id = |sent_at: &str| {
        let decoded = of(Call::Batch, format!(r#"{{"batch":[{message}],"sentAt":"{sent_at}"}}"#)).unwrap();
        value(&decoded, 0, "event_id")
    };
    assert!(id("2023-11-16T11:59:00Z").starts_with("c_"));
    assert_eq!(id("2023-11-16T11:59:00Z"), id("2023-11-16T11:59:59Z"));
}

#[test]
fn a_dead_letter_is_read_again_as_it_was_read_first() {
    // Half an hour behind, refused for its price.
    let message = r#"{"event":"Product Viewed","messageId":"m","anonymousId":"a","timestamp":"2023-11-16T11:00:00Z","context":{"ip":"203.0.113.7","locale":"de"},"properties":{"product_id":"p","price":"?"}}"#;
    let body = format!(r#"{{"batch":[{message}],"sentAt":"2023-11-16T11:30:00Z"}}"#);
    let refused = of(Call::One(MessageType::Track), body).unwrap();
    let original = refused.rejected[0].original.clone();
    let text = std::str::from_utf8(&original).unwrap();
    assert!(!text.contains("203.0.113") && text.contains(r#""ip":null"#), "{text}");

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
        ("event_id", "m"),
        ("event_ts", &(NOON - 1_800_000_000).to_string()),
        ("client_ts", &(NOON - 3_600_000_000).to_string()),
        ("price", "9.9900"),
        ("session_id", "a@2023-11-16"),
        ("properties", r#"{"context":{"locale":"de"}}"#),
    ] {
        assert_eq!(value(&fixed, 0, column), wanted, "{column}");
    }
    // By a column of ours, and by a mapping, which makes an event of ours.
    let set = format!(r#"{},"price":5}}"#, &text[..text.len() - 1]);
    assert_eq!(value(&again(&set.replace("\"?\"", "1")), 0, "price"), "5.0000");
    let mapped = again(r#"{"event_type":"stock_level","event_ts":"2023-11-16T10:00:00Z","note":1}"#);
    assert_eq!([value(&mapped, 0, "event_type"), value(&mapped, 0, "event_id")], ["stock_level", "m"]);
}

#[test]
fn addresses_are_nowhere_unless_they_are_wanted() {
    let message = r#"{"event":"x","context":{"ip":"203.0.113.7","traits":{"ip":"203.0.113.8"}},"properties":{"ip":"203.0.113.9"}}"#;
    let stored = |ip_addresses| {
        let ctx = DecodeContext { ip_addresses, ..context() };
        let decoded = decode(&Bytes::from(message), InputFormat::Segment(Call::One(MessageType::Track)), &ctx).unwrap();
        value(&decoded, 0, "properties")
    };
    assert_eq!(stored(IpAddresses::Drop), r#"{"context":{"traits":{"ip":null}}}"#);
    assert_eq!(stored(IpAddresses::Truncate).matches("203.0.113.0").count(), 3);
    assert_eq!(stored(IpAddresses::Keep).matches("203.0.113.").count(), 3);
}

#[test]
fn what_the_sdks_send_is_taken_as_it_is() {
    let captured = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients/captured");
    let mut files = 0;
    for file in std::fs::read_dir(captured).unwrap() {
        let path = file.unwrap().path();
        let sdk = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if sdk.starts_with("posthog") {
            // Another API, with a test of its own.
            continue;
        }
        let requests: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let (mut revenues, mut total) = (Vec::new(), 0);
        for request in requests {
            let call = match request["path"].as_str().unwrap() {
                "/v1/batch" => Call::Batch,
                "/v1/i" => Call::One(MessageType::Identify),
                "/v1/p" => Call::One(MessageType::Page),
                "/v1/t" => Call::One(MessageType::Track),
                "/v1/g" => Call::One(MessageType::Group),
                "/v1/a" => Call::One(MessageType::Alias),
                other => panic!("{sdk} sends to {other}"),
            };
            // Long before they were sent, by their clock: corrected, they happened just now.
            let decoded = of(call, request["body"].to_string()).unwrap();
            assert_eq!(rejections(&decoded), [], "{sdk}: {:?}", decoded.rejected);
            for row in 0..decoded.rows.len() {
                let at: i64 = value(&decoded, row, "event_ts").parse().unwrap();
                assert!((NOON - 10_000_000..=NOON).contains(&at), "{sdk}: {at}");
                assert_eq!(value(&decoded, row, "user_id"), format!("u-{sdk}"));
                if value(&decoded, row, "event_type") == "purchase" {
                    revenues.push(value(&decoded, row, "revenue"));
                }
            }
            total += decoded.rows.len();
        }
        assert_eq!(revenues, ["22.5000", "161.9730", "12.3456", "99.0000", "1000.0000"], "{sdk}");
        assert_eq!(total, 22, "{sdk}");
        files += 1;
    }
    assert_eq!(files, 6);
}

/// Messages that are nearly right: pieces of the API with values of every kind.
fn nearly() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1e300".to_owned()),
        Just("-9223372036854775808".to_owned()),
        Just("99999999999999.99995".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        Just("\"\\u0000\"".to_owned()),
        Just("\"1970-01-01T00:00:00Z\"".to_owned()),
        Just("\"9999-12-31T23:59:59Z\"".to_owned()),
        Just("\"203.0.113.7\"".to_owned()),
        Just("\"Order Completed\"".to_owned()),
        Just("\"track\"".to_owned()),
        "[a-z\"\\\\]{0,6}",
    ];
    let names = [
        "type",
        "event",
        "userId",
        "anonymousId",
        "messageId",
        "timestamp",
        "sentAt",
        "receivedAt",
        "context",
        "properties",
        "traits",
        "products",
        "price",
        "quantity",
        "subtotal",
        "total",
        "page",
        "path",
        "url",
        "campaign",
        "source",
        "ip",
        "previousId",
        "batch",
        "sku",
        "items",
        "event_ts",
        "price",
        "location",
        "latitude",
        "sessionId",
        "name",
    ];
    scalar.prop_recursive(4, 48, 6, move |inner| {
        let member = (proptest::sample::select(names.to_vec()), inner.clone());
        prop_oneof![
            3 => proptest::collection::vec(member, 0..6).prop_map(|members| {
                let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
            1 => proptest::collection::vec(inner, 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_comes_is_taken_or_refused_with_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for call in [Call::Batch, Call::One(MessageType::Track)] {
            let _ = of(call, bytes.clone());
        }
    }

    #[test]
    fn so_is_what_is_nearly_right(message in nearly(), sent_at in nearly()) {
        for body in [message.clone(), format!("{{\"batch\":[{message},{{}}],\"sentAt\":{sent_at}}}")] {
            let Ok(decoded) = of(Call::One(MessageType::Track), body) else { continue };
            for rejected in &decoded.rejected {
                // Its dead letter can be read again, and never panics.
                prop_assert!(!rejected.original.windows(9).any(|w| w == b"\"ip\":\"203"), "{:?}", rejected.original);
                let again = decode_one(&rejected.original, &rejected.original, SOURCE, &context()).unwrap();
                prop_assert_eq!(again.total, 1);
            }
        }
    }
}
