//! The questions. Counts and KPIs are looked up; lists and rankings are made at most once a second each.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use serde::Serialize;
use tideline_engine::clock::{MILLISECOND, Micros};
use tideline_engine::error::Result;
use tideline_engine::hot::{MINUTE, MinuteKpi, minute_of};

use super::shapes::{
    ActiveSessions, ActiveUsers, Answer, CartActions, CartSeries, Funnel, Headline, History, Kpi, Metrics,
    MetricsPoint, PageViewSeries, Seen, SessionCount, Sessions, Summary, Sums, TopPages, Totals, UserSessions, Users,
    ViewsPoint, pages, ratio, series,
};
use super::{MAX_LISTED, RealTime, Span};
use crate::error::Problem;

/// How many minutes of page views the summary ranks.
const SUMMARY_PAGES_MINUTES: u32 = 15;

impl RealTime {
    /// Distinct users.
    pub async fn active_users(&self, span: Span) -> Result<Answer<ActiveUsers>> {
        let active = self.tell(span, move |facts| facts.active(span).boxed()).await?;
        let shape = |users: tideline_engine::hot::Count| ActiveUsers {
            window_minutes: span.minutes,
            active_users: users.count,
            exact: users.exact,
        };
        Ok(active.map(|active| shape(active.users)))
    }

    /// Distinct sessions.
    pub async fn active_sessions(&self, span: Span) -> Result<Answer<ActiveSessions>> {
        let active = self.tell(span, move |facts| facts.active(span).boxed()).await?;
        Ok(active.map(|active| ActiveSessions {
            window_minutes: span.minutes,
            active_sessions: active.sessions.count,
            count: active.sessions.count,
            exact: active.sessions.exact,
        }))
    }

    /// One user's sessions.
    pub async fn user_sessions(&self, user: String, span: Span) -> Result<Bytes, Problem> {
        let (real, question) = (self.clone(), format!("user_sessions {} {:?} {user}", span.minutes, span.at));
        let ask = async move {
            let user: Arc<str> = user.into();
            let sessions = real.tell(span, |facts| {
                let user = Arc::clone(&user);
                async move { facts.sessions_of(&user, span).await }.boxed()
            });
            Ok(sessions.await?.map(|mut sessions| {
                let count = sessions.len();
                sessions.truncate(MAX_LISTED as usize);
                UserSessions {
                    window_minutes: span.minutes,
                    user_id: user.to_string(),
                    active_sessions: sessions.iter().map(|s| s.id.clone()).collect(),
                    sessions: sessions.into_iter().map(Seen::session).collect(),
                    count,
                }
            }))
        };
        self.once(question, span, ask).await
    }

    /// The most viewed pages.
    pub async fn top_pages(&self, span: Span, limit: usize) -> Result<Bytes, Problem> {
        let (real, question) = (self.clone(), format!("top_pages {} {:?} {limit}", span.minutes, span.at));
        let ask = async move {
            let top = real.tell(span, move |facts| facts.top_pages(span, limit).boxed()).await?;
            Ok(top.map(|top| TopPages { window_minutes: span.minutes, exact: top.exact, top_pages: pages(top) }))
        };
        self.once(question, span, ask).await
    }

    /// Who is there.
    pub async fn users(&self, span: Span, limit: usize) -> Result<Bytes, Problem> {
        let (real, question) = (self.clone(), format!("users {} {:?} {limit}", span.minutes, span.at));
        let ask = async move {
            let both = real.tell(span, move |facts| {
                async move { Ok((facts.active(span).await?, facts.users(span, limit).await?)) }.boxed()
            });
            Ok(both.await?.map(|(active, users)| Users {
                window_minutes: span.minutes,
                user_ids: users.iter().map(|u| u.id.clone()).collect(),
                users: users.into_iter().map(Seen::user).collect(),
                active_users: active.users.count,
                count: active.users.count,
                exact: active.users.exact,
            }))
        };
        self.once(question, span, ask).await
    }

    /// How many sessions, and whose.
    pub async fn sessions(&self, span: Span, limit: usize) -> Result<Bytes, Problem> {
        let (real, question) = (self.clone(), format!("sessions {} {:?} {limit}", span.minutes, span.at));
        let ask = async move {
            let both = real.tell(span, move |facts| {
                async move { Ok((facts.active(span).await?, facts.sessions_per_user(span, limit).await?)) }.boxed()
            });
            Ok(both.await?.map(|(active, users)| Sessions {
                window_minutes: span.minutes,
                count: active.sessions.count,
                active_sessions: active.sessions.count,
                active_users: active.users.count,
                avg_sessions_per_user: ratio(active.sessions.count, active.users.count),
                sessions_per_user: users
                    .into_iter()
                    .map(|(user_id, sessions)| SessionCount { user_id, sessions })
                    .collect(),
                exact: active.exact(),
            }))
        };
        self.once(question, span, ask).await
    }

    /// What `GET /metrics` says in JSON.
    pub async fn summary(&self, span: Span, limit: usize) -> Result<Bytes, Problem> {
        let (real, question) = (self.clone(), format!("summary {} {:?} {limit}", span.minutes, span.at));
        let of_pages = Span { minutes: SUMMARY_PAGES_MINUTES.min(self.config.hot.minutes()), ..span };
        let ask = async move {
            let both = real.tell(span, move |facts| {
                async move { Ok((facts.active(span).await?, facts.top_pages(of_pages, limit).await?)) }.boxed()
            });
            Ok(both.await?.map(|(active, top)| Summary {
                window_minutes: span.minutes,
                active_users: active.users.count,
                active_sessions: active.sessions.count,
                avg_sessions_per_user: ratio(active.sessions.count, active.users.count),
                exact: active.exact() && top.exact,
                top_pages: pages(top),
            }))
        };
        self.once(question, span, ask).await
    }

    /// The last complete minute.
    pub async fn latest_kpi(&self, at: Option<Micros>) -> Result<Answer<Kpi>> {
        let span = self.span(1, at);
        let kpis = self.tell(span, move |facts| facts.kpis(span.ended(), span).boxed()).await?;
        let none = || MinuteKpi::empty(span.ended().start);
        Ok(kpis.map(|mut kpis| self.kpi(&kpis.pop().unwrap_or_else(none), span.now)))
    }

    /// Complete minutes, newest first.
    pub async fn history(&self, span: Span) -> Result<Answer<History>> {
        let kpis = self.tell(span, move |facts| facts.kpis(span.ended(), span).boxed()).await?;
        Ok(kpis.map(|kpis| History {
            minutes_back: span.minutes,
            count: kpis.len(),
            kpis: kpis.iter().rev().map(|kpi| self.kpi(kpi, span.now)).collect(),
        }))
    }

    /// Every complete minute from one instant until before another, oldest first, from the table.
    pub async fn minutes(&self, from: Micros, until: Micros) -> Result<Answer<Vec<Kpi>>> {
        let at = until.min(self.span(1, None).now);
        let minutes = u32::try_from(minute_of(at) - minute_of(from)).unwrap_or(0);
        let span = self.span(minutes, Some(at));
        let kpis = self.tell(span, move |facts| facts.kpis(span.ended(), span).boxed()).await?;
        Ok(kpis.map(|kpis| kpis.iter().map(|kpi| self.kpi(kpi, span.now)).collect()))
    }

    /// The shape of one minute's KPIs.
    pub(super) fn kpi(&self, kpi: &MinuteKpi, now: Micros) -> Kpi {
        let late_after = Micros::try_from(self.config.hot.late_after.0.as_millis()).unwrap_or(0) * MILLISECOND;
        Kpi::new(kpi, now, late_after)
    }

    /// The funnel.
    pub async fn funnel(&self, span: Span) -> Result<Answer<Funnel>> {
        let counts = self.tell(span, move |facts| facts.funnel(span).boxed()).await?;
        Ok(counts.map(|counts| Funnel::new(span.minutes, counts)))
    }

    async fn buckets(&self, span: Span) -> Result<Answer<Vec<MinuteKpi>>> {
        self.tell(span, move |facts| facts.kpis(span.buckets(), span).boxed()).await
    }

    /// Totals and a series of everything.
    pub async fn analytics(&self, span: Span) -> Result<Answer<Metrics>> {
        let kpis = self.buckets(span).await?;
        Ok(kpis.map(|kpis| {
            let sums = Sums::of(&kpis);
            let seconds = (span.instant() - span.buckets().start * MINUTE) as f64 / 1e6;
            let totals = Totals::new(&sums);
            let per_second = (sums.events() as f64 / seconds.max(1.0) * 100.0).round() / 100.0;
            Metrics {
                window_minutes: span.minutes,
                headline: Headline::new(per_second, &sums),
                totals,
                series: series(&kpis, MetricsPoint::new),
            }
        }))
    }

    /// Page views: total, series and the pages.
    pub async fn page_views(&self, span: Span, limit: usize) -> Result<Bytes, Problem> {
        let (real, question) = (self.clone(), format!("page_views {} {:?} {limit}", span.minutes, span.at));
        let ask = async move {
            let both = real.tell(span, move |facts| {
                async move { Ok((facts.kpis(span.buckets(), span).await?, facts.top_pages(span, limit).await?)) }
                    .boxed()
            });
            Ok(both.await?.map(|(kpis, top)| PageViewSeries {
                window_minutes: span.minutes,
                total: kpis.iter().map(|kpi| kpi.counts.page_views).sum(),
                exact: top.exact,
                top_pages: pages(top),
                series: series(&kpis, |kpi| ViewsPoint { page_views: kpi.counts.page_views }),
            }))
        };
        self.once(question, span, ask).await
    }

    /// Cart actions: totals and a series.
    pub async fn cart_actions(&self, span: Span) -> Result<Answer<CartSeries>> {
        let kpis = self.buckets(span).await?;
        Ok(kpis.map(|kpis| {
            let totals = CartActions::new(&Sums::of(&kpis));
            CartSeries {
                window_minutes: span.minutes,
                total: totals.total(),
                totals,
                series: series(&kpis, |kpi| CartActions::new(&Sums::of([kpi]))),
            }
        }))
    }

    /// The answer to a question, made at most once a second. Ranking many names takes a while, so it is done where
    /// nobody else's answer waits behind it.
    async fn once<T: Serialize + Send + 'static>(
        &self,
        question: String,
        span: Span,
        ask: impl Future<Output = Result<Answer<T>>> + Send + 'static,
    ) -> Result<Bytes, Problem> {
        let make = async {
            let runtime = tokio::runtime::Handle::current();
            let answer = tokio::task::spawn_blocking(move || {
                let answer = runtime.block_on(ask)?;
                serde_json::to_vec(&answer).map_err(|e| Problem::internal(format!("an answer is not JSON: {e}")))
            });
            let made = answer.await.map_err(|e| Problem::internal(format!("an answer could not be made: {e}")))?;
            made.map(Bytes::from)
        };
        self.cache.get(question, span.now, make).await
    }
}
