//! Sessions of browsers, in memory: a restart ends them, and people sign in again.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tideline_engine::clock::Micros;

use super::oidc::Person;
use super::secret::{self, Digest};
use crate::config::Session as Settings;

/// For what a session was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A key of this id, which says what may be done.
    Key(String),
    /// Somebody the OpenID provider knows, with what they might do when they signed in.
    Person(Arc<Person>),
}

#[derive(Debug)]
struct Session {
    digest: Digest,
    owner: Owner,
    began: u64,
    expires_at: Micros,
}

/// A session that has just begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The cookie's value.
    pub token: String,
    /// When it ends.
    pub expires_at: Micros,
    /// How long that is, in whole seconds.
    pub lasts_s: i64,
}

/// The sessions, at most [`Settings::max_sessions`] of them.
#[derive(Debug)]
pub struct Sessions {
    settings: Settings,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    /// By the head of the token's digest; the token itself is nowhere.
    by_head: HashMap<[u8; 8], Session>,
    begun: u64,
}

impl Sessions {
    /// None yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, live: Mutex::default() }
    }

    /// Begins one, which never outlives its key. When there is no room, those that have ended leave, else the oldest.
    pub fn begin(&self, owner: Owner, key_expires_at: Option<Micros>, now: Micros) -> Begun {
        let token = secret::random();
        let digest = Digest::of(&token);
        let lifetime = i64::try_from(self.settings.lifetime.0.as_micros()).unwrap_or(i64::MAX);
        let expires_at = now.saturating_add(lifetime).min(key_expires_at.unwrap_or(i64::MAX));
        let mut live = self.live.lock();
        if live.by_head.len() >= self.settings.max_sessions {
            live.by_head.retain(|_, session| now < session.expires_at);
        }
        if live.by_head.len() >= self.settings.max_sessions
            && let Some(oldest) = live.by_head.iter().min_by_key(|(_, s)| s.began).map(|(head, _)| *head)
        {
            live.by_head.remove(&oldest);
        }
        live.begun += 1;
        let began = live.begun;
        live.by_head.insert(digest.head(), Session { digest, owner, began, expires_at });
        Begun { token, expires_at, lasts_s: (expires_at - now) / 1_000_000 }
    }

    /// Whose a token's session is and when it ends; `None` when there is no such session any more.
    pub fn find(&self, token: &str, now: Micros) -> Option<(Owner, Micros)> {
        let digest = Digest::of(token);
        let live = self.live.lock();
        let session = live.by_head.get(&digest.head()).filter(|s| s.digest == digest && now < s.expires_at)?;
        Some((session.owner.clone(), session.expires_at))
    }

    /// Ends a token's session.
    pub fn end(&self, token: &str) {
        let digest = Digest::of(token);
        let mut live = self.live.lock();
        if live.by_head.get(&digest.head()).is_some_and(|s| s.digest == digest) {
            live.by_head.remove(&digest.head());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    fn sessions(max_sessions: usize) -> Sessions {
        Sessions::new(Settings { lifetime: Period::secs(60), max_sessions, ..Settings::default() })
    }

    const SECOND: Micros = 1_000_000;

    fn key() -> Owner {
        Owner::Key("k1".to_owned())
    }

    #[test]
    fn a_session_ends_in_time_with_its_key_or_on_request() {
        let sessions = sessions(10);
        let Begun { token, expires_at: ends, lasts_s } = sessions.begin(key(), None, 0);
        assert_eq!((ends, lasts_s), (60 * SECOND, 60));
        assert_eq!(sessions.find(&token, 59 * SECOND), Some((key(), ends)));
        assert_eq!(sessions.find(&token, 60 * SECOND), None);
        assert_eq!(sessions.find("another", 0), None);
        assert_eq!(sessions.begin(key(), Some(5 * SECOND), 0).expires_at, 5 * SECOND);
        sessions.end("another");
        assert!(sessions.find(&token, 0).is_some());
        sessions.end(&token);
        assert_eq!(sessions.find(&token, 0), None);
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let sessions = sessions(3);
        let begin = |ends, now| sessions.begin(key(), ends, now).token;
        let short = begin(Some(SECOND), 0);
        let tokens: Vec<String> = (0..2).map(|_| begin(None, 0)).collect();
        // The one that has ended leaves first, then the oldest.
        let third = begin(None, 2 * SECOND);
        assert!(sessions.find(&tokens[0], 2 * SECOND).is_some() && sessions.find(&short, 0).is_none());
        let fourth = begin(None, 2 * SECOND);
        let live = |token: &str| sessions.find(token, 2 * SECOND).is_some();
        assert_eq!([&tokens[0], &tokens[1], &third, &fourth].map(|t| live(t)), [false, true, true, true]);
        assert_eq!(sessions.live.lock().by_head.len(), 3);
    }
}
