//! The accept loop: takes connections, bounds how many and how long, and ends them in good order.
//!
//! `axum::serve` installs no timer, so that a header sent a byte an hour would hold its connection for ever. Here
//! headers, silence and idle connections each have a limit; see also [`crate::http::body`] and [`patience`].

pub mod activity;
pub mod patience;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tideline_engine::error::{Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::config::Http;
use crate::host;
use crate::http::client::Peer;
use activity::{Activity, Phase, Running};
use patience::Patient;

/// Connections the kernel keeps for us until we accept them.
const BACKLOG: u32 = 1_024;
/// Streams at once on one HTTP/2 connection.
const H2_STREAMS: u32 = 256;
/// Bytes for headers besides the path on HTTP/2.
const H2_HEADERS: u32 = 64 << 10;
/// Pause after a failed accept (out of file descriptors): it succeeds when others have closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection may take to close after it was asked to.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Binds the address.
///
/// # Errors
/// `address_not_local` for an address others can reach while there is no key; `address_in_use`.
pub fn bind(address: SocketAddr, has_keys: bool) -> Result<TcpListener> {
    bind_for(address, has_keys, "--listen")
}

/// [`bind`], for the listener that `flag` sets.
///
/// # Errors
/// Those of [`bind`].
pub fn bind_for(address: SocketAddr, has_keys: bool, flag: &str) -> Result<TcpListener> {
    may_listen(address, has_keys)?;
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    // A restart must not wait for the old connections to fade.
    socket.set_reuseaddr(true)?;
    let bound = socket.bind(address).and_then(|()| socket.listen(BACKLOG));
    bound.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            let by =
                host::listener(address).map_or_else(|| "another program".to_owned(), |process| process.to_string());
            Error::busy("address_in_use", format!("{by} listens on {address} already")).with_hint(format!(
                "stop it, or choose another port with {flag}, for example {flag} 127.0.0.1:{}",
                address.port().checked_add(1).unwrap_or(8081)
            ))
        }
        std::io::ErrorKind::PermissionDenied => {
            Error::invalid("address_not_allowed", format!("this user may not listen on {address}"))
                .with_hint(format!("choose a port above 1023 with {flag}"))
        }
        _ => Error::from(e).context(format!("cannot listen on {address}")),
    })
}

/// Whether a server may listen there: others may reach it only when keys tell who may.
///
/// # Errors
/// `address_not_local`
pub fn may_listen(address: SocketAddr, has_keys: bool) -> Result<()> {
    if has_keys || address.ip().is_loopback() {
        return Ok(());
    }
    let message =
        format!("{address} can be reached from other machines, and this server has no valid key to tell who may");
    Err(Error::invalid("address_not_local", message).with_hint(
        "make one with `tideline keys create --name admin --scopes admin --data-dir DIR`, with the server's data \
         folder; or listen on 127.0.0.1 or [::1]",
    ))
}

/// A connection's place under [`Http::max_connections`], as an extension of its requests. What outlives the HTTP
/// connection (a WebSocket) holds on to it.
#[derive(Debug, Clone)]
pub struct Place {
    _taken: Arc<Taken>,
}

/// Connections open in this process.
static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// How many connections are open in this process.
pub fn connections() -> usize {
    CONNECTIONS.load(Ordering::Relaxed)
}

#[derive(Debug)]
struct Taken {
    _permit: OwnedSemaphorePermit,
}

impl Taken {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        Self { _permit: permit }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves connections until `stop`, then lets running requests finish for [`Http::drain_timeout`]. Returns how many
/// connections had to be cut.
///
/// With `tls` each connection begins with its handshake, and there is no way around it.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    settings: Http,
    stop: CancellationToken,
) -> usize {
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(settings.max_connections));
    let settings = Arc::new(settings);
    loop {
        // Those that have ended leave the set.
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            // A connection above the cap waits in the kernel's queue; those that are idle make room for it in time.
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (router, settings, tls) = (router.clone(), Arc::clone(&settings), tls.clone());
        let stop = stop.clone();
        let place = Place { _taken: Arc::new(Taken::new(place)) };
        connections.spawn(async move {
            // Small answers leave at once. A socket that refuses the option works all the same.
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls else {
                return connection(stream, Peer(peer), router, &settings, stop, place).await;
            };
            let shaken = tokio::select! {
                () = stop.cancelled() => return,
                shaken = tokio::time::timeout(settings.header_timeout.0, tls.accept(stream)) => shaken,
            };
            match shaken {
                Ok(Ok(stream)) => connection(stream, Peer(peer), router, &settings, stop, place).await,
                Ok(Err(e)) => tracing::debug!(error = %e, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
    }
    drop(listener);
    let drained = async {
        while connections.join_next().await.is_some() {}
        // Those that are no HTTP connections any more have their places still.
        let all = u32::try_from(settings.max_connections).unwrap_or(u32::MAX);
        drop(places.acquire_many(all).await);
    };
    if tokio::time::timeout(settings.drain_timeout.0, drained).await.is_ok() {
        return 0;
    }
    let left = connections.len();
    connections.shutdown().await;
    left
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// Resolves when the connection has had no request for too long; tells whether it was amid a request's headers.
///
/// hyper's own header timer also runs between requests, so it cannot tell a slow header from an idle connection.
async fn idle(activity: &Activity, settings: &Http) -> Silence {
    loop {
        let (limit, silence) = match activity.phase() {
            Phase::Busy => {
                activity.changed().await;
                continue;
            }
            Phase::Headers => (settings.header_timeout.0, Silence::AmidHeaders),
            Phase::Idle => (settings.idle_timeout.0, Silence::Idle),
        };
        tokio::select! {
            () = tokio::time::sleep(limit) => return silence,
            () = activity.changed() => {}
        }
    }
}

enum Silence {
    AmidHeaders,
    Idle,
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    router: Router,
    settings: &Http,
    stop: CancellationToken,
    place: Place,
) {
    let activity = Arc::new(Activity::default());
    let service = {
        let activity = Arc::clone(&activity);
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(place.clone());
            let running = Running::begin(&activity);
            let router = router.clone();
            async move { router.oneshot(request.map(Body::new)).await.map(|answer| counted(answer, running)) }
        })
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.idle_timeout.0);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS)
        .max_header_list_size(u32::try_from(settings.max_uri_bytes.0).unwrap_or(u32::MAX).saturating_add(H2_HEADERS))
        .keep_alive_interval(settings.body_timeout.0)
        .keep_alive_timeout(settings.body_timeout.0);
    let io = TokioIo::new(Patient::new(stream, settings.body_timeout.0, Arc::clone(&activity)));
    let mut served = pin!(builder.serve_connection_with_upgrades(io, service));
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
        silence = idle(&activity, settings) => {
            served.as_mut().graceful_shutdown();
            let within = if matches!(silence, Silence::Idle) { CLOSE_WITHIN } else { Duration::ZERO };
            match tokio::time::timeout(within, served).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            }
        }
    };
    if let Err(e) = outcome {
        // A client that goes away or sends rubbish is its own business.
        tracing::debug!(error = %e, "a connection ended early");
    }
}

/// The answer, counted as running until its body is sent or dropped.
fn counted(answer: Response, running: Running) -> Response {
    answer.map(|body| {
        let mut running = Some(running);
        Body::new(body.map_frame(move |frame| {
            // Owning it is enough: it ends with the body.
            let _ = &mut running;
            frame
        }))
    })
}
