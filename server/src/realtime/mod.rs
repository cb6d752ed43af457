//! Real-time metrics: answered from the live windows, or from SQL where those do not reach. One definition each.
//!
//! ```text
//! question (http/metrics) ─▶ cache (lists only) ─▶ facts ─▶ windows │ SQL ─▶ shape ─▶ JSON
//!                                  ticker (live) ────┘                          └─▶ listeners of /live and /ws
//! ```
//!
//! Every question has a [`Span`]: how many minutes back, and from which instant. Without `at` and within the live
//! window the windows answer; anything else is SQL in event time, over everything known today. Both give the same
//! facts (`facts.rs`), so an answer has one shape and one meaning wherever it came from.

mod cache;
mod facts;
pub mod live;
mod questions;
pub mod shapes;
mod sql;
pub mod table;
mod tick;

use std::sync::Arc;

use futures::future::BoxFuture;
use tideline_engine::clock::{MILLISECOND, Micros};
use tideline_engine::engine::Engine;
use tideline_engine::error::Result;
use tideline_engine::hot::{Degraded, MINUTE, Minute, minute_of};

use crate::config::Config;
use cache::Cache;
use facts::Facts;
use shapes::{Answer, Standing};
use sql::Table;

/// How far back a question may reach, in minutes: a day. Longer ones are for `/sql`.
pub const MAX_MINUTES: u32 = 1_440;
/// The longest list.
pub const MAX_LISTED: u32 = 1_000;

/// What a question is about: so many minutes up to an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// How many minutes back.
    pub minutes: u32,
    /// The instant, where one is asked for; else it is now.
    pub at: Option<Micros>,
    /// When it was asked.
    pub now: Micros,
}

impl Span {
    /// The instant.
    pub fn instant(&self) -> Micros {
        self.at.unwrap_or(self.now)
    }

    /// Where a window that rolls begins; what is later than this is in it.
    pub fn since(&self) -> Micros {
        self.instant() - Micros::from(self.minutes) * MINUTE
    }

    /// So many one-minute buckets, the current one included.
    pub fn buckets(&self) -> std::ops::Range<Minute> {
        let end = minute_of(self.instant()) + 1;
        end - Minute::from(self.minutes)..end
    }

    /// So many minutes that have ended.
    pub fn ended(&self) -> std::ops::Range<Minute> {
        let end = minute_of(self.instant());
        end - Minute::from(self.minutes)..end
    }
}

/// Answers questions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RealTime {
    engine: Arc<Engine>,
    config: Arc<Config>,
    cache: Arc<Cache>,
}

impl RealTime {
    /// Over an open engine.
    pub fn new(engine: Arc<Engine>, config: Arc<Config>) -> Self {
        Self { engine, config, cache: Arc::default() }
    }

    /// So many minutes up to `at`, else up to now.
    pub fn span(&self, minutes: u32, at: Option<Micros>) -> Span {
        Span { minutes, at, now: self.engine.clock().now() }
    }

    /// Asks the windows where they reach, else SQL. Windows that are out of reach are stood in for by this node's own.
    async fn tell<T>(
        &self,
        span: Span,
        question: impl for<'a> Fn(&'a Facts) -> BoxFuture<'a, Result<T>>,
    ) -> Result<Answer<T>> {
        if span.at.is_some() || span.minutes > self.config.hot.minutes() {
            let applied = self.engine.windows().applied();
            let ahead = Micros::try_from(self.config.ingest.max_future.0.as_millis()).unwrap_or(0) * MILLISECOND;
            let (engine, timeout) = (Arc::clone(&self.engine), self.config.query.timeout.0);
            let facts = Facts::Table(Table { engine, timeout, ahead });
            let body = question(&facts).await?;
            return Ok(Answer { body, standing: Standing::new(span.instant(), "sql", applied) });
        }
        let question = &question;
        let ask = |windows| async move {
            let facts = Facts::Windows(windows);
            question(&facts).await
        };
        let told = self.engine.windows().ask(ask).await?;
        let mut standing = Standing::new(span.instant(), "windows", told.applied);
        standing.degraded = told.degraded.is_some().then_some(true);
        standing.degraded_reason = told.degraded.as_ref().map(reason);
        Ok(Answer { body: told.body, standing })
    }
}

/// Why an answer may not have everything, for people.
fn reason(degraded: &Degraded) -> String {
    match degraded {
        Degraded::Filling => {
            "the server has just started and is still reading the window's past: figures may be too low".to_owned()
        }
        // Why is for the log: it may name hosts.
        Degraded::Alone(_) => "the shared windows are out of reach: these figures are this server's own".to_owned(),
        Degraded::Lacking => {
            "another server's share is still being put into the shared windows: figures may be too low".to_owned()
        }
    }
}
