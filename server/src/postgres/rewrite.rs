//! Catalogue queries as this engine can plan them: what datafusion-pg-catalog's own rules leave. Where an answer would be
//! about what no table here has (indexes, keys, options, grants) it becomes an empty one.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr,
    TableFactor, TableFunctionArgs, Value, Visit as _, VisitMut as _, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// What datafusion-pg-catalog leaves: fields of a record, subqueries no plan has, patterns with an escape of their own,
/// columns it has otherwise, and the names of types in `information_schema`.
pub struct Rewrite {
    /// Whether names of types are asked for.
    pub has_types: bool,
}

/// Lists of `pg_catalog` that datafusion-pg-catalog has not, or as text. They say something of indexes, keys, options and
/// grants only, and no table here has any.
const LISTS: [(&str, &str); 7] = [
    ("confkey", "NULL::bigint[]"),
    ("conkey", "NULL::bigint[]"),
    ("indclass", "NULL::bigint[]"),
    ("indkey", "NULL::bigint[]"),
    ("indoption", "NULL::bigint[]"),
    ("relacl", "NULL::text[]"),
    ("reloptions", "NULL::text[]"),
];

impl Rewrite {
    /// The name of this column, and what stands for it.
    fn column(&self, expr: &Expr) -> Option<(&'static str, String)> {
        let name = match expr {
            Expr::Identifier(name) => name,
            Expr::CompoundIdentifier(names) => names.last()?,
            _ => return None,
        };
        if self.has_types && name.value.eq_ignore_ascii_case(TYPE_COLUMN) {
            return Some((TYPE_COLUMN, format!("{TYPE_NAME}({expr})")));
        }
        let list = LISTS.iter().find(|(list, _)| name.value.eq_ignore_ascii_case(list));
        list.map(|(name, instead)| (*name, (*instead).to_owned()))
    }
}

impl VisitorMut for Rewrite {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            // The column keeps its name.
            if let SelectItem::UnnamedExpr(expr) = item
                && let Some((name, _)) = self.column(expr)
            {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new(name) };
            }
            let _ = item.visit(&mut WithoutCorrelated);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::CompoundFieldAccess { root, access_chain } = expr else { return ControlFlow::Continue(()) };
        // `relation.column[1]`
        if let Expr::Identifier(relation) = &**root
            && let Some(AccessExpr::Dot(Expr::Identifier(column))) = access_chain.first()
        {
            **root = Expr::CompoundIdentifier(vec![relation.clone(), column.clone()]);
            access_chain.remove(0);
        }
        // `(record).field`
        for access in access_chain {
            if let AccessExpr::Dot(field) = access
                && let Expr::Identifier(name) = &*field
            {
                *field = Expr::Value(Value::SingleQuotedString(name.value.clone()).into());
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some((_, instead)) = self.column(expr) {
            parsed(&instead, expr);
            return ControlFlow::Continue(());
        }
        match expr {
            // `ARRAY(SELECT …)`: options, roles and grants are asked for so.
            Expr::Function(call) if is_named(&call.name, "array") => {
                if let FunctionArguments::Subquery(query) = &call.args
                    && Names::of(query).are_of_catalogue()
                {
                    parsed("ARRAY[]::text[]", expr);
                }
            }
            // `generate_subscripts(list, 1)`
            Expr::Function(call) if is_named(&call.name, "generate_subscripts") => {
                if let FunctionArguments::List(arguments) = &call.args
                    && let [list, dimension] = arguments.args.as_slice()
                {
                    let text = format!("unnest(generate_series(1, array_length({list}, {dimension})))");
                    parsed(&text, expr);
                }
            }
            Expr::Like { pattern, escape_char: escape @ Some(_), .. }
            | Expr::ILike { pattern, escape_char: escape @ Some(_), .. } => {
                if let Some(escape) = escape.take() {
                    let call = format!("{LIKE_PATTERN}({pattern}, {escape})");
                    parsed(&call, pattern);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Makes NULL of subqueries that stand for a value and are about the row around them, for without an aggregate they have no
/// plan. datafusion-pg-catalog does the same where one is a whole column.
struct WithoutCorrelated;

impl VisitorMut for WithoutCorrelated {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Subquery(query) = &*expr
            && !is_aggregate(query)
            && let names = Names::of(query)
            && names.are_correlated()
            && names.are_of_catalogue()
        {
            *expr = Expr::Value(Value::Null.into());
        }
        ControlFlow::Continue(())
    }
}

/// Whether a query has one row of one aggregate.
fn is_aggregate(query: &Query) -> bool {
    const AGGREGATES: [&str; 8] = ["array_agg", "bool_and", "bool_or", "count", "max", "min", "string_agg", "sum"];
    let SetExpr::Select(select) = &*query.body else { return false };
    match select.projection.as_slice() {
        [
            SelectItem::UnnamedExpr(Expr::Function(call))
            | SelectItem::ExprWithAlias { expr: Expr::Function(call), .. },
        ] => AGGREGATES.iter().any(|name| is_named(&call.name, name)),
        _ => false,
    }
}

/// The relations a query has, and those its columns are of.
#[derive(Default)]
struct Names {
    relations: Vec<String>,
    used: Vec<String>,
    /// Whether there is a relation that is not of the catalogue.
    has_others: bool,
}

impl Names {
    fn of(query: &Query) -> Self {
        let mut names = Self::default();
        let _ = query.visit(&mut names);
        names
    }

    /// Data is never left out for being in a text that also asks about the catalogue.
    fn are_of_catalogue(&self) -> bool {
        !self.relations.is_empty() && !self.has_others
    }

    fn are_correlated(&self) -> bool {
        self.used.iter().any(|name| !self.relations.contains(name))
    }
}

/// Whether a relation is one of the catalogue, or a list of it that [`LISTS`] has.
fn is_of_catalogue(name: &ObjectName, arguments: Option<&TableFunctionArgs>) -> bool {
    match arguments {
        Some(arguments) => arguments.args.iter().all(|argument| argument.to_string().starts_with("NULL::")),
        None => name.0.iter().filter_map(ObjectNamePart::as_ident).any(|part| {
            let part = part.value.to_ascii_lowercase();
            part.starts_with("pg_") || part == "information_schema"
        }),
    }
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.has_others |= match factor {
            TableFactor::Table { name, args, .. } => !is_of_catalogue(name, args.as_ref()),
            TableFactor::UNNEST { array_exprs, .. } => {
                !array_exprs.iter().all(|list| list.to_string().starts_with("NULL::"))
            }
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => false,
            _ => true,
        };
        let name = match factor {
            TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
                Some(&alias.name)
            }
            TableFactor::UNNEST { alias: Some(alias), .. } => Some(&alias.name),
            TableFactor::Table { name, .. } => name.0.last().and_then(ObjectNamePart::as_ident),
            _ => None,
        };
        self.relations.extend(name.map(|name| name.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr {
            self.used.extend(parts.iter().rev().nth(1).map(|relation| relation.value.clone()));
        }
        ControlFlow::Continue(())
    }
}

/// Whether a function is called so.
fn is_named(function: &ObjectName, name: &str) -> bool {
    function.0.last().and_then(ObjectNamePart::as_ident).is_some_and(|last| last.value.eq_ignore_ascii_case(name))
}

/// Puts what a text says in the place of an expression.
fn parsed(text: &str, place: &mut Expr) {
    let parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text);
    if let Ok(expr) = parser.and_then(|mut parser| parser.parse_expr()) {
        *place = expr;
    }
}

/// Makes a pattern whose escape is another character one whose escape is the backslash, which is all a plan can have.
pub const LIKE_PATTERN: &str = "pg_like_pattern";

/// A pattern with this escape, with the backslash for its escape; without one nothing in it is escaped.
pub fn with_backslash(pattern: &str, escape: Option<char>) -> String {
    let mut made = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(next) = chars.next() {
        let escaped = Some(next) == escape;
        let Some(char) = (if escaped { chars.next() } else { Some(next) }) else { break };
        if (escaped && matches!(char, '%' | '_')) || char == '\\' {
            made.push('\\');
        }
        made.push(char);
    }
    made
}

/// The column of `information_schema.columns` that has a type's name.
const TYPE_COLUMN: &str = "data_type";
/// Makes it one of Postgres'.
pub const TYPE_NAME: &str = "pg_type_name";

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, text).unwrap();
        let statement = &mut statements[0];
        let _ = statement.visit(&mut Rewrite { has_types: false });
        statement.to_string()
    }

    #[test]
    fn a_pattern_has_the_backslash_for_its_escape() {
        for (pattern, escape, expected) in [
            ("pg/_%", Some('/'), r"pg\_%"),
            ("50/%//_", Some('/'), r"50\%/_"),
            (r"a\b/", Some('/'), r"a\\b"),
            (r"a\_b", Some('\\'), r"a\_b"),
            (r"a\_%", None, r"a\\_%"),
        ] {
            assert_eq!(with_backslash(pattern, escape), expected, "{pattern}");
        }
    }

    #[test]
    fn what_no_plan_has_is_written_otherwise() {
        for (text, expected) in [
            (
                "SELECT oid FROM pg_catalog.pg_class WHERE relname NOT LIKE $1 || '%' ESCAPE '/'",
                "SELECT oid FROM pg_catalog.pg_class WHERE relname NOT LIKE pg_like_pattern($1 || '%', '/')",
            ),
            (
                "SELECT t.options[1], (t.pair).x FROM pg_catalog.pg_class AS t",
                "SELECT t.options[1], (t.pair).'x' FROM pg_catalog.pg_class AS t",
            ),
            (
                "SELECT CASE WHEN a.attidentity <> '' THEN (SELECT s.seqstart FROM pg_catalog.pg_sequence AS s WHERE \
                 s.seqrelid = a.attrelid) END AS first FROM pg_catalog.pg_attribute AS a",
                "SELECT CASE WHEN a.attidentity <> '' THEN NULL END AS first FROM pg_catalog.pg_attribute AS a",
            ),
            (
                "SELECT i.indkey, x.indkey[0] FROM pg_catalog.pg_index AS i, pg_catalog.pg_index AS x",
                "SELECT NULL::BIGINT[] AS indkey, NULL::BIGINT[][0] FROM pg_catalog.pg_index AS i, pg_catalog.pg_index AS x",
            ),
            ("SELECT array(SELECT x FROM pg_catalog.pg_roles) AS roles", "SELECT ARRAY[]::TEXT[] AS roles"),
        ] {
            assert_eq!(rewritten(text), expected, "{text}");
        }
    }
}
