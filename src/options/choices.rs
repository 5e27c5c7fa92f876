//! Options that are one of a few words: the words, and what each means.
//!
//! `options::parse` and `calls` read them with `read::one_of`; whoever acts on one matches on the enum. Pure.

/// Defines an enum of which each variant has the word that JavaScript gives for it: `ALL` and `name` follow.
macro_rules! choices {
    ($(#[$about:meta])* $choice:ident { $($(#[$meaning:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $choice {
            $($(#[$meaning])* $variant,)+
        }

        impl $choice {
            pub(super) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word that JavaScript gives for it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

choices! {
    /// After which exits a worker is replaced by a new one.
    Restart {
        /// After every exit but one with status 0.
        OnFailure = "on-failure",
        /// After every exit.
        Always = "always",
    }
}

choices! {
    /// What an uncaught exception does to its worker.
    OnUncaught {
        /// The worker is replaced gracefully, its successor first.
        Recycle = "recycle",
        /// The exception is printed and the worker goes on.
        Continue = "continue",
        /// The worker exits, as Node programs do.
        Exit = "exit",
    }
}

choices! {
    /// How connections are spread over the workers.
    Scheduling {
        /// One listening socket per worker slot; Linux only.
        Slots = "slots",
        /// One listening socket that all workers share.
        Shared = "shared",
        /// The master accepts, and hands each connection to the worker with the fewest.
        Rr = "rr",
    }
}

choices! {
    /// Whether a client's connections stay with one worker.
    Sticky {
        /// Each connection goes wherever there is room.
        None = "none",
        /// All connections from one address go to one slot, as long as that slot is served.
        Address = "address",
    }
}

choices! {
    /// In which order a reload replaces the workers.
    Strategy {
        /// One successor starts at a time.
        Rolling = "rolling",
        /// All successors are ready before any old worker goes.
        AllFirst = "all-first",
    }
}
