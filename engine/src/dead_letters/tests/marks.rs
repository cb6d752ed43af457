//! What becomes of letters: marks, new reasons, retention, and the space they give back.

use super::*;

fn ids(store: &DeadLetters, numbers: impl IntoIterator<Item = u64>) -> Vec<LetterId> {
    numbers.into_iter().map(|n| store.id_of(&letter(n))).collect()
}

fn with_status(store: &DeadLetters, status: Status) -> Vec<u64> {
    let filter = Filter { status: Some(status), ..Filter::default() };
    store.list(&filter, None, usize::MAX).unwrap().iter().map(|l| l.letter.index).collect()
}

/// Numbers of open, replayed and dropped letters.
fn by_status(store: &DeadLetters) -> [Vec<u64>; 3] {
    Status::ALL.map(|status| with_status(store, status))
}

fn size_on_disk(fs: &SimFs) -> u64 {
    segments(fs).iter().map(|path| fs.stat(path).unwrap().len).sum()
}

/// A store as builds before marks and keys wrote it, byte by byte: two frames, three letters.
const OLD_STORE: &str = include_str!("old_store.hex");

#[test]
fn a_store_of_the_first_format_opens_and_takes_marks() {
    let bytes: Vec<u8> = OLD_STORE
        .split_whitespace()
        .flat_map(|line| (0..line.len()).step_by(2).map(move |i| u8::from_str_radix(&line[i..i + 2], 16).unwrap()))
        .collect();
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("dead-00000000000000000001.log"), bytes).unwrap();
    let open = || DeadLetters::open(Arc::new(RealFs), temp.path(), 1 << 20).unwrap();
    let store = open();
    let found = store.list(&Filter::default(), None, 10).unwrap();
    let codes: Vec<_> = found.iter().map(|l| (l.letter.code.as_str(), l.letter.index, l.status)).collect();
    let expected = [("invalid_timestamp", 0), ("missing_field", 1), ("invalid_json", 2)];
    assert_eq!(codes, expected.map(|(code, index)| (code, index, Status::Open)));
    assert_eq!(found[0].letter.original, r#"{"event_ts":"yesterday"}"#);
    assert!(found.iter().all(|l| l.letter.key.is_none() && l.letter.attempts == 0));
    assert!(found.iter().all(|l| store.id_of(&l.letter) == l.id), "ids stay what they were");

    store.append(vec![found[1].letter.clone(), letter(4)]).unwrap();
    store.mark_replayed(&[found[0].id], 2_000_000_000_000_000).unwrap();
    let store = open();
    assert_eq!(by_status(&store), [vec![1, 2, 4], vec![0], vec![]]);
    assert_eq!(store.get(store.id_of(&letter(4))).unwrap().letter.key.as_deref(), Some("key-4"));
}

#[test]
fn marks_last_and_a_settled_letter_comes_back_only_when_it_was_dropped() {
    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    store.append(letters(0..6)).unwrap();
    store.mark_replayed(&ids(&store, [1, 2]), 50_000).unwrap();
    store.mark_dropped(&ids(&store, [2, 3]), 60_000).unwrap();
    let expected = [vec![0, 4, 5], vec![1, 2], vec![3]];
    assert_eq!(by_status(&store), expected);
    let store = open(&fs.power_loss()).unwrap();
    assert_eq!(by_status(&store), expected);
    assert_eq!(store.get(ids(&store, [1])[0]).unwrap().settled_at, Some(50_000));
    assert_eq!(store.get(ids(&store, [0])[0]).unwrap().settled_at, None);

    // The clock of these letters stands before the marks: what came again is still a later one.
    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    store.append(letters(0..4)).unwrap();
    store.mark_replayed(&ids(&store, [1]), 50_000).unwrap();
    store.mark_dropped(&ids(&store, [2]), 60_000).unwrap();
    store.append(letters([1, 2])).unwrap();
    let expected = [vec![0, 2, 3], vec![1], vec![]];
    assert_eq!(by_status(&store), expected);
    assert_eq!(by_status(&open(&fs.power_loss()).unwrap()), expected);
}

#[test]
fn a_letter_refused_again_stays_one_letter_with_the_new_reason() {
    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    store.append(letters(0..3)).unwrap();
    let id = ids(&store, [1])[0];
    let mut revised = letter(1);
    (revised.code, revised.field) = ("out_of_range".into(), "price".into());
    store.revise(vec![(id, revised.clone())]).unwrap();
    revised.attempts = 1;
    for store in [open(&fs.power_loss()).unwrap(), store] {
        assert_eq!(all(&store), [letter(0), revised.clone(), letter(2)]);
        let code = Filter { code: Some("out_of_range".into()), ..Filter::default() };
        assert_eq!(store.list(&code, None, 9).unwrap()[0].id, id, "its id stays");
        assert_eq!(store.count_by_code(&Filter::default()).get("out_of_range"), Some(&1));
        store.append(letters(0..3)).unwrap();
        assert_eq!(store.count(), 3, "a client's retry is the same letter");
    }
}

#[test]
fn filters_take_what_matches_all_of_them() {
    let store = open(&SimFs::new()).unwrap();
    store.append(letters(0..10)).unwrap();
    let numbers = |filter: Filter| -> Vec<u64> {
        store.list(&filter, None, 99).unwrap().iter().map(|l| l.letter.index).collect()
    };
    let none = Filter::default;
    assert_eq!(numbers(Filter { since: Some(3_000), until: Some(6_000), ..none() }), [3, 4, 5]);
    assert_eq!(numbers(Filter { key: Some("key-4".into()), ..none() }), [4]);
    assert_eq!(numbers(Filter { key: Some(String::new()), until: Some(4_000), ..none() }), [1, 3]);
    assert_eq!(numbers(Filter { source: Some("load".into()), ..none() }), [0; 0]);
    assert_eq!(numbers(Filter { field: Some("event_ts".into()), since: Some(9_000), ..none() }), [9]);
    let some = ids(&store, [2, 8]).into_iter().collect();
    assert_eq!(numbers(Filter { ids: some, ..none() }), [2, 8]);
}

#[test]
fn compaction_gives_space_back_and_keeps_open_letters_and_their_tries() {
    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    for n in 0..40 {
        store.append(letters([n])).unwrap();
    }
    let tried = Try { at: 90_000, event_id: "e-7".into(), hour: 3 };
    store.mark_trying(vec![(ids(&store, [7])[0], tried.clone())]).unwrap();
    store.mark_replayed(&ids(&store, 10..40), 100_000).unwrap();
    let (before, fullness) = (size_on_disk(&fs), store.status().fullness);
    // Nothing is old enough.
    assert_eq!(store.tidy(Some(0)).unwrap(), Tidied::default());
    let done = store.tidy(Some(100_001)).unwrap();
    assert_eq!((done.expired, done.forgotten), (40 - 30, 30), "open ones were older still");
    assert_eq!((store.count(), segments(&fs).len()), (0, 0), "nothing is left on disk");
    assert_eq!(done.bytes, before);
    assert!(fullness > 0.0 && store.status().fullness == 0.0);
    store.append(letters([1])).unwrap();
    assert_eq!(all(&open(&fs.power_loss()).unwrap()), letters([1]));

    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    store.append(letters(0..40)).unwrap();
    store.mark_trying(vec![(ids(&store, [7])[0], tried.clone())]).unwrap();
    store.mark_replayed(&ids(&store, 10..40), 1_000).unwrap();
    // Replayed at their own time at the earliest.
    let done = store.tidy(Some(5_000)).unwrap();
    assert_eq!((done.expired, done.forgotten), (5, 0));
    for store in [open(&fs.power_loss()).unwrap(), store] {
        assert_eq!(by_status(&store), [(5..10).collect(), (10..40).collect(), vec![]]);
        assert_eq!(store.tries(ids(&store, [7])[0]), std::slice::from_ref(&tried));
    }
}

#[test]
fn a_full_store_gives_settled_letters_back_before_it_refuses() {
    let fs = SimFs::new();
    let store = DeadLetters::open(Arc::new(fs.clone()), dir(), 4_000).unwrap();
    let mut kept = 0;
    while store.append(letters([kept])).is_ok() {
        kept += 1;
    }
    assert!(store.status().fullness > 0.9, "{:?}", store.status());
    store.mark_replayed(&ids(&store, 0..kept / 2), 1_000_000).unwrap();
    assert!(store.status().fullness < 0.7, "{:?}", store.status());
    store.append(letters([kept])).unwrap();
    assert!(store.bytes() <= 4_000 && size_on_disk(&fs) == store.bytes());
    let expected: Vec<u64> = (kept / 2..=kept).collect();
    for store in [open(&fs.power_loss()).unwrap(), store] {
        assert_eq!(by_status(&store), [expected.clone(), vec![], vec![]]);
    }
}

#[test]
fn a_reader_under_way_is_not_disturbed_by_compaction() {
    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    store.append(letters(0..30)).unwrap();
    let (all, end) = (Filter::default(), store.end());
    let (first, next) = store.page(&all, Cursor::default(), end, 10, Parts::Whole).unwrap();
    store.mark_dropped(&ids(&store, 0..15), 200_000).unwrap();
    store.tidy(Some(1)).unwrap();
    store.give_back(&mut store.state.lock()).unwrap();
    store.append(letters([99])).unwrap();
    let (rest, next) = store.page(&all, next, end, 100, Parts::Whole).unwrap();
    assert_eq!(first.iter().map(|l| l.letter.index).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    assert_eq!(rest.iter().map(|l| l.letter.index).collect::<Vec<_>>(), (15..30).collect::<Vec<_>>());
    assert_eq!(next, end, "what came later is not in it");
}

/// Marks and letters over a whole life, compaction included; each step is acknowledged or not.
fn live(fs: &SimFs) -> (Vec<u64>, Vec<u64>, bool) {
    let (mut open_ones, mut replayed) = (Vec::new(), Vec::new());
    let Ok(store) = open(fs) else { return (open_ones, replayed, false) };
    for n in 0..4 {
        if store.append(letters([n])).is_ok() {
            open_ones.push(n);
        }
    }
    // Another process begins another segment: letters and their marks lie apart.
    drop(store);
    let Ok(store) = open(fs) else { return (open_ones, replayed, false) };
    // A mark that failed may still be there: then nobody was promised either.
    open_ones.retain(|n| *n > 1);
    if store.mark_replayed(&ids(&store, [0, 1]), 20_000).is_ok() {
        replayed.extend([0, 1]);
    }
    let gone = store.give_back(&mut store.state.lock()).is_ok();
    if store.append(letters([5])).is_ok() {
        open_ones.push(5);
    }
    (open_ones, replayed, gone)
}

#[test]
fn power_lost_at_any_operation_leaves_every_open_letter_and_never_reopens_a_settled_one() {
    let healthy = SimFs::new();
    assert_eq!(live(&healthy), (vec![2, 3, 5], vec![0, 1], true));
    for nth in 1..=healthy.op_count() {
        for fault in [Fault::crash(nth), Fault::once(On::Any, nth, ErrorKind::StorageFull)] {
            let fs = SimFs::new();
            fs.fail(fault);
            let (open_ones, replayed, _) = live(&fs);
            fs.heal();
            for after in [fs.power_loss(), fs.power_loss_random(nth), fs] {
                let store = open(&after).unwrap();
                let found = with_status(&store, Status::Open);
                assert!(open_ones.iter().all(|n| found.contains(n)), "{fault:?}: {open_ones:?} {found:?}");
                assert!(replayed.iter().all(|n| !found.contains(n)), "{fault:?}: {replayed:?} {found:?}");
                let again = open(&after.power_loss()).unwrap();
                assert_eq!(by_status(&again), by_status(&store), "{fault:?}: shown once, gone later");
            }
        }
    }
}

#[test]
fn compaction_needs_its_syncs() {
    let loses = |ignores: fn(&Path, SyncKind) -> bool| {
        let fs = SimFs::new();
        let store = open(&fs).unwrap();
        store.append(letters(0..4)).unwrap();
        store.mark_dropped(&ids(&store, [0]), 9_000).unwrap();
        fs.ignore_syncs(ignores);
        store.give_back(&mut store.state.lock()).unwrap();
        store.append(letters([7])).unwrap();
        open(&fs.power_loss()).map_or(true, |store| with_status(&store, Status::Open) != [1, 2, 3, 7])
    };
    assert!(!loses(|_, _| false));
    assert!(loses(|path, kind| kind == SyncKind::File && path.extension().is_some_and(|e| e == "tmp")));

    // The mark goes only after the letter: in one order that the disk may keep, the letter would be open again.
    let reopens = |ignores: fn(&Path, SyncKind) -> bool| {
        let fs = SimFs::new();
        open(&fs).unwrap().append(letters(0..2)).unwrap();
        let store = open(&fs).unwrap();
        store.mark_replayed(&ids(&store, [0]), 9_000).unwrap();
        fs.ignore_syncs(ignores);
        store.give_back(&mut store.state.lock()).unwrap();
        (0..50).any(|seed| open(&fs.power_loss_random(seed)).unwrap().count() != 1)
    };
    assert!(!reopens(|_, _| false));
    assert!(reopens(|path, kind| kind == SyncKind::Dir && path == dir()));
}

#[test]
fn marks_in_a_damaged_store_survive_its_repair() {
    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    store.append(letters(0..2)).unwrap();
    store.append(letters(2..4)).unwrap();
    store.mark_replayed(&ids(&store, [2]), 70_000).unwrap();
    store.append(letters([4])).unwrap();
    let path = segments(&fs).remove(0);
    let mut bytes = fs.read(&path).unwrap().to_vec();
    bytes[100] ^= 1;
    fs.overwrite(&path, &bytes).unwrap();
    assert_eq!(open(&fs).unwrap_err().kind, Kind::Corrupt);
    assert_eq!(repair(&fs, dir()).unwrap().len(), 1);
    assert_eq!(by_status(&open(&fs).unwrap()), [vec![3, 4], vec![2], vec![]]);
}
