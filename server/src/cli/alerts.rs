//! `tideline alerts`: what is wrong now and what was, of a server or a data folder.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use tideline_engine::error::{Error, Result};

use super::client::{Target, TargetArgs};
use super::folder::Folder;
use super::sql::table::Table;
use crate::alerts::{PAGE, Which, listing};

/// What `tideline alerts --help` begins with.
pub const ABOUT: &str = "Lists alerts of a running server, or of a data folder that no server is using: the open ones \
    first, then the latest. A running server also says how its rules are, and which notices it gave up sending.\n\n\
    Rules are metrics (`tideline metrics`) whose header has a table [alert]; in SQL alerts are the table alerts.";

/// Arguments of `tideline alerts`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline alerts\n  \
        tideline alerts --status open --json\n  \
        tideline alerts --data-dir tideline-data --limit 1000\n\n\
        Exit code: 0, or 1 when they could not be read.")]
pub struct AlertsArgs {
    /// open, closed or all
    #[arg(long, default_value = "all")]
    status: String,
    /// Most alerts to list
    #[arg(long, value_name = "N", default_value_t = PAGE as u16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    #[command(flatten)]
    target: TargetArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &AlertsArgs) -> Result<ExitCode> {
    let which = Which::parse(&args.status)?;
    let listed = match args.target.target()? {
        Target::Server(client) => {
            let path = format!("/alerts?status={}&limit={}", args.status, args.limit);
            let bytes = client.get(&path)?.success()?.bytes()?;
            serde_json::from_slice(&bytes).map_err(|e| Error::internal(format!("the answer is not JSON: {e}")))?
        }
        Target::Folder(dir) => {
            let folder = Folder::open_existing(&dir)?;
            let listed = listing(folder.engine().alerts(), &[], which, usize::from(args.limit));
            folder.close()?;
            listed
        }
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{listed:#}")?;
        return Ok(ExitCode::SUCCESS);
    }
    write(&listed, &mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn members<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn write(listed: &Value, out: &mut dyn std::io::Write) -> Result<()> {
    let mut table = Table::of_texts(&["opened", "closed", "severity", "rule", "key", "message"]);
    for alert in members(listed, "alerts") {
        let cells = ["opened_at", "closed_at", "severity", "rule", "key", "message"];
        table.rows.push(cells.map(|name| text(alert, name)).to_vec());
    }
    let (shown, total) = (table.rows.len(), text(listed, "total"));
    if shown > 0 {
        table.write(out, false)?;
    }
    writeln!(out, "({shown} of {total} alerts)")?;
    for rule in members(listed, "rules").filter(|rule| rule.get("error").is_some()) {
        writeln!(out, "NOT JUDGED  {}: {}", text(rule, "rule"), text(rule, "error"))?;
    }
    for notice in members(listed, "notices_given_up") {
        let (id, receiver) = (text(notice, "id"), text(notice, "receiver"));
        writeln!(out, "NOT SENT    {id} to {receiver}: {}", text(notice, "error"))?;
    }
    Ok(())
}
