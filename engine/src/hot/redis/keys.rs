//! The names of everything kept in Redis. All share one hash tag, so that a cluster keeps them in one place, and all
//! expire by themselves a little after the window.
//!
//! ```text
//! {tl}:nodes            hash   node → generation (`announced`: none yet), position applied, time of the last call
//! {tl}:w                hash   floor; latest minute in which a user, session or name was not told apart
//! counters, by node and generation:
//! {tl}:n:NODE:GEN:m:M   hash   counts, own orders, amounts and latency buckets of minute M
//! {tl}:n:NODE:GEN:bB:M  hash   board B in minute M: name → value
//! {tl}:n:NODE:GEN:a:M   hash   arrivals in the seconds of minute M
//! facts, which all nodes add to and nobody takes back:
//! {tl}:users, :sessions zset   id → last seen
//! {tl}:us:USER          zset   session → last seen
//! {tl}:u:M  :s:M  :c:M  set    users, sessions, sessions with a purchase in minute M
//! {tl}:hu:M  :hs:M      HLL    users, sessions in minute M
//! {tl}:path:SESSION     text   steps of the funnel
//! {tl}:f0 … :f3         zset   session → start of its latest chain that reached the step
//! {tl}:o:M              hash   order → who stated its amount, and the amount
//! {tl}:om:M  :ob3:M  :ob4:M hash   Σ of those amounts: in all, by source, by country
//! {tl}:latest           zset   the latest orders
//! ```

use super::Minute;
use crate::hot::{Board, Ids};

/// When a step of the funnel was never reached, in `path`.
pub(super) const NEVER: i64 = -1;

/// Names under one prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// `{tl}:`
    pub prefix: String,
}

/// A node's counters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share {
    pub node: String,
    pub generation: String,
}

impl Keys {
    pub fn new(tag: &str) -> Self {
        Self { prefix: format!("{{{tag}}}:") }
    }

    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn nodes(&self) -> String {
        self.key("nodes")
    }

    pub fn window(&self) -> String {
        self.key("w")
    }

    pub fn latest(&self) -> String {
        self.key("latest")
    }

    pub fn last_seen(&self, ids: Ids) -> String {
        self.key(match ids {
            Ids::Users => "users",
            Ids::Sessions => "sessions",
        })
    }

    pub fn sessions_of(&self, user: &str) -> String {
        self.key("us:") + user
    }

    pub fn path(&self, session: &str) -> String {
        self.key("path:") + session
    }

    pub fn funnel(&self, step: usize) -> String {
        self.key(&format!("f{step}"))
    }

    pub fn of_minute(&self, kind: &str, minute: Minute) -> String {
        self.key(&format!("{kind}:{minute}"))
    }

    pub fn sketch(&self, ids: Ids, minute: Minute) -> String {
        self.key(&sketch(ids, minute))
    }

    fn of_share(&self, share: &Share, name: &str) -> String {
        format!("{}n:{}:{}:{name}", self.prefix, share.node, share.generation)
    }

    pub fn counters(&self, share: &Share, minute: Minute) -> String {
        self.of_share(share, &counters(minute))
    }

    pub fn board(&self, share: &Share, board: Board, minute: Minute) -> String {
        self.of_share(share, &format!("b{}:{minute}", board as usize))
    }

    /// What orders' own amounts add to a board.
    pub fn orders_board(&self, board: Board, minute: Minute) -> String {
        self.of_minute(&format!("ob{}", board as usize), minute)
    }

    pub fn arrivals(&self, share: &Share, minute: Minute) -> String {
        self.of_share(share, &arrivals(minute))
    }

    /// Whether a key is one of ours, but for [`nodes`](Self::nodes); others may share the hash tag.
    pub fn holds_what_is_seen(&self, key: &str) -> bool {
        let Some(name) = key.strip_prefix(&self.prefix) else { return false };
        match name.split_once(':') {
            None => matches!(name, "w" | "latest" | "users" | "sessions" | "f0" | "f1" | "f2" | "f3"),
            Some((kind, _)) => {
                let kinds = ["n", "us", "u", "s", "c", "hu", "hs", "path", "o", "om", "ob3", "ob4"];
                kinds.contains(&kind)
            }
        }
    }

    /// Everything a generation has in these minutes.
    pub fn all_of(&self, share: &Share, minutes: std::ops::Range<Minute>) -> Vec<String> {
        let keys = minutes.flat_map(|minute| {
            let boards = super::BOARDS.map(|board| self.board(share, board, minute));
            [self.counters(share, minute), self.arrivals(share, minute)].into_iter().chain(boards)
        });
        keys.collect()
    }
}

/// The key of a minute's estimate, without the prefix.
pub(super) fn sketch(ids: Ids, minute: Minute) -> String {
    match ids {
        Ids::Users => format!("hu:{minute}"),
        Ids::Sessions => format!("hs:{minute}"),
    }
}

/// The key of a minute's counters within a share.
pub(super) fn counters(minute: Minute) -> String {
    format!("m:{minute}")
}

/// The key of a minute's arrivals within a share.
pub(super) fn arrivals(minute: Minute) -> String {
    format!("a:{minute}")
}
