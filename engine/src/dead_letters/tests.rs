//! Dead letters under retries, limits, damage and losses of power.

use std::io::ErrorKind;

use super::*;
use crate::fs::sim::{Fault, On, SyncKind};
use crate::fs::{RealFs, SimFs};

mod marks;

fn dir() -> &'static Path {
    Path::new("/data/dead_letters")
}

fn letter(n: u64) -> DeadLetter {
    DeadLetter {
        received_at: n as i64 * 1_000,
        source: "http".into(),
        index: n,
        field: "event_ts".into(),
        code: "invalid_timestamp".into(),
        message: format!("“{n}” is no time"),
        // Not UTF-8, and with what looks like a frame in it.
        original: Bytes::from([&[0xff, n as u8][..], b"DFRM\x01\0\0\0\0\0\0\0", &n.to_le_bytes()].concat()),
        key: n.is_multiple_of(2).then(|| format!("key-{n}")),
        attempts: 0,
    }
}

fn open(fs: &SimFs) -> Result<DeadLetters> {
    DeadLetters::open(Arc::new(fs.clone()), dir(), 1 << 20)
}

fn all(store: &DeadLetters) -> Vec<DeadLetter> {
    let letters = store.list(&Filter::default(), None, usize::MAX).unwrap();
    let open = letters.iter().filter(|l| l.status == Status::Open).count();
    assert_eq!(open, store.count());
    letters.into_iter().map(|l| l.letter).collect()
}

fn letters(numbers: impl IntoIterator<Item = u64>) -> Vec<DeadLetter> {
    numbers.into_iter().map(letter).collect()
}

fn segments(fs: &SimFs) -> Vec<PathBuf> {
    list_segments(fs, dir()).unwrap().into_iter().map(|(_, path)| path).collect()
}

/// Three frames in one segment: 1–2, 3, 4–5.
fn three_frames() -> SimFs {
    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    for group in [1..3, 3..4, 4..6] {
        store.append(letters(group)).unwrap();
    }
    assert_eq!(segments(&fs).len(), 1);
    fs.power_loss()
}

#[test]
fn letters_come_back_whole_in_order_and_page_by_page() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dead");
    for round in 0..3 {
        let store = DeadLetters::open(Arc::new(RealFs), &dir, 1 << 20).unwrap();
        assert_eq!(all(&store), letters(0..round * 10));
        store.append(letters(round * 10..round * 10 + 10)).unwrap();
    }
    let store = DeadLetters::open(Arc::new(RealFs), &dir, 1 << 20).unwrap();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store.list(&Filter::default(), after, 7).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.into_iter().map(|l| l.letter));
    }
    assert_eq!(seen, letters(0..30));
    let id = store.id_of(&letter(7));
    assert_eq!(store.get(id).unwrap().letter, letter(7));
    assert_eq!(LetterId::parse(&id.to_string()), Some(id));
    assert_eq!(store.get(LetterId(1)).unwrap_err().kind, Kind::NotFound);
    assert_eq!(store.list(&Filter::default(), Some(LetterId(1)), 1).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn a_retry_leaves_nothing_more_also_after_a_restart() {
    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    let mut retry = letter(1);
    (retry.received_at, retry.index) = (9_999_000, 42);
    store.append(vec![letter(1), letter(1), letter(2)]).unwrap();
    let bytes = store.bytes();
    store.append(vec![retry.clone()]).unwrap();
    let store = open(&fs.power_loss()).unwrap();
    store.append(vec![retry, letter(2)]).unwrap();
    assert_eq!((all(&store), store.bytes()), (letters([1, 2]), bytes));
    // Another reason, another source or other bytes are another letter, wherever one part ends.
    let mut moved = letter(1);
    moved.source.push('i');
    moved.code.remove(0);
    store.append(vec![moved]).unwrap();
    assert_eq!(store.count(), 3);
}

#[test]
fn a_full_store_refuses_and_keeps_what_it_has() {
    let fs = SimFs::new();
    let store = DeadLetters::open(Arc::new(fs), dir(), 2_000).unwrap();
    let mut kept = 0;
    let refused = loop {
        match store.append(letters([kept])) {
            Ok(()) => kept += 1,
            Err(e) => break e,
        }
    };
    assert_eq!((refused.kind, refused.code), (Kind::Busy, "dead_letters_full"));
    assert!(refused.hint.is_some() && kept > 3 && store.bytes() <= 2_000);
    assert!(store.append(letters([0, kept])).is_err(), "all of a call is kept or none");
    store.append(letters([0])).unwrap();
    assert_eq!(all(&store), letters(0..kept));
}

#[test]
fn calls_at_the_same_time_are_all_kept_and_share_syncs() {
    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let store = &store;
            threads.spawn(move || (0..20).for_each(|n| store.append(letters([thread * 20 + n, 1_000 + n])).unwrap()));
        }
    });
    assert_eq!(store.count(), 160 + 20);
    let again = open(&fs.power_loss()).unwrap();
    assert_eq!(all(&again), all(&store));
}

#[test]
fn one_call_that_does_not_fit_leaves_its_neighbours_alone() {
    let fs = SimFs::new();
    let store = DeadLetters::open(Arc::new(fs.clone()), dir(), 1_000).unwrap();
    let request = |numbers: Vec<u64>| {
        let changes = letters(numbers).into_iter().map(|l| (store.id_of(&l), Change::Letter(l))).collect();
        Arc::new(Request { changes, outcome: Mutex::default() })
    };
    let requests = [request(vec![1]), request((1..50).collect()), request(vec![2, 1])];
    store.write(&mut store.state.lock(), &requests);
    let ok: Vec<bool> = requests.iter().map(|r| r.outcome.lock().take().unwrap().is_ok()).collect();
    assert_eq!(ok, [true, false, true]);
    let again = DeadLetters::open(Arc::new(fs.power_loss()), dir(), 1_000).unwrap();
    assert_eq!(all(&again), letters([1, 2]));
}

#[test]
fn power_lost_or_a_failure_at_any_operation_costs_nothing_that_was_acknowledged() {
    let work = |fs: &SimFs| {
        let mut acknowledged = Vec::new();
        let Ok(store) = open(fs) else { return acknowledged };
        for n in 1..=4 {
            if store.append(letters([n])).is_ok() {
                acknowledged.push(letter(n));
            }
        }
        acknowledged
    };
    let healthy = SimFs::new();
    assert_eq!(work(&healthy).len(), 4);
    for nth in 1..=healthy.op_count() {
        let once = |on| Fault::once(on, nth, ErrorKind::StorageFull);
        for fault in [Fault::crash(nth), once(On::Any), once(On::Write), once(On::Sync)] {
            let fs = SimFs::new();
            fs.fail(fault);
            let acknowledged = work(&fs);
            fs.heal();
            for after in [fs.power_loss(), fs.power_loss_random(nth), fs] {
                let found = all(&open(&after).unwrap());
                assert!(acknowledged.iter().all(|l| found.contains(l)), "{fault:?}");
                assert_eq!(all(&open(&after.power_loss()).unwrap()), found, "{fault:?}: shown once, gone later");
            }
        }
    }
}

#[test]
fn every_sync_is_needed() {
    let loses = |ignores: fn(&Path, SyncKind) -> bool| {
        let fs = SimFs::new();
        fs.ignore_syncs(ignores);
        open(&fs).unwrap().append(letters([1])).unwrap();
        open(&fs.power_loss()).unwrap().count() == 0
    };
    assert!(!loses(|_, _| false));
    assert!(loses(|_, kind| kind == SyncKind::File));
    assert!(loses(|path, kind| kind == SyncKind::Dir && path == dir()));
    assert!(loses(|path, kind| kind == SyncKind::Dir && path == Path::new("/data")));
}

#[test]
fn cut_at_every_byte_whole_frames_stay() {
    let fs = three_frames();
    let path = segments(&fs).remove(0);
    let bytes = fs.read(&path).unwrap();
    let ends: Vec<usize> = (0..=bytes.len()).filter(|&n| scan(&bytes[..n]).problem.is_none()).collect();
    assert_eq!(ends.len(), 4, "the header and three frames");
    for cut in 0..bytes.len() {
        let fs = fs.power_loss();
        fs.overwrite(&path, &bytes[..cut]).unwrap();
        let store = open(&fs).unwrap();
        let kept = [0, 2, 3, 5][ends.iter().filter(|&&end| end <= cut).count().saturating_sub(1)];
        assert_eq!(all(&store), letters(1..=kept), "cut at {cut}");
        store.append(letters([6])).unwrap();
        assert_eq!(open(&fs.power_loss()).unwrap().count() as u64, kept + 1);
    }
}

#[test]
fn a_flipped_bit_is_refused_but_in_the_last_frame_and_repair_keeps_the_other_frames() {
    let fs = three_frames();
    let path = segments(&fs).remove(0);
    let bytes = fs.read(&path).unwrap();
    let ends: Vec<usize> = (0..=bytes.len()).filter(|&n| scan(&bytes[..n]).problem.is_none()).collect();
    for at in 0..bytes.len() {
        let fs = fs.power_loss();
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        fs.overwrite(&path, &flipped).unwrap();
        if at >= ends[2] {
            assert_eq!(all(&open(&fs).unwrap()), letters(1..=3));
            continue;
        }
        let refused = open(&fs).unwrap_err();
        assert_eq!(refused.kind, Kind::Corrupt, "flip at {at}");
        assert!(refused.message.contains(&path.display().to_string()));
        let aside = repair(&fs, dir()).unwrap();
        assert_eq!(fs.read(&aside[0]).unwrap(), flipped);
        let readable = match at {
            _ if at < ends[0] => letters(1..=5),
            _ if at < ends[1] => letters(3..=5),
            _ => letters([1, 2, 4, 5]),
        };
        let store = open(&fs.power_loss()).unwrap();
        assert_eq!(all(&store), readable, "flip at {at}");
        store.append(letters(1..=5)).unwrap();
        assert_eq!(store.count(), 5, "ids stay what they were");
    }
}
