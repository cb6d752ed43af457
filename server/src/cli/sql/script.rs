//! Text into statements: at semicolons, but not at those within quotes and comments.

/// The statements of a text, and what stands after the last semicolon.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Complete ones, without their semicolons.
    pub statements: Vec<String>,
    /// The rest.
    pub rest: String,
}

enum State {
    Code,
    Quoted(char),
    LineComment,
    BlockComment(usize),
}

/// Splits a text. An unclosed quote or comment keeps everything from its statement on in the rest.
pub fn split(text: &str) -> Script {
    let mut script = Script::default();
    let mut state = State::Code;
    let mut chars = text.chars().peekable();
    let mut current = String::new();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let mut take_next = false;
        state = match state {
            State::Code => match (c, next) {
                (';', _) => {
                    let statement = std::mem::take(&mut current);
                    if !is_blank(&statement) {
                        script.statements.push(statement.trim().to_owned());
                    }
                    continue;
                }
                ('\'' | '"', _) => State::Quoted(c),
                ('-', Some('-')) => State::LineComment,
                ('/', Some('*')) => {
                    take_next = true;
                    State::BlockComment(1)
                }
                _ => State::Code,
            },
            // A doubled quote closes and opens again at once, which comes to the same.
            State::Quoted(quote) if c == quote => State::Code,
            State::LineComment if c == '\n' => State::Code,
            State::BlockComment(depth) => match (c, next) {
                ('*', Some('/')) => {
                    take_next = true;
                    if depth == 1 { State::Code } else { State::BlockComment(depth - 1) }
                }
                ('/', Some('*')) => {
                    take_next = true;
                    State::BlockComment(depth + 1)
                }
                _ => State::BlockComment(depth),
            },
            other => other,
        };
        current.push(c);
        if take_next {
            current.extend(chars.next());
        }
    }
    script.rest = current;
    script
}

/// Whether a text has nothing to run: white space and line comments.
pub fn is_blank(text: &str) -> bool {
    text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with("--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        let script = split("select ';', \"a;b\" -- ;\n; /* ; /* ; */ ; */ select 'it''s;' ; select 1");
        assert_eq!(script.statements, ["select ';', \"a;b\" -- ;", "/* ; /* ; */ ; */ select 'it''s;'"]);
        assert_eq!(script.rest, " select 1");
    }

    #[test]
    fn what_is_not_closed_is_not_a_statement_yet() {
        assert_eq!(split("select 'a;").statements, Vec::<String>::new());
        assert_eq!(split("select 1 /* ;").rest, "select 1 /* ;");
        assert_eq!(split(";; -- nothing\n;").statements, Vec::<String>::new());
    }
}
