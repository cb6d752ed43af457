//! Notices about alerts, sent to a real server on a socket: one that fails, dawdles, and takes them in the end.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::Value;
use tideline_engine::alert_log::{Closed, Opening, Severity};
use tideline_engine::clock::SystemClock;
use tideline_engine::engine::Engine;
use tideline_engine::fs::real::RealFs;
use tideline_server::config::{self, Config, Layers};
use tideline_server::listen;
use tideline_server::tls::Tls;
use tideline_server::webhooks::{self, ATTEMPT, DELIVERY, EVENT, SIGNATURE, signature};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::app::until;
use crate::tls::certificate;

const SECRET: &str = "a secret of the test";

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy)]
enum Does {
    Takes,
    Refuses,
    Dawdles,
    SendsElsewhere,
}

/// One request that arrived.
#[derive(Debug, Clone)]
struct Got {
    delivery: String,
    event: String,
    attempt: u32,
    signature: String,
    body: String,
}

/// What a receiver will do, request by request, and then always the last; and what it got.
#[derive(Debug, Default)]
struct Script {
    does: VecDeque<Does>,
    got: Vec<Got>,
}

type Shared = Arc<Mutex<Script>>;

/// A receiver on a port of its own.
struct Receiver {
    url: String,
    script: Shared,
}

impl Receiver {
    fn start(runtime: &Runtime, does: &[Does]) -> Self {
        let script = Arc::new(Mutex::new(Script { does: does.iter().copied().collect(), got: Vec::new() }));
        let router = axum::Router::new().route("/{*any}", post(take)).with_state(Arc::clone(&script));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/hook/hunter2", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, script }
    }

    /// The same behind TLS, with the certificate of these files.
    fn start_tls(runtime: &Runtime, ip: &str, (cert_file, key_file): (PathBuf, PathBuf)) -> Self {
        let script = Arc::new(Mutex::new(Script { does: [Does::Takes].into(), got: Vec::new() }));
        let router = axum::Router::new().route("/{*any}", post(take)).with_state(Arc::clone(&script));
        let _in = runtime.enter();
        let listener = listen::bind(format!("{ip}:0").parse().unwrap(), false).unwrap();
        let url = format!("https://{}/hook/hunter2", listener.local_addr().unwrap());
        let tls = Tls::load(&config::Tls { cert_file, key_file, ..config::Tls::default() }).unwrap().unwrap();
        let (acceptor, http) = (Some(tls.http().unwrap()), config::Http::default());
        runtime.spawn(listen::serve(listener, acceptor, router, http, CancellationToken::new()));
        Self { url, script }
    }

    fn got(&self) -> Vec<Got> {
        self.script.lock().got.clone()
    }

    /// Deliveries with their attempts, in the order they came.
    fn order(&self) -> Vec<(String, u32)> {
        self.got().into_iter().map(|got| (got.event, got.attempt)).collect()
    }
}

async fn take(State(script): State<Shared>, headers: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap) {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let does = {
        let mut script = script.lock();
        script.got.push(Got {
            delivery: text(DELIVERY),
            event: text(EVENT),
            attempt: text(ATTEMPT).parse().unwrap(),
            signature: text(SIGNATURE),
            body: String::from_utf8(body.to_vec()).unwrap(),
        });
        let last = script.does.len() == 1;
        if last { script.does[0] } else { script.does.pop_front().unwrap() }
    };
    match does {
        Does::Takes => (StatusCode::NO_CONTENT, HeaderMap::new()),
        Does::Refuses => (StatusCode::SERVICE_UNAVAILABLE, HeaderMap::new()),
        Does::Dawdles => std::future::pending().await,
        Does::SendsElsewhere => {
            let location = ("location".parse().unwrap(), "/elsewhere".parse().unwrap());
            (StatusCode::TEMPORARY_REDIRECT, HeaderMap::from_iter([location]))
        }
    }
}

/// An engine that tells receivers; ended by dropping it.
struct Teller {
    engine: Arc<Engine>,
    stop: CancellationToken,
}

impl Teller {
    fn start(runtime: &Runtime, dir: &Path, receivers: &[&Receiver], settings: &[(&str, &str)]) -> Self {
        let mut layers = Layers::default();
        let urls: Vec<&str> = receivers.iter().map(|r| r.url.as_str()).collect();
        layers.flag("test", "data_dir", dir.to_str().unwrap());
        layers.flag("test", "query.threads", "1");
        layers.flag("test", "alerts.enabled", "false");
        layers.flag("test", "alerts.webhooks", urls.join(","));
        layers.flag("test", "alerts.webhook_secret", SECRET);
        layers.flag("test", "alerts.webhook_retry", "1ms");
        for (key, value) in settings {
            layers.flag("test", *key, *value);
        }
        let config: Config = layers.load().unwrap().config;
        let opened = Engine::open(config.engine(), Arc::new(RealFs), Arc::new(SystemClock::new()));
        let engine = runtime.block_on(opened).unwrap();
        let stop = CancellationToken::new();
        let _in = runtime.enter();
        webhooks::start(&engine, &config, &stop).unwrap();
        Self { engine, stop }
    }

    fn raise(&self, rule: &str) -> String {
        let opening = Opening {
            rule: rule.to_owned(),
            key: None,
            severity: Severity::Warning,
            message: "somëthing is wrong".to_owned(),
            value: 0.0,
            threshold: 1.0,
        };
        self.engine.alerts().log().raise(opening, self.engine.clock().now()).unwrap().id.clone()
    }

    fn close(&self, rule: &str) {
        let log = self.engine.alerts().log();
        log.close(rule, None, Closed::Recovered, self.engine.clock().now()).unwrap().unwrap();
    }

    fn pending(&self) -> usize {
        self.engine.alerts().log().counts().notices_pending
    }

    fn end(self, runtime: &Runtime) {
        self.stop.cancel();
        runtime.block_on(self.engine.close()).unwrap();
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_notice_is_signed_sent_again_and_comes_before_the_next() {
    let (runtime, dir) = (runtime(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start(&runtime, &[Does::Refuses, Does::Dawdles, Does::SendsElsewhere, Does::Takes]);
    let teller = Teller::start(&runtime, dir.path(), &[&receiver], &[("alerts.webhook_timeout", "300ms")]);
    let id = teller.raise("r");
    teller.close("r");
    until("all is sent", || teller.pending() == 0);
    let wanted =
        [("alert.opened", 1), ("alert.opened", 2), ("alert.opened", 3), ("alert.opened", 4), ("alert.closed", 1)];
    assert_eq!(receiver.order(), wanted.map(|(event, n)| (event.to_owned(), n)), "in order, and nowhere else");
    let got = receiver.got();
    for got in &got {
        let seconds: i64 = got.signature.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(got.signature, signature(&SECRET.to_owned().into(), seconds, &got.body));
        let body: Value = serde_json::from_str(&got.body).unwrap();
        assert_eq!((&body["event"], &body["id"]), (&got.event.as_str().into(), &got.delivery.as_str().into()));
        assert_eq!(
            (&body["alert"]["id"], &body["alert"]["message"]),
            (&id.as_str().into(), &"somëthing is wrong".into())
        );
    }
    assert!(got[..4].iter().all(|g| g.body == got[0].body && g.delivery == got[0].delivery), "the same in every try");
    assert_eq!(serde_json::from_str::<Value>(&got[4].body).unwrap()["alert"]["closed_because"], "recovered");
    let kept = std::fs::read_to_string(dir.path().join("alerts.json")).unwrap();
    assert!(!kept.contains("hunter2") && !kept.contains(SECRET), "neither address nor secret is written down: {kept}");
    teller.end(&runtime);
}

#[test]
fn one_that_is_never_taken_is_given_up_and_holds_up_no_other_receiver() {
    let (runtime, dir) = (runtime(), tempfile::tempdir().unwrap());
    let [broken, slow, good] =
        [Does::Refuses, Does::Dawdles, Does::Takes].map(|does| Receiver::start(&runtime, &[does]));
    let settings = [("alerts.webhook_attempts", "3"), ("alerts.webhook_timeout", "5m")];
    let teller = Teller::start(&runtime, dir.path(), &[&broken, &slow, &good], &settings);
    teller.raise("r");
    teller.raise("s");
    until("the good one has both, the broken one had its tries", || {
        good.got().len() == 2 && teller.engine.alerts().log().counts().notices_dead == 2
    });
    assert_eq!(slow.got().len(), 1, "the next one waits for the first");
    assert_eq!(broken.order().iter().map(|(_, n)| *n).collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3]);
    let dead = teller.engine.alerts().log().dead_notices();
    assert!(dead.iter().all(|n| n.attempts == 3 && n.error.as_deref() == Some("it was answered 503")), "{dead:?}");
    assert_eq!(teller.pending(), 2, "what the slow one did not take");
    teller.end(&runtime);
}

#[test]
fn a_restart_forgets_neither_notices_nor_tries() {
    let (runtime, dir) = (runtime(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start(&runtime, &[Does::Refuses]);
    let slow = [("alerts.webhook_retry", "1h"), ("alerts.webhook_max_retry", "1h")];
    let teller = Teller::start(&runtime, dir.path(), &[&receiver], &slow);
    teller.raise("r");
    let tried = |teller: &Teller| {
        let target = teller.engine.alerts().config().targets[0].clone();
        teller.engine.alerts().log().next_notice(&target).map(|n| (n.attempts, n.error))
    };
    until("it was tried", || tried(&teller) == Some((1, Some("it was answered 503".to_owned()))));
    teller.end(&runtime);

    // Within its hour nothing is sent; what comes after it waits behind it.
    let teller = Teller::start(&runtime, dir.path(), &[&receiver], &slow);
    teller.close("r");
    assert_eq!((tried(&teller).map(|(n, _)| n), teller.pending()), (Some(1), 2));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(receiver.got().len(), 1);
    teller.end(&runtime);

    // A receiver that is no longer named: what was for it is kept as given up, and is not sent.
    let other = Receiver::start(&runtime, &[Does::Takes]);
    let teller = Teller::start(&runtime, dir.path(), &[&other], &[]);
    let counts = teller.engine.alerts().log().counts();
    assert_eq!((counts.notices_pending, counts.notices_dead), (0, 2));
    teller.raise("s");
    until("the new one is told", || other.got().len() == 1 && teller.pending() == 0);
    assert_eq!(receiver.got().len(), 1);
    teller.end(&runtime);
}

#[test]
fn over_https_a_receiver_is_told_only_when_its_certificate_is_trusted() {
    let (runtime, files) = (runtime(), tempfile::tempdir().unwrap());
    let (own, other) = (certificate(files.path(), "own"), certificate(files.path(), "other"));
    let receiver = Receiver::start_tls(&runtime, "127.0.0.1", own.clone());
    let misnamed = Receiver::start_tls(&runtime, "127.0.0.2", own.clone());
    // Trusting nobody's certificate, another's, and the right one at an address that is not in it.
    for (receiver, trusted) in [(&receiver, None), (&receiver, Some(&other.0)), (&misnamed, Some(&own.0))] {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = vec![("alerts.webhook_attempts", "2")];
        settings.extend(trusted.map(|file| ("tls.ca_file", file.to_str().unwrap())));
        let teller = Teller::start(&runtime, dir.path(), &[receiver], &settings);
        teller.raise("r");
        until("it is given up", || teller.engine.alerts().log().counts().notices_dead == 1);
        let dead = teller.engine.alerts().log().dead_notices();
        assert_eq!(dead[0].error.as_deref(), Some("there was no connection"), "{dead:?}");
        teller.end(&runtime);
    }
    assert_eq!((receiver.got().len(), misnamed.got().len()), (0, 0));

    let dir = tempfile::tempdir().unwrap();
    let settings = [("tls.ca_file", own.0.to_str().unwrap())];
    let teller = Teller::start(&runtime, dir.path(), &[&receiver], &settings);
    teller.raise("r");
    until("it is told", || teller.pending() == 0);
    assert_eq!(receiver.order(), [("alert.opened".to_owned(), 1)]);
    teller.end(&runtime);
}
