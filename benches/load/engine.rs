//! Runs all clients on one epoll: begins requests when they are due, ends those that take too long, and counts.
//!
//! Owns the epoll, a timer of microseconds (epoll's own time-out knows milliseconds only) and the clients; a client's
//! index is its token. An event may be older than the connection that has its token now: clients take that for
//! nothing, since their sockets don't block.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::client::{Client, News};
use crate::findings::{Failure, Tally};
use crate::orders::{Mode, Orders};

const TIMER: u64 = u64::MAX;
const STDIN: u64 = u64::MAX - 1;
const EVENTS: usize = 256;
/// How often time-outs are looked for.
const LOOK: Duration = Duration::from_millis(50);
/// A client that was refused, or failed otherwise, does not try again at once: that would be a loop without a pause.
const AFTER_FAILURE: Duration = Duration::from_millis(10);
/// So many idle connections are being opened at a time.
const OPENING: usize = 64;

pub(crate) struct Engine {
    orders: Orders,
    /// The usual request, and the heavy one.
    requests: [Vec<u8>; 2],
    /// Requests begun so far.
    asked: u32,
    epoll: Epoll,
    timer: TimerFd,
    clients: Vec<Client>,
    /// Clients of `Rate` whose connection is over.
    free: Vec<usize>,
    /// Who is to begin its next request when.
    pauses: BinaryHeap<Reverse<(Instant, usize)>>,
    pub(crate) tally: Tally,
    start: Instant,
    until: Instant,
    next_look: Instant,
    /// `Rate`: connections begun so far. `Idle`: clients that have begun.
    begun: u32,
    busy: usize,
}

impl Engine {
    pub(crate) fn new(orders: Orders) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        epoll.add(timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, TIMER))?;
        // A terminal or a pipe can be watched; with anything else the load runs its full time.
        let _ =
            epoll.add(io::stdin().as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, STDIN));
        let now = Instant::now();
        Ok(Self {
            requests: orders.requests(),
            asked: 0,
            until: now + Duration::from_secs_f64(orders.seconds),
            orders,
            epoll,
            timer,
            clients: Vec::new(),
            free: Vec::new(),
            pauses: BinaryHeap::new(),
            tally: Tally::default(),
            start: now,
            next_look: now + LOOK,
            begun: 0,
            busy: 0,
        })
    }

    /// Works off the orders. Connections that are open then stay so as long as the engine lives.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        self.start = Instant::now();
        self.until = self.start + Duration::from_secs_f64(self.orders.seconds);
        if matches!(self.orders.mode, Mode::Short | Mode::Kept) {
            self.grow(self.orders.clients);
            for index in 0..self.clients.len() {
                self.begin(index, self.start)?;
            }
        }
        loop {
            let now = Instant::now();
            let is_over = self.is_over(now);
            if is_over {
                self.tally.close_window(now - self.start);
                if self.busy == 0 {
                    return Ok(());
                }
            } else {
                self.begin_due(now)?;
            }
            self.end_overdue(now)?;
            self.wait(is_over)?;
        }
    }

    /// No request is to be begun any more.
    fn is_over(&self, now: Instant) -> bool {
        match self.orders.mode {
            Mode::Short | Mode::Kept => now >= self.until,
            // What was planned is begun, however late.
            Mode::Rate => self.planned() >= self.until,
            Mode::Idle => now >= self.until || (self.begun as usize >= self.orders.clients && self.busy == 0),
        }
    }

    fn grow(&mut self, count: usize) {
        while self.clients.len() < count {
            self.clients.push(Client::new(self.start));
        }
    }

    /// Begins what is due by now: planned connections, clients whose pause is over, connections to be kept idle.
    fn begin_due(&mut self, now: Instant) -> io::Result<()> {
        match self.orders.mode {
            Mode::Rate => {
                while let planned = self.planned()
                    && planned <= now
                    && planned < self.until
                {
                    self.begun += 1;
                    let index = self.free.pop().unwrap_or(self.clients.len());
                    self.grow(index + 1);
                    if index < self.orders.clients {
                        self.begin(index, planned)?;
                    } else {
                        // As many as there may be are held up already; one more waits for ever as far as it can tell.
                        self.clients.truncate(index);
                        self.tally.fail(Failure::TimedOut);
                    }
                }
            }
            Mode::Idle => {
                while self.busy < OPENING && (self.begun as usize) < self.orders.clients {
                    let index = self.clients.len();
                    self.grow(index + 1);
                    self.begun += 1;
                    self.begin(index, now)?;
                }
            }
            Mode::Short | Mode::Kept => {}
        }
        while let Some(Reverse((due, index))) = self.pauses.peek().copied()
            && due <= now
        {
            self.pauses.pop();
            self.clients[index].pauses = false;
            self.begin(index, now)?;
        }
        Ok(())
    }

    /// When the next connection of `Rate` is due.
    fn planned(&self) -> Instant {
        self.start + Duration::from_secs(1) * self.begun / self.orders.rate.max(1)
    }

    /// Begins one request, on the connection that is open or on a new one.
    fn begin(&mut self, index: usize, from: Instant) -> io::Result<()> {
        self.asked = self.asked.wrapping_add(1);
        let client = &mut self.clients[index];
        client.begun = from;
        client.is_heavy = self.asked.checked_rem(self.orders.heavy_every) == Some(0);
        self.busy += 1;
        let request = &self.requests[usize::from(client.is_heavy)];
        let news = if client.stream().is_some() {
            client.send(request)
        } else {
            self.tally.connection();
            let news = client.connect(self.orders.port, request);
            if let Some(stream) = client.stream() {
                // One that is still connecting is looked at once more, when it can be written to.
                let writable = if client.is_connecting() {
                    EpollFlags::EPOLLOUT | EpollFlags::EPOLLET
                } else {
                    EpollFlags::empty()
                };
                self.epoll.add(stream, EpollEvent::new(EpollFlags::EPOLLIN | writable, index as u64))?;
            }
            news
        };
        self.heed(index, news)
    }

    /// Draws the consequences of what a client has to tell.
    fn heed(&mut self, index: usize, news: News) -> io::Result<()> {
        let now = Instant::now();
        let pause = match news {
            News::Nothing | News::Left => return Ok(()),
            News::Answered(answer) => {
                self.busy -= 1;
                let client = &mut self.clients[index];
                self.tally.answer(now.saturating_duration_since(client.begun), answer.mark);
                let goes_on = matches!(self.orders.mode, Mode::Kept | Mode::Idle) && !answer.closes;
                if !goes_on {
                    client.close();
                }
                self.orders.think()
            }
            News::Failed(failure) => {
                self.busy -= 1;
                self.tally.fail(failure);
                AFTER_FAILURE
            }
        };
        match self.orders.mode {
            Mode::Rate => self.free.push(index),
            Mode::Idle => {}
            Mode::Short | Mode::Kept if now >= self.until => {}
            Mode::Short | Mode::Kept if pause.is_zero() => return self.begin(index, now),
            Mode::Short | Mode::Kept => {
                if !std::mem::replace(&mut self.clients[index].pauses, true) {
                    self.pauses.push(Reverse((now + pause, index)));
                }
            }
        }
        Ok(())
    }

    fn end_overdue(&mut self, now: Instant) -> io::Result<()> {
        if now < self.next_look {
            return Ok(());
        }
        self.next_look = now + LOOK;
        let timeout = self.orders.timeout();
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            if client.is_busy() && now.saturating_duration_since(client.begun) >= timeout {
                let news = client.give_up(Failure::TimedOut);
                self.heed(index, news)?;
            }
        }
        Ok(())
    }

    /// Waits for the kernel's news, the next start or the next look at time-outs, and takes up what came.
    fn wait(&mut self, is_over: bool) -> io::Result<()> {
        let mut due = self.next_look;
        if !is_over {
            due = due.min(self.until);
            if self.orders.mode == Mode::Rate {
                due = due.min(self.planned());
            }
            if let Some(Reverse((pause, _))) = self.pauses.peek() {
                due = due.min(*pause);
            }
        }
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = match self.epoll.wait(&mut events, self.timeout_until(due)?) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut scratch = [0; 16 * 1024];
        for event in &events[..count] {
            match event.data() {
                TIMER => continue,
                // Whoever ordered the load wants no more of it. Idle connections heed that in `hold`.
                STDIN if self.orders.mode != Mode::Idle => {
                    self.until = Instant::now();
                    continue;
                }
                _ => {}
            }
            let Ok(index) = usize::try_from(event.data()) else { continue };
            let client = &mut self.clients[index];
            let news = client.look(&self.requests[usize::from(client.is_heavy)], &mut scratch);
            self.heed(index, news)?;
        }
        Ok(())
    }

    /// Whole milliseconds are epoll's; only a start that is planned to the microsecond sets the timer.
    fn timeout_until(&self, due: Instant) -> io::Result<EpollTimeout> {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(EpollTimeout::ZERO);
        }
        if self.orders.mode == Mode::Rate {
            self.timer.set(Expiration::OneShot(left.into()), TimerSetTimeFlags::empty())?;
            return Ok(EpollTimeout::NONE);
        }
        let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
        Ok(EpollTimeout::from(millis.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use serde_json::{Value, json};

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx1";

    /// Answers requests with `answer` on every connection until the test ends.
    fn serve(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    let mut request = [0; 1024];
                    while stream.read(&mut request).is_ok_and(|count| count > 0) {
                        if answer.is_empty() || stream.write_all(answer).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        port
    }

    fn findings(orders: Value) -> Value {
        let mut engine = Engine::new(serde_json::from_value(orders).unwrap()).unwrap();
        engine.run().unwrap();
        serde_json::to_value(engine.tally.findings()).unwrap()
    }

    fn number(found: &Value, path: &str) -> u64 {
        found.pointer(path).unwrap().as_u64().unwrap()
    }

    #[test]
    fn kept_connections_are_opened_once_and_asked_again_and_again() {
        let port = serve(ANSWER);
        let found = findings(json!({"port": port, "mode": "kept", "clients": 3, "seconds": 0.2}));
        assert_eq!(number(&found, "/connections"), 3);
        assert!(number(&found, "/answered") > 3);
        assert_eq!(number(&found, "/workers/1"), number(&found, "/answered"));
    }

    #[test]
    fn short_ones_are_a_connection_for_each_answer() {
        let port = serve(ANSWER);
        let found = findings(json!({"port": port, "mode": "short", "clients": 3, "seconds": 0.2}));
        assert_eq!(number(&found, "/connections"), number(&found, "/answered"));
    }

    #[test]
    fn threads_share_the_clients_and_their_findings_are_added() {
        let text = json!({"port": 1, "mode": "kept", "clients": 5, "seconds": 0.1, "threads": 2});
        let orders: Orders = serde_json::from_value(text).unwrap();
        assert_eq!(orders.shares().iter().map(|share| share.clients).collect::<Vec<_>>(), [2, 3]);
        let orders = Orders { port: serve(ANSWER), ..orders };
        let mut engines: Vec<_> =
            orders.shares().into_iter().map(|share| Engine::new(share).unwrap()).collect();
        let mut tally = Tally::default();
        for engine in &mut engines {
            engine.run().unwrap();
            tally.add(&engine.tally);
        }
        let found = serde_json::to_value(tally.findings()).unwrap();
        assert_eq!(number(&found, "/connections"), 5);
        assert_eq!(number(&found, "/workers/1"), number(&found, "/answered"));
    }

    #[test]
    fn a_rate_is_kept_whatever_becomes_of_the_connections() {
        let orders = |port| json!({"port": port, "mode": "rate", "rate": 200, "clients": 99, "seconds": 0.2});
        assert_eq!(number(&findings(orders(serve(ANSWER))), "/answered"), 40);
        assert_eq!(number(&findings(orders(serve(b""))), "/failed/cutShort"), 40);
    }

    #[test]
    fn failures_are_told_by_their_kind() {
        let kind = |port, name: &str| {
            let found = findings(
                json!({"port": port, "mode": "kept", "clients": 1, "seconds": 0.1, "timeoutMs": 60}),
            );
            assert_eq!(number(&found, "/answered"), 0);
            number(&found, &format!("/failed/{name}"))
        };
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        assert!(kind(port, "timedOut") > 0);
        drop(silent);
        assert!(kind(port, "refused") > 0);
        assert!(kind(serve(b"HTTP/1.1 503 Sorry\r\nContent-Length: 0\r\n\r\n"), "badStatus") > 0);
        assert!(kind(serve(b""), "cutShort") > 0);
    }
}
