//! From what a provider says of somebody to what they may do here.

use serde_json::Value;

use super::Claims;
use crate::auth::scope::{Scope, Scopes};
use crate::config::{Allow, Oidc as Settings};

/// The scopes that the rules give; none where no rule speaks of them.
pub fn scopes(claims: &Claims, settings: &Settings) -> Scopes {
    let lists = [(Scope::Read, &settings.allow_read), (Scope::Admin, &settings.allow_admin)];
    let given = lists.into_iter().filter(|(_, rules)| rules.0.iter().any(|rule| holds(rule, claims, settings)));
    given.map(|(scope, _)| scope).collect()
}

/// Whether the claims have what the rules look at.
pub fn are_decidable(claims: &Claims, settings: &Settings) -> bool {
    settings.allow_read.0.iter().chain(&settings.allow_admin.0).all(|rule| match rule {
        Allow::Email(_) | Allow::Domain(_) => claims.contains_key("email") && claims.contains_key("email_verified"),
        Allow::Group(_) => find(claims, &settings.groups_claim).is_some(),
    })
}

/// Adds what the user info says. What is signed counts more; but an address and whether it is verified are of one source,
/// for the two may know different addresses.
pub fn add(claims: &mut Claims, more: Claims) {
    let address = ["email", "email_verified"];
    if !address.iter().all(|name| claims.contains_key(*name)) {
        address.iter().for_each(|name| drop(claims.remove(*name)));
    }
    for (name, value) in more {
        claims.entry(name).or_insert(value);
    }
}

fn holds(rule: &Allow, claims: &Claims, settings: &Settings) -> bool {
    match rule {
        Allow::Email(email) => verified_email(claims).is_some_and(|own| own.eq_ignore_ascii_case(email)),
        Allow::Domain(domain) => verified_email(claims)
            .and_then(|own| own.rsplit_once('@'))
            .is_some_and(|(user, own)| !user.is_empty() && own.eq_ignore_ascii_case(domain)),
        Allow::Group(group) => match find(claims, &settings.groups_claim) {
            Some(Value::Array(groups)) => groups.iter().any(|own| own.as_str() == Some(group)),
            Some(Value::String(own)) => own == group,
            _ => false,
        },
    }
}

/// Where anybody may claim any address, an address says nothing: the provider must have verified it.
fn verified_email(claims: &Claims) -> Option<&str> {
    // Some providers write the flag as text.
    let is_verified = match claims.get("email_verified")? {
        Value::Bool(verified) => *verified,
        Value::String(verified) => verified == "true",
        _ => false,
    };
    claims.get("email")?.as_str().filter(|_| is_verified)
}

/// A claim by its name, which may be an address; else by its path, like `realm_access.roles`.
fn find<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let mut parts = name.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::List;

    fn given(claims: Value, groups_claim: &str) -> String {
        let rules = |text: &str| text.parse::<List<Allow>>().unwrap();
        let settings = Settings {
            allow_read: rules("@shop.example, group:analysts"),
            allow_admin: rules("anna@shop.example, group:owners"),
            groups_claim: groups_claim.to_owned(),
            ..Settings::default()
        };
        let Value::Object(claims) = claims else { panic!("{claims}") };
        scopes(&claims, &settings).to_string()
    }

    #[test]
    fn only_what_is_verified_and_named_lets_in() {
        for (claims, wanted) in [
            (json!({}), ""),
            (json!({ "email": "bob@shop.example", "email_verified": true }), "read"),
            (json!({ "email": "Anna@SHOP.example", "email_verified": "true" }), "read,admin"),
            (json!({ "email": "bob@shop.example" }), ""),
            (json!({ "email": "bob@shop.example", "email_verified": false }), ""),
            (json!({ "email": "bob@shop.example", "email_verified": "false" }), ""),
            (json!({ "email": "bob@shop.example", "email_verified": 1 }), ""),
            (json!({ "email": "bob@evil-shop.example", "email_verified": true }), ""),
            (json!({ "email": "bob@shop.example.evil", "email_verified": true }), ""),
            (json!({ "email": "bob@a.shop.example", "email_verified": true }), ""),
            (json!({ "email": "@shop.example", "email_verified": true }), ""),
            (json!({ "email": ["bob@shop.example"], "email_verified": true }), ""),
            (json!({ "groups": ["staff", "owners"] }), "admin"),
            (json!({ "groups": "analysts" }), "read"),
            (json!({ "groups": "analysts owners" }), ""),
            (json!({ "groups": { "analysts": true } }), ""),
            (json!({ "roles": ["owners"] }), ""),
        ] {
            assert_eq!(given(claims.clone(), "groups"), wanted, "{claims}");
        }
        let nested = json!({ "realm_access": { "roles": ["owners"] }, "https://shop.example/roles": ["analysts"] });
        assert_eq!(given(nested.clone(), "realm_access.roles"), "admin");
        assert_eq!(given(nested, "https://shop.example/roles"), "read");
    }
}
