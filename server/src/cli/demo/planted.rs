//! What is planted in the demo's traffic, so that charts and alerts have something to show: where, and what for.

use std::io::Write;

use chrono::DateTime;
use tideline_engine::clock::{DAY, HOUR, Micros};
use tideline_engine::error::Result;

use crate::traffic::{Incident, What};

const MINUTE: Micros = 60_000_000;
/// After so many minutes live incidents come again.
pub const EVERY_MINUTES: i64 = 30;
/// How many live incidents there are each time.
pub const EACH_TIME: usize = 3;
/// How often they come.
const TIMES: i64 = 48;

/// Incidents of days gone by: a rush, a checkout that stalled, slow pages; as many as so many days have room for.
pub fn history(now: Micros, days: u32) -> Vec<Incident> {
    let midnight = now - now.rem_euclid(DAY);
    let on = |days_ago: i64, from: i64, until: i64, what| Incident {
        from: midnight - days_ago * DAY + from * HOUR,
        until: midnight - days_ago * DAY + until * HOUR,
        what,
    };
    let all = [on(9, 12, 21, What::Rush(4)), on(4, 9, 21, What::CheckoutStalls), on(2, 8, 14, What::SlowPages(6))];
    all.into_iter().filter(|incident| incident.from > now - i64::from(days) * DAY).collect()
}

/// Incidents of the minutes to come, the next three first.
pub fn live(start: Micros) -> Vec<Incident> {
    let round = |n: i64| {
        let on = move |from: i64, until: i64, what| Incident {
            from: start + (n * EVERY_MINUTES + from) * MINUTE,
            until: start + (n * EVERY_MINUTES + until) * MINUTE,
            what,
        };
        [on(3, 7, What::CheckoutStalls), on(11, 13, What::Rush(4)), on(18, 22, What::SlowPages(6))]
    };
    (0..TIMES).flat_map(round).collect()
}

/// Writes them down, a line each.
pub fn tell(out: &mut dyn Write, title: &str, incidents: &[Incident]) -> Result<()> {
    if incidents.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}:")?;
    for incident in incidents {
        let time =
            |at, format| DateTime::from_timestamp_micros(at).map(|t| t.format(format).to_string()).unwrap_or_default();
        let (from, until) = (time(incident.from, "%Y-%m-%d %H:%M"), time(incident.until, "%H:%M"));
        let what = match incident.what {
            What::CheckoutStalls => "checkout stalls: no purchases, while everything before them goes on".to_owned(),
            What::Rush(times) => format!("a rush: {times} times the visitors, most of them from campaign flash_sale"),
            What::SlowPages(times) => format!("pages take {times} times as long to load"),
        };
        writeln!(out, "  {from} to {until} UTC  {what}")?;
    }
    writeln!(out)?;
    Ok(())
}
