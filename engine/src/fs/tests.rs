//! One suite for every disk and every store over it: the same calls on `LocalFileSystem` say what is right. And what
//! the simulated disk does at a loss of power, and that no sync of a put can be left out.

use std::future::Future;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
};

use super::sim::{Fault, On, SyncKind};
use super::*;

fn at(location: &str) -> Location {
    Location::from(location)
}

/// An answer as text: what has to be the same in every store.
async fn told<T: Debug>(result: impl Future<Output = object_store::Result<T>>) -> String {
    match result.await {
        Ok(value) => format!("{value:?}"),
        Err(Error::NotFound { .. }) => "not found".into(),
        Err(Error::AlreadyExists { .. }) => "already exists".into(),
        Err(Error::Precondition { .. }) => "precondition failed".into(),
        Err(Error::NotModified { .. }) => "not modified".into(),
        Err(Error::NotImplemented { .. }) => "not implemented".into(),
        Err(_) => "error".into(),
    }
}

async fn get(store: &dyn ObjectStore, location: &str) -> object_store::Result<Bytes> {
    store.get(&at(location)).await?.bytes().await
}

async fn names(store: &dyn ObjectStore, prefix: Option<&str>) -> object_store::Result<Vec<(String, u64)>> {
    let found: Vec<_> = store.list(prefix.map(at).as_ref()).try_collect().await?;
    let mut found: Vec<_> = found.into_iter().map(|m| (m.location.to_string(), m.size)).collect();
    found.sort();
    Ok(found)
}

async fn delimited(store: &dyn ObjectStore, prefix: Option<&str>) -> object_store::Result<(Vec<String>, Vec<String>)> {
    let found = store.list_with_delimiter(prefix.map(at).as_ref()).await?;
    let mut objects: Vec<_> = found.objects.into_iter().map(|m| m.location.to_string()).collect();
    let mut prefixes: Vec<_> = found.common_prefixes.into_iter().map(|p| p.to_string()).collect();
    objects.sort();
    prefixes.sort();
    Ok((objects, prefixes))
}

async fn put(store: &dyn ObjectStore, location: &str, text: &'static str, mode: PutMode) -> object_store::Result<()> {
    let options = PutOptions { mode, ..PutOptions::default() };
    store.put_opts(&at(location), PutPayload::from_static(text.as_bytes()), options).await.map(drop)
}

async fn ranged(store: &dyn ObjectStore, range: GetRange, head: bool) -> object_store::Result<(Bytes, u64, u64)> {
    let options = GetOptions { range: Some(range), head, ..GetOptions::default() };
    let got = store.get_opts(&at("a/one"), options).await?;
    let (start, end) = (got.range.start, got.range.end);
    let bytes = if head { Bytes::new() } else { got.bytes().await? };
    Ok((bytes, start, end))
}

async fn upload(store: &dyn ObjectStore, location: &str, parts: &[&'static str]) -> object_store::Result<()> {
    let mut upload = store.put_multipart_opts(&at(location), PutMultipartOptions::default()).await?;
    let parts: Vec<_> = parts.iter().map(|part| upload.put_part(PutPayload::from_static(part.as_bytes()))).collect();
    // In any order: the order of the calls counts.
    for part in parts.into_iter().rev() {
        part.await?;
    }
    upload.complete().await.map(drop)
}

async fn delete_all(store: &dyn ObjectStore, locations: &[&str]) -> object_store::Result<Vec<Location>> {
    let locations: Vec<_> = locations.iter().map(|l| Ok(at(l))).collect();
    store.delete_stream(futures::stream::iter(locations).boxed()).try_collect().await
}

/// The calls, and what a store says to each.
async fn conversation(store: &dyn ObjectStore) -> Vec<String> {
    let mut said = Vec::new();
    macro_rules! say {
        ($($call:expr),* $(,)?) => { $(said.push(format!("{}: {}", stringify!($call), told($call).await));)* };
    }
    say!(
        get(store, "a/one"),
        put(store, "a/one", "hello world", PutMode::Create),
        put(store, "a/one", "again", PutMode::Create),
        get(store, "a/one"),
        put(store, "a/two", "first", PutMode::Overwrite),
        put(store, "a/two", "second", PutMode::Overwrite),
        get(store, "a/two"),
        put(store, "empty", "", PutMode::Create),
        get(store, "empty"),
        put(store, "event_date=2026-01-31/part-0.parquet", "rows", PutMode::Create),
        put(store, "we ird/ü%#x?*.json", "odd", PutMode::Create),
        get(store, "we ird/ü%#x?*.json"),
        put(store, "a/one#1", "temporary", PutMode::Create),
        put(store, "a/one#x", "not temporary", PutMode::Create),
        get(store, "a"),
        store.head(&at("a")),
        async { store.head(&at("a/one")).await.map(|meta| (meta.location, meta.size)) },
        store.head(&at("a/none")),
        ranged(store, GetRange::Bounded(2..5), false),
        ranged(store, GetRange::Bounded(2..500), false),
        ranged(store, GetRange::Bounded(11..12), false),
        ranged(store, GetRange::Bounded(2..2), false),
        ranged(store, GetRange::Offset(6), false),
        ranged(store, GetRange::Offset(11), false),
        ranged(store, GetRange::Suffix(5), false),
        ranged(store, GetRange::Suffix(500), false),
        ranged(store, GetRange::Offset(60), true),
        store.get_ranges(&at("a/one"), &[0..1, 3..3, 6..11, 2..4]),
        store.get_ranges(&at("a/one"), &[0..1, 3..12]),
        store.get_ranges(&at("a/none"), &[0..1, 3..12]),
        store.get_range(&at("a/one"), 0..5),
    );
    let seen = store.head(&at("a/one")).await.unwrap();
    for (etag, matches) in [(seen.e_tag.as_deref(), true), (Some("other"), false), (Some("*"), true)] {
        let get = |options: GetOptions| async { store.get_opts(&at("a/one"), options).await.map(|_| matches) };
        let etag = || etag.map(str::to_owned);
        said.push(told(get(GetOptions { if_match: etag(), ..GetOptions::default() })).await);
        said.push(told(get(GetOptions { if_none_match: etag(), ..GetOptions::default() })).await);
    }
    say!(
        names(store, None),
        names(store, Some("a")),
        names(store, Some("a/one")),
        names(store, Some("nowhere")),
        delimited(store, None),
        delimited(store, Some("a")),
        delimited(store, Some("nowhere")),
        async {
            let found = store.list_with_offset(Some(&at("a")), &at("a/one")).map_ok(|m| m.location);
            let mut found: Vec<_> = found.try_collect().await?;
            found.sort();
            Ok(found)
        },
        store.copy(&at("a/one"), &at("b/c/copy")),
        store.copy(&at("a/two"), &at("b/c/copy")),
        get(store, "b/c/copy"),
        store.copy(&at("a/none"), &at("b/c/copy")),
        store.copy_if_not_exists(&at("a/one"), &at("b/c/copy")),
        store.copy_if_not_exists(&at("a/one"), &at("b/d/other")),
        store.copy_if_not_exists(&at("a/none"), &at("b/e/other")),
        store.rename(&at("a/two"), &at("f/moved")),
        store.rename(&at("a/two"), &at("f/moved")),
        store.rename(&at("b/d/other"), &at("f/moved")),
        get(store, "f/moved"),
        store.rename_if_not_exists(&at("a/one"), &at("f/moved")),
        store.rename_if_not_exists(&at("a/one"), &at("g/moved")),
        upload(store, "up/load", &["one ", "two ", "three"]),
        get(store, "up/load"),
        upload(store, "up/load", &["replaced"]),
        upload(store, "up/empty", &[]),
        names(store, None),
        store.delete(&at("f/moved")),
        store.delete(&at("f/moved")),
        delete_all(store, &["g/moved", "up/load"]),
        names(store, None),
    );
    let mut given_up = store.put_multipart(&at("up/given-up")).await.unwrap();
    given_up.put_part(PutPayload::from_static(b"x")).await.unwrap();
    say!(names(store, Some("up")), given_up.abort(), names(store, Some("up")), delimited(store, Some("up")));
    said
}

#[test]
fn every_store_answers_as_the_local_file_system_does() {
    let temp = tempfile::tempdir().unwrap();
    let [ours, theirs] = ["ours", "theirs"].map(|name| temp.path().join(name));
    std::fs::create_dir(&theirs).unwrap();
    let expected = block_on(conversation(&LocalFileSystem::new_with_prefix(&theirs).unwrap()));
    assert!(expected.len() > 70);
    let real = FsStore::open(Arc::new(RealFs), &ours).unwrap();
    let simulated = FsStore::open(Arc::new(SimFs::new()), Path::new("/lake")).unwrap();
    for store in [&real, &simulated] {
        let said = block_on(conversation(store));
        for (said, expected) in said.iter().zip(&expected) {
            assert_eq!(said, expected, "{store}");
        }
        assert_eq!(said.len(), expected.len());
    }
    // The files are the same too, by name and content: other readers of the lake see what they expect.
    let of = |root: &Path| {
        let store = FsStore::open(Arc::new(RealFs), root).unwrap();
        block_on(names(&store, None)).unwrap()
    };
    assert_eq!(of(&ours), of(&theirs));
    // And inside a tokio runtime, where writes go to its blocking pool.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = FsStore::open(Arc::new(SimFs::new()), Path::new("/lake")).unwrap();
    for (said, expected) in runtime.block_on(conversation(&store)).iter().zip(&expected) {
        assert_eq!(said, expected);
    }
}

#[test]
fn a_large_object_streams_in_pieces() {
    let store = FsStore::open(Arc::new(SimFs::new()), Path::new("/lake")).unwrap();
    let bytes: Bytes = (0..20_000_000_u32).map(|n| n as u8).collect();
    block_on(async {
        store.put(&at("large"), bytes.clone().into()).await.unwrap();
        let pieces: Vec<Bytes> = store.get(&at("large")).await.unwrap().into_stream().try_collect().await.unwrap();
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces.concat(), bytes);
    });
}

/// In a folder of its own, so that no sync for another reason makes a move durable.
const OLD: &str = "old/rows";
const OBJECT: &str = "event_date=2026-01-31/hour=1/part-0.parquet";

/// One way of making an object.
type Make = fn(&FsStore) -> object_store::Result<()>;
const WAYS: [(&str, Make); 6] = [
    ("create", |s| block_on(put(s, OBJECT, "rows", PutMode::Create))),
    ("overwrite", |s| block_on(put(s, OBJECT, "rows", PutMode::Overwrite))),
    ("upload", |s| block_on(upload(s, OBJECT, &["ro", "ws"]))),
    ("copy", |s| block_on(s.copy(&at(OLD), &at(OBJECT)))),
    ("rename", |s| block_on(s.rename(&at(OLD), &at(OBJECT)))),
    ("rename if new", |s| block_on(s.rename_if_not_exists(&at(OLD), &at(OBJECT)))),
];

fn lake() -> &'static Path {
    Path::new("/data/lake")
}

/// A store that holds the object [`OLD`], and its disk.
fn prepared() -> (SimFs, FsStore) {
    let disk = SimFs::new();
    let store = FsStore::open(Arc::new(disk.clone()), lake()).unwrap();
    block_on(put(&store, OLD, "rows", PutMode::Create)).unwrap();
    (disk, store)
}

fn found(disk: &SimFs) -> Option<Bytes> {
    block_on(get(&FsStore::open(Arc::new(disk.clone()), lake()).ok()?, OBJECT)).ok()
}

#[test]
fn what_a_put_has_answered_survives_a_loss_of_power_and_no_sync_can_be_left_out() {
    for (way, make) in WAYS {
        let (disk, store) = prepared();
        let before = disk.syncs().len();
        make(&store).unwrap();
        for seed in 0..20 {
            assert_eq!(found(&disk.power_loss_random(seed)).unwrap(), "rows", "{way}");
        }
        // Every sync that was made: without that one alone, the object or its name is gone (or, where it moved, the old
        // name is back).
        let syncs: Vec<_> = disk.syncs().split_off(before);
        assert!(syncs.len() >= 3, "{way}: {syncs:?}");
        for (n, (path, kind)) in syncs.iter().enumerate() {
            if way == "rename" && n + 2 >= syncs.len() {
                // A rename is one step here: the sync of either of its folders makes it durable.
                continue;
            }
            let (disk, store) = prepared();
            let count = std::sync::atomic::AtomicUsize::new(0);
            disk.ignore_syncs(move |_, _| count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == n);
            make(&store).unwrap();
            let after = disk.power_loss();
            let old_is_back = way.starts_with("rename") && after.read(&lake().join(OLD)).is_ok();
            let whole = found(&after).is_some_and(|bytes| bytes == "rows");
            assert!(!whole || old_is_back, "{way}: the sync of {} ({kind:?}) is not needed", path.display());
        }
    }
    // The folders above the object were new; the root of the store is durable from the start.
    let disk = SimFs::new();
    disk.ignore_syncs(|path, kind| kind == SyncKind::Dir && path == Path::new("/data"));
    let store = FsStore::open(Arc::new(disk.clone()), lake()).unwrap();
    block_on(put(&store, "x", "", PutMode::Create)).unwrap();
    assert!(disk.power_loss().list(lake()).is_err());
}

#[test]
fn a_put_cut_short_leaves_the_old_object_or_the_new_one_and_no_litter() {
    let fresh = || {
        let (disk, store) = prepared();
        block_on(put(&store, OBJECT, "older", PutMode::Create)).unwrap();
        (disk, store)
    };
    let (disk, store) = fresh();
    let before = disk.op_count();
    block_on(put(&store, OBJECT, "rows", PutMode::Overwrite)).unwrap();
    for nth in 1..=disk.op_count() - before {
        for seed in 0..10 {
            let (disk, store) = fresh();
            disk.fail(Fault::crash(nth));
            assert!(block_on(put(&store, OBJECT, "rows", PutMode::Overwrite)).is_err());
            for after in [disk.power_loss_random(seed), {
                disk.heal();
                disk
            }] {
                let shown = found(&after).unwrap();
                assert!(shown == "older" || shown == "rows", "crash at {nth}: {shown:?}");
                let files = after.list(&lake().join("event_date=2026-01-31/hour=1")).unwrap();
                assert_eq!(files.len(), 1, "temporary files are swept at the next start");
                // What the restarted process has seen stays.
                assert_eq!(found(&after.power_loss()).unwrap(), shown);
            }
        }
    }
}

#[test]
fn after_a_failed_sync_the_store_answers_nothing_more() {
    for on in 1..=2 {
        let (disk, store) = prepared();
        disk.fail(Fault::once(On::Sync, on, ErrorKind::Other));
        assert!(store.failure().is_none());
        assert!(block_on(put(&store, "new", "x", PutMode::Create)).is_err());
        // The name may be visible: who looks must not conclude that the put landed.
        assert!(block_on(store.head(&at("new"))).is_err_and(|e| !matches!(e, Error::NotFound { .. })));
        assert!(block_on(names(&store, None)).is_err());
        assert!(block_on(store.get_range(&at(OLD), 0..1)).is_err());
        assert!(block_on(put(&store, "other", "x", PutMode::Create)).is_err());
        assert!(store.failure().unwrap().contains("the process must stop"));
    }
}

#[test]
fn a_full_disk_fails_the_put_and_nothing_else() {
    for (on, nth) in [(On::Write, 1), (On::Sync, 1)] {
        let (disk, store) = prepared();
        disk.fail(Fault::once(on, nth, ErrorKind::StorageFull));
        assert!(block_on(put(&store, "new", "x", PutMode::Create)).is_err());
        assert!(store.failure().is_none());
        assert_eq!(block_on(names(&store, None)).unwrap(), [(OLD.to_owned(), 4)]);
        assert_eq!(disk.list(lake()).unwrap().len(), 1, "the temporary file is gone");
        block_on(put(&store, "new", "x", PutMode::Create)).unwrap();
    }
    // A part that could not be written must not leave a hole.
    let (disk, store) = prepared();
    disk.fail(Fault::once(On::Write, 2, ErrorKind::StorageFull));
    assert!(block_on(upload(&store, "new", &["a", "b", "c"])).is_err());
    assert_eq!(block_on(names(&store, None)).unwrap(), [(OLD.to_owned(), 4)]);
    assert_eq!(disk.list(lake()).unwrap().len(), 1);
}

#[test]
fn a_folder_removed_meanwhile_is_made_again_durably() {
    let (disk, store) = prepared();
    for remove in [true, false] {
        block_on(put(&store, OBJECT, "older", PutMode::Overwrite)).unwrap();
        assert!(!store.remove_empty_dir(&at("event_date=2026-01-31/hour=1")).unwrap());
        block_on(store.delete(&at(OBJECT))).unwrap();
        if remove {
            assert!(store.remove_empty_dir(&at("event_date=2026-01-31/hour=1")).unwrap());
        } else {
            disk.remove_dir(&lake().join("event_date=2026-01-31/hour=1")).unwrap();
        }
        block_on(put(&store, OBJECT, "rows", PutMode::Create)).unwrap();
        assert_eq!(found(&disk.power_loss()).unwrap(), "rows");
    }
}

/// What a disk must do, real or simulated.
fn contract(fs: &dyn Fs, root: &Path) {
    let path = |name: &str| root.join(name);
    let kind = |result: io::Result<()>| result.map_err(|e| e.kind());
    fs.create_dir_all(&path("d/e")).unwrap();
    fs.create_dir(&path("d")).unwrap();
    assert_eq!(kind(fs.create_dir(&path("x/y"))), Err(ErrorKind::NotFound));
    let mut file = fs.create(&path("d/a")).unwrap();
    file.write_all(b"hello ").unwrap();
    file.write_all(b"world").unwrap();
    file.sync().unwrap();
    assert_eq!(kind(fs.create(&path("d/a")).map(drop)), Err(ErrorKind::AlreadyExists));
    assert_eq!(kind(fs.create(&path("x/a")).map(drop)), Err(ErrorKind::NotFound));
    fs.truncate(&path("d/a"), 5).unwrap();
    file.write_all(b"!").unwrap();
    assert_eq!(fs.read(&path("d/a")).unwrap(), "hello!", "an open writer goes on at the new end");
    let open = fs.open(&path("d/a")).unwrap();
    assert_eq!((open.len(), open.read_at(1..3).unwrap()), (6, Bytes::from("el")));
    assert_eq!(open.read_at(4..7).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    fs.link(&path("d/a"), &path("d/b")).unwrap();
    assert_eq!(kind(fs.link(&path("d/a"), &path("d/b"))), Err(ErrorKind::AlreadyExists));
    assert_eq!(kind(fs.link(&path("d/none"), &path("d/c"))), Err(ErrorKind::NotFound));
    fs.rename(&path("d/b"), &path("d/e/b")).unwrap();
    fs.rename(&path("d/a"), &path("d/e/b")).unwrap();
    assert!(fs.stat(&path("d/a")).is_ok(), "renaming between two names of one file does nothing");
    fs.remove(&path("d/a")).unwrap();
    assert_eq!(kind(fs.rename(&path("d/a"), &path("d/e/b"))), Err(ErrorKind::NotFound));
    fs.create(&path("d/c")).unwrap();
    let listed: Vec<_> = fs.list(&path("d")).unwrap().into_iter().map(|e| (e.path, e.is_dir)).collect();
    assert_eq!(listed, [(path("d/c"), false), (path("d/e"), true)]);
    assert_eq!(fs.list(&path("d/c")).unwrap_err().kind(), ErrorKind::NotADirectory);
    assert_eq!(fs.list(&path("none")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs.stat(&path("d/e/b")).unwrap().len, 6);
    assert_eq!(fs.stat(&path("d/e")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs.open(&path("d/e")).unwrap_err().kind(), ErrorKind::NotFound);
    let open = fs.open(&path("d/e/b")).unwrap();
    assert_eq!(kind(fs.remove_dir(&path("d/e"))), Err(ErrorKind::DirectoryNotEmpty));
    fs.remove(&path("d/e/b")).unwrap();
    assert_eq!(kind(fs.remove(&path("d/e/b"))), Err(ErrorKind::NotFound));
    assert_eq!(open.read_at(0..6).unwrap(), "hello!", "readable until it is closed");
    fs.remove_dir(&path("d/e")).unwrap();
    fs.sync_dir(&path("d")).unwrap();
    assert_eq!(kind(fs.sync_dir(&path("d/e"))), Err(ErrorKind::NotFound));
}

#[test]
fn the_simulated_disk_is_like_the_real_one() {
    contract(&RealFs, tempfile::tempdir().unwrap().path());
    contract(&SimFs::new(), Path::new("/"));
}

#[test]
fn a_loss_of_power_takes_what_was_not_synced_and_nothing_else() {
    let disk = SimFs::new();
    let path = Path::new("/a");
    let mut file = disk.create(path).unwrap();
    file.write_all(b"synced").unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    file.write_all(b", not synced").unwrap();
    assert_eq!(disk.power_loss().read(path).unwrap(), "synced");
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let bytes = disk.power_loss_random(seed).read(path).unwrap();
        assert!(bytes.starts_with(b"synced"));
        assert!(bytes.iter().zip(b"synced, not synced").all(|(&found, &written)| found == written || found == 0));
        let hole = bytes.iter().filter(|&&b| b == 0).count();
        outcomes.insert((bytes.len(), hole, bytes.last() == Some(&0)));
    }
    assert!(outcomes.len() > 30, "all lengths, with zeros at the end and in the middle: {outcomes:?}");
    // A rename is one step: never both names, never none.
    disk.rename(path, Path::new("/b")).unwrap();
    let outcomes: std::collections::BTreeSet<_> =
        (0..20).map(|seed| disk.power_loss_random(seed).list(Path::new("/")).unwrap()[0].path.clone()).collect();
    assert_eq!(outcomes.len(), 2);
    // After a failed sync the next one succeeds, and what the first should have written is not there.
    disk.sync_dir(Path::new("/")).unwrap();
    disk.fail(Fault::once(On::Sync, 1, ErrorKind::Other));
    file.sync().unwrap_err();
    file.write_all(b"!").unwrap();
    file.sync().unwrap();
    assert_eq!(disk.read(Path::new("/b")).unwrap(), "synced, not synced!");
    assert_eq!(disk.power_loss().read(Path::new("/b")).unwrap(), [&b"synced"[..], &[0; 12], b"!"].concat());
}
