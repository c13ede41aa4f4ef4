//! Any list of calls to `PageAlloc` and `Mapping` under any plan of failing system calls.
//!
//! ```text
//! RUSTFLAGS="--cfg mapalloc_faults" cargo +nightly fuzz run faults -- -max_total_time=60 -max_len=4096
//! ```
//!
//! Without that setting there is nothing that fails, and the target says so. Checked: a block is null or aligned, zero where
//! it must be and keeps its contents; and when all is freed, the routes' figures are back at the start.
#![no_main]

#[cfg(mapalloc_faults)]
mod target {
    use arbitrary::{Arbitrary, Unstructured};
    use mapalloc::PageAlloc;
    use mapalloc::faults::{self, Call, Plan, Which};
    use mapalloc::map::{Fork, MapOptions, Mapping};
    use std::alloc::{GlobalAlloc, Layout};

    static HEAP: PageAlloc = PageAlloc::new().with_small_limit(0).with_background_thread(false);

    const PAGE: usize = 4096;
    const LARGEST: usize = 40 << 20;
    const MOST_LIVE_BYTES: usize = 256 << 20;
    const ERRNOS: [i32; 7] = [1, 11, 12, 14, 16, 22, 38];

    #[derive(Arbitrary, Debug)]
    pub(crate) enum Step {
        Plan(Faults),
        Alloc { zeroed: bool, size: Size, align: Align },
        Realloc { which: u16, size: Size },
        Free { which: u16 },
        Purge,
        Map { guarded: bool, omitted: bool, pages: u8 },
        Resize { which: u8, in_place: bool, pages: u8 },
        Unmap { which: u8 },
    }

    /// A plan.
    #[derive(Debug)]
    pub(crate) struct Faults(Plan);

    impl<'a> Arbitrary<'a> for Faults {
        fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
            let which = match u.int_in_range(0..=2_u8)? {
                0 => Which::Nth(u.int_in_range(0..=60)?),
                1 => Which::From(u.int_in_range(0..=60)?),
                _ => Which::OneIn(u.int_in_range(1..=40)?, u.arbitrary::<u32>()?.into()),
            };
            let of = if u.arbitrary()? { Some(*u.choose(Call::ALL)?) } else { None };
            Ok(Self(Plan { which, of, this_thread: true, errno: *u.choose(&ERRNOS)? }))
        }
    }

    /// Small ones, any up to the largest, and those within 16 bytes of a power of two.
    #[derive(Debug)]
    pub(crate) struct Size(usize);

    impl<'a> Arbitrary<'a> for Size {
        fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
            let size = match u.int_in_range(0..=3_u8)? {
                0 => u.int_in_range(1..=2000)?,
                1 => u.int_in_range(1..=LARGEST)?,
                _ => ((1_usize << u.int_in_range(5..=25_u32)?) + u.int_in_range(0..=32_usize)?).saturating_sub(16),
            };
            Ok(Self(size.clamp(1, LARGEST)))
        }
    }

    #[derive(Debug)]
    pub(crate) struct Align(usize);

    impl<'a> Arbitrary<'a> for Align {
        fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
            let most = if u.ratio(3, 4)? { 4 } else { 21 };
            Ok(Self(1 << u.int_in_range(0..=most)?))
        }
    }

    struct Object {
        ptr: *mut u8,
        layout: Layout,
        seed: u8,
    }

    /// The ends of an object and of some of its pages.
    fn places(size: usize) -> impl Iterator<Item = usize> {
        let pages = (0..).map(|n: usize| if n < 8 { n * PAGE } else { (n - 7) * 128 * PAGE });
        pages.take_while(move |&at| at < size).flat_map(move |at| at..(at + 16).min(size)).chain([size - 1])
    }

    impl Object {
        fn byte(&self, at: usize) -> u8 {
            self.seed.wrapping_add((at / PAGE) as u8) | 1
        }

        fn write(&mut self) {
            // SAFETY: `places` are inside the object.
            places(self.layout.size()).for_each(|at| unsafe { self.ptr.add(at).write(self.byte(at)) });
        }

        fn check(&self, size: usize, kept: usize) {
            for at in places(size).filter(|&at| at < kept) {
                // SAFETY: inside the object, and written.
                assert_eq!(unsafe { self.ptr.add(at).read() }, self.byte(at), "{:?}: byte {at} changed", self.layout);
            }
        }

        fn free(self) {
            self.check(self.layout.size(), usize::MAX);
            // SAFETY: allocated with this layout, and gone after this.
            unsafe { HEAP.dealloc(self.ptr, self.layout) };
        }
    }

    #[derive(Default)]
    struct Model {
        objects: Vec<Object>,
        live_bytes: usize,
        pages: Vec<(u8, Mapping)>,
    }

    impl Model {
        fn remove(&mut self, which: u16) -> Option<Object> {
            if self.objects.is_empty() {
                return None;
            }
            let object = self.objects.swap_remove(usize::from(which) % self.objects.len());
            self.live_bytes -= object.layout.size();
            Some(object)
        }

        fn insert(&mut self, mut object: Object) {
            object.write();
            self.live_bytes += object.layout.size();
            self.objects.push(object);
        }

        fn step(&mut self, step: &Step, seed: u8) {
            match *step {
                Step::Plan(Faults(plan)) => faults::set(plan),
                Step::Alloc { zeroed, size: Size(size), align: Align(align) } => {
                    if self.live_bytes + size > MOST_LIVE_BYTES {
                        return;
                    }
                    let layout = Layout::from_size_align(size, align).expect("a valid layout");
                    // SAFETY: the size is not zero.
                    let ptr = unsafe { if zeroed { HEAP.alloc_zeroed(layout) } else { HEAP.alloc(layout) } };
                    if ptr.is_null() {
                        return;
                    }
                    assert_eq!(ptr.addr() % align, 0, "{layout:?} at {ptr:?}");
                    for at in places(size).filter(|_| zeroed) {
                        // SAFETY: inside the object, which is said to be zeroed.
                        assert_eq!(unsafe { ptr.add(at).read() }, 0, "{layout:?}: byte {at} is not zero");
                    }
                    self.insert(Object { ptr, layout, seed });
                }
                Step::Realloc { which, size: Size(size) } => {
                    let Some(mut object) = self.remove(which) else { return };
                    let old = object.layout.size();
                    // SAFETY: allocated with this layout; the new size is neither zero nor too large.
                    let ptr = unsafe { HEAP.realloc(object.ptr, object.layout, size) };
                    if ptr.is_null() {
                        object.check(old, old);
                    } else {
                        object.ptr = ptr;
                        object.layout = Layout::from_size_align(size, object.layout.align()).expect("a valid layout");
                        object.check(old, size);
                    }
                    self.insert(object);
                }
                Step::Free { which } => self.remove(which).into_iter().for_each(Object::free),
                Step::Purge => _ = HEAP.purge(),
                Step::Map { guarded, omitted, pages } => {
                    let options = MapOptions::new().guard_pages(usize::from(guarded), usize::from(guarded));
                    let options = options.on_fork(if omitted { Fork::Omit } else { Fork::Copy });
                    if let Ok(mut made) = options.map((1 + usize::from(pages)) * PAGE) {
                        assert!(made.iter().all(|&byte| byte == 0), "new pages are not zero");
                        made.fill(seed);
                        self.pages.push((seed, made));
                    }
                }
                Step::Resize { which, in_place, pages: to } => {
                    let count = self.pages.len().max(1);
                    let Some((seed, pages)) = self.pages.get_mut(usize::from(which) % count) else { return };
                    let (before, to) = (pages.len(), (1 + usize::from(to)) * PAGE);
                    _ = if to < before { pages.shrink(to) } else { Ok(()) };
                    _ = if in_place { pages.grow_in_place(to) } else { pages.grow(to) };
                    let kept = before.min(to).min(pages.len());
                    assert!(pages[..kept].iter().all(|byte| byte == seed), "contents changed");
                    pages.fill(*seed);
                }
                Step::Unmap { which } if !self.pages.is_empty() => {
                    self.pages.swap_remove(usize::from(which) % self.pages.len());
                }
                Step::Unmap { .. } => {}
            }
        }
    }

    pub(crate) fn run(steps: &[Step]) {
        let routes = || {
            let stats = HEAP.stats();
            [stats.fallback, stats.slab, stats.run, stats.large]
        };
        let before = routes();
        let mut model = Model::default();
        for (seed, step) in steps.iter().enumerate() {
            model.step(step, seed as u8);
        }
        model.objects.drain(..).for_each(Object::free);
        drop(model);
        faults::clear();
        assert_eq!(routes(), before, "everything was freed");
        HEAP.purge();
        // SAFETY: the size is not zero, and the object is freed with its layout.
        unsafe {
            let layout = Layout::from_size_align(100, 8).expect("a valid layout");
            let object = HEAP.alloc(layout);
            assert!(!object.is_null(), "no memory after the faults");
            HEAP.dealloc(object, layout);
        }
    }
}

#[cfg(mapalloc_faults)]
libfuzzer_sys::fuzz_target!(|steps: Vec<target::Step>| target::run(&steps));

#[cfg(not(mapalloc_faults))]
libfuzzer_sys::fuzz_target!(|_bytes: &[u8]| {
    eprintln!("nothing fails in this build: set RUSTFLAGS=\"--cfg mapalloc_faults\"");
    std::process::exit(1);
});
