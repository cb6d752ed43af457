//! JSON in SQL: what the functions and operators answer, in every format, and what hostile JSON costs.

use datafusion::common::HashSet;

use super::*;

/// As many events as texts, newest last, with these `properties`.
async fn with_properties(texts: &[&str]) -> QueryEngine {
    let batch = stored(MARCH, 1_000_000, texts.len());
    let at = batch.schema().index_of("properties").unwrap();
    let mut columns = batch.columns().to_vec();
    // Files and batches hold the newest first.
    columns[at] = Arc::new(texts.iter().rev().map(|text| Some(*text)).collect::<StringArray>());
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let mut fixture = Fixture::new();
    fixture.file(&batch).await;
    fixture.buffer.push(shown(&batch));
    fixture.engine()
}

const RED: &str = r#"{"color":"red","n":7,"price":1.50,"big":18446744073709551616,"ok":true,"none":null,"tags":["a","b"],"in":{"deep":"x"}}"#;

/// Keeps what was answered where it is not what was expected.
async fn expect(engine: &QueryEngine, text: &str, answer: &str, wrong: &mut Vec<String>) {
    match sql(engine, text).await {
        Ok(given) if given == answer => {}
        other => wrong.push(format!("{text}: {other:?}")),
    }
}

#[tokio::test]
async fn functions_and_operators_read_properties() {
    let engine = with_properties(&[RED]).await;
    let mut wrong = Vec::new();
    for (expression, answer) in [
        ("json_get_str(properties, 'color')", r#""red""#),
        ("json_get_int(properties, 'n')", "7"),
        ("json_get_float(properties, 'price')", "1.5"),
        ("json_get_bool(properties, 'ok')", "true"),
        ("json_get_str(properties, 'missing')", "null"),
        ("json_get_str(properties, 'n')", "null"),
        ("json_get_str(properties, 'in', 'deep')", r#""x""#),
        ("json_get_json(properties, 'in')", r#""{\"deep\":\"x\"}""#),
        ("json_get_array(properties, 'tags')", r#"["\"a\"","\"b\""]"#),
        ("json_as_text(properties, 'price')", r#""1.50""#),
        ("json_contains(properties, 'color')", "true"),
        ("json_length(properties, 'tags')", "2"),
        ("json_object_keys(properties, 'in')", r#"["deep"]"#),
        ("properties->>'color'", r#""red""#),
        ("properties->>'none'", "null"),
        ("properties ? 'color'", "true"),
        ("properties ? 'colour'", "false"),
        ("NOT properties ? 'colour' AND properties ? 'n'", "true"),
        ("properties->'in'->>'deep'", r#""x""#),
        ("properties->'tags'->>1", r#""b""#),
        ("properties #>> ['in', 'deep']", r#""x""#),
        // A value of any type is its JSON text.
        ("properties->'color'", r#""\"red\"""#),
        ("json_get(properties, 'n')", r#""7""#),
        ("properties->'price'", r#""1.50""#),
        ("properties->'big'", r#""18446744073709551616""#),
        ("properties->'tags'", r#""[\"a\",\"b\"]""#),
        ("properties->'none'", "null"),
        ("properties->'missing'", "null"),
        ("properties->'none' IS NULL", "true"),
        ("[properties->'n', properties->'color']", r#"["7","\"red\""]"#),
        ("coalesce(properties->'missing', properties->'n')", r#""7""#),
        ("CASE WHEN properties ? 'x' THEN properties->'x' ELSE properties->'n' END", r#""7""#),
        ("json_get(properties->page, 'x')", "null"),
        // A cast says which type it is.
        ("CAST(properties->'n' AS BIGINT) + 1", "8"),
        ("(properties->'color')::text", r#""red""#),
        ("CAST(properties->'price' AS DOUBLE) * 2", "3.0"),
        ("TRY_CAST(properties->'color' AS INT)", "null"),
        // Operators bind as in Postgres.
        ("properties->>'color' = 'red'", "true"),
        ("properties->>'color' IN ('red', 'blue') AND properties->>'in' IS NOT NULL", "true"),
        ("properties->>'color' || '!'", r#""red!""#),
        ("properties->>'color' LIKE 'r%'", "true"),
    ] {
        let text = format!("SELECT {expression} AS x FROM events LIMIT 1");
        expect(&engine, &text, &format!("{{\"x\":{answer}}}"), &mut wrong).await;
    }
    for (text, answer) in [
        // One row from the file, one from the buffer.
        (
            "SELECT properties->'color' AS c, count(*) AS n FROM events GROUP BY 1 ORDER BY 1",
            r#"{"c":"\"red\"","n":2}"#,
        ),
        ("SELECT DISTINCT properties->'n' AS n FROM events", r#"{"n":"7"}"#),
        ("SELECT array_agg(properties->'n') AS n FROM events", r#"{"n":["7","7"]}"#),
        ("SELECT max(json_get_int(properties, 'n')) AS n FROM events", r#"{"n":7}"#),
        ("SELECT count(*) AS n FROM events WHERE properties->>'color' = 'red'", r#"{"n":2}"#),
        ("SELECT count(*) AS n FROM events ORDER BY max(properties->'n')", r#"{"n":2}"#),
        ("SELECT p->>'deep' AS x FROM (SELECT properties->'in' AS p FROM events) LIMIT 1", r#"{"x":"x"}"#),
        ("SELECT count(*) AS n FROM events a JOIN events b ON a.properties->'n' = b.properties->'n'", r#"{"n":4}"#),
        ("SELECT row_number() OVER (PARTITION BY properties->'n') AS n FROM events LIMIT 1", r#"{"n":1}"#),
        ("SELECT (SELECT max(properties->>'n') FROM events) AS n", r#"{"n":"7"}"#),
        ("SELECT json_get('{\"a\":[1,2]}', 'a') AS x", r#"{"x":"[1,2]"}"#),
        ("SELECT properties->>'n' AS n FROM events UNION SELECT 'x' ORDER BY 1", "{\"n\":\"7\"}\n{\"n\":\"x\"}"),
    ] {
        expect(&engine, text, answer, &mut wrong).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut request = QueryRequest::new("SELECT properties->>$key::text AS x FROM events LIMIT 1");
    request.params.insert("key".to_owned(), "color".into());
    assert_eq!(rows(&engine, request).await.unwrap(), r#"{"x":"red"}"#);
}

#[tokio::test]
async fn what_cannot_be_done_with_any_value_is_said() {
    let engine = with_properties(&[RED]).await;
    for expression in [
        "properties->'color' = 'red'",
        "properties->'n' > 5",
        "(properties->'n') + 1",
        "(properties->'n') BETWEEN 1 AND 9",
        "properties->'color' IN ('red', 'blue')",
        "properties->'color' LIKE 'r%'",
        "properties->'n' FROM events UNION SELECT 'x'",
    ] {
        let error = sql(&engine, &format!("SELECT {expression} FROM events")).await.unwrap_err();
        let hint = error.hint.clone().unwrap_or_default();
        assert_eq!((error.kind, error.code), (Kind::Invalid, "type_error"), "{expression}: {error:?}");
        assert!(hint.contains("json_get_str"), "{expression}: {} {hint}", error.message);
    }
    for expression in [
        "revenue->'a'",
        "sum(properties->'n')",
        "json_get()",
        "json_get_str(properties, revenue)",
        "json_get_str(properties, 'a', page)",
        "json_from_scalar('x')",
        "json_union_to_text(properties->'n')",
        "union_extract(properties->'n', 'int')",
        "union_tag(properties->'n')",
        "items->'a'",
        "properties->",
        "properties ?",
        "? 'a'",
    ] {
        let error = sql(&engine, &format!("SELECT {expression} FROM events")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{expression}: {error:?}");
    }
    let chain = format!("SELECT properties{} FROM events", "->'a'".repeat(5_000));
    assert_eq!(sql(&engine, &chain).await.unwrap_err().code, "query_too_complex");
    let chain = format!("SELECT properties{} FROM events", "?'a'".repeat(5_000));
    assert_eq!(sql(&engine, &chain).await.unwrap_err().code, "query_too_complex");
}

/// No format meets a type it cannot write, also where there is no row.
#[tokio::test]
async fn every_format_takes_json_values() {
    let engine = with_properties(&[RED, r#"{"color":2}"#, "{}", "not json"]).await;
    for text in [
        "SELECT properties->'color' AS c, json_get(properties, 'tags') AS t, [properties->'n'] AS l FROM events",
        "SELECT properties->'color' AS c FROM events WHERE page = 'nowhere'",
        "SELECT json_get_array(properties, 'tags') AS t, json_object_keys(properties) AS k FROM events",
        "SELECT approx_top_k(properties->>'color', 3) AS top FROM events",
        "SELECT json_get('{}', page) AS x FROM events WHERE page = 'nowhere'",
    ] {
        for format in encode::Format::ALL {
            let mut output = engine.query(QueryRequest::new(text)).await.unwrap();
            let mut encoder = encode::Encoder::new(format, &output.schema, encode::CellOptions::default()).unwrap();
            let mut bytes = 0;
            while let Some(batch) = output.stream.next().await {
                bytes += encoder.write(&batch.unwrap()).unwrap().len();
            }
            assert!(bytes + encoder.finish().unwrap().len() > 0 || format == encode::Format::Ndjson, "{text}");
        }
    }
}

/// Deep, long and broken JSON: null or an answer, within one pass.
#[tokio::test]
async fn hostile_json_is_bounded() {
    const MIB: usize = 1 << 20;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(MIB / 2), "]".repeat(MIB / 2));
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let long = format!("{{\"a\":\"{}\",\"b\":1}}", "x".repeat(MIB));
    let wide = format!("{{{}\"a\":1}}", "\"k\":0,".repeat(MIB / 24));
    let many = format!("{{\"a\":[{}0]}}", "0,".repeat(MIB / 8));
    let number = format!("{{\"a\":{}}}", "9".repeat(MIB / 4));
    let escapes = format!("{{\"a\":\"{}\"}}", "\\u0001".repeat(MIB / 24));
    let cut = format!("{{\"a\":\"{}", "\\".repeat(1_001));
    let texts: [&str; 8] = [&deep, &objects, &long, &wide, &many, &number, &escapes, &cut];
    let engine = with_properties(&texts).await;
    let functions = [
        "json_get",
        "json_get_str",
        "json_get_int",
        "json_get_float",
        "json_get_bool",
        "json_get_json",
        "json_get_array",
        "json_as_text",
        "json_contains",
        "json_length",
        "json_object_keys",
    ];
    let mut seen = HashSet::new();
    for function in functions {
        for path in ["'a'", "'a', -1", "'a', 'a', 'a'"] {
            let text = format!("SELECT count({function}(properties, {path})) AS n FROM events");
            let answer = sql(&engine, &text).await.unwrap_or_else(|e| panic!("{text}: {e:?}"));
            seen.insert(answer);
        }
    }
    assert!(seen.len() > 2, "some are found and some are not: {seen:?}");
    let length = "SELECT max(json_length(properties, 'a')) AS n FROM events";
    assert_eq!(sql(&engine, length).await.unwrap(), format!("{{\"n\":{}}}", MIB / 8 + 1));
    let text = "SELECT max(length(properties->>'a')) AS n FROM events WHERE properties ? 'b'";
    assert_eq!(sql(&engine, text).await.unwrap(), format!("{{\"n\":{MIB}}}"));
}

#[tokio::test]
async fn the_most_frequent_values_equal_a_plain_count() {
    let engine = Fixture::three_days().await.engine();
    let plain = "SELECT page, count(*) AS n FROM events GROUP BY page ORDER BY n DESC, page LIMIT 3";
    let sketched = "SELECT t['value'] AS page, t['count'] AS n FROM \
                    (SELECT unnest(approx_top_k(page, 3)) AS t FROM events)";
    assert_eq!(sql(&engine, sketched).await.unwrap(), sql(&engine, plain).await.unwrap());
    let by_country = "SELECT country, approx_top_k(user_id, 1)[1]['error'] AS error, \
                      approx_top_k(seq, 2) FILTER (WHERE seq < 0) AS none FROM events GROUP BY country ORDER BY country";
    let answer: Vec<String> =
        COUNTRIES.iter().map(|c| format!("{{\"country\":\"{c}\",\"error\":0,\"none\":[]}}")).collect();
    assert_eq!(sql(&engine, by_country).await.unwrap(), answer.join("\n"));
    // 10,000 values in 256 counters: still an upper bound, and its error is said.
    let many = "SELECT t['count'] >= 3 AND t['count'] - t['error'] <= 4 AS bounded FROM \
                (SELECT unnest(approx_top_k(seq, 1)) AS t FROM events)";
    assert_eq!(sql(&engine, many).await.unwrap(), r#"{"bounded":true}"#);
    for wrong in [
        "approx_top_k(page)",
        "approx_top_k(page, 0)",
        "approx_top_k(page, 1001)",
        "approx_top_k(page, seq)",
        "approx_top_k(items, 3)",
        "approx_top_k(DISTINCT page, 3)",
    ] {
        let error = sql(&engine, &format!("SELECT {wrong} FROM events")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{wrong}: {error:?}");
    }
}
