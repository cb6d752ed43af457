//! Events as a shop sends them, and the deltas they make.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use tideline_engine::clock::Micros;
use tideline_engine::decode::{DecodeContext, Deriver, InputFormat, decode};
use tideline_engine::event::Seq;
use tideline_engine::hot::{BOARDS, HotConfig, HotWindow, Ids, MINUTE, Minute, WindowDelta, minute_of};

/// 2026-03-01T12:00:00Z.
pub const NOON: Micros = 1_772_366_400_000_000;
const BOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const TYPES: [&str; 8] = [
    "page_view",
    "product_view",
    "add_to_cart",
    "remove_from_cart",
    "view_cart",
    "checkout_start",
    "purchase",
    "search",
];

static DERIVER: LazyLock<Arc<Deriver>> = LazyLock::new(Arc::default);

/// One event, by small numbers.
#[derive(Debug, Clone)]
pub struct Event {
    /// Seconds before now; less than 0 is early.
    pub age_s: i64,
    pub kind: usize,
    pub user: u8,
    pub session: u8,
    pub thing: u8,
    pub order: Option<u8>,
    pub revenue: Option<i32>,
    pub bot: bool,
}

impl Event {
    /// Anything that may happen.
    pub fn any() -> impl Strategy<Value = Self> {
        let age = prop_oneof![4 => 0_i64..180, 2 => 0_i64..4_500, 1 => -290_i64..0];
        let order = proptest::option::weighted(0.7, 0_u8..6);
        let revenue = proptest::option::weighted(0.6, -500_i32..2_000_000);
        let ids = (0_u8..6, 0_u8..9, 0_u8..7);
        (age, 0..TYPES.len(), ids, order, revenue, proptest::bool::weighted(0.05)).prop_map(
            |(age_s, kind, (user, session, thing), order, revenue, bot)| Self {
                age_s,
                kind,
                user,
                session,
                thing,
                order,
                revenue,
                bot,
            },
        )
    }

    /// A page view, this long ago.
    pub fn view(user: u8, age_s: i64) -> Self {
        Self { age_s, kind: 0, user, session: user, thing: 0, order: None, revenue: None, bot: false }
    }

    /// A purchase, this long ago.
    pub fn purchase(session: u8, age_s: i64, order: Option<u8>, revenue: Option<i32>) -> Self {
        Self { kind: 6, order, revenue, ..Self::view(session, age_s) }
    }

    /// The nth of a busy shop, within the last minutes; `salt` sets orders of shops apart, not visitors.
    pub fn nth(n: u64, salt: u8) -> Self {
        let mix = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
        let part = |shift: u32, below: u64| ((mix >> shift) % below) as u8;
        Self {
            age_s: if part(3, 20) == 0 { i64::from(part(5, 200)) * 15 } else { 0 },
            kind: usize::from(part(0, 8)),
            user: part(2, 200),
            session: part(4, 250),
            thing: part(6, 7),
            order: (part(8, 3) > 0).then(|| part(9, 100) + 100 * (salt - 1)),
            revenue: (part(10, 3) > 0).then(|| i32::from(part(11, 250)) * 777),
            bot: part(12, 30) == 0,
        }
    }

    fn json(&self, id: u64, now: Micros) -> serde_json::Value {
        let mut event = json!({
            "event_id": format!("e{id}"),
            "event_type": TYPES[self.kind],
            "event_ts": (now - self.age_s * 1_000_000) / 1_000,
            "session_id": format!("s{}", self.session),
            "user_id": format!("u{}", self.user),
            "page": format!("/p/{}", self.thing),
            "product_id": format!("sku{}", self.thing),
            "price": "12.3456",
            "quantity": self.thing,
        });
        if TYPES[self.kind] == "purchase" {
            event["order_id"] = self.order.map(|o| format!("o{o}")).into();
            event["revenue"] = self.revenue.map(|r| format!("{}.{:02}", r / 100, r.abs() % 100)).into();
            event["utm_source"] = ["ads", "mail"].get(usize::from(self.thing)).copied().into();
            event["country"] = ["DE", "FR", "l\u{f6}\""].get(usize::from(self.session)).copied().into();
        }
        if self.bot {
            event["user_agent"] = BOT.into();
        }
        event
    }
}

/// Events as a request's body; the first one has this id.
pub fn ndjson(events: &[Event], first: u64, now: Micros) -> String {
    events.iter().zip(first..).map(|(event, id)| event.json(id, now).to_string() + "\n").collect()
}

/// The rows of events that come after `prev`.
fn rows(events: &[Event], prev: Seq, now: Micros) -> RecordBatch {
    let body = ndjson(events, prev.0 + 1, now);
    let context = DecodeContext::new(now, Arc::clone(&DERIVER));
    let decoded = decode(&Bytes::from(body), InputFormat::Json, &context).unwrap();
    assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
    let first = prev.plus(1).as_i64();
    let seqs: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + events.len() as i64));
    let mut fields = decoded.batch.schema().fields().to_vec();
    fields.push(Arc::new(Field::new("seq", DataType::Int64, false)));
    let columns = decoded.batch.columns().iter().cloned().chain([seqs]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// What events that come after `prev` add.
pub fn delta(events: &[Event], prev: u64, now: Micros) -> WindowDelta {
    let prev = Seq(prev);
    let last = prev.plus(events.len() as u64);
    let floor = HotConfig::default().floor(now);
    let mut delta = WindowDelta::of_rows(&rows(events, prev, now), floor).unwrap().between(prev, last);
    delta.arrived(now, Duration::from_millis(7), events.len() as u64);
    delta
}

/// Everything that windows answer at a moment, as text.
pub async fn answers(windows: &dyn HotWindow, now: Micros) -> Vec<String> {
    let mut answers = Vec::new();
    let mut say = |what: String, answer: &dyn std::fmt::Debug| answers.push(format!("{what}: {answer:?}"));
    let floor = HotConfig::default().floor(now);
    for ids in [Ids::Users, Ids::Sessions] {
        for since in [floor * MINUTE - 1_000, now - 5 * MINUTE, now - 90_000_000, now] {
            say(format!("{ids:?} since {since}"), &windows.active(ids, since).await.unwrap());
            for limit in [0, 1, 3, 100] {
                let active = windows.active_ids(ids, since, limit).await.unwrap();
                say(format!("{limit} {ids:?} since {since}"), &active);
            }
        }
    }
    for user in 0..7 {
        let sessions = windows.sessions_of(&format!("u{user}"), floor * MINUTE - 1_000).await.unwrap();
        say(format!("sessions of u{user}"), &sessions);
    }
    for kpi in windows.kpis(Minute::MIN, Minute::MAX, now).await.unwrap() {
        say(format!("minute {}", kpi.minute - floor), &kpi);
    }
    for board in BOARDS {
        for (from, to) in [(floor, minute_of(now) + 6), (minute_of(now) - 2, minute_of(now) + 1)] {
            for limit in [2, 100] {
                let top = windows.top(board, from, to, limit).await.unwrap();
                say(format!("{limit} of {board:?}, minutes {}", to - from), &top);
            }
        }
    }
    for since in [floor * MINUTE - 1_000, now - 10 * MINUTE, now - 60_000_000] {
        say(format!("funnel since {since}"), &windows.funnel(since).await.unwrap());
    }
    let second = now / 1_000_000;
    say("arrivals".into(), &windows.arrivals(second - 100, second + 1).await.unwrap());
    for limit in [3, 50] {
        say(format!("{limit} latest orders"), &windows.latest_orders(limit).await.unwrap());
    }
    say("applied".into(), &windows.applied().await.unwrap());
    answers
}

/// The two give the same answers; the first difference is shown.
pub async fn assert_same(one: &dyn HotWindow, other: &dyn HotWindow, now: Micros) {
    let (one, other) = (answers(one, now).await, answers(other, now).await);
    assert_eq!(one.len(), other.len());
    for (a, b) in one.iter().zip(&other) {
        assert_eq!(a, b);
    }
}
