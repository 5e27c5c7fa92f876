//! How background work is started, and its owner.
//!
//! The supervisor's thread and the monitor's have a current-thread runtime each, and run their work as tasks of a
//! [`LocalTasks`]. When its last handle is dropped every task is cancelled, so none outlives its owner.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use tokio::task::{AbortHandle, JoinSet};

/// The tasks of one thread; a cheap handle.
#[derive(Clone, Debug, Default)]
pub struct LocalTasks(Rc<RefCell<JoinSet<()>>>);

impl LocalTasks {
    /// Starts `task`; it ends by itself, by the handle, or when the last clone of `self` is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) -> AbortHandle {
        let mut set = self.0.borrow_mut();
        while set.try_join_next().is_some() {}
        set.spawn_local(task)
    }
}
