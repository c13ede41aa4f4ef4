//! A library with the allocator in it, loaded and unloaded by a host on malloc.

mod host;

#[test]
fn a_library_with_the_allocator_can_be_unloaded() {
    host::load_and_unload();
}
