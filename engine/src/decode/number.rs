//! Numbers from their text, exactly: money never passes through a float.

use crate::event::{MONEY_PRECISION, MONEY_SCALE};

/// Why a text is not the number wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberError {
    /// Not a decimal number.
    Syntax,
    /// Digits are left after the last place wanted.
    Inexact,
    /// Too large.
    Range,
}

/// One more than the largest money value, in 1/10,000.
const MONEY_END: u64 = 10u64.pow(MONEY_PRECISION as u32);

/// Money in 1/10,000 from `29.9`, `1e2`, `-0.0001`, `5.00000`; at most four decimals that are not zeros.
pub(crate) fn money(text: &str) -> Result<i64, NumberError> {
    exact(scaled(text.as_bytes(), i64::from(MONEY_SCALE))?)
}

/// Money likewise, with further decimals rounded half away from zero: for sources that compute in floats.
pub(crate) fn rounded_money(text: &str) -> Result<i64, NumberError> {
    match money(text) {
        Err(NumberError::Inexact) => {
            let (tenths, _) = scaled(text.as_bytes(), i64::from(MONEY_SCALE) + 1)?;
            Ok((tenths + 5 * tenths.signum()) / 10)
        }
        other => other,
    }
}

/// A whole number; `2.0` and `2e1` are ones.
pub(crate) fn integer(text: &str) -> Result<i64, NumberError> {
    exact(scaled(text.as_bytes(), 0)?)
}

/// The whole part of a number, towards zero.
pub(crate) fn truncated(text: &str) -> Result<i64, NumberError> {
    Ok(scaled(text.as_bytes(), 0)?.0)
}

fn exact((value, is_exact): (i64, bool)) -> Result<i64, NumberError> {
    if is_exact { Ok(value) } else { Err(NumberError::Inexact) }
}

/// `text × 10^scale` towards zero, below 10^18, and whether nothing was cut off. Takes any number of digits and any
/// exponent in one pass over the text.
fn scaled(text: &[u8], scale: i64) -> Result<(i64, bool), NumberError> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|&b| b == b'.') {
        Some(at) if at + 1 < mantissa.len() => (&mantissa[..at], &mantissa[at + 1..]),
        Some(_) => return Err(NumberError::Syntax),
        None => (mantissa, &[][..]),
    };
    if whole.is_empty() {
        return Err(NumberError::Syntax);
    }
    // How many of the digits stand left of the point once it has moved; the others are cut off.
    let digits = whole.len() + fraction.len();
    let kept = to_i64(whole.len()).saturating_add(exponent).saturating_add(scale);
    let (mut value, mut is_exact) = (0u64, true);
    for (at, byte) in whole.iter().chain(fraction).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(NumberError::Syntax);
        }
        if to_i64(at) < kept {
            value = value * 10 + u64::from(digit);
            if value >= MONEY_END {
                return Err(range_or_syntax(whole, fraction));
            }
        } else {
            is_exact &= digit == 0;
        }
    }
    if value > 0 {
        for _ in to_i64(digits)..kept {
            value *= 10;
            if value >= MONEY_END {
                return Err(NumberError::Range);
            }
        }
    }
    // Below 10^18, so it fits.
    let value = i64::try_from(value).map_err(|_| NumberError::Range)?;
    Ok((if negative { -value } else { value }, is_exact))
}

/// A number that is too large is only called that when all of it is a number.
#[cold]
fn range_or_syntax(whole: &[u8], fraction: &[u8]) -> NumberError {
    let is_number = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if is_number { NumberError::Range } else { NumberError::Syntax }
}

fn parse_exponent(text: &[u8]) -> Result<i64, NumberError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::Syntax);
    }
    // Saturates: an exponent beyond this is beyond any text's digits.
    let exponent = digits.iter().fold(0i64, |e, d| (e * 10 + i64::from(d - b'0')).min(1 << 48));
    Ok(if negative { -exponent } else { exponent })
}

fn to_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn money_is_exact_or_refused() {
        for (text, expected) in [
            ("29.90", Ok(299_000)),
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("-0.0001", Ok(-1)),
            ("1e2", Ok(1_000_000)),
            ("1.5E+1", Ok(150_000)),
            ("12345e-4", Ok(12_345)),
            ("5.000000000000000000000000000000", Ok(50_000)),
            ("0e999999999999999999999999", Ok(0)),
            ("99999999999999.9999", Ok(999_999_999_999_999_999)),
            ("-99999999999999.9999", Ok(-999_999_999_999_999_999)),
            ("100000000000000", Err(NumberError::Range)),
            ("1e14", Err(NumberError::Range)),
            ("1e999999999999999999999999", Err(NumberError::Range)),
            ("1e-999999999999999999999999", Err(NumberError::Inexact)),
            ("12.34567", Err(NumberError::Inexact)),
            ("0.00001", Err(NumberError::Inexact)),
            ("", Err(NumberError::Syntax)),
            ("-", Err(NumberError::Syntax)),
            (".5", Err(NumberError::Syntax)),
            ("5.", Err(NumberError::Syntax)),
            ("1e", Err(NumberError::Syntax)),
            ("1e+", Err(NumberError::Syntax)),
            ("+1", Err(NumberError::Syntax)),
            ("1,5", Err(NumberError::Syntax)),
            ("1.2.3", Err(NumberError::Syntax)),
            ("NaN", Err(NumberError::Syntax)),
            ("9999999999999999999999x", Err(NumberError::Syntax)),
            (" 1", Err(NumberError::Syntax)),
        ] {
            assert_eq!(money(text), expected, "{text:?}");
        }
        assert_eq!(money(&"9".repeat(100_000)), Err(NumberError::Range));
        for (text, expected) in [
            ("179.97000000000003", Ok(1_799_700)),
            ("0.30000000000000004", Ok(3_000)),
            ("19.99999999999999", Ok(200_000)),
            ("-0.00005", Ok(-1)),
            ("0.00004999", Ok(0)),
            ("12.5", Ok(125_000)),
            ("1e-400", Ok(0)),
            ("x", Err(NumberError::Syntax)),
            ("1e14", Err(NumberError::Range)),
        ] {
            assert_eq!(rounded_money(text), expected, "{text:?}");
        }
        assert_eq!(integer("2.0"), Ok(2));
        assert_eq!(integer("2.5"), Err(NumberError::Inexact));
        assert_eq!(truncated("1700000000000.9"), Ok(1_700_000_000_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Against arithmetic on the parts.
        #[test]
        fn money_agrees_with_whole_and_fraction(negative: bool, whole in 0u64..100_000_000_000_000, fraction in 0u32..10_000) {
            let sign = if negative { "-" } else { "" };
            let expected = i64::try_from(whole * 10_000 + u64::from(fraction)).unwrap() * if negative { -1 } else { 1 };
            let plain = format!("{sign}{whole}.{fraction:04}");
            prop_assert_eq!(money(&plain), Ok(expected));
            let with_exponent = format!("{sign}{whole}{fraction:04}e-4");
            prop_assert_eq!(money(&with_exponent), Ok(expected));
        }

        #[test]
        fn whatever_the_text_there_is_no_panic(text in "[-+0-9.eE]{0,40}") {
            // What is taken for a number is one for Rust too.
            if let Ok(value) = money(&text) {
                let float: f64 = text.parse().unwrap();
                prop_assert!((float * 1e4 - value as f64).abs() <= (value as f64).abs() * 1e-12 + 1e-9);
            }
        }
    }
}
