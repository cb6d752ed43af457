//! The live windows against SQL: after any ingest, late, early and repeated events, flushes, losses of power and
//! passing time, each minute in the window has the same figures in both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use futures::TryStreamExt;
use proptest::prelude::*;
use serde_json::json;
use tideline_engine::clock::{Clock, ManualClock, Micros};
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, Engine};
use tideline_engine::fs::sim::SimFs;
use tideline_engine::hot::{AHEAD, Board, HotWindow, Ids, MINUTE, Minute, MinuteKpi, minute_of};
use tideline_engine::query::QueryRequest;

use crate::support::{MARCH_MS, cases, config};

const KPIS: &str = include_str!("../../../queries/live/kpis.sql");
const ACTIVE: &str = include_str!("../../../queries/live/active.sql");
const TOP_PAGES: &str = include_str!("../../../queries/live/top_pages.sql");
const FUNNEL: &str = include_str!("../../../queries/live/funnel.sql");

/// When the tests begin.
const START: Micros = MARCH_MS * 1_000 + 10 * MINUTE;
/// Minutes of the window, small so that minutes leave it.
const WINDOW: u32 = 12;

/// One event, by choices from short lists so that everything happens to everyone.
#[derive(Debug, Clone)]
struct Shopped {
    id: u16,
    kind: usize,
    /// Seconds from now: late, now, or early.
    offset_s: i64,
    user: Option<u8>,
    session: u8,
    order: Option<u8>,
    /// The order's stated value, or a price with its quantity, or lines.
    money: Money,
    bot: bool,
}

#[derive(Debug, Clone)]
enum Money {
    Stated(u16),
    Price(u16, Option<u8>),
    Items(Vec<(u16, Option<u8>)>),
}

const KINDS: [&str; 8] = [
    "page_view",
    "product_view",
    "add_to_cart",
    "checkout_start",
    "purchase",
    "purchase",
    "remove_from_cart",
    "wished_for",
];

impl Shopped {
    fn json(&self, now: Micros) -> String {
        let mut event = json!({
            "event_id": format!("e{}", self.id),
            "event_type": KINDS[self.kind],
            "event_ts": (now / 1_000) + self.offset_s * 1_000,
            "session_id": format!("s{}", self.session),
            "anonymous_id": format!("a{}", self.session % 3),
            "page": format!("/p{}", self.id % 4),
            "product_id": format!("sku{}", self.id % 5),
            "user_id": self.user.map(|u| format!("u{u}")),
            "order_id": self.order.map(|o| format!("o{o}")),
            "user_agent": if self.bot { "Googlebot/2.1 (+http://www.google.com/bot.html)" } else { "" },
        });
        let cents = |c: &u16| format!("{}.{:02}", c / 100, c % 100);
        match &self.money {
            Money::Stated(value) => event["revenue"] = cents(value).into(),
            Money::Price(price, quantity) => {
                event["price"] = cents(price).into();
                event["quantity"] = json!(quantity);
            }
            Money::Items(items) => {
                let line = |(n, (price, quantity)): (usize, &(u16, Option<u8>))| json!({"product_id": format!("sku{n}"), "price": cents(price), "quantity": quantity});
                event["items"] = items.iter().enumerate().map(line).collect();
            }
        }
        event.to_string()
    }
}

fn shopped() -> impl Strategy<Value = Shopped> {
    let money = prop_oneof![
        any::<u16>().prop_map(Money::Stated),
        (any::<u16>(), prop::option::of(0..4u8)).prop_map(|(p, q)| Money::Price(p, q)),
        prop::collection::vec((any::<u16>(), prop::option::of(0..4u8)), 0..3).prop_map(Money::Items),
    ];
    let offset = prop_oneof![4 => -30..=0i64, 3 => -900..0i64, 1 => 0..=300i64];
    let who = (prop::option::of(0..4u8), 0..6u8, prop::option::of(0..3u8));
    (0..400u16, 0..KINDS.len(), offset, who, money, prop::bool::weighted(0.1)).prop_map(
        |(id, kind, offset_s, (user, session, order), money, bot)| Shopped {
            id,
            kind,
            offset_s,
            user,
            session,
            order,
            money,
            bot,
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Ingest(Vec<Shopped>),
    Wait(u64),
    Flush,
    Compact,
    PowerLoss,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(shopped(), 1..30).prop_map(Step::Ingest),
        4 => (1..200u64).prop_map(Step::Wait),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        2 => Just(Step::PowerLoss),
    ]
}

async fn open(disk: &SimFs, clock: &Arc<ManualClock>) -> Arc<Engine> {
    let mut config = config();
    config.hot.window = WINDOW;
    let engine = Engine::open(config, Arc::new(disk.clone()), Arc::clone(clock) as Arc<dyn Clock>).await.unwrap();
    engine.windows().until_filled().await;
    engine
}

async fn ask(engine: &Engine, sql: &str, params: &[(&str, i64)]) -> Vec<RecordBatch> {
    let params: BTreeMap<_, _> = params.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let request = QueryRequest { sql: sql.to_owned(), params, timeout: None, limit: None };
    engine.query(request).await.unwrap().stream.try_collect().await.unwrap()
}

fn long(batch: &RecordBatch, name: &str, row: usize) -> u64 {
    u64::try_from(batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(row)).unwrap()
}

/// A minute as text, from either side.
fn line(minute: Minute, counts: [u64; 12], revenue: i128) -> String {
    let mut text = format!("{minute}:");
    counts.iter().for_each(|c| write!(text, " {c}").unwrap());
    format!("{text} {revenue}")
}

fn of_window(kpi: &MinuteKpi) -> String {
    assert!(kpi.sessions.exact && kpi.users.exact && kpi.converted.exact);
    let c = &kpi.counts;
    let counts = [
        c.events,
        kpi.sessions.count,
        kpi.users.count,
        kpi.converted.count,
        c.page_views,
        c.product_views,
        c.add_to_carts,
        c.remove_from_carts,
        c.view_carts,
        c.checkouts,
        c.purchases,
        kpi.orders,
    ];
    line(kpi.minute, counts, kpi.revenue)
}

async fn kpis_in_sql(engine: &Engine, from: Minute, to: Minute) -> Vec<String> {
    const NAMES: [&str; 12] = [
        "events",
        "sessions",
        "unique_users",
        "converted_sessions",
        "page_views",
        "product_views",
        "add_to_carts",
        "remove_from_carts",
        "view_carts",
        "checkouts",
        "purchases",
        "orders",
    ];
    let mut lines: BTreeMap<Minute, String> = (from..to).map(|m| (m, line(m, [0; 12], 0))).collect();
    for batch in ask(engine, KPIS, &[("from", from * MINUTE), ("to", to * MINUTE)]).await {
        for row in 0..batch.num_rows() {
            let at =
                batch.column_by_name("window_start").unwrap().as_primitive::<TimestampMicrosecondType>().value(row);
            let revenue = batch.column_by_name("revenue").unwrap().as_primitive::<Decimal128Type>().value(row);
            lines.insert(minute_of(at), line(minute_of(at), NAMES.map(|n| long(&batch, n, row)), revenue));
        }
    }
    lines.into_values().collect()
}

/// Everything the windows say, beside what SQL says.
async fn compare(engine: &Engine, now: Micros) {
    let windows = engine.windows().memory();
    let (from, to) = (windows.config().floor(now), minute_of(now) + AHEAD);
    let live: Vec<String> = windows.kpis(from, to, now).await.unwrap().iter().map(of_window).collect();
    assert_eq!(live, kpis_in_sql(engine, from, to).await);

    let upto = now + 300_000_000;
    for minutes in [1, i64::from(WINDOW) - 1] {
        let since = now - minutes * MINUTE;
        let span = [("since", since), ("until", upto)];
        let active = ask(engine, ACTIVE, &span).await;
        let users = windows.active(Ids::Users, since).await.unwrap();
        let sessions = windows.active(Ids::Sessions, since).await.unwrap();
        assert_eq!(users.count, long(&active[0], "active_users", 0), "users of {minutes} minutes");
        assert_eq!(sessions.count, long(&active[0], "active_sessions", 0), "sessions of {minutes} minutes");
        assert_eq!(windows.active_ids(Ids::Users, since, 1_000).await.unwrap().len() as u64, users.count);

        let funnel = ask(engine, FUNNEL, &span).await;
        let steps = ["product_view", "add_to_cart", "checkout_start", "purchase"].map(|s| long(&funnel[0], s, 0));
        assert_eq!(windows.funnel(since).await.unwrap(), steps, "funnel of {minutes} minutes");

        let (from, to) = (minute_of(now) - minutes + 1, minute_of(now) + AHEAD);
        let pages = ask(engine, TOP_PAGES, &[("from", from * MINUTE), ("to", to * MINUTE), ("limit", 3)]).await;
        let mut wanted = Vec::new();
        for batch in &pages {
            let names = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
            for row in 0..names.len() {
                wanted.push((names.as_string::<i32>().value(row).to_owned(), i128::from(long(batch, "views", row))));
            }
        }
        assert_eq!(windows.top(Board::Pages, from, to, 3).await.unwrap().entries, wanted, "pages of {minutes} minutes");
    }

    let share = windows.share();
    let copy = tideline_engine::hot::MemoryWindows::new(windows.config().clone(), share.prev);
    copy.replace(&share, now).await.unwrap();
    let copied: Vec<String> = copy.kpis(from, to, now).await.unwrap().iter().map(of_window).collect();
    assert_eq!(copied, live, "a copy made of the share");
    for board in tideline_engine::hot::BOARDS {
        let of = |windows: &dyn HotWindow| {
            let top = futures::executor::block_on(windows.top(board, from, to, 100));
            top.unwrap().entries
        };
        assert_eq!(of(&copy), of(windows.as_ref()), "{board:?}");
    }
    let by_source: i128 =
        windows.top(Board::RevenueBySource, from, to, 100).await.unwrap().entries.iter().map(|e| e.1).sum();
    let revenue: i128 = windows.kpis(from, to, now).await.unwrap().iter().map(|k| k.revenue).sum();
    assert_eq!(by_source, revenue, "revenue by source adds up to the revenue");
}

async fn run(steps: Vec<Step>) {
    let clock = Arc::new(ManualClock::new(START));
    let mut disk = SimFs::new();
    let mut engine = open(&disk, &clock).await;
    let count = steps.len();
    for (n, step) in steps.into_iter().enumerate() {
        match &step {
            Step::Ingest(events) => {
                let body: String = events.iter().map(|e| e.json(clock.now()) + "\n").collect();
                engine.ingest(body.into(), InputFormat::Json, "test", Ack::Durable).await.unwrap();
            }
            Step::Wait(seconds) => clock.advance(Duration::from_secs(*seconds)),
            Step::Flush => drop(engine.flush().await.unwrap()),
            Step::Compact => drop(engine.compact().await.unwrap()),
            Step::PowerLoss => {
                drop(engine);
                disk = disk.power_loss();
                engine = open(&disk, &clock).await;
            }
        }
        // What is wrong after one step is nearly always wrong after the next.
        if n % 3 == 2 || n + 1 == count {
            compare(&engine, clock.now()).await;
        }
    }
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn live_windows_always_equal_sql(steps in prop::collection::vec(step(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
