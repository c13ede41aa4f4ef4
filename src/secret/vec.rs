//! `SecretVec`: a secret that grows.
//!
//! # Invariants of a [`SecretVec`]
//! * **G1** `secret` points to the first `len` elements of its place, which has room for `capacity`.
//! * **G2** The room behind the elements reads zero.

use super::{LADDER, Secrecy, Secret, SecretMut, SecretRef, SecretValue, reserve};
use crate::error::{Error, Operation, Result};
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A growable row of values, kept as a [`Secret`] is.
///
/// Growing copies the values to a larger place and overwrites the one they leave, so no copy of them stays behind. What is
/// taken out or cut off is overwritten as well.
///
/// ```
/// use mapalloc::SecretVec;
///
/// let mut password = SecretVec::new();
/// for byte in *b"correct horse" {
///     password.push(byte)?; // as it is typed
/// }
/// password.pop()?;
/// assert_eq!(&*password.read(), b"correct hors");
/// # Ok::<(), mapalloc::Error>(())
/// ```
pub struct SecretVec<T: SecretValue> {
    secret: Secret<[T]>,
    ladder: &'static [Secrecy],
}

impl<T: SecretValue> SecretVec<T> {
    /// No values, and no pages.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_ladder(LADDER)
    }

    /// No values, and no pages; they will be kept in the first of these ways that is to be had.
    #[must_use]
    pub const fn with_ladder(ladder: &'static [Secrecy]) -> Self {
        let value = NonNull::slice_from_raw_parts(NonNull::dangling(), 0);
        Self { secret: Secret { value, place: None, owns: PhantomData }, ladder }
    }

    /// No values, and room for at least `capacity`, so that so many can be added without a copy.
    ///
    /// # Errors
    /// If the room is more than `isize::MAX` bytes, or the pages can neither be hidden nor locked.
    pub fn with_capacity(capacity: usize) -> Result<Self> {
        let mut vec = Self::new();
        vec.reserve(capacity)?;
        Ok(vec)
    }

    /// The number of values.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.secret.value.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        match self.secret.place {
            Some(place) => place.size / size_of::<T>(),
            None if size_of::<T>() == 0 => usize::MAX,
            None => 0,
        }
    }

    /// Sees to room for at least `additional` more values.
    ///
    /// # Errors
    /// If the room is more than `isize::MAX` bytes, or the pages can neither be hidden nor locked; then the values are as
    /// they were.
    pub fn reserve(&mut self, additional: usize) -> Result<()> {
        let (len, capacity) = (self.len(), self.capacity());
        if additional <= capacity - len {
            return Ok(());
        }
        let refused = Error::capacity(Operation::Secret, additional.saturating_mul(size_of::<T>()));
        let needed = len.checked_add(additional).ok_or(refused)?;
        let room = |wanted| reserve(Layout::array::<T>(wanted).map_err(|_| refused)?, self.ladder);
        // Twice as much is a wish: where it is more than can be locked, what is needed will do.
        let wish = capacity.saturating_mul(2);
        let doubled = if wish > needed { room(wish).ok() } else { None };
        let (base, place) = doubled.map_or_else(|| room(needed), Ok)?;
        // G1, G2: the place is zero, and the values come below.
        let value = NonNull::slice_from_raw_parts(base.cast(), len);
        let mut larger = Secret { value, place, owns: PhantomData };
        larger.try_write()?.copy_from_slice(&self.secret.try_read()?);
        // The old place is wiped by its drop.
        self.secret = larger;
        Ok(())
    }

    /// Adds a value at the end.
    ///
    /// # Errors
    /// As for [`reserve`](Self::reserve); then nothing is added.
    pub fn push(&mut self, value: T) -> Result<()> {
        self.extend_from_slice(&[value])
    }

    /// Adds values at the end.
    ///
    /// # Errors
    /// As for [`reserve`](Self::reserve); then nothing is added.
    pub fn extend_from_slice(&mut self, values: &[T]) -> Result<()> {
        self.reserve(values.len())?;
        let len = self.len();
        // There is room, which reads zero (G2).
        self.set_len(len + values.len());
        let written = self.secret.try_write().map(|mut all| all[len..].copy_from_slice(values));
        written.inspect_err(|_| self.set_len(len))
    }

    /// Takes the last value. The copy that is returned is the caller's to wipe.
    ///
    /// # Errors
    /// If the kernel refuses to open the pages.
    pub fn pop(&mut self) -> Result<Option<T>> {
        let Some(last) = self.len().checked_sub(1) else { return Ok(None) };
        let value = self.secret.try_read()?[last];
        self.truncate(last)?;
        Ok(Some(value))
    }

    /// Overwrites the values from `len` on and takes them out; a larger `len` changes nothing.
    ///
    /// # Errors
    /// If the kernel refuses to open the pages.
    pub fn truncate(&mut self, len: usize) -> Result<()> {
        if len < self.len() {
            super::wipe_value(&mut self.secret.try_write()?[len..]);
            self.set_len(len);
        }
        Ok(())
    }

    /// Overwrites all values and takes them out. The room stays.
    ///
    /// # Errors
    /// If the kernel refuses to open the pages.
    pub fn clear(&mut self) -> Result<()> {
        self.truncate(0)
    }

    /// Borrows the values.
    ///
    /// # Panics
    /// If the kernel refuses to open the pages.
    #[track_caller]
    pub fn read(&self) -> SecretRef<'_, [T]> {
        self.secret.read()
    }

    /// As [`read`](Self::read), or an error.
    ///
    /// # Errors
    /// If the kernel refuses to open the pages.
    pub fn try_read(&self) -> Result<SecretRef<'_, [T]>> {
        self.secret.try_read()
    }

    /// Borrows the values for writing.
    ///
    /// # Panics
    /// If the kernel refuses to open the pages.
    #[track_caller]
    pub fn write(&mut self) -> SecretMut<'_, [T]> {
        self.secret.write()
    }

    /// As [`write`](Self::write), or an error.
    ///
    /// # Errors
    /// If the kernel refuses to open the pages.
    pub fn try_write(&mut self) -> Result<SecretMut<'_, [T]>> {
        self.secret.try_write()
    }

    /// How the values are kept; `None` as long as there are no pages.
    #[must_use]
    pub fn secrecy(&self) -> Option<Secrecy> {
        self.secret.secrecy()
    }

    /// For a `len` up to the capacity: by G2 and `SecretValue` what lies there is values.
    fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.capacity());
        self.secret.value = NonNull::slice_from_raw_parts(self.secret.value.cast(), len);
    }
}

impl<T: SecretValue> Default for SecretVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: SecretValue> fmt::Debug for SecretVec<T> {
    /// Nothing of the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretVec(..)")
    }
}
