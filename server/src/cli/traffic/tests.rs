//! The line about a second has one exact shape, which other programs read.

use super::*;
use crate::traffic::phases::Second;

#[test]
fn the_line_about_a_second_has_its_exact_shape() {
    let second = Second { phase: "SPIKE", nominal: 150, target: 150 };
    let at = parse_time("2026-01-16T22:15:09Z").unwrap();
    let tick = Tick { at, second, ok: 100, limited: 50, other: 0, avg_ms: 19.74, p95_ms: 31.16 };
    assert_eq!(
        line(&tick),
        "[2026-01-16 22:15:09] phase=SPIKE    | OK: 100  | 429: 50   | Other: 0    | RPS Target: 150 | avg(ms):   19.7 | p95(ms):   31.2"
    );
}

#[test]
fn percentages_are_checked() {
    assert_eq!(percent("2.5%"), Ok(2.5));
    assert!(percent("101").is_err() && percent("many").is_err());
}
