//! What listeners are told each second: one picture of the last minutes, made once for all of them.

use serde::Serialize;
use tideline_engine::alert_log::Alert;
use tideline_engine::clock::Micros;
use tideline_engine::error::{Error, Result};
use tideline_engine::hot::{Board, MINUTE, Minute, MinuteKpi, Top, minute_of};

use super::facts::{ActiveIds, Facts};
use super::shapes::{Answer, Funnel, Headline, Kpi, Money, Order, PageViews, Sums, pages};
use super::{RealTime, Span};
use futures::FutureExt as _;

/// Minutes in which users and sessions count as active.
const ACTIVE_MINUTES: u32 = 5;
/// Minutes that rankings are over.
const TOP_MINUTES: u32 = 15;
/// Entries of each ranking.
const TOP: usize = 10;
/// Purchases shown.
const ORDERS: usize = 10;
/// Seconds that the rate of events is averaged over.
const RATE_SECONDS: i64 = 5;
/// Seconds of arrivals shown.
const ARRIVAL_SECONDS: i64 = 60;

#[derive(Debug, Serialize)]
struct Product {
    product_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    views: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    units: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Source {
    source: String,
    revenue: Money,
}

#[derive(Debug, Serialize)]
struct Country {
    country: String,
    revenue: Money,
}

#[derive(Debug, Serialize)]
struct Kpis {
    /// The minute that is running.
    current: Kpi,
    /// The last complete one.
    latest: Kpi,
}

#[derive(Debug, Serialize)]
struct Rates {
    events_per_second: f64,
    /// Events that arrived in each of the last seconds, oldest first.
    arrivals: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Freshness {
    /// The last position stored.
    seq: u64,
    /// Positions that are stored and not yet counted here.
    behind: u64,
    buffered_rows: usize,
    lake_version: i64,
}

/// What a tick says.
#[derive(Debug, Serialize)]
pub struct Payload {
    tick: u64,
    /// Minutes that the sums in camel case are over.
    window_minutes: u32,
    #[serde(flatten)]
    headline: Headline,
    active_users: u64,
    active_sessions: u64,
    exact: bool,
    kpis: Kpis,
    rates: Rates,
    top_pages: Vec<PageViews>,
    top_products: Vec<Product>,
    products_bought: Vec<Product>,
    sources: Vec<Source>,
    countries: Vec<Country>,
    funnel: Funnel,
    latest_orders: Vec<Order>,
    freshness: Freshness,
    /// Those that are open, the latest first.
    alerts: Vec<Alert>,
}

/// What the windows say.
struct Picture {
    active: ActiveIds,
    kpis: Vec<MinuteKpi>,
    arrivals: Vec<u64>,
    boards: [Top; 5],
    funnel: [u64; 4],
    orders: Vec<Order>,
}

async fn look(facts: &Facts, span: Span, top_minutes: u32) -> Result<Picture> {
    let Facts::Windows(windows) = facts else { return Err(Error::internal("a tick is made of live windows")) };
    let within = |minutes| Span { minutes, ..span };
    let (second, current): (i64, Minute) = (span.now.div_euclid(1_000_000), minute_of(span.now));
    let top = |board| windows.top(board, current + 1 - Minute::from(top_minutes), current + 1, TOP);
    Ok(Picture {
        active: facts.active(within(ACTIVE_MINUTES.min(span.minutes))).await?,
        kpis: facts.kpis(span.buckets(), span).await?,
        arrivals: windows.arrivals(second - ARRIVAL_SECONDS, second).await?,
        boards: [
            top(Board::Pages).await?,
            top(Board::ProductViews).await?,
            top(Board::ProductsBought).await?,
            top(Board::RevenueBySource).await?,
            top(Board::RevenueByCountry).await?,
        ],
        funnel: facts.funnel(span).await?,
        orders: windows.latest_orders(ORDERS).await?.into_iter().map(Order::from).collect(),
    })
}

impl RealTime {
    /// The picture of this moment, as JSON.
    pub async fn tick(&self, number: u64) -> Result<String> {
        let minutes = self.config.hot.minutes();
        let span = self.span(minutes, None);
        let top_minutes = TOP_MINUTES.min(minutes);
        let picture = self.tell(span, move |facts| look(facts, span, top_minutes).boxed()).await?;
        let payload = self.payload(number, span, picture);
        serde_json::to_string(&payload).map_err(|e| Error::internal(format!("a tick is not JSON: {e}")))
    }

    fn payload(&self, number: u64, span: Span, picture: Answer<Picture>) -> Answer<Payload> {
        let (seq, snapshot) = (self.engine.last_seq().0, self.engine.snapshot());
        let freshness = Freshness {
            seq,
            behind: seq.saturating_sub(picture.standing.applied_seq),
            buffered_rows: snapshot.buffer.rows(),
            lake_version: snapshot.lake.version,
        };
        let alerts = self.engine.alerts().log().open_ones().iter().map(|alert| alert.as_ref().clone()).collect();
        picture.map(|picture| {
            let Picture { active, kpis, arrivals, boards, funnel, orders } = picture;
            let [views, product_views, bought, sources, countries] = boards;
            let per_second = events_per_second(&arrivals);
            let amount = |value: i128| u64::try_from(value).ok();
            let minute = |back: usize| {
                let known = kpis.len().checked_sub(back + 1).map(|at| kpis[at].clone());
                let now: Micros = span.now;
                self.kpi(&known.unwrap_or_else(|| MinuteKpi::empty(now.div_euclid(MINUTE) - back as Minute)), now)
            };
            Payload {
                tick: number,
                window_minutes: span.minutes,
                headline: Headline::new(per_second, &Sums::of(&kpis)),
                active_users: active.users.count,
                active_sessions: active.sessions.count,
                exact: active.exact(),
                kpis: Kpis { current: minute(0), latest: minute(1) },
                rates: Rates { events_per_second: per_second, arrivals },
                top_pages: pages(views),
                top_products: list(product_views, |id, n| Product { product_id: id, views: amount(n), units: None }),
                products_bought: list(bought, |id, n| Product { product_id: id, views: None, units: amount(n) }),
                sources: list(sources, |source, n| Source { source, revenue: Money(n) }),
                countries: list(countries, |country, n| Country { country, revenue: Money(n) }),
                funnel: Funnel::new(span.minutes, funnel),
                latest_orders: orders,
                freshness,
                alerts,
            }
        })
    }
}

fn list<T>(top: Top, shape: impl Fn(String, i128) -> T) -> Vec<T> {
    top.entries.into_iter().map(|(name, value)| shape(name, value)).collect()
}

/// The mean over the last seconds.
fn events_per_second(arrivals: &[u64]) -> f64 {
    let recent: u64 = arrivals.iter().rev().take(RATE_SECONDS as usize).sum();
    recent as f64 / RATE_SECONDS as f64
}
