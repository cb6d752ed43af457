//! `tideline metrics`: lists the fixed metrics, describes one, or asks for one, of a server or a data folder.

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use arrow::ipc::reader::StreamReader;
use clap::Args;
use serde_json::{Value, json};
use tideline_engine::error::{Error, Result};
use tideline_engine::query::encode::Format;

use super::client::{Client, Target, TargetArgs};
use super::folder::Folder;
use super::print_error;
use super::sql::Output;
use super::sql::table::Table;

/// What `tideline metrics --help` begins with.
pub const ABOUT: &str = "Lists the fixed metrics of a running server, or of a data folder that no server is using.\n\n\
    With NAME: asks for that metric. Parameters that are not given have their defaults; --describe shows them, and the \
    SQL behind the figures.";

/// Arguments of `tideline metrics`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline metrics                               the list\n  \
        tideline metrics sales/daily --describe        parameters, columns, SQL\n  \
        tideline metrics sales/daily\n  \
        tideline metrics sales/daily --param start=-6d --param compare=previous\n  \
        tideline metrics sales/top-products --param limit=100 --format csv > products.csv\n  \
        tideline metrics users/active --data-dir tideline-data --param at=2026-03-01T12:00:00Z\n\n\
        Exit code: 0, or 1 when the metric failed.")]
pub struct MetricsArgs {
    /// A metric, like sales/daily
    name: Option<String>,
    #[command(flatten)]
    target: TargetArgs,
    /// Value of a parameter; compare=previous adds the range before
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE", requires = "name")]
    params: Vec<String>,
    /// Show what is known about the metric instead of asking for it
    #[arg(long, requires = "name")]
    describe: bool,
    /// How rows are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Output,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print one value a line
    #[arg(long, short = 'x')]
    expanded: bool,
}

/// Where metrics are asked for.
enum Source {
    Server(Client),
    Folder(Box<Folder>),
}

/// Runs the command.
pub fn run(args: &MetricsArgs) -> Result<ExitCode> {
    let output = if args.json { Output::Json } else { args.format };
    if matches!(output, Output::Parquet | Output::Arrow) && io::stdout().is_terminal() {
        let error = Error::invalid("invalid_config", "this format is not for a terminal");
        return Err(error.with_hint("send it to a file: tideline metrics … > FILE"));
    }
    let source = match args.target.target()? {
        Target::Server(client) => Source::Server(client),
        Target::Folder(dir) => Source::Folder(Box::new(Folder::open_existing(&dir)?)),
    };
    let done = source.run(args, output);
    if let Source::Folder(folder) = source {
        folder.close()?;
    }
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // A mistake in a parameter is the user's; the name that was meant helps more than a hint.
        Err(error) => {
            print_error(&error);
            if let Some(name) = &error.did_you_mean {
                writeln!(io::stderr(), "did you mean: {name}")?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

impl Source {
    fn run(&self, args: &MetricsArgs, output: Output) -> Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        match &args.name {
            None if output == Output::Table => list(&self.listing()?, &mut out)?,
            None => writeln!(out, "{:#}", self.listing()?)?,
            Some(name) if args.describe => describe(&find(&self.listing()?, name)?, output, &mut out)?,
            Some(name) => self.ask(name, args, output, &mut out)?,
        }
        Ok(out.flush()?)
    }

    /// What `GET /analytics` says.
    fn listing(&self) -> Result<Value> {
        match self {
            Self::Server(client) => {
                let bytes = client.get("/analytics")?.success()?.bytes()?;
                serde_json::from_slice(&bytes).map_err(|e| Error::internal(format!("the answer is not JSON: {e}")))
            }
            Self::Folder(folder) => {
                let catalogue = folder.wait(folder.engine().metrics().catalogue());
                let metrics: Vec<_> = catalogue.metrics.values().map(|m| m.describe()).collect();
                Ok(json!({ "metrics": metrics, "problems": catalogue.problems }))
            }
        }
    }

    fn ask(&self, name: &str, args: &MetricsArgs, output: Output, out: &mut dyn Write) -> Result<()> {
        let params = args.params.iter().map(|text| pair(text)).collect::<Result<Vec<_>>>()?;
        let format = match output {
            Output::Table => Format::Arrow,
            Output::Json => Format::Json,
            Output::Ndjson => Format::Ndjson,
            Output::Csv => Format::Csv,
            Output::Parquet => Format::Parquet,
            Output::Arrow => Format::Arrow,
        };
        let bytes = self.answer(name, &params, format)?;
        if output != Output::Table {
            out.write_all(&bytes)?;
            if output == Output::Json {
                writeln!(out)?;
            }
            return Ok(());
        }
        let reader = StreamReader::try_new(bytes.as_slice(), None)?;
        let mut table = Table::of_schema(&reader.schema());
        for batch in reader {
            table.push(&batch?)?;
        }
        table.write(out, args.expanded)?;
        let count = table.rows.len();
        Ok(writeln!(out, "({count} {})", if count == 1 { "row" } else { "rows" })?)
    }

    fn answer(&self, name: &str, params: &[(String, String)], format: Format) -> Result<Vec<u8>> {
        match self {
            Self::Server(client) => {
                let pairs: Vec<String> = params.iter().map(|(n, v)| format!("{}={}", escaped(n), escaped(v))).collect();
                let path: Vec<String> = name.split('/').map(escaped).collect();
                client
                    .get(&format!("/analytics/{}.{}?{}", path.join("/"), format.name(), pairs.join("&")))?
                    .success()?
                    .bytes()
            }
            Self::Folder(folder) => folder.wait(async {
                let metrics = folder.engine().metrics();
                let asked = metrics.ask(name, params).await?;
                let answer = metrics.answer(&asked).await?;
                Ok(answer.encode(&asked.metric, format)?.to_vec())
            }),
        }
    }
}

fn pair(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        Error::invalid("invalid_config", format!("--param {text} has no value"))
            .with_hint("write it like --param start=-7d")
    })?;
    Ok((name.trim().trim_start_matches('$').to_owned(), value.to_owned()))
}

/// As it stands in a URL.
fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn members<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn list(listing: &Value, out: &mut dyn Write) -> Result<()> {
    let mut table = Table::of_texts(&["metric", "summary", "parameters"]);
    for metric in members(listing, "metrics") {
        let params: Vec<&str> = members(metric, "params").map(|p| text(p, "name")).collect();
        table.rows.push(vec![text(metric, "name").to_owned(), text(metric, "summary").to_owned(), params.join(" ")]);
    }
    table.write(out, false)?;
    for problem in members(listing, "problems") {
        let place = |name| problem.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (file, message) = (text(problem, "file"), text(problem, "message"));
        writeln!(out, "PROBLEM {file}:{}:{}: {message}", place("line"), place("column"))?;
    }
    Ok(())
}

fn find(listing: &Value, name: &str) -> Result<Value> {
    let found = members(listing, "metrics").find(|m| text(m, "name") == name).cloned();
    found.ok_or_else(|| {
        Error::invalid("unknown_metric", format!("there is no metric `{name}`"))
            .with_hint("`tideline metrics` lists them")
    })
}

fn describe(metric: &Value, output: Output, out: &mut dyn Write) -> Result<()> {
    if output != Output::Table {
        return Ok(writeln!(out, "{metric:#}")?);
    }
    writeln!(out, "{}  (GET {})\n", text(metric, "summary"), text(metric, "path"))?;
    let description = text(metric, "description");
    if !description.is_empty() {
        writeln!(out, "{description}\n")?;
    }
    let mut params = Table::of_texts(&["parameter", "type", "default", "from", "to", "meaning"]);
    for param in members(metric, "params") {
        let required = param.get("required").and_then(Value::as_bool) == Some(true);
        let default = if required { "(required)" } else { text(param, "default") };
        let cells = [text(param, "name"), text(param, "type"), default, text(param, "min"), text(param, "max")];
        params.rows.push(cells.into_iter().chain([text(param, "doc")]).map(str::to_owned).collect());
    }
    if !params.rows.is_empty() {
        params.write(out, false)?;
        writeln!(out)?;
    }
    let mut columns = Table::of_texts(&["column", "type", "unit"]);
    for column in members(metric, "columns") {
        columns.rows.push(["name", "type", "unit"].map(|name| text(column, name).to_owned()).to_vec());
    }
    columns.write(out, false)?;
    Ok(writeln!(out, "\n{}", text(metric, "sql"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_a_url() {
        assert_eq!(escaped("2026-03-01T00:00:00+01:00 &é"), "2026-03-01T00%3A00%3A00%2B01%3A00%20%26%C3%A9");
        assert_eq!(pair("start=-7d=x").unwrap(), ("start".to_owned(), "-7d=x".to_owned()));
        assert!(pair("start").is_err());
    }
}
