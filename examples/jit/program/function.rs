//! An expression as a function in machine code, in pages of its own.
//!
//! The pages are written while they are readable and writable, a `PageVec<u8>`, and called while they are readable and
//! executable, a `Protected`. They are never both, and the types say which they are.
//!
//! # Invariants
//! * **F1** `code` is instructions of this processor that do what an [`Expression`] says: they read the two arguments, write
//!   only registers that a called function may write and the stack below the return address, and return.
//! * **F2** Its last bytes are [`RETURN`](assembler::RETURN), and where they begin, the result is the top of the stack.

use super::assembler;
use super::expression::{Expression, Step};
use mapalloc::PageVec;
use mapalloc::map::{Protect, Protected, ReadExecute};

/// Machine code that can be changed.
pub(crate) struct Draft {
    code: PageVec<u8>,
}

/// Machine code that can be called.
pub(crate) struct Function {
    code: Protected<PageVec<u8>, ReadExecute>,
}

impl Draft {
    /// Compiles an expression.
    pub(crate) fn compile(expression: &Expression) -> Self {
        let mut code = PageVec::new();
        let mut steps = expression.steps().iter().copied().peekable();
        let mut is_empty = true;
        while let Some(step) = steps.next() {
            match step {
                Step::Push(leaf) => {
                    // What is used at once needs no place on the stack.
                    if let (false, Some(Step::Apply(operator))) = (is_empty, steps.peek().copied()) {
                        steps.next();
                        assembler::load_right(leaf, &mut code);
                        assembler::apply(operator, &mut code);
                        continue;
                    }
                    if !is_empty {
                        code.extend_from_slice(assembler::SAVE);
                    }
                    assembler::load_top(leaf, &mut code);
                    is_empty = false;
                }
                Step::Negate => code.extend_from_slice(assembler::NEGATE),
                Step::Apply(operator) => {
                    code.extend_from_slice(assembler::RESTORE);
                    assembler::apply(operator, &mut code);
                }
            }
        }
        // By E1 everything that was saved has been restored, so the return address is on top.
        code.extend_from_slice(assembler::RETURN);
        Self { code }
    }

    /// Patches the code in place, so that its result has the opposite sign.
    pub(crate) fn negate(&mut self) {
        self.code.truncate(self.code.len() - assembler::RETURN.len());
        self.code.extend_from_slice(assembler::NEGATE);
        self.code.extend_from_slice(assembler::RETURN);
    }

    /// Makes the pages executable, and no longer writable. The kernel refuses that where a policy forbids new code.
    pub(crate) fn finish(self) -> mapalloc::Result<Function> {
        Ok(Function { code: self.code.into_executable()? })
    }
}

impl Function {
    /// Runs the code.
    #[inline]
    pub(crate) fn call(&self, x: i64, y: i64) -> i64 {
        // SAFETY: the code begins at the first byte, and is a function of this signature and convention (F1). The pages are
        // executable, and since the instruction caches were brought up to date then, what runs is what was written.
        unsafe {
            let function: extern "C" fn(i64, i64) -> i64 = core::mem::transmute(self.code.as_ptr());
            function(x, y)
        }
    }

    /// The instructions.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.code
    }

    /// Makes the pages writable, and no longer executable.
    pub(crate) fn into_draft(self) -> mapalloc::Result<Draft> {
        Ok(Draft { code: self.code.into_writable()? })
    }
}
