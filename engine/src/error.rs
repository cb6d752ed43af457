//! One error type. Its [`Kind`] says what the caller should do next; messages are for people and are not API.

use std::fmt;

/// What the caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong: correct it and send it again.
    Invalid,
    /// The request is over a size limit: split it.
    TooLarge,
    /// What was asked for does not exist.
    NotFound,
    /// The request is understood and refused (for example a statement that is not read-only).
    Forbidden,
    /// A limit is reached for now: send the same request again later. Nothing was lost.
    Busy,
    /// The operation ran out of its time.
    Timeout,
    /// The operation was cancelled by the caller.
    Cancelled,
    /// Bytes on disk are not what was written: an operator has to act.
    Corrupt,
    /// A guarantee can no longer be given (a failed fsync): the process must stop and recover.
    Fatal,
    /// Everything else: an operating system error or a defect of ours.
    Internal,
}

/// A place in a text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

/// The engine's error.
#[derive(Debug)]
pub struct Error {
    /// What to do about it.
    pub kind: Kind,
    /// Stable, snake_case, for programs.
    pub code: &'static str,
    /// One sentence for people.
    pub message: String,
    /// What to do, when the message does not say it.
    pub hint: Option<String>,
    /// Where in the request's text, for SQL.
    pub position: Option<Position>,
    /// The nearest name that exists, when one was not found.
    pub did_you_mean: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with a stable `code` and a sentence for people.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), hint: None, position: None, did_you_mean: None, source: None }
    }

    /// The request is wrong.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, code, message)
    }

    /// A limit is reached for now.
    pub fn busy(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Busy, code, message)
    }

    /// Bytes on disk are not what was written.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, "corrupt", message)
    }

    /// A guarantee can no longer be given; the process must stop.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(Kind::Fatal, "fatal", message)
    }

    /// Everything else.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, "internal", message)
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds where in the text.
    #[must_use]
    pub fn with_position(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// Adds the nearest existing name.
    #[must_use]
    pub fn with_did_you_mean(mut self, name: impl Into<String>) -> Self {
        self.did_you_mean = Some(name.into());
        self
    }

    /// Keeps what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says what was being done: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        if matches!(e.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
            return Self::busy("disk_full", format!("the disk is full: {e}"))
                .with_hint("free disk space; ingest continues by itself afterwards")
                .with_source(e);
        }
        Self::internal(e.to_string()).with_source(e)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Self {
        Self::internal(e.to_string()).with_source(e)
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(e: parquet::errors::ParquetError) -> Self {
        Self::internal(e.to_string()).with_source(e)
    }
}

impl From<object_store::Error> for Error {
    fn from(e: object_store::Error) -> Self {
        if let object_store::Error::Generic { source, .. } = &e
            && let Some(io) = source.downcast_ref::<std::io::Error>()
        {
            return std::io::Error::new(io.kind(), io.to_string()).into();
        }
        Self::internal(e.to_string()).with_source(e)
    }
}
