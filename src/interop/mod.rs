//! Traits of other crates for the containers, each by the cargo feature of that crate's name. One file for each crate, and
//! nothing in it but its traits.

#[cfg(feature = "arbitrary")]
mod arbitrary;
#[cfg(feature = "bytes")]
mod bytes;
#[cfg(feature = "serde")]
mod serde;
#[cfg(feature = "stable_deref_trait")]
mod stable_deref;
#[cfg(feature = "zeroize")]
mod zeroize;
