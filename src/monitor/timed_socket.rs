//! A connection's socket, which tells [`Connection`] when bytes move and when the client takes none.
//!
//! `server` makes one for each connection and gives it to hyper.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::monitor::admission::Connection;

/// The connection's socket, which tells when bytes move.
#[derive(Debug)]
pub(crate) struct TimedSocket {
    pub(crate) socket: Rc<TcpStream>,
    pub(crate) connection: Rc<Connection>,
}

impl TimedSocket {
    fn moved<T>(&self, result: T) -> Poll<T> {
        self.connection.note_moved();
        Poll::Ready(result)
    }

    /// Writes by `write` as soon as the socket takes something.
    fn write(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let Poll::Ready(is_ready) = self.socket.poll_write_ready(cx) else {
                self.connection.note_stuck();
                return Poll::Pending;
            };
            is_ready?;
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.connection.note_written();
                    return self.moved(written);
                }
            }
        }
    }
}

impl AsyncRead for TimedSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            match self.socket.try_read(buf.initialize_unfilled()) {
                Ok(length) => {
                    buf.advance(length);
                    return self.moved(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return self.moved(Err(error)),
            }
        }
    }
}

impl AsyncWrite for TimedSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |socket| socket.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is kept back here.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.socket).shutdown(Shutdown::Write))
    }
}
