//! The address to listen on, its certificate, and the keys that say who may use it.

use std::net::TcpListener;
use std::sync::Arc;

use tideline_engine::clock::{Clock, DAY, SystemClock};
use tideline_engine::fs::RealFs;

use super::folder::Server;
use super::{Report, machine};
use crate::auth::keys::{KeyStore, State};
use crate::config::Config;
use crate::host;
use crate::tls::Tls;

/// A key that ends within this time is worth a word.
const SOON: i64 = 14 * DAY;

/// Looks at port, certificate and keys.
pub(super) fn look(config: &Config, server: Option<&Server>, report: &mut Report) {
    port(config, server, report);
    certificate(config, report);
    keys(config, report);
}

fn port(config: &Config, server: Option<&Server>, report: &mut Report) {
    // What it says is refused with the settings.
    let Ok(address) = config.listen_addr() else { return };
    let ours = server.is_some_and(|server| server.url.ends_with(&format!("://{address}")));
    match TcpListener::bind(address) {
        Ok(_) if address.port() == 0 => report.ok("port", format!("{address}: a free one is taken")),
        Ok(_) => report.ok("port", format!("{address} is free")),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => match host::listener(address) {
            _ if ours => report.ok("port", format!("{address} is the running server's")),
            by => {
                let by = by.map_or_else(|| "another process".to_owned(), |process| process.to_string());
                report.fail("port", format!("{address} is taken by {by}"), "stop it, or choose another with --listen");
            }
        },
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            report.fail(
                "port",
                format!("this user may not listen on {address}"),
                "choose a port above 1023 with --listen",
            );
        }
        Err(e) => report.fail("port", format!("{address}: {e}"), "name an address of this machine with --listen"),
    }
}

fn certificate(config: &Config, report: &mut Report) {
    match Tls::load(&config.tls) {
        Ok(None) => {}
        Ok(Some(_)) => report.ok("tls", "certificate and key can be read, and belong together"),
        Err(error) => report.error("tls", &error),
    }
}

fn keys(config: &Config, report: &mut Report) {
    let Ok(address) = config.listen_addr() else { return };
    let clock = Arc::new(SystemClock::new());
    let now = clock.now();
    let store = match KeyStore::open(Arc::new(RealFs), &config.data_dir, clock) {
        Ok(store) => store,
        Err(error) => return report.error("keys", &error),
    };
    let is_public = !address.ip().is_loopback();
    let all = store.list();
    let active: Vec<_> = all.iter().filter(|key| key.state == State::Active).collect();
    const MAKE: &str = "tideline keys create --name admin --scopes admin --data-dir DIR";
    match (active.len(), all.len()) {
        (0, 0) if is_public => {
            report.fail("keys", format!("there are none, and {address} can be reached from other machines"), MAKE);
        }
        (0, 0) => report.ok("keys", "none: programs on this machine may do everything, others cannot reach it"),
        (0, _) => report.fail("keys", "none is valid any more: every request is refused", MAKE),
        (n, _) => report.ok("keys", format!("{n} valid, {} revoked or expired", all.len() - n)),
    }
    let names = |keys: Vec<&str>| keys.join(", ");
    let unending: Vec<&str> = active.iter().filter(|k| k.expires_at.is_none()).map(|k| k.name.as_str()).collect();
    if !unending.is_empty() {
        let fix = "make new ones with --expires 365d, and revoke these";
        report.warn("keys", format!("valid for ever: {}", names(unending)), fix);
    }
    let soon = |end: i64| end < now + SOON;
    let ending: Vec<&str> =
        active.iter().filter(|k| k.expires_at.is_some_and(|e| soon(e.0))).map(|k| k.name.as_str()).collect();
    if !ending.is_empty() {
        report.warn(
            "keys",
            format!("about to expire: {}", names(ending)),
            "make new ones, and give them to who uses these",
        );
    }
    let file = config.data_dir.join("keys.json");
    if machine::others_may_read(&file) {
        let what = format!("other users may read {}", file.display());
        report.warn("keys", what, format!("chmod 600 {}", file.display()));
    }
    if is_public && !config.tls.is_on() && !config.session.secure_cookie {
        let what = format!(
            "{address} can be reached from other machines, and what is sent there is not encrypted by this server"
        );
        report.warn("keys", what, "put a proxy that does TLS in front, and set session.secure_cookie");
    }
}
