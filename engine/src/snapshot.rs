//! What a query reads: one immutable value of lake version, the Seq it covers, and the buffered rows beyond it.
//!
//! Swapped atomically and by one writer at a time, so that no query sees a row twice (in the lake and still in the
//! buffer) or not at all.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::buffer::{Buffer, Sealed};
use crate::error::Result;
use crate::lake::LakeSnapshot;

/// Lake at a version ∪ buffer beyond it.
#[derive(Debug)]
pub struct Snapshot {
    /// The lake's files and the Seq they cover.
    pub lake: Arc<LakeSnapshot>,
    /// The rows after that Seq.
    pub buffer: Buffer,
}

/// The current [`Snapshot`].
#[derive(Debug)]
pub struct Published {
    current: ArcSwap<Snapshot>,
    publishing: Mutex<()>,
}

impl Published {
    /// Starts with what recovery found.
    pub fn new(lake: Arc<LakeSnapshot>, buffer: Buffer) -> Self {
        Self { current: ArcSwap::from_pointee(Snapshot { lake, buffer }), publishing: Mutex::new(()) }
    }

    /// The state of this moment.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Makes durable rows visible. They must follow the last published row.
    pub fn append(&self, sealed: Sealed) -> Result<()> {
        let _one_at_a_time = self.publishing.lock();
        let now = self.current.load();
        let buffer = now.buffer.push(sealed)?;
        self.current.store(Arc::new(Snapshot { lake: Arc::clone(&now.lake), buffer }));
        Ok(())
    }

    /// Moves to a newer lake version, dropping what it covers from the buffer. An older version is ignored.
    pub fn lake_changed(&self, lake: Arc<LakeSnapshot>) {
        let one_at_a_time = self.publishing.lock();
        let now = self.current.load();
        if lake.version <= now.lake.version {
            return;
        }
        let buffer = now.buffer.beyond(lake.covered);
        let before = self.current.swap(Arc::new(Snapshot { lake, buffer }));
        drop(now);
        drop(one_at_a_time);
        // Mostly the last holder: giving hundreds of megabytes back takes a while, and whoever publishes must not wait.
        drop(before);
    }
}
