//! `tideline config`: every setting, its value and where it came from.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use tideline_engine::error::Result;

use super::SettingArgs;
use crate::config::show;

/// Arguments of `tideline config`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tideline config                              what a server started here would use\n  \
    tideline config --config prod.toml --json    the same for a file, for programs\n  \
    tideline config --reference                  docs/settings.md: what every setting is for\n  \
    TIDELINE_WAL_MAX_BYTES=4GiB tideline config  a variable sets `wal.max_bytes`\n\n\
    Strongest first: flags, environment (TIDELINE_<TABLE>_<NAME>), file, defaults.")]
pub struct ConfigArgs {
    #[command(flatten)]
    settings: SettingArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the reference of all settings in Markdown: what each is for, with its default
    #[arg(long, alias = "markdown", conflicts_with = "json")]
    reference: bool,
}

/// Prints the configuration.
pub fn run(args: &ConfigArgs) -> Result<ExitCode> {
    let text = if args.reference {
        show::reference()
    } else {
        let loaded = args.settings.load()?;
        if args.json { format!("{:#}\n", show::json(&loaded)) } else { show::text(&loaded) }
    };
    // A closed pipe (`tideline config | head`) is the reader's wish, not an error.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}
