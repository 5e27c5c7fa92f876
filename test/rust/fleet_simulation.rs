//! Random histories of a whole fleet in a fake world, with every invariant checked after every step.
//!
//! A history is its seed: workers that start, fail, hang, crash, drain or refuse to, and an operator who recycles,
//! reloads, scales and stops at random. `SEED=n HISTORIES=1` replays one, `TRACE=1` prints it; `HISTORIES=100000` is for
//! a long run (with `--release`). Every input and every effect is entered in books of the simulation's own, which are
//! compared with the fleet (`fleet_books.rs`).

#![expect(clippy::print_stdout, reason = "the seed and the trace of a history are for its reader")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a model that contradicts itself must end the test"
)]

mod fleet_books;
mod histories;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cluster2::fleet::backoff;
use cluster2::fleet::{
    Effect, Fleet, Forks, Phase, Policy, Purpose, RecycleReason, Restart, SlotIndex, Step, Strategy, WorkerId,
};

use fleet_books::Process;
use histories::{Agenda, Next, Random, Shout, number};

/// The loop's lateness, the kernel's, and a rung or two of each.
const SLACK: Duration = ms(30);
/// More steps than any history needs that comes to rest.
const MANY_STEPS: usize = 20_000;

/// How long the queues take to be emptied at most.
const CLOSING: Duration = ms(60);
/// How long the fleet waits for the end of what was killed.
const UNKILLABLE: Duration = ms(5000);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn the_invariants_hold_in_every_history() {
    let (first, histories) = (number("SEED", 1), number("HISTORIES", 3000));
    let mut seen = BTreeSet::new();
    for seed in first..first + histories {
        let _guard = Shout(seed);
        let mut world = World::new(seed);
        world.live();
        seen.append(&mut world.seen);
    }
    // A simulation in which nothing happens proves nothing.
    if histories >= 1000 {
        let expected = [
            "BackingOff SuccessorFailed Unkillable Recycling WantedChanged ReloadDone ReloadFailed ReloadCancelled NoneLeft Finished",
            "Took BootingTook SpareDied SpareReloaded SpareBackingOff",
            "Unasked ChannelLost StartTimeout Drained Left Hung Recycled Reloaded ScaledDown Stopped Overdue GivenUp",
        ];
        for name in expected.iter().flat_map(|line| line.split(' ')) {
            assert!(seen.contains(name), "no history had {name}");
        }
    }
}

/// What is going to happen in the world.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Happening {
    News(Step),
    /// Nobody asked for it; the world stops doing so when it is to come to rest.
    Crash(WorkerId, bool),
    /// The operator, or a worker, does something at random.
    Whim,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts, each noted by itself")]
struct World {
    random: Random,
    policy: Policy,
    fleet: Fleet,
    now: Instant,
    agenda: Agenda<Happening>,
    trace: bool,
    /// The release that the last reload brought can't start.
    is_release_broken: bool,
    /// Nor can that in service.
    is_service_broken: bool,
    is_kind: bool,
    processes: BTreeMap<WorkerId, Process>,
    /// Processes that hang in the kernel.
    unkillable: BTreeSet<WorkerId>,
    spawned: u32,
    died: u32,
    slots: BTreeSet<SlotIndex>,
    refills: BTreeMap<Option<SlotIndex>, Vec<Instant>>,
    configured: usize,
    wanted: usize,
    recycling: Option<WorkerId>,
    reloads: u32,
    /// The number of the reload that brought the release in service.
    in_service: u32,
    /// Of the reload under way: its manner, its beginning, and when one of its successors was ready first.
    reload: Option<(Strategy, Instant)>,
    proof_by: Option<Instant>,
    /// Workers that are to be recycled.
    wishes: BTreeSet<WorkerId>,
    end_by: Option<Instant>,
    finished: bool,
    seen: BTreeSet<&'static str>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let wanted = usize::try_from(1 + random.below(5)).unwrap();
        let policy = Policy {
            forks: Forks::Kept,
            wanted,
            // Half of the histories have none.
            spares: usize::try_from(random.below(5).saturating_sub(2)).unwrap(),
            restart: if random.percent(25) { Restart::Always } else { Restart::OnFailure },
            start_timeout: ms(200) + random.ms(500),
            drain_timeout: ms(100) + random.ms(400),
            recycle_timeout: ms(100) + random.ms(800),
            kill_timeout: ms(50) + random.ms(200),
            backoff: backoff::Spacing::default(),
            settle: ms(100) + random.ms(200),
            quiet_settle: random.ms(100),
            seed,
        };
        Self {
            fleet: Fleet::new(policy),
            now: Instant::now(),
            agenda: Agenda::new(),
            trace: std::env::var_os("TRACE").is_some(),
            is_release_broken: false,
            is_service_broken: random.percent(10),
            is_kind: false,
            processes: BTreeMap::new(),
            unkillable: BTreeSet::new(),
            spawned: 0,
            died: 0,
            slots: BTreeSet::new(),
            refills: BTreeMap::new(),
            configured: wanted,
            wanted,
            recycling: None,
            reloads: 0,
            in_service: 0,
            reload: None,
            proof_by: None,
            wishes: BTreeSet::new(),
            end_by: None,
            finished: false,
            seen: BTreeSet::new(),
            policy,
            random,
        }
    }

    /// Start, turmoil, perhaps rest, end.
    fn live(&mut self) {
        self.step(Step::Start);
        let length = ms(500) + self.random.ms(9000);
        for _ in 0..self.random.below(40) {
            let at = self.random.ms(u64::try_from(length.as_millis()).unwrap());
            self.schedule(at, Happening::Whim);
        }
        let end = self.now + length;
        self.run_until(Some(end));
        if self.random.percent(60) {
            self.come_to_rest();
        }
        self.end();
    }

    fn come_to_rest(&mut self) {
        self.is_kind = true;
        self.is_release_broken = false;
        self.is_service_broken = false;
        self.agenda.entries.retain(|_, happening| matches!(happening, Happening::News(_)));
        self.run_until(None);
        assert_eq!(self.fleet.next_deadline(), None);
        assert_eq!(self.serving(), self.wanted, "the wanted number is not restored");
        let spares = if self.wanted == 0 { 0 } else { self.policy.spares };
        assert_eq!(self.standing_by(), spares, "the spares are not restored");
        assert_eq!(self.fleet.workers().count(), self.wanted + spares);
        assert!(self.reload.is_none(), "a reload never ended");
        let is_refused = |process: &Process| process.release > self.in_service;
        assert!(!self.processes.values().any(is_refused), "a worker of a refused release stays");
        assert!(!self.wishes.iter().any(|id| self.processes.contains_key(id)), "a recycle was forgotten");
    }

    fn end(&mut self) {
        let input = self.random.pick(&[Step::Shutdown, Step::Stop]).unwrap();
        self.step(input);
        if self.random.percent(30) {
            let soon = self.now + self.random.ms(200);
            self.run_until(Some(soon));
            let again = self.random.pick(&[Step::Shutdown, Step::Stop, Step::Start]).unwrap();
            self.step(again);
        }
        self.run_until(None);
        assert!(self.finished, "the end never came");
        assert_eq!(self.fleet.phase(), Phase::Finished);
        assert_eq!(self.spawned, self.died, "a worker without its Died");
        assert_eq!(self.fleet.workers().count(), 0);
    }

    /// Lets time pass, event by event, up to `end` or until nothing is going to happen.
    fn run_until(&mut self, end: Option<Instant>) {
        for _ in 0..MANY_STEPS {
            match self.agenda.next(&mut self.now, self.fleet.next_deadline(), end) {
                Some(Next::Happening(happening)) => self.let_happen(happening),
                Some(Next::Deadline) => {
                    // The loop is sometimes late.
                    self.now += self.random.ms(3);
                    self.step(Step::Tick);
                }
                None => return,
            }
        }
        panic!("does not come to rest");
    }

    fn schedule(&mut self, after: Duration, happening: Happening) {
        self.agenda.add(self.now + after, happening);
    }

    fn news(&mut self, within: u64, input: Step) {
        let after = self.random.ms(within);
        self.schedule(after, Happening::News(input));
    }

    fn let_happen(&mut self, happening: Happening) {
        match happening {
            Happening::News(input) => self.step(input),
            Happening::Crash(worker, clean) => self.step(Step::Exited { worker, clean }),
            Happening::Whim => self.follow_a_whim(),
        }
    }

    fn follow_a_whim(&mut self) {
        let mut workers: Vec<_> = self.processes.keys().copied().collect();
        // Somebody who never was, and perhaps somebody who was once.
        workers.push(WorkerId(1 + u32::try_from(self.random.below(100)).unwrap()));
        let worker = self.random.pick(&workers).unwrap();
        let why = [
            RecycleReason::Asked,
            RecycleReason::Connections,
            RecycleReason::Requests,
            RecycleReason::Uptime,
            RecycleReason::Memory,
            RecycleReason::Exception,
            RecycleReason::Hung,
            RecycleReason::Refused,
        ];
        let input = match self.random.below(25) {
            20 => Step::Departing { worker },
            21 => Step::ChannelLost { worker },
            22 => Step::Lent { worker },
            23 | 24 => Step::CancelReload,
            0..5 => Step::Recycle { worker, why: self.random.pick(&why).unwrap() },
            5..8 => {
                let is_broken = self.random.percent(30);
                if self.reload.is_none() {
                    self.is_release_broken = is_broken;
                }
                Step::Reload { strategy: self.random.pick(&[Strategy::Rolling, Strategy::AllFirst]).unwrap() }
            }
            8..11 => Step::Scale { wanted: usize::try_from(self.random.below(7)).unwrap() },
            11 | 12 => Step::Leaving { worker },
            13 => Step::Disconnected { worker },
            14 => self
                .random
                .pick(&[
                    Step::Ready { worker },
                    Step::Quiet { worker },
                    Step::Warm { worker },
                    Step::Turned { worker },
                ])
                .unwrap(),
            15 => self.random.pick(&[Step::Start, Step::Tick]).unwrap(),
            _ => Step::Exited { worker, clean: self.random.percent(20) },
        };
        self.step(input);
    }

    /// One step of the fleet, with the model's books kept beside it and compared after it.
    fn step(&mut self, input: Step) {
        let before = self.serving();
        let is_idle_news = self.is_idle(input) && self.fleet.next_deadline().is_none_or(|at| at > self.now);
        let lost = usize::from(self.take_note(input));
        if let Step::Departing { worker } = input {
            self.news(300, Step::Disconnected { worker });
        }
        if let Step::ChannelLost { worker } = input
            && self.random.percent(70)
        {
            self.news(20, Step::Exited { worker, clean: true });
        }
        let effects = self.fleet.step(input, self.now);
        if self.trace {
            println!("{:?} {input:?} -> {effects:?}", self.now);
        }
        assert!(!is_idle_news || effects.is_empty(), "late news changed something: {input:?}: {effects:?}");
        for effect in &effects {
            self.perform(effect, input);
        }
        self.check_invariants();
        if self.end_by.is_none() {
            let floor = (before - lost).min(self.wanted);
            assert!(self.serving() >= floor, "{} serve, of {floor} that could", self.serving());
        }
    }

    fn perform(&mut self, effect: &Effect, input: Step) {
        match *effect {
            Effect::Spawn { worker, slot, purpose, is_new } => self.spawn(worker, slot, purpose, is_new),
            Effect::Serve { worker, slot } => self.serve(worker, slot),
            Effect::Drain { worker, by } => {
                self.check_order(worker, input);
                assert!(self.processes[&worker].has_channel, "an order on a closed channel");
                assert!(!self.processes[&worker].drained, "a second order to drain");
                let Policy { recycle_timeout, drain_timeout, kill_timeout, .. } = self.policy;
                assert!(by <= self.now + recycle_timeout.max(drain_timeout).max(kill_timeout));
                self.send_away(worker, by + self.policy.kill_timeout + SLACK);
                self.processes.get_mut(&worker).unwrap().drained = true;
                match self.random.below(100) {
                    0..70 => self.news(250, Step::Exited { worker, clean: true }),
                    70..75 => self.news(100, Step::Exited { worker, clean: false }),
                    75..85 => self.news(200, Step::Disconnected { worker }),
                    _ => {}
                }
            }
            Effect::End { worker } => {
                self.check_order(worker, input);
                let process = self.processes[&worker];
                assert!(process.has_channel, "an order on a closed channel");
                let may_have_clients = process.has_socket && !process.is_departing;
                assert!(!may_have_clients || process.drained, "{worker} is ended with its clients");
                self.send_away(worker, self.now + self.policy.kill_timeout + SLACK);
                if self.random.percent(60) {
                    self.news(60, Step::Exited { worker, clean: false });
                }
            }
            Effect::Kill { worker } => {
                self.check_order(worker, input);
                self.send_away(worker, self.now + SLACK);
                if self.is_kind || self.random.percent(98) {
                    self.news(8, Step::Exited { worker, clean: false });
                } else {
                    self.unkillable.insert(worker);
                    self.schedule(
                        UNKILLABLE + ms(1000),
                        Happening::News(Step::Exited { worker, clean: false }),
                    );
                    let given_up_by = self.now + UNKILLABLE + SLACK;
                    self.processes.get_mut(&worker).unwrap().gone_by = Some(given_up_by);
                    self.end_by = self.end_by.map(|by| by.max(given_up_by));
                }
            }
            Effect::RefuseNew => self.news(u64::try_from(CLOSING.as_millis()).unwrap() - 30, Step::Closed),
            Effect::CloseSlot { slot } => {
                let is_used = self.processes.values().any(|process| process.slot == Some(slot));
                assert!(!is_used && self.end_by.is_none(), "{slot} closed in use");
                assert!(self.slots.remove(&slot), "{slot} closed twice");
                self.refills.remove(&Some(slot));
            }
            Effect::CloseSockets => assert!(self.processes.is_empty() && self.wanted == 0),
            Effect::Report(ref report) => self.hear(report, input),
        }
    }

    fn spawn(&mut self, worker: WorkerId, slot: Option<SlotIndex>, purpose: Purpose, is_new: bool) {
        assert!(self.end_by.is_none(), "a fork after the shutdown");
        self.check_release(purpose, is_new);
        self.spawned += 1;
        assert_eq!(worker.0, self.spawned, "ids are counted from 1 and never used again");
        let in_post = slot.map(|slot| self.in_post(slot)).unwrap_or_default();
        let successor_of = match (purpose, slot) {
            (Purpose::First, Some(slot)) => {
                assert!(self.slots.insert(slot), "{slot} is not new");
                None
            }
            (Purpose::Refill, Some(slot)) => {
                assert!(self.slots.contains(&slot) && in_post.is_empty(), "{slot} is filled");
                self.check_spacing(Some(slot));
                None
            }
            (Purpose::Spare, None) => {
                self.check_new_spare();
                None
            }
            (_, None) | (Purpose::Spare, Some(_)) => panic!("{worker} is forked for {purpose:?} in {slot:?}"),
            (Purpose::Successor { of }, Some(slot)) => {
                assert_eq!(in_post, [of], "{slot} has a successor, or not {of}");
                assert!(self.processes[&of].serves(), "a successor of one that does not serve");
                Some(of)
            }
        };
        let process = Process {
            slot,
            forked: self.now,
            successor_of,
            is_of_recycle: false,
            is_warm: false,
            release: if is_new { self.reloads } else { self.in_service },
            ready: false,
            ready_at: None,
            quiet: false,
            going: false,
            has_channel: true,
            has_socket: false,
            is_departing: false,
            drained: false,
            gone_by: None,
            hangs: false,
            has_failed: false,
        };
        self.processes.insert(worker, process);
        self.decide_fate(worker);
    }

    /// A spare takes over; from now on it is a worker as any other.
    fn serve(&mut self, worker: WorkerId, slot: SlotIndex) {
        assert!(self.end_by.is_none() && self.slots.contains(&slot) && self.in_post(slot).is_empty());
        let process = self.processes.get_mut(&worker).unwrap();
        assert!(process.slot.is_none() && !process.going && process.has_channel, "{worker} can't serve");
        let was_warm = process.is_warm;
        process.slot = Some(slot);
        if was_warm {
            process.forked = self.now;
        }
        self.seen.insert(if was_warm { "Took" } else { "BootingTook" });
        if self.is_kind || self.random.percent(90) {
            self.news(if was_warm { 10 } else { 120 }, Step::Ready { worker });
        }
    }

    fn decide_fate(&mut self, worker: WorkerId) {
        let luck = self.random.below(100);
        let process = &self.processes[&worker];
        let has_slot = process.slot.is_some();
        let is_broken =
            if process.release > self.in_service { self.is_release_broken } else { self.is_service_broken };
        if has_slot && self.random.percent(80) {
            self.news(30, Step::Lent { worker });
        }
        if self.is_kind || (!is_broken && luck < 85) {
            self.news(120, if has_slot { Step::Ready { worker } } else { Step::Warm { worker } });
            if self.random.percent(50) {
                self.news(200, Step::Quiet { worker });
            }
            if !self.is_kind && self.random.percent(15) {
                let (after, clean) = (self.random.ms(8000), self.random.percent(25));
                self.schedule(after, Happening::Crash(worker, clean));
            }
            return;
        }
        match luck % 6 {
            0 | 1 => self.news(60, Step::Exited { worker, clean: false }),
            2 => self.news(60, Step::Exited { worker, clean: true }),
            3 => {
                let is_shortage = self.random.percent(50);
                self.news(5, Step::SpawnFailed { worker, is_shortage });
            }
            4 => {
                self.news(30, if has_slot { Step::Ready { worker } } else { Step::Warm { worker } });
                let after = ms(30) + self.random.ms(400);
                self.schedule(after, Happening::Crash(worker, false));
            }
            // It hangs before it listens.
            _ => {}
        }
    }
}
