//! [`Away`]: why nobody can say what is shared. The reason is metric label and log field.

/// Why the state that is shared cannot be had. Whoever asked must take it for the worse answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    /// As many questions wait for the store as may.
    #[error("too many questions wait for the store")]
    Busy,
    /// The memory of this process is full of what may not be forgotten.
    #[error("the memory for it is full")]
    Full,
    /// The store answered what cannot be.
    #[error("the store gave something unusable")]
    Invalid,
    /// The store said no.
    #[error("the store refused")]
    Refused,
    /// Of the memory of this process, this owner has as much as is left for all others.
    #[error("its share of the memory is used up")]
    Share,
    /// The store did not answer in time.
    #[error("the store did not answer in time")]
    Slow,
    /// A value is longer than [`super::VALUE_BYTES_MAX`].
    #[error("the value is too long")]
    TooLong,
    /// There is no connection to the store.
    #[error("the store cannot be reached")]
    Unreachable,
}

impl Away {
    /// Every reason, for the metrics' start values.
    pub const ALL: [Self; 8] = [
        Self::Busy,
        Self::Full,
        Self::Invalid,
        Self::Refused,
        Self::Share,
        Self::Slow,
        Self::TooLong,
        Self::Unreachable,
    ];

    /// The label in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Full => "full",
            Self::Invalid => "invalid",
            Self::Refused => "refused",
            Self::Share => "share",
            Self::Slow => "slow",
            Self::TooLong => "too_long",
            Self::Unreachable => "unreachable",
        }
    }
}
