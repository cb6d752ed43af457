//! The API's description against the routes: each declared one is in it and nothing else, and answers have the shapes it
//! says. That the document is valid, and that it holds for whatever is sent, is `make api`.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;
use tideline_server::app::route_table;
use tideline_server::auth::scope::Scope;
use tideline_server::routes::Access;

use crate::app::App;
use crate::auth::{secret, with_key};

fn document(app: &App) -> Value {
    let answer = app.get("/openapi.json");
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

#[test]
fn each_declared_route_is_described_and_nothing_else_is() {
    let app = App::start(&[]);
    let document = document(&app);
    let described = |path: &str, method: &str| document["paths"][path].get(method.to_lowercase());
    let mut wanted = BTreeSet::new();
    for route in route_table(app.state.clone()) {
        // A route of every method says that a suffix is no format. Of wildcards, that of metrics stands for each of them;
        // the others are the page's own.
        let Some(method) = route.method.filter(|_| !route.path.contains("{*")) else { continue };
        let operation = described(&route.path, method.as_str());
        let operation = operation.unwrap_or_else(|| panic!("{method} {} is not described", route.path));
        assert_ne!(operation["summary"], "Not described", "{method} {}: add it to openapi/operations.rs", route.path);
        let open = matches!(route.access, Access::Public | Access::Anyone);
        assert_eq!(operation["security"].as_array().unwrap().is_empty(), open, "{method} {}", route.path);
        if let Some(scope) = route.access.scope() {
            assert_eq!(operation["x-scope"], scope.name(), "{method} {}", route.path);
            assert_eq!(operation["security"][0]["bearer"][0], scope.name());
        }
        for named in route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            let params = operation["parameters"].as_array().unwrap();
            assert!(params.iter().any(|p| p["in"] == "path" && p["name"] == named), "{}", route.path);
        }
        wanted.insert((route.path, method.as_str().to_lowercase()));
    }
    assert!(wanted.len() > 40, "the table of routes is empty");
    let metrics = app.get("/analytics").json();
    for metric in metrics["metrics"].as_array().unwrap() {
        let further = metric["paths"].as_array().unwrap().iter();
        for path in further.chain([&metric["path"]]) {
            let path = path.as_str().unwrap();
            let operation = described(path, "get").unwrap_or_else(|| panic!("{path} is not described"));
            let names = |list: &Value| -> BTreeSet<String> {
                list.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect()
            };
            assert!(names(&operation["parameters"]).is_superset(&names(&metric["params"])), "{path}");
            let row = &operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["data"];
            for column in metric["columns"].as_array().unwrap() {
                let said = &row["items"]["properties"][column["name"].as_str().unwrap()];
                assert_eq!((&said["x-type"], &said["x-unit"]), (&column["type"], &column["unit"]), "{path}: {column}");
            }
            wanted.insert((path.to_owned(), "get".to_owned()));
        }
    }
    let paths = document["paths"].as_object().unwrap().iter();
    let seen = paths.flat_map(|(path, item)| item.as_object().unwrap().keys().map(|m| (path.clone(), m.clone())));
    assert_eq!(seen.collect::<BTreeSet<_>>(), wanted);
    let ids: Vec<&str> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "operation ids repeat");
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let app = App::start(&[]);
    let mut bytes = 0;
    for (path, kind) in [("/docs", "text/html"), ("/docs/docs.js", "text/javascript"), ("/docs/docs.css", "text/css")] {
        let answer = app.get(path);
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with(kind), "{path}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let text = answer.text();
        for elsewhere in ["http://", "https://", "//cdn", "@import", "innerHTML", "<style", " style=", "eval("] {
            assert!(!text.contains(elsewhere), "{path} has {elsewhere}");
        }
        bytes += text.len();
    }
    assert!(bytes < 40 << 10, "the page has {bytes} bytes");
}

#[test]
fn the_document_is_open_and_metrics_of_the_shop_are_for_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("own.sql"), "-- summary = \"Ours\"\nSELECT count(*) AS n FROM events").unwrap();
    let app = App::start(&[("metrics.dir", dir.path().to_str().unwrap())]);
    let first = app.get("/openapi.json");
    assert!(first.json()["paths"].get("/analytics/own").is_some());
    let known = Request::get("/openapi.json").header("if-none-match", first.headers["etag"].clone());
    assert_eq!(app.send(known.body(Body::empty()).unwrap()).status, StatusCode::NOT_MODIFIED);

    let [admin, ingest] = [Scope::Admin, Scope::Ingest]
        .map(|scope| secret(&crate::auth::make_key(&app, &[scope], Default::default(), None)));
    let paths = |answer: crate::app::Answer| {
        answer.json()["paths"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>()
    };
    for (who, document) in
        [("nobody", app.get("/openapi.json")), ("ingest", with_key(&app, "GET", "/openapi.json", &ingest, ""))]
    {
        let paths = paths(document);
        assert!(paths.contains("/analytics/sales/daily") && !paths.contains("/analytics/own"), "{who}");
    }
    assert!(paths(with_key(&app, "GET", "/openapi.json", &admin, "")).contains("/analytics/own"));
}
