//! Secrets: values in pages that nobody reads by accident.
//!
//! This file holds [`Secret`] and its borrows; `vault` the pages and who may touch them when, `vec` a growable secret.
//!
//! # Invariants of a [`Secret`]
//! * **Z1** `place` is the secret's alone, large enough and aligned for the value at `value`, unless the value has no size.
//! * **Z2** The bytes there are a value at every time: zeros when new, in a child of `fork`, and what was written since.

mod vault;
mod vec;

pub use vec::SecretVec;

use crate::error::{Error, Operation, Result};
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use vault::{Place, Use};

/// How well a secret is kept, from the best.
///
/// In every case the pages have guards on both sides, no access while nothing is borrowed, no place in core dumps, and zeros
/// for a child of `fork`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Secrecy {
    /// In memory that the kernel has taken out of its own page tables,
    /// [`memfd_secret(2)`](https://man7.org/linux/man-pages/man2/memfd_secret.2.html) (Linux 5.14; built in and not turned
    /// off by `secretmem.enable=0`): other processes, debuggers, and most faults of the kernel cannot read it. It is
    /// locked, and the system cannot hibernate meanwhile.
    Hidden,
    /// Locked into memory, so that it is never swapped out.
    Locked,
    /// In memory that may be swapped out.
    Swappable,
}

/// What is tried unless a caller says otherwise: nothing that can reach a disk.
const LADDER: &[Secrecy] = &[Secrecy::Hidden, Secrecy::Locked];

/// A value that can be a [`Secret`].
///
/// Implemented for the integers and floats, `bool`, `char`, and arrays of such values.
///
/// # Safety
/// All bytes of the value zero are a value of it: that is what a child of `fork` finds.
pub unsafe trait SecretValue: Copy {}

macro_rules! values {
    ($($value:ty)*) => {$(
        // SAFETY: zero is one of its values.
        unsafe impl SecretValue for $value {}
    )*};
}

values! { () u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char }

// SAFETY: an array of zero bytes is an array of values whose bytes are zero.
unsafe impl<T: SecretValue, const N: usize> SecretValue for [T; N] {}

/// A value, or a slice of values, in pages of which nobody sees anything but through a borrow.
///
/// * The pages are [hidden from the kernel](Secrecy::Hidden) where it can do that, otherwise locked into memory; they are
///   never part of a core dump. [`with_ladder`](Self::with_ladder) says what else will do.
/// * Guard pages lie on both sides, and while nothing is borrowed the pages have no access at all: a stray pointer faults.
///   Small secrets share pages, which are open while one of them is borrowed.
/// * The value is overwritten when the secret is dropped. A child of `fork` finds zeros, in pages of its own that are
///   [swappable](Secrecy::Swappable); what it keeps secret from then on is kept as well as in its parent.
/// * `Debug` prints nothing of it, and there is no `Clone`, `PartialEq` or `Display`.
///
/// ```
/// use mapalloc::Secret;
///
/// let mut key = Secret::<[u8; 32]>::from_fn(|key| key.copy_from_slice(&[7; 32]))?; // from a random source, say
/// assert_eq!(key.read()[0], 7);
/// key.write()[0] = 8;
/// assert_eq!(format!("{key:?}"), "Secret(..)");
/// # Ok::<(), mapalloc::Error>(())
/// ```
///
/// What it cannot do: see to copies that the program makes, on the stack or in registers. [`from_fn`](Self::from_fn) and
/// [`from_mut`](Self::from_mut) make none.
///
/// A child that is made by a raw `clone(2)`, past the C library's `fork`, has no hidden pages, and faults when it touches a
/// secret. A borrow that is forgotten leaves the pages open.
pub struct Secret<T: ?Sized> {
    value: NonNull<T>,
    place: Option<Place>,
    owns: PhantomData<T>,
}

// SAFETY: by Z1 the secret is the only owner of the value, so it is sent with it.
unsafe impl<T: ?Sized + Send> Send for Secret<T> {}
// SAFETY: a shared reference to the secret lends shared references to the value, and nothing more.
unsafe impl<T: ?Sized + Sync> Sync for Secret<T> {}

impl<T: SecretValue> Secret<T> {
    /// Keeps a value secret. The argument is a copy that is not wiped: [`from_fn`](Self::from_fn) makes none.
    ///
    /// # Errors
    /// If the pages can neither be hidden nor locked (`RLIMIT_MEMLOCK`), or there are none.
    pub fn new(value: T) -> Result<Self> {
        Self::with_ladder(LADDER, |place| *place = value)
    }

    /// Has `fill` write the value where it stays. It finds zeros.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn from_fn(fill: impl FnOnce(&mut T)) -> Result<Self> {
        Self::with_ladder(LADDER, fill)
    }

    /// Moves a value in, and overwrites it with zeros where it was.
    ///
    /// # Errors
    /// As for [`new`](Self::new); the value then stays where it is.
    pub fn from_mut(value: &mut T) -> Result<Self> {
        let secret = Self::new(*value)?;
        wipe_value(core::slice::from_mut(value));
        Ok(secret)
    }

    /// As [`from_fn`](Self::from_fn), kept in the first of these ways that is to be had.
    ///
    /// ```
    /// use mapalloc::{Secrecy, Secret};
    ///
    /// // A tool that must also work in a container without any memory to lock.
    /// let ladder = [Secrecy::Hidden, Secrecy::Locked, Secrecy::Swappable];
    /// let token = Secret::<[u8; 16]>::with_ladder(&ladder, |token| token.fill(1))?;
    /// println!("kept {:?}", token.secrecy());
    /// # Ok::<(), mapalloc::Error>(())
    /// ```
    ///
    /// # Errors
    /// If none of them is, with the refusal of the last.
    pub fn with_ladder(ladder: &[Secrecy], fill: impl FnOnce(&mut T)) -> Result<Self> {
        let (base, place) = reserve(Layout::new::<T>(), ladder)?;
        // Z1; Z2: the place is zero.
        let mut secret = Self { value: base.cast(), place, owns: PhantomData };
        let mut place = secret.try_write()?;
        fill(&mut place);
        drop(place);
        Ok(secret)
    }
}

impl<T: SecretValue> Secret<[T]> {
    /// Has `fill` write `len` values where they stay. It finds zeros.
    ///
    /// # Errors
    /// As for [`new`](Secret::new), and if the values are more than `isize::MAX` bytes.
    pub fn slice_from_fn(len: usize, fill: impl FnOnce(&mut [T])) -> Result<Self> {
        Self::slice_with_ladder(len, LADDER, fill)
    }

    /// Moves values in, and overwrites them with zeros where they were.
    ///
    /// # Errors
    /// As for [`new`](Secret::new); the values then stay where they are.
    pub fn from_mut_slice(values: &mut [T]) -> Result<Self> {
        let secret = Self::slice_from_fn(values.len(), |place| place.copy_from_slice(values))?;
        wipe_value(values);
        Ok(secret)
    }

    /// As [`slice_from_fn`](Self::slice_from_fn), kept in the first of these ways that is to be had.
    ///
    /// # Errors
    /// If none of them is, with the refusal of the last.
    pub fn slice_with_ladder(len: usize, ladder: &[Secrecy], fill: impl FnOnce(&mut [T])) -> Result<Self> {
        let layout = Layout::array::<T>(len)
            .map_err(|_| Error::capacity(Operation::Secret, len.saturating_mul(size_of::<T>())))?;
        let (base, place) = reserve(layout, ladder)?;
        // Z1; Z2: the place is zero.
        let value = NonNull::slice_from_raw_parts(base.cast(), len);
        let mut secret = Self { value, place, owns: PhantomData };
        let mut place = secret.try_write()?;
        fill(&mut place);
        drop(place);
        Ok(secret)
    }
}

impl<T: ?Sized> Secret<T> {
    /// Borrows the value: the pages are readable until the last borrow of a secret in them ends.
    ///
    /// # Panics
    /// If the kernel refuses to open the pages, as it may at its limit of mappings (`vm.max_map_count`).
    #[track_caller]
    pub fn read(&self) -> SecretRef<'_, T> {
        self.try_read().expect("the pages of a secret can be opened")
    }

    /// As [`read`](Self::read), or an error.
    ///
    /// # Errors
    /// If the kernel refuses to open the pages.
    pub fn try_read(&self) -> Result<SecretRef<'_, T>> {
        self.place.map_or(Ok(()), |place| vault::open(place, Use::Read))?;
        Ok(SecretRef(self))
    }

    /// Borrows the value for writing.
    ///
    /// # Panics
    /// As for [`read`](Self::read).
    #[track_caller]
    pub fn write(&mut self) -> SecretMut<'_, T> {
        self.try_write().expect("the pages of a secret can be opened")
    }

    /// As [`write`](Self::write), or an error.
    ///
    /// # Errors
    /// If the kernel refuses to open the pages.
    pub fn try_write(&mut self) -> Result<SecretMut<'_, T>> {
        self.place.map_or(Ok(()), |place| vault::open(place, Use::Write))?;
        Ok(SecretMut(self))
    }

    /// How the secret is kept; `None` if it has no size.
    pub fn secrecy(&self) -> Option<Secrecy> {
        self.place.and_then(vault::secrecy)
    }
}

impl<T: ?Sized> Drop for Secret<T> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            // SAFETY: Z1, and nothing can use the secret after its drop.
            unsafe { vault::release(place) };
        }
    }
}

impl<T: ?Sized> fmt::Debug for Secret<T> {
    /// Nothing of the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A shared borrow of a [`Secret`]. The pages are closed when the last borrow of a secret in them ends.
#[must_use = "the value is readable only as long as the borrow lives"]
pub struct SecretRef<'a, T: ?Sized>(&'a Secret<T>);

/// An exclusive borrow of a [`Secret`].
#[must_use = "the value is writable only as long as the borrow lives"]
pub struct SecretMut<'a, T: ?Sized>(&'a mut Secret<T>);

impl<T: ?Sized> Deref for SecretRef<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: Z2, and the pages are open while this borrow lives, which keeps writers away.
        unsafe { self.0.value.as_ref() }
    }
}

impl<T: ?Sized> Deref for SecretMut<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: Z2, and the pages are open while this borrow lives, which is exclusive.
        unsafe { self.0.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for SecretMut<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`.
        unsafe { self.0.value.as_mut() }
    }
}

impl<T: ?Sized> Drop for SecretRef<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = self.0.place {
            vault::close(place, Use::Read);
        }
    }
}

impl<T: ?Sized> Drop for SecretMut<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = self.0.place {
            vault::close(place, Use::Write);
        }
    }
}

impl<T: ?Sized> fmt::Debug for SecretRef<'_, T> {
    /// Nothing of the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretRef(..)")
    }
}

impl<T: ?Sized> fmt::Debug for SecretMut<'_, T> {
    /// Nothing of the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretMut(..)")
    }
}

/// A place for a value of this layout, or an address that will do if it has no size.
fn reserve(layout: Layout, ladder: &[Secrecy]) -> Result<(NonNull<u8>, Option<Place>)> {
    if layout.size() == 0 {
        return Ok((crate::pages::dangling(layout), None));
    }
    let place = vault::allocate(layout, ladder)?;
    Ok((place.base, Some(place)))
}

/// Overwrites values with zeros.
fn wipe_value<T: SecretValue>(values: &mut [T]) {
    // SAFETY: the values are the caller's to change, and zeros are values (`SecretValue`).
    unsafe { vault::wipe(NonNull::from(&mut *values).cast(), size_of_val(values)) };
}
