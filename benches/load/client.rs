//! One client: at most one connection, and on it at most one request under way.
//!
//! A client knows its socket and where it stands; when to begin, and what follows, is the engine's business.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use crate::answer::{self, Answer, Progress};
use crate::findings::Failure;

#[derive(Debug)]
pub(crate) struct Client {
    stream: Option<TcpStream>,
    phase: Phase,
    /// What has come of the answer, when one read did not bring it all.
    partial: Vec<u8>,
    /// What the latency counts from: the start, or the planned start, of the request under way.
    pub(crate) begun: Instant,
    /// Whether the request under way is a heavy one.
    pub(crate) is_heavy: bool,
    /// Whether a pause of this client already stands in the engine's queue.
    pub(crate) pauses: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request is under way; the connection, if there is one, is open and idle.
    Idle,
    Connecting,
    Waiting,
}

/// What came of looking after a client.
#[derive(Debug)]
pub(crate) enum News {
    Nothing,
    Answered(Answer),
    Failed(Failure),
    /// The server closed a connection on which nothing was asked.
    Left,
}

impl Client {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            stream: None,
            phase: Phase::Idle,
            partial: Vec::new(),
            begun: now,
            is_heavy: false,
            pauses: false,
        }
    }

    pub(crate) fn stream(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.phase != Phase::Idle
    }

    pub(crate) fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    /// Opens a connection and sends the request if the kernel has connected already, as it has on loopback unless
    /// the server's queue is full.
    pub(crate) fn connect(&mut self, port: u16, request: &[u8]) -> News {
        match connect(port) {
            Ok(stream) => {
                self.stream = Some(stream);
                self.phase = Phase::Connecting;
                self.send(request)
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Sends the request on the connection there is.
    pub(crate) fn send(&mut self, request: &[u8]) -> News {
        let Some(stream) = &mut self.stream else { return News::Nothing };
        match stream.write(request) {
            // A request is far smaller than any send buffer: it is taken whole or not at all.
            Ok(_) => self.phase = Phase::Waiting,
            Err(error) if is_early(&error) => self.phase = Phase::Connecting,
            Err(error) => return self.fail(&error),
        }
        News::Nothing
    }

    /// Takes up what the kernel reports of the connection.
    pub(crate) fn look(&mut self, request: &[u8], scratch: &mut [u8]) -> News {
        if self.phase == Phase::Connecting {
            match self.stream.as_ref().map(TcpStream::take_error) {
                Some(Ok(Some(error)) | Err(error)) => return self.fail(&error),
                Some(Ok(None)) | None => return self.send(request),
            }
        }
        let Some(stream) = &mut self.stream else { return News::Nothing };
        match stream.read(scratch) {
            Ok(0) if self.phase == Phase::Idle => {
                self.close();
                News::Left
            }
            Ok(0) => self.give_up(Failure::CutShort),
            Ok(count) => self.take(&scratch[..count]),
            Err(error) if is_early(&error) => News::Nothing,
            Err(_) if self.phase == Phase::Idle => {
                self.close();
                News::Left
            }
            Err(error) => self.fail(&error),
        }
    }

    pub(crate) fn give_up(&mut self, failure: Failure) -> News {
        self.close();
        News::Failed(failure)
    }

    pub(crate) fn close(&mut self) {
        self.stream = None;
        self.phase = Phase::Idle;
        self.partial.clear();
    }

    fn take(&mut self, bytes: &[u8]) -> News {
        let progress = if self.partial.is_empty() {
            answer::read(bytes)
        } else {
            self.partial.extend_from_slice(bytes);
            answer::read(&self.partial)
        };
        match progress {
            Progress::Unfinished => {
                if self.partial.is_empty() {
                    self.partial.extend_from_slice(bytes);
                }
                News::Nothing
            }
            Progress::Whole(answer) if answer.status == 200 => {
                self.partial.clear();
                self.phase = Phase::Idle;
                News::Answered(answer)
            }
            Progress::Whole(_) | Progress::Nonsense => self.give_up(Failure::BadStatus),
        }
    }

    fn fail(&mut self, error: &io::Error) -> News {
        let refused = error.kind() == ErrorKind::ConnectionRefused;
        self.give_up(if refused { Failure::Refused } else { Failure::Reset })
    }
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
    match socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

/// Not connected yet, or nothing to read yet.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
}
