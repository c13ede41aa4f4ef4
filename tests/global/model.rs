//! Blocks that know what is in them, and a source of layouts.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::hint::black_box;
use std::ops::Range;

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;
pub(crate) const LARGEST: usize = 64 * MIB;

/// Where the routes meet, or may: small limits, slab classes, pages, growth slots, huge units, mappings.
pub(crate) const BOUNDARIES: [usize; 14] =
    [16, 256, 512, KIB, 2 * KIB, 4 * KIB, 32 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, MIB, 2 * MIB, 4 * MIB, LARGEST];

/// Contents are written and compared in pieces of this size.
const PIECE: usize = 4 * KIB;
/// Up to this size every byte is written and compared, beyond it one piece in sixteen and the end.
const WHOLE: usize = 256 * KIB;

/// A live allocation with known contents: its pieces are full of one byte and begin with a number, so that a block in
/// the wrong place, or a piece of one, cannot pass for the right one.
#[derive(Debug)]
pub(crate) struct Block {
    ptr: *mut u8,
    layout: Layout,
    seed: u64,
}

// SAFETY: a block owns its memory, as a `Box<[u8]>` does.
unsafe impl Send for Block {}

impl Block {
    /// `None` if the allocator has no memory. Panics if what it gives is not aligned, or not zero where it must be.
    pub(crate) fn try_new(layout: Layout, zeroed: bool, seed: u64) -> Option<Self> {
        assert_ne!(layout.size(), 0);
        // SAFETY: the size is not zero.
        let ptr = black_box(unsafe { if zeroed { alloc_zeroed(layout) } else { alloc(layout) } });
        if ptr.is_null() {
            return None;
        }
        assert_eq!(ptr as usize % layout.align(), 0, "{layout:?} at {ptr:?} is not aligned");
        let mut block = Self { ptr, layout, seed };
        if zeroed {
            block.assert_zero();
        }
        block.write(0);
        Some(block)
    }

    pub(crate) fn new(layout: Layout, zeroed: bool, seed: u64) -> Self {
        Self::try_new(layout, zeroed, seed).unwrap_or_else(|| panic!("no memory for {layout:?}"))
    }

    pub(crate) fn range(&self) -> Range<usize> {
        let start = self.ptr as usize;
        start..start + self.layout.size()
    }

    /// Changes the size and checks that the contents came along; `false`, and all as before, if there is no memory.
    pub(crate) fn try_resize(&mut self, size: usize) -> bool {
        // SAFETY: the block is live with this layout, and the new size is neither zero nor past `isize::MAX`.
        let ptr = black_box(unsafe { realloc(self.ptr, self.layout, size) });
        if ptr.is_null() {
            self.check();
            return false;
        }
        let align = self.layout.align();
        assert_eq!(ptr as usize % align, 0, "realloc to {size} bytes at {ptr:?} is not aligned to {align}");
        let old = self.layout.size();
        self.ptr = ptr;
        self.layout = Layout::from_size_align(size, align).expect("a valid size");
        let kept = old.min(size);
        places(old).filter(|piece| piece.end <= kept).for_each(|piece| self.compare(piece));
        self.write(kept);
        true
    }

    pub(crate) fn resize(&mut self, size: usize) {
        assert!(self.try_resize(size), "no memory for {size} bytes");
    }

    /// Panics if the contents are not what was written.
    pub(crate) fn check(&self) {
        places(self.layout.size()).for_each(|piece| self.compare(piece));
    }

    /// Checks the contents and gives the memory back.
    pub(crate) fn free(self) {
        self.check();
        // SAFETY: the block is live with this layout, and gone after this.
        unsafe { dealloc(self.ptr, self.layout) };
    }

    fn expected(&self, piece: Range<usize>) -> ([u8; PIECE], usize) {
        let len = piece.len();
        let mut bytes = [self.seed as u8 | 1; PIECE];
        let stamp = (self.seed ^ (piece.start as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_ne_bytes();
        let stamped = len.min(stamp.len());
        bytes[..stamped].copy_from_slice(&stamp[..stamped]);
        (bytes, len)
    }

    /// Fills the places from the piece that holds `from` onwards.
    fn write(&mut self, from: usize) {
        let from = from.saturating_sub(1) / PIECE * PIECE;
        for piece in places(self.layout.size()).filter(|piece| piece.end > from) {
            let start = piece.start;
            let (bytes, len) = self.expected(piece);
            // SAFETY: `places` are inside the block, which is live, and the array is at least `len` long.
            unsafe { self.ptr.add(start).copy_from_nonoverlapping(bytes.as_ptr(), len) };
        }
    }

    fn compare(&self, piece: Range<usize>) {
        let (bytes, len) = self.expected(piece.clone());
        if self.slice(piece.clone()) != &bytes[..len] {
            let found = &self.slice(piece.clone())[..len.min(16)];
            panic!("{self:?}: contents changed at {piece:?}: {found:x?}, not {:x?}", &bytes[..len.min(16)]);
        }
    }

    fn assert_zero(&self) {
        let zeros = [0; PIECE];
        let size = self.layout.size();
        // A little of every page besides: what is left of another block may be anywhere.
        let pages = (0..size).step_by(PIECE).map(|start| start..(start + 64).min(size));
        for piece in places(size).chain(pages) {
            let found = self.slice(piece.clone());
            assert!(found == &zeros[..piece.len()], "{self:?}: not zero in {piece:?}");
        }
    }

    fn slice(&self, piece: Range<usize>) -> &[u8] {
        // SAFETY: the piece is inside the block, which is live, and has been written or zeroed.
        unsafe { std::slice::from_raw_parts(self.ptr.add(piece.start), piece.len()) }
    }
}

/// The pieces of a block of `size` bytes that are written and compared: where they begin does not depend on the size, but
/// for the last one.
fn places(size: usize) -> impl Iterator<Item = Range<usize>> {
    let last = (size - 1) / PIECE;
    let whole = (0..last.min(WHOLE / PIECE)).chain((WHOLE / PIECE..last).step_by(16));
    whole.map(|piece| piece * PIECE..(piece + 1) * PIECE).chain(std::iter::once(last * PIECE..size))
}

/// A small generator of numbers for the tests that need none that shrink: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Small ones often, then all magnitudes up to `largest`, and what is next to a boundary.
    pub(crate) fn size(&mut self, largest: usize) -> usize {
        let size = match self.below(8) {
            0..4 => 1 + self.below(KIB),
            4 | 5 => BOUNDARIES[self.below(BOUNDARIES.len())] + self.below(33) - 16,
            _ => 1 << self.below(27) | self.below(KIB),
        };
        size.clamp(1, largest)
    }

    pub(crate) fn layout(&mut self, largest: usize) -> Layout {
        let align = match self.below(8) {
            0..6 => 1 << self.below(5),
            6 => 1 << self.below(13),
            _ => 1 << self.below(22),
        };
        Layout::from_size_align(self.size(largest), align).expect("a valid layout")
    }
}
