//! Taking out letters whatever their state, by what they say, and every older record of them with the space.

use super::*;
use crate::erase::Ids;

impl DeadLetters {
    /// Removes every letter that names one of these ids, in its event, its message or the ids it was tried under. Durable on
    /// return, and so is what was garbage before. It may be repeated.
    ///
    /// # Errors
    /// The disk's.
    pub fn erase(&self, ids: &Ids) -> Result<usize> {
        let names = |kept: &Kept| {
            ids.mentioned_in(&kept.letter.original)
                || ids.mentioned_in(kept.letter.message.as_bytes())
                || self.tries(kept.id).iter().any(|tried| ids.mentioned_in(tried.event_id.as_bytes()))
        };
        let (mut from, end) = (Cursor::default(), self.end());
        let mut gone = HashSet::new();
        while from < end {
            let (page, next) = self.page(&Filter::default(), from, end, PAGE_LOOKS, Parts::Whole)?;
            gone.extend(page.iter().filter(|kept| names(kept)).map(|kept| kept.id));
            from = next;
        }
        let segments: Vec<u64> = {
            let mut state = self.state.lock();
            state.usable()?;
            state.index.forget(|entry| gone.contains(&entry.id));
            self.changed(&state);
            state.index.segments.keys().copied().collect()
        };
        for number in segments {
            self.compact(&mut self.state.lock(), number)?;
        }
        Ok(gone.len())
    }
}
