//! The engine as a whole, over a simulated disk: against a plain model, through losses of power, and in the races
//! that its invariants name.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper of tests fails its test")]

mod alerts;
mod backup;
mod corpus;
mod dead_letters;
mod derived;
mod erase;
mod hot;
mod metrics;
mod model;
mod power_loss;
mod proxy;
mod races;
// The same real redis-server that the server's tests start.
#[path = "../../../server/tests/it/redis.rs"]
mod redis;
mod redis_faults;
mod support;
mod upgrade;
mod windows;
