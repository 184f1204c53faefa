//! [`Space`]: what an entry is about. Entries of different spaces never meet.

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Proofs of possession that were used: each counts once (RFC 9449, section 11.1).
    DpopProof,
    /// What authorization servers said of tokens.
    Introspection,
    /// Logins that browsers came back from: each counts once.
    Login,
    /// Sessions with new tokens, for who comes with those of before.
    Renewal,
    /// Sessions that the servers of logins ended, and what they told so with.
    ServerLogout,
    /// Sessions of browsers that their users ended.
    Session,
}

/// Every space, for metrics and for the memory of each.
pub const SPACES: [Space; 6] = [
    Space::DpopProof,
    Space::Introspection,
    Space::Login,
    Space::Renewal,
    Space::ServerLogout,
    Space::Session,
];

/// What a full memory does with one more entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It takes no more: to forget would let through what was refused.
    Refuse,
    /// It forgets what would have ended first: it can be asked for again.
    Forget,
}

impl Space {
    /// The label in metrics and logs, and the part of the name in a store.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::DpopProof => "dpop_proof",
            Self::Introspection => "introspection",
            Self::Login => "login",
            Self::Renewal => "renewal",
            Self::ServerLogout => "server_logout",
            Self::Session => "session",
        }
    }

    /// What a full memory does.
    #[must_use]
    pub const fn when_full(self) -> WhenFull {
        match self {
            Self::DpopProof | Self::ServerLogout | Self::Session => WhenFull::Refuse,
            // A login that is come back from again is one more question to the server, which knows.
            Self::Introspection | Self::Login | Self::Renewal => WhenFull::Forget,
        }
    }

    /// How many entries this process keeps: proofs of 4,000 requests a second for two minutes, of
    /// some 200 bytes each; as many tokens and ended sessions as a large site has; logins of 150 people
    /// a second, of ten minutes each.
    #[must_use]
    pub const fn entries_max(self) -> usize {
        match self {
            Self::DpopProof => 500_000,
            Self::Introspection | Self::Login | Self::ServerLogout | Self::Session => 100_000,
            Self::Renewal => 20_000, // of one minute
        }
    }

    /// How many bytes their values may have together.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::DpopProof | Self::Login => 1024 * 1024, // they have no values
            Self::Introspection | Self::Renewal | Self::ServerLogout | Self::Session => {
                64 * 1024 * 1024
            }
        }
    }
}
