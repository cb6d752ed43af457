//! Randomness for the traffic generator: small, seeded, and the same on every machine.
//!
//! Only integer arithmetic and IEEE operations that are exactly rounded (division, square root) decide which event
//! comes next, so one seed gives one stream of bytes wherever it runs.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). Not for secrets.
#[derive(Debug, Clone)]
pub struct Rng(u64);

/// The finaliser of SplitMix64, also used to derive stable attributes from an id.
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    /// Starts the stream that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        let value = mix(self.0);
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        value
    }

    /// A number in `0..bound`; 0 for a bound of 0. The bias is below bound / 2^32.
    pub fn below(&mut self, bound: u32) -> u32 {
        scale(self.next(), bound)
    }

    /// True `permille` times out of 1,000.
    pub fn chance(&mut self, permille: u32) -> bool {
        self.below(1_000) < permille
    }
}

/// Maps the upper 32 bits of `bits` onto `0..bound`.
pub fn scale(bits: u64, bound: u32) -> u32 {
    (((bits >> 32) * u64::from(bound)) >> 32) as u32
}

/// Draws from a fixed discrete distribution in constant time (Walker's alias method, as improved by Vose, 1991).
#[derive(Debug)]
pub struct Alias {
    /// Per slot: keep the slot when 32 random bits are below the threshold, else take the alias.
    slots: Vec<(u32, u32)>,
}

impl Alias {
    /// Prepares drawing `i` with a probability proportional to `weights[i]`. An empty list draws 0 only.
    pub fn new(weights: &[f64]) -> Self {
        let count = weights.len();
        let total: f64 = weights.iter().sum();
        let mut scaled: Vec<f64> = weights.iter().map(|w| w / total * count as f64).collect();
        let mut slots: Vec<(u32, u32)> = (0..count).map(|i| (u32::MAX, i as u32)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..count).partition(|&i| scaled[i] < 1.0);
        while let (Some(less), Some(&more)) = (small.pop(), large.last()) {
            slots[less] = ((scaled[less] * f64::from(u32::MAX)) as u32, more as u32);
            scaled[more] -= 1.0 - scaled[less];
            if scaled[more] < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        Self { slots }
    }

    /// Zipf's law over `count` ranks: rank `k` (from 1) weighs `k^-exponent`.
    pub fn zipf(count: u32, exponent: Exponent) -> Self {
        let weight = |rank: u32| {
            let rank = f64::from(rank);
            match exponent {
                Exponent::One => 1.0 / rank,
                Exponent::ThreeQuarters => 1.0 / (rank.sqrt() * rank.sqrt().sqrt()),
            }
        };
        Self::new(&(1..=count.max(1)).map(weight).collect::<Vec<_>>())
    }

    /// The next draw: an index into the weights.
    pub fn draw(&self, rng: &mut Rng) -> u32 {
        let bits = rng.next();
        let slot = scale(bits, self.slots.len() as u32);
        match self.slots.get(slot as usize) {
            Some(&(threshold, alias)) if (bits as u32) > threshold => alias,
            _ => slot,
        }
    }
}

/// The exponents of Zipf's law in use: those whose power needs only division and square roots.
#[derive(Debug, Clone, Copy)]
pub enum Exponent {
    /// 1: a few products make most of the views.
    One,
    /// 3/4: regulars come often, most users rarely.
    ThreeQuarters,
}

/// Steps of the quantile table; 64 per doubling is smooth enough for waiting times.
const QUANTILES: usize = 1_024;
/// Fixed-point one of the quantile table.
const UNIT: f64 = 65_536.0;

/// Exponentially distributed waiting times, from a table of quantiles in fixed point.
#[derive(Debug)]
pub struct Waits(Vec<u32>);

impl Waits {
    /// Builds the table.
    pub fn new() -> Self {
        // The last quantile would be infinite: the longest wait is about 7.6 times the mean.
        let quantile = |i: usize| -(1.0 - i as f64 / (QUANTILES as f64 + 0.5)).ln() * UNIT;
        Self((0..=QUANTILES).map(|i| quantile(i).round() as u32).collect())
    }

    /// A wait with the given mean, in the mean's unit.
    pub fn draw(&self, rng: &mut Rng, mean: u32) -> u64 {
        let bits = rng.next();
        let slot = scale(bits, QUANTILES as u32) as usize;
        let (low, high) = (u64::from(self.0[slot]), u64::from(self.0[slot + 1]));
        let fraction = bits & 0xFFFF;
        let quantile = low + (((high - low) * fraction) >> 16);
        (quantile * u64::from(mean)) >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alias_draws_follow_their_weights() {
        let alias = Alias::new(&[1.0, 0.0, 2.0, 5.0]);
        let mut rng = Rng::new(7);
        let mut counts = [0_u32; 4];
        for _ in 0..80_000 {
            counts[alias.draw(&mut rng) as usize] += 1;
        }
        assert_eq!(counts[1], 0);
        for (count, expected) in counts.iter().zip([10_000, 0, 20_000, 50_000_u32]) {
            assert!(count.abs_diff(expected) < 600, "{counts:?}");
        }
    }

    #[test]
    fn waits_have_the_mean_they_are_asked_for() {
        let waits = Waits::new();
        let mut rng = Rng::new(3);
        let sum: u64 = (0..100_000).map(|_| waits.draw(&mut rng, 40_000)).sum();
        assert!((39_000..41_000).contains(&(sum / 100_000)), "{}", sum / 100_000);
    }
}
