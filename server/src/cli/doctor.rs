//! `tideline doctor`: looks at everything a server stands on, and says what to do about what is not as it should be.
//!
//! It looks from outside: where a server has the folder, that server is asked; where none has, the folder's lock is held
//! and its files are opened. Nothing is changed (a small file is written, synced and removed, to measure the disk).

mod folder;
mod machine;
mod network;
mod redis;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tideline_engine::error::{Error, Result};

use super::SettingArgs;
use crate::config::{Config, Layers, Origin};
use crate::http::ops::VERSION;
use crate::http::page;

/// What `tideline doctor --help` begins with.
pub const ABOUT: &str = "Looks at everything a server stands on: configuration, data folder, disk, clock, limits of the \
    system, ports, keys, Redis, log and lake, the page. Each line says whether that is as it should be, and what to do \
    where it is not. With a server running on the folder that server is asked; without one the folder is opened. It \
    changes nothing.";

/// Arguments of `tideline doctor`: those the server is started with.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline doctor                                    before the first start, or beside a running server\n  \
        tideline doctor --data-dir /srv/tideline --json    for programs\n  \
        tideline doctor --config /etc/tideline.toml || echo 'look at it'\n\n\
        Exit code: 0 all is well, 1 there are warnings, 2 something keeps a server from working.")]
pub struct DoctorArgs {
    #[command(flatten)]
    settings: SettingArgs,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// How a finding is meant, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but should be looked at.
    Warn,
    /// Keeps a server from working.
    Fail,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

#[derive(Debug, Serialize)]
struct Finding {
    area: &'static str,
    level: Level,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// What was found so far.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn ok(&mut self, area: &'static str, what: impl Into<String>) {
        self.findings.push(Finding { area, level: Level::Ok, what: what.into(), fix: None });
    }

    fn warn(&mut self, area: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        self.findings.push(Finding { area, level: Level::Warn, what: what.into(), fix: Some(fix.into()) });
    }

    fn fail(&mut self, area: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        self.findings.push(Finding { area, level: Level::Fail, what: what.into(), fix: Some(fix.into()) });
    }

    fn error(&mut self, area: &'static str, error: &Error) {
        let fix = error.hint.clone().unwrap_or_else(|| "see what it says".to_owned());
        self.fail(area, error.to_string(), fix);
    }

    fn worst(&self) -> Level {
        self.findings.iter().map(|f| f.level).max().unwrap_or(Level::Ok)
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|f| f.level == level).count()
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for Finding { area, level, what, fix } in &self.findings {
            out += &format!("{:4}  {area:13}  {what}\n", level.name());
            if let Some(fix) = fix {
                out += &format!("      {:13}  → {fix}\n", "");
            }
        }
        let (warnings, failures) = (self.count(Level::Warn), self.count(Level::Fail));
        out += &match (warnings, failures) {
            (0, 0) => "all is well\n".to_owned(),
            _ => format!("{warnings} warnings, {failures} failures\n"),
        };
        out
    }
}

/// Looks at everything.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let mut report = Report::default();
    report.ok("version", format!("tideline {VERSION}"));
    let config = configuration(&args.settings, &mut report)?;
    let server = folder::look(&config, &mut report);
    machine::look(&config, &mut report);
    network::look(&config, server.as_ref(), &mut report);
    redis::look(&config, &mut report);
    if page::is_built() {
        report.ok("page", "the dashboard is part of this program");
    } else {
        let what = "this program was built without the dashboard: browsers are told so";
        report.warn("page", what, "build it with `make build` (Node 20 with npm)");
    }
    let text = if args.json {
        let json = serde_json::json!({ "level": report.worst(), "findings": report.findings });
        format!("{json:#}\n")
    } else {
        report.text()
    };
    // A closed pipe is the reader's wish; the exit code says the same.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::from(report.worst() as u8))
}

/// The settings as a server would have them. Where they are refused, the rest is looked at with the defaults.
fn configuration(args: &SettingArgs, report: &mut Report) -> Result<Config> {
    let error = match args.load() {
        Ok(loaded) => {
            let set = loaded.origins.len();
            let file = loaded.origins.values().find_map(|origin| match origin {
                Origin::File { path, .. } => Some(path.clone()),
                _ => None,
            });
            let from = file.as_ref().map(|path| format!(", the file {}", path.display())).unwrap_or_default();
            report.ok("settings", format!("valid; {set} differ in origin from the defaults{from}"));
            let secrets = ["redis_url", "alerts.webhook_secret", "alerts.webhooks"];
            let has_secrets = secrets.iter().any(|key| matches!(loaded.origin(key), Origin::File { .. }));
            if let Some(path) = file.filter(|_| has_secrets)
                && machine::others_may_read(&path)
            {
                let what = format!("{} holds secrets, and other users may read it", path.display());
                report.warn("settings", what, format!("chmod 600 {}", path.display()));
            }
            return Ok(loaded.config);
        }
        Err(error) => error,
    };
    report.error("settings", &error);
    report.warn(
        "settings",
        "what follows is looked at with the default settings",
        "correct the setting named above first",
    );
    let mut layers = Layers::default();
    if let Some(dir) = args.data_dir.as_ref().and_then(|dir| dir.to_str()) {
        layers.flag("--data-dir", "data_dir", dir);
    }
    if let Some(listen) = &args.listen {
        layers.flag("--listen", "listen", listen);
    }
    layers.load().or_else(|_| Layers::default().load()).map(|loaded| loaded.config)
}

/// Bytes, short: `1.4 GiB`.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_is_the_exit_code_and_each_bad_one_has_a_fix() {
        let mut report = Report::default();
        assert_eq!(report.worst() as u8, 0);
        report.ok("disk", "fine");
        report.warn("clock", "late", "set it");
        assert_eq!(report.worst() as u8, 1);
        report.fail("port", "taken", "free it");
        assert_eq!(report.worst() as u8, 2);
        let text = report.text();
        assert!(text.contains("→ set it") && text.contains("→ free it") && text.contains("1 warnings, 1 failures"));
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!([0, 2_048, 3 << 29].map(size), ["0 B", "2.0 KiB", "1.5 GiB"]);
    }
}
