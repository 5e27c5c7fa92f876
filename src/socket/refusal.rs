//! Makes a listening TCP socket refuse new connections while what it has accepted already stays.
//!
//! `listener` is the only caller. Closing a listening socket resets whatever is in its queue. So a socket first refuses new
//! connections; from then on its queue can only shrink, apart from handshakes that are under way, and the master can close
//! the socket once both are done. Connections, accepted or queued, notice nothing.
//!
//! There are two ways. Each is denied to unprivileged processes by some kernels; no kernel is known that denies both:
//! - [`leave_the_network`] (Linux 5.7 and later without privilege): the socket listens on no interface that exists, and
//!   clients are refused at once.
//! - [`drop_requests`] (recent kernels ask for `CAP_NET_ADMIN`): a packet filter drops SYN without ACK. The client asks again
//!   a second later, when the port is closed. Connections inherit the filter and never get such a packet.

use std::io;

use socket2::Socket;

use crate::os::net::{self, Instruction, op};

/// Makes `listening`, a TCP socket, refuse new connections; its queue stays.
///
/// # Errors
/// What the kernel says to the second way; `Unsupported` on systems other than Linux. The socket is then as it was.
pub fn refuse_new(listening: &Socket) -> io::Result<()> {
    leave_the_network(listening).or_else(|_| drop_requests(listening))
}

/// Ties the socket to an interface that does not exist. There is no way back.
///
/// In a `SO_REUSEPORT` group this works for all sockets together only: as long as one of them listens, the kernel may still
/// choose any of them.
///
/// # Errors
/// `EPERM` where only a privileged process may do it, or when the socket is tied to an interface already.
pub fn leave_the_network(listening: &Socket) -> io::Result<()> {
    net::bind_to_no_interface(listening)
}

/// Drops SYN without ACK, keeps everything else.
///
/// # Errors
/// `EPERM` where only a privileged process may do it.
pub fn drop_requests(listening: &Socket) -> io::Result<()> {
    net::attach_filter(listening, &program())
}

fn program() -> [Instruction; 5] {
    const FLAGS_BYTE: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    const DROP: u32 = 0;
    const KEEP_WHOLE: u32 = u32::MAX;
    let plain = |code, operand| Instruction { code, if_true: 0, if_false: 0, operand };
    [
        plain(op::LOAD_BYTE, FLAGS_BYTE),
        plain(op::AND, SYN_AND_ACK),
        Instruction { code: op::JUMP_EQUAL, if_true: 0, if_false: 1, operand: SYN },
        plain(op::RETURN, DROP),
        plain(op::RETURN, KEEP_WHOLE),
    ]
}
