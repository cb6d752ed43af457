//! Other people's data, loaded as a user loads it, against figures other people's programs computed from it: every one
//! that SQL can express, to the last decimal.
//!
//! The data is not in this repository: `TIDELINE_FIXTURES` names its folder, and without it these tests say that they
//! were skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::Value;
use tideline_engine::query::QueryRequest;
use tideline_engine::query::encode::Format;
use tideline_server::cli::folder::Folder;
use tideline_server::cli::load::read::{FileFormat, Input, ReadOptions};
use tideline_server::cli::load::send::{Tally, send_all};
use tideline_server::cli::load::{read_all, read_mapping};

pub(crate) fn fixtures(name: &str) -> Option<PathBuf> {
    match std::env::var_os("TIDELINE_FIXTURES") {
        Some(folder) => Some(Path::new(&folder).join(name)),
        None => {
            eprintln!("SKIP: {name}: TIDELINE_FIXTURES does not name the folder with real data");
            None
        }
    }
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn load(folder: &Folder, file: &Path, mapping: Option<&str>) -> Tally {
    let mapping = mapping.map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(name);
        read_mapping(&path).unwrap()
    });
    let options = ReadOptions { format: FileFormat::Auto, mapping, batch_rows: 5_000 };
    let inputs = [Input::find(file).unwrap()];
    let bytes = Arc::default();
    let patience = Duration::from_secs(60);
    let (tally, failure) = send_all(folder, 2, patience, &|_| {}, |emit| read_all(&inputs, &options, &bytes, emit));
    assert!(failure.is_none(), "{failure:?}");
    tally
}

/// The rows of a query: cells as CSV writes them, without the header. None of the queries here has text with commas.
pub(crate) fn rows(folder: &Folder, sql: &str) -> Vec<String> {
    let mut out = Vec::new();
    let request = QueryRequest { sql: sql.to_owned(), params: BTreeMap::new(), timeout: None, limit: None };
    folder.write(request, Format::Csv, &mut out).unwrap_or_else(|e| panic!("{e}: {sql}"));
    String::from_utf8(out).unwrap().lines().skip(1).map(ToOwned::to_owned).collect()
}

/// The same rows from the figures: the named members of each object of a list.
pub(crate) fn expected(list: &Value, members: &[&str]) -> Vec<String> {
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let row = |object: &Value| members.iter().map(|m| cell(&object[m])).collect::<Vec<_>>().join(",");
    let rows: Vec<String> = list.as_array().unwrap().iter().map(row).collect();
    assert!(!rows.is_empty() && !rows[0].contains("null"), "{members:?}: {}", rows[0]);
    rows
}

const GROSS: &str = "sum(price * quantity)";

/// (what, members of the figures, the query that computes them).
const FIGURES: [(&str, &[&str], &str); 10] = [
    (
        "daily",
        &["d", "gross", "orders", "buyers", "units"],
        "SELECT event_date, sum(price * quantity), count(DISTINCT order_id), count(DISTINCT user_id), sum(quantity)
         FROM events WHERE event_type = 'purchase' GROUP BY 1 ORDER BY 1",
    ),
    (
        "daily_refunds",
        &["d", "refunds"],
        "SELECT event_date, sum(price * quantity) FROM events WHERE event_type = 'refund' GROUP BY 1 ORDER BY 1",
    ),
    (
        "top20_products_by_gross",
        &["product_id", "gross", "units", "orders"],
        "SELECT product_id, sum(price * quantity) AS gross, sum(quantity), count(DISTINCT order_id)
         FROM events WHERE event_type = 'purchase' GROUP BY 1 ORDER BY gross DESC, 1 LIMIT 20",
    ),
    (
        "top20_products_by_units",
        &["product_id", "units"],
        "SELECT product_id, sum(quantity) AS units
         FROM events WHERE event_type = 'purchase' GROUP BY 1 ORDER BY units DESC, 1 LIMIT 20",
    ),
    (
        "countries",
        &["country", "gross", "orders", "buyers"],
        "SELECT country, sum(price * quantity) AS gross, count(DISTINCT order_id), count(DISTINCT user_id)
         FROM events WHERE event_type = 'purchase' GROUP BY 1 ORDER BY gross DESC, 1",
    ),
    (
        "monthly_cohort_retention",
        &["cohort", "k", "users"],
        "WITH months AS (
             SELECT DISTINCT user_id, date_trunc('month', event_ts) AS month
             FROM events WHERE event_type = 'purchase' AND user_id IS NOT NULL),
         firsts AS (SELECT user_id, min(month) AS cohort FROM months GROUP BY 1)
         SELECT cast(cohort AS date),
             cast((date_part('year', month) - date_part('year', cohort)) * 12
                 + date_part('month', month) - date_part('month', cohort) AS int) AS k,
             count(*)
         FROM months JOIN firsts USING (user_id) GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    (
        "returning_customer_rate_by_month",
        &["m", "buyers", "returning_buyers"],
        "WITH months AS (
             SELECT DISTINCT user_id, date_trunc('month', event_ts) AS month
             FROM events WHERE event_type = 'purchase' AND user_id IS NOT NULL),
         firsts AS (SELECT user_id, min(month) AS first FROM months GROUP BY 1)
         SELECT cast(month AS date), count(*), sum(CASE WHEN first < month THEN 1 ELSE 0 END)
         FROM months JOIN firsts USING (user_id) GROUP BY 1 ORDER BY 1",
    ),
    (
        "top20_customers_by_gross",
        &["user_id", "gross", "orders"],
        "SELECT user_id, sum(price * quantity) AS gross, count(DISTINCT order_id)
         FROM events WHERE event_type = 'purchase' AND user_id IS NOT NULL GROUP BY 1 ORDER BY gross DESC, 1 LIMIT 20",
    ),
    (
        "orders_per_hour_of_day",
        &["h", "orders"],
        "SELECT cast(date_part('hour', event_ts) AS int), count(DISTINCT order_id)
         FROM events WHERE event_type = 'purchase' GROUP BY 1 ORDER BY 1",
    ),
    // Not a list: compared by itself below.
    (
        "exact_duplicate_rows",
        &[],
        "SELECT count(*) FROM (SELECT DISTINCT event_ts, user_id, order_id, product_id, \
        product_name, price, quantity, event_type, country FROM events)",
    ),
];

fn totals(folder: &Folder) -> BTreeMap<&'static str, String> {
    let one = |sql: String| rows(folder, &sql).remove(0);
    let of = |what: &str, event_type: &str| one(format!("SELECT {what} FROM events WHERE event_type = '{event_type}'"));
    BTreeMap::from([
        ("rows", one("SELECT count(*) FROM events".to_owned())),
        ("purchase_lines", of("count(*)", "purchase")),
        ("refund_lines", of("count(*)", "refund")),
        ("gross", of(GROSS, "purchase")),
        ("refunds", of(GROSS, "refund")),
        ("units", of("sum(quantity)", "purchase")),
        ("orders", of("count(DISTINCT order_id)", "purchase")),
        (
            "aov",
            of(
                "cast(round(cast(sum(price * quantity) AS decimal(28,8)) / count(DISTINCT order_id), 4) AS decimal(18,4))",
                "purchase",
            ),
        ),
        ("buyers", of("count(DISTINCT user_id)", "purchase")),
    ])
}

fn compare(folder: &Folder, truth: &Value) {
    for (name, figure) in totals(folder) {
        let wanted = &truth["totals"][name];
        assert_eq!(figure, wanted.as_str().map_or_else(|| wanted.to_string(), ToOwned::to_owned), "totals: {name}");
    }
    assert_eq!(truth["totals"].as_object().unwrap().len(), totals(folder).len(), "a total is not compared");
    for (name, members, sql) in FIGURES {
        if !members.is_empty() {
            assert_eq!(rows(folder, sql), expected(&truth[name], members), "{name}");
            continue;
        }
        let distinct: u64 = rows(folder, sql)[0].parse().unwrap();
        let all: u64 = totals(folder)["rows"].parse().unwrap();
        assert_eq!(Some(all - distinct), truth[name].as_u64(), "{name}");
    }
    let compared = FIGURES.len() + 2;
    assert_eq!(truth.as_object().unwrap().len(), compared, "a figure is not compared");
}

#[test]
fn online_retail_comes_to_the_known_figures_and_a_second_load_changes_nothing() {
    let Some(fixture) = fixtures("online_retail") else { return };
    let truth = json(&fixture.join("truth.json"));
    let file = fixture.join("online_retail_2010-12_2011-06.csv.gz");
    let dir = tempfile::tempdir().unwrap();
    let lines = truth["totals"]["rows"].as_u64().unwrap();

    let folder = Folder::open(dir.path()).unwrap();
    let first = load(&folder, &file, Some("online_retail.mapping.toml"));
    assert_eq!((first.accepted, first.duplicates, first.rejected), (lines, 0, 0), "{:?}", first.errors);
    compare(&folder, &truth);
    folder.close().unwrap();

    // From the lake alone, after a restart.
    let folder = Folder::open(dir.path()).unwrap();
    let again = load(&folder, &file, Some("online_retail.mapping.toml"));
    assert_eq!((again.accepted, again.duplicates, again.rejected), (0, lines, 0), "{:?}", again.errors);
    compare(&folder, &truth);
    folder.close().unwrap();
}

#[test]
fn snowplow_sessions_agree_with_another_implementation() {
    let Some(fixture) = fixtures("snowplow") else { return };
    let sessions = json(&fixture.join("expected_sessions.json"));
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let tally = load(&folder, &fixture.join("events.ndjson.gz"), None);
    let mut text = String::new();
    let file = std::fs::File::open(fixture.join("events.ndjson.gz")).unwrap();
    std::io::Read::read_to_string(&mut GzDecoder::new(file), &mut text).unwrap();
    // Five of the ten events without a session are of browsing (an add and a remove among them), which needs one; the
    // other five are kept.
    assert_eq!(tally.accepted + tally.rejected, text.lines().count() as u64);
    assert_eq!(tally.reasons, BTreeMap::from([("session_id missing_field".to_owned(), 5)]), "{:?}", tally.errors);

    let counts = "SELECT count(*), count(DISTINCT session_id),
            sum(CASE WHEN event_type = 'purchase' THEN 1 ELSE 0 END),
            sum(CASE WHEN event_type = 'add_to_cart' THEN 1 ELSE 0 END),
            sum(CASE WHEN event_type = 'remove_from_cart' THEN 1 ELSE 0 END),
            sum(CASE WHEN session_id IS NULL THEN 1 ELSE 0 END) FROM events";
    assert_eq!(rows(&folder, counts), ["828,63,14,37,14,5"]);
    let revenue = "SELECT currency, sum(revenue) FROM events WHERE event_type = 'purchase' GROUP BY 1 ORDER BY 1";
    // Together the 1,466,094.89 of the other implementation, which adds the two currencies up.
    assert_eq!(rows(&folder, revenue), ["EUR,1234863.8900", "USD,231231.0000"]);

    let per_session = "SELECT session_id,
            sum(CASE WHEN event_type IN ('product_view', 'product_list_view') THEN 1 ELSE 0 END),
            sum(CASE WHEN event_type = 'add_to_cart' THEN 1 ELSE 0 END),
            sum(CASE WHEN event_type = 'remove_from_cart' THEN 1 ELSE 0 END),
            count(DISTINCT CASE WHEN event_type = 'purchase' THEN order_id END),
            coalesce(sum(CASE WHEN event_type = 'purchase' THEN revenue END), 0)
        FROM events WHERE session_id IS NOT NULL GROUP BY 1";
    let ours: BTreeMap<String, String> = rows(&folder, per_session)
        .iter()
        .map(|row| row.split_once(',').map(|(id, figures)| (id.to_owned(), figures.to_owned())).unwrap())
        .collect();
    let mut compared = 0;
    for session in sessions["sessions"].as_array().unwrap() {
        let text = |member: &str| session[member].as_str().unwrap_or("0").to_owned();
        // One session of theirs is not among the events we were given.
        let Some(figures) = ours.get(&text("domain_sessionid")) else { continue };
        let revenue: f64 = text("total_transaction_revenue").parse().unwrap();
        let counts =
            ["number_product_views", "number_add_to_carts", "number_remove_from_carts", "total_number_transactions"];
        let counts: Vec<String> = counts.iter().map(|m| text(m)).collect();
        assert_eq!(figures, &format!("{},{revenue:.4}", counts.join(",")), "{}", text("domain_sessionid"));
        compared += 1;
    }
    assert_eq!(compared, 62);
    folder.close().unwrap();
}
