//! `tideline completions`: what a shell needs to complete commands and flags.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;
use tideline_engine::error::Result;

use super::Cli;

/// Arguments of `tideline completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tideline completions bash > /etc/bash_completion.d/tideline\n  \
    tideline completions zsh > \"${fpath[1]}/_tideline\"\n  \
    tideline completions fish > ~/.config/fish/completions/tideline.fish\n  \
    tideline completions powershell >> $PROFILE\n  \
    source <(tideline completions bash)          for this shell only")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Kind,
}

/// The shells that are documented and tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// Prints them.
pub fn run(args: &CompletionsArgs) -> Result<ExitCode> {
    let shell = match args.shell {
        Kind::Bash => Shell::Bash,
        Kind::Zsh => Shell::Zsh,
        Kind::Fish => Shell::Fish,
        Kind::Powershell => Shell::PowerShell,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tideline", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
