//! The page as it is served: to whom, with which headers. What it does is tested in a browser (`make browser`).

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;
use tideline_server::auth::keys::KeyLimits;
use tideline_server::auth::scope::Scope;
use tideline_server::http::page::is_built;

use crate::app::{Answer, App};
use crate::auth::make_key;

fn get(app: &App, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
    app.send(request.body(Body::empty()).unwrap())
}

fn page(app: &App, uri: &str) -> Answer {
    get(app, uri, &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")])
}

#[test]
fn browsers_get_the_page_and_everybody_else_words() {
    let app = App::start(&[]);
    let words = get(&app, "/", &[("accept", "*/*")]);
    assert_eq!(words.headers["content-type"], "text/plain; charset=utf-8");
    let home = page(&app, "/");
    assert_eq!(home.status, StatusCode::OK);
    assert_eq!(home.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(home.text().contains("make page"), !is_built(), "without the page it says how to build it");
    assert_eq!(home.headers["vary"], "accept, accept-encoding");
    let policy = home.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    for uri in ["/history", "/history/sales/daily?start=-6d&_view=table", "/console", "/operations"] {
        let view = page(&app, uri);
        assert_eq!((view.status, &view.body), (StatusCode::OK, &home.body), "{uri}");
        assert_eq!(view.headers["content-security-policy"], home.headers["content-security-policy"], "{uri}");
    }
}

#[test]
fn files_named_by_their_content_are_kept_for_ever() {
    let app = App::start(&[]);
    let missing = get(&app, "/assets/index-gone.js", &[]);
    assert_eq!((missing.status, missing.code()), (StatusCode::NOT_FOUND, "not_found".to_owned()));
    assert_eq!(get(&app, "/assets/../index.html", &[]).status, StatusCode::NOT_FOUND);
    let home = page(&app, "/").text();
    let script = home.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(".js"));
    let Some(script) = script else { return assert!(!is_built(), "the page has no script: {home}") };
    let plain = get(&app, script, &[]);
    assert_eq!(plain.headers["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(plain.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(plain.headers["x-content-type-options"], "nosniff");
    assert!(!plain.headers.contains_key("content-encoding"));
    for (accepted, coding) in [("gzip, deflate, br, zstd", "br"), ("gzip", "gzip"), ("gzip, br;q=0", "gzip")] {
        let answer = get(&app, script, &[("accept-encoding", accepted)]);
        assert_eq!(answer.headers["content-encoding"], coding, "{accepted}");
        assert!(answer.body.len() < plain.body.len() / 2, "{accepted}: {} bytes", answer.body.len());
    }
    let tag = plain.headers["etag"].to_str().unwrap();
    let known = get(&app, script, &[("if-none-match", tag)]);
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
}

#[test]
fn what_the_page_must_know_needs_no_key() {
    let settings =
        [("shop.name", "Lamps"), ("shop.time_zone", "Europe/Berlin"), ("shop.currency", "CHF"), ("live.every", "2s")];
    let app = App::start(&settings);
    assert_eq!(app.get("/config").json()["keys_required"], false);
    make_key(&app, &[Scope::Read], KeyLimits::default(), None);
    let config = app.get("/config").json();
    assert_eq!(config["shop"], json!({ "name": "Lamps", "time_zone": "Europe/Berlin", "currency": "CHF" }));
    assert_eq!((&config["keys_required"], &config["live_every_ms"]), (&json!(true), &json!(2_000)));
    assert_eq!(page(&app, "/").status, StatusCode::OK, "the page itself shows nothing of the shop");
}

#[test]
fn a_client_may_name_its_query() {
    let app = App::start(&[]);
    let ask = |id: &'static str| get(&app, "/sql?q=SELECT%201", &[("x-query-id", id)]);
    let named = ask("0d4f8f0a-55ac-4b0e-9d53-6a8a4f2f7f10");
    assert_eq!(named.status, StatusCode::OK);
    assert_eq!(named.headers["x-query-id"], "0d4f8f0a-55ac-4b0e-9d53-6a8a4f2f7f10");
    assert_eq!(named.json()["query_id"], "0d4f8f0a-55ac-4b0e-9d53-6a8a4f2f7f10");
    for id in ["1", "sixteen letters!", "0123456789012345678901234567890123456789012345678901234567890123456789"] {
        let refused = ask(id);
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "invalid_query_id".to_owned()), "{id}");
    }
}
