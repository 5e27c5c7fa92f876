//! One worker's channel: bounded, closable, carries descriptors.
