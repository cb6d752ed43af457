//! Statements that are about the connection and not about data: drivers and pools send them, and nothing here has a
//! transaction or a setting that could change an answer. The list is closed: whatever is not on it is SQL, and the
//! engine's guard refuses all that does not read.

use super::split;

/// A statement of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Utility {
    /// From now on within a transaction, which holds nothing.
    Begin,
    /// Out of it.
    Commit,
    /// Out of it; also out of a failed one.
    Rollback,
    /// A place to come back to; the tag says which word it was.
    Savepoint(&'static str),
    /// Back to such a place.
    RollbackTo,
    /// Sets something.
    Set {
        /// What.
        name: String,
        /// To what.
        value: String,
    },
    /// Sets something that has no effect.
    SetNothing,
    /// Everything, or one thing, as it was at the beginning.
    Reset(Option<String>),
    /// Forgets statements, portals and settings.
    Discard,
    /// Closes every portal, or one.
    Close(Option<String>),
    /// Forgets every prepared statement, or one.
    Deallocate(Option<String>),
    /// Listens to nothing any more.
    Unlisten,
    /// Shows a setting.
    Show(String),
    /// Shows them all.
    ShowAll,
}

impl Utility {
    /// Whether a statement is one of these.
    pub fn of(text: &str) -> Option<Self> {
        let words = split::words(text);
        let upper: Vec<String> = words.iter().take(8).map(|word| word.to_ascii_uppercase()).collect();
        let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
        let one = |at: usize| words.get(at).cloned();
        Some(match upper.as_slice() {
            ["BEGIN", ..] | ["START", "TRANSACTION", ..] => Self::Begin,
            ["COMMIT" | "END"] | ["COMMIT" | "END", "WORK" | "TRANSACTION" | "AND", ..] => Self::Commit,
            ["ROLLBACK", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..] => Self::RollbackTo,
            ["ROLLBACK" | "ABORT"] | ["ROLLBACK" | "ABORT", "WORK" | "TRANSACTION" | "AND", ..] => Self::Rollback,
            ["SAVEPOINT", _] => Self::Savepoint("SAVEPOINT"),
            ["RELEASE", _] | ["RELEASE", "SAVEPOINT", _] => Self::Savepoint("RELEASE"),
            ["SET", "TRANSACTION", ..] | ["SET", "SESSION", "CHARACTERISTICS", ..] => Self::SetNothing,
            ["SET", "TIME", "ZONE", ..] | ["SET", "LOCAL" | "SESSION", "TIME", "ZONE", ..] => Self::SetNothing,
            ["SET", "NAMES", _] => Self::Set { name: "client_encoding".to_owned(), value: one(2)? },
            ["SET", "LOCAL" | "SESSION", _, "=" | "TO", ..] => Self::Set { name: one(2)?, value: words[4..].join("") },
            ["SET", _, "=" | "TO", ..] => Self::Set { name: one(1)?, value: words[3..].join("") },
            ["RESET", "ALL"] => Self::Reset(None),
            ["RESET", _] => Self::Reset(one(1)),
            ["DISCARD", "ALL" | "PLANS" | "TEMP" | "TEMPORARY" | "SEQUENCES"] => Self::Discard,
            ["CLOSE", "ALL"] => Self::Close(None),
            ["CLOSE", _] => Self::Close(one(1)),
            ["DEALLOCATE", "ALL"] | ["DEALLOCATE", "PREPARE", "ALL"] => Self::Deallocate(None),
            ["DEALLOCATE", "PREPARE", _] => Self::Deallocate(one(2)),
            ["DEALLOCATE", _] => Self::Deallocate(one(1)),
            ["UNLISTEN", _] => Self::Unlisten,
            ["SHOW", "ALL"] => Self::ShowAll,
            ["SHOW", "TRANSACTION", "ISOLATION", "LEVEL"] => Self::Show("transaction_isolation".to_owned()),
            ["SHOW", "TIME", "ZONE"] => Self::Show("timezone".to_owned()),
            ["SHOW", "TABLES" | "COLUMNS" | "FUNCTIONS" | "VIEWS" | "SCHEMAS" | "DATABASES"] => return None,
            ["SHOW", _] => Self::Show(one(1)?),
            _ => return None,
        })
    }

    /// What a client is told when it is done.
    pub fn tag(&self) -> &'static str {
        match self {
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Rollback | Self::RollbackTo => "ROLLBACK",
            Self::Savepoint(word) => word,
            Self::Set { .. } | Self::SetNothing => "SET",
            Self::Reset(_) => "RESET",
            Self::Discard => "DISCARD ALL",
            Self::Close(_) => "CLOSE CURSOR",
            Self::Deallocate(_) => "DEALLOCATE",
            Self::Unlisten => "UNLISTEN",
            Self::Show(_) | Self::ShowAll => "SHOW",
        }
    }

    /// What it shows: a setting, or, inner `None`, all of them.
    pub fn shows(&self) -> Option<Option<&str>> {
        match self {
            Self::Show(name) => Some(Some(name)),
            Self::ShowAll => Some(None),
            _ => None,
        }
    }

    /// Whether it is taken where a transaction has failed.
    pub fn ends_failure(&self) -> bool {
        matches!(self, Self::Commit | Self::Rollback | Self::RollbackTo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drivers_and_pools_send_is_known() {
        let set = |name: &str, value: &str| Utility::Set { name: name.to_owned(), value: value.to_owned() };
        for (text, expected) in [
            ("BEGIN", Utility::Begin),
            ("begin isolation level read committed read only", Utility::Begin),
            ("START TRANSACTION READ ONLY", Utility::Begin),
            ("COMMIT", Utility::Commit),
            ("ROLLBACK", Utility::Rollback),
            ("ROLLBACK TO SAVEPOINT s1", Utility::RollbackTo),
            ("RELEASE SAVEPOINT s1", Utility::Savepoint("RELEASE")),
            ("UNLISTEN *", Utility::Unlisten),
            ("RESET ALL", Utility::Reset(None)),
            ("CLOSE ALL", Utility::Close(None)),
            ("DISCARD ALL", Utility::Discard),
            ("SET extra_float_digits = 3", set("extra_float_digits", "3")),
            ("SET SESSION statement_timeout TO '5s'", set("statement_timeout", "5s")),
            ("SET search_path TO public, metrics", set("search_path", "public,metrics")),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Utility::SetNothing),
            ("SHOW TRANSACTION ISOLATION LEVEL", Utility::Show("transaction_isolation".to_owned())),
            ("show standard_conforming_strings", Utility::Show("standard_conforming_strings".to_owned())),
        ] {
            assert_eq!(Utility::of(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_for_the_guard() {
        for text in [
            "SELECT 1",
            "SHOW TABLES",
            "SHOW COLUMNS FROM events",
            "SET ROLE x",
            "LISTEN x",
            "NOTIFY x",
            "COPY events TO STDOUT",
            "PREPARE p AS SELECT 1",
            "DECLARE c CURSOR FOR SELECT 1",
            "LOCK TABLE events",
            "COMMIT PREPARED 'x'",
            "ROLLBACK PREPARED 'x'",
            "INSERT INTO events VALUES (1)",
            "SET",
            "",
        ] {
            assert_eq!(Utility::of(text), None, "{text}");
        }
    }
}
