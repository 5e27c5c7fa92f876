//! Makes sockets as libuv would for Node's own cluster primary: bound, close-on-exec, non-blocking, not yet listening.
//!
//! `listener` is the only caller and owns the sockets. Every error carries the kernel's number, because the worker that asked
//! gets that number as its own error.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::Ip;
use crate::os::quiet_thread::TimedCalls;

/// How long the supervisor's thread waits for a disk that holds the file of a unix socket.
const DISK: Duration = Duration::from_millis(500);
const DISK_THREAD: &str = "cluster2-sock";
/// Node's own default; the kernel cuts it to `somaxconn`.
const DEFAULT_BACKLOG: u32 = 511;

/// Binds a TCP socket; without an address, to all addresses of the machine: IPv6 and IPv4, or IPv4 where there is no IPv6.
pub(super) fn tcp(address: Option<Ip>, port: u16, only_v6: bool) -> io::Result<Socket> {
    let at = |address: Ip| tcp_at(address.at(port), only_v6, false);
    match address {
        Some(address) => at(address),
        None => match at(IpAddr::from(Ipv6Addr::UNSPECIFIED).into()) {
            // Trying IPv4 after a busy port would hide that the port is busy.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                at(IpAddr::from(Ipv4Addr::UNSPECIFIED).into())
            }
            done => done,
        },
    }
}

/// Binds a TCP socket at exactly `address`; as a `sibling`, beside a socket that is bound there already.
pub(super) fn tcp_at(address: SocketAddr, only_v6: bool, sibling: bool) -> io::Result<Socket> {
    let socket = new(Domain::for_address(address), Type::STREAM)?;
    // As libuv does: connections of an earlier life in TIME_WAIT don't keep the port busy.
    socket.set_reuse_address(true)?;
    if sibling {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Binds a UDP socket.
pub(super) fn udp(address: Option<Ip>, v6: bool, port: u16, flags: u32) -> io::Result<Socket> {
    let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let address = address.unwrap_or_else(|| any.into()).at(port);
    let only_v6 = flags & super::IPV6_ONLY != 0;
    if address.is_ipv6() != v6 || (only_v6 && !v6) {
        return Err(invalid());
    }
    let socket = new(Domain::for_address(address), Type::DGRAM)?;
    if flags & super::UDP_REUSE_ADDRESS != 0 {
        socket.set_reuse_address(true)?;
    }
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The one form of a path or abstract name by which a listener is known.
///
/// Node's worker makes every path absolute, also an abstract name: it puts `<directory>/` before the zero byte that begins
/// the name. A path has no zero byte, so the name begins at the first one.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    match bytes.iter().position(|byte| *byte == 0).and_then(|start| bytes.get(start..)) {
        Some(name) => PathBuf::from(OsStr::from_bytes(name)),
        // An empty path stays one, and is refused when it is bound.
        None => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// The address of an absolute path. A path that is too long for one may have a short form below the working directory, which
/// Node's primary uses too.
fn unix_address(path: &Path) -> io::Result<SockAddr> {
    let from_here = || {
        let here = std::env::current_dir().ok()?;
        SockAddr::unix(path.strip_prefix(here).ok()?).ok()
    };
    // For a path that is too long or empty `SockAddr::unix` has an error without the kernel's number.
    let address = SockAddr::unix(path).ok().or_else(from_here);
    address.filter(|address| !address.is_unnamed()).ok_or_else(invalid)
}

/// Calls on the disks of unix sockets.
pub(super) fn disk_calls() -> TimedCalls {
    TimedCalls::new(DISK_THREAD, DISK)
}

/// Binds a unix socket at an absolute path; an abstract name (its first byte is 0) has no file. A socket file that a killed
/// process has left at the path is removed. Where the disk of the path does not answer in time, that is an error.
pub(super) fn unix(path: &Path, calls: &TimedCalls) -> io::Result<(Socket, Option<UnixFile>)> {
    let path = path.to_owned();
    calls.call(move || bind_unix(&path))?
}

fn bind_unix(path: &Path) -> io::Result<(Socket, Option<UnixFile>)> {
    let address = unix_address(path)?;
    let socket = new(Domain::UNIX, Type::STREAM)?;
    if address.as_pathname().is_none() {
        socket.bind(&address)?;
        return Ok((socket, None));
    }
    let file = match UnixFile::bind(&socket, &address, path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && remove_stale(path) => {
            UnixFile::bind(&socket, &address, path)?
        }
        done => done?,
    };
    Ok((socket, Some(file)))
}

/// Duplicates a socket that the application holds in this process: a TCP or unix socket that is bound, or a UDP socket.
pub(super) fn adopt(fd: RawFd, kind: Type) -> io::Result<Socket> {
    let socket = Socket::from(crate::os::fd::duplicate(fd)?);
    // Node says EINVAL to a descriptor that is no socket, and to a socket of another kind.
    if socket.r#type().map_err(|_| invalid())? != kind {
        return Err(invalid());
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The length of a queue for which 0 means Node's default.
pub(super) fn backlog(wanted: u32) -> u32 {
    if wanted == 0 { DEFAULT_BACKLOG } else { wanted }
}

/// Begins to listen; changes the length of the queue if the socket listens already.
pub(super) fn listen(socket: &Socket, backlog: u32) -> io::Result<()> {
    socket.listen(i32::try_from(self::backlog(backlog)).unwrap_or(i32::MAX))
}

fn new(domain: Domain, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

/// The file of a unix socket that we bound. Dropping it unlinks the path, unless another file has taken its place.
#[derive(Debug)]
pub(super) struct UnixFile {
    names: Names,
    /// A disk that hangs costs the supervisor one wait, and one thread, for each file.
    calls: TimedCalls,
}

/// The names of such a file.
///
/// Applications remove the path before they listen, or when they end, as they would do alone. So a second name of the
/// same file is kept beside it, from which the path is made again.
#[derive(Clone, Debug)]
struct Names {
    /// Absolute, because the application may change its working directory.
    path: PathBuf,
    /// The second name; it is not there where the file system has no hard links.
    spare: PathBuf,
    identity: (u64, u64),
}

impl UnixFile {
    fn bind(socket: &Socket, address: &SockAddr, path: &Path) -> io::Result<Self> {
        socket.bind(address).map_err(|error| {
            // As libuv does: Node's users know a missing folder as EACCES.
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            if is_missing { io::Error::from_raw_os_error(libc::EACCES) } else { error }
        })?;
        let identity = identity(&fs::symlink_metadata(path)?);
        let spare = spare_of(path);
        // A killed process may have left one. Where this fails, so does the next call.
        if fs::symlink_metadata(&spare).is_ok_and(|left| left.file_type().is_socket()) {
            let _ = fs::remove_file(&spare);
        }
        // Without a second name a path that the application removes stays removed.
        let _ = fs::hard_link(path, &spare);
        Ok(Self { names: Names { path: path.to_owned(), spare, identity }, calls: disk_calls() })
    }

    /// Makes the path again if it has been removed; another file in its place stays.
    pub(super) fn restore(&self) {
        let names = self.names.clone();
        // Where the disk does not answer in time, the path comes later or not at all, as without a second name.
        let _ = self.calls.call(move || names.link_again());
    }

    /// As `restore`, without waiting for the disk.
    pub(super) fn restore_soon(&self) {
        let names = self.names.clone();
        // Without a thread, or while the disk is busy, the path comes with the next loan.
        let _ = self.calls.begin(move || names.link_again());
    }

    /// Lets everybody read from, or write to, the socket, as `server.listen({readableAll, writableAll})` asks.
    pub(super) fn open_to_all(&self, readable: bool, writable: bool) -> io::Result<()> {
        if !readable && !writable {
            return Ok(());
        }
        let more = if readable { 0o444 } else { 0 } | if writable { 0o222 } else { 0 };
        let path = self.names.path.clone();
        let change = move || {
            let now = fs::symlink_metadata(&path)?.mode() & 0o777;
            fs::set_permissions(&path, Permissions::from_mode(now | more))
        };
        self.calls.call(change)?
    }
}

impl Names {
    fn link_again(&self) {
        let is_gone =
            fs::symlink_metadata(&self.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if is_gone && is_file(&self.spare, self.identity) {
            // It fails where the path has come back meanwhile.
            let _ = fs::hard_link(&self.spare, &self.path);
        }
    }

    /// The second name first: a path that is made again by the time is removed after it.
    fn unlink(&self) {
        for name in [&self.spare, &self.path] {
            if is_file(name, self.identity) {
                // What can't be removed stays as a socket that nobody answers on.
                let _ = fs::remove_file(name);
            }
        }
    }
}

impl Drop for UnixFile {
    fn drop(&mut self) {
        let names = self.names.clone();
        // A path that can't be unlinked, or not in time, stays as a socket nobody answers on; the next `bind` removes it.
        let _ = self.calls.call(move || names.unlink());
    }
}

/// `app.sock` has `.app.sock.cluster2` beside it.
fn spare_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".cluster2");
    path.with_file_name(name)
}

fn is_file(path: &Path, ours: (u64, u64)) -> bool {
    fs::symlink_metadata(path).is_ok_and(|now| identity(&now) == ours)
}

/// Removes a socket file that a killed process has left, and says whether it did; leaves files of sockets in use and other
/// files.
fn remove_stale(path: &Path) -> bool {
    let Ok(before) = fs::symlink_metadata(path) else { return false };
    // Another process may replace the file meanwhile; between the last check and the removal it still may.
    before.file_type().is_socket()
        && is_refused(path)
        && is_file(path, identity(&before))
        && fs::remove_file(path).is_ok()
}

fn is_refused(path: &Path) -> bool {
    let knock = || -> io::Result<()> { new(Domain::UNIX, Type::STREAM)?.connect(&unix_address(path)?) };
    knock().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_disk_that_hangs_costs_loans_and_deaths_one_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let (_socket, file) = unix(&path, &disk_calls()).unwrap();
        let file = file.unwrap();
        fs::remove_file(&path).unwrap();
        let (mut reader, mut writer) = io::pipe().unwrap();
        // Each turn of this disk hangs until a byte comes.
        file.calls.begin(move || drop(reader.read(&mut [0]))).unwrap();
        let begin = Instant::now();
        for _ in 0..20 {
            file.restore_soon();
            file.restore();
            assert_eq!(file.open_to_all(true, true).unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        assert!(begin.elapsed() < DISK * 4, "{:?}", begin.elapsed());
        io::Write::write_all(&mut writer, &[0]).unwrap();
        while !path.exists() {
            file.restore();
            assert!(begin.elapsed() < DISK * 40);
        }
    }
}
