//! One descriptor that tells whether a connection waits at any of many sockets.
//!
//! `supervisor::connections::blocked` is the only caller. The descriptor is an epoll of its own, which the runtime watches
//! only until the first connection waits; then the master looks by a timer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Sockets that are watched together, by the order in which they were given.
#[derive(Debug)]
#[cfg(target_os = "linux")]
pub struct Queues {
    epoll: nix::sys::epoll::Epoll,
    count: usize,
}

#[cfg(target_os = "linux")]
impl Queues {
    /// Watches `sockets`, which the caller keeps. A socket that is closed in every process drops out by itself.
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`, `ENOSPC` (the user's limit of watches).
    pub fn watch<'a>(sockets: impl Iterator<Item = BorrowedFd<'a>>) -> io::Result<Self> {
        use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut count = 0;
        for socket in sockets {
            epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, count))?;
            count += 1;
        }
        Ok(Self { epoll, count: usize::try_from(count).unwrap_or(usize::MAX) })
    }

    /// The sockets at which something waits at this moment.
    ///
    /// # Errors
    /// None that is known; the kernel's word for it.
    pub fn waiting(&self) -> io::Result<Vec<usize>> {
        use nix::sys::epoll::{EpollEvent, EpollTimeout};

        let mut events = vec![EpollEvent::empty(); self.count.max(1)];
        let found = self.epoll.wait(&mut events, EpollTimeout::ZERO)?;
        Ok(events.iter().take(found).filter_map(|event| usize::try_from(event.data()).ok()).collect())
    }

    /// A duplicate of the one descriptor, readable while anything waits.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.epoll.0.as_fd().try_clone_to_owned()
    }
}

/// Watches nothing: on this system all workers share one socket, which needs no watch.
#[derive(Debug)]
#[cfg(not(target_os = "linux"))]
pub struct Queues;

#[cfg(not(target_os = "linux"))]
impl Queues {
    /// Says that this system has no such thing.
    ///
    /// # Errors
    /// Always `Unsupported`.
    pub fn watch<'a>(_sockets: impl Iterator<Item = BorrowedFd<'a>>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Nothing waits.
    ///
    /// # Errors
    /// None.
    pub fn waiting(&self) -> io::Result<Vec<usize>> {
        Ok(Vec::new())
    }

    /// Says that this system has no such thing.
    ///
    /// # Errors
    /// Always `Unsupported`.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
