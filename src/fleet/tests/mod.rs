//! What a fleet does, one behaviour at a time, on a clock of the test's own.

mod ordered;
mod reload;
mod spares;

use std::time::{Duration, Instant};

use crate::fleet::backoff;
use crate::fleet::{
    DeathReason, EMPTYING, Effect, Fleet, Forks, Phase, Policy, Purpose, RecycleReason, Report, Restart,
    SlotIndex, Step, Strategy, WorkerId,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A fleet and its time.
pub(super) struct Stage {
    pub(super) fleet: Fleet,
    pub(super) now: Instant,
}

impl Stage {
    /// `wanted` workers that all serve.
    pub(super) fn serving(wanted: usize) -> Self {
        let mut stage = Self::new(wanted, Restart::OnFailure);
        stage.step(Step::Start);
        for id in 1..=u32::try_from(wanted).unwrap() {
            assert_eq!(stage.ready(id), []);
        }
        stage
    }

    pub(super) fn new(wanted: usize, restart: Restart) -> Self {
        Self { fleet: Fleet::new(policy(wanted, restart)), now: Instant::now() }
    }

    pub(super) fn step(&mut self, input: Step) -> Vec<Effect> {
        self.fleet.step(input, self.now)
    }

    pub(super) fn ready(&mut self, id: u32) -> Vec<Effect> {
        self.step(Step::Ready { worker: WorkerId(id) })
    }

    pub(super) fn crash(&mut self, id: u32) -> Vec<Effect> {
        self.step(Step::Exited { worker: WorkerId(id), clean: false })
    }

    pub(super) fn exit(&mut self, id: u32) -> Vec<Effect> {
        self.step(Step::Exited { worker: WorkerId(id), clean: true })
    }

    pub(super) fn recycle(&mut self, id: u32, why: RecycleReason) -> Vec<Effect> {
        self.step(Step::Recycle { worker: WorkerId(id), why })
    }

    pub(super) fn reload(&mut self, strategy: Strategy) -> Vec<Effect> {
        self.step(Step::Reload { strategy })
    }

    /// Lets time pass, then ticks.
    pub(super) fn wait(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.step(Step::Tick)
    }

    /// Ticks at the next deadline; says how long that took.
    pub(super) fn wait_for_deadline(&mut self) -> (Duration, Vec<Effect>) {
        let time = self.fleet.next_deadline().expect("nothing is waited for") - self.now;
        (time, self.wait(time))
    }

    pub(super) fn drain(&self, id: u32, time: Duration) -> Effect {
        Effect::Drain { worker: WorkerId(id), by: self.now + time }
    }
}

pub(super) fn policy(wanted: usize, restart: Restart) -> Policy {
    Policy {
        forks: Forks::Kept,
        wanted,
        spares: 0,
        restart,
        start_timeout: 30 * SECOND,
        drain_timeout: 20 * SECOND,
        recycle_timeout: 60 * SECOND,
        kill_timeout: 5 * SECOND,
        backoff: backoff::Spacing::default(),
        settle: 2 * SECOND,
        quiet_settle: SECOND / 4,
        seed: 1,
    }
}

pub(super) fn spawn(id: u32, slot: u16, purpose: Purpose) -> Effect {
    Effect::Spawn { worker: WorkerId(id), slot: Some(SlotIndex(slot)), purpose, is_new: false }
}

/// A fork with what a reload brings.
pub(super) fn spawn_new(id: u32, slot: u16, purpose: Purpose) -> Effect {
    Effect::Spawn { worker: WorkerId(id), slot: Some(SlotIndex(slot)), purpose, is_new: true }
}

/// The successor of a reload.
pub(super) fn new_successor(id: u32, slot: u16, of: u32) -> Effect {
    spawn_new(id, slot, Purpose::Successor { of: WorkerId(of) })
}

/// The successor of a recycle.
pub(super) fn successor(id: u32, slot: u16, of: u32) -> Effect {
    spawn(id, slot, Purpose::Successor { of: WorkerId(of) })
}

pub(super) fn died(id: u32, slot: u16, cause: DeathReason) -> Effect {
    Effect::Report(Report::Died { worker: WorkerId(id), slot: Some(SlotIndex(slot)), cause })
}

pub(super) fn end(id: u32) -> Effect {
    Effect::End { worker: WorkerId(id) }
}

pub(super) fn kill(id: u32) -> Effect {
    Effect::Kill { worker: WorkerId(id) }
}

pub(super) fn wants(wanted: usize) -> Effect {
    Effect::Report(Report::WantedChanged { wanted })
}

fn recycling(worker: u32, successor: u32) -> Effect {
    Effect::Report(Report::Recycling { worker: WorkerId(worker), successor: WorkerId(successor) })
}

fn successor_failed(worker: u32, of: u32) -> Report {
    Report::SuccessorFailed { worker: WorkerId(worker), of: WorkerId(of) }
}

fn close(slot: u16) -> Effect {
    Effect::CloseSlot { slot: SlotIndex(slot) }
}

#[test]
fn start_forks_the_wanted_number_once() {
    let mut stage = Stage::new(2, Restart::OnFailure);
    let first = |id, slot| spawn(id, slot, Purpose::First);
    assert_eq!(stage.step(Step::Start), [first(1, 0), first(2, 1)]);
    assert_eq!(stage.step(Step::Start), []);
}

#[test]
fn a_worker_that_is_not_ready_in_time_is_killed_and_replaced_once_it_is_gone() {
    let mut stage = Stage::new(1, Restart::OnFailure);
    stage.step(Step::Start);
    assert_eq!(stage.wait_for_deadline(), (30 * SECOND, vec![kill(1)]));
    assert_eq!(stage.ready(1), [], "too late");
    assert_eq!(stage.exit(1), [died(1, 0, DeathReason::StartTimeout), spawn(2, 0, Purpose::Refill)]);
}

#[test]
fn a_clean_exit_is_not_replaced_and_the_last_one_closes_the_sockets() {
    let mut stage = Stage::serving(2);
    assert_eq!(stage.exit(2), [died(2, 1, DeathReason::Unasked), close(1), wants(1)]);
    let none_left = Effect::Report(Report::NoneLeft);
    let last = [died(1, 0, DeathReason::Unasked), close(0), wants(0), Effect::CloseSockets, none_left];
    assert_eq!(stage.exit(1), last);
    assert_eq!(stage.step(Step::Tick), []);
    assert_eq!(stage.step(Step::Scale { wanted: 1 }), [spawn(3, 0, Purpose::First), wants(1)]);
}

#[test]
fn a_clean_exit_is_replaced_where_that_is_asked_for() {
    let mut stage = Stage::new(1, Restart::Always);
    stage.step(Step::Start);
    assert_eq!(stage.exit(1), [died(1, 0, DeathReason::Unasked), spawn(2, 0, Purpose::Refill)]);
}

#[test]
fn back_off_spaces_forks_and_a_worker_that_lived_longer_is_replaced_at_once() {
    let mut stage = Stage::new(1, Restart::OnFailure);
    stage.step(Step::Start);
    assert_eq!(stage.crash(1)[1], spawn(2, 0, Purpose::Refill));
    let effects = stage.crash(2);
    let Effect::Report(Report::BackingOff { failures: 2, delay, .. }) = effects[1] else {
        panic!("{effects:?}")
    };
    assert_eq!(stage.wait_for_deadline(), (delay, vec![spawn(3, 0, Purpose::Refill)]));
    stage.ready(3);
    stage.now += SECOND;
    assert_eq!(stage.crash(3)[1], spawn(4, 0, Purpose::Refill));
}

#[test]
fn a_fork_that_fails_counts_as_a_death() {
    let mut stage = Stage::new(1, Restart::OnFailure);
    stage.step(Step::Start);
    let refill = stage.step(Step::SpawnFailed { worker: WorkerId(1), is_shortage: false });
    assert_eq!(refill, [died(1, 0, DeathReason::Unasked), spawn(2, 0, Purpose::Refill)]);
    let waits = stage.step(Step::SpawnFailed { worker: WorkerId(2), is_shortage: false });
    assert!(matches!(waits[1], Effect::Report(Report::BackingOff { .. })));
}

#[test]
fn a_fork_that_fails_for_a_shortage_is_tried_again_within_a_second_however_often() {
    let mut stage = Stage::new(1, Restart::OnFailure);
    stage.step(Step::Start);
    for id in 1..20 {
        let mut effects = stage.step(Step::SpawnFailed { worker: WorkerId(id), is_shortage: true });
        if id > 1 {
            let waited;
            (waited, effects) = stage.wait_for_deadline();
            assert!(waited <= SECOND);
        }
        assert!(effects.contains(&spawn(id + 1, 0, Purpose::Refill)));
    }
}

#[test]
fn a_worker_that_leaves_drains_and_is_not_replaced() {
    let mut stage = Stage::serving(2);
    let leaving = Step::Leaving { worker: WorkerId(2) };
    assert_eq!(stage.step(leaving), [stage.drain(2, 20 * SECOND), wants(1)]);
    assert_eq!(stage.step(leaving), []);
    assert_eq!(stage.crash(2), [died(2, 1, DeathReason::Left), close(1)]);
}

#[test]
fn a_worker_that_closed_its_channel_gets_no_order_but_the_kill() {
    let mut stage = Stage::serving(2);
    assert_eq!(stage.step(Step::Disconnected { worker: WorkerId(2) }), [wants(1)]);
    assert_eq!(stage.wait_for_deadline(), (20 * SECOND, vec![kill(2)]));
    assert_eq!(stage.crash(2), [died(2, 1, DeathReason::Overdue), close(1)]);
}

#[test]
fn a_recycle_is_successor_first_with_the_whole_ladder() {
    let mut stage = Stage::serving(1);
    assert_eq!(stage.recycle(1, RecycleReason::Uptime), [successor(2, 0, 1), recycling(1, 2)]);
    assert_eq!(stage.recycle(1, RecycleReason::Memory), [], "it is replaced already");
    assert_eq!(stage.ready(2), [stage.drain(1, 60 * SECOND)]);
    assert_eq!(stage.wait_for_deadline(), (60 * SECOND, vec![end(1)]));
    assert_eq!(stage.wait_for_deadline(), (5 * SECOND, vec![kill(1)]));
    assert_eq!(stage.crash(1), [died(1, 0, DeathReason::Overdue)], "and no second successor");
}

#[test]
fn the_next_recycle_begins_when_the_old_worker_is_gone() {
    let mut stage = Stage::serving(2);
    stage.recycle(1, RecycleReason::Connections);
    assert_eq!(stage.recycle(2, RecycleReason::Connections), []);
    stage.ready(3);
    let gone = died(1, 0, DeathReason::Recycled(RecycleReason::Connections));
    assert_eq!(stage.exit(1), [gone, successor(4, 1, 2), recycling(2, 4)]);
}

#[test]
fn hung_workers_are_replaced_at_once_whoever_drains() {
    let mut stage = Stage::serving(4);
    stage.recycle(1, RecycleReason::Connections);
    stage.ready(5);
    assert_eq!(stage.recycle(2, RecycleReason::Connections), [], "this one waits");
    assert_eq!(stage.recycle(3, RecycleReason::Hung), [successor(6, 2, 3), recycling(3, 6)]);
    assert_eq!(stage.recycle(4, RecycleReason::Hung), [successor(7, 3, 4), recycling(4, 7)]);
    assert_eq!(stage.recycle(2, RecycleReason::Hung), [successor(8, 1, 2), recycling(2, 8)], "no longer");
    assert_eq!(stage.ready(7), [kill(4)], "it could not hear an order");
    assert_eq!(stage.ready(6), [kill(3)]);
    assert_eq!(stage.crash(8)[1..], [Effect::Report(successor_failed(8, 2))]);
    assert_eq!(stage.wait(SECOND), [successor(9, 1, 2), recycling(2, 9)]);
}

#[test]
fn a_successor_that_fails_lets_others_have_their_turn() {
    let mut stage = Stage::serving(2);
    stage.recycle(1, RecycleReason::Uptime);
    stage.recycle(2, RecycleReason::Uptime);
    let effects = [died(3, 0, DeathReason::Unasked), Effect::Report(successor_failed(3, 1))];
    assert_eq!(stage.crash(3), [&effects[..], &[successor(4, 1, 2), recycling(2, 4)]].concat());
}

#[test]
fn a_worker_that_hangs_while_it_waits_for_its_recycle_is_killed_too() {
    let mut stage = Stage::serving(1);
    stage.recycle(1, RecycleReason::Uptime);
    assert_eq!(stage.recycle(1, RecycleReason::Hung), []);
    assert_eq!(stage.ready(2), [kill(1)]);
}

#[test]
fn a_worker_that_hung_and_turns_again_drains_when_it_is_relieved() {
    let mut stage = Stage::serving(1);
    stage.recycle(1, RecycleReason::Hung);
    assert_eq!(stage.step(Step::Turned { worker: WorkerId(1) }), []);
    assert_eq!(stage.recycle(1, RecycleReason::Hung), [], "it hangs again");
    stage.step(Step::Turned { worker: WorkerId(1) });
    assert_eq!(stage.ready(2), [stage.drain(1, 60 * SECOND)]);
    assert_eq!(stage.exit(1), [died(1, 0, DeathReason::Recycled(RecycleReason::Hung))]);
}

#[test]
fn a_successor_that_fails_leaves_the_old_worker_and_is_tried_again_later() {
    let mut stage = Stage::serving(1);
    stage.recycle(1, RecycleReason::Requests);
    let failed = |id| successor_failed(id, 1);
    assert_eq!(stage.exit(2), [died(2, 0, DeathReason::Unasked), Effect::Report(failed(2))]);
    assert!(stage.fleet.is_serving(WorkerId(1)));
    assert_eq!(stage.wait_for_deadline(), (SECOND, vec![successor(3, 0, 1), recycling(1, 3)]));
    assert_eq!(stage.wait(30 * SECOND), [kill(3), Effect::Report(failed(3))], "not ready in time");
    assert_eq!(stage.crash(3), [died(3, 0, DeathReason::StartTimeout)]);
    assert_eq!(stage.wait_for_deadline(), (2 * SECOND, vec![successor(4, 0, 1), recycling(1, 4)]));
}

#[test]
fn the_successor_takes_the_slot_of_an_old_worker_that_dies_or_leaves() {
    let mut stage = Stage::serving(2);
    stage.recycle(1, RecycleReason::Asked);
    assert_eq!(stage.crash(1), [died(1, 0, DeathReason::Unasked)]);
    stage.recycle(2, RecycleReason::Asked);
    let leaving = Step::Leaving { worker: WorkerId(2) };
    assert_eq!(stage.step(leaving), [stage.drain(2, 20 * SECOND)], "the wanted number stays");
    stage.exit(2);
    let effects = stage.crash(3);
    let backs_off = matches!(effects[1], Effect::Report(Report::BackingOff { failures: 2, .. }));
    assert!(backs_off, "the death of its forerunner counts: {effects:?}");
}

#[test]
fn exceptions_recycle_one_worker_per_slot_and_stable_time() {
    let mut stage = Stage::serving(1);
    stage.recycle(1, RecycleReason::Exception);
    stage.ready(2);
    stage.exit(1);
    assert_eq!(stage.recycle(2, RecycleReason::Exception), []);
    stage.now += 5 * SECOND;
    assert_eq!(stage.recycle(2, RecycleReason::Exception), [successor(3, 0, 2), recycling(2, 3)]);
}

#[test]
fn scaling_adds_the_lowest_free_slots_and_takes_the_highest() {
    let mut stage = Stage::serving(3);
    let shrunk = stage.step(Step::Scale { wanted: 0 });
    assert_eq!(shrunk, [stage.drain(2, 20 * SECOND), stage.drain(3, 20 * SECOND), wants(1)]);
    assert_eq!(stage.exit(2), [died(2, 1, DeathReason::ScaledDown), close(1)]);
    let grown = [spawn(4, 1, Purpose::First), spawn(5, 3, Purpose::First), wants(3)];
    assert_eq!(stage.step(Step::Scale { wanted: 3 }), grown, "slot 2 is still in use");
}

#[test]
fn scaling_down_takes_a_slot_where_nobody_serves_before_one_where_somebody_does() {
    let mut stage = Stage::serving(2);
    stage.crash(1);
    assert_eq!(stage.step(Step::Scale { wanted: 1 }), [end(3), wants(1)]);
    assert!(stage.fleet.is_serving(WorkerId(2)));
}

#[test]
fn a_shutdown_takes_no_longer_if_the_queues_were_empty_late() {
    let mut stage = Stage::serving(1);
    stage.step(Step::Shutdown);
    stage.wait(EMPTYING + 8 * SECOND);
    assert_eq!(stage.step(Step::Closed), [stage.drain(1, 12 * SECOND)]);
}

#[test]
fn a_shutdown_drains_who_serves_and_ends_who_does_not() {
    let mut stage = Stage::serving(2);
    stage.recycle(1, RecycleReason::Asked);
    assert_eq!(stage.step(Step::Shutdown), [Effect::RefuseNew]);
    assert!(stage.fleet.takes_clients(WorkerId(1)), "who waits in a queue is still served");
    assert_eq!(stage.step(Step::Closed), [stage.drain(1, 20 * SECOND), stage.drain(2, 20 * SECOND), end(3)]);
    assert_eq!((stage.step(Step::Shutdown), stage.step(Step::Closed)), (vec![], vec![]));
    assert_eq!(stage.step(Step::Scale { wanted: 9 }), []);
    assert_eq!(stage.wait_for_deadline(), (5 * SECOND, vec![kill(3)]));
    assert_eq!(stage.crash(3), [died(3, 0, DeathReason::Overdue)]);
    assert_eq!(stage.exit(1), [died(1, 0, DeathReason::Drained)], "and nobody is forked");
    assert_eq!(stage.wait_for_deadline(), (15 * SECOND, vec![end(2)]));
    let finished = Effect::Report(Report::Finished);
    assert_eq!(stage.exit(2), [died(2, 1, DeathReason::Drained), finished]);
    assert_eq!(stage.fleet.phase(), Phase::Finished);
}

#[test]
fn a_stop_during_a_shutdown_kills_at_once() {
    let mut stage = Stage::serving(1);
    stage.step(Step::Shutdown);
    assert_eq!(stage.step(Step::Stop), [kill(1)]);
    assert_eq!(stage.step(Step::Stop), []);
    assert_eq!(stage.crash(1), [died(1, 0, DeathReason::Stopped), Effect::Report(Report::Finished)]);
    assert_eq!(stage.step(Step::Stop), []);
}

#[test]
fn a_shutdown_with_nobody_there_finishes_at_once() {
    let mut stage = Stage::new(2, Restart::OnFailure);
    assert_eq!(stage.step(Step::Shutdown), [Effect::RefuseNew, Effect::Report(Report::Finished)]);
    assert_eq!(stage.step(Step::Start), []);
}

#[test]
fn a_channel_that_is_lost_while_the_worker_lives_is_a_failure_however_it_exits() {
    let mut stage = Stage::serving(2);
    let lost = Step::ChannelLost { worker: WorkerId(1) };
    assert_eq!(stage.step(lost), [spawn(3, 0, Purpose::Refill)], "it is refilled at once");
    assert!(!stage.fleet.takes_clients(WorkerId(1)));
    stage.ready(3);
    assert_eq!(stage.wait_for_deadline(), (5 * SECOND, vec![kill(1)]), "no order reaches it");
    assert_eq!(stage.exit(1), [died(1, 0, DeathReason::ChannelLost)]);
}

#[test]
fn a_worker_that_the_kernel_does_not_end_is_waited_for_no_longer() {
    let mut stage = Stage::serving(1);
    stage.step(Step::Stop);
    let (_, effects) = stage.wait_for_deadline();
    let unkillable = Effect::Report(Report::Unkillable { worker: WorkerId(1) });
    let finished = Effect::Report(Report::Finished);
    assert_eq!(effects, [died(1, 0, DeathReason::Stopped), unkillable, finished]);
    assert_eq!(stage.crash(1), [], "its end comes late");
}

/// The names of an enum's variants, as its source has them.
fn variants<'a>(source: &'a str, head: &str) -> Vec<&'a str> {
    let body = source.split_once(head).expect("the enum is gone").1.split_once("\n}").unwrap().0;
    let names = body.lines().filter_map(|line| line.strip_prefix("    "));
    let names = names.filter(|line| line.starts_with(|letter: char| letter.is_ascii_uppercase()));
    names.map(|line| line.split([' ', ',']).next().unwrap()).collect()
}

#[test]
fn the_table_in_the_docs_has_every_state_and_every_input() {
    let docs = include_str!("../../../docs/lifecycle.md");
    let table: Vec<Vec<_>> = docs
        .split_once("<!-- lifecycle-table -->")
        .unwrap()
        .1
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    let states = variants(include_str!("../slot.rs"), "enum Life {");
    let inputs = variants(include_str!("../terms.rs"), "enum Step {");
    assert_eq!((states.len(), inputs.len()), (8, 21));
    assert_eq!(table[0][1..], states);
    assert_eq!(table[1..].iter().map(|row| row[0]).collect::<Vec<_>>(), inputs);
    assert!(table.iter().flatten().all(|cell| !cell.is_empty()), "an empty cell");
}
