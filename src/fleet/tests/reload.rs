//! What a reload does, one behaviour at a time.

use super::{SECOND, Stage, died, end, kill, new_successor, recycling, spawn, spawn_new, successor, wants};
use crate::fleet::{
    DeathReason, Effect, MemberState, MemberView, Purpose, RecycleReason, Replaced, Report, Restart, Step,
    Strategy, WorkerId,
};

fn failed(id: u32) -> Effect {
    Effect::Report(Report::ReloadFailed { worker: WorkerId(id), replaced: 0 })
}

fn done_with(effects: &[Effect]) -> Vec<(u32, u32)> {
    let Some(Effect::Report(Report::ReloadDone { replaced })) = effects.last() else {
        panic!("not done: {effects:?}")
    };
    replaced.iter().map(|one| (one.old.0, one.new.0)).collect()
}

#[test]
fn a_rolling_reload_starts_one_successor_at_a_time_and_drains_overlap() {
    let mut stage = Stage::serving(3);
    assert_eq!(stage.reload(Strategy::Rolling), [new_successor(4, 0, 1)]);
    assert_eq!(stage.ready(4), [new_successor(5, 1, 2)], "nobody drains before the release has settled");
    stage.now += SECOND;
    assert_eq!(stage.ready(5), [new_successor(6, 2, 3)]);
    let drains = vec![stage.drain(1, 61 * SECOND), stage.drain(2, 61 * SECOND)];
    assert_eq!(stage.wait_for_deadline(), (SECOND, drains));
    assert_eq!(stage.ready(6), [stage.drain(3, 60 * SECOND)]);
    assert_eq!(stage.exit(1), [died(1, 0, DeathReason::Reloaded)]);
    assert_eq!(stage.exit(3), [died(3, 2, DeathReason::Reloaded)]);
    assert_eq!(done_with(&stage.exit(2)), [(1, 4), (2, 5), (3, 6)]);
    assert!(stage.fleet.workers().all(|view| view.generation == 1));
}

#[test]
fn an_all_first_reload_drains_nobody_until_all_successors_have_settled() {
    let mut stage = Stage::serving(2);
    assert_eq!(stage.reload(Strategy::AllFirst), [new_successor(3, 0, 1), new_successor(4, 1, 2)]);
    let started = stage.now;
    stage.now += SECOND;
    assert_eq!(stage.ready(3), []);
    assert_eq!(stage.wait(3 * SECOND), []);
    assert_eq!(stage.ready(4), []);
    let drains = vec![stage.drain(1, 62 * SECOND), stage.drain(2, 62 * SECOND)];
    assert_eq!(stage.wait_for_deadline(), (2 * SECOND, drains));
    stage.exit(1);
    let Some(Effect::Report(Report::ReloadDone { replaced })) = stage.exit(2).pop() else { panic!() };
    let (old, new, ready) = (WorkerId(1), WorkerId(3), started + SECOND);
    assert_eq!(replaced[0], Replaced { old, new, started, ready, gone: stage.now });
}

#[test]
fn a_release_that_never_gets_ready_costs_nothing() {
    for exit in [Stage::crash, Stage::exit] {
        let mut stage = Stage::serving(2);
        stage.reload(Strategy::Rolling);
        assert_eq!(exit(&mut stage, 3), [died(3, 0, DeathReason::Unasked), failed(3)]);
        assert_eq!(stage.fleet.next_deadline(), None);
        assert_eq!(stage.fleet.workers().filter(|view| stage.fleet.is_serving(view.worker)).count(), 2);
    }
    let mut stage = Stage::serving(1);
    stage.reload(Strategy::Rolling);
    assert_eq!(stage.wait_for_deadline(), (30 * SECOND, vec![kill(2), failed(2)]));
    assert_eq!(stage.reload(Strategy::Rolling), [new_successor(3, 0, 1)], "and a new one may begin");
}

#[test]
fn a_release_that_dies_while_it_settles_is_called_off_without_loss() {
    let mut stage = Stage::serving(3);
    stage.reload(Strategy::Rolling);
    stage.ready(4);
    stage.ready(5);
    stage.now += SECOND;
    let effects = [died(4, 0, DeathReason::Unasked), stage.drain(5, 60 * SECOND), end(6), failed(4)];
    assert_eq!(stage.crash(4), effects, "a successor that was ready may have clients, so it drains");
    assert_eq!(stage.exit(5), [died(5, 1, DeathReason::GivenUp)]);
    assert_eq!(stage.exit(6), [died(6, 2, DeathReason::GivenUp)]);
    assert!([1, 2, 3].into_iter().all(|id| stage.fleet.is_serving(WorkerId(id))));
}

#[test]
fn a_later_failure_keeps_what_was_exchanged() {
    let mut stage = Stage::serving(2);
    stage.reload(Strategy::Rolling);
    stage.ready(3);
    stage.wait(2 * SECOND);
    let failed = Effect::Report(Report::ReloadFailed { worker: WorkerId(4), replaced: 1 });
    assert_eq!(stage.crash(4), [died(4, 1, DeathReason::Unasked), failed]);
    assert_eq!(stage.exit(1), [died(1, 0, DeathReason::Reloaded)]);
    assert!(stage.fleet.is_serving(WorkerId(2)) && stage.fleet.is_serving(WorkerId(3)));
}

#[test]
fn a_release_that_is_quiet_is_proven_sooner() {
    let quarter = SECOND / 4;
    let mut stage = Stage::serving(2);
    stage.reload(Strategy::Rolling);
    stage.ready(3);
    assert_eq!(stage.step(Step::Quiet { worker: WorkerId(3) }), []);
    assert_eq!(stage.ready(4), []);
    let drains = vec![stage.drain(1, 60 * SECOND + quarter), stage.drain(2, 60 * SECOND + quarter)];
    assert_eq!(stage.wait_for_deadline(), (quarter, drains));

    let mut stage = Stage::serving(2);
    stage.reload(Strategy::AllFirst);
    stage.ready(3);
    stage.ready(4);
    stage.step(Step::Quiet { worker: WorkerId(3) });
    assert_eq!(stage.wait_for_deadline().0, 2 * SECOND, "with all at once, each has to prove itself");
}

#[test]
fn who_was_quiet_and_fails_all_the_same_is_called_off_while_there_is_time() {
    let mut stage = Stage::serving(2);
    stage.reload(Strategy::Rolling);
    stage.ready(3);
    stage.step(Step::Quiet { worker: WorkerId(3) });
    stage.wait(SECOND / 8);
    assert_eq!(stage.crash(3), [died(3, 0, DeathReason::Unasked), end(4), failed(3)]);
}

#[test]
fn an_exception_in_a_new_worker_ends_the_reload() {
    let mut stage = Stage::serving(2);
    stage.reload(Strategy::Rolling);
    stage.ready(3);
    let effects = [stage.drain(3, 60 * SECOND), end(4), failed(3)];
    assert_eq!(stage.recycle(3, RecycleReason::Exception), effects);
    assert_eq!(stage.exit(3), [died(3, 0, DeathReason::GivenUp)]);
    assert!(stage.fleet.is_serving(WorkerId(1)) && stage.fleet.is_serving(WorkerId(2)));
    assert_eq!(
        stage.recycle(1, RecycleReason::Exception)[0],
        successor(5, 0, 1),
        "in an old one it is a recycle as ever"
    );
}

#[test]
fn a_second_reload_joins_the_first() {
    let mut stage = Stage::serving(1);
    stage.reload(Strategy::Rolling);
    assert_eq!(stage.reload(Strategy::AllFirst), []);
    stage.ready(2);
    assert_eq!(stage.wait(2 * SECOND), [stage.drain(1, 60 * SECOND)]);
    assert_eq!(done_with(&stage.exit(1)), [(1, 2)]);
}

#[test]
fn a_reload_restores_the_number_that_was_asked_for() {
    let mut stage = Stage::serving(2);
    stage.exit(2);
    let effects = stage.reload(Strategy::Rolling);
    assert_eq!(effects, [spawn(3, 1, Purpose::First), new_successor(4, 0, 1), wants(2)]);
}

#[test]
fn a_reload_takes_over_a_recycle_and_its_queue() {
    let mut stage = Stage::serving(3);
    stage.recycle(1, RecycleReason::Hung);
    stage.recycle(2, RecycleReason::Uptime);
    stage.recycle(3, RecycleReason::Uptime);
    let effects = [end(4), end(5), new_successor(6, 0, 1), new_successor(7, 1, 2), new_successor(8, 2, 3)];
    assert_eq!(stage.reload(Strategy::AllFirst), effects);
    assert_eq!(stage.exit(4), [died(4, 0, DeathReason::GivenUp)]);
    assert_eq!(stage.exit(5), [died(5, 1, DeathReason::GivenUp)]);
    for id in 6..=8 {
        stage.ready(id);
    }
    let relieved = [kill(1), stage.drain(2, 62 * SECOND), stage.drain(3, 62 * SECOND)];
    assert_eq!(stage.wait(2 * SECOND), relieved, "a hung one can't drain");
    stage.crash(1);
    stage.exit(2);
    assert_eq!(done_with(&stage.exit(3)), [(1, 6), (2, 7), (3, 8)]);
    assert_eq!(stage.fleet.next_deadline(), None);
}

#[test]
fn a_wish_to_recycle_survives_a_reload_that_fails() {
    let mut stage = Stage::serving(1);
    stage.reload(Strategy::Rolling);
    assert_eq!(stage.recycle(1, RecycleReason::Memory), []);
    assert_eq!(stage.crash(2)[1..3], [failed(2), successor(3, 0, 1)]);
}

#[test]
fn a_worker_that_still_starts_is_left_alone_until_it_serves() {
    let mut stage = Stage::new(1, Restart::OnFailure);
    stage.step(Step::Start);
    assert_eq!(stage.reload(Strategy::Rolling), []);
    assert_eq!(stage.ready(1), [new_successor(2, 0, 1)]);
}

#[test]
fn a_worker_that_dies_before_it_serves_makes_room_for_the_new_release() {
    let mut stage = Stage::new(1, Restart::OnFailure);
    stage.step(Step::Start);
    stage.reload(Strategy::Rolling);
    let effects = stage.crash(1);
    assert_eq!(effects[1], spawn_new(2, 0, Purpose::Refill));
    assert_eq!(done_with(&effects), []);
}

#[test]
fn an_old_worker_that_dies_during_its_exchange_leaves_the_slot_to_the_new_successor() {
    let mut stage = Stage::serving(1);
    stage.reload(Strategy::Rolling);
    assert_eq!(stage.crash(1), [died(1, 0, DeathReason::Unasked)]);
    stage.ready(2);
    assert_eq!(done_with(&stage.wait(2 * SECOND)), [(1, 2)]);
}

#[test]
fn scaling_down_during_a_reload_is_no_failure() {
    let mut stage = Stage::serving(2);
    stage.reload(Strategy::AllFirst);
    stage.ready(4);
    let drains = [stage.drain(2, 20 * SECOND), stage.drain(4, 20 * SECOND), wants(1)];
    assert_eq!(stage.step(Step::Scale { wanted: 1 }), drains);
    assert_eq!(stage.exit(4), [died(4, 1, DeathReason::ScaledDown)]);
    stage.ready(3);
    stage.wait(2 * SECOND);
    assert_eq!(done_with(&stage.exit(1)), [(1, 3)]);
}

#[test]
fn a_recycle_waits_while_a_reload_has_exchanges_but_not_for_its_drains() {
    let mut stage = Stage::serving(2);
    stage.reload(Strategy::Rolling);
    stage.ready(3);
    stage.wait(2 * SECOND);
    assert_eq!(stage.recycle(3, RecycleReason::Hung), []);
    let effects = stage.ready(4);
    assert_eq!(effects[..2], [stage.drain(2, 60 * SECOND), new_successor(5, 0, 3)]);
}

#[test]
fn a_reload_that_is_cancelled_leaves_the_old_workers_at_work() {
    let mut stage = Stage::serving(2);
    stage.reload(Strategy::AllFirst);
    stage.ready(3);
    let cancelled = Effect::Report(Report::ReloadCancelled { replaced: 0 });
    let effects = stage.step(Step::CancelReload);
    assert_eq!(effects, [stage.drain(3, 60 * SECOND), end(4), cancelled]);
    assert!(stage.fleet.is_serving(WorkerId(1)) && stage.fleet.is_serving(WorkerId(2)));
    assert_eq!(stage.step(Step::CancelReload), [], "there is none any more");
}

#[test]
fn a_reload_forks_at_once_where_a_slot_waits_for_its_next_try() {
    let mut stage = Stage::new(1, Restart::OnFailure);
    stage.step(Step::Start);
    stage.crash(1);
    stage.crash(2);
    assert!(stage.fleet.crashing().next().is_some_and(|slot| slot.next_try.is_some()));
    let effects = stage.reload(Strategy::Rolling);
    assert!(effects.contains(&spawn_new(3, 0, Purpose::Refill)), "{effects:?}");
}

#[test]
fn until_a_release_is_proven_only_successors_are_of_it() {
    let mut stage = Stage::serving(3);
    stage.reload(Strategy::Rolling);
    assert_eq!(stage.crash(3)[1], spawn(5, 2, Purpose::Refill), "a worker that dies is replaced by its like");
    assert_eq!(stage.step(Step::Scale { wanted: 4 })[0], spawn(6, 3, Purpose::First));
    stage.ready(4);
    assert_eq!(stage.crash(4)[2], failed(4));
    let is_new = |view: MemberView| view.state != MemberState::Draining && view.generation > 0;
    assert!(!stage.fleet.workers().any(is_new));
    assert_eq!(stage.crash(2)[1], spawn(8, 1, Purpose::Refill));
}

#[test]
fn once_a_release_is_proven_it_fills_the_slots_that_wait_at_once() {
    let mut stage = Stage::serving(3);
    stage.reload(Strategy::Rolling);
    stage.crash(3);
    for id in [5, 6] {
        stage.crash(id);
        stage.wait_for_deadline();
    }
    stage.crash(7);
    assert!(stage.fleet.crashing().next().is_some_and(|slot| slot.next_try > Some(stage.now + SECOND / 4)));
    stage.ready(4);
    stage.step(Step::Quiet { worker: WorkerId(4) });
    let effects = stage.wait(SECOND / 4);
    assert!(effects.contains(&spawn_new(9, 2, Purpose::Refill)), "{effects:?}");
}

#[test]
fn a_worker_of_a_refused_release_that_holds_a_slot_alone_is_replaced() {
    for cancels in [false, true] {
        let mut stage = Stage::serving(2);
        stage.reload(Strategy::AllFirst);
        stage.ready(3);
        stage.ready(4);
        assert_eq!(stage.crash(2), [died(2, 1, DeathReason::Unasked)], "its successor has the slot");
        let effects = if cancels { stage.step(Step::CancelReload) } else { stage.crash(3) };
        assert_eq!(effects[effects.len() - 2..], [successor(5, 1, 4), recycling(4, 5)]);
        assert_eq!(stage.ready(5), [stage.drain(4, 60 * SECOND)]);
        let refused = died(4, 1, DeathReason::Recycled(RecycleReason::Refused));
        assert_eq!(stage.exit(4), [refused]);
    }
}

#[test]
fn a_release_that_fails_where_no_other_serves_gives_way_to_the_one_before() {
    let mut stage = Stage::serving(1);
    stage.reload(Strategy::Rolling);
    stage.crash(1);
    assert_eq!(stage.crash(2).last(), Some(&failed(2)));
    assert_eq!(stage.wait_for_deadline().1, [spawn(3, 0, Purpose::Refill)]);
}
