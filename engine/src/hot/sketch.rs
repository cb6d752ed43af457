//! HyperLogLog: how many distinct ids, in 16 KiB, with a standard error of 0.8 %.
//!
//! Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm"
//! (2007), with 64-bit hashes and Ertl's estimator ("New cardinality estimation algorithms for HyperLogLog sketches",
//! 2017, algorithm 6), which needs no correction tables. Redis uses the same size and estimator.

/// Bits of the hash that choose a register.
const INDEX_BITS: u32 = 14;
const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of the hash that remain for the rank.
const RANK_BITS: usize = 64 - INDEX_BITS as usize;

/// A set of ids that only knows how many it has seen.
#[derive(Debug, Clone)]
pub struct Sketch(Box<[u8; REGISTERS]>);

impl Default for Sketch {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

impl Sketch {
    /// Bytes of memory one takes.
    pub const BYTES: usize = REGISTERS;

    /// Adds an id by its hash.
    pub fn add(&mut self, hash: u64) {
        let register = (hash >> RANK_BITS) as usize;
        // The lowest bits give the rank; a bit is set above them so that it ends.
        let rank = ((hash | 1 << RANK_BITS).trailing_zeros() + 1) as u8;
        let slot = &mut self.0[register];
        *slot = (*slot).max(rank);
    }

    /// Adds everything another has seen.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(a, b)| *a = (*a).max(*b));
    }

    /// About how many distinct ids were added.
    pub fn estimate(&self) -> u64 {
        let mut counts = [0_u32; RANK_BITS + 2];
        self.0.iter().for_each(|r| counts[usize::from(*r)] += 1);
        let m = REGISTERS as f64;
        let mut z = m * tau((m - f64::from(counts[RANK_BITS + 1])) / m);
        for count in counts[1..=RANK_BITS].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += m * sigma(f64::from(counts[0]) / m);
        let alpha = 0.5 / std::f64::consts::LN_2;
        (alpha * m * m / z).round() as u64
    }
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use siphasher::sip::SipHasher13;

    #[test]
    fn estimates_are_within_four_standard_errors() {
        let hasher = SipHasher13::new_with_keys(7, 9);
        let mut sketch = Sketch::default();
        let mut added = 0_u64;
        for size in [0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] {
            while added < size {
                sketch.add(hasher.hash(&added.to_le_bytes()));
                added += 1;
            }
            let error = sketch.estimate().abs_diff(size) as f64;
            assert!(error <= 0.033 * size as f64, "{size}: {}", sketch.estimate());
        }
    }

    #[test]
    fn a_merge_is_as_if_both_had_been_added_to_one() {
        let hasher = SipHasher13::new();
        let (mut a, mut b, mut both) = (Sketch::default(), Sketch::default(), Sketch::default());
        for n in 0..5_000_u64 {
            let hash = hasher.hash(&n.to_le_bytes());
            if n % 3 == 0 {
                a.add(hash)
            } else {
                b.add(hash)
            }
            both.add(hash);
        }
        a.merge(&b);
        assert_eq!(a.0, both.0);
    }
}
