//! Merges the layers of the configuration and remembers where each value came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tideline_engine::error::{Error, Result};
use toml::{Table, Value};

use super::{Config, Setting};

/// The file read when none is named.
pub const DEFAULT_FILE: &str = "tideline.toml";
const PREFIX: &str = "TIDELINE_";
/// Names the file; not a setting.
const FILE_VARIABLE: &str = "TIDELINE_CONFIG";
/// The key the commands show a server; not a setting.
pub const KEY_VARIABLE: &str = "TIDELINE_KEY";
/// Variables with our prefix that belong to the test suite, which starts servers in its own environment.
const FOREIGN: [&str; 8] = [
    "TIDELINE_FIXTURES",
    "TIDELINE_REQUIRE_FIXTURES",
    "TIDELINE_CRASH_CYCLES",
    "TIDELINE_CRASH_SEED",
    "TIDELINE_TEST_LISTENERS",
    "TIDELINE_TEST_TICKS",
    // Read by the build of the page's stand-in.
    "TIDELINE_STUB_PAGE",
    "TIDELINE_ALERT_DAYS",
];

/// The key in the environment, for commands that talk to a server.
pub fn key_from_environment() -> Option<String> {
    std::env::var_os(KEY_VARIABLE)?.into_string().ok().filter(|key| !key.trim().is_empty())
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of a file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line, where it could be told.
        line: Option<usize>,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        name: String,
    },
    /// A flag of the command.
    Flag {
        /// Its name, with dashes.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Environment { name } => f.write_str(name),
            Self::Flag { name } => f.write_str(name),
        }
    }
}

/// What stands above the defaults. [`Layers::from_process`] fills it; tests fill it by hand.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The file named by a flag.
    pub file: Option<PathBuf>,
    /// Where [`DEFAULT_FILE`] is looked for; nowhere when `None`.
    pub working_dir: Option<PathBuf>,
    /// The environment; names without our prefix are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags: (flag as written, key of the setting, value). Later ones win.
    pub flags: Vec<(String, String, String)>,
}

impl Layers {
    /// The process's working folder and environment, with no flags yet.
    pub fn from_process() -> Self {
        Self {
            file: None,
            working_dir: Some(PathBuf::from(".")),
            environment: std::env::vars_os().collect(),
            flags: Vec::new(),
        }
    }

    /// Adds a flag that sets `key`.
    pub fn flag(&mut self, flag: impl Into<String>, key: impl Into<String>, value: impl Into<String>) {
        self.flags.push((flag.into(), key.into(), value.into()));
    }

    /// Merges the layers and checks every value.
    pub fn load(&self) -> Result<Loaded> {
        let mut loader = Loader::new()?;
        if let Some((path, required)) = self.file_to_read() {
            loader.file(&path, required)?;
        }
        for (name, value) in &self.environment {
            loader.variable(name, value)?;
        }
        for (flag, key, value) in &self.flags {
            let origin = Origin::Flag { name: flag.clone() };
            let setting = loader.find(key, &origin)?;
            loader.set(&setting, Value::String(value.clone()), origin)?;
        }
        loader.finish()
    }

    /// The file, and whether it must exist.
    fn file_to_read(&self) -> Option<(PathBuf, bool)> {
        let named = |name: &str| self.environment.iter().find(|(n, v)| n == name && !v.is_empty());
        if let Some(path) = &self.file {
            return Some((path.clone(), true));
        }
        if let Some((_, path)) = named(FILE_VARIABLE) {
            return Some((PathBuf::from(path), true));
        }
        Some((self.working_dir.as_ref()?.join(DEFAULT_FILE), false))
    }
}

/// A configuration and where each of its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// By key; a key that is missing has its default.
    pub origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Where the value of `key` came from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

struct Loader {
    settings: Vec<Setting>,
    tree: Table,
    origins: BTreeMap<String, Origin>,
}

impl Loader {
    fn new() -> Result<Self> {
        let tree = Table::try_from(Config::default())
            .map_err(|e| Error::internal(format!("the default configuration is not TOML: {e}")))?;
        Ok(Self { settings: Config::settings(), tree, origins: BTreeMap::new() })
    }

    fn file(&mut self, path: &Path, required: bool) -> Result<()> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if !required && e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => {
                return Err(invalid(format!("the configuration file {} cannot be read: {e}", path.display()))
                    .with_hint("name another file with --config, or remove it from TIDELINE_CONFIG"));
            }
        };
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            let line = e.span().map_or(1, |span| line_at(&text, span.start));
            invalid(format!("{}:{line} is not TOML: {}", path.display(), e.message().trim()))
        })?;
        let mut leaves = Vec::new();
        flatten(&table, "", &mut leaves);
        for (key, value) in leaves {
            let origin = Origin::File { path: path.to_owned(), line: line_of(&text, &key) };
            let setting = self.find(&key, &origin)?;
            self.set(&setting, value, origin)?;
        }
        Ok(())
    }

    fn variable(&mut self, name: &OsString, value: &OsString) -> Result<()> {
        let Some(name) = name.to_str().filter(|n| n.starts_with(PREFIX)) else { return Ok(()) };
        if name == FILE_VARIABLE || name == KEY_VARIABLE || FOREIGN.contains(&name) {
            return Ok(());
        }
        let wanted = name.replace("__", "_");
        let Some(setting) = self.settings.iter().find(|s| s.env() == wanted).copied() else {
            let names: Vec<String> = self.settings.iter().map(Setting::env).collect();
            return Err(unknown(&format!("the environment variable {name} is not a setting"), &wanted, &names));
        };
        let value = value.to_str().ok_or_else(|| invalid(format!("the value of {name} is not UTF-8")))?;
        self.set(&setting, Value::String(value.to_owned()), Origin::Environment { name: name.to_owned() })
    }

    fn find(&self, key: &str, origin: &Origin) -> Result<Setting> {
        self.settings.iter().find(|s| s.key() == key).copied().ok_or_else(|| {
            let keys: Vec<String> = self.settings.iter().map(Setting::key).collect();
            unknown(&format!("`{key}` ({origin}) is not a setting"), key, &keys)
        })
    }

    /// Puts a value into the tree if the setting's type takes it. Text may also be the TOML of a number or boolean:
    /// the environment and flags have nothing but text.
    fn set(&mut self, setting: &Setting, value: Value, origin: Origin) -> Result<()> {
        let mut candidates = vec![value.clone()];
        if let Value::String(text) = &value {
            candidates.extend(scalar(text.trim()));
        }
        let key = setting.key();
        let mut why = String::new();
        for candidate in candidates {
            let mut tree = self.tree.clone();
            let table = match setting.section {
                "" => Some(&mut tree),
                section => tree.get_mut(section).and_then(Value::as_table_mut),
            };
            if let Some(table) = table {
                table.insert(setting.name.to_owned(), candidate);
            }
            match Config::deserialize(Value::Table(tree.clone())) {
                Ok(_) => {
                    self.tree = tree;
                    self.origins.insert(key, origin);
                    return Ok(());
                }
                // A wrong type is told with the value.
                Err(e) if setting.kind == "secret" && e.message().contains("invalid type") => {
                    why = "it has to be text, in quotes".to_owned();
                }
                Err(e) => why = e.message().trim().to_owned(),
            }
        }
        let shown = if setting.kind == "secret" { String::new() } else { format!(" = {value}") };
        Err(invalid(format!("the setting `{key}`{shown} ({origin}) is refused: {why}"))
            .with_hint(format!("{} Type: {}.", setting.doc, setting.kind)))
    }

    fn finish(self) -> Result<Loaded> {
        let mut config = Config::deserialize(Value::Table(self.tree))
            .map_err(|e| Error::internal(format!("the merged configuration does not read back: {e}")))?;
        // The engine's file operations take absolute paths; an empty one is refused below.
        if !config.data_dir.as_os_str().is_empty() {
            config.data_dir = std::path::absolute(&config.data_dir)?;
        }
        let loaded = Loaded { config, origins: self.origins };
        loaded.config.validate().map_err(|wrong| {
            let origin = loaded.origin(wrong.key);
            invalid(format!("the setting `{}` ({origin}) is refused: {}", wrong.key, wrong.message))
                .with_hint(wrong.hint)
        })?;
        Ok(loaded)
    }
}

fn invalid(message: String) -> Error {
    Error::invalid("invalid_config", message)
}

fn unknown(message: &str, name: &str, names: &[String]) -> Error {
    let error = Error::invalid("unknown_setting", message.to_owned());
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")).with_did_you_mean(near),
        None => error.with_hint("`tideline config` lists every setting"),
    }
}

/// The number or boolean that `text` writes, if it does.
fn scalar(text: &str) -> Option<Value> {
    match (text.parse::<i64>(), text) {
        (Ok(number), _) => Some(Value::Integer(number)),
        (_, "true" | "yes" | "on") => Some(Value::Boolean(true)),
        (_, "false" | "no" | "off") => Some(Value::Boolean(false)),
        _ => None,
    }
}

/// Every value of the tree with its dotted key; an empty table has none.
fn flatten(table: &Table, prefix: &str, into: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(nested) => flatten(nested, &key, into),
            _ => into.push((key, value.clone())),
        }
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

/// The line that sets `key`: plain and dotted keys under a `[table]`. Inline tables keep their own line.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let mut section = String::new();
    let mut inline = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.split(']').next().unwrap_or_default().trim().to_owned();
            continue;
        }
        let Some((name, _)) = line.split_once('=') else { continue };
        let name = name.trim().trim_matches(['"', '\'']);
        let full = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        if full == key {
            return Some(index + 1);
        }
        if key.strip_prefix(&full).is_some_and(|rest| rest.starts_with('.')) {
            inline = Some(index + 1);
        }
    }
    inline
}

/// The name nearest to `name`, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(2);
    names.map(|n| (distance(name, n), n)).min().filter(|(d, _)| *d <= limit).map(|(_, n)| n)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ByteSize;

    fn with_file(text: &str) -> (tempfile::TempDir, Layers) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.toml");
        std::fs::write(&file, text).unwrap();
        (dir, Layers { file: Some(file), ..Layers::default() })
    }

    fn variable(name: &str, value: &str) -> (OsString, OsString) {
        (name.into(), value.into())
    }

    #[test]
    fn each_layer_overrides_the_one_below_and_is_named() {
        let (_dir, mut layers) =
            with_file("listen = \"127.0.0.1:1\"\n# note\n[wal]\nmax_bytes = \"3GiB\"\nsegment_bytes = 1048576\n");
        layers.environment = vec![
            variable("TIDELINE_LISTEN", "127.0.0.1:2"),
            variable("TIDELINE_QUERY__MAX_CONCURRENT", "7"),
            variable("TIDELINE_LAKE_MAINTAIN_EVERY", "0"),
            variable("TIDELINE_FIXTURES", "/elsewhere"),
            variable("PATH", "/bin"),
        ];
        layers.flag("--listen", "listen", "127.0.0.1:3");
        let loaded = layers.load().unwrap();
        assert_eq!(loaded.config.listen, "127.0.0.1:3");
        assert_eq!(loaded.config.wal.max_bytes, ByteSize::gib(3));
        assert_eq!(loaded.config.wal.segment_bytes, ByteSize::mib(1));
        assert_eq!(loaded.config.query.max_concurrent, 7);
        assert!(loaded.config.lake.maintain_every.0.is_zero());
        assert_eq!(loaded.origin("listen").to_string(), "--listen");
        assert!(loaded.origin("wal.max_bytes").to_string().ends_with("t.toml:4"));
        assert_eq!(loaded.origin("query.max_concurrent").to_string(), "TIDELINE_QUERY__MAX_CONCURRENT");
        assert_eq!(*loaded.origin("query.timeout"), Origin::Default);
    }

    #[test]
    fn what_is_not_a_setting_is_refused_with_the_nearest_name() {
        let (_dir, layers) = with_file("[wal]\nmax_byte = 1\n");
        let error = layers.load().unwrap_err();
        assert_eq!((error.code, error.did_you_mean.as_deref()), ("unknown_setting", Some("wal.max_bytes")));
        assert!(error.message.contains("t.toml:2"), "{error}");

        let layers = Layers { environment: vec![variable("TIDELINE_DATADIR", "x")], ..Layers::default() };
        assert_eq!(layers.load().unwrap_err().did_you_mean.as_deref(), Some("TIDELINE_DATA_DIR"));

        let mut layers = Layers::default();
        layers.flag("--set", "zzzzzz", "1");
        assert!(layers.load().unwrap_err().hint.unwrap().contains("tideline config"));
    }

    #[test]
    fn a_wrong_value_names_the_setting_the_value_and_its_origin() {
        let mut layers = Layers::default();
        layers.flag("--set", "query.timeout", "30");
        let error = layers.load().unwrap_err().to_string();
        assert!(error.contains("query.timeout") && error.contains("30") && error.contains("--set"), "{error}");

        let (_dir, layers) = with_file("redis_url = 7\n");
        let error = layers.load().unwrap_err().to_string();
        assert!(error.contains("redis_url") && error.contains(":1"), "{error}");

        let (_dir, layers) = with_file("listen = \n");
        assert!(layers.load().unwrap_err().to_string().contains("t.toml:1"));

        let mut layers = Layers::default();
        layers.flag("--set", "http.max_connections", "0");
        let error = layers.load().unwrap_err();
        assert!(
            error.message.contains("`0` is out of range") && error.hint.unwrap().contains("from 1"),
            "{}",
            error.message
        );
    }

    #[test]
    fn a_named_file_must_exist_and_the_default_one_need_not() {
        let dir = tempfile::tempdir().unwrap();
        let layers = Layers { working_dir: Some(dir.path().to_owned()), ..Layers::default() };
        assert!(layers.load().is_ok());
        let layers =
            Layers { environment: vec![variable("TIDELINE_CONFIG", "/nonexistent.toml")], ..Layers::default() };
        assert!(layers.load().is_err());
    }
}
