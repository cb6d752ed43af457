//! The rates a simulated shop promises while nothing happens to it, computed from the chances its visitors act by
//! (`visit.rs`), not counted: what SQL finds must agree with them.

use serde::Serialize;

use super::catalogue::Catalogue;
use super::visit::{BOUNCE, CHECKOUT, LOOK_AGAIN, LOOK_AT_CART, MAX_LOOKS, ORDER, PAY, TAKE_OUT};

/// Probabilities for sessions of people.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Promise {
    /// That a session views a product.
    pub view: f64,
    /// That one that viewed adds to the cart.
    pub add: f64,
    /// That one that added starts checkout.
    pub checkout: f64,
    /// That one that started checkout purchases.
    pub purchase: f64,
}

impl Promise {
    /// Those of the shop without incidents.
    pub fn of_the_shop() -> Self {
        let (mut weights, mut adds, mut checkouts) = (0.0, 0.0, 0.0);
        for (weight, appetite) in Catalogue::appetites() {
            let (some, one) = cart(appetite);
            // A cart of one product that is taken out again is empty.
            let emptied = one * share(LOOK_AT_CART) * share(TAKE_OUT);
            weights += weight;
            adds += weight * some;
            checkouts += weight * (some - emptied) * share(CHECKOUT);
        }
        Self {
            view: 1.0 - share(BOUNCE),
            add: adds / weights,
            checkout: checkouts / adds,
            purchase: share(PAY) * share(ORDER),
        }
    }
}

fn share(permille: u32) -> f64 {
    f64::from(permille) / 1_000.0
}

/// The probabilities that a visit with that chance to add at each look adds something, and exactly one product. The
/// number of looks is geometric, cut off at [`MAX_LOOKS`].
fn cart(appetite: f64) -> (f64, f64) {
    let again = share(LOOK_AGAIN);
    let (mut none, mut one, mut still, mut nothing_so_far) = (0.0, 0.0, 1.0, 1.0);
    for looks in 1..=MAX_LOOKS {
        let ends = if looks == MAX_LOOKS { still } else { still * (1.0 - again) };
        one += ends * f64::from(looks) * appetite * nothing_so_far;
        nothing_so_far *= 1.0 - appetite;
        none += ends * nothing_so_far;
        still *= again;
    }
    (1.0 - none, one)
}
