//! One visit to the shop: which steps it takes, decided when it starts, and what it carries from step to step.

use super::catalogue::{CRAWLER, Catalogue};
use super::rng::{Alias, Rng};

/// A visit never has more steps than this.
const MAX_STEPS: usize = 32;
/// Nor more different products in its cart.
pub const MAX_LINES: usize = 4;

/// What a visitor does; each step is one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The home page.
    Home,
    /// A category page.
    Category,
    /// A product's page, as a page view (the way visitors from campaigns land).
    Landing,
    /// A search.
    Search,
    /// A look at a product.
    Product,
    /// The product goes into the cart.
    Add,
    /// The last product is taken out again.
    Remove,
    /// A look at the cart.
    Cart,
    /// The checkout begins; from here on the user is known.
    Checkout,
    /// Payment details are given.
    Payment,
    /// The order.
    Purchase,
    /// Money back, sent by the back office hours or days later.
    Refund,
}

impl Step {
    /// How long visitors take before this step, on average, in milliseconds.
    pub fn mean_wait_ms(self) -> u32 {
        match self {
            Self::Home | Self::Category | Self::Landing | Self::Search => 25_000,
            Self::Product => 35_000,
            Self::Add | Self::Remove | Self::Cart => 30_000,
            Self::Checkout => 45_000,
            Self::Payment | Self::Purchase => 60_000,
            Self::Refund => 36 * 3_600_000,
        }
    }
}

/// A visit under way.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The session id's bits; the order and cart ids derive from it.
    pub id: u64,
    /// Who.
    pub user: u32,
    /// Whether the shop knows who it is: logged in.
    pub known: bool,
    /// Index of the campaign.
    pub source: u8,
    /// Index of the place.
    pub place: u8,
    /// Index of the device.
    pub device: u8,
    /// The product looked at last.
    pub product: u32,
    /// The category or search looked at last.
    pub topic: u32,
    /// Products and units in the cart.
    pub cart: [(u32, u8); MAX_LINES],
    /// How many lines of the cart are in use.
    pub lines: usize,
    steps: [Step; MAX_STEPS],
    count: usize,
    taken: usize,
}

impl Visit {
    /// A new visit: who comes from where, and everything they are going to do.
    pub fn new(rng: &mut Rng, catalogue: &Catalogue, users: &Alias) -> Self {
        let user = users.draw(rng);
        let (place, device) = catalogue.home_of(user);
        let mut visit = Self {
            id: rng.next(),
            user,
            known: rng.chance(700),
            source: catalogue.source(rng),
            place,
            device,
            product: 0,
            topic: 0,
            cart: [(0, 0); MAX_LINES],
            lines: 0,
            steps: [Step::Home; MAX_STEPS],
            count: 0,
            taken: 0,
        };
        visit.plan(rng);
        visit
    }

    /// The refund of this visit's order.
    pub fn refund(&self) -> Self {
        let mut refund = self.clone();
        refund.steps[0] = Step::Refund;
        (refund.count, refund.taken) = (1, 0);
        refund
    }

    /// How many events the visit makes in all.
    pub fn events(&self) -> usize {
        self.count
    }

    /// The step the visit is waiting to take.
    pub fn next(&self) -> Option<Step> {
        self.steps[..self.count].get(self.taken).copied()
    }

    /// Marks the step as taken.
    pub fn advance(&mut self) {
        self.taken += 1;
    }

    /// Whether no step has been taken yet.
    pub fn is_new(&self) -> bool {
        self.taken == 0
    }

    fn push(&mut self, step: Step) {
        if let Some(slot) = self.steps.get_mut(self.count) {
            *slot = step;
            self.count += 1;
        }
    }

    fn plan(&mut self, rng: &mut Rng) {
        self.push(match rng.below(100) {
            0..40 => Step::Home,
            40..65 => Step::Category,
            _ => Step::Landing,
        });
        // A third leaves at once: the bounce rate.
        if rng.chance(340) {
            return;
        }
        let crawler = usize::from(self.device) == CRAWLER;
        let appetite = if crawler { 0 } else { Catalogue::appetite(self.source) };
        let mut in_cart = 0;
        // Looking around: each look at a product is followed by another three times out of four.
        for _ in 0..10 {
            match rng.below(100) {
                0..80 => self.push(Step::Category),
                80..88 => self.push(Step::Search),
                _ => {}
            }
            self.push(Step::Product);
            if rng.chance(appetite) {
                self.push(Step::Add);
                in_cart += 1;
            }
            if !rng.chance(745) {
                break;
            }
        }
        self.plan_checkout(rng, in_cart);
    }

    fn plan_checkout(&mut self, rng: &mut Rng, mut in_cart: u32) {
        if in_cart == 0 {
            return;
        }
        if rng.chance(600) {
            self.push(Step::Cart);
            if rng.chance(100) {
                self.push(Step::Remove);
                in_cart -= 1;
            }
        }
        if in_cart == 0 || !rng.chance(300) {
            return;
        }
        self.push(Step::Checkout);
        if !rng.chance(800) {
            return;
        }
        self.push(Step::Payment);
        if rng.chance(750) {
            self.push(Step::Purchase);
        }
    }
}
