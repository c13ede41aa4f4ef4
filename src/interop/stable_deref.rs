//! `stable_deref_trait`: containers whose contents stay where they are when the container moves.

use crate::boxed::PageBox;
use crate::shared::Shared;
use crate::vec::PageVec;
use stable_deref_trait::{CloneStableDeref, StableDeref};

// SAFETY: the value lies in the box's block (X1), which only its drop and functions that take the box itself give up.
unsafe impl<T: ?Sized> StableDeref for PageBox<T> {}

// SAFETY: the elements lie in the vector's block. It changes in methods that take the vector by value or by `&mut`, of which
// the trait asks nothing: growth moves the elements, as it does in a `Vec`, which has the trait all the same.
unsafe impl<T> StableDeref for PageVec<T> {}

// SAFETY: the elements are those of a vector that nobody changes while it has an owner (F1).
unsafe impl<T> StableDeref for Shared<T> {}

// SAFETY: a clone refers to the same elements.
unsafe impl<T> CloneStableDeref for Shared<T> {}
