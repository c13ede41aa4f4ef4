//! `zeroize`: contents that are overwritten when told to, and not optimised away.
//!
//! A vector leaves no copies behind when it grows, because its pages move; what was cut off and given back to the system
//! is out of reach.

use crate::boxed::PageBox;
use crate::vec::PageVec;
use ::zeroize::Zeroize;

impl<T: Zeroize> Zeroize for PageBox<T> {
    fn zeroize(&mut self) {
        (**self).zeroize();
    }
}

impl<T: Zeroize> Zeroize for PageBox<[T]> {
    fn zeroize(&mut self) {
        self.iter_mut().zeroize();
    }
}

impl Zeroize for PageBox<str> {
    fn zeroize(&mut self) {
        (**self).zeroize();
    }
}

impl<T: Zeroize> Zeroize for PageVec<T> {
    /// Overwrites the elements, drops them, and overwrites all of the capacity, where others may have been.
    fn zeroize(&mut self) {
        self.iter_mut().zeroize();
        self.clear();
        self.spare_capacity_mut().zeroize();
    }
}
