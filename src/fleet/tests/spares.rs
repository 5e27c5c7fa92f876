//! What spares do, one behaviour at a time.

use std::time::Duration;

use super::{SECOND, Stage, died, end, kill, new_successor, policy};
use crate::fleet::{
    DeathReason, Effect, Fleet, MemberState, Policy, Purpose, RecycleReason, Report, Restart, SlotIndex,
    Step, Strategy, WorkerId,
};

/// `wanted` workers that serve, and then `spares` that stand by.
fn with_spares(wanted: usize, spares: usize) -> Stage {
    let mut stage = starting(wanted, spares);
    let (first, last) = (u32::try_from(wanted).unwrap(), u32::try_from(wanted + spares).unwrap());
    for id in 1..=first {
        stage.ready(id);
    }
    for id in first + 1..=last {
        assert_eq!(warm(&mut stage, id), []);
    }
    stage
}

fn starting(wanted: usize, spares: usize) -> Stage {
    let mut stage = Stage::new(wanted, Restart::OnFailure);
    stage.fleet = Fleet::new(Policy { spares, ..policy(wanted, Restart::OnFailure) });
    stage.step(Step::Start);
    stage
}

fn warm(stage: &mut Stage, id: u32) -> Vec<Effect> {
    stage.step(Step::Warm { worker: WorkerId(id) })
}

fn spare(id: u32) -> Effect {
    Effect::Spawn { worker: WorkerId(id), slot: None, purpose: Purpose::Spare, is_new: false }
}

fn serve(id: u32, slot: u16) -> Effect {
    Effect::Serve { worker: WorkerId(id), slot: SlotIndex(slot) }
}

fn spare_died(id: u32, cause: DeathReason) -> Effect {
    Effect::Report(Report::Died { worker: WorkerId(id), slot: None, cause })
}

fn spares(stage: &Stage) -> Vec<u32> {
    let spares = stage.fleet.workers().filter(|view| view.slot.is_none());
    spares.map(|view| view.worker.0).collect()
}

#[test]
fn spares_are_forked_when_the_workers_serve_and_are_not_counted_among_them() {
    let mut stage = starting(2, 2);
    assert_eq!(stage.ready(1), [], "one still starts");
    assert_eq!(stage.ready(2), [spare(3), spare(4)]);
    warm(&mut stage, 3);
    assert_eq!(warm(&mut stage, 3), [], "said twice");
    let states: Vec<MemberState> = stage.fleet.workers().map(|view| view.state).collect();
    assert_eq!(
        states,
        [MemberState::Serving, MemberState::Serving, MemberState::Spare, MemberState::Starting]
    );
    assert_eq!((stage.fleet.wanted(), stage.fleet.is_serving(WorkerId(3))), (2, false));
}

#[test]
fn a_spare_takes_over_at_once_and_a_fresh_one_comes_when_it_serves() {
    let mut stage = with_spares(2, 1);
    assert_eq!(stage.crash(2), [died(2, 1, DeathReason::Unasked), serve(3, 1)]);
    assert_eq!(stage.fleet.slot_of(WorkerId(3)), Some(SlotIndex(1)));
    assert_eq!(warm(&mut stage, 3), [], "too late");
    assert_eq!(stage.ready(3), [spare(4)]);
    assert!(stage.fleet.is_serving(WorkerId(3)));
}

#[test]
fn a_spare_takes_over_whatever_the_back_off_and_the_next_spare_waits_in_its_place() {
    let mut stage = with_spares(1, 2);
    stage.crash(1);
    stage.ready(2);
    assert_eq!(stage.crash(2), [died(2, 0, DeathReason::Unasked), serve(3, 0)], "the second death in a row");
    assert_eq!(spares(&stage), [4]);
    assert_eq!(stage.ready(3), []);
    let (wait, forked) = stage.wait_for_deadline();
    assert!(wait >= Duration::from_millis(80) && wait <= Duration::from_millis(120), "{wait:?}");
    assert_eq!(forked, [spare(5)]);
}

#[test]
fn a_spare_that_still_boots_takes_over_and_listens_when_it_comes_to_that() {
    let mut stage = starting(1, 1);
    stage.ready(1);
    assert_eq!(stage.crash(1), [died(1, 0, DeathReason::Unasked), serve(2, 0)]);
    assert_eq!(warm(&mut stage, 2), []);
    assert_eq!(stage.ready(2), [spare(3)]);
}

#[test]
fn in_a_back_off_a_spare_that_still_boots_is_not_taken_before_its_end() {
    let mut stage = with_spares(1, 1);
    stage.crash(1);
    stage.ready(2);
    let effects = stage.crash(2);
    let Effect::Report(Report::BackingOff { slot: Some(SlotIndex(0)), delay, .. }) = effects[1] else {
        panic!("{effects:?}")
    };
    assert_eq!(effects[2..], [] as [Effect; 0], "{effects:?}");
    assert_eq!(warm(&mut stage, 3), []);
    assert_eq!(stage.wait_for_deadline(), (delay, vec![serve(3, 0)]));
}

#[test]
fn a_spare_that_takes_over_and_does_not_listen_is_killed_soon() {
    let mut stage = with_spares(1, 1);
    stage.crash(1);
    assert_eq!(stage.wait_for_deadline(), (5 * SECOND, vec![kill(2), spare(3)]));
    assert_eq!(stage.crash(2), [died(2, 0, DeathReason::StartTimeout), serve(3, 0)]);
}

#[test]
fn a_spare_that_dies_is_replaced_with_back_off() {
    let mut stage = with_spares(1, 1);
    assert_eq!(stage.exit(2), [spare_died(2, DeathReason::Unasked), spare(3)]);
    let effects = stage.crash(3);
    let Effect::Report(Report::BackingOff { slot: None, failures: 2, delay }) = effects[1] else {
        panic!("{effects:?}")
    };
    assert_eq!(stage.wait_for_deadline(), (delay, vec![spare(4)]));
    assert_eq!(stage.wait_for_deadline(), (30 * SECOND, vec![kill(4)]), "it never came to listening");
    assert!(matches!(
        stage.crash(4)[1],
        Effect::Report(Report::BackingOff { failures: 3, .. }) | Effect::Spawn { .. }
    ));
}

#[test]
fn a_spare_that_leaves_or_is_due_goes_and_another_comes() {
    let mut stage = with_spares(1, 1);
    let leaving = Step::Leaving { worker: WorkerId(2) };
    assert_eq!(stage.step(leaving), [stage.drain(2, 20 * SECOND)]);
    assert_eq!(stage.exit(2), [spare_died(2, DeathReason::Left), spare(3)]);
    warm(&mut stage, 3);
    assert_eq!(stage.recycle(3, RecycleReason::Asked), [end(3)]);
    assert_eq!(stage.exit(3)[0], spare_died(3, DeathReason::Recycled(RecycleReason::Asked)));
}

#[test]
fn a_reload_renews_the_spares_once_the_workers_are_exchanged() {
    let mut stage = with_spares(1, 1);
    assert_eq!(stage.reload(Strategy::Rolling), [new_successor(3, 0, 1)]);
    assert_eq!(stage.ready(3), [], "nothing is proven yet");
    let proven = stage.wait(2 * SECOND);
    let fresh = Effect::Spawn { worker: WorkerId(4), slot: None, purpose: Purpose::Spare, is_new: true };
    assert_eq!(proven, [stage.drain(1, 60 * SECOND), end(2), fresh]);
    let old = stage.crash(2);
    assert_eq!(old, [spare_died(2, DeathReason::Reloaded)], "and nobody is forked for it");
    assert_eq!(stage.crash(3), [died(3, 0, DeathReason::Unasked), serve(4, 0)], "the new one takes over");
}

#[test]
fn a_failed_reload_leaves_the_spares_of_the_old_release() {
    let mut stage = with_spares(1, 1);
    stage.reload(Strategy::Rolling);
    stage.crash(3);
    assert_eq!(spares(&stage), [2]);
    assert_eq!(stage.crash(1), [died(1, 0, DeathReason::Unasked), serve(2, 0)]);
}

#[test]
fn while_a_reload_may_fail_an_old_spare_takes_over_and_none_is_forked() {
    let mut stage = with_spares(2, 1);
    assert_eq!(stage.reload(Strategy::Rolling), [new_successor(4, 0, 1)]);
    assert_eq!(stage.crash(2), [died(2, 1, DeathReason::Unasked), serve(3, 1)]);
    assert_eq!(stage.ready(3), [], "no spare of a release that is not proven");
    assert_eq!(stage.ready(4), [new_successor(5, 1, 3)], "and it is exchanged as the others are");
}

#[test]
fn a_shutdown_ends_spares_and_a_stop_kills_them() {
    let mut stage = with_spares(1, 1);
    stage.step(Step::Shutdown);
    assert_eq!(stage.step(Step::Closed), [stage.drain(1, 20 * SECOND), end(2)]);
    assert_eq!(stage.exit(2), [spare_died(2, DeathReason::Drained)]);
    let mut stage = with_spares(1, 1);
    assert_eq!(stage.step(Step::Stop), [kill(1), kill(2)]);
}

#[test]
fn with_the_last_worker_the_spares_go_too_and_come_back_with_the_next() {
    let mut stage = with_spares(1, 1);
    let left = stage.exit(1);
    assert!(left.contains(&end(2)), "{left:?}");
    let none = stage.exit(2);
    assert_eq!(
        none,
        [spare_died(2, DeathReason::ScaledDown), Effect::CloseSockets, Effect::Report(Report::NoneLeft)]
    );
    stage.step(Step::Scale { wanted: 1 });
    assert_eq!(stage.ready(3), [spare(4)]);
}
