//! Data folders of released formats (`tests/formats`, made by `tests/formats/make.sh`): each is opened by this build, with
//! its figures, goes on, and forgets a person whom the log of its table names in bounds that are no longer written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Server;

fn folders() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats");
    let mut found: Vec<_> = fs::read_dir(all).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file's bytes that are not Parquet's.
fn plain_bytes(dir: &Path, into: &mut Vec<u8>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            plain_bytes(&path, into);
        } else if path.extension().is_none_or(|e| e != "parquet") {
            into.extend(fs::read(path).unwrap());
        }
    }
}

#[test]
fn a_folder_of_every_released_format_opens_with_its_figures() {
    for folder in folders() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        copy_tree(&folder, &data);
        let server = Server::start(&data, &[]);
        let shown = folder.display();
        let figures = "SELECT event_date, event_type, count(*), count(DISTINCT user_id), sum(revenue), count(properties) \
                       FROM events GROUP BY 1, 2 ORDER BY 1, 2";
        assert_eq!(
            server.csv(figures),
            [
                "2026-03-01,page_view,80,9,,0",
                "2026-03-01,purchase,8,8,,8",
                "2026-03-02,page_view,82,9,,0",
                "2026-03-02,purchase,8,8,,8"
            ],
            "{shown}"
        );
        assert_eq!(server.csv("SELECT sum(value), count(*) FROM orders"), ["400.0000,16"], "{shown}");
        assert_eq!(server.csv("SELECT code, count(*) FROM dead_letters GROUP BY 1"), ["missing_field,1"], "{shown}");
        let again = r#"{"event_id":"p1","event_type":"page_view","event_ts":"2026-03-01T10:01:00Z","session_id":"s0","user_id":"u0","page":"/p/1"}"#;
        let (_, receipt) = Server::post(&server.url, again).unwrap();
        assert_eq!(receipt["duplicates"], 1, "{shown}: {receipt}");
        let mut before = Vec::new();
        plain_bytes(&data, &mut before);
        let names = |bytes: &[u8]| bytes.windows(4).any(|w| w == br#"u0\""#);
        assert!(names(&before), "{shown}: the log's bounds do not name anybody, so nothing is tried");
        let erased = Command::new(env!("CARGO_BIN_EXE_tideline"))
            .args(["erase", "--user-id", "u0", "--json", "--url", &server.url])
            .output()
            .unwrap();
        assert!(erased.status.success(), "{shown}: {erased:?}");
        let mut after = Vec::new();
        plain_bytes(&data, &mut after);
        assert!(!names(&after), "{shown}: the log still names the person");
        assert_eq!(server.csv("SELECT count(*), count(user_id) FROM events"), ["178,169"], "{shown}");
        assert_eq!(server.csv("SELECT sum(value), count(*) FROM orders"), ["400.0000,16"], "{shown}");
    }
}
