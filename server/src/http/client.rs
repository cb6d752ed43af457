//! The address a request came from: the connection's, or what a proxy we trust says of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::{Extensions, HeaderMap};

use crate::config::Net;

/// Where proxies write whom they speak for, each adding at the end.
const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// Addresses looked at: a chain of proxies is short.
const MAX_HOPS: usize = 32;

/// The other end of the connection. The accept loop puts it there; a request made in process has none.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Whose request it is, as far as can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// Reads it. Behind trusted proxies, the last address that is not one of them: what stands before it, anybody may
    /// have written.
    pub fn of(extensions: &Extensions, headers: &HeaderMap, trusted: &[Net]) -> Self {
        let peer = extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip().to_canonical());
        let mut nearest = peer;
        let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(address));
        let values: Vec<&str> = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok()).collect();
        let hops = values.iter().rev().flat_map(|value| value.rsplit(',')).take(MAX_HOPS);
        for hop in hops {
            if !is_trusted(nearest) {
                break;
            }
            // What a trusted proxy wrote that is no address ends the chain at that proxy.
            let Some(address) = parse(hop.trim()) else { break };
            nearest = address;
        }
        Self(nearest)
    }
}

/// An address, with a port or without.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()));
    address.map(|a: IpAddr| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut extensions = Extensions::new();
        extensions.insert(Peer(SocketAddr::new(peer.parse().unwrap(), 1)));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, value.parse().unwrap());
        }
        let trusted: Vec<Net> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        ClientAddress::of(&extensions, &headers, &trusted).0.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_for_the_hop_it_saw() {
        let proxies = ["10.0.0.0/8", "::1"];
        for (peer, forwarded, client_is) in [
            // Nobody trusted wrote it.
            ("203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // The client wrote the first itself.
            ("10.0.0.1", &["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4, rubbish"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("::1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("::1", &["2001:db8::1"], "2001:db8::1"),
        ] {
            assert_eq!(client(peer, forwarded, &proxies), client_is, "{peer} {forwarded:?}");
            assert_eq!(client("203.0.113.9", forwarded, &[]), "203.0.113.9");
        }
    }
}
