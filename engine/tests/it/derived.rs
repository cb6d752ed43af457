//! What is derived from the table and kept (orders, partial aggregates of pieces) never shows: a random history is given to
//! two engines, one of which keeps nothing, and every answer must be the same.

use std::sync::Arc;

use futures::TryStreamExt;
use proptest::prelude::*;
use tideline_engine::clock::ManualClock;
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, Engine, EngineConfig};
use tideline_engine::fs::sim::SimFs;
use tideline_engine::query::QueryRequest;
use tideline_engine::query::encode::{CellOptions, Encoder, Format};

use crate::support::{MARCH_MS, cases, config, open_with};

/// What makes an event; small ranges, so that orders, customers and ids meet again and again.
#[derive(Debug, Clone)]
struct Sent {
    kind: u8,
    id: u16,
    day: i64,
    minute: i64,
    order: Option<u8>,
    user: Option<u8>,
    revenue: Option<i64>,
    lines: u8,
    currency: u8,
}

impl Sent {
    fn json(&self) -> String {
        let kind = ["purchase", "purchase", "refund", "order_cancelled", "page_view", "product_view"];
        let kind = kind[usize::from(self.kind) % kind.len()];
        let mut fields = vec![
            format!(r#""event_id":"e{}","event_type":"{kind}""#, self.id),
            format!(r#""event_ts":{}"#, MARCH_MS + self.day * 86_400_000 + self.minute * 60_000),
            format!(r#""anonymous_id":"a{}","session_id":"s{}""#, self.id % 5, self.id % 7),
            format!(
                r#""country":"{}","mobile":{}"#,
                ["DE", "FR", "US"][usize::from(self.id % 3)],
                self.id.is_multiple_of(2)
            ),
        ];
        if kind != "page_view" {
            fields.push(format!(r#""product_id":"p{}""#, self.id % 4));
        } else {
            fields.push(format!(r#""page":"/{}""#, self.id % 4));
        }
        if let Some(order) = self.order {
            fields.push(format!(r#""order_id":"o{order}""#));
        } else if matches!(kind, "refund" | "order_cancelled") {
            fields.push(r#""order_id":"lost""#.to_owned());
        }
        if let Some(user) = self.user {
            fields.push(format!(r#""user_id":"u{user}""#));
        }
        if let Some(revenue) = self.revenue {
            fields.push(format!(r#""revenue":{revenue}.5"#));
        }
        if self.currency > 0 {
            fields.push(format!(r#""currency":"{}""#, ["EUR", "usd"][usize::from(self.currency % 2)]));
        }
        if self.lines > 0 && kind == "purchase" {
            let line = |n| format!(r#"{{"product_id":"p{n}","price":{n}.25,"quantity":{},"discount":0.1}}"#, n % 2 + 1);
            let lines: Vec<String> = (1..=self.lines).map(line).collect();
            fields.push(format!(r#""items":[{}]"#, lines.join(",")));
        } else {
            fields.push(format!(r#""price":{},"quantity":1"#, self.id % 9));
        }
        format!("{{{}}}\n", fields.join(","))
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let who = (prop::option::of(0..6u8), prop::option::of(0..3u8));
    let what = (prop::option::weighted(0.6, 1..20i64), 0..3u8, 0..4u8);
    (0..6u8, 0..60u16, 0..3i64, 0..1_440i64, who, what).prop_map(
        |(kind, id, day, minute, (order, user), (revenue, lines, currency))| Sent {
            kind,
            id,
            day,
            minute,
            order,
            user,
            revenue,
            lines,
            currency,
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Ingest(Vec<Sent>),
    Flush,
    Compact,
    PowerLoss,
    Ask,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(sent(), 1..12).prop_map(Step::Ingest),
        3 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::PowerLoss),
        4 => Just(Step::Ask),
    ]
}

/// Questions a person may ask, put together at random: one list each of what to group by, to count, and to keep.
#[derive(Debug, Clone)]
struct AdHoc {
    by: Vec<&'static str>,
    counts: Vec<&'static str>,
    filter: Vec<&'static str>,
    from: &'static str,
}

const BY: [&str; 7] = [
    "date_trunc('hour', event_ts)",
    "shop_day(event_ts)",
    "event_type",
    "country",
    "product_id",
    "CASE WHEN mobile THEN 'phone' ELSE upper(country) END",
    "event_date",
];
const COUNTS: [&str; 9] = [
    "count(*)",
    "sum(price)",
    "count(DISTINCT session_id)",
    "count(DISTINCT coalesce(user_id, anonymous_id))",
    "min(event_ts)",
    "max(price) FILTER (WHERE event_type = 'purchase')",
    "avg(price)",
    "first_value(country ORDER BY event_ts, seq)",
    "sum(quantity) FILTER (WHERE mobile)",
];
const FILTERS: [&str; 7] = [
    "event_type = 'purchase'",
    "event_type IN ('purchase', 'refund') OR country = 'DE'",
    "event_ts >= '2026-03-01T12:00:00Z' AND event_ts < '2026-03-03T06:00:00Z'",
    "event_date = DATE '2026-03-02'",
    "bot IS NOT TRUE",
    "price > 2 AND product_id LIKE 'p%'",
    "user_id IS NOT NULL",
];

fn ad_hoc() -> impl Strategy<Value = AdHoc> {
    let by = prop::sample::subsequence(BY.to_vec(), 0..3);
    let counts = prop::sample::subsequence(COUNTS.to_vec(), 1..4);
    let filter = prop::sample::subsequence(FILTERS.to_vec(), 0..3);
    (by, counts, filter, prop::sample::select(vec!["events", "(SELECT * FROM events WHERE seq % 3 <> 1)"]))
        .prop_map(|(by, counts, filter, from)| AdHoc { by, counts, filter, from })
}

impl AdHoc {
    fn sql(&self) -> String {
        let names = |(at, expr): (usize, &&str)| format!("{expr} AS c{at}");
        let columns: Vec<String> = self.by.iter().chain(&self.counts).enumerate().map(names).collect();
        let filter = match self.filter.is_empty() {
            true => String::new(),
            false => format!(" WHERE ({})", self.filter.join(") AND (")),
        };
        let places: Vec<String> = (1..=self.by.len()).map(|n| n.to_string()).collect();
        let group = match places.is_empty() {
            true => String::new(),
            false => format!(" GROUP BY {0} ORDER BY {0}", places.join(", ")),
        };
        format!("SELECT {} FROM {} AS e{filter}{group}", columns.join(", "), self.from)
    }
}

/// Everything the kept views say, and what stands on them.
const VIEWS: [&str; 5] = [
    "SELECT * FROM orders ORDER BY order_key",
    "SELECT * FROM order_lines ORDER BY order_key, event_ts, product_id, quantity, gross, discount",
    // Without `node`: each engine has its own.
    "SELECT event_ts, event_id, seq, order_key, order_id, order_known, ordered_at, visitor, session_id, country, channel,
            currency, foreign_currency, in_cancellation, claimed, refund
     FROM refunds ORDER BY event_ts, seq",
    "SELECT * FROM customers ORDER BY visitor",
    "SELECT shop_day(o.ordered_at) AS d, country, count(*) AS n, sum(value) AS v, count(DISTINCT o.visitor) AS b
     FROM orders AS o WHERE first_order AND order_key IN (SELECT order_key FROM order_lines WHERE gross > 1)
     GROUP BY 1, 2 ORDER BY 1, 2",
];

const METRICS: [(&str, &[(&str, &str)]); 12] = [
    ("sales/daily", &[]),
    ("sales/daily", &[("country", "DE")]),
    ("sales/hourly", &[]),
    ("sales/order-date", &[]),
    ("sales/ledger", &[]),
    ("sales/summary", &[]),
    ("sales/top-products", &[]),
    ("sales/by-category", &[]),
    ("sales/by", &[("by", "customer")]),
    ("traffic/daily", &[]),
    ("products/performance", &[]),
    ("quality/duplicates", &[]),
];

async fn csv(engine: &Engine, sql: &str) -> String {
    let output = engine.query(QueryRequest::new(sql)).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let mut encoder = Encoder::new(Format::Csv, &output.schema, CellOptions::default()).unwrap();
    let mut out = Vec::new();
    for batch in output.stream.try_collect::<Vec<_>>().await.unwrap_or_else(|e| panic!("{sql}: {e:?}")) {
        out.extend_from_slice(&encoder.write(&batch).unwrap());
    }
    out.extend_from_slice(&encoder.finish().unwrap());
    String::from_utf8(out).unwrap()
}

async fn metric(engine: &Engine, name: &str, params: &[(&str, &str)]) -> String {
    let params = params.iter().chain(&[("start", "2026-03-01"), ("end", "2026-03-04")]);
    let params: Vec<_> = params.map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let asked = engine.metrics().ask(name, &params).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let answer = engine.metrics().answer(&asked).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
    String::from_utf8(answer.encode(&asked.metric, Format::Csv).unwrap().to_vec()).unwrap()
}

fn keeping(bytes: usize) -> EngineConfig {
    let mut config = config();
    config.query.derived_bytes = bytes;
    config
}

/// The same history twice: where derived tables are kept, and where not.
struct Twins {
    disks: [SimFs; 2],
    engines: [Arc<Engine>; 2],
}

const KEEPING: [usize; 2] = [64 << 20, 0];
/// The first plans, the second computes and keeps, the third reads what was kept.
const ROUNDS: usize = 3;

impl Twins {
    async fn new() -> Self {
        let disks = [SimFs::new(), SimFs::new()];
        let engines = Self::open(&disks).await;
        Self { disks, engines }
    }

    async fn open(disks: &[SimFs; 2]) -> [Arc<Engine>; 2] {
        let [a, b] = disks.each_ref().map(|disk| Arc::new(disk.clone()));
        [open_with(keeping(KEEPING[0]), a).await.unwrap(), open_with(keeping(KEEPING[1]), b).await.unwrap()]
    }

    async fn ingest(&self, ndjson: &str) {
        for engine in &self.engines {
            let receipt =
                engine.ingest(ndjson.to_owned().into(), InputFormat::Json, "test", Ack::Durable).await.unwrap();
            assert_eq!(receipt.rejected, 0, "{receipt:?}");
        }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Ingest(events) => self.ingest(&events.iter().map(Sent::json).collect::<String>()).await,
            Step::Flush => {
                for engine in &self.engines {
                    engine.flush().await.unwrap();
                }
            }
            Step::Compact => {
                for engine in &self.engines {
                    engine.compact().await.unwrap();
                }
            }
            Step::PowerLoss => {
                self.disks = self.disks.each_ref().map(SimFs::power_loss);
                self.engines = Self::open(&self.disks).await;
            }
            Step::Ask => {}
        }
    }

    async fn agree(&self, sql: &str, rounds: usize) {
        let plain = csv(&self.engines[1], sql).await;
        for round in 0..rounds {
            assert_eq!(csv(&self.engines[0], sql).await, plain, "round {round}: {sql}");
        }
    }
}

async fn run(steps: Vec<Step>, questions: Vec<AdHoc>) {
    let mut twins = Twins::new().await;
    for step in &steps {
        twins.step(step).await;
        if matches!(step, Step::Ask) {
            for sql in VIEWS {
                twins.agree(sql, 1).await;
            }
            for question in &questions {
                twins.agree(&question.sql(), ROUNDS).await;
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(3))]

    #[test]
    fn what_is_kept_never_shows(
        steps in prop::collection::vec(step(), 4..14),
        questions in prop::collection::vec(ad_hoc(), 1..3),
    ) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
            .block_on(run(steps, questions));
    }
}

fn views_of_pages(events: std::ops::Range<u32>) -> String {
    let line = |n: u32| {
        format!(
            "{{\"event_id\":\"v{n}\",\"event_type\":\"page_view\",\"event_ts\":{},\"page\":\"/{}\",\"anonymous_id\":\"a{}\",\"session_id\":\"s{}\"}}\n",
            MARCH_MS + i64::from(n % 4_000) * 60_000,
            n % 10,
            n % 50,
            n / 7
        )
    };
    events.map(line).collect()
}

const BY_HOUR: &str = "SELECT date_trunc('hour', event_ts) AS h, page, count(*) AS n, count(DISTINCT session_id) AS s
                       FROM events WHERE page <> '/3' GROUP BY 1, 2 ORDER BY 1, 2";

#[tokio::test(flavor = "multi_thread")]
async fn files_and_settled_batches_are_read_once() {
    let twins = Twins::new().await;
    twins.ingest(&views_of_pages(0..5_000)).await;
    for engine in &twins.engines {
        engine.flush().await.unwrap();
    }
    twins.ingest(&views_of_pages(5_000..8_000)).await;
    twins.ingest(&views_of_pages(8_000..8_100)).await;
    twins.agree(BY_HOUR, ROUNDS).await;
    let explained = csv(&twins.engines[0], &format!("EXPLAIN {BY_HOUR}")).await;
    assert!(explained.contains("PartialsExec: kept=4, computed=0"), "three days' files and a batch: {explained}");
    assert!(!csv(&twins.engines[1], &format!("EXPLAIN {BY_HOUR}")).await.contains("PartialsExec"));
    // A late event makes a piece of its own; the others stay.
    twins.ingest(&views_of_pages(9_000..9_001)).await;
    for engine in &twins.engines {
        engine.flush().await.unwrap();
    }
    twins.agree(BY_HOUR, ROUNDS).await;
    for engine in &twins.engines {
        engine.compact().await.unwrap();
    }
    twins.agree(BY_HOUR, ROUNDS).await;
    let (kept, bytes) = twins.engines[0].kept();
    assert!(kept > 0 && bytes > 0);
    assert_eq!(twins.engines[1].kept(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_first_answers_are_made_from_is_there_before_them() {
    let mut config = keeping(64 << 20);
    config.metrics.warm_from = 3_001;
    // The metrics look at the last days.
    let clock = Arc::new(ManualClock::new((MARCH_MS + 3 * 86_400_000) * 1_000));
    let engine = Engine::open(config, Arc::new(SimFs::new()), clock).await.unwrap();
    let ingest = |events: String| engine.ingest(events.into(), InputFormat::Json, "test", Ack::Durable);
    ingest(views_of_pages(0..3_000)).await.unwrap();
    engine.flush().await.unwrap();
    assert_eq!(engine.metrics().warm().await.unwrap(), 0, "a small table needs none");
    let order = r#"{"event_id":"o","event_type":"purchase","order_id":"o","revenue":5,"event_ts":1772323200000}"#;
    ingest(order.to_owned()).await.unwrap();
    assert_eq!(engine.query_usage().book_bytes, 0);
    assert!(engine.metrics().warm().await.unwrap() > 0);
    assert!(engine.query_usage().book_bytes > 0 && engine.kept().0 > 0, "{:?}", engine.query_usage());
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_stand_in_plans_as_a_table() {
    let twins = Twins::new().await;
    let purchase =
        r#"{"event_id":"1","event_type":"purchase","order_id":"o","revenue":5,"user_id":"u","event_ts":1772323200000}"#;
    twins.ingest(purchase).await;
    let sql = "SELECT sum(value) AS v FROM orders";
    twins.agree(sql, 1).await;
    assert!(csv(&twins.engines[0], &format!("EXPLAIN {sql}")).await.contains("TableScan: orders"));
    assert!(!csv(&twins.engines[1], &format!("EXPLAIN {sql}")).await.contains("TableScan: orders"));
    let refund = r#"{"event_id":"2","event_type":"refund","order_id":"o","revenue":2,"event_ts":1772323300000}"#;
    twins.ingest(refund).await;
    twins.agree("SELECT order_id, value, refunds, net FROM orders", 1).await;
    assert!(csv(&twins.engines[0], "SELECT refunds FROM orders").await.contains('2'));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_stays_within_its_memory() {
    let fs = Arc::new(SimFs::new());
    let limit = 96 << 10;
    let engine = open_with(keeping(limit), fs).await.unwrap();
    for part in 0..6 {
        let events = views_of_pages(part * 1_000..(part + 1) * 1_000);
        engine.ingest(events.into(), InputFormat::Json, "test", Ack::Durable).await.unwrap();
        engine.flush().await.unwrap();
    }
    for minimum in 0..40 {
        for _ in 0..2 {
            csv(&engine, &format!("SELECT page, count(*) AS n FROM events WHERE seq > {minimum} GROUP BY 1")).await;
        }
        assert!(engine.kept().1 <= limit / 2, "{:?}", engine.kept());
    }
    assert!(engine.kept().0 > 0);
    // More orders than there is room for: the views answer.
    let order = |n: u32| {
        format!(
            "{{\"event_id\":\"p{n}\",\"event_type\":\"purchase\",\"order_id\":\"o{n}\",\"revenue\":1,\"user_id\":\"u{n}\",\"event_ts\":{MARCH_MS}}}\n"
        )
    };
    let orders: String = (0..500).map(order).collect();
    engine.ingest(orders.into(), InputFormat::Json, "test", Ack::Durable).await.unwrap();
    for _ in 0..2 {
        assert!(csv(&engine, "SELECT count(*) AS n FROM orders").await.contains("500"));
        assert!(!csv(&engine, "EXPLAIN SELECT count(*) AS n FROM orders").await.contains("TableScan: orders"));
    }
}

/// A history with everything in it: orders sent again, refunds before and after a flush, a cancellation, a late event.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_the_same() {
    let mut twins = Twins::new().await;
    let event = |n: u16, kind: u8| Sent {
        kind,
        id: n,
        day: i64::from(n % 3),
        minute: i64::from(n) * 13 % 1_440,
        order: Some((n % 9) as u8),
        user: (!n.is_multiple_of(4)).then_some((n % 4) as u8),
        revenue: (!n.is_multiple_of(3)).then_some(i64::from(n)),
        lines: (n % 3) as u8,
        currency: n.is_multiple_of(7).into(),
    };
    let part = |from: u16| Step::Ingest((from..from + 20).map(|n| event(n, (n % 6) as u8)).collect());
    let ask = async |twins: &Twins| {
        for (name, params) in METRICS {
            let plain = metric(&twins.engines[1], name, params).await;
            assert_eq!(metric(&twins.engines[0], name, params).await, plain, "{name} {params:?}");
        }
    };
    twins.step(&part(0)).await;
    ask(&twins).await;
    twins.step(&Step::Flush).await;
    twins.step(&part(20)).await;
    ask(&twins).await;
    for step in [Step::Flush, part(40), Step::Compact] {
        twins.step(&step).await;
    }
    ask(&twins).await;
}
