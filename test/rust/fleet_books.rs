//! The books that the simulation keeps beside the fleet, and the checks of one against the other.
//!
//! They are kept from inputs and effects alone and trust nothing that the fleet says about itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cluster2::fleet::{
    DeathReason, MemberState, MemberView, Phase, Purpose, RecycleReason, Report, Restart, SlotIndex, Step,
    Strategy, WorkerId,
};

use super::{CLOSING, SLACK, World};

/// The model's own book on one process.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each noted by itself")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) slot: Option<SlotIndex>,
    /// When it was forked, or took over after it had booted.
    pub(super) forked: Instant,
    pub(super) successor_of: Option<WorkerId>,
    pub(super) is_of_recycle: bool,
    pub(super) is_warm: bool,
    /// The number of the reload that brought its release.
    pub(super) release: u32,
    pub(super) ready: bool,
    pub(super) ready_at: Option<Instant>,
    pub(super) quiet: bool,
    /// On its way out, by an order or on its own account.
    pub(super) going: bool,
    pub(super) has_channel: bool,
    /// It was lent a socket, so it may have clients.
    pub(super) has_socket: bool,
    /// It goes on its own account, without an order.
    pub(super) is_departing: bool,
    pub(super) drained: bool,
    pub(super) gone_by: Option<Instant>,
    pub(super) hangs: bool,
    /// A successor of its failed, so the next try has to wait.
    pub(super) has_failed: bool,
}

impl Process {
    /// Whether it is a successor that the reload has forked.
    pub(super) fn is_of_reload(&self, reload: Option<(Strategy, Instant)>) -> bool {
        let is_exchange = self.successor_of.is_some() && !self.is_of_recycle;
        is_exchange && reload.is_some_and(|(_, began)| self.forked >= began)
    }

    pub(super) fn serves(&self) -> bool {
        self.ready && !self.going
    }
}

impl World {
    /// Whether the input is about nobody, or about somebody who is gone.
    pub(super) fn is_idle(&self, input: Step) -> bool {
        match input {
            Step::Ready { worker }
            | Step::Quiet { worker }
            | Step::Turned { worker }
            | Step::Warm { worker }
            | Step::Exited { worker, .. }
            | Step::SpawnFailed { worker, .. }
            | Step::Lent { worker }
            | Step::Leaving { worker }
            | Step::Departing { worker }
            | Step::Disconnected { worker }
            | Step::ChannelLost { worker }
            | Step::Recycle { worker, .. } => !self.processes.contains_key(&worker),
            Step::Start => self.spawned > 0,
            // Orders are for another kind of fleet.
            Step::Tick | Step::Fork => true,
            Step::Reload { .. } => self.end_by.is_some() || self.reload.is_some(),
            Step::CancelReload => self.reload.is_none(),
            Step::Scale { .. } | Step::Shutdown => self.end_by.is_some(),
            Step::Closed => self.fleet.phase() != Phase::Closing,
            Step::Stop => self.finished,
        }
    }

    /// Enters the input into the books; says whether a slot is no longer served because of it.
    pub(super) fn take_note(&mut self, input: Step) -> bool {
        let running = self.end_by.is_none();
        match input {
            Step::Ready { worker } => {
                let has_slot = self.processes.get(&worker).is_some_and(|process| process.slot.is_some());
                if !has_slot {
                    self.note_warm(worker);
                } else if let Some(process) = self.processes.get_mut(&worker) {
                    process.ready |= !process.going;
                    process.ready_at.get_or_insert(self.now);
                }
                self.note_proof(worker);
                false
            }
            Step::Quiet { worker } => {
                if let Some(process) = self.processes.get_mut(&worker) {
                    process.quiet = true;
                }
                self.note_proof(worker);
                false
            }
            Step::Warm { worker } => {
                self.note_warm(worker);
                false
            }
            Step::Exited { worker, clean } => {
                self.loses(worker, clean && self.policy.restart == Restart::OnFailure)
            }
            Step::SpawnFailed { worker, .. } => self.loses(worker, false),
            Step::Lent { worker } => {
                if let Some(process) = self.processes.get_mut(&worker) {
                    process.has_socket |= process.slot.is_some() && !process.going;
                }
                false
            }
            Step::Departing { worker }
            | Step::ChannelLost { worker }
            | Step::Leaving { worker }
            | Step::Disconnected { worker } => self.note_departure(worker, input),
            Step::Reload { strategy } if running && self.reload.is_none() => {
                self.reload = Some((strategy, self.now));
                self.proof_by = None;
                self.reloads += 1;
                self.recycling = None;
                self.wanted = self.configured;
                false
            }
            Step::Scale { wanted } if running => {
                self.configured = wanted.max(1);
                self.wanted = self.configured;
                false
            }
            Step::Shutdown if running => {
                let longest = CLOSING + self.policy.drain_timeout + self.policy.kill_timeout;
                self.end_by = Some(self.end_after(longest));
                false
            }
            Step::Stop if !self.finished => {
                self.end_by = Some(self.end_after(Duration::ZERO));
                false
            }
            Step::Recycle { worker, why } if running && why != RecycleReason::Exception => {
                if let Some(process) = self.processes.get_mut(&worker).filter(|process| !process.going) {
                    process.hangs |= why == RecycleReason::Hung;
                    self.wishes.insert(worker);
                }
                false
            }
            Step::Start
            | Step::Fork
            | Step::Closed
            | Step::Turned { .. }
            | Step::Recycle { .. }
            | Step::Reload { .. }
            | Step::CancelReload
            | Step::Scale { .. }
            | Step::Shutdown
            | Step::Stop
            | Step::Tick => false,
        }
    }

    /// A worker goes by itself, or can't be reached any more.
    fn note_departure(&mut self, worker: WorkerId, input: Step) -> bool {
        let is_lost = matches!(input, Step::ChannelLost { .. });
        let is_off = is_lost || matches!(input, Step::Disconnected { .. });
        let lost = self.loses(worker, !is_lost);
        let time = if is_lost { self.policy.kill_timeout } else { self.policy.drain_timeout };
        let gone_by = self.now + time + SLACK;
        let Some(process) = self.processes.get_mut(&worker) else { return lost };
        process.has_channel &= !is_off;
        if matches!(input, Step::Departing { .. }) {
            process.is_departing |= !process.going;
            process.going = true;
        }
        if is_off && (!process.going || (process.is_departing && process.gone_by.is_none())) {
            process.going = true;
            process.gone_by = Some(gone_by);
        }
        lost
    }

    /// When everything has ended, if nothing takes longer than this but processes that can't be killed.
    fn end_after(&self, longest: Duration) -> Instant {
        let stuck = self.unkillable.iter().filter_map(|id| self.processes.get(id)?.gone_by);
        stuck.chain([self.now + longest + SLACK]).max().unwrap()
    }

    /// When the release will be proven, as far as this worker can do it.
    fn note_proof(&mut self, worker: WorkerId) {
        let process = self.processes.get(&worker).filter(|process| process.is_of_reload(self.reload));
        let Some((process, ready_at)) = process.and_then(|it| Some((it, it.ready_at?))) else { return };
        let settle = if process.quiet { self.policy.quiet_settle } else { self.policy.settle };
        let by = ready_at + settle;
        self.proof_by = Some(self.proof_by.map_or(by, |known| known.min(by)));
    }

    /// A worker is lost to its slot, and with `for_good` so is its place unless there is another worker in it; says
    /// whether the slot is no longer served.
    pub(super) fn loses(&mut self, worker: WorkerId, for_good: bool) -> bool {
        let Some(process) = self.processes.get(&worker).copied() else { return false };
        let Some(slot) = process.slot else { return false };
        if for_good && !process.going && self.end_by.is_none() && self.in_post(slot).len() == 1 {
            self.wanted -= 1;
        }
        let is_served_by = |id: &WorkerId| self.processes[id].serves();
        process.serves() && self.in_post(slot).iter().filter(|id| is_served_by(id)).count() == 1
    }

    /// A crash loop is never a busy loop.
    pub(super) fn check_spacing(&mut self, slot: Option<SlotIndex>) {
        // What a spare spares its slot in waiting, the next spare waits.
        let (places, spares) = (self.slots.len(), self.policy.spares);
        let most = if slot.is_some() { 6 } else { 6 * (places + spares) };
        let forks = self.refills.entry(slot).or_default();
        forks.retain(|&at| self.now - at < Duration::from_secs(1));
        forks.push(self.now);
        assert!(forks.len() <= most, "{} forks within a second", forks.len());
    }

    /// A worker in post goes by order only for one of the good reasons.
    pub(super) fn check_order(&self, worker: WorkerId, input: Step) {
        let process = self.processes[&worker];
        if process.going || self.end_by.is_some() || matches!(input, Step::Scale { .. }) {
            return;
        }
        let Some(slot) = process.slot else { return self.check_spare_order(worker, input) };
        let others: Vec<_> = self.in_post(slot).into_iter().filter(|&id| id != worker).collect();
        let left = matches!(input, Step::Leaving { worker: who } if who == worker);
        let is_relieved = others.iter().any(|id| self.processes[id].serves());
        let is_late = !process.ready && self.now >= process.forked + self.policy.start_timeout;
        assert!(left || is_relieved || is_late, "{worker} is sent away, and nobody is ready in its place");
        let is_called_off = process.successor_of.is_some_and(|of| others.contains(&of));
        if !left && is_relieved && !is_called_off && self.reload.is_some() {
            let is_proven = self.proof_by.is_some_and(|by| by <= self.now);
            assert!(is_proven, "{worker} is relieved before the release has settled");
        }
    }

    /// The release that a reload brought is that of later workers.
    fn put_into_service(&mut self) {
        self.in_service = self.reloads;
        self.is_service_broken = self.is_release_broken;
    }

    /// Only successors are of a release that is not proven, as long as a worker of an older one serves.
    pub(super) fn check_release(&self, purpose: Purpose, is_new: bool) {
        assert!(self.reload.is_some() || !is_new, "there is no new release");
        let is_proven = self.proof_by.is_some_and(|by| by <= self.now);
        if is_new && !is_proven && !matches!(purpose, Purpose::Successor { .. }) {
            let is_older = |process: &Process| process.serves() && process.release < self.reloads;
            assert!(!self.processes.values().any(is_older), "an unproven release is put into service");
        }
    }

    /// The successors of a rolling reload start one after the other.
    pub(super) fn check_rolling(&self) {
        if !self.reload.is_some_and(|(strategy, _)| strategy == Strategy::Rolling) {
            return;
        }
        let is_starting =
            |process: &Process| process.is_of_reload(self.reload) && !process.ready && !process.going;
        let starting = self.processes.values().filter(|process| is_starting(process)).count();
        assert!(starting <= 1, "{starting} successors of a rolling reload start at a time");
    }

    pub(super) fn send_away(&mut self, worker: WorkerId, gone_by: Instant) {
        let process = self.processes.get_mut(&worker).unwrap();
        process.going = true;
        process.gone_by = Some(process.gone_by.map_or(gone_by, |known| known.min(gone_by)));
    }

    pub(super) fn hear(&mut self, report: &Report, input: Step) {
        self.remember(report);
        match *report {
            Report::Died { worker, slot, .. } => {
                let is_answer = matches!(input, Step::Exited { worker: who, .. } | Step::SpawnFailed { worker: who, .. } if who == worker);
                assert!(is_answer || self.unkillable.contains(&worker), "{worker} died of {input:?}");
                let process = self.processes.remove(&worker).expect("died twice");
                assert_eq!(process.slot, slot);
                if slot.is_none() && !process.going {
                    self.seen.insert("SpareDied");
                }
                if slot.is_none() && matches!(*report, Report::Died { cause: DeathReason::Reloaded, .. }) {
                    self.seen.insert("SpareReloaded");
                }
                self.died += 1;
            }
            Report::BackingOff { delay, failures, slot } => {
                if slot.is_none() {
                    self.seen.insert("SpareBackingOff");
                }
                assert!(delay > Duration::ZERO && delay <= Duration::from_secs(30) && failures > 1);
            }
            Report::SuccessorFailed { worker, of } => {
                let old = self.processes.get_mut(&of).unwrap();
                assert!(old.serves(), "{of} had to go for {worker}, which failed");
                old.has_failed = true;
                self.recycling = self.recycling.filter(|old| *old != of);
            }
            Report::Unkillable { worker } => assert!(self.unkillable.contains(&worker)),
            Report::Recycling { worker, successor } => {
                assert_eq!(self.processes[&successor].successor_of, Some(worker));
                let is_alone = self.recycling.is_none_or(|old| !self.processes.contains_key(&old));
                if !self.processes[&worker].hangs {
                    assert!(is_alone, "two workers that serve are recycled at a time");
                    self.recycling = Some(worker);
                }
                self.processes.get_mut(&successor).unwrap().is_of_recycle = true;
            }
            Report::WantedChanged { wanted } => assert_eq!(wanted, self.wanted),
            Report::ReloadDone { ref replaced } => {
                assert!(self.reload.take().is_some());
                for one in replaced {
                    assert!(one.started <= one.ready && !self.processes.contains_key(&one.old));
                }
                let is_old =
                    |view: MemberView| view.state != MemberState::Draining && view.generation < self.reloads;
                assert!(!self.fleet.workers().any(is_old), "an old worker stayed");
                self.put_into_service();
            }
            Report::ReloadFailed { replaced, .. } | Report::ReloadCancelled { replaced } => {
                assert!(self.reload.take().is_some());
                if replaced > 0 {
                    self.put_into_service();
                }
            }
            Report::NoneLeft => assert!(self.processes.is_empty() && self.end_by.is_none()),
            Report::Finished => {
                assert!(!std::mem::replace(&mut self.finished, true), "finished twice");
                assert!(self.processes.is_empty() && self.now <= self.end_by.unwrap(), "too late");
            }
        }
    }

    /// For the tally: the kind of report, or the cause of a death.
    pub(super) fn remember(&mut self, report: &Report) {
        let name = match report {
            Report::Died { cause, .. } => match cause {
                DeathReason::Unasked => "Unasked",
                DeathReason::ChannelLost => "ChannelLost",
                DeathReason::StartTimeout => "StartTimeout",
                DeathReason::Drained => "Drained",
                DeathReason::Left => "Left",
                DeathReason::Recycled(RecycleReason::Hung) => "Hung",
                DeathReason::Recycled(_) => "Recycled",
                DeathReason::Reloaded => "Reloaded",
                DeathReason::ScaledDown => "ScaledDown",
                DeathReason::Stopped => "Stopped",
                DeathReason::Overdue => "Overdue",
                DeathReason::GivenUp => "GivenUp",
            },
            Report::BackingOff { .. } => "BackingOff",
            Report::SuccessorFailed { .. } => "SuccessorFailed",
            Report::Unkillable { .. } => "Unkillable",
            Report::Recycling { .. } => "Recycling",
            Report::WantedChanged { .. } => "WantedChanged",
            Report::ReloadDone { .. } => "ReloadDone",
            Report::ReloadFailed { .. } => "ReloadFailed",
            Report::ReloadCancelled { .. } => "ReloadCancelled",
            Report::NoneLeft => "NoneLeft",
            Report::Finished => "Finished",
        };
        self.seen.insert(name);
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.fleet.next_deadline().is_none_or(|at| at > self.now), "a deadline was overlooked");
        for (&worker, process) in &self.processes {
            let is_overdue = process.gone_by.is_some_and(|by| by < self.now);
            assert!(!is_overdue, "{worker} outlived its ladder");
            assert_eq!(self.fleet.is_serving(worker), process.serves(), "{worker}");
            assert_eq!(self.fleet.slot_of(worker), process.slot);
        }
        if self.end_by.is_none() {
            assert_eq!(self.fleet.wanted(), self.wanted);
            self.check_rolling();
            self.check_hung();
            assert!(self.spares_in_post() <= self.policy.spares, "a spare too many");
            for &slot in &self.slots {
                self.check_slot(slot);
            }
        }
    }

    /// A hung worker waits for no other worker's end.
    fn check_hung(&self) {
        for (worker, process) in &self.processes {
            let Some(slot) = process.slot.filter(|_| process.hangs && process.serves()) else { continue };
            let may_wait = process.has_failed || self.reload.is_some();
            assert!(may_wait || self.in_post(slot).len() == 2, "{worker} hangs, and has no successor");
        }
    }

    pub(super) fn check_slot(&self, slot: SlotIndex) {
        match self.in_post(slot)[..] {
            [] | [_] => {}
            [old, new] => assert_eq!(self.processes[&new].successor_of, Some(old), "{slot} has two workers"),
            ref crowd => panic!("{slot} has {crowd:?}"),
        }
    }

    /// The workers of a slot that are not on their way out, oldest first.
    pub(super) fn in_post(&self, slot: SlotIndex) -> Vec<WorkerId> {
        let is_here = |process: &Process| process.slot == Some(slot) && !process.going;
        self.processes.iter().filter(|(_, process)| is_here(process)).map(|(&id, _)| id).collect()
    }

    /// How many slots are served. While a slot is handed over, two workers serve it, and one of them is a bonus.
    pub(super) fn serving(&self) -> usize {
        let served = self.processes.values().filter(|process| process.serves()).map(|process| process.slot);
        served.collect::<BTreeSet<_>>().len()
    }

    fn note_warm(&mut self, worker: WorkerId) {
        if let Some(process) = self.processes.get_mut(&worker) {
            process.is_warm |= process.slot.is_none() && !process.going;
        }
    }

    /// A spare is forked when one is missing, and not while a reload may still fail.
    pub(super) fn check_new_spare(&mut self) {
        assert!(self.spares_in_post() < self.policy.spares, "a spare too many");
        assert!(!self.slots.is_empty(), "a spare for nobody");
        let is_starting = |process: &Process| process.slot.is_some() && !process.ready && !process.going;
        assert!(!self.processes.values().any(is_starting), "a spare in the way of a worker that starts");
        self.check_spacing(None);
    }

    /// A spare is sent away when it is of an old release, when there is nothing to stand by for, or on its own account.
    fn check_spare_order(&self, worker: WorkerId, input: Step) {
        let process = self.processes[&worker];
        let is_wish = matches!(input, Step::Leaving { worker: who } | Step::Recycle { worker: who, .. } if who == worker);
        let is_late = !process.is_warm && self.now >= process.forked + self.policy.start_timeout;
        // Once everybody who serves is of the new release.
        let is_new = |process: &Process| process.release == self.reloads;
        let mut others = self.processes.values().filter(|other| other.slot.is_some() && !other.going);
        let is_old = !is_new(&process) && others.all(is_new);
        assert!(is_wish || is_late || is_old || self.wanted == 0, "{worker} is sent away for nothing");
    }

    fn spares_in_post(&self) -> usize {
        self.processes.values().filter(|process| process.slot.is_none() && !process.going).count()
    }

    /// How many spares could take over at once.
    pub(super) fn standing_by(&self) -> usize {
        let is_ready = |process: &&Process| process.slot.is_none() && process.is_warm && !process.going;
        self.processes.values().filter(is_ready).count()
    }
}
