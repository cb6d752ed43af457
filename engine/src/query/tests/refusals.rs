//! What refusals and mistakes say. What is refused at all is in `engine/tests/it/corpus/`.

use super::*;

#[tokio::test]
async fn a_refusal_says_what_it_is_and_where() {
    let engine = Fixture::three_days().await.engine();
    let error = sql(&engine, "DROP TABLE events").await.unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Forbidden, "read_only"));
    let error = sql(&engine, "SELECT *\nFROM event").await.unwrap_err();
    assert_eq!((error.code, error.did_you_mean.as_deref()), ("unknown_table", Some("events")));
    assert_eq!(error.position.map(|p| (p.line, p.column)), Some((2, 6)));
    assert_eq!(sql(&engine, "SELECT count(*) AS n FROM events").await.unwrap(), r#"{"n":30100}"#);
}

/// Long, but not complex: these answer.
#[tokio::test]
async fn long_lists_are_fine() {
    let engine = Fixture::three_days().await.engine();
    let numbers: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
    let text = format!("SELECT count(*) AS n FROM events WHERE seq IN ({})", numbers.join(","));
    assert_eq!(sql(&engine, &text).await.unwrap(), r#"{"n":30100}"#);
    let negative: Vec<String> = (1..2_000).map(|i| format!("-{i}")).collect();
    let text = format!("SELECT count(*) AS n FROM events WHERE seq IN ({})", negative.join(","));
    assert_eq!(sql(&engine, &text).await.unwrap(), r#"{"n":0}"#);
    let words: Vec<String> = (0..3_000).map(|i| format!("'u{i}'")).collect();
    let text = format!("SELECT count(*) AS n FROM events WHERE user_id IN ({})", words.join(","));
    assert_eq!(sql(&engine, &text).await.unwrap(), r#"{"n":25798}"#);
    let ors: Vec<String> = (0..120).map(|i| format!("seq = {i}")).collect();
    let text = format!("SELECT count(*) AS n FROM events WHERE {}", ors.join(" OR "));
    assert_eq!(sql(&engine, &text).await.unwrap(), r#"{"n":460}"#);
    let unions = vec!["SELECT count(*) AS n FROM events"; 60].join(" UNION ALL ");
    assert_eq!(sql(&engine, &unions).await.unwrap().lines().count(), 60);
}

#[tokio::test]
async fn mistakes_are_explained() {
    let engine = Fixture::three_days().await.engine();
    let at = |e: &Error| e.position.map(|p| (p.line, p.column));
    let error = async |text: &str| sql(&engine, text).await.unwrap_err();
    let e = error("SELECT page FORM events").await;
    assert_eq!(e.code, "syntax_error", "{}", e.message);
    let e = error("SELECT page\nFROM events\nWHERE (seq = 1").await;
    assert_eq!((e.code, at(&e).is_some()), ("syntax_error", true), "{}", e.message);
    let e = error("SELECT 'open").await;
    assert_eq!((e.code, at(&e).is_some()), ("syntax_error", true), "{}", e.message);
    let e = error("SELECT\n  event_tpye FROM events").await;
    assert_eq!((e.code, e.did_you_mean.as_deref(), at(&e)), ("unknown_column", Some("event_type"), Some((2, 3))));
    let e = error("SELECT e.pagee FROM events e").await;
    assert_eq!((e.code, e.did_you_mean.as_deref()), ("unknown_column", Some("page")), "{}", e.message);
    let e = error("SELECT dat_trunc('day', event_ts) FROM events").await;
    let meant = e.did_you_mean.clone().unwrap_or_default().replace('_', "");
    assert_eq!((e.code, meant.as_str()), ("unknown_function", "datetrunc"), "{}", e.message);
    let e = error("SELECT page + 1 FROM events").await;
    assert_eq!(e.code, "type_error", "{}", e.message);
    let e = error("SELECT cast(page AS bigint) FROM events").await;
    assert_eq!(e.code, "type_error", "{}", e.message);
    let e = error("SELECT 1 / 0").await;
    assert_eq!(e.code, "division_by_zero", "{}", e.message);
    let e = error("SELECT page, count(*) FROM events").await;
    assert_eq!((e.kind, e.code), (Kind::Invalid, "plan_error"), "{}", e.message);
    let e = error("SELECT seq FROM events a JOIN events b ON a.seq = b.seq").await;
    assert_eq!(e.code, "ambiguous_column", "{}", e.message);
    let e = error("").await;
    assert_eq!(e.code, "syntax_error");
    let e = error("SELECT * FROM events WHERE event_ts > 'yesterday'").await;
    assert_eq!(e.code, "type_error", "{}", e.message);
}
