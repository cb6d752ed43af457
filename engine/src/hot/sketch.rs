//! HyperLogLog: how many distinct ids, in 16 KiB, with a standard error of 0.8 %.
//!
//! Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm"
//! (2007), with 64-bit hashes and Ertl's estimator ("New cardinality estimation algorithms for HyperLogLog sketches",
//! 2017, algorithm 6), which needs no correction tables. Redis uses the same size and estimator, and ids are hashed as
//! it does, so that a sketch made here goes on there.

/// Bits of the hash that choose a register.
const INDEX_BITS: u32 = 14;
const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of the hash that remain for the rank.
const RANK_BITS: usize = 64 - INDEX_BITS as usize;

/// How Redis begins to hash.
const SEED: u64 = 0xadc8_3b19;

/// The hash of an id, for sketches: MurmurHash64A (Appleby, public domain).
pub fn hash_of(id: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = SEED ^ (id.len() as u64).wrapping_mul(M);
    let (words, rest) = id.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> R)
}

/// A set of ids that only knows how many it has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        let register = (hash as usize) & (REGISTERS - 1);
        // The other bits give the rank; a bit is set above them so that it ends.
        let rank = ((hash >> INDEX_BITS | 1 << RANK_BITS).trailing_zeros() + 1) as u8;
        let slot = &mut self.0[register];
        *slot = (*slot).max(rank);
    }

    /// Adds everything another has seen.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(a, b)| *a = (*a).max(*b));
    }

    /// As Redis stores it: a header, and six bits for each register.
    pub fn to_redis(&self) -> Vec<u8> {
        // Dense; the highest bit of the last byte says that no estimate is stored.
        let mut bytes = b"HYLL\0\0\0\0\0\0\0\0\0\0\0\x80".to_vec();
        for four in self.0.as_chunks::<4>().0 {
            let bits = four.iter().rev().fold(0_u32, |bits, register| bits << 6 | u32::from(*register));
            bytes.extend_from_slice(&bits.to_le_bytes()[..3]);
        }
        bytes
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
