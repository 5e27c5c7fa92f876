//! Counting V8's collections of garbage where they happen.
//!
//! V8 is part of the Node that has loaded us, and its functions are looked up there by name, so nothing is linked. The names
//! say the types, and were tried on Node 18 to 26; where they are absent nothing is counted, and callers do without. A
//! callback runs in the midst of a collection and only reads the clock and adds to numbers in memory that stays.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::NonNull;

use super::clock;
use super::symbols::symbol;

/// All bits of V8's `GCType`.
const ALL: c_uint = 31;

/// Where to count: numbers that this thread alone writes, and that stay until the process ends.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// Collections of young objects.
    pub minor: NonNull<f64>,
    /// Collections of the whole heap.
    pub major: NonNull<f64>,
    /// Steps of incremental marking.
    pub incremental: NonNull<f64>,
    /// Milliseconds of these and of all others.
    pub pause: NonNull<f64>,
}

struct Watch {
    counters: Counters,
    began: f64,
}

type Isolate = *mut c_void;
type Callback = unsafe extern "C" fn(Isolate, c_uint, c_int, *mut c_void);
type GetCurrent = unsafe extern "C" fn() -> Isolate;
type AddCallback = unsafe extern "C" fn(Isolate, Callback, *mut c_void, c_uint);

/// Counts every collection of this thread's isolate from now on; false where that can't be.
///
/// # Safety
/// `counters` must stay valid for writing as long as the process lives, and nobody else may write there meanwhile but
/// JavaScript of this thread.
pub unsafe fn count(counters: Counters) -> bool {
    let Some((current, prologue, epilogue)) = find() else { return false };
    // SAFETY: it takes nothing and gives the isolate that runs on this thread, or null.
    let isolate = unsafe { current() };
    if isolate.is_null() {
        return false;
    }
    let watch: *mut c_void = Box::into_raw(Box::new(Watch { counters, began: 0.0 })).cast();
    // SAFETY: the isolate is this thread's, the callback has the form that V8 calls, and the watch is never freed.
    unsafe { prologue(isolate, begins, watch, ALL) };
    // SAFETY: as above.
    unsafe { epilogue(isolate, ends, watch, ALL) };
    true
}

unsafe extern "C" fn begins(_: Isolate, _: c_uint, _: c_int, watch: *mut c_void) {
    // SAFETY: `count` gave a watch that is never freed, and V8 calls on one thread, one after the other.
    let watch = unsafe { &mut *watch.cast::<Watch>() };
    watch.began = clock::monotonic_ms();
}

unsafe extern "C" fn ends(_: Isolate, kind: c_uint, _: c_int, watch: *mut c_void) {
    // SAFETY: as above.
    let watch = unsafe { &mut *watch.cast::<Watch>() };
    let Counters { minor, major, incremental, pause } = watch.counters;
    add(pause, clock::monotonic_ms() - watch.began);
    match kind {
        1 => add(minor, 1.0),
        4 => add(major, 1.0),
        8 => add(incremental, 1.0),
        _ => {}
    }
}

fn add(counter: NonNull<f64>, more: f64) {
    // SAFETY: who called `count` has promised that it may be written.
    unsafe { *counter.as_ptr() += more };
}

fn find() -> Option<(GetCurrent, AddCallback, AddCallback)> {
    /// Takes an address for a function of the type that is given.
    macro_rules! function {
        ($name:literal, $type:ty) => {{
            let address = symbol($name)?.as_ptr();
            // SAFETY: the mangled name says the types; a method takes its object first, and an enum is an int.
            unsafe { std::mem::transmute::<*mut c_void, $type>(address) }
        }};
    }
    Some((
        function!(c"_ZN2v87Isolate10GetCurrentEv", GetCurrent),
        function!(
            c"_ZN2v87Isolate21AddGCPrologueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_",
            AddCallback
        ),
        function!(
            c"_ZN2v87Isolate21AddGCEpilogueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_",
            AddCallback
        ),
    ))
}
