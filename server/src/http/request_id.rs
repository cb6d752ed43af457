//! A name for each request: the client's own where it is sane, else a fresh one.

use axum::http::{HeaderMap, HeaderValue};

use super::X_REQUEST_ID;

/// The longest id taken from a client.
const MAX_LEN: usize = 128;

/// A request's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The client's, if it is short and plain (it goes into logs and headers), else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.:/+=".contains(&c);
        let sane = |id: &&str| !id.is_empty() && id.len() <= MAX_LEN && id.bytes().all(plain);
        let given = headers.get(X_REQUEST_ID).and_then(|v| v.to_str().ok()).filter(sane);
        Self(given.map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), str::to_owned))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a header's value.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: &[u8]) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
        RequestId::of(&headers)
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        assert_eq!(id(b"order-17/3").as_str(), "order-17/3");
        let long = [b'a'; MAX_LEN + 1];
        for value in [&b""[..], b"a b", b"\xff", b"<script>", b"a\"b", &long] {
            assert_eq!(id(value).as_str().len(), 32, "{value:?}");
        }
    }
}
