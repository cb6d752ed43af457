//! One commit after another, each exactly once.
//!
//! The protocol. A commit is written as the version after the one in memory, and only if that version is free: so it
//! is never written on top of something this process has not seen. Every failure is an unknown outcome: the attempt is
//! remembered, the log is read again, and an attempt whose bytes stand in the log has landed, whatever the store
//! answered. The table's last Seq of this node must then be exactly what the landed attempts say; anything else means
//! that a second process writes under this node's name (a copied data folder), and this one must stop.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::MutexGuard;

use super::Lake;
use super::files::LakeSnapshot;
use super::log::{Change, Written};
use crate::error::{Error, Kind, Result};
use crate::event::Seq;

/// What this process knows of its own commits. Held locked while one is under way.
#[derive(Debug, Default)]
pub(super) struct Tip {
    /// Attempts that may have landed, or have, since the last commit that went well.
    attempts: Vec<Attempt>,
    /// Whether the log has to be read before anything else.
    stale: bool,
}

#[derive(Debug)]
struct Attempt {
    version: i64,
    last: Seq,
    commit: Bytes,
    landed: bool,
}

impl Tip {
    fn has_landed(&self, commit: &Bytes) -> bool {
        self.attempts.iter().any(|a| a.landed && a.commit == *commit)
    }
}

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// How long to wait before the given attempt (from 1): doubling, with jitter, so that writers do not meet again.
fn pause(first: Duration, attempt: u32) -> Duration {
    let longest = first.saturating_mul(1 << attempt.min(10)).min(MAX_PAUSE);
    let random = uuid::Uuid::new_v4().as_bytes()[0];
    longest.mul_f64(0.5 + f64::from(random) / 510.0)
}

impl Lake {
    /// Waits for the commit under way, and settles what an earlier failure left open.
    pub(super) async fn tip(&self) -> Result<MutexGuard<'_, Tip>> {
        let mut tip = self.tip.lock().await;
        if tip.stale {
            self.reload(&mut tip).await?;
        }
        Ok(tip)
    }

    /// Commits `change` in at most `attempts` attempts, after the commits of other nodes where those are quicker, as
    /// long as the files to remove are still there.
    pub(super) async fn commit(&self, tip: &mut Tip, change: &Change, attempts: u32) -> Result<Arc<LakeSnapshot>> {
        let commit = self.log.encode(change, self.clock.now())?;
        tip.attempts.retain(|a| !a.landed);
        let mut failure = None;
        for attempt in 0..attempts.max(1) {
            if attempt > 0 {
                tokio::time::sleep(pause(self.config.commit_pause, attempt)).await;
            }
            match self.attempt(tip, change, &commit).await {
                Ok(Some(committed)) => return Ok(committed),
                Ok(None) => {}
                Err(e) if e.kind == Kind::Fatal || e.code == CONFLICT => return Err(e),
                Err(e) => {
                    tracing::warn!(attempt, error = %e, "a commit failed; its outcome is unknown until the log is read");
                    failure = Some(e);
                }
            }
        }
        // The last attempt may have landed all the same.
        if tip.stale {
            match self.reload(tip).await {
                Ok(()) if tip.has_landed(&commit) => return Ok(self.current()),
                Err(e) if e.kind == Kind::Fatal => return Err(e),
                _ => {}
            }
        }
        Err(failure.unwrap_or_else(|| Error::busy(CONFLICT, "other writers of the table were quicker each time")))
    }

    /// One attempt; `None` when another commit took the version.
    async fn attempt(&self, tip: &mut Tip, change: &Change, commit: &Bytes) -> Result<Option<Arc<LakeSnapshot>>> {
        if tip.stale {
            self.reload(tip).await?;
        }
        let base = self.current();
        if tip.has_landed(commit) {
            return Ok(Some(base));
        }
        if !base.holds(&change.removed) {
            return Err(Error::busy(CONFLICT, "the files to replace are no longer in the table")
                .with_hint("nothing was changed; try again"));
        }
        let version = base.version + 1;
        // Noted before the write: should this future be dropped half-way, the attempt is not forgotten.
        tip.stale = true;
        tip.attempts.push(Attempt { version, last: change.last, commit: commit.clone(), landed: false });
        match self.log.write(version, commit.clone()).await {
            Written::Done => {
                *tip = Tip::default();
                let next = Arc::new(base.next(&change.added, &change.removed, change.last, change.data_change));
                self.publish(Arc::clone(&next));
                Ok(Some(next))
            }
            Written::Taken => Ok(None),
            Written::Unknown(e) => Err(e),
        }
    }

    /// Reads the log, settles the attempts, and makes the result current.
    pub(super) async fn reload(&self, tip: &mut Tip) -> Result<()> {
        tip.stale = true;
        let before = self.current();
        let loaded = self.log.load().await?;
        if loaded.version < before.version {
            return Err(Error::fatal(format!(
                "the table went back from version {} to {}",
                before.version, loaded.version
            ))
            .with_hint("the lake's log was changed by something else; run `tideline check`"));
        }
        let mut settled = Vec::with_capacity(tip.attempts.len());
        for attempt in &tip.attempts {
            // Beyond what was read, an attempt may still land; it stays, and its version stays the next one to write.
            let decided = attempt.landed || attempt.version <= loaded.version;
            let landed =
                attempt.landed || decided && self.log.entry(attempt.version).await?.as_ref() == Some(&attempt.commit);
            settled.push((decided, landed));
        }
        let mut settled = settled.into_iter();
        tip.attempts.retain_mut(|attempt| {
            let (decided, landed) = settled.next().unwrap_or((false, attempt.landed));
            attempt.landed = landed;
            landed || !decided
        });
        let landed = tip.attempts.iter().filter(|a| a.landed).map(|a| a.last);
        let expected = landed.fold(before.covered, Seq::max);
        if loaded.covered != expected {
            return Err(Error::fatal(format!(
                "the table holds this node's events up to {}, but this process committed them up to {expected}",
                loaded.covered
            ))
            .with_hint("another process writes with a copy of this data folder; stop one of the two, then restart"));
        }
        self.publish(Arc::new(self.snapshot_of(loaded)));
        tip.stale = false;
        Ok(())
    }
}

/// The code of an error after which nothing has changed and the work can be done again.
pub(super) const CONFLICT: &str = "lake_conflict";
