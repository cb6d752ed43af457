//! The API's own description, OpenAPI 3.1: the declared routes ([`crate::app`]) with what `operations` says of them,
//! and every metric of the catalogue with its parameters and columns. `/docs` is a page over it.

mod metrics;
mod operations;
mod schema;
mod shapes;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tideline_engine::metrics::Catalogue;
use tideline_engine::query::encode::Format;

use crate::http::ops::VERSION;
use crate::routes::{Access, Route};
use operations::{Content, GROUPS, OPERATIONS, Operation, Refusal};

/// The route of all metrics: in the document stands each of them.
const METRICS: &str = "/analytics/{*name}";
const PROBLEM: &str = "application/problem+json";

const ABOUT: &str = "Events of a shop in, answers out. Without keys the server serves its own machine only and needs no \
    credentials; from the first key on, every request but those of health and version needs one, with the scope its \
    operation names (`admin` is all of them). Every error is a problem document with a stable `code`; every answer has \
    an `X-Request-Id`. A parameter that is not known is refused.";

/// The whole document.
pub fn document(routes: &[Route], catalogue: &Catalogue) -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut add = |path: &str, method: &str, operation: Value| {
        paths.entry(path.to_owned()).or_default().insert(method.to_lowercase(), operation);
    };
    for route in routes {
        if route.path == METRICS {
            metrics::each(catalogue, routes, |path, operation| add(path, "GET", operation(route.access)));
            continue;
        }
        // Routes of every method only say that a suffix is no format; other wildcards are the page's files and addresses.
        let Some(method) = route.method.as_ref().filter(|_| !route.path.contains("{*")) else { continue };
        add(&route.path, method.as_str(), of_route(method.as_str(), route));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tideline",
            "version": VERSION,
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": GROUPS.iter().map(|(name, about)| json!({ "name": name, "description": about })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "headers": {
                "RequestId": { "description": "Names the request in the server's log", "schema": { "type": "string" } },
                "RetryAfter": { "description": "Seconds to wait", "schema": { "type": "integer" } },
            },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "`Authorization: Bearer tl_…`" },
                "basic": { "type": "http", "scheme": "basic", "description": "The key as user name, no password" },
                "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "cookie": {
                    "type": "apiKey", "in": "cookie", "name": "tideline_session",
                    "description": "A browser's session, see `POST /session`",
                },
            },
        },
    })
}

/// The description of a method and path, and the format of its suffix.
fn find(method: &str, path: &str) -> Option<(&'static Operation, Option<Format>)> {
    let of = |path: &str| OPERATIONS.iter().find(|o| o.method == method && o.path == path);
    of(path).map(|operation| (operation, None)).or_else(|| {
        let (path, format) = Format::from_suffix(path)?;
        of(path).map(|operation| (operation, Some(format)))
    })
}

fn of_route(method: &str, route: &Route) -> Value {
    let Some((operation, suffix)) = find(method, &route.path) else {
        let problem = json!({ "description": "Any answer", "content": {} });
        return json!({ "summary": "Not described", "tags": ["Operations"], "responses": { "default": problem } });
    };
    let mut described = describe(operation, route.access, suffix);
    described["operationId"] = operation_id(method, &route.path).into();
    let placeholders = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let of_path = placeholders.map(|name| {
        json!({
            "name": name, "in": "path", "required": true, "description": "Its id",
            "schema": { "type": "string", "minLength": 1 },
        })
    });
    if let Some(params) = described["parameters"].as_array_mut() {
        params.splice(0..0, of_path);
    }
    described
}

fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    format!("{}_{}", method.to_lowercase(), if words.is_empty() { "root".to_owned() } else { words.join("_") })
}

fn describe(operation: &Operation, access: Access, suffix: Option<Format>) -> Value {
    let lines = operation.params.lines().chain([operations::at(operation)]);
    let params = lines.map(str::trim).filter(|line| !line.is_empty()).filter_map(schema::line);
    // A suffix has said it.
    let params = params.filter(|line| suffix.is_none() || line.name != "format").map(parameter);
    let mut responses = Map::new();
    for (status, about, contents) in operation.answers {
        let of_suffix = |content: &&Content| suffix.is_none_or(|f| media(content.0) == media(f.content_type()));
        responses.insert(status.to_string(), answer(about, contents.iter().filter(of_suffix)));
    }
    add_problems(&mut responses, access, operation.refusals.iter().flat_map(|refusals| refusals.iter()));
    let mut described = json!({
        "tags": [operation.group],
        "summary": operation.summary,
        "parameters": params.collect::<Vec<_>>(),
        "responses": responses,
        "security": security(access),
    });
    if !operation.description.is_empty() {
        described["description"] = operation.description.into();
    }
    if !operation.bodies.is_empty() {
        described["requestBody"] =
            json!({ "required": operation.body_required, "content": contents(operation.bodies.iter()) });
    }
    if let Some(scope) = access.scope() {
        described["x-scope"] = scope.name().into();
    }
    if suffix.is_some() {
        described["x-same-as"] = operation.path.into();
    }
    described
}

fn parameter(line: schema::Line<'_>) -> Value {
    let required = line.mark == Some('!');
    let mut parameter = json!({
        "name": line.name, "in": "query", "description": line.doc, "schema": line.schema, "required": required,
    });
    if let Some(example) = line.example {
        parameter["example"] = schema::value(&parameter["schema"], example);
    }
    parameter
}

/// A media type without its parameters.
fn media(kind: &str) -> &str {
    kind.split(';').next().unwrap_or(kind)
}

fn contents<'a>(all: impl Iterator<Item = &'a Content>) -> Map<String, Value> {
    all.map(|(kind, shape, example)| {
        let bytes = || json!({ "type": "string", "format": "binary" });
        let mut content =
            json!({ "schema": if shape.is_empty() { bytes() } else { schema::schema(shape).unwrap_or_default() } });
        if !example.is_empty() {
            let parsed = if media(kind) == "application/json" { serde_json::from_str(example).ok() } else { None };
            content["example"] = parsed.unwrap_or_else(|| json!(example));
        }
        ((*kind).to_owned(), content)
    })
    .collect()
}

fn answer<'a>(about: &str, all: impl Iterator<Item = &'a Content>) -> Value {
    let contents = contents(all);
    let mut answer = json!({ "description": about, "headers": headers(0) });
    if !contents.is_empty() {
        answer["content"] = contents.into();
    }
    answer
}

fn headers(status: u16) -> Value {
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestId" } });
    if matches!(status, 429 | 503) {
        headers["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" });
    }
    headers
}

/// What every request can be refused for, by who may use its route.
fn everywhere(access: Access) -> Vec<Refusal> {
    let mut all = vec![
        (400, "invalid_query_string"),
        (403, "host_not_allowed, cross_site"),
        (414, "uri_too_long"),
        (500, "internal"),
    ];
    if access != Access::Public {
        all.push((429, "rate_limited"));
        all.push((403, "csrf"));
    }
    if access == Access::AnyKey || access.scope().is_some() {
        all.push((401, "key_missing, key_unknown, key_revoked, key_expired, credential_invalid, session_ended"));
    }
    if access.scope().is_some() {
        all.push((403, "scope_missing"));
    }
    all
}

/// Adds the bad answers: one for each status, with its codes.
fn add_problems<'a>(into: &mut Map<String, Value>, access: Access, more: impl Iterator<Item = &'a Refusal>) {
    let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for (status, named) in more.copied().chain(everywhere(access)) {
        let codes = codes.entry(status).or_default();
        codes.extend(named.split(',').map(str::trim));
    }
    for (status, mut codes) in codes {
        let mut seen = std::collections::HashSet::new();
        codes.retain(|code| seen.insert(*code));
        let problem = json!({ "schema": schema::reference("Problem") });
        let answer =
            into.entry(status.to_string()).or_insert_with(|| json!({ "description": title(status), "content": {} }));
        answer["content"][PROBLEM] = problem;
        answer["headers"] = headers(status);
        answer["x-codes"] = json!(codes);
        let about = answer["description"].as_str().unwrap_or_default();
        answer["description"] = format!("{about}. Codes: {}", codes.join(", ")).into();
    }
}

fn title(status: u16) -> &'static str {
    axum::http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Refused")
}

fn security(access: Access) -> Value {
    let scopes = match access {
        Access::Public | Access::Anyone => return json!([]),
        Access::AnyKey => vec![],
        // Or in the body.
        Access::WriteKey => {
            return ["bearer", "basic", "apiKey"]
                .map(|scheme| json!({ scheme: ["ingest"] }))
                .into_iter()
                .chain([json!({})])
                .collect();
        }
        Access::Needs(_) | Access::Scrape => access.scope().iter().map(|scope| scope.name()).collect(),
    };
    ["bearer", "basic", "apiKey", "cookie"].map(|scheme| json!({ scheme: scopes })).into_iter().collect()
}

fn schemas() -> Map<String, Value> {
    let shapes = shapes::SHAPES.iter();
    let mut all: Map<String, Value> = shapes
        .map(|(name, about, lines)| ((*name).to_owned(), schema::object(about, lines).unwrap_or_default()))
        .collect();
    let scopes = crate::auth::scope::Scope::ALL.map(|scope| scope.name());
    all.insert("Scope".to_owned(), json!({ "type": "string", "enum": scopes, "description": "What a key may do." }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_line_of_every_shape_and_operation_reads() {
        for (name, _, lines) in shapes::SHAPES {
            assert!(schema::object("", lines).is_some(), "{name}");
        }
        for operation in OPERATIONS {
            for line in operation.params.lines().map(str::trim).filter(|line| !line.is_empty()) {
                assert!(schema::line(line).is_some(), "{} {}: {line}", operation.method, operation.path);
            }
            let bodies = operation.answers.iter().flat_map(|(_, _, contents)| contents.iter()).chain(operation.bodies);
            for (kind, shape, _) in bodies {
                assert!(shape.is_empty() || schema::schema(shape).is_some(), "{}: {kind} {shape}", operation.path);
            }
            assert!(GROUPS.iter().any(|(group, _)| *group == operation.group), "{}", operation.path);
        }
    }

    #[test]
    fn every_shape_that_is_named_is_there_and_every_shape_is_named() {
        let text = json!([
            document(&[], &Catalogue::default()),
            OPERATIONS.iter().map(|o| describe(o, Access::Anyone, None)).collect::<Vec<_>>()
        ]);
        let text = text.to_string();
        let named: BTreeSet<&str> =
            text.split("#/components/schemas/").skip(1).filter_map(|t| t.split('"').next()).collect();
        let there: BTreeSet<String> = schemas().keys().cloned().collect();
        let there: BTreeSet<&str> = there.iter().map(String::as_str).collect();
        assert_eq!(named.difference(&there).collect::<Vec<_>>(), Vec::<&&str>::new());
        let unused: Vec<_> = there.difference(&named).collect();
        assert_eq!(unused, Vec::<&&str>::new());
    }
}
