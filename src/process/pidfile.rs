//! Pid files, and how another process tells a live master from a stale file.
