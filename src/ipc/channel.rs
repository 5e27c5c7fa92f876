//! One worker's channel: a socket pair that carries messages and descriptors.
//!
//! [`open`] splits the master's end into a [`Writer`], a cheap handle to say things with, a [`Reader`] that yields what the
//! worker says, and the task that writes. The three share one descriptor and one registration with the runtime. Order is
//! kept in both directions.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::reader::Reader;
use super::serialization::Serialization;
use super::writer::Writer;
use crate::os::watch::watch;

/// The master's end, as the runtime watches it.
pub(super) type Watched = Rc<AsyncFd<Arc<OwnedFd>>>;

/// Splits the master's end of a channel; must be called on the runtime's thread.
///
/// The future writes what the writer and its clones are given, until the channel ends. It calls `on_shortage` each time that
/// the kernel has no room for a message, and tries again a little later.
///
/// # Errors
/// What the kernel says when the descriptor can't be watched.
pub fn open(
    fd: OwnedFd,
    serialization: Serialization,
    on_shortage: impl Fn() + 'static,
) -> io::Result<(Writer, Reader, impl Future<Output = ()> + 'static)> {
    let socket = Arc::new(fd);
    let watched = Rc::new(watch(Arc::clone(&socket), Interest::READABLE | Interest::WRITABLE)?);
    let writer = Writer::new(socket, serialization);
    let writing = writer.clone().write_out(Rc::clone(&watched), on_shortage);
    Ok((writer.clone(), Reader::new(watched, writer, serialization), writing))
}
