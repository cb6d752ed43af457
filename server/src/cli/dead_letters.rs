//! `tideline dead-letters`: events that were not accepted, listed, replayed after a fix, dropped.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use tideline_engine::error::{Error, Result};

use super::client::{Answer, Target, TargetArgs};
use super::folder::Folder;
use super::load::grouped;
use super::sql::table::Table;
use crate::letters::{self, ReplayRequest, Select};

/// What `tideline dead-letters --help` begins with.
pub const ABOUT: &str = "Events that were not accepted are kept with the reason. This lists them, sends them again after a fix, or \
    drops them: on a running server, or in a data folder that no server is using.\n\n\
    A replay stores each event once, however often it is run or interrupted. What is refused again stays, with its \
    new reason. Where a setting was changed (ingest.max_event_bytes), a replay needs no fix. In SQL they are the table \
    dead_letters.";

/// Arguments of `tideline dead-letters`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline dead-letters list --code missing_field\n  \
        tideline dead-letters show 5f0c8a3e7d1b4c2a9e6f0d1c2b3a4f5e\n  \
        tideline dead-letters replay --dry-run                  what a replay would do now\n  \
        tideline dead-letters replay --code missing_field --set currency=EUR\n  \
        tideline dead-letters replay --mapping shop.mapping.toml --since 2026-01-31 --json\n  \
        tideline dead-letters drop --code invalid_json --data-dir tideline-data\n\n\
        Exit code: 0; 1 when it failed, or when a replay was refused every letter; 2 when it was called wrongly.")]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    what: What,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum What {
    /// List them, and count them by code
    #[command(after_help = "Examples:\n  \
        tideline dead-letters list\n  \
        tideline dead-letters list --status all --since 2026-01-31 --json\n  \
        tideline dead-letters list --limit 1000 --after 5f0c8a3e7d1b4c2a9e6f0d1c2b3a4f5e")]
    List(ListArgs),
    /// Show one, with the event as it was sent
    #[command(after_help = "Examples:\n  \
        tideline dead-letters show 5f0c8a3e7d1b4c2a9e6f0d1c2b3a4f5e --json")]
    Show(ShowArgs),
    /// Send them again, changed or as they were
    #[command(after_help = "Examples:\n  \
        tideline dead-letters replay                            all of them, after a setting was changed\n  \
        tideline dead-letters replay --code missing_field --set session_id=unknown --dry-run\n  \
        tideline dead-letters replay --set timestamp=null --set event_ts=2026-01-31T12:00:00Z ID\n  \
        tideline dead-letters replay --mapping shop.mapping.toml\n\n\
        A mapping file is the one of `tideline load`: its columns are the members of the event that was sent, and \
        what it does not name is not in the event that is stored.")]
    Replay(ReplayArgs),
    /// Decide that they are not wanted
    #[command(after_help = "Examples:\n  \
        tideline dead-letters drop --code invalid_json --until 2026-01-31\n  \
        tideline dead-letters drop --all")]
    Drop(DropArgs),
}

/// Which letters.
#[derive(Debug, Clone, Default, Args)]
struct FilterArgs {
    /// Only with this code
    #[arg(long)]
    code: Option<String>,
    /// Only what came through this source: http, load
    #[arg(long)]
    source: Option<String>,
    /// Only what came with the API key of this id; empty for none
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// Only with this field
    #[arg(long)]
    field: Option<String>,
    /// Only received at or after this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only received before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl FilterArgs {
    fn select(&self) -> Select {
        let Self { code, source, key_id, field, since, until } = self.clone();
        Select { code, source, key: key_id, field, since, until }
    }
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// open, replayed, dropped or all
    #[arg(long, default_value = "open")]
    status: String,
    /// Begin after the letter of this id
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// Most letters to list
    #[arg(long, value_name = "N", default_value_t = letters::PAGE as u16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    #[command(flatten)]
    target: TargetArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Which one
    id: String,
    #[command(flatten)]
    target: TargetArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// Only these
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Mapping file (TOML): makes each event anew from the one that was sent
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Field to set in each event; JSON as such, anything else as text, null takes the field out; may be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    fixes: Vec<String>,
    /// Say what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: TargetArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DropArgs {
    /// Only these
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Drop all of them
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    target: TargetArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub fn run(args: &DeadLettersArgs) -> Result<ExitCode> {
    match &args.what {
        What::List(args) => list(args),
        What::Show(args) => show(args),
        What::Replay(args) => replay(args),
        What::Drop(args) => drop_letters(args),
    }
}

fn read(answer: Answer) -> Result<Value> {
    let bytes = answer.success()?.bytes()?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::internal(format!("the answer is not JSON: {e}")).with_hint("is it Tideline?"))
}

/// Works in a folder and closes it in good order.
fn in_folder<T>(dir: &std::path::Path, work: impl FnOnce(&Folder) -> Result<T>) -> Result<T> {
    let folder = Folder::open_existing(dir)?;
    let done = work(&folder);
    let closed = folder.close();
    let done = done?;
    closed?;
    Ok(done)
}

/// Text as a part of a query string.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~,".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A path with those parameters that have a value.
fn path(select: &Select, others: &[(&str, Option<&str>)]) -> String {
    let of_filter = [
        ("code", select.code.as_deref()),
        ("source", select.source.as_deref()),
        ("key", select.key.as_deref()),
        ("field", select.field.as_deref()),
        ("since", select.since.as_deref()),
        ("until", select.until.as_deref()),
    ];
    let pairs = of_filter.iter().chain(others);
    let pairs = pairs.filter_map(|(name, value)| Some(format!("{name}={}", encoded((*value)?))));
    format!("/admin/dead-letters?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn list(args: &ListArgs) -> Result<ExitCode> {
    let select = args.filter.select();
    // Checked here as there, so that both say the same.
    let filter = select.filter(&[], letters::status(&args.status)?)?;
    let after = args.after.as_deref().map(letters::id).transpose()?;
    let page = match args.target.target()? {
        Target::Server(client) => {
            let limit = args.limit.to_string();
            let others = [
                ("status", Some(args.status.as_str())),
                ("after", args.after.as_deref()),
                ("limit", Some(limit.as_str())),
            ];
            read(client.get(&path(&select, &others))?)?
        }
        Target::Folder(dir) => in_folder(&dir, |folder| {
            letters::page(folder.engine().dead_letters(), &filter, after, usize::from(args.limit))
        })?,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{page}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::of_texts(&["id", "received_at", "status", "code", "field", "message"]);
    for letter in page["letters"].as_array().into_iter().flatten() {
        let text = |name: &String| letter[name.as_str()].as_str().unwrap_or_default().to_owned();
        let row = table.header.iter().map(text).collect();
        table.rows.push(row);
    }
    if !table.rows.is_empty() {
        table.write(&mut out, false)?;
    }
    if let Some(total) = page["total"].as_u64() {
        let counts = page["counts"].as_object().into_iter().flatten();
        let counts: Vec<String> = counts.map(|(code, n)| format!("{code} {n}")).collect();
        let of_codes = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
        writeln!(out, "{} dead letters{of_codes}", grouped(total))?;
    }
    if let Some(next) = page["next"].as_str() {
        writeln!(out, "more with --after {next}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs) -> Result<ExitCode> {
    let id = letters::id(&args.id)?;
    let letter = match args.target.target()? {
        Target::Server(client) => read(client.get(&format!("/admin/dead-letters/{id}"))?)?,
        Target::Folder(dir) => in_folder(&dir, |f| Ok(letters::letter(&f.engine().dead_letters().get(id)?)))?,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{letter}")?;
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in letter.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(text) => writeln!(out, "{name:<16}{text}")?,
            other => writeln!(out, "{name:<16}{other}")?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn fixes(pairs: &[String]) -> Result<Map<String, Value>> {
    let mut fixes = Map::new();
    for pair in pairs {
        let (field, value) = pair.split_once('=').filter(|(field, _)| !field.trim().is_empty()).ok_or_else(|| {
            Error::invalid("invalid_config", format!("--set {pair} is not FIELD=VALUE"))
                .with_hint("write it like --set currency=EUR")
        })?;
        let parsed = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        fixes.insert(field.trim().to_owned(), parsed);
    }
    Ok(fixes)
}

fn replay(args: &ReplayArgs) -> Result<ExitCode> {
    let mapping = args.mapping.as_deref().map(|path| {
        let unreadable = |e| format!("cannot read the mapping file {}: {e}", path.display());
        std::fs::read_to_string(path).map_err(|e| Error::invalid("file_not_readable", unreadable(e)))
    });
    let request = ReplayRequest {
        ids: args.ids.clone(),
        filter: args.filter.select(),
        mapping: mapping.transpose()?,
        mapping_name: args.mapping.as_deref().map(|path| path.display().to_string()),
        fixes: fixes(&args.fixes)?,
        dry_run: args.dry_run,
    };
    // Checked here too, so that a mistake costs no request.
    let replay = request.replay()?;
    let report = match args.target.target()? {
        Target::Server(client) => {
            let body = serde_json::to_value(&request).map_err(|e| Error::internal(e.to_string()))?;
            read(client.post_json("/admin/dead-letters/replay", &body)?)?
        }
        Target::Folder(dir) => in_folder(&dir, |folder| {
            let report = folder.wait(folder.engine().replay(replay))?;
            serde_json::to_value(&report).map_err(|e| Error::internal(e.to_string()))
        })?,
    };
    let number = |name: &str| report[name].as_u64().unwrap_or_default();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{report}")?;
    } else {
        let done = if args.dry_run { "would be replayed" } else { "replayed" };
        let (selected, replayed, duplicates) = (number("selected"), number("replayed"), number("duplicates"));
        writeln!(out, "{} of {} dead letters {done}", grouped(replayed), grouped(selected))?;
        if duplicates > 0 {
            writeln!(out, "{} of their events were there already", grouped(duplicates))?;
        }
        if number("skipped") > 0 {
            writeln!(out, "{} left out by the mapping", grouped(number("skipped")))?;
        }
        let errors = report["errors"].as_array().map_or(&[][..], Vec::as_slice);
        for error in errors {
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            writeln!(out, "refused again: {} {} ({})", text("id"), text("message"), text("code"))?;
        }
        let more = number("errors_total").saturating_sub(errors.len() as u64);
        if more > 0 {
            writeln!(out, "… and {} more; all stay, with their reasons", grouped(more))?;
        }
    }
    let hopeless = number("rejected") > 0 && number("replayed") == 0;
    Ok(if hopeless { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn drop_letters(args: &DropArgs) -> Result<ExitCode> {
    let select = args.filter.select();
    if select.is_empty() && args.ids.is_empty() && !args.all {
        return Err(Error::invalid("missing_filter", "say which dead letters to drop")
            .with_hint("name their ids, give a filter like --code missing_field, or --all"));
    }
    let filter = select.filter(&args.ids, None)?;
    let report = match args.target.target()? {
        Target::Server(client) => {
            let ids = args.ids.join(",");
            let ids = (!ids.is_empty()).then_some(ids.as_str());
            read(client.delete(&path(&select, &[("id", ids), ("all", args.all.then_some("true"))]))?)?
        }
        Target::Folder(dir) => {
            in_folder(&dir, |folder| Ok(json!({ "dropped": folder.wait(folder.engine().drop_letters(filter))? })))?
        }
    };
    let dropped = report["dropped"].as_u64().unwrap_or_default();
    let text = if args.json { report.to_string() } else { format!("dropped {} dead letters", grouped(dropped)) };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}
