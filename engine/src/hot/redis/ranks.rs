//! Rankings, read at most once in a while: summing a board over many minutes moves every name of it.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Board, Minute, RedisWindows, Top};
use crate::error::Result;

/// Rankings kept.
const KEPT: usize = 32;

/// A ranking, and when it was read.
#[derive(Debug)]
struct Rank {
    board: Board,
    minutes: Range<Minute>,
    read: Instant,
    top: Arc<Top>,
}

/// The rankings read last.
#[derive(Debug)]
pub(super) struct Ranks {
    age: Duration,
    /// Held while one is read, so that many who ask at once read it once.
    kept: tokio::sync::Mutex<Vec<Rank>>,
}

impl Ranks {
    pub fn new(age: Duration) -> Self {
        Self { age, kept: tokio::sync::Mutex::default() }
    }

    pub async fn get(&self, windows: &RedisWindows, board: Board, minutes: Range<Minute>) -> Result<Arc<Top>> {
        let mut kept = self.kept.lock().await;
        kept.retain(|rank| rank.read.elapsed() < self.age);
        if let Some(rank) = kept.iter().find(|rank| rank.board == board && rank.minutes == minutes) {
            return Ok(Arc::clone(&rank.top));
        }
        let (mut entries, exact) = windows.read_board(board, minutes.clone()).await?;
        entries.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let top = Arc::new(Top { entries, exact });
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(Rank { board, minutes, read: Instant::now(), top: Arc::clone(&top) });
        Ok(top)
    }
}
