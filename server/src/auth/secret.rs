//! Random secrets, and the digests that are kept instead of them.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What every key begins with, so that people and scanners of leaked secrets know it.
pub const KEY_PREFIX: &str = "tl_";
/// No secret of ours is longer; longer ones need no look.
pub const MAX_LEN: usize = 128;

/// SHA-256 of a secret. A fast hash is right here: the secret is 256 random bits, and nobody can try them all.
#[derive(Debug, Clone, Copy)]
pub struct Digest([u8; 32]);

impl PartialEq for Digest {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl Digest {
    /// Of a text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// In hex, as it is stored.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads it back.
    pub fn from_hex(text: &str) -> Option<Self> {
        let pairs = text.as_bytes().chunks_exact(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
        bytes.filter(|_| text.len() == 64)?.try_into().ok().map(Self)
    }

    /// Its first bytes, to look it up by. Nobody can choose them, so that how long a look-up takes tells nothing.
    pub fn head(self) -> [u8; 8] {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        head
    }
}

/// 256 random bits as 43 characters for URLs and headers.
pub fn random() -> String {
    // Each v4 UUID has 122 bits of the operating system's randomness; SHA-256 makes 256 of their 366.
    let mut hasher = Sha256::new();
    for _ in 0..3 {
        hasher.update(uuid::Uuid::new_v4().as_bytes());
    }
    BASE64_URL_SAFE_NO_PAD.encode(hasher.finalize())
}

/// A new key.
pub fn random_key() -> String {
    format!("{KEY_PREFIX}{}", random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_and_differs_for_another_text() {
        let digest = Digest::of("tl_x");
        assert_eq!(Digest::from_hex(&digest.to_hex()), Some(digest));
        assert_ne!(digest, Digest::of("tl_y"));
        for text in ["", "zz", &"0".repeat(63), &"0".repeat(65), &"é".repeat(32)] {
            assert_eq!(Digest::from_hex(text), None, "{text}");
        }
        // https://csrc.nist.gov/projects/cryptographic-standards-and-guidelines/example-values: "abc".
        assert!(Digest::of("abc").to_hex().starts_with("ba7816bf8f01cfea"));
    }

    #[test]
    fn keys_are_long_and_never_the_same() {
        let keys: std::collections::HashSet<String> = (0..1_000).map(|_| random_key()).collect();
        assert_eq!(keys.len(), 1_000);
        assert!(keys.iter().all(|key| key.len() == 46 && key.starts_with("tl_")));
    }
}
