//! Functions that know shops: funnels, sessions, retention; and `approx_top_k`, the only one that estimates.
//!
//! The others are exact and give the same answer for any order of the rows, any split into batches and partitions, and
//! any spilling: what they keep of a group is a set of events or of intervals, and two of those unite without loss.
//!
//! Gaps, steps and windows are constants of the query. They are taken out of the arguments while the query is
//! simplified ([`constants`]), so that no batch carries them.

mod constants;
mod count_each;
mod funnel;
mod funnel_count;
pub(super) mod grouped;
mod retention;
mod sessionize;
mod sessions;
mod top_k;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, DocSection, WindowUDF};

/// Where `SHOW FUNCTIONS` and the documentation list them.
const SECTION: DocSection = DocSection { include: true, label: "Commerce Functions", description: None };

/// The aggregate functions.
pub(super) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let mut all = funnel::functions();
    all.push(funnel_count::function());
    all.extend(sessions::functions());
    all.push(retention::function());
    all.push(count_each::function());
    all.push(top_k::function());
    all.into_iter().map(Arc::new).collect()
}

/// The window functions.
pub(super) fn windows() -> Vec<Arc<WindowUDF>> {
    vec![Arc::new(sessionize::function())]
}
