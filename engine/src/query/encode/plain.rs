//! Numbers, times and escaped text, written straight into the answer's bytes.

use std::io::Write;

/// Digits of bytes and control characters.
pub(super) const HEX: &[u8; 16] = b"0123456789abcdef";

/// A JSON string: quotes, backslashes and control characters are escaped, everything else stays UTF-8.
pub(super) fn json_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[start..i]);
        start = i + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(other >> 4)]);
                out.push(HEX[usize::from(other & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// A CSV field. An empty text is quoted, so that it is not taken for null.
pub(super) fn csv_text(text: &[u8], out: &mut Vec<u8>) {
    let edge = |b: Option<&u8>| b == Some(&b' ');
    let quote = text.is_empty()
        || text.iter().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r'))
        || edge(text.first())
        || edge(text.last());
    if !quote {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for &byte in text {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

pub(super) fn write_int(value: i128, out: &mut Vec<u8>) {
    let mut digits = [0u8; 40];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    // Almost always: dividing 128 bits is slow.
    if let Ok(mut small) = u64::try_from(rest) {
        loop {
            at -= 1;
            digits[at] = b'0' + (small % 10) as u8;
            small /= 10;
            if small == 0 {
                break;
            }
        }
    } else {
        while rest > 0 {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

pub(super) fn write_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let Some(scale) = usize::try_from(scale).ok().filter(|s| *s > 0) else {
        write_int(value, out);
        if value != 0 {
            out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
        }
        return;
    };
    let mut digits = Vec::with_capacity(40);
    write_int(i128::try_from(value.unsigned_abs()).unwrap_or(i128::MAX), &mut digits);
    if value < 0 {
        out.push(b'-');
    }
    if digits.len() <= scale {
        out.push(b'0');
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
        out.extend_from_slice(&digits);
    } else {
        let point = digits.len() - scale;
        out.extend_from_slice(&digits[..point]);
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
}

pub(super) fn pad(value: i64, width: usize, out: &mut Vec<u8>) {
    let mut place = 10i64.pow(width as u32 - 1);
    while place > 0 {
        out.push(b'0' + (value / place % 10) as u8);
        place /= 10;
    }
}

/// Days since 1970-01-01 as year-month-day, by Howard Hinnant's `civil_from_days`.
pub(super) fn write_date(days: i64, out: &mut Vec<u8>) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if (0..=9999).contains(&year) {
        pad(year, 4, out);
    } else {
        // ISO 8601 wants a sign beyond four digits.
        drop(write!(out, "{year:+}"));
    }
    out.push(b'-');
    pad(month, 2, out);
    out.push(b'-');
    pad(day, 2, out);
}

pub(super) fn write_clock(seconds: i64, out: &mut Vec<u8>) {
    pad(seconds / 3_600, 2, out);
    out.push(b':');
    pad(seconds / 60 % 60, 2, out);
    out.push(b':');
    pad(seconds % 60, 2, out);
}

/// Milliseconds, or as many digits as are not zero in groups of three.
pub(super) fn write_fraction(part: i64, per_second: i64, out: &mut Vec<u8>) {
    let nanos = part * (1_000_000_000 / per_second);
    out.push(b'.');
    if nanos % 1_000_000 == 0 {
        pad(nanos / 1_000_000, 3, out);
    } else if nanos % 1_000 == 0 {
        pad(nanos / 1_000, 6, out);
    } else {
        pad(nanos, 9, out);
    }
}

pub(super) fn write_timestamp(value: i64, per_second: i64, out: &mut Vec<u8>) {
    let seconds = value.div_euclid(per_second);
    write_date(seconds.div_euclid(86_400), out);
    out.push(b'T');
    write_clock(seconds.rem_euclid(86_400), out);
    write_fraction(value.rem_euclid(per_second), per_second, out);
    out.push(b'Z');
}

pub(super) fn write_time(value: i64, per_second: i64, out: &mut Vec<u8>) {
    write_clock(value.div_euclid(per_second), out);
    write_fraction(value.rem_euclid(per_second), per_second, out);
}

/// A time as JSON answers show it.
pub fn timestamp_text(micros: i64) -> String {
    let mut out = Vec::with_capacity(24);
    write_timestamp(micros, 1_000_000, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
