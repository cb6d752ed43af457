//! Live push: what listeners get, what slow ones miss, how many there may be, and how it ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, Request, StatusCode};
use futures::StreamExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use tideline_server::auth::keys::KeyLimits;
use tideline_server::auth::scope::Scope;

use crate::app::{App, event, until};
use crate::auth::{make_key, secret};
use crate::connections::{Listening, rest, until_blank_line};
use crate::process::Server;

/// An SSE stream, read in process.
struct Stream<'a> {
    app: &'a App,
    status: StatusCode,
    headers: HeaderMap,
    body: BodyDataStream,
}

/// One event of a stream.
#[derive(Debug)]
struct Frame {
    event: String,
    id: String,
    data: Value,
}

impl Frame {
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim_start().to_owned());
        let data = serde_json::from_str(&field("data:")?).ok()?;
        Some(Self { event: field("event:")?, id: field("id:")?, data })
    }

    fn number(&self) -> u64 {
        self.data["tick"].as_u64().unwrap()
    }
}

impl<'a> Stream<'a> {
    fn open(app: &'a App, last_event_id: Option<&str>) -> Self {
        Self::open_with(app, last_event_id.map(|id| ("last-event-id", id.to_owned())))
    }

    fn open_with(app: &'a App, header: Option<(&str, String)>) -> Self {
        let mut request = Request::get("/live");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = app.router.clone().oneshot(request.body(Body::empty()).unwrap());
        let (parts, body) = app.runtime.block_on(answer).unwrap().into_parts();
        Self { app, status: parts.status, headers: parts.headers, body: body.into_data_stream() }
    }

    fn text(&mut self) -> Option<String> {
        let next = self.app.runtime.block_on(self.body.next())?;
        Some(String::from_utf8(next.unwrap().to_vec()).unwrap())
    }

    fn frame(&mut self) -> Frame {
        let text = self.text().unwrap();
        Frame::parse(&text).unwrap_or_else(|| panic!("not an event: {text}"))
    }
}

/// Ticks as fast as they come.
const FAST: (&str, &str) = ("live.every", "10ms");
/// One tick, and then none.
const ONCE: (&str, &str) = ("live.every", "1h");

#[test]
fn a_listener_gets_the_whole_picture_and_then_ticks() {
    let app = App::start(&[FAST]);
    let mut stream = Stream::open(&app, None);
    let header = |name: &str| stream.headers.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!((header("cache-control"), header("x-accel-buffering")), ("no-store".into(), "no".into()));
    assert_eq!(header("content-encoding"), "");
    let first = stream.frame();
    assert_eq!(first.event, "snapshot");
    for name in [
        "at",
        "eventsPerSecond",
        "pageViews",
        "cartActions",
        "purchases",
        "active_users",
        "active_sessions",
        "exact",
        "kpis",
        "rates",
        "top_pages",
        "top_products",
        "products_bought",
        "sources",
        "countries",
        "funnel",
        "latest_orders",
        "freshness",
        "applied_seq",
        "alerts",
    ] {
        assert!(first.data.get(name).is_some(), "{name} is missing: {}", first.data);
    }
    let (boot, number) = first.id.rsplit_once('-').unwrap();
    assert_eq!(number.parse::<u64>().unwrap(), first.number());
    let mut before = first.number();
    for _ in 0..3 {
        let tick = stream.frame();
        assert_eq!(tick.event, "tick");
        assert_eq!(tick.id, format!("{boot}-{}", tick.number()));
        assert!(tick.number() > before);
        before = tick.number();
    }
}

#[test]
fn a_tick_shows_what_has_just_been_acknowledged() {
    let app = App::start(&[FAST]);
    let now_ms = app.engine.clock().now() / 1_000;
    let bought = event("a").replace(r#""2026-03-01T12:00:00Z""#, &now_ms.to_string());
    assert_eq!(app.post("/events", bought).status, StatusCode::ACCEPTED);
    let text = Stream::open(&app, None).text().unwrap();
    assert!(text.contains(r#""purchases":1"#) && text.contains(r#""value":12.5000"#), "{text}");
    assert!(text.contains(r#""sources":[{"source":"(none)","revenue":12.5000}]"#), "{text}");
}

#[test]
fn a_listener_that_comes_back_is_not_told_twice_and_a_new_server_begins_anew() {
    let app = App::start(&[FAST]);
    let mut stream = Stream::open(&app, None);
    let seen = stream.frame();
    // The first stream stays open: the ticker goes on, as it does for the other listeners.
    let again = Stream::open(&app, Some(&seen.id)).frame();
    assert_eq!(again.event, "tick");
    assert!(again.number() > seen.number());
    for other in ["00000000-1", "nonsense", "", &format!("{}999", again.id)] {
        assert_eq!(Stream::open(&app, Some(other)).frame().event, "snapshot", "{other}");
    }
}

#[test]
fn a_silent_stream_gives_signs_of_life() {
    let app = App::start(&[ONCE, ("live.heartbeat", "20ms")]);
    let mut stream = Stream::open(&app, None);
    // The first may come before the first tick is made.
    let first = std::iter::repeat_with(|| stream.text().unwrap()).find(|text| !text.starts_with(':')).unwrap();
    assert!(first.contains("event: snapshot"), "{first}");
    for _ in 0..3 {
        let text = stream.text().unwrap();
        assert!(text.starts_with(':') && text.ends_with("\n\n"), "{text}");
    }
}

#[test]
fn a_slow_reader_is_skipped_forward() {
    let app = App::start(&[FAST]);
    let mut slow = Stream::open(&app, None);
    let first = slow.frame().number();
    until("ticks it does not read", || app.state.live.number() >= first + 10);
    let next = slow.frame().number();
    assert!(next >= first + 10, "{next} was kept for it after {first}");
}

#[test]
fn listeners_are_limited_and_a_place_is_free_when_one_goes() {
    let app = App::start(&[FAST, ("live.max_listeners", "1")]);
    let mut first = Stream::open(&app, None);
    first.frame();
    let second = Stream::open(&app, None);
    assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(second.headers["retry-after"], "10");
    drop((first, second));
    assert_eq!(app.state.live.listeners(), 0);
    assert_eq!(Stream::open(&app, None).status, StatusCode::OK);
}

#[test]
fn nothing_is_made_while_nobody_listens_and_numbers_go_on() {
    let app = App::start(&[FAST]);
    let first = Stream::open(&app, None).frame().number();
    // The ticker notices at its next turn, and then a new listener starts it again.
    until("the ticker ends", || {
        let before = app.state.live.number();
        std::thread::sleep(Duration::from_millis(50));
        app.state.live.number() == before
    });
    assert!(Stream::open(&app, None).frame().number() > first);
}

#[test]
fn a_stream_outlives_the_time_limits_of_requests() {
    let limits = [("http.body_timeout", "100ms"), ("http.idle_timeout", "100ms"), ("http.header_timeout", "100ms")];
    let server = Listening::start(&[&limits[..], &[ONCE, ("live.heartbeat", "50ms")]].concat());
    let mut stream = server.connect();
    stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert!(until_blank_line(&mut stream).starts_with("HTTP/1.1 200"));
    let mut read = Vec::new();
    let mut buffer = [0; 4_096];
    // Ten of them take five times as long as any limit.
    while read.windows(2).filter(|w| w == b"\n:").count() < 10 {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "it was cut: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..n]);
    }
}

#[test]
fn streams_end_when_the_server_stops() {
    let mut server = Listening::start(&[("http.drain_timeout", "60s")]);
    let mut sse = server.connect();
    sse.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    until_blank_line(&mut sse);
    let mut ws = upgrade(server.connect(), "localhost");
    assert_eq!(message(&mut ws)["type"], "snapshot");
    server.app.state.drain();
    assert_eq!(server.end(), 0, "connections were cut");
    assert!(rest(&mut sse).ends_with("0\r\n\r\n"), "the stream was not ended in good order");
    let closed = std::iter::repeat_with(|| frame(&mut ws)).find(|(op, _)| *op == CLOSE).unwrap();
    assert_eq!(closed.1[..2], 1_001_u16.to_be_bytes());
}

#[test]
fn a_stream_ends_with_the_key_it_was_opened_with() {
    let app = App::start(&[FAST]);
    let [leaving, staying] = [(); 2].map(|()| make_key(&app, &[Scope::Read], KeyLimits::default(), None));
    let mut streams = [&leaving, &staying].map(|key| {
        let bearer = format!("Bearer {}", secret(key));
        Stream::open_with(&app, Some(("authorization", bearer)))
    });
    assert!(streams.iter_mut().all(|stream| stream.frame().event == "snapshot"));
    app.state.auth.keys.revoke(&leaving.id).unwrap();
    // A tick may have been on its way.
    assert!((0..100).any(|_| streams[0].text().is_none()), "the stream goes on without its key");
    assert_eq!(streams[1].frame().event, "tick");
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Makes a WebSocket of a connection.
fn upgrade(mut stream: TcpStream, host: &str) -> TcpStream {
    // Key and answer are the example of RFC 6455.
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let head = until_blank_line(&mut stream).to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    stream
}

/// The next frame: its opcode and payload.
fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[0] & 0x80, 0x80, "a message is one frame");
    let length = match head[1] {
        126 => {
            let mut bytes = [0; 2];
            stream.read_exact(&mut bytes).unwrap();
            u16::from_be_bytes(bytes).into()
        }
        127 => {
            let mut bytes = [0; 8];
            stream.read_exact(&mut bytes).unwrap();
            u64::from_be_bytes(bytes) as usize
        }
        n => usize::from(n),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    (head[0] & 0x0f, payload)
}

/// The next text message.
fn message(stream: &mut TcpStream) -> Value {
    let (_, payload) = std::iter::repeat_with(|| frame(stream)).find(|(op, _)| *op == TEXT).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// Sends a frame, masked with zeros as clients may.
fn say(stream: &mut TcpStream, op: u8, payload: &[u8]) {
    let mut bytes = vec![0x80 | op];
    match u8::try_from(payload.len()) {
        Ok(short @ ..126) => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    stream.write_all(&bytes).unwrap();
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

#[test]
fn a_websocket_of_a_real_server_speaks_and_listens_little() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("TIDELINE_LIVE_EVERY", "20ms")]);
    let mut socket = upgrade(connect(&server), "localhost");
    let first = message(&mut socket);
    assert_eq!(first["type"], "snapshot");
    for name in ["eventsPerSecond", "pageViews", "cartActions", "purchases"] {
        assert!(first["payload"][name].is_number(), "{name}: {first}");
    }
    let second = message(&mut socket);
    assert_eq!(second["type"], "tick");
    assert!(second["payload"]["tick"].as_u64() > first["payload"]["tick"].as_u64());

    say(&mut socket, TEXT, b"{\"subscribe\":\"everything\"}");
    say(&mut socket, PING, b"there?");
    let pong = std::iter::repeat_with(|| frame(&mut socket)).find(|(op, _)| *op == PONG).unwrap();
    assert_eq!(pong.1, b"there?");
    // It goes on after words it does not know, and ends after too many of them.
    assert_eq!(message(&mut socket)["type"], "tick");
    say(&mut socket, TEXT, &[b'x'; 5_000]);
    let mut end = Vec::new();
    let _ = socket.read_to_end(&mut end);

    let mut foreign = connect(&server);
    foreign
        .write_all(b"GET /ws HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .unwrap();
    assert!(until_blank_line(&mut foreign).starts_with("HTTP/1.1 403"));

    // A server that is listened to stops as quickly as any other, and in good order.
    let mut listening = upgrade(connect(&server), "localhost");
    message(&mut listening);
    assert_eq!(server.terminate(), Some(0));
    let closed = std::iter::repeat_with(|| frame(&mut listening)).any(|(op, _)| op == CLOSE);
    assert!(closed);
}

#[test]
fn a_websocket_holds_its_place_among_the_connections() {
    let server = Listening::start(&[("http.max_connections", "1")]);
    let mut socket = upgrade(server.connect(), "localhost");
    message(&mut socket);
    let mut second = server.connect();
    second.write_all(b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    second.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(second.read(&mut [0]).is_err(), "it was served above the cap");
    drop(socket);
    second.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert!(until_blank_line(&mut second).starts_with("HTTP/1.1 200"));
}

#[expect(clippy::disallowed_methods, reason = "a test's own knob")]
fn knob(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

/// Resident memory of a process, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Reads one listener's stream until it has seen `ticks` more ticks than its first; returns how many events it got.
async fn listen_for(address: String, ticks: u64) -> u64 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let (mut first, mut events, mut text) = (None, 0, Vec::new());
    let mut buffer = vec![0; 4_096];
    loop {
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "a listener was cut after {events} events");
        text.extend_from_slice(&buffer[..n]);
        while let Some(end) = text.windows(2).position(|w| w == b"\n\n") {
            let event = String::from_utf8_lossy(&text[..end]).into_owned();
            text.drain(..end + 2);
            let Some(id) = event.lines().find_map(|l| l.strip_prefix("id: ")) else { continue };
            let number: u64 = id.rsplit_once('-').unwrap().1.parse().unwrap();
            events += 1;
            if number >= *first.get_or_insert(number) + ticks {
                return events;
            }
        }
    }
}

/// Many listeners of one server, each of which gets the ticks. `TIDELINE_TEST_LISTENERS=5000 TIDELINE_TEST_TICKS=60`
/// for the large run; look at what it prints with `--no-capture`.
#[test]
fn many_listeners_get_their_ticks() {
    let (listeners, ticks) = (knob("TIDELINE_TEST_LISTENERS", 300), knob("TIDELINE_TEST_TICKS", 3));
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let events: String = (0..500).map(|n| event(&format!("e{n}")) + "\n").collect();
    assert!(Server::post(&server.url, &events).is_some());
    let address = server.url.trim_start_matches("http://").to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // One listener first, so that what the ticker itself takes is there before.
    runtime.block_on(listen_for(address.clone(), 1));
    let before = resident_kib(server.pid());
    let (events, after) = runtime.block_on(async {
        let all: Vec<_> = (0..listeners).map(|_| tokio::spawn(listen_for(address.clone(), ticks))).collect();
        let mut after = 0;
        let mut events = 0;
        for one in all {
            events += one.await.unwrap();
            after = after.max(resident_kib(server.pid()));
        }
        (events, after)
    });
    let wanted = listeners * (ticks + 1);
    println!(
        "{listeners} listeners, {ticks} ticks: {events} of {wanted} events, {:.1} KiB a listener ({before} to {after} KiB)",
        (after.saturating_sub(before)) as f64 / listeners as f64
    );
    assert!(events >= listeners * 2, "each gets a snapshot and a tick at least");
    assert!(events <= wanted);
}
