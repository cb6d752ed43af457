//! An [`ObjectStore`] over [`Fs`] in which every put is durable when it returns: the lake's way to the disk.
//!
//! `object_store`'s own `LocalFileSystem` never fsyncs. Here a put writes a temporary file, syncs its content, gives
//! it its name and syncs the folder; a new folder is synced into its parent first. Otherwise it behaves like
//! `LocalFileSystem`: an object's path is the file's path below the root, unchanged, and temporary files are called
//! `name#<number>`, which both hide from listings.
//!
//! **A failed sync is final.** What a folder shows after its fsync failed may be gone after a loss of power, so nothing
//! may be concluded from it (in particular not "the commit landed after all, cut the log"). From then on every
//! operation fails and [`FsStore::failure`] says why; the process has to stop and recover.
//!
//! **Reads run inline**, not on tokio's blocking pool: they are a `pread`, mostly from the page cache, made on threads
//! that serve queries or flushes and nothing else; a hop to another thread costs more than the read. Writes wait for
//! the disk, so inside a tokio runtime they go to its blocking pool.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt};
use object_store::path::Path as Location;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result,
};

use super::Fs;
use super::disk::{Disk, blocking, translate};
use super::upload::Upload;

/// Deletions on their way at once, as in `LocalFileSystem`.
const CONCURRENT_DELETES: usize = 10;

/// Objects as files below a root folder, each durable when its put returns.
#[derive(Debug, Clone)]
pub struct FsStore {
    disk: Arc<Disk>,
}

impl FsStore {
    /// Opens a store rooted at a folder, which is created when absent.
    ///
    /// Removes what interrupted uploads left, and syncs every folder: a name that an earlier process made but did not
    /// come to sync is visible now, so from now on it has to stay. There must be one store for a root at a time.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn open(fs: Arc<dyn Fs>, root: &Path) -> io::Result<Self> {
        Ok(Self { disk: Arc::new(Disk::open(fs, root)?) })
    }

    /// The file that holds an object.
    ///
    /// # Errors
    /// When the name is one that temporary files use.
    pub fn file_of(&self, location: &Location) -> Result<PathBuf> {
        self.disk.file_of(location)
    }

    /// Syncs the names in every folder below the root: what was deleted stays deleted after a loss of power.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn sync_names(&self) -> io::Result<()> {
        let mut waiting = vec![self.disk.root.clone()];
        while let Some(dir) = waiting.pop() {
            waiting.extend(self.disk.fs.list(&dir)?.into_iter().filter(|e| e.is_dir).map(|e| e.path));
            self.disk.synced(&dir, self.disk.fs.sync_dir(&dir)).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Why the store stopped working: a sync failed. `None` while all is well.
    pub fn failure(&self) -> Option<&str> {
        self.disk.failure.get().map(String::as_str)
    }

    /// Deletes a folder below the root when it is empty; `Ok(false)` when it is not, or does not exist.
    ///
    /// # Errors
    /// Whatever else the disk answers.
    pub fn remove_empty_dir(&self, location: &Location) -> io::Result<bool> {
        self.disk.remove_empty_dir(&self.disk.dir_of(location))
    }
}

impl fmt::Display for FsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FsStore({})", self.disk.root.display())
    }
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: "FsStore".to_owned() }
}

impl FsStore {
    fn list_after(&self, prefix: Option<&Location>, after: Option<Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        let disk = Arc::clone(&self.disk);
        let dir = prefix.map_or_else(|| disk.root.clone(), |p| disk.dir_of(p));
        blocking(move || disk.walk(dir, after.as_ref()))
            .map_ok(|found| stream::iter(found.into_iter().map(Ok)))
            .try_flatten_stream()
            .boxed()
    }
}

#[async_trait]
impl ObjectStore for FsStore {
    async fn put_opts(&self, location: &Location, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let only_new = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(unsupported("`put_opts` with mode `PutMode::Update`")),
        };
        if !opts.attributes.is_empty() {
            return Err(unsupported("`put_opts` with `opts.attributes` specified"));
        }
        let dest = self.disk.file_of(location)?;
        let disk = Arc::clone(&self.disk);
        blocking(move || disk.put(&dest, &payload, only_new)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Location,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !opts.attributes.is_empty() {
            return Err(unsupported("`put_multipart_opts` with `opts.attributes` specified"));
        }
        let dest = self.disk.file_of(location)?;
        let disk = Arc::clone(&self.disk);
        Ok(Box::new(blocking(move || Upload::start(disk, dest)).await?))
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        self.disk.get(location, &options)
    }

    async fn get_ranges(&self, location: &Location, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.disk.read_ranges(&self.disk.file_of(location)?, ranges)
    }

    /// Deletions are not synced: after a loss of power a deleted object may be back, which harms nothing that only
    /// deletes what is no longer referred to.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Location>>) -> BoxStream<'static, Result<Location>> {
        let disk = Arc::clone(&self.disk);
        locations
            .map(move |location| {
                let disk = Arc::clone(&disk);
                blocking(move || {
                    let location = location?;
                    disk.check()?;
                    let path = disk.file_of(&location)?;
                    disk.fs.remove(&path).map_err(|e| translate(&path, e))?;
                    Ok(location)
                })
            })
            .buffered(CONCURRENT_DELETES)
            .boxed()
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_after(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Location>, offset: &Location) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_after(prefix, Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        self.disk.check()?;
        let dir = prefix.map_or_else(|| self.disk.root.clone(), |p| self.disk.dir_of(p));
        let disk = Arc::clone(&self.disk);
        blocking(move || {
            let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
            for entry in disk.list_dir(&dir)? {
                if entry.is_dir {
                    result.common_prefixes.extend(disk.location_of(&entry.path));
                } else {
                    result.objects.extend(disk.object_at(&entry.path, None)?);
                }
            }
            Ok(result)
        })
        .await
    }

    async fn copy_opts(&self, from: &Location, to: &Location, options: CopyOptions) -> Result<()> {
        let (from, to) = (self.disk.file_of(from)?, self.disk.file_of(to)?);
        let disk = Arc::clone(&self.disk);
        blocking(move || disk.copy(&from, &to, options.mode == CopyMode::Create)).await
    }

    async fn rename_opts(&self, from: &Location, to: &Location, options: RenameOptions) -> Result<()> {
        let (from, to) = (self.disk.file_of(from)?, self.disk.file_of(to)?);
        let disk = Arc::clone(&self.disk);
        blocking(move || match options.target_mode {
            RenameTargetMode::Overwrite => disk.rename(&from, &to),
            RenameTargetMode::Create => {
                disk.copy(&from, &to, true)?;
                disk.fs.remove(&from).map_err(|e| translate(&from, e))?;
                let dir = from.parent().unwrap_or(&disk.root);
                disk.synced(dir, disk.fs.sync_dir(dir))
            }
        })
        .await
    }
}
