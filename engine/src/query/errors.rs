//! DataFusion's errors as ours: a stable code, one clear sentence, where it is, what to do, the nearest name.
//!
//! The messages of parser, planner and operators carry prefixes, internal names and sometimes paths; none of that
//! reaches the client. What is ours to fix stays `internal`, with the cause kept as the source.

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Diagnostic, SchemaError};
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::TokenizerError;

use crate::error::{Error, Kind, Position};

/// An engine error on its way through DataFusion.
pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A text that cannot be split into tokens.
pub(super) fn from_tokenizer(error: TokenizerError) -> Error {
    Error::invalid("syntax_error", format!("syntax error: {}", lower_first(&error.message)))
        .with_position(Position { line: error.location.line, column: error.location.column })
}

/// A table that is not there, with the nearest of `known`.
pub(super) fn unknown_table<'a>(name: &str, at: Option<Position>, known: impl IntoIterator<Item = &'a str>) -> Error {
    let mut error = Error::invalid("unknown_table", format!("there is no table {name}"))
        .with_hint("the table is called events; SHOW TABLES lists what can be read");
    error.did_you_mean = nearest(name.rsplit('.').next().unwrap_or(name), known);
    error.position = at;
    error
}

/// Any error of parsing, planning or running a query.
pub(super) fn from_datafusion(error: DataFusionError) -> Error {
    let mut found = Found { error: None, position: None, suggestion: None };
    found.look(&error);
    let mut mapped = match found.error {
        Some(mapped) => mapped,
        None => internal("the query failed unexpectedly"),
    };
    if mapped.kind != Kind::Internal && mapped.message.contains("Union(") {
        mapped = any_json_value();
    }
    mapped.position = mapped.position.or(found.position);
    mapped.did_you_mean = mapped.did_you_mean.or(found.suggestion);
    if mapped.kind == Kind::Internal { mapped.with_source(error) } else { mapped }
}

/// The only unions in a plan are values out of JSON whose type was not said.
pub(super) fn any_json_value() -> Error {
    Error::invalid("type_error", "json_get and -> give a JSON value of any type, which cannot be used like this").with_hint(
        "say which type it has: json_get_str(properties, 'key') or properties->>'key', json_get_int, json_get_float, \
         json_get_bool, or CAST(properties->'key' AS type)",
    )
}

fn internal(message: &str) -> Error {
    Error::internal(message).with_hint("this is a defect of the server; its log has the details")
}

/// What walking down the chain of an error turned up.
struct Found {
    error: Option<Error>,
    position: Option<Position>,
    suggestion: Option<String>,
}

impl Found {
    fn look(&mut self, error: &DataFusionError) {
        match error {
            DataFusionError::Context(_, inner) => self.look(inner),
            DataFusionError::Shared(inner) => self.look(inner),
            DataFusionError::Collection(all) => {
                if let Some(first) = all.first() {
                    self.look(first);
                }
            }
            DataFusionError::Diagnostic(diagnostic, inner) => {
                self.position = position(diagnostic).or(self.position);
                self.look(inner);
            }
            DataFusionError::SQL(parser, _) => self.error = Some(from_parser(parser)),
            DataFusionError::SchemaError(schema, _) => self.error = Some(from_schema(schema)),
            DataFusionError::Plan(message) => self.error = Some(from_plan(message)),
            DataFusionError::NotImplemented(message) => {
                self.error = Some(
                    Error::invalid("not_supported", format!("not supported: {}", clean(message)))
                        .with_hint("rewrite this part of the query"),
                );
            }
            DataFusionError::Configuration(message) => {
                self.error = Some(Error::invalid("plan_error", clean(message)));
            }
            DataFusionError::Execution(message) => self.error = Some(from_execution(message)),
            DataFusionError::ResourcesExhausted(_) => self.error = Some(exhausted()),
            DataFusionError::ArrowError(arrow, _) => self.arrow(arrow),
            DataFusionError::External(source) => self.source(source.as_ref()),
            DataFusionError::IoError(io) => self.error = Some(from_io(io)),
            DataFusionError::ObjectStore(_) | DataFusionError::ParquetError(_) => self.error = Some(unreadable()),
            DataFusionError::ExecutionJoin(_) => self.error = Some(internal("the query failed unexpectedly")),
            DataFusionError::Internal(message) => self.error = Some(from_internal(message)),
            _ => {}
        }
    }

    fn arrow(&mut self, error: &ArrowError) {
        if let ArrowError::ExternalError(source) = error {
            return self.source(source.as_ref());
        }
        self.error = Some(match error {
            ArrowError::DivideByZero => Error::invalid("division_by_zero", "division by zero")
                .with_hint("write a / nullif(b, 0) to get NULL instead"),
            ArrowError::ArithmeticOverflow(message) => {
                Error::invalid("arithmetic_overflow", format!("the result does not fit its type: {}", clean(message)))
            }
            ArrowError::CastError(m) | ArrowError::ParseError(m) | ArrowError::InvalidArgumentError(m) => {
                Error::invalid("type_error", clean(m))
                    .with_hint("use try_cast(… AS …) to get NULL for what does not fit")
            }
            ArrowError::ComputeError(message) => {
                from_regex(message).unwrap_or_else(|| Error::invalid("type_error", clean(message)))
            }
            ArrowError::MemoryError(_) | ArrowError::OffsetOverflowError(_) => exhausted(),
            ArrowError::IoError(_, io) => from_io(io),
            ArrowError::ParquetError(_) => unreadable(),
            _ => internal("the query failed unexpectedly"),
        });
    }

    /// An error boxed by an operator: one of ours, DataFusion's or Arrow's again, or a stranger's.
    fn source(&mut self, source: &(dyn std::error::Error + Send + Sync + 'static)) {
        if let Some(ours) = source.downcast_ref::<Error>() {
            self.error = Some(copy(ours));
        } else if let Some(inner) = source.downcast_ref::<DataFusionError>() {
            self.look(inner);
        } else if let Some(inner) = source.downcast_ref::<ArrowError>() {
            self.arrow(inner);
        } else {
            let said = source.to_string();
            self.error = Some(from_regex(&said).unwrap_or_else(|| internal("the query failed unexpectedly")));
        }
    }
}

/// A pattern that is none, or that is too large: told by its compiler in several lines, with a picture.
fn from_regex(said: &str) -> Option<Error> {
    if !["regex parse error", "Regular expression did not compile", "regex exceeds size limit"]
        .iter()
        .any(|part| said.contains(part))
    {
        return None;
    }
    let why = said.lines().find_map(|line| line.trim().strip_prefix("error: ")).unwrap_or("it is too large");
    Some(
        Error::invalid("type_error", format!("the regular expression cannot be used: {why}"))
            .with_hint("write a backslash before characters that stand for themselves: \\( \\[ \\."),
    )
}

/// One of our errors, seen through a shared reference: everything but its source.
pub(crate) fn copy(error: &Error) -> Error {
    let mut copy = Error::new(error.kind, error.code, error.message.clone());
    copy.hint.clone_from(&error.hint);
    copy.position = error.position;
    copy.did_you_mean.clone_from(&error.did_you_mean);
    copy
}

fn position(diagnostic: &Diagnostic) -> Option<Position> {
    let start = diagnostic.span?.start;
    (start.line > 0).then_some(Position { line: start.line, column: start.column })
}

fn from_parser(error: &ParserError) -> Error {
    match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            let (message, at) = split_position(message);
            let mut error = Error::invalid("syntax_error", format!("syntax error: {}", lower_first(message.trim())));
            error.position = at;
            error
        }
        ParserError::RecursionLimitExceeded => {
            Error::invalid("query_too_complex", "the query nests too deeply").with_hint("split the query")
        }
    }
}

/// Splits ` at Line: 1, Column: 8` off the end of a parser's message.
fn split_position(message: &str) -> (&str, Option<Position>) {
    let Some((text, place)) = message.rsplit_once(" at Line: ") else {
        return (message, None);
    };
    let mut numbers = place.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(line), Some(column)) if line > 0 => (text, Some(Position { line, column })),
        _ => (text, None),
    }
}

fn from_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let mut error = Error::invalid("unknown_column", format!("there is no column {}", field.flat_name()));
            error.did_you_mean = nearest(&field.name, valid_fields.iter().map(|c| c.name.as_str()));
            error.hint = Some(if valid_fields.is_empty() {
                "no table is in reach here; add a FROM".to_owned()
            } else if error.did_you_mean.is_some() {
                "DESCRIBE events lists the columns".to_owned()
            } else {
                "DESCRIBE events lists the columns; text stands in single quotes, names in double quotes".to_owned()
            });
            error
        }
        SchemaError::AmbiguousReference { field } => {
            Error::invalid("ambiguous_column", format!("the column {} is in more than one table", field.flat_name()))
                .with_hint("write table.column")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::invalid("duplicate_column", format!("the column {name} appears twice"))
                .with_hint("give one an alias")
        }
    }
}

fn from_plan(message: &str) -> Error {
    let message = clean(message);
    if let Some(name) = between(&message, "Invalid function '", "'") {
        let mut error = Error::invalid("unknown_function", format!("there is no function {name}"))
            .with_hint("SHOW FUNCTIONS lists what can be called");
        error.did_you_mean = between(&message, "Did you mean '", "'").map(str::to_owned);
        return error;
    }
    if let Some(name) = between(&message, "table function '", "'").or(between(&message, "Table function '", "'")) {
        return Error::invalid("unknown_function", format!("there is no table function {name}"));
    }
    if let Some(name) = between(&message, "table '", "' not found") {
        return unknown_table(name, None, [super::events::TABLE, super::dead_letters::TABLE]);
    }
    let typed = ["coerc", "type", "Signature", "signature", "cast", "Cast", "argument"];
    if typed.iter().any(|word| message.contains(word)) {
        return Error::invalid("type_error", message).with_hint("cast explicitly: cast(x AS type)");
    }
    Error::invalid("plan_error", message)
}

fn from_execution(message: &str) -> Error {
    let message = clean(message);
    if message.contains("divide by zero") || message.contains("Divide by zero") {
        return Error::invalid("division_by_zero", "division by zero").with_hint("write a / nullif(b, 0)");
    }
    Error::invalid("execution_error", message)
}

/// DataFusion calls some wrong queries internal errors; planning ones are still the query's.
fn from_internal(message: &str) -> Error {
    // DataFusion calls this its own defect; it is a function given types that it does not take.
    if let Some((function, _)) = message.split_once(" failed to match any signature") {
        return Error::invalid(
            "type_error",
            format!("{} does not take arguments of these types", lower_first(function)),
        );
    }
    if let Some(error) = from_regex(message) {
        return error;
    }
    if ["coerc", "Unavailable default cast"].iter().any(|part| message.contains(part)) {
        return Error::invalid("type_error", clean(message));
    }
    internal("the query failed unexpectedly")
}

fn unreadable() -> Error {
    Error::internal("a file of the lake could not be read")
        .with_hint("send the query again; if it stays, run `tideline check`")
}

/// The limit on spilled bytes comes as an input/output error.
fn from_io(error: &std::io::Error) -> Error {
    if error.to_string().contains("exceeded the allowable limit") {
        return Error::new(Kind::TooLarge, "spill_limit", "the query needs more temporary disk space than it may use")
            .with_hint("narrow the time range or group by fewer columns");
    }
    if error.kind() == std::io::ErrorKind::StorageFull {
        return Error::busy("disk_full", "the disk for temporary data is full").with_hint("free disk space");
    }
    unreadable()
}

fn exhausted() -> Error {
    Error::new(Kind::TooLarge, "memory_limit", "the query needs more memory than it may use")
        .with_hint("narrow the time range, select fewer columns, group by fewer keys, or add a LIMIT")
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found)
}

fn lower_first(text: &str) -> String {
    let text = text.strip_prefix("sql parser error: ").unwrap_or(text);
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // "Expected: …" reads on after a colon; "EOF" and "SELECT" keep their case.
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

/// Takes the layers' prefixes, the plea for a bug report, and anything after the first line off a message.
fn clean(message: &str) -> String {
    const PREFIXES: [&str; 10] = [
        "Internal error: ",
        "Error during planning: ",
        "Execution error: ",
        "This feature is not implemented: ",
        "Arrow error: ",
        "Cast error: ",
        "Parser error: ",
        "Invalid argument error: ",
        "Compute error: ",
        "DataFusion error: ",
    ];
    let mut text = message.split("\nThis issue was likely caused by a bug").next().unwrap_or(message).trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest;
    }
    let text = text.split("\n\nbacktrace").next().unwrap_or(text);
    text.chars().map(|c| if c == '\n' { ' ' } else { c }).take(600).collect()
}

/// The name of `known` that is nearest to `name`, when it is near enough to be a slip.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (edit_distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(name.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein's distance with adjacent swaps counted once (optimal string alignment), over at most 64 characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        let columns = ["event_ts", "event_type", "user_id", "user_agent", "utm_source"];
        assert_eq!(nearest("event_tpye", columns).as_deref(), Some("event_type"));
        assert_eq!(nearest("userid", columns).as_deref(), Some("user_id"));
        assert_eq!(nearest("temperature", columns), None);
    }

    #[test]
    fn positions_come_off_the_message() {
        let (text, at) = split_position("Expected: an expression, found: FROM at Line: 2, Column: 8");
        assert_eq!(text, "Expected: an expression, found: FROM");
        assert_eq!(at, Some(Position { line: 2, column: 8 }));
    }
}
