//! Making a mapping as its options say.
//!
//! The order of the steps follows from what they exclude: guards go in before the pages are locked, since locked pages take
//! none; policies that decide which memory is used (NUMA, huge pages) come before anything that touches it.

use super::child::{count_forks, this_process};
use super::{Advice, Backing, Features, Fork, Granted, Guard, Lock, MapOptions, Mapping, Numa, RawMapping};
use crate::error::{Error, Operation, Result};
use crate::page::{checked_round_up, page_size};
use crate::sys::{self, Errno, LockTime, NewPages, PageAdvice, Placement, Protection};
use core::ops::Range;
use core::ptr::NonNull;

/// Where a new mapping is to lie: `before` bytes of guard, `len` bytes, `after` bytes of guard.
#[derive(Clone, Copy)]
struct Plan {
    before: usize,
    len: usize,
    after: usize,
    align: usize,
}

impl Plan {
    fn total(self) -> usize {
        self.before + self.len + self.after
    }
}

impl MapOptions {
    /// A mapping of `reserved` bytes, all of them committed or none.
    pub(super) fn make(self, reserved: usize, commit: bool) -> Result<Mapping> {
        if self.on_fork == Fork::Omit {
            count_forks().map_err(|errno| Error::os(Operation::Map, reserved, errno))?;
        }
        if !self.align.is_power_of_two() {
            return Err(Error::alignment(Operation::Map, self.align));
        }
        let mut refusal = Error::capacity(Operation::Map, reserved);
        for &backing in self.backing {
            let with_guards = self.make_of(backing, self.guard_pages, reserved, commit);
            let made = with_guards.or_else(|error| {
                if error.operation() != Operation::Guard || !self.best_effort.contains(Features::GUARDS) {
                    return Err(error);
                }
                let mut mapping = self.make_of(backing, (0, 0), reserved, commit)?;
                mapping.0.granted.missing.insert(Features::GUARDS);
                Ok(mapping)
            });
            // Pages that cannot have the options are no better than none: hugetlb pages take fewer than others do.
            match made.and_then(|mut mapping| mapping.apply_options().map(|()| mapping)) {
                Ok(mapping) => return Ok(mapping),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// A mapping of these pages, with so many guard pages before and behind it, and without the other options.
    fn make_of(self, backing: Backing, guards: (usize, usize), reserved: usize, commit: bool) -> Result<Mapping> {
        let plan = self.plan(backing, guards, reserved)?;
        let failed = |errno| Error::os(Operation::Map, plan.len, errno);
        let (start, kind) = match backing {
            Backing::HugeTlb(_) if !commit => return Err(failed(libc::EOPNOTSUPP)),
            Backing::HugeTlb(size) => (retrying(|| self.map_hugetlb(plan, size)).map_err(failed)?, None),
            Backing::Transparent if sys::huge_pages_are_off() => return Err(failed(libc::EINVAL)),
            _ if commit => self.map_anonymous(plan)?,
            // The guards have no access because nothing has, as around hugetlb pages.
            _ => (preferring_huge(plan, |align| sys::reserve(plan.total(), align, plan.before)).map_err(failed)?, None),
        };
        let has_guards = plan.before + plan.after > 0;
        let mut mapping = Mapping(RawMapping {
            // SAFETY: the whole plan was mapped at `start`.
            base: unsafe { start.add(plan.before) },
            committed: if commit { plan.len } else { 0 },
            reserved: plan.len,
            options: self,
            granted: Granted {
                backing,
                missing: Features::empty(),
                guards: has_guards.then_some(kind.unwrap_or(Guard::Protected)),
                before: plan.before,
                after: plan.after,
            },
            process: if self.on_fork == Fork::Omit { this_process() } else { 0 },
        });
        if backing == Backing::Transparent {
            mapping.advise_reserved(Advice::HugePage, 0..plan.len)?;
        }
        if backing == Backing::Base {
            // A kernel without transparent huge pages refuses the advice, and has none to refuse.
            let _ = mapping.advise_reserved(Advice::NoHugePage, 0..plan.len);
        }
        Ok(mapping)
    }

    fn plan(self, backing: Backing, guards: (usize, usize), reserved: usize) -> Result<Plan> {
        let (unit, align) = match backing {
            Backing::HugeTlb(size) if !size.is_power_of_two() || size < page_size() => {
                return Err(Error::alignment(Operation::Map, size));
            }
            Backing::HugeTlb(size) => (size, self.alignment().max(size)),
            _ => (page_size(), self.alignment()),
        };
        let len = whole(Operation::Map, reserved, unit)?;
        let guard = |pages: usize| pages.checked_mul(page_size());
        let plan = (|| {
            let (before, after) = (guard(guards.0)?, guard(guards.1)?);
            let total = before.checked_add(len)?.checked_add(after)?;
            (total <= isize::MAX as usize).then_some(Plan { before, len, after, align })
        })();
        plan.ok_or(Error::capacity(Operation::Map, reserved))
    }

    /// Readable and writable pages of the usual size with guards at their ends.
    fn map_anonymous(self, plan: Plan) -> Result<(NonNull<u8>, Option<Guard>)> {
        let has_guards = plan.before + plan.after > 0;
        let how = NewPages { lead: plan.before, no_reserve: self.no_reserve };
        let start = preferring_huge(plan, |align| sys::map(plan.total(), align, how))
            .map_err(|errno| Error::os(Operation::Map, plan.len, errno))?;
        if !has_guards {
            return Ok((start, None));
        }
        // SAFETY: the plan was mapped at `start` just now; nothing refers to it.
        unsafe {
            // A child that finds zeros finds no page tables, and so no markers.
            let installed = self.on_fork != Fork::Wipe && install_guards(start, plan).is_ok();
            if installed {
                return Ok((start, Some(Guard::Installed)));
            }
            protect_guards(start, plan).map_err(|errno| {
                super::discard(start, plan.total());
                Error::os(Operation::Guard, plan.before + plan.after, errno)
            })?;
        }
        Ok((start, Some(Guard::Protected)))
    }

    /// Huge pages of the pool, between guards that are mappings of their own.
    fn map_hugetlb(self, plan: Plan, size: usize) -> Result<NonNull<u8>, Errno> {
        let start = sys::reserve(plan.total(), plan.align, plan.before)?;
        // SAFETY: the plan was reserved at `start` just now, and nothing else knows of it. The place between the guards is
        // given up and taken again by a call that replaces nothing.
        unsafe {
            let base = start.add(plan.before);
            sys::unmap(base, plan.len).inspect_err(|_| super::discard(start, plan.total()))?;
            // Without a reservation a touch that finds the pool empty would end the process.
            if let Err(errno) = sys::map_at(base, plan.len, size) {
                guards(start, plan).for_each(|(guard, len)| super::discard(guard, len));
                return Err(errno);
            }
        }
        Ok(start)
    }

    /// What is to happen where an option is refused: nothing more than a note, if the mapping may do without it.
    pub(super) fn answer(self, missing: &mut Features, feature: Features, result: Result<()>) -> Result<()> {
        if result.is_err() && self.best_effort.contains(feature) {
            missing.insert(feature);
            return Ok(());
        }
        result
    }
}

impl Mapping {
    /// All options of a new mapping that are set on pages which exist already.
    fn apply_options(&mut self) -> Result<()> {
        let options = self.0.options;
        let (base, reserved) = (self.0.base, self.0.reserved);
        let Granted { before, after, .. } = self.0.granted;
        let bytes = before + reserved + after;
        let mut missing = self.0.granted.missing;
        // SAFETY: by M1 the mapping with its guards; only this call knows of it yet.
        let advise_all = |advice| unsafe {
            sys::advise(base.sub(before), bytes, advice).map_err(|errno| Error::os(Operation::Advise, bytes, errno))
        };
        if let Some(numa) = options.numa {
            let (placement, nodes) = numa.to_sys();
            // SAFETY: as above.
            let placed = unsafe { sys::place(base, reserved, placement, nodes) }
                .map_err(|errno| Error::os(Operation::Place, reserved, errno));
            options.answer(&mut missing, Features::NUMA, placed)?;
        }
        if !options.dump {
            options.answer(&mut missing, Features::DUMP, advise_all(PageAdvice::DontDump))?;
        }
        match options.on_fork {
            Fork::Copy => {}
            Fork::Wipe => options.answer(&mut missing, Features::FORK, advise_all(PageAdvice::WipeOnFork))?,
            Fork::Omit => options.answer(&mut missing, Features::FORK, advise_all(PageAdvice::DontFork))?,
        }
        if options.on_fork == Fork::Omit && missing.contains(Features::FORK) {
            // The child has the pages after all, and unmaps them.
            self.0.process = 0;
        }
        if let Some(name) = options.name {
            // SAFETY: as above.
            let named = unsafe { sys::name(base.sub(before), bytes, name) }
                .map_err(|errno| Error::os(Operation::Name, bytes, errno));
            options.answer(&mut missing, Features::NAME, named)?;
        }
        self.0.granted.missing = missing;
        let committed = self.0.committed;
        self.populate_new(0..committed)?;
        self.lock_new(0..committed)
    }

    /// Faults new pages in, if the options say so.
    pub(super) fn populate_new(&mut self, range: Range<usize>) -> Result<()> {
        if !self.0.options.populate || range.is_empty() {
            return Ok(());
        }
        let populated = self.advise_reserved(Advice::PopulateWrite, range);
        self.0.options.answer(&mut self.0.granted.missing, Features::POPULATE, populated)
    }

    /// Locks new pages, if the options say so and the mapping is locked so far.
    pub(super) fn lock_new(&mut self, range: Range<usize>) -> Result<()> {
        let Some(lock) = self.0.options.lock else { return Ok(()) };
        if range.is_empty() || self.0.granted.missing.contains(Features::LOCK) {
            return Ok(());
        }
        let time = match lock {
            Lock::Now => LockTime::Now,
            Lock::OnFault => LockTime::OnFault,
        };
        // SAFETY: the range lies within the mapping (M1).
        let locked = unsafe { sys::lock(self.0.base.add(range.start), range.len(), time) }
            .map_err(|errno| Error::os(Operation::Lock, range.len(), errno));
        self.0.options.answer(&mut self.0.granted.missing, Features::LOCK, locked)
    }
}

impl Numa {
    const fn to_sys(self) -> (Placement, u64) {
        match self {
            Self::Bind(nodes) => (Placement::Bind, nodes),
            Self::Prefer(nodes) => (Placement::Prefer, nodes),
            Self::Interleave(nodes) => (Placement::Interleave, nodes),
        }
    }
}

/// Calls with the alignment that is best for the plan, then with the one that was asked for. Whole huge units start on one:
/// page tables then move as a whole, and huge pages fit. It is a preference, which must not cost addresses where they are
/// scarce.
fn preferring_huge<T>(plan: Plan, attempt: impl Fn(usize) -> Result<T, Errno>) -> Result<T, Errno> {
    let preferred = super::preferred_align(plan.align, plan.len);
    attempt(preferred).or_else(|errno| if preferred > plan.align { attempt(plan.align) } else { Err(errno) })
}

/// Calls again where another thread took the place that had been found free.
fn retrying<T>(attempt: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    const ATTEMPTS: usize = 16;
    (1..ATTEMPTS)
        .find_map(|_| Some(attempt()).filter(|made| !matches!(made, Err(libc::EEXIST))))
        .unwrap_or_else(attempt)
}

/// `len` rounded up to whole units, if that is a size a mapping can have.
pub(super) fn whole(operation: Operation, len: usize, unit: usize) -> Result<usize> {
    match checked_round_up(len, unit) {
        Some(rounded) if rounded > 0 && rounded <= isize::MAX as usize => Ok(rounded),
        _ => Err(Error::capacity(operation, len)),
    }
}

/// Both guards of a plan, as start and length.
///
/// # Safety
/// The plan is mapped at `start`.
unsafe fn guards(start: NonNull<u8>, plan: Plan) -> impl Iterator<Item = (NonNull<u8>, usize)> {
    // SAFETY: the caller's contract.
    let behind = unsafe { start.add(plan.before + plan.len) };
    [(start, plan.before), (behind, plan.after)].into_iter().filter(|guard| guard.1 > 0)
}

/// # Safety
/// The plan is mapped at `start`, readable and writable, and nothing refers to it.
unsafe fn install_guards(start: NonNull<u8>, plan: Plan) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unsafe { guards(start, plan).try_for_each(|(guard, len)| sys::advise(guard, len, PageAdvice::GuardInstall)) }
}

/// # Safety
/// As for [`install_guards`].
unsafe fn protect_guards(start: NonNull<u8>, plan: Plan) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unsafe { guards(start, plan).try_for_each(|(guard, len)| sys::protect(guard, len, Protection::None)) }
}
