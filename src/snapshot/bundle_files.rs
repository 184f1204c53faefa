//! [`bundle_files`]: an entry of `trust`, in the words of the folder that reads its files.

use crate::config::spec::{RevocationSpec, TrustDomainSpec, TrustSpec};
use crate::observe::CrlSeries;
use crate::trust::{BundleFiles, CrlInfo, RevocationMode, Vouches};

/// What the bundle is made from.
pub(super) fn bundle_files(spec: &TrustSpec) -> BundleFiles {
    BundleFiles {
        ca: spec.ca.files().to_vec(),
        intermediates: spec.intermediates.clone(),
        crl: spec.crl.clone(),
        revocation: match spec.revocation {
            RevocationSpec::Off => RevocationMode::Off,
            RevocationSpec::WhenKnown => RevocationMode::WhenKnown,
            RevocationSpec::Required => RevocationMode::Required,
        },
        vouches_for: match &spec.trust_domain {
            TrustDomainSpec::Anyone => Vouches::Anyone,
            TrustDomainSpec::Domain(domain) => Vouches::Domain(domain.clone()),
            TrustDomainSpec::None => Vouches::NoSpiffe,
        },
    }
}

/// What metrics show of a CRL.
pub(super) fn crl_series(trust: &str, crl: CrlInfo) -> CrlSeries {
    CrlSeries {
        trust: trust.to_owned(),
        issuer: crl.issuer,
        this_update: crl.this_update,
        next_update: crl.next_update,
        entries: crl.entries,
    }
}
