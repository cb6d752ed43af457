//! What becomes of IP addresses in messages. They are personal data that no metric needs, so they are dropped unless the
//! operator decides otherwise: from what is stored, and from dead letters, which keep messages that may not even be JSON.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// What becomes of the IP addresses in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpAddresses {
    /// They are taken out.
    #[default]
    Drop,
    /// The last 8 bits of IPv4 and the last 80 of IPv6 become zeros.
    Truncate,
    /// They stay as they are.
    Keep,
}

/// Members that hold an address: what follows `ip` in their names.
const NAMES: [&str; 3] = ["\"", "Address\"", "_address\""];

impl IpAddresses {
    /// The JSON of an address to be stored; `None` where it is dropped.
    pub(in crate::decode) fn stored(self, address: &str) -> Option<String> {
        let address: IpAddr = match self {
            Self::Drop => return None,
            Self::Keep | Self::Truncate => address.trim().parse().ok()?,
        };
        let address = match (self, address.to_canonical()) {
            (Self::Truncate, IpAddr::V4(v4)) => {
                let [a, b, c, _] = v4.octets();
                IpAddr::from([a, b, c, 0])
            }
            (Self::Truncate, IpAddr::V6(v6)) => {
                let [a, b, c, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
            }
            (_, address) => address,
        };
        Some(format!("\"{address}\""))
    }

    /// A text, JSON or nearly so, with the value of each member that is named like an address changed.
    pub(in crate::decode) fn cleaned(self, text: &str) -> Cow<'_, str> {
        if self == Self::Keep {
            return Cow::Borrowed(text);
        }
        let bytes = text.as_bytes();
        let (mut out, mut copied) = (String::new(), 0);
        for (at, _) in text.match_indices("ip") {
            let is_start =
                at > 0 && (bytes[at - 1] == b'"' || (bytes[at - 1] == b'$' && at > 1 && bytes[at - 2] == b'"'));
            if at < copied || !is_start {
                continue;
            }
            let rest = &text[at + 2..];
            let Some(name) = NAMES.iter().find(|name| rest.starts_with(**name)) else { continue };
            let value = rest[name.len()..].trim_ascii_start();
            let Some(value) = value.strip_prefix(':').map(str::trim_ascii_start) else { continue };
            let Some(address) = value.strip_prefix('"') else { continue };
            // Addresses have no escapes; what has no end is cut off.
            let end = address.find('"').unwrap_or(address.len());
            let start = text.len() - value.len();
            out.push_str(&text[copied..start]);
            out.push_str(self.stored(&address[..end]).as_deref().unwrap_or("null"));
            copied = (start + 1 + end + 1).min(text.len());
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[copied..]);
        Cow::Owned(out)
    }

    /// The same for members that are about to be stored: those that are an address themselves, and those within values.
    pub(in crate::decode) fn clean_values(self, members: &mut Vec<(Cow<'_, str>, Cow<'_, str>)>) {
        if self == Self::Keep {
            return;
        }
        members.retain_mut(|(name, value)| {
            if matches!(&**name, "ip" | "$ip" | "ipAddress" | "ip_address") && value.starts_with('"') {
                match self.stored(value.trim_matches('"')) {
                    Some(stored) => *value = Cow::Owned(stored),
                    None => return false,
                }
            } else if value.starts_with(['{', '[']) {
                let cleaned = match self.cleaned(value) {
                    Cow::Owned(cleaned) => Some(cleaned),
                    Cow::Borrowed(_) => None,
                };
                if let Some(cleaned) = cleaned {
                    *value = Cow::Owned(cleaned);
                }
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_dropped_or_cut_wherever_they_stand() {
        let text =
            r#"{"ip":"203.0.113.7","ship":"ip","a":{"$ip" : "2001:db8:1:2::3","ipAddress":"::ffff:10.1.2.3"},"ip":7}"#;
        assert_eq!(
            IpAddresses::Drop.cleaned(text),
            r#"{"ip":null,"ship":"ip","a":{"$ip" : null,"ipAddress":null},"ip":7}"#
        );
        assert_eq!(
            IpAddresses::Truncate.cleaned(text),
            r#"{"ip":"203.0.113.0","ship":"ip","a":{"$ip" : "2001:db8:1::","ipAddress":"10.1.2.0"},"ip":7}"#
        );
        assert_eq!(IpAddresses::Keep.cleaned(text), text);
        assert_eq!(IpAddresses::Truncate.cleaned(r#"{"ip":"not one"}"#), r#"{"ip":null}"#);
        assert_eq!(IpAddresses::Drop.cleaned(r#"{"ip":"1.2.3.4"#), r#"{"ip":null"#);
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[\"ip:$ 1.{}\\\\é]{0,40}") {
            let _ = IpAddresses::Truncate.cleaned(&text);
            prop_assert!(IpAddresses::Drop.cleaned(&text).len() <= text.len() + 4 * text.len());
        }
    }
}
