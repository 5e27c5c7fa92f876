//! Forks that the program orders: one worker each, nothing replaced, no deadline.

use super::{Stage, policy};
use crate::fleet::{
    DeathReason, Effect, Fleet, Forks, MemberState, Policy, Purpose, RecycleReason, Report, Restart,
    SlotIndex, Step, Strategy, WorkerId,
};

fn stage() -> Stage {
    let mut stage = Stage::new(3, Restart::Always);
    stage.fleet = Fleet::new(Policy { forks: Forks::Ordered, spares: 2, ..policy(3, Restart::Always) });
    assert_eq!(stage.step(Step::Start), [Effect::CloseSockets], "there is nobody");
    stage
}

fn spawn(worker: u32, slot: u16) -> Effect {
    super::spawn(worker, slot, Purpose::First)
}

fn died(worker: u32, slot: u16, cause: DeathReason) -> Effect {
    Effect::Report(Report::Died { worker: WorkerId(worker), slot: Some(SlotIndex(slot)), cause })
}

#[test]
fn each_order_forks_one_worker_into_the_lowest_free_slot() {
    let mut stage = stage();
    assert_eq!(stage.step(Step::Fork), [spawn(1, 0)]);
    assert_eq!(stage.step(Step::Fork), [spawn(2, 1)]);
    let gone = [died(1, 0, DeathReason::Unasked), Effect::CloseSlot { slot: SlotIndex(0) }];
    assert_eq!(stage.crash(1), gone);
    assert_eq!(stage.fleet.wanted(), 1);
    assert_eq!(stage.step(Step::Fork), [spawn(3, 0)]);
}

#[test]
fn the_sockets_are_closed_with_the_last_worker_and_nobody_is_warned() {
    let mut stage = stage();
    let _ = stage.step(Step::Fork);
    let closed = [Effect::CloseSlot { slot: SlotIndex(0) }, Effect::CloseSockets];
    assert_eq!(stage.exit(1), [&[died(1, 0, DeathReason::Unasked)][..], &closed].concat());
}

#[test]
fn no_worker_has_a_deadline() {
    let mut stage = stage();
    for _ in 0..3 {
        let _ = stage.step(Step::Fork);
    }
    assert_eq!(stage.ready(1), []);
    assert_eq!(stage.step(Step::Departing { worker: WorkerId(1) }), []);
    assert_eq!(stage.step(Step::Disconnected { worker: WorkerId(1) }), []);
    assert_eq!(stage.step(Step::ChannelLost { worker: WorkerId(2) }), []);
    assert_eq!(stage.fleet.next_deadline(), None);
    assert_eq!(stage.wait(1_000_000 * super::SECOND), []);
    assert_eq!(stage.fleet.state_of(WorkerId(1)), Some(MemberState::Draining));
    assert_eq!(stage.fleet.state_of(WorkerId(3)), Some(MemberState::Starting));
}

#[test]
fn what_keeps_a_fleet_full_does_nothing_here() {
    let mut stage = stage();
    let _ = stage.step(Step::Fork);
    assert_eq!(stage.ready(1), []);
    assert_eq!(stage.recycle(1, RecycleReason::Hung), []);
    assert_eq!(stage.reload(Strategy::Rolling), []);
    assert_eq!(stage.step(Step::Scale { wanted: 5 }), []);
    let mut kept = Stage::serving(1);
    assert_eq!(kept.step(Step::Fork), [], "a kept fleet takes no orders");
}
