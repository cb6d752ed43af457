//! The table `alerts`: what is wrong now, and what was. All of it is in memory, and little.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::alert_log::{Alert, AlertLog};
use crate::event::time_type;

/// Its name.
pub const TABLE: &str = "alerts";

/// Its columns, and what they mean.
pub const COLUMNS: [(&str, &str); 11] = [
    ("id", "made of rule, key and the moment it opened"),
    ("rule", "the metric whose header is the rule: alerts/no-orders"),
    ("key", "the row it is about, where the rule judges several"),
    ("severity", "info, warning or critical"),
    ("message", "for people, as it was when it opened"),
    ("status", "open or closed"),
    ("value", "the value it opened with"),
    ("threshold", "what that was compared with"),
    ("opened_at", "when it opened"),
    ("closed_at", "when it closed"),
    ("closed_because", "recovered, lapsed (nothing to judge for too long) or rule_removed"),
];

fn schema() -> SchemaRef {
    let fields = COLUMNS.iter().map(|(name, _)| match *name {
        "value" | "threshold" => Field::new(*name, DataType::Float64, false),
        "opened_at" => Field::new(*name, time_type(), false),
        "closed_at" => Field::new(*name, time_type(), true),
        name => Field::new(name, DataType::Utf8View, matches!(name, "key" | "closed_because")),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The table over a log.
#[derive(Debug)]
pub(super) struct AlertsTable {
    log: Arc<AlertLog>,
    schema: SchemaRef,
}

impl AlertsTable {
    pub(super) fn new(log: Arc<AlertLog>) -> Self {
        Self { log, schema: schema() }
    }
}

#[async_trait]
impl TableProvider for AlertsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let alerts = self.log.all();
        let columns = self.schema.fields().iter().map(|field| column(field.name(), &alerts)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(&self.schema), projection.cloned())?)
    }
}

fn column(name: &str, alerts: &[Arc<Alert>]) -> ArrayRef {
    let times = |time: fn(&Alert) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = alerts.iter().map(|alert| time(alert)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let numbers = |number: fn(&Alert) -> f64| -> ArrayRef {
        Arc::new(alerts.iter().map(|alert| Some(number(alert))).collect::<Float64Array>())
    };
    let text: fn(&Alert) -> Option<&str> = match name {
        "opened_at" => return times(|alert| Some(alert.opened_at)),
        "closed_at" => return times(|alert| alert.closed_at),
        "value" => return numbers(|alert| alert.value),
        "threshold" => return numbers(|alert| alert.threshold),
        "id" => |alert| Some(&alert.id),
        "rule" => |alert| Some(&alert.rule),
        "key" => |alert| alert.key.as_deref(),
        "severity" => |alert| Some(alert.severity.name()),
        "message" => |alert| Some(&alert.message),
        "closed_because" => |alert| alert.closed_because.map(|why| why.name()),
        _ => |alert| Some(if alert.is_open() { "open" } else { "closed" }),
    };
    Arc::new(alerts.iter().map(|alert| text(alert)).collect::<StringViewArray>())
}
