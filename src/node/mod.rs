//! The only folder that knows Node exists.
