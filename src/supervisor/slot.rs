//! The life of one worker; pure: no clock, no process.
