use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::AtomicUsize;

use super::*;

fn batch(first: u64, rows: u64) -> Batch {
    Batch {
        file: "a.csv".into(),
        body_kind: Body::Ndjson,
        body: format!("{first}\n").into(),
        lines: (first..first + rows).collect(),
        notes: vec![(1, "it has 3 columns".to_owned())],
    }
}

fn accepted(n: u64) -> Counts {
    Counts { accepted: n, ..Counts::default() }
}

fn refused(index: usize) -> EventError {
    EventError { index, field: "event_ts".into(), code: "invalid_timestamp".into(), message: "no".into() }
}

/// Answers with the result of a function of (how many times it was asked, the batch).
struct Scripted<F>(AtomicUsize, F);

impl<F: Fn(usize, &Batch) -> Result<Counts, Unsent> + Sync> Sink for Scripted<F> {
    fn send(&self, batch: &Batch) -> Result<Counts, Unsent> {
        (self.1)(self.0.fetch_add(1, Ordering::SeqCst), batch)
    }
}

fn run(
    jobs: usize,
    patience: Duration,
    batches: u64,
    answer: impl Fn(usize, &Batch) -> Result<Counts, Unsent> + Sync,
) -> (Tally, Option<Error>) {
    let sink = Scripted(AtomicUsize::new(0), answer);
    send_all(&sink, jobs, patience, &|_| {}, |emit| {
        for n in 0..batches {
            emit(batch(n * 10 + 1, 10))?;
        }
        Ok(7)
    })
}

#[test]
fn everything_is_counted_and_refusals_name_their_lines() {
    let (tally, failure) = run(3, Duration::ZERO, 20, |_, batch| {
        let errors = if batch.lines[0] == 11 { vec![refused(0), refused(1)] } else { Vec::new() };
        Ok(Counts { accepted: 7, duplicates: 1, rejected: errors.len() as u64, errors })
    });
    assert!(failure.is_none());
    assert_eq!((tally.accepted, tally.duplicates, tally.rejected, tally.skipped), (140, 20, 2, 7));
    let said: Vec<_> = tally.errors.iter().map(|e| (e.line, e.message.as_str())).collect();
    assert_eq!(said, [(11, "no"), (12, "it has 3 columns")]);
    assert_eq!(tally.reasons["event_ts invalid_timestamp"], 2);
}

#[test]
fn a_batch_without_an_answer_is_sent_again() {
    let (tally, failure) = run(1, Duration::from_secs(60), 2, |asked, batch| match asked {
        0 | 1 => Err(Unsent::Again(Some(Duration::ZERO), Error::busy("full", "full"))),
        2 => {
            assert_eq!(batch.lines[0], 1, "the same batch");
            Ok(accepted(10))
        }
        _ => Ok(accepted(10)),
    });
    assert!(failure.is_none());
    assert_eq!((tally.accepted, tally.retries), (20, 2));
}

#[test]
fn patience_ends_and_says_that_starting_again_is_safe() {
    let (tally, failure) = run(1, Duration::ZERO, 50, |_, batch| match batch.lines[0] {
        1 => Ok(accepted(10)),
        _ => Err(Unsent::Again(None, Error::busy("full", "the buffer is full"))),
    });
    let error = failure.unwrap();
    assert_eq!(tally.accepted, 10, "what was stored is counted all the same");
    assert!(error.to_string().starts_with("a.csv lines "), "{error}");
    assert!(error.hint.unwrap().contains("run the same command again"));
}

#[test]
fn a_batch_that_never_will_be_taken_stops_the_load() {
    let (_, failure) = run(1, Duration::from_secs(60), 1_000, |_, _| {
        Err(Unsent::Never(Error::invalid("too_large", "the body is too large")))
    });
    assert_eq!(failure.unwrap().to_string(), "a.csv lines 1 to 10: the body is too large");
}

#[test]
fn an_error_of_the_reader_is_the_answer() {
    let sink = Scripted(AtomicUsize::new(0), |_, _: &Batch| Ok(accepted(10)));
    let (tally, failure) = send_all(&sink, 2, Duration::ZERO, &|_| {}, |emit| {
        emit(batch(1, 10))?;
        Err(Error::invalid("file_not_readable", "line 11: broken"))
    });
    assert_eq!(tally.accepted, 10);
    assert_eq!(failure.unwrap().to_string(), "line 11: broken");
}

/// Answers one request after the other with the given texts, each on a connection of its own.
fn server(answers: Vec<String>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.windows(6).any(|w| w == b"\r\n\r\n1\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&buffer[..read]),
                }
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    client
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[test]
fn the_servers_answers_are_understood() {
    let receipt = r#"{"status":"accepted","accepted":1,"duplicates":2,"rejected":0,"errors":[],"errors_total":0}"#;
    let problem = r#"{"code":"buffer_full","message":"full","hint":"wait"}"#;
    let client = server(vec![
        answer("503 Service Unavailable", "retry-after: 3\r\n", problem),
        // It went away in the middle of its answer: nobody knows whether the events were stored.
        "HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\n{\"sta".to_owned(),
        answer("413 Content Too Large", "", problem),
        answer("202 Accepted", "", receipt),
    ]);
    let sink = ServerSink { client, compress: false };
    match sink.send(&batch(1, 1)) {
        Err(Unsent::Again(Some(after), error)) => {
            assert_eq!(
                (after, error.to_string(), error.hint.as_deref()),
                (Duration::from_secs(3), "full".into(), Some("wait"))
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(sink.send(&batch(1, 1)), Err(Unsent::Again(None, _))));
    match sink.send(&batch(1, 1)) {
        Err(Unsent::Never(error)) => assert!(error.hint.unwrap().contains("--batch")),
        other => panic!("{other:?}"),
    }
    assert_eq!(sink.send(&batch(1, 1)).unwrap(), Counts { accepted: 1, duplicates: 2, ..Counts::default() });
    assert!(matches!(sink.send(&batch(1, 1)), Err(Unsent::Again(None, _))), "nobody listens any more");
}
