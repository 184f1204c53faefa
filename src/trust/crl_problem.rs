//! [`CrlProblem`]: why a CRL is not taken, for the operator.

use super::info::moment;

/// Why a CRL is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrlProblem {
    /// It is cut off, or is no CRL.
    Unreadable,
    /// It is of version 1, which has no extensions: what it covers is not said.
    Version,
    /// It does not say when the next one comes.
    NoNextUpdate,
    /// It lists changes to another CRL.
    Delta,
    /// It lists certificates of other issuers.
    Indirect,
    /// It lists only what was revoked for some reasons.
    SomeReasons,
    /// It says what it covers by other means than the URI of a distribution point.
    DistributionPoint,
    /// It has a critical extension that nobody here knows.
    CriticalExtension,
    /// A serial number in it is longer than one may be.
    Serial,
    /// It has more entries than are read.
    Entries,
    /// No CA and no intermediate of the bundle has its issuer's name.
    Stranger {
        /// Who issued it.
        issuer: String,
    },
    /// It has the name of a CA of the bundle, and not its signature.
    Signature {
        /// Who issued it.
        issuer: String,
    },
    /// It is signed by an algorithm that is not accepted.
    Algorithm {
        /// Who issued it.
        issuer: String,
    },
    /// The certificate of its issuer says that its key signs no CRLs.
    KeyUsage {
        /// Who issued it.
        issuer: String,
    },
    /// It begins later than now.
    Future {
        /// Who issued it.
        issuer: String,
        /// When it begins, in seconds since 1970.
        this_update: i64,
    },
    /// A newer one of this issuer is in use.
    Older {
        /// Who issued it.
        issuer: String,
        /// When it was made, in seconds since 1970.
        this_update: i64,
        /// When the one in use was made.
        in_use: i64,
    },
}

impl CrlProblem {
    /// What is wrong with it; "CRL 1 in FILE" goes before.
    #[must_use]
    pub(super) fn what(&self) -> String {
        let plain = match self {
            Self::Unreadable => "is cut off or is no CRL",
            Self::Version => "is of version 1",
            Self::NoNextUpdate => "does not say when the next one comes (nextUpdate)",
            Self::Delta => "is a delta CRL",
            Self::Indirect => "is an indirect CRL",
            Self::SomeReasons => "is for some reasons of revocation alone",
            Self::DistributionPoint => "is for a distribution point without a URI",
            Self::CriticalExtension => "has a critical extension that is not known here",
            Self::Serial => "has a serial number of more than 20 bytes",
            Self::Entries => {
                return format!("has more than {} entries", super::crl::ENTRIES_MAX);
            }
            Self::Stranger { issuer } => {
                return format!("({issuer}) is of no CA or intermediate of this bundle");
            }
            Self::Signature { issuer } => return format!("({issuer}) has a wrong signature"),
            Self::Algorithm { issuer } => {
                return format!("({issuer}) is signed by an algorithm that is not accepted");
            }
            Self::KeyUsage { issuer } => {
                return format!("({issuer}) is signed by a key that may sign no CRLs");
            }
            Self::Future {
                issuer,
                this_update,
            } => {
                return format!("({issuer}) begins on {}, not yet", moment(*this_update));
            }
            Self::Older {
                issuer,
                this_update,
                in_use,
            } => {
                let (this, in_use) = (moment(*this_update), moment(*in_use));
                return format!("({issuer}) of {this} is older than the one in use, of {in_use}");
            }
        };
        plain.to_owned()
    }

    /// What to do.
    #[must_use]
    pub(super) const fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable => "fetch it anew, as PEM (`-----BEGIN X509 CRL-----`) or DER",
            Self::Version => {
                "have the CA write version 2, with a number (openssl: `crl_extensions`)"
            }
            Self::NoNextUpdate => "have the CA write it: without it no CRL is ever out of date",
            Self::Delta => "name the whole CRL of the CA",
            Self::Indirect => "name a CRL that the issuer of the certificates signs itself",
            Self::SomeReasons => "name a CRL for all reasons",
            Self::DistributionPoint => {
                "name a CRL without an issuing distribution point, or with one that has a URI"
            }
            Self::CriticalExtension => "name a CRL without it",
            Self::Serial => "have the CA write it anew: RFC 5280 allows 20 bytes",
            Self::Entries => "split it by distribution points, or use shorter-lived certificates",
            Self::Stranger { .. } => {
                "name it in the bundle of its CA, or the certificate of its issuer in \
                 `intermediates`"
            }
            Self::Signature { .. } => {
                "fetch it anew; if the CA was renewed under a new key, name the CRL of that key"
            }
            Self::Algorithm { .. } => "have the CA sign it with SHA-256 or better",
            Self::KeyUsage { .. } => "have the CA certificate issued with `cRLSign`",
            Self::Future { .. } => "check the clock of this machine and that of the CA",
            Self::Older { .. } => "fetch the newest one, or restart the gateway to go back",
        }
    }
}
