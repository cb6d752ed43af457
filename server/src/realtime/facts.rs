//! The facts answers are made of, from the live windows or from SQL: the same figures under the same names.

use std::sync::Arc;

use tideline_engine::error::Result;
use tideline_engine::hot::{Active, Board, Count, FUNNEL_STEPS, HotWindow, Ids, Minute, MinuteKpi, Top};

use super::Span;
use super::sql::Table;

/// Where facts come from.
#[derive(Debug)]
pub enum Facts {
    /// Live windows.
    Windows(Arc<dyn HotWindow>),
    /// The table.
    Table(Table),
}

/// Distinct users and sessions.
#[derive(Debug, Clone, Copy)]
pub struct ActiveIds {
    /// Users.
    pub users: Count,
    /// Sessions.
    pub sessions: Count,
}

impl ActiveIds {
    /// Whether both are exact.
    pub fn exact(&self) -> bool {
        self.users.exact && self.sessions.exact
    }
}

impl Facts {
    /// Distinct users and sessions of the span.
    pub async fn active(&self, span: Span) -> Result<ActiveIds> {
        match self {
            Self::Windows(windows) => Ok(ActiveIds {
                users: windows.active(Ids::Users, span.since()).await?,
                sessions: windows.active(Ids::Sessions, span.since()).await?,
            }),
            Self::Table(table) => table.active(span).await,
        }
    }

    /// Users of the span, the latest first.
    pub async fn users(&self, span: Span, limit: usize) -> Result<Vec<Active>> {
        match self {
            Self::Windows(windows) => windows.active_ids(Ids::Users, span.since(), limit).await,
            Self::Table(table) => table.users(span, limit).await,
        }
    }

    /// One user's sessions, the latest first.
    pub async fn sessions_of(&self, user: &str, span: Span) -> Result<Vec<Active>> {
        match self {
            Self::Windows(windows) => windows.sessions_of(user, span.since()).await,
            Self::Table(table) => table.sessions_of(user, span).await,
        }
    }

    /// How many sessions each user had, the latest users first.
    pub async fn sessions_per_user(&self, span: Span, limit: usize) -> Result<Vec<(String, u64)>> {
        let windows = match self {
            Self::Windows(windows) => windows,
            Self::Table(table) => return table.sessions_per_user(span, limit).await,
        };
        let mut counts = Vec::new();
        for user in windows.active_ids(Ids::Users, span.since(), limit).await? {
            let sessions = windows.sessions_of(&user.id, span.since()).await?;
            counts.push((user.id, sessions.len() as u64));
        }
        Ok(counts)
    }

    /// The pages most viewed in the span's buckets.
    pub async fn top_pages(&self, span: Span, limit: usize) -> Result<Top> {
        let buckets = span.buckets();
        match self {
            Self::Windows(windows) => windows.top(Board::Pages, buckets.start, buckets.end, limit).await,
            Self::Table(table) => table.top_pages(span, limit).await,
        }
    }

    /// The KPIs of every minute of the range, oldest first. What comes after the span's instant is not in them.
    pub async fn kpis(&self, minutes: std::ops::Range<Minute>, span: Span) -> Result<Vec<MinuteKpi>> {
        match self {
            Self::Windows(windows) => windows.kpis(minutes.start, minutes.end, span.now).await,
            Self::Table(table) => table.kpis(minutes, span).await,
        }
    }

    /// Sessions at each step of the funnel.
    pub async fn funnel(&self, span: Span) -> Result<[u64; FUNNEL_STEPS.len()]> {
        match self {
            Self::Windows(windows) => windows.funnel(span.since()).await,
            Self::Table(table) => table.funnel(span).await,
        }
    }
}
