//! A data folder opened in this process.
use super::load::read::Batch;
use super::load::send::{Counts, Sink, Unsent};
use std::path::Path;
use tideline_engine::error::{Error, Result};
/// stub
#[derive(Debug)]
pub struct Folder;
impl Folder {
    /// stub
    pub fn open(_dir: &Path) -> Result<Self> {
        Err(Error::internal("stub"))
    }
    /// stub
    pub fn close(self) -> Result<()> {
        Ok(())
    }
}
impl Sink for Folder {
    fn send(&self, _batch: &Batch) -> Result<Counts, Unsent> {
        Err(Unsent::Never(Error::internal("stub")))
    }
}
