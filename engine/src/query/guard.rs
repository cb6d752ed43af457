//! What a stranger's SQL may be, decided before anything recurses over it.
//!
//! A few kilobytes of `1+1+…`, `OR` or `UNION ALL` overflow the stack of the parser or planner and abort the process,
//! which nothing can catch. So text and tokens are counted first; then the parsed statement must be on an allow-list:
//! one statement that reads, over tables that exist. Common table expressions are inlined by the planner, so ten lines
//! can stand for billions of scans: the sum is computed here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::sql::parser::{DFParserBuilder, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, ObjectName, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::dialect::{TidelineDialect, is_has_key};
use super::errors;
use super::surface::Surface;
use crate::error::{Error, Kind, Position, Result};

/// The most nesting the parser accepts.
const MAX_DEPTH: usize = 60;
/// The most table references after inlining common table expressions.
const MAX_RELATIONS: u64 = 200;
/// The most grouping sets CUBE, ROLLUP and GROUPING SETS may stand for: each costs memory the pool does not see.
const MAX_GROUPING_SETS: u64 = 64;
/// The most calls, casts and CASEs within each other, through subqueries too where the planner merges those: it works out
/// the type of each level several times for the level above, so planning takes exponential time and cannot be stopped.
pub(super) const MAX_NESTED_CALLS: usize = 18;
/// Functions that are planned as a CASE with their argument in it twice, and count so.
const TWICE: [&str; 4] = ["coalesce", "nvl", "nvl2", "ifnull"];
/// The parser counts several levels for one of ours.
const PARSER_RECURSION: usize = 400;

/// What can be read besides the tables: `information_schema`, without the settings (they name folders of the host).
const INFORMATION_SCHEMA: [&str; 6] = ["tables", "views", "columns", "schemata", "routines", "parameters"];
/// Functions that stand where a table stands.
const TABLE_FUNCTIONS: [&str; 3] = ["generate_series", "range", "unnest"];

/// The limits of a query's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextLimits {
    pub(super) max_bytes: usize,
    pub(super) max_operators: usize,
    pub(super) max_calls: usize,
}

/// What can be read, by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readable<'a> {
    /// The tables and views of everyone.
    pub(super) tables: &'a [String],
    /// What is there besides, for whoever asks through it.
    pub(super) surface: Option<&'a Surface>,
}

impl Readable<'_> {
    /// Whether one may read a table, or a function in a table's place, of this schema or of none.
    fn has(&self, schema: Option<&str>, table: &str) -> bool {
        let is_table = self.tables.iter().any(|known| known == table);
        match schema {
            None => {
                is_table
                    || TABLE_FUNCTIONS.contains(&table)
                    || self.surface.is_some_and(|surface| surface.has_function(table))
            }
            Some(schema) => {
                (schema == super::session::SCHEMA && is_table)
                    || self.surface.is_some_and(|surface| surface.has(schema, table))
            }
        }
    }
}

/// Parses `sql` when it is small enough, or says what is wrong with it. `readable` are the names that can be read.
pub(super) fn check(sql: &str, limits: TextLimits, readable: Readable<'_>) -> Result<DfStatement> {
    if sql.len() > limits.max_bytes {
        return Err(Error::new(
            Kind::TooLarge,
            "query_too_large",
            format!("the query has {} bytes; at most {} are accepted", sql.len(), limits.max_bytes),
        )
        .with_hint("bind long lists as parameters of fewer values, or split the query"));
    }
    let tokens = Tokenizer::new(&TidelineDialect, sql).tokenize_with_location().map_err(errors::from_tokenizer)?;
    count(&tokens, limits.max_operators)?;
    let mut statements = parse(sql, &tokens, readable.surface).map_err(|e| at_end(refuse_or(e, &tokens), &tokens))?;
    let Some(statement) = statements.pop_front() else {
        return Err(Error::invalid("syntax_error", "the query is empty").with_hint("send one SELECT statement"));
    };
    if !statements.is_empty() {
        return Err(
            read_only("several statements in one request are refused").with_hint("send one statement a request")
        );
    }
    allow(&statement, limits, readable)?;
    Ok(statement)
}

/// Into statements, by the reader that is there for such a text. What a reader makes of it is held against the same
/// allow-list as everything else.
fn parse(sql: &str, tokens: &[TokenWithSpan], surface: Option<&Surface>) -> DfResult<VecDeque<DfStatement>> {
    if let Some(surface) = surface {
        let bare: Vec<Token> = tokens.iter().map(|token| token.token.clone()).collect();
        if surface.reader.claims(&bare) {
            let read = surface.reader.read(sql).map_err(|e| DataFusionError::SQL(Box::new(e), None))?;
            return Ok(read.into_iter().map(|statement| DfStatement::Statement(Box::new(statement))).collect());
        }
    }
    DFParserBuilder::new(sql)
        .with_dialect(&TidelineDialect)
        .with_recursion_limit(PARSER_RECURSION)
        .build()
        .and_then(|mut parser| parser.parse_statements())
}

/// Where a text that ends too early ends.
fn at_end(mut error: Error, tokens: &[TokenWithSpan]) -> Error {
    if error.code == "syntax_error" && error.position.is_none() {
        let last = tokens.iter().rfind(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF));
        error.position = last.map(|t| Position { line: t.span.end.line, column: t.span.end.column });
    }
    error
}

/// A statement that does not parse is still a write when it starts like one: that is the more useful answer.
fn refuse_or(error: DataFusionError, tokens: &[TokenWithSpan]) -> Error {
    let first = tokens.iter().find_map(|t| match &t.token {
        Token::Word(word) => Some(word.value.to_uppercase()),
        _ => None,
    });
    match first.as_deref() {
        None | Some("SELECT" | "WITH" | "EXPLAIN" | "DESCRIBE" | "DESC" | "SHOW" | "VALUES" | "FROM" | "TABLE") => {
            errors::from_datafusion(error)
        }
        Some(word) => {
            const WRITES: [&str; 24] = [
                "INSERT",
                "UPDATE",
                "DELETE",
                "MERGE",
                "CREATE",
                "DROP",
                "ALTER",
                "TRUNCATE",
                "COPY",
                "SET",
                "RESET",
                "PREPARE",
                "EXECUTE",
                "DEALLOCATE",
                "GRANT",
                "REVOKE",
                "BEGIN",
                "COMMIT",
                "ROLLBACK",
                "CALL",
                "ATTACH",
                "LOAD",
                "INSTALL",
                "VACUUM",
            ];
            if WRITES.contains(&word) {
                return read_only(format!("{word} is refused"));
            }
            errors::from_datafusion(error)
        }
    }
}

/// The error of everything that is not reading.
fn read_only(message: impl Into<String>) -> Error {
    let message = format!("SQL is read-only here: {}", message.into());
    Error::new(Kind::Forbidden, "read_only", message).with_hint("use SELECT, EXPLAIN, SHOW TABLES or DESCRIBE")
}

/// The error of what the parser takes and the planner passes over: the answer would be that of another question.
fn passed_over(what: &str, hint: &str) -> Error {
    Error::invalid("not_supported", format!("{what} is not supported")).with_hint(hint)
}

fn too_complex(message: String, at: Option<Position>) -> Error {
    let error = Error::invalid("query_too_complex", message)
        .with_hint("split the query, or use IN (…) or a VALUES list instead of long chains of operators");
    match at {
        Some(position) => error.with_position(position),
        None => error,
    }
}

fn position(token: &TokenWithSpan) -> Option<Position> {
    let start = token.span.start;
    (start.line > 0).then_some(Position { line: start.line, column: start.column })
}

/// Counts what makes the parser and planner recurse: operators (they chain to the left without nesting) and brackets.
/// Commas and literals are free, so a long IN list is fine.
fn count(tokens: &[TokenWithSpan], max_operators: usize) -> Result<()> {
    let mut operators = 0usize;
    let mut depth = 0usize;
    let mut before = &Token::EOF;
    for token in tokens {
        // The sign of a literal in a list is no operator.
        let sign = token.token == Token::Minus && matches!(before, Token::LParen | Token::Comma);
        if !matches!(token.token, Token::Whitespace(_)) {
            before = &token.token;
        }
        match &token.token {
            _ if sign => {}
            Token::LParen | Token::LBracket | Token::LBrace => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(too_complex(
                        format!("the query nests deeper than {MAX_DEPTH} levels"),
                        position(token),
                    ));
                }
                // Subscripts chain without nesting: a[1][1][1]…
                operators += usize::from(token.token == Token::LBracket);
            }
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            other => operators += usize::from(is_operator(other)),
        }
        if operators > max_operators {
            let message = format!("the query has more than {max_operators} operators");
            return Err(too_complex(message, position(token)));
        }
    }
    Ok(())
}

fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::XOR
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::IN
                | Keyword::IS
                | Keyword::CASE
                | Keyword::WHEN
                | Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
                | Keyword::JOIN
                | Keyword::SELECT
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::DIV
                | Keyword::OVER
        ),
        token if is_has_key(token) => true,
        // These carry or separate values; everything else that is not one of them is an operator of some dialect.
        Token::EOF
        | Token::Number(..)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::TripleSingleQuotedString(_)
        | Token::TripleDoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::SingleQuotedByteStringLiteral(_)
        | Token::DoubleQuotedByteStringLiteral(_)
        | Token::SingleQuotedRawStringLiteral(_)
        | Token::DoubleQuotedRawStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::Comma
        | Token::Whitespace(_)
        | Token::Period
        | Token::SemiColon
        | Token::Placeholder(_) => false,
        _ => true,
    }
}

/// The allow-list over the parsed statement.
fn allow(statement: &DfStatement, limits: TextLimits, readable: Readable<'_>) -> Result<()> {
    match statement {
        DfStatement::Explain(explain) => match explain.statement.as_ref() {
            DfStatement::Statement(inner) => match inner.as_ref() {
                Statement::Query(query) => allow_query(query, limits, readable),
                _ => Err(read_only("only a SELECT can be explained")),
            },
            _ => Err(read_only("only a SELECT can be explained")),
        },
        DfStatement::Statement(statement) => match statement.as_ref() {
            Statement::Query(query) => allow_query(query, limits, readable),
            Statement::Explain { statement, .. } => match statement.as_ref() {
                Statement::Query(query) => allow_query(query, limits, readable),
                _ => Err(read_only("only a SELECT can be explained")),
            },
            Statement::ExplainTable { table_name, .. } => allow_name(table_name, readable, &HashMap::new()),
            Statement::ShowTables { .. } | Statement::ShowColumns { .. } | Statement::ShowFunctions { .. } => Ok(()),
            Statement::ShowVariable { .. } | Statement::ShowVariables { .. } => {
                Err(read_only("settings are not shown").with_hint("use SHOW TABLES or SHOW COLUMNS FROM events"))
            }
            other => Err(read_only(format!("{} is refused", first_word(other)))),
        },
        DfStatement::CopyTo(_) => Err(read_only("COPY is refused").with_hint("ask for format=parquet or csv instead")),
        DfStatement::CreateExternalTable(_) => Err(read_only("CREATE EXTERNAL TABLE is refused")),
        DfStatement::Reset(_) => Err(read_only("RESET is refused")),
    }
}

/// The statement's leading keyword, from its own rendering.
fn first_word(statement: &Statement) -> String {
    statement.to_string().split_whitespace().next().unwrap_or("the statement").to_uppercase()
}

fn allow_query(query: &Query, limits: TextLimits, readable: Readable<'_>) -> Result<()> {
    let (names, ctes) = (HashMap::new(), HashMap::new());
    let stack = vec![Frame::default()];
    let mut allow = Allow { readable, max_calls: limits.max_calls, names, ctes, stack, error: None };
    let _ = query.visit(&mut allow);
    match allow.error {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Walks a query once: refuses what writes, names no table, or stands for too much.
struct Allow<'a> {
    readable: Readable<'a>,
    /// See [`MAX_NESTED_CALLS`].
    max_calls: usize,
    /// What each common table expression seen stands for, by lower-case name.
    names: HashMap<String, Stands>,
    /// Which query nodes are the body of which common table expression.
    ctes: HashMap<usize, String>,
    /// The queries being visited, innermost last.
    stack: Vec<Frame>,
    error: Option<Error>,
}

/// What a name stands for when it is put in.
#[derive(Clone, Copy)]
struct Stands {
    /// Table references.
    relations: u64,
    /// Calls within each other.
    calls: usize,
}

/// A query being visited.
#[derive(Default)]
struct Frame {
    /// Its table references.
    relations: u64,
    /// Calls around the expression being visited, and the most so far.
    open_calls: usize,
    calls: usize,
    /// The most calls of what it reads.
    below: usize,
    /// Whether the planner may put the expressions of what it reads into its own.
    merges: bool,
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query) as usize
}

impl Allow<'_> {
    fn stop(&mut self, error: Error) -> ControlFlow<()> {
        self.error.get_or_insert(error);
        ControlFlow::Break(())
    }

    fn add(&mut self, weight: u64) -> ControlFlow<()> {
        if let Some(top) = self.stack.last_mut() {
            top.relations = top.relations.saturating_add(weight);
            if top.relations > MAX_RELATIONS {
                let message = format!("the query stands for more than {MAX_RELATIONS} table references");
                return self.stop(too_complex(message, None));
            }
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Allow<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            if with.recursive {
                return self.stop(
                    too_complex("recursive common table expressions are refused".to_owned(), None)
                        .with_hint("use generate_series(start, end) to make rows"),
                );
            }
            for cte in &with.cte_tables {
                self.ctes.insert(address(&cte.query), cte.alias.name.value.to_lowercase());
                // Known from here on, so that a use is never taken for a missing table; its weight comes after it.
                let stands = Stands { relations: 1, calls: 0 };
                self.names.entry(cte.alias.name.value.to_lowercase()).or_insert(stands);
            }
        }
        if !query.locks.is_empty() || query.for_clause.is_some() {
            return self.stop(read_only("FOR UPDATE and the like are refused"));
        }
        if !query.pipe_operators.is_empty() || query.settings.is_some() {
            return self.stop(read_only("SETTINGS and pipe operators are refused"));
        }
        if let Some(word) = writes(&query.body) {
            return self.stop(read_only(format!("{word} is refused")));
        }
        if query.format_clause.is_some() {
            return self.stop(passed_over("FORMAT", "ask for a format with the request instead"));
        }
        self.stack.push(Frame::default());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let frame = self.stack.pop().unwrap_or_default();
        let calls = frame.calls + if frame.merges { frame.below } else { 0 };
        if calls > self.max_calls {
            let most = self.max_calls;
            let message = format!("more than {most} functions, casts or CASEs are within each other");
            let hint = "take some apart; across subqueries, GROUP BY or DISTINCT between them helps";
            return self.stop(too_complex(message, None).with_hint(hint));
        }
        if let Some(name) = self.ctes.get(&address(query)) {
            let stands = Stands { relations: 1, calls: 0 };
            let known = self.names.entry(name.clone()).or_insert(stands);
            *known = Stands { relations: frame.relations.max(known.relations), calls: calls.max(known.calls) };
        } else if let Some(outer) = self.stack.last_mut() {
            outer.below = outer.below.max(calls);
        }
        self.add(frame.relations)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if select.into.is_some() {
            return self.stop(read_only("SELECT INTO is refused"));
        }
        let reads_one = select.from.len() == 1 && select.from.iter().all(|from| from.joins.is_empty());
        let groups = match &select.group_by {
            GroupByExpr::All(_) => true,
            GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
        };
        if let Some(frame) = self.stack.last_mut() {
            frame.merges |= reads_one && !groups && select.distinct.is_none();
        }
        if !select.connect_by.is_empty() {
            return self.stop(passed_over("CONNECT BY", "join the table with itself as often as there are levels"));
        }
        if select.prewhere.is_some() {
            return self.stop(passed_over("PREWHERE", "write WHERE"));
        }
        if select.value_table_mode.is_some() || select.select_modifiers.is_some() {
            return self.stop(passed_over("a modifier of SELECT", "leave it out"));
        }
        let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = &select.group_by;
        if !modifiers.is_empty() {
            return self
                .stop(passed_over("WITH after GROUP BY", "write GROUP BY ROLLUP (…), CUBE (…) or GROUPING SETS (…)"));
        }
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            let sets = keys.iter().map(grouping_sets).fold(1, u64::saturating_mul);
            if sets > MAX_GROUPING_SETS {
                let message = format!("the query groups by {sets} sets; at most {MAX_GROUPING_SETS} are accepted");
                return self.stop(too_complex(message, None).with_hint("name the GROUPING SETS you need"));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let is_sampled = match factor {
            TableFactor::Table { with_hints, version, partitions, json_path, sample, index_hints, .. } => {
                let has_hints = !with_hints.is_empty() || !index_hints.is_empty() || !partitions.is_empty();
                if has_hints || version.is_some() || json_path.is_some() {
                    return self.stop(passed_over("what follows the name of the table", "leave it out"));
                }
                sample.is_some()
            }
            TableFactor::Derived { sample, .. } => sample.is_some(),
            _ => false,
        };
        if is_sampled {
            return self.stop(passed_over("TABLESAMPLE", "filter by an expression, like WHERE random() < 0.1"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        if let Err(error) = allow_name(name, self.readable, &self.names) {
            return self.stop(error);
        }
        let stands = parts(name).last().and_then(|n| self.names.get(n)).copied();
        let stands = stands.unwrap_or(Stands { relations: 1, calls: 0 });
        if let Some(frame) = self.stack.last_mut() {
            frame.below = frame.below.max(stands.calls);
        }
        self.add(stands.relations)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Some(frame) = self.stack.last_mut() {
            frame.open_calls += calls(expr);
            frame.calls = frame.calls.max(frame.open_calls);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Some(frame) = self.stack.last_mut() {
            frame.open_calls -= calls(expr);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        match statement {
            Statement::Query(_) => ControlFlow::Continue(()),
            other => {
                let word = first_word(other);
                self.stop(read_only(format!("{word} is refused")))
            }
        }
    }
}

/// 1 where the type of an expression is worked out from those of what it is made of, other than by an operator.
fn calls(expr: &Expr) -> usize {
    if let Expr::Function(function) = expr {
        let is_twice = parts(&function.name).last().is_some_and(|name| TWICE.contains(&name.as_str()));
        return if is_twice { 2 } else { 1 };
    }
    usize::from(matches!(
        expr,
        Expr::Cast { .. }
            | Expr::Convert { .. }
            | Expr::Case { .. }
            | Expr::Extract { .. }
            | Expr::Ceil { .. }
            | Expr::Floor { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. }
            | Expr::Overlay { .. }
            | Expr::AtTimeZone { .. }
            | Expr::Struct { .. }
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::Array(_)
            | Expr::Tuple(_)
    ))
}

fn writes(body: &SetExpr) -> Option<&'static str> {
    match body {
        SetExpr::Insert(_) => Some("INSERT"),
        SetExpr::Update(_) => Some("UPDATE"),
        SetExpr::Delete(_) => Some("DELETE"),
        SetExpr::Merge(_) => Some("MERGE"),
        _ => None,
    }
}

/// How many grouping sets one element of GROUP BY stands for.
fn grouping_sets(key: &Expr) -> u64 {
    match key {
        Expr::Cube(keys) => 1u64 << keys.len().min(63),
        Expr::Rollup(keys) => keys.len() as u64 + 1,
        Expr::GroupingSets(sets) => sets.len() as u64,
        _ => 1,
    }
}

/// The parts of a name, lower case.
fn parts(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .map(|part| part.as_ident().map_or_else(|| part.to_string(), |i| i.value.clone()).to_lowercase())
        .collect()
}

fn allow_name(name: &ObjectName, readable: Readable<'_>, ctes: &HashMap<String, Stands>) -> Result<()> {
    let parts = parts(name);
    let Some((table, schema)) = parts.split_last() else {
        return Ok(());
    };
    let known = match schema {
        [] => ctes.contains_key(table) || readable.has(None, table),
        [.., schema] if schema == "information_schema" => INFORMATION_SCHEMA.contains(&table.as_str()),
        [schema] => readable.has(Some(schema), table),
        [catalog, schema] => catalog == super::session::CATALOG && readable.has(Some(schema), table),
        _ => false,
    };
    if known {
        return Ok(());
    }
    let span = name.0.first().and_then(|part| part.as_ident()).map(|ident| ident.span.start);
    let at = span.filter(|s| s.line > 0).map(|s| Position { line: s.line, column: s.column });
    let known: HashSet<&str> =
        readable.tables.iter().map(String::as_str).chain(ctes.keys().map(String::as_str)).collect();
    Err(errors::unknown_table(&name.to_string(), at, known))
}
