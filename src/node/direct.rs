//! Lets JavaScript's thread read a channel by itself, for as long as it has the turn.
//!
//! Lines that are read here come to JavaScript in the same turn of its loop, without a thread in between. The callback is
//! that of all events and runs as Node's own callbacks do: what it leaves for the next tick is done before the loop goes on.
#![allow(
    unsafe_code,
    reason = "a callback from the event loop needs napi's own functions, which no safe one wraps"
)]

use std::ptr;
use std::sync::Arc;

use napi::bindgen_prelude::{FunctionRef, JsValuesTupleIntoVec};
use napi::{Env, JsValue, sys};

use super::emitter::EventArgs;
use crate::ids::WorkerId;
use crate::ipc::reader::{Found, Turn};
use crate::os::uv::watch_readable;

/// The callback for events; used on the thread of JavaScript only.
pub(super) struct Direct(Arc<FunctionRef<EventArgs, ()>>);

impl Direct {
    pub(super) fn new(callback: FunctionRef<EventArgs, ()>) -> Self {
        Self(Arc::new(callback))
    }

    /// Reads what the worker says, from now until the turn is over; on a Node where that can't be done, never.
    pub(super) fn take_turn(&self, env: Env, worker: WorkerId, mut turn: Turn) {
        let (Ok(event_loop), Some(fd)) = (env.get_uv_event_loop(), turn.take_descriptor()) else {
            turn.refuse();
            return;
        };
        let callback = Arc::clone(&self.0);
        let on_readable = move || match turn.read() {
            Found::Lines(lines) => {
                tell(env, &callback, worker, lines);
                true
            }
            Found::Nothing => true,
            Found::Over => false,
        };
        // SAFETY: napi gives the loop of the thread that we are on, JavaScript's, which ends with the process. Where it
        // can't watch, the closure is dropped, and the turn with it.
        unsafe { watch_readable(event_loop.cast(), fd, on_readable) };
    }
}

/// Says it to JavaScript, as the event that it would be if it came by the supervisor.
fn tell(env: Env, callback: &FunctionRef<EventArgs, ()>, worker: WorkerId, lines: Vec<u8>) {
    let mut scope = ptr::null_mut();
    // SAFETY: the environment is alive while its loop runs, and we are on its thread.
    if unsafe { sys::napi_open_handle_scope(env.raw(), &raw mut scope) } != sys::Status::napi_ok {
        return;
    }
    // It fails only while the environment ends, and then there is nobody to tell.
    let _ = call(env, callback, worker, lines);
    // SAFETY: the scope that was opened above; nothing made in it is kept.
    unsafe { sys::napi_close_handle_scope(env.raw(), scope) };
}

fn call(
    env: Env,
    callback: &FunctionRef<EventArgs, ()>,
    worker: WorkerId,
    lines: Vec<u8>,
) -> napi::Result<()> {
    let text = String::from_utf8(lines)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    let args: EventArgs = ("messages", worker.0, text, -1).into();
    let args = args.into_vec(env.raw())?;
    let callback = callback.borrow_back(&env)?;
    let function = callback.raw();
    let mut global = ptr::null_mut();
    // SAFETY: as above; the result is written before it is read.
    unsafe { sys::napi_get_global(env.raw(), &raw mut global) };
    let (no_context, mut result) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: all values were made in this scope, and a callback may have no context.
    let status = unsafe {
        let (count, values) = (args.len(), args.as_ptr());
        sys::napi_make_callback(env.raw(), no_context, global, function, count, values, &raw mut result)
    };
    if status == sys::Status::napi_pending_exception {
        throw_uncaught(env);
    }
    Ok(())
}

/// What a listener throws is the process's uncaught exception, as it is when any callback of Node's throws.
fn throw_uncaught(env: Env) {
    let mut error = ptr::null_mut();
    // SAFETY: the environment has an exception pending, which this takes.
    let status = unsafe { sys::napi_get_and_clear_last_exception(env.raw(), &raw mut error) };
    if status == sys::Status::napi_ok {
        // SAFETY: the value was made just now, in the open scope.
        unsafe { sys::napi_fatal_exception(env.raw(), error) };
    }
}
