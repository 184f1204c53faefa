//! [`Revocation`]: what the CRLs of a bundle say about a certificate.

use std::sync::Arc;

use webpki::Cert;

use super::crl::Crl;
use super::crl_scope::Role;

/// What a bundle asks of its CRLs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationMode {
    /// Nothing.
    #[default]
    Off,
    /// What a CRL lists is refused, also one that is out of date; the rest passes.
    WhenKnown,
    /// Every certificate below the CA needs a CRL that covers it and is not out of date.
    Required,
}

/// The CRLs of a bundle.
#[derive(Debug)]
pub(super) struct Revocation {
    pub(super) mode: RevocationMode,
    /// Sorted by issuer; of those that speak for the same certificates, the newest.
    crls: Box<[Arc<Crl>]>,
}

/// Why a certificate does not pass.
#[derive(Debug)]
pub(super) enum Standing<'a> {
    Revoked(&'a Crl),
    Unknown,
    Stale(&'a Crl),
}

impl Revocation {
    pub(super) fn new(mode: RevocationMode, read: Vec<Arc<Crl>>) -> Self {
        let mut crls: Vec<Arc<Crl>> = Vec::with_capacity(read.len());
        for crl in read {
            match crls.iter_mut().find(|one| one.is_of_the_same(&crl)) {
                Some(one) if crl.is_newer_than(one) => *one = crl,
                Some(_as_new) => {}
                None => crls.push(crl),
            }
        }
        crls.sort_by(|a, b| (&a.issuer, &a.key, a.digest).cmp(&(&b.issuer, &b.key, b.digest)));
        Self {
            mode,
            crls: crls.into(),
        }
    }

    pub(super) fn crls(&self) -> &[Arc<Crl>] {
        &self.crls
    }

    /// Looks up a certificate that was issued with `key` (the content of a `SubjectPublicKeyInfo`).
    /// In a CRL every entry is revoked, also one on hold.
    pub(super) fn check(
        &self,
        certificate: &Cert<'_>,
        key: &[u8],
        role: Role,
        now: i64,
    ) -> Result<(), Standing<'_>> {
        if self.mode == RevocationMode::Off {
            return Ok(());
        }
        let issuer = certificate.issuer();
        let from = self.crls.partition_point(|crl| *crl.issuer < *issuer);
        let of_issuer = self.crls.iter().skip(from);
        let of_issuer = of_issuer.take_while(|crl| *crl.issuer == *issuer);
        let mut standing = Err(Standing::Unknown);
        for crl in of_issuer.filter(|crl| *crl.key == *key) {
            if crl.revoked.contain(certificate.serial()) {
                return Err(Standing::Revoked(crl));
            }
            if standing.is_ok() || !crl.scope.covers(&certificate.der(), role) {
                continue;
            }
            standing = match crl.next_update >= now {
                true => Ok(()),
                false => Err(Standing::Stale(crl)),
            };
        }
        match self.mode {
            RevocationMode::Required => standing,
            RevocationMode::WhenKnown | RevocationMode::Off => Ok(()),
        }
    }
}
