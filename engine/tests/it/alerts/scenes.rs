//! Times at which something is wrong, made up without any chance, for the expectations beside the rules.

use std::fmt::Write as _;

use tideline_engine::clock::{DAY, HOUR, MILLISECOND, Micros};

const MINUTE: Micros = HOUR / 60;
const SECOND: Micros = MINUTE / 60;

/// The events of a scene that ends about `now`, as lines of JSON.
pub fn events(name: &str, now: Micros) -> String {
    match name {
        "stalled" => stalled(now),
        other => panic!("there is no scene {other}"),
    }
}

/// Every three seconds somebody comes, ten seconds later begins a checkout and, three times out of four, pays after thirty
/// more; the day before, one week before and two weeks before too. For ten minutes nobody can pay. All of it is sent at
/// `now`, and with it two thousand events that nobody can accept.
fn stalled(now: Micros) -> String {
    let mut out = String::new();
    let spans = [
        (now - 14 * DAY - HOUR / 2, now - 14 * DAY + HOUR / 2),
        (now - 7 * DAY - HOUR / 2, now - 7 * DAY + HOUR / 2),
        (now - DAY - 3 * HOUR, now - DAY + HOUR / 2),
        (now - 2 * HOUR, now),
    ];
    let mut visit = 0;
    for (from, until) in spans {
        let mut begin = from;
        while begin < until {
            let mut event = |kind: &str, after: Micros, more: &str| {
                let at = begin + after;
                let stalled = kind == "purchase" && at > now - 10 * MINUTE;
                if at <= until && !stalled {
                    let at = at / MILLISECOND;
                    let _ = writeln!(
                        out,
                        r#"{{"event_id":"{visit}-{kind}","event_type":"{kind}","event_ts":{at},"session_id":"s{visit}","user_id":"u{visit}","page":"/"{more}}}"#
                    );
                }
            };
            event("page_view", 0, "");
            event("checkout_start", 10 * SECOND, &format!(r#","cart_id":"c{visit}""#));
            if visit % 4 != 0 {
                event(
                    "purchase",
                    40 * SECOND,
                    &format!(r#","order_id":"o{visit}","revenue":"30.00","currency":"EUR""#),
                );
            }
            (begin, visit) = (begin + 3 * SECOND, visit + 1);
        }
    }
    for n in 0..2_000 {
        let _ = writeln!(out, r#"{{"event_id":"bad-{n}","event_type":"page_view"}}"#);
    }
    out
}
