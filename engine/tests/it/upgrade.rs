//! A data folder made before some columns existed: table and log get them in place, old files and frames read as nulls. One
//! that a newer build has written is refused, with what to do.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};
use serde_json::{Value, json};
use tideline_engine::engine::Engine;
use tideline_engine::error::Result;
use tideline_engine::event::{Seq, stored_schema};
use tideline_engine::fs::Fs;
use tideline_engine::fs::sim::SimFs;
use tideline_engine::wal::frame::{Encoder, SegmentHeader};

use crate::support::{Event, MARCH_MS, ingest, open, sql};

/// Columns that the old build did not know, from the middle and the end.
const NEWER: [&str; 4] = ["client_ts", "coupon", "items", "properties"];
const NODE: &str = "0000abcd";

fn old_schema() -> SchemaRef {
    let fields =
        stored_schema().fields().iter().filter(|f| !NEWER.contains(&f.name().as_str())).cloned().collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

/// Rows with the positions `seqs`, newest first or oldest first.
fn rows(seqs: impl Iterator<Item = i64> + Clone) -> RecordBatch {
    let n = seqs.clone().count();
    let text = |value: &str| Arc::new(StringArray::from(vec![value; n])) as ArrayRef;
    let times = || TimestampMicrosecondArray::from_iter_values(seqs.clone().map(|s| (MARCH_MS + s) * 1_000));
    let schema = old_schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "event_ts" | "received_at" => Arc::new(times().with_timezone("UTC")) as ArrayRef,
        "event_type" => text("page_view"),
        "node" => text(NODE),
        "page" => text("/old"),
        "seq" => Arc::new(Int64Array::from_iter_values(seqs.clone())) as ArrayRef,
        "event_id" => Arc::new(seqs.clone().map(|s| Some(format!("e{s}"))).collect::<StringArray>()) as ArrayRef,
        _ => new_null_array(field.data_type(), n),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

fn put(disk: &SimFs, path: &str, bytes: &[u8]) {
    let path = Path::new(path);
    disk.create_dir_all(path.parent().unwrap()).unwrap();
    if disk.stat(path).is_err() {
        let mut file = disk.create(path).unwrap();
        file.sync().unwrap();
        disk.sync_dir(path.parent().unwrap()).unwrap();
    }
    disk.overwrite(path, bytes).unwrap();
}

fn lines(actions: &[Value]) -> Vec<u8> {
    actions.iter().map(|action| format!("{action}\n")).collect::<String>().into_bytes()
}

/// The table's metadata as this build writes it, with other fields.
async fn metadata(change: impl Fn(&mut Vec<Value>)) -> Vec<Value> {
    let disk = SimFs::new();
    drop(open(Arc::new(disk.clone())).await.unwrap());
    let first = disk.read(Path::new("/data/lake/_delta_log/00000000000000000000.json")).unwrap();
    let mut actions: Vec<Value> =
        std::str::from_utf8(&first).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    actions.retain(|action| action.get("protocol").is_some() || action.get("metaData").is_some());
    for action in actions.iter_mut().filter(|action| action.get("metaData").is_some()) {
        let text = action["metaData"]["schemaString"].as_str().unwrap();
        let mut schema: Value = serde_json::from_str(text).unwrap();
        change(schema["fields"].as_array_mut().unwrap());
        action["metaData"]["schemaString"] = schema.to_string().into();
    }
    actions
}

/// A folder with rows 1 to 40 in the table and 41 to 60 in the log, in the old schema.
async fn old_folder() -> SimFs {
    let disk = SimFs::new();
    put(&disk, "/data/node.json", json!({"format": 1, "node": NODE, "created_us": 0}).to_string().as_bytes());
    let of_old = |fields: &mut Vec<Value>| fields.retain(|f| !NEWER.contains(&f["name"].as_str().unwrap()));
    put(&disk, "/data/lake/_delta_log/00000000000000000000.json", &lines(&metadata(of_old).await));
    let mut parquet = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut parquet, old_schema(), None).unwrap();
    writer.write(&rows((1..41).rev())).unwrap();
    writer.close().unwrap();
    let path = "event_date=2026-03-01/part-0.zstd.parquet";
    put(&disk, &format!("/data/lake/{path}"), &parquet);
    let stats =
        json!({"numRecords": 40, "minValues": {"seq": 1}, "maxValues": {"seq": 40}, "nullCount": {}}).to_string();
    let add = json!({"add": {"path": path, "partitionValues": {"event_date": "2026-03-01"}, "size": parquet.len(),
        "modificationTime": MARCH_MS, "dataChange": true, "stats": stats}});
    let txn = json!({"txn": {"appId": format!("tideline-{NODE}"), "version": 40}});
    put(&disk, "/data/lake/_delta_log/00000000000000000001.json", &lines(&[add, txn]));
    let mut log = SegmentHeader::encode(7, Seq(41), &old_schema()).unwrap();
    let mut encoder = Encoder::new().unwrap();
    for first in [41, 51] {
        let first_seq = Seq(first);
        let first = i64::try_from(first).unwrap();
        log.extend_from_slice(encoder.encode(7, first_seq, &rows(first..first + 10)).unwrap());
    }
    put(&disk, "/data/wal/wal-00000000000000000041.log", &log);
    disk
}

async fn text(engine: &Engine, query: &str) -> String {
    arrow::util::pretty::pretty_format_batches(&sql(engine, query).await.unwrap()).unwrap().to_string()
}

async fn one(engine: &Engine, query: &str) -> String {
    text(engine, query).await.lines().nth(3).unwrap().trim_matches(['|', ' ']).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_table_and_its_log_get_the_new_columns_in_place() {
    let mut disk = old_folder().await;
    for again in 0..2 {
        let engine = open(Arc::new(disk.clone())).await.unwrap();
        assert_eq!(engine.status().lake_version, 2, "opened the {again}. time: one commit, and once");
        assert_eq!(one(&engine, "SELECT count(*) FROM events").await, "60");
        let counted = "SELECT concat_ws(' ', count(properties), count(coupon), count(client_ts), sum(seq)) FROM events";
        assert_eq!(one(&engine, counted).await, "0 0 0 1830");
        assert_eq!(one(&engine, "SELECT count(*) FROM events WHERE properties IS NULL AND page = '/old'").await, "60");
        drop(engine);
        disk = disk.power_loss();
    }
    let engine = open(Arc::new(disk.clone())).await.unwrap();
    // Old events are known, new columns can be written, and files of both kinds are flushed, merged and read.
    let old: Vec<_> = (1..=60).map(|seq| Event::new(format!("e{seq}"), MARCH_MS + seq, 1)).collect();
    assert_eq!(ingest(&engine, &old).await.unwrap().duplicates, 60);
    let new =
        format!(r#"{{"event_id":"new","event_type":"refund","event_ts":{MARCH_MS},"coupon":"SPRING","colour":"red"}}"#);
    engine.ingest(new.into(), tideline_engine::decode::InputFormat::Json, "test", Default::default()).await.unwrap();
    engine.flush().await.unwrap();
    assert_eq!(one(&engine, "SELECT count(coupon) FROM events").await, "1");
    let compacted = engine.compact().await.unwrap();
    assert_eq!((compacted.files_before, compacted.files_after), (2, 1));
    assert_eq!(
        one(&engine, "SELECT concat_ws(' ', count(*), count(coupon), count(properties)) FROM events").await,
        "61 1 1"
    );
    assert_eq!(ingest(&engine, &old).await.unwrap().duplicates, 60);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_build_has_written_is_refused_with_what_to_do() {
    let refused = |disk: SimFs| async move {
        let refused: Result<_> = open(Arc::new(disk)).await;
        let error = refused.unwrap_err();
        (error.code, format!("{} {}", error.message, error.hint.unwrap_or_default()))
    };
    let disk = old_folder().await;
    put(&disk, "/data/node.json", json!({"format": 2, "node": NODE, "created_us": 0}).to_string().as_bytes());
    let (code, said) = refused(disk).await;
    assert!(code == "newer_format" && said.contains("newer tideline"), "{said}");

    let disk = old_folder().await;
    let with_more = |fields: &mut Vec<Value>| {
        fields.push(json!({"name": "mood", "type": "string", "nullable": true, "metadata": {}}));
    };
    put(&disk, "/data/lake/_delta_log/00000000000000000000.json", &lines(&metadata(with_more).await));
    let (code, said) = refused(disk).await;
    assert!(code == "lake_schema" && said.contains("mood") && said.contains("newer Tideline"), "{said}");

    let disk = old_folder().await;
    let path = Path::new("/data/wal/wal-00000000000000000041.log");
    let mut segment = disk.read(path).unwrap().to_vec();
    segment[8] = 2;
    let header = u32::from_le_bytes(segment[12..16].try_into().unwrap()) as usize;
    segment[36..40].fill(0);
    let crc = crc32c::crc32c(&segment[..header]);
    segment[36..40].copy_from_slice(&crc.to_le_bytes());
    disk.overwrite(path, &segment).unwrap();
    let (code, said) = refused(disk).await;
    assert!(code == "newer_format" && said.contains("format version 2") && said.contains("newer tideline"), "{said}");

    let disk = old_folder().await;
    put(&disk, "/data/erasures.json", br#"{"format":2}"#);
    assert_eq!(refused(disk).await.0, "newer_format");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_newer_schema_is_a_dead_letter_that_says_so() {
    let disk = SimFs::new();
    let engine = open(Arc::new(disk)).await.unwrap();
    let event = |version: i64| {
        format!(r#"{{"event_id":"v{version}","event_type":"refund","event_ts":{MARCH_MS},"schema_version":{version}}}"#)
    };
    let body = [event(1), event(2), event(0)].join("\n");
    let receipt = engine
        .ingest(body.into(), tideline_engine::decode::InputFormat::Json, "test", Default::default())
        .await
        .unwrap();
    assert_eq!((receipt.accepted, receipt.rejected), (1, 2));
    let codes: Vec<_> = receipt.errors.iter().map(|e| (e.index, e.field.as_str(), e.code)).collect();
    assert_eq!(codes, [(1, "schema_version", "newer_schema_version"), (2, "schema_version", "out_of_range")]);
    assert!(receipt.errors[0].message.contains("upgrade"), "{}", receipt.errors[0].message);
    assert_eq!(engine.dead_letters().count(), 2);
}
