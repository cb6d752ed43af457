//! Alerts as clients see them: over HTTP, in SQL, in the stream, and on the command line.

use std::process::Command;

use axum::http::StatusCode;
use serde_json::Value;

use crate::app::{App, event};
use crate::process::Server;

/// A rule of somebody's own: as many purchases, for each product.
const RULE: &str = r#"-- summary = "Too many purchases"
-- [alert]
-- key = "product"
-- value = "n"
-- open = ">= 2"
-- close = "< 2"
-- every = "1s"
-- severity = "info"
-- message = "{n} purchases of {product}"
SELECT coalesce(product_id, 'none') AS product, count(*) AS n FROM events GROUP BY 1
"#;

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("own")).unwrap();
    std::fs::write(dir.path().join("own/many.sql"), RULE).unwrap();
    dir
}

fn of_product(id: &str, product: &str) -> String {
    event(id).replace("\"price\"", &format!("\"product_id\":\"{product}\",\"price\""))
}

#[test]
fn an_alert_is_in_every_place_where_somebody_looks() {
    let own = folder();
    let app = App::start(&[("metrics.dir", own.path().to_str().unwrap()), ("alerts.enabled", "false")]);
    let judge = || app.runtime.block_on(app.engine.judge_alerts());
    let tick =
        || -> Value { serde_json::from_str(&app.runtime.block_on(app.state.realtime.tick(1)).unwrap()).unwrap() };
    assert_eq!(app.get("/alerts").json()["rules"], serde_json::json!([]), "nothing was judged yet");
    app.post("/events", [of_product("a", "mug"), of_product("b", "mug"), of_product("c", "pen")].join("\n"));
    let before = app.get("/sql.csv?q=select+count(*)+from+alerts").text();
    assert!(before.trim_end().ends_with('0'), "{before}");
    judge();

    let listed = app.get("/alerts").json();
    let alert = &listed["alerts"][0];
    assert_eq!(
        (&alert["rule"], &alert["key"], &alert["severity"]),
        (&"own/many".into(), &"mug".into(), &"info".into())
    );
    assert_eq!((&alert["message"], alert["value"].as_f64()), (&"2 purchases of mug".into(), Some(2.0)));
    assert_eq!((alert["threshold"].as_f64(), listed["total"].as_u64()), (Some(2.0), Some(1)));
    let rules: Vec<&str> = listed["rules"].as_array().unwrap().iter().map(|r| r["rule"].as_str().unwrap()).collect();
    assert!(rules.contains(&"own/many") && rules.contains(&"alerts/no-orders"), "{rules:?}");
    let failed = |r: &&Value| r.get("error").is_some() || r["judged_at"].is_null();
    assert_eq!(listed["rules"].as_array().unwrap().iter().find(failed), None);
    assert_eq!(tick()["alerts"], serde_json::json!([alert]), "the stream shows the same");
    let sql = "SELECT rule, key, status, severity, value, closed_at IS NULL AS o FROM alerts";
    assert_eq!(
        app.sql(sql).json()["data"],
        serde_json::json!([{
            "rule": "own/many", "key": "mug", "status": "open", "severity": "info", "value": 2.0, "o": true,
        }])
    );
    assert_eq!(app.get("/alerts?status=closed").json()["alerts"], serde_json::json!([]));

    // The rule is described with the metric it is.
    let metrics = app.get("/analytics").json();
    let own = metrics["metrics"].as_array().unwrap().iter().find(|m| m["name"] == "own/many").unwrap().clone();
    assert_eq!((&own["alert"]["open"], own["alert"]["every_seconds"].as_f64()), (&">= 2".into(), Some(1.0)));

    for (query, code) in [
        ("status=opne", "invalid_parameter"),
        ("limit=0", "invalid_parameter"),
        ("limit=1001", "invalid_parameter"),
        ("limit=x", "invalid_parameter"),
        ("stauts=open", "unknown_parameter"),
    ] {
        let answer = app.get(&format!("/alerts?{query}"));
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, code), "{query}");
    }
}

fn tideline(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tideline")).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn a_server_judges_by_itself_and_an_alert_outlives_it() {
    let (own, dir) = (folder(), tempfile::tempdir().unwrap());
    let (own, data) = (own.path().to_str().unwrap(), dir.path().join("data"));
    let settings = [("TIDELINE_METRICS_DIR", own), ("TIDELINE_ALERTS_WARM_UP", "0s")];
    let server = Server::start(&data, &settings);
    let opened = |server: &Server| server.csv("SELECT id FROM alerts WHERE rule = 'own/many'");
    Server::post(&server.url, &[of_product("a", "mug"), of_product("b", "mug")].join("\n")).unwrap();
    crate::app::until("an alert opens", || !opened(&server).is_empty());
    let first = opened(&server);
    assert!(tideline(&["alerts", "--url", &server.url]).contains("2 purchases of mug"));
    assert_eq!(server.terminate(), Some(0));

    let listed = tideline(&["alerts", "--json", "--data-dir", data.to_str().unwrap()]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((listed["alerts"][0]["id"].as_str(), listed["total"].as_u64()), (first[0].as_str().into(), Some(1)));
    let server = Server::start(&data, &settings);
    crate::app::until("it is judged again", || {
        tideline(&["alerts", "--json", "--url", &server.url]).contains("\"rule\": \"alerts/no-orders\"")
    });
    assert_eq!(opened(&server), first, "it is the same alert");
}
