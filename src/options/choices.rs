//! Options that are one of a few words: which there are, and what each means.
//!
//! `options::parse` reads them with `read::one_of`; whoever acts on them matches on the enum. Pure.

/// Which exits of a worker are made good by a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// All but exit status 0.
    OnFailure,
    /// All of them.
    Always,
}

impl Restart {
    pub(super) const ALL: [Self; 2] = [Self::OnFailure, Self::Always];

    /// The value that JavaScript gives for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }
}

/// What an exception that nobody caught does to its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUncaught {
    /// The worker is replaced gracefully, successor first.
    Recycle,
    /// The exception is printed and the worker goes on.
    Continue,
    /// The worker exits, as Node programs do.
    Exit,
}

impl OnUncaught {
    pub(super) const ALL: [Self; 3] = [Self::Recycle, Self::Continue, Self::Exit];

    /// The value that JavaScript gives for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Recycle => "recycle",
            Self::Continue => "continue",
            Self::Exit => "exit",
        }
    }
}

/// How connections are spread over the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// One listening socket per worker slot; Linux only.
    Slots,
    /// One listening socket that all workers share.
    Shared,
    /// The master accepts, and hands each connection to the worker with the fewest.
    Rr,
}

impl Scheduling {
    pub(super) const ALL: [Self; 3] = [Self::Slots, Self::Shared, Self::Rr];

    /// The value that JavaScript gives for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slots => "slots",
            Self::Shared => "shared",
            Self::Rr => "rr",
        }
    }
}

/// Whether a client's connections stay with one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// Each connection goes wherever there is room.
    None,
    /// All connections from one address go to one slot, as long as that is served.
    Address,
}

impl Sticky {
    pub(super) const ALL: [Self; 2] = [Self::None, Self::Address];

    /// The value that JavaScript gives for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Address => "address",
        }
    }
}
