//! The Postgres wire over real sockets: what strangers send before anybody is let in, who is let in, what is refused, and
//! every limit. Clients people have are in `tests/python/postgres`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tideline_server::auth::keys::{KeyLimits, NewKey};
use tideline_server::auth::scope::{Scope, Scopes};
use tideline_server::{listen, postgres};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{App, event, until};

/// Sources of the engine's tests that list what SQL refuses: the same is refused here.
const REFUSALS: &str = include_str!("../../../engine/tests/it/corpus/refused.sql");

struct Wire {
    app: App,
    address: SocketAddr,
    stop: CancellationToken,
    served: Option<JoinHandle<usize>>,
}

impl Wire {
    fn start(settings: &[(&str, &str)]) -> Self {
        Self::over(App::start(settings))
    }

    fn over(app: App) -> Self {
        let stop = CancellationToken::new();
        let (listener, shared) = app.runtime.block_on(async {
            let listener = listen::bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
            (listener, postgres::Shared::new(app.state.clone(), stop.clone()).unwrap())
        });
        let address = listener.local_addr().unwrap();
        let served = Some(app.runtime.spawn(postgres::serve(listener, shared)));
        Self { app, address, stop, served }
    }

    fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        stream
    }

    /// A session, as anybody.
    fn client(&self) -> Client {
        self.login(&[("user", "me")], None).unwrap()
    }

    fn login(&self, parameters: &[(&str, &str)], password: Option<&str>) -> Result<Client, Vec<(char, String)>> {
        let mut client = Client { stream: self.stream(), key: (0, 0) };
        client.stream.write_all(&startup(parameters)).unwrap();
        loop {
            let (kind, body) = client.message();
            match kind {
                'R' if body[3] == 3 => {
                    let password = format!("{}\0", password.unwrap_or_default());
                    client.send(b'p', password.as_bytes());
                }
                'K' => client.key = (number(&body[..4]), number(&body[4..8])),
                'E' => return Err(fields(&body)),
                'Z' => return Ok(client),
                _ => {}
            }
        }
    }

    fn key(&self, scopes: &[Scope]) -> String {
        let new = NewKey {
            name: "wire".to_owned(),
            scopes: Scopes::from_iter(scopes.iter().copied()),
            expires_in: None,
            limits: KeyLimits::default(),
        };
        self.app.state.auth.keys.create(new).unwrap().key.unwrap()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(served) = self.served.take() {
            let _ = self.app.runtime.block_on(served);
        }
    }
}

struct Client {
    stream: TcpStream,
    key: (i32, i32),
}

fn number(bytes: &[u8]) -> i32 {
    i32::from_be_bytes(bytes.try_into().unwrap())
}

fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    for (name, value) in parameters {
        body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    framed(&body)
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat()
}

fn fields(body: &[u8]) -> Vec<(char, String)> {
    let parts = body.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    parts.map(|part| (part[0] as char, String::from_utf8_lossy(&part[1..]).into_owned())).collect()
}

fn field(fields: &[(char, String)], kind: char) -> &str {
    fields.iter().find(|(k, _)| *k == kind).map_or("", |(_, text)| text)
}

impl Client {
    fn send(&mut self, kind: u8, body: &[u8]) {
        self.stream.write_all(&[&[kind][..], &framed(body)].concat()).unwrap();
    }

    fn message(&mut self) -> (char, Vec<u8>) {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).unwrap();
        let mut body = vec![0; usize::try_from(number(&head[1..])).unwrap() - 4];
        self.stream.read_exact(&mut body).unwrap();
        (head[0] as char, body)
    }

    /// Runs a simple query: the first column's texts, or the error's fields.
    fn query(&mut self, text: &str) -> Result<Vec<String>, Vec<(char, String)>> {
        self.send(b'Q', format!("{text}\0").as_bytes());
        self.answer()
    }

    fn answer(&mut self) -> Result<Vec<String>, Vec<(char, String)>> {
        let (mut rows, mut failed) = (Vec::new(), None);
        loop {
            let (kind, body) = self.message();
            match kind {
                'D' => {
                    let length = number(&body[2..6]);
                    let end = 6 + usize::try_from(length.max(0)).unwrap();
                    rows.push(String::from_utf8_lossy(&body[6..end]).into_owned());
                }
                'E' => failed = Some(fields(&body)),
                'Z' => return failed.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    fn state(&mut self, text: &str) -> String {
        match self.query(text) {
            Ok(_) => "00000".to_owned(),
            Err(fields) => field(&fields, 'C').to_owned(),
        }
    }
}

/// Everything until the server closes; fails when it does not.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        Err(e) => panic!("the connection stayed open: {e}"),
    }
    all
}

#[test]
fn a_query_is_answered_with_what_was_just_stored() {
    let wire = Wire::start(&[]);
    assert_eq!(wire.app.post("/events", event("a")).status, 202);
    let mut client = wire.client();
    assert_eq!(client.query("SELECT event_id FROM events").unwrap(), ["a"]);
    assert_eq!(client.query("SELECT price FROM events; SELECT 1 + 1").unwrap(), ["12.5000", "2"]);
    assert_eq!(
        client.query("SELECT orders FROM metric('sales/daily', 'start=2026-03-01', 'end=2026-03-01')").unwrap(),
        ["1"]
    );
    assert_eq!(client.query("").unwrap(), Vec::<String>::new());
    assert_eq!(client.query("SELECT relname FROM pg_class WHERE relname = 'events'").unwrap(), ["events"]);
    let types = "SELECT data_type FROM information_schema.columns WHERE table_name = 'events' AND column_name IN \
                 ('event_ts', 'page', 'price') ORDER BY column_name";
    assert_eq!(client.query(types).unwrap(), ["timestamp with time zone", "text", "numeric"]);
    // The catalogue is on this wire only.
    assert_eq!(wire.app.sql("SELECT relname FROM pg_catalog.pg_class").code(), "unknown_table");
    assert_eq!(wire.app.sql("SELECT * FROM metrics.sales_daily").code(), "unknown_table");
    assert_eq!(wire.app.sql("SELECT current_setting('search_path')").code(), "unknown_function");
}

#[test]
fn strangers_who_send_rubbish_get_nothing_and_hurt_nobody() {
    let wire = Wire::start(&[("postgres.stall_timeout", "200ms"), ("postgres.startup_timeout", "2s")]);
    let long = startup(&[("user", &"x".repeat(9_980))]);
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\0\0\0\x07abc",
        b"\x7f\xff\xff\xff\0\x03\0\0",
        b"\0\0\0\x09\0\x03\0\0x",
        b"\0\0\0\x08\0\x03\0\0",
        b"\0\0\0\x08\x04\xd2\x16\x2e",
        b"\x16\x03\x01\0\x05hello",
        &framed(&[4, 210, 22, 47, 1, 2, 3]),
        &startup(&[("user", "me"), ("database", "other")]),
        &[startup(&[("user", "me")]), vec![b'Q', 0, 0, 0, 3]].concat(),
        &[startup(&[("user", "me")]), vec![b'Q', 0x3f, 0xff, 0xff, 0xff]].concat(),
        &[startup(&[("user", "me")]), vec![b'B', 0, 0, 0, 8, 0, 0, 0xff, 0xff]].concat(),
        &[startup(&[("user", "me")]), vec![b'!', 0, 0, 0, 4]].concat(),
        &[framed(&[4, 210, 22, 48]), framed(&[4, 210, 22, 48]), framed(&[4, 210, 22, 48])].concat(),
        &long[..100],
        // Half a startup packet, and nothing at all.
        b"\0\0",
        b"",
    ] {
        let mut stream = wire.stream();
        stream.write_all(bytes).unwrap();
        rest(&mut stream);
        assert_eq!(wire.client().query("SELECT 1").unwrap(), ["1"], "after {bytes:?}");
    }
    // A request for a version of long ago is told so.
    let mut stream = wire.stream();
    stream.write_all(&framed(&[0, 2, 0, 0])).unwrap();
    assert!(String::from_utf8_lossy(&rest(&mut stream)).contains("0A000"));
}

#[test]
fn the_key_is_the_password_and_needs_its_scope() {
    let wire = Wire::start(&[]);
    let early = wire.client();
    let (read, admin, ingest) = (wire.key(&[Scope::Read]), wire.key(&[Scope::Admin]), wire.key(&[Scope::Ingest]));
    let state = |password: Option<&str>| match wire.login(&[("user", "me"), ("database", "tideline")], password) {
        Ok(_) => "in".to_owned(),
        Err(fields) => field(&fields, 'C').to_owned(),
    };
    assert_eq!([state(Some(&read)), state(Some(&admin))], ["in", "in"]);
    assert_eq!(state(Some(&ingest)), "42501");
    for password in [None, Some(""), Some(" "), Some("tl_wrong"), Some(&read[..20]), Some(&"x".repeat(900))] {
        assert_eq!(state(password), "28P01", "{password:?}");
    }
    // Whoever came in without a key while there was none is sent away, and so is one whose key was revoked.
    let mut early = early;
    early.send(b'Q', b"SELECT 1\0");
    assert!(String::from_utf8_lossy(&rest(&mut early.stream)).contains("28000"));
    let mut client = wire.login(&[("user", "me")], Some(&read)).unwrap();
    assert_eq!(client.query("SELECT 1").unwrap(), ["1"]);
    let keys = &wire.app.state.auth.keys;
    let id = keys.find(&read).unwrap().id.clone();
    keys.revoke(&id).unwrap();
    client.send(b'Q', b"SELECT 1\0");
    assert!(String::from_utf8_lossy(&rest(&mut client.stream)).contains("28000"));
    assert_eq!(state(Some(&read)), "28P01");
}

/// The texts of the engine's corpus that do not only read. Those that are several statements are the protocol's own.
fn refused() -> Vec<&'static str> {
    let sections = REFUSALS.split("\n= ").filter_map(|section| section.strip_prefix("read_only\n"));
    let lines = sections.flat_map(str::lines).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter(|line| !line.contains([';', '⟦', '⏎', '⇥', '␀'])).collect()
}

#[test]
fn what_sql_refuses_is_refused_here() {
    let wire = Wire::start(&[("query.max_operators", "100")]);
    let mut client = wire.client();
    let texts = refused();
    assert!(texts.len() > 60, "{} texts were found", texts.len());
    for text in texts {
        // Statements of the connection, which do nothing here, are taken.
        if postgres::utility::Utility::of(text).is_some() {
            continue;
        }
        assert_ne!(client.state(text), "00000", "{text}");
        // And so they are when they are prepared.
        client.send(b'P', format!("\0{text}\0\0\0").as_bytes());
        client.send(b'S', b"");
        assert!(client.answer().is_err(), "{text}");
    }
    for (text, state) in [
        ("COPY events TO STDOUT", "25006"),
        ("INSERT INTO events VALUES (1)", "25006"),
        ("SELECT 1; DROP TABLE events", "25006"),
        ("SELECT * FROM pg_catalog.pg_read_file", "42P01"),
        ("SELECT pg_read_file('/etc/passwd')", "42883"),
        ("SELECT * FROM pg_ls_dir('/')", "42P01"),
        ("SELECT lo_import('/etc/passwd')", "42883"),
        ("SELECT pg_sleep(100)", "42883"),
        ("SELECT * FROM dblink('host=localhost', 'SELECT 1')", "42P01"),
        ("CREATE TABLE pg_temp.x AS SELECT relname FROM pg_class", "25006"),
        ("SELECT relname INTO x FROM pg_class", "25006"),
        ("SELECT relname FROM pg_class FOR UPDATE", "25006"),
        ("WITH RECURSIVE x AS (SELECT oid FROM pg_class UNION ALL SELECT oid FROM x) SELECT * FROM x", "54001"),
        ("SELECT * FROM information_schema.df_settings", "42P01"),
        ("SELECT * FROM events WHERE page = '' OR page = ''", "00000"),
        ("SELECT relname FROM pg_class WHERE relname = 'x'", "00000"),
    ] {
        assert_eq!(client.state(text), state, "{text}");
    }
    let chain = format!("SELECT relname FROM pg_class WHERE relname = ''{}", " OR relname = ''".repeat(200));
    assert_eq!(client.state(&chain), "54001");
    // The engine is as it was.
    assert_eq!(client.query("SELECT count(*) FROM events").unwrap(), ["0"]);
}

#[test]
fn an_error_says_where_and_what_to_do_and_the_session_goes_on() {
    let wire = Wire::start(&[]);
    let mut client = wire.client();
    let error = client.query("SELECT 1; SELECT *\nFROM event").unwrap_err();
    assert_eq!((field(&error, 'C'), field(&error, 'P')), ("42P01", "25"));
    assert!(field(&error, 'H').contains("did you mean events"), "{error:?}");
    assert_eq!(client.state("SELEC 1"), "42601");
    assert_eq!(client.state("SELECT nothing FROM events"), "42703");
    assert_eq!(client.state("SELECT 1/0"), "22012");
    assert_eq!(client.state("SET work_memory = '1GB'"), "42704");
    // A transaction that failed takes nothing until its end.
    assert_eq!(client.state("BEGIN; SELECT 1"), "00000");
    assert_eq!([client.state("SELEC"), client.state("SELECT 1")], ["42601", "25P02"]);
    assert_eq!([client.state("ROLLBACK"), client.state("SELECT 1")], ["00000", "00000"]);
}

fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn portals_give_so_many_rows_at_a_time() {
    let wire = Wire::start(&[]);
    let mut client = wire.client();
    client.send(b'P', b"s\0SELECT value FROM generate_series(1, 99) WHERE value <= $1 ORDER BY 1\0\0\0");
    client.send(b'B', &cat(&[b"p\0s\0", &[0, 1, 0, 1, 0, 1, 0, 0, 0, 8], &25_i64.to_be_bytes(), &[0, 0]]));
    let execute = |client: &mut Client, rows: i32| client.send(b'E', &cat(&[b"p\0", &rows.to_be_bytes()]));
    for rows in [10, 10, 10, 10] {
        execute(&mut client, rows);
    }
    client.send(b'S', b"");
    let (mut kinds, mut tags) = (String::new(), Vec::new());
    loop {
        let (kind, body) = client.message();
        kinds.push(kind);
        match kind {
            'C' => tags.push(String::from_utf8_lossy(&body).into_owned()),
            'E' => panic!("{:?}", fields(&body)),
            'Z' => break,
            _ => {}
        }
    }
    assert_eq!(kinds, format!("12{0}s{0}s{1}CCZ", "D".repeat(10), "D".repeat(5)));
    assert_eq!(tags, ["SELECT 5\0", "SELECT 0\0"]);
    // Outside of a transaction it ended with its group.
    execute(&mut client, 1);
    client.send(b'S', b"");
    assert_eq!(field(&client.answer().unwrap_err(), 'C'), "34000");
    // Within one it is there for the next.
    client.query("BEGIN").unwrap();
    client.send(b'B', &cat(&[b"p\0s\0", &[0, 0, 0, 1, 0, 0, 0, 1], b"3", &[0, 0]]));
    execute(&mut client, 1);
    client.send(b'S', b"");
    assert_eq!(client.answer().unwrap(), ["1"]);
    execute(&mut client, 0);
    client.send(b'S', b"");
    assert_eq!(client.answer().unwrap(), ["2", "3"]);
    assert_eq!(client.query("COMMIT").unwrap(), Vec::<String>::new());
}

#[test]
fn an_error_amid_messages_skips_to_the_end_of_their_group() {
    let wire = Wire::start(&[]);
    let mut client = wire.client();
    client.send(b'P', b"bad\0SELEC 1\0\0\0");
    client.send(b'B', b"\0bad\0\0\0\0\0\0\0");
    client.send(b'E', b"\0\0\0\0\0");
    client.send(b'S', b"");
    assert_eq!(field(&client.answer().unwrap_err(), 'C'), "42601");
    for (messages, state) in [
        (vec![(b'P', &b"\0SELECT 1; SELECT 2\0\0\0"[..])], "42601"),
        (vec![(b'B', b"\0none\0\0\0\0\0\0\0")], "26000"),
        (vec![(b'D', b"Snone\0")], "26000"),
        (vec![(b'E', b"none\0\0\0\0\0")], "34000"),
        (vec![(b'P', b"a\0SELECT $1::int\0\0\0"), (b'B', b"\0a\0\0\0\0\0\0\0")], "08P01"),
        (vec![(b'P', b"b\0SELECT $1::int\0\0\0"), (b'B', b"\0b\0\0\0\0\x01\0\0\0\x01x\0\0")], "22P02"),
        (vec![(b'P', b"c\0SELECT 1\0\0\0"), (b'P', b"c\0SELECT 2\0\0\0")], "42P05"),
        (vec![(b'P', b"d\0SELECT 1\0\0\0"), (b'B', b"\0d\0\0\x01\0\x07\0\0\0\0")], "08P01"),
        (vec![(b'P', b"e\0SELECT $name\0\0\0")], "22023"),
    ] {
        for (kind, body) in messages {
            client.send(kind, body);
        }
        client.send(b'S', b"");
        assert_eq!(field(&client.answer().unwrap_err(), 'C'), state);
    }
    assert_eq!(client.query("SELECT 1").unwrap(), ["1"]);
}

/// Rows nobody waits for are not made: what a query reads is bounded by what its client takes.
const MANY: &str = "SELECT repeat('x', 1000) FROM generate_series(1, 9000000)";

#[test]
fn a_query_stops_when_its_client_says_so_leaves_or_does_not_read() {
    let wire =
        Wire::start(&[("postgres.stall_timeout", "300ms"), ("query.timeout", "600s"), ("query.max_timeout", "600s")]);
    let running = || wire.app.engine.queries().running();
    // By a second connection that knows the secret; one that does not changes nothing.
    let mut client = wire.client();
    let long = "SELECT count(*) FROM generate_series(1, 9000000) a, generate_series(1, 9000000) b";
    client.send(b'Q', format!("{long}\0").as_bytes());
    until("it runs", || running() == 1);
    let (process, secret) = client.key;
    let cancel = |secret: i32| {
        let request = cat(&[&[4, 210, 22, 46], &process.to_be_bytes(), &secret.to_be_bytes()]);
        let mut stream = wire.stream();
        stream.write_all(&framed(&request)).unwrap();
        rest(&mut stream);
    };
    cancel(secret.wrapping_add(1));
    assert_eq!(running(), 1);
    cancel(secret);
    assert_eq!(field(&client.answer().unwrap_err(), 'C'), "57014");
    until("it has stopped", || running() == 0);
    assert_eq!(client.query("SELECT 1").unwrap(), ["1"]);
    // By going away.
    let mut leaver = wire.client();
    leaver.send(b'Q', format!("{long}\0").as_bytes());
    until("it runs", || running() == 1);
    drop(leaver);
    until("it has stopped", || running() == 0);
    // By not reading.
    let mut sleeper = wire.client();
    sleeper.send(b'Q', format!("{MANY}\0").as_bytes());
    until("it runs", || running() == 1);
    until("it has stopped", || running() == 0);
    drop(sleeper);
    // By its own time, which a client can only shorten.
    assert_eq!(client.state("SET statement_timeout = '50ms'"), "00000");
    let error = client.query(long).unwrap_err();
    assert_eq!(field(&error, 'C'), "57014");
}

#[test]
fn connections_statements_messages_and_silence_have_limits() {
    let wire = Wire::start(&[
        ("postgres.max_connections", "2"),
        ("postgres.max_statements", "2"),
        ("postgres.max_message_bytes", "16KiB"),
    ]);
    let (mut one, two) = (wire.client(), wire.client());
    let refused = wire.login(&[("user", "me")], None).err().unwrap();
    assert_eq!(field(&refused, 'C'), "53300");
    drop(two);
    until("there is room again", || wire.login(&[("user", "me")], None).is_ok());
    for (name, expected) in [("a", None), ("b", None), ("c", Some("53400"))] {
        one.send(b'P', format!("{name}\0SELECT 1\0\0\0").as_bytes());
        one.send(b'S', b"");
        let state = one.answer().err().map(|fields| field(&fields, 'C').to_owned());
        assert_eq!(state.as_deref(), expected, "{name}");
    }
    one.send(b'Q', &cat(&[b"SELECT '", &[b'x'; 20_000], b"'\0"]));
    assert!(String::from_utf8_lossy(&rest(&mut one.stream)).contains("54000"));

    let wire = Wire::start(&[("postgres.idle_timeout", "100ms")]);
    let mut silent = wire.client();
    assert!(String::from_utf8_lossy(&rest(&mut silent.stream)).contains("57P05"));
}

#[test]
fn a_keys_limit_of_requests_counts_statements() {
    let wire = Wire::start(&[("rate_limit.requests", "4")]);
    let mut client = wire.client();
    let states: Vec<String> = (0..4).map(|_| client.state("SELECT 1")).collect();
    assert_eq!(states, ["00000", "00000", "00000", "53400"]);
}

#[test]
fn at_the_end_the_idle_are_told_and_the_busy_may_finish() {
    let mut wire = Wire::start(&[]);
    let (mut idle, mut busy) = (wire.client(), wire.client());
    busy.send(b'Q', b"SELECT count(*) FROM generate_series(1, 3000000)\0");
    until("it runs", || wire.app.engine.queries().running() == 1);
    wire.stop.cancel();
    assert!(String::from_utf8_lossy(&rest(&mut idle.stream)).contains("57P01"));
    assert_eq!(busy.answer().unwrap(), ["3000000"]);
    let served = wire.served.take().unwrap();
    assert_eq!(wire.app.runtime.block_on(served).unwrap(), 0);
}

#[test]
fn every_metric_is_a_view_or_asks_for_its_parameters() {
    let wire = Wire::start(&[]);
    let catalogue = wire.app.runtime.block_on(wire.app.engine.metrics().catalogue());
    let mut client = wire.client();
    let views =
        client.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'metrics'").unwrap();
    let free = |metric: &&Arc<tideline_engine::metrics::Metric>| metric.header.params.iter().all(|p| !p.required);
    let free: Vec<_> = catalogue.metrics.values().filter(free).collect();
    assert!(free.len() > 20 && views.len() == free.len(), "{} views of {} metrics", views.len(), free.len());
    let unique: std::collections::HashSet<_> = views.iter().collect();
    assert_eq!(unique.len(), views.len(), "two metrics have one name");
    for metric in free {
        let view = tideline_engine::metrics::table_name(&metric.name);
        if let Err(error) = client.query(&format!("SELECT * FROM metrics.{view} LIMIT 1")) {
            panic!("{view}: {error:?}");
        }
    }
    assert_eq!(client.state("SELECT * FROM metric('sales/dayly')"), "42P01");
    assert_eq!(client.state("SELECT * FROM metric('sales/daily', 'begin=2026-01-01')"), "22023");
    assert_eq!(client.state("SELECT * FROM metric('sales/daily', 'start=soon')"), "22023");
}
