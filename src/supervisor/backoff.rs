//! How long a slot waits before it forks again after a death; pure.
