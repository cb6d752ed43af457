//! Another [`Fs`] with a hook before and after each operation that makes bytes or names durable or takes them away.
//! Tests use it to hold an operation, to fail it, or to end the process there.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Entry, Fs, LockGuard, ReadFile, Stat, WriteFile};

/// An operation the hook sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A file is created.
    Create,
    /// A file's content is synced.
    Sync,
    /// A folder's names are synced.
    SyncDir,
    /// A file gets its name, by link or rename; the path is the new name.
    Name,
    /// A file's name is removed.
    Remove,
}

/// Before or after the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Not yet done; an error from the hook fails the operation.
    Before,
    /// Done; an error from the hook is the answer all the same.
    After,
}

/// Called around each operation.
pub type Hook = Arc<dyn Fn(When, Op, &Path) -> io::Result<()> + Send + Sync>;

/// `inner`, with a hook.
pub struct HookFs {
    inner: Arc<dyn Fs>,
    hook: Hook,
}

impl fmt::Debug for HookFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookFs").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl HookFs {
    /// Calls `hook` around the operations of `inner`.
    pub fn new(inner: Arc<dyn Fs>, hook: Hook) -> Self {
        Self { inner, hook }
    }

    fn around<T>(&self, op: Op, path: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        around(&self.hook, op, path, work)
    }
}

fn around<T>(hook: &Hook, op: Op, path: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    hook(When::Before, op, path)?;
    let done = work()?;
    hook(When::After, op, path)?;
    Ok(done)
}

struct HookFile {
    inner: Box<dyn WriteFile>,
    path: PathBuf,
    hook: Hook,
}

impl fmt::Debug for HookFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Write for HookFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl WriteFile for HookFile {
    fn sync(&mut self) -> io::Result<()> {
        let Self { inner, path, hook } = self;
        around(hook, Op::Sync, path, || inner.sync())
    }
}

impl Fs for HookFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let inner = self.around(Op::Create, path, || self.inner.create(path))?;
        Ok(Box::new(HookFile { inner, path: path.to_owned(), hook: Arc::clone(&self.hook) }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        self.inner.open(path)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.inner.truncate(path, len)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.around(Op::Name, to, || self.inner.link(from, to))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.around(Op::Name, to, || self.inner.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.around(Op::Remove, path, || self.inner.remove(path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.inner.stat(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.around(Op::SyncDir, dir, || self.inner.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.inner.lock(path)
    }
}
