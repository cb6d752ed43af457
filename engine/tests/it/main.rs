//! The engine as a whole, over a simulated disk: against a plain model, through losses of power, and in the races
//! that its invariants name.

mod model;
mod power_loss;
mod races;
mod support;
