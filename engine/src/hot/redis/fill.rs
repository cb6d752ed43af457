//! The ids of a whole share, by plain commands: with millions of them the script that follows deltas (`seen.lua`) would
//! spend more time on reading its arguments than on writing. Adding an id again changes nothing, so these commands need
//! no transaction; what does need one, the way of a session that is there already, is left to the script.

use std::collections::HashMap;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Pipeline, Value, pipe};

use super::keys;
use super::write::{Seen, Writer, millis, ttl};
use super::{FUNNEL_STEPS, RedisWindows};
use crate::error::Result;
use crate::hot::delta::{SessionSeen, WindowDelta};
use crate::hot::funnel::{NEVER, Path};
use crate::hot::{Ids, MINUTE, Minute};

/// Ids in one pipeline: a few milliseconds of Redis's time. Others are served between its commands.
const IDS: usize = 500;

/// A share in pieces, by time: the ids of one go into the same few keys.
pub(super) fn pieces(share: &WindowDelta) -> impl Iterator<Item = Seen<'_>> {
    let mut users: Vec<_> = share.users.iter().map(|(id, user)| (&**id, user)).collect();
    let mut sessions: Vec<_> = share.sessions.iter().map(|(id, session)| (&**id, session)).collect();
    users.sort_unstable_by_key(|(_, user)| user.seen.last);
    sessions.sort_unstable_by_key(|(_, session)| session.seen.last);
    let users = chunks(users).map(|users| Seen { users, sessions: Vec::new() });
    users.chain(chunks(sessions).map(|sessions| Seen { users: Vec::new(), sessions }))
}

fn chunks<T>(items: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || {
        let chunk: Vec<T> = items.by_ref().take(IDS).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// What goes into each key, to be written with one command.
#[derive(Default)]
struct Members<'a> {
    scored: HashMap<String, Vec<(i64, &'a str)>>,
    plain: HashMap<String, Vec<&'a str>>,
}

impl Members<'_> {
    fn write(&self, pipe: &mut Pipeline, ttl: Minute) {
        for (key, members) in &self.scored {
            pipe.cmd("ZADD").arg(key).arg("GT").arg(members.as_slice()).ignore();
        }
        for (key, members) in &self.plain {
            pipe.cmd("SADD").arg(key).arg(members.as_slice()).ignore();
        }
        for key in self.scored.keys().chain(self.plain.keys()) {
            pipe.cmd("EXPIRE").arg(key).arg(ttl).ignore();
        }
    }
}

impl RedisWindows {
    /// Whether so many more users and sessions certainly fit, even if all of them are new.
    pub(super) async fn has_room(&self, users: usize, sessions: usize) -> Result<bool> {
        let cards = async |c: &mut MultiplexedConnection| {
            let mut pipe = pipe();
            for ids in [Ids::Users, Ids::Sessions] {
                pipe.cmd("ZCARD").arg(self.keys.last_seen(ids));
            }
            pipe.query_async::<(usize, usize)>(c).await
        };
        let there = self.writes.run(cards).await?;
        Ok(there.0 + users <= self.config.max_ids && there.1 + sessions <= self.config.max_ids)
    }

    /// Adds ids for which there is room. Estimates are not touched: a share brings its own.
    pub(super) async fn add_ids(&self, writer: &Writer<'_>, ids: &Seen<'_>) -> Result<()> {
        let ttl = ttl(&self.config);
        let (mut members, mut pipe) = (Members::default(), pipe());
        for (id, user) in &ids.users {
            let minutes = writer.live(&user.seen.minutes);
            if minutes.is_empty() {
                continue;
            }
            self.add_id(&mut members, Ids::Users, id, millis(user.seen.last), minutes);
            let live = user.sessions.iter().filter(|(_, last)| **last >= writer.floor * MINUTE);
            let sessions: Vec<(i64, &str)> = live.map(|(session, last)| (millis(*last), &**session)).collect();
            if !sessions.is_empty() {
                let key = self.keys.sessions_of(id);
                pipe.cmd("ZADD").arg(&key).arg("GT").arg(sessions).ignore();
                pipe.cmd("EXPIRE").arg(&key).arg(ttl).ignore();
            }
        }
        let mut walking = Vec::new();
        for (id, session) in &ids.sessions {
            let minutes = writer.live(&session.seen.minutes);
            if minutes.is_empty() {
                continue;
            }
            self.add_id(&mut members, Ids::Sessions, id, millis(session.seen.last), minutes);
            for minute in writer.live(&session.converted) {
                members.plain.entry(self.keys.of_minute("c", *minute)).or_default().push(id);
            }
            let path = path(session, writer.floor);
            if path.steps().next().is_none() {
                continue;
            }
            walking.push((*id, *session));
            pipe.cmd("SET").arg(self.keys.path(id)).arg(packed(&path)).arg("NX").arg("EX").arg(ttl);
            for (step, start) in path.starts().into_iter().enumerate().filter(|(_, start)| *start != NEVER) {
                members.scored.entry(self.keys.funnel(step)).or_default().push((millis(start), id));
            }
        }
        members.write(&mut pipe, ttl);
        let new: Vec<Value> = self.writes.run(async |c| pipe.query_async(c).await).await?;
        // Another node knows something of these, or this one did before: their ways are united where they are.
        let known = walking.into_iter().zip(new).filter(|(_, set)| *set == Value::Nil).map(|(session, _)| session);
        let known = Seen { users: Vec::new(), sessions: known.collect() };
        self.call_all(writer.seen_of(&known)).await
    }

    fn add_id<'a>(&self, members: &mut Members<'a>, ids: Ids, id: &'a str, last: i64, minutes: &[Minute]) {
        let kind = if ids == Ids::Users { "u" } else { "s" };
        members.scored.entry(self.keys.last_seen(ids)).or_default().push((last, id));
        for minute in minutes {
            members.plain.entry(self.keys.of_minute(kind, *minute)).or_default().push(id);
        }
    }
}

/// A session's way, as far as it is in the window.
fn path(session: &SessionSeen, floor: Minute) -> Path {
    let mut path = Path::default();
    let live = session.steps.iter().filter(|(time, _)| *time >= floor * MINUTE);
    live.for_each(|(time, step)| path.add(*time, *step));
    path
}

/// As `seen.lua` reads it, in MessagePack: `{ starts = { … }, steps = { … } }`.
fn packed(path: &Path) -> Vec<u8> {
    const MAP_OF_2: u8 = 0x82;
    let mut bytes = vec![MAP_OF_2];
    text(&mut bytes, "starts");
    let starts = path.starts().map(|start| if start == NEVER { keys::NEVER } else { millis(start) });
    array(&mut bytes, &starts);
    text(&mut bytes, "steps");
    array(&mut bytes, path.packed_steps());
    bytes
}

/// A text of fewer than 32 bytes.
fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(0xa0 | text.len().min(31) as u8);
    bytes.extend_from_slice(text.as_bytes());
}

/// Integers as 64 bits each.
fn array(bytes: &mut Vec<u8>, values: &[i64]) {
    const ARRAY_16: u8 = 0xdc;
    const INT_64: u8 = 0xd3;
    bytes.push(ARRAY_16);
    // A way has at most 64 steps.
    bytes.extend_from_slice(&u16::try_from(values.len()).unwrap_or(u16::MAX).to_be_bytes());
    for value in values {
        bytes.push(INT_64);
        bytes.extend_from_slice(&value.to_be_bytes());
    }
}

const _: () = assert!(FUNNEL_STEPS.len() == 4, "a step takes two bits beside its time, here as in the script");
