use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array,
    Int64Array, ListArray, RecordBatch, StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn everything() -> RecordBatch {
    let decimals = Decimal128Array::from(vec![Some(125_000), Some(-5), None]).with_precision_and_scale(18, 4).unwrap();
    let items = Fields::from(vec![Field::new("name", DataType::Utf8, true), Field::new("n", DataType::Int32, true)]);
    let structs = StructArray::new(
        items,
        vec![
            Arc::new(StringArray::from(vec![Some("a\"b"), None])) as ArrayRef,
            Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef,
        ],
        None,
    );
    let list = ListArray::new(
        Arc::new(Field::new("element", structs_type(&structs), true)),
        arrow::buffer::OffsetBuffer::from_lengths([2, 0, 0]),
        Arc::new(structs),
        Some(vec![true, true, false].into()),
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("int", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(0), None]))),
        ("float", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), Some(1e300)]))),
        ("money", Arc::new(decimals)),
        ("text", Arc::new(StringViewArray::from(vec![Some("plain"), Some("q\"c,\n\u{1}é"), Some("")]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("day", Arc::new(Date32Array::from(vec![0, -1, 20_513]))),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from(vec![1_772_323_200_123_000, -1_000, 1_772_323_200_123_456])
                    .with_timezone("UTC"),
            ),
        ),
        ("ns", Arc::new(TimestampNanosecondArray::from(vec![Some(1), Some(1_000_000), None]))),
        ("bin", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), Some(b""), None]))),
        ("dict", Arc::new(vec![Some("x"), None, Some("y")].into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("items", Arc::new(list)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

fn structs_type(array: &StructArray) -> DataType {
    DataType::Struct(array.fields().clone())
}

fn encode(format: Format, options: CellOptions) -> Bytes {
    let batch = everything();
    let mut encoder = Encoder::new(format, &batch.schema(), options).unwrap();
    let mut out = encoder.write(&batch).unwrap().to_vec();
    out.extend_from_slice(&encoder.finish().unwrap());
    out.into()
}

fn text(format: Format) -> String {
    String::from_utf8(encode(format, CellOptions::default()).to_vec()).unwrap()
}

#[test]
fn json_cells() {
    let expected = [
        concat!(
            r#"{"int":-9223372036854775808,"float":0.1,"money":"12.5000","text":"plain","flag":true,"day":"1970-01-01","#,
            r#""at":"2026-03-01T00:00:00.123Z","ns":"1970-01-01T00:00:00.000000001Z","bin":"00ff","dict":"x","#,
            r#""items":[{"name":"a\"b","n":1},{"name":null,"n":2}]}"#
        ),
        concat!(
            r#"{"int":0,"float":null,"money":"-0.0005","text":"q\"c,\n\u0001é","flag":false,"day":"1969-12-31","#,
            r#""at":"1969-12-31T23:59:59.999Z","ns":"1970-01-01T00:00:00.001Z","bin":"","dict":null,"items":[]}"#
        ),
        concat!(
            r#"{"int":null,"float":1e+300,"money":null,"text":"","flag":null,"day":"2026-03-01","#,
            r#""at":"2026-03-01T00:00:00.123456Z","ns":null,"bin":null,"dict":"y","items":null}"#
        ),
    ];
    let lines = text(Format::Ndjson);
    for (line, expected) in lines.lines().zip(expected) {
        assert_eq!(line.replace("1e300", "1e+300"), expected);
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert_eq!(lines.lines().count(), 3);
    assert_eq!(text(Format::Json), format!("[{}]", lines.trim_end().replace('\n', ",")));
}

#[test]
fn decimals_can_be_numbers() {
    let out = encode(Format::Ndjson, CellOptions { decimal_numbers: true });
    let out = String::from_utf8(out.to_vec()).unwrap();
    assert!(out.contains(r#""money":12.5000"#) && out.contains(r#""money":-0.0005"#), "{out}");
}

#[test]
fn csv_cells() {
    let expected = concat!(
        "int,float,money,text,flag,day,at,ns,bin,dict,items\r\n",
        "-9223372036854775808,0.1,12.5000,plain,true,1970-01-01,2026-03-01T00:00:00.123Z,",
        "1970-01-01T00:00:00.000000001Z,00ff,x,",
        "\"[{\"\"name\"\":\"\"a\\\"\"b\"\",\"\"n\"\":1},{\"\"name\"\":null,\"\"n\"\":2}]\"\r\n",
        "0,,-0.0005,\"q\"\"c,\n\u{1}é\",false,1969-12-31,1969-12-31T23:59:59.999Z,1970-01-01T00:00:00.001Z,,,[]\r\n",
        ",1e+300,,\"\",,2026-03-01,2026-03-01T00:00:00.123456Z,,,y,\r\n",
    );
    assert_eq!(text(Format::Csv).replace("1e300", "1e+300"), expected);
}

#[test]
fn an_empty_result_is_whole() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let empty = |format| {
        let encoder = Encoder::new(format, &schema, CellOptions::default()).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(&empty(Format::Json)[..], b"[]");
    assert_eq!(&empty(Format::Ndjson)[..], b"");
    assert_eq!(&empty(Format::Csv)[..], b"a\r\n");
    assert_eq!(ParquetRecordBatchReaderBuilder::try_new(empty(Format::Parquet)).unwrap().schema().fields().len(), 1);
    assert!(!empty(Format::Arrow).is_empty());
}

#[test]
fn parquet_and_arrow_hold_the_same_rows() {
    let batch = everything();
    let file = encode(Format::Parquet, CellOptions::default());
    let read = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap();
    assert_eq!(read.num_rows(), 3);
    assert_eq!(read.column_by_name("money").unwrap(), batch.column_by_name("money").unwrap());
    let stream = encode(Format::Arrow, CellOptions::default());
    let mut reader = arrow::ipc::reader::StreamReader::try_new(std::io::Cursor::new(stream), None).unwrap();
    let read = reader.next().unwrap().unwrap();
    assert_eq!(read.column_by_name("at").unwrap(), batch.column_by_name("at").unwrap());
    assert_eq!(read.column_by_name("text").unwrap().data_type(), &DataType::Utf8, "views are not for every reader");
}

#[test]
fn formats_are_negotiated() {
    for (header, format) in [
        (None, Some(Format::Json)),
        (Some(""), Some(Format::Json)),
        (Some("*/*"), Some(Format::Json)),
        (Some("text/csv"), Some(Format::Csv)),
        (Some("TEXT/CSV; charset=utf-8"), Some(Format::Csv)),
        (Some("text/*"), Some(Format::Csv)),
        (Some("application/json;q=0.5, text/csv"), Some(Format::Csv)),
        (Some("application/json, */*;q=0.1"), Some(Format::Json)),
        (Some("application/json;q=0, */*"), Some(Format::Ndjson)),
        (Some("application/vnd.apache.arrow.stream"), Some(Format::Arrow)),
        (Some("application/vnd.apache.parquet;q=0.9,application/x-ndjson;q=0.8"), Some(Format::Parquet)),
        (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Some(Format::Json)),
        (Some("image/png"), None),
        (Some("text/csv;q=0"), None),
    ] {
        assert_eq!(Format::from_accept(header, Format::Json), format, "{header:?}");
    }
    assert_eq!(Format::from_suffix("/analytics/sales/daily.csv"), Some(("/analytics/sales/daily", Format::Csv)));
    assert_eq!(Format::from_suffix("/v1.csv/x"), None);
    assert_eq!(Format::from_suffix("/sql"), None);
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()), Some(format));
        assert_eq!(Format::from_accept(Some(format.content_type()), Format::Json), Some(format));
    }
}
