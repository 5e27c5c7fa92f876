//! All slots together: start, keep full, recycle, reload, scale, shut down, stop; pure.
