//! Malformed events, one line each: what broken clients really send. A server must refuse each of them with a 4xx that
//! says why, keep it, and go on.

use chrono::DateTime;
use tideline_engine::clock::Micros;

use super::rng::Rng;

/// Longer than an event may be by default (`ingest.max_event_bytes`).
const TOO_LARGE_BYTES: usize = 300 << 10;
const DAY_SECS: i64 = 86_400;

/// Appends a malformed line with a time around `at`; what is wrong with it.
pub fn write(rng: &mut Rng, mark: &str, at: Micros, out: &mut Vec<u8>) -> &'static str {
    let id = format!("{mark}junk-{:016x}", rng.next());
    let time = |secs: i64| {
        let at = DateTime::from_timestamp(at.div_euclid(1_000_000) + secs, 0);
        at.map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
    };
    let now = time(0);
    let (what, line) = match rng.below(100) {
        0..15 => ("broken JSON", format!(r#"{{"event_id":"{id}","event_type":"page_view","event_ts":"{now}","page":"#)),
        15..25 => ("not an object", format!(r#"["{id}",1,2]"#)),
        25..40 => (
            "a missing field",
            format!(r#"{{"event_id":"{id}","event_ts":"{now}","session_id":"{mark}s_junk","user_id":"{mark}u_junk"}}"#),
        ),
        40..55 => (
            "a wrong type",
            format!(r#"{{"event_id":"{id}","event_type":"purchase","event_ts":"{now}","revenue":{{"euros":12}}}}"#),
        ),
        55..65 => (
            "text for a number",
            format!(r#"{{"event_id":"{id}","event_type":"purchase","event_ts":"{now}","revenue":"twelve"}}"#),
        ),
        65..80 => (
            "a future time",
            format!(r#"{{"event_id":"{id}","event_type":"purchase","event_ts":"{}","revenue":1}}"#, time(2 * DAY_SECS)),
        ),
        80..95 => (
            "no time at all",
            format!(r#"{{"event_id":"{id}","event_type":"purchase","event_ts":"yesterday","revenue":1}}"#),
        ),
        _ => (
            "too large",
            format!(
                r#"{{"event_id":"{id}","event_type":"purchase","event_ts":"{now}","note":"{}"}}"#,
                "x".repeat(TOO_LARGE_BYTES)
            ),
        ),
    };
    out.extend_from_slice(line.as_bytes());
    out.push(b'\n');
    what
}
