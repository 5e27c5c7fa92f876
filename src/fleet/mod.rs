//! All slots together: start, keep full, shut down, stop; pure.
//!
//! The supervisor's loop owns one [`Fleet`], feeds it every [`Step`] with the time, and performs the [`Effect`]s in
//! order. Scaling, recycling, reloading, spares and what others may see are in files of their own beside this one; `docs/lifecycle.md` has the
//! whole as a table.
//! Invariants: a slot has one worker in post, and at most one more, its successor. A worker in post is told to go by us
//! only once its successor is ready, or because there are to be fewer workers. Nothing is forked after a shutdown or a
//! stop. News that comes too late, twice or about nobody changes nothing.

pub mod backoff;
mod recycle;
mod reload;
mod scale;
mod slot;
mod spares;
mod terms;
#[cfg(test)]
mod tests;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub use crate::ids::{SlotIndex, WorkerId};
use backoff::{Jitter, Service, after};
use recycle::Recycles;
use reload::Reload;
use scale::within_bounds;
use slot::{Gone, Life, Member, News, Occupancy, Order, Post, Slot};
use spares::Spares;
pub use terms::{
    Crashing, DeathReason, Effect, Forks, MemberState, MemberView, Phase, Policy, Purpose, RecycleReason,
    Replaced, Report, Restart, Step, Strategy,
};

/// How long a shutdown may take to empty the queues; what it takes beyond that is missing to the drain.
pub const EMPTYING: Duration = Duration::from_secs(2);

/// The workers of one master, and what is to become of them.
#[derive(Debug)]
pub struct Fleet {
    policy: Policy,
    phase: Phase,
    started: bool,
    /// What the user asked for last; what is wanted sinks below it when workers leave.
    configured: usize,
    /// The number of slots to be kept full, as last reported.
    wanted: usize,
    /// How many reloads have begun, which is the number of the last one.
    generation: u32,
    /// The number of the reload that brought the release in service: that of every worker that is forked later.
    in_service: u32,
    last_worker: u32,
    jitter: Jitter,
    workers: BTreeMap<WorkerId, Member>,
    slots: BTreeMap<SlotIndex, Slot>,
    recycles: Recycles,
    reload: Option<Reload>,
    spares: Spares,
    told_none_left: bool,
    /// When the drain of a shutdown ends at the latest.
    drained_by: Option<Instant>,
    /// What the step under way has decided so far.
    effects: Vec<Effect>,
}

impl Fleet {
    /// A fleet that forks nobody before [`Step::Start`].
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let wanted = within_bounds(policy.wanted);
        Self {
            phase: Phase::Running,
            started: false,
            configured: wanted,
            wanted,
            generation: 0,
            in_service: 0,
            last_worker: 0,
            jitter: Jitter::new(policy.seed),
            workers: BTreeMap::new(),
            slots: BTreeMap::new(),
            recycles: Recycles::default(),
            reload: None,
            spares: Spares::default(),
            told_none_left: false,
            drained_by: None,
            effects: Vec::new(),
            policy,
        }
    }

    /// Takes in one input and says what must be done, in order. Deadlines up to `now` are kept as well.
    #[must_use]
    pub fn step(&mut self, input: Step, now: Instant) -> Vec<Effect> {
        match input {
            Step::Start => self.start(now),
            Step::Fork => self.fork_as_ordered(now),
            Step::Ready { worker } => self.on_ready(worker, now),
            Step::Quiet { worker } => self.note_quiet(worker),
            Step::Warm { worker } => self.note_warm(worker, now),
            Step::Exited { worker, clean: true } => self.on_gone(worker, Gone::Clean, now),
            Step::Exited { worker, clean: false } | Step::SpawnFailed { worker, is_shortage: false } => {
                self.on_gone(worker, Gone::Failed, now);
            }
            Step::SpawnFailed { worker, is_shortage: true } => self.on_gone(worker, Gone::NotForked, now),
            Step::Lent { worker } => self.tell(worker, News::Lent, now),
            Step::Departing { worker } => {
                self.on_departure(worker, News::Depart { cause: DeathReason::Left }, now);
            }
            Step::ChannelLost { worker } => self.on_channel_lost(worker, now),
            Step::Leaving { worker } => {
                let by = after(now, self.policy.drain_timeout);
                self.on_departure(worker, News::Drain { cause: DeathReason::Left, by }, now);
            }
            Step::Disconnected { worker } => {
                let by = after(now, self.policy.drain_timeout);
                self.on_departure(worker, News::CutOff { cause: DeathReason::Left, by }, now);
            }
            Step::Turned { worker } => self.recycles.turned(worker),
            Step::Recycle { worker, why } => self.queue_recycle(worker, why, now),
            Step::Reload { strategy } => self.start_reload(strategy, now),
            Step::CancelReload => self.cancel_reload(now),
            Step::Scale { wanted } => self.scale(wanted, now),
            Step::Shutdown => self.begin_shutdown(now),
            Step::Closed => self.drain_all(now),
            Step::Stop => self.stop(now),
            // The deadlines are looked at below, after every input.
            Step::Tick => {}
        }
        self.advance(now);
        std::mem::take(&mut self.effects)
    }

    /// When to send [`Step::Tick`]; later than the last step, unless the policy has a timeout of zero.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.policy.forks == Forks::Ordered {
            return None;
        }
        let lives = self.workers.values().filter_map(|worker| worker.life.deadline());
        let forks = self.slots.values().filter_map(|slot| match slot.occupancy {
            Occupancy::Waiting { until } => Some(until),
            Occupancy::Held { .. } | Occupancy::Exchanging { .. } | Occupancy::Retired => None,
        });
        let proof = self.reload.as_ref().and_then(|reload| reload.deadline(&self.policy));
        let spares = self.spares_deadline();
        lives.chain(forks).chain(self.recycles.deadline()).chain(proof).chain(spares).min()
    }

    fn start(&mut self, now: Instant) {
        // A second start, or one after the end, finds everything decided.
        if self.started || self.phase != Phase::Running {
            return;
        }
        self.started = true;
        if self.policy.forks == Forks::Kept {
            self.grow(now);
        }
    }

    fn on_ready(&mut self, id: WorkerId, now: Instant) {
        if self.slot_of(id).is_none() {
            // Without a slot it is as warm as it can be.
            self.note_warm(id, now);
            return;
        }
        let was_starting = self.state_of(id) == Some(MemberState::Starting);
        self.tell(id, News::Ready, now);
        if was_starting && let Some(reload) = &mut self.reload {
            reload.note_ready(id, now);
        }
    }

    fn on_gone(&mut self, id: WorkerId, gone: Gone, now: Instant) {
        // Already gone, or never ours: it was counted then.
        let Some(worker) = self.workers.remove(&id) else { return };
        // Ctrl-C reaches a worker a moment before its master.
        let is_closing = matches!(self.phase, Phase::Closing | Phase::ShuttingDown);
        let is_shutdown = worker.life.cause() == DeathReason::Left && is_closing;
        let cause = if is_shutdown { DeathReason::Drained } else { worker.life.cause() };
        self.report(Report::Died { worker: id, slot: worker.slot, cause });
        let service = if gone == Gone::NotForked { Service::NotForked } else { worker.service(now) };
        let Some(slot) = worker.slot else {
            self.on_spare_gone(&worker, service, now);
            return;
        };
        if let Some(reload) = &mut self.reload {
            reload.note_gone(id, now);
        }
        let is_missed = self.policy.forks == Forks::Kept;
        let failed = gone != Gone::Clean
            || cause == DeathReason::StartTimeout
            || self.policy.restart == Restart::Always;
        match self.post(slot, id) {
            Post::Alone if !failed || !is_missed => self.set_occupancy(slot, Occupancy::Retired),
            Post::Relieved { successor } if !failed => {
                self.set_occupancy(slot, Occupancy::Held { by: successor });
            }
            Post::Alone | Post::Relieved { .. } | Post::Successor { .. } | Post::Out => {
                self.on_failure(slot, id, service, now);
            }
        }
        self.check_reload_lost(id, now);
    }

    /// A worker goes on its own account.
    fn on_departure(&mut self, id: WorkerId, news: News, now: Instant) {
        let Some(worker) = self.workers.get(&id) else { return };
        let (slot, was_in_post) = (worker.slot, worker.is_in_post());
        self.tell(id, news, now);
        // One that was on its way out has left its post before, and goes by the deadline it has. A spare has none.
        let Some(slot) = slot.filter(|_| was_in_post) else { return };
        match self.post(slot, id) {
            Post::Alone => self.set_occupancy(slot, Occupancy::Retired),
            Post::Relieved { successor } => self.set_occupancy(slot, Occupancy::Held { by: successor }),
            Post::Successor { of } => self.successor_failed(slot, id, of, now),
            Post::Out => {}
        }
        self.check_reload_lost(id, now);
    }

    /// A worker lives and can't be told anything: it has failed, and its place is filled as if it were dead.
    fn on_channel_lost(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get(&id) else { return };
        let (slot, was_in_post, service) = (worker.slot, worker.is_in_post(), worker.service(now));
        // It ends by itself as a rule.
        let by = after(now, self.policy.kill_timeout);
        self.tell(id, News::CutOff { cause: DeathReason::ChannelLost, by }, now);
        let Some(slot) = slot.filter(|_| was_in_post && self.policy.forks == Forks::Kept) else { return };
        self.on_failure(slot, id, service, now);
        self.check_reload_lost(id, now);
    }

    /// The worker of a slot has failed.
    fn on_failure(&mut self, slot: SlotIndex, id: WorkerId, service: Service, now: Instant) {
        match self.post(slot, id) {
            Post::Alone => self.refill(slot, service, now),
            // Its successor is under way, so no other worker is forked; the failure counts all the same.
            Post::Relieved { successor } => {
                self.count_death(slot, service);
                self.set_occupancy(slot, Occupancy::Held { by: successor });
            }
            Post::Successor { of } => self.successor_failed(slot, id, of, now),
            Post::Out => {}
        }
    }

    fn refill(&mut self, index: SlotIndex, service: Service, now: Instant) {
        let Some((until, failures)) = self.count_death(index, service) else { return };
        if self.take_over(index, until, now) {
            return;
        }
        if until <= now {
            self.fork(index, Purpose::Refill, now);
            return;
        }
        self.set_occupancy(index, Occupancy::Waiting { until });
        self.report(Report::BackingOff { slot: Some(index), failures, delay: until - now });
    }

    /// Counts a death; says when the slot may fork again, and after how many deaths in a row.
    fn count_death(&mut self, index: SlotIndex, service: Service) -> Option<(Instant, u32)> {
        let backoff = &mut self.slots.get_mut(&index)?.backoff;
        let until = backoff.died(service, &self.policy.backoff, &mut self.jitter);
        Some((until, backoff.failures()))
    }

    fn begin_shutdown(&mut self, now: Instant) {
        // A second one, or one during a stop, has nothing to add.
        if self.phase != Phase::Running {
            return;
        }
        self.drained_by = Some(after(now, EMPTYING.saturating_add(self.policy.drain_timeout)));
        self.end_keeping(Phase::Closing);
        self.effects.push(Effect::RefuseNew);
    }

    fn drain_all(&mut self, now: Instant) {
        if self.phase != Phase::Closing {
            return;
        }
        self.phase = Phase::ShuttingDown;
        let left = self.drained_by.map_or(Duration::MAX, |by| by.saturating_duration_since(now));
        for id in self.ids() {
            self.dismiss(id, DeathReason::Drained, self.policy.drain_timeout.min(left), now);
        }
    }

    fn stop(&mut self, now: Instant) {
        if self.phase == Phase::Finished {
            return;
        }
        self.end_keeping(Phase::Stopping);
        for id in self.ids() {
            self.tell(id, News::Kill { cause: DeathReason::Stopped }, now);
        }
    }

    /// Slots, recycles and reloads are about keeping workers, which is over.
    fn end_keeping(&mut self, phase: Phase) {
        self.phase = phase;
        self.slots.clear();
        self.recycles = Recycles::default();
        self.reload = None;
    }

    /// Whatever follows from the state and the time alone.
    fn advance(&mut self, now: Instant) {
        if self.policy.forks == Forks::Kept {
            self.expire(now);
        }
        match self.phase {
            Phase::Running if self.policy.forks == Forks::Ordered => self.settle_accounts(),
            Phase::Running if self.started => {
                self.fork_where_due(now);
                self.advance_reload(now);
                self.advance_recycles(now);
                self.advance_spares(now);
                self.settle_accounts();
            }
            Phase::Closing | Phase::ShuttingDown | Phase::Stopping if self.workers.is_empty() => {
                self.phase = Phase::Finished;
                self.report(Report::Finished);
            }
            Phase::Running | Phase::Closing | Phase::ShuttingDown | Phase::Stopping | Phase::Finished => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        let is_due = |worker: &Member| worker.life.deadline().is_some_and(|deadline| deadline <= now);
        let due: Vec<_> =
            self.workers.iter().filter(|(_, worker)| is_due(worker)).map(|(&id, w)| (id, w.slot)).collect();
        for (id, slot) in due {
            self.tell(id, News::Tick { kill_timeout: self.policy.kill_timeout }, now);
            // A successor that isn't ready in time has failed now, whenever its process is gone. A worker alone in its
            // slot keeps it until then, so that no two of them run.
            if let Some(slot) = slot
                && let Post::Successor { of } = self.post(slot, id)
            {
                self.successor_failed(slot, id, of, now);
            }
        }
    }

    fn fork_where_due(&mut self, now: Instant) {
        let is_due = |slot: &Slot| matches!(slot.occupancy, Occupancy::Waiting { until } if until <= now);
        let due: Vec<_> =
            self.slots.iter().filter(|(_, slot)| is_due(slot)).map(|(&index, _)| index).collect();
        for index in due {
            if !self.take_over(index, now, now) {
                self.fork(index, Purpose::Refill, now);
            }
        }
    }

    /// Closes what nobody uses any more, and tells of changed numbers.
    fn settle_accounts(&mut self) {
        let in_use: BTreeSet<_> = self.workers.values().filter_map(|worker| worker.slot).collect();
        let effects = &mut self.effects;
        self.slots.retain(|index, slot| {
            let is_over = slot.occupancy == Occupancy::Retired && !in_use.contains(index);
            if is_over {
                effects.push(Effect::CloseSlot { slot: *index });
            }
            !is_over
        });
        let wanted = self.kept_slots().len();
        let is_kept = self.policy.forks == Forks::Kept;
        if wanted != self.wanted {
            self.wanted = wanted;
            if is_kept {
                self.report(Report::WantedChanged { wanted });
            }
        }
        if self.slots.is_empty() && self.workers.is_empty() && !self.told_none_left {
            self.told_none_left = true;
            self.effects.push(Effect::CloseSockets);
            if is_kept {
                self.report(Report::NoneLeft);
            }
        }
    }

    /// Forks a worker into a slot of its own, which ends with it.
    fn fork_as_ordered(&mut self, now: Instant) {
        if self.phase == Phase::Running
            && self.policy.forks == Forks::Ordered
            && let Some(index) = self.add_slot(now)
        {
            self.fork(index, Purpose::First, now);
        }
    }

    /// Forks a worker into a slot that is there.
    fn fork(&mut self, index: SlotIndex, purpose: Purpose, now: Instant) -> WorkerId {
        let id = self.spawn(Some(index), purpose, now);
        if let Some(slot) = self.slots.get_mut(&index) {
            slot.backoff.forked(now);
            slot.occupancy = match purpose {
                Purpose::First | Purpose::Refill | Purpose::Spare => Occupancy::Held { by: id },
                Purpose::Successor { of } => Occupancy::Exchanging { by: of, successor: id },
            };
        }
        id
    }

    /// Forks a worker.
    fn spawn(&mut self, slot: Option<SlotIndex>, purpose: Purpose, now: Instant) -> WorkerId {
        // Four thousand million forks outlast any master: at one a second, 136 years.
        self.last_worker = self.last_worker.saturating_add(1);
        let id = WorkerId(self.last_worker);
        let life = Life::Starting { ready_by: after(now, self.policy.start_timeout), has_socket: false };
        let is_new = self.is_of_reload(purpose);
        let generation = if is_new { self.generation } else { self.in_service };
        self.workers.insert(id, Member { slot, generation, since: now, life });
        self.told_none_left = false;
        self.effects.push(Effect::Spawn { worker: id, slot, purpose, is_new });
        id
    }

    /// Sends a worker away, gently if it may have clients.
    fn dismiss(&mut self, id: WorkerId, cause: DeathReason, grace: Duration, now: Instant) {
        let (drain_by, kill_by) = (after(now, grace), after(now, self.policy.kill_timeout));
        self.tell(id, News::Dismiss { cause, drain_by, kill_by }, now);
    }

    /// Lets one worker's life take in news, and passes on the order that follows.
    fn tell(&mut self, id: WorkerId, news: News, now: Instant) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let before = worker.life.state();
        let (life, order) = worker.life.step(news, now);
        worker.life = life;
        if life.state() != before {
            worker.since = now;
        }
        match order {
            Some(Order::Drain { by }) => self.effects.push(Effect::Drain { worker: id, by }),
            Some(Order::End) => self.effects.push(Effect::End { worker: id }),
            Some(Order::Kill) => self.effects.push(Effect::Kill { worker: id }),
            Some(Order::GiveUp) => {
                self.on_gone(id, Gone::Failed, now);
                self.report(Report::Unkillable { worker: id });
            }
            None => {}
        }
    }

    fn report(&mut self, report: Report) {
        self.effects.push(Effect::Report(report));
    }

    fn is_keeping(&self) -> bool {
        self.started && self.phase == Phase::Running && self.policy.forks == Forks::Kept
    }

    /// What a worker does; `None` once it is gone.
    pub(crate) fn state_of(&self, id: WorkerId) -> Option<MemberState> {
        self.workers.get(&id).map(|worker| worker.life.state())
    }

    /// What a worker, gone or not, is to a slot.
    fn post(&self, index: SlotIndex, id: WorkerId) -> Post {
        self.slots.get(&index).map_or(Post::Out, |slot| slot.post(id))
    }

    fn set_occupancy(&mut self, index: SlotIndex, occupancy: Occupancy) {
        if let Some(slot) = self.slots.get_mut(&index) {
            slot.occupancy = occupancy;
        }
    }

    fn ids(&self) -> Vec<WorkerId> {
        self.workers.keys().copied().collect()
    }
}
