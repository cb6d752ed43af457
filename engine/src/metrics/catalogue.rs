//! The catalogue: every metric's file, read, planned and ready to run; and what is wrong with those that are not.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::embedded::{FILES, NOT_METRICS};
use super::header::{self, Chart, Header};
use super::params::{Moment, Param};
use super::rule::Rule;
use crate::error::{Error, Kind, Position, Result};
use crate::query::encode::type_name;
use crate::query::{Prepared, QueryEngine, nearest, views_text};

/// What marks the rows of an answer that compares two ranges.
pub const PERIOD: &str = "period";
/// Where metrics are found over HTTP.
pub const PREFIX: &str = "/analytics/";

/// The longest file of a folder, the most of them, and how deep they may stand.
const MAX_FILE_BYTES: u64 = 256 << 10;
const MAX_FILES: usize = 1_000;
const MAX_DEPTH: usize = 4;

/// Where a metric's file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The binary.
    BuiltIn,
    /// The folder of the settings.
    Folder,
}

/// One file, unread.
#[derive(Debug, Clone)]
pub struct File {
    /// `sales/daily`
    pub name: String,
    /// All of it.
    pub text: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `sales/daily.sql`
    pub file: String,
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    /// One sentence.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The nearest name that exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did_you_mean: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.did_you_mean {
            Some(name) => write!(f, " (did you mean {name}?)"),
            None => Ok(()),
        }
    }
}

impl Problem {
    fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: 1, column: 1, message: message.into(), hint: None, did_you_mean: None }
    }

    fn new(file: &File, error: Error, otherwise: Position) -> Self {
        let at = error.position.unwrap_or(otherwise);
        Self {
            file: format!("{}.sql", file.name),
            line: at.line,
            column: at.column,
            message: error.message,
            hint: error.hint,
            did_you_mean: error.did_you_mean,
        }
    }
}

/// A column of a metric's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as `/sql` names it.
    pub r#type: String,
    /// What its values are: `money`, `count` …
    pub unit: Option<String>,
}

/// One metric, ready to run.
#[derive(Debug, Clone)]
pub struct Metric {
    /// `sales/daily`
    pub name: String,
    /// What its file says of it.
    pub header: Header,
    /// Its query, without the header.
    pub sql: String,
    /// Where its file comes from.
    pub origin: Origin,
    /// Another when its file, the views, the shop or this program changes.
    pub version: String,
    /// Why this is not the version of the file as it is now.
    pub warning: Option<String>,
    pub(super) prepared: Prepared,
}

/// A metric as `GET /analytics` describes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description<'a> {
    name: &'a str,
    path: String,
    paths: &'a [String],
    summary: &'a str,
    description: &'a str,
    params: &'a [Param],
    compare: bool,
    columns: Vec<Column>,
    chart: Option<Chart>,
    cache_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<&'a Rule>,
    version: &'a str,
    origin: Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'a str>,
    sql: &'a str,
}

impl Metric {
    /// Where it is found over HTTP.
    pub fn path(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// Whether it takes `compare=previous`: it has a range, and no column of its own where the answer says which.
    pub fn compares(&self) -> bool {
        self.header.has_range() && self.prepared.schema().column_with_name(PERIOD).is_none()
    }

    /// Its columns.
    pub fn columns(&self) -> Vec<Column> {
        let unit = |name: &str| self.header.units.get(name).cloned();
        let fields = self.prepared.schema().fields().iter();
        fields
            .map(|f| Column { name: f.name().clone(), r#type: type_name(f.data_type()), unit: unit(f.name()) })
            .collect()
    }

    /// All that is known about it.
    pub fn describe(&self) -> Description<'_> {
        Description {
            name: &self.name,
            path: self.path(),
            paths: &self.header.paths,
            summary: &self.header.summary,
            description: &self.header.description,
            params: &self.header.params,
            compare: self.compares(),
            columns: self.columns(),
            chart: self.header.chart,
            cache_seconds: self.header.cache.as_secs(),
            alert: self.header.alert.as_ref(),
            version: &self.version,
            origin: self.origin,
            warning: self.warning.as_deref(),
            sql: &self.sql,
        }
    }
}

/// Every metric.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// By name.
    pub metrics: BTreeMap<String, Arc<Metric>>,
    /// What is wrong with files.
    pub problems: Vec<Problem>,
    /// Names by further path.
    paths: BTreeMap<String, String>,
    /// Metrics of which no version can be used.
    broken: BTreeMap<String, Problem>,
}

impl Catalogue {
    /// A metric by its name.
    ///
    /// # Errors
    /// `unknown_metric` with the nearest name; `metric_broken` while its file cannot be used.
    pub fn get(&self, name: &str) -> Result<&Arc<Metric>> {
        if let Some(metric) = self.metrics.get(name) {
            return Ok(metric);
        }
        if let Some(problem) = self.broken.get(name) {
            return Err(Error::busy("metric_broken", format!("the metric cannot be used: {problem}"))
                .with_hint("correct its file; `tideline check` names what is wrong with each"));
        }
        let shown: String = name.chars().take(80).collect();
        let mut error = Error::new(Kind::NotFound, "unknown_metric", format!("there is no metric `{shown}`"))
            .with_hint("GET /analytics, or `tideline metrics`, lists them");
        let names = || self.metrics.keys().map(String::as_str);
        let last = |full: &str| full.rsplit('/').next() == Some(name);
        error.did_you_mean = nearest(name, names()).or_else(|| names().find(|n| last(n)).map(str::to_owned));
        Err(error)
    }

    /// A metric by one of its further paths.
    pub fn by_path(&self, path: &str) -> Option<&Arc<Metric>> {
        self.paths.get(path).and_then(|name| self.metrics.get(name))
    }

    /// Makes files ready. What is broken keeps the version it had in `before`, else the one that is built in.
    pub(super) async fn load(
        query: &QueryEngine,
        files: Vec<File>,
        problems: Vec<Problem>,
        before: Option<&Self>,
        moment: &Moment<'_>,
    ) -> Self {
        let mut catalogue = Self { problems, ..Self::default() };
        let mut by_name: BTreeMap<String, Vec<File>> = BTreeMap::new();
        for file in files {
            by_name.entry(file.name.clone()).or_default().push(file);
        }
        for (name, mut versions) in by_name {
            versions.sort_by_key(|f| f.origin == Origin::BuiltIn);
            let before = before.and_then(|b| b.metrics.get(&name));
            if let Some(metric) = catalogue.choose(query, &versions, before, moment).await {
                catalogue.metrics.insert(name, metric);
            }
        }
        catalogue.give_paths();
        catalogue
    }

    /// The best version of a metric there is, strongest file first.
    async fn choose(
        &mut self,
        query: &QueryEngine,
        versions: &[File],
        before: Option<&Arc<Metric>>,
        moment: &Moment<'_>,
    ) -> Option<Arc<Metric>> {
        let mut said: Option<Problem> = None;
        for file in versions {
            let version = version(file, moment);
            let warning = |instead: &str| said.as_ref().map(|p| format!("{p}; {instead} answers"));
            let built_in = warning("the built-in version");
            if let Some(known) = before.filter(|m| m.version == version) {
                if known.warning == built_in {
                    return Some(Arc::clone(known));
                }
                return Some(Arc::new(Metric { warning: built_in, ..known.as_ref().clone() }));
            }
            match compile(query, file, version, moment).await {
                Ok(metric) => return Some(Arc::new(Metric { warning: built_in, ..metric })),
                Err(problem) => {
                    self.problems.push(problem.clone());
                    if let Some(last) = before.filter(|m| m.origin == file.origin) {
                        let warning = Some(format!("{problem}; the last good version answers"));
                        return Some(Arc::new(Metric { warning, ..last.as_ref().clone() }));
                    }
                    said.get_or_insert(problem);
                }
            }
        }
        if let (Some(problem), Some(file)) = (said, versions.first()) {
            self.broken.insert(file.name.clone(), problem);
        }
        None
    }

    fn give_paths(&mut self) {
        for metric in self.metrics.values() {
            for path in &metric.header.paths {
                let taken = path.starts_with(PREFIX) || self.paths.contains_key(path);
                if taken {
                    let message = format!("the path {path} is taken; the metric is at {} only", metric.path());
                    self.problems.push(Problem::of_file(format!("{}.sql", metric.name), message));
                } else {
                    self.paths.insert(path.clone(), metric.name.clone());
                }
            }
        }
    }
}

/// A fingerprint of all that an answer depends on besides data and parameters.
fn version(file: &File, moment: &Moment<'_>) -> String {
    let mut hasher = SipHasher13::new();
    for part in [
        env!("CARGO_PKG_VERSION"),
        &views_text(),
        moment.shop.time_zone.name(),
        &moment.shop.currency,
        &file.name,
        &file.text,
    ] {
        hasher.write_usize(part.len());
        hasher.write(part.as_bytes());
    }
    format!("{:016x}", hasher.finish128().as_u128() >> 64)
}

/// Reads, plans and checks one file.
async fn compile(query: &QueryEngine, file: &File, version: String, moment: &Moment<'_>) -> Result<Metric, Problem> {
    let text = file.text.trim_start_matches('\u{feff}');
    let header_lines = text.lines().take_while(|line| line.starts_with("--")).count() as u64;
    let begin = Position { line: header_lines + 1, column: 1 };
    let wrong = |error| Problem::new(file, error, begin);
    let header = header::parse(text, moment).map_err(wrong)?;
    let samples = header.samples(moment);
    let params = samples.into_iter().map(|(name, kind, value)| (name, kind.bind_type(), value.scalar(kind))).collect();
    // The whole file, so that positions are those of the file.
    let prepared = query.prepare(&file.name, text, params).await.map_err(|mut error| {
        let unused = |p: &&Param| error.message.starts_with(&format!("the parameter {} is", p.name));
        if error.code == "unused_parameter"
            && let Some(param) = header.params.iter().find(unused)
        {
            error.position = header.places.params.get(&param.name).copied();
        }
        wrong(error)
    })?;
    let columns: HashSet<&str> = prepared.schema().fields().iter().map(|f| f.name().as_str()).collect();
    if let Some((column, place)) = header.places.units.iter().find(|(name, _)| !columns.contains(name.as_str())) {
        let mut error = Error::invalid("invalid_header", format!("there is no column {column} to have a unit"));
        error.did_you_mean = nearest(column, columns.iter().copied());
        return Err(wrong(error.with_position(*place)));
    }
    if let Some(rule) = &header.alert {
        rule.check(prepared.schema(), &header.params).map_err(wrong)?;
    }
    let (name, sql, origin) = (file.name.clone(), header::body(text).to_owned(), file.origin);
    Ok(Metric { name, header, sql, origin, version, warning: None, prepared })
}

/// The files in the binary.
pub(super) fn built_in() -> impl Iterator<Item = File> {
    let file = |(name, text): &(&str, &str)| (String::from(*name), String::from(*text));
    FILES.iter().map(file).map(|(name, text)| File { name, text, origin: Origin::BuiltIn })
}

/// What a folder looks like from outside: changes when a file does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    files: Vec<(String, PathBuf, u64, Option<SystemTime>)>,
    problems: Vec<Problem>,
}

impl Look {
    /// Looks at a folder.
    pub(super) fn at(dir: &Path) -> Self {
        let mut look = Self::default();
        look.walk(dir, "", 0);
        look.files.sort();
        look
    }

    fn walk(&mut self, dir: &Path, prefix: &str, depth: usize) {
        let shown = if prefix.is_empty() { "metrics.dir" } else { prefix };
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) => return self.problems.push(Problem::of_file(shown, format!("the folder cannot be read: {e}"))),
        };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            // What a symbolic link shows, since mounted configuration is made of them.
            let Ok(found) = std::fs::metadata(entry.path()) else { continue };
            if name.starts_with('.') || self.files.len() > MAX_FILES {
                continue;
            }
            if found.is_dir() {
                if prefix.is_empty() && NOT_METRICS.contains(&name.as_str()) {
                    continue;
                }
                if depth < MAX_DEPTH {
                    self.walk(&entry.path(), &format!("{prefix}{name}/"), depth + 1);
                }
            } else if let Some(stem) = name.strip_suffix(".sql") {
                self.file(format!("{prefix}{stem}"), entry.path(), &found);
            }
        }
    }

    fn file(&mut self, name: String, path: PathBuf, found: &std::fs::Metadata) {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'/' | b'-' | b'_');
        let mut wrong = |what: String| self.problems.push(Problem::of_file(format!("{name}.sql"), what));
        if !name.bytes().all(fits) {
            return wrong("the names of metrics and their folders are made of a-z, 0-9, - and _".to_owned());
        }
        if found.len() > MAX_FILE_BYTES {
            return wrong(format!("the file is longer than {MAX_FILE_BYTES} bytes"));
        }
        if self.files.len() == MAX_FILES {
            return wrong(format!("the folder holds more than {MAX_FILES} files; this and others are left out"));
        }
        self.files.push((name, path, found.len(), found.modified().ok()));
    }

    /// Reads the files.
    pub(super) fn read(&self) -> (Vec<File>, Vec<Problem>) {
        let (mut files, mut problems) = (Vec::new(), self.problems.clone());
        for (name, path, ..) in &self.files {
            match std::fs::read_to_string(path) {
                Ok(text) => files.push(File { name: name.clone(), text, origin: Origin::Folder }),
                Err(e) => problems.push(Problem::of_file(format!("{name}.sql"), format!("it cannot be read: {e}"))),
            }
        }
        (files, problems)
    }
}
