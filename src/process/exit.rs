//! Waits for the death of a child by its pidfd.
