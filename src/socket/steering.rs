//! Which slot the kernel gives the next connection to; pure.
//!
//! The sockets of one address form a `SO_REUSEPORT` group. Whenever a client asks to connect, the kernel runs a small program
//! that gives an *index* into that group. A socket joins the group at the end when it begins to listen. When a socket leaves,
//! the last one takes its index. [`Table`] makes the same two moves, so that an index means the same socket here and in the
//! kernel; `test/rust/steering.rs` proves it. For an index that is out of range the kernel chooses by its own hash, over all
//! sockets.
//!
//! `slots` is the only caller and keeps table and kernel in step. `sticky` has the program that goes by addresses.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::SlotIndex;
use crate::os::net::{Instruction, op};

/// The longest program takes three instructions for each run of neighbours; older kernels allow about 2,500 in all.
const MOST_RUNS: usize = 800;

/// The members of a group and their slots, in the kernel's order.
///
/// Invariants: no slot stands here twice; the order is the kernel's, as long as every member joins here when it begins to
/// listen and leaves here when it stops.
#[derive(Debug)]
pub struct Table<T> {
    order: Vec<(SlotIndex, T)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { order: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Puts a new member at the end; gives it back if the slot has one already.
    ///
    /// # Errors
    /// The member, when its slot is taken: the table is then unchanged.
    pub fn join(&mut self, slot: SlotIndex, member: T) -> Result<(), T> {
        if self.get(slot).is_some() {
            return Err(member);
        }
        self.order.push((slot, member));
        Ok(())
    }

    /// Takes a member out; the last one takes its index.
    pub fn leave(&mut self, slot: SlotIndex) -> Option<T> {
        let at = self.order.iter().position(|(of, _)| *of == slot)?;
        Some(self.order.swap_remove(at).1)
    }

    /// The member of `slot`.
    #[must_use]
    pub fn get(&self, slot: SlotIndex) -> Option<&T> {
        self.iter().find(|(of, _)| *of == slot).map(|(_, member)| member)
    }

    /// All members in the kernel's order.
    pub fn iter(&self) -> impl Iterator<Item = (SlotIndex, &T)> {
        self.order.iter().map(|(slot, member)| (*slot, member))
    }

    /// Any member: the group is changed through one of its sockets.
    #[must_use]
    pub fn any(&self) -> Option<&T> {
        self.order.first().map(|(_, member)| member)
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The slots that `which` picks, with the kernel's indices.
    pub fn indices(&self, which: impl Fn(SlotIndex) -> bool) -> BTreeMap<SlotIndex, u16> {
        (0..)
            .zip(&self.order)
            .filter(|(_, (slot, _))| which(*slot))
            .map(|(index, (slot, _))| (*slot, index))
            .collect()
    }

    /// The same without the slots whose index changes or ends when `slot` leaves: right before and after that moment.
    pub fn steady_indices(
        &self,
        slot: SlotIndex,
        which: impl Fn(SlotIndex) -> bool,
    ) -> BTreeMap<SlotIndex, u16> {
        let last = self.order.last().map(|(last, _)| *last);
        self.indices(|other| other != slot && Some(other) != last && which(other))
    }
}

/// The program that gives one of `indices`, each equally likely; for an empty set it leaves the choice to the kernel.
///
/// It draws a number below the count, and finds the index for it by the runs of neighbouring indices. So a group in which a
/// few slots are left out takes a handful of instructions. Runs beyond the 800th are left out: connections then go to
/// allowed slots only, but not to all of them.
#[must_use]
pub fn choose(indices: &BTreeSet<u16>) -> Vec<Instruction> {
    let mut runs = runs(indices);
    runs.truncate(MOST_RUNS);
    let count: u32 = runs.iter().map(|run| run.len).sum();
    let Some(last) = runs.pop() else {
        return vec![plain(op::RETURN, u32::MAX)];
    };
    let mut program = vec![plain(op::LOAD_WORD, op::RANDOM), plain(op::MODULO, count)];
    let mut before = 0;
    for run in &runs {
        let behind = before + run.len;
        program.push(Instruction { code: op::JUMP_NOT_BELOW, if_true: 2, if_false: 0, operand: behind });
        program.extend(answer(run, before));
        before = behind;
    }
    program.extend(answer(&last, before));
    program
}

/// Neighbouring indices.
struct Run {
    start: u32,
    len: u32,
}

fn runs(indices: &BTreeSet<u16>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for index in indices.iter().copied().map(u32::from) {
        match runs.last_mut() {
            Some(run) if run.start + run.len == index => run.len += 1,
            _ => runs.push(Run { start: index, len: 1 }),
        }
    }
    runs
}

/// Turns the number drawn into an index, when `before` indices lie in earlier runs.
fn answer(run: &Run, before: u32) -> [Instruction; 2] {
    // There are never more indices before a run than the index at which it starts.
    [plain(op::ADD, run.start - before), plain(op::RETURN_ACCUMULATOR, 0)]
}

pub(super) fn plain(code: u16, operand: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, operand }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would, with `random` for its random number.
    fn run(program: &[Instruction], random: u32) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match step.code {
                op::LOAD_WORD if step.operand == op::RANDOM => accumulator = random,
                op::MODULO => accumulator %= step.operand,
                op::ADD => accumulator += step.operand,
                op::JUMP_NOT_BELOW => {
                    let far = if accumulator >= step.operand { step.if_true } else { step.if_false };
                    at += usize::from(far);
                }
                op::RETURN => return step.operand,
                op::RETURN_ACCUMULATOR => return accumulator,
                other => panic!("unexpected operation {other:#x}"),
            }
        }
    }

    fn check_even(indices: &BTreeSet<u16>) {
        let program = choose(indices);
        assert!(program.len() <= 4096);
        let count = u32::try_from(indices.len()).unwrap();
        let answers: Vec<u32> = (0..count).map(|random| run(&program, random)).collect();
        assert!(answers.iter().copied().eq(indices.iter().copied().map(u32::from)), "{indices:?}");
        assert_eq!(run(&program, count), answers[0], "the numbers go round");
    }

    #[test]
    fn each_allowed_index_is_as_likely_as_the_others() {
        for allowed in [&[0][..], &[5], &[0, 1, 2], &[1, 2, 3], &[0, 2, 3, 7], &[0, 1023], &[65_535]] {
            check_even(&allowed.iter().copied().collect());
        }
        for step in 1..=5 {
            check_even(&(0..1024).step_by(step).collect());
            check_even(&(0..1024).filter(|index| usize::from(*index) % (step + 1) != 0).collect());
        }
    }

    #[test]
    fn no_allowed_index_leaves_the_choice_to_the_kernel() {
        assert_eq!(run(&choose(&BTreeSet::new()), 7), u32::MAX);
    }

    #[test]
    fn a_pattern_too_long_for_one_program_keeps_to_allowed_slots() {
        let allowed: BTreeSet<u16> = (0..=u16::MAX).step_by(2).collect();
        let program = choose(&allowed);
        assert!(program.len() <= 3 * MOST_RUNS + 1);
        for random in 0..4000 {
            assert!(allowed.contains(&u16::try_from(run(&program, random)).unwrap()));
        }
    }

    #[test]
    fn the_last_member_takes_the_index_of_one_that_leaves() {
        let mut table = Table::default();
        for slot in [4, 7, 1, 9] {
            assert!(table.join(SlotIndex(slot), slot).is_ok());
        }
        assert_eq!(table.join(SlotIndex(7), 0), Err(0), "a slot stands there once");
        let steady = table.steady_indices(SlotIndex(7), |_| true);
        assert_eq!(steady, BTreeMap::from([(SlotIndex(4), 0), (SlotIndex(1), 2)]));
        assert_eq!(table.leave(SlotIndex(7)), Some(7));
        assert_eq!(table.leave(SlotIndex(7)), None);
        assert_eq!(table.iter().map(|(slot, _)| slot.0).collect::<Vec<_>>(), [4, 9, 1]);
        let large = table.indices(|slot| slot.0 > 3);
        assert_eq!(large, BTreeMap::from([(SlotIndex(4), 0), (SlotIndex(9), 1)]));
    }
}
