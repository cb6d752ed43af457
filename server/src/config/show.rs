//! Prints the configuration: every setting, its value, and where that came from.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Config, Loaded, Setting};

/// A setting's value as text. Secrets mask themselves.
fn value_of(tree: &toml::Table, setting: &Setting) -> String {
    let table = match setting.section {
        "" => Some(tree),
        section => tree.get(section).and_then(toml::Value::as_table),
    };
    match table.and_then(|t| t.get(setting.name)) {
        Some(toml::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

fn tree(config: &Config) -> toml::Table {
    toml::Table::try_from(config).unwrap_or_default()
}

/// For people: one line a setting, aligned.
pub fn text(loaded: &Loaded) -> String {
    let tree = tree(&loaded.config);
    let rows: Vec<[String; 3]> = Config::settings()
        .iter()
        .map(|s| [s.key(), value_of(&tree, s), loaded.origin(&s.key()).to_string()])
        .map(|[key, value, origin]| [key, if value.is_empty() { "-".to_owned() } else { value }, origin])
        .collect();
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let (keys, values) = (width(0).max(7), width(1).max(5));
    let mut out = format!("{:keys$}  {:values$}  from\n", "setting", "value");
    for [key, value, origin] in &rows {
        let _ = writeln!(out, "{key:keys$}  {value:values$}  {origin}");
    }
    out
}

/// For programs: an object of key → value, origin, documentation.
pub fn json(loaded: &Loaded) -> Value {
    let values = serde_json::to_value(&loaded.config).unwrap_or_default();
    let mut out = Map::new();
    for setting in Config::settings() {
        let key = setting.key();
        let value = values.pointer(&format!("/{}", key.replace('.', "/"))).cloned().unwrap_or_default();
        let origin = loaded.origin(&key);
        out.insert(
            key,
            json!({ "value": value, "origin": origin, "env": setting.env(), "type": setting.kind, "doc": setting.doc }),
        );
    }
    Value::Object(out)
}

/// What stands above the reference.
const REFERENCE: &str = "# Settings

Made by `tideline config --reference`; edits are lost. `tideline config` shows the values a server would use and where each
came from.

From weakest to strongest: the default, a TOML file (`--config FILE`, else `TIDELINE_CONFIG`, else `./tideline.toml` where there
is one), the environment, a flag (`--listen`, `--data-dir`, `--redis-url`, `--set wal.max_bytes=4GiB`). Unknown settings are
refused. Sizes are written like `64MiB`, times like `30s` or `1h30m`, lists like `[\"a\", \"b\"]` or, outside of files, with
commas. Secrets are never shown.
";

/// For the documentation: every setting with its default, table by table.
pub fn reference() -> String {
    let tree = tree(&Config::default());
    let mut out = REFERENCE.to_owned();
    let mut section = None;
    for setting in Config::settings() {
        if section != Some(setting.section) {
            section = Some(setting.section);
            let title = if setting.section.is_empty() {
                "At the top".to_owned()
            } else {
                format!("`[{}]`: {}", setting.section, lower_first(setting.about.trim_end_matches('.')))
            };
            let _ = write!(
                out,
                "\n## {title}\n\n| setting | environment | type | default | what it is for |\n|---|---|---|---|---|\n"
            );
        }
        let default = match value_of(&tree, &setting) {
            empty if empty.is_empty() => "–".to_owned(),
            value => format!("`{value}`"),
        };
        let doc = setting.doc.replace('|', "\\|").replace('<', "&lt;");
        let _ = writeln!(out, "| `{}` | `{}` | {} | {default} | {doc} |", setting.key(), setting.env(), setting.kind);
    }
    out
}

/// `Connections and requests` within a line; `SQL` keeps its case.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn every_form_lists_every_setting_and_no_secret() {
        let mut layers = Layers::default();
        layers.flag("--redis-url", "redis_url", "redis://:hunter2@cache:6379");
        let loaded = layers.load().unwrap();
        let (text, json, reference) = (text(&loaded), json(&loaded).to_string(), reference());
        for setting in Config::settings() {
            for form in [&text, &json, &reference] {
                assert!(form.contains(&setting.key()), "{} in {form}", setting.key());
            }
        }
        assert!(text.contains("redis://***@cache:6379") && text.contains("--redis-url"));
        assert!(!text.contains("hunter2") && !json.contains("hunter2"));
    }
}
