//! Notices about alerts: written with the alert they are about, and taken out when whoever is told has them.
//!
//! A notice may be sent twice (the process can end between the answer and the note of it), never out of order and never
//! not at all: it is sent, or given up after so many tries and kept as such.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::file::{Contents, time};
use super::{Alert, AlertLog};
use crate::clock::Micros;
use crate::error::Result;

/// The longest error kept with a notice, in characters.
const MAX_ERROR: usize = 300;

/// What a notice tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeEvent {
    /// An alert opened.
    Opened,
    /// It closed.
    Closed,
}

impl NoticeEvent {
    /// Its name, as receivers see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened => "alert.opened",
            Self::Closed => "alert.closed",
        }
    }
}

/// One message for one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The same in every try, and for every receiver: `al_….opened`.
    pub id: String,
    /// For whom.
    pub target: String,
    /// What it tells.
    pub event: NoticeEvent,
    /// When it was written.
    #[serde(with = "time")]
    pub created_at: Micros,
    /// How often it was tried.
    pub attempts: u32,
    /// Not before this moment.
    #[serde(with = "time")]
    pub next_at: Micros,
    /// Why the last try failed.
    pub error: Option<String>,
    /// Given up.
    pub dead: bool,
    /// JSON, the same bytes in every try.
    pub body: String,
}

/// Writes a notice for each target.
pub(super) fn announce(
    contents: &mut Contents,
    event: NoticeEvent,
    alert: &Arc<Alert>,
    targets: &[String],
    now: Micros,
) {
    let kind = match event {
        NoticeEvent::Opened => "opened",
        NoticeEvent::Closed => "closed",
    };
    let id = format!("{}.{kind}", alert.id);
    let body = json!({ "id": id, "event": event.name(), "created_at": time::text(now), "alert": alert.as_ref() });
    for target in targets {
        contents.notices.push(Notice {
            id: id.clone(),
            target: target.clone(),
            event,
            created_at: now,
            attempts: 0,
            next_at: now,
            error: None,
            dead: false,
            body: body.to_string(),
        });
    }
}

impl AlertLog {
    /// The oldest notice for a target that is neither sent nor given up: the only one that may be sent to it now.
    pub fn next_notice(&self, target: &str) -> Option<Notice> {
        self.now().notices.iter().find(|notice| notice.target == target && !notice.dead).cloned()
    }

    /// Notices that were given up, the latest first.
    pub fn dead_notices(&self) -> Vec<Notice> {
        self.now().notices.iter().rev().filter(|notice| notice.dead).cloned().collect()
    }

    /// Notes that a notice was sent.
    ///
    /// # Errors
    /// When it cannot be written: then it will be sent again.
    pub fn sent(&self, notice: &Notice) -> Result<()> {
        self.measures.sent.inc();
        self.change(|contents| {
            let before = contents.notices.len();
            contents.notices.retain(|n| !(n.id == notice.id && n.target == notice.target && !n.dead));
            Ok(((), contents.notices.len() < before))
        })
    }

    /// Notes that a try failed: tried again at `next_at`, or given up without one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn not_sent(&self, notice: &Notice, error: &str, next_at: Option<Micros>) -> Result<()> {
        let count = if next_at.is_some() { &self.measures.failed } else { &self.measures.given_up };
        count.inc();
        self.change(|contents| {
            let same = |n: &&mut Notice| n.id == notice.id && n.target == notice.target && !n.dead;
            let Some(kept) = contents.notices.iter_mut().find(same) else { return Ok(((), false)) };
            kept.attempts += 1;
            kept.error = Some(error.chars().take(MAX_ERROR).collect());
            kept.dead = next_at.is_none();
            kept.next_at = next_at.unwrap_or(kept.next_at);
            Ok(((), true))
        })
    }

    /// Gives up what is for targets that are no longer told. Says how many.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn forget_other_targets(&self) -> Result<usize> {
        self.change(|contents| {
            let mut gone = 0;
            for notice in &mut contents.notices {
                if !notice.dead && !self.targets.contains(&notice.target) {
                    (notice.dead, gone) = (true, gone + 1);
                    notice.error = Some("the settings no longer name this receiver".to_owned());
                }
            }
            Ok((gone, gone > 0))
        })
    }
}
