//! The engine's errors as Postgres says them: a state of five characters, where in the text, what to do.

use pgwire::messages::response::ErrorResponse;
use tideline_engine::error::{Error, Kind, Position};

/// What a client is told.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Whether the connection ends with it.
    pub is_fatal: bool,
    /// SQLSTATE.
    pub state: &'static str,
    message: String,
    hint: Option<String>,
    /// Characters from the beginning of the text, from 1.
    position: Option<usize>,
}

impl Failure {
    /// A statement's.
    pub fn error(state: &'static str, message: impl Into<String>) -> Self {
        Self { is_fatal: false, state, message: message.into(), hint: None, position: None }
    }

    /// The connection's.
    pub fn fatal(state: &'static str, message: impl Into<String>) -> Self {
        Self { is_fatal: true, ..Self::error(state, message) }
    }

    /// The same, as the connection's end or not.
    #[must_use]
    pub fn ending(self, is_fatal: bool) -> Self {
        Self { is_fatal, ..self }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Of an error about `statement`, which stands at this byte of `text`.
    pub fn of(error: &Error, text: &str, statement: &str, at: usize) -> Self {
        let mut failure = Self::from(error);
        let within = error.position.and_then(|position| offset(statement, position));
        failure.position = within.map(|within| text[..at].chars().count() + within);
        failure
    }

    /// As a message.
    pub fn message(&self) -> ErrorResponse {
        let severity = if self.is_fatal { "FATAL" } else { "ERROR" };
        let mut fields = vec![
            (b'S', severity.to_owned()),
            (b'V', severity.to_owned()),
            (b'C', self.state.to_owned()),
            (b'M', clean(&self.message)),
        ];
        fields.extend(self.hint.iter().map(|hint| (b'H', clean(hint))));
        fields.extend(self.position.map(|position| (b'P', position.to_string())));
        ErrorResponse::new(fields)
    }
}

/// A text on the wire ends with a zero byte, so it has none.
fn clean(text: &str) -> String {
    text.replace('\0', "")
}

/// Characters from the beginning to a line and column, from 1.
fn offset(text: &str, position: Position) -> Option<usize> {
    let (line, column) = (usize::try_from(position.line).ok()?, usize::try_from(position.column).ok()?);
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(|line| line.chars().count()).sum();
    let place = before + column;
    (place <= text.chars().count() + 1).then_some(place)
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let mut failure = Self::error(state(error), error.message.clone());
        let suggestion = error.did_you_mean.as_ref().map(|name| format!("did you mean {name}?"));
        failure.hint = match (suggestion, &error.hint) {
            (Some(suggestion), Some(hint)) => Some(format!("{suggestion} {hint}")),
            (suggestion, hint) => suggestion.or_else(|| hint.clone()),
        };
        failure
    }
}

fn state(error: &Error) -> &'static str {
    match error.code {
        "syntax_error" => "42601",
        "unknown_table" | "unknown_metric" => "42P01",
        "unknown_column" => "42703",
        "ambiguous_column" => "42702",
        "duplicate_column" => "42701",
        "unknown_function" => "42883",
        "type_error" => "42804",
        "read_only" => "25006",
        "not_supported" => "0A000",
        "division_by_zero" => "22012",
        "arithmetic_overflow" => "22003",
        "invalid_value" => "22P02",
        "invalid_parameter" | "invalid_range" | "unknown_parameter" | "repeated_parameter" => "22023",
        "missing_parameter" => "08P01",
        "query_too_complex" => "54001",
        "memory_limit" | "function_limit" => "53200",
        "spill_limit" | "disk_full" => "53100",
        "too_many_queries" => "53300",
        "shutting_down" => "57P01",
        _ => match error.kind {
            Kind::Invalid => "42000",
            Kind::TooLarge => "54000",
            Kind::NotFound => "42704",
            Kind::Forbidden => "42501",
            Kind::Busy => "53000",
            Kind::Timeout | Kind::Cancelled => "57014",
            Kind::Corrupt => "XX001",
            Kind::Fatal | Kind::Internal => "XX000",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_points_into_the_whole_text() {
        let text = "SELECT 'é';\nSELECT x\nFROM event";
        let at = text.find("\nSELECT x").unwrap();
        let error = Error::invalid("unknown_table", "there is no table event")
            .with_position(Position { line: 3, column: 6 })
            .with_did_you_mean("events");
        let failure = Failure::of(&error, text, &text[at..], at);
        let place = text.chars().count() - "event".len() + 1;
        assert_eq!((failure.position, failure.state), (Some(place), "42P01"));
        assert!(failure.message().fields.contains(&(b'H', "did you mean events?".to_owned())));
    }
}
