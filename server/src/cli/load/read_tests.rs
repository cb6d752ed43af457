use std::io::Write as _;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::ipc::reader::StreamReader;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn batches(path: &Path, mapping: Option<&str>, rows: usize) -> Result<Vec<Batch>> {
    let mapping = mapping.map(|text| Mapping::parse("m.toml", text).unwrap());
    let options = ReadOptions { format: FileFormat::Auto, mapping, batch_rows: rows };
    let mut out = Vec::new();
    read(&Input::find(path)?, &options, &Arc::default(), &mut |batch| {
        out.push(batch);
        Ok(())
    })?;
    Ok(out)
}

fn events(batches: &[Batch]) -> Vec<Value> {
    let text: Vec<u8> = batches.iter().flat_map(|b| b.body.to_vec()).collect();
    text.split(|&b| b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

fn lines(batches: &[Batch]) -> Vec<u64> {
    batches.iter().flat_map(|b| b.lines.clone()).collect()
}

#[test]
fn ndjson_passes_as_it_is_in_batches_without_blank_lines() {
    let files = Files::new();
    let path = files.write("a.ndjson", "{\"n\":1}\n\n  \n{\"n\": 2}\r\n{\"n\":3}");
    let found = batches(&path, None, 2).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].body, "{\"n\":1}\n{\"n\": 2}\r\n");
    assert_eq!(found[1].body, "{\"n\":3}\n");
    assert_eq!(lines(&found), [1, 4, 5]);
}

#[test]
fn compression_is_seen_from_the_content_whatever_the_name() {
    let files = Files::new();
    let text = b"{\"n\":1}\n{\"n\":2}\n";
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text).unwrap();
    // Two members one after the other, as `cat a.gz b.gz` makes them.
    let mut twice = gz.finish().unwrap();
    twice.extend(twice.clone());
    let found = batches(&files.write("a.ndjson", twice), None, 100).unwrap();
    assert_eq!(lines(&found), [1, 2, 3, 4]);
    let found = batches(&files.write("b.ndjson.zst", zstd::encode_all(&text[..], 1).unwrap()), None, 100).unwrap();
    assert_eq!(lines(&found), [1, 2]);
}

#[test]
fn an_array_is_refused_with_what_to_do() {
    let files = Files::new();
    let error = batches(&files.write("a.json", "\n [{\"n\":1}]"), None, 10).unwrap_err();
    assert!(error.hint.unwrap().contains("jq -c '.[]'"));
}

#[test]
fn csv_rows_keep_their_lines_and_empty_cells_are_no_values() {
    let files = Files::new();
    let csv = "event_type,event_ts,product_name,price,mobile,note\n\
               purchase,2020-01-01T00:00:00Z,\"two\nlines, \"\"quoted\"\"\",2.50,true,x\n\
               refund,1577836800000,,,,\n";
    let found = batches(&files.write("shop.csv", csv), None, 10).unwrap();
    assert_eq!(lines(&found), [2, 4]);
    let events = events(&found);
    let id = events[0]["event_id"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!(
        events[0],
        json!({"event_id": id, "event_type": "purchase", "event_ts": "2020-01-01T00:00:00Z", "price": 2.50, "mobile": true,
               "product_name": "two\nlines, \"quoted\"", "note": "x"})
    );
    assert_eq!(events[1]["event_ts"], json!(1_577_836_800_000_i64));
    assert_eq!(events[1].as_object().unwrap().len(), 3);
}

#[test]
fn the_same_line_gets_the_same_id_from_a_compressed_copy() {
    let files = Files::new();
    let csv = "event_type,event_ts\nx,2020-01-01\nx,2020-01-01\n";
    let plain = events(&batches(&files.write("a.csv", csv), None, 10).unwrap());
    let packed = files.write("a.csv.zst", zstd::encode_all(csv.as_bytes(), 1).unwrap());
    assert_eq!(plain, events(&batches(&packed, None, 10).unwrap()));
    assert_ne!(plain[0]["event_id"], plain[1]["event_id"], "a copy of a line is an event of its own");
}

#[test]
fn a_line_that_is_not_a_row_is_passed_on_with_its_reason() {
    let files = Files::new();
    let csv = b"event_type,event_ts\nx,2020-01-01,3\n\xff\xfe,2020-01-01\nx,2020-01-01\n";
    let found = batches(&files.write("a.csv", csv), None, 10).unwrap();
    assert_eq!(lines(&found), [2, 3, 4]);
    assert_eq!(found[0].notes[0], (0, "it has 3 columns, the header has 2".to_owned()));
    assert!(found[0].notes[1].1.contains("latin-1"));
    assert_eq!(events(&found)[0], json!({"malformed_line": "x,2020-01-01,3"}));
    let latin = "[source]\nencoding = \"latin-1\"\n[fields]\nevent_type = \"{event_type}\"\nevent_ts = \"{event_ts}\"";
    assert_eq!(events(&batches(&files.write("b.csv", csv), Some(latin), 10).unwrap())[1]["event_type"], json!("ÿþ"));
}

#[test]
fn columns_nobody_knows_ask_for_a_mapping() {
    let files = Files::new();
    let error = batches(&files.write("a.csv", "when,what\n1,2\n"), None, 10).unwrap_err();
    assert!(error.hint.unwrap().contains("--mapping"));
}

#[test]
fn a_mapping_reads_members_of_objects_in_ndjson() {
    let files = Files::new();
    let mapping =
        "[fields]\nevent_type = \"{kind}\"\nevent_ts = \"{at}\"\nutm_source = \"{utm.source}\"\nprice = \"{p}\"";
    let text = "{\"kind\":\"x\",\"at\":\"2020-01-01\",\"utm\":{\"source\":\"g\"},\"p\":1.10}\nnonsense\n";
    let found = batches(&files.write("a.ndjson", text), Some(mapping), 10).unwrap();
    let event = &events(&found)[0];
    assert_eq!((&event["utm_source"], &event["price"]), (&json!("g"), &json!(1.10)));
    assert!(found[0].notes[0].1.starts_with("not JSON"));
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn shop_parquet() -> Vec<u8> {
    let price = Decimal128Array::from(vec![Some(12_500), None, Some(1)]).with_precision_and_scale(18, 4).unwrap();
    parquet(vec![
        ("event_type", Arc::new(StringArray::from(vec!["a", "b", "c"])) as _),
        ("event_ts", Arc::new(StringArray::from(vec!["2020-01-01"; 3])) as _),
        ("price", Arc::new(price) as _),
        ("seq", Arc::new(Int64Array::from(vec![1, 2, 3])) as _),
    ])
}

#[test]
fn parquet_keeps_its_types_and_gets_ids() {
    let files = Files::new();
    let found = batches(&files.write("a.parquet", shop_parquet()), None, 2).unwrap();
    assert_eq!((found.len(), lines(&found)), (2, vec![1, 2, 3]));
    assert_eq!(found[0].body_kind, Body::Arrow);
    let sent = StreamReader::try_new(&found[1].body[..], None).unwrap().next().unwrap().unwrap();
    let names: Vec<_> = sent.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["event_type", "event_ts", "price", "event_id"], "what the server sets is not sent");
    assert_eq!(sent.schema().field(2).data_type().to_string(), "Decimal128(18, 4)");
    let packed = files.write("b.parquet.gz", {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&shop_parquet()).unwrap();
        gz.finish().unwrap()
    });
    assert_eq!(lines(&batches(&packed, None, 10).unwrap()), [1, 2, 3]);
}

#[test]
fn parquet_goes_through_a_mapping_as_text() {
    let files = Files::new();
    let mapping = "[fields]\nevent_id = \"p:{line}\"\nevent_type = \"{event_type}\"\nevent_ts = \"{event_ts}\"\n\
                   revenue = \"{price}\"";
    let found = batches(&files.write("a.parquet", shop_parquet()), Some(mapping), 10).unwrap();
    let events = events(&found);
    assert_eq!((&events[0]["revenue"], &events[0]["event_id"]), (&json!(1.25), &json!("p:1")));
    assert_eq!(events[1].get("revenue"), None);
}

#[test]
fn a_file_that_is_not_parquet_says_so() {
    let files = Files::new();
    let error = batches(&files.write("a.parquet", "PAR1 but no more"), None, 10).unwrap_err();
    assert_eq!(error.code, "file_not_readable");
    assert!(batches(&files.write("b.parquet", "hello"), None, 10).unwrap_err().to_string().contains("PAR1"));
    assert!(batches(Path::new("/nowhere/at.all"), None, 10).unwrap_err().to_string().contains("/nowhere/at.all"));
}
