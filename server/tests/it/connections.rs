//! Connections over real sockets: slow ones, silent ones, too many, those that go away, and the end of the server.
//! Waiting times are guards against hanging, not measurements.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tideline_server::listen;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{App, event, until};

/// An application on a port of its own.
pub struct Listening {
    pub app: App,
    address: SocketAddr,
    pub stop: CancellationToken,
    served: Option<JoinHandle<usize>>,
}

impl Listening {
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let app = App::start(settings);
        let _inside = app.runtime.enter();
        let listener = listen::bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = listen::serve(listener, None, app.router.clone(), app.config.http.clone(), stop.clone());
        let served = Some(app.runtime.spawn(serving));
        drop(_inside);
        Self { app, address, stop, served }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    pub fn end(&mut self) -> usize {
        self.stop.cancel();
        self.app.runtime.block_on(self.served.take().unwrap()).unwrap()
    }
}

/// Everything until the server closes; fails when it does not.
pub fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        Err(e) => panic!("the connection stayed open: {e}"),
    }
    String::from_utf8_lossy(&all).into_owned()
}

pub fn until_blank_line(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[test]
fn headers_that_do_not_end_are_not_waited_for() {
    let server = Listening::start(&[("http.header_timeout", "300ms")]);
    let mut silent = server.connect();
    let mut slow = server.connect();
    let mut h2 = server.connect();
    h2.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
    slow.write_all(b"GET /version HTTP/1.1\r\n").unwrap();
    // A byte now and then must not renew the time.
    let mut dripping = slow.try_clone().unwrap();
    let dripper = std::thread::spawn(move || {
        for _ in 0..3_000 {
            std::thread::sleep(Duration::from_millis(10));
            if dripping.write_all(b"a").is_err() {
                return true;
            }
        }
        false
    });
    for stream in [&mut silent, &mut slow, &mut h2] {
        rest(stream);
    }
    drop(slow);
    assert!(dripper.join().unwrap(), "the dripping connection stayed open");
}

#[test]
fn an_idle_connection_is_kept_for_its_time_and_then_closed() {
    let server = Listening::start(&[("http.header_timeout", "100ms"), ("http.idle_timeout", "1s")]);
    let mut stream = server.connect();
    for _ in 0..2 {
        stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert!(until_blank_line(&mut stream).starts_with("HTTP/1.1 200"));
        let mut body = [0; 17];
        stream.read_exact(&mut body).unwrap();
        // Longer than headers may take: idle is something else.
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(rest(&mut stream), "");
}

#[test]
fn a_body_that_stands_still_is_answered_408() {
    let server = Listening::start(&[("http.body_timeout", "300ms")]);
    let mut stream = server.connect();
    stream.write_all(b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{").unwrap();
    let answer = rest(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");
}

#[test]
fn a_body_that_drips_is_answered_408() {
    let server = Listening::start(&[("http.body_timeout", "500ms")]);
    let mut stream = server.connect();
    stream.write_all(b"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n").unwrap();
    let mut dripping = stream.try_clone().unwrap();
    let dripper = std::thread::spawn(move || {
        for _ in 0..3_000 {
            std::thread::sleep(Duration::from_millis(10));
            if dripping.write_all(b" ").is_err() {
                return true;
            }
        }
        false
    });
    assert!(until_blank_line(&mut stream).starts_with("HTTP/1.1 408"));
    drop(stream);
    assert!(dripper.join().unwrap(), "the dripping connection stayed open");
}

#[test]
fn a_refused_body_does_not_cost_the_client_its_answer() {
    let server = Listening::start(&[("ingest.max_body_bytes", "64KiB")]);
    let mut stream = server.connect();
    let size = 4 << 20;
    stream
        .write_all(format!("POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size}\r\n\r\n").as_bytes())
        .unwrap();
    stream.write_all(&vec![b' '; size]).unwrap();
    assert!(until_blank_line(&mut stream).starts_with("HTTP/1.1 413"));
}

const ENDLESS: &str =
    "SELECT a.value, b.value AS other FROM generate_series(1, 100000) a, generate_series(1, 100000) b";

fn ask_endless(server: &Listening) -> TcpStream {
    let mut stream = server.connect();
    let head = format!(
        "POST /sql.ndjson HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/sql\r\ncontent-length: {}\r\n\r\n",
        ENDLESS.len()
    );
    stream.write_all((head + ENDLESS).as_bytes()).unwrap();
    assert!(until_blank_line(&mut stream).starts_with("HTTP/1.1 200"));
    stream
}

#[test]
fn a_client_that_goes_away_ends_its_query() {
    let server = Listening::start(&[]);
    let stream = ask_endless(&server);
    assert_eq!(server.app.engine.status().queries, 1);
    drop(stream);
    until("the query ends", || server.app.engine.status().queries == 0);
}

#[test]
fn a_client_that_does_not_read_ends_its_query() {
    let server = Listening::start(&[("http.body_timeout", "300ms")]);
    let _not_reading = ask_endless(&server);
    until("the query ends", || server.app.engine.status().queries == 0);
}

#[test]
fn connections_above_the_cap_wait_for_a_place() {
    let server = Listening::start(&[("http.max_connections", "1")]);
    let first = server.connect();
    let mut second = server.connect();
    second.write_all(b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    second.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(second.read(&mut [0]).is_err(), "it was served above the cap");
    drop(first);
    second.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert!(until_blank_line(&mut second).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_running_request_is_finished_when_the_server_stops_and_no_new_one_begun() {
    let mut server = Listening::start(&[]);
    let mut idle = server.connect();
    let mut running = server.connect();
    let body = event("a");
    let head = format!("POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    running.write_all(head.as_bytes()).unwrap();
    // An answer on another connection means that the loop has seen this one too.
    idle.write_all(b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    until_blank_line(&mut idle);
    server.stop.cancel();
    until("the port is closed", || TcpStream::connect(server.address).is_err());
    running.write_all(body.as_bytes()).unwrap();
    assert!(rest(&mut running).starts_with("HTTP/1.1 202"));
    assert_eq!(server.end(), 0, "connections were cut");
}

#[test]
fn a_request_that_does_not_end_is_cut_when_the_server_stops() {
    let mut server = Listening::start(&[("http.drain_timeout", "300ms")]);
    let mut running = ask_endless(&server);
    assert_eq!(server.end(), 1);
    rest(&mut running);
    until("the query ends", || server.app.engine.status().queries == 0);
}

#[test]
fn http2_is_spoken() {
    let server = Listening::start(&[]);
    let mut stream = server.connect();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "the server's first frame is SETTINGS");
}
