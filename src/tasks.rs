//! How background work is started and who owns it.
//!
//! Everything asynchronous in the master runs on one current-thread runtime, as tasks of one [`LocalTasks`]; when its last
//! handle is dropped, with the supervisor, every task is cancelled, so none outlives its owner.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use tokio::task::{AbortHandle, JoinSet};

/// The tasks of the supervisor's thread; a cheap handle.
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
