//! A whole channel, with a worker's end that the test speaks for: what passes, in which order, and when it ends.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{Uid, setuid};
use tokio::task::{AbortHandle, JoinHandle, LocalSet};

use super::channel::open;
use super::message::{ServerData, ToMaster, ToWorker};
use super::reader::{Incoming, Reader};
use super::serialization::Serialization;
use super::writer::Writer;
use crate::ids::SlotIndex;

/// A user that runs nothing else.
const OTHER_USER: u32 = 65_531;

struct Ours {
    writer: Writer,
    reader: Reader,
    heard: VecDeque<Incoming>,
    writing: AbortHandle,
    /// How often the kernel had no room for what was said.
    shortages: Rc<Cell<u32>>,
}

impl Ours {
    async fn next(&mut self) -> Incoming {
        while self.heard.is_empty() {
            self.reader.read(&mut self.heard).await;
        }
        self.heard.pop_front().unwrap()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

/// The worker's side is a blocking socket on a thread of its own, or in the same thread where nothing waits.
fn pair() -> (Ours, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let shortages = Rc::new(Cell::new(0));
    let count = {
        let shortages = Rc::clone(&shortages);
        move || shortages.set(shortages.get() + 1)
    };
    let (writer, reader, writing) = open(ours.into(), Serialization::Json, count).unwrap();
    let writing = tokio::task::spawn_local(writing).abort_handle();
    (Ours { writer, reader, heard: VecDeque::new(), writing, shortages }, theirs)
}

fn null() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}

fn read_in_thread(mut from: UnixStream, bytes: usize) -> JoinHandle<(UnixStream, Vec<u8>)> {
    tokio::task::spawn_blocking(move || {
        let mut read = vec![0; bytes];
        from.read_exact(&mut read).unwrap();
        (from, read)
    })
}

async fn run(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn megabytes_pass_in_both_directions() {
    run(async {
        let (mut ours, theirs) = pair();
        let text = "x".repeat(5_000_000);
        ours.writer.pass(text.clone(), None);
        let (mut theirs, read) = read_in_thread(theirs, text.len() + 1).await.unwrap();
        assert!(read.starts_with(b"xxx") && read.ends_with(b"x\n"));
        assert_eq!(ours.writer.waiting(), 0);
        let writing = std::thread::spawn(move || theirs.write_all(&read));
        let mut lines = Vec::new();
        while lines.len() < text.len() {
            let Incoming::Application(line) = ours.next().await else { panic!("not the application's") };
            lines.extend(line);
        }
        assert_eq!(lines.len(), text.len());
        writing.join().unwrap().unwrap();
        assert!(matches!(ours.next().await, Incoming::Closed));
    })
    .await;
}

#[tokio::test]
async fn after_a_descriptor_everything_waits_for_its_acknowledgement() {
    run(async {
        let (mut ours, theirs) = pair();
        let lend = ToWorker::Lend { ack: 1, key: "k".into(), data: ServerData::default() };
        let first = lend.to_line() + "\n";
        ours.writer.say_with(&lend, null());
        ours.writer.say(&ToWorker::Disconnect);
        let (mut theirs, read) = read_in_thread(theirs, first.len()).await.unwrap();
        assert_eq!(read, first.as_bytes());
        assert!(!ours.writer.has_work());
        theirs
            .write_all(b"{\"cmd\":\"NODE_HANDLE_NACK\"}\n{\"cmd\":\"NODE_HANDLE_ACK\"}\n{\"x\":1}\n")
            .unwrap();
        // That it was sent again is nobody's business.
        assert!(matches!(ours.next().await, Incoming::Application(text) if text == b"{\"x\":1}"));
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_can_not_be_delivered_is_named() {
    run(async {
        let (mut ours, theirs) = pair();
        let message = ToWorker::NewConnection { seq: 7, key: "k".into() };
        let length = message.to_line().len() + 1;
        ours.writer.say_with(&message, null());
        let mut theirs = theirs;
        for _ in 0..3 {
            theirs = read_in_thread(theirs, length).await.unwrap().0;
            theirs.write_all(b"{\"cmd\":\"NODE_HANDLE_NACK\"}\n{\"x\":1}\n").unwrap();
            let heard = ours.next().await;
            if let Incoming::NotDelivered { hand_over } = heard {
                assert_eq!(hand_over, Some(7));
                return;
            }
            assert!(matches!(heard, Incoming::Application(_)), "{heard:?}");
        }
        panic!("it was sent for ever");
    })
    .await;
}

#[tokio::test]
async fn a_message_without_its_handle_is_told_and_what_follows_is_read() {
    run(async {
        let (mut ours, mut theirs) = pair();
        theirs
            .write_all(b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":1}\n{\"x\":1}\n")
            .unwrap();
        assert!(matches!(ours.next().await, Incoming::HandleMissing { is_fd_lost: false }));
        assert!(matches!(ours.next().await, Incoming::Application(text) if text == b"{\"x\":1}"));
    })
    .await;
}

#[tokio::test]
async fn what_is_said_after_the_end_is_dropped_and_uncounted() {
    run(async {
        let (mut ours, theirs) = pair();
        drop(theirs);
        assert!(matches!(ours.next().await, Incoming::Closed));
        ours.writer.pass("{}".into(), None);
        assert_eq!(ours.writer.waiting(), 0);
        assert!(ours.writer.is_closed());
    })
    .await;
}

#[tokio::test]
async fn an_acknowledgement_is_the_channels_own_affair() {
    run(async {
        let (mut ours, mut theirs) = pair();
        theirs
            .write_all(b"{\"cmd\":\"NODE_HANDLE_ACK\"}\n{\"cmd\":\"NODE_CLUSTER\",\"act\":\"online\"}\n")
            .unwrap();
        assert!(matches!(ours.next().await, Incoming::Protocol { message: ToMaster::Online, fd: None, .. }));
    })
    .await;
}

#[tokio::test]
async fn of_one_queue_at_most_one_descriptor_waits_for_a_worker_that_reads_nothing() {
    run(async {
        let (ours, _theirs) = pair();
        let watch = |slot| ToWorker::Watch { key: "k".into(), slot: SlotIndex(slot), backlog: 1 };
        let say = |message: ToWorker| {
            let (end, sent) = std::io::pipe().unwrap();
            ours.writer.say_with(&message, sent.into());
            end
        };
        // It stays under way, and all others wait for its acknowledgement.
        ours.writer.say_with(&watch(0), null());
        while ours.writer.has_work() {
            tokio::task::yield_now().await;
        }
        let [mut older, mut unwanted] = [say(watch(1)), say(watch(2))];
        let newer = say(watch(1));
        ours.writer.say(&ToWorker::Unwatch { key: "k".into(), slot: SlotIndex(2) });
        // The end of a pipe is seen once its other end is closed everywhere.
        assert_eq!((older.read(&mut [0]).unwrap(), unwanted.read(&mut [0]).unwrap()), (0, 0));
        drop(newer);
    })
    .await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_channel_waits_while_too_many_descriptors_of_its_user_are_under_way() {
    // In a process of its own, since user and limit are the whole process's.
    if std::env::var_os("CLUSTER2_TEST_UNDER_WAY").is_none() {
        let program = std::env::current_exe().unwrap();
        let name = "ipc::tests::a_channel_waits_while_too_many_descriptors_of_its_user_are_under_way";
        let mut child = std::process::Command::new(program);
        let status = child.args(["--exact", name]).env("CLUSTER2_TEST_UNDER_WAY", "1").status().unwrap();
        assert!(status.success());
        return;
    }
    run(async {
        let (ours, theirs) = pair();
        let crowd = UnixStream::pair().unwrap();
        // The limit does not hold for root.
        if Uid::effective().is_root() {
            setuid(Uid::from_raw(OTHER_USER)).unwrap();
        }
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 100, hard).unwrap();
        let under_way: [RawFd; 200] = [crowd.0.as_raw_fd(); 200];
        let rights = [ControlMessage::ScmRights(&under_way)];
        let text = [IoSlice::new(b"x")];
        sendmsg::<()>(crowd.0.as_raw_fd(), &text, &rights, MsgFlags::empty(), None).unwrap();

        let lend = ToWorker::Lend { ack: 1, key: "k".into(), data: ServerData::default() };
        let bytes = lend.to_line().len() + 1;
        ours.writer.say_with(&lend, null());
        let waits = async {
            while ours.shortages.get() < 2 {
                assert!(!ours.writer.is_closed(), "the worker was given up");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), waits).await.unwrap();
        drop(crowd);
        read_in_thread(theirs, bytes).await.unwrap();
        assert!(!ours.writer.is_closed());
    })
    .await;
}
