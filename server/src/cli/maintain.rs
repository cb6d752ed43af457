//! `tideline maintain`: what the server does by itself in the background, now.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use tideline_engine::error::{Error, Result};

use super::client::{Target, TargetArgs};
use super::folder::Folder;
use super::load::grouped;

/// What `tideline maintain --help` begins with.
pub const ABOUT: &str = "Does now what a server does by itself in the background: moves the buffer to the lake, merges small \
    files, drops old days, deletes files the table no longer names. On a running server, or in a data folder that \
    no server is using. Each step may be repeated and interrupted at any time.";

/// Arguments of `tideline maintain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline maintain flush                              before a notebook opens the lake\n  \
        tideline maintain compact --json\n  \
        tideline maintain retain --data-dir tideline-data    drop days beyond lake.retention_days\n  \
        tideline maintain vacuum --url http://127.0.0.1:9000")]
pub struct MaintainArgs {
    /// What to do
    #[arg(value_enum)]
    what: What,
    #[command(flatten)]
    target: TargetArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Move what is buffered into the lake
    Flush,
    /// Merge small files of a day into larger ones
    Compact,
    /// Drop days older than lake.retention_days, and dead letters older than dead_letters.retention_days
    Retain,
    /// Delete files that have not been part of the table for lake.vacuum_after
    Vacuum,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Compact => "compact",
            Self::Retain => "retain",
            Self::Vacuum => "vacuum",
        }
    }
}

/// Does it.
pub fn run(args: &MaintainArgs) -> Result<ExitCode> {
    let report = match args.target.target()? {
        Target::Server(client) => {
            let answer = client.post_empty(&format!("/admin/{}", args.what.name()))?.success()?;
            serde_json::from_slice(&answer.bytes()?)
                .map_err(|e| Error::internal(format!("the answer is not a report: {e}")).with_hint("is it Tideline?"))?
        }
        Target::Folder(dir) => {
            let folder = Folder::open_existing(&dir)?;
            let report = in_folder(&folder, args.what);
            let closed = folder.close();
            let report = report?;
            closed?;
            report
        }
    };
    let text = if args.json { report.to_string() } else { sentence(args.what, &report) };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn in_folder(folder: &Folder, what: What) -> Result<Value> {
    let engine = folder.engine();
    match what {
        What::Flush => folder.wait(engine.flush()).and_then(|r| value(&r)),
        What::Compact => folder.wait(engine.compact()).and_then(|r| value(&r)),
        What::Retain => {
            let (files, letters) = (folder.wait(engine.retain())?, folder.wait(engine.retain_letters())?);
            Ok(json!({ "files_removed": files, "dead_letters_expired": letters.expired }))
        }
        What::Vacuum => {
            let vacuumed = folder.wait(engine.vacuum())?;
            Ok(json!({ "files_deleted": vacuumed.files, "bytes_deleted": vacuumed.bytes }))
        }
    }
}

fn value(report: &impl Serialize) -> Result<Value> {
    serde_json::to_value(report).map_err(|e| Error::internal(e.to_string()))
}

fn sentence(what: What, report: &Value) -> String {
    let number = |name: &str| report.get(name).and_then(Value::as_u64).map_or_else(|| "?".to_owned(), grouped);
    match what {
        What::Flush => format!("moved {} rows; the lake is at version {}", number("rows"), number("lake_version")),
        What::Compact => format!("{} files, {} before", number("files_after"), number("files_before")),
        What::Retain => {
            let (files, letters) = (number("files_removed"), number("dead_letters_expired"));
            format!("dropped {files} files of old days and {letters} old dead letters")
        }
        What::Vacuum => format!("deleted {} files", number("files_deleted")),
    }
}
