//! The assembler for x86-64 and the System V calling convention: `x` is in `rdi`, `y` in `rsi`, the result in `rax`.
//!
//! The top of the expression's stack is in `rax`, what lies below it on the machine's. `rcx` has the right operand.

use super::expression::{Leaf, Operator};

/// Ends a function: `ret`.
pub(super) const RETURN: &[u8] = &[0xc3];

/// `push rax`
pub(super) const SAVE: &[u8] = &[0x50];

/// `mov rcx, rax; pop rax`
pub(super) const RESTORE: &[u8] = &[0x48, 0x89, 0xc1, 0x58];

/// `neg rax`
pub(super) const NEGATE: &[u8] = &[0x48, 0xf7, 0xd8];

/// Loads a value as the top of the stack.
pub(super) fn load_top(leaf: Leaf, code: &mut impl Extend<u8>) {
    match leaf {
        Leaf::X => code.extend([0x48, 0x89, 0xf8]), // mov rax, rdi
        Leaf::Y => code.extend([0x48, 0x89, 0xf0]), // mov rax, rsi
        Leaf::Number(number) => {
            code.extend([0x48, 0xb8]); // mov rax, imm64
            code.extend(number.to_le_bytes());
        }
    }
}

/// Loads a value as the right operand.
pub(super) fn load_right(leaf: Leaf, code: &mut impl Extend<u8>) {
    match leaf {
        Leaf::X => code.extend([0x48, 0x89, 0xf9]), // mov rcx, rdi
        Leaf::Y => code.extend([0x48, 0x89, 0xf1]), // mov rcx, rsi
        Leaf::Number(number) => {
            code.extend([0x48, 0xb9]); // mov rcx, imm64
            code.extend(number.to_le_bytes());
        }
    }
}

/// The top of the stack becomes the result of an operation on it and the right operand.
pub(super) fn apply(operator: Operator, code: &mut impl Extend<u8>) {
    match operator {
        Operator::Add => code.extend([0x48, 0x01, 0xc8]),      // add rax, rcx
        Operator::Subtract => code.extend([0x48, 0x29, 0xc8]), // sub rax, rcx
        Operator::Multiply => code.extend([0x48, 0x0f, 0xaf, 0xc1]), // imul rax, rcx
    }
}
