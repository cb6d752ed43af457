//! The keys of a data folder: `keys.json`, with the SHA-256 of each, never the key itself.
//!
//! A change is durable before it is in effect, and in effect before it is answered. Only the holder of the folder's
//! lock writes the file: a running server, or a command on a stopped folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tideline_engine::clock::{Clock, Micros};
use tideline_engine::error::{Error, Kind, Result};
use tideline_engine::fs::{Fs, write_durably};

use super::scope::{Scope, Scopes};
use super::secret::{Digest, random_key};
use crate::config::Period;

/// The file's name in the data folder.
pub const FILE: &str = "keys.json";
/// The version of the file.
const FORMAT: u32 = 1;
/// Keys in a folder, those included that are no longer good.
pub const MAX_KEYS: usize = 1_000;
const MAX_NAME: usize = 100;

/// A moment, written as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub Micros);

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = DateTime::parse_from_rfc3339(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(time.timestamp_micros()))
    }
}

/// Limits of one key, instead of those of the settings; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyLimits {
    /// Requests in a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Events in a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u32>,
}

/// What a new key is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// How long it is good; for ever when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Period>,
    /// Its own limits.
    #[serde(default)]
    pub limits: KeyLimits,
}

/// A key, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Names it in lists and logs.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Stamp,
    /// From when on it is no longer good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Stamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Stamp>,
    /// Its own limits.
    #[serde(default)]
    pub limits: KeyLimits,
    sha256: String,
}

/// Whether a key is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is.
    Active,
    /// Not since it was revoked.
    Revoked,
    /// Not since its time was over.
    Expired,
}

impl KeyRecord {
    /// Whether it is good at `now`.
    pub fn state(&self, now: Micros) -> State {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => State::Revoked,
            (None, Some(Stamp(end))) if now >= end => State::Expired,
            _ => State::Active,
        }
    }

    /// What lists show of it.
    pub fn view(&self, now: Micros) -> KeyView {
        KeyView {
            id: self.id.clone(),
            name: self.name.clone(),
            state: self.state(now),
            scopes: self.scopes,
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            limits: self.limits,
            key: None,
        }
    }
}

/// What lists show of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyView {
    /// Names it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether it is good.
    pub state: State,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Stamp,
    /// From when on it is no longer good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Stamp>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Stamp>,
    /// Its own limits.
    pub limits: KeyLimits,
    /// The key itself: only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: u32,
    keys: Vec<KeyRecord>,
}

/// The keys in memory; replaced as a whole.
#[derive(Debug, Default)]
struct Table {
    keys: Vec<Arc<KeyRecord>>,
    by_head: HashMap<[u8; 8], Vec<(Digest, usize)>>,
    by_id: HashMap<String, usize>,
}

impl Table {
    /// `None` when a digest does not read.
    fn of(keys: Vec<KeyRecord>) -> Option<Self> {
        let mut table = Self::default();
        for (at, key) in keys.into_iter().enumerate() {
            let digest = Digest::from_hex(&key.sha256)?;
            table.by_head.entry(digest.head()).or_default().push((digest, at));
            table.by_id.insert(key.id.clone(), at);
            table.keys.push(Arc::new(key));
        }
        Some(table)
    }
}

/// The keys of a data folder.
#[derive(Debug)]
pub struct KeyStore {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    table: RwLock<Arc<Table>>,
    /// One change at a time.
    changing: Mutex<()>,
}

impl KeyStore {
    /// Reads the keys of a data folder. One without a file has none.
    ///
    /// # Errors
    /// `Corrupt` when the file is not what was written.
    pub fn open(fs: Arc<dyn Fs>, data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = data_dir.join(FILE);
        let table = match fs.read(&path) {
            Ok(bytes) => read(&bytes, &path)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Table::default(),
            Err(e) => {
                let error = Error::from(e).context(format!("cannot read {}", path.display()));
                return Err(
                    error.with_hint("run as the folder's owner, or name a folder this user may use with --data-dir")
                );
            }
        };
        Ok(Self { fs, path, clock, table: RwLock::new(Arc::new(table)), changing: Mutex::default() })
    }

    /// Reads the file again: before the folder's lock was held, somebody else may have written it.
    ///
    /// # Errors
    /// As [`KeyStore::open`].
    pub fn reload(&self) -> Result<()> {
        let data_dir = self.path.parent().unwrap_or(Path::new("/"));
        let fresh = Self::open(Arc::clone(&self.fs), data_dir, Arc::clone(&self.clock))?;
        *self.table.write() = fresh.table.into_inner();
        Ok(())
    }

    /// Whether requests need a key: there is or was one.
    pub fn are_required(&self) -> bool {
        !self.table().keys.is_empty()
    }

    /// Whether any key is good now.
    pub fn any_active(&self) -> bool {
        let now = self.clock.now();
        self.table().keys.iter().any(|key| key.state(now) == State::Active)
    }

    /// The key of this text, whatever its state.
    pub fn find(&self, text: &str) -> Option<Arc<KeyRecord>> {
        let digest = Digest::of(text);
        let table = self.table();
        let (_, at) = table.by_head.get(&digest.head())?.iter().find(|(known, _)| *known == digest)?;
        table.keys.get(*at).cloned()
    }

    /// The key of this id, whatever its state.
    pub fn get(&self, id: &str) -> Option<Arc<KeyRecord>> {
        let table = self.table();
        table.by_id.get(id).and_then(|at| table.keys.get(*at)).cloned()
    }

    /// Every key, oldest first.
    pub fn list(&self) -> Vec<KeyView> {
        let now = self.clock.now();
        self.table().keys.iter().map(|key| key.view(now)).collect()
    }

    /// Makes a key. The answer is the only place that ever holds it.
    ///
    /// # Errors
    /// `invalid_key` for a name or scopes that cannot be; `too_many_keys`; when it cannot be written.
    pub fn create(&self, new: NewKey) -> Result<KeyView> {
        let name = new.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            let message = format!("the name of a key has 1 to {MAX_NAME} characters on one line");
            return Err(Error::invalid("invalid_key", message).with_hint("say who will use it, like `web shop`"));
        }
        if new.scopes.is_empty() {
            return Err(Error::invalid("invalid_key", "a key needs at least one scope")
                .with_hint("ingest sends events, read asks for them, admin may do everything"));
        }
        let now = self.clock.now();
        let expires_at = new.expires_in.map(|period| {
            let period = i64::try_from(period.0.as_micros()).unwrap_or(i64::MAX);
            Stamp(now.saturating_add(period))
        });
        if expires_at.is_some_and(|end| end.0 <= now || DateTime::from_timestamp_micros(end.0).is_none()) {
            return Err(Error::invalid("invalid_key", "a key cannot expire at that time")
                .with_hint("give a span of time like 90d, or none for a key that does not expire"));
        }
        let secret = random_key();
        let record = KeyRecord {
            id: format!("k_{}", &uuid::Uuid::new_v4().simple().to_string()[..12]),
            name,
            scopes: new.scopes,
            created_at: Stamp(now),
            expires_at,
            revoked_at: None,
            limits: new.limits,
            sha256: Digest::of(&secret).to_hex(),
        };
        let view = record.view(now);
        self.change(|keys| {
            if keys.len() >= MAX_KEYS {
                // Those that are no longer good are kept to tell their users why; not at the cost of new ones.
                let past = keys.iter().position(|key| key.state(now) != State::Active);
                keys.remove(past.ok_or_else(|| {
                    Error::invalid("too_many_keys", format!("there are {MAX_KEYS} keys already"))
                        .with_hint("revoke one that nobody uses")
                })?);
            }
            keys.push(record);
            Ok(())
        })?;
        Ok(KeyView { key: Some(secret), ..view })
    }

    /// Revokes a key: from now on it is refused. Again is fine.
    ///
    /// # Errors
    /// `key_not_found`; when it cannot be written.
    pub fn revoke(&self, id: &str) -> Result<KeyView> {
        let now = self.clock.now();
        self.change(|keys| {
            let key = keys.iter_mut().find(|key| key.id == id).ok_or_else(|| {
                Error::new(Kind::NotFound, "key_not_found", "there is no key of this id")
                    .with_hint("`tideline keys list` shows the ids; the key itself is not its id")
            })?;
            key.revoked_at.get_or_insert(Stamp(now));
            Ok(key.view(now))
        })
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read())
    }

    /// Changes the keys: first on disk, then in memory.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<KeyRecord>) -> Result<T>) -> Result<T> {
        let _one = self.changing.lock();
        let mut keys: Vec<KeyRecord> = self.table().keys.iter().map(|key| (**key).clone()).collect();
        let answer = change(&mut keys)?;
        let file = File { format: FORMAT, keys };
        let bytes = serde_json::to_vec_pretty(&file).map_err(|e| Error::internal(e.to_string()))?;
        let cannot = |e: std::io::Error| Error::from(e).context(format!("cannot write {}", self.path.display()));
        write_durably(&*self.fs, &self.path, &bytes).map_err(cannot)?;
        self.fs.make_private(&self.path).map_err(cannot)?;
        let table = Table::of(file.keys).ok_or_else(|| Error::internal("a digest of our own does not read back"))?;
        *self.table.write() = Arc::new(table);
        Ok(answer)
    }
}

fn read(bytes: &[u8], path: &Path) -> Result<Table> {
    let damaged = |why: &str| {
        Error::corrupt(format!("{} cannot be read: {why}", path.display()))
            .with_hint("restore it from a backup; without it anybody who reaches the server may do everything")
    };
    let format = |value: &serde_json::Value| value.get("format")?.as_u64();
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| damaged(&e.to_string()))?;
    match format(&value) {
        Some(format) if format > u64::from(FORMAT) => {
            let message = format!("{} has format {format}, this build reads up to {FORMAT}", path.display());
            return Err(Error::new(Kind::Invalid, "newer_format", message).with_hint("use a newer tideline"));
        }
        _ => {}
    }
    let file: File = serde_json::from_value(value).map_err(|e| damaged(&e.to_string()))?;
    Table::of(file.keys).ok_or_else(|| damaged("a digest is not 64 hex digits"))
}

/// Whether the first key of a server may be this one: without `admin` nobody could make a second.
pub fn may_be_first(new: &NewKey) -> Result<()> {
    if new.scopes.allow(Scope::Admin) {
        return Ok(());
    }
    Err(Error::invalid("first_key_not_admin", "the first key must have the scope admin, or nobody could make others")
        .with_hint("tideline keys create --name admin --scopes admin"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tideline_engine::clock::ManualClock;
    use tideline_engine::fs::{RealFs, SimFs};

    struct Folder {
        dir: tempfile::TempDir,
        clock: Arc<ManualClock>,
    }

    impl Folder {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
            Self { dir: tempfile::tempdir().unwrap(), clock }
        }

        fn open(&self) -> Result<KeyStore> {
            KeyStore::open(Arc::new(RealFs), self.dir.path(), Arc::clone(&self.clock) as _)
        }
    }

    fn new(name: &str, scopes: &[Scope]) -> NewKey {
        let scopes = scopes.iter().copied().collect();
        NewKey { name: name.to_owned(), scopes, expires_in: None, limits: KeyLimits::default() }
    }

    #[test]
    fn keys_survive_a_restart_and_are_stored_as_digests_only() {
        let folder = Folder::new();
        let store = folder.open().unwrap();
        assert!(!store.are_required());
        let made = store.create(new(" shop ", &[Scope::Ingest])).unwrap();
        let secret = made.key.unwrap();
        let text = std::fs::read_to_string(folder.dir.path().join(FILE)).unwrap();
        assert!(!text.contains(&secret[3..]) && text.contains(&Digest::of(&secret).to_hex()));
        for store in [store, folder.open().unwrap()] {
            let found = store.find(&secret).unwrap();
            assert_eq!((found.id.as_str(), found.name.as_str(), found.scopes), (&*made.id, "shop", made.scopes));
            assert!(store.find("tl_x").is_none() && store.find("").is_none());
            assert!(store.list().iter().all(|view| view.key.is_none()));
        }
    }

    #[test]
    fn a_revoked_or_expired_key_is_known_for_what_it_is_and_keys_stay_required() {
        let folder = Folder::new();
        let store = folder.open().unwrap();
        let revoked = store.create(new("a", &[Scope::Read])).unwrap();
        let expiring = NewKey { expires_in: Some(Period::secs(60)), ..new("b", &[Scope::Read]) };
        let expiring = store.create(expiring).unwrap();
        assert!(store.any_active());
        let first = store.revoke(&revoked.id).unwrap().revoked_at;
        folder.clock.advance(Duration::from_secs(60));
        assert_eq!(store.revoke(&revoked.id).unwrap().revoked_at, first, "the first time counts");
        for store in [store, folder.open().unwrap()] {
            let state = |key: &Option<String>| store.find(key.as_deref().unwrap()).unwrap().state(folder.clock.now());
            assert_eq!((state(&revoked.key), state(&expiring.key)), (State::Revoked, State::Expired));
            assert!(store.are_required() && !store.any_active());
            assert_eq!(store.revoke("k_nobody").unwrap_err().code, "key_not_found");
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        let store = Folder::new().open().unwrap();
        let long = "x".repeat(MAX_NAME + 1);
        for key in [new("  ", &[Scope::Read]), new("a\nb", &[Scope::Read]), new(&long, &[Scope::Read]), new("a", &[])] {
            assert_eq!(store.create(key).unwrap_err().code, "invalid_key");
        }
        for seconds in [0, u64::MAX / 1_000_000] {
            let key = NewKey { expires_in: Some(Period::secs(seconds)), ..new("a", &[Scope::Read]) };
            assert_eq!(store.create(key).unwrap_err().code, "invalid_key", "{seconds}");
        }
        assert!(!store.are_required());
    }

    #[test]
    fn the_number_of_keys_is_limited_and_those_that_are_past_make_room() {
        let folder = Folder::new();
        let store = folder.open().unwrap();
        // Written at once: a thousand durable changes take long.
        let records = (0..MAX_KEYS).map(|n| KeyRecord {
            id: format!("k_{n}"),
            name: "n".to_owned(),
            scopes: Scopes::ALL,
            created_at: Stamp(0),
            expires_at: None,
            revoked_at: None,
            limits: KeyLimits::default(),
            sha256: Digest::of(&n.to_string()).to_hex(),
        });
        *store.table.write() = Arc::new(Table::of(records.collect()).unwrap());
        assert_eq!(store.create(new("a", &[Scope::Read])).unwrap_err().code, "too_many_keys");
        store.revoke("k_7").unwrap();
        store.create(new("a", &[Scope::Read])).unwrap();
        assert_eq!((store.list().len(), store.get("k_7").is_none()), (MAX_KEYS, true));
    }

    #[test]
    fn a_loss_of_power_takes_back_no_key_and_no_revocation() {
        let dir = Path::new("/data");
        let sim = SimFs::new();
        sim.create_dir_all(dir).unwrap();
        let open = |sim: &SimFs| KeyStore::open(Arc::new(sim.clone()), dir, Folder::new().clock).unwrap();
        let made = open(&sim).create(new("a", &[Scope::Read])).unwrap();
        let sim = sim.power_loss();
        let found = open(&sim).find(made.key.as_deref().unwrap()).expect("the key was answered and is gone");
        assert_eq!(found.revoked_at, None);
        open(&sim).revoke(&made.id).unwrap();
        assert!(open(&sim.power_loss()).get(&made.id).unwrap().revoked_at.is_some());
    }

    #[test]
    fn a_damaged_or_newer_file_is_never_taken_for_no_keys() {
        let folder = Folder::new();
        folder.open().unwrap().create(new("a", &[Scope::Read])).unwrap();
        let path = folder.dir.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        for (broken, code) in [
            (text[..text.len() / 2].to_owned(), "corrupt"),
            (String::new(), "corrupt"),
            ("{}".to_owned(), "corrupt"),
            (text.replacen("\"sha256\": \"", "\"sha256\": \"zz", 1), "corrupt"),
            (text.replace("\"format\": 1", "\"format\": 2"), "newer_format"),
        ] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(folder.open().unwrap_err().code, code);
        }
    }
}
