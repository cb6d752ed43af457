//! A data folder opened in this process: the engine without a server around it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tideline_engine::clock::SystemClock;
use tideline_engine::decode::InputFormat;
use tideline_engine::engine::{Ack, CloseReport, Engine, Receipt};
use tideline_engine::error::{Error, Kind, Result};
use tideline_engine::fs::real::RealFs;
use tideline_engine::query::QueryRequest;
use tideline_engine::query::encode::{CellOptions, Encoder, Format};
use tokio::runtime::Runtime;

use super::SettingArgs;
use super::load::read::{Batch, Body};
use super::load::send::{Counts, EventError, Sink, Unsent};
use super::session::Rows;

/// What a request is called in the store of refused events.
const SOURCE: &str = "load";

/// An open data folder.
#[derive(Debug)]
pub struct Folder {
    engine: Arc<Engine>,
    runtime: Runtime,
}

impl Folder {
    /// Opens a folder, creating it when it is not there. Settings come from the environment and the configuration
    /// file, as a server's do.
    ///
    /// # Errors
    /// When a server is using it, or its contents are damaged.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, &[])
    }

    /// Opens a folder with settings of its own, as `--set` takes them: `shop.currency=GBP`.
    ///
    /// # Errors
    /// Those of [`Folder::open`], and a setting that is refused.
    pub fn open_with(dir: &Path, settings: &[&str]) -> Result<Self> {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let args = SettingArgs { data_dir: Some(dir.to_owned()), settings, ..SettingArgs::default() };
        let config = args.load()?.config;
        let mut engine = config.engine();
        engine.query.timeout = config.query.max_timeout.0;
        // Nobody watches, and what is missing is only not here yet.
        engine.alerts.enabled = false;
        let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("engine").enable_all().build()?;
        let opened = runtime.block_on(Engine::open(engine, Arc::new(RealFs), Arc::new(SystemClock::new())));
        let engine = opened.map_err(|error| {
            if error.code == "data_dir_locked" {
                return error.with_hint("a server is using this folder: talk to it with --url, or stop it first");
            }
            error
        })?;
        Ok(Self { engine, runtime })
    }

    /// Opens a folder that must be there.
    ///
    /// # Errors
    /// Also `no_data_folder` when nothing of Tideline is in it.
    pub fn open_existing(dir: &Path) -> Result<Self> {
        require(dir)?;
        Self::open(dir)
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Waits for something the engine does.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Runs a query; rows come as they are asked for.
    pub fn rows(&self, request: QueryRequest) -> Result<Rows<'_>> {
        let output = self.wait(self.engine.query(request))?;
        let mut stream = output.stream;
        let batches = std::iter::from_fn(move || self.wait(stream.next()));
        Ok(Rows { schema: output.schema, batches: Box::new(batches) })
    }

    /// Runs a query and writes its rows in a format.
    pub fn write(&self, request: QueryRequest, format: Format, out: &mut dyn Write) -> Result<()> {
        let rows = self.rows(request)?;
        let mut encoder = Encoder::new(format, &rows.schema, CellOptions::default())?;
        for batch in rows.batches {
            out.write_all(&encoder.write(&batch?)?)?;
        }
        Ok(out.write_all(&encoder.finish()?)?)
    }

    /// Moves everything to the lake and releases the folder.
    pub fn close(self) -> Result<CloseReport> {
        let report = self.runtime.block_on(self.engine.close());
        drop(self.engine);
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        report
    }
}

/// Whether there is a data folder.
///
/// # Errors
/// `no_data_folder` when there is none.
pub fn require(dir: &Path) -> Result<()> {
    if dir.join("node.json").is_file() {
        return Ok(());
    }
    let error = Error::new(Kind::NotFound, "no_data_folder", format!("{} is not a data folder", dir.display()));
    Err(error.with_hint("name the folder a server was started with (its --data-dir)"))
}

impl Sink for Folder {
    fn send(&self, batch: &Batch) -> Result<Counts, Unsent> {
        let format = match batch.body_kind {
            Body::Ndjson => InputFormat::Json,
            Body::Arrow => InputFormat::ArrowStream,
        };
        match self.wait(self.engine.ingest(batch.body.clone(), format, SOURCE, Ack::Durable)) {
            Ok(receipt) => Ok(receipt.into()),
            Err(error) if error.kind == Kind::Busy => Err(Unsent::Again(None, error)),
            Err(error) => Err(Unsent::Never(error)),
        }
    }
}

impl From<Receipt> for Counts {
    fn from(receipt: Receipt) -> Self {
        let errors = receipt.errors.into_iter().map(|e| EventError {
            index: e.index,
            field: e.field,
            code: e.code.to_owned(),
            message: e.message,
        });
        Self {
            accepted: receipt.accepted as u64,
            duplicates: receipt.duplicates as u64,
            rejected: receipt.rejected as u64,
            errors: errors.collect(),
        }
    }
}
