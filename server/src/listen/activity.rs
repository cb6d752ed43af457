//! What a connection is doing: waiting, sending headers, or running requests.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing, after a request.
    Idle,
    /// Its next request's headers are on their way; also before the first byte of the first request.
    Headers,
    /// At least one request runs.
    Busy,
}

/// Keeps track of one connection.
#[derive(Debug)]
pub struct Activity {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    requests: usize,
    headers: bool,
}

impl Default for Activity {
    fn default() -> Self {
        Self { state: Mutex::new(State { requests: 0, headers: true }), changed: Notify::new() }
    }
}

impl Activity {
    /// What the connection is doing now.
    pub fn phase(&self) -> Phase {
        let state = self.state.lock();
        match (state.requests, state.headers) {
            (1.., _) => Phase::Busy,
            (0, true) => Phase::Headers,
            (0, false) => Phase::Idle,
        }
    }

    /// Resolves when the phase may have changed. For one waiter.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Bytes came in.
    pub fn received(&self) {
        let mut state = self.state.lock();
        // Only the first byte of headers starts their time; further ones do not renew it.
        if state.requests == 0 && !state.headers {
            state.headers = true;
            self.changed.notify_one();
        }
    }
}

/// Counts a request from the end of its headers to the last byte of its answer.
#[derive(Debug)]
pub struct Running(Arc<Activity>);

impl Running {
    /// A request's headers are complete.
    pub fn begin(activity: &Arc<Activity>) -> Self {
        let mut state = activity.state.lock();
        state.requests += 1;
        state.headers = false;
        drop(state);
        activity.changed.notify_one();
        Self(Arc::clone(activity))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state.lock().requests -= 1;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_from_headers_to_busy_to_idle_and_back() {
        let activity = Arc::new(Activity::default());
        assert_eq!(activity.phase(), Phase::Headers);
        let (one, two) = (Running::begin(&activity), Running::begin(&activity));
        activity.received();
        assert_eq!(activity.phase(), Phase::Busy);
        drop(one);
        assert_eq!(activity.phase(), Phase::Busy);
        drop(two);
        assert_eq!(activity.phase(), Phase::Idle);
        activity.received();
        assert_eq!(activity.phase(), Phase::Headers);
    }
}
