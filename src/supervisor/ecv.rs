//! The one place where the cluster is taken out of rotation and put back.
//!
//! Whoever wants that (the application, a worker that got the POST, the monitor, the control socket) comes to the
//! [`Switch`], which writes the word that everybody who answers reads: in the scoreboard's header for workers, in a
//! [`Word`] for this process. Nobody is asked to confirm. The supervisor owns it and the monitor shares it, on one thread.
//! Invariant: when `set` returns, no answer that is begun later says otherwise.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::ecv::{Change, Rotation, Word};
use crate::event::Event;
use crate::ids::WorkerId;
use crate::ipc::message::ToWorker;
use crate::scoreboard::{EcvState, Scoreboard};
use crate::supervisor::Input;
use crate::supervisor::state::State;

/// Sets the state and tells of it.
pub(crate) struct Switch {
    rotation: RefCell<Rotation>,
    leaving: Cell<bool>,
    word: Word,
    board: Option<Rc<RefCell<Scoreboard>>>,
    publish: Rc<dyn Fn(Event)>,
    inputs: tokio::sync::mpsc::Sender<Input>,
}

impl Switch {
    /// A switch in its first position, which is written at once: before any worker is forked.
    pub(crate) fn new(
        rotation: Rotation,
        word: Word,
        board: Option<Rc<RefCell<Scoreboard>>>,
        publish: Rc<dyn Fn(Event)>,
        inputs: tokio::sync::mpsc::Sender<Input>,
    ) -> Self {
        let rotation = RefCell::new(rotation);
        let switch = Self { rotation, leaving: Cell::new(false), word, board, publish, inputs };
        switch.write();
        switch
    }

    /// Takes the cluster out of rotation or puts it back.
    pub(crate) fn set(&self, disabled: bool, change: Change) {
        let (by, reason) = (change.by.clone(), change.reason.clone());
        let changed = self.rotation.borrow_mut().set(disabled, change);
        self.write();
        (self.publish)(Event::Rotated { disabled, by, reason, changed });
        if self.board.is_none() {
            // A full queue is worked off soon, and every turn looks whether workers must be told.
            let _ = self.inputs.try_send(Input::Rotated);
        }
    }

    /// A shutdown has begun: the answer is DISABLED, and who disabled the cluster stays as it is.
    pub(crate) fn leave(&self) {
        self.leaving.set(true);
        self.write();
    }

    pub(crate) fn rotation(&self) -> Rotation {
        self.rotation.borrow().clone()
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    fn write(&self) {
        let rotation = self.rotation.borrow();
        if let Some(board) = &self.board {
            let board = board.borrow();
            let since = rotation.change.as_ref().map_or(0, |change| millis_since_1970(change.at));
            board.set_ecv(EcvState { disabled: rotation.disabled, since });
            if self.leaving.get() {
                board.set_leaving();
            }
        }
        self.word.write(rotation.disabled, self.leaving.get());
    }
}

impl State {
    /// A worker passed on what it was asked for, and is told once it is done.
    pub(crate) fn rotate_for(&mut self, id: WorkerId, seq: u64, disabled: bool, change: Change) {
        self.switch.set(disabled, change);
        self.workers.say(id, &ToWorker::Rotated { ack: seq });
    }

    /// The control socket's `disable` and `enable`; the reason may come as `{"reason": "..."}`.
    pub(crate) fn rotate_by_control(&mut self, disabled: bool, args: &Value) {
        let reason = args.get("reason").and_then(Value::as_str);
        self.switch.set(disabled, Change::new("the control socket", SystemTime::now(), reason));
    }

    /// Workers without a scoreboard can't read the word: they are told.
    pub(crate) fn tell_rotation(&mut self) {
        let is_out = self.switch.word.is_out();
        if self.scoreboard.is_some() || self.told_out == is_out {
            return;
        }
        self.told_out = is_out;
        for (_, worker) in self.workers.iter().filter(|(_, worker)| worker.has_agent) {
            worker.writer.say(&ToWorker::OutOfRotation { is_out });
        }
    }

    /// A worker has just said that our library runs in it.
    pub(crate) fn greet(&self, id: WorkerId) {
        if self.scoreboard.is_none() && self.switch.word.is_out() {
            self.workers.say(id, &ToWorker::OutOfRotation { is_out: true });
        }
    }
}

fn millis_since_1970(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
