//! Guesses which option a misspelt name meant.
//!
//! Called once per unknown name. Names come from the user, so a very long one is not compared at all.

use super::show::show_name;

/// Longer names can't be near any option.
const LONGEST: usize = 40;

/// A sentence about an unknown option below `prefix`, with the nearest of `known` if one is near.
pub(super) fn warning<'a>(prefix: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let shown = show_name(name);
    match nearest(name, known) {
        Some(near) => format!("unknown option `{prefix}{shown}`, did you mean `{prefix}{near}`?"),
        None => format!("unknown option `{prefix}{shown}` is ignored"),
    }
}

/// The known name with the fewest edits to `name`, unless more than a third of the letters differ.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = name.chars().take(LONGEST + 1).count();
    if letters > LONGEST {
        return None;
    }
    let name = name.to_lowercase();
    let edits = |near: &str| strsim::osa_distance(&name, &near.to_lowercase());
    let (fewest, near) = known.into_iter().map(|near| (edits(near), near)).min_by_key(|(edits, _)| *edits)?;
    (fewest <= (letters / 3).max(1)).then_some(near)
}
