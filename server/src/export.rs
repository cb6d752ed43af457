//! What an export holds: the events of a span of time, the same over HTTP and on the command line.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use tideline_engine::clock::{MILLISECOND, Micros};
use tideline_engine::error::{Error, Result};
use tideline_engine::event::{COLUMNS, EVENT_TS};
use tideline_engine::query::encode::Format;

use crate::cli::load::mapping::is_sent;

/// The end of the year 9999: no event is later.
const END_OF_TIME: Micros = 253_402_300_800_000_000;
/// How a time is written, for people.
pub const TIME_HINT: &str =
    "write it like 2026-01-31T12:00:00Z, 2026-01-31 (midnight UTC), or as milliseconds since 1970";

/// A half-open span of event time: from `start` on, until before `end`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first moment in it; all of the past where there is none.
    pub start: Option<Micros>,
    /// The first moment after it.
    pub end: Option<Micros>,
}

impl Span {
    /// A span that is not empty.
    ///
    /// # Errors
    /// `invalid_range` when it does not end after its beginning.
    pub fn new(start: Option<Micros>, end: Option<Micros>) -> Result<Self> {
        match (start, end) {
            (Some(start), Some(end)) if start >= end => {
                Err(Error::invalid("invalid_range", "the span does not end after its start")
                    .with_hint("the start is included, the end is not"))
            }
            _ => Ok(Self { start, end }),
        }
    }

    /// The query of its events, newest first: the order in which they are kept, so it costs nothing. Nothing that
    /// anybody wrote is in its text but numbers.
    pub fn query(&self, columns: &str) -> String {
        let bound = |operator: &str, time: Option<Micros>| {
            Some(format!("{EVENT_TS} {operator} arrow_cast({}, 'Timestamp(Microsecond, Some(\"UTC\"))')", time?))
        };
        let bounds: Vec<String> = [bound(">=", self.start), bound("<", self.end)].into_iter().flatten().collect();
        let filter = if bounds.is_empty() { String::new() } else { format!(" where {}", bounds.join(" and ")) };
        format!("select {columns} from events{filter} order by {EVENT_TS} desc")
    }
}

/// What is exported: everything. Only JSON leaves out what the server sets itself, so that its objects are events as
/// `POST /events` takes them.
pub fn columns(format: Format) -> String {
    match format {
        Format::Csv | Format::Parquet | Format::Arrow => "*".to_owned(),
        Format::Json | Format::Ndjson => {
            let names: Vec<&str> = COLUMNS.iter().map(|c| c.name).filter(|name| is_sent(name)).collect();
            names.join(", ")
        }
    }
}

/// Reads a time as people and programs write it: RFC 3339, without a zone in UTC, a day, or milliseconds since 1970.
/// `None` for anything else, and beyond the years 1970 to 9999.
pub fn parse_time(text: &str) -> Option<Micros> {
    let text = text.trim();
    if let Ok(ms) = text.parse::<i64>() {
        return ms.checked_mul(MILLISECOND).filter(|time| (0..END_OF_TIME).contains(time));
    }
    let naive = || {
        let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
        formats.iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok())
    };
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|d| d.and_time(NaiveTime::MIN));
    // A plus that was not escaped in a query string arrives as a space.
    let plus = || text.rsplit_once(' ').map(|(time, offset)| format!("{time}+{offset}"));
    let zoned = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc());
    let time = zoned(text).or_else(|| naive().or_else(date).map(|t| t.and_utc())).or_else(|| zoned(&plus()?))?;
    Some(time.timestamp_micros()).filter(|time| (0..END_OF_TIME).contains(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_half_open_and_never_empty() {
        let (start, end) = (parse_time("2026-01-31"), parse_time("2026-02-01T01:30:00+01:00"));
        let sql = Span::new(start, end).unwrap().query("*");
        assert!(sql.contains("event_ts >= arrow_cast(1769817600000000,"), "{sql}");
        assert!(sql.contains("event_ts < arrow_cast(1769905800000000,"), "{sql}");
        assert_eq!(Span::default().query("*"), "select * from events order by event_ts desc");
        assert_eq!(Span::new(start, start).unwrap_err().code, "invalid_range");
        assert_eq!(Span::new(end, start).unwrap_err().code, "invalid_range");
        assert!(Span::new(end, None).is_ok());
    }

    #[test]
    fn a_time_is_read_in_every_usual_form() {
        let wanted = Some(1_769_817_600_250_000);
        for text in [
            "2026-01-31T00:00:00.250Z",
            "2026-01-31T01:00:00.250+01:00",
            "2026-01-31T01:00:00.250 01:00",
            "2026-01-31T00:00:00.250",
            "2026-01-31 00:00:00.250",
            "1769817600250",
        ] {
            assert_eq!(parse_time(text), wanted, "{text}");
        }
        for text in
            ["", "yesterday", "-1", "1969-12-31", "99999999999999999", "2026-02-30", "2026-01-01'; drop table x"]
        {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
