//! Size classes: how small requests are rounded, as tables computed at compile time.
//!
//! Steps of 8 bytes to 64, of 16 to 256, then eight classes a doubling to 32 KiB: at most 11 % of an object of more than
//! 64 bytes is padding. The 8-byte steps are possible since a `Layout` says when 8 bytes of alignment are enough, and 24,
//! 40 and 56 bytes are common sizes of Rust values.
//!
//! Invariants, asserted below for every size and alignment:
//! * **C1** the class of `n` bytes is the smallest that holds `n`;
//! * **C2** if `n` is a multiple of a power of two `a`, so is the size of its class: slabs start at multiples of their
//!   own size, so that every object of a class has every alignment that its size has, up to the slab's.

/// The largest request that a size class serves, in bytes.
pub(crate) const MAX_CLASS_SIZE: usize = 32 << 10;

/// The number of size classes.
pub(crate) const CLASSES: usize = 8 + 12 + 56;

/// A slab is made of 64 KiB units, and starts at a multiple of this.
pub(crate) const SLAB_UNIT: usize = 64 << 10;

/// The table has an entry for every 8 bytes.
const STEP: usize = 8;
const TABLE_LEN: usize = MAX_CLASS_SIZE / STEP + 1;

/// The table holds classes times this: the size of what the fast path indexes by class, so that it need not multiply.
pub(super) const SCALE: usize = 32;

const fn sizes() -> [u32; CLASSES] {
    let mut sizes = [0; CLASSES];
    let (mut class, mut size) = (0, 0u32);
    while class < CLASSES {
        let step = if size < 64 {
            8
        } else if size < 256 {
            16
        } else {
            1 << (size.ilog2() - 3)
        };
        size += step;
        sizes[class] = size;
        class += 1;
    }
    sizes
}

pub(super) static SIZES: [u32; CLASSES] = sizes();

const fn table() -> [u16; TABLE_LEN] {
    let sizes = sizes();
    let mut table = [0; TABLE_LEN];
    let (mut index, mut class) = (0, 0);
    while index < TABLE_LEN {
        while (sizes[class] as usize) < index * STEP {
            class += 1;
        }
        table[index] = (class * SCALE) as u16;
        index += 1;
    }
    table
}

static TABLE: [u16; TABLE_LEN] = table();

/// The class that serves `bytes`, a size rounded up to its alignment, from 1 to [`MAX_CLASS_SIZE`].
#[inline(always)]
pub(crate) fn class_of(bytes: usize) -> usize {
    debug_assert!(0 < bytes && bytes <= MAX_CLASS_SIZE);
    // The callers have compared `bytes` with the limit, from which the compiler knows that the index is in the table.
    let scaled = usize::from(TABLE[bytes.div_ceil(STEP)]);
    // SAFETY: every entry of the table is a class times the scale, as asserted at compile time.
    unsafe { core::hint::assert_unchecked(scaled.is_multiple_of(SCALE) && scaled / SCALE < CLASSES) };
    scaled / SCALE
}

/// The size of a class in bytes.
#[inline(always)]
pub(crate) fn size_of_class(class: usize) -> usize {
    SIZES[class] as usize
}

/// The size in bytes of a slab of a class: enough for at least eight objects.
pub(crate) const fn slab_bytes(class_size: usize) -> usize {
    if class_size <= 8 << 10 {
        SLAB_UNIT
    } else if class_size <= 16 << 10 {
        2 * SLAB_UNIT
    } else {
        4 * SLAB_UNIT
    }
}

/// `offset / size` for an offset within a slab, by multiplication: the reciprocal of a class, in 2^-40.
const fn reciprocals() -> [u64; CLASSES] {
    let sizes = sizes();
    let mut reciprocals = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        reciprocals[class] = (1u64 << 40).div_ceil(sizes[class] as u64);
        class += 1;
    }
    reciprocals
}

static RECIPROCALS: [u64; CLASSES] = reciprocals();

/// The number of the object of `class` that holds the byte at `offset` of a slab.
#[inline(always)]
pub(crate) fn object_at(class: usize, offset: usize) -> usize {
    ((offset as u64 * RECIPROCALS[class]) >> 40) as usize
}

// C1 at the ends; C2 holds for all sizes if it holds for every class, since a class is the smallest multiple of its own
// step that holds the request.
const _: () = {
    let sizes = sizes();
    assert!(sizes[0] == 8);
    assert!(sizes[CLASSES - 1] as usize == MAX_CLASS_SIZE);
    let mut class = 0;
    while class < CLASSES {
        assert!(slab_bytes(sizes[class] as usize) / sizes[class] as usize >= 8);
        class += 1;
    }
    let mut index = 0;
    while index < TABLE_LEN {
        assert!((TABLE[index] as usize).is_multiple_of(SCALE) && (TABLE[index] as usize) / SCALE < CLASSES);
        index += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for bytes in 1..=MAX_CLASS_SIZE {
            let class = class_of(bytes);
            assert!(size_of_class(class) >= bytes, "{bytes}");
            assert!(class == 0 || size_of_class(class - 1) < bytes, "{bytes}");
        }
    }

    #[test]
    fn a_class_is_as_aligned_as_what_it_serves() {
        for bytes in 1..=MAX_CLASS_SIZE {
            let align = 1 << bytes.trailing_zeros();
            assert_eq!(size_of_class(class_of(bytes)) % align, 0, "{bytes}");
        }
    }

    #[test]
    fn padding_is_at_most_an_eighth_above_64_bytes() {
        for bytes in 65..=MAX_CLASS_SIZE {
            let size = size_of_class(class_of(bytes));
            assert!((size - bytes) * 8 <= size + 8 * 15, "{bytes} in {size}");
        }
    }

    #[test]
    fn division_by_multiplication_is_exact() {
        for class in 0..CLASSES {
            let size = size_of_class(class);
            for offset in 0..slab_bytes(size) {
                assert_eq!(object_at(class, offset), offset / size, "{offset} / {size}");
            }
        }
    }
}
