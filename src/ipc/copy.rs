//! Bytes copied in and out of memory that another process may write to against all rules: by atomics, so that whatever it
//! does is no more than wrong bytes.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

const WORD: usize = size_of::<u64>();

/// Copies bytes out. Each is one that was there during the call; together they need not have been.
///
/// # Safety
/// `source` points to `target.len()` bytes that are mapped, and that nobody in this process writes to meanwhile.
pub(super) unsafe fn load(source: *const u8, target: &mut [u8]) {
    let (head, words, tail) = parts(source, target.len());
    let (target_head, rest) = target.split_at_mut(head);
    let (target_words, target_tail) = rest.split_at_mut(words * WORD);
    // SAFETY: the caller's contract; the words are aligned, and the parts lie one behind the other within the bytes.
    unsafe {
        load_bytes(source, target_head);
        let middle = source.add(head).cast::<AtomicU64>();
        for (word, bytes) in target_words.chunks_exact_mut(WORD).enumerate() {
            bytes.copy_from_slice(&(*middle.add(word)).load(Relaxed).to_ne_bytes());
        }
        load_bytes(source.add(head + words * WORD), target_tail);
    }
    debug_assert_eq!(head + words * WORD + tail, target.len());
}

/// Copies bytes in.
///
/// # Safety
/// `target` points to `source.len()` bytes that are mapped and may be written to, and that nobody else in this process uses
/// meanwhile.
pub(super) unsafe fn store(source: &[u8], target: *mut u8) {
    let (head, words, _) = parts(target, source.len());
    let (source_head, rest) = source.split_at(head);
    let (source_words, source_tail) = rest.split_at(words * WORD);
    // SAFETY: as in `load`.
    unsafe {
        store_bytes(source_head, target);
        let middle = target.add(head).cast::<AtomicU64>();
        for (word, bytes) in source_words.chunks_exact(WORD).enumerate() {
            let mut value = [0; WORD];
            value.copy_from_slice(bytes);
            (*middle.add(word)).store(u64::from_ne_bytes(value), Relaxed);
        }
        store_bytes(source_tail, target.add(head + words * WORD));
    }
}

/// The bytes before the first aligned word, the whole words, and the bytes behind them.
fn parts(address: *const u8, len: usize) -> (usize, usize, usize) {
    let head = (address.addr().wrapping_neg() & (WORD - 1)).min(len);
    let words = (len - head) / WORD;
    (head, words, len - head - words * WORD)
}

/// # Safety
/// As for [`load`].
unsafe fn load_bytes(source: *const u8, target: &mut [u8]) {
    for (at, byte) in target.iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        *byte = unsafe { (*source.add(at).cast::<AtomicU8>()).load(Relaxed) };
    }
}

/// # Safety
/// As for [`store`].
unsafe fn store_bytes(source: &[u8], target: *mut u8) {
    for (at, byte) in source.iter().enumerate() {
        // SAFETY: the caller's contract.
        unsafe { (*target.add(at).cast::<AtomicU8>()).store(*byte, Relaxed) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn copies_are_exact_at_every_alignment_and_length() {
        let mut shared = std::vec![0_u8; 64];
        for start in 0..16 {
            for len in 0..40 {
                shared.fill(0);
                let bytes: Vec<u8> = (1..=len).collect();
                let mut back = std::vec![0; usize::from(len)];
                // SAFETY: within the vector, which nobody else uses.
                unsafe {
                    store(&bytes, shared.as_mut_ptr().add(start));
                    load(shared.as_ptr().add(start), &mut back);
                }
                assert_eq!(back, bytes);
                assert!(shared[..start].iter().chain(&shared[start + usize::from(len)..]).all(|&byte| byte == 0));
            }
        }
    }
}
