//! Values people write in their own ways: sizes (`64MiB`), spans of time (`30s`), lists (`a, b`), secrets.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A size in bytes, written as `64MiB`, `1.5GiB`, `500kB` or a plain number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// The unit of a size and its bytes; the binary ones first, as they are how a size is printed.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", TIB),
    ("GiB", GIB),
    ("MiB", MIB),
    ("KiB", KIB),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

impl ByteSize {
    /// `n` kibibytes.
    pub const fn kib(n: u64) -> Self {
        Self(n * KIB)
    }

    /// `n` mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n * MIB)
    }

    /// `n` gibibytes.
    pub const fn gib(n: u64) -> Self {
        Self(n * GIB)
    }

    /// As a length in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZE_UNITS.iter().find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes)) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// Splits `12.5MiB` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let number: f64 = text[..end].replace('_', "").parse().ok()?;
    number.is_finite().then(|| (number, text[end..].trim()))
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not a size; write it like 64MiB, 1GiB, 500kB or 4096");
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let same =
            |name: &str| name.eq_ignore_ascii_case(unit) || (unit.len() == 1 && name[..1].eq_ignore_ascii_case(unit));
        let bytes = match unit {
            "" => 1,
            _ => SIZE_UNITS.iter().find(|(name, _)| same(name)).ok_or_else(wrong)?.1,
        };
        let total = number * bytes as f64;
        // 2^53: beyond it a float no longer holds every whole number, and no setting means that much.
        if total > 9_007_199_254_740_992.0 {
            return Err(format!("`{text}` is too large"));
        }
        Ok(Self(total.round() as u64))
    }
}

/// A span of time, written as `250ms`, `30s`, `5m`, `1h30m` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

const PERIOD_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Period {
    /// `n` seconds.
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, ms) in PERIOD_UNITS {
            if rest >= ms {
                write!(f, "{}{unit}", rest / ms)?;
                rest %= ms;
            }
        }
        Ok(())
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            || format!("`{text}` is not a span of time; write it with its unit, like 250ms, 30s, 5m, 1h30m or 7d");
        let mut rest = text.trim();
        let mut total = 0.0;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
            let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
            let tail = rest[digits..].trim_start();
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (_, ms) = PERIOD_UNITS.iter().find(|(unit, _)| *unit == &tail[..letters]).ok_or_else(wrong)?;
            total += number * *ms as f64;
            rest = tail[letters..].trim_start();
        }
        // A thousand years: nothing here waits longer, and sums stay far from overflow.
        if !(0.0..=3.2e13).contains(&total) {
            return Err(wrong());
        }
        Ok(Self(Duration::from_millis(total.round() as u64)))
    }
}

/// Deserialises from text through `FromStr`, and from a whole number where `N` gives it a meaning.
struct TextOr<T>(fn(u64) -> Option<T>, &'static str);

impl<T: FromStr<Err = String>> Visitor<'_> for TextOr<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        u64::try_from(number).ok().and_then(self.0).ok_or_else(|| E::custom(format!("`{number}` is not {}", self.1)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.0(number).ok_or_else(|| E::custom(format!("`{number}` is not {}", self.1)))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOr(|n| Some(Self(n)), "a size like 64MiB"))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A bare number would leave the unit to the reader's guess; zero needs none.
        deserializer.deserialize_any(TextOr(
            |n| (n == 0).then_some(Self(Duration::ZERO)),
            "a span of time with its unit, like 30s",
        ))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Several values: a TOML array, or text with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, value) in self.0.iter().enumerate() {
            write!(f, "{}{value}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl<T: FromStr> FromStr for List<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: FromStr<Err: fmt::Display>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, or text with commas")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<List<T>, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(text) = seq.next_element::<String>()? {
            values.push(text.trim().parse().map_err(de::Error::custom)?);
        }
        Ok(List(values))
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

impl<T: fmt::Display> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Text that must not be shown. Of an address the host is, so that people can tell which it is: user, password, path and
/// query are not. Anything else is masked as a whole.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one who needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        match address(&self.0) {
            Some(shown) => f.write_str(&shown),
            None => f.write_str("***"),
        }
    }
}

/// `redis://***@cache:6379/…` of an address of that kind; none of any other text, for all it may be a password with `://` in it.
fn address(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    if !["redis", "rediss", "http", "https"].contains(&scheme) {
        return None;
    }
    // A password may hold a slash that nobody escaped: the host begins after the last @ of all.
    let (user, after) = match rest.rsplit_once('@') {
        Some((_, after)) => ("***@", after),
        None => ("", rest),
    };
    let host = after.split(['/', '?', '#']).next().unwrap_or_default();
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return None;
    }
    let tail = match &after[host.len()..] {
        "" | "/" => "",
        database if database[1..].bytes().all(|b| b.is_ascii_digit()) && database.starts_with('/') => database,
        _ => "/…",
    };
    Some(format!("{scheme}://{user}{host}{tail}"))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_in_the_largest_unit_that_fits() {
        for (text, bytes, shown) in [
            ("64MiB", 64 << 20, "64MiB"),
            ("64 mib", 64 << 20, "64MiB"),
            ("1.5GiB", 1_610_612_736, "1536MiB"),
            ("500kB", 500_000, "500000B"),
            ("4096", 4_096, "4KiB"),
            ("2g", 2 << 30, "2GiB"),
            ("0", 0, "0B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown), "{text}");
            assert_eq!(shown.parse::<ByteSize>().unwrap(), size);
        }
        for text in ["", "MiB", "12 parsecs", "-1", "1e9", "99999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_of_time_need_a_unit_and_read_back() {
        for (text, ms, shown) in [
            ("30s", 30_000, "30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("1.5s", 1_500, "1s500ms"),
            ("7d", 604_800_000, "7d"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.0.as_millis(), period.to_string().as_str()), (ms, shown), "{text}");
            assert_eq!(shown.parse::<Period>().unwrap(), period);
        }
        for text in ["", "30", "s", "5 fortnights", "1..5s"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_is_an_array_or_text_with_commas() {
        #[derive(Deserialize)]
        struct Holder {
            list: List<u32>,
        }
        for text in ["list = \"1, 2,,3\"", "list = [\"1\", \" 2\", \"3\"]"] {
            let holder: Holder = toml::from_str(text).unwrap();
            assert_eq!(holder.list.0, [1, 2, 3], "{text}");
            assert_eq!(holder.list.to_string(), "1, 2, 3");
        }
        assert!(toml::from_str::<Holder>("list = \"1 2\"").is_err());
    }

    #[test]
    fn a_secret_never_prints_its_password() {
        for (text, shown) in [
            ("redis://:hunter2@cache:6379/0", "redis://***@cache:6379/0"),
            ("redis://cache:6379", "redis://cache:6379"),
            ("redis://cache:6379/hunter2", "redis://cache:6379/…"),
            ("redis://cache?password=hunter2", "redis://cache/…"),
            ("redis://:hun/hunter2@cache", "redis://***@cache"),
            ("redis://hunter2 cache", "***"),
            ("hunter2://hunter2", "***"),
            ("x://hunter2", "***"),
            ("hunter2", "***"),
            ("", ""),
        ] {
            let secret = Secret(text.to_owned());
            assert_eq!(secret.to_string(), shown);
            assert!(!format!("{secret:?}").contains("hunter2"));
        }
    }
}
