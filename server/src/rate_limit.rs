//! How much one client may do in a sliding window: requests and events of a key, else of an address, and events of a
//! user. Off unless set.
//!
//! Requests are charged before a handler runs ([`crate::http::access`]), events when they are decoded and before any is
//! stored ([`crate::http::ingest`]). What does not fit is refused as a whole and charged nothing. Servers with one
//! `redis_url` share their counts through [`shared`]; whenever Redis does not answer at once, this server's own count
//! ([`local`]) decides. A limit never fails a request by itself.

pub mod local;
pub mod shared;
pub mod window;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};
use tideline_engine::clock::Clock;
use tideline_engine::measure::Counter;

use crate::auth::Caller;
use crate::auth::secret::Digest;
use crate::config::RateLimit as Settings;
use crate::config::net::masked;
use crate::error::Problem;
use local::Local;
use shared::Shared;
use window::{Charge, Count, Shape};

/// The policies of an answer: <https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>.
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of them.
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// Users of one request whose events are counted in Redis; those beyond are counted by this server alone, so that one
/// request cannot keep Redis busy.
const SHARED_USERS: usize = 1_000;
/// Whoever has an IPv6 address has a whole network of this many bits.
const IPV6_BITS: u8 = 64;

/// On whose account a request goes.
#[derive(Debug, Clone)]
pub struct Account {
    name: String,
    requests: u32,
    events: u32,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Requests of a key or an address.
    Requests,
    /// Their events.
    Events,
    /// Events of a user.
    UserEvents,
}

/// All of them.
pub const POLICIES: [Policy; 3] = [Policy::Requests, Policy::Events, Policy::UserEvents];

impl Policy {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Events => "events",
            Self::UserEvents => "user_events",
        }
    }
}

/// How an account stands with one policy.
#[derive(Debug, Clone)]
struct Standing {
    policy: Policy,
    limit: u64,
    count: Count,
}

/// How an account stands after a charge: what the `RateLimit` headers say.
#[derive(Debug, Clone, Default)]
pub struct Standings(Vec<Standing>);

/// The limiter.
#[derive(Debug)]
pub struct RateLimiter {
    settings: Settings,
    shape: Shape,
    clock: Arc<dyn Clock>,
    local: Local,
    shared: Option<Shared>,
    refusals: [Counter; POLICIES.len()],
}

impl RateLimiter {
    /// With these limits, shared through Redis where there is a URL. Connects when it is first needed.
    pub fn new(settings: &Settings, redis_url: &str, clock: Arc<dyn Clock>) -> Self {
        let shape = Shape::of(settings.window.0);
        let shared = match redis_url {
            "" => None,
            url => Shared::new(url, settings.redis_timeout.0, shape, Arc::clone(&clock))
                .inspect_err(|e| tracing::error!(error = %e, "redis_url cannot be used; limits are this server's own"))
                .ok(),
        };
        let local = Local::new(shape, settings.max_callers);
        Self { settings: settings.clone(), shape, local, shared, clock, refusals: Default::default() }
    }

    /// The account of a caller: its key's, its own where it signed in without one, else its address's.
    pub fn account(&self, caller: Option<&Caller>, address: IpAddr) -> Account {
        let limits = caller.map(|c| c.limits).unwrap_or_default();
        let person = caller.and_then(Caller::person).map(|person| Digest::of(&person.subject).to_hex());
        let name = match caller.and_then(Caller::key_id) {
            Some(id) => format!("key:{id}"),
            None if let Some(person) = person => format!("person:{person}"),
            None if address.is_ipv6() => format!("ip:{}", masked(address, IPV6_BITS)),
            None => format!("ip:{address}"),
        };
        let Settings { requests, events, .. } = self.settings;
        Account { name, requests: limits.requests.unwrap_or(requests), events: limits.events.unwrap_or(events) }
    }

    /// Charges a request.
    ///
    /// # Errors
    /// 429 when it does not fit.
    pub async fn request(&self, account: &Account) -> Result<Standings, Problem> {
        if account.requests == 0 {
            return Ok(Standings::default());
        }
        let charge = charge(Policy::Requests, &account.name, account.requests, 1);
        self.take(&[Policy::Requests], &[charge]).await
    }

    /// Whether [`RateLimiter::events`] would charge anything.
    pub fn counts_events(&self, account: &Account) -> bool {
        account.events > 0 || self.settings.user_events > 0
    }

    /// Charges the events of a request: `total` of them, and each user's.
    ///
    /// # Errors
    /// 429 when they do not fit now, 413 when they never will: then nothing is charged.
    pub async fn events(
        &self,
        account: &Account,
        total: usize,
        users: &BTreeMap<&str, u64>,
    ) -> Result<Standings, Problem> {
        let (mut policies, mut charges) = (Vec::new(), Vec::new());
        if account.events > 0 {
            policies.push(Policy::Events);
            charges.push(charge(Policy::Events, &account.name, account.events, total as u64));
        }
        let user_limit = self.settings.user_events;
        if user_limit > 0 {
            for (user, events) in users {
                policies.push(Policy::UserEvents);
                charges.push(charge(Policy::UserEvents, &digest(user), user_limit, *events));
            }
        }
        if let Some(at) = charges.iter().position(|charge| charge.cost > charge.limit) {
            return Err(self.never_fits(policies[at], &charges[at]));
        }
        self.take(&policies, &charges).await
    }

    /// Whether counts are shared at this moment; `None` when they are not meant to be.
    pub fn is_shared(&self) -> Option<bool> {
        self.shared.as_ref().filter(|_| self.is_on()).map(Shared::is_up)
    }

    /// Whether there are limits for everybody. A key may have its own all the same.
    fn is_on(&self) -> bool {
        let Settings { requests, events, user_events, .. } = self.settings;
        requests > 0 || events > 0 || user_events > 0
    }

    /// Connects to Redis now rather than when the first request needs it. Returns when that worked or did not.
    pub async fn connect(&self) {
        if let Some(shared) = self.shared.as_ref().filter(|_| self.is_on()) {
            shared.connect().await;
        }
    }

    /// Takes all charges or none.
    async fn take(&self, policies: &[Policy], charges: &[Charge]) -> Result<Standings, Problem> {
        let now_ms = self.clock.now() / tideline_engine::clock::MILLISECOND;
        let (head, rest) = charges.split_at(charges.len().min(SHARED_USERS));
        let shared = match &self.shared {
            // The users beyond are judged first, as Redis cannot be asked to give back.
            Some(shared) if self.local.would_fit(rest, now_ms) => shared.take(head).await,
            _ => None,
        };
        let verdict = match shared {
            Some(verdict) if verdict.fits => {
                // So that this server knows its own part when Redis goes away.
                self.local.record(charges, now_ms);
                verdict
            }
            Some(verdict) => verdict,
            None => self.local.take(charges, now_ms),
        };
        let standing = |at: usize| {
            let (policy, charge, count) = (policies.get(at)?, charges.get(at)?, verdict.counts.get(at)?);
            Some(Standing { policy: *policy, limit: charge.limit, count: *count })
        };
        if let Some(at) = verdict.refused {
            let wait = verdict.wait_ms.max(1);
            return Err(self.refused(standing(at).into_iter().collect(), policies.get(at).copied(), wait));
        }
        // Of many users, the one with the least left.
        let tightest = |policy| {
            let of_it = (0..charges.len()).filter_map(standing).filter(|s| s.policy == policy);
            of_it.min_by_key(|s| s.limit.saturating_sub(s.count.used))
        };
        Ok(Standings(POLICIES.into_iter().filter_map(tightest).collect()))
    }

    /// How many requests met a limit.
    pub fn refusals(&self, policy: Policy) -> u64 {
        self.refusals[policy as usize].get()
    }

    fn refused(&self, standings: Vec<Standing>, policy: Option<Policy>, wait_ms: u64) -> Problem {
        self.refusals[policy.unwrap_or(Policy::Requests) as usize].inc();
        let (limit, window) = (standings.first().map_or(0, |s| s.limit), self.settings.window);
        let message = match policy.unwrap_or(Policy::Requests) {
            Policy::Requests => format!("more than {limit} requests in {window}"),
            Policy::Events => format!("more than {limit} events in {window}; nothing of this request was stored"),
            Policy::UserEvents => {
                format!("more than {limit} events of one user in {window}; nothing of this request was stored")
            }
        };
        let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
            .with_hint("send the same request again after Retry-After; event ids make that safe")
            .with_header("retry-after", HeaderValue::from(wait_ms.div_ceil(1_000)));
        let mut headers = HeaderMap::new();
        Standings(standings).write(&mut headers, &self.shape);
        for (name, value) in &headers {
            let name = if *name == RATELIMIT { "ratelimit" } else { "ratelimit-policy" };
            problem = problem.with_header(name, value.clone());
        }
        problem
    }

    fn never_fits(&self, policy: Policy, charge: &Charge) -> Problem {
        let Charge { cost, limit, .. } = charge;
        let (whose, window) = (if policy == Policy::UserEvents { " of one user" } else { "" }, self.settings.window);
        let message = format!("the request has {cost} events{whose}, and {limit} in {window} are allowed at all");
        Problem::too_large("request_over_rate_limit", message)
            .with_hint(format!("split it into requests of at most {limit} events; nothing of it was stored"))
    }

    /// Adds what `standings` say to an answer.
    pub fn write_headers(&self, standings: &Standings, headers: &mut HeaderMap) {
        standings.write(headers, &self.shape);
    }
}

impl Standings {
    fn write(&self, headers: &mut HeaderMap, shape: &Shape) {
        let (window_s, mut policies, mut left) = (shape.window_ms().div_ceil(1_000), Vec::new(), Vec::new());
        for Standing { policy, limit, count } in &self.0 {
            let remaining = limit.saturating_sub(count.used);
            policies.push(format!("\"{}\";q={limit};w={window_s}", policy.name()));
            left.push(format!("\"{}\";r={remaining};t={}", policy.name(), count.returns_ms.div_ceil(1_000)));
        }
        for (name, parts) in [(RATELIMIT_POLICY, policies), (RATELIMIT, left)] {
            // A handler's own come before those of the request as a whole: one list.
            let earlier = headers.get(&name).and_then(|v| v.to_str().ok()).map(str::to_owned);
            let all: Vec<String> = parts.into_iter().chain(earlier).collect();
            if !all.is_empty()
                && let Ok(value) = HeaderValue::from_str(&all.join(", "))
            {
                headers.insert(name, value);
            }
        }
    }
}

fn charge(policy: Policy, account: &str, limit: u32, cost: u64) -> Charge {
    Charge { name: format!("{}:{account}", policy.name()), limit: limit.into(), cost }
}

/// A user's id may be as long as an event and is nobody's business in Redis.
fn digest(user: &str) -> String {
    Sha256::digest(user).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
