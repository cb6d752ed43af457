//! Answers that cost more than a look: made once a second for each distinct question, however many ask it.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tideline_engine::clock::Micros;
use tokio::sync::OnceCell;

use crate::error::Problem;

/// How long an answer stands.
const STANDS: Micros = 1_000_000;
/// Most answers kept.
const MAX_ANSWERS: usize = 256;
/// Most bytes of answers and questions kept.
const MAX_BYTES: usize = 32 << 20;

/// One question's answer, made or being made.
#[derive(Debug)]
struct Slot {
    question: String,
    asked: Micros,
    answer: OnceCell<Result<Bytes, Problem>>,
}

impl Slot {
    /// One that is being made is waited for, however long that takes.
    fn stands(&self, now: Micros) -> bool {
        !self.answer.initialized() || now - self.asked < STANDS
    }

    fn bytes(&self) -> usize {
        self.question.len() + self.answer.get().map_or(0, |answer| answer.as_ref().map_or(0, Bytes::len))
    }
}

/// The answers of the last second.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Vec<Arc<Slot>>>);

impl Cache {
    /// The answer to a question, from `make` when there is none of the last second. Errors are not kept.
    pub async fn get(
        &self,
        question: String,
        now: Micros,
        make: impl Future<Output = Result<Bytes, Problem>>,
    ) -> Result<Bytes, Problem> {
        let Some(slot) = self.slot(question, now) else { return make.await };
        let answer = slot.answer.get_or_init(|| make).await.clone();
        if answer.is_err() {
            self.0.lock().retain(|kept| !Arc::ptr_eq(kept, &slot));
        }
        answer
    }

    /// The question's slot; none when there is no room for it.
    fn slot(&self, question: String, now: Micros) -> Option<Arc<Slot>> {
        let mut slots = self.0.lock();
        if let Some(slot) = slots.iter().find(|slot| slot.question == question && slot.stands(now)) {
            return Some(Arc::clone(slot));
        }
        slots.retain(|slot| slot.stands(now));
        let bytes: usize = slots.iter().map(|slot| slot.bytes()).sum();
        if slots.len() >= MAX_ANSWERS || bytes + question.len() > MAX_BYTES {
            return None;
        }
        let slot = Arc::new(Slot { question, asked: now, answer: OnceCell::new() });
        slots.push(Arc::clone(&slot));
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_question_is_answered_once_a_second_and_once_for_all_who_wait() {
        let (cache, made) = (Cache::default(), AtomicUsize::new(0));
        let ask = |question: &str, now| {
            let made = &made;
            cache.get(question.to_owned(), now, async move {
                tokio::task::yield_now().await;
                Ok(Bytes::from(made.fetch_add(1, Ordering::Relaxed).to_string()))
            })
        };
        let (a, b) = tokio::join!(ask("x", 0), ask("x", 10));
        assert_eq!((a.unwrap(), b.unwrap()), ("0".into(), "0".into()));
        assert_eq!(ask("x", STANDS - 1).await.unwrap(), "0");
        assert_eq!(ask("y", STANDS - 1).await.unwrap(), "1");
        assert_eq!(ask("x", STANDS).await.unwrap(), "2");
    }

    #[tokio::test]
    async fn errors_are_not_kept_and_room_is_limited() {
        let cache = Cache::default();
        let failed = cache.get("x".into(), 0, async { Err(Problem::internal("no")) }).await;
        assert!(failed.is_err());
        assert_eq!(cache.get("x".into(), 0, async { Ok("yes".into()) }).await.unwrap(), "yes");
        for n in 0..2 * MAX_ANSWERS {
            cache.get(format!("q{n}"), 0, async { Ok("a".into()) }).await.unwrap();
        }
        assert_eq!(cache.0.lock().len(), MAX_ANSWERS);
        let large = "q".repeat(MAX_BYTES + 1);
        assert_eq!(cache.get(large, 2 * STANDS, async { Ok("b".into()) }).await.unwrap(), "b");
        assert_eq!(cache.0.lock().len(), 0);
    }
}
