//! Failing calls on demand, in builds with `--cfg mapalloc_faults` (see `scripts/faults`): every call of this room that can
//! fail first asks a plan whether it does.
//!
//! A call that fails by the plan is not made, so it has changed nothing, as the head of the room promises. There is one plan
//! for the process; a child of `fork` goes on with a copy of it. Nothing here allocates or locks. Calls that the room makes
//! for its own purposes (an alignment that is cut out of a wider mapping) are a part of the call that is asked for.
//!
//! Invariant: `ACTIVE` is set last and cleared first, so that a call on another thread meets a whole plan or none.

use super::{Errno, LockTime, NewPages, PageAdvice, Placement, Protection, platform, posix};
use core::ffi::CStr;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};

macro_rules! calls {
    ($($(#[$about:meta])* $name:ident),* $(,)?) => {
        /// The calls that can fail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Call {
            $($(#[$about])* $name),*
        }

        impl Call {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

calls! {
    /// New pages.
    Map,
    /// New pages at a certain address.
    MapAt,
    /// Pages that the kernel cannot read.
    MapSecret,
    /// New addresses.
    Reserve,
    /// New addresses in a certain place.
    ReserveAt,
    /// Giving pages and their addresses back.
    Unmap,
    /// The same for the end of a mapping.
    UnmapTail,
    /// Changing access.
    Protect,
    /// Advice, giving memory back among it.
    Advise,
    /// Changing the length.
    Remap,
    /// Moving pages.
    MovePages,
    /// Locking into memory.
    Lock,
    /// Unlocking.
    Unlock,
    /// Naming.
    Name,
    /// NUMA placement.
    Place,
    /// Sealing.
    Seal,
    /// Asking which pages are resident.
    Residency,
    /// Random numbers.
    Random,
    /// Registering handlers for `fork`.
    AtFork,
    /// A key for thread-specific values.
    ExitKeyNew,
    /// Setting a thread-specific value.
    ExitKeySet,
    /// Starting a thread.
    Spawn,
}

/// Which of the calls that a plan is about fail. The first is number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// That one alone.
    Nth(u64),
    /// That one and all after it.
    From(u64),
    /// One in so many, by a generator with this seed.
    OneIn(u64, u64),
}

/// What is to fail, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which of the calls.
    pub which: Which,
    /// Calls of this kind only are counted and fail.
    pub of: Option<Call>,
    /// The calls of the thread that sets the plan only.
    pub this_thread: bool,
    /// What a failed call answers.
    pub errno: i32,
}

impl Plan {
    /// A plan for all calls of all threads.
    pub const fn new(which: Which, errno: i32) -> Self {
        Self { which, of: None, this_thread: false, errno }
    }
}

const KINDS: usize = Call::ALL.len();

const NTH: usize = 0;
const FROM: usize = 1;
const ONE_IN: usize = 2;

static ACTIVE: AtomicBool = AtomicBool::new(false);
static MODE: AtomicUsize = AtomicUsize::new(NTH);
static NUMBER: AtomicU64 = AtomicU64::new(0);
static SEED: AtomicU64 = AtomicU64::new(0);
/// The kind that the plan is about, or one that there is not.
static KIND: AtomicUsize = AtomicUsize::new(KINDS);
/// The thread that the plan is about, or zero.
static THREAD: AtomicUsize = AtomicUsize::new(0);
static ERRNO: AtomicI32 = AtomicI32::new(0);
/// The number of the next call that the plan is about.
static NEXT: AtomicU64 = AtomicU64::new(0);
static MADE: [AtomicU64; KINDS] = [const { AtomicU64::new(0) }; KINDS];
static FAILED: [AtomicU64; KINDS] = [const { AtomicU64::new(0) }; KINDS];

/// Something of every thread's own, whose address tells threads apart.
fn this_thread() -> usize {
    std::thread_local! {
        static HERE: u8 = const { 0 };
    }
    HERE.with(|here| core::ptr::from_ref(here).addr())
}

/// Has calls fail by this plan from here on, and counts them from zero.
pub fn set(plan: Plan) {
    clear();
    let (mode, number, seed) = match plan.which {
        Which::Nth(number) => (NTH, number, 0),
        Which::From(number) => (FROM, number, 0),
        Which::OneIn(number, seed) => (ONE_IN, number.max(1), seed),
    };
    MODE.store(mode, SeqCst);
    NUMBER.store(number, SeqCst);
    SEED.store(seed, SeqCst);
    KIND.store(plan.of.map_or(KINDS, |call| call as usize), SeqCst);
    THREAD.store(if plan.this_thread { this_thread() } else { 0 }, SeqCst);
    ERRNO.store(plan.errno, SeqCst);
    NEXT.store(0, SeqCst);
    MADE.iter().chain(&FAILED).for_each(|count| count.store(0, SeqCst));
    ACTIVE.store(true, SeqCst);
}

/// Counts calls from zero, of which none fails.
pub fn count() {
    set(Plan::new(Which::Nth(u64::MAX), 0));
}

/// Has no call fail any more. The counts stay as they are.
pub fn clear() {
    ACTIVE.store(false, SeqCst);
}

/// The calls that the plan was about, those that failed among them.
pub fn calls() -> u64 {
    NEXT.load(SeqCst)
}

/// Calls of a kind since the plan was set, by any thread, failed ones among them.
pub fn made(call: Call) -> u64 {
    MADE[call as usize].load(SeqCst)
}

/// Calls of a kind that have failed by the plan.
pub fn failed(call: Call) -> u64 {
    FAILED[call as usize].load(SeqCst)
}

/// Whether a call is made, or fails with an error number.
pub(super) fn decide(call: Call) -> Result<(), Errno> {
    if !ACTIVE.load(SeqCst) {
        return Ok(());
    }
    MADE[call as usize].fetch_add(1, SeqCst);
    let (kind, thread) = (KIND.load(SeqCst), THREAD.load(SeqCst));
    if (kind != KINDS && kind != call as usize) || (thread != 0 && thread != this_thread()) {
        return Ok(());
    }
    let at = NEXT.fetch_add(1, SeqCst);
    let number = NUMBER.load(SeqCst);
    let fails = match MODE.load(SeqCst) {
        NTH => at == number,
        FROM => at >= number,
        _ => mix(SEED.load(SeqCst) ^ at.wrapping_mul(0x9E37_79B9_7F4A_7C15)).is_multiple_of(number),
    };
    if !fails {
        return Ok(());
    }
    FAILED[call as usize].fetch_add(1, SeqCst);
    Err(ERRNO.load(SeqCst))
}

/// Spreads the bits of a number (Stafford, Better bit mixing, variant 13).
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// Functions of the same names as those of a file of this room, which they call if the plan lets them.
macro_rules! wrap {
    ($($call:ident: [$($unsafe:tt)?] $file:ident::$name:ident($($argument:ident: $kind:ty),* $(,)?) -> $answer:ty;)*) => {$(
        #[allow(unused_unsafe, reason = "some of them are safe")]
        pub(crate) $($unsafe)? fn $name($($argument: $kind),*) -> Result<$answer, Errno> {
            decide(Call::$call)?;
            // SAFETY: the caller's contract.
            unsafe { $file::$name($($argument),*) }
        }
    )*};
}

wrap! {
    Map: [] platform::map(len: usize, align: usize, how: NewPages) -> NonNull<u8>;
    MapAt: [] platform::map_at(base: NonNull<u8>, len: usize, huge: usize) -> ();
    MapSecret: [] platform::map_secret(len: usize) -> NonNull<u8>;
    Reserve: [] platform::reserve(len: usize, align: usize, lead: usize) -> NonNull<u8>;
    ReserveAt: [] platform::reserve_at(base: NonNull<u8>, len: usize) -> ();
    Unmap: [unsafe] platform::unmap(base: NonNull<u8>, len: usize) -> ();
    UnmapTail: [unsafe] platform::unmap_tail(base: NonNull<u8>, len: usize, from: usize) -> ();
    Protect: [unsafe] platform::protect(base: NonNull<u8>, len: usize, protection: Protection) -> ();
    Advise: [unsafe] platform::advise(base: NonNull<u8>, len: usize, advice: PageAdvice) -> ();
    Remap: [unsafe] platform::remap(base: NonNull<u8>, len: usize, new_len: usize, may_move: bool) -> NonNull<u8>;
    MovePages: [unsafe] platform::move_pages(base: NonNull<u8>, len: usize, hint: NonNull<u8>) -> NonNull<u8>;
    Lock: [unsafe] platform::lock(base: NonNull<u8>, len: usize, time: LockTime) -> ();
    Unlock: [unsafe] platform::unlock(base: NonNull<u8>, len: usize) -> ();
    Name: [unsafe] platform::name(base: NonNull<u8>, len: usize, name: &CStr) -> ();
    Place: [unsafe] platform::place(base: NonNull<u8>, len: usize, placement: Placement, nodes: u64) -> ();
    Seal: [unsafe] platform::seal(base: NonNull<u8>, len: usize) -> ();
    Residency: [unsafe] platform::residency(base: NonNull<u8>, len: usize, resident: &mut [u8]) -> ();
    Random: [] platform::random(bytes: &mut [u8]) -> ();
    AtFork: [] posix::at_fork(
        prepare: unsafe extern "C" fn(),
        parent: unsafe extern "C" fn(),
        child: unsafe extern "C" fn(),
    ) -> ();
}
