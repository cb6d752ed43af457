//! A line of text as a JSON Schema: how this folder writes shapes, so that they read like a table.
//!
//! ```text
//! name: TYPE -- what it is              a member that is always there; `name?` may be absent
//! name: TYPE = default ~ example -- …   a parameter; `name!` must be given
//! ```
//!
//! A type is `text`, `int`, `int 1..1440`, `number`, `money`, `bool`, `time`, `date`, `any`, `object`, `counts`,
//! `one(a,b)`, `[TYPE]`, or the name of a shape; with `?` behind it, null is a value too.

use serde_json::{Map, Value, json};

/// One line, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    /// Its name.
    pub name: &'a str,
    /// Behind the name: `?` or `!`.
    pub mark: Option<char>,
    /// The type's schema.
    pub schema: Value,
    /// A value to try.
    pub example: Option<&'a str>,
    /// One sentence.
    pub doc: &'a str,
}

/// Reads a line; `None` when it is not one.
pub fn line(text: &str) -> Option<Line<'_>> {
    let (head, doc) = text.split_once(" -- ").unwrap_or((text, ""));
    let (head, example) = head.split_once(" ~ ").map_or((head, None), |(head, example)| (head, Some(example)));
    let (head, default) = head.split_once(" = ").map_or((head, None), |(head, default)| (head, Some(default)));
    let (name, kind) = head.split_once(": ")?;
    let mark = name.chars().last().filter(|c| matches!(c, '?' | '!'));
    let name = name.trim_end_matches(['?', '!']);
    let mut schema = schema(kind)?;
    if let Some(default) = default {
        schema["default"] = value(&schema, default);
    }
    Some(Line { name: name.trim(), mark, schema, example, doc: doc.trim() })
}

/// A text as a value of a schema's type.
pub fn value(schema: &Value, text: &str) -> Value {
    match schema["type"].as_str() {
        Some("integer" | "number" | "boolean") => text.parse().unwrap_or_else(|_| json!(text)),
        _ => json!(text),
    }
}

/// The schema of a type; `None` when it is not one.
pub fn schema(kind: &str) -> Option<Value> {
    if let Some(kind) = kind.strip_suffix('?') {
        return schema(kind).map(or_null);
    }
    if let Some(item) = kind.strip_prefix('[') {
        return Some(json!({ "type": "array", "items": schema(item.strip_suffix(']')?)? }));
    }
    if let Some(values) = kind.strip_prefix("one(") {
        let values: Vec<&str> = values.strip_suffix(')')?.split(',').collect();
        return Some(json!({ "type": "string", "enum": values }));
    }
    if let Some((kind, range)) = kind.split_once(' ') {
        let (min, max) = range.split_once("..")?;
        let mut schema = schema(kind)?;
        schema["minimum"] = min.parse::<i64>().ok()?.into();
        if !max.is_empty() {
            schema["maximum"] = max.parse::<i64>().ok()?.into();
        }
        return Some(schema);
    }
    Some(match kind {
        "text" => json!({ "type": "string" }),
        "int" => json!({ "type": "integer" }),
        "number" | "money" => json!({ "type": "number" }),
        "bool" => json!({ "type": "boolean" }),
        "time" => json!({ "type": "string", "format": "date-time" }),
        "date" => json!({ "type": "string", "format": "date" }),
        "any" => json!({}),
        "object" => json!({ "type": "object" }),
        "counts" => json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
        shape if shape.starts_with(|c: char| c.is_ascii_uppercase()) => reference(shape),
        _ => return None,
    })
}

/// A reference to a shape.
pub fn reference(shape: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{shape}") })
}

/// The same, or null.
pub fn or_null(schema: Value) -> Value {
    match schema["type"].as_str() {
        Some(kind) if schema.get("enum").is_none() => {
            let both = json!([kind, "null"]);
            let mut schema = schema;
            schema["type"] = both;
            schema
        }
        _ if schema.as_object().is_some_and(Map::is_empty) => schema,
        _ => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

/// The schema of an object of these lines. A line `...Shape` takes in the members of that shape.
pub fn object(about: &str, lines: &str) -> Option<Value> {
    let (mut members, mut required, mut parts) = (Map::new(), Vec::new(), Vec::new());
    for text in lines.lines().map(str::trim).filter(|text| !text.is_empty()) {
        if let Some(shape) = text.strip_prefix("...") {
            parts.push(reference(shape));
            continue;
        }
        let line = line(text)?;
        if line.mark != Some('?') {
            required.push(line.name.to_owned());
        }
        members.insert(line.name.to_owned(), described(line.schema, line.doc));
    }
    let mut schema = json!({ "type": "object", "description": about, "properties": members });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    if !parts.is_empty() {
        schema["allOf"] = parts.into();
    }
    Some(schema)
}

fn described(mut schema: Value, doc: &str) -> Value {
    if !doc.is_empty() && schema.is_object() {
        schema["description"] = doc.into();
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_member_or_a_parameter() {
        let minutes = line("minutes: int 1..1440 = 5 ~ 60 -- How far back").unwrap();
        let schema = json!({ "type": "integer", "minimum": 1, "maximum": 1440, "default": 5 });
        assert_eq!(
            (minutes.name, minutes.mark, minutes.example, minutes.doc),
            ("minutes", None, Some("60"), "How far back")
        );
        assert_eq!(minutes.schema, schema);
        let shape = object("A.", "a?: [text?] -- all\nb: Kpi?\n...Standing").unwrap();
        let list = json!({ "type": "array", "items": { "type": ["string", "null"] }, "description": "all" });
        assert_eq!(shape["properties"]["a"], list);
        assert_eq!(shape["properties"]["b"]["anyOf"][0]["$ref"], "#/components/schemas/Kpi");
        assert_eq!((&shape["required"], shape["allOf"].as_array().unwrap().len()), (&json!(["b"]), 1));
    }

    #[test]
    fn what_is_no_type_is_noticed() {
        for wrong in ["a: txt", "a", "a: int 1", "a: [text"] {
            assert_eq!(line(wrong), None, "{wrong}");
        }
    }
}
