//! Which requests are for this server at all, whoever sends them: a path of sane length, the right host, no foreign page.
//!
//! A page in the operator's browser reaches loopback too. Without keys `Host` must name this server (else a foreign name
//! was rebound to 127.0.0.1). `Origin`, which browsers add to what pages send, must be this server's own, or one of
//! `http.cors_origins`; a request with a key in a header of its own is the exception, as no page can send one unasked.
//! Paths to which SDKs of Segment and PostHog send are another: shops' pages are other sites' by nature (see [`cors::may_send_events`]).

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{cors, posthog, segment};
use crate::app::AppState;
use crate::auth::Identity;
use crate::error::Problem;

/// Refuses a request that is not for this server or not from its own pages, or whose path is too long.
pub fn check(state: &AppState, request: &Request, identity: &Identity) -> Result<(), Problem> {
    let limit = state.config.http.max_uri_bytes.as_usize();
    let uri = request.uri();
    if uri.path_and_query().map_or(0, |p| p.as_str().len()) > limit {
        let message = format!("the path and query are longer than {limit} bytes");
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "uri_too_long", message)
            .with_hint("send SQL as the body of POST /sql, or raise http.max_uri_bytes"));
    }
    let (has_keys, named) = (state.auth.keys.are_required(), hosts(request));
    if !has_keys && !named.iter().all(|a| a.as_ref().is_some_and(|a| is_this_server(a, state.listen))) {
        let message = "the Host header does not name this server";
        return Err(Problem::new(StatusCode::FORBIDDEN, "host_not_allowed", message)
            .with_hint("without keys only local names are served: use localhost or 127.0.0.1"));
    }
    let own = named.into_iter().flatten().next();
    let is_session = identity.caller.as_ref().is_ok_and(|caller| caller.is_session());
    let is_listed = |origin: &HeaderValue| {
        // `*` is for those who show a key; a cookie is never for other sites.
        let by_name = has_keys || !state.config.http.cors_origins.0.iter().any(|o| o == "*");
        !is_session && by_name && cors::is_allowed(&state.config.http, origin)
    };
    let from_any_page = (segment::is_path(uri.path()) || posthog::is_path(uri.path()))
        && request.headers().get(ORIGIN).is_some_and(|origin| cors::may_send_events(state, origin));
    let is_welcome = identity.is_explicit || from_any_page || request.headers().get(ORIGIN).is_some_and(is_listed);
    if !is_welcome && is_foreign_page(request.method(), request.headers(), own.as_ref()) {
        let message = "a web page of another site may not talk to this server";
        return Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", message).with_hint(
            "send the request from a program, or from a page this server serves or http.cors_origins names",
        ));
    }
    Ok(())
}

/// The hosts a request names: requests in absolute form and HTTP/2 do it in the URI, others in the header.
fn hosts(request: &Request) -> Vec<Option<Authority>> {
    let in_uri = request.uri().authority().map(|a| Some(a.clone()));
    request.headers().get_all(HOST).iter().map(parse).chain(in_uri).collect()
}

/// Whether a request says that one of this server's own pages sent it; what says nothing does not.
pub fn says_own_page(request: &Request) -> bool {
    let own = hosts(request).into_iter().flatten().next();
    request.headers().contains_key(ORIGIN) && !is_foreign_page(request.method(), request.headers(), own.as_ref())
}

fn parse(value: &HeaderValue) -> Option<Authority> {
    value.to_str().ok()?.parse().ok()
}

fn is_this_server(authority: &Authority, listen: SocketAddr) -> bool {
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    cors::is_local(host) || bare.parse::<IpAddr>().is_ok_and(|ip| ip == listen.ip())
}

fn is_foreign_page(method: &Method, headers: &HeaderMap, own: Option<&Authority>) -> bool {
    if let Some(origin) = headers.get(ORIGIN) {
        let origin = origin.to_str().unwrap_or("null");
        let authority = origin.split_once("://").map(|(_, rest)| rest);
        return own.is_none_or(|own| authority.is_none_or(|a| !a.eq_ignore_ascii_case(own.as_str())));
    }
    // An image or a form of another site sends no Origin with GET, but says where it comes from; a link that is
    // followed is the user's own doing.
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|v| v == value);
    let followed = *method == Method::GET && says("sec-fetch-mode", "navigate");
    says("sec-fetch-site", "cross-site") && !followed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_names_are_this_server() {
        let listen = "127.0.0.1:8080".parse().unwrap();
        for (host, ours) in [
            ("localhost:8080", true),
            ("LOCALHOST", true),
            ("app.localhost:1", true),
            ("127.0.0.1:8080", true),
            ("127.8.8.8", true),
            ("[::1]:8080", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1", false),
            ("[fe80::1]", false),
        ] {
            assert_eq!(is_this_server(&host.parse().unwrap(), listen), ours, "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let own: Authority = "localhost:8080".parse().unwrap();
        let foreign = |method: Method, pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect();
            is_foreign_page(&method, &headers, Some(&own))
        };
        assert!(!foreign(Method::POST, &[]));
        assert!(!foreign(Method::POST, &[("origin", "http://localhost:8080")]));
        assert!(foreign(Method::POST, &[("origin", "https://evil.example")]));
        assert!(foreign(Method::POST, &[("origin", "http://localhost:3000")]));
        assert!(foreign(Method::POST, &[("origin", "null")]));
        assert!(foreign(Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]));
        assert!(!foreign(Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]));
        assert!(foreign(Method::POST, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]));
    }
}
