//! What [`FsStore`](super::store::FsStore) does with files: names, temporary files, and every sync.

use std::collections::HashSet;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::path::Path as Location;
use object_store::{
    Attributes, Error, GetOptions, GetResult, GetResultPayload, ObjectMeta, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use super::{Entry, Fs, Stat, WriteFile};

/// How much of an object one piece of a streamed answer holds.
const READ_CHUNK_BYTES: u64 = 8 << 20;

/// What the store and its uploads share.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) root: PathBuf,
    /// Folders known to be durable, up to the root. A folder that merely exists may have been left by a process that
    /// was killed between making it and syncing it.
    durable_dirs: Mutex<HashSet<PathBuf>>,
    next_staged: AtomicU64,
    pub(super) failure: OnceLock<String>,
}

/// `name#<digits>`: the name of a temporary file.
pub(super) fn is_staged(path: &Path) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(is_staged_name)
}

fn is_staged_name(name: &str) -> bool {
    name.split_once('#').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The disk's error for one path, in the store's terms.
pub(super) fn translate(path: &Path, e: io::Error) -> Error {
    let path = path.display().to_string();
    match e.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Error::NotFound { path, source: e.into() },
        ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: e.into() },
        ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: e.into() },
        _ => Error::Generic { store: "FsStore", source: Box::new(io::Error::new(e.kind(), format!("{path}: {e}"))) },
    }
}

/// Runs what waits for the disk on tokio's blocking pool when there is one, else here.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

fn etag(stat: &Stat) -> String {
    let micros = stat.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    format!("{micros:x}-{:x}", stat.len)
}

fn meta(location: Location, stat: &Stat) -> ObjectMeta {
    ObjectMeta { location, last_modified: stat.modified.into(), size: stat.len, e_tag: Some(etag(stat)), version: None }
}

impl Disk {
    /// See [`FsStore::open`](super::store::FsStore::open).
    pub(super) fn open(fs: Arc<dyn Fs>, root: &Path) -> io::Result<Self> {
        fs.create_dir_all(root)?;
        let mut durable_dirs = HashSet::new();
        let mut waiting = vec![root.to_path_buf()];
        while let Some(dir) = waiting.pop() {
            for entry in fs.list(&dir)? {
                if entry.is_dir {
                    waiting.push(entry.path);
                } else if is_staged(&entry.path) {
                    fs.remove(&entry.path)?;
                }
            }
            fs.sync_dir(&dir)?;
            durable_dirs.insert(dir);
        }
        Ok(Self {
            fs,
            root: root.to_path_buf(),
            durable_dirs: Mutex::new(durable_dirs),
            next_staged: AtomicU64::new(1),
            failure: OnceLock::new(),
        })
    }

    /// See [`FsStore::remove_empty_dir`](super::store::FsStore::remove_empty_dir).
    pub(super) fn remove_empty_dir(&self, path: &Path) -> io::Result<bool> {
        // Forgotten first: a put that runs at the same time makes and syncs the folder again.
        self.durable_dirs.lock().remove(path);
        match self.fs.remove_dir(path) {
            Ok(()) => Ok(true),
            Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Fails when a sync has failed before.
    pub(super) fn check(&self) -> Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(why) => Err(Error::Generic { store: "FsStore", source: why.clone().into() }),
        }
    }

    /// Passes a sync's result on; a failure is the store's last word.
    pub(super) fn synced(&self, path: &Path, result: io::Result<()>) -> Result<()> {
        result.map_err(|e| {
            let why = format!("syncing {} failed, the process must stop and recover: {e}", path.display());
            Error::Generic { store: "FsStore", source: self.failure.get_or_init(|| why).clone().into() }
        })
    }

    /// Syncs a file's content. When the disk is full at this point the file is given up and nothing relied on it, so
    /// that alone does not stop the store.
    pub(super) fn sync_content(&self, path: &Path, file: &mut dyn WriteFile) -> Result<()> {
        match file.sync() {
            Err(e) if matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => Err(translate(path, e)),
            other => self.synced(path, other),
        }
    }

    pub(super) fn dir_of(&self, location: &Location) -> PathBuf {
        // A location's parts cannot be `..`, hold a slash or a control character, so they are file names as they are.
        let mut path = self.root.clone();
        path.extend(location.parts().map(|part| part.as_ref().to_owned()));
        path
    }

    pub(super) fn file_of(&self, location: &Location) -> Result<PathBuf> {
        match location.filename() {
            Some(name) if !is_staged_name(name) => Ok(self.dir_of(location)),
            _ => Err(Error::Generic {
                store: "FsStore",
                source: format!("{location:?}: a name ending in #<digits> is not supported").into(),
            }),
        }
    }

    pub(super) fn location_of(&self, path: &Path) -> Option<Location> {
        let below = path.strip_prefix(&self.root).ok()?.to_str()?;
        let location = Location::parse(below).ok()?;
        (!location.filename().is_some_and(is_staged_name)).then_some(location)
    }

    fn make_dir_durable(&self, dir: &Path) -> Result<()> {
        if self.durable_dirs.lock().contains(dir) {
            return Ok(());
        }
        let parent = dir.parent().unwrap_or(&self.root);
        self.make_dir_durable(parent)?;
        self.fs.create_dir(dir).map_err(|e| translate(dir, e))?;
        self.synced(parent, self.fs.sync_dir(parent))?;
        self.durable_dirs.lock().insert(dir.to_path_buf());
        Ok(())
    }

    /// Makes a temporary name beside `dest` with `make`, and the folder when it is absent.
    fn staged<T>(&self, dest: &Path, make: impl Fn(&Path) -> io::Result<T>) -> Result<(T, PathBuf)> {
        self.check()?;
        let dir = dest.parent().unwrap_or(&self.root);
        self.make_dir_durable(dir)?;
        let mut folder_was_there = true;
        loop {
            let mut name = dest.as_os_str().to_owned();
            name.push(format!("#{}", self.next_staged.fetch_add(1, Ordering::Relaxed)));
            let path = PathBuf::from(name);
            match make(&path) {
                Ok(made) => return Ok((made, path)),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                // Somebody removed the folder behind our back.
                Err(e) if e.kind() == ErrorKind::NotFound && folder_was_there => {
                    folder_was_there = false;
                    self.durable_dirs.lock().retain(|known| !dir.starts_with(known) || *known == self.root);
                    self.make_dir_durable(dir)?;
                }
                Err(e) => return Err(translate(&path, e)),
            }
        }
    }

    pub(super) fn stage_file(&self, dest: &Path) -> Result<(Box<dyn WriteFile>, PathBuf)> {
        self.staged(dest, |path| self.fs.create(path))
    }

    /// Gives a temporary file, whose content is durable, its name, durably.
    pub(super) fn publish(&self, staged: &Path, dest: &Path, only_new: bool) -> Result<PutResult> {
        let named = if only_new { self.fs.link(staged, dest) } else { self.fs.rename(staged, dest) };
        if only_new || named.is_err() {
            // What cannot be removed now is removed when the store is opened next.
            let _ = self.fs.remove(staged);
        }
        // Also when the name was taken: the caller concludes that the object is there.
        if matches!(&named, Err(e) if e.kind() != ErrorKind::AlreadyExists) {
            named.map_err(|e| translate(dest, e))?;
            return Ok(PutResult { e_tag: None, version: None });
        }
        let dir = dest.parent().unwrap_or(&self.root);
        self.synced(dir, self.fs.sync_dir(dir))?;
        named.map_err(|e| translate(dest, e))?;
        let e_tag = self.fs.stat(dest).ok().map(|stat| etag(&stat));
        Ok(PutResult { e_tag, version: None })
    }

    pub(super) fn put(&self, dest: &Path, payload: &PutPayload, only_new: bool) -> Result<PutResult> {
        let (mut file, staged) = self.stage_file(dest)?;
        let written = payload
            .iter()
            .try_for_each(|bytes| file.write_all(bytes))
            .map_err(|e| translate(&staged, e))
            .and_then(|()| self.sync_content(&staged, file.as_mut()));
        drop(file);
        if let Err(e) = written {
            let _ = self.fs.remove(&staged);
            return Err(e);
        }
        self.publish(&staged, dest, only_new)
    }

    pub(super) fn copy(&self, from: &Path, to: &Path, only_new: bool) -> Result<()> {
        // Objects never change in place, so a second name is a copy. The source is looked at first, so that a missing
        // one is not taken for a missing folder.
        self.fs.stat(from).map_err(|e| translate(from, e))?;
        let ((), staged) = self.staged(to, |path| self.fs.link(from, path))?;
        let copied = self.publish(&staged, to, only_new).map(drop);
        // Where `to` was a name of the same file already, a rename does nothing and leaves the temporary name.
        let _ = self.fs.remove(&staged);
        copied
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.check()?;
        self.fs.stat(from).map_err(|e| translate(from, e))?;
        let (from_dir, to_dir) = (from.parent().unwrap_or(&self.root), to.parent().unwrap_or(&self.root));
        self.make_dir_durable(to_dir)?;
        self.fs.rename(from, to).map_err(|e| translate(from, e))?;
        self.synced(to_dir, self.fs.sync_dir(to_dir))?;
        if from_dir != to_dir {
            self.synced(from_dir, self.fs.sync_dir(from_dir))?;
        }
        Ok(())
    }

    /// All objects below a folder; one that does not exist holds none.
    pub(super) fn walk(&self, dir: PathBuf, after: Option<&Location>) -> Result<Vec<ObjectMeta>> {
        self.check()?;
        let mut found = Vec::new();
        let mut waiting = vec![dir];
        while let Some(dir) = waiting.pop() {
            for entry in self.list_dir(&dir)? {
                if entry.is_dir {
                    waiting.push(entry.path);
                } else {
                    found.extend(self.object_at(&entry.path, after)?);
                }
            }
        }
        Ok(found)
    }

    pub(super) fn list_dir(&self, dir: &Path) -> Result<Vec<Entry>> {
        match self.fs.list(dir) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
            other => other.map_err(|e| translate(dir, e)),
        }
    }

    /// `None` for a temporary file, a name that is no location, one not after `after`, or a file gone meanwhile.
    pub(super) fn object_at(&self, path: &Path, after: Option<&Location>) -> Result<Option<ObjectMeta>> {
        let Some(location) = self.location_of(path) else { return Ok(None) };
        if after.is_some_and(|after| location <= *after) {
            return Ok(None);
        }
        match self.fs.stat(path) {
            Ok(stat) => Ok(Some(meta(location, &stat))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(translate(path, e)),
        }
    }

    pub(super) fn read_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check()?;
        let file = self.fs.open(path).map_err(|e| translate(path, e))?;
        let read = |range: &Range<u64>| match range {
            r if r.start == r.end => Ok(Bytes::new()),
            r if r.start > r.end || r.end > file.len() => Err(Error::Generic {
                store: "FsStore",
                source: format!("{}: range {r:?} of {} bytes", path.display(), file.len()).into(),
            }),
            r => file.read_at(r.clone()).map_err(|e| translate(path, e)),
        };
        ranges.iter().map(read).collect()
    }

    pub(super) fn get(&self, location: &Location, options: &GetOptions) -> Result<GetResult> {
        self.check()?;
        let path = self.file_of(location)?;
        let file = if options.head { None } else { Some(self.fs.open(&path).map_err(|e| translate(&path, e))?) };
        let mut stat = self.fs.stat(&path).map_err(|e| translate(&path, e))?;
        // The name may point to another file by now; the length is the one of the file that is read.
        stat.len = file.as_ref().map_or(stat.len, |f| f.len());
        let meta = meta(location.clone(), &stat);
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            None => 0..meta.size,
            Some(range) => {
                range.as_range(meta.size).map_err(|e| Error::Generic { store: "FsStore", source: Box::new(e) })?
            }
        };
        let payload = match file {
            None => stream::empty().boxed(),
            Some(file) => {
                let (start, end) = (range.start, range.end);
                stream::iter((start..end).step_by(READ_CHUNK_BYTES as usize))
                    .map(move |at| file.read_at(at..end.min(at + READ_CHUNK_BYTES)).map_err(|e| translate(&path, e)))
                    .boxed()
            }
        };
        Ok(GetResult { payload: GetResultPayload::Stream(payload), meta, range, attributes: Attributes::default() })
    }
}
