//! Every limit of a request's body can be reached, and answers with what it is.

use std::io::Write as _;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use serde_json::Value;

use crate::app::{Answer, App, event};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn compressed(app: &App, encoding: &str, body: Vec<u8>) -> Answer {
    app.send(Request::post("/events").header("content-encoding", encoding).body(body.into()).unwrap())
}

fn lines(n: usize) -> String {
    (0..n).map(|i| event(&format!("e{i}")) + "\n").collect()
}

#[test]
fn compressed_events_come_in_whole() {
    let app = App::start(&[]);
    let text = lines(1_000);
    let halves = text.split_at(text.len() / 2);
    let gzipped = [gzip(halves.0.as_bytes()), gzip(halves.1.as_bytes())].concat();
    assert_eq!(compressed(&app, "gzip", gzipped).json()["accepted"], 1_000);
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    assert_eq!(compressed(&app, "zstd", zstd).json()["duplicates"], 1_000);
    assert_eq!(app.sql("SELECT count(*) AS n FROM events").json()["data"][0]["n"], 1_000);
}

#[test]
fn sizes_before_and_after_decompression_are_limited_and_named() {
    let app = App::start(&[("ingest.max_body_bytes", "64KiB"), ("ingest.max_decoded_bytes", "256KiB")]);
    let large = app.post("/events", lines(1_000));
    assert_eq!((large.status, large.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
    assert!(large.text().contains("65536 bytes"), "{}", large.text());

    // Without a length announced.
    let pieces = lines(1_000).into_bytes();
    let pieces: Vec<_> = pieces.chunks(1_000).map(|c| Ok::<_, std::io::Error>(Bytes::copy_from_slice(c))).collect();
    let chunked = app.post("/events", Body::from_stream(futures::stream::iter(pieces)));
    assert_eq!((chunked.status, chunked.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));

    let inflated = compressed(&app, "gzip", gzip(lines(3_000).as_bytes()));
    assert_eq!(inflated.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(inflated.text().contains("262144 bytes after decompression"), "{}", inflated.text());
    assert_eq!(app.sql("SELECT count(*) AS n FROM events").json()["data"][0]["n"], 0, "nothing was stored in part");
}

#[test]
fn a_bomb_costs_nothing() {
    let app = App::start(&[]);
    let zeros = vec![b' '; 16 << 20];
    for (encoding, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd::encode_all(&zeros[..], 3).unwrap())] {
        let answer = compressed(&app, encoding, bomb);
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "compression_ratio"));
    }
}

#[test]
fn the_memory_of_bodies_is_limited_for_all_together() {
    let app = App::start(&[
        ("ingest.max_body_bytes", "1MiB"),
        ("ingest.max_decoded_bytes", "1MiB"),
        ("ingest.max_in_flight_bytes", "1MiB"),
    ]);
    // One body is on its way and stands still, with most of the room taken.
    let (mut sender, pieces) = futures::channel::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let request = Request::post("/events").body(Body::from_stream(pieces)).unwrap();
    let router = app.router.clone();
    let first = app.runtime.spawn(async move {
        use tower::ServiceExt as _;
        router.oneshot(request).await.unwrap().status()
    });
    app.runtime.block_on(async {
        use futures::SinkExt as _;
        sender.send(Ok(Bytes::from(vec![b' '; 900 << 10]))).await.unwrap();
        // Two more sends mean that the first was taken.
        sender.send(Ok(Bytes::from_static(b" "))).await.unwrap();
        sender.send(Ok(Bytes::from_static(b" "))).await.unwrap();
    });
    let second = app.post("/events", " ".repeat(500 << 10) + &event("b"));
    assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE, "{}", second.text());
    assert!(second.headers.contains_key("retry-after"));
    app.runtime.block_on(async {
        use futures::SinkExt as _;
        sender.send(Ok(event("a").into())).await.unwrap();
        drop(sender);
        assert_eq!(first.await.unwrap(), StatusCode::ACCEPTED);
    });
    assert_eq!(app.post("/events", " ".repeat(500 << 10) + &event("b")).status, StatusCode::ACCEPTED);
}

#[test]
fn slow_queries_are_listed_until_somebody_is_erased() {
    let app = App::start(&[("query.slow_after", "0s"), ("alerts.enabled", "false")]);
    app.post("/events", event("a"));
    assert_eq!(app.sql("SELECT count(*) AS listed FROM events").status, StatusCode::OK);
    assert_eq!(app.get("/analytics/quality/late").status, StatusCode::OK);
    assert_eq!(app.sql("SELECT CAST(event_type AS INT) FROM events").status, StatusCode::BAD_REQUEST);
    // An end is noted when the last one who looks at the query has gone.
    let listed = || app.get("/admin/queries").json();
    let slow = |outcome: &str, text: &str| {
        let of = |q: &Value| q["outcome"] == outcome && q["text"].as_str().is_some_and(|t| t.contains(text));
        listed()["slow"].as_array().unwrap().iter().find(|q| of(q)).cloned()
    };
    for (outcome, kind, text) in
        [("ok", "sql", "AS listed"), ("ok", "metric", "quality/late"), ("invalid", "sql", "CAST")]
    {
        crate::app::until(text, || slow(outcome, text).is_some_and(|query| query["kind"] == kind));
    }
    assert!(slow("ok", "AS listed").is_some_and(|query| query["elapsed_ms"].as_f64().is_some_and(|ms| ms > 0.0)));
    assert_eq!(listed()["running"], serde_json::json!([]));

    let erased = app.post("/admin/erase", r#"{"user_id":"nobody"}"#);
    assert_eq!(erased.status, StatusCode::OK, "{}", erased.text());
    assert_eq!(slow("ok", "AS listed"), None, "a text may name who was erased");
}
