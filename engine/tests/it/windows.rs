//! Live windows: one suite for every backend, and several nodes on one Redis.

mod contract;
pub mod events;
mod nodes;

use std::sync::Arc;
use std::time::Duration;

use tideline_engine::event::{NodeId, Seq};
use tideline_engine::hot::{HotConfig, HotWindow, MemoryWindows, RedisConfig, RedisWindows};

use crate::redis::Redis;

/// Something that has windows; it lives as long as the test.
pub trait Backend {
    fn start() -> Self;
    /// Empty windows.
    fn open(&self, config: HotConfig) -> Arc<dyn HotWindow>;
}

struct InMemory;

impl Backend for InMemory {
    fn start() -> Self {
        Self
    }

    fn open(&self, config: HotConfig) -> Arc<dyn HotWindow> {
        Arc::new(MemoryWindows::new(config, Seq::ZERO))
    }
}

/// A real redis-server.
pub struct InRedis {
    pub server: Redis,
    _dir: tempfile::TempDir,
}

impl Backend for InRedis {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { server: Redis::start(dir.path()), _dir: dir }
    }

    fn open(&self, config: HotConfig) -> Arc<dyn HotWindow> {
        self.command(&["FLUSHALL"]);
        Arc::new(self.node(config, "0000000a"))
    }
}

impl InRedis {
    fn config(&self) -> RedisConfig {
        RedisConfig {
            // A busy machine is not a Redis that is away.
            response_timeout: Duration::from_secs(30),
            ranking_age: Duration::ZERO,
            ..RedisConfig::new(&self.server.url)
        }
    }

    fn node(&self, config: HotConfig, node: &str) -> RedisWindows {
        RedisWindows::new(config, &self.config(), &NodeId::parse(node).unwrap()).unwrap()
    }

    pub fn command(&self, command: &[&str]) -> ::redis::Value {
        let mut connection = ::redis::Client::open(self.server.url.as_str()).unwrap().get_connection().unwrap();
        ::redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).unwrap()
    }
}
