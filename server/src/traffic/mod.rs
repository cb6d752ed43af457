//! Made-up shop traffic, deterministic: the demo, `tideline traffic`, the load tests and the benchmarks feed the
//! server with it.
//!
//! Visitors arrive through the day as a shop's visitors do, look at products by Zipf's law, and a few of them buy;
//! their visits interleave, and the events come out in the order of time as lines of JSON in the nested spelling.
//! The same configuration gives the same bytes on every machine.
//!
//! ```
//! use tideline_server::traffic::{Generator, GeneratorConfig};
//!
//! let mut lines = Vec::new();
//! let mut generator = Generator::new(GeneratorConfig { events: 1_000, ..GeneratorConfig::default() });
//! while generator.next_line(&mut lines).is_some() {}
//! assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), 1_000);
//! ```
//!
//! [`Generator`] is the plain stream. A [`Simulator`] adds what real traffic has besides: programs, events that come
//! late or twice, stock levels, incidents, marked ids; and it keeps a [`Ledger`] of what it made, so that whoever
//! stored it can be held to account. [`drive`] sends it to a server in phases.

mod catalogue;
pub mod drive;
mod generator;
mod habits;
mod junk;
pub mod latency;
mod ledger;
mod line;
pub mod phases;
mod promise;
mod rng;
mod simulate;
mod visit;
pub mod wire;

pub use generator::{DEFAULT_START, Generator, GeneratorConfig};
pub use habits::{Incident, What};
pub use ledger::Ledger;
pub use promise::Promise;
pub use simulate::{MARK, Scenario, Simulator};

#[cfg(test)]
mod tests;
