//! The credential in a request's headers: a key, or a session's cookie. Decides nothing, trusts nothing.

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::secret::MAX_LEN;

/// A header for a key alone.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The cookie of a session.
pub const COOKIE_NAME: &str = "tideline_session";
/// The longest `Authorization` looked at: a key in Base64 with room to spare.
const MAX_HEADER: usize = 4 * MAX_LEN;

/// With or without padding: clients differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What stands in the headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    None,
    /// A key.
    Key {
        /// As it was sent.
        text: String,
        /// How.
        presented: Presented,
    },
    /// A session's token.
    Session(String),
    /// Something that is neither, or several keys that differ.
    Malformed,
}

/// How a key was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// `Authorization: Bearer` or `X-API-Key`: only a program or a page's script writes that.
    Header,
    /// `Authorization: Basic`, which browsers may add by themselves.
    Basic,
}

/// Reads it. A blank header is a missing one.
pub fn read(headers: &HeaderMap) -> Credential {
    let mut found: Option<(String, Presented)> = None;
    let authorization = headers.get_all(AUTHORIZATION).iter().map(from_authorization);
    for key in authorization.chain(headers.get_all(X_API_KEY).iter().map(from_x_api_key)) {
        match (key, &found) {
            (Ok(None), _) => {}
            (Ok(Some(key)), None) => found = Some(key),
            // The same key twice says the same thing; the weaker way of sending it counts.
            (Ok(Some((text, presented))), Some((earlier, _))) if text == *earlier => {
                if presented == Presented::Basic {
                    found = Some((text, presented));
                }
            }
            _ => return Credential::Malformed,
        }
    }
    match (found, session_cookie(headers)) {
        (Some((text, presented)), _) => Credential::Key { text, presented },
        (None, Some(token)) => Credential::Session(token),
        (None, None) => Credential::None,
    }
}

type Found = Result<Option<(String, Presented)>, ()>;

fn from_authorization(value: &HeaderValue) -> Found {
    let text = plain(value, MAX_HEADER)?;
    if text.is_empty() {
        return Ok(None);
    }
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return sane(rest).map(|key| Some((key, Presented::Header)));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = BASE64.decode(rest).map_err(|_| ())?;
        let decoded = String::from_utf8(decoded).map_err(|_| ())?;
        let user = decoded.split_once(':').map_or(decoded.as_str(), |(user, _)| user);
        return sane(user).map(|key| Some((key, Presented::Basic)));
    }
    Err(())
}

fn from_x_api_key(value: &HeaderValue) -> Found {
    let text = plain(value, MAX_HEADER)?;
    if text.is_empty() { Ok(None) } else { sane(text).map(|key| Some((key, Presented::Header))) }
}

fn plain(value: &HeaderValue, longest: usize) -> Result<&str, ()> {
    let text = value.to_str().map_err(|_| ())?.trim();
    if text.len() > longest { Err(()) } else { Ok(text) }
}

fn sane(key: &str) -> Result<String, ()> {
    let key = key.trim();
    let is_sane = !key.is_empty() && key.len() <= MAX_LEN && key.bytes().all(|b| b.is_ascii_graphic());
    if is_sane { Ok(key.to_owned()) } else { Err(()) }
}

/// The session's token, where there is exactly one.
pub fn session_cookie(headers: &HeaderMap) -> Option<String> {
    cookie(headers, COOKIE_NAME)
}

/// The value of a cookie that holds a secret of ours, where there is exactly one.
pub fn cookie(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
    let mut tokens = pairs.filter_map(|pair| pair.split_once('=')).filter(|(name, _)| name.trim() == wanted);
    let (_, token) = tokens.next()?;
    // Two of them: somebody else, on a neighbouring host, put one there.
    if tokens.next().is_some() {
        return None;
    }
    sane(token).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &[u8])]) -> Credential {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        read(&headers)
    }

    fn key(presented: Presented) -> Credential {
        Credential::Key { text: "tl_k".to_owned(), presented }
    }

    #[test]
    fn a_key_is_read_from_each_place_clients_put_it() {
        use Presented::{Basic, Header};
        assert_eq!(of(&[]), Credential::None);
        assert_eq!(of(&[("authorization", b"  "), ("x-api-key", b"")]), Credential::None);
        assert_eq!(of(&[("authorization", b"Bearer tl_k")]), key(Header));
        assert_eq!(of(&[("authorization", b"bearer   tl_k ")]), key(Header));
        assert_eq!(of(&[("x-api-key", b"tl_k")]), key(Header));
        // `tl_k:`, `tl_k:x` and `tl_k` in Base64, padded or not.
        for basic in ["Basic dGxfazo=", "basic dGxfazo", "Basic dGxfazp4", "Basic dGxfaw=="] {
            assert_eq!(of(&[("authorization", basic.as_bytes())]), key(Basic), "{basic}");
        }
        assert_eq!(of(&[("authorization", b"Basic dGxfazo="), ("x-api-key", b"tl_k")]), key(Basic));
        assert_eq!(of(&[("cookie", b"a=b; tideline_session=abc; c=d")]), Credential::Session("abc".to_owned()));
        assert_eq!(of(&[("cookie", b"tideline_session=abc"), ("x-api-key", b"tl_k")]), key(Header));
    }

    #[test]
    fn what_cannot_be_read_is_never_taken_for_no_credential() {
        let long = [b"Bearer ".to_vec(), vec![b'a'; MAX_LEN + 1]].concat();
        for value in
            [&b"Bearer"[..], b"Bearer \xff", b"Bearer a b", b"Digest x", b"tl_k", b"Basic !!", b"Basic Og==", &long]
        {
            assert_eq!(of(&[("authorization", value)]), Credential::Malformed, "{}", value.escape_ascii());
        }
        assert_eq!(of(&[("x-api-key", b"tl_a"), ("x-api-key", b"tl_b")]), Credential::Malformed);
        assert_eq!(of(&[("authorization", b"Bearer tl_a"), ("x-api-key", b"tl_b")]), Credential::Malformed);
        assert_eq!(of(&[("cookie", b"tideline_session=a; tideline_session=b")]), Credential::None);
    }
}
