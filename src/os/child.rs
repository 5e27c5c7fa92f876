//! What happens between fork and exec, and how a child is signalled and reaped.
