//! CloudEvents as senders post them to `/events`: structured, in batches, and with their attributes in headers.

use std::io::Write as _;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::app::{Answer, App};

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json; charset=utf-8";

fn order(id: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": "com.example.shop.purchase", "time": "2026-03-01T12:00:00Z",
            "data": { "order_id": id, "revenue": 12.5, "currency": "EUR" } })
}

fn post(app: &App, media_type: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::post("/events").header("content-type", media_type);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(body.into()).unwrap())
}

fn rows(app: &App, sql: &str) -> Value {
    app.sql(sql).json()["data"].clone()
}

#[test]
fn each_mode_stores_each_event_once() {
    let app = App::start(&[]);
    assert_eq!(post(&app, ONE, &[], order("1").to_string()).status, StatusCode::ACCEPTED);
    let batch = json!([order("1"), order("2")]).to_string();
    let answer = post(&app, BATCH, &[], batch.clone());
    assert_eq!((answer.status, &answer.json()["duplicates"]), (StatusCode::ACCEPTED, &json!(1)));
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zipped.write_all(batch.as_bytes()).unwrap();
    let answer = post(&app, BATCH, &[("content-encoding", "gzip")], zipped.finish().unwrap());
    assert_eq!((&answer.json()["accepted"], &answer.json()["duplicates"]), (&json!(0), &json!(2)));
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/shop"),
        ("ce-type", "com.example.shop.purchase"),
        ("ce-time", "2026-03-01T12:00:00Z"),
    ];
    for (id, duplicates) in [("2", 1), ("3", 0)] {
        let mut headers = headers;
        headers[1].1 = id;
        let data = order(id)["data"].to_string();
        let answer = post(&app, "application/json", &headers, data);
        assert_eq!((answer.status, &answer.json()["duplicates"]), (StatusCode::ACCEPTED, &json!(duplicates)), "{id}");
    }
    let found = rows(
        &app,
        "SELECT event_id, event_type, revenue, properties->'cloudevent'->>'type' AS kind FROM events ORDER BY event_id",
    );
    let wanted = |id: &str| json!({ "event_id": format!("/shop|{id}"), "event_type": "purchase", "revenue": "12.5000", "kind": "com.example.shop.purchase" });
    assert_eq!(found, json!([wanted("1"), wanted("2"), wanted("3")]));
    assert_eq!(
        post(&app, BATCH, &[], "[]").status,
        app.post("/events", "[]").status,
        "nothing is what it is elsewhere"
    );
}

#[test]
fn what_is_wrong_is_named_kept_and_replayed_and_costs_no_neighbour() {
    let app = App::start(&[]);
    let mut old = order("old");
    old["specversion"] = "0.3".into();
    let mut nameless = order("nameless");
    nameless.as_object_mut().unwrap().remove("id");
    let answer = post(&app, BATCH, &[], json!([order("1"), old, nameless, order("2")]).to_string());
    let said = answer.json();
    assert_eq!((answer.status.as_u16(), &said["accepted"], &said["rejected"]), (202, &json!(2), &json!(2)));
    let errors: Vec<_> =
        said["errors"].as_array().unwrap().iter().map(|e| (&e["index"], &e["field"], &e["code"])).collect();
    assert_eq!(
        errors,
        [
            (&json!(1), &json!("specversion"), &json!("unsupported_specversion")),
            (&json!(2), &json!("id"), &json!("missing_field"))
        ]
    );
    let letters = app.get("/admin/dead-letters?source=cloudevents").json();
    assert_eq!(letters["counts"], json!({ "missing_field": 1, "unsupported_specversion": 1 }), "{letters}");
    let fix = json!({ "filter": { "code": "unsupported_specversion" }, "fixes": { "specversion": "1.0" } });
    let request = Request::post("/admin/dead-letters/replay").header("content-type", "application/json");
    let replayed = app.send(request.body(fix.to_string().into()).unwrap()).json();
    assert_eq!(replayed["replayed"], 1, "{replayed}");
    assert_eq!(rows(&app, "SELECT count(*) AS n FROM events WHERE order_id = 'old'"), json!([{ "n": 1 }]));

    let binary = |headers: &[(&str, &str)], body: &str| {
        let answer = post(&app, "application/json", headers, body.to_owned());
        let said = answer.json();
        let first = if said["errors"].is_array() { &said["errors"][0] } else { &said };
        (answer.status.as_u16(), first["code"].as_str().unwrap_or_default().to_owned())
    };
    let some = [("ce-id", "9"), ("ce-source", "/shop"), ("ce-type", "purchase"), ("ce-time", "2026-03-01T12:00:00Z")];
    assert_eq!(binary(&some, "{}"), (422, "missing_field".to_owned()));
    let all = [some[0], some[1], some[2], some[3], ("ce-specversion", "1.0")];
    assert_eq!(binary(&all, "[1]"), (422, "invalid_type".to_owned()));
    assert_eq!(binary(&all, "{},\"id\":\"10\""), (400, "invalid_json".to_owned()));
    assert_eq!(binary(&all, "{}"), (202, String::new()));

    for (media_type, body, status) in [
        (ONE, "", 400),
        (ONE, "{", 400),
        (BATCH, "x", 400),
        ("application/cloudevents+avro", "x", 415),
        ("application/cloudevents", "x", 415),
    ] {
        assert_eq!(post(&app, media_type, &[], body).status.as_u16(), status, "{media_type} {body:?}");
    }
    // An Arrow stream has no attributes.
    assert_eq!(post(&app, "application/vnd.apache.arrow.stream", &all, "x").status.as_u16(), 415);
}
