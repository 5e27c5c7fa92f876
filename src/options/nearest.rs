//! Guesses which option a misspelt name meant.
//!
//! Called once per unknown name. Names come from the user, so a very long one is not compared at all.

use super::show::show_name;

/// Longer names can't be near any option.
const LONGEST: usize = 40;

/// A sentence about an unknown option below `prefix`, with the nearest of `known` if one is near.
pub(super) fn warning(prefix: &str, name: &str, known: &[&str]) -> String {
    let shown = show_name(name);
    match nearest(name, known) {
        Some(near) => format!("unknown option `{prefix}{shown}`, did you mean `{prefix}{near}`?"),
        None => format!("unknown option `{prefix}{shown}` is ignored"),
    }
}

/// The known name with the fewest edits to `name`, unless more than a third of the letters differ.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let letters = lower_case(name);
    if letters.len() > LONGEST {
        return None;
    }
    let edits = |near: &str| distance(&letters, &lower_case(near));
    let (fewest, near) = known.iter().map(|near| (edits(near), *near)).min_by_key(|(edits, _)| *edits)?;
    (fewest <= (letters.len() / 3).max(1)).then_some(near)
}

fn lower_case(name: &str) -> Vec<char> {
    name.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect()
}

/// Letters to add, drop, change, or swap with their neighbour to turn `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last_a = None;
    for (row, letter_a) in a.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut last_b = None;
        for (column, letter_b) in b.iter().enumerate() {
            let change = at(&above, column) + usize::from(letter_a != letter_b);
            let drop_or_add = at(&above, column + 1).min(at(&current, column)) + 1;
            let is_swap = last_a == Some(letter_b) && last_b == Some(letter_a);
            let swap = if is_swap { at(&before, column.wrapping_sub(1)) + 1 } else { FAR };
            current.push(change.min(drop_or_add).min(swap));
            last_b = Some(letter_b);
        }
        before = std::mem::replace(&mut above, current);
        last_a = Some(letter_a);
    }
    at(&above, b.len())
}

/// More edits than any name has letters.
const FAR: usize = 1000;

fn at(row: &[usize], column: usize) -> usize {
    row.get(column).copied().unwrap_or(FAR)
}
