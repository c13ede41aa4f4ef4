//! Access to pages, in the types: what a program may do with them is what the type of their owner says.
//!
//! A container whose pages are readable and writable is the plain one ([`Mapping`], [`PageBox`](crate::PageBox),
//! [`PageVec`](crate::PageVec)). [`Protected`] is the same container in one of three other states. No state can be both
//! written and executed, so no pages are ever both.
//!
//! # Invariant of a [`Protected`]
//! * **A1** The pages of `container` have the access of `A`, but for the time that a guard borrows it. Nothing touches them
//!   by way of the container.

use super::Mapping;
use crate::error::{Error, Operation, Result};
use crate::sys::{self, Protection};
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

mod sealed {
    pub trait Sealed {}
}
pub(crate) use sealed::Sealed;

/// A container of whole pages whose access can be changed: a [`Mapping`], a [`PageBox`](crate::PageBox) or a
/// [`PageVec`](crate::PageVec) of elements that are `Copy`.
///
/// Such elements have no destructor, which would need access, and no interior mutability, which would write to pages that
/// are read-only.
///
/// # Safety
/// `range` is whole pages, or nothing, that the container owns and that hold its contents, to which it derefs; nothing else
/// of the container depends on what is in them; and neither dereferencing nor dropping it touches them.
pub unsafe trait Pages: Deref + DerefMut + Sealed {
    /// The pages that hold the contents: their start and their length in bytes.
    fn range(&self) -> (NonNull<u8>, usize);
}

impl Sealed for Mapping {}

// SAFETY: by M1 and M2 of a mapping; its parts lie outside the pages, and dropping it only unmaps.
unsafe impl Pages for Mapping {
    fn range(&self) -> (NonNull<u8>, usize) {
        (self.0.base, self.len())
    }
}

/// What a program may do with the pages of a [`Protected`].
pub trait Access: Sealed + 'static {
    #[doc(hidden)]
    const STATE: State;
}

/// A state for the room that knows how to bring it about.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct State(Protection, &'static str);

/// Pages that can be read.
pub trait Readable: Access {}

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident: $protection:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl Sealed for $name {}

        impl Access for $name {
            const STATE: State = State(Protection::$protection, stringify!($name));
        }
    )*};
}

states! {
    /// The contents can be read. Writing faults.
    ReadOnly: Read;
    /// Nothing can be done with the contents. Every access faults.
    NoAccess: None;
    /// The contents can be read and executed. Writing faults.
    ReadExecute: ReadExecute;
}

impl Readable for ReadOnly {}
impl Readable for ReadExecute {}

/// A change that the kernel refused, with the object as it was before.
pub struct Refused<O> {
    error: Error,
    object: O,
}

impl<O> Refused<O> {
    pub(crate) const fn new(error: Error, object: O) -> Self {
        Self { error, object }
    }

    /// Why.
    pub const fn error(&self) -> Error {
        self.error
    }

    /// The object.
    pub fn into_inner(self) -> O {
        self.object
    }
}

impl<O> fmt::Debug for Refused<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refused").field(&self.error).finish()
    }
}

impl<O> fmt::Display for Refused<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<O> core::error::Error for Refused<O> {}

impl<O> From<Refused<O>> for Error {
    /// Keeps the reason and drops the object.
    fn from(refused: Refused<O>) -> Self {
        refused.error
    }
}

/// The way from a container to its other states.
///
/// ```
/// use mapalloc::PageVec;
/// use mapalloc::map::Protect;
///
/// let table: PageVec<u32> = (0..1000).map(|n| n * n).collect();
/// let table = table.into_read_only()?; // a stray write faults from here on
/// assert_eq!(table[31], 961);
/// let mut table = table.into_writable()?;
/// table.push(1_000_000);
/// # Ok::<(), mapalloc::Error>(())
/// ```
pub trait Protect: Pages + Sized {
    /// Changes the access to the container's pages.
    ///
    /// # Errors
    /// If the kernel refuses; the container comes back with the error.
    fn protect<A: Access>(self) -> Result<Protected<Self, A>, Refused<Self>> {
        match set_access(&self, A::STATE.0) {
            Ok(()) => Ok(Protected { container: ManuallyDrop::new(self), access: PhantomData }),
            Err(error) => Err(Refused { error, object: self }),
        }
    }

    /// As [`protect`](Self::protect), for pages that are only read from here on.
    ///
    /// # Errors
    /// If the kernel refuses; the container comes back with the error.
    fn into_read_only(self) -> Result<Protected<Self, ReadOnly>, Refused<Self>> {
        self.protect()
    }

    /// As [`protect`](Self::protect), for pages that nobody may touch.
    ///
    /// # Errors
    /// If the kernel refuses; the container comes back with the error.
    fn into_no_access(self) -> Result<Protected<Self, NoAccess>, Refused<Self>> {
        self.protect()
    }

    /// As [`protect`](Self::protect), for pages that hold machine code.
    ///
    /// # Errors
    /// If the kernel refuses, as a security policy may; the container comes back with the error.
    fn into_executable(self) -> Result<Protected<Self, ReadExecute>, Refused<Self>> {
        self.protect()
    }
}

impl<C: Pages> Protect for C {}

/// A container whose pages have the access that `A` says: [`ReadOnly`], [`NoAccess`] or [`ReadExecute`].
///
/// [`Protect`] makes it. It derefs to the contents where they can be read; there is no way to write to them but
/// [`write`](Self::write), which lends the access for a while, and [`into_writable`](Self::into_writable), which gives the
/// container back. Dropping it gives the pages back.
pub struct Protected<C: Pages, A: Access> {
    /// Given up by the drop, or before it by a change of state.
    container: ManuallyDrop<C>,
    access: PhantomData<A>,
}

impl<C: Pages, A: Access> Protected<C, A> {
    /// The address of the first byte.
    #[inline]
    pub fn as_ptr(&self) -> *const u8 {
        self.container.range().0.as_ptr()
    }

    /// The length of the pages in bytes.
    #[inline]
    pub fn page_bytes(&self) -> usize {
        self.container.range().1
    }

    fn into_container(self) -> C {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: the value is given up without its drop, so the container is taken once.
        unsafe { ManuallyDrop::take(&mut this.container) }
    }

    /// Changes the access.
    ///
    /// # Errors
    /// If the kernel refuses; the object comes back with the error.
    pub fn protect<B: Access>(self) -> Result<Protected<C, B>, Refused<Self>> {
        match set_access(&*self.container, B::STATE.0) {
            Ok(()) => Ok(Protected { container: ManuallyDrop::new(self.into_container()), access: PhantomData }),
            Err(error) => Err(Refused { error, object: self }),
        }
    }

    /// Gives the container back, readable and writable.
    ///
    /// # Errors
    /// If the kernel refuses; the object comes back with the error.
    pub fn into_writable(self) -> Result<C, Refused<Self>> {
        match set_access(&*self.container, Protection::ReadWrite) {
            Ok(()) => Ok(self.into_container()),
            Err(error) => Err(Refused { error, object: self }),
        }
    }

    /// Makes the contents readable, and nothing else, for as long as the guard lives: pages that can be executed cannot be
    /// meanwhile.
    ///
    /// A guard that is forgotten leaves them so.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn read(&mut self) -> Result<ReadGuard<'_, C, A>> {
        set_access(&*self.container, Protection::Read)?;
        Ok(ReadGuard(self))
    }

    /// Makes the contents readable and writable for as long as the guard lives; pages that can be executed cannot be
    /// meanwhile.
    ///
    /// ```
    /// use mapalloc::PageVec;
    /// use mapalloc::map::Protect;
    ///
    /// let mut keys = PageVec::from([1_u64, 2, 3]).into_no_access()?;
    /// keys.write()?[1] = 20; // open for this statement
    /// assert_eq!(keys.read()?[1], 20);
    /// # Ok::<(), mapalloc::Error>(())
    /// ```
    ///
    /// A guard that is forgotten leaves them so.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn write(&mut self) -> Result<WriteGuard<'_, C, A>> {
        set_access(&*self.container, Protection::ReadWrite)?;
        Ok(WriteGuard(self))
    }

    /// Has the kernel refuse every further change of the pages' access and place, for the rest of the program
    /// ([`mseal`](https://docs.kernel.org/userspace-api/mseal.html), Linux 6.10). Nothing unmaps them any more, so the
    /// contents live as long as the program.
    ///
    /// ```
    /// use mapalloc::PageVec;
    /// use mapalloc::map::Protect;
    ///
    /// let table = (0..1000).collect::<PageVec<u32>>().into_read_only()?;
    /// match table.seal() {
    ///     Ok(table) => assert_eq!(table[999], 999), // `&'static [u32]`, which nothing can make writable
    ///     Err(refused) => println!("{}: {} elements come back", refused.error(), refused.into_inner().len()),
    /// }
    /// # Ok::<(), mapalloc::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the kernel has no `mseal` or refuses; the object comes back with the error.
    pub fn seal(self) -> Result<&'static C::Target, Refused<Self>>
    where
        C: 'static,
        A: Readable,
    {
        let (base, len) = self.container.range();
        // SAFETY: the container's pages, which are never given back if this succeeds.
        let sealed = if len == 0 { Ok(()) } else { unsafe { sys::seal(base, len) } };
        match sealed {
            Ok(()) => {
                let contents: *const C::Target = &**ManuallyDrop::new(self).container;
                // SAFETY: the contents lie in the pages, which stay as they are, since their owner has been given up.
                Ok(unsafe { &*contents })
            }
            Err(errno) => Err(Refused { error: Error::os(Operation::Seal, len, errno), object: self }),
        }
    }
}

impl<C: Pages, A: Access> Drop for Protected<C, A> {
    fn drop(&mut self) {
        // SAFETY: nothing can use the container after this. Its drop does not touch the pages (see `Pages`).
        unsafe { ManuallyDrop::drop(&mut self.container) };
    }
}

impl<C: Pages, A: Readable> Deref for Protected<C, A> {
    type Target = C::Target;

    #[inline]
    fn deref(&self) -> &C::Target {
        &self.container
    }
}

impl<C: Pages, A: Access> fmt::Debug for Protected<C, A> {
    /// The state and the place, not the contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (base, len) = self.container.range();
        write!(f, "Protected {{ {}, {len} bytes at {base:p} }}", A::STATE.1)
    }
}

/// Leave to read the contents of a [`Protected`], from [`Protected::read`].
///
/// When it is dropped the pages are as they were before. If the kernel refused that, which only its limit of mappings can
/// bring about, the process is ended: going on would leave the contents open where the types say that they are not.
/// [`close`](Self::close) returns the error instead.
#[must_use = "the contents are readable only as long as the guard lives"]
pub struct ReadGuard<'a, C: Pages, A: Access>(&'a mut Protected<C, A>);

/// Leave to write to the contents of a [`Protected`], from [`Protected::write`]. It ends as that of [`ReadGuard`] does.
#[must_use = "the contents are writable only as long as the guard lives"]
pub struct WriteGuard<'a, C: Pages, A: Access>(&'a mut Protected<C, A>);

macro_rules! guards {
    ($($guard:ident)*) => {$(
        impl<C: Pages, A: Access> $guard<'_, C, A> {
            /// Takes the access away.
            ///
            /// # Errors
            /// If the kernel refuses; the access then stays.
            pub fn close(self) -> Result<()> {
                set_access(&*ManuallyDrop::new(self).0.container, A::STATE.0)
            }
        }

        impl<C: Pages, A: Access> Deref for $guard<'_, C, A> {
            type Target = C::Target;

            #[inline]
            fn deref(&self) -> &C::Target {
                &self.0.container
            }
        }

        impl<C: Pages, A: Access> Drop for $guard<'_, C, A> {
            fn drop(&mut self) {
                if set_access(&*self.0.container, A::STATE.0).is_err() {
                    sys::write_stderr(b"mapalloc: access to pages could not be taken away again\n");
                    sys::abort();
                }
            }
        }

        impl<C: Pages, A: Access> fmt::Debug for $guard<'_, C, A> {
            /// The state and the place, not the contents.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($guard)).field(&self.0).finish()
            }
        }
    )*};
}

guards! { ReadGuard WriteGuard }

impl<C: Pages, A: Access> DerefMut for WriteGuard<'_, C, A> {
    #[inline]
    fn deref_mut(&mut self) -> &mut C::Target {
        // The elements and not the container: its length and its pages are not to change here.
        &mut self.0.container
    }
}

/// Sets the access to a container's pages; the caller sees to it that A1 holds for whoever has the container.
fn set_access<C: Pages>(container: &C, protection: Protection) -> Result<()> {
    let (base, len) = container.range();
    if len == 0 {
        return Ok(());
    }
    // SAFETY: the container's own pages. It is in the hands of this room, which lends out no reference that needs an access
    // it takes away: contents are borrowed from the `Protected` or its guards, and both are borrowed or owned here.
    unsafe { sys::protect(base, len, protection) }.map_err(|errno| Error::os(Operation::Protect, len, errno))?;
    if protection == Protection::ReadExecute {
        // SAFETY: the container's own pages, readable since the call above.
        unsafe { sys::sync_instructions(base, len) };
    }
    Ok(())
}
