//! Several nodes on one Redis, and what only a Redis can do: refuse, be full, hold something else.

use std::sync::Arc;

use tideline_engine::event::Seq;
use tideline_engine::hot::{
    Applied, Counts, HotConfig, HotWindow as _, Ids, MINUTE, MemoryWindows, RedisWindows, WindowDelta, minute_of,
};

use super::events::{Event, NOON, answers, assert_same, delta};
use super::{Backend as _, InRedis};

/// Memory that has what two nodes have.
fn union(deltas: &[&WindowDelta]) -> MemoryWindows {
    let memory = MemoryWindows::new(HotConfig::default(), Seq::ZERO);
    deltas.iter().for_each(|delta| memory.fill(delta, NOON));
    memory
}

fn events(count: u8, salt: u8) -> Vec<Event> {
    let event = |n: u8| Event {
        kind: usize::from(n.wrapping_mul(5).wrapping_add(salt) % 8),
        thing: n % 7,
        order: (!n.is_multiple_of(3)).then_some(n % 4),
        revenue: (n % 5 > 1).then_some(i32::from(n) * 1_001),
        ..Event::view((n + salt) % 9, i64::from(n) * 13)
    };
    (0..count).map(event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_add_up_to_their_union() {
    let redis = InRedis::start();
    let (a, b) = (redis.node(HotConfig::default(), "0000000a"), redis.node(HotConfig::default(), "0000000b"));
    // Some users, sessions and orders are seen by both.
    let (of_a, of_b) = (delta(&events(120, 0), 0, NOON), delta(&events(90, 4), 0, NOON));
    a.apply(&of_a, NOON).await.unwrap();
    let mut later = of_b.clone();
    // Positions of two nodes do not compare; here b's are all later.
    later.minutes.values_mut().flat_map(|m| m.orders.values_mut()).flatten().for_each(|o| o.seq = o.seq.plus(1_000));
    b.apply(&later, NOON).await.unwrap();
    let memory = union(&[&of_a, &later]);
    for node in [&a, &b] {
        let applied = node.applied().await.unwrap().0;
        assert!(applied == 120 || applied == 90);
        let (mut theirs, mut ours) = (answers(node, NOON).await, answers(&memory, NOON).await);
        // The last one is the node's own position.
        theirs.pop();
        ours.pop();
        assert_eq!(theirs, ours);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_is_rebuilt_while_another_counts_and_nobody_sees_a_part() {
    let redis = InRedis::start();
    let node = |id: &str| Arc::new(redis.node(HotConfig::default(), id));
    let (a, b, reader) = (node("0000000a"), node("0000000b"), node("0000000c"));
    let first = delta(&events(200, 1), 0, NOON);
    a.apply(&first, NOON).await.unwrap();
    let share = union(&[&first]).share();
    let events_of = async |windows: &RedisWindows| {
        let kpis = windows.kpis(0, i64::MAX, NOON).await.unwrap();
        let mut counts = Counts::default();
        kpis.iter().for_each(|k| counts.add(&k.counts));
        counts.events
    };
    let other = tokio::spawn({
        let b = Arc::clone(&b);
        async move {
            for n in 0..100 {
                let one = delta(&[Event::view(3, 0)], n, NOON);
                assert_eq!(b.apply(&one, NOON).await.unwrap(), Applied::Yes);
            }
        }
    });
    let rebuilt = tokio::spawn({
        let a = Arc::clone(&a);
        async move {
            for _ in 0..10 {
                let mut share = share.clone();
                share.last = Seq(200);
                a.replace(&share, NOON).await.unwrap();
            }
        }
    });
    let mut seen = 200;
    while !other.is_finished() || !rebuilt.is_finished() {
        let now = events_of(&reader).await;
        assert!((seen..=300).contains(&now), "{now} events after {seen}");
        seen = now;
    }
    other.await.unwrap();
    rebuilt.await.unwrap();
    assert_eq!(events_of(&reader).await, 300);
    assert_eq!((a.applied().await.unwrap(), b.applied().await.unwrap()), (Seq(200), Seq(100)));
    // One generation of each node is left.
    let ::redis::Value::Array(keys) = redis.command(&["KEYS", "{tl}:n:0000000a:*:m:*"]) else { panic!("no keys") };
    let minutes = share_minutes(&first);
    assert_eq!(keys.len(), minutes, "{keys:?}");
}

fn share_minutes(delta: &WindowDelta) -> usize {
    let mut minutes: Vec<i64> = delta.minutes.keys().copied().collect();
    minutes.push(minute_of(NOON));
    minutes.sort_unstable();
    minutes.dedup();
    minutes.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_expires_and_has_the_hash_tag() {
    let redis = InRedis::start();
    let node = redis.node(HotConfig::default(), "0000000a");
    node.apply(&delta(&events(250, 2), 0, NOON), NOON).await.unwrap();
    let ::redis::Value::Array(keys) = redis.command(&["KEYS", "*"]) else { panic!("no keys") };
    assert!(keys.len() > 100, "{}", keys.len());
    for key in keys {
        let key: String = ::redis::from_redis_value(key).unwrap();
        assert!(key.starts_with("{tl}:"), "{key}");
        let ttl: i64 = ::redis::from_redis_value(redis.command(&["TTL", &key])).unwrap();
        assert!((3_600..2 * 3_600).contains(&ttl), "{key} lives for {ttl} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_and_a_foreign_key_refuse_a_delta_as_a_whole() {
    let redis = InRedis::start();
    let node = redis.node(HotConfig::default(), "0000000a");
    let (first, second) = (delta(&events(50, 0), 0, NOON), delta(&events(60, 3), 50, NOON));
    node.apply(&first, NOON).await.unwrap();
    let before = answers(&node, NOON).await;
    redis.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let full = node.apply(&second, NOON).await.unwrap_err();
    assert_eq!(full.code, "redis_full", "{full}");
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(answers(&node, NOON).await, before);
    // Of the last key that is written to, so that all others would have been written before.
    let minute = minute_of(NOON);
    redis.command(&["SET", &format!("{{tl}}:ob4:{}", minute + 2), "not ours"]);
    let late = Event { order: Some(1), revenue: Some(5), ..Event::purchase(1, -120, Some(1), Some(5)) };
    let mut only_counters = delta(&[late], 50, NOON);
    (only_counters.users, only_counters.sessions) = Default::default();
    let refused = node.apply(&only_counters, NOON).await.unwrap_err();
    assert!(refused.message.contains("is a string, not a hash"), "{refused}");
    redis.command(&["DEL", &format!("{{tl}}:ob4:{}", minute + 2)]);
    assert_eq!(answers(&node, NOON).await, before);
    assert_eq!(node.apply(&second, NOON).await.unwrap(), Applied::Yes);
    assert_same(&node, &of_node(&[&first, &second]).await, NOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_lost_a_share_gives_no_answer_until_it_is_back() {
    let redis = InRedis::start();
    let (a, b) = (redis.node(HotConfig::default(), "0000000a"), redis.node(HotConfig::default(), "0000000b"));
    let first = delta(&events(50, 0), 0, NOON);
    a.apply(&first, NOON).await.unwrap();
    redis.command(&["FLUSHALL"]);
    assert_eq!(a.active(Ids::Users, 0).await.unwrap_err().code, "redis_lost_data");
    assert_eq!(a.kpis(0, i64::MAX, NOON).await.unwrap_err().code, "redis_lost_data");
    assert!(b.active(Ids::Users, 0).await.is_ok(), "it has nothing there that could be missing");
    let memory = of_node(&[&first]).await;
    a.announce(NOON).await.unwrap();
    assert!(b.active(Ids::Users, 0).await.is_ok());
    assert!(b.is_lacking() && !a.is_lacking(), "what is missing of another node is known");
    a.replace(&memory.share(), NOON).await.unwrap();
    assert_same(&a, &memory, NOON).await;
    b.look_at_others().await.unwrap();
    assert!(!b.is_lacking());
    a.announce(NOON).await.unwrap();
    assert_same(&a, &memory, NOON).await;
}

async fn of_node(deltas: &[&WindowDelta]) -> MemoryWindows {
    let memory = MemoryWindows::new(HotConfig::default(), Seq::ZERO);
    for delta in deltas {
        assert_eq!(memory.apply(delta, NOON).await.unwrap(), Applied::Yes);
    }
    memory
}

/// What the module says about memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_takes_about_as_many_bytes_as_documented() {
    const IDS: u32 = 20_000;
    let redis = InRedis::start();
    let node = redis.node(HotConfig::default(), "0000000a");
    let used = || {
        let ::redis::Value::BulkString(info) = redis.command(&["INFO", "memory"]) else { panic!("no info") };
        let info = String::from_utf8(info).unwrap();
        let line = info.lines().find_map(|l| l.strip_prefix("used_memory_dataset:")).unwrap();
        line.trim().parse::<usize>().unwrap()
    };
    let mut at = 0;
    let mut cost = async |fill: &dyn Fn(&mut WindowDelta, u32)| {
        let before = used();
        let mut crowd = WindowDelta::default().between(Seq(at), Seq(at + 1));
        at += 1;
        (0..IDS).for_each(|id| fill(&mut crowd, id));
        assert_eq!(node.apply(&crowd, NOON).await.unwrap(), Applied::Yes);
        (used() - before) / IDS as usize
    };
    let one = delta(&[Event::view(1, 0)], 0, NOON);
    let steps: Vec<_> = (0..4).map(|step| (NOON, step)).collect();
    let (user, session) = (&one.users["u1"], &one.sessions["s1"]);
    let sessions = cost(&|delta, id| {
        let session = delta.sessions.entry(format!("session-{id:012}")).or_insert_with(|| session.clone());
        session.steps = steps.clone();
    })
    .await;
    let users = cost(&|delta, id| {
        let user = delta.users.entry(format!("user-{id:015}")).or_insert_with(|| user.clone());
        user.sessions = [(format!("session-{id:012}"), NOON)].into();
    })
    .await;
    let minutes = cost(&|delta, id| {
        let user = delta.users.entry(format!("user-{id:015}")).or_insert_with(|| user.clone());
        user.seen.minutes = vec![minute_of(NOON) - 1];
        user.sessions.clear();
    })
    .await;
    println!("bytes in Redis: {users} for a user, {sessions} for a session, {minutes} for a further minute");
    use tideline_engine::hot::{BYTES_PER_MINUTE, REDIS_BYTES_PER_SESSION, REDIS_BYTES_PER_USER};
    for (what, found, documented) in [
        ("user", users, REDIS_BYTES_PER_USER),
        ("session", sessions, REDIS_BYTES_PER_SESSION),
        ("minute", minutes, BYTES_PER_MINUTE),
    ] {
        assert!(found * 10 < documented * 13 && found * 13 > documented * 10, "{what}: {found}, not {documented}");
    }
    assert_eq!(node.active(Ids::Users, NOON - 5 * MINUTE).await.unwrap().count, u64::from(IDS));
}
