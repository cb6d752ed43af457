//! Erasing a person: who is meant, what speaks of them, and what is remembered of it. Pure but for [`record`]'s one file;
//! `engine/erase.rs` takes the steps, in the log, the lake, dead letters and live windows.
//!
//! A person is a set of ids. A row is their *own* when its `user_id` is one of them, or when it has none and its
//! `anonymous_id` is. Any other text that names an id *mentions* them: a referrer, an order id, a note in `properties`.

use std::fmt;

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub mod record;
mod rows;
#[cfg(test)]
mod tests;

pub use record::EraseConfig;
pub use record::{Erasure, Erasures, Tombstones};
pub use rows::{Eraser, Rewritten, Touch};
pub(crate) use rows::{names, text_columns};

/// An id this long is taken for itself wherever it stands alone; a shorter one only as a whole value. `42` is in too many
/// places where it means something else.
const TELLING_BYTES: usize = 6;
/// The longest id, as validation takes them.
const MAX_ID_BYTES: usize = 256;
/// The most ids of one person.
const MAX_IDS: usize = 100;

/// Whom to erase.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The shop's id of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// What they were called before anybody knew them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anonymous_ids: Vec<String>,
}

impl fmt::Debug for Person {
    /// Without the ids: it may end in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person").field("ids", &self.ids().count()).finish_non_exhaustive()
    }
}

impl Person {
    /// All ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.user_id.iter().chain(&self.anonymous_ids).map(String::as_str)
    }

    /// Whether somebody can be meant by this.
    ///
    /// # Errors
    /// `invalid_person`.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: &str| Err(Error::invalid("invalid_person", what));
        if self.ids().next().is_none() {
            return refuse("nobody is named: give a user_id, anonymous_ids, or both");
        }
        if self.ids().count() > MAX_IDS {
            return refuse(&format!("a person has at most {MAX_IDS} ids at a time: erase the rest after these"));
        }
        if self.ids().any(|id| id.trim().is_empty() || id.len() > MAX_ID_BYTES || id.contains('\0')) {
            return refuse(&format!("an id is 1 to {MAX_ID_BYTES} bytes of text"));
        }
        Ok(())
    }
}

/// Finds a person's ids in text.
#[derive(Debug)]
pub struct Ids(Vec<Id>);

#[derive(Debug)]
struct Id {
    text: String,
    /// The id, and as JSON writes it where that differs.
    forms: Vec<Finder<'static>>,
}

impl Ids {
    /// Those of a person.
    pub fn of(person: &Person) -> Self {
        let id = |text: &str| {
            let json = serde_json::Value::from(text).to_string();
            let mut forms = vec![Finder::new(text).into_owned()];
            forms
                .extend((json[1..json.len() - 1] != *text).then(|| Finder::new(&json[1..json.len() - 1]).into_owned()));
            Id { text: text.to_owned(), forms }
        };
        Self(person.ids().map(id).collect())
    }

    /// Whether a text is one of them.
    pub fn is(&self, text: &str) -> bool {
        self.0.iter().any(|id| id.text == text)
    }

    /// Whether bytes may hold one of them, perhaps as part of something else, or written with escapes: quick, to rule most
    /// out.
    pub fn may_be_in(&self, bytes: &[u8]) -> bool {
        memchr::memchr(b'\\', bytes).is_some() || self.holds(bytes)
    }

    /// Whether bytes hold one of them at all.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.0.iter().flat_map(|id| &id.forms).any(|form| form.find(bytes).is_some())
    }

    /// Whether a text names one of them: as a whole word, or, where it is short, as the whole text or a JSON string.
    pub fn mentioned_in(&self, text: &[u8]) -> bool {
        self.plainly_in(text) || (memchr::memchr(b'\\', text).is_some() && self.mentioned_escaped(text))
    }

    fn plainly_in(&self, text: &[u8]) -> bool {
        let telling = |id: &Id, at: usize, len: usize| {
            let (before, after) = (at.checked_sub(1).map(|at| text[at]), text.get(at + len).copied());
            let alone = !before.is_some_and(is_word) && !after.is_some_and(is_word);
            let quoted = before == Some(b'"') && matches!(after, Some(b'"' | b'\\'));
            alone && (id.text.len() >= TELLING_BYTES || quoted || len == text.len())
        };
        let found =
            |id: &Id| id.forms.iter().any(|form| form.find_iter(text).any(|at| telling(id, at, form.needle().len())));
        self.0.iter().any(found)
    }

    /// JSON may write any character as an escape.
    fn mentioned_escaped(&self, text: &[u8]) -> bool {
        fn strings(value: &serde_json::Value, found: &mut impl FnMut(&str) -> bool) -> bool {
            match value {
                serde_json::Value::String(text) => found(text),
                serde_json::Value::Array(items) => items.iter().any(|item| strings(item, found)),
                serde_json::Value::Object(members) => {
                    members.iter().any(|(name, value)| found(name) || strings(value, found))
                }
                _ => false,
            }
        }
        let mut found = |text: &str| self.plainly_in(text.as_bytes());
        serde_json::from_slice(text).is_ok_and(|value| strings(&value, &mut found))
    }
}

/// Whether a byte goes on with a word; all of a character beyond ASCII does.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}
