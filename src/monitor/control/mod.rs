//! Who may read and change, and what may be changed.

pub(crate) mod access;
pub(crate) mod ecv;
pub mod orders;
