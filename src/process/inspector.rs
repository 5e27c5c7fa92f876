//! Reads the JavaScript stack of a process that is stuck in JavaScript.
//!
//! `supervisor::watch::hang` asks, for a worker that it is about to replace. SIGUSR1 makes Node open its inspector on a thread
//! of its own, which answers while the loop spins. Workers that may be asked are started with [`FLAG`], so the inspector is on
//! loopback, on a port of the kernel's choice; the listening socket that is new in the process shows it. Of the inspector's
//! protocol this file speaks `/json/list` for the address, a WebSocket, `Debugger.enable` and `Debugger.pause`, the names of
//! the scripts from `Debugger.scriptParsed`, and the call frames of `Debugger.paused`.
//! Invariant: it ends within `LIMIT`; the process stays paused, with its inspector open, until the caller ends it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::exit::Child;
use crate::os::quiet_thread;

/// The flag of workers whose inspector may have to be opened.
pub const FLAG: &str = "--inspect-port=127.0.0.1:0";
const THREAD: &str = "cluster2-debug";
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(2);
/// How often we look for the inspector's socket.
const LOOK: Duration = Duration::from_millis(5);
/// How much of an answer is read; the call frames of deep recursion come with their scopes.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// How many frames are shown.
const MOST_FRAMES: usize = 100;

/// What the process is doing, one line per frame as in an error's stack; `port` is where its inspector is known to be.
///
/// `None` when it doesn't say in time: it is stopped, it is stuck outside of JavaScript, it handles SIGUSR1 itself.
pub async fn stack(child: &Child, port: Option<u16>) -> Option<String> {
    tokio::time::timeout(LIMIT, capture(child, port)).await.ok()?.ok()
}

async fn capture(child: &Child, port: Option<u16>) -> io::Result<String> {
    let address = if let Some(port) = port {
        child.signal(libc::SIGUSR1)?;
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    } else {
        let pid = child.pid();
        let before = quiet_thread::call(THREAD, move || listening_sockets(pid)).await?;
        child.signal(libc::SIGUSR1)?;
        quiet_thread::call(THREAD, move || new_socket(pid, &before)).await?.ok_or_else(strange)?
    };
    // A known port may not be open yet.
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(LOOK).await;
    }
    let path = target(address).await?;
    let mut session = Session::open(address, &path).await?;
    session.send(&json!({ "id": 1, "method": "Debugger.enable" })).await?;
    session.send(&json!({ "id": 2, "method": "Debugger.pause" })).await?;
    let mut scripts = Scripts::new();
    loop {
        // Other messages, such as the answers to our own, are of no interest.
        match serde_json::from_slice(&session.next().await?) {
            Ok(Told::ScriptParsed { script_id, url }) => drop(scripts.insert(script_id, url)),
            Ok(Told::Paused { call_frames }) => return Ok(show(&call_frames, &scripts)),
            Err(_) => {}
        }
    }
}

/// The files of scripts, by their ids.
type Scripts = HashMap<String, String>;

#[derive(Deserialize)]
#[serde(tag = "method", content = "params")]
enum Told {
    #[serde(rename = "Debugger.scriptParsed", rename_all = "camelCase")]
    ScriptParsed { script_id: String, url: String },
    #[serde(rename = "Debugger.paused", rename_all = "camelCase")]
    Paused { call_frames: Vec<Frame> },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    function_name: String,
    location: Location,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    script_id: String,
    line_number: u64,
    #[serde(default)]
    column_number: u64,
}

fn show(frames: &[Frame], scripts: &Scripts) -> String {
    let lines: Vec<String> = frames.iter().take(MOST_FRAMES).map(|frame| frame.show(scripts)).collect();
    lines.join("\n")
}

impl Frame {
    /// As V8 prints it; the protocol counts lines and columns from 0.
    fn show(&self, scripts: &Scripts) -> String {
        let name = if self.function_name.is_empty() { "<anonymous>" } else { &self.function_name };
        let Location { script_id, line_number, column_number } = &self.location;
        let url = scripts.get(script_id).map_or("", String::as_str);
        let file = url.strip_prefix("file://").unwrap_or(url);
        format!("    at {name} ({file}:{}:{})", line_number + 1, column_number + 1)
    }
}

/// A TCP socket that listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ListeningSocket {
    pub(crate) inode: u64,
    pub(crate) address: SocketAddr,
}

/// The address of the first socket on which the process listens and did not before. Blocks until there is one, for `LIMIT`
/// at most.
fn new_socket(pid: u32, before: &HashSet<ListeningSocket>) -> Option<SocketAddr> {
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        if let Some(socket) = listening_sockets(pid).difference(before).next() {
            return Some(socket.address);
        }
        thread::sleep(LOOK);
    }
    None
}

/// The loopback sockets on which the process listens, by the lists of the kernel. Those are long on a busy machine, so the
/// supervisor's thread does not read them.
fn listening_sockets(pid: u32) -> HashSet<ListeningSocket> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return HashSet::new() };
    let held: HashSet<u64> = entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let listening = table.lines().filter_map(listening_line);
    listening.filter(|socket| held.contains(&socket.inode)).collect()
}

/// One line of `/proc/net/tcp`, if it is of a socket that listens on 127.0.0.1.
pub(crate) fn listening_line(line: &str) -> Option<ListeningSocket> {
    const LISTEN: &str = "0A";
    let mut words = line.split_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    let state = words.nth(1)?;
    let inode = words.nth(5)?.parse().ok()?;
    // The address stands there in the machine's byte order.
    let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == LISTEN && address.is_loopback())
        .then(|| ListeningSocket { inode, address: SocketAddr::from((address, port)) })
}

/// Asks the inspector for the path of its one target.
async fn target(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /json/list HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut reader = BufReader::new(stream);
    let length = read_head(&mut reader).await?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    let list: Value = serde_json::from_slice(&body)?;
    let url = list.pointer("/0/webSocketDebuggerUrl").and_then(Value::as_str).ok_or_else(strange)?;
    // ws://127.0.0.1:1234/<id>
    let path = url.splitn(4, '/').nth(3).ok_or_else(strange)?;
    Ok(format!("/{path}"))
}

/// Reads an HTTP answer's head; gives the length of what follows.
async fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<usize> {
    use tokio::io::AsyncBufReadExt;

    const MOST_HEADERS: usize = 100;
    let mut length = 0;
    for _ in 0..MOST_HEADERS {
        let mut line = String::new();
        (&mut *reader).take(4096).read_line(&mut line).await?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(length);
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok().filter(|length| *length <= MOST_BYTES).ok_or_else(strange)?;
        }
    }
    Err(strange())
}

/// A WebSocket to the inspector: text in both directions, nothing else.
struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    async fn open(address: SocketAddr, path: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        // The key would prove that the other side speaks WebSocket, which is known.
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: Y2x1c3RlcjItcnMgaGVyZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).await?;
        Ok(Self { stream })
    }

    /// Sends a short text. A client must mask its frames; a mask of zeros is enough, since there is no proxy in between.
    async fn send(&mut self, message: &Value) -> io::Result<()> {
        const FINAL_TEXT: u8 = 0x81;
        const MASKED: u8 = 0x80;
        const LONGEST_SHORT: usize = 125;
        let text = message.to_string();
        let length = u8::try_from(text.len().min(LONGEST_SHORT)).unwrap_or(0);
        debug_assert_eq!(usize::from(length), text.len());
        let mut frame = vec![FINAL_TEXT, MASKED | length, 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).await
    }

    /// The next message, put together from its frames; control frames are left out.
    async fn next(&mut self) -> io::Result<Vec<u8>> {
        const FINAL: u8 = 0x80;
        const CONTROL: u8 = 0x08;
        let mut message = Vec::new();
        loop {
            let head = self.stream.read_u8().await?;
            let length = self.read_length().await?;
            if length.saturating_add(message.len()) > MOST_BYTES {
                return Err(strange());
            }
            let start = message.len();
            message.resize(start + length, 0);
            let (_, part) = message.split_at_mut(start);
            self.stream.read_exact(part).await?;
            if head & CONTROL != 0 {
                message.truncate(start);
            } else if head & FINAL != 0 {
                return Ok(message);
            }
        }
    }

    async fn read_length(&mut self) -> io::Result<usize> {
        let length = match self.stream.read_u8().await? {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            short => u64::from(short),
        };
        usize::try_from(length).map_err(|_| strange())
    }
}

fn strange() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listeners_on_loopback_count() {
        let line =
            "   0: 0100007F:8D0C 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 81 1 0 100";
        let found = listening_line(line).unwrap();
        assert_eq!((found.inode, found.address), (81, "127.0.0.1:36108".parse().unwrap()));
        assert_eq!(listening_line(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listening_line(&line.replace("0100007F", "00000000")), None);
        assert_eq!(listening_line("  sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    fn frames_look_as_in_an_errors_stack() {
        let script = br#"{"method":"Debugger.scriptParsed","params":{"scriptId":"7","url":"file:///app.js","hash":""}}"#;
        let Told::ScriptParsed { script_id, url } = serde_json::from_slice(script).unwrap() else { panic!() };
        let paused = br#"{"method":"Debugger.paused","params":{"callFrames":[
            {"functionName":"spin","url":"","location":{"scriptId":"7","lineNumber":2,"columnNumber":4}},
            {"functionName":"","url":"","location":{"scriptId":"8","lineNumber":0}}],"reason":"other"}}"#;
        let Told::Paused { call_frames } = serde_json::from_slice(paused).unwrap() else { panic!() };
        let shown = show(&call_frames, &Scripts::from([(script_id, url)]));
        assert_eq!(shown, "    at spin (/app.js:3:5)\n    at <anonymous> (:1:1)");
        assert!(serde_json::from_slice::<Told>(br#"{"id":1,"result":{}}"#).is_err());
    }
}
