//! `tideline health`: asks a running server how it is, for containers, which have no other program to ask with.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use tideline_engine::error::{Error, Result};

use super::SettingArgs;
use super::client::Client;

/// What `tideline health --help` begins with.
pub const ABOUT: &str = "Asks a running server how it is, and says so in a line for each part that is not well. Without \
    --url it asks where the settings say that a server of this machine listens, so that in a container it needs no \
    arguments. It needs no key.";

/// Arguments of `tideline health`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline health\n  \
        tideline health --url http://shop:8080 --json\n\n\
        Exit code: 0 when it takes requests, also while a part of it is degraded; 1 when it does not.")]
pub struct HealthArgs {
    /// The running server to ask [default: what `listen` says, on this machine]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    settings: SettingArgs,
    /// Print its whole answer
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &HealthArgs) -> Result<ExitCode> {
    let url = match &args.url {
        Some(url) => url.clone(),
        None => {
            let listen = args.settings.load()?.config.listen_addr();
            let listen = listen.map_err(|w| Error::invalid("invalid_config", w.message).with_hint(w.hint))?;
            format!("http://{}", reachable(listen))
        }
    };
    let answer = Client::new(&url, None)?.get("/health")?;
    let takes_requests = answer.is_success();
    let health: Value = serde_json::from_slice(&answer.bytes()?)
        .map_err(|e| Error::internal(format!("{url} did not say how it is: {e}")).with_hint("is it Tideline?"))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{health:#}")?;
    } else {
        writeln!(out, "{}", said(&health))?;
    }
    Ok(if takes_requests { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A server that listens on every address is asked on this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn said(health: &Value) -> String {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or("?").to_owned();
    let mut lines = vec![text(health, "status")];
    let parts = health["dependencies"].as_object().into_iter().flatten();
    for (name, part) in parts.filter(|(_, part)| part["status"] != "ok") {
        lines.push(format!("{name}: {}: {}", text(part, "status"), text(part, "message")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_on_every_address_is_asked_on_this_machine() {
        for (listen, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:80", "[::1]:80"),
            ("10.1.2.3:9", "10.1.2.3:9"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn what_is_not_well_is_named() {
        let well = json!({"status": "ok", "dependencies": {"wal": {"status": "ok"}}});
        assert_eq!(said(&well), "ok");
        let degraded = json!({"status": "degraded", "dependencies": {
            "lake": {"status": "degraded", "message": "the last flush failed"}, "wal": {"status": "ok"},
        }});
        assert_eq!(said(&degraded), "degraded\nlake: degraded: the last flush failed");
    }
}
