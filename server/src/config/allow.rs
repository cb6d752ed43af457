//! Who may sign in with single sign-on: rules over what the OpenID provider says of somebody.

use std::fmt;
use std::str::FromStr;

/// One rule. Emails and their domains count only where the provider has verified the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// One address: `anna@shop.example`.
    Email(String),
    /// Every address of a domain: `@shop.example`.
    Domain(String),
    /// Every member of a group: `group:analysts`.
    Group(String),
}

impl FromStr for Allow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || format!("`{text}` is no rule; write anna@shop.example, @shop.example or group:analysts");
        if let Some(group) = text.strip_prefix("group:") {
            let group = group.trim();
            return if group.is_empty() { Err(wrong()) } else { Ok(Self::Group(group.to_owned())) };
        }
        let is_sane = |part: &str| !part.contains(|c: char| c == '@' || c == '*' || c.is_whitespace());
        match text.rsplit_once('@') {
            Some((user, domain)) if !domain.is_empty() && is_sane(user) && is_sane(domain) => Ok(match user {
                "" => Self::Domain(domain.to_ascii_lowercase()),
                _ => Self::Email(text.to_ascii_lowercase()),
            }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(email) => f.write_str(email),
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::Group(group) => write!(f, "group:{group}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_an_address_a_domain_or_a_group() {
        for (text, rule) in [
            (" Anna@Shop.example ", Allow::Email("anna@shop.example".to_owned())),
            ("@Shop.example", Allow::Domain("shop.example".to_owned())),
            ("group: Data Analysts", Allow::Group("Data Analysts".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(rule.clone()), "{text}");
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        for text in
            ["", "anna", "*", "@", "anna@", "*@shop.example", "@*.example", "a@b@c", "a b@c", "group:", "group: "]
        {
            assert!(text.parse::<Allow>().is_err(), "{text}");
        }
    }
}
