//! Lets nothing new in before a socket is closed for good.
//!
//! Closing a listening socket resets whatever is in its queue, and between the last accept and the close something may
//! still arrive. So the door is shut first: from then on the queue can only shrink, and whoever empties it may close without
//! losing anybody. A TCP socket gets a packet filter that drops connection requests (SYN without ACK). A handshake already
//! under way still comes through, and so does all traffic of connections that were accepted before or will be: they inherit
//! the filter, and have no such packet. The client whose request is dropped asks again a second later and is then refused
//! by the closed port. Nothing here needs a privilege.
//!
//! A unix socket has no packets; there the path is unlinked (`listener`).

use std::io;

use socket2::Socket;

use crate::os::net::{self, Instruction, op};

/// Drops SYN without ACK, keeps everything else.
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

/// Makes `listening`, a TCP socket, deaf to new connections; its queue stays.
///
/// # Errors
/// What the kernel says; `Unsupported` on systems other than Linux. The socket is then as it was.
pub fn shut(listening: &Socket) -> io::Result<()> {
    net::attach_filter(listening, &program())
}
