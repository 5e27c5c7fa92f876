//! The few socket calls that no safe crate offers, and the instructions of the kernel's packet programs.
//!
//! `socket` is the only caller. This file owns no descriptor; new ones are given as a `Socket`, close-on-exec and
//! non-blocking.

use std::io;

use socket2::Socket;

/// One instruction of a classic BPF program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do; one of the constants of [`op`].
    pub code: u16,
    /// A jump's distance when its test holds.
    pub if_true: u8,
    /// A jump's distance when its test does not hold.
    pub if_false: u8,
    /// The constant or the offset that the instruction works with.
    pub operand: u32,
}

/// The operations that our programs use; most work on the accumulator.
pub mod op {
    /// Loads the 32 bits at an offset, or one of the kernel's extras ([`RANDOM`]).
    pub const LOAD_WORD: u16 = 0x20;
    /// Loads the byte at an offset.
    pub const LOAD_BYTE: u16 = 0x30;
    /// Loads a constant.
    pub const LOAD: u16 = 0x00;
    /// Loads a word of the scratch memory.
    pub const RECALL: u16 = 0x60;
    /// Loads a word of the scratch memory into the index register.
    pub const RECALL_INDEX: u16 = 0x61;
    /// Stores into a word of the scratch memory.
    pub const KEEP: u16 = 0x02;
    /// Copies into the index register.
    pub const COPY_TO_INDEX: u16 = 0x07;
    /// Multiplies by a constant.
    pub const MULTIPLY: u16 = 0x24;
    /// Shifts right by a constant.
    pub const SHIFT_RIGHT: u16 = 0x74;
    /// Exclusive or with a constant.
    pub const XOR: u16 = 0xa4;
    /// Exclusive or with the index register.
    pub const XOR_INDEX: u16 = 0xac;
    /// Jumps over the operand's number of instructions.
    pub const JUMP: u16 = 0x05;
    /// Jumps on "is above the index register", unsigned.
    pub const JUMP_ABOVE_INDEX: u16 = 0x2d;
    /// Adds a constant.
    pub const ADD: u16 = 0x04;
    /// Keeps the bits of a mask.
    pub const AND: u16 = 0x54;
    /// Keeps the remainder of a division by a constant.
    pub const MODULO: u16 = 0x94;
    /// Jumps on "equals the constant".
    pub const JUMP_EQUAL: u16 = 0x15;
    /// Jumps on "is not below the constant", unsigned.
    pub const JUMP_NOT_BELOW: u16 = 0x35;
    /// Ends with a constant.
    pub const RETURN: u16 = 0x06;
    /// Ends with the accumulator.
    pub const RETURN_ACCUMULATOR: u16 = 0x16;
    /// Where offsets into the network header begin: `SKF_NET_OFF`.
    pub const NETWORK_HEADER: u32 = 0xfff0_0000;
    /// The "offset" at which the kernel puts 32 random bits: `SKF_AD_OFF + SKF_AD_RANDOM`.
    pub const RANDOM: u32 = 0xffff_f038;
}

/// Takes the next connection from a listening socket's queue.
///
/// # Errors
/// What accept(2) says; `WouldBlock` for an empty queue.
#[cfg(target_os = "linux")]
pub fn accept(listening: &Socket) -> io::Result<Socket> {
    listening.accept4(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK).map(|(connection, _)| connection)
}

/// Takes the next connection from a listening socket's queue.
///
/// # Errors
/// What accept(2) says; `WouldBlock` for an empty queue.
#[cfg(not(target_os = "linux"))]
pub fn accept(listening: &Socket) -> io::Result<Socket> {
    let (connection, _) = listening.accept()?;
    connection.set_nonblocking(true)?;
    Ok(connection)
}

/// How many connections wait to be accepted at a listening TCP socket.
///
/// # Errors
/// None that is known for such a socket; the kernel's word for it.
#[cfg(target_os = "linux")]
pub fn queue_length(listening: &Socket) -> io::Result<u32> {
    use std::os::fd::AsRawFd;

    // The beginning of `struct tcp_info`; for a socket that listens its last word here, `tcpi_unacked`, is the queue.
    let mut info = [0_u32; 7];
    let mut size = libc::socklen_t::try_from(size_of_val(&info)).unwrap_or(0);
    let place = info.as_mut_ptr().cast();
    // SAFETY: the descriptor is open for the length of the call; the kernel writes at most `size` bytes into the array.
    let done = unsafe {
        libc::getsockopt(listening.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut size)
    };
    let [.., length] = info;
    if done == 0 { Ok(length) } else { Err(io::Error::last_os_error()) }
}

/// Says that this system doesn't tell.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub fn queue_length(_listening: &Socket) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Lets `program` choose the socket of each new connection in the `SO_REUSEPORT` group of `member`. The program gives an index
/// in the order in which the group's sockets began to listen.
///
/// # Errors
/// `EINVAL` when `member` has never had a sibling, `ENOMEM` when the program is longer than `net.core.optmem_max` allows.
#[cfg(target_os = "linux")]
pub fn attach_chooser(member: &Socket, program: &[Instruction]) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};

    let mut code: Vec<libc::sock_filter> = program.iter().copied().map(to_kernel).collect();
    let len = u16::try_from(code.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // The kernel copies the program during the call; `code` outlives it.
    Ok(setsockopt(member, AttachReusePortCbpf, &libc::sock_fprog { len, filter: code.as_mut_ptr() })?)
}

/// Says that this system has no such programs.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub fn attach_chooser(_member: &Socket, _program: &[Instruction]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Lets `program` look at each packet for `socket`, from the TCP header on. A packet for which it gives 0 is dropped.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` on recent kernels (seen on 6.18), `ENOMEM` when the program is too long.
#[cfg(target_os = "linux")]
pub fn attach_filter(socket: &Socket, program: &[Instruction]) -> io::Result<()> {
    let code: Vec<socket2::SockFilter> = program
        .iter()
        .map(|step| socket2::SockFilter::new(step.code, step.if_true, step.if_false, step.operand))
        .collect();
    socket.attach_filter(&code)
}

/// Says that this system has no such programs.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub fn attach_filter(_socket: &Socket, _program: &[Instruction]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Ties `listening` to an interface number that no interface has: new connections do not reach it any more.
///
/// # Errors
/// `EPERM` without privilege on kernels before 5.7, or when the socket is tied to an interface already (a link-local address
/// ties it); `ENOPROTOOPT` before 5.1.
#[cfg(target_os = "linux")]
pub fn bind_to_no_interface(listening: &Socket) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    // The kernel counts interfaces up from 1 and does not ask whether the number is in use.
    static NO_INTERFACE: libc::c_int = libc::c_int::MAX;
    const SIZE: libc::socklen_t = 4;
    let value = (&raw const NO_INTERFACE).cast();
    // SAFETY: the descriptor is open for the length of the call; the kernel reads the four bytes of a constant.
    let done = unsafe {
        libc::setsockopt(listening.as_raw_fd(), libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, value, SIZE)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Says that this system has no such option.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub fn bind_to_no_interface(_listening: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn to_kernel(step: Instruction) -> libc::sock_filter {
    libc::sock_filter { code: step.code, jt: step.if_true, jf: step.if_false, k: step.operand }
}
