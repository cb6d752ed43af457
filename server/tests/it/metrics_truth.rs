//! The metrics, as `/analytics` of a real server answers them, against figures other people's programs computed from other
//! people's data, to the last decimal. Where a figure is defined differently, the test says which and by how much, and
//! `queries/README.md` says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tideline_server::cli::folder::Folder;

use crate::online_retail::{expected, fixtures, json, load};
use crate::process::Server;

/// One row: cells by their column.
type Row = BTreeMap<String, String>;

/// The rows of `/analytics/{name}` with these parameters.
fn metric(server: &Server, name: &str, given: &[(&str, &str)]) -> Vec<Row> {
    let request = ureq::get(format!("{}/analytics/{name}.csv", server.url)).query_pairs(given.iter().copied());
    let mut answer = request.call().unwrap_or_else(|e| panic!("{name} {given:?}: {e}"));
    let text = answer.body_mut().read_to_string().unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

/// A server over a fixture that was loaded into a folder.
fn serve(dir: &Path, currency: &str) -> Server {
    // A guard, as everywhere in tests: other tests have the cores too.
    Server::start(dir, &[("TIDELINE_SHOP_CURRENCY", currency), ("TIDELINE_QUERY_TIMEOUT", "10m")])
}

/// The named cells of each row.
fn cells(rows: &[Row], names: &[&str]) -> Vec<String> {
    rows.iter().map(|row| names.iter().map(|n| row[*n].as_str()).collect::<Vec<_>>().join(",")).collect()
}

/// The whole of the data: its first day and its last.
const ALL: [(&str, &str); 2] = [("start", "2010-12-01"), ("end", "2011-06-30")];

fn all_and(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    ALL.iter().chain(more).copied().collect()
}

#[test]
fn sales_and_customers_come_to_the_known_figures() {
    let Some(fixture) = fixtures("online_retail") else { return };
    let truth = json(&fixture.join("truth.json"));
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    load(&folder, &fixture.join("online_retail_2010-12_2011-06.csv.gz"), Some("online_retail.mapping.toml"));
    folder.close().unwrap();
    let server = serve(dir.path(), "GBP");

    let whole = &metric(&server, "sales/summary", &ALL)[0];
    for name in ["gross", "refunds", "units", "orders", "aov", "buyers"] {
        let wanted = &truth["totals"][name];
        assert_eq!(whole[name], wanted.as_str().map_or_else(|| wanted.to_string(), ToOwned::to_owned), "{name}");
    }

    let daily = metric(&server, "sales/daily", &ALL);
    let sold: Vec<Row> = daily.iter().filter(|row| row["orders"] != "0").cloned().collect();
    let known = expected(&truth["daily"], &["d", "gross", "orders", "buyers", "units"]);
    assert_eq!(cells(&sold, &["day", "gross", "orders", "buyers", "units"]), known);
    let refunded: Vec<Row> = daily.into_iter().filter(|row| row["refunds"] != "0.0000").collect();
    let known = expected(&truth["daily_refunds"], &["d", "refunds"]);
    assert_eq!(cells(&refunded, &["day", "refunds"]), known);

    let products = metric(&server, "sales/top-products", &ALL);
    let known = expected(&truth["top20_products_by_gross"], &["product_id", "gross", "units", "orders"]);
    assert_eq!(cells(&products, &["product_id", "gross", "units", "orders"]), known);
    let products = metric(&server, "sales/top-products", &all_and(&[("order", "units")]));
    let known = expected(&truth["top20_products_by_units"], &["product_id", "units"]);
    assert_eq!(cells(&products, &["product_id", "units"]), known);

    let countries = metric(&server, "sales/by", &all_and(&[("by", "country")]));
    let known = expected(&truth["countries"], &["country", "gross", "orders", "buyers"]);
    assert_eq!(cells(&countries, &["name", "gross", "orders", "buyers"]), known);

    let cohorts = metric(&server, "customers/cohorts", &all_and(&[("grain", "month")]));
    let known = expected(&truth["monthly_cohort_retention"], &["cohort", "k", "users"]);
    assert_eq!(cells(&cohorts, &["cohort", "k", "customers"]), known);

    let returning = metric(&server, "customers/retention", &all_and(&[("grain", "month")]));
    let known = expected(&truth["returning_customer_rate_by_month"], &["m", "buyers", "returning_buyers"]);
    assert_eq!(cells(&returning, &["period", "buyers", "returning_buyers"]), known);

    let customers = metric(&server, "customers/top", &ALL);
    let known = expected(&truth["top20_customers_by_gross"], &["user_id", "gross", "orders"]);
    assert_eq!(cells(&customers, &["visitor", "gross", "orders"]), known);

    // An order has one time here, that of its first line; the figures count it in each hour it has a line in. One order
    // has lines in two hours.
    let hours = metric(&server, "sales/hours-of-day", &ALL);
    let known = expected(&truth["orders_per_hour_of_day"], &["h", "orders"]);
    let ours: BTreeSet<String> = cells(&hours, &["hour", "orders"]).into_iter().collect();
    let different: Vec<&String> = known.iter().filter(|row| !ours.contains(*row)).collect();
    assert!(different.len() == 1 && ours.len() == known.len(), "{different:?}");
    let sum = |rows: &mut dyn Iterator<Item = &String>| -> u64 {
        rows.map(|row| row.split_once(',').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    assert_eq!(sum(&mut known.iter()), sum(&mut ours.iter()) + 1);

    // What was sold, by day and by product, in the other books.
    let sold = |rows: Vec<Row>| -> Vec<Row> { rows.into_iter().filter(|row| row["orders"] != "0").collect() };
    let days = sold(metric(&server, "sales/order-date", &ALL));
    let known = expected(&truth["daily"], &["d", "gross", "orders", "buyers", "units"]);
    assert_eq!(cells(&days, &["day", "gross", "orders", "buyers", "units"]), known);
    let entries = metric(&server, "sales/ledger", &ALL);
    let booked = |entry: &str, column: &str| -> Vec<String> {
        let mine: Vec<Row> = entries.iter().filter(|row| row["entry"] == entry).cloned().collect();
        cells(&mine, &["day", column])
    };
    assert_eq!(booked("order", "gross"), expected(&truth["daily"], &["d", "gross"]));
    let mut refunds = booked("refund", "refunds");
    refunds.retain(|row| !row.ends_with(",0.0000"));
    assert_eq!(refunds, expected(&truth["daily_refunds"], &["d", "refunds"]));
    let products = metric(&server, "products/performance", &all_and(&[("limit", "20")]));
    let known = expected(&truth["top20_products_by_gross"], &["product_id", "gross", "units", "orders"]);
    assert_eq!(cells(&products, &["product_id", "gross", "units", "orders"]), known);

    // Month by month, and the events they are made of.
    for month in truth["returning_customer_rate_by_month"].as_array().unwrap() {
        let first = month["m"].as_str().unwrap();
        let days = match &first[5..7] {
            "02" => "28",
            "04" | "06" => "30",
            _ => "31",
        };
        let last = format!("{}{days}", &first[..8]);
        let row = &metric(&server, "sales/summary", &[("start", first), ("end", last.as_str())])[0];
        assert_eq!(row["buyers"], month["buyers"].to_string(), "{first}");
        assert_eq!(row["returning_buyers"], month["returning_buyers"].to_string(), "{first}");
    }
    let kinds = metric(&server, "quality/freshness", &[("at", "2011-07-01T00:00:00Z")]);
    let count = |kind: &str| kinds.iter().find(|row| row["event_type"] == kind).map(|row| row["events"].clone());
    for (kind, total) in [("purchase", "purchase_lines"), ("refund", "refund_lines")] {
        assert_eq!(count(kind), Some(truth["totals"][total].to_string()), "{total}");
    }
    let events: u64 =
        metric(&server, "traffic/daily", &ALL).iter().map(|row| row["events"].parse::<u64>().unwrap()).sum();
    assert_eq!(Some(events), truth["totals"]["rows"].as_u64());
}

#[test]
fn sessions_agree_with_another_implementation() {
    let Some(fixture) = fixtures("snowplow") else { return };
    let truth = json(&fixture.join("expected_sessions.json"));
    let dir = tempfile::tempdir().unwrap();
    let mut sessions: Vec<BTreeMap<String, Row>> = Vec::new();
    let folder = Folder::open(dir.path()).unwrap();
    load(&folder, &fixture.join("events.ndjson.gz"), None);
    folder.close().unwrap();
    // Theirs adds two currencies up; ours keeps one apart. So both are the shop's in turn.
    let year = [("start", "2022-01-01"), ("end", "2022-12-31")];
    let (mut orders, mut units, mut value) = (0, 0, 0);
    for currency in ["EUR", "USD"] {
        let server = serve(dir.path(), currency);
        let rows = metric(&server, "sessions/list", &[&year[..], &[("limit", "10000")]].concat());
        sessions.push(rows.into_iter().map(|row| (row["session_id"].clone(), row)).collect());
        let whole = &metric(&server, "sales/summary", &year)[0];
        orders += whole["orders"].parse::<i64>().unwrap();
        units += whole["units"].parse::<i64>().unwrap();
        value += whole["order_value"].replace('.', "").parse::<i64>().unwrap();
        assert_eq!(server.terminate(), Some(0));
    }
    // A line without a quantity is one unit: theirs counts the lines.
    let lines = truth["sessions"].as_array().unwrap().iter().filter_map(|s| s["total_transacted_products"].as_str());
    let lines: i64 = lines.map(|n| n.parse::<i64>().unwrap()).sum();
    assert_eq!((orders, units, value), (14, lines, 14_660_948_900));
    let (mut compared, mut abandoned_differently) = (0, Vec::new());
    for theirs in truth["sessions"].as_array().unwrap() {
        let text = |member: &str| theirs[member].as_str().unwrap_or("").to_lowercase();
        let id = text("domain_sessionid");
        // One session of theirs is not among the events we were given.
        let (Some(euro), Some(dollar)) = (sessions[0].get(&id), sessions[1].get(&id)) else { continue };
        let number = |row: &Row, column: &str| row[column].parse::<i64>().unwrap();
        let count = |member: &str| text(member).parse::<i64>().unwrap_or(0);
        let views = number(euro, "product_views") + number(euro, "product_list_views");
        assert_eq!(views, count("number_product_views"), "{id}");
        assert_eq!(number(euro, "add_to_carts"), count("number_add_to_carts"), "{id}");
        assert_eq!(number(euro, "remove_from_carts"), count("number_remove_from_carts"), "{id}");
        let orders = number(euro, "orders") + number(dollar, "orders");
        assert_eq!(orders, count("total_number_transactions"), "{id}");
        assert_eq!(number(euro, "orders"), number(dollar, "foreign_orders"), "{id}");
        let money = |row: &Row| row["revenue"].replace('.', "").parse::<i64>().unwrap();
        let revenue: f64 = text("total_transaction_revenue").parse().unwrap_or(0.0);
        let revenue: i64 = format!("{revenue:.4}").replace('.', "").parse().unwrap();
        assert_eq!(money(euro) + money(dollar), revenue, "{id}");
        assert_eq!(euro["visitor"], text("domain_userid"), "{id}");
        assert_eq!(euro["checkout_succeeded"], text("checkout_succeeded"), "{id}");
        if euro["add_to_carts"] != "0" && euro["cart_abandoned"] != text("session_cart_abandoned") {
            abandoned_differently.push((id[..6].to_owned(), euro["cart_abandoned"].clone()));
        }
        compared += 1;
    }
    assert_eq!(compared, 62);
    // Theirs looks at the value of the tracker's cart, which these events do not carry: a cart of one add is not abandoned
    // there, and two that were bought at last are.
    let known =
        [("0a42e1", "false"), ("996606", "false"), ("bbcf9f", "true")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    abandoned_differently.sort();
    assert_eq!(abandoned_differently, known);
}
