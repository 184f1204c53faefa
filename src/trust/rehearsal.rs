//! [`Rehearsal`]: a trust bundle as it will be, asked in the shadow of the one in use.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};

use super::bundle::Usage;
use super::store::TrustStore;
use super::untrusted::Untrusted;
use crate::identity::name::Name;

/// What would become of a chain if one bundle of a [`TrustStore`] were the next one already. It
/// decides nothing.
#[derive(Debug)]
pub struct Rehearsal {
    /// The bundle.
    pub name: Name,
    today: TrustStore,
    next: TrustStore,
}

impl Rehearsal {
    /// `today` believes the bundle of today alone; `next` is the whole store, with the bundle as it
    /// will be.
    #[must_use]
    pub const fn new(name: Name, today: TrustStore, next: TrustStore) -> Self {
        Self { name, today, next }
    }

    /// SHA-256 over all that decides about a chain when the bundle is the next one.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.next.digest()
    }

    /// Whether a chain that is believed today would be; `None` if it is another bundle that vouches
    /// for it, so that it is not concerned. Costs two verifications.
    #[must_use]
    pub fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
        grace: Duration,
    ) -> Option<Result<(), Untrusted>> {
        let ask =
            |store: &TrustStore| store.verify_with_grace(leaf, intermediates, usage, now, grace);
        ask(&self.today).ok()?;
        Some(ask(&self.next))
    }
}
