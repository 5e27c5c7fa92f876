//! Carries events from the supervisor's thread to JavaScript, in order.
//!
//! The thread-safe function is weak: a supervisor with nothing to do does not keep Node alive. The queue of events has no
//! bound of its own. What could flood it, the talk of the workers, is counted in `backlog`, at whose limit the
//! supervisor reads that worker's channel no further.

use std::os::fd::IntoRawFd;
use std::sync::Arc;

use napi::bindgen_prelude::{FnArgs, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use serde_json::{Value, json};

use super::convert::Result;
use crate::backlog::Waiting;
use crate::error::INTERNAL;
use crate::event::{Event, Exit, MonitorRequest, Publish, signal_name};

/// What the callback gets: the event's name, the worker's id or 0, a text, and a descriptor or -1.
pub(crate) type EventArgs = FnArgs<(&'static str, u32, String, i32)>;

/// Turns a callback into the function that publishes events.
pub(crate) fn publisher(on_event: &Function<'_, EventArgs, ()>) -> Result<Publish> {
    let callback = on_event
        .build_threadsafe_function::<(Event, Option<Waiting>)>()
        .weak::<true>()
        .build_callback(|context| {
            let (event, waiting) = context.value;
            drop(waiting);
            Ok(args(event))
        })
        .map_err(|error| napi::Error::new(INTERNAL, error.reason.clone()))?;
    Ok(Arc::new(move |event, waiting| {
        // A process on its way out takes no more events.
        let _ = callback.call((event, waiting), ThreadsafeFunctionCallMode::NonBlocking);
    }))
}

fn plain(name: &'static str, id: u32, facts: &Value) -> EventArgs {
    (name, id, facts.to_string(), -1).into()
}

fn args(event: Event) -> EventArgs {
    let plain = |name, id, facts: Value| plain(name, id, &facts);
    match event {
        Event::Forked { worker, pid } => plain("forked", worker.0, json!({ "pid": pid })),
        Event::Started => plain("started", 0, Value::Null),
        Event::Online { worker } => plain("online", worker.0, Value::Null),
        Event::ServerListening { worker, address, any } => {
            let any = any.map(|ip| ip.to_string());
            plain("serverListening", worker.0, json!({ "address": address, "any": any }))
        }
        Event::Listening { worker, pid } => plain("listening", worker.0, json!({ "pid": pid })),
        Event::Spare { worker, pid } => plain("spare", worker.0, json!({ "pid": pid })),
        Event::Disconnected { worker } => plain("disconnected", worker.0, Value::Null),
        Event::LeavesOnPurpose { worker } => plain("leavesOnPurpose", worker.0, Value::Null),
        Event::Died { worker, pid, exit, reason, facts } => {
            let (code, signal) = match exit {
                Exit::Code(code) => (Some(code), None),
                Exit::Signal(signal) => (None, Some(signal_name(signal))),
            };
            let text = json!({ "pid": pid, "code": code, "signal": signal, "reason": reason, "left": facts });
            plain("died", worker.0, text)
        }
        Event::Hung { worker, pid, age, stack } => {
            let ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            plain("hung", worker.0, json!({ "pid": pid, "ms": ms, "stack": stack }))
        }
        Event::Messages { worker, lines } => ("messages", worker.0, text_of(lines), -1).into(),
        Event::HandleMessage { worker, kind, key, text, fd } => {
            let text = format!("{}\n{text}", json!({ "kind": kind, "key": key }));
            ("handleMessage", worker.0, text, fd.into_raw_fd()).into()
        }
        Event::MonitorRequest(request) => monitor_request(request),
        Event::Component { worker, fact } => ("component", worker.0, fact, -1).into(),
        Event::Warning { message, facts } => {
            plain("warning", 0, json!({ "message": message, "facts": facts }))
        }
        Event::Heartbeat { facts } => plain("heartbeat", 0, facts),
        Event::Rotated { disabled, by, reason, .. } => {
            plain("rotated", 0, json!({ "disabled": disabled, "by": by, "reason": reason }))
        }
        Event::Noted { event, pid, text } => {
            plain("noted", 0, json!({ "event": event, "pid": pid, "text": text }))
        }
        Event::LaunchAsked => plain("launchAsked", 0, Value::Null),
        Event::Answered { ticket, answer } => plain("answered", ticket, answer),
        Event::ShutdownAsked => plain("shutdownAsked", 0, Value::Null),
        Event::StopAsked => plain("stopAsked", 0, Value::Null),
        Event::Ended => plain("ended", 0, Value::Null),
    }
}

/// Node writes valid UTF-8, so nothing is lost and nothing is copied.
fn text_of(lines: Vec<u8>) -> String {
    String::from_utf8(lines).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn monitor_request(request: MonitorRequest) -> EventArgs {
    let MonitorRequest { to, remote, socket, taken, queued } = request;
    drop(queued);
    // Who waited may have given up; JavaScript then finds the socket closed.
    let _ = taken.send(());
    let facts = json!({
        "to": to.name(),
        "address": remote.ip().to_string(),
        "family": if remote.is_ipv4() { "IPv4" } else { "IPv6" },
        "port": remote.port(),
    });
    ("monitorRequest", 0, facts.to_string(), socket.into_raw_fd()).into()
}
