//! Queries of the command line: asked of a server or of a data folder, answered as batches or as bytes of a format.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use serde_json::json;
use tideline_engine::error::{Error, Kind, Result};
use tideline_engine::query::QueryRequest;
use tideline_engine::query::encode::Format;

use super::client::{Client, Target};
use super::folder::Folder;

/// One query.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Its text.
    pub sql: String,
    /// Values of its parameters.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The most rows to answer.
    pub limit: Option<usize>,
    /// The longest it may take.
    pub timeout: Option<Duration>,
}

impl Ask {
    /// A query of text alone.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), ..Self::default() }
    }

    fn json(&self) -> serde_json::Value {
        let mut body = json!({ "q": self.sql, "params": self.params });
        if let Some(limit) = self.limit {
            body["limit"] = limit.into();
        }
        if let Some(timeout) = self.timeout {
            body["timeout_ms"] = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).into();
        }
        body
    }
}

/// Where queries are asked.
#[derive(Debug)]
pub enum Session {
    /// A server.
    Server(Client),
    /// A data folder, open in this process.
    Folder(Box<Folder>),
}

/// The rows of an answer as they come.
pub struct Rows<'a> {
    /// Their columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Box<dyn Iterator<Item = Result<RecordBatch>> + 'a>,
}

impl Session {
    /// Opens what the arguments name.
    ///
    /// # Errors
    /// When the server does not answer or the folder cannot be opened.
    pub fn open(target: Target) -> Result<Self> {
        match target {
            Target::Server(client) => {
                client.reach()?;
                Ok(Self::Server(client))
            }
            Target::Folder(dir) => Self::open_folder(&dir),
        }
    }

    fn open_folder(dir: &Path) -> Result<Self> {
        Folder::open_existing(dir).map(|folder| Self::Folder(Box::new(folder)))
    }

    /// Asks and answers with batches.
    pub fn rows(&self, ask: &Ask) -> Result<Rows<'_>> {
        match self {
            Self::Server(client) => {
                let answer = client.post_json("/sql.arrow", &ask.json())?.success()?;
                let reader = StreamReader::try_new(BufReader::new(answer.reader()), None).map_err(broken)?;
                Ok(Rows { schema: reader.schema(), batches: Box::new(reader.map(|batch| batch.map_err(broken))) })
            }
            Self::Folder(folder) => folder.rows(request(ask)),
        }
    }

    /// Asks and writes the answer in a format.
    ///
    /// # Errors
    /// Those of the query; and when the answer breaks off, or `out` refuses it.
    pub fn write(&self, ask: &Ask, format: Format, out: &mut dyn Write) -> Result<()> {
        match self {
            Self::Server(client) => {
                let path = format!("/sql.{}", format.name());
                let mut reader = client.post_json(&path, &ask.json())?.success()?.reader();
                let mut buffer = vec![0; 256 << 10];
                loop {
                    match reader.read(&mut buffer).map_err(|e| broken_off(&e))? {
                        0 => return Ok(()),
                        read => out.write_all(buffer.get(..read).unwrap_or_default())?,
                    }
                }
            }
            Self::Folder(folder) => folder.write(request(ask), format, out),
        }
    }

    /// Ends it in good order.
    pub fn close(self) -> Result<()> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Folder(folder) => folder.close().map(|_| ()),
        }
    }
}

fn request(ask: &Ask) -> QueryRequest {
    let Ask { sql, params, limit, timeout } = ask.clone();
    QueryRequest { sql, params, limit, timeout }
}

fn broken(error: ArrowError) -> Error {
    broken_off(&error)
}

fn broken_off(why: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Internal, "broken_off", format!("the answer broke off before its end: {why}"))
        .with_hint("the query failed after its first rows, or the server stopped; ask for fewer rows to see the error")
}
