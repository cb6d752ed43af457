//! What a simulator handed out, counted as SQL should find it when all of it was stored.

use std::collections::BTreeMap;

use serde::Serialize;

use super::generator::Taken;
use super::line::event_type;
use super::visit::Step;

/// Steps of the funnel: view, cart, checkout, purchase.
pub const FUNNEL_STEPS: usize = 4;

/// Counts of events handed out, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// All of them; neither second copies nor malformed ones are among them.
    pub events: u64,
    /// By type.
    pub by_type: BTreeMap<&'static str, u64>,
    /// Sessions with an event, of people.
    pub sessions: u64,
    /// Sessions that went through the funnel so far, in order: viewed, added, started checkout, purchased.
    pub funnel: [u64; FUNNEL_STEPS],
    /// Orders.
    pub orders: u64,
    /// Their value in cents.
    pub revenue_cents: u64,
    /// Units in them.
    pub units: u64,
    /// Refunds.
    pub refunds: u64,
    /// Their value in cents.
    pub refunded_cents: u64,
    /// Sessions of programs.
    pub bot_sessions: u64,
    /// Events of programs.
    pub bot_events: u64,
    /// Events that were sent later than they happened.
    pub late: u64,
    /// Second copies that were sent.
    pub duplicates: u64,
    /// Malformed events that were sent.
    pub malformed: u64,
}

impl Ledger {
    pub(super) fn count(&mut self, taken: &Taken) {
        self.add(event_type(taken.step));
        if taken.bot {
            self.bot_events += 1;
            self.bot_sessions += u64::from(taken.first);
            return;
        }
        self.sessions += u64::from(taken.first);
        if let Some(step) = taken.reached.and_then(|step| self.funnel.get_mut(step)) {
            *step += 1;
        }
        match taken.step {
            Step::Purchase => {
                self.orders += 1;
                self.revenue_cents += taken.cents;
                self.units += taken.lines().iter().map(|(_, units)| u64::from(*units)).sum::<u64>();
            }
            Step::Refund => {
                self.refunds += 1;
                self.refunded_cents += taken.cents;
            }
            _ => {}
        }
    }

    pub(super) fn count_stock(&mut self) {
        self.add("stock_level");
    }

    fn add(&mut self, event_type: &'static str) {
        self.events += 1;
        *self.by_type.entry(event_type).or_default() += 1;
    }
}
