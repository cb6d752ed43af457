//! LIKE patterns, taken apart once a query; and the bytes of a whole dictionary searched in one go.
//!
//! Searching text by text costs more for setting out than for looking. So for a pattern of one piece (`%sku_0012%`) the
//! buffers behind a column of views are searched from end to end, once, and a row only asks whether a find lies within
//! its text.

use arrow::array::{Array, BooleanArray, ByteView, StringViewArray};
use arrow::buffer::{BooleanBuffer, Buffer};
use memchr::memmem::Finder;

use super::INLINE_BYTES;

/// Bytes of a buffer that share an entry of [`Finds::first`] and a bit of [`Finds::blocks`].
const BLOCK_BYTES: usize = 32;
/// More places to look at than one for this many bytes are not worth a list.
const BYTES_PER_PLACE: usize = 8;

/// What stands between two `%`.
#[derive(Debug)]
struct Piece {
    parts: Vec<Part>,
    /// The longest text among the parts and which it is; `None` when there are only `_`.
    anchor: Option<(usize, Finder<'static>)>,
}

#[derive(Debug)]
enum Part {
    Text(Vec<u8>),
    /// `_`: one character, of one to four bytes.
    Char,
}

/// Bytes of the character that begins with `first`.
fn char_bytes(first: u8) -> usize {
    match first {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}

impl Piece {
    fn parse(words: &str) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for (n, text) in words.split('_').enumerate() {
            if n > 0 {
                parts.push(Part::Char);
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.as_bytes().to_vec()));
            }
        }
        let texts = parts.iter().enumerate().filter_map(|(n, part)| match part {
            Part::Text(text) => Some((n, text)),
            Part::Char => None,
        });
        let anchor = texts.max_by_key(|(_, text)| text.len()).map(|(n, text)| (n, Finder::new(text).into_owned()));
        Self { parts, anchor }
    }

    /// Bytes of the shortest text that matches.
    fn least_bytes(&self) -> usize {
        let least = |part: &Part| if let Part::Text(text) = part { text.len() } else { 1 };
        self.parts.iter().map(least).sum()
    }

    /// Where a match of these parts that begins at `at` ends.
    fn forward(parts: &[Part], bytes: &[u8], mut at: usize) -> Option<usize> {
        for part in parts {
            at += match part {
                Part::Text(text) => bytes.get(at..)?.starts_with(text).then_some(text.len())?,
                Part::Char => char_bytes(*bytes.get(at)?),
            };
        }
        (at <= bytes.len()).then_some(at)
    }

    /// Where a match of these parts that ends at `at` begins.
    fn backward(parts: &[Part], bytes: &[u8], mut at: usize) -> Option<usize> {
        for part in parts.iter().rev() {
            at = match part {
                Part::Text(text) => bytes.get(..at)?.ends_with(text).then(|| at - text.len())?,
                Part::Char => bytes.get(..at)?.iter().rposition(|byte| byte & 0xc0 != 0x80)?,
            };
        }
        Some(at)
    }

    /// The first match that begins at or after `from`.
    fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        let Some((n, finder)) = &self.anchor else {
            return Some((from, Self::forward(&self.parts, bytes, from)?));
        };
        let mut next = from;
        loop {
            let at = next + finder.find(bytes.get(next..)?)?;
            let found = self.around(*n, bytes, at).filter(|(start, _)| *start >= from);
            if found.is_some() {
                return found;
            }
            next = at + 1;
        }
    }

    /// The match whose part `n` is at `at`.
    fn around(&self, n: usize, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let (before, rest) = self.parts.split_at(n);
        Some((Self::backward(before, bytes, at)?, Self::forward(rest, bytes, at)?))
    }
}

/// A LIKE pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    /// In order; none is empty.
    pieces: Vec<Piece>,
    /// Whether anything may stand before the first piece.
    open_start: bool,
    /// Whether anything may stand after the last.
    open_end: bool,
    least_bytes: usize,
}

impl Pattern {
    /// `None` for patterns with an escape, and for those without anything to look for.
    pub(super) fn parse(pattern: &str) -> Option<Self> {
        let pieces: Vec<Piece> = pattern.split('%').filter(|words| !words.is_empty()).map(Piece::parse).collect();
        if pieces.is_empty() || pattern.contains('\\') {
            return None;
        }
        let least_bytes = pieces.iter().map(Piece::least_bytes).sum();
        let (open_start, open_end) = (pattern.starts_with('%'), pattern.ends_with('%'));
        Some(Self { pieces, open_start, open_end, least_bytes })
    }

    /// Whether a text matches. What stands between two `%` has a fixed number of characters, so that taking each
    /// piece's first match is enough.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let (mut pieces, mut from) = (self.pieces.as_slice(), 0);
        if !self.open_start
            && let [first, rest @ ..] = pieces
        {
            let Some(end) = Piece::forward(&first.parts, text, 0) else { return false };
            if rest.is_empty() && !self.open_end {
                return end == text.len();
            }
            (pieces, from) = (rest, end);
        }
        let mut last = None;
        if !self.open_end
            && let [rest @ .., end] = pieces
        {
            (pieces, last) = (rest, Some(end));
        }
        for piece in pieces {
            let Some((_, end)) = piece.find(text, from) else { return false };
            from = end;
        }
        last.is_none_or(|piece| Piece::backward(&piece.parts, text, text.len()).is_some_and(|start| start >= from))
    }

    /// What LIKE says of each text.
    pub(super) fn compare(&self, texts: &StringViewArray, negated: bool) -> BooleanArray {
        let bits = BooleanBuffer::collect_bool(texts.len(), |row| {
            texts.is_valid(row) && self.matches(texts.value(row).as_bytes()) != negated
        });
        BooleanArray::new(bits, texts.nulls().cloned())
    }

    /// Searches buffers for a pattern of one piece. `None` for others, and when there are so many places to look at
    /// that text by text is better.
    pub(super) fn search(&self, buffers: &[Buffer]) -> Option<Vec<Finds>> {
        let [piece] = self.pieces.as_slice() else { return None };
        buffers.iter().map(|buffer| Finds::of(piece, buffer)).collect()
    }

    /// What LIKE says of each text, given the finds in its buffers.
    pub(super) fn among(&self, texts: &StringViewArray, finds: &[Finds], negated: bool) -> BooleanArray {
        let views = texts.views();
        let bits = BooleanBuffer::collect_bool(views.len(), |row| self.is_among(views[row], finds) != negated);
        BooleanArray::new(bits, texts.nulls().cloned())
    }

    #[expect(clippy::cast_possible_truncation, reason = "a view begins with its length in 32 bits")]
    fn is_among(&self, view: u128, finds: &[Finds]) -> bool {
        let length = view as u32;
        if (length as usize) < self.least_bytes {
            return false;
        }
        if length <= INLINE_BYTES {
            return self.matches(&view.to_le_bytes()[4..4 + length as usize]);
        }
        let text = ByteView::from(view);
        let Some(finds) = finds.get(text.buffer_index as usize) else { return false };
        let (start, end) = (text.offset, text.offset + text.length);
        finds.near(start, end)
            && finds.from(start).take_while(|find| find.at < end).any(|find| {
                (if self.open_start { find.start >= start } else { find.start == start })
                    && (if self.open_end { find.end <= end } else { find.end == end })
            })
    }
}

/// A match in a buffer, which may reach across texts.
#[derive(Debug, Clone, Copy)]
struct Find {
    start: u32,
    end: u32,
    /// Where its anchor is: from `start` to `end`.
    at: u32,
}

/// The matches of a piece in a buffer, overlaps included: one across two texts must not hide one within the second.
#[derive(Debug)]
pub(super) struct Finds {
    /// By `at`.
    all: Vec<Find>,
    /// For each block of the buffer, the first of `all` whose `at` is in it or after.
    first: Vec<u32>,
    /// For each block, whether any `at` is in it: so little memory that most rows are done with it alone.
    blocks: Vec<u64>,
}

impl Finds {
    fn of(piece: &Piece, buffer: &[u8]) -> Option<Self> {
        let (n, finder) = piece.anchor.as_ref()?;
        let number = |n: usize| u32::try_from(n).ok();
        let (mut all, mut next, mut places) = (Vec::new(), 0, 0);
        while let Some(found) = finder.find(&buffer[next..]) {
            let at = next + found;
            next = at + 1;
            places += 1;
            if places > 1 + buffer.len() / BYTES_PER_PLACE {
                return None;
            }
            if let Some((start, end)) = piece.around(*n, buffer, at) {
                all.push(Find { start: number(start)?, end: number(end)?, at: number(at)? });
            }
        }
        let (mut first, mut blocks) = (Vec::new(), Vec::new());
        if !all.is_empty() {
            let mut index = 0;
            blocks.resize(buffer.len() / BLOCK_BYTES / 64 + 2, 0);
            for find in &all {
                let block = find.at as usize / BLOCK_BYTES;
                blocks[block / 64] |= 1 << (block % 64);
            }
            first.reserve(buffer.len() / BLOCK_BYTES + 1);
            for block in (0..=buffer.len()).step_by(BLOCK_BYTES) {
                while all.get(index).is_some_and(|find: &Find| (find.at as usize) < block) {
                    index += 1;
                }
                first.push(number(index)?);
            }
        }
        Some(Self { all, first, blocks })
    }

    /// Whether any `at` is in a block that the text from `start` to `end` touches.
    fn near(&self, start: u32, end: u32) -> bool {
        let (from, to) = (start as usize / BLOCK_BYTES, end.saturating_sub(1) as usize / BLOCK_BYTES);
        let word = |n: usize| self.blocks.get(n).copied().unwrap_or(0);
        if to - from >= 64 {
            return !self.all.is_empty();
        }
        // The 64 blocks from `from` on: they lie in two words.
        let (low, high) = (word(from / 64), word(from / 64 + 1));
        let bits = (u128::from(high) << 64 | u128::from(low)) >> (from % 64);
        bits & ((1 << (to - from + 1)) - 1) != 0
    }

    /// The matches whose anchor is at or after `start`.
    fn from(&self, start: u32) -> impl Iterator<Item = &Find> {
        let index = self.first.get(start as usize / BLOCK_BYTES).map_or(usize::MAX, |&index| index as usize);
        self.all.get(index..).unwrap_or_default().iter().skip_while(move |find| find.at < start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(pattern: &str, texts: &[&str]) -> Vec<bool> {
        let texts = StringViewArray::from(texts.to_vec());
        let pattern = Pattern::parse(pattern).unwrap();
        let finds = pattern.search(texts.data_buffers()).unwrap();
        pattern.among(&texts, &finds, false).values().iter().collect()
    }

    #[test]
    fn a_find_across_two_texts_neither_counts_nor_hides_the_next() {
        // The view array puts texts end to end: "…xab" + "aba3…" holds "aba" across the border and within the second.
        let texts = ["0123456789xab", "aba3456789012y", "xaba"];
        assert_eq!(outcome("%aba%", &texts), [false, true, true]);
        assert_eq!(outcome("%ab_%", &texts), [false, true, true]);
        assert_eq!(outcome("aba%", &texts), [false, true, false]);
        assert_eq!(outcome("%ab", &texts), [true, false, false]);
    }

    #[test]
    fn an_underscore_is_one_character_whatever_its_bytes() {
        let texts = ["0123456789 sku_0012", "0123456789 skué0012", "0123456789 skuéé0012", "sku😀0012 0123456789"];
        assert_eq!(outcome("%sku_0012%", &texts), [true, true, false, true]);
        assert_eq!(outcome("%sku_0012", &texts), [true, true, false, false]);
        assert_eq!(outcome("sku_0012 _________9", &texts), [false, false, false, true]);
    }

    #[test]
    fn words_that_are_everywhere_are_not_listed() {
        let texts = StringViewArray::from(vec!["a".repeat(400)]);
        assert!(Pattern::parse("%aaa%").unwrap().search(texts.data_buffers()).is_none());
    }
}
