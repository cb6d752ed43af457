//! Logs: to standard error, as text for people or JSON for machines. Never secrets, never bodies.

use std::io::IsTerminal as _;

use tideline_engine::error::{Error, Result};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// The filter of a setting: a plain level is for Tideline itself, and libraries are heard from warnings on.
fn directives(level: &str) -> String {
    if level.contains(['=', ',']) {
        return level.to_owned();
    }
    format!("warn,tideline={level},tideline_server={level},tideline_engine={level}")
}

/// Starts logging for the process. Called once.
pub fn start(log: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(directives(log.level.trim())).map_err(|e| {
        Error::invalid("invalid_config", format!("the setting `log.level` = \"{}\" is refused: {e}", log.level))
            .with_hint("use error, warn, info, debug or trace, or filters like info,tideline_server=debug")
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| Error::internal(format!("logging cannot start: {e}")))
}
