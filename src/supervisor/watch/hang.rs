//! Replaces workers whose event loop has not turned for too long.
//!
//! A slow look at the rows, a few times within the limit, reads one number per worker. What is late may be the master itself,
//! or the whole machine may have slept, so a look that comes late judges nobody. A hung worker is told of once, with the
//! stack of what it is stuck in where that is wanted. Then the fleet replaces it, successor first, also if it should have
//! come back to life meanwhile; but then it drains, and is not killed.
//! Invariant: a worker that never wrote into its row is unknown, and never hung.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::fleet::{MemberState, MemberView, RecycleReason, Step};
use crate::ids::WorkerId;
use crate::options::Options;
use crate::os::clock::monotonic_ms;
use crate::process::inspector;
use crate::scoreboard::layout::Field;
use crate::supervisor::Input;
use crate::supervisor::state::State;
use crate::supervisor::timers::Due;

/// How often the rows are looked at within the limit.
const LOOKS: u32 = 8;
/// The bounds of the time between two looks.
const QUICKEST: Duration = Duration::from_millis(20);
/// See [`QUICKEST`].
const SLOWEST: Duration = Duration::from_secs(5);

/// From this age on a loop is taken to stand still where a worker has no clients yet.
const STANDS_STILL: Duration = Duration::from_secs(2);

/// How long ago the loop of a worker turned last.
#[derive(Clone, Copy, Debug)]
struct LoopAge {
    worker: WorkerId,
    age: Duration,
    serves: bool,
}

/// Knows which workers hang; pure.
#[derive(Debug)]
pub(crate) struct HangWatch {
    limit: Duration,
    period: Duration,
    next_look: Instant,
    /// Those that have been found, until they turn again or are gone.
    found: BTreeSet<WorkerId>,
}

impl HangWatch {
    pub(crate) fn new(options: &Options, now: Instant) -> Self {
        let long = options.max_heartbeat_delay;
        Self::within(options.hang_timeout.map_or(long, |short| short.min(long)), now)
    }

    fn within(limit: Duration, now: Instant) -> Self {
        let period = (limit / LOOKS).clamp(QUICKEST, SLOWEST);
        Self { limit, period, next_look: now + period, found: BTreeSet::new() }
    }

    pub(crate) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Finds the workers that serve and hang, and were not known to. A look that comes late finds none.
    fn look(&mut self, loops: &[LoopAge], now: Instant) -> Vec<LoopAge> {
        let is_late = now > self.next_look + self.period;
        self.next_look = now + self.period;
        self.found.retain(|worker| loops.iter().any(|known| known.worker == *worker));
        let hangs = |found: &&LoopAge| found.serves && found.age > self.limit && !is_late;
        let hung: Vec<LoopAge> = loops.iter().filter(hangs).copied().collect();
        hung.into_iter().filter(|found| self.found.insert(found.worker)).collect()
    }

    /// Finds the workers that were known to hang and whose loops turn again.
    fn look_for_turning(&mut self, loops: &[LoopAge]) -> Vec<WorkerId> {
        let turning = loops.iter().filter(|known| known.age <= self.limit).map(|known| known.worker);
        turning.filter(|worker| self.found.remove(worker)).collect()
    }

    /// A worker was reported to hang, however its loop is by now.
    fn reported(&mut self, worker: WorkerId) {
        self.found.insert(worker);
    }
}

impl State {
    /// Finds workers that hang.
    pub(crate) fn look_for_hung(&mut self, now: Instant) {
        let hung = self.hang_watch.look(&self.loops(), now);
        self.timers.set(Due::HangLook, self.hang_watch.next_look(), now);
        for LoopAge { worker, age, .. } in hung {
            self.examine(worker, age, now);
        }
        self.look_for_turning(now);
    }

    /// Finds workers that hung and whose loops turn again.
    pub(crate) fn look_for_turning(&mut self, now: Instant) {
        for worker in self.hang_watch.look_for_turning(&self.loops()) {
            self.step(Step::Turned { worker }, now);
        }
    }

    /// The loops of all workers, but for those that have never shown theirs.
    fn loops(&self) -> Vec<LoopAge> {
        let of = |view: MemberView| {
            let age = self.loop_age(view.worker)?;
            Some(LoopAge { worker: view.worker, age, serves: view.state == MemberState::Serving })
        };
        self.fleet.workers().filter_map(of).collect()
    }

    /// How long ago the loop of a worker turned last; `None` where it has never shown that.
    fn loop_age(&self, id: WorkerId) -> Option<Duration> {
        let board = self.scoreboard.as_ref()?;
        let tick = board.borrow().number(id, Field::Tick).filter(|tick| *tick > 0.0)?;
        Duration::try_from_secs_f64((monotonic_ms() - tick) / 1000.0).ok()
    }

    /// Whether the loop of a worker has not turned for some seconds, or never.
    pub(crate) fn loop_stands_still(&self, id: WorkerId) -> bool {
        self.scoreboard.is_some() && self.loop_age(id).is_none_or(|age| age > STANDS_STILL)
    }

    /// Finds out what it is stuck in, if that is wanted; then it is told of.
    fn examine(&mut self, id: WorkerId, age: Duration, now: Instant) {
        let Some(worker) = self.workers.get(id) else { return };
        if !self.options.capture_stack {
            self.report_hung(id, age, None, now);
            return;
        }
        let (child, inputs) = (Rc::clone(&worker.child), self.inputs.clone());
        let port = self.launch.inspect_port_of(id.0);
        self.tasks.spawn(async move {
            let stack = inspector::stack(&child, port).await;
            // A loop that has ended wants no more news.
            let _ = inputs.send(Input::Examined(id, age, stack)).await;
        });
    }

    /// Tells of a hung worker and has it replaced.
    pub(crate) fn report_hung(&mut self, id: WorkerId, age: Duration, stack: Option<String>, now: Instant) {
        let Some(worker) = self.workers.get(id).filter(|worker| worker.exit.is_none()) else { return };
        let pid = worker.pid();
        self.publish(Event::Hung { worker: id, pid, age, stack });
        self.step(Step::Recycle { worker: id, why: RecycleReason::Hung }, now);
        // It may have come back to life while it was examined.
        self.hang_watch.reported(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn loop_age(age: Duration) -> [LoopAge; 1] {
        [LoopAge { worker: WorkerId(1), age, serves: true }]
    }

    fn watch() -> (HangWatch, Instant) {
        let watch = HangWatch::within(8 * SECOND, Instant::now());
        let now = watch.next_look();
        (watch, now)
    }

    #[test]
    fn a_worker_that_hangs_is_found_once_until_its_loop_turns() {
        let (mut watch, now) = watch();
        assert!(watch.look(&loop_age(8 * SECOND), now).is_empty(), "not beyond the limit");
        assert_eq!(watch.look(&loop_age(9 * SECOND), now + SECOND).len(), 1);
        assert!(watch.look(&loop_age(10 * SECOND), now + 2 * SECOND).is_empty());
        assert!(watch.look_for_turning(&loop_age(10 * SECOND)).is_empty());
        assert_eq!(watch.look_for_turning(&loop_age(SECOND)), [WorkerId(1)]);
        assert!(watch.look_for_turning(&loop_age(SECOND)).is_empty());
        assert_eq!(watch.look(&loop_age(9 * SECOND), now + 3 * SECOND).len(), 1);
    }

    #[test]
    fn a_look_that_comes_late_finds_none() {
        let (mut watch, now) = watch();
        assert!(watch.look(&loop_age(9 * SECOND), now + 2 * SECOND).is_empty());
        assert_eq!(watch.look(&loop_age(9 * SECOND), now + 3 * SECOND).len(), 1);
    }

    #[test]
    fn a_worker_that_does_not_serve_is_not_found() {
        let (mut watch, now) = watch();
        let starts = LoopAge { worker: WorkerId(1), age: 9 * SECOND, serves: false };
        assert!(watch.look(&[starts], now).is_empty());
    }
}
