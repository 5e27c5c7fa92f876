//! Carries events from the supervisor's thread to JavaScript, in order.
//!
//! The thread-safe function is weak: a supervisor with nothing to do doesn't keep Node alive. Events are queued without a
//! bound of their own; what could flood, the application's messages, is counted in `Undelivered`, at whose limit the
//! supervisor stops reading the channels until JavaScript has caught up.

use std::os::fd::IntoRawFd;

use napi::bindgen_prelude::{FnArgs, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use serde_json::{Value, json};

use super::convert::Result;
use super::direct::Direct;
use crate::event::{Event, MonitorRequest, Undelivered, signal_name};
use crate::process::exit::Exit;

/// What the callback gets: the event's name, the worker's id or 0, a text, and a descriptor or -1.
pub(crate) type EventArgs = FnArgs<(&'static str, u32, String, i32)>;

/// Turns a callback into the function that publishes events, and the count of what it has not delivered yet.
pub(crate) fn publisher(
    on_event: &Function<'_, EventArgs, ()>,
) -> Result<(impl Fn(Event) + Send + Sync + 'static, Undelivered)> {
    let undelivered = Undelivered::default();
    let delivered = undelivered.clone();
    let internal = |error: napi::Error| napi::Error::new("ERR_CLUSTER2_INTERNAL", error.reason.clone());
    let direct = Direct::new(on_event.create_ref().map_err(internal)?);
    let callback = on_event
        .build_threadsafe_function::<Event>()
        .weak::<true>()
        .build_callback(move |context| {
            let event = context.value;
            if let Event::Messages { lines, .. } = &event {
                delivered.subtract(lines.len());
            }
            if let Event::Lent { worker, turn } = event {
                direct.take_turn(context.env, worker, turn);
                return Ok(plain("lent", worker.0, &Value::Null));
            }
            Ok(args(event))
        })
        .map_err(internal)?;
    let publish = move |event| {
        // A process on its way out takes no more events.
        let _ = callback.call(event, ThreadsafeFunctionCallMode::NonBlocking);
    };
    Ok((publish, undelivered))
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
        Event::ServerListening { worker, address } => plain("serverListening", worker.0, json!(address)),
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
        Event::Messages { worker, lines } => {
            ("messages", worker.0, String::from_utf8_lossy(&lines).into_owned(), -1).into()
        }
        // Taken by the callback.
        Event::Lent { worker, .. } => plain("lent", worker.0, Value::Null),
        Event::HandleMessage { worker, kind, text, fd } => {
            let text = format!("{}\n{text}", json!(kind));
            ("handleMessage", worker.0, text, fd.into_raw_fd()).into()
        }
        Event::MonitorRequest(request) => monitor_request(request),
        Event::Component { worker, fact } => plain("component", worker.0, fact),
        Event::Warning { message, facts } => {
            plain("warning", 0, json!({ "message": message, "facts": facts }))
        }
        Event::Heartbeat { facts } => plain("heartbeat", 0, facts),
        Event::Rotated { disabled, by, reason, .. } => {
            plain("rotated", 0, json!({ "disabled": disabled, "by": by, "reason": reason }))
        }
        Event::LaunchAsked => plain("launchAsked", 0, Value::Null),
        Event::Answered { ticket, answer } => plain("answered", ticket, answer),
        Event::ShutdownAsked => plain("shutdownAsked", 0, Value::Null),
        Event::StopAsked => plain("stopAsked", 0, Value::Null),
        Event::Ended => plain("ended", 0, Value::Null),
    }
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
