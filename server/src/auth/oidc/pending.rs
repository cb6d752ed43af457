//! Browsers that are at the provider: what they must bring back, kept for a while, used once.

use std::collections::HashMap;

use parking_lot::Mutex;
use tideline_engine::clock::Micros;

use crate::auth::secret::{self, Digest};

/// How long somebody may take at the provider, in seconds.
pub const LIFETIME_S: i64 = 600;
/// Browsers at the provider at once; a further one ends the oldest.
const MAX_FLOWS: usize = 10_000;

/// What is sent with a browser, and what stays here.
#[derive(Debug)]
pub struct Flow {
    /// Comes back in the address.
    pub state: String,
    /// Comes back in the browser's cookie: another's state is of no use.
    pub browser: String,
    /// Comes back in the ID token.
    pub nonce: String,
    /// Shown to the provider with the code (PKCE).
    pub verifier: String,
}

#[derive(Debug)]
struct Waiting {
    state: Digest,
    browser: Digest,
    nonce: String,
    verifier: String,
    began: u64,
    ends: Micros,
}

/// What waits for its browser.
#[derive(Debug, Default)]
pub struct Pending(Mutex<Flows>);

#[derive(Debug, Default)]
struct Flows {
    /// By the head of the state's digest.
    by_head: HashMap<[u8; 8], Waiting>,
    begun: u64,
}

/// What one needs of a flow that came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Returned {
    /// See [`Flow::nonce`].
    pub nonce: String,
    /// See [`Flow::verifier`].
    pub verifier: String,
}

impl Pending {
    /// Begins one.
    pub fn begin(&self, now: Micros) -> Flow {
        let [state, browser, nonce, verifier] = std::array::from_fn(|_| secret::random());
        let mut flows = self.0.lock();
        if flows.by_head.len() >= MAX_FLOWS {
            flows.by_head.retain(|_, flow| now < flow.ends);
        }
        if flows.by_head.len() >= MAX_FLOWS
            && let Some(oldest) = flows.by_head.iter().min_by_key(|(_, flow)| flow.began).map(|(head, _)| *head)
        {
            flows.by_head.remove(&oldest);
        }
        flows.begun += 1;
        let digest = Digest::of(&state);
        let waiting = Waiting {
            state: digest,
            browser: Digest::of(&browser),
            nonce: nonce.clone(),
            verifier: verifier.clone(),
            began: flows.begun,
            ends: now + LIFETIME_S * 1_000_000,
        };
        flows.by_head.insert(digest.head(), waiting);
        Flow { state, browser, nonce, verifier }
    }

    /// Ends one that comes back in time and in its own browser; anybody else's try leaves it.
    pub fn take(&self, state: &str, browser: &str, now: Micros) -> Option<Returned> {
        let (state, browser) = (Digest::of(state), Digest::of(browser));
        let mut flows = self.0.lock();
        let found = flows.by_head.get(&state.head())?;
        if found.state != state || found.browser != browser || now >= found.ends {
            return None;
        }
        let Waiting { nonce, verifier, .. } = flows.by_head.remove(&state.head())?;
        Some(Returned { nonce, verifier })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_comes_back_once_in_time_and_in_its_browser() {
        let pending = Pending::default();
        let (one, two) = (pending.begin(0), pending.begin(0));
        assert_eq!(pending.take(&one.state, &two.browser, 1), None);
        assert_eq!(pending.take(&one.state, "", 1), None);
        let back = pending.take(&one.state, &one.browser, 1).unwrap();
        assert_eq!((back.nonce, back.verifier), (one.nonce, one.verifier));
        assert_eq!(pending.take(&one.state, &one.browser, 1), None);
        assert_eq!(pending.take(&two.state, &two.browser, LIFETIME_S * 1_000_000), None);
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let pending = Pending::default();
        let first = pending.begin(0);
        let flows: Vec<Flow> = (0..MAX_FLOWS).map(|_| pending.begin(0)).collect();
        assert_eq!(pending.take(&first.state, &first.browser, 1), None);
        assert!(pending.take(&flows[0].state, &flows[0].browser, 1).is_some());
        assert!(pending.0.lock().by_head.len() < MAX_FLOWS);
    }
}
