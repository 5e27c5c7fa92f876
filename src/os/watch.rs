//! Watches a descriptor for readiness on the runtime of the current thread.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A value that owns or borrows one descriptor.
///
/// # Safety
/// The descriptor stays open, and `as_raw_fd` gives its number, for as long as the value lives.
pub unsafe trait HoldsDescriptor: AsRawFd {}

// SAFETY: it owns one descriptor and never changes it.
unsafe impl HoldsDescriptor for OwnedFd {}
// SAFETY: it holds its owner.
unsafe impl HoldsDescriptor for Arc<OwnedFd> {}
// SAFETY: the owner outlives the borrow.
unsafe impl HoldsDescriptor for BorrowedFd<'_> {}

/// Registers `owner`'s descriptor with the current runtime.
///
/// # Errors
/// What epoll says: no more watches, or a kind of descriptor that can't be watched.
pub fn watch<T: HoldsDescriptor>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: `T` promises an open descriptor for as long as it lives; the `AsyncFd` holds it, and deregisters before it is
    // dropped.
    let watched = unsafe { AsyncFd::register_with_interest(owner, interest) };
    Ok(watched?)
}
