//! The metrics of the catalogue as operations: parameters with their types and bounds, columns with their units.

use serde_json::{Map, Value, json};
use tideline_engine::metrics::{Catalogue, Column, Kind, Metric, PERIOD, Param};
use tideline_engine::query::encode::Format;

use super::operations::Refusal;
use super::{add_problems, headers, operation_id, schema, security};
use crate::routes::{Access, Route};

const REFUSALS: &[Refusal] = &[
    (400, "unknown_parameter, repeated_parameter, invalid_parameter, missing_parameter, invalid_range"),
    (404, "unknown_metric"),
    (406, "not_acceptable"),
    (409, "cancelled"),
    (413, "answer_too_large, memory_limit, spill_limit"),
    (503, "too_many_queries, shutting_down, metric_broken"),
    (504, "query_timeout"),
];

/// Hands out every path of every metric with what is there.
pub fn each(catalogue: &Catalogue, routes: &[Route], mut add: impl FnMut(&str, &dyn Fn(Access) -> Value)) {
    for metric in catalogue.metrics.values() {
        let own = metric.path();
        add(&own, &|access| operation(metric, &own, access));
        for path in &metric.header.paths {
            let leads_here = catalogue.by_path(path).is_some_and(|m| m.name == metric.name);
            if leads_here && !routes.iter().any(|route| route.path == *path) {
                add(path, &|access| {
                    let mut same = operation(metric, path, access);
                    same["x-same-as"] = own.as_str().into();
                    same
                });
            }
        }
    }
}

fn operation(metric: &Metric, path: &str, access: Access) -> Value {
    let mut params: Vec<Value> = metric.header.params.iter().map(parameter).collect();
    if metric.compares() {
        params.push(json!({
            "name": "compare", "in": "query", "required": false,
            "description": "Also the range of the same length before it; the column `period` tells them apart",
            "schema": { "type": "string", "enum": ["previous"] },
        }));
    }
    params.push(json!({
        "name": "format", "in": "query", "required": false,
        "description": "The format of the answer; it wins over `Accept`, and a suffix of the path (`.csv`) over both",
        "schema": { "type": "string", "enum": Format::ALL.map(Format::name), "default": "json" },
    }));
    let row = row(metric);
    let mut content = Map::new();
    for format in Format::ALL {
        let schema = match format {
            Format::Json => json!({
                "type": "object",
                "required": ["metric", "params", "meta", "data", "rows", "freshness"],
                "properties": {
                    "metric": { "const": metric.name },
                    "params": { "type": "object", "description": "The values it was computed with" },
                    "meta": { "type": "array", "items": schema::reference("MetricColumn") },
                    "data": { "type": "array", "items": row },
                    "rows": { "type": "integer" },
                    "freshness": schema::reference("Freshness"),
                    "warning": { "type": "string", "description": "Why this is not of the metric's file as it is now" },
                },
            }),
            Format::Ndjson | Format::Csv => json!({ "type": "string" }),
            Format::Parquet | Format::Arrow => json!({ "type": "string", "format": "binary" }),
        };
        content.insert(format.content_type().to_owned(), json!({ "schema": schema }));
    }
    let mut said = headers(200);
    said["ETag"] = json!({ "description": "Of the state that was answered from", "schema": { "type": "string" } });
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": "The rows", "headers": said, "content": content }));
    responses.insert(
        "304".to_owned(),
        json!({ "description": "`If-None-Match` names the ETag this answer has", "headers": said }),
    );
    add_problems(&mut responses, access, REFUSALS.iter());
    json!({
        "tags": ["Metrics"],
        "operationId": operation_id("get", path),
        "summary": metric.header.summary,
        "description": metric.header.description,
        "parameters": params,
        "responses": responses,
        "security": security(access),
        "x-scope": "read",
        "x-chart": metric.header.chart,
        "x-cache-seconds": metric.header.cache.as_secs(),
    })
}

fn parameter(param: &Param) -> Value {
    let number = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let bounds = |schema: &mut Value, least: &str, most: &str, otherwise: Option<u64>| {
        if let Some(min) = number(&param.min) {
            schema[least] = min;
        }
        if let Some(max) = number(&param.max).or_else(|| otherwise.map(Value::from)) {
            schema[most] = max;
        }
    };
    let mut schema = match param.kind {
        Kind::String | Kind::Timestamp | Kind::Date | Kind::Duration => json!({ "type": "string" }),
        Kind::Integer => json!({ "type": "integer", "format": "int64" }),
        Kind::Decimal => json!({ "type": "number" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Enum => json!({ "type": "string", "enum": param.values }),
        Kind::List if param.values.is_empty() => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::List => json!({ "type": "array", "items": { "type": "string", "enum": param.values } }),
    };
    match param.kind {
        Kind::String => bounds(&mut schema, "minLength", "maxLength", Some(1_000)),
        Kind::List => bounds(&mut schema, "minItems", "maxItems", Some(200)),
        Kind::Integer | Kind::Decimal => bounds(&mut schema, "minimum", "maximum", None),
        _ => {}
    }
    if let Some(default) = &param.default {
        schema["default"] = match param.kind {
            Kind::List => default.split(',').map(str::trim).collect(),
            _ => schema::value(&schema, default),
        };
    }
    let expected = param.expected();
    let doc = if param.doc.is_empty() { expected } else { format!("{}: {expected}", param.doc) };
    let mut parameter = json!({
        "name": param.name, "in": "query", "required": param.required, "description": doc, "schema": schema,
    });
    let example = match param.kind {
        Kind::Timestamp => Some("2026-01-31T12:00:00Z"),
        Kind::Date => Some("2026-01-31"),
        Kind::Duration => Some("7d"),
        _ => None,
    };
    if let Some(example) = example.filter(|_| param.default.is_none()) {
        parameter["example"] = example.into();
    }
    if param.kind == Kind::List {
        parameter["style"] = "form".into();
        parameter["explode"] = false.into();
    }
    parameter
}

/// A row: every column may be null.
fn row(metric: &Metric) -> Value {
    let columns = metric.columns();
    let mut members: Map<String, Value> = columns.iter().map(|c| (c.name.clone(), column(c))).collect();
    if metric.compares() {
        members.insert(PERIOD.to_owned(), json!({ "type": "string", "enum": ["current", "previous"] }));
    }
    json!({ "type": "object", "properties": members, "required": columns.iter().map(|c| &c.name).collect::<Vec<_>>() })
}

fn column(column: &Column) -> Value {
    let kind = column.r#type.as_str();
    let mut schema = match kind {
        "Utf8" | "Binary" => json!({ "type": ["string", "null"] }),
        "Boolean" => json!({ "type": ["boolean", "null"] }),
        "Date" => json!({ "type": ["string", "null"], "format": "date" }),
        _ if kind.starts_with("Timestamp") => json!({ "type": ["string", "null"] }),
        _ if kind.starts_with("UInt") || (kind.starts_with("Int") && !kind.starts_with("Interval")) => {
            json!({ "type": ["integer", "null"] })
        }
        _ if kind.starts_with("Float") || kind.starts_with("Decimal") => json!({ "type": ["number", "null"] }),
        _ if kind.starts_with("List") => json!({ "type": ["array", "null"] }),
        _ if kind.starts_with("Struct") => json!({ "type": ["object", "null"] }),
        _ => json!({}),
    };
    schema["x-type"] = kind.into();
    if let Some(unit) = &column.unit {
        schema["x-unit"] = unit.as_str().into();
        schema["description"] = unit.as_str().into();
    }
    schema
}
