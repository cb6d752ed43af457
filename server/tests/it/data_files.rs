//! The files in `data/`: the documented schema is the real one, the sample is accepted whole.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tideline_engine::event::{COLUMNS, ColumnKind, EVENT_DATE, item_fields};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(name)
}

fn kind(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text => "text",
        ColumnKind::Time => "timestamp (µs, UTC)",
        ColumnKind::Money => "decimal(18, 4)",
        ColumnKind::Int => "int32",
        ColumnKind::Long => "int64",
        ColumnKind::Small => "int16",
        ColumnKind::Bool => "bool",
        ColumnKind::Float => "float64",
        ColumnKind::Items => "list of struct, below",
    }
}

fn schema() -> String {
    let mut text = String::from(
        "# The table `events`\n\nOne row is one event. Written from `engine/src/event.rs`; a test compares.\n\n\
         | column | type | always there | |\n|---|---|---|---|\n",
    );
    for column in COLUMNS {
        let always = if column.required { "yes" } else { "" };
        writeln!(text, "| `{}` | {} | {always} | {} |", column.name, kind(column.kind), column.doc).unwrap();
    }
    writeln!(text, "| `{EVENT_DATE}` | date | yes | UTC day of `event_ts`; how files are partitioned |").unwrap();
    text.push_str("\nOne element of `items`, a line of the order or cart:\n\n| field | type |\n|---|---|\n");
    for field in &item_fields() {
        let known = [ColumnKind::Text, ColumnKind::Money, ColumnKind::Int];
        let found = known.into_iter().find(|k| k.stored_type() == *field.data_type()).unwrap();
        writeln!(text, "| `{}` | {} |", field.name(), kind(found)).unwrap();
    }
    text.push_str(
        "\n`seq`, `node`, `received_at` and `event_date` are set by the server, and so is `event_id` where the client sends \
         none. Sent\nas `timestamp` or `page_url`, `event_ts` and `page` are understood; and so are the objects `utm`, \
         `device` and `geo`\naround the fields they hold. Fields not listed here are kept in `properties`.\n",
    );
    text
}

#[test]
fn the_documented_schema_is_the_real_one() {
    if crate::answers::wants_update() {
        std::fs::write(data("schema.md"), schema()).unwrap();
    }
    let written = std::fs::read_to_string(data("schema.md")).unwrap_or_default();
    assert!(written == schema(), "data/schema.md is not what the code says; UPDATE_SNAPSHOTS=1 writes it anew");
}

#[test]
fn every_sample_event_is_accepted() {
    let app = crate::app::App::start(&[]);
    let answer = app.post("/events", std::fs::read_to_string(data("sample.ndjson")).unwrap());
    let lines = std::fs::read_to_string(data("sample.ndjson")).unwrap().lines().count();
    assert_eq!(
        (answer.json()["accepted"].as_u64(), &answer.json()["errors"]),
        (Some(lines as u64), &serde_json::json!([]))
    );
}
