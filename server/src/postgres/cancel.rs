//! Ctrl-C: a client stops its query through a second connection, which names the first by a number and by what only
//! that one was told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The connections there are.
#[derive(Debug, Default)]
pub struct Cancels {
    connections: Mutex<HashMap<i32, Connection>>,
    last: AtomicI32,
}

#[derive(Debug)]
struct Connection {
    secret: i32,
    running: Option<CancellationToken>,
}

/// A connection's entry; it goes with it.
#[derive(Debug)]
pub struct Registered {
    cancels: Arc<Cancels>,
    /// Its number.
    pub process: i32,
    /// What only its client is told.
    pub secret: i32,
}

impl Cancels {
    /// Adds a connection.
    pub fn register(self: &Arc<Self>) -> Registered {
        let [a, b, c, d, ..] = *uuid::Uuid::new_v4().as_bytes();
        let secret = i32::from_be_bytes([a, b, c, d]);
        let mut connections = self.connections.lock();
        let process = loop {
            let next = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            // After two thousand million connections numbers come again.
            if next > 0 && !connections.contains_key(&next) {
                break next;
            }
        };
        connections.insert(process, Connection { secret, running: None });
        drop(connections);
        Registered { cancels: Arc::clone(self), process, secret }
    }

    /// Stops what a connection runs, where the secret is its own. Nobody is told whether it was.
    pub fn cancel(&self, process: i32, secret: i32) {
        let connections = self.connections.lock();
        if let Some(connection) = connections.get(&process).filter(|connection| connection.secret == secret)
            && let Some(running) = &connection.running
        {
            running.cancel();
        }
    }
}

impl Registered {
    /// A message is being worked on: it stops when the token says so.
    pub fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        self.set(Some(token.clone()));
        token
    }

    /// Nothing is being worked on: who wants to stop something comes too late.
    pub fn end(&self) {
        self.set(None);
    }

    fn set(&self, running: Option<CancellationToken>) {
        if let Some(connection) = self.cancels.connections.lock().get_mut(&self.process) {
            connection.running = running;
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.cancels.connections.lock().remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_secret_stops_and_only_what_runs() {
        let cancels = Arc::new(Cancels::default());
        let (one, other) = (cancels.register(), cancels.register());
        assert_ne!(one.process, other.process);
        cancels.cancel(one.process, one.secret);
        let token = one.begin();
        cancels.cancel(one.process, one.secret.wrapping_add(1));
        cancels.cancel(other.process, one.secret);
        assert!(!token.is_cancelled());
        cancels.cancel(one.process, one.secret);
        assert!(token.is_cancelled());
        let next = one.begin();
        one.end();
        cancels.cancel(one.process, one.secret);
        assert!(!next.is_cancelled());
        let process = one.process;
        drop(one);
        assert!(!cancels.connections.lock().contains_key(&process));
    }
}
