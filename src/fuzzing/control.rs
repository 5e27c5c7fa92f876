//! Requests on the control socket, from any process of the same user.
//!
//! The first byte says how the rest is cut on its way. What is sent is followed by the client's end.

use std::cell::RefCell;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use super::input::Input;
use crate::process::control::server::{REQUEST_LIMIT, Request, converse};

#[derive(Deserialize)]
struct Line {
    call: String,
    #[serde(default)]
    args: Value,
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
}

/// At most one request is made of what comes, it is what the client wrote, and the answer is one line.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let seed = u64::from(input.byte());
    let sent = input.rest();
    let pieces = if seed == 0 { vec![sent] } else { Input::new(sent).pieces(seed) };
    let asked = RefCell::new(Vec::new());
    let answer = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let client = async {
                for piece in pieces {
                    // A server that has seen enough closes while we still write.
                    let _ = theirs.write_all(piece).await;
                }
                let _ = theirs.shutdown().await;
                let mut answer = Vec::new();
                let _ = theirs.read_to_end(&mut answer).await;
                answer
            };
            let server = async {
                // Its error is that of a client which does not take its answer.
                let _ = converse(ours, &async |request: Request| {
                    let echo = json!({ "ok": true, "call": request.call, "args": request.args });
                    asked.borrow_mut().push((request.call, request.args));
                    request.reply.send(echo);
                })
                .await;
            };
            tokio::join!(client, server).0
        })
    });
    judge(sent, &asked.into_inner(), &answer);
}

fn judge(sent: &[u8], asked: &[(String, Value)], answer: &[u8]) {
    if sent.is_empty() {
        assert!(asked.is_empty() && answer.is_empty());
        return;
    }
    let first = sent.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let fits = u64::try_from(first.len()).unwrap_or(u64::MAX) < REQUEST_LIMIT;
    let known = serde_json::from_slice::<Line>(first).ok().filter(|_| fits || first.ends_with(b"\n"));
    match (known, asked) {
        (None, []) => {}
        (Some(line), [(call, args)]) => assert_eq!((call, args), (&line.call, &line.args)),
        (known, asked) => panic!("asked for {asked:?}, understood: {}", known.is_some()),
    }
    let Some((b'\n', text)) = answer.split_last() else { panic!("no line is the answer") };
    assert!(!text.contains(&b'\n'));
    let answer: Value = serde_json::from_slice(text).unwrap();
    assert_eq!(answer["ok"], json!(!asked.is_empty()));
    assert!(!asked.is_empty() || text.len() < 1000);
}
