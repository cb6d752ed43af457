//! What a simulated shop has beyond the plain stream: marked ids, programs that crawl it, weekends, and incidents,
//! which are planted so that there is something to find.

use tideline_engine::clock::{MILLISECOND, Micros};

use super::catalogue::FLASH_SALE_SOURCE;

/// Something that happens to the shop for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Payments lead to no order: purchases stop while everything before them goes on.
    CheckoutStalls,
    /// That many times as many visitors arrive; those on top come from the campaign `flash_sale`.
    Rush(u32),
    /// Pages take that many times longer to load.
    SlowPages(u32),
}

/// An incident and its span of event time, half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident {
    /// Its beginning.
    pub from: Micros,
    /// Its end.
    pub until: Micros,
    /// What happens.
    pub what: What,
}

/// The habits. The default has none: the plain stream.
#[derive(Debug, Clone)]
pub(super) struct Habits {
    /// What every id begins with.
    pub prefix: String,
    /// Makes the ids of two runs different.
    pub salt: u64,
    /// Out of 1,000 visits, those of programs.
    pub bots_permille: u32,
    /// The least time from an order to its refund and the mean of what comes on top, in milliseconds.
    pub refund_after_ms: (u64, u32),
    /// Whether weekends differ from other days.
    pub weekly: bool,
    /// What happens when.
    pub incidents: Vec<Incident>,
    /// About how many events at most to run through before the stream starts, so that visits are under way.
    pub warm_up_events: f64,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            salt: 0,
            bots_permille: 0,
            refund_after_ms: (3_600_000, 36 * 3_600_000),
            weekly: false,
            incidents: Vec::new(),
            warm_up_events: f64::INFINITY,
        }
    }
}

impl Habits {
    fn at(&self, at_ms: i64) -> impl Iterator<Item = What> {
        let at = at_ms * MILLISECOND;
        self.incidents.iter().filter(move |i| (i.from..i.until).contains(&at)).map(|i| i.what)
    }

    /// Whether payments lead nowhere at that moment.
    pub fn stalls(&self, at_ms: i64) -> bool {
        self.at(at_ms).any(|what| what == What::CheckoutStalls)
    }

    /// How many times as many visitors arrive at that moment, and where those on top come from.
    pub fn surge(&self, at_ms: i64) -> Option<(u32, u8)> {
        self.at(at_ms).find_map(|what| match what {
            What::Rush(times) => Some((times, FLASH_SALE_SOURCE)),
            _ => None,
        })
    }

    /// How many times longer pages take to load at that moment.
    pub fn slow_pages(&self, at_ms: i64) -> u64 {
        self.at(at_ms)
            .find_map(|what| if let What::SlowPages(times) = what { Some(times.into()) } else { None })
            .unwrap_or(1)
    }
}

/// How busy each day is from Monday on, against an average of 100.
const WEEK: [u32; 7] = [102, 96, 94, 96, 92, 98, 122];
const MINUTES_PER_DAY: i64 = 1_440;

/// How busy the day of a minute since the epoch is, against an average of 1.
pub(super) fn weekday(minute: i64) -> f64 {
    // 1970-01-01 was a Thursday.
    let day = (minute.div_euclid(MINUTES_PER_DAY) + 3).rem_euclid(7) as usize;
    f64::from(WEEK[day]) / 100.0
}
