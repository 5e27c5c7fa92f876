//! Watching a descriptor on the event loop of JavaScript.
//!
//! libuv is part of the Node that has loaded us, and its functions are looked up there by name, so nothing is linked. Its
//! interface for polling has not changed since 1.0; where it is absent nothing can be watched, and callers do without.
//! A watch owns itself: memory, descriptor and callback live until libuv says that it has let go of them.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::OnceLock;

use super::symbols::symbol;

/// Number of `uv_poll_t` in `uv_handle_type`.
const POLL: c_int = 8;
const READABLE: c_int = 1;
/// As strict as any member of libuv's structures needs.
const ALIGNMENT: usize = 16;

type Handle = *mut c_void;

type HandleSize = unsafe extern "C" fn(c_int) -> usize;
type SetData = unsafe extern "C" fn(Handle, *mut c_void);
type GetData = unsafe extern "C" fn(Handle) -> *mut c_void;
type Init = unsafe extern "C" fn(*mut c_void, Handle, c_int) -> c_int;
type Start = unsafe extern "C" fn(Handle, c_int, unsafe extern "C" fn(Handle, c_int, c_int)) -> c_int;
type Unref = unsafe extern "C" fn(Handle);
type Close = unsafe extern "C" fn(Handle, unsafe extern "C" fn(Handle));

struct Functions {
    handle_size: HandleSize,
    set_data: SetData,
    get_data: GetData,
    init: Init,
    start: Start,
    unref: Unref,
    close: Close,
}

struct Watch {
    /// Open until libuv has let go.
    _fd: OwnedFd,
    on_readable: Box<dyn FnMut() -> bool>,
    is_closing: bool,
}

/// Calls `on_readable` on the loop's thread whenever there is something to read, until it gives `false`; the watch doesn't
/// keep the loop alive. Says whether that is possible.
///
/// # Safety
/// `event_loop` is the `uv_loop_t` of the calling thread, and outlives the process's use of JavaScript.
pub unsafe fn watch_readable(
    event_loop: *mut c_void,
    fd: OwnedFd,
    on_readable: impl FnMut() -> bool + 'static,
) -> bool {
    let Some(uv) = functions() else { return false };
    let Some(handle) = allocate(uv) else { return false };
    let number = fd.as_raw_fd();
    // SAFETY: the loop is the caller's promise; the memory has the size that libuv wants, and is ours.
    if unsafe { (uv.init)(event_loop, handle.as_ptr(), number) } != 0 {
        free(uv, handle);
        return false;
    }
    let watch = Box::new(Watch { _fd: fd, on_readable: Box::new(on_readable), is_closing: false });
    // SAFETY: the handle is initialised; `closed` takes the box back.
    unsafe { (uv.set_data)(handle.as_ptr(), Box::into_raw(watch).cast()) };
    // SAFETY: the handle is initialised.
    unsafe { (uv.unref)(handle.as_ptr()) };
    // SAFETY: the handle is initialised, and `readable` is a callback for it.
    let is_started = unsafe { (uv.start)(handle.as_ptr(), READABLE, readable) } == 0;
    if !is_started {
        // SAFETY: the handle is initialised and not closing.
        unsafe { (uv.close)(handle.as_ptr(), closed) };
    }
    is_started
}

/// libuv's callback: something can be read, or never will be.
unsafe extern "C" fn readable(handle: Handle, _status: c_int, _events: c_int) {
    let Some(uv) = functions() else { return };
    // SAFETY: the handle lives as long as callbacks come.
    let data = unsafe { (uv.get_data)(handle) };
    // SAFETY: `watch_readable` put the box there, and `closed` has not taken it yet; callbacks don't nest for one handle,
    // since the loop runs them and we never run the loop.
    let watch = unsafe { &mut *data.cast::<Watch>() };
    if !watch.is_closing && !(watch.on_readable)() {
        watch.is_closing = true;
        // SAFETY: the handle is initialised, and is closed once.
        unsafe { (uv.close)(handle, closed) };
    }
}

/// libuv's callback: it has forgotten the handle.
unsafe extern "C" fn closed(handle: Handle) {
    let Some(uv) = functions() else { return };
    // SAFETY: the memory is still ours.
    let data = unsafe { (uv.get_data)(handle) };
    // SAFETY: the box that `watch_readable` put there; nobody looks for it again.
    drop(unsafe { Box::from_raw(data.cast::<Watch>()) });
    if let Some(handle) = NonNull::new(handle) {
        free(uv, handle);
    }
}

fn layout(uv: &Functions) -> Option<Layout> {
    // SAFETY: it touches no memory.
    let size = unsafe { (uv.handle_size)(POLL) };
    Layout::from_size_align(size, ALIGNMENT).ok().filter(|layout| layout.size() > 0 && size < usize::MAX / 2)
}

fn allocate(uv: &Functions) -> Option<NonNull<c_void>> {
    let layout = layout(uv)?;
    // SAFETY: the layout is not empty.
    NonNull::new(unsafe { alloc_zeroed(layout) }.cast())
}

fn free(uv: &Functions, handle: NonNull<c_void>) {
    if let Some(layout) = layout(uv) {
        // SAFETY: `allocate` made it with the same layout, and libuv knows it no more.
        unsafe { dealloc(handle.as_ptr().cast(), layout) };
    }
}

fn functions() -> Option<&'static Functions> {
    static FOUND: OnceLock<Option<Functions>> = OnceLock::new();
    FOUND.get_or_init(find).as_ref()
}

fn find() -> Option<Functions> {
    /// Takes an address for a function of the type that is given.
    macro_rules! function {
        ($name:literal, $type:ty) => {{
            let address = symbol($name)?.as_ptr();
            // SAFETY: libuv's function of this name has had this type since 1.19, which is older than any Node we run on.
            unsafe { std::mem::transmute::<*mut c_void, $type>(address) }
        }};
    }
    Some(Functions {
        handle_size: function!(c"uv_handle_size", HandleSize),
        set_data: function!(c"uv_handle_set_data", SetData),
        get_data: function!(c"uv_handle_get_data", GetData),
        init: function!(c"uv_poll_init", Init),
        start: function!(c"uv_poll_start", Start),
        unref: function!(c"uv_unref", Unref),
        close: function!(c"uv_close", Close),
    })
}
