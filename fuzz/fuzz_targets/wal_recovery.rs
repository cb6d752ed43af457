//! A log whose bytes were tampered with: it opens with a prefix of what was written, or refuses; after a repair it opens.
//!
//! The input is a list of tamperings of a sound log, four bytes each, so that checksums are no wall: what is done, to
//! which file, where, and with which value.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tideline_engine::decode::{DecodeContext, Deriver, InputFormat, decode};
use tideline_engine::error::Kind;
use tideline_engine::event::{Seq, index, stored_schema};
use tideline_engine::fs::{Fs, SimFs};
use tideline_engine::wal::{Recovered, Wal, WalConfig, check, repair};

const DIR: &str = "/wal";
const GROUPS: u64 = 6;
const ROWS: u64 = 2;
const MOST_TAMPERINGS: usize = 4;

fn config() -> WalConfig {
    // Two groups a segment, so that there are borders to damage.
    WalConfig { segment_bytes: 2 << 10, max_bytes: 1 << 30 }
}

/// One group of events, positions from `first`.
fn group(first: u64) -> RecordBatch {
    let lines: String = (first..first + ROWS)
        .map(|n| format!("{{\"event_type\":\"purchase\",\"event_ts\":{},\"event_id\":\"e{n}\",\"order_id\":\"{n}\",\"price\":\"1.50\"}}\n", 1_780_000_000_000 + n))
        .collect();
    let ctx = DecodeContext::new(1_780_000_000_000_000, Arc::new(Deriver::default()));
    let decoded = decode(&Bytes::from(lines), InputFormat::Json, &ctx).expect("a body");
    assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
    let mut columns: Vec<ArrayRef> = decoded.batch.columns().to_vec();
    columns.insert(index::SEQ, Arc::new(Int64Array::from_iter_values((first..first + ROWS).map(|n| n as i64))));
    columns.insert(index::NODE, Arc::new(StringArray::from(vec!["0a1b2c3d"; ROWS as usize])));
    RecordBatch::try_new(stored_schema(), columns).expect("the stored schema")
}

/// The groups of a sound log. Made once: making one costs more than recovering a log.
static WRITTEN: LazyLock<Vec<RecordBatch>> = LazyLock::new(|| (0..GROUPS).map(|n| group(n * ROWS + 1)).collect());

/// The files of a sound log.
static SOUND: LazyLock<Vec<(PathBuf, Bytes)>> = LazyLock::new(|| {
    let fs = Arc::new(SimFs::new());
    fs.create_dir(Path::new(DIR)).expect("a folder");
    let (mut wal, _) = Wal::open(Arc::clone(&fs) as _, Path::new(DIR), config(), Seq::ZERO).expect("a log");
    for (n, group) in (0..).zip(WRITTEN.iter()) {
        wal.append(Seq(n * ROWS + 1), group).expect("room");
    }
    let files = fs.list(Path::new(DIR)).expect("a folder");
    let files: Vec<_> = files.into_iter().map(|f| (f.path.clone(), fs.read(&f.path).expect("a file"))).collect();
    assert!(files.len() > 2, "{} segments are too few", files.len());
    files
});

fn tamper(bytes: &mut Vec<u8>, what: u8, place: u8, value: u8) {
    let at = (usize::from(place) * bytes.len() / 256 + usize::from(value) % 64).min(bytes.len());
    match what % 6 {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= value.max(1),
        2 => bytes[at..].iter_mut().take(usize::from(value) * 8).for_each(|b| *b = 0),
        3 => bytes.extend(std::iter::repeat_n(value, usize::from(place))),
        4 => {
            let copy = bytes[at..].to_vec();
            bytes.extend(copy);
        }
        _ => bytes.drain(at..(at + usize::from(value)).min(at + (bytes.len() - at))).for_each(drop),
    }
}

fn open(fs: &Arc<SimFs>) -> tideline_engine::error::Result<Recovered> {
    Wal::open(Arc::clone(fs) as _, Path::new(DIR), config(), Seq::ZERO).map(|(_, recovered)| recovered)
}

fn assert_prefix(recovered: &Recovered) {
    assert!(recovered.frames.len() <= WRITTEN.len(), "groups that nobody wrote");
    let mut next = 1;
    for (frame, written) in recovered.frames.iter().zip(WRITTEN.iter()) {
        assert_eq!(frame.first.0, next);
        assert_eq!(&frame.batch, written, "a group came back changed");
        next = frame.last.0 + 1;
    }
}

fuzz_target!(|input: &[u8]| {
    let mut files = SOUND.clone();
    for step in input.chunks_exact(4).take(MOST_TAMPERINGS) {
        let file = usize::from(step[1]) % files.len();
        let mut bytes = files[file].1.to_vec();
        tamper(&mut bytes, step[0], step[2], step[3]);
        files[file].1 = bytes.into();
    }
    let fs = Arc::new(SimFs::new());
    fs.create_dir(Path::new(DIR)).expect("a folder");
    for (path, bytes) in &files {
        drop(fs.create(path).expect("a file"));
        fs.overwrite(path, bytes).expect("a file");
    }
    check(fs.as_ref(), Path::new(DIR), None).expect("damage is a report, not an error");
    match open(&fs) {
        Ok(recovered) => assert_prefix(&recovered),
        Err(e) => {
            assert_eq!(e.kind, Kind::Corrupt, "{e}");
            repair(fs.as_ref(), Path::new(DIR), None).expect("the disk is sound");
            assert_prefix(&open(&fs).expect("a repaired log opens"));
        }
    }
});
