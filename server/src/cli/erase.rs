//! `tideline erase`: removes a person from everything a data folder holds, and prints what was found where.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use tideline_engine::erase::Person;
use tideline_engine::error::{Error, Result};

use super::client::{Target, TargetArgs};
use super::folder::Folder;
use super::load::grouped;

/// What `tideline erase --help` begins with.
pub const ABOUT: &str = "Removes a person from everything a data folder holds: the write-ahead log, the lake's files and the \
    history of its Delta log, live windows (in memory and Redis), dead letters, and everything kept to answer sooner. Then \
    every file of the folder is searched for the ids, decompressed, and the report says what was found where, what is left, \
    and what no server can reach.\n\n\
    Their rows stay, as facts about the shop that are nobody's any more: ids, session, address, device, place and \
    `properties` are emptied, so that every sum stays right and the books agree. With --rows the rows go as a whole. What others \
    say of them (an id in a URL or a note) goes in both cases. Events of theirs from before are refused from then on, \
    also when a client sends them again; those from after are taken.\n\n\
    It may be interrupted at any time: the server goes on with it at the next start, and so does the same command. Versions of \
    the table from before can no longer be read by anybody.";

/// Arguments of `tideline erase`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline erase --user-id u_204983\n  \
        tideline erase --user-id u_204983 --anonymous-id 5c1f7a --anonymous-id 90be11\n  \
        tideline erase --user-id u_204983 --rows --json > report.json\n  \
        tideline erase --anonymous-id 5c1f7a --data-dir tideline-data\n\n\
        Other users of this machine see command lines; `--user-id -` reads the id from standard input.\n\
        Exit code: 0 when nothing of the person is left; 1 when something is, or the erasure is not finished.")]
pub struct EraseArgs {
    /// The shop's id of the person; `-` reads it from standard input
    #[arg(long, value_name = "ID", required_unless_present = "anonymous_ids")]
    user_id: Option<String>,
    /// An id they had as an unknown visitor; may be repeated
    #[arg(long = "anonymous-id", value_name = "ID")]
    anonymous_ids: Vec<String>,
    /// Remove their rows as a whole: figures of the past change
    #[arg(long)]
    rows: bool,
    #[command(flatten)]
    target: TargetArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Erases.
pub fn run(args: &EraseArgs) -> Result<ExitCode> {
    let mut user_id = args.user_id.clone();
    if user_id.as_deref() == Some("-") {
        user_id = Some(std::io::read_to_string(std::io::stdin())?.trim().to_owned());
    }
    let person = Person { user_id, anonymous_ids: args.anonymous_ids.clone() };
    person.check()?;
    let report = match args.target.target()? {
        Target::Server(client) => {
            let body = json!({ "user_id": person.user_id, "anonymous_ids": person.anonymous_ids, "rows": args.rows });
            let answer = client.post_json("/admin/erase", &body)?.success()?;
            serde_json::from_slice(&answer.bytes()?)
                .map_err(|e| Error::internal(format!("the answer is not a report: {e}")).with_hint("is it Tideline?"))?
        }
        Target::Folder(dir) => {
            let folder = Folder::open_existing(&dir)?;
            let erased = folder.wait(folder.engine().erase(person, args.rows));
            let closed = folder.close();
            let erased = erased?;
            closed?;
            serde_json::to_value(&erased).map_err(|e| Error::internal(e.to_string()))?
        }
    };
    let text = if args.json { report.to_string() } else { table(&report) };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(if report["complete"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The report for people.
fn table(report: &Value) -> String {
    let n = |pointer: &str| grouped(report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0));
    let mut lines = vec![
        format!("log           {} segments moved to the lake and deleted", n("/log_segments_deleted")),
        format!(
            "lake          {} files read, {} written anew: {} rows emptied, {} removed, {} that named the person",
            n("/lake/files_searched"),
            n("/lake/files_rewritten"),
            n("/lake/rows_emptied"),
            n("/lake/rows_removed"),
            n("/lake/rows_mentioning"),
        ),
        format!(
            "old versions  {} files and {} entries of the Delta log deleted",
            n("/purged/files_deleted"),
            n("/purged/log_entries_deleted")
        ),
        format!("live windows  {} rows counted again", n("/window_rows")),
        format!("dead letters  {} removed", n("/dead_letters")),
    ];
    if let Some(redis) = report["redis"].as_str() {
        lines.push(format!("Redis         {redis}"));
    }
    lines.push(format!("search        {} files, {} bytes", n("/files_searched"), n("/bytes_searched")));
    for found in report["found"].as_array().into_iter().flatten() {
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        lines.push(format!("STILL THERE   {}: {}", text("file"), text("what")));
    }
    if report["complete"] == true {
        lines.push("              nothing is left".to_owned());
    }
    for (at, id) in report["linked_anonymous_ids"].as_array().into_iter().flatten().enumerate() {
        let label = if at == 0 { "same person?  " } else { "              " };
        let id = id.as_str().unwrap_or_default();
        lines.push(format!("{label}their rows also had --anonymous-id {id}: erase it too if it is nobody else's"));
    }
    for (at, place) in report["beyond_reach"].as_array().into_iter().flatten().enumerate() {
        let label = if at == 0 { "out of reach  " } else { "              " };
        lines.push(format!("{label}{}", place.as_str().unwrap_or_default()));
    }
    lines.join("\n")
}
