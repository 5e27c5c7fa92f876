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
use crate::fleet::{RecycleReason, Step};
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

/// How we look for workers that hang.
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
        let limit = options.hang_timeout.map_or(long, |short| short.min(long));
        let period = (limit / LOOKS).clamp(QUICKEST, SLOWEST);
        Self { limit, period, next_look: now + period, found: BTreeSet::new() }
    }

    pub(crate) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Sets the next look; `false` if this one comes so late that it can't judge.
    fn may_judge(&mut self, now: Instant) -> bool {
        let is_late = now > self.next_look + self.period;
        self.next_look = now + self.period;
        !is_late
    }
}

impl State {
    /// Finds workers that hang.
    pub(crate) fn look_for_hung(&mut self, now: Instant) {
        let may_judge = self.hang_watch.may_judge(now);
        self.timers.set(Due::HangLook, self.hang_watch.next_look(), now);
        if !may_judge {
            return;
        }
        let workers = self.fleet.workers().map(|view| view.worker);
        let hung: Vec<(WorkerId, Duration)> =
            workers.filter_map(|worker| Some((worker, self.hung_for(worker)?))).collect();
        for (worker, age) in hung {
            if self.hang_watch.found.insert(worker) {
                self.examine(worker, age, now);
            }
        }
        let workers = &self.workers;
        self.hang_watch.found.retain(|worker| workers.contains(*worker));
        self.look_for_turning(now);
    }

    /// Finds workers that hung and whose loops turn again.
    pub(crate) fn look_for_turning(&mut self, now: Instant) {
        let turns =
            |worker: &WorkerId| self.loop_age(*worker).is_some_and(|age| age <= self.hang_watch.limit);
        let turning: Vec<WorkerId> = self.hang_watch.found.iter().copied().filter(turns).collect();
        for worker in turning {
            self.hang_watch.found.remove(&worker);
            self.step(Step::Turned { worker }, now);
        }
    }

    /// For how long the loop of a worker in service has not turned, if that is too long.
    fn hung_for(&self, id: WorkerId) -> Option<Duration> {
        let age = self.loop_age(id)?;
        (age > self.hang_watch.limit && self.fleet.is_serving(id)).then_some(age)
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
        self.hang_watch.found.insert(id);
    }
}
