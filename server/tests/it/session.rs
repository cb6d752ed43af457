//! Sessions of browsers: the cookie, who may write with it, how it ends; and pages of other sites.

use axum::body::Body;
use axum::http::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use axum::http::{Request, StatusCode};
use serde_json::json;
use tideline_server::auth::keys::KeyLimits;
use tideline_server::auth::scope::Scope;

use crate::app::{Answer, App, event};
use crate::auth::{make_key, secret, with_key};

const OWN: &str = "https://shop-analytics.example";

fn login(app: &App, key: &str) -> Answer {
    let body = json!({ "key": key }).to_string();
    let request = Request::post("/session").header(HOST, "shop-analytics.example").header(ORIGIN, OWN);
    app.send(request.body(body.into()).unwrap())
}

/// `name=value` of the cookie an answer sets.
fn cookie(answer: &Answer) -> String {
    let cookie = answer.headers[SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

fn ask(app: &App, method: &str, uri: &str, cookie: &str, origin: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri(uri).header(HOST, "shop-analytics.example");
    request = request.header(COOKIE, format!("theme=dark; {cookie}"));
    if let Some(origin) = origin {
        request = request.header(ORIGIN, origin);
    }
    app.send(request.body(Body::from("select 1")).unwrap())
}

#[test]
fn a_key_is_exchanged_for_a_cookie_that_scripts_cannot_read_and_other_sites_cannot_send() {
    for (secure, ending) in [("false", "; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), ("true", "; Secure")] {
        let app = App::start(&[("session.secure_cookie", secure)]);
        let key = make_key(&app, &[Scope::Read], KeyLimits::default(), None);
        let answer = login(&app, &secret(&key));
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        let whole = answer.headers[SET_COOKIE].to_str().unwrap();
        assert!(whole.ends_with(ending), "{whole}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let cookie = cookie(&answer);
        assert!(!cookie.contains(&secret(&key)) && cookie.len() > 50, "{cookie}");
        assert_eq!(ask(&app, "GET", "/sql?q=select+1", &cookie, None).status, StatusCode::OK);
        let whose = ask(&app, "GET", "/session", &cookie, None).json();
        assert_eq!(
            (&whose["by"], &whose["key_id"], &whose["scopes"]),
            (&json!("session"), &json!(key.id), &json!(["read"]))
        );
        assert!(whose["expires_at"].is_string());
        assert_eq!(ask(&app, "POST", "/admin/flush", &cookie, Some(OWN)).code(), "scope_missing");
    }
}

#[test]
fn only_own_pages_write_with_a_session() {
    // A listed site may send keys, never the cookie.
    let app = App::start(&[("http.cors_origins", "https://shop.example")]);
    let key = make_key(&app, &[Scope::Admin], KeyLimits::default(), None);
    let cookie = cookie(&login(&app, &secret(&key)));
    for (method, uri) in [("POST", "/sql"), ("POST", "/admin/flush"), ("DELETE", "/session")] {
        for (origin, code) in [
            (None, "csrf"),
            (Some("https://evil.example"), "cross_site"),
            (Some("https://shop.example"), "cross_site"),
            (Some("null"), "cross_site"),
        ] {
            let answer = ask(&app, method, uri, &cookie, origin);
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, code), "{method} {uri}");
        }
    }
    assert_eq!(ask(&app, "POST", "/admin/flush", &cookie, Some(OWN)).status, StatusCode::OK);
    assert_eq!(ask(&app, "GET", "/session", &cookie, Some("https://evil.example")).code(), "cross_site");
}

#[test]
fn a_session_ends_on_request_and_with_its_key() {
    let app = App::start(&[]);
    let key = make_key(&app, &[Scope::Read], KeyLimits::default(), None);
    let (first, second) = (cookie(&login(&app, &secret(&key))), cookie(&login(&app, &secret(&key))));
    let gone = ask(&app, "DELETE", "/session", &first, Some(OWN));
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text());
    assert!(gone.headers[SET_COOKIE].to_str().unwrap().starts_with("tideline_session=; Path=/; Max-Age=0;"));
    assert_eq!(ask(&app, "GET", "/session", &first, None).code(), "session_ended");
    assert_eq!(ask(&app, "GET", "/session", &second, None).status, StatusCode::OK);
    app.state.auth.keys.revoke(&key.id).unwrap();
    assert_eq!(ask(&app, "GET", "/session", &second, None).code(), "session_ended");
    assert_eq!(login(&app, &secret(&key)).code(), "key_revoked");
    assert_eq!(login(&app, "tl_guess").code(), "key_unknown");
    let foreign = Request::post("/session").header(HOST, "a.example").header(ORIGIN, "https://b.example");
    assert_eq!(app.send(foreign.body("{}".into()).unwrap()).code(), "cross_site");
}

#[test]
fn there_is_nothing_to_log_in_to_without_keys() {
    let app = App::start(&[]);
    let answer = app.post("/session", r#"{"key":"tl_x"}"#);
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "no_keys"));
}

fn preflight(app: &App, uri: &str, origin: &str) -> Answer {
    let request = Request::options(uri).header(ORIGIN, origin).header("access-control-request-method", "POST");
    app.send(request.header("access-control-request-headers", "authorization").body(Body::empty()).unwrap())
}

#[test]
fn other_sites_are_asked_in_only_where_they_are_listed() {
    let app = App::start(&[]);
    assert_eq!(preflight(&app, "/events", "https://shop.example").code(), "cross_site");

    let app = App::start(&[("http.cors_origins", "https://shop.example")]);
    let allowed = preflight(&app, "/events", "https://shop.example");
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://shop.example");
    let headers = allowed.headers["access-control-allow-headers"].to_str().unwrap();
    for name in ["authorization", "content-type", "x-retry-count", "x-api-key"] {
        assert!(headers.contains(name), "{headers}");
    }
    assert!(!allowed.headers.contains_key("access-control-allow-credentials"));
    for path in ["/admin/keys", "/session", "/admin"] {
        let own = preflight(&app, path, "https://shop.example");
        assert!(!own.headers.contains_key("access-control-allow-origin"), "{path}");
    }
    assert_eq!(preflight(&app, "/events", "https://evil.example").code(), "cross_site");

    // With keys, a listed page and one that shows a key are let in; the latter's browser asked before.
    let key = secret(&make_key(&app, &[Scope::Ingest], KeyLimits::default(), None));
    let post = |origin: &str, key: Option<&str>| {
        let request = Request::post("/events").header(ORIGIN, origin).header(HOST, "a.example");
        let request = key.into_iter().fold(request, |r, key| r.header("authorization", format!("Bearer {key}")));
        app.send(request.body(event("a").into()).unwrap())
    };
    let accepted = post("https://shop.example", Some(&key));
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert_eq!(accepted.headers["access-control-allow-origin"], "https://shop.example");
    assert_eq!(post("https://shop.example", None).code(), "key_missing");
    assert_eq!(post("https://evil.example", None).code(), "cross_site");
    assert!(!post("https://evil.example", Some(&key)).headers.contains_key("access-control-allow-origin"));
    assert_eq!(with_key(&app, "POST", "/events", &key, event("b")).status, StatusCode::ACCEPTED);
}
