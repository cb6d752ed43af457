//! `tideline keys`: makes, lists and revokes keys, through a running server or in a data folder without one.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use tideline_engine::clock::SystemClock;
use tideline_engine::engine::{FolderLock, lock_folder};
use tideline_engine::error::{Error, Result};
use tideline_engine::fs::{Fs, RealFs};

use super::client::{Answer, Client, Target, TargetArgs};
use crate::auth::keys::{KeyLimits, KeyStore, KeyView, NewKey, State};
use crate::auth::scope::Scope;
use crate::config::Period;

/// What `tideline keys --help` begins with.
pub const ABOUT: &str = "Makes, lists and revokes keys. Without any, a server serves only programs on its own machine; from \
    the first one on, every request needs a key, and the server may listen on a public address.\n\n\
    A key is shown once, when it is made; the data folder holds its digest only. Scopes: `ingest` sends events, `read` \
    asks for them, `admin` may do everything. Changes are in effect at once.";

/// Arguments of `tideline keys`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline keys create --name admin --scopes admin --data-dir tideline-data   the first, before the server starts\n  \
        export TIDELINE_KEY=tl_…                                                    for the commands that follow\n  \
        tideline keys create --name 'web shop' --scopes ingest --expires 365d\n  \
        tideline keys create --name notebook --scopes read --max-requests 600 --json\n  \
        tideline keys list\n  \
        tideline keys revoke k_0123456789ab")]
pub struct KeysArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key and print it, this once
    Create(CreateArgs),
    /// List the keys, without the keys themselves
    List(ListArgs),
    /// Revoke a key: from now on it is refused
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What people call it: who uses it
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may do: ingest, read, admin; several with commas
    #[arg(long, value_name = "SCOPES", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// How long it is good, like 90d [default: for ever]
    #[arg(long, value_name = "TIME")]
    expires: Option<Period>,
    /// Its own limit of requests in a window, instead of rate_limit.requests; 0 is none
    #[arg(long, value_name = "N")]
    max_requests: Option<u32>,
    /// Its own limit of events in a window, instead of rate_limit.events; 0 is none
    #[arg(long, value_name = "N")]
    max_events: Option<u32>,
    #[command(flatten)]
    target: TargetArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// The key's id, as `tideline keys list` shows it
    id: String,
    #[command(flatten)]
    target: TargetArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Where keys are changed.
enum Place {
    Server(Client),
    /// The lock is held while it lives.
    Folder(KeyStore, #[expect(dead_code, reason = "held, not read")] FolderLock),
}

impl Place {
    fn open(target: Target, may_create: bool) -> Result<Self> {
        let dir = match target {
            Target::Server(client) => return Ok(Self::Server(client)),
            Target::Folder(dir) => std::path::absolute(dir)?,
        };
        if !may_create {
            require(&dir)?;
        }
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let lock = lock_folder(&fs, &dir).map_err(|error| match error.code {
            "data_dir_locked" => error.with_hint("a server is using this folder: talk to it with --url"),
            _ => error,
        })?;
        Ok(Self::Folder(KeyStore::open(fs, &dir, Arc::new(SystemClock::new()))?, lock))
    }
}

/// A folder need not have been served yet: keys may be the first thing in it.
fn require(dir: &Path) -> Result<()> {
    if dir.is_dir() { Ok(()) } else { super::folder::require(dir) }
}

/// Does it.
pub fn run(args: &KeysArgs) -> Result<ExitCode> {
    let text = match &args.what {
        What::Create(args) => create(args)?,
        What::List(args) => list(args)?,
        What::Revoke(args) => revoke(args)?,
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn create(args: &CreateArgs) -> Result<String> {
    let new = NewKey {
        name: args.name.clone(),
        scopes: args.scopes.iter().copied().collect(),
        expires_in: args.expires,
        limits: KeyLimits { requests: args.max_requests, events: args.max_events },
    };
    let made = match Place::open(args.target.target()?, true)? {
        Place::Server(client) => {
            let body = serde_json::to_value(&new).map_err(|e| Error::internal(e.to_string()))?;
            read::<KeyView>(client.post_json("/admin/keys", &body)?)?
        }
        Place::Folder(keys, _) => keys.create(new)?,
    };
    if args.json {
        return value(&made);
    }
    let until = made.expires_at.map_or_else(String::new, |end| format!(", good until {end}"));
    Ok(format!(
        "{}\n\nThis is key {} ({}), with {}{until}. It is shown this once; keep it where secrets are kept.",
        made.key.as_deref().unwrap_or("?"),
        made.id,
        made.name,
        made.scopes,
    ))
}

fn list(args: &ListArgs) -> Result<String> {
    #[derive(Deserialize)]
    struct List {
        keys: Vec<KeyView>,
    }
    let keys = match Place::open(args.target.target()?, false)? {
        Place::Server(client) => read::<List>(client.get("/admin/keys")?)?.keys,
        Place::Folder(keys, _) => keys.list(),
    };
    if args.json {
        return Ok(json!({ "keys": keys }).to_string());
    }
    if keys.is_empty() {
        return Ok("no keys: only programs on the server's own machine may talk to it".to_owned());
    }
    let rows = keys.iter().map(|key| {
        let state = match key.state {
            State::Active => "active",
            State::Revoked => "revoked",
            State::Expired => "expired",
        };
        let until = key.expires_at.map_or_else(|| "-".to_owned(), |end| end.to_string());
        [key.id.clone(), state.to_owned(), key.scopes.to_string(), key.created_at.to_string(), until, key.name.clone()]
    });
    let head = ["id", "state", "scopes", "created", "expires", "name"].map(str::to_owned);
    Ok(aligned(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
}

fn aligned(rows: &[[String; 6]]) -> String {
    let widths: [usize; 6] = std::array::from_fn(|at| rows.iter().map(|row| row[at].len()).max().unwrap_or(0));
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn revoke(args: &RevokeArgs) -> Result<String> {
    let revoked = match Place::open(args.target.target()?, false)? {
        Place::Server(client) => {
            // It becomes a part of a path: what is no id is none there either.
            if !args.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(Error::invalid("invalid_key", format!("`{}` is not the id of a key", args.id))
                    .with_hint("`tideline keys list` shows the ids"));
            }
            read::<KeyView>(client.delete(&format!("/admin/keys/{}", args.id))?)?
        }
        Place::Folder(keys, _) => keys.revoke(&args.id)?,
    };
    if args.json { value(&revoked) } else { Ok(format!("revoked key {} ({})", revoked.id, revoked.name)) }
}

fn value(view: &KeyView) -> Result<String> {
    serde_json::to_value(view).map(|v: Value| v.to_string()).map_err(|e| Error::internal(e.to_string()))
}

fn read<T: serde::de::DeserializeOwned>(answer: Answer) -> Result<T> {
    let bytes = answer.success()?.bytes()?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::internal(format!("the answer is not what was asked for: {e}")).with_hint("is it Tideline?"))
}
