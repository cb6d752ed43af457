//! JSON bodies → events: one object, an array, or NDJSON, told apart by looking.
//!
//! A body that starts with `[` is an array; one whose text is a single object (over several lines, too) is one event;
//! anything else is NDJSON. A byte order mark is skipped, lines may end in CRLF, blank lines do not count.
//!
//! What is broken costs only itself. A line or an array element that does not parse is rejected with its index. Where
//! an element of an array is malformed, the next one is found by following quotes and brackets alone; so it does not
//! hide the ones after it, and in an array that breaks off, the complete elements count and the rest is one rejected
//! element, as is text after the closing bracket. Only a body of which nothing at all is JSON is an error as a whole
//! (`invalid_json`).

use std::ops::Range;

use bytes::Bytes;

use super::scan::{self, matches};
use super::{DecodeContext, Decoded, Sink};
use crate::error::{Error, Result};

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Decodes a whole body.
pub(super) fn decode(body: &Bytes, ctx: &DecodeContext) -> Result<Decoded> {
    let start = if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let all = trimmed(body, start..body.len());
    if all.is_empty() {
        return Err(Error::invalid("empty_body", "the body is empty")
            .with_hint("send one JSON object, a JSON array of them, or one on each line"));
    }
    let mut sink = Sink::new(body, ctx);
    if body[all.start] == b'[' && !is_line_of_many(body, &all) {
        array(body, all, &mut sink)?;
    } else if is_one_object(body, &all) {
        sink.event(all)?;
    } else {
        lines(body, all, &mut sink)?;
    }
    sink.finish()
}

/// Whether the body is one object rather than one on each line.
fn is_one_object(body: &[u8], all: &Range<usize>) -> bool {
    let is_json = |range: Range<usize>| is_json(body, range);
    match find_newline(&body[all.clone()]) {
        None => true,
        Some(at) => {
            body[all.start] == b'{' && !is_json(trimmed(body, all.start..all.start + at)) && is_json(all.clone())
        }
    }
}

/// Whether an array that begins the body is a bad line among others, and not the body: it ends where its line does, and more
/// lines follow.
fn is_line_of_many(body: &[u8], all: &Range<usize>) -> bool {
    find_newline(&body[all.clone()]).is_some_and(|at| is_json(body, trimmed(body, all.start..all.start + at)))
}

fn is_json(body: &[u8], range: Range<usize>) -> bool {
    std::str::from_utf8(&body[range]).is_ok_and(|text| scan::check(text).is_ok())
}

fn lines(body: &[u8], all: Range<usize>, sink: &mut Sink<'_>) -> Result<()> {
    let mut at = all.start;
    while at < all.end {
        let end = find_newline(&body[at..all.end]).map_or(all.end, |length| at + length);
        let line = trimmed(body, at..end);
        if !line.is_empty() {
            sink.event(line)?;
        }
        at = end + 1;
    }
    Ok(())
}

/// Takes the elements of the array that is all of the range.
pub(super) fn array(body: &[u8], all: Range<usize>, sink: &mut Sink<'_>) -> Result<()> {
    let mut at = all.start + 1;
    if trimmed(body, at..all.end).len() == 1 && body[all.end - 1] == b']' {
        return Ok(());
    }
    loop {
        let start = trimmed(body, at..all.end).start;
        let (end, stop) = match sink.element(start)? {
            Some(end) => (end, if body[end] == b',' { Stop::Comma } else { Stop::Bracket }),
            None => {
                let (end, stop) = element_end(&body[..all.end], start);
                sink.event(trimmed(body, start..end))?;
                (end, stop)
            }
        };
        at = end + 1;
        match stop {
            Stop::Comma => {}
            Stop::Bracket => break,
            Stop::End => return Ok(()),
        }
    }
    let rest = trimmed(body, at..all.end);
    if rest.is_empty() { Ok(()) } else { sink.event(rest) }
}

/// What follows an element of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Comma,
    Bracket,
    End,
}

/// Where the element that starts at `at` ends: at the first comma or closing bracket outside strings and brackets.
fn element_end(bytes: &[u8], mut at: usize) -> (usize, Stop) {
    let mut depth = 0usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at + 1),
            b'{' | b'[' => depth += 1,
            b']' if depth == 0 => return (at, Stop::Bracket),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return (at, Stop::Comma),
            _ => {}
        }
        at += 1;
    }
    (bytes.len(), Stop::End)
}

/// Where the object or array that starts at `at` ends, behind its closing bracket, following quotes and brackets alone.
pub(super) fn container_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at + 1),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the string that starts at `at` has its closing quote, or the end. Eight bytes at a time.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        let stop = match bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            Some(chunk) => {
                let word = u64::from_le_bytes(*chunk);
                let found = matches(word, b'"') | matches(word, b'\\');
                if found == 0 {
                    at += 8;
                    continue;
                }
                at + found.trailing_zeros() as usize / 8
            }
            None => match bytes.get(at..).and_then(|rest| rest.iter().position(|b| matches!(b, b'"' | b'\\'))) {
                Some(offset) => at + offset,
                None => return bytes.len(),
            },
        };
        if bytes[stop] == b'"' {
            return stop;
        }
        at = stop + 2;
    }
}

fn find_newline(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = matches(u64::from_le_bytes(*chunk), b'\n');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    bytes[at..].iter().position(|&b| b == b'\n').map(|offset| at + offset)
}

/// The range without the white space of JSON at its ends.
pub(super) fn trimmed(body: &[u8], range: Range<usize>) -> Range<usize> {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let Range { mut start, mut end } = range;
    while start < end && is_space(&body[start]) {
        start += 1;
    }
    while start < end && is_space(&body[end - 1]) {
        end -= 1;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_find_what_bytes_find(text in "[a\"\\\\\n]{0,40}", from in 0usize..40) {
            let bytes = text.as_bytes();
            prop_assert_eq!(find_newline(bytes), bytes.iter().position(|&b| b == b'\n'));
            let from = from.min(bytes.len());
            let mut at = from;
            let naive = loop {
                match bytes.get(at) {
                    None => break bytes.len(),
                    Some(b'"') => break at,
                    Some(b'\\') => at += 2,
                    Some(_) => at += 1,
                }
            };
            prop_assert_eq!(string_end(bytes, from), naive);
        }
    }
}
