//! What is in objects, as a function of a seed and the place, and random numbers.

/// The eight bytes at `8 * n` of the contents of `seed`.
fn word(seed: u64, n: u64) -> u64 {
    let x = (seed ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 31)
}

/// Writes the contents of `seed`.
pub fn fill(seed: u64, bytes: &mut [u8]) {
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for (n, chunk) in words.iter_mut().enumerate() {
        *chunk = word(seed, n as u64).to_ne_bytes();
    }
    let last = word(seed, words.len() as u64).to_ne_bytes();
    rest.copy_from_slice(&last[..rest.len()]);
}

/// Compares with the contents of `seed`; the offset of the first eight bytes that differ, if any do.
pub fn check(seed: u64, bytes: &[u8]) -> Result<(), usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    let differs = |(n, chunk): (usize, &[u8; 8])| u64::from_ne_bytes(*chunk) ^ word(seed, n as u64);
    // Without an exit, so that the compiler can take several words at once.
    if words.iter().enumerate().fold(0, |all, pair| all | differs(pair)) != 0 {
        return Err(words.iter().enumerate().position(|pair| differs(pair) != 0).unwrap_or(0) * 8);
    }
    let last = word(seed, words.len() as u64).to_ne_bytes();
    if *rest == last[..rest.len()] { Ok(()) } else { Err(words.len() * 8) }
}

/// A sum over bytes in their order, for those that come in pieces: start with 0.
pub fn sum(before: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(before, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// A generator of numbers: splitmix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub const fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Of all magnitudes from 1 to nearly `1 << most`, each magnitude as often as another.
    pub const fn magnitude(&mut self, most: u32) -> usize {
        let power = 1_usize << self.below(most as usize);
        power + self.below(power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_noticed() {
        for len in [1, 7, 8, 9, 31, 100] {
            let mut bytes = vec![0; len];
            fill(5, &mut bytes);
            assert_eq!(check(5, &bytes), Ok(()));
            for at in 0..len {
                bytes[at] ^= 1;
                assert_eq!(check(5, &bytes), Err(at / 8 * 8));
                bytes[at] ^= 1;
            }
        }
    }
}
