//! A library with the allocator in it, loaded and unloaded by a host that has the allocator too.

use mapalloc::PageAlloc;

mod host;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_small_limit(0);

#[test]
fn a_library_with_the_allocator_can_be_unloaded_from_a_host_with_another() {
    host::load_and_unload();
    // The host's own heap is another: what the plugin left is not its.
    assert_eq!(GLOBAL.stats().fallback.live, 0);
}
