//! Tests of the generator: it must be the same everywhere, in the order of time, of the size and shape it promises.

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Write as _};
use std::time::Duration;

use serde_json::Value;
use tideline_engine::clock::{DAY, Micros};

use super::*;

/// The simulation of `month()`, see `hash`.
const SIMULATION: u64 = 11_545_648_699_168_150_183;

fn generate(config: GeneratorConfig) -> (Vec<u8>, Vec<Micros>) {
    let mut generator = Generator::new(config);
    let (mut out, mut times) = (Vec::new(), Vec::new());
    while let Some(at) = generator.next_line(&mut out) {
        times.push(at);
    }
    (out, times)
}

fn small() -> GeneratorConfig {
    GeneratorConfig { events: 60_000, users: 5_000, products: 1_000, ..GeneratorConfig::default() }
}

/// FNV-1a, 64 bit.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn events(bytes: &[u8]) -> Vec<Value> {
    bytes.split(|&b| b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

#[test]
fn one_seed_gives_one_stream_everywhere() {
    let (bytes, _) = generate(GeneratorConfig { events: 5_000, ..small() });
    assert_eq!(
        hash(&bytes),
        1_912_614_645_391_020_333,
        "the stream of a seed changed: recorded figures are no longer comparable"
    );
    let (other, _) = generate(GeneratorConfig { events: 5_000, seed: 43, ..small() });
    assert_ne!(hash(&bytes), hash(&other));
}

#[test]
fn events_come_in_the_order_of_time_and_fill_the_span() {
    let config = small();
    let (start, span) = (config.start, 30 * DAY);
    let (bytes, times) = generate(config);
    assert_eq!(times.len(), 60_000);
    assert!(times.is_sorted());
    assert!(times[0] >= start && times[0] < start + DAY / 24);
    let end = times[times.len() - 1] - start;
    assert!((span - DAY..span + DAY).contains(&end), "ends after {} hours", end / (DAY / 24));
    for (event, at) in events(&bytes).iter().zip(&times).step_by(97) {
        let stamp = chrono::DateTime::parse_from_rfc3339(event["event_ts"].as_str().unwrap()).unwrap();
        assert_eq!(stamp.timestamp_micros(), *at);
    }
}

#[test]
fn events_have_the_size_the_benchmarks_state() {
    let (bytes, times) = generate(small());
    let mean = bytes.len() / times.len();
    assert!((492..=502).contains(&mean), "{mean} bytes an event");
}

#[test]
fn ids_are_unique_and_money_adds_up() {
    let (bytes, _) = generate(small());
    let mut ids = HashSet::new();
    let cents = |v: &Value| (v.as_f64().unwrap() * 100.0).round() as i64;
    let units = |v: &Value| v["quantity"].as_i64().unwrap();
    for event in events(&bytes) {
        assert!(ids.insert(event["event_id"].as_str().unwrap().to_owned()));
        if event["event_type"] != "purchase" {
            continue;
        }
        let goods = match event.get("items") {
            Some(items) => items.as_array().unwrap().iter().map(|l| cents(&l["price"]) * units(l)).sum(),
            None => cents(&event["price"]) * units(&event),
        };
        let discount = event.get("discount").map_or(0, cents);
        assert_eq!(cents(&event["revenue"]), goods - discount, "{event}");
    }
}

#[test]
fn visits_and_the_funnel_look_like_a_shop() {
    let (bytes, _) = generate(small());
    let mut types: HashMap<String, usize> = HashMap::new();
    let mut sessions: HashMap<String, usize> = HashMap::new();
    let mut users: HashMap<String, usize> = HashMap::new();
    for event in events(&bytes) {
        *types.entry(event["event_type"].as_str().unwrap().to_owned()).or_default() += 1;
        if let Some(session) = event["session_id"].as_str() {
            *sessions.entry(session.to_owned()).or_default() += 1;
        }
        if let Some(user) = event["user_id"].as_str() {
            *users.entry(user.to_owned()).or_default() += 1;
        }
    }
    let per_session = 60_000.0 / sessions.len() as f64;
    assert!((5.5..6.6).contains(&per_session), "{per_session} events a session");
    let conversion = types["purchase"] as f64 / sessions.len() as f64;
    assert!((0.02..0.05).contains(&conversion), "{conversion}");
    assert!(types["page_view"] > types["product_view"] && types["product_view"] > 4 * types["add_to_cart"]);
    assert!(types["add_to_cart"] > types["checkout_start"] && types["checkout_start"] > types["payment_info"]);
    assert!(types["payment_info"] > types["purchase"] && types["purchase"] > 10 * types["refund"]);
    assert!(types["search"] > 0 && types["refund"] > 0);
    // Zipf: the busiest of 5,000 users has far more than an even share.
    assert!(users.values().max().unwrap() > &(20 * 60_000 / 5_000));
}

#[test]
fn evenings_are_busier_than_nights() {
    let (_, times) = generate(small());
    let hour = |at: &Micros| at.rem_euclid(DAY) / (DAY / 24);
    let night = times.iter().filter(|at| hour(at) == 3).count();
    let evening = times.iter().filter(|at| hour(at) == 20).count();
    assert!(evening > 5 * night, "{night} at night, {evening} in the evening");
}

#[test]
fn live_traffic_flows_at_its_rate_from_now_on() {
    let now = DEFAULT_START + 12_345_678_000;
    let mut generator = Generator::live(1, 100, now);
    let mut out = Vec::new();
    assert_eq!(generator.due(now - 1, 1_000, &mut out), 0);
    let mut total = 0;
    for second in 0..600 {
        total += generator.due(now + second * 1_000_000, 10_000, &mut out);
    }
    assert!((50_000..70_000).contains(&total), "{total} events in 10 minutes");
    let first = &events(&out[..=out.iter().position(|&b| b == b'\n').unwrap()])[0]["event_ts"];
    assert!(first.as_str().unwrap() >= "2024-01-01T03:25:45", "{first}");
    assert_eq!(generator.due(now + 3_600_000_000, 10, &mut out), 10, "the limit holds");
}

fn simulate(scenario: Scenario) -> (Vec<u8>, Ledger) {
    let mut simulator = Simulator::new(scenario);
    let mut out = Vec::new();
    while simulator.due(Micros::MAX, 1_000, &mut out) > 0 {}
    (out, simulator.ledger().clone())
}

fn month() -> Scenario {
    Scenario::history(7, DEFAULT_START, Duration::from_secs(30 * 86_400), 60_000)
}

#[test]
fn a_seed_and_a_start_give_one_simulation_and_others_another() {
    let (bytes, _) = simulate(month());
    assert_eq!(hash(&bytes), SIMULATION, "the simulation of a seed changed: say so in the changelog");
    assert_eq!(bytes, simulate(month()).0);
    let ids = |scenario| -> HashSet<String> {
        events(&simulate(scenario).0).iter().map(|e| e["event_id"].as_str().unwrap().to_owned()).collect()
    };
    let mut later = month();
    later.stream.start += 1_000;
    assert!(ids(month()).is_disjoint(&ids(later)), "another run has ids of its own");
}

#[test]
fn a_simulation_at_a_rate_is_the_same_however_fast_it_is_asked_for() {
    let run = || {
        let mut simulator = Simulator::new(Scenario::live(3, DEFAULT_START, 50.0));
        let mut out = Vec::new();
        for i in 0..20_000 {
            if i == 10_000 {
                simulator.pace(500.0);
            }
            assert!(simulator.next_at(DEFAULT_START + i * 20_000, &mut out));
        }
        simulator.finish(&mut out);
        (out, simulator.ledger().clone())
    };
    let (out, ledger) = run();
    assert_eq!((&out, &ledger), (&run().0, &ledger));
    let lines = events(&out);
    assert_eq!(lines.len() as u64, ledger.events + ledger.duplicates);
    let (from, until) = ("2024-01-01T00:00:00.000Z", "2024-01-01T00:06:40.000Z");
    assert!(lines.iter().all(|e| (from..until).contains(&e["event_ts"].as_str().unwrap())));
    let late = lines.windows(2).filter(|w| w[0]["event_ts"].as_str() > w[1]["event_ts"].as_str()).count() as u64;
    assert!(late > 100 && late <= ledger.late + ledger.duplicates, "{late} of {ledger:?}");
    assert!(ledger.orders > ledger.refunds && ledger.bot_sessions > 0, "{ledger:?}");
    assert_eq!(ledger.by_type["stock_level"], 40, "each stocked product once");
}

#[test]
fn every_simulated_event_is_marked() {
    let (bytes, ledger) = simulate(month());
    let all = events(&bytes);
    assert_eq!(all.len() as u64, ledger.events + ledger.duplicates);
    for event in &all {
        assert!(event["event_id"].as_str().unwrap().starts_with(MARK), "{event}");
        for id in ["user_id", "anonymous_id", "session_id", "order_id", "cart_id"] {
            assert!(event.get(id).is_none_or(|id| id.as_str().unwrap().starts_with(MARK)), "{id} of {event}");
        }
    }
    let mut bare = month();
    bare.mark = String::new();
    let unmarked = simulate(bare).0;
    assert!(!String::from_utf8_lossy(&unmarked).contains(MARK));
}

/// Five standard deviations of a share of `n` draws.
fn off(p: f64, n: u64) -> f64 {
    5.0 * (p * (1.0 - p) / n as f64).sqrt()
}

#[test]
fn the_promised_rates_are_kept() {
    let promise = Promise::of_the_shop();
    let mut scenario = month();
    scenario.stream.events = 400_000;
    let ledger = simulate(scenario).1;
    let [viewed, added, started, bought] = ledger.funnel;
    for (name, promised, part, whole) in [
        ("view", promise.view, viewed, ledger.sessions),
        ("add", promise.add, added, viewed),
        ("checkout", promise.checkout, started, added),
        ("purchase", promise.purchase, bought, started),
    ] {
        let found = part as f64 / whole as f64;
        assert!((found - promised).abs() < off(promised, whole), "{name}: {found} of {whole}, promised {promised}");
    }
    assert!((0.30..0.45).contains(&promise.add) && (promise.purchase - 0.6).abs() < 1e-9, "{promise:?}");
}

#[test]
fn incidents_show_and_pass() {
    let hours = |n: i64| DEFAULT_START + n * DAY / 24;
    let stalled = Incident { from: hours(10), until: hours(20), what: What::CheckoutStalls };
    let rush = Incident { from: hours(34), until: hours(36), what: What::Rush(5) };
    let slow = Incident { from: hours(40), until: hours(44), what: What::SlowPages(8) };
    let mut scenario = month();
    scenario.stream.span = Duration::from_secs(2 * 86_400);
    let quiet = simulate(scenario.clone()).0;
    scenario.incidents = vec![stalled, rush, slow];
    let (bytes, _) = simulate(scenario);
    let within = |bytes: &[u8], incident: Incident, what: &dyn Fn(&Value) -> bool| {
        let at = |e: &Value| {
            chrono::DateTime::parse_from_rfc3339(e["event_ts"].as_str().unwrap()).unwrap().timestamp_micros()
        };
        let inside = |e: &&Value| (incident.from..incident.until).contains(&at(e)) && what(e);
        events(bytes).iter().filter(inside).count()
    };
    let is = |name: &'static str| move |e: &Value| e["event_type"] == name;
    assert!(within(&quiet, stalled, &is("purchase")) > 50);
    assert_eq!(within(&bytes, stalled, &is("purchase")), 0);
    assert!(within(&bytes, stalled, &is("payment_info")) > 50, "everything before it goes on");
    let flash = |e: &Value| e["utm"]["campaign"] == "flash_sale";
    let (usual, rushed) = (within(&quiet, rush, &|_| true), within(&bytes, rush, &|_| true));
    assert!(rushed > 3 * usual, "{rushed} instead of {usual}");
    assert!(within(&bytes, rush, &flash) > rushed / 2 && within(&quiet, rush, &flash) == 0);
    let slow_page = |e: &Value| e["load_ms"].as_i64().is_some_and(|ms| ms > 5_000);
    assert!(within(&bytes, slow, &slow_page) > 100 && within(&quiet, slow, &slow_page) == 0);
}

/// A server that takes that long for each request, one after the other on each connection.
fn slow_server(takes: Duration) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut read = vec![0; 1 << 16];
                // A small request comes in one piece, and the next only after the answer.
                while stream.read(&mut read).is_ok_and(|bytes| bytes > 0) {
                    std::thread::sleep(takes);
                    if stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 14\r\n\r\n{\"accepted\":1}").is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    url
}

fn drive_at(url: &str, connections: usize, timeout: Duration) -> drive::Outcome {
    let phase = phases::Phase { name: "BASE", rps: 50, secs: 1 };
    let plan = drive::Drive {
        server: wire::Server::new(url, None).into(),
        phases: phases::Phases { round: vec![phase], rounds: 1, jitter_pct: 0, seed: 1, rhythm_from: None },
        connections,
        batch: 1,
        junk_permille: 0,
        timeout,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut scenario = Scenario::live(1, DEFAULT_START, 50.0);
    (scenario.late_permille, scenario.twice_permille) = (0, 0);
    let mut simulator = Simulator::new(scenario);
    let mut ticks = 0;
    let stop = tokio_util::sync::CancellationToken::new();
    let mut on_tick = |_: &drive::Tick| ticks += 1;
    let outcome = drive::drive(&plan, runtime.handle(), &mut simulator, DEFAULT_START, &stop, &mut on_tick);
    assert_eq!(ticks, 1);
    assert_eq!(outcome.requests, 50);
    outcome
}

#[test]
fn a_slow_answer_counts_for_those_it_holds_up() {
    // One connection, 20 ms between two requests, 40 ms for each: the last one waits for a second.
    let held_up = drive_at(&slow_server(Duration::from_millis(40)), 1, Duration::from_secs(60));
    assert_eq!((held_up.ok, held_up.accepted), (50, 50), "{held_up:?}");
    assert!(held_up.latency.max_ms > 900.0 && held_up.latency.p50_ms > 400.0, "{held_up:?}");
}

#[test]
fn requests_without_an_answer_are_counted_and_end() {
    let silent = drive_at(&slow_server(Duration::from_secs(3_600)), 2, Duration::from_millis(100));
    assert_eq!((silent.ok, silent.other), (0, 50), "{silent:?}");
    assert!(silent.failures.contains_key("no answer in time"), "{silent:?}");
    // Nobody listens there any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = drive_at(&format!("http://{closed}"), 2, Duration::from_secs(60));
    assert_eq!((refused.other, refused.failures.len()), (50, 1), "{refused:?}");
}
