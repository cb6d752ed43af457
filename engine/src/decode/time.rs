//! Times from their text: RFC 3339 with any fraction and offset, a space for the `T`, no zone meaning UTC; or epoch
//! milliseconds. What is finer than a millisecond is cut off.

use super::number;
use crate::clock::{MILLISECOND, Micros};

/// Why a text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeError {
    /// Neither RFC 3339 nor epoch milliseconds.
    Syntax,
    /// Before 1970 or after 9999.
    Range,
}

/// The end of the year 9999 in seconds since the epoch.
const END_SECONDS: i64 = 253_402_300_800;

/// A time as text: RFC 3339, or digits for epoch milliseconds.
pub(crate) fn parse(text: &str) -> Result<Micros, TimeError> {
    let bytes = text.as_bytes();
    if bytes.len() >= 5 && bytes[4] == b'-' {
        return rfc3339(bytes);
    }
    if !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit) {
        return epoch_ms(text);
    }
    Err(TimeError::Syntax)
}

/// Epoch milliseconds from the text of a number; a fraction of a millisecond is cut off.
pub(crate) fn epoch_ms(text: &str) -> Result<Micros, TimeError> {
    let ms = number::truncated(text).map_err(|e| match e {
        number::NumberError::Range => TimeError::Range,
        _ => TimeError::Syntax,
    })?;
    in_range(ms)
}

/// A time that was computed, where it lies in the range of times.
pub(crate) fn checked(at: Micros) -> Result<Micros, TimeError> {
    in_range(at.div_euclid(MILLISECOND))
}

fn in_range(ms: i64) -> Result<Micros, TimeError> {
    // A negative fraction of a millisecond truncates to -0; that far before 1970 is 1970.
    if (0..END_SECONDS * 1_000).contains(&ms) { Ok(ms * MILLISECOND) } else { Err(TimeError::Range) }
}

/// Two digits, or more than 99.
fn two(bytes: &[u8], at: usize) -> i64 {
    let (tens, ones) = (bytes[at].wrapping_sub(b'0'), bytes[at + 1].wrapping_sub(b'0'));
    if tens > 9 || ones > 9 { 1_000 } else { i64::from(tens) * 10 + i64::from(ones) }
}

fn rfc3339(bytes: &[u8]) -> Result<Micros, TimeError> {
    // The first 19 bytes stand in fixed places: 2023-11-16T12:00:04
    let Some((head, tail)) = bytes.split_at_checked(19) else { return Err(TimeError::Syntax) };
    let separators = head[4] == b'-'
        && head[7] == b'-'
        && matches!(head[10], b'T' | b't' | b' ')
        && head[13] == b':'
        && head[16] == b':';
    let (century, year, month, day) = (two(head, 0), two(head, 2), two(head, 5), two(head, 8));
    let (hour, minute, second) = (two(head, 11), two(head, 14), two(head, 17));
    // A leap second (:60) is the first of the next minute.
    if !separators || century > 99 || year > 99 || hour > 23 || minute > 59 || second > 60 {
        return Err(TimeError::Syntax);
    }
    let year = century * 100 + year;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return Err(TimeError::Syntax);
    }
    let (ms, tail) = fraction(tail)?;
    let offset = offset_seconds(tail)?;
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    in_range(seconds * 1_000 + ms)
}

/// The milliseconds of `.235…`, and what follows.
fn fraction(bytes: &[u8]) -> Result<(i64, &[u8]), TimeError> {
    let [b'.' | b',', digits @ ..] = bytes else { return Ok((0, bytes)) };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 {
        return Err(TimeError::Syntax);
    }
    let ms = (0..3).fold(0, |ms, at| ms * 10 + if at < count { i64::from(digits[at] - b'0') } else { 0 });
    Ok((ms, &digits[count..]))
}

/// Seconds east of Greenwich: nothing, `Z`, `UTC`, `+01:00`, `+0100`, `+01`, a space before it allowed.
fn offset_seconds(bytes: &[u8]) -> Result<i64, TimeError> {
    let zone = match bytes {
        [b' ', rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let (sign, digits) = match zone {
        [] | [b'Z' | b'z'] | b"UTC" => return Ok(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return Err(TimeError::Syntax),
    };
    let (hours, minutes) = match digits.len() {
        2 => (two(digits, 0), 0),
        4 => (two(digits, 0), two(digits, 2)),
        5 if digits[2] == b':' => (two(digits, 0), two(digits, 3)),
        _ => return Err(TimeError::Syntax),
    };
    if hours > 23 || minutes > 59 {
        return Err(TimeError::Syntax);
    }
    Ok(sign * (hours * 3_600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`).
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, SecondsFormat, Timelike};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_accepted_forms() {
        let noon = 1_700_136_004_235_000;
        for text in [
            "2023-11-16T12:00:04.235Z",
            "2023-11-16t12:00:04.235z",
            "2023-11-16 12:00:04.235",
            "2023-11-16T12:00:04.2359999999999999999",
            "2023-11-16T12:00:04,235Z",
            "2023-11-16T13:00:04.235+01:00",
            "2023-11-16T13:00:04.235+0100",
            "2023-11-16T13:00:04.235+01",
            "2023-11-16 06:30:04.235 -05:30",
            "2023-11-16 12:00:04.235 UTC",
            "2023-11-16T12:00:04.235-00:00",
            "1700136004235",
        ] {
            assert_eq!(parse(text), Ok(noon), "{text:?}");
        }
        assert_eq!(parse("2016-12-31T23:59:60Z"), parse("2017-01-01T00:00:00Z"));
        assert_eq!(parse("2024-02-29T00:00:00.5Z").map(|t| t % 1_000_000), Ok(500_000));
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(epoch_ms("1.7e12"), Ok(1_700_000_000_000_000));
        assert_eq!(epoch_ms("1700136004235.75"), Ok(noon));
    }

    #[test]
    fn the_refused_forms() {
        for text in [
            "",
            "-",
            "now",
            "2023-11-16",
            "2023-11-16T12:00",
            "2023-11-16T12:00:04.",
            "2023-11-16T12:00:04.Z",
            "2023-13-01T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2023-11-31T00:00:00Z",
            "2023-11-00T00:00:00Z",
            "2023-11-16T24:00:00Z",
            "2023-11-16T12:60:00Z",
            "2023-11-16T12:00:61Z",
            "2023-11-16T12:00:04Zx",
            "2023-11-16T12:00:04+1",
            "2023-11-16T12:00:04+24:00",
            "2023-11-16T12:00:04+01:60",
            "2023-11-16T12:00:04 ",
            "2023-11-16X12:00:04Z",
            "2023/11/16T12:00:04Z",
            "1700136004235.5",
            "-5",
            "20231116T120004Z",
            "2023-11-16T12:00:0４",
        ] {
            assert_eq!(parse(text), Err(TimeError::Syntax), "{text:?}");
        }
        for text in
            ["1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00+00:01", "9999999999999999", "0000-01-01T00:00:00Z"]
        {
            assert_eq!(parse(text), Err(TimeError::Range), "{text:?}");
        }
        assert_eq!(epoch_ms("-1"), Err(TimeError::Range));
        assert_eq!(epoch_ms("1e30"), Err(TimeError::Range));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn what_chrono_writes_is_read_back(ms in 0i64..END_SECONDS * 1_000, offset in -23 * 60 - 59..24 * 60, nanos in 0u32..1_000_000) {
            let zone = chrono::FixedOffset::east_opt(offset * 60).unwrap();
            let time = DateTime::from_timestamp_millis(ms).unwrap();
            let time = time.with_nanosecond(time.nanosecond() + nanos).unwrap().with_timezone(&zone);
            // Years beyond four digits are not RFC 3339.
            prop_assume!(chrono::Datelike::year(&time) <= 9_999 && chrono::Datelike::year(&time) >= 0);
            for format in [SecondsFormat::Millis, SecondsFormat::Micros, SecondsFormat::Nanos, SecondsFormat::AutoSi] {
                prop_assert_eq!(parse(&time.to_rfc3339_opts(format, true)), Ok(ms * 1_000));
            }
        }

        #[test]
        fn what_chrono_reads_is_read_alike(text in "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][0-2][0-9]:[0-6][0-9])") {
            let expected = DateTime::parse_from_rfc3339(&text.replace(' ', "T")).ok().map(|t| t.timestamp_millis() * 1_000);
            let found = match parse(&text) {
                Err(TimeError::Range) => { prop_assert!(expected.is_none_or(|t| t < 0)); return Ok(()); }
                found => found.ok(),
            };
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn whatever_the_text_there_is_no_panic(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
