//! A simple query's text into its statements, and what each is for.

/// The statements of a text with where each begins, in bytes; empty ones are left out.
pub fn statements(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let (mut found, mut begin, mut at) = (Vec::new(), 0, 0);
    let mut push = |begin: usize, end: usize| {
        let statement = &text[begin..end];
        if !is_blank(statement) {
            found.push((begin, statement));
        }
    };
    while at < bytes.len() {
        match bytes[at] {
            b';' => {
                push(begin, at);
                at += 1;
                begin = at;
            }
            _ => at = skip(text, at),
        }
    }
    push(begin, bytes.len());
    found
}

/// The place after the token, or the part of one, that begins at `at`. Always at the border of a character.
fn skip(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let until = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |n| from + n + end.len());
    let bytes = rest.as_bytes();
    let length = match bytes[0] {
        b'\'' => quoted(bytes, b'\'', escapes(text, at)),
        b'"' => quoted(bytes, b'"', false),
        b'-' if bytes.get(1) == Some(&b'-') => until(2, "\n"),
        b'/' if bytes.get(1) == Some(&b'*') => comment(bytes),
        b'$' if !is_word_before(text, at) => match dollar_tag(rest) {
            Some(tag) => until(tag.len(), tag),
            None => 1,
        },
        _ => rest.chars().next().map_or(1, char::len_utf8),
    };
    at + length
}

/// Whether the quote at `at` is one of `E'…'`, in which a backslash escapes.
fn escapes(text: &str, at: usize) -> bool {
    let before = &text.as_bytes()[..at];
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    matches!(before.last(), Some(b'e' | b'E')) && !before.iter().rev().nth(1).is_some_and(is_word)
}

fn quoted(bytes: &[u8], quote: u8, escapes: bool) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (b'/', b'*') => {
                depth += 1;
                at += 2;
            }
            (b'*', b'/') => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

fn is_word_before(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

/// `$$` or `$name$` at the beginning of a text.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 2;
    let name = &text[1..end - 1];
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_numeric());
    is_name.then(|| &text[..end])
}

/// Whether there is nothing but spaces and comments.
pub fn is_blank(text: &str) -> bool {
    without_comments(text).is_empty()
}

/// The text from its first word on.
fn without_comments(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let next = if rest.starts_with("--") || rest.starts_with("/*") { skip(rest, 0) } else { return rest };
        rest = rest[next..].trim_start();
    }
}

/// The words, numbers and signs of a short statement, texts without their quotes; none of a long one.
pub fn words(text: &str) -> Vec<String> {
    const MOST: usize = 2_000;
    let mut rest = without_comments(text);
    let mut words = Vec::new();
    if rest.len() > MOST {
        // Enough to say what it is.
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(0);
        return vec![rest[..end].to_owned()];
    }
    while !rest.is_empty() {
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '*' | '+' | ':');
        let end = match rest.as_bytes()[0] {
            quote @ (b'\'' | b'"') => {
                let end = quoted(rest.as_bytes(), quote, false);
                let has_end = end > 1 && rest.as_bytes()[end - 1] == quote;
                words.push(rest[1..end - usize::from(has_end)].to_owned());
                end
            }
            _ => {
                let end =
                    rest.find(|c| !word(c)).unwrap_or(rest.len()).max(rest.chars().next().map_or(1, char::len_utf8));
                words.push(rest[..end].to_owned());
                end
            }
        };
        rest = without_comments(&rest[end..]);
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn semicolons_within_something_split_nothing() {
        for (text, parts) in [
            ("SELECT 1", &["SELECT 1"][..]),
            ("SELECT 1; SELECT 2;", &["SELECT 1", " SELECT 2"]),
            (" ;; -- nothing\n;", &[]),
            ("SELECT ';'; SELECT 'it''s;'", &["SELECT ';'", " SELECT 'it''s;'"]),
            (r"SELECT E'\';'; SELECT '\'", &[r"SELECT E'\';'", r" SELECT '\'"]),
            (
                "SELECT \";\" -- ;\n; /* ; /* ; */ ; */ SELECT 2",
                &["SELECT \";\" -- ;\n", " /* ; /* ; */ ; */ SELECT 2"],
            ),
            ("SELECT $$;$$; SELECT $a$;$$;$a$", &["SELECT $$;$$", " SELECT $a$;$$;$a$"]),
            ("SELECT $1; SELECT a$1;", &["SELECT $1", " SELECT a$1"]),
            ("SELECT 'no end;", &["SELECT 'no end;"]),
            ("", &[]),
        ] {
            let found: Vec<&str> = statements(text).into_iter().map(|(_, statement)| statement).collect();
            assert_eq!(found, parts, "{text}");
        }
    }

    #[test]
    fn words_are_those_of_settings() {
        assert_eq!(words("/* x */ SET statement_timeout = '5s'"), ["SET", "statement_timeout", "=", "5s"]);
        assert_eq!(words("set extra_float_digits to -1 -- y"), ["set", "extra_float_digits", "to", "-", "1"]);
        assert_eq!(words("UNLISTEN *"), ["UNLISTEN", "*"]);
        assert_eq!(words("'"), [""]);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_is_lost(text in "[-a-zE$;'\"/*\\\\\n é0-9]{0,60}") {
            let kept: usize = statements(&text).iter().map(|(_, statement)| statement.len()).sum();
            prop_assert!(kept <= text.len());
            for (at, statement) in statements(&text) {
                prop_assert_eq!(&text[at..at + statement.len()], statement);
            }
            let _ = words(&text);
        }
    }
}
