//! Functions of the Node that has loaded us, by their names, so that nothing is linked.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

/// The address of what has this name; `None` where there is no such thing.
pub(super) fn symbol(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: the name ends with a zero; the lookup reads what is loaded and nothing else.
    NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}
