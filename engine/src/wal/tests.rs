//! The log under everything a disk can do to it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use bytes::Bytes;
use proptest::prelude::*;

use super::frame::{Bad, FrameHeader, check_frame, decode_batch, encode_close};
use super::segment::{Scan, file_name, scan};
use super::*;
use crate::error::Kind;
use crate::event::{SEQ, item_fields, items_element, money_type};
use crate::fs::sim::{Fault, On, OpKind, SyncKind};
use crate::fs::{RealFs, SimFs};

const DIR: &str = "/data/wal";

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn column(field: &Field, seqs: &[u64]) -> ArrayRef {
    let text = |f: &dyn Fn(u64) -> Option<String>| -> ArrayRef {
        Arc::new(seqs.iter().map(|&s| f(s)).collect::<StringArray>())
    };
    match field.name().as_str() {
        "event_ts" | "received_at" => {
            let times = seqs.iter().map(|&s| 1_700_000_000_000_000 + s as i64 * 1_000);
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
        }
        SEQ => Arc::new(Int64Array::from_iter_values(seqs.iter().map(|&s| s as i64))),
        "event_type" => text(&|_| Some("page_view".into())),
        "event_id" => text(&|s| Some(format!("event-{s}"))),
        "node" => text(&|_| Some("0a1b2c3d".into())),
        "user_id" => text(&|s| (s % 3 != 0).then(|| format!("user {}", "ü".repeat(s as usize % 5)))),
        "price" => {
            let prices = seqs.iter().map(|&s| (s % 2 == 0).then_some(i128::from(s) * 10_000 - 7));
            Arc::new(prices.collect::<Decimal128Array>().with_data_type(money_type()))
        }
        "items" => items(seqs),
        _ => new_null_array(field.data_type(), seqs.len()),
    }
}

/// As many items as the position's last two bits say.
fn items(seqs: &[u64]) -> ArrayRef {
    let lengths: Vec<usize> = seqs.iter().map(|s| (s % 4) as usize).collect();
    let total: usize = lengths.iter().sum();
    let names = || seqs.iter().flat_map(|&s| (0..s % 4).map(move |n| Some(format!("item {n} of {s}"))));
    let fields = item_fields();
    let columns = fields.iter().map(|f| match f.name().as_str() {
        "name" => Arc::new(names().collect::<StringArray>()) as ArrayRef,
        _ => new_null_array(f.data_type(), total),
    });
    let values = StructArray::new(fields.clone(), columns.collect(), None);
    Arc::new(ListArray::new(items_element(), OffsetBuffer::from_lengths(lengths), Arc::new(values), None))
}

/// Events whose content follows from their position.
fn events(first: u64, rows: u64) -> RecordBatch {
    let seqs: Vec<u64> = (first..first + rows).collect();
    let schema = stored_schema();
    let columns = schema.fields().iter().map(|f| column(f, &seqs)).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

fn small() -> WalConfig {
    WalConfig { segment_bytes: 5_000, max_bytes: 1 << 20 }
}

fn open(fs: &SimFs, covered: u64) -> Result<(Wal, Recovered)> {
    Wal::open(Arc::new(fs.clone()), dir(), small(), Seq(covered))
}

/// The positions recovered, after checking that every frame holds what was appended.
fn positions(recovered: &Recovered) -> Vec<u64> {
    let mut all = Vec::new();
    for frame in &recovered.frames {
        let rows = frame.last.0 + 1 - frame.first.0;
        assert_eq!(frame.batch, events(frame.first.0, rows));
        all.extend(frame.first.0..=frame.last.0);
    }
    all
}

fn append(wal: &mut Wal, first: u64, rows: u64) -> Result<(), AppendError> {
    wal.append(Seq(first), &events(first, rows))
}

fn segments(fs: &SimFs) -> Vec<PathBuf> {
    fs.list(dir()).unwrap().into_iter().map(|e| e.path).filter(|p| segment::parse_name(p).is_some()).collect()
}

/// A log of two segments, with frames of 2 events each: 1–2 and 3–4 in the first, 5–6, 7–8, 9–10 in the second.
fn two_segments() -> SimFs {
    let fs = SimFs::new();
    for (from, to, bytes) in [(1, 4, 1 << 20), (5, 10, 1 << 20)] {
        let config = WalConfig { segment_bytes: bytes, max_bytes: 1 << 20 };
        let (mut wal, _) = Wal::open(Arc::new(fs.clone()), dir(), config, Seq::ZERO).unwrap();
        for first in (from..=to).step_by(2) {
            append(&mut wal, first, 2).unwrap();
        }
    }
    assert_eq!(segments(&fs).len(), 2);
    fs
}

#[test]
fn what_was_appended_comes_back_in_order_with_nothing_copied_out_of_place() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("a/wal");
    let (mut wal, recovered) = Wal::open(Arc::new(RealFs), &dir, small(), Seq::ZERO).unwrap();
    assert!(recovered.clean && recovered.frames.is_empty() && recovered.last == Seq::ZERO);
    let mut first = 1;
    for rows in [1, 5, 100, 2, 1] {
        append(&mut wal, first, rows).unwrap();
        first += rows;
    }
    assert!(wal.bytes() > 0 && !wal.is_full());
    wal.close().unwrap();
    let (wal, recovered) = Wal::open(Arc::new(RealFs), &dir, small(), Seq::ZERO).unwrap();
    assert_eq!(positions(&recovered), (1..110).collect::<Vec<_>>());
    assert_eq!((recovered.clean, recovered.torn_bytes, recovered.last), (true, 0, Seq(109)));
    drop(wal);
    // Covered in the middle of the frame 7..=106.
    let (mut wal, recovered) = Wal::open(Arc::new(RealFs), &dir, small(), Seq(50)).unwrap();
    assert_eq!(positions(&recovered), (51..110).collect::<Vec<_>>());
    append(&mut wal, 110, 3).unwrap();
    drop(wal);
    let (_, recovered) = Wal::open(Arc::new(RealFs), &dir, small(), Seq(50)).unwrap();
    assert_eq!(positions(&recovered), (51..113).collect::<Vec<_>>());
    assert!(!recovered.clean);
}

#[test]
fn a_group_out_of_turn_or_of_another_shape_is_refused_and_harms_nothing() {
    let fs = SimFs::new();
    let (mut wal, _) = open(&fs, 0).unwrap();
    assert!(matches!(append(&mut wal, 2, 1), Err(AppendError::NotWritten(_))));
    let narrow = events(1, 1).project(&[0, 1]).unwrap();
    assert!(matches!(wal.append(Seq(1), &narrow), Err(AppendError::NotWritten(_))));
    assert!(matches!(wal.append(Seq(1), &events(1, 0)), Err(AppendError::NotWritten(_))));
    append(&mut wal, 1, 1).unwrap();
    drop(wal);
    assert_eq!(positions(&open(&fs, 0).unwrap().1), [1]);
}

#[test]
fn closing_leaves_a_mark_also_when_nothing_was_appended() {
    let fs = two_segments();
    let (wal, recovered) = open(&fs, 0).unwrap();
    assert!(!recovered.clean);
    wal.close().unwrap();
    for _ in 0..2 {
        let (wal, recovered) = open(&fs.power_loss(), 0).unwrap();
        assert!(recovered.clean);
        assert_eq!(positions(&recovered), (1..=10).collect::<Vec<_>>());
        wal.close().unwrap();
    }
}

#[test]
fn segments_roll_are_deleted_once_covered_and_the_log_says_when_it_is_full() {
    let fs = SimFs::new();
    let config = WalConfig { segment_bytes: 20_000, max_bytes: 70_000 };
    let (mut wal, _) = Wal::open(Arc::new(fs.clone()), dir(), config, Seq::ZERO).unwrap();
    let mut last = 0;
    while !wal.is_full() {
        append(&mut wal, last + 1, 3).unwrap();
        last += 3;
    }
    assert!(segments(&fs).len() >= 3);
    let total: u64 = segments(&fs).iter().map(|p| fs.stat(p).unwrap().len).sum();
    assert_eq!(wal.bytes(), total);
    let second = segment::parse_name(&segments(&fs)[1]).unwrap().0;
    wal.truncate(Seq(second - 2)).unwrap();
    assert_eq!(wal.bytes(), total, "the first segment is covered but for one event");
    wal.truncate(Seq(second - 1)).unwrap();
    assert!(wal.bytes() < total && !wal.is_full());
    wal.truncate(Seq(last)).unwrap();
    assert_eq!((wal.bytes(), segments(&fs).len()), (0, 0), "the active segment was large enough to go");
    append(&mut wal, last + 1, 1).unwrap();
    wal.truncate(Seq(last + 1)).unwrap();
    append(&mut wal, last + 2, 1).unwrap();
    let (_, recovered) = open(&fs.power_loss(), last).unwrap();
    assert_eq!(positions(&recovered), [last + 1, last + 2]);
}

#[test]
fn a_log_that_the_lake_has_overtaken_goes_on_after_the_lake() {
    let fs = two_segments();
    let (mut wal, recovered) = open(&fs, 1_000).unwrap();
    assert_eq!((recovered.frames.len(), recovered.last, wal.bytes()), (0, Seq(1_000), 0));
    append(&mut wal, 1_001, 1).unwrap();
    assert_eq!(positions(&open(&fs, 1_000).unwrap().1), [1_001]);
    let missing = open(&fs, 900).unwrap_err();
    assert_eq!(missing.kind, Kind::Corrupt);
    assert!(missing.message.contains("901 on are missing"), "{missing}");
}

#[test]
fn cut_at_every_byte_the_last_segment_keeps_exactly_its_whole_frames() {
    let fs = two_segments();
    let last = segments(&fs).remove(1);
    let bytes = fs.read(&last).unwrap();
    let whole = scan(&bytes, Seq(5));
    let header = whole.header.as_ref().unwrap().len;
    let ends: Vec<usize> = whole.frames.iter().map(|(at, f)| at + f.frame_len()).collect();
    assert_eq!(ends.last(), Some(&bytes.len()));
    for cut in 0..bytes.len() {
        let cut_scan = scan(&bytes[..cut], Seq(5));
        let complete = ends.iter().filter(|&&end| end <= cut).count();
        assert_eq!(cut_scan.frames.len(), complete, "cut at {cut}");
        let at_a_border = cut == header || ends.contains(&cut);
        match &cut_scan.problem {
            None => assert!(at_a_border),
            Some(p) => assert!(p.could_be_torn && !at_a_border, "cut at {cut}: {p:?}"),
        }
        // Files and all, at the interesting places.
        if cut % 509 == 0 || ends.iter().chain([&header, &0]).any(|&e| cut.abs_diff(e) <= 1) {
            for zeros in [0, 1, 700] {
                let fs = fs.power_loss();
                let found = [&bytes[..cut], &vec![0; zeros]].concat();
                fs.overwrite(&last, &found).unwrap();
                // The zeros may be the padding that was cut off.
                let is_whole = |end: &&usize| found.len() >= **end && found[..**end] == bytes[..**end];
                let complete = ends.iter().filter(is_whole).count();
                let kept = [header].iter().chain(&ends).filter(is_whole).max().copied().unwrap_or(0);
                let (mut wal, recovered) = open(&fs, 0).unwrap();
                assert_eq!(positions(&recovered), (1..5 + 2 * complete as u64).collect::<Vec<_>>(), "cut at {cut}");
                assert_eq!(recovered.torn_bytes, (found.len() - kept) as u64);
                append(&mut wal, 5 + 2 * complete as u64, 1).unwrap();
                let (_, again) = open(&fs.power_loss(), 0).unwrap();
                assert_eq!(positions(&again), (1..=5 + 2 * complete as u64).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_but_in_the_last_frame() {
    let fs = two_segments();
    let flip = |scan: &Scan, bytes: &[u8], last_segment: bool| {
        let last_frame = scan.frames.last().unwrap().0;
        let mut bytes = bytes.to_vec();
        for at in 0..bytes.len() {
            bytes[at] ^= 1 << (at % 8);
            let flipped = segment::scan(&bytes, scan.header.as_ref().unwrap().first);
            bytes[at] ^= 1 << (at % 8);
            let problem = flipped.problem.unwrap_or_else(|| panic!("a flip at {at} went unseen"));
            if at >= last_frame {
                assert!(problem.could_be_torn);
                assert_eq!(flipped.frames.len(), scan.frames.len() - 1);
            } else {
                assert!(!problem.could_be_torn, "a flip at {at} passes for a torn tail");
            }
        }
        last_segment
    };
    let files = segments(&fs);
    let all: Vec<Bytes> = files.iter().map(|p| fs.read(p).unwrap()).collect();
    let scans = [scan(&all[0], Seq(1)), scan(&all[1], Seq(5))];
    flip(&scans[0], &all[0], false);
    flip(&scans[1], &all[1], true);
    // Through the files: in a segment that is not the last, the last frame is damage too.
    for (n, at) in
        [(0, 3), (0, scans[0].frames[1].0 + 70), (0, all[0].len() - 1), (1, 70), (1, scans[1].frames[1].0 + 100)]
    {
        let fs = fs.power_loss();
        let mut bytes = all[n].to_vec();
        bytes[at] ^= 4;
        fs.overwrite(&files[n], &bytes).unwrap();
        let refused = open(&fs, 0).unwrap_err();
        assert_eq!(refused.kind, Kind::Corrupt);
        assert!(refused.message.contains(&files[n].display().to_string()), "{refused}");
        assert!(refused.hint.as_ref().unwrap().contains("tideline check --repair"));
        assert_eq!(fs.read(&files[n]).unwrap(), bytes, "a refused log is left as it is");
    }
}

#[test]
fn what_no_crash_can_cause_is_refused() {
    let fs = two_segments();
    let [first, last]: [PathBuf; 2] = segments(&fs).try_into().unwrap();
    let bytes = fs.read(&last).unwrap();
    let whole = scan(&bytes, Seq(5));
    let salt = whole.header.as_ref().unwrap().salt;
    let frame = |n: usize| &bytes[whole.frames[n].0..whole.frames[n].0 + whole.frames[n].1.frame_len()];
    let header = &bytes[..whole.frames[0].0];
    let other = fs.read(&first).unwrap();
    let others_frame = &other[scan(&other, Seq(1)).frames[0].0..];
    let close = encode_close(salt, Seq(7));
    let mut bad = frame(1).to_vec();
    bad[80] ^= 1;
    for (why, parts) in [
        ("a gap", vec![header, frame(0), frame(2)]),
        ("a frame twice", vec![header, frame(0), frame(0)]),
        ("another segment's frame", vec![header, others_frame]),
        ("bytes after a clean close", vec![header, frame(0), &close, &[1]]),
        ("a frame after a clean close", vec![header, frame(0), &close, frame(1)]),
        ("a mark in the wrong place", vec![header, &close]),
        ("bytes after an incomplete frame", vec![header, frame(0), &bad, &[7; 9]]),
        ("a frame after a damaged one", vec![header, frame(0), &bad, frame(2)]),
        ("frames without a header", vec![&header[64..], frame(0)]),
    ] {
        let fs = fs.power_loss();
        fs.overwrite(&last, &parts.concat()).unwrap();
        let refused = open(&fs, 0).map(|(_, r)| positions(&r)).expect_err(why);
        assert_eq!(refused.kind, Kind::Corrupt, "{why}");
    }
    // A segment that is missing, named wrongly, or there twice.
    let gone = fs.power_loss();
    gone.remove(&first).unwrap();
    assert_eq!(open(&gone, 0).unwrap_err().kind, Kind::Corrupt);
    assert_eq!(positions(&open(&gone, 4).unwrap().1), [5, 6, 7, 8, 9, 10], "unless the lake has it");
    let renamed = fs.power_loss();
    renamed.rename(&last, &dir().join(file_name(Seq(6)))).unwrap();
    assert_eq!(open(&renamed, 0).unwrap_err().kind, Kind::Corrupt);
}

#[test]
fn a_client_cannot_make_a_torn_tail_pass_for_damage() {
    let fs = two_segments();
    let last = segments(&fs).remove(1);
    let bytes = fs.read(&last).unwrap();
    let whole = scan(&bytes, Seq(5));
    // A frame's header with a right checksum, as an event's text might hold it, within the torn frame.
    let fake = encode_close(1, Seq(1));
    let mut torn = bytes.to_vec();
    let (at, frame) = &whole.frames[2];
    torn[at + 128..at + 192].copy_from_slice(&fake);
    assert!(frame.frame_len() > 192);
    fs.overwrite(&last, &torn).unwrap();
    assert_eq!(positions(&open(&fs, 0).unwrap().1), (1..=8).collect::<Vec<_>>());
}

/// Writes groups until something fails, as the engine does: goes on after `NotWritten`, stops after `Fatal`. Returns the
/// last position acknowledged, and the last one tried.
fn write_on(fs: &SimFs, groups: u64) -> (u64, u64) {
    let (mut acknowledged, mut tried) = (0, 0);
    let Ok((mut wal, recovered)) = open(fs, 0) else { return (0, 0) };
    let mut first = recovered.last.0 + 1;
    for _ in 0..groups {
        tried = first + 1;
        match append(&mut wal, first, 2) {
            Ok(()) => (acknowledged, first) = (tried, first + 2),
            Err(AppendError::NotWritten(_)) => {}
            Err(AppendError::Fatal(e)) => {
                assert_eq!(e.kind, Kind::Fatal);
                assert!(matches!(append(&mut wal, first, 2), Err(AppendError::Fatal(_))), "fatal once, fatal ever");
                assert!(wal.truncate(Seq(acknowledged)).is_err());
                let ops = fs.op_count();
                assert!(wal.close().is_err());
                assert_eq!(ops, fs.op_count(), "a log that failed is not marked as closed");
                break;
            }
        }
    }
    (acknowledged, tried)
}

/// Exactly the acknowledged events come back, perhaps with the one group whose outcome was unknown; and what has come
/// back once does so after a loss of power too.
fn assert_recovers(fs: &SimFs, acknowledged: u64, tried: u64, context: &str) {
    let (_, recovered) = open(fs, 0).unwrap_or_else(|e| panic!("{context}: {e}"));
    let found = positions(&recovered);
    let last = found.len() as u64;
    assert_eq!(found, (1..=last).collect::<Vec<_>>(), "{context}");
    assert!(last == acknowledged || last == tried && tried == acknowledged + 2, "{context}: {last} of {acknowledged}");
    let (_, again) = open(&fs.power_loss(), 0).unwrap();
    assert_eq!(positions(&again), found, "{context}: shown once, gone later");
}

#[test]
fn whichever_write_or_sync_fails_exactly_what_was_acknowledged_comes_back() {
    const GROUPS: u64 = 6;
    let healthy = SimFs::new();
    assert_eq!(write_on(&healthy, GROUPS).0, 12);
    assert!(segments(&healthy).len() > 1, "the log rolls in this test");
    for on in [On::Write, On::Sync, On::Any] {
        for error in [ErrorKind::StorageFull, ErrorKind::Other] {
            for lasting in [false, true] {
                for nth in 1..=healthy.op_count() {
                    let fs = SimFs::new();
                    fs.fail(Fault { lasting, ..Fault::once(on, nth, error) });
                    let (acknowledged, tried) = write_on(&fs, GROUPS);
                    fs.heal();
                    let context = format!("{on:?} {nth} fails with {error:?}, lasting: {lasting}");
                    assert_recovers(&fs.power_loss(), acknowledged, tried, &context);
                    for seed in [nth, nth << 32] {
                        assert_recovers(&fs.power_loss_random(seed), acknowledged, tried, &context);
                    }
                    // Without a loss of power: the process restarts and sees what is in the page cache.
                    assert_recovers(&fs, acknowledged, tried, &context);
                }
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_the_group_and_the_log_goes_on() {
    let fs = SimFs::new();
    let (mut wal, _) = open(&fs, 0).unwrap();
    append(&mut wal, 1, 2).unwrap();
    let bytes = wal.bytes();
    fs.fail(Fault::once(On::Write, 1, ErrorKind::StorageFull));
    let Err(AppendError::NotWritten(e)) = append(&mut wal, 3, 2) else { panic!("not refused") };
    assert_eq!((e.kind, e.code), (Kind::Busy, "disk_full"));
    assert_eq!(wal.bytes(), bytes);
    append(&mut wal, 3, 2).unwrap();
    assert_eq!(positions(&open(&fs.power_loss(), 0).unwrap().1), [1, 2, 3, 4]);
}

/// One life of a log: opened, written, truncated, closed. What the lake covers is durable elsewhere.
#[derive(Default)]
struct Life {
    acknowledged: u64,
    covered: u64,
    tried: u64,
}

impl Life {
    fn live(&mut self, fs: &SimFs) -> Result<()> {
        for round in 0..2 {
            let (mut wal, recovered) = open(fs, self.covered)?;
            let found = positions(&recovered);
            let last = found.last().copied().unwrap_or(self.covered);
            assert_eq!(found, (self.covered + 1..=last).collect::<Vec<_>>());
            assert!(last == self.acknowledged || last == self.tried, "{last}: {}–{}", self.acknowledged, self.tried);
            self.acknowledged = last;
            for group in 0..5 {
                self.tried = self.acknowledged + 3;
                append(&mut wal, self.acknowledged + 1, 3)?;
                self.acknowledged = self.tried;
                if group % 2 == 1 {
                    // The lake has the group but for its last event.
                    self.covered = self.acknowledged - 1;
                    wal.truncate(Seq(self.covered))?;
                }
            }
            self.covered = self.acknowledged;
            wal.truncate(Seq(self.covered))?;
            if round == 0 {
                wal.close()?;
            }
        }
        Ok(())
    }
}

#[test]
fn power_lost_at_any_operation_costs_nothing_that_was_acknowledged() {
    let healthy = SimFs::new();
    Life::default().live(&healthy).unwrap();
    let removes = healthy.ops().iter().filter(|op| op.kind == OpKind::Remove).count();
    assert!(removes >= 3, "segments are deleted in this test");
    for nth in 1..=healthy.op_count() {
        for survivors in [None, Some(nth), Some(nth << 16), Some(nth << 32)] {
            let fs = SimFs::new();
            fs.fail(Fault::crash(nth));
            let mut life = Life::default();
            assert!(life.live(&fs).is_err());
            let after = survivors.map_or_else(|| fs.power_loss(), |seed| fs.power_loss_random(seed));
            life.live(&after).unwrap_or_else(|e| panic!("power lost at operation {nth} ({survivors:?}): {e}"));
        }
    }
}

#[test]
fn every_sync_of_the_log_is_needed() {
    let loses = |ignores: fn(&Path, SyncKind) -> bool| {
        let fs = SimFs::new();
        fs.ignore_syncs(ignores);
        let (mut wal, _) = open(&fs, 0).unwrap();
        append(&mut wal, 1, 2).unwrap();
        append(&mut wal, 3, 2).unwrap();
        open(&fs.power_loss(), 0).map_or(true, |(_, recovered)| positions(&recovered) != [1, 2, 3, 4])
    };
    assert!(!loses(|_, _| false));
    assert!(loses(|_, kind| kind == SyncKind::File), "the content of a segment");
    assert!(loses(|path, kind| kind == SyncKind::Dir && path == dir()), "its name");
    assert!(loses(|path, kind| kind == SyncKind::Dir && path == Path::new("/data")), "the log's folder");
    assert!(loses(|path, kind| kind == SyncKind::Dir && path == Path::new("/")), "the folder above");
}

#[test]
fn what_a_killed_process_left_unsynced_is_made_to_stay_when_it_is_shown() {
    for fault in [On::Any, On::Sync] {
        // The last frame is in the page cache only: killed before the sync, or the sync failed.
        let fs = SimFs::new();
        let (mut wal, _) = open(&fs, 0).unwrap();
        append(&mut wal, 1, 2).unwrap();
        fs.fail(match fault {
            On::Sync => Fault::once(On::Sync, 1, ErrorKind::Other),
            _ => Fault::crash(2),
        });
        assert!(matches!(append(&mut wal, 3, 2), Err(AppendError::Fatal(_))));
        fs.heal();
        assert_eq!(positions(&open(&fs.power_loss(), 0).unwrap().1), [1, 2]);
        assert_eq!(positions(&open(&fs, 0).unwrap().1), [1, 2, 3, 4], "the process sees it");
        assert_eq!(positions(&open(&fs.power_loss(), 0).unwrap().1), [1, 2, 3, 4], "so it has to stay");
    }
}

#[test]
fn an_older_schema_is_read_with_its_missing_columns_null() {
    let fs = SimFs::new();
    fs.create_dir_all(dir()).unwrap();
    let batch = events(1, 4);
    let old: Vec<usize> = (0..20).collect();
    let batch = batch.project(&old).unwrap();
    let header = SegmentHeader::encode(7, Seq(1), &batch.schema()).unwrap();
    let frame = Encoder::new().unwrap().encode(7, Seq(1), &batch).unwrap().to_vec();
    let path = dir().join(file_name(Seq(1)));
    let mut file = fs.create(&path).unwrap();
    file.write_all(&[header, frame].concat()).unwrap();
    let (_, recovered) = open(&fs, 0).unwrap();
    let found = &recovered.frames[0].batch;
    assert_eq!(found.schema(), stored_schema());
    assert_eq!(found.project(&old).unwrap().columns(), batch.columns());
    assert_eq!(found.column_by_name("items").unwrap().null_count(), 4);
}

#[test]
fn repair_sets_the_damage_aside_says_what_it_costs_and_the_log_opens_again() {
    let fs = two_segments();
    let files = segments(&fs);
    let all: Vec<Bytes> = files.iter().map(|p| fs.read(p).unwrap()).collect();
    let scans = [scan(&all[0], Seq(1)), scan(&all[1], Seq(5))];
    assert!(check(&fs, dir(), None).unwrap().damage.is_none());
    let untouched = repair(&fs, dir(), None).unwrap();
    assert!(untouched.set_aside.is_empty() && untouched.lost.is_none());
    // (segment, byte, events kept, events that can be read in what was set aside)
    let cases = [
        (1, scans[1].frames[1].0 + 70, 6, vec![9, 10]),
        (0, scans[0].frames[1].0 + 70, 2, vec![5, 6, 7, 8, 9, 10]),
        (0, scans[0].frames[0].0 + 70, 0, vec![3, 4, 5, 6, 7, 8, 9, 10]),
        (1, 70, 4, vec![]),
    ];
    for (segment, at, kept, readable) in cases {
        let fs = fs.power_loss();
        let mut bytes = all[segment].to_vec();
        bytes[at] ^= 1;
        fs.overwrite(&files[segment], &bytes).unwrap();
        let refused = open(&fs, 0).unwrap_err();
        let damage = check(&fs, dir(), Some(Seq::ZERO)).unwrap().damage.unwrap();
        assert_eq!(damage.file, files[segment]);
        assert!(refused.message.contains(&format!("byte {}", damage.offset)), "{refused}");
        let report = repair(&fs, dir(), Some(Seq::ZERO)).unwrap();
        assert_eq!(report.lost, Some(Lost { first: kept + 1, last: Some(10) }));
        let fs = fs.power_loss();
        let salvaged = report.set_aside.iter().filter_map(|path| salvage(&fs, path).ok()).flatten();
        let found = salvaged.flat_map(|b| b[SEQ].as_primitive::<Int64Type>().values().to_vec());
        assert_eq!(found.collect::<Vec<_>>(), readable);
        let (mut wal, recovered) = open(&fs, 0).unwrap();
        assert_eq!(positions(&recovered), (1..=kept).collect::<Vec<_>>());
        append(&mut wal, kept + 1, 1).unwrap();
        drop(wal);
        assert_eq!(positions(&open(&fs, 0).unwrap().1), (1..=kept + 1).collect::<Vec<_>>());
    }
}

#[test]
fn a_repair_cut_short_by_a_loss_of_power_never_hides_the_damage() {
    let damaged = two_segments();
    let first = segments(&damaged).remove(0);
    let mut bytes = damaged.read(&first).unwrap().to_vec();
    let at = scan(&bytes, Seq(1)).frames[1].0;
    bytes[at + 70] ^= 1;
    damaged.overwrite(&first, &bytes).unwrap();
    let healthy = damaged.power_loss();
    repair(&healthy, dir(), None).unwrap();
    for nth in 1..=healthy.op_count() {
        for seed in 0..4 {
            let fs = damaged.power_loss();
            fs.fail(Fault::crash(nth));
            assert!(repair(&fs, dir(), None).is_err());
            let fs = fs.power_loss_random(seed);
            let done = segments(&fs) == [first.clone()] && check(&fs, dir(), None).unwrap().damage.is_none();
            if !done {
                assert_eq!(open(&fs, 0).unwrap_err().kind, Kind::Corrupt, "crash at {nth}");
            }
            repair(&fs, dir(), None).unwrap();
            let (_, recovered) = open(&fs, 0).unwrap();
            assert_eq!(positions(&recovered), [1, 2]);
            let aside: Vec<_> = fs.list(dir()).unwrap().into_iter().map(|e| e.path).filter(|p| p != &first).collect();
            let salvaged = aside.iter().filter_map(|path| salvage(&fs, path).ok()).flatten();
            let mut found: Vec<_> =
                salvaged.flat_map(|b| b[SEQ].as_primitive::<Int64Type>().values().to_vec()).collect();
            found.sort_unstable();
            found.dedup();
            assert_eq!(found, [5, 6, 7, 8, 9, 10], "nothing was deleted");
        }
    }
}

fn any_batch() -> impl Strategy<Value = RecordBatch> {
    let row = (any::<Option<i64>>(), proptest::option::of(".{0,40}"), proptest::option::of(any::<i64>()), any::<i64>());
    (proptest::collection::vec(row, 1..40), any::<prop::sample::Index>()).prop_map(|(rows, skip)| {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8, true),
            Field::new("c", money_type(), true),
            Field::new("d", DataType::Int64, false),
            Field::new("e", DataType::Boolean, true),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.1.clone()).collect::<StringArray>()),
            Arc::new(
                rows.iter().map(|r| r.2.map(i128::from)).collect::<Decimal128Array>().with_data_type(money_type()),
            ),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.3))),
            new_null_array(&DataType::Boolean, rows.len()),
        ];
        let batch = RecordBatch::try_new(schema, columns).unwrap();
        // Slices have offsets: what is encoded must be the slice, not what it was cut from.
        let skip = skip.index(rows.len());
        batch.slice(skip, rows.len() - skip)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_holds_what_was_put_in(batch in any_batch(), salt: u64, first in 1_u64..1 << 60, lead in 0_usize..4) {
        let mut encoder = Encoder::new().unwrap();
        // The buffer is used again: an earlier, larger frame must leave no trace.
        encoder.encode(1, Seq(1), &events(1, 20)).unwrap();
        let frame = encoder.encode(salt, Seq(first), &batch).unwrap().to_vec();
        prop_assert_eq!(frame.len() % frame::ALIGN, 0);
        let header = check_frame(&frame, salt).unwrap();
        prop_assert_eq!(header.frame_len(), frame.len());
        prop_assert_eq!(header.first, Seq(first));
        prop_assert_eq!(header.last(), Seq(first + batch.num_rows() as u64 - 1));
        prop_assert_eq!(check_frame(&frame, !salt), Err(Bad::Salt));
        prop_assert_eq!(check_frame(&frame[..frame.len() - 1], salt), Err(Bad::Payload));
        prop_assert_eq!(FrameHeader::decode(&frame[..63]), Err(Bad::Header));
        let at = lead * frame::ALIGN;
        let segment = Bytes::from([vec![9; at], frame].concat());
        let decoded = decode_batch(&segment, at, &header, &batch.schema()).unwrap();
        prop_assert_eq!(decoded, batch);
    }
}
