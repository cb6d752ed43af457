//! The log: what it keeps, over restarts and losses of power, and within its limits.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::clock::HOUR;
use crate::error::Kind;
use crate::fs::SimFs;

const NOW: Micros = 1_772_323_200_000_000;

fn disk() -> SimFs {
    let disk = SimFs::new();
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk
}

fn open_with(disk: &SimFs, limits: AlertLimits, targets: &[&str]) -> Result<AlertLog> {
    let targets = targets.iter().map(|&t| t.to_owned()).collect();
    AlertLog::open(Arc::new(disk.clone()), Path::new("/data"), limits, targets)
}

fn open(disk: &SimFs) -> AlertLog {
    open_with(disk, AlertLimits::default(), &["a", "b"]).unwrap()
}

fn opening(rule: &str, key: Option<&str>) -> Opening {
    Opening {
        rule: rule.to_owned(),
        key: key.map(str::to_owned),
        severity: Severity::Critical,
        message: format!("{rule} is wrong"),
        value: 0.5,
        threshold: 1.0,
    }
}

#[test]
fn what_is_open_is_open_after_a_loss_of_power_and_opens_once() {
    let disk = disk();
    let log = open(&disk);
    let first = log.raise(opening("r", Some("k")), NOW).unwrap();
    log.raise(opening("r", None), NOW + 1_000).unwrap();
    assert_eq!(log.raise(opening("r", Some("k")), NOW + HOUR).unwrap(), first, "it is the same alert");
    let closed = log.close("r", None, Closed::Recovered, NOW + 2_000).unwrap().unwrap();
    assert_eq!((closed.closed_at, closed.closed_because), (Some(NOW + 2_000), Some(Closed::Recovered)));
    assert_eq!(log.close("r", None, Closed::Recovered, NOW + 3_000).unwrap(), None);
    let (all, revision) = (log.all(), log.revision());
    assert_eq!((all.len(), revision), (2, 3));

    let log = open(&disk.power_loss());
    assert_eq!((log.all(), log.revision()), (all, revision));
    assert_eq!(log.open_ones(), [Arc::clone(&first)]);
    assert_eq!(log.raise(opening("r", Some("k")), NOW + HOUR).unwrap(), first, "nor does a restart open it again");
    assert_ne!(log.raise(opening("r", None), NOW + HOUR).unwrap().id, closed.id, "this is another one");
}

#[test]
fn what_cannot_be_written_has_not_happened() {
    let disk = disk();
    let log = open(&disk);
    disk.fail(crate::fs::sim::Fault::once(crate::fs::sim::On::Sync, 1, std::io::ErrorKind::StorageFull));
    assert!(log.raise(opening("r", None), NOW).is_err());
    assert_eq!((log.all().len(), log.revision(), log.next_notice("a")), (0, 0, None));
    disk.heal();
    log.raise(opening("r", None), NOW).unwrap();
    assert_eq!(open(&disk.power_loss()).open_ones().len(), 1);
}

#[test]
fn notices_are_written_with_their_alert_and_come_in_order() {
    let disk = disk();
    let log = open(&disk);
    let alert = log.raise(opening("r", None), NOW).unwrap();
    log.close("r", None, Closed::Recovered, NOW + HOUR).unwrap();
    let disk = disk.power_loss();
    let log = open(&disk);
    let first = log.next_notice("a").unwrap();
    assert_eq!((first.id.as_str(), first.event), (format!("{}.opened", alert.id).as_str(), NoticeEvent::Opened));
    let body: serde_json::Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!((&body["event"], &body["alert"]["rule"]), (&"alert.opened".into(), &"r".into()));
    assert_eq!(body["alert"]["opened_at"], "2026-03-01T00:00:00.000Z");
    assert!(body["alert"].get("closed_at").is_none(), "{body}");

    // One receiver has it, the other does not answer: it keeps its place, and is given up in the end.
    log.sent(&log.next_notice("b").unwrap()).unwrap();
    assert_eq!(log.next_notice("b").unwrap().event, NoticeEvent::Closed);
    log.not_sent(&first, "503", Some(NOW + 5_000)).unwrap();
    let disk = disk.power_loss();
    let log = open(&disk);
    let again = log.next_notice("a").unwrap();
    assert_eq!((&again.id, again.attempts, again.next_at, &again.body), (&first.id, 1, NOW + 5_000, &first.body));
    log.not_sent(&again, "503", None).unwrap();
    assert_eq!(log.next_notice("a").unwrap().event, NoticeEvent::Closed);
    assert_eq!(log.dead_notices().iter().map(|n| (n.attempts, n.dead)).collect::<Vec<_>>(), [(2, true)]);
    let counts = log.counts();
    assert_eq!((counts.notices_pending, counts.notices_dead), (2, 1));
    log.sent(&again).unwrap();
    assert_eq!(log.counts(), counts, "what was given up stays so");

    // Those who are no longer told.
    let log = open_with(&disk, AlertLimits::default(), &["b"]).unwrap();
    assert_eq!((log.forget_other_targets().unwrap(), log.forget_other_targets().unwrap()), (1, 0));
    assert!(log.next_notice("a").is_none() && log.next_notice("b").is_some());
}

#[test]
fn it_keeps_what_it_may_and_says_what_it_dropped() {
    let disk = disk();
    let limits = AlertLimits { kept: 5, open: 3, notices: 4 };
    let log = open_with(&disk, limits.clone(), &["a"]).unwrap();
    for n in 0..8 {
        log.raise(opening("r", None), NOW + n).unwrap();
        log.close("r", None, Closed::Lapsed, NOW + n).unwrap();
    }
    let counts = log.counts();
    assert_eq!((counts.open, counts.closed, counts.dropped), (0, 5, 3));
    assert_eq!((counts.notices_pending, counts.notices_dropped), (4, 12));
    assert_eq!(log.next_notice("a").unwrap().created_at, NOW + 6, "the oldest went");
    for key in ["x", "y", "z"] {
        log.raise(opening("r", Some(key)), NOW + HOUR).unwrap();
    }
    let error = log.raise(opening("r", None), NOW + HOUR).unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Busy, "too_many_alerts"));
    let log = open_with(&disk, limits, &["a"]).unwrap();
    assert_eq!((log.counts().open, log.counts().closed, log.counts().dropped), (3, 2, 6));
}

#[test]
fn damage_and_a_later_format_are_refused() {
    for (text, code) in
        [("{", "corrupt"), ("[]", "corrupt"), ("{\"format\":1}", "corrupt"), ("{\"format\":2}", "newer_format")]
    {
        let disk = disk();
        open(&disk).raise(opening("r", None), NOW).unwrap();
        disk.overwrite(&Path::new("/data").join(FILE), text.as_bytes()).unwrap();
        let error = open_with(&disk, AlertLimits::default(), &[]).unwrap_err();
        assert_eq!(error.code, code, "{text}");
        assert!(error.message.contains(FILE) && error.hint.is_some(), "{error}");
    }
}
