//! The control socket beside the pid files, and its client.
