//! What lies behind the end of a block, and what a free block holds: an overflow shows in the one, a write after the free in
//! the other.
//!
//! Behind the last byte that was asked for come up to eight bytes of a canary, which depends on a key of the process, the
//! address and the size; then zeros, to the end of the slot or the page. No byte of a canary is zero, so that the end of a
//! text that is one too long shows too. Since a free says how large its block was, the place needs no record, and a free with
//! another size than the allocation's finds no canary where it looks.

use crate::heap::misuse;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a canary, where there is room for it.
pub(super) const CANARY: usize = 8;

/// The key of the process; a child of `fork` must know it too.
static KEY: AtomicU64 = AtomicU64::new(0);

/// Sets the key; once, before any other use.
pub(super) fn set_key(key: [u8; 8]) {
    KEY.store(u64::from_ne_bytes(key), Relaxed);
}

fn canary(block: *const u8, size: usize) -> [u8; CANARY] {
    // Multiplications mix what one canary tells into all bits of another (splitmix64: Steele, Lea, Flood, OOPSLA 2014).
    let mut mixed = KEY.load(Relaxed) ^ block.addr() as u64 ^ (size as u64).rotate_left(32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)).to_ne_bytes().map(|byte| if byte == 0 { 0x5A } else { byte })
}

/// Writes the canary of a block of `size` bytes with room for `capacity`.
///
/// # Safety
/// The block is the caller's, and zero from `size` on.
pub(super) unsafe fn seal(block: *mut u8, size: usize, capacity: usize) {
    let canary = canary(block, size);
    let len = (capacity - size).min(CANARY);
    // SAFETY: the caller's contract: `size + len <= capacity`.
    unsafe { core::ptr::copy_nonoverlapping(canary.as_ptr(), block.add(size), len) };
}

/// Ends the program if something was written behind the end of a block.
///
/// # Safety
/// The block is live, with room for `capacity` bytes.
pub(super) unsafe fn check(block: *const u8, size: usize, capacity: usize) {
    let canary = canary(block, size);
    // SAFETY: the caller's contract; all of the room was initialised when the block was handed out.
    let intact = unsafe {
        let behind = core::slice::from_raw_parts(block.add(size), capacity - size);
        match behind.split_first_chunk::<CANARY>() {
            Some((found, rest)) => *found == canary && is_zero(rest),
            None => *behind == canary[..behind.len()],
        }
    };
    if !intact {
        misuse::abort_at(b"write behind the end of a block, or free with another size,", block);
    }
}

/// Moves the end of a block within its room. What is cut off is zero from then on.
///
/// # Safety
/// The block is live and the caller's, and [`check`] has found its end intact.
pub(super) unsafe fn move_end(block: *mut u8, size: usize, new_size: usize, capacity: usize) {
    let from = size.min(new_size);
    let to = (size + CANARY).min(capacity);
    // SAFETY: the caller's contract: both lie in the room.
    unsafe {
        block.add(from).write_bytes(0, to - from);
        seal(block, new_size, capacity);
    }
}

/// Whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    // SAFETY: every bit pattern is a `u64`.
    let (head, words, tail) = unsafe { bytes.align_to::<u64>() };
    let (chunks, rest) = words.as_chunks::<8>();
    // Without a branch for every word.
    chunks.iter().all(|chunk| chunk.iter().fold(0, |any, word| any | word) == 0)
        && rest.iter().all(|&word| word == 0)
        && head.iter().chain(tail).all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_seen_at_every_offset() {
        let mut bytes = [0; 300];
        for start in 0..16 {
            for end in start..300 {
                assert!(is_zero(&bytes[start..end]));
                for at in [start, (start + end) / 2, end.saturating_sub(1)] {
                    if (start..end).contains(&at) {
                        bytes[at] = 0x80;
                        assert!(!is_zero(&bytes[start..end]));
                        bytes[at] = 0;
                    }
                }
            }
        }
    }

    #[test]
    fn a_canary_has_no_zero_and_depends_on_address_and_size() {
        let mut seen = std::collections::HashSet::new();
        for slot in 0..1000_usize {
            let canary = canary(core::ptr::without_provenance(0x7000_0000 + slot * 16), 10 + slot % 3);
            assert!(!canary.contains(&0) && seen.insert(canary));
        }
    }

    #[test]
    fn an_end_that_moves_leaves_zeros() {
        let mut room = [7_u8; 64];
        room[20..].fill(0);
        let block = room.as_mut_ptr();
        // SAFETY: a room of 64 bytes, zero from byte 20 on.
        unsafe {
            seal(block, 20, 64);
            check(block, 20, 64);
            move_end(block, 20, 5, 64);
            check(block, 5, 64);
            assert!((0..5).all(|at| *block.add(at) == 7));
            move_end(block, 5, 60, 64);
            check(block, 60, 64);
            assert!((5..60).all(|at| *block.add(at) == 0));
            move_end(block, 60, 64, 64);
            check(block, 64, 64);
            assert_eq!(room[63], 0);
        }
    }
}
