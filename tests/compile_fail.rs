//! What must not compile: each file in `compile_fail`, with the compiler's words for why.

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
