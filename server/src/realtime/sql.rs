//! The same facts from SQL: for other instants, and for spans that are longer than the live windows.
//!
//! The texts are the files of `queries/live`, with bound parameters; a test compares them with the windows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use futures::StreamExt as _;
use serde_json::Value;
use tideline_engine::clock::{MILLISECOND, Micros};
use tideline_engine::engine::Engine;
use tideline_engine::error::{Error, Result};
use tideline_engine::event::MONEY_SCALE;
use tideline_engine::hot::{Active, Count, Counts, FUNNEL_STEPS, MINUTE, Minute, MinuteKpi, Top, minute_of};
use tideline_engine::query::QueryRequest;

use super::Span;
use super::facts::ActiveIds;

const ACTIVE: &str = include_str!("../../../queries/live/active.sql");
const USERS: &str = include_str!("../../../queries/live/active_users.sql");
const USER_SESSIONS: &str = include_str!("../../../queries/live/user_sessions.sql");
const SESSIONS_PER_USER: &str = include_str!("../../../queries/live/sessions_per_user.sql");
const TOP_PAGES: &str = include_str!("../../../queries/live/top_pages.sql");
const KPIS: &str = include_str!("../../../queries/live/kpis.sql");
const FUNNEL: &str = include_str!("../../../queries/live/funnel.sql");

/// The table of events, and how to ask it.
#[derive(Debug)]
pub struct Table {
    /// Runs the queries.
    pub engine: Arc<Engine>,
    /// How long one may take.
    pub timeout: Duration,
    /// How far ahead of now an event may be; it counts as now.
    pub ahead: Micros,
}

fn number(n: impl Into<i64>) -> Value {
    Value::from(n.into())
}

fn limit_value(limit: usize) -> Value {
    number(i64::try_from(limit).unwrap_or(i64::MAX))
}

impl Table {
    /// The latest time that counts.
    fn until(&self, span: Span) -> Micros {
        span.at.unwrap_or(span.now + self.ahead)
    }

    /// `$since` and `$until` of a window that rolls.
    fn rolling(&self, span: Span) -> Vec<(&'static str, Value)> {
        vec![("since", number(span.since())), ("until", number(self.until(span)))]
    }

    /// `$from` and `$to` of minutes; the last one ends with the instant.
    fn minutes(&self, minutes: &Range<Minute>, span: Span) -> Vec<(&'static str, Value)> {
        let to = (minutes.end * MINUTE).min(self.until(span) + MILLISECOND);
        vec![("from", number(minutes.start * MINUTE)), ("to", number(to))]
    }

    async fn rows(&self, sql: &str, params: Vec<(&'static str, Value)>) -> Result<Vec<Rows>> {
        let params: BTreeMap<String, Value> = params.into_iter().map(|(name, v)| (name.to_owned(), v)).collect();
        let request = QueryRequest { sql: sql.to_owned(), params, timeout: Some(self.timeout), limit: None };
        let mut output = self.engine.query(request).await?;
        let mut batches = Vec::new();
        while let Some(batch) = output.stream.next().await {
            batches.push(Rows(batch?));
        }
        Ok(batches)
    }

    /// Distinct users and sessions of the span.
    pub async fn active(&self, span: Span) -> Result<ActiveIds> {
        let rows = self.rows(ACTIVE, self.rolling(span)).await?;
        let count = |name| only(&rows)?.exact(name, 0);
        Ok(ActiveIds { users: count("active_users")?, sessions: count("active_sessions")? })
    }

    /// Users of the span, the latest first.
    pub async fn users(&self, span: Span, limit: usize) -> Result<Vec<Active>> {
        let mut params = self.rolling(span);
        params.push(("limit", limit_value(limit)));
        seen(&self.rows(USERS, params).await?)
    }

    /// One user's sessions, the latest first.
    pub async fn sessions_of(&self, user: &str, span: Span) -> Result<Vec<Active>> {
        let mut params = self.rolling(span);
        params.push(("user", user.into()));
        seen(&self.rows(USER_SESSIONS, params).await?)
    }

    /// How many sessions each user had, the latest users first.
    pub async fn sessions_per_user(&self, span: Span, limit: usize) -> Result<Vec<(String, u64)>> {
        let mut params = self.rolling(span);
        params.push(("limit", limit_value(limit)));
        let rows = self.rows(SESSIONS_PER_USER, params).await?;
        each(&rows, |rows, row| Ok((rows.text("id", row)?, rows.count("sessions", row)?)))
    }

    /// The pages most viewed in the span's buckets.
    pub async fn top_pages(&self, span: Span, limit: usize) -> Result<Top> {
        let mut params = self.minutes(&span.buckets(), span);
        params.push(("limit", limit_value(limit)));
        let rows = self.rows(TOP_PAGES, params).await?;
        let entries = each(&rows, |rows, row| Ok((rows.text("page", row)?, rows.count("views", row)?.into())))?;
        Ok(Top { entries, exact: true })
    }

    /// The KPIs of every minute of the range, also of those in which nothing happened, oldest first.
    pub async fn kpis(&self, minutes: Range<Minute>, span: Span) -> Result<Vec<MinuteKpi>> {
        let rows = self.rows(KPIS, self.minutes(&minutes, span)).await?;
        let busy = each(&rows, |rows, row| rows.kpi(row))?;
        let mut busy: BTreeMap<Minute, MinuteKpi> = busy.into_iter().map(|kpi| (kpi.minute, kpi)).collect();
        Ok(minutes.map(|minute| busy.remove(&minute).unwrap_or_else(|| MinuteKpi::empty(minute))).collect())
    }

    /// Sessions at each step of the funnel.
    pub async fn funnel(&self, span: Span) -> Result<[u64; FUNNEL_STEPS.len()]> {
        let rows = self.rows(FUNNEL, self.rolling(span)).await?;
        let mut counts = [0; FUNNEL_STEPS.len()];
        for (count, step) in counts.iter_mut().zip(FUNNEL_STEPS) {
            *count = only(&rows)?.count(step, 0)?;
        }
        Ok(counts)
    }
}

fn only(rows: &[Rows]) -> Result<&Rows> {
    rows.first().ok_or_else(|| Error::internal("a query of one row gave none"))
}

fn each<T>(batches: &[Rows], read: impl Fn(&Rows, usize) -> Result<T>) -> Result<Vec<T>> {
    let read = &read;
    batches.iter().flat_map(|rows| (0..rows.0.num_rows()).map(move |row| read(rows, row))).collect()
}

fn seen(batches: &[Rows]) -> Result<Vec<Active>> {
    each(batches, |rows, row| Ok(Active { id: rows.text("id", row)?, last_seen: rows.time("last_seen", row)? }))
}

/// A batch whose cells are read by name.
struct Rows(RecordBatch);

impl Rows {
    /// A cell, as a column of one row of the type wanted.
    fn cell(&self, name: &str, row: usize, wanted: &DataType) -> Result<arrow::array::ArrayRef> {
        let column = self.0.column_by_name(name);
        let column = column.ok_or_else(|| Error::internal(format!("a query has no column {name}")))?;
        cast(&column.slice(row, 1), wanted).map_err(|e| Error::internal(format!("the column {name}: {e}")))
    }

    fn count(&self, name: &str, row: usize) -> Result<u64> {
        let cell = self.cell(name, row, &DataType::Int64)?;
        Ok(u64::try_from(cell.as_primitive::<Int64Type>().value(0)).unwrap_or(0))
    }

    fn exact(&self, name: &str, row: usize) -> Result<Count> {
        Ok(Count { count: self.count(name, row)?, exact: true })
    }

    fn text(&self, name: &str, row: usize) -> Result<String> {
        let cell = self.cell(name, row, &DataType::Utf8)?;
        let text = cell.as_string::<i32>();
        Ok(if text.is_valid(0) { text.value(0).to_owned() } else { String::new() })
    }

    fn time(&self, name: &str, row: usize) -> Result<Micros> {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let cell = self.cell(name, row, &utc)?;
        Ok(cell.as_primitive::<TimestampMicrosecondType>().value(0))
    }

    fn money(&self, name: &str, row: usize) -> Result<i128> {
        let cell = self.cell(name, row, &DataType::Decimal128(38, MONEY_SCALE))?;
        Ok(cell.as_primitive::<Decimal128Type>().value(0))
    }

    fn kpi(&self, row: usize) -> Result<MinuteKpi> {
        let count = |name| self.count(name, row);
        Ok(MinuteKpi {
            counts: Counts {
                events: count("events")?,
                bots: 0,
                page_views: count("page_views")?,
                product_views: count("product_views")?,
                add_to_carts: count("add_to_carts")?,
                remove_from_carts: count("remove_from_carts")?,
                view_carts: count("view_carts")?,
                checkouts: count("checkouts")?,
                purchases: count("purchases")?,
            },
            sessions: self.exact("sessions", row)?,
            users: self.exact("unique_users", row)?,
            converted: self.exact("converted_sessions", row)?,
            orders: count("orders")?,
            revenue: self.money("revenue", row)?,
            ..MinuteKpi::empty(minute_of(self.time("window_start", row)?))
        })
    }
}
