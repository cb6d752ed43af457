//! What clients of Postgres look at besides data: `pg_catalog`, its functions, and their way of asking. It is there on this
//! wire only; tables, views and metrics in it are this server's.
//!
//! Catalogue tables and the rewriting of catalogue queries are datafusion-pg-catalog's. Its rules change a statement on
//! the way, so they see texts that name something of the catalogue, and no others. What they make is held against the
//! engine's guard like any text.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::common::scalar::ScalarStructBuilder;
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{Statement, VisitMut as _};
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Token;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::setup_pg_catalog;
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use tideline_engine::engine::Engine;
use tideline_engine::error::Result;
use tideline_engine::metrics::{METRICS_SCHEMA, MetricFunction, MetricTables};
use tideline_engine::query::{Additions, METRIC_FUNCTION, Reader, Surface};

use super::rewrite::{LIKE_PATTERN, Rewrite, TYPE_NAME, with_backslash};
use super::settings::{SERVER_VERSION, default_of, defaults};

/// The one database there is.
pub const DATABASE: &str = "tideline";

/// Words besides those that begin with `pg_` by which a text is known to ask about the catalogue.
const WORDS: [&str; 23] = [
    "_pg_expandarray",
    "col_description",
    "current_catalog",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "format_type",
    "information_schema",
    "obj_description",
    "parse_ident",
    "quote_ident",
    "regclass",
    "regnamespace",
    "regproc",
    "regrole",
    "regtype",
    "session_user",
    "shobj_description",
    "to_regclass",
    "to_regtype",
    "version",
];

/// Reads catalogue queries.
#[derive(Debug)]
struct CatalogueReader(PostgresCompatibilityParser);

impl Reader for CatalogueReader {
    fn claims(&self, tokens: &[Token]) -> bool {
        tokens.iter().any(|token| match token {
            Token::Word(word) => {
                let word = word.value.to_ascii_lowercase();
                word.starts_with("pg_") || WORDS.binary_search(&word.as_str()).is_ok()
            }
            _ => false,
        })
    }

    fn read(&self, text: &str) -> Result<Vec<Statement>, ParserError> {
        let mut statements = self.0.parse(text)?;
        let has_types = text.to_ascii_lowercase().contains("information_schema");
        for statement in &mut statements {
            let _ = statement.visit(&mut Rewrite { has_types });
        }
        Ok(statements)
    }
}

/// What Postgres calls a type that Arrow calls so.
fn type_name(arrow: &str) -> &str {
    match arrow {
        "Boolean" => "boolean",
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Date32" | "Date64" => "date",
        "Utf8" | "LargeUtf8" | "Utf8View" => "text",
        _ if arrow.starts_with("Decimal") || arrow == "UInt64" => "numeric",
        _ if arrow.starts_with("Timestamp") && arrow.contains('"') => "timestamp with time zone",
        _ if arrow.starts_with("Timestamp") => "timestamp without time zone",
        _ if arrow.starts_with("Interval") || arrow.starts_with("Duration") => "interval",
        _ if arrow.starts_with("List(Struct") || arrow.starts_with("Struct") => "json",
        _ if arrow.starts_with("List") => "ARRAY",
        _ => arrow,
    }
}

/// Whether a text may be about metrics, or about what there is: only then must they all be planned.
pub fn may_see_metrics(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["metric", "pg_", "information_schema"].iter().any(|word| text.contains(word))
}

/// The tables, the metrics and the catalogue, as this wire shows them. Of metrics there are none yet.
///
/// # Errors
/// None that is expected.
pub fn surface(engine: &Engine) -> Result<(Arc<Surface>, Arc<MetricTables>)> {
    let queries = engine.queries();
    let metrics = MetricTables::new(Arc::default(), Arc::clone(engine.clock()), queries.shop().clone());
    let function = Arc::clone(&metrics);
    let register = move |session: &SessionContext| -> DfResult<()> {
        setup_pg_catalog(session, DATABASE, EmptyContextProvider).map_err(|e| *e)?;
        if let Some(catalog) = session.catalog(DATABASE)
            && let Some(schema) = catalog.schema(CATALOGUE)
        {
            catalog.register_schema(CATALOGUE, Arc::new(Catalogue(schema)))?;
        }
        for function in functions() {
            session.register_udf(function);
        }
        session.register_udtf(METRIC_FUNCTION, Arc::new(MetricFunction(function)));
        Ok(())
    };
    let surface = queries.surface(Additions {
        schemas: vec![(METRICS_SCHEMA, Arc::clone(&metrics) as _)],
        table_functions: vec![METRIC_FUNCTION, "pg_get_keywords"],
        register: Box::new(register),
        reader: Arc::new(CatalogueReader(PostgresCompatibilityParser::new())),
    })?;
    Ok((surface, metrics))
}

const CATALOGUE: &str = "pg_catalog";

/// `pg_catalog` with the settings there are in `pg_settings`.
struct Catalogue(Arc<dyn SchemaProvider>);

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catalogue")
    }
}

impl SchemaProvider for Catalogue {
    fn table_names(&self) -> Vec<String> {
        self.0.table_names()
    }

    fn table<'a, 'b, 'c>(
        &'a self,
        name: &'b str,
    ) -> Pin<Box<dyn Future<Output = DfResult<Option<Arc<dyn TableProvider>>>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let table = self.0.table(name).await?;
            match table {
                Some(table) if name == "pg_settings" => Ok(Some(with_settings(&*table)?)),
                table => Ok(table),
            }
        })
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name)
    }
}

/// A table like this one of what each setting is at the beginning.
fn with_settings(like: &dyn TableProvider) -> DfResult<Arc<dyn TableProvider>> {
    let schema = like.schema();
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(defaults().map(|(name, _)| name)));
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(defaults().map(|(_, value)| value)));
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "name" => Arc::clone(&names),
        "setting" | "reset_val" => Arc::clone(&values),
        _ => new_null_array(field.data_type(), names.len()),
    });
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect())?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

/// What a function of the catalogue says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Says {
    /// Always the same.
    This(ScalarValue),
    /// What a setting is at the beginning.
    Setting,
    /// Its second argument.
    Second,
    /// A type's name.
    TypeName,
    /// A pattern with the backslash for its escape.
    Pattern,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    name: &'static str,
    says: Says,
    signature: Signature,
}

impl Function {
    fn new(name: &'static str, says: Says) -> Self {
        let arguments = TypeSignature::OneOf(vec![TypeSignature::Nullary, TypeSignature::VariadicAny]);
        Self { name, says, signature: Signature::new(arguments, Volatility::Stable) }
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(match &self.says {
            Says::This(value) => value.data_type(),
            Says::Setting | Says::Second | Says::TypeName | Says::Pattern => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let text = |at: usize| -> DfResult<ArrayRef> {
            let Some(value) = args.args.get(at) else {
                return datafusion::common::plan_err!("{}() needs more arguments", self.name);
            };
            Ok(cast(&value.to_array(args.number_rows)?, &DataType::Utf8)?)
        };
        Ok(match &self.says {
            Says::This(value) => ColumnarValue::Scalar(value.clone()),
            Says::Second => ColumnarValue::Array(text(1)?),
            Says::TypeName => {
                let names = text(0)?;
                let values = names.as_string::<i32>().iter().map(|name| name.map(type_name));
                ColumnarValue::Array(Arc::new(values.collect::<StringArray>()))
            }
            Says::Pattern => {
                let (patterns, escapes) = (text(0)?, text(1)?);
                let both = patterns.as_string::<i32>().iter().zip(escapes.as_string::<i32>());
                let values = both.map(|(pattern, escape)| Some(with_backslash(pattern?, escape?.chars().next())));
                ColumnarValue::Array(Arc::new(values.collect::<StringArray>()))
            }
            Says::Setting => {
                let names = text(0)?;
                let values = names.as_string::<i32>().iter().map(|name| name.and_then(default_of));
                ColumnarValue::Array(Arc::new(values.collect::<StringArray>()))
            }
        })
    }
}

/// Functions that clients call and datafusion-pg-catalog has not, or has otherwise.
fn functions() -> Vec<ScalarUDF> {
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    let nothing = ScalarValue::Utf8(None);
    let (yes, no) = (ScalarValue::Boolean(Some(true)), ScalarValue::Boolean(Some(false)));
    let zero = ScalarValue::Int64(Some(0));
    let number = ScalarValue::Int64(None);
    // What is made of an index's columns; there are no indexes.
    let pair: Fields = ["x", "n"].map(|name| Field::new(name, DataType::Int32, true)).to_vec().into();
    let pair = ScalarStructBuilder::new_null(pair);
    let same = [
        ("version", text(&format!("PostgreSQL {SERVER_VERSION}"))),
        ("pg_is_in_recovery", no.clone()),
        ("pg_is_other_temp_schema", no.clone()),
        ("pg_my_temp_schema", zero.clone()),
        ("pg_function_is_visible", yes.clone()),
        ("pg_type_is_visible", yes.clone()),
        ("pg_operator_is_visible", yes.clone()),
        ("pg_collation_is_visible", yes.clone()),
        ("has_column_privilege", yes.clone()),
        ("has_function_privilege", yes),
        ("has_sequence_privilege", no),
        ("obj_description", nothing.clone()),
        ("col_description", nothing.clone()),
        ("shobj_description", nothing.clone()),
        ("pg_get_viewdef", nothing.clone()),
        ("pg_get_indexdef", nothing.clone()),
        ("pg_get_ruledef", nothing.clone()),
        ("pg_get_triggerdef", nothing.clone()),
        ("pg_get_serial_sequence", nothing.clone()),
        ("pg_get_functiondef", nothing.clone()),
        ("pg_get_function_arguments", nothing.clone()),
        ("pg_get_function_identity_arguments", nothing.clone()),
        ("pg_get_function_result", nothing.clone()),
        ("pg_tablespace_location", nothing.clone()),
        ("json_build_object", nothing.clone()),
        ("inet_client_addr", nothing.clone()),
        ("inet_server_addr", nothing.clone()),
        ("pg_advisory_unlock_all", nothing.clone()),
        ("pg_postmaster_start_time", ScalarValue::TimestampMicrosecond(None, Some("UTC".into()))),
        ("pg_table_size", zero.clone()),
        ("pg_indexes_size", zero.clone()),
        ("pg_database_size", zero.clone()),
        ("txid_current", zero),
        ("to_regclass", number.clone()),
        ("to_regtype", number.clone()),
        ("to_regproc", number.clone()),
        ("to_regnamespace", number),
        ("_pg_expandarray", pair),
        ("pg_size_pretty", text("0 bytes")),
    ];
    let same = same.into_iter().map(|(name, value)| Function::new(name, Says::This(value)));
    let others = [
        Function::new("current_setting", Says::Setting),
        Function::new("set_config", Says::Second),
        Function::new(TYPE_NAME, Says::TypeName),
        Function::new(LIKE_PATTERN, Says::Pattern),
    ];
    same.chain(others).map(ScalarUDF::from).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    #[test]
    fn only_texts_about_the_catalogue_are_rewritten() {
        assert!(WORDS.is_sorted());
        let reader = CatalogueReader(PostgresCompatibilityParser::new());
        let claims = |text| reader.claims(&Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().unwrap());
        for text in
            ["SELECT relname FROM pg_class", "SELECT current_schema()", "SELECT 'x'::regclass", "SELECT Version()"]
        {
            assert!(claims(text), "{text}");
        }
        for text in ["SELECT page FROM events", "SELECT 'pg_class'", "SELECT * FROM metrics.sales_daily"] {
            assert!(!claims(text), "{text}");
        }
    }
}
