//! What clients see: the JSON of every real-time answer. Money is a JSON number with all its digits, never a float.

use chrono::{DateTime, SecondsFormat};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tideline_engine::clock::Micros;
use tideline_engine::event::{MONEY_UNIT, Seq};
use tideline_engine::hot::{Active, FUNNEL_STEPS, LatestOrder, MINUTE, Minute, MinuteKpi, Top};

/// An amount in 1/10,000, written as a JSON number with four digits after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money(pub i128);

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, amount, unit) =
            (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs(), MONEY_UNIT.unsigned_abs());
        write!(f, "{sign}{}.{:04}", amount / unit, amount % unit)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// An instant, as RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Micros);

/// A minute's begin, as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start(pub Minute);

fn rfc3339(time: Micros, digits: SecondsFormat) -> String {
    DateTime::from_timestamp_micros(time).unwrap_or_default().to_rfc3339_opts(digits, true)
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0, SecondsFormat::Millis))
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0 * MINUTE, SecondsFormat::Secs))
    }
}

/// A ratio; none where the denominator is 0.
pub fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

/// Where an answer comes from and how current it is. Stands beside every answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// The instant it is about.
    pub at: Time,
    /// `windows`, or `sql` for other instants and longer spans.
    pub source: &'static str,
    /// Every event up to this position is in it.
    pub applied_seq: u64,
    /// Present, and true, when the windows may not have everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded: Option<bool>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded_reason: Option<String>,
}

impl Standing {
    /// That of a whole answer.
    pub fn new(at: Micros, source: &'static str, applied: Seq) -> Self {
        Self { at: Time(at), source, applied_seq: applied.0, degraded: None, degraded_reason: None }
    }
}

/// An answer with its standing.
#[derive(Debug, Clone, Serialize)]
pub struct Answer<T> {
    /// The answer.
    #[serde(flatten)]
    pub body: T,
    /// Its standing.
    #[serde(flatten)]
    pub standing: Standing,
}

impl<T> Answer<T> {
    /// Puts the answer into another shape.
    pub fn map<U>(self, shape: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { body: shape(self.body), standing: self.standing }
    }
}

/// `/metrics/active_users`
#[derive(Debug, Serialize)]
pub struct ActiveUsers {
    /// How many minutes back.
    pub window_minutes: u32,
    /// Distinct users with an event in them.
    pub active_users: u64,
    /// Whether that is exact.
    pub exact: bool,
}

/// `/metrics/active_sessions` without a user.
#[derive(Debug, Serialize)]
pub struct ActiveSessions {
    /// How many minutes back.
    pub window_minutes: u32,
    /// Distinct sessions with an event in them.
    pub active_sessions: u64,
    /// The same.
    pub count: u64,
    /// Whether that is exact.
    pub exact: bool,
}

/// An id and when it was last seen.
#[derive(Debug, Serialize)]
pub struct Seen {
    /// The id of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The id of a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Its latest event.
    pub last_seen: Time,
}

impl Seen {
    /// A session.
    pub fn session(active: Active) -> Self {
        Self { session_id: Some(active.id), user_id: None, last_seen: Time(active.last_seen) }
    }

    /// A user.
    pub fn user(active: Active) -> Self {
        Self { session_id: None, user_id: Some(active.id), last_seen: Time(active.last_seen) }
    }
}

/// `/metrics/active_sessions?user_id=` and `/users/{id}/sessions`
#[derive(Debug, Serialize)]
pub struct UserSessions {
    /// How many minutes back.
    pub window_minutes: u32,
    /// Whose.
    pub user_id: String,
    /// The sessions' ids, the latest first; at most [`super::MAX_LISTED`].
    pub active_sessions: Vec<String>,
    /// The same with times.
    pub sessions: Vec<Seen>,
    /// How many there are.
    pub count: usize,
}

/// One page of a ranking.
#[derive(Debug, Serialize)]
pub struct PageViews {
    /// The page.
    pub page: String,
    /// Its views.
    pub views: u64,
}

/// A ranking of pages.
pub fn pages(top: Top) -> Vec<PageViews> {
    let views = |value: i128| u64::try_from(value).unwrap_or(0);
    top.entries.into_iter().map(|(page, value)| PageViews { page, views: views(value) }).collect()
}

/// `/metrics/top_pages`
#[derive(Debug, Serialize)]
pub struct TopPages {
    /// How many one-minute buckets, the current one included.
    pub window_minutes: u32,
    /// The most viewed first.
    pub top_pages: Vec<PageViews>,
    /// Whether every page was told apart.
    pub exact: bool,
}

/// `/users/active`
#[derive(Debug, Serialize)]
pub struct Users {
    /// How many minutes back.
    pub window_minutes: u32,
    /// The latest first.
    pub users: Vec<Seen>,
    /// The same, their ids only.
    pub user_ids: Vec<String>,
    /// How many there are, listed or not.
    pub active_users: u64,
    /// The same.
    pub count: u64,
    /// Whether that is exact.
    pub exact: bool,
}

/// A user's number of sessions.
#[derive(Debug, Serialize)]
pub struct SessionCount {
    /// Whose.
    pub user_id: String,
    /// How many.
    pub sessions: u64,
}

/// `/sessions/active`
#[derive(Debug, Serialize)]
pub struct Sessions {
    /// How many minutes back.
    pub window_minutes: u32,
    /// Distinct sessions with an event in them.
    pub count: u64,
    /// The same.
    pub active_sessions: u64,
    /// Distinct users with an event in them.
    pub active_users: u64,
    /// Sessions / users.
    pub avg_sessions_per_user: Option<f64>,
    /// By user, the latest first.
    pub sessions_per_user: Vec<SessionCount>,
    /// Whether the numbers are exact.
    pub exact: bool,
}

/// `GET /metrics` as JSON.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// How many minutes back users and sessions are counted.
    pub window_minutes: u32,
    /// Distinct users with an event in them.
    pub active_users: u64,
    /// Distinct sessions with an event in them.
    pub active_sessions: u64,
    /// Sessions / users.
    pub avg_sessions_per_user: Option<f64>,
    /// The most viewed pages of the last 15 minutes.
    pub top_pages: Vec<PageViews>,
    /// Whether the numbers are exact.
    pub exact: bool,
}

/// The figures of a minute.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub(super) events: u64,
    pub(super) sessions: u64,
    pub(super) unique_users: u64,
    pub(super) page_views: u64,
    pub(super) product_views: u64,
    pub(super) add_to_carts: u64,
    pub(super) checkouts: u64,
    pub(super) purchases: u64,
    pub(super) orders: u64,
    pub(super) converted_sessions: u64,
    pub(super) conversion_rate: Option<f64>,
    pub(super) revenue: Money,
    pub(super) aov: Option<Money>,
}

/// From an event's arrival to being visible.
#[derive(Debug, Serialize)]
pub struct Performance {
    latency_ms_p50: Option<f64>,
    latency_ms_p95: Option<f64>,
    latency_ms_p99: Option<f64>,
    /// The mean, in milliseconds.
    processing_time: Option<f64>,
}

/// One minute's KPIs.
#[derive(Debug, Serialize)]
pub struct Kpi {
    _id: Start,
    pub(super) window_start: Start,
    pub(super) window_end: Start,
    pub(super) r#final: bool,
    exact: bool,
    pub(super) metrics: Figures,
    performance: Performance,
}

/// Revenue by order, rounded half away from zero to four digits; none without orders.
fn average(revenue: i128, orders: u64) -> Option<Money> {
    let orders = i128::from(orders);
    (orders > 0).then(|| Money((revenue * 2 + revenue.signum() * orders) / (orders * 2)))
}

impl Kpi {
    /// Of a minute that is final from `late_after` after its end on.
    pub fn new(kpi: &MinuteKpi, now: Micros, late_after: Micros) -> Self {
        let (counts, end) = (kpi.counts, kpi.minute + 1);
        let latency = |p| kpi.latency.percentile_ms(p);
        Self {
            _id: Start(kpi.minute),
            window_start: Start(kpi.minute),
            window_end: Start(end),
            r#final: now >= end * MINUTE + late_after,
            exact: kpi.sessions.exact && kpi.users.exact && kpi.converted.exact,
            metrics: Figures {
                events: counts.events,
                sessions: kpi.sessions.count,
                unique_users: kpi.users.count,
                page_views: counts.page_views,
                product_views: counts.product_views,
                add_to_carts: counts.add_to_carts,
                checkouts: counts.checkouts,
                purchases: counts.purchases,
                orders: kpi.orders,
                converted_sessions: kpi.converted.count,
                conversion_rate: ratio(kpi.converted.count, kpi.sessions.count),
                revenue: Money(kpi.revenue),
                aov: average(kpi.revenue, kpi.orders),
            },
            performance: Performance {
                latency_ms_p50: latency(0.5),
                latency_ms_p95: latency(0.95),
                latency_ms_p99: latency(0.99),
                processing_time: kpi.latency.mean_ms(),
            },
        }
    }
}

/// `/kpis/history`
#[derive(Debug, Serialize)]
pub struct History {
    /// How many minutes.
    pub minutes_back: u32,
    /// The same: one for each minute.
    pub count: usize,
    /// Newest first.
    pub kpis: Vec<Kpi>,
}

/// One step of the funnel.
#[derive(Debug, Serialize)]
pub struct Step {
    step: usize,
    name: &'static str,
    /// Sessions that got here.
    count: u64,
    /// Of those at the step before; none for the first step.
    step_rate: Option<f64>,
    step_from: Option<u64>,
    /// Of those at the first step.
    overall_rate: Option<f64>,
    overall_from: u64,
    /// Sessions at the step before that did not get here.
    drop_off: u64,
    drop_off_rate: Option<f64>,
}

/// `/funnel/current`
#[derive(Debug, Serialize)]
pub struct Funnel {
    window_minutes: u32,
    /// Of the first step, those that did the last.
    conversion_rate: Option<f64>,
    steps: Vec<Step>,
}

impl Funnel {
    /// From the sessions at each step.
    pub fn new(window_minutes: u32, counts: [u64; FUNNEL_STEPS.len()]) -> Self {
        let first = counts[0];
        let step = |at: usize| {
            let (count, before) = (counts[at], at.checked_sub(1).map(|before| counts[before]));
            let drop_off = before.map_or(0, |before| before.saturating_sub(count));
            Step {
                step: at + 1,
                name: FUNNEL_STEPS[at],
                count,
                step_rate: before.and_then(|before| ratio(count, before)),
                step_from: before,
                overall_rate: ratio(count, first),
                overall_from: first,
                drop_off,
                drop_off_rate: before.and_then(|before| ratio(drop_off, before)),
            }
        };
        let steps = (0..FUNNEL_STEPS.len()).map(step).collect();
        Self { window_minutes, conversion_rate: ratio(counts[FUNNEL_STEPS.len() - 1], first), steps }
    }
}

/// Sums over the minutes of a span, or one minute's.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sums {
    events: u64,
    page_views: u64,
    product_views: u64,
    add_to_carts: u64,
    remove_from_carts: u64,
    view_carts: u64,
    checkouts: u64,
    purchases: u64,
    orders: u64,
    revenue: i128,
}

impl Sums {
    /// Of these minutes.
    pub fn of<'a>(kpis: impl IntoIterator<Item = &'a MinuteKpi>) -> Self {
        let mut sums = Self::default();
        for kpi in kpis {
            let counts = kpi.counts;
            sums.events += counts.events;
            sums.page_views += counts.page_views;
            sums.product_views += counts.product_views;
            sums.add_to_carts += counts.add_to_carts;
            sums.remove_from_carts += counts.remove_from_carts;
            sums.view_carts += counts.view_carts;
            sums.checkouts += counts.checkouts;
            sums.purchases += counts.purchases;
            sums.orders += kpi.orders;
            sums.revenue += kpi.revenue;
        }
        sums
    }

    /// All events.
    pub fn events(&self) -> u64 {
        self.events
    }

    fn cart_actions(&self) -> u64 {
        self.add_to_carts + self.remove_from_carts + self.view_carts
    }
}

/// What a dashboard shows in large digits, in the spelling of WebSocket frames.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Headline {
    events_per_second: f64,
    page_views: u64,
    cart_actions: u64,
    purchases: u64,
}

impl Headline {
    /// Of a span's sums.
    pub fn new(events_per_second: f64, sums: &Sums) -> Self {
        let (page_views, cart_actions, purchases) = (sums.page_views, sums.cart_actions(), sums.purchases);
        Self { events_per_second, page_views, cart_actions, purchases }
    }
}

/// Sums by name.
#[derive(Debug, Serialize)]
pub struct Totals {
    events: u64,
    page_views: u64,
    product_views: u64,
    cart_actions: u64,
    add_to_carts: u64,
    checkouts: u64,
    purchases: u64,
    orders: u64,
    revenue: Money,
    aov: Option<Money>,
}

impl Totals {
    /// Of these sums. An order that lies in two minutes counts in both.
    pub fn new(sums: &Sums) -> Self {
        Self {
            events: sums.events,
            page_views: sums.page_views,
            product_views: sums.product_views,
            cart_actions: sums.cart_actions(),
            add_to_carts: sums.add_to_carts,
            checkouts: sums.checkouts,
            purchases: sums.purchases,
            orders: sums.orders,
            revenue: Money(sums.revenue),
            aov: average(sums.revenue, sums.orders),
        }
    }
}

/// A point of a series.
#[derive(Debug, Serialize)]
pub struct Point<T> {
    minute: Start,
    #[serde(flatten)]
    values: T,
}

/// A point for each minute, oldest first.
pub fn series<T>(kpis: &[MinuteKpi], values: impl Fn(&MinuteKpi) -> T) -> Vec<Point<T>> {
    kpis.iter().map(|kpi| Point { minute: Start(kpi.minute), values: values(kpi) }).collect()
}

/// A minute of `/api/analytics/metrics`.
#[derive(Debug, Serialize)]
pub struct MetricsPoint {
    sessions: u64,
    unique_users: u64,
    exact: bool,
    #[serde(flatten)]
    totals: Totals,
}

impl MetricsPoint {
    /// Of one minute.
    pub fn new(kpi: &MinuteKpi) -> Self {
        let totals = Totals::new(&Sums::of([kpi]));
        let exact = kpi.sessions.exact && kpi.users.exact;
        Self { sessions: kpi.sessions.count, unique_users: kpi.users.count, exact, totals }
    }
}

/// `/api/analytics/metrics`
#[derive(Debug, Serialize)]
pub struct Metrics {
    /// How many one-minute buckets, the current one included.
    pub window_minutes: u32,
    /// The largest digits.
    #[serde(flatten)]
    pub headline: Headline,
    /// Sums over the buckets.
    pub totals: Totals,
    /// One for each bucket, oldest first.
    pub series: Vec<Point<MetricsPoint>>,
}

/// Page views of a minute.
#[derive(Debug, Serialize)]
pub struct ViewsPoint {
    /// How many.
    pub page_views: u64,
}

/// `/api/analytics/page-views`
#[derive(Debug, Serialize)]
pub struct PageViewSeries {
    /// How many one-minute buckets, the current one included.
    pub window_minutes: u32,
    /// Page views in them.
    pub total: u64,
    /// The most viewed pages.
    pub top_pages: Vec<PageViews>,
    /// Whether every page was told apart.
    pub exact: bool,
    /// One for each bucket, oldest first.
    pub series: Vec<Point<ViewsPoint>>,
}

/// What was done to carts.
#[derive(Debug, Serialize)]
pub struct CartActions {
    total: u64,
    add_to_cart: u64,
    remove_from_cart: u64,
    view_cart: u64,
}

impl CartActions {
    /// Of these sums.
    pub fn new(sums: &Sums) -> Self {
        Self {
            total: sums.cart_actions(),
            add_to_cart: sums.add_to_carts,
            remove_from_cart: sums.remove_from_carts,
            view_cart: sums.view_carts,
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// `/api/analytics/cart-actions`
#[derive(Debug, Serialize)]
pub struct CartSeries {
    /// How many one-minute buckets, the current one included.
    pub window_minutes: u32,
    /// All of them.
    pub total: u64,
    /// By what was done.
    pub totals: CartActions,
    /// One for each bucket, oldest first.
    pub series: Vec<Point<CartActions>>,
}

/// A purchase.
#[derive(Debug, Serialize)]
pub struct Order {
    event_ts: Time,
    event_id: String,
    order_id: Option<String>,
    value: Money,
    currency: Option<String>,
    country: Option<String>,
}

impl From<LatestOrder> for Order {
    fn from(order: LatestOrder) -> Self {
        Self {
            event_ts: Time(order.event_ts),
            event_id: order.event_id,
            order_id: order.order_id,
            value: Money(order.value),
            currency: order.currency,
            country: order.country,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_a_number_with_all_its_digits() {
        let text = |amount| serde_json::to_string(&Money(amount)).unwrap();
        assert_eq!([text(125_000), text(-1), text(0)], ["12.5000", "-0.0001", "0.0000"]);
        // More digits than a float holds.
        assert_eq!(text(999_999_999_999_999_999_999_i128), "99999999999999999.9999");
    }

    #[test]
    fn an_average_is_rounded_half_away_from_zero_and_absent_without_orders() {
        assert_eq!(average(10, 4), Some(Money(3)));
        assert_eq!(average(-10, 4), Some(Money(-3)));
        assert_eq!(average(9, 4), Some(Money(2)));
        assert_eq!(average(9, 0), None);
    }

    #[test]
    fn rates_of_an_empty_funnel_are_absent_and_not_zero() {
        let json = |counts| serde_json::to_value(Funnel::new(60, counts)).unwrap();
        let empty = json([0; 4]);
        assert!(empty["conversion_rate"].is_null() && empty["steps"][1]["step_rate"].is_null(), "{empty}");
        let some = json([8, 4, 2, 2]);
        let step = &some["steps"][2];
        assert_eq!(
            (&step["step_rate"], &step["overall_rate"], &step["drop_off"]),
            (&0.5.into(), &0.25.into(), &2.into())
        );
        assert_eq!(some["conversion_rate"], 0.25);
    }
}
