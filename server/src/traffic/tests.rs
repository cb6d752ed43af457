//! Tests of the generator: it must be the same everywhere, in the order of time, of the size and shape it promises.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use tideline_engine::clock::DAY;

use super::*;

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
