//! The few socket calls that no safe crate offers.
