//! Lets nothing new in before a socket is closed for good.
//!
//! Closing a listening socket resets whatever is in its queue, and between the last accept and the close something may
//! still arrive. So the door is shut first: from then on the queue can only shrink, but for handshakes already under way,
//! and whoever empties it may close without losing anybody. Connections, accepted or still queued, notice nothing.
//!
//! There are two ways for a TCP socket, each refused to unprivileged processes by some kernels, and none refuses both as far
//! as we know:
//! - [`leave_the_network`] (Linux 5.7 and later without privilege): the socket no longer listens on any interface that
//!   exists, and clients are refused at once.
//! - [`drop_requests`] (recent kernels ask for `CAP_NET_ADMIN`): a packet filter drops SYN without ACK; the client asks
//!   again a second later, and is refused by the port that is closed by then. Connections inherit the filter, and never get
//!   such a packet.
//!
//! A unix socket has no packets; there the path is unlinked (`listener`).

use std::io;

use socket2::Socket;

use crate::os::net::{self, Instruction, op};

/// Makes `listening`, a TCP socket, deaf to new connections; its queue stays.
///
/// # Errors
/// What the kernel says to the second way; `Unsupported` on systems other than Linux. The socket is then as it was.
pub fn shut(listening: &Socket) -> io::Result<()> {
    leave_the_network(listening).or_else(|_| drop_requests(listening))
}

/// Ties the socket to an interface that does not exist. There is no way back.
///
/// Not for one socket of a `SO_REUSEPORT` group alone: as long as a sibling listens, the kernel's choice may still fall on
/// it.
///
/// # Errors
/// `EPERM` where only a privileged process may do it, or when it has been done already.
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
