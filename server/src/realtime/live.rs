//! Live push: one tick a second, made once while somebody listens, published to all listeners.
//!
//! ```text
//! ticker ─▶ Tick (JSON, serialised once) ─▶ watch channel ─▶ listener: SSE body │ WebSocket
//! ```
//!
//! A watch channel holds the latest tick only: a listener that is slow finds the newest one when it looks again, and
//! nothing is queued for it. Every tick is a whole picture, so a skipped one is no loss.

use std::sync::{Arc, OnceLock, Weak};

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use parking_lot::Mutex;
use tideline_engine::engine::Engine;
use tideline_engine::error::Result;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::RealTime;
use crate::config::Config;

/// When an `EventSource` that lost its connection should come back, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// How a tick is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The first a listener gets.
    Snapshot,
    /// Any later one.
    Tick,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Tick => "tick",
        }
    }
}

/// One tick, and its frames: each made when a listener first needs it, then shared.
#[derive(Debug)]
pub struct Tick {
    /// Counts up, for as long as the process runs.
    pub number: u64,
    boot: Arc<str>,
    payload: String,
    sse: [OnceLock<Bytes>; 2],
    ws: [OnceLock<Utf8Bytes>; 2],
}

impl Tick {
    fn new(number: u64, boot: Arc<str>, payload: String) -> Self {
        Self { number, boot, payload, sse: Default::default(), ws: Default::default() }
    }

    /// As a server-sent event.
    pub fn sse(&self, event: Event) -> Bytes {
        let frame = || {
            let (name, boot, number) = (event.name(), &self.boot, self.number);
            let retry = if event == Event::Snapshot { format!("retry: {RETRY_MS}\n") } else { String::new() };
            Bytes::from(format!("{retry}id: {boot}-{number}\nevent: {name}\ndata: {}\n\n", self.payload))
        };
        self.sse[event as usize].get_or_init(frame).clone()
    }

    /// As a WebSocket text message.
    pub fn ws(&self, event: Event) -> Utf8Bytes {
        let frame = || format!(r#"{{"type":"{}","payload":{}}}"#, event.name(), self.payload).into();
        self.ws[event as usize].get_or_init(frame).clone()
    }
}

/// The state every listener watches.
#[derive(Debug, Clone)]
enum Latest {
    /// Nobody listened until now.
    None,
    Tick(Arc<Tick>),
    /// The server is stopping.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    listeners: usize,
    /// Whether the ticker's task runs.
    ticking: bool,
    /// The number of the last tick.
    number: u64,
}

/// Ticks and who listens to them.
#[derive(Debug)]
pub struct Live {
    /// Weak: a ticker must not keep an engine open that everybody else has let go.
    engine: Weak<Engine>,
    config: Arc<Config>,
    /// Tells ticks of this process from those of another one.
    boot: Arc<str>,
    state: Mutex<State>,
    latest: watch::Sender<Latest>,
    closing: CancellationToken,
}

impl Live {
    /// Nothing runs until somebody listens.
    pub fn new(engine: &Arc<Engine>, config: Arc<Config>) -> Self {
        Self {
            engine: Arc::downgrade(engine),
            config,
            boot: uuid::Uuid::new_v4().simple().to_string()[..8].into(),
            state: Mutex::default(),
            latest: watch::Sender::new(Latest::None),
            closing: CancellationToken::new(),
        }
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.state.lock().listeners
    }

    /// The number of the last tick.
    pub fn number(&self) -> u64 {
        self.state.lock().number
    }

    /// A new listener, which has seen the tick named `last_event_id` where that is one of ours. `None` when there are
    /// too many.
    pub fn listen(self: &Arc<Self>, last_event_id: Option<&str>) -> Option<Listener> {
        let mut state = self.state.lock();
        if state.listeners >= self.config.live.max_listeners {
            return None;
        }
        state.listeners += 1;
        if !state.ticking {
            state.ticking = true;
            tokio::spawn(Arc::clone(self).tick_while_heard());
        }
        let seen = last_event_id.and_then(|id| id.trim().rsplit_once('-'));
        let seen = seen.filter(|(boot, _)| *boot == &*self.boot).and_then(|(_, number)| number.parse().ok());
        let seen = seen.filter(|number| *number <= state.number);
        Some(Listener { live: Arc::clone(self), updates: self.latest.subscribe(), seen })
    }

    /// Ends every listener's stream, and lets nobody begin one.
    pub fn close(&self) {
        self.latest.send_replace(Latest::Closed);
        self.closing.cancel();
    }

    /// Whether nobody listens any more; then the ticker ends, and forgets its last tick.
    fn is_unheard(&self) -> bool {
        let mut state = self.state.lock();
        if state.listeners > 0 {
            return false;
        }
        state.ticking = false;
        self.publish(Latest::None);
        true
    }

    fn publish(&self, latest: Latest) {
        self.latest.send_if_modified(|current| {
            let open = !matches!(current, Latest::Closed);
            if open {
                *current = latest;
            }
            open
        });
    }

    async fn tick_while_heard(self: Arc<Self>) {
        let mut due = interval(self.config.live.every.0);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = due.tick() => {}
                () = self.closing.cancelled() => return,
            }
            if self.is_unheard() {
                return;
            }
            let number = self.number() + 1;
            match self.make(number).await {
                Ok(Some(payload)) => {
                    self.state.lock().number = number;
                    self.publish(Latest::Tick(Arc::new(Tick::new(number, Arc::clone(&self.boot), payload))));
                }
                Ok(None) => return self.close(),
                Err(e) => tracing::warn!(error = %e, "a live tick could not be made; listeners get the next one"),
            }
        }
    }

    /// The payload of a tick; `None` when the engine is gone. Made on a thread where nobody's answer waits behind it.
    async fn make(&self, number: u64) -> Result<Option<String>> {
        let Some(engine) = self.engine.upgrade() else { return Ok(None) };
        let real = RealTime::new(engine, Arc::clone(&self.config));
        let runtime = tokio::runtime::Handle::current();
        let made = tokio::task::spawn_blocking(move || runtime.block_on(real.tick(number))).await;
        made.map_err(|e| tideline_engine::error::Error::internal(format!("a tick failed: {e}")))?.map(Some)
    }
}

/// One listener. Its place is free again when it is dropped.
#[derive(Debug)]
pub struct Listener {
    live: Arc<Live>,
    updates: watch::Receiver<Latest>,
    /// The tick it has seen.
    seen: Option<u64>,
}

impl Listener {
    /// The latest tick that it has not seen, once there is one; `None` when the server stops. May be dropped while it
    /// waits.
    pub async fn next(&mut self) -> Option<(Event, Arc<Tick>)> {
        loop {
            let latest = self.updates.borrow_and_update().clone();
            match latest {
                Latest::Closed => return None,
                Latest::Tick(tick) if self.seen != Some(tick.number) => {
                    let event = if self.seen.is_none() { Event::Snapshot } else { Event::Tick };
                    self.seen = Some(tick.number);
                    return Some((event, tick));
                }
                _ => {}
            }
            self.updates.changed().await.ok()?;
        }
    }

    /// Resolves when the server stops.
    pub async fn closed(&self) {
        self.live.closing.cancelled().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.live.state.lock().listeners -= 1;
    }
}
