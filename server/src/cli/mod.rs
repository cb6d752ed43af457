//! The command line: `tideline <command>`. Each command is a file beside this one: its arguments, its help with
//! examples, and `run`.

pub mod alerts;
pub mod backup;
pub mod check;
pub mod client;
pub mod completions;
pub mod config;
pub mod dead_letters;
pub mod demo;
pub mod doctor;
pub mod erase;
pub mod export;
pub mod folder;
pub mod health;
pub mod history;
pub mod keys;
pub mod load;
pub mod maintain;
pub mod metrics;
pub mod serve;
pub mod session;
pub mod sql;
pub mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tideline_engine::error::{Error, Result};

use crate::config::{Layers, Loaded};

/// Exit code of a command that was used wrongly, as clap uses it.
const USAGE: u8 = 2;

/// Real-time analytics for online shops, in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "tideline",
    version,
    about = "Real-time analytics for online shops, in one binary",
    long_about = "Tideline takes events in over HTTP, makes them durable before it acknowledges them, answers SQL over \
                  them at once, and keeps them as a Delta Lake table of Parquet that any notebook opens.",
    after_help = "Examples:\n  \
                  tideline demo                         try it on made-up shop traffic\n  \
                  tideline serve                        start with the defaults on 127.0.0.1:8080\n  \
                  tideline load events.ndjson.gz        send it a file of events\n  \
                  tideline sql                          ask it questions\n  \
                  tideline metrics sales/daily          one of its fixed metrics\n  \
                  tideline config                       every setting, its value, where it came from\n\n\
                  `tideline <command> --help` has examples of each command.",
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(serve::ServeArgs),
    /// Start with made-up shop traffic, to look around
    #[command(long_about = demo::ABOUT)]
    Demo(demo::DemoArgs),
    /// Send a server made-up shop traffic at a given rate, and see how it takes it
    #[command(long_about = traffic::ABOUT)]
    Traffic(traffic::TrafficArgs),
    /// Load files of events: NDJSON, CSV, Parquet
    #[command(long_about = load::ABOUT)]
    Load(load::LoadArgs),
    /// Ask SQL, once or in a conversation
    #[command(long_about = sql::ABOUT)]
    Sql(sql::SqlArgs),
    /// List the fixed metrics, or ask for one
    #[command(long_about = metrics::ABOUT)]
    Metrics(metrics::MetricsArgs),
    /// List alerts: what is wrong now, and what was
    #[command(long_about = alerts::ABOUT)]
    Alerts(alerts::AlertsArgs),
    /// Write events of a span of time into a file
    #[command(long_about = export::ABOUT)]
    Export(export::ExportArgs),
    /// Look whether a data folder is whole; repair its log
    #[command(long_about = check::ABOUT)]
    Check(check::CheckArgs),
    /// Ask a running server how it is
    #[command(long_about = health::ABOUT)]
    Health(health::HealthArgs),
    /// Flush, compact, retain or vacuum now
    #[command(long_about = maintain::ABOUT)]
    Maintain(maintain::MaintainArgs),
    /// Copy everything a data folder holds, while its server runs; verify a copy
    #[command(long_about = backup::ABOUT)]
    Backup(backup::BackupArgs),
    /// Make a data folder of a backup
    #[command(long_about = backup::ABOUT_RESTORE)]
    Restore(backup::RestoreArgs),
    /// Remove a person from everything, and prove it
    #[command(long_about = erase::ABOUT)]
    Erase(erase::EraseArgs),
    /// List, show, replay or drop events that were not accepted
    #[command(long_about = dead_letters::ABOUT)]
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Make, list and revoke the keys with which programs talk to a server
    #[command(long_about = keys::ABOUT)]
    Keys(keys::KeysArgs),
    /// Print every setting, its value and where it came from
    Config(config::ConfigArgs),
    /// Look at everything a server stands on, and say what to do
    #[command(long_about = doctor::ABOUT)]
    Doctor(doctor::DoctorArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
}

/// Flags every command shares that needs the configuration.
#[derive(Debug, Clone, Default, Args)]
pub struct SettingArgs {
    /// Configuration file (TOML) [default: ./tideline.toml where there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Address and port of the Postgres wire, off unless it is set
    #[arg(long, value_name = "ADDR")]
    pub postgres_listen: Option<String>,
    /// Folder that holds everything Tideline keeps
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Redis for what several servers share
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// Any other setting, e.g. --set wal.max_bytes=4GiB; may be repeated
    #[arg(long = "set", value_name = "SETTING=VALUE")]
    pub settings: Vec<String>,
}

impl SettingArgs {
    /// Merges defaults, file, environment and these flags.
    pub fn load(&self) -> Result<Loaded> {
        let mut layers = Layers::from_process();
        layers.file.clone_from(&self.config);
        for pair in &self.settings {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Error::invalid("invalid_config", format!("--set {pair} has no value"))
                    .with_hint("write it like --set wal.max_bytes=4GiB")
            })?;
            layers.flag("--set", key.trim(), value.trim());
        }
        if let Some(listen) = &self.listen {
            layers.flag("--listen", "listen", listen);
        }
        if let Some(listen) = &self.postgres_listen {
            layers.flag("--postgres-listen", "postgres_listen", listen);
        }
        if let Some(dir) = &self.data_dir {
            let dir = dir.to_str().ok_or_else(|| Error::invalid("invalid_config", "--data-dir is not UTF-8"))?;
            layers.flag("--data-dir", "data_dir", dir);
        }
        if let Some(url) = &self.redis_url {
            layers.flag("--redis-url", "redis_url", url);
        }
        layers.load()
    }
}

/// Runs the command the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(args),
        Command::Traffic(args) => traffic::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Sql(args) => sql::run(&args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Alerts(args) => alerts::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Maintain(args) => maintain::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => backup::run_restore(&args),
        Command::Erase(args) => erase::run(&args),
        Command::DeadLetters(args) => dead_letters::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            print_error(&error);
            ExitCode::from(if is_usage(&error) { USAGE } else { 1 })
        }
    }
}

fn is_usage(error: &Error) -> bool {
    matches!(
        error.code,
        "invalid_config"
            | "unknown_setting"
            | "address_not_local"
            | "invalid_key"
            | "invalid_mapping"
            | "invalid_parameter"
            | "invalid_person"
            | "invalid_url"
            | "missing_filter"
            | "oidc_without_keys"
            | "tls_ca_file"
            | "tls_files"
    )
}

/// Prints an error the way every command does: what is wrong, then what to do.
#[expect(clippy::print_stderr, reason = "a command's errors go to its standard error")]
pub fn print_error(error: &Error) {
    eprintln!("error: {error}");
    if let Some(hint) = &error.hint {
        eprintln!("hint: {hint}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{} has no examples in its help", command.get_name());
        }
    }
}
