//! The number of mappings (`vm.max_map_count`): many objects, and many boxes.

use super::child::in_child;
use super::model::{Block, KIB};
use super::process::mappings;
use super::{ROUTES, everything_works, layout};
use mapalloc::PageBox;
use mapalloc::map::{Fork, MapOptions};
use std::alloc::Layout;

#[test]
fn two_hundred_thousand_pages_freed_in_a_checkerboard_part_no_mappings() {
    in_child(concat!(module_path!(), "::two_hundred_thousand_pages_freed_in_a_checkerboard_part_no_mappings"), || {
        const COUNT: usize = 200_000;
        let layout = Layout::from_size_align(4 * KIB, 4 * KIB).expect("a layout");
        let before = mappings();
        let mut blocks: Vec<Option<Block>> = Vec::with_capacity(COUNT);
        blocks.extend((0..COUNT).map(|n| Block::try_new(layout, false, n as u64)));
        let got = blocks.iter().flatten().count();
        assert_eq!(got, COUNT, "memory for all of them is expected");
        blocks.iter_mut().step_by(2).for_each(|slot| slot.take().into_iter().for_each(Block::free));
        super::GLOBAL.purge();
        let parted = mappings();
        assert!(parted < before + 100, "{parted} mappings, {before} before");
        // The gaps are as good as new.
        for n in (0..COUNT).step_by(2) {
            blocks[n] = Some(Block::new(layout, n % 4 == 0, n as u64));
        }
        blocks.into_iter().flatten().for_each(Block::free);
        everything_works();
    });
}

#[test]
fn a_hundred_thousand_guarded_boxes_or_an_error() {
    in_child(concat!(module_path!(), "::a_hundred_thousand_guarded_boxes_or_an_error"), || {
        const COUNT: usize = 100_000;
        let most: usize =
            std::fs::read_to_string("/proc/sys/vm/max_map_count").expect("procfs").trim().parse().expect("a number");
        // Guards that are areas of their own: two areas a box, with what lies between neighbours.
        let options = MapOptions::new().guard_pages(1, 1).on_fork(Fork::Wipe);
        let before = mappings();
        let mut boxes = Vec::with_capacity(COUNT);
        let mut refused = 0_usize;
        for n in 0..COUNT {
            match PageBox::with_options(n, options) {
                Ok(boxed) => boxes.push((n, boxed)),
                Err(_) => refused += 1,
            }
        }
        // At the limit, whatever is given is good.
        let mut blocks = Vec::new();
        if blocks.try_reserve(100).is_ok() {
            for n in 0..100 {
                blocks.extend(Block::try_new(layout(ROUTES[n % ROUTES.len()]), n % 2 == 0, n as u64));
            }
            blocks.iter_mut().for_each(|block| _ = block.try_resize(7 << 20));
        }
        blocks.drain(..).for_each(Block::free);
        assert!(boxes.iter().all(|(n, boxed)| **boxed == *n), "contents changed");
        let made = boxes.len();
        // Every other one first, so that each leaves a gap.
        let mut odd = false;
        boxes.retain(|_| {
            odd = !odd;
            odd
        });
        assert!(boxes.iter().all(|(n, boxed)| **boxed == *n), "contents changed");
        drop(boxes);
        assert!(mappings() < before + 100, "{} mappings, {before} before", mappings());
        assert_eq!(made + refused, COUNT);
        assert!(made * 4 >= most.min(2 * COUNT), "only {made} boxes, of {most} mappings");
        assert!(refused > 0 || most > 2 * COUNT, "no box was refused, of {most} mappings");
        everything_works();
    });
}
