//! Receives bytes and the descriptors that come with them over a unix socket.
//!
//! `ipc::reader` is the only caller. nix can do this too, but treats a message whose descriptors did not all fit into the
//! process as an error and loses the bytes with it. Here the bytes are kept, and the caller learns that a descriptor is missing.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// The descriptors that one call takes at most; Node sends one with a message.
const MOST: usize = 4;
/// Room for a control message with `MOST` descriptors, on every system that is supported.
const CONTROL_SIZE: usize = 64;

/// What one call has received.
#[derive(Debug)]
pub struct Received {
    /// How many bytes; 0 is the end of the stream.
    pub bytes: usize,
    /// The descriptors that came with them, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// A descriptor was sent that this process could not take, because it has too many.
    pub is_fd_lost: bool,
}

/// A control buffer, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; CONTROL_SIZE]);

/// Reads what has arrived into `buffer`, without waiting.
///
/// # Errors
/// `WouldBlock` when nothing has arrived; else what recvmsg(2) says.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([MaybeUninit::uninit(); CONTROL_SIZE]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeroes is a valid header; some systems have private fields in it.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: it only computes a number.
    let space = unsafe { libc::CMSG_SPACE(MOST_BYTES) };
    header.msg_controllen = (space as usize).min(CONTROL_SIZE) as _;
    let flags = libc::MSG_DONTWAIT | CLOSE_ON_EXEC;
    // SAFETY: the header points to `part` and `control`, which are ours and outlive the call, with their true lengths.
    let bytes = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let bytes = usize::try_from(bytes).map_err(|_| io::Error::last_os_error())?;
    let is_fd_lost = header.msg_flags & libc::MSG_CTRUNC != 0;
    Ok(Received { bytes, fds: take_fds(&header), is_fd_lost })
}

#[expect(clippy::cast_possible_truncation, reason = "16 bytes")]
const MOST_BYTES: libc::c_uint = (MOST * size_of::<RawFd>()) as libc::c_uint;

/// Sets close-on-exec as the descriptors arrive; systems without the flag do it a moment later.
#[cfg(not(target_vendor = "apple"))]
const CLOSE_ON_EXEC: libc::c_int = libc::MSG_CMSG_CLOEXEC;
#[cfg(target_vendor = "apple")]
const CLOSE_ON_EXEC: libc::c_int = 0;

/// Takes ownership of the descriptors that a received header names.
fn take_fds(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: the kernel has filled the header's control buffer, which is still there.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole message inside the buffer.
        let found = unsafe { ptr::read_unaligned(message) };
        if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: it only computes an address inside the message.
            let data = unsafe { libc::CMSG_DATA(message) };
            // SAFETY: it only computes a number.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = (found.cmsg_len as usize).saturating_sub(head) / size_of::<RawFd>();
            for at in 0..count {
                // SAFETY: the message says that it has so many descriptors.
                let place = unsafe { data.add(at * size_of::<RawFd>()) };
                let mut number = [0; size_of::<RawFd>()];
                // SAFETY: the place holds so many bytes, which the kernel has written.
                unsafe { ptr::copy_nonoverlapping(place, number.as_mut_ptr(), number.len()) };
                // SAFETY: the kernel has just made this descriptor for us, and its number is known here only.
                let fd = unsafe { OwnedFd::from_raw_fd(RawFd::from_ne_bytes(number)) };
                #[cfg(target_vendor = "apple")]
                // A descriptor that can't be marked stays open in the programs that we start: no more can be done.
                let _ = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC));
                fds.push(fd);
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR; both point into the same buffer.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    fds
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    use super::*;

    fn send(over: &UnixStream, text: &[u8], fds: &[RawFd]) {
        let rights = [ControlMessage::ScmRights(fds)];
        let rights = if fds.is_empty() { &[][..] } else { &rights };
        sendmsg::<()>(over.as_raw_fd(), &[IoSlice::new(text)], rights, MsgFlags::empty(), None).unwrap();
    }

    #[test]
    fn bytes_and_descriptors_arrive_and_the_descriptors_are_close_on_exec() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut buffer = [0; 64];
        let nothing = receive(ours.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        send(&theirs, b"plain", &[]);
        let first = receive(ours.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..first.bytes], first.fds.len()), (&b"plain"[..], 0));
        send(&theirs, b"two", &[0, 1]);
        let second = receive(ours.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..second.bytes], second.fds.len(), second.is_fd_lost), (&b"two"[..], 2, false));
        let flags = nix::fcntl::fcntl(&second.fds[0], nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        drop(theirs);
        assert_eq!(receive(ours.as_fd(), &mut buffer).unwrap().bytes, 0);
    }

    #[test]
    fn a_process_without_room_for_a_descriptor_gets_the_bytes_and_learns_of_the_loss() {
        // In a process of its own, since the limit is the whole process's.
        if std::env::var_os("CLUSTER2_TEST_NO_ROOM").is_none() {
            let program = std::env::current_exe().unwrap();
            let name = "os::rights::tests::a_process_without_room_for_a_descriptor_gets_the_bytes_and_learns_of_the_loss";
            let mut child = std::process::Command::new(program);
            let status = child.args(["--exact", name]).env("CLUSTER2_TEST_NO_ROOM", "1").status().unwrap();
            assert!(status.success());
            return;
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&theirs, b"lost", &[0]);
        send(&theirs, b"kept", &[0]);
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let next = io::pipe().unwrap().0.as_raw_fd();
        setrlimit(Resource::RLIMIT_NOFILE, u64::try_from(next).unwrap(), hard).unwrap();
        let mut buffer = [0; 64];
        let lost = receive(ours.as_fd(), &mut buffer).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        assert_eq!((&buffer[..lost.bytes], lost.fds.len(), lost.is_fd_lost), (&b"lost"[..], 0, true));
        let kept = receive(ours.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..kept.bytes], kept.fds.len(), kept.is_fd_lost), (&b"kept"[..], 1, false));
    }
}
