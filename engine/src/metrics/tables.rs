//! Metrics as tables of a query: `metrics.sales_daily` is a metric with its defaults, and `metric('sales/daily',
//! 'start=2026-01-01')` one with values, which may be bound parameters. What is put into the query is the metric's own
//! plan, so there is one definition of each.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult, ScalarValue};
use datafusion::logical_expr::{Expr, TableType};

use super::params::{Moment, resolve, sample};
use super::{Catalogue, Metric};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::query::{METRIC_FUNCTION, Shop};

/// The schema in which metrics are views.
pub const SCHEMA: &str = "metrics";

/// The metrics of one engine, as queries see them.
pub struct MetricTables {
    catalogue: ArcSwap<Catalogue>,
    clock: Arc<dyn Clock>,
    shop: Shop,
}

impl fmt::Debug for MetricTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricTables").field("metrics", &self.catalogue.load().metrics.len()).finish_non_exhaustive()
    }
}

/// What a metric is called where a table is: `sales/by-category` is `sales_by_category`.
pub fn table_name(metric: &str) -> String {
    metric.replace(['/', '-', '.'], "_")
}

impl MetricTables {
    /// Over these metrics, until there are others.
    pub fn new(catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>, shop: Shop) -> Arc<Self> {
        Arc::new(Self { catalogue: ArcSwap::new(catalogue), clock, shop })
    }

    /// From now on there are these.
    pub fn replace(&self, catalogue: Arc<Catalogue>) {
        self.catalogue.store(catalogue);
    }

    fn moment(&self) -> Moment<'_> {
        Moment { now: self.clock.now(), shop: &self.shop }
    }

    /// A metric that can be asked without saying anything.
    fn by_table(&self, table: &str) -> Option<Arc<Metric>> {
        let catalogue = self.catalogue.load();
        let mut metrics = catalogue.metrics.values().filter(|metric| table_name(&metric.name) == table);
        metrics.next().filter(|metric| metric.header.params.iter().all(|param| !param.required)).cloned()
    }

    fn table_of(&self, metric: &Metric, given: &[(String, String)]) -> Result<Arc<dyn TableProvider>> {
        let values = resolve(&metric.header.params, given, self.moment(), &[])?;
        metric.prepared.table(&values.scalars())
    }

    /// What its answer looks like, whatever it is asked with.
    fn shape_of(&self, metric: &Metric) -> Result<Arc<dyn TableProvider>> {
        let moment = self.moment();
        let values = metric.header.params.iter();
        let values: Vec<(String, ScalarValue)> =
            values.map(|param| (param.name.clone(), sample(param, &moment).scalar(param.kind))).collect();
        metric.prepared.table(&values)
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[async_trait]
impl SchemaProvider for MetricTables {
    fn table_names(&self) -> Vec<String> {
        let catalogue = self.catalogue.load();
        let free = catalogue.metrics.values().filter(|metric| metric.header.params.iter().all(|p| !p.required));
        free.map(|metric| table_name(&metric.name)).collect()
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        let Some(metric) = self.by_table(name) else { return Ok(None) };
        self.table_of(&metric, &[]).map(Some).map_err(external)
    }

    async fn table_type(&self, name: &str) -> DfResult<Option<TableType>> {
        Ok(self.by_table(name).map(|_| TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.by_table(name).is_some()
    }
}

/// `metric(name, 'parameter=value', …)`, or with a parameter's name and its value in turn.
#[derive(Debug)]
pub struct MetricFunction(pub Arc<MetricTables>);

/// An argument.
enum Argument {
    Text(String),
    /// A parameter whose value is not known yet: the plan is only looked at.
    Unknown,
}

fn argument(expr: &Expr) -> Result<Argument> {
    match expr {
        Expr::Literal(value, _) if value.is_null() => Ok(Argument::Text(String::new())),
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => {
            Ok(Argument::Text(text.clone()))
        }
        Expr::Literal(value, _) => Ok(Argument::Text(value.to_string())),
        Expr::Placeholder(_) => Ok(Argument::Unknown),
        _ => Err(Error::invalid("invalid_parameter", "an argument of metric() is neither a value nor a parameter")
            .with_hint("write it like metric('sales/daily', 'start=2026-01-01')")),
    }
}

/// The parameters of a call; `None` when one of them is not known yet.
fn given(arguments: &[Expr]) -> Result<Option<Vec<(String, String)>>> {
    let mut given = Vec::new();
    let mut is_known = true;
    let mut arguments = arguments.iter();
    while let Some(expr) = arguments.next() {
        let Argument::Text(text) = argument(expr)? else {
            is_known = false;
            continue;
        };
        if let Some((name, value)) = text.split_once('=') {
            given.push((name.trim().to_owned(), value.to_owned()));
            continue;
        }
        let Some(value) = arguments.next() else {
            let shown: String = text.chars().take(60).collect();
            return Err(Error::invalid("invalid_parameter", format!("the parameter `{shown}` has no value"))
                .with_hint("write it like 'start=2026-01-01', or 'start', $1"));
        };
        match argument(value)? {
            Argument::Text(value) => given.push((text.trim().to_owned(), value)),
            Argument::Unknown => is_known = false,
        }
    }
    Ok(is_known.then_some(given))
}

impl TableFunctionImpl for MetricFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> DfResult<Arc<dyn TableProvider>> {
        self.call(args.exprs()).map_err(external)
    }
}

impl MetricFunction {
    fn call(&self, arguments: &[Expr]) -> Result<Arc<dyn TableProvider>> {
        let usage = || {
            Error::invalid("invalid_parameter", format!("{METRIC_FUNCTION}() needs the name of a metric first"))
                .with_hint("write it like metric('sales/daily', 'start=2026-01-01')")
        };
        let (name, rest) = arguments.split_first().ok_or_else(usage)?;
        let Argument::Text(name) = argument(name)? else { return Err(usage()) };
        let catalogue = self.0.catalogue.load_full();
        let metric = catalogue.get(&name)?;
        match given(rest)? {
            Some(given) => self.0.table_of(metric, &given),
            None => self.0.shape_of(metric),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::lit;

    use super::*;

    #[test]
    fn arguments_are_pairs_in_either_form() {
        let pairs = given(&[lit("start=2026-01-01"), lit("limit"), lit(5_i64), lit("page"), lit("/a?b=c")]).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs, Some(vec![pair("start", "2026-01-01"), pair("limit", "5"), pair("page", "/a?b=c")]));
        assert_eq!(given(&[lit("limit")]).unwrap_err().code, "invalid_parameter");
        assert_eq!(given(&[lit("x") + lit("y")]).unwrap_err().code, "invalid_parameter");
        assert_eq!(table_name("sales/by-category"), "sales_by_category");
    }
}
