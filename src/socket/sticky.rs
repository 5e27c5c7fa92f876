//! Which slot a client's address belongs to; pure.
//!
//! Each slot gives each address a weight. An address belongs to the serving slot with the highest weight for it. So an address
//! stays with its slot as long as that slot serves: a slot that comes takes its share and no more, and when a slot goes, only
//! its own addresses move. The kernel computes the weights in the program that `slots` gives it ([`choose`]); the supervisor
//! computes them for a connection that it hands over ([`home`]).
//! Invariant: both come to the same result; `test/rust/sticky.rs` shows it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::steering::plain;
use crate::ids::SlotIndex;
use crate::os::net::{Instruction, op};

/// For so many slots the kernel takes the program: each takes eleven instructions, and older kernels allow about 2,500 in all.
pub const MOST_SLOTS: u16 = 220;
/// Odd numbers without a pattern: multiplying by them spreads neighbouring values.
const SPREAD: u32 = 0x9e37_79b1;
const SPREAD_AGAIN: u32 = 0x85eb_ca6b;
const SPREAD_SLOT: u32 = 0xc2b2_ae35;

/// The slot among `serving`, in ascending order, that `address` belongs to.
pub fn home(address: IpAddr, serving: impl IntoIterator<Item = SlotIndex>) -> Option<SlotIndex> {
    let hash = hash(address.to_canonical());
    let mut best: Option<(u32, SlotIndex)> = None;
    for slot in serving {
        let weight = weight(hash, slot);
        if best.is_none_or(|(highest, _)| weight > highest) {
            best = Some((weight, slot));
        }
    }
    best.map(|(_, slot)| slot)
}

/// The program that gives the index of the slot that the client's address belongs to. There are at most [`MOST_SLOTS`], as the
/// options see to.
#[must_use]
pub fn choose(indices: &BTreeMap<SlotIndex, u16>) -> Vec<Instruction> {
    const HASH: u32 = 0;
    const HIGHEST: u32 = 1;
    const BEST: u32 = 2;
    if indices.is_empty() {
        return vec![plain(op::RETURN, u32::MAX)];
    }
    let mut program = hash_of_packet();
    program.push(plain(op::KEEP, HASH));
    for (slot, index) in indices {
        let is_first = program.last() == Some(&plain(op::KEEP, HASH));
        program.extend([
            plain(op::RECALL, HASH),
            plain(op::XOR, key(*slot)),
            plain(op::MULTIPLY, SPREAD_SLOT),
        ]);
        program.extend(fold(16));
        if !is_first {
            program.push(plain(op::RECALL_INDEX, HIGHEST));
            program.push(Instruction { code: op::JUMP_ABOVE_INDEX, if_true: 0, if_false: 3, operand: 0 });
        }
        program.push(plain(op::KEEP, HIGHEST));
        program.extend([plain(op::LOAD, u32::from(*index)), plain(op::KEEP, BEST)]);
    }
    program.extend([plain(op::RECALL, BEST), plain(op::RETURN_ACCUMULATOR, 0)]);
    program
}

fn hash(address: IpAddr) -> u32 {
    let words = match address {
        IpAddr::V4(address) => vec![address.to_bits()],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            #[expect(clippy::cast_possible_truncation, reason = "one word after the other is cut out")]
            [96, 64, 32, 0].map(|shift| (bits >> shift) as u32).to_vec()
        }
    };
    let mixed = words.into_iter().fold(0_u32, |hash, word| (hash ^ word).wrapping_mul(SPREAD));
    let once = (mixed ^ (mixed >> 15)).wrapping_mul(SPREAD_AGAIN);
    once ^ (once >> 13)
}

/// How strongly `slot` attracts.
fn weight(hash: u32, slot: SlotIndex) -> u32 {
    let mixed = (hash ^ key(slot)).wrapping_mul(SPREAD_SLOT);
    mixed ^ (mixed >> 16)
}

fn key(slot: SlotIndex) -> u32 {
    let mixed = (u32::from(slot.0) + 1).wrapping_mul(SPREAD);
    (mixed ^ (mixed >> 15)).wrapping_mul(SPREAD_AGAIN)
}

/// [`hash`] of the packet's source, in instructions.
fn hash_of_packet() -> Vec<Instruction> {
    const VERSION_BITS: u32 = 0xf0;
    const VERSION_6: u32 = 0x60;
    const SOURCE: u32 = op::NETWORK_HEADER + 12;
    const SOURCE_6: u32 = op::NETWORK_HEADER + 8;
    const HASH: u32 = 0;
    let mut six = vec![plain(op::LOAD_WORD, SOURCE_6), plain(op::MULTIPLY, SPREAD)];
    for word in 1..4 {
        six.extend([plain(op::KEEP, HASH), plain(op::LOAD_WORD, SOURCE_6 + 4 * word)]);
        six.extend([plain(op::RECALL_INDEX, HASH), plain(op::XOR_INDEX, 0), plain(op::MULTIPLY, SPREAD)]);
    }
    let four = [
        plain(op::LOAD_WORD, SOURCE),
        plain(op::MULTIPLY, SPREAD),
        plain(op::JUMP, u32::try_from(six.len()).unwrap_or(0)),
    ];
    let mut program = vec![plain(op::LOAD_BYTE, op::NETWORK_HEADER), plain(op::AND, VERSION_BITS)];
    program.push(Instruction { code: op::JUMP_EQUAL, if_true: 3, if_false: 0, operand: VERSION_6 });
    program.extend(four);
    program.extend(six);
    program.extend(fold(15));
    program.push(plain(op::MULTIPLY, SPREAD_AGAIN));
    program.extend(fold(13));
    program
}

/// Exclusive or with itself, shifted: brings the high bits down.
fn fold(shift: u32) -> [Instruction; 3] {
    [plain(op::COPY_TO_INDEX, 0), plain(op::SHIFT_RIGHT, shift), plain(op::XOR_INDEX, 0)]
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn slots(range: impl IntoIterator<Item = u16>) -> Vec<SlotIndex> {
        range.into_iter().map(SlotIndex).collect()
    }

    fn check_even(addresses: impl Iterator<Item = IpAddr>) {
        let mut counts = [0_u32; 4];
        for address in addresses {
            counts[usize::from(home(address, slots(0..4)).unwrap().0)] += 1;
        }
        let total: u32 = counts.iter().sum();
        let is_near = |count: &u32| count * 4 > total * 9 / 10 && count * 4 < total * 11 / 10;
        assert!(counts.iter().all(is_near), "{counts:?}");
    }

    #[test]
    fn neighbouring_addresses_are_spread_over_the_slots() {
        check_even((0..10_000).map(|n| Ipv4Addr::from_bits(0x0a00_0000 + n).into()));
        check_even((0..10_000).map(|n| Ipv6Addr::from_bits((0xfd00 << 112) + n).into()));
        check_even((0..10_000).map(|n| Ipv6Addr::from_bits((0x2001 << 112) + (n << 64) + 1).into()));
    }

    #[test]
    fn only_the_addresses_of_a_slot_that_goes_move() {
        for n in 0..1000 {
            let address = Ipv4Addr::from_bits(0xc0a8_0000 + n * 7).into();
            let before = home(address, slots(0..5)).unwrap();
            let after = home(address, slots([0, 1, 3, 4])).unwrap();
            assert!(after == before || before == SlotIndex(2), "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_has_one_home_however_it_is_written() {
        let plain = Ipv4Addr::new(10, 1, 2, 3);
        let mapped = plain.to_ipv6_mapped();
        assert_eq!(home(plain.into(), slots(0..9)), home(mapped.into(), slots(0..9)));
        assert_eq!(home(plain.into(), slots([])), None);
    }

    #[test]
    fn the_longest_program_is_one_that_kernels_take() {
        let indices = (0..MOST_SLOTS).map(|slot| (SlotIndex(slot), slot)).collect();
        assert!(choose(&indices).len() < 2500);
    }
}
