//! Watches a descriptor for readiness on the runtime of the current thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers `owner`'s descriptor with the current runtime.
///
/// # Errors
/// What epoll says: no more watches, or a kind of descriptor that can't be watched.
pub fn watch<T: AsFd + AsRawFd>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: `T` owns or borrows its descriptor (`AsFd`) and gives the same number for as long as it lives; the `AsyncFd`
    // holds it, and deregisters before it is dropped.
    let watched = unsafe { AsyncFd::register_with_interest(owner, interest) };
    Ok(watched?)
}
