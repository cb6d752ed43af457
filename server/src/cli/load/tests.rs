use super::super::mapping::{Mapping, kind_of};
use super::*;
use serde_json::{Value as Json, json};

const RETAIL: &str = include_str!("../../../../data/online_retail.mapping.toml");

/// The event a row of texts becomes; `null` when it is skipped.
fn event(mapping: &str, header: &[&str], cells: &[&str]) -> Json {
    let mapping = Mapping::parse("test.toml", mapping).unwrap();
    let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    let slots = mapping.bind(&header, "test.csv").unwrap();
    let row: Vec<Option<Cow<'_, str>>> = slots
        .iter()
        .map(|s| Some(cells[*s]).filter(|c| !mapping.source.null.iter().any(|n| n == c)).map(Cow::from))
        .collect();
    let mut out = Vec::new();
    match convert(&mapping, &row, Place { file: Some("test.csv"), line: 7 }, &mut out) {
        true => serde_json::from_slice(&out).unwrap(),
        false => Json::Null,
    }
}

fn minimal(field: &str) -> String {
    format!("[fields]\nevent_type = \"x\"\nevent_ts = \"2020-01-01\"\n{field}\n")
}

/// What one field becomes of one cell, called A.
fn one(field: &str, cell: &str) -> Json {
    let name = field.split(' ').next().unwrap();
    event(&minimal(field), &["A"], &[cell]).get(name).cloned().unwrap_or(Json::Null)
}

fn refusal(mapping: &str) -> String {
    Mapping::parse("m.toml", mapping).map(|_| ()).unwrap_err().to_string()
}

const RETAIL_HEADER: [&str; 8] =
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];

#[test]
fn a_retail_line_becomes_a_purchase_with_its_text_as_written() {
    let cells = ["536365", "85123A", "T-LIGHT \"HOLDER\"", "6", "2010-12-01 08:26:00", "2.55", "17850.0", "EIRE"];
    let expected = json!({
        "event_id": "online_retail:7", "event_type": "purchase", "event_ts": "2010-12-01T08:26:00.000Z",
        "user_id": "17850.0", "order_id": "536365", "product_id": "85123A", "product_name": "T-LIGHT \"HOLDER\"",
        "price": 2.55, "quantity": 6, "currency": "GBP", "country": "EIRE",
    });
    assert_eq!(event(RETAIL, &RETAIL_HEADER, &cells), expected);
}

#[test]
fn a_credit_line_becomes_a_refund_of_a_positive_quantity() {
    let cells = ["C536379", "D", "Discount", "-1", "2010-12-01 09:41:00", "27.5", "14527.0", "United Kingdom"];
    let event = event(RETAIL, &RETAIL_HEADER, &cells);
    assert_eq!((&event["event_type"], &event["quantity"]), (&json!("refund"), &json!(1)));
}

#[test]
fn a_line_without_price_or_customer_is_an_adjustment_without_a_user() {
    let cells = ["536414", "22139", "", "-56", "2010-12-01 11:52:00", "0.0", "", "United Kingdom"];
    let event = event(RETAIL, &RETAIL_HEADER, &cells);
    assert_eq!((&event["event_type"], &event["quantity"]), (&json!("adjustment"), &json!(-56)));
    assert_eq!((event.get("user_id"), event.get("product_name")), (None, None), "no value is no field");
}

#[test]
fn numbers_keep_their_digits() {
    let raw = |field: &str, cell: &str| one(field, cell).to_string();
    let price = "price = \"{A}\"";
    assert_eq!(raw(price, "0000000012345.6700"), "12345.67");
    assert_eq!(raw(price, " +.5 "), "0.5");
    assert_eq!(raw(price, "-0.00"), "0.0", "no minus zero");
    assert_eq!(raw("quantity = \"{A}\"", "6.0"), "6");
    assert_eq!(raw("quantity = { column = \"A\", negate = true }", "12"), "-12");
    assert_eq!(raw("quantity = { column = \"A\", negate = true }", "0"), "0");
    assert_eq!(raw("quantity = { column = \"A\", abs = true }", "-12"), "12");
    assert_eq!(raw("price = { column = \"A\", decimal = \",\" }", "-1.234,5"), "-1234.5");
}

#[test]
fn what_is_not_a_number_or_a_time_is_left_to_the_server_to_refuse() {
    assert_eq!(one("price = \"{A}\"", "12 EUR"), json!("12 EUR"));
    assert_eq!(one("price = \"{A}\"", "1e"), json!("1e"));
    let mapping = "[fields]\nevent_type = \"x\"\nevent_ts = { column = \"A\", time = \"%d.%m.%Y\" }";
    assert_eq!(event(mapping, &["A"], &["31.02.2020"])["event_ts"], json!("31.02.2020"));
}

#[test]
fn times_are_read_in_their_zone() {
    let ts = |time: &str, cell: &str| {
        let mapping = format!("[fields]\nevent_type = \"x\"\nevent_ts = {{ column = \"A\", {time} }}");
        event(&mapping, &["A"], &[cell])["event_ts"].clone()
    };
    assert_eq!(
        ts("time = \"%d.%m.%Y %H:%M\", zone = \"+01:00\"", "01.02.2020 00:30"),
        json!("2020-01-31T23:30:00.000Z")
    );
    assert_eq!(ts("time = \"%Y-%m-%d\"", "2020-02-01"), json!("2020-02-01T00:00:00.000Z"));
    assert_eq!(ts("time = \"%Y-%m-%dT%H:%M:%S%z\"", "2020-02-01T00:00:00+0200"), json!("2020-01-31T22:00:00.000Z"));
    assert_eq!(ts("time = \"unix_s\"", "1580515200.25"), json!("2020-02-01T00:00:00.250Z"));
    assert_eq!(ts("time = \"unix_ms\"", "1580515200250"), json!("2020-02-01T00:00:00.250Z"));
}

#[test]
fn rules_are_tried_in_order_and_may_skip() {
    let mapping = "[source]\nnull = [\"\", \"NULL\"]\n\
        [fields]\nevent_type = { column = \"what\", map = { view = \"product_view\" } }\nevent_ts = \"{at}\"\n\
        [properties]\nshop = \"{shop}\"\nweight = 3\n\
        [[rules]]\nwhen = { shop = { in = [\"test\", \"demo\"] } }\nskip = true\n\
        [[rules]]\nwhen = { shop = { null = true } }\nset = { user_id = \"nobody\" }";
    let row = |shop: &str, what: &str| event(mapping, &["at", "what", "shop"], &["2020-01-01", what, shop]);
    assert_eq!(row("demo", "view"), Json::Null);
    assert_eq!(row("NULL", "view")["user_id"], json!("nobody"));
    let kept = row("berlin", "wave");
    assert_eq!((&kept["event_type"], &kept["shop"], &kept["weight"]), (&json!("wave"), &json!("berlin"), &json!(3)));
}

#[test]
fn an_id_is_made_of_file_line_and_content() {
    let row = [Some(Cow::from("a")), None];
    let id = |file, line| derived_id(&row, Place { file: Some(file), line }).unwrap();
    assert_eq!(id("x.csv", 1), id("x.csv", 1));
    assert_ne!(id("x.csv", 1), id("x.csv", 2));
    assert_ne!(id("x.csv", 1), id("y.csv", 1));
    let other = [Some(Cow::from("b")), None];
    assert_ne!(id("x.csv", 1), derived_id(&other, Place { file: Some("x.csv"), line: 1 }).unwrap());
    assert_eq!(derived_id(&row, Place { file: None, line: 1 }), None);
}

#[test]
fn text_is_escaped_as_json() {
    let text = "a\"b\\c\nd\te\u{1}\u{7f}é\u{1F600}";
    assert_eq!(one("city = \"{A}\"", text), json!(text));
    assert_eq!(one("city = \"{{{A}}} {line}/{file}\"", "x"), json!("{x} 7/test.csv"));
}

#[test]
fn mistakes_in_the_mapping_name_line_and_column() {
    let base = "[fields]\nevent_type = \"x\"\nevent_ts = \"{T}\"\n";
    let with = |more: &str| refusal(&format!("{base}{more}"));
    assert_eq!(with("prise = \"{P}\""), "m.toml:4:1: `prise` is not a field of an event");
    assert_eq!(with("seq = 1"), "m.toml:4:1: `seq` is set by the server and cannot be mapped");
    assert_eq!(with("city = \"{A\""), "m.toml:4:8: `{A` has a `{` without a name and `}`");
    assert_eq!(with("city = \"A}\""), "m.toml:4:8: `A}` has a `}` without `{`");
    let quarrel = "quantity = { column = \"Q\", abs = true, negate = true }";
    assert_eq!(with(quarrel), "m.toml:4:23: `negate` and `abs` exclude each other");
    let number = "city = { column = \"Q\", abs = true }";
    assert_eq!(with(number), "m.toml:4:19: `negate`, `abs` and `decimal` are for fields that hold numbers");
    let zone = "client_ts = { column = \"Q\", time = \"%Y\", zone = \"Mars\" }";
    assert_eq!(with(zone), "m.toml:4:49: `Mars` is not a zone");
    let pattern = "client_ts = { column = \"Q\", time = \"%Q\" }";
    assert_eq!(with(pattern), "m.toml:4:36: `%Q` is not a time format");
    assert!(
        with("city = { colum = \"Q\" }").starts_with("m.toml:4:10: unknown field `colum`"),
        "{}",
        with("city = { colum = \"Q\" }")
    );
    assert!(with("city = [1]").starts_with("m.toml:4:8: invalid type: sequence, expected a text like"));
    assert!(
        with("[[rules]]\nwhen = { A = { above = 1 } }\nskip = true").starts_with("m.toml:5:16: unknown field `above`")
    );
    assert!(
        with("[[rules]]\nwhen = { A = { } }\nskip = true").starts_with("m.toml:5:14: a condition is one or more of")
    );
    assert!(with("[[rules]]\nwhen = { A = { gt = 1 } }").starts_with("m.toml:5:8: a rule has either"));
    assert!(refusal("[fields]\nevent_ts = 1").ends_with("`event_type`, which every event needs"));
    assert!(refusal("[fields\n").starts_with("m.toml:1:8: "), "{}", refusal("[fields\n"));
}

#[test]
fn a_column_that_is_not_there_is_named_with_those_that_are() {
    let mapping = Mapping::parse("m.toml", &minimal("city = \"{Town}\"")).unwrap();
    let error = mapping.bind(&["A".to_owned(), "B".to_owned()], "x.csv").unwrap_err();
    assert_eq!(error.to_string(), "x.csv has no column `Town`, which the mapping reads");
    assert_eq!(error.hint.as_deref(), Some("its columns are: A, B"));
}

#[test]
fn columns_the_server_sets_are_not_sent_back_to_it() {
    assert_eq!(kind_of("seq"), None);
    assert_eq!(kind_of("timestamp"), Some(Kind::Column(ColumnKind::Time)));
    assert_eq!(kind_of("whatever"), Some(Kind::Extra));
}
