//! Tideline's engine. The modules stand in the order in which an event meets them; each uses only those above it,
//! and [`engine`] alone wires them together.
//!
//! ```text
//! bytes ─▶ decode ─▶ validate ─▶ dedup ─▶ WAL (fsync) ─▶ publish ─▶ acknowledge
//!             │           │                                 ├─▶ buffer (Arrow batches, in SQL at once)
//!             │           │                                 └─▶ hot (KPI windows, in memory or shared in Redis)
//!             └─ dead letters, with the reason
//! buffer ──flush──▶ lake (Delta table of partitioned Parquet) ──compact / retain──▶ lake
//! SQL `events` = lake at version V  ∪  buffer rows beyond V
//! ```

pub mod error;
pub mod clock;
pub mod measure;
pub mod pace;
pub mod event;
pub mod fs;
pub mod erase;
pub mod backup;
pub mod validate;
pub mod decode;
pub mod dedup;
pub mod wal;
pub mod dead_letters;
pub mod alert_log;
pub mod buffer;
pub mod lake;
pub mod hot;
pub mod snapshot;
pub mod query;
pub mod metrics;
pub mod alerts;
pub mod sequencer;
pub mod flush;
pub mod engine;
