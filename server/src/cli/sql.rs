//! `tideline sql`: one query, a script, or a conversation, against a server or a data folder.

mod script;
pub mod table;

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::Value;
use tideline_engine::error::{Error, Result};
use tideline_engine::event::COLUMNS;
use tideline_engine::query::encode::Format;
use tideline_engine::query::{DEAD_LETTER_COLUMNS, DEAD_LETTERS, TABLE};

use super::client::TargetArgs;
use super::print_error;
use super::session::{Ask, Session};
use table::Table;

/// Rows of a table unless told otherwise.
const TABLE_ROWS: usize = 1_000;

const HELP: &str = "\
Statements end with a semicolon and may span lines.
  \\d              list the tables
  \\d NAME         list a table's columns
  \\x              turn one value a line on or off
  \\format NAME    table, json, ndjson or csv
  \\q              quit";

/// What `tideline sql --help` begins with.
pub const ABOUT: &str = "Asks SQL of a running server, or of a data folder that no server is using.\n\n\
    With QUERY: runs it (or several, separated by semicolons). Without: reads statements from a terminal, with \
    \\? for help, or from a pipe. SQL is read-only; the table is called events, and `\\d events` lists its columns. \
    Events that were not accepted are in the table dead_letters.";

/// Arguments of `tideline sql`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        tideline sql \"select event_type, count(*) from events group by 1 order by 2 desc\"\n  \
        tideline sql --param country=DE 'select count(*) from events where country = $country'\n  \
        tideline sql --format csv \"select * from events limit 100000\" > events.csv\n  \
        tideline sql --data-dir tideline-data < report.sql\n  \
        tideline sql '\\d events'                       columns, types and what they mean\n  \
        tideline sql                                   a conversation\n\n\
        Exit code: 0, or 1 when a statement failed.")]
pub struct SqlArgs {
    /// SQL, or a backslash command
    query: Option<String>,
    #[command(flatten)]
    target: TargetArgs,
    /// How rows are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Output,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Value of $NAME: a number, true, false or null as such, anything else as text; '"42"' is the text 42
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Most rows [default: 1000 as a table, else all]; 0 is all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Seconds a query may take [default: the server's setting]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Print one value a line
    #[arg(long, short = 'x')]
    expanded: bool,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned columns for people
    Table,
    /// An array of objects
    Json,
    /// One object a line
    Ndjson,
    /// With a header line
    Csv,
    /// A Parquet file
    Parquet,
    /// An Arrow IPC stream
    Arrow,
}

impl Output {
    fn format(self) -> Option<Format> {
        match self {
            Self::Table => None,
            Self::Json | Self::Ndjson => Some(Format::Ndjson),
            Self::Csv => Some(Format::Csv),
            Self::Parquet => Some(Format::Parquet),
            Self::Arrow => Some(Format::Arrow),
        }
    }
}

/// Runs the query, the script or the conversation.
pub fn run(args: &SqlArgs) -> Result<ExitCode> {
    let output = if args.json { Output::Json } else { args.format };
    if matches!(output, Output::Parquet | Output::Arrow) && io::stdout().is_terminal() {
        let error = Error::invalid("invalid_config", "this format is not for a terminal");
        return Err(error.with_hint("send it to a file: tideline sql … > FILE"));
    }
    let params = args.params.iter().map(|p| parse_param(p)).collect::<Result<BTreeMap<_, _>>>()?;
    let session = Session::open(args.target.target()?)?;
    let mut shell = Shell {
        session,
        params,
        output,
        limit: args.limit,
        timeout: args.timeout.map(Duration::from_secs),
        expanded: args.expanded,
        failed: false,
    };
    match &args.query {
        Some(query) => shell.script(query)?,
        None if io::stdin().is_terminal() => shell.converse()?,
        None => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            shell.script(&text)?;
        }
    }
    let failed = shell.failed;
    shell.session.close()?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn parse_param(text: &str) -> Result<(String, Value)> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        Error::invalid("invalid_config", format!("--param {text} has no value"))
            .with_hint("write it like --param country=DE")
    })?;
    let name = name.trim().trim_start_matches('$').to_owned();
    let parsed = serde_json::from_str(value).ok().filter(|v: &Value| !v.is_array() && !v.is_object());
    Ok((name, parsed.unwrap_or_else(|| Value::String(value.to_owned()))))
}

struct Shell {
    session: Session,
    params: BTreeMap<String, Value>,
    output: Output,
    limit: Option<usize>,
    timeout: Option<Duration>,
    expanded: bool,
    failed: bool,
}

impl Shell {
    /// Runs what a text holds, the last statement with or without its semicolon; stops at the first that fails.
    fn script(&mut self, text: &str) -> Result<()> {
        let mut pending = String::new();
        for line in text.lines() {
            if self.line(line, &mut pending)? || self.failed {
                return Ok(());
            }
        }
        if !script::is_blank(&pending) {
            let outcome = self.statement(pending.trim());
            self.settle(pending.trim(), outcome);
        }
        Ok(())
    }

    fn converse(&mut self) -> Result<()> {
        let mut out = io::stdout();
        writeln!(out, "\\? for help, \\q to quit")?;
        let mut pending = String::new();
        let mut lines = io::stdin().lock().lines();
        loop {
            write!(out, "{}", if pending.is_empty() { "tideline> " } else { "       -> " })?;
            out.flush()?;
            let Some(line) = lines.next() else { break };
            if self.line(&line?, &mut pending)? {
                return Ok(());
            }
            // Here mistakes are answered, and forgotten.
            self.failed = false;
        }
        writeln!(out)?;
        Ok(())
    }

    /// Takes one more line: runs a backslash command, or the statements that are complete now, up to the first that
    /// fails. `true` when it is the wish to quit.
    fn line(&mut self, line: &str, pending: &mut String) -> Result<bool> {
        if pending.is_empty() && line.trim_start().starts_with('\\') {
            return match self.command(line.trim()) {
                Ok(quit) => Ok(quit),
                Err(error) => {
                    self.settle(line, Err(error));
                    Ok(false)
                }
            };
        }
        pending.push_str(line);
        pending.push('\n');
        let script::Script { statements, rest } = script::split(pending);
        *pending = if script::is_blank(&rest) { String::new() } else { rest };
        for statement in statements {
            let outcome = self.statement(&statement);
            self.settle(&statement, outcome);
            if self.failed {
                pending.clear();
                break;
            }
        }
        Ok(false)
    }

    fn settle(&mut self, text: &str, outcome: Result<()>) {
        if let Err(error) = outcome {
            show_error(text, &error);
            self.failed = true;
        }
    }

    /// A backslash command; `true` ends the conversation.
    fn command(&mut self, line: &str) -> Result<bool> {
        let mut words = line.split_whitespace();
        let (command, argument) = (words.next().unwrap_or_default(), words.next());
        match (command, argument) {
            ("\\q" | "\\quit", _) => return Ok(true),
            ("\\?" | "\\h" | "\\help", _) => writeln!(io::stdout(), "{HELP}")?,
            ("\\d" | "\\dt", None) => self.tables()?,
            ("\\d" | "\\dt", Some(name)) => self.columns(name.trim_end_matches(';'))?,
            ("\\x", _) => self.expanded = !self.expanded,
            ("\\format", Some(name)) => {
                let output = Output::from_str(name, true).ok();
                let output = output.filter(|o| !matches!(o, Output::Parquet | Output::Arrow));
                self.output = output.ok_or_else(|| {
                    Error::invalid("unknown_format", format!("`{name}` is not table, json, ndjson or csv"))
                })?;
            }
            _ => {
                let error = Error::invalid("unknown_command", format!("`{command}` is not a command"));
                return Err(error.with_hint("\\? lists them"));
            }
        }
        Ok(false)
    }

    fn tables(&self) -> Result<()> {
        self.print(&Ask::new(
            "select table_name as \"table\", table_type as kind from information_schema.tables \
             where table_schema <> 'information_schema' order by 1",
        ))
    }

    fn columns(&self, name: &str) -> Result<()> {
        let schema = self.session.rows(&Ask::new(format!("select * from {} limit 0", quoted(name))))?.schema;
        let mut table = Table::of_texts(&["column", "type", "null", "meaning"]);
        for field in schema.fields() {
            let doc = meaning(name, field.name());
            let null = if field.is_nullable() { "yes" } else { "no" };
            let kind = field.data_type().to_string();
            let kind = if kind.chars().count() > 40 { kind.chars().take_while(|c| *c != '(').collect() } else { kind };
            table.rows.push(vec![field.name().clone(), kind, null.to_owned(), doc.to_owned()]);
        }
        if self.output == Output::Table {
            return Ok(table.write(&mut io::stdout().lock(), false)?);
        }
        for row in &table.rows {
            let object: serde_json::Map<String, Value> =
                table.header.iter().cloned().zip(row.iter().map(|cell| Value::String(cell.clone()))).collect();
            writeln!(io::stdout(), "{}", Value::Object(object))?;
        }
        Ok(())
    }

    fn statement(&self, sql: &str) -> Result<()> {
        self.print(&Ask {
            sql: sql.to_owned(),
            params: self.params.clone(),
            limit: self.limit.filter(|&n| n > 0),
            timeout: self.timeout,
        })
    }

    fn print(&self, ask: &Ask) -> Result<()> {
        let Some(format) = self.output.format() else { return self.print_table(ask) };
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.output == Output::Json {
            let mut array = JsonArray { out: &mut out, state: ArrayState::Empty };
            self.session.write(ask, format, &mut array)?;
            array.end()?;
        } else {
            self.session.write(ask, format, &mut out)?;
        }
        Ok(out.flush()?)
    }

    fn print_table(&self, ask: &Ask) -> Result<()> {
        let started = Instant::now();
        // Without a limit a table has one; one row more tells whether something is left out.
        let cap = match self.limit {
            None => Some(TABLE_ROWS),
            Some(_) => None,
        };
        let ask = Ask { limit: cap.map(|rows| rows + 1).or(ask.limit), ..ask.clone() };
        let rows = self.session.rows(&ask)?;
        let mut table = Table::of_schema(&rows.schema);
        for batch in rows.batches {
            table.push(&batch?)?;
        }
        let cut = cap.is_some_and(|cap| table.rows.len() > cap);
        table.rows.truncate(cap.unwrap_or(usize::MAX));
        let mut out = io::BufWriter::new(io::stdout().lock());
        table.write(&mut out, self.expanded)?;
        let count = table.rows.len();
        let unit = if count == 1 { "row" } else { "rows" };
        if cut {
            writeln!(out, "(the first {count} {unit}; --limit N shows more, --limit 0 all)")?;
        } else {
            writeln!(out, "({count} {unit}, {:.0} ms)", started.elapsed().as_secs_f64() * 1e3)?;
        }
        Ok(out.flush()?)
    }
}

/// What a column means, where it is known.
fn meaning(table: &str, column: &str) -> &'static str {
    match table {
        TABLE => COLUMNS.iter().find(|c| c.name == column).map_or("", |c| c.doc),
        DEAD_LETTERS => DEAD_LETTER_COLUMNS.iter().find(|(name, _)| *name == column).map_or("", |(_, doc)| doc),
        _ => "",
    }
}

fn quoted(name: &str) -> String {
    let parts: Vec<String> = name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    parts.join(".")
}

/// Prints an error, and where in the statement it is.
fn show_error(sql: &str, error: &Error) {
    let mut err = io::stderr();
    if let Some(position) = error.position {
        let line = usize::try_from(position.line).unwrap_or(0).checked_sub(1).and_then(|n| sql.lines().nth(n));
        let column = usize::try_from(position.column).unwrap_or(1);
        if let Some(line) = line {
            let _ = writeln!(err, "  {line}\n  {}^", caret_indent(line, column));
        }
    }
    print_error(error);
    if let Some(name) = &error.did_you_mean {
        let _ = writeln!(err, "did you mean: {name}");
    }
}

/// What stands before a column (from 1) of a line, as white space of the same width.
fn caret_indent(line: &str, column: usize) -> String {
    line.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { '\t' } else { ' ' }).collect()
}

/// Makes an array of the lines written to it.
struct JsonArray<W> {
    out: W,
    state: ArrayState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ArrayState {
    Empty,
    LineStart,
    InLine,
}

impl<W: Write> JsonArray<W> {
    fn end(mut self) -> io::Result<()> {
        self.out.write_all(if self.state == ArrayState::Empty { b"[]\n" } else { b"\n]\n" })
    }
}

impl<W: Write> Write for JsonArray<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let (line, ended) = match piece.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (piece, false),
            };
            if !line.is_empty() {
                let before: &[u8] = match self.state {
                    ArrayState::Empty => b"[\n",
                    ArrayState::LineStart => b",\n",
                    ArrayState::InLine => b"",
                };
                self.out.write_all(before)?;
                self.out.write_all(line)?;
                self.state = ArrayState::InLine;
            }
            if ended && self.state == ArrayState::InLine {
                self.state = ArrayState::LineStart;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbers_truth_values_or_text() {
        let value = |text: &str| parse_param(text).unwrap().1;
        assert_eq!(value("n=42"), Value::from(42));
        assert_eq!(value("n=\"42\""), Value::from("42"));
        assert_eq!(value("n=007"), Value::from("007"));
        assert_eq!(value("n=[1]"), Value::from("[1]"));
        assert_eq!(value("n=null"), Value::Null);
        assert_eq!(value("n="), Value::from(""));
        assert_eq!(parse_param("$n=a=b").unwrap(), ("n".to_owned(), Value::from("a=b")));
        assert!(parse_param("n").is_err());
    }

    #[test]
    fn lines_become_an_array_wherever_they_are_cut() {
        let text = b"{\"a\":1}\n{\"a\":2}\n";
        for cut in 0..=text.len() {
            let mut out = Vec::new();
            let mut array = JsonArray { out: &mut out, state: ArrayState::Empty };
            array.write_all(&text[..cut]).unwrap();
            array.write_all(&text[cut..]).unwrap();
            array.end().unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), "[\n{\"a\":1},\n{\"a\":2}\n]\n", "cut at {cut}");
        }
        let mut out = Vec::new();
        JsonArray { out: &mut out, state: ArrayState::Empty }.end().unwrap();
        assert_eq!(out, b"[]\n");
    }

    #[test]
    fn the_caret_stands_below_the_place() {
        assert_eq!(caret_indent("select x", 8), "       ");
        assert_eq!(caret_indent("\tselect é x", 10), "\t        ");
        assert_eq!(caret_indent("a", 99), " ");
    }
}
