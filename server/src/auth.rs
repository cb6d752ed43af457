//! Who is asking, and what they may do. [`Auth::resolve`] turns a request's headers into an [`Identity`], once; the
//! table of routes says which scope each route needs, and [`crate::http::access`] holds the two against each other.
//!
//! A data folder without keys serves whoever reaches it (which only programs on this machine do, see
//! [`crate::listen`]). From the first key on, which is remembered even when it is revoked or has expired, every request
//! needs one: a server must never fall open because a key ran out.

pub mod credential;
pub mod keys;
pub mod oidc;
pub mod scope;
pub mod secret;
pub mod sessions;

use std::sync::Arc;

use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use tideline_engine::clock::{Clock, Micros};

use crate::config::Session as SessionSettings;
use crate::error::Problem;
use credential::{Credential, Presented};
use keys::{KeyLimits, KeyRecord, KeyStore, State};
use oidc::Person;
use scope::{Scope, Scopes};
use sessions::{Begun, Owner, Sessions};

/// Who sent a request. Handlers get it as a request extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// By what they are known.
    pub by: By,
    /// What they may do.
    pub scopes: Scopes,
    /// The limits of their key, where it has its own.
    pub limits: KeyLimits,
}

/// By what a caller is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A program on this machine, talking to a server without keys.
    Local,
    /// A key, sent with the request.
    Key {
        /// Its id.
        id: String,
    },
    /// A browser's session.
    Session {
        /// For what it was begun.
        owner: Owner,
        /// When it ends.
        expires_at: Micros,
    },
}

impl Caller {
    /// The id of the key behind the request.
    pub fn key_id(&self) -> Option<&str> {
        match &self.by {
            By::Local => None,
            By::Key { id } => Some(id),
            By::Session { owner: Owner::Key(id), .. } => Some(id),
            By::Session { owner: Owner::Person(_), .. } => None,
        }
    }

    /// Who signed in with single sign-on.
    pub fn person(&self) -> Option<&Person> {
        match &self.by {
            By::Session { owner: Owner::Person(person), .. } => Some(person),
            _ => None,
        }
    }

    /// Whether a cookie says who they are: a browser adds it to every request, whoever made the page send it.
    pub fn is_session(&self) -> bool {
        matches!(self.by, By::Session { .. })
    }

    fn local() -> Self {
        Self { by: By::Local, scopes: Scopes::ALL, limits: KeyLimits::default() }
    }

    fn of(by: By, key: &KeyRecord) -> Self {
        Self { by, scopes: key.scopes, limits: key.limits }
    }

    fn of_person(person: Arc<Person>, expires_at: Micros) -> Self {
        let scopes = person.scopes;
        Self { by: By::Session { owner: Owner::Person(person), expires_at }, scopes, limits: KeyLimits::default() }
    }
}

/// What a request's headers say about its sender.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The caller, or why there is none: the answer of a route that needs one.
    pub caller: Result<Caller, Refusal>,
    /// Whether the credential stands in a header that a browser adds only when a page's own script says so, and, to
    /// another site, only after asking it (CORS). A cookie and a password of the address bar are not of that kind.
    pub is_explicit: bool,
}

impl Identity {
    /// Whether a key, known or not, stands in a header; or none is needed.
    pub fn has_key(&self) -> bool {
        match &self.caller {
            Ok(caller) => !caller.is_session(),
            Err(refusal) => !matches!(refusal, Refusal::Missing | Refusal::SessionEnded),
        }
    }
}

/// Why a request has no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It names no key.
    Missing,
    /// Its credential cannot be read.
    Malformed,
    /// The key is none of this server's.
    Unknown,
    /// The key was revoked.
    Revoked,
    /// The key's time is over.
    Expired,
    /// The session has ended, or its key has.
    SessionEnded,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let ask = "ask whoever runs this server for a key, or make one with `tideline keys create`";
        let (code, message, hint) = match refusal {
            Refusal::Missing => ("key_missing", "this server needs a key", "send it as Authorization: Bearer tl_…"),
            Refusal::Malformed => (
                "credential_invalid",
                "the credential of this request cannot be read",
                "send one key, as Authorization: Bearer tl_…, as Basic user name, or as X-API-Key",
            ),
            Refusal::Unknown => ("key_unknown", "this server does not know this key", ask),
            Refusal::Revoked => ("key_revoked", "this key was revoked", ask),
            Refusal::Expired => ("key_expired", "this key has expired", ask),
            Refusal::SessionEnded => (
                "session_ended",
                "this session has ended",
                "sign in again, or exchange the key again with POST /session",
            ),
        };
        // Never a Basic challenge: a browser would keep what is typed and add it to requests of other sites' pages.
        let challenge = match refusal {
            Refusal::Missing => r#"Bearer realm="tideline""#,
            _ => r#"Bearer realm="tideline", error="invalid_token""#,
        };
        Self::new(StatusCode::UNAUTHORIZED, code, message)
            .with_hint(hint)
            .with_header(WWW_AUTHENTICATE.as_str(), HeaderValue::from_static(challenge))
    }
}

/// 403: known, and not allowed.
pub fn scope_missing(scope: Scope) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "scope_missing", format!("this key does not have the scope `{scope}`"))
        .with_hint(format!("use a key with the scope {scope}; `tideline keys list` shows them"))
}

/// Keys and sessions.
#[derive(Debug)]
pub struct Auth {
    /// The keys.
    pub keys: Arc<KeyStore>,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
}

impl Auth {
    /// Over these keys, without sessions yet.
    pub fn new(keys: Arc<KeyStore>, settings: &SessionSettings, clock: Arc<dyn Clock>) -> Self {
        Self { keys, sessions: Sessions::new(settings.clone()), clock }
    }

    /// Who sent these headers. A key wins over a cookie: it was put there on purpose.
    pub fn resolve(&self, headers: &HeaderMap) -> Identity {
        if !self.keys.are_required() {
            return Identity { caller: Ok(Caller::local()), is_explicit: false };
        }
        match credential::read(headers) {
            Credential::Key { text, presented } => Identity {
                caller: self.by_key(&text).map(|key| Caller::of(By::Key { id: key.id.clone() }, &key)),
                is_explicit: presented == Presented::Header,
            },
            Credential::Malformed => Identity { caller: Err(Refusal::Malformed), is_explicit: false },
            Credential::Session(token) => Identity { caller: self.by_session(&token), is_explicit: false },
            Credential::None => Identity { caller: Err(Refusal::Missing), is_explicit: false },
        }
    }

    /// Who shows this password, which is a key; nobody needs one while there are no keys.
    ///
    /// # Errors
    /// Why it is nobody.
    pub fn by_password(&self, password: Option<&str>) -> Result<Caller, Refusal> {
        if !self.keys.are_required() {
            return Ok(Caller::local());
        }
        let key = self.by_key(password.ok_or(Refusal::Missing)?.trim())?;
        Ok(Caller::of(By::Key { id: key.id.clone() }, &key))
    }

    fn by_key(&self, text: &str) -> Result<Arc<KeyRecord>, Refusal> {
        let key = self.keys.find(text).ok_or(Refusal::Unknown)?;
        match key.state(self.clock.now()) {
            State::Active => Ok(key),
            State::Revoked => Err(Refusal::Revoked),
            State::Expired => Err(Refusal::Expired),
        }
    }

    /// Who shows this key, in a body or a path.
    pub fn by_write_key(&self, text: &str) -> Result<Caller, Refusal> {
        let text = text.trim();
        if !self.keys.are_required() {
            return Ok(Caller::local());
        }
        if text.is_empty() {
            return Err(Refusal::Missing);
        }
        let key = self.by_key(text)?;
        Ok(Caller::of(By::Key { id: key.id.clone() }, &key))
    }

    fn by_session(&self, token: &str) -> Result<Caller, Refusal> {
        let now = self.clock.now();
        let (owner, expires_at) = self.sessions.find(token, now).ok_or(Refusal::SessionEnded)?;
        let key_id = match &owner {
            Owner::Key(id) => id,
            Owner::Person(person) => return Ok(Caller::of_person(Arc::clone(person), expires_at)),
        };
        let key = self.keys.get(key_id).filter(|key| key.state(now) == State::Active).ok_or(Refusal::SessionEnded)?;
        Ok(Caller::of(By::Session { owner, expires_at }, &key))
    }

    /// Exchanges a key for a session, and for the caller as which it is known from now on.
    pub fn begin_session(&self, key: &str) -> Result<(Begun, Caller), Refusal> {
        let (key, now) = (self.by_key(key.trim())?, self.clock.now());
        let owner = Owner::Key(key.id.clone());
        let begun = self.sessions.begin(owner.clone(), key.expires_at.map(|t| t.0), now);
        let by = By::Session { owner, expires_at: begun.expires_at };
        Ok((begun, Caller::of(by, &key)))
    }

    /// Begins a session of somebody who has signed in elsewhere.
    pub fn begin_session_of(&self, person: Person) -> Begun {
        self.sessions.begin(Owner::Person(Arc::new(person)), None, self.clock.now())
    }

    /// Ends the session of these headers' cookie.
    pub fn end_session(&self, headers: &HeaderMap) {
        if let Some(token) = credential::session_cookie(headers) {
            self.sessions.end(&token);
        }
    }

    /// Whether a caller would still be let in: streams that stay open ask now and then.
    pub fn is_current(&self, caller: &Caller) -> bool {
        let now = self.clock.now();
        let key = |id: &str| self.keys.get(id).is_some_and(|key| key.state(now) == State::Active);
        match &caller.by {
            By::Local => !self.keys.are_required(),
            By::Key { id } => key(id),
            By::Session { owner: Owner::Key(id), expires_at } => now < *expires_at && key(id),
            By::Session { owner: Owner::Person(_), expires_at } => now < *expires_at,
        }
    }
}
