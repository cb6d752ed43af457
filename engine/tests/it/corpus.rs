//! A corpus of what strangers send: every statement of `corpus/refused.sql` gets its code, every one of `allowed.sql` an
//! answer, and the engine stays up. `tests/python/sql_guard.py` runs the same files against a process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use tideline_engine::engine::Engine;
use tideline_engine::error::Error;
use tideline_engine::fs::SimFs;
use tideline_engine::query::QueryRequest;
use tideline_engine::query::encode::{CellOptions, Encoder, Format};

use crate::support::{Event, MARCH_MS, config, ingest, open_with};

const REFUSED: &str = include_str!("corpus/refused.sql");
const ALLOWED: &str = include_str!("corpus/allowed.sql");
/// What statements are given that only the clock may end.
const SHORT: Duration = Duration::from_secs(1);
/// What all others are given: a guard against hanging, so that a slow machine says the same as a fast one.
const GUARD: Duration = Duration::from_secs(300);

/// A statement, and what is expected of it.
struct Case {
    line: usize,
    text: String,
    expected: String,
}

/// Reads a corpus: `= …` sets what is expected of the lines that follow.
fn cases(corpus: &str) -> Vec<Case> {
    let mut expected = "";
    let mut cases = Vec::new();
    for (number, line) in corpus.lines().enumerate() {
        match line {
            comment if comment.is_empty() || comment.starts_with('#') => {}
            line if line.starts_with("= ") => expected = line[2..].trim(),
            line => cases.push(Case { line: number + 1, text: unfold(line), expected: expected.to_owned() }),
        }
    }
    cases
}

/// Puts in what cannot stand on a line, or is too long for one.
fn unfold(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, folded)) = rest.split_once('⟦') {
        let (piece, after) = folded.split_once('⟧').unwrap();
        let (text, times) = piece.rsplit_once('×').unwrap();
        let _ = write!(out, "{before}{}", text.repeat(times.parse().unwrap()));
        rest = after;
    }
    (out + rest).replace('⏎', "\n").replace('⇥', "\t").replace('␀', "\0")
}

async fn ask(engine: &Engine, text: &str, timeout: Duration) -> Result<String, Error> {
    let request = QueryRequest { timeout: Some(timeout), ..QueryRequest::new(text) };
    let mut output = engine.query(request).await?;
    let mut encoder = Encoder::new(Format::Ndjson, &output.schema, CellOptions::default())?;
    let mut out = Vec::new();
    while let Some(batch) = output.stream.try_next().await? {
        out.extend_from_slice(&encoder.write(&batch)?);
    }
    out.extend_from_slice(&encoder.finish()?);
    Ok(String::from_utf8(out).unwrap().trim_end().to_owned())
}

/// Some rows in the lake, some beside it.
async fn shop() -> Arc<Engine> {
    let mut config = config();
    config.query.memory_bytes = 64 << 20;
    let engine = open_with(config, Arc::new(SimFs::new())).await.unwrap();
    for half in 0..2 {
        let events: Vec<_> = (0..50).map(|i| Event::new(format!("e{half}-{i}"), MARCH_MS + i * 1_000, i)).collect();
        assert_eq!(ingest(&engine, &events).await.unwrap().accepted, 50);
        if half == 0 {
            engine.flush().await.unwrap();
        }
    }
    engine
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refused_statement_gets_its_code_and_the_engine_goes_on() {
    let engine = shop().await;
    let cases = cases(REFUSED);
    assert!(cases.len() >= 300, "{} statements", cases.len());
    let mut wrong = String::new();
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &cases {
        let timeout = if case.expected.contains("query_timeout") { SHORT } else { GUARD };
        let outcome = ask(&engine, &case.text, timeout).await;
        let got = match &outcome {
            Ok(rows) => format!("answered: {}", rows.chars().take(80).collect::<String>()),
            Err(error) => error.code.to_owned(),
        };
        if !case.expected.split('|').any(|code| code.trim() == got) {
            let said = outcome.err().map(|e| e.message).unwrap_or_default();
            let text: String = case.text.chars().take(90).collect();
            let _ = writeln!(wrong, "line {}: {text}\n    wanted {}, got {got}: {said}", case.line, case.expected);
        } else if let Err(error) = &outcome {
            *codes.entry(error.code).or_default() += 1;
            let hint = error.hint.as_deref().unwrap_or_default();
            for word in ["DataFusion", "/root", "/data", "panicked", ".rs:"] {
                assert!(!error.message.contains(word) && !hint.contains(word), "{}: {error}", case.text);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    eprintln!("{} statements refused: {codes:?}", cases.len());
    assert_eq!(ask(&engine, "SELECT count(*) AS n FROM events", GUARD).await.unwrap(), r#"{"n":100}"#);
    assert_eq!(engine.status().queries, 0, "a query was left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_like_an_attack_and_is_none_is_answered() {
    let engine = shop().await;
    let mut wrong = String::new();
    for case in cases(ALLOWED) {
        match ask(&engine, &case.text, GUARD).await {
            Ok(rows) if case.expected == "any" || rows == case.expected => {}
            Ok(rows) => {
                let _ = writeln!(wrong, "line {}: {}\n    wanted {}, got {rows}", case.line, case.text, case.expected);
            }
            Err(error) => {
                let _ = writeln!(wrong, "line {}: {}\n    {}: {error}", case.line, case.text, error.code);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
