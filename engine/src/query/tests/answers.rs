//! Right answers: lake and buffer as one table, one state a query, parameters.

use super::*;

#[tokio::test]
async fn lake_and_buffer_are_one_table() {
    let engine = Fixture::three_days().await.engine();
    for (query, answer) in [
        ("SELECT count(*) AS n FROM events", r#"{"n":30100}"#),
        ("SELECT count(*) AS n FROM tideline.public.events", r#"{"n":30100}"#),
        ("SELECT count(*) AS n FROM events WHERE event_type = 'purchase'", r#"{"n":3010}"#),
        ("SELECT sum(revenue) AS r FROM events", r#"{"r":"37625.0000"}"#),
        ("SELECT count(user_id) AS n FROM events WHERE event_ts >= '2026-03-04'", r#"{"n":85}"#),
        (
            "SELECT event_date, count(*) AS n FROM events GROUP BY event_date ORDER BY event_date",
            "{\"event_date\":\"2026-03-01\",\"n\":10000}\n{\"event_date\":\"2026-03-02\",\"n\":10000}\n\
             {\"event_date\":\"2026-03-03\",\"n\":10000}\n{\"event_date\":\"2026-03-04\",\"n\":100}",
        ),
        (
            "SELECT event_ts, seq FROM events ORDER BY event_ts DESC LIMIT 2",
            "{\"event_ts\":\"2026-03-04T00:01:39.000Z\",\"seq\":99}\n{\"event_ts\":\"2026-03-04T00:01:38.000Z\",\"seq\":98}",
        ),
        (
            "SELECT min(event_ts) AS a, max(event_ts) AS b FROM events",
            r#"{"a":"2026-03-01T00:00:00.000Z","b":"2026-03-04T00:01:39.000Z"}"#,
        ),
        ("SELECT count(*) AS n FROM events WHERE 1 = 0", r#"{"n":0}"#),
        ("SELECT count(*) AS n FROM events WHERE event_ts > now() - interval '1 hour'", r#"{"n":99}"#),
        (
            "SELECT count(*) AS n, sum(quantity) AS q FROM line_items WHERE event_type = 'purchase'",
            r#"{"n":3010,"q":6020}"#,
        ),
        ("SELECT shop_day('2026-03-04T23:30:00Z') AS d, shop_currency() AS c", r#"{"d":"2026-03-04","c":"EUR"}"#),
        ("SELECT count(*) AS n FROM events WHERE event_ts >= shop_midnight('2026-03-04')", r#"{"n":100}"#),
        ("SELECT now() AS n", r#"{"n":"2026-03-04T01:00:00.000Z"}"#),
        ("SELECT count(DISTINCT session_id) AS n FROM events WHERE event_date = '2026-03-04'", r#"{"n":17}"#),
    ] {
        assert_eq!(sql(&engine, query).await.unwrap(), answer, "{query}");
    }
}

/// Every border is cut exactly, in files and in the buffer, with and without the columns filtered on.
#[tokio::test]
async fn time_is_cut_exactly() {
    let engine = Fixture::three_days().await.engine();
    let step = DAY / 10_000;
    let all: Vec<Micros> = (0..3)
        .flat_map(|d| (0..10_000).map(move |i| MARCH + d * DAY + i * step))
        .chain((0..100).map(|i| MARCH + 3 * DAY + i * 1_000_000))
        .collect();
    let edges = [
        MARCH - 1,
        MARCH,
        MARCH + step,
        MARCH + DAY - 1,
        MARCH + DAY,
        MARCH + DAY + 5_000 * step,
        MARCH + 2 * DAY,
        MARCH + 3 * DAY,
        MARCH + 3 * DAY + 50_000_000,
        MARCH + 4 * DAY,
    ];
    let literal = |t: Micros| format!("arrow_cast({t}, 'Timestamp(Microsecond, Some(\"UTC\"))')");
    for from in edges {
        for to in edges {
            let expected = all.iter().filter(|t| **t >= from && **t < to).count();
            let filter = format!("event_ts >= {} AND event_ts < {}", literal(from), literal(to));
            let counted = sql(&engine, &format!("SELECT count(*) AS n FROM events WHERE {filter}")).await.unwrap();
            assert_eq!(counted, format!("{{\"n\":{expected}}}"), "{filter}");
            let query = format!("SELECT count(node) AS n, count(page) AS m FROM events WHERE {filter} AND seq >= 0");
            let counted = sql(&engine, &query).await.unwrap();
            assert_eq!(counted, format!("{{\"n\":{expected},\"m\":{expected}}}"), "{query}");
        }
    }
}

#[tokio::test]
async fn filters_on_time_in_every_shape_agree() {
    let engine = Fixture::three_days().await.engine();
    for (filter, n) in [
        ("event_date = '2026-03-02'", 10_000),
        ("event_date IN ('2026-03-02', '2026-03-04')", 10_100),
        ("event_date BETWEEN '2026-03-01' AND '2026-03-02'", 20_000),
        ("event_date <> '2026-03-02'", 20_100),
        ("event_date > '2026-03-01' AND event_date < '2026-03-03'", 10_000),
        ("event_ts BETWEEN '2026-03-02T00:00:00Z' AND '2026-03-02T23:59:59Z'", 10_000),
        ("event_ts = '2026-03-01T00:00:08.640Z'", 1),
        ("'2026-03-03' <= event_ts", 10_100),
        ("event_ts >= '2026-03-03' OR event_ts < '2026-03-02'", 20_100),
        ("NOT (event_ts >= '2026-03-03')", 20_000),
        ("event_ts IS NOT NULL", 30_100),
        ("date_trunc('day', event_ts) = '2026-03-02'", 10_000),
        ("event_ts::date = '2026-03-02'", 10_000),
        ("event_ts > (SELECT max(event_ts) FROM events WHERE event_date = '2026-03-03')", 100),
        ("event_ts >= '2026-03-02' AND event_date = '2026-03-01'", 0),
        ("extract(hour FROM event_ts) = 0 AND event_date = '2026-03-04'", 100),
    ] {
        let counted = sql(&engine, &format!("SELECT count(*) AS n FROM events WHERE {filter}")).await.unwrap();
        assert_eq!(counted, format!("{{\"n\":{n}}}"), "{filter}");
    }
}

/// Every reference to the table in one query sees one state, however often the state changes meanwhile.
#[tokio::test]
async fn a_query_sees_one_state() {
    let fixture = Fixture::three_days().await;
    let grow = parking_lot::Mutex::new(fixture.buffer.clone());
    let files = fixture.files.clone();
    let engine = fixture.engine_from(Arc::new(move || {
        let mut buffer = grow.lock();
        buffer.push(shown(&stored(MARCH + 3 * DAY, 1_000_000, 100)));
        Ok(Arc::new(TableState::new(files.clone(), buffer.clone(), 7, None)))
    }));
    for query in [
        "SELECT (SELECT count(*) FROM events) = (SELECT count(*) FROM events WHERE seq >= 0) AS same",
        "SELECT count(*) = 2 * max(n) AS same FROM (SELECT seq FROM events UNION ALL SELECT seq FROM events), \
         (SELECT count(seq) AS n FROM events)",
        "SELECT count(*) = (SELECT count(*) FROM events) AS same FROM events a \
         JOIN (SELECT DISTINCT event_id FROM events) b ON a.event_id = b.event_id",
    ] {
        assert_eq!(sql(&engine, query).await.unwrap(), r#"{"same":true}"#, "{query}");
    }
}

#[tokio::test]
async fn late_filtering_finds_the_same_rows() {
    let engine = Fixture::three_days().await.engine();
    let wide =
        "SELECT count(page) AS a, count(country) AS b, count(revenue) AS c, count(quantity) AS d FROM events WHERE ";
    for (filter, n) in [
        ("user_id = 'u3'", 518),
        ("user_id IN ('u3', 'u4') AND event_date = '2026-03-02'", 343),
        ("session_id = 's5' AND event_ts >= '2026-03-02' AND event_ts < '2026-03-02T12:00:00Z'", 6),
        ("user_id = 'nobody'", 0),
    ] {
        let first = sql(&engine, &format!("{wide}{filter}")).await.unwrap();
        let plain = format!("SELECT count(*) AS a FROM events WHERE concat({}", filter.replacen(' ', ", '') ", 1));
        let value: serde_json::Value = serde_json::from_str(&first).unwrap();
        let plain = sql(&engine, &plain).await.unwrap();
        assert_eq!(value["a"], value["b"], "{filter}");
        assert_eq!(plain, format!("{{\"a\":{}}}", value["a"]), "{filter}");
        assert_eq!(value["a"], n, "{filter}");
    }
}

#[tokio::test]
async fn parameters_are_bound() {
    let engine = Fixture::three_days().await.engine();
    let ask = async |text: &str, params: serde_json::Value| {
        let params = serde_json::from_value(params).unwrap();
        rows(&engine, QueryRequest { params, ..QueryRequest::new(text) }).await
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    for (text, params, answer) in [
        ("SELECT count(*) AS n FROM events WHERE event_type = $kind", r#"{"kind":"purchase"}"#, r#"{"n":3010}"#),
        (
            "SELECT count(*) AS n FROM events WHERE event_type = $1 AND seq < $2",
            r#"{"1":"purchase","2":11}"#,
            r#"{"n":8}"#,
        ),
        (
            "SELECT count(*) AS n FROM events WHERE event_ts >= $from",
            r#"{"from":"2026-03-04T00:01:00Z"}"#,
            r#"{"n":40}"#,
        ),
        ("SELECT count(*) AS n FROM events WHERE event_date = $day", r#"{"$day":"2026-03-02"}"#, r#"{"n":10000}"#),
        ("SELECT count(*) AS n FROM events WHERE revenue = $r", r#"{"r":12.5}"#, r#"{"n":3010}"#),
        ("SELECT count(*) AS n FROM events WHERE bot = $b", r#"{"b":true}"#, r#"{"n":301}"#),
        ("SELECT seq FROM events ORDER BY event_ts LIMIT $n", r#"{"n":1}"#, r#"{"seq":0}"#),
        ("SELECT $x AS x", r#"{"x":"'; DROP TABLE events; --"}"#, r#"{"x":"'; DROP TABLE events; --"}"#),
        ("SELECT $x AS x", r#"{"x":null}"#, r#"{"x":null}"#),
    ] {
        assert_eq!(ask(text, json(params)).await.unwrap(), answer, "{text}");
    }
    let missing = ask("SELECT $from", json(r#"{"form":1}"#)).await.unwrap_err();
    assert_eq!((missing.code, missing.did_you_mean.as_deref()), ("missing_parameter", Some("form")));
    let unused = ask("SELECT 1", json(r#"{"x":1}"#)).await.unwrap_err();
    assert_eq!(unused.code, "unknown_parameter");
    let list = ask("SELECT $x", json(r#"{"x":[1]}"#)).await.unwrap_err();
    assert_eq!(list.code, "invalid_parameter");
}

#[tokio::test]
async fn the_table_can_be_looked_at() {
    let engine = Fixture::three_days().await.engine();
    assert!(sql(&engine, "SHOW TABLES").await.unwrap().contains(r#""table_name":"events""#));
    assert!(sql(&engine, "DESCRIBE events").await.unwrap().contains(r#""column_name":"utm_source""#));
    assert!(sql(&engine, "SHOW COLUMNS FROM events").await.unwrap().contains(r#""column_name":"event_date""#));
    assert!(sql(&engine, "SHOW FUNCTIONS").await.unwrap().contains("date_trunc"));
    let columns = "SELECT count(*) AS n FROM information_schema.columns WHERE table_name = 'events'";
    assert_eq!(sql(&engine, columns).await.unwrap(), r#"{"n":43}"#);
    assert!(sql(&engine, "EXPLAIN ANALYZE SELECT max(page) FROM events").await.unwrap().contains("bytes_scanned"));
    let series = "SELECT count(*) AS n, max(value) AS m FROM generate_series(1, 1000)";
    assert_eq!(sql(&engine, series).await.unwrap(), r#"{"n":1000,"m":1000}"#);
}

/// A view of a span of time is the same rows as the view's own of that span, bound parameters included.
#[tokio::test]
async fn a_view_is_also_a_function_of_time() {
    let engine = Fixture::three_days().await.engine();
    let count = |from: &str| format!("SELECT count(*) AS n, sum(events) AS e FROM {from}");
    let all = sql(&engine, &count("sessions")).await.unwrap();
    assert_eq!(sql(&engine, &count("sessions('2000-01-01T00:00:00Z', '2100-01-01T00:00:00Z')")).await.unwrap(), all);
    assert_eq!(
        sql(&engine, &count("sessions(shop_midnight('2030-01-01'), now())")).await.unwrap(),
        r#"{"n":0,"e":null}"#
    );
    let spans = "SELECT count(*) AS n, sum(events) AS e FROM (\
        SELECT * FROM sessions(shop_midnight('2026-03-01'), shop_day_end('2026-03-03')) UNION ALL \
        SELECT * FROM sessions(shop_day_end('2026-03-03'), shop_day_end('2026-03-09')))";
    assert_eq!(sql(&engine, spans).await.unwrap(), all);
    // The sessions of this table come back day after day: of the third day nothing is read.
    let first = count("sessions(shop_midnight('2026-03-01'), shop_day_end('2026-03-01')) WHERE session_id = 's7'");
    assert_eq!(sql(&engine, &first).await.unwrap(), r#"{"n":1,"e":12}"#);
    let plan = sql(&engine, "EXPLAIN SELECT * FROM sessions(shop_midnight('2026-03-03'), now())").await.unwrap();
    assert!(plan.contains("events.event_ts >= TimestampMicrosecond(1772409600000000"), "a day before: {plan}");
    for wrong in ["sessions('2026-03-01')", "sessions(1, 2, 3)", "carts()"] {
        assert_eq!(sql(&engine, &count(wrong)).await.unwrap_err().code, "plan_error", "{wrong}");
    }
}

#[tokio::test]
async fn columns_of_one_name_are_told_apart() {
    let engine = Fixture::three_days().await.engine();
    let joined = "SELECT a.seq, b.seq FROM events a JOIN events b ON a.event_id = b.event_id \
                  WHERE a.event_date = '2026-03-04' ORDER BY 1 LIMIT 1";
    assert_eq!(sql(&engine, joined).await.unwrap(), r#"{"seq":0,"seq_2":0}"#);
}

#[tokio::test]
async fn an_empty_table_answers() {
    let engine = Fixture::new().engine();
    assert_eq!(
        sql(&engine, "SELECT count(*) AS n, max(event_ts) AS t FROM events").await.unwrap(),
        r#"{"n":0,"t":null}"#
    );
    assert_eq!(sql(&engine, "SELECT event_date, count(*) FROM events GROUP BY 1").await.unwrap(), "");
    assert_eq!(sql(&engine, "SELECT * FROM events ORDER BY event_ts DESC LIMIT 5").await.unwrap(), "");
}

/// Late events make files overlap: order must not be claimed where it is not.
#[tokio::test]
async fn overlapping_files_stay_in_order() {
    let mut fixture = Fixture::new();
    for i in 0..12 {
        fixture.file(&stored(MARCH + i * 60_000_000, 7_000_000, 500)).await;
    }
    fixture.buffer.push(shown(&stored(MARCH + 30_000_000, 11_000_000, 300)));
    let engine = fixture.engine();
    let newest = sql(&engine, "SELECT event_ts FROM events ORDER BY event_ts DESC").await.unwrap();
    let newest: Vec<&str> = newest.lines().collect();
    assert_eq!(newest.len(), 6_300);
    assert!(newest.is_sorted_by(|a, b| a >= b));
    let few = sql(&engine, "SELECT event_ts FROM events ORDER BY event_ts DESC LIMIT 700").await.unwrap();
    assert_eq!(few.lines().collect::<Vec<_>>(), newest[..700]);
    let oldest = sql(&engine, "SELECT event_ts FROM events ORDER BY event_ts LIMIT 700").await.unwrap();
    let mut backwards = newest.clone();
    backwards.reverse();
    assert_eq!(oldest.lines().collect::<Vec<_>>(), backwards[..700]);
}

#[tokio::test]
async fn funnels_are_counted_with_and_without_a_group_for_each_session() {
    let mut fixture = Fixture::three_days().await;
    let engine = fixture.engine();
    let steps = "event_ts, event_type, ['page_view', 'purchase'], INTERVAL '25 seconds'";
    let reached = |n: usize| format!("count(*) FILTER (WHERE f['level'] >= {n})");
    for (columns, by) in [("", ""), ("country, ", " GROUP BY country ORDER BY country")] {
        let counted = format!("SELECT {columns}funnel_count(session_id, {steps}) AS n FROM events{by}");
        let grouped = format!(
            "SELECT {columns}[{}, {}] AS n FROM \
             (SELECT {columns}funnel({steps}) AS f FROM events GROUP BY {columns}session_id){by}",
            reached(1),
            reached(2)
        );
        let answer = sql(&engine, &counted).await.unwrap();
        assert_eq!(answer, sql(&engine, &grouped).await.unwrap(), "{counted}");
        assert!(!answer.contains("[0"), "{answer}");
    }
    for wrong in [
        "funnel_count(session_id, event_ts)",
        "funnel_count(session_id, event_ts, event_type, [])",
        "funnel_count(session_id, event_ts, event_type, ['a', 'a'])",
        "funnel_count(session_id, event_ts, event_type, [page])",
        "funnel_count(session_id, event_ts, event_type, 'a')",
        "funnel_count(session_id, event_ts, event_type, ['a'], INTERVAL '1 month')",
        "funnel_count(DISTINCT session_id, event_ts, event_type, ['a'])",
    ] {
        let error = sql(&engine, &format!("SELECT {wrong} FROM events")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{wrong}: {error:?}");
    }
    fixture.config.memory_bytes = 128 << 10;
    let counted = format!("SELECT funnel_count(event_id, {steps}) AS n FROM events");
    let error = sql(&fixture.engine(), &counted).await.unwrap_err();
    assert_eq!(error.code, "memory_limit", "{error:?}");
}
