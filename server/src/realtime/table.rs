//! KPIs of many minutes: as one document, and as rows and columns for the formats that have them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use serde::Serialize;
use tideline_engine::clock::Micros;
use tideline_engine::error::Result;
use tideline_engine::event::MONEY_SCALE;
use tideline_engine::hot::MINUTE;

use super::shapes::{Figures, Kpi, Money, Start, Time};

/// Digits of money in sums.
const MONEY_DIGITS: u8 = 38;

/// The KPIs of a day of the shop.
#[derive(Debug, Serialize)]
pub struct Day {
    /// The day.
    pub date: String,
    /// The shop's time zone.
    pub time_zone: &'static str,
    /// When it begins.
    pub start: Time,
    /// When it ends: 23, 24 or 25 hours later.
    pub end: Time,
    /// How many minutes of it are complete.
    pub count: usize,
    /// They, oldest first.
    pub kpis: Vec<Kpi>,
}

impl Day {
    /// From its minutes.
    pub fn new(date: String, time_zone: &'static str, start: Micros, end: Micros, kpis: Vec<Kpi>) -> Self {
        Self { date, time_zone, start: Time(start), end: Time(end), count: kpis.len(), kpis }
    }
}

/// One row for each minute. Latencies are not in it: the table does not have them.
///
/// # Errors
/// None that is expected.
pub fn table(kpis: &[Kpi]) -> Result<RecordBatch> {
    let time = |of: fn(&Kpi) -> Start| -> ArrayRef {
        let times = kpis.iter().map(|kpi| of(kpi).0 * MINUTE);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let flag =
        |of: fn(&Kpi) -> bool| -> ArrayRef { Arc::new(kpis.iter().map(|k| Some(of(k))).collect::<BooleanArray>()) };
    let count = |of: fn(&Figures) -> u64| -> ArrayRef {
        let counts = kpis.iter().map(|kpi| i64::try_from(of(&kpi.metrics)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(counts))
    };
    let money = |of: fn(&Figures) -> Option<Money>| -> Result<ArrayRef> {
        let amounts: Decimal128Array = kpis.iter().map(|kpi| of(&kpi.metrics).map(|money| money.0)).collect();
        Ok(Arc::new(amounts.with_precision_and_scale(MONEY_DIGITS, MONEY_SCALE)?))
    };
    let rates: ArrayRef = Arc::new(kpis.iter().map(|kpi| kpi.metrics.conversion_rate).collect::<Float64Array>());
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("window_start", time(|kpi| kpi.window_start), false),
        ("window_end", time(|kpi| kpi.window_end), false),
        ("final", flag(|kpi| kpi.r#final), false),
        ("events", count(|m| m.events), false),
        ("sessions", count(|m| m.sessions), false),
        ("unique_users", count(|m| m.unique_users), false),
        ("page_views", count(|m| m.page_views), false),
        ("product_views", count(|m| m.product_views), false),
        ("add_to_carts", count(|m| m.add_to_carts), false),
        ("checkouts", count(|m| m.checkouts), false),
        ("purchases", count(|m| m.purchases), false),
        ("orders", count(|m| m.orders), false),
        ("converted_sessions", count(|m| m.converted_sessions), false),
        ("conversion_rate", rates, true),
        ("revenue", money(|m| Some(m.revenue))?, false),
        ("aov", money(|m| m.aov)?, true),
    ])?)
}
