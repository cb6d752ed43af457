//! Whom an id means, and what is left of rows.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};

use super::*;
use crate::buffer::tests::rows;
use crate::event::{ANONYMOUS_ID, USER_ID, stored_schema};

fn person(user_id: &str, anonymous_ids: &[&str]) -> Person {
    Person {
        user_id: (!user_id.is_empty()).then(|| user_id.to_owned()),
        anonymous_ids: anonymous_ids.iter().map(|&id| id.to_owned()).collect(),
    }
}

#[test]
fn an_id_is_found_as_a_word_and_a_short_one_only_as_a_whole_value() {
    let long = Ids::of(&person("user_204983", &[]));
    for text in
        ["user_204983", "/u/user_204983?x=1", "a user_204983, b", r#"{"a":"user_204983"}"#, r#"["\u0075ser_204983"]"#]
    {
        assert!(long.mentioned_in(text.as_bytes()), "{text}");
    }
    for text in ["user_2049831", "xuser_204983", "user_20498", "USER_204983", "üuser_204983"] {
        assert!(!long.mentioned_in(text.as_bytes()), "{text}");
    }
    let short = Ids::of(&person("42", &[]));
    for (text, expected) in [("42", true), (r#"{"user":"42"}"#, true), (r#"{"price":42}"#, false), ("/p/42", false)] {
        assert_eq!(short.mentioned_in(text.as_bytes()), expected, "{text}");
    }
    let quoted = Ids::of(&person("O\"Brien\\x", &[]));
    assert!(quoted.mentioned_in(br#"{"n":"O\"Brien\\x"}"#));
}

#[test]
fn a_person_has_ids_and_not_too_many() {
    for wrong in [person("", &[]), person(" ", &[]), person(&"x".repeat(257), &[]), person("u", &["a"; 100])] {
        assert_eq!(wrong.check().unwrap_err().code, "invalid_person");
    }
    assert!(person("u", &["a", "b"]).check().is_ok());
    assert!(!format!("{:?}", person("secret-id", &[])).contains("secret-id"));
}

/// Four rows: the person's, their first visit's, that of somebody who shares the device, one that mentions them.
fn batch() -> RecordBatch {
    let batch = rows(1, 4);
    let columns = batch.schema_ref().fields().iter().zip(batch.columns()).map(|(field, column)| {
        let text = |values: [Option<&str>; 4]| Arc::new(StringArray::from(values.to_vec())) as _;
        match field.name().as_str() {
            USER_ID => text([Some("user_204983"), None, Some("other"), Some("admin")]),
            ANONYMOUS_ID => text([Some("anon-new"), Some("anon-1"), Some("anon-1"), None]),
            "session_id" => text([Some("s1"), Some("s0"), Some("s2"), None]),
            "page" => text([Some("/a?mail=x"), Some("/b#y"), Some("/c?z"), Some("/users/user_204983")]),
            "order_id" => text([Some("A1"), Some("of-user_204983"), None, Some("of-user_204983")]),
            "properties" => text([Some("{}"), None, Some(r#"{"k":1}"#), Some(r#"{"of":"user_204983"}"#)]),
            "lat" => Arc::new(arrow::array::Float64Array::from(vec![Some(1.0), None, Some(2.0), Some(3.0)])) as _,
            _ => Arc::clone(column),
        }
    });
    RecordBatch::try_new(stored_schema(), columns.collect()).unwrap()
}

fn values<'a>(batch: &'a RecordBatch, name: &str) -> Vec<Option<&'a str>> {
    batch.column_by_name(name).unwrap().as_string::<i32>().iter().collect()
}

#[test]
fn own_rows_are_nobodys_and_what_others_say_of_the_person_goes() {
    let eraser = Eraser::new(&person("user_204983", &["anon-1"]), false, [7; 16]);
    let before = batch();
    let Rewritten { batch: after, touched } = eraser.rewrite(&before).unwrap().unwrap();
    assert_eq!(touched, [Touch::Own, Touch::Own, Touch::Mentions, Touch::Mentions]);
    assert_eq!(values(&after, USER_ID), [None, None, Some("other"), Some("admin")]);
    assert_eq!(values(&after, ANONYMOUS_ID), [None, None, None, None]);
    assert_eq!(values(&after, "session_id"), [None, None, Some("s2"), None]);
    assert_eq!(values(&after, "page"), [Some("/a"), Some("/b"), Some("/c?z"), None]);
    assert_eq!(values(&after, "properties"), [None, None, Some(r#"{"k":1}"#), None]);
    let orders = values(&after, "order_id");
    assert_eq!((orders[0], orders[2]), (Some("A1"), None));
    assert!(orders[1].unwrap().starts_with("erased-") && orders[1] == orders[3], "{orders:?}");
    let lat = after.column_by_name("lat").unwrap().as_primitive::<Float64Type>();
    assert_eq!((0..4).map(|row| lat.is_valid(row)).collect::<Vec<_>>(), [false, false, true, true]);
    for same in ["event_id", "event_type", "seq", "event_ts", "price"] {
        assert_eq!(before.column_by_name(same).unwrap(), after.column_by_name(same).unwrap(), "{same}");
    }
    assert_eq!(eraser.linked(), ["anon-new"]);
    assert!(eraser.rewrite(&after).unwrap().is_none(), "twice changes nothing");
    assert_eq!(after.column(3).as_primitive::<Int64Type>().values()[..], [1, 2, 3, 4]);
}

#[test]
fn batches_that_have_nothing_to_do_with_them_are_left_alone() {
    let eraser = Eraser::new(&person("user_2049", &[]), true, [7; 16]);
    assert!(eraser.rewrite(&batch()).unwrap().is_none(), "part of an id is not the id");
}
