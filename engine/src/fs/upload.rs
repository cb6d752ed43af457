//! A multipart upload to [`FsStore`](super::store::FsStore): parts stream into a temporary file, so that a large
//! Parquet file never stands in memory; it is durable and has its name when [`MultipartUpload::complete`] returns.

use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use parking_lot::Mutex;

use super::WriteFile;
use super::disk::{Disk, blocking, translate};

#[derive(Debug)]
pub(super) struct Upload {
    parts: Arc<Parts>,
    disk: Arc<Disk>,
    staged: PathBuf,
    dest: PathBuf,
    over: bool,
}

/// Parts are queued in the order of the calls; whoever's turn it is to write writes all that are queued. So they land
/// in order whatever the order in which their futures run.
#[derive(Debug)]
struct Parts {
    queue: Mutex<VecDeque<PutPayload>>,
    /// `None` after a failed write: a file with a hole must never get its name.
    file: Mutex<Option<Box<dyn WriteFile>>>,
}

fn gone() -> Error {
    Error::Generic { store: "FsStore", source: "the upload failed or was finished before".into() }
}

impl Parts {
    fn write_queued(&self, staged: &std::path::Path) -> Result<()> {
        let mut slot = self.file.lock();
        let file = slot.as_mut().ok_or_else(gone)?;
        loop {
            let Some(part) = self.queue.lock().pop_front() else { return Ok(()) };
            if let Err(e) = part.iter().try_for_each(|bytes| file.write_all(bytes)) {
                *slot = None;
                return Err(translate(staged, e));
            }
        }
    }
}

impl Upload {
    pub(super) fn start(disk: Arc<Disk>, dest: PathBuf) -> Result<Self> {
        let (file, staged) = disk.stage_file(&dest)?;
        let parts = Parts { queue: Mutex::default(), file: Mutex::new(Some(file)) };
        Ok(Self { parts: Arc::new(parts), disk, staged, dest, over: false })
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.queue.lock().push_back(data);
        let (parts, staged) = (Arc::clone(&self.parts), self.staged.clone());
        blocking(move || parts.write_queued(&staged)).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if std::mem::replace(&mut self.over, true) {
            return Err(gone());
        }
        let (parts, disk) = (Arc::clone(&self.parts), Arc::clone(&self.disk));
        let (staged, dest) = (self.staged.clone(), self.dest.clone());
        blocking(move || {
            let done = parts.write_queued(&staged).and_then(|()| {
                let mut file = parts.file.lock().take().ok_or_else(gone)?;
                disk.sync_content(&staged, file.as_mut())
            });
            if let Err(e) = done {
                let _ = disk.fs.remove(&staged);
                return Err(e);
            }
            disk.publish(&staged, &dest, false)
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.over, true) {
            return Err(gone());
        }
        let (disk, staged) = (Arc::clone(&self.disk), self.staged.clone());
        blocking(move || disk.fs.remove(&staged).map_err(|e| translate(&staged, e))).await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.over {
            // What cannot be removed now is removed when the store is opened next.
            let _ = self.disk.fs.remove(&self.staged);
        }
    }
}
