//! The assembler for aarch64 and its calling convention: `x` is in `x0`, `y` in `x1`, the result in `x0`.
//!
//! The top of the expression's stack is in `x9`, what lies below it on the machine's, 16 bytes each, since the stack
//! pointer must stay a multiple of that. `x10` has the right operand.

use super::expression::{Leaf, Operator};

/// Ends a function: `mov x0, x9; ret`.
pub(super) const RETURN: &[u8] = &[0xe0, 0x03, 0x09, 0xaa, 0xc0, 0x03, 0x5f, 0xd6];

/// `str x9, [sp, #-16]!`
pub(super) const SAVE: &[u8] = &[0xe9, 0x0f, 0x1f, 0xf8];

/// `mov x10, x9; ldr x9, [sp], #16`
pub(super) const RESTORE: &[u8] = &[0xea, 0x03, 0x09, 0xaa, 0xe9, 0x07, 0x41, 0xf8];

/// `neg x9, x9`
pub(super) const NEGATE: &[u8] = &[0xe9, 0x03, 0x09, 0xcb];

/// Loads a value as the top of the stack.
pub(super) fn load_top(leaf: Leaf, code: &mut impl Extend<u8>) {
    load(leaf, 9, code);
}

/// Loads a value as the right operand.
pub(super) fn load_right(leaf: Leaf, code: &mut impl Extend<u8>) {
    load(leaf, 10, code);
}

fn load(leaf: Leaf, register: u32, code: &mut impl Extend<u8>) {
    let mut emit = |instruction: u32| code.extend(instruction.to_le_bytes());
    match leaf {
        Leaf::X => emit(0xaa00_03e0 | register), // mov register, x0
        Leaf::Y => emit(0xaa01_03e0 | register), // mov register, x1
        Leaf::Number(number) => {
            // movz register, #first; movk register, #next, lsl #16 and so on: a quarter each.
            let quarter = |n: u32| (number as u64 >> (16 * n)) as u32 & 0xffff;
            emit(0xd280_0000 | quarter(0) << 5 | register);
            for n in 1..4 {
                emit(0xf280_0000 | n << 21 | quarter(n) << 5 | register);
            }
        }
    }
}

/// The top of the stack becomes the result of an operation on it and the right operand.
pub(super) fn apply(operator: Operator, code: &mut impl Extend<u8>) {
    let instruction: u32 = match operator {
        Operator::Add => 0x8b0a_0129,      // add x9, x9, x10
        Operator::Subtract => 0xcb0a_0129, // sub x9, x9, x10
        Operator::Multiply => 0x9b0a_7d29, // mul x9, x9, x10
    };
    code.extend(instruction.to_le_bytes());
}
