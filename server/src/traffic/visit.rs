//! One visit to the shop: which steps it takes, decided when it starts, and what it carries from step to step.

use super::catalogue::{CRAWLER, CRAWLERS, Catalogue};
use super::rng::{Alias, Rng};

/// Out of 1,000 visitors, those that leave at once.
pub const BOUNCE: u32 = 340;
/// Out of 1,000 looks at a product, those that are followed by another.
pub const LOOK_AGAIN: u32 = 745;
/// A visit looks at no more products than this.
pub const MAX_LOOKS: u32 = 10;
/// Out of 1,000 visits with something in the cart, those that look at it, and of these those that take the last
/// product out again.
pub const LOOK_AT_CART: u32 = 600;
/// See [`LOOK_AT_CART`].
pub const TAKE_OUT: u32 = 100;
/// Out of 1,000 carts with something left in them, those that get to the checkout.
pub const CHECKOUT: u32 = 300;
/// Out of 1,000 checkouts, those that get to payment.
pub const PAY: u32 = 800;
/// Out of 1,000 payments, those that become an order.
pub const ORDER: u32 = 750;

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

    /// Where the step stands in the funnel view, cart, checkout, purchase; from 0.
    fn stage(self) -> Option<u8> {
        match self {
            Self::Product => Some(0),
            Self::Add => Some(1),
            Self::Checkout => Some(2),
            Self::Purchase => Some(3),
            _ => None,
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
    /// Whether an event of it was sent, and how many steps of the funnel those sent went through, in order.
    seen: bool,
    reached: u8,
    /// Whether it walks through the pages as fast as a program.
    pub crawls: bool,
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
            seen: false,
            reached: 0,
            crawls: false,
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

    /// Turns it into the visit of a program, which walks through the pages fast and buys nothing.
    pub fn crawl(&mut self, rng: &mut Rng) {
        self.device = (CRAWLER as u32 + rng.below(CRAWLERS)) as u8;
        (self.known, self.source, self.crawls) = (false, 0, true);
        self.count = 0;
        for _ in 0..4 + rng.below(12) {
            self.push(Step::Category);
            self.push(Step::Product);
        }
    }

    /// Whether a program makes it.
    pub fn is_bot(&self) -> bool {
        usize::from(self.device) >= CRAWLER
    }

    /// Marks that an event of it was sent; whether it is the first of its session.
    pub fn appears(&mut self, step: Step) -> bool {
        // The back office sends refunds, outside of any session.
        step != Step::Refund && !std::mem::replace(&mut self.seen, true)
    }

    /// Marks that the step was sent; the step of the funnel that the session reached with it, in order.
    pub fn reach(&mut self, step: Step) -> Option<usize> {
        let stage = step.stage().filter(|stage| *stage == self.reached)?;
        self.reached += 1;
        Some(usize::from(stage))
    }

    /// The least time between two steps, in milliseconds.
    pub fn pause(&self) -> u64 {
        if self.crawls { 200 } else { 800 }
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
        if rng.chance(BOUNCE) {
            return;
        }
        let crawler = self.is_bot();
        let appetite = if crawler { 0 } else { Catalogue::appetite(self.source) };
        let mut in_cart = 0;
        // Looking around: each look at a product is followed by another three times out of four.
        for _ in 0..MAX_LOOKS {
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
            if !rng.chance(LOOK_AGAIN) {
                break;
            }
        }
        self.plan_checkout(rng, in_cart);
    }

    fn plan_checkout(&mut self, rng: &mut Rng, mut in_cart: u32) {
        if in_cart == 0 {
            return;
        }
        if rng.chance(LOOK_AT_CART) {
            self.push(Step::Cart);
            if rng.chance(TAKE_OUT) {
                self.push(Step::Remove);
                in_cart -= 1;
            }
        }
        if in_cart == 0 || !rng.chance(CHECKOUT) {
            return;
        }
        self.push(Step::Checkout);
        if !rng.chance(PAY) {
            return;
        }
        self.push(Step::Payment);
        if rng.chance(ORDER) {
            self.push(Step::Purchase);
        }
    }
}
