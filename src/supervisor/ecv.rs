//! The one place where the cluster is taken out of rotation and put back.
//!
//! Every way to that (the application, a worker that got the POST, the monitor, the control socket) leads to the
//! [`Switch`], which writes the word that is read at every answer: in the scoreboard's header by workers, in a [`Word`] by
//! this process. Nobody is asked to confirm. The supervisor's thread and the monitor's share it.
//! Invariant: when `set` returns, no answer that is begun later says otherwise.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::backlog::Waiting;
use crate::ecv::{Change, Rotation, Word};
use crate::event::{Event, Publish};
use crate::ids::WorkerId;
use crate::ipc::message::ToWorker;
use crate::scoreboard::SharedBoard;
use crate::supervisor::Input;
use crate::supervisor::state::State;
use crate::timestamp::Timestamp;

/// The switch of rotation: it changes the state, writes the words and publishes the change.
pub(crate) struct Switch {
    position: Mutex<Position>,
    word: Word,
    board: Option<SharedBoard>,
    publish: Publish,
    inputs: tokio::sync::mpsc::Sender<Input>,
}

/// How the switch stands. The lock is held while the words are written, so that they say what the last caller wanted.
struct Position {
    rotation: Rotation,
    leaving: bool,
}

impl Switch {
    /// A switch in its first position, which is written at once: before any worker is forked.
    pub(crate) fn new(
        rotation: Rotation,
        word: Word,
        board: Option<SharedBoard>,
        publish: Publish,
        inputs: tokio::sync::mpsc::Sender<Input>,
    ) -> Self {
        let position = Mutex::new(Position { rotation, leaving: false });
        let switch = Self { position, word, board, publish, inputs };
        switch.write(&switch.position());
        switch
    }

    /// Takes the cluster out of rotation or puts it back; `waiting` is of the worker's message that asked for it.
    pub(crate) fn set(&self, disabled: bool, change: Change, waiting: Option<Waiting>) {
        let (by, reason) = (change.by.clone(), change.reason.clone());
        let mut position = self.position();
        let changed = position.rotation.set(disabled, change);
        self.write(&position);
        drop(position);
        (self.publish)(Event::Rotated { disabled, by, reason, changed }, waiting);
        if self.board.is_none() {
            // A full queue is worked off soon, and every turn looks whether workers must be told.
            let _ = self.inputs.try_send(Input::Rotated);
        }
    }

    /// A shutdown has begun: the answer is DISABLED; the rotation and its last change stay as they are.
    pub(crate) fn leave(&self) {
        let mut position = self.position();
        position.leaving = true;
        self.write(&position);
    }

    pub(crate) fn rotation(&self) -> Rotation {
        self.position().rotation.clone()
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.position().leaving
    }

    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, Position { rotation, leaving }: &Position) {
        if let Some(board) = &self.board {
            let since = rotation.change.as_ref().map_or(0.0, |change| millis_since_1970(change.at.time));
            board.set_ecv(rotation.disabled, since);
            if *leaving {
                board.set_leaving();
            }
        }
        self.word.write(rotation.disabled || *leaving);
    }
}

impl State {
    /// A worker passed a control request on; it is told once the change is made.
    pub(crate) fn rotate_for(&mut self, id: WorkerId, seq: u64, disabled: bool, change: Change) {
        self.switch.set(disabled, change, self.waiting.take());
        self.workers.say(id, &ToWorker::Rotated { ack: seq });
    }

    /// The control socket's `disable` and `enable`; the reason may come as `{"reason": "..."}`.
    pub(crate) fn rotate_by_control(&mut self, disabled: bool, args: &Value) {
        let reason = args.get("reason").and_then(Value::as_str);
        self.switch.set(disabled, Change::new("the control socket", Timestamp::now(), reason), None);
    }

    /// Workers without a scoreboard can't read the word: they are told.
    pub(crate) fn tell_rotation(&mut self) {
        let is_out = self.switch.word.is_out();
        if self.scoreboard.is_some() || self.told_out == is_out {
            return;
        }
        self.told_out = is_out;
        for (_, worker) in self.workers.iter().filter(|(_, worker)| worker.takes_orders) {
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

fn millis_since_1970(moment: SystemTime) -> f64 {
    (moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0).trunc()
}
