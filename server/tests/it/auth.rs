//! Keys and scopes: every declared route against every kind of caller, hostile credentials, and the commands.

use std::process::{Command, Output};

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use tideline_server::app::route_table;
use tideline_server::auth::keys::{KeyLimits, KeyView, NewKey, State};
use tideline_server::auth::scope::Scope;
use tideline_server::config::Period;
use tideline_server::routes::Access;

use crate::app::{Answer, App, event, until};
use crate::process::Server;

/// Makes a key in the application's store.
pub fn make_key(app: &App, scopes: &[Scope], limits: KeyLimits, expires_in: Option<Period>) -> KeyView {
    let new = NewKey { name: "test".to_owned(), scopes: scopes.iter().copied().collect(), expires_in, limits };
    app.state.auth.keys.create(new).unwrap()
}

/// The key itself.
pub fn secret(key: &KeyView) -> String {
    key.key.clone().unwrap()
}

fn simple_key(app: &App, scope: Scope) -> String {
    secret(&make_key(app, &[scope], KeyLimits::default(), None))
}

/// Sends a request with a key.
pub fn with_key(app: &App, method: &str, uri: &str, key: &str, body: impl Into<Body>) -> Answer {
    let request = Request::builder().method(method).uri(uri).header(AUTHORIZATION, format!("Bearer {key}"));
    app.send(request.body(body.into()).unwrap())
}

#[derive(Debug, Clone, PartialEq)]
enum Who {
    Nobody,
    Key(Scope, String),
    Refused(&'static str, String),
}

fn everybody(app: &App) -> Vec<Who> {
    let mut all: Vec<Who> = Scope::ALL.into_iter().map(|scope| Who::Key(scope, simple_key(app, scope))).collect();
    let revoked = make_key(app, &Scope::ALL, KeyLimits::default(), None);
    app.state.auth.keys.revoke(&revoked.id).unwrap();
    let expired = make_key(app, &Scope::ALL, KeyLimits::default(), Some("1ms".parse().unwrap()));
    until("the key has expired", || {
        app.state.auth.keys.list().iter().any(|key| key.id == expired.id && key.state == State::Expired)
    });
    all.push(Who::Refused("key_revoked", secret(&revoked)));
    all.push(Who::Refused("key_expired", secret(&expired)));
    all.push(Who::Refused("key_unknown", "tl_unknown".to_owned()));
    all.push(Who::Refused("credential_invalid", "tl_ two".to_owned()));
    all.push(Who::Nobody);
    all
}

fn ask(app: &App, method: &Method, path: &str, who: &Who) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Who::Key(_, key) | Who::Refused(_, key) = who {
        request = request.header(AUTHORIZATION, format!("Bearer {key}"));
    }
    app.send(request.body(Body::empty()).unwrap())
}

#[test]
fn every_route_lets_in_exactly_those_its_declaration_names() {
    let app = App::start(&[]);
    // Live streams end at once, so that their answers can be read to the end.
    app.state.live.close();
    let (table, everybody) = (route_table(app.state.clone()), everybody(&app));
    assert!(table.len() > 20, "the table of routes is empty");
    let mut refused = 0;
    for route in table {
        // `{id}` and `{*rest}` stand for any text.
        let open = |part: &str| part.split_once('{').map_or(part.to_owned(), |(before, _)| format!("{before}x"));
        let path = route.path.split('/').map(open).collect::<Vec<_>>().join("/");
        let methods = route.method.clone().map_or(vec![Method::GET, Method::POST, Method::PATCH], |m| vec![m]);
        for (method, who) in methods.iter().flat_map(|m| everybody.iter().map(move |who| (m, who))) {
            let answer = ask(&app, method, &path, who);
            let said = format!("{method} {path} by {who:?}: {} {}", answer.status, answer.text());
            let wanted = match (route.access, who) {
                (Access::Public | Access::Anyone, _) | (Access::AnyKey, Who::Key(..)) => None,
                (_, Who::Nobody) => Some((StatusCode::UNAUTHORIZED, "key_missing")),
                (_, Who::Refused(code, _)) => Some((StatusCode::UNAUTHORIZED, *code)),
                (access, Who::Key(has, _)) if access.scope() == Some(*has) || *has == Scope::Admin => None,
                (access, Who::Key(..)) => {
                    let scope = access.scope().unwrap();
                    assert!(answer.text().contains(&format!("`{scope}`")), "the scope is not named: {said}");
                    Some((StatusCode::FORBIDDEN, "scope_missing"))
                }
            };
            match wanted {
                Some((status, code)) => {
                    refused += 1;
                    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{said}");
                    assert_eq!(answer.headers["content-type"], "application/problem+json", "{said}");
                    let challenge = answer.headers.contains_key("www-authenticate");
                    assert_eq!(challenge, status == StatusCode::UNAUTHORIZED, "{said}");
                }
                // The API's description names the code.
                None if route.access == Access::Anyone => {
                    assert!(answer.status.is_success() || !said.contains("scope_missing"), "{said}");
                }
                None => assert!(![401, 403].contains(&answer.status.as_u16()), "{said}"),
            }
        }
    }
    assert!(refused > 100, "only {refused} were refused");
}

#[test]
fn what_every_scope_is_for() {
    let app = App::start(&[]);
    let table = route_table(app.state.clone());
    for (path, access) in [
        ("/events", Access::Needs(Scope::Ingest)),
        ("/ingest", Access::Needs(Scope::Ingest)),
        ("/sql", Access::Needs(Scope::Read)),
        ("/sql.arrow", Access::Needs(Scope::Read)),
        ("/queries/{id}", Access::Needs(Scope::Read)),
        ("/metrics", Access::Needs(Scope::Read)),
        ("/users/{id}/sessions", Access::Needs(Scope::Read)),
        ("/live", Access::Needs(Scope::Read)),
        ("/ws", Access::Needs(Scope::Read)),
        ("/health/live", Access::Public),
        ("/version", Access::Public),
    ] {
        let routes: Vec<_> = table.iter().filter(|route| route.path == path).collect();
        assert!(!routes.is_empty() && routes.iter().all(|route| route.access == access), "{path}: {routes:?}");
    }
    for route in table {
        let is_admin = route.access == Access::Needs(Scope::Admin);
        assert_eq!(route.path.starts_with("/admin/"), is_admin, "{route:?}");
        let is_public = route.path.starts_with("/health") || route.path == "/version";
        assert_eq!(route.access == Access::Public, is_public, "{route:?}");
    }
}

#[test]
fn a_key_is_taken_wherever_clients_put_it() {
    let app = App::start(&[]);
    let key = simple_key(&app, Scope::Ingest);
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{key}:")));
    for (n, (name, value)) in
        [("authorization", format!("Bearer {key}")), ("authorization", basic), ("x-api-key", key)].iter().enumerate()
    {
        let request = Request::post("/events").header(*name, value).header("host", "shop.example");
        let answer = app.send(request.body(event(&format!("e{n}")).into()).unwrap());
        assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (StatusCode::ACCEPTED, Some(1)), "{name}");
    }
}

#[test]
fn without_keys_everything_is_as_if_there_were_none_to_have() {
    let app = App::start(&[]);
    assert_eq!(with_key(&app, "POST", "/events", "tl_whatever", event("a")).status, StatusCode::ACCEPTED);
    let foreign = Request::get("/version").header("host", "shop.example").body(Body::empty()).unwrap();
    assert_eq!(app.send(foreign).code(), "host_not_allowed");
    let whose = app.send(Request::get("/session").body(Body::empty()).unwrap()).json();
    assert_eq!((whose["by"].as_str(), whose["scopes"].as_array().unwrap().len()), (Some("local"), 3));
}

#[test]
fn keys_are_made_listed_and_revoked_over_http() {
    let app = App::start(&[]);
    let shop = json!({"name": "shop", "scopes": ["ingest"], "expires_in": "90d", "limits": {"events": 5}});
    let first = app.post("/admin/keys", shop.to_string());
    assert_eq!((first.status, first.code().as_str()), (StatusCode::BAD_REQUEST, "first_key_not_admin"));
    let admin = app.post("/admin/keys", json!({"name": "admin", "scopes": ["admin"]}).to_string());
    assert_eq!(admin.status, StatusCode::CREATED, "{}", admin.text());
    let admin = admin.json()["key"].as_str().unwrap().to_owned();
    assert!(admin.starts_with("tl_"));
    // At once: the same request without it is refused now.
    assert_eq!(app.post("/admin/keys", shop.to_string()).code(), "key_missing");

    let made = with_key(&app, "POST", "/admin/keys", &admin, shop.to_string()).json();
    let (id, key) = (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned());
    assert_eq!(with_key(&app, "POST", "/events", &key, event("a")).status, StatusCode::ACCEPTED);
    let list = with_key(&app, "GET", "/admin/keys", &admin, "");
    assert_eq!(list.json()["keys"][1]["limits"]["events"], 5, "{}", list.text());
    assert!(!list.text().contains(&key) && !list.text().contains("sha256"), "{}", list.text());

    let revoked = with_key(&app, "DELETE", &format!("/admin/keys/{id}"), &admin, "");
    assert_eq!((revoked.status, revoked.json()["state"].as_str()), (StatusCode::OK, Some("revoked")));
    assert_eq!(with_key(&app, "POST", "/events", &key, event("b")).code(), "key_revoked");
    assert_eq!(with_key(&app, "DELETE", "/admin/keys/k_none", &admin, "").code(), "key_not_found");
    for (body, code) in [
        ("", "invalid_json"),
        ("{}", "invalid_json"),
        (r#"{"name":"a","scopes":["write"]}"#, "invalid_json"),
        (r#"{"name":"a","scopes":["read"],"expire":"1d"}"#, "invalid_json"),
        (r#"{"name":" ","scopes":["read"]}"#, "invalid_key"),
        (r#"{"name":"a","scopes":[]}"#, "invalid_key"),
    ] {
        let answer = with_key(&app, "POST", "/admin/keys", &admin, body);
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, code), "{body}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_credential_that_was_not_given_out_opens_anything(
        name in prop_oneof![Just("authorization"), Just("x-api-key"), Just("cookie")],
        scheme in prop_oneof![Just("Bearer "), Just("Basic "), Just(""), Just("tideline_session="), Just("Basic dGxf")],
        value in proptest::collection::vec(32..=255_u8, 0..300),
    ) {
        static APP: std::sync::LazyLock<App> = std::sync::LazyLock::new(|| {
            let app = App::start(&[]);
            simple_key(&app, Scope::Admin);
            app
        });
        let bytes = [scheme.as_bytes(), &value].concat();
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let request = Request::get("/sql?q=select+1").header(name, value).body(Body::empty()).unwrap();
            prop_assert_eq!(APP.send(request).status, StatusCode::UNAUTHORIZED);
        }
    }
}

fn tideline(args: &[&str], key: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
    command.env_remove("TIDELINE_KEY");
    if let Some(key) = key {
        command.env("TIDELINE_KEY", key);
    }
    command.args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(output)))
}

#[test]
fn keys_open_a_public_address_and_the_commands_use_them() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let folder = data.to_str().unwrap();
    let refused = Server::try_start_at("0.0.0.0:0", &data, &[]).err().unwrap();
    assert!(refused.contains("tideline keys create"), "{refused}");

    let made = tideline(&["keys", "create", "--name", "admin", "--scopes", "admin", "--data-dir", folder], None);
    let text = said(&made);
    let admin = text.lines().next().unwrap().to_owned();
    assert!(made.status.success() && admin.starts_with("tl_"), "{text}");
    let server = Server::try_start_at("0.0.0.0:0", &data, &[]).unwrap();
    let url = server.url.replace("0.0.0.0", "127.0.0.1");
    let at = |args: &[&str], key: Option<&str>| tideline(&[args, &["--url", &url]].concat(), key);

    let sql = ["sql", "select 1 as one", "--json"];
    let without = at(&sql, None);
    assert!(!without.status.success() && said(&without).contains("TIDELINE_KEY"), "{}", said(&without));
    assert_eq!(json_of(&at(&sql, Some(&admin)))[0]["one"], 1);
    let shop = at(&["keys", "create", "--name", "shop", "--scopes", "ingest,read", "--json"], Some(&admin));
    let shop = json_of(&shop);
    let (id, key) = (shop["id"].as_str().unwrap(), shop["key"].as_str().unwrap());
    assert_eq!(json_of(&at(&[&sql[..], &["--key", key]].concat(), None))[0]["one"], 1);
    let maintain = at(&["maintain", "flush"], Some(key));
    assert!(!maintain.status.success() && said(&maintain).contains("scope `admin`"), "{}", said(&maintain));

    let in_use = tideline(&["keys", "list", "--data-dir", folder], None);
    assert!(!in_use.status.success() && said(&in_use).contains("--url"), "{}", said(&in_use));
    assert!(at(&["keys", "revoke", id], Some(&admin)).status.success());
    assert!(said(&at(&sql, Some(key))).contains("revoked"));
    assert!(!at(&["keys", "revoke", "../flush"], Some(&admin)).status.success());

    // What was done holds after a restart, and in the folder alone.
    assert_eq!(server.terminate(), Some(0));
    let listed = json_of(&tideline(&["keys", "list", "--json", "--data-dir", folder], None));
    let states: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|key| &key["state"]).collect();
    assert_eq!(states, ["active", "revoked"]);
    let server = Server::start(&data, &[]);
    let again = |key: &str| tideline(&["keys", "list", "--url", &server.url], Some(key));
    assert!(said(&again(&admin)).contains("shop") && said(&again(key)).contains("revoked"));
    assert!(said(&tideline(&["keys", "list", "--url", &server.url], None)).contains("TIDELINE_KEY"));
    drop(server);

    // With its last key revoked it does not fall open.
    let id = listed["keys"][0]["id"].as_str().unwrap();
    assert!(tideline(&["keys", "revoke", id, "--data-dir", folder], None).status.success());
    assert!(Server::try_start_at("0.0.0.0:0", &data, &[]).is_err());
    let server = Server::start(&data, &[]);
    assert_eq!(Server::post(&server.url, &event("a")).unwrap().0, 401);
}

/// They are known at run time only, and must be no way around the route they lead to.
#[test]
fn further_paths_of_metrics_let_in_nobody_else() {
    let app = App::start(&[]);
    let mut seen = std::collections::BTreeSet::new();
    for who in everybody(&app) {
        let by_name = ask(&app, &Method::GET, "/analytics/sales/daily", &who).status;
        assert_eq!(ask(&app, &Method::GET, "/sales", &who).status, by_name, "{who:?}");
        assert_eq!(ask(&app, &Method::GET, "/sales.csv", &who).status, by_name, "{who:?}");
        seen.insert(by_name.as_u16());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [200, 401, 403]);
}
