//! `GET /live` (server-sent events) and `GET /ws` (WebSocket): the latest picture, then one a second.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use super::params::Params;
use crate::app::AppState;
use crate::auth::{Auth, Caller};
use crate::error::Problem;
use crate::listen::Place;
use crate::realtime::live::Listener;

/// What a client saw last; browsers send it when they come back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells proxies of the nginx kind not to hold the stream back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// A comment: a sign of life that is no event.
const HEARTBEAT: Bytes = Bytes::from_static(b": still here\n\n");
/// When to come back to a server with too many listeners, in seconds.
const RETRY_AFTER_S: u16 = 10;
/// Buffer for what a client says, which is nothing to speak of.
const WS_READ_BYTES: usize = 1 << 10;
/// How long a client may take for what is being sent to it when the server stops.
const LAST_WORDS: Duration = Duration::from_millis(500);

fn listen(state: &AppState, headers: &HeaderMap) -> Result<Listener, Problem> {
    let last = headers.get(LAST_EVENT_ID).and_then(|v| v.to_str().ok());
    state.live.listen(last).ok_or_else(|| {
        let most = state.config.live.max_listeners;
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_listeners",
            format!("{most} listeners are here already"),
        )
        .with_hint("come back after Retry-After, or raise live.max_listeners")
        .with_header("retry-after", HeaderValue::from(RETRY_AFTER_S))
    })
}

/// Who listens: a stream ends when its key is revoked or its session is over.
struct Who {
    auth: Arc<Auth>,
    caller: Caller,
}

impl Who {
    fn may_stay(&self) -> bool {
        self.auth.is_current(&self.caller)
    }
}

/// `GET /live`
pub async fn sse(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let (listener, heartbeat) = (listen(&state, &headers)?, state.config.live.heartbeat.0);
    let who = Who { auth: Arc::clone(&state.auth), caller };
    let frames = futures::stream::unfold((listener, who), move |(mut listener, who)| async move {
        let frame = match timeout(heartbeat, listener.next()).await {
            Ok(Some(_)) | Err(_) if !who.may_stay() => return None,
            Ok(Some((event, tick))) => tick.sse(event),
            Ok(None) => return None,
            Err(_) => HEARTBEAT,
        };
        Some((Ok::<_, Infallible>(frame), (listener, who)))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store"), (X_ACCEL_BUFFERING, "no")];
    Ok((headers, Body::from_stream(frames)).into_response())
}

/// `GET /ws`
pub async fn ws(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    place: Option<Extension<Place>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let upgrade = upgrade.map_err(|e| {
        Problem::new(StatusCode::UPGRADE_REQUIRED, "not_a_websocket", format!("this is not a WebSocket handshake: {e}"))
            .with_hint("connect with a WebSocket client over HTTP/1.1, or use GET /live")
            .with_header("upgrade", HeaderValue::from_static("websocket"))
    })?;
    let (listener, heartbeat) = (listen(&state, &headers)?, state.config.live.heartbeat.0);
    let most = state.config.live.max_message_bytes.as_usize();
    let upgrade = upgrade
        .max_message_size(most)
        .max_frame_size(most)
        .read_buffer_size(WS_READ_BYTES)
        // Each message leaves at once; there is never a second one behind it.
        .write_buffer_size(0);
    let who = Who { auth: Arc::clone(&state.auth), caller };
    Ok(upgrade.on_upgrade(move |socket| async move {
        push(socket, listener, heartbeat, who).await;
        // The connection's place is taken until here.
        drop(place);
    }))
}

/// Sends ticks until either side ends.
async fn push(mut socket: WebSocket, mut listener: Listener, heartbeat: Duration, who: Who) {
    let mut ping = interval_at(tokio::time::Instant::now() + heartbeat, heartbeat);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            next = listener.next() => match next {
                Some(_) if !who.may_stay() => {
                    let over = CloseFrame { code: close_code::POLICY, reason: "the key or session is over".into() };
                    let _ = socket.send(Message::Close(Some(over))).await;
                    return;
                }
                Some((event, tick)) => Message::Text(tick.ws(event)),
                None => {
                    let going = CloseFrame { code: close_code::AWAY, reason: "the server is stopping".into() };
                    // It may be gone already.
                    let _ = socket.send(Message::Close(Some(going))).await;
                    return;
                }
            },
            said = socket.recv() => match said {
                // Pings are answered below us; anything else a client says is ignored.
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            _ = ping.tick() => Message::Ping(Bytes::new()),
        };
        tokio::select! {
            sent = socket.send(message) => if sent.is_err() {
                return;
            },
            // A client that does not read must not hold up the end. Others get their close frame at the next turn.
            () = stuck_at_the_end(&listener) => return,
        }
    }
}

/// Resolves a moment after the server began to stop: what is being sent to a client that reads is out by then.
async fn stuck_at_the_end(listener: &Listener) {
    listener.closed().await;
    tokio::time::sleep(LAST_WORDS).await;
}
