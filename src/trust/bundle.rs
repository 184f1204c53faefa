//! [`TrustBundle`]: the CAs of one entry of `trust`, with what else is known about whom they signed
//! for. Whether it vouches for a chain is asked in `judge`, by the [`TrustStore`](super::TrustStore).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{Error as Chain, VerifiedPath};

use super::authority::Authority;
use super::candidates::Known;
use super::crl::{Around, Crl};
use super::crl_files::crls;
use super::error::TrustError;
use super::info::{CertificateInfo, moment, sha256};
use super::intermediates::intermediates;
use super::judge::{Question, unix_time};
use super::revocation::{Revocation, RevocationMode};
use super::untrusted::Untrusted;
use super::{pem, provider};
use crate::identity::spiffe::TrustDomain;

/// The CAs of one entry of `trust`.
pub struct TrustBundle {
    pub(super) roots: Arc<RootCertStore>,
    /// In the order of `roots`.
    authorities: Vec<Authority>,
    pub(super) known: Vec<Known>,
    known_infos: Vec<CertificateInfo>,
    pub(super) revocation: Revocation,
    vouches_for: Vouches,
    digest: [u8; 32],
}

/// What an entry of `trust` is made from.
#[derive(Clone, Debug, Default)]
pub struct BundleFiles {
    /// PEM files with CA certificates. At least one.
    pub ca: Vec<PathBuf>,
    /// A PEM file with CA certificates below those.
    pub intermediates: Option<PathBuf>,
    /// Files with CRLs, PEM or DER.
    pub crl: Vec<PathBuf>,
    /// What is asked of the CRLs.
    pub revocation: RevocationMode,
    /// For whom the bundle vouches.
    pub vouches_for: Vouches,
}

/// For whom a bundle vouches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Vouches {
    /// For whomever its CAs signed for.
    #[default]
    Anyone,
    /// For the workloads of this trust domain, and for nobody else.
    Domain(TrustDomain),
    /// For whom has no SPIFFE ID.
    NoSpiffe,
}

/// What a peer shows its certificate for (extended key usage, RFC 5280, section 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// To be let in at the edge.
    Client,
    /// To answer as a service.
    Server,
}

/// What metrics say about a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlInfo {
    /// Who issued it, as RFC 4514 text.
    pub issuer: String,
    /// When it was made, in seconds since 1970.
    pub this_update: i64,
    /// Until when it is good, in seconds since 1970.
    pub next_update: i64,
    /// How many certificates it lists.
    pub entries: usize,
}

impl TrustBundle {
    /// Reads the CA certificates of a PEM file; no CRLs, and for whomever they sign.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn load(ca: &Path) -> Result<Self, TrustError> {
        let files = BundleFiles {
            ca: vec![ca.to_owned()],
            ..BundleFiles::default()
        };
        Self::read(&files, unix_time(0), None)
    }

    /// Reads the files of an entry. A certificate that stands there twice counts once.
    ///
    /// A CA that is over is kept, so that metrics can show it; nothing verifies under it. So is a
    /// CRL that is out of date. One that is older than the one in use by `before`, the bundle that
    /// this one takes the place of, is refused.
    ///
    /// # Errors
    ///
    /// [`TrustError`] if a file cannot be read, has not what it should have, or has a certificate
    /// that is no CA's, or a CRL that no CA of the bundle signed.
    pub fn read(
        files: &BundleFiles,
        now: UnixTime,
        before: Option<&Self>,
    ) -> Result<Self, TrustError> {
        Self::read_with(files, now, before, &mut Err)
    }

    /// As [`Self::read`], where a file of CRLs that is not good leaves in use what `before` has of it;
    /// what is wrong with it is told with the bundle.
    ///
    /// # Errors
    ///
    /// As [`Self::read`], for the other files.
    pub fn read_on(
        files: &BundleFiles,
        now: UnixTime,
        before: &Self,
    ) -> Result<(Self, Vec<TrustError>), TrustError> {
        let mut refused = Vec::new();
        let bundle = Self::read_with(files, now, Some(before), &mut |error| {
            refused.push(error);
            Ok(())
        })?;
        Ok((bundle, refused))
    }

    fn read_with(
        files: &BundleFiles,
        now: UnixTime,
        before: Option<&Self>,
        refused: &mut dyn FnMut(TrustError) -> Result<(), TrustError>,
    ) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        let mut authorities: Vec<Authority> = Vec::new();
        for file in &files.ca {
            add_all(pem::certificates(file)?, file, &mut roots, &mut authorities)?;
        }
        let mut signers: Vec<_> = roots
            .roots
            .iter()
            .zip(&authorities)
            .map(|(anchor, authority)| authority.signer(anchor))
            .collect();
        let (known, known_infos) = match &files.intermediates {
            Some(file) => intermediates(file, &mut signers)?,
            None => Default::default(),
        };
        let around = Around {
            signers: &signers,
            accepted: &provider().signature_verification_algorithms,
            in_use: before.map_or(&[], |before| before.revocation.crls()),
            now: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        };
        let crls = crls(&files.crl, around, refused)?;
        let mut bundle = Self {
            roots: Arc::new(roots),
            authorities,
            known,
            known_infos,
            revocation: Revocation::new(files.revocation, crls),
            vouches_for: files.vouches_for.clone(),
            digest: [0; 32],
        };
        bundle.digest = bundle.compute_digest();
        Ok(bundle)
    }

    /// Takes CA certificates as a source gave them; no CRLs. `origin` stands for the file in what is
    /// said about them.
    ///
    /// # Errors
    ///
    /// [`TrustError`] if one cannot be read or is no CA's.
    pub fn from_der(
        ders: Vec<CertificateDer<'static>>,
        origin: &Path,
        vouches_for: Vouches,
    ) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        let mut authorities = Vec::new();
        add_all(ders, origin, &mut roots, &mut authorities)?;
        Ok(Self::of(roots, authorities, vouches_for))
    }

    /// Trusts nobody.
    #[must_use]
    pub fn nobody() -> Arc<Self> {
        static NOBODY: LazyLock<Arc<TrustBundle>> = LazyLock::new(|| {
            let none = TrustBundle::of(RootCertStore::empty(), Vec::new(), Vouches::Anyone);
            Arc::new(none)
        });
        Arc::clone(&NOBODY)
    }

    fn of(roots: RootCertStore, authorities: Vec<Authority>, vouches_for: Vouches) -> Self {
        let mut bundle = Self {
            roots: Arc::new(roots),
            authorities,
            known: Vec::new(),
            known_infos: Vec::new(),
            revocation: Revocation::new(RevocationMode::Off, Vec::new()),
            vouches_for,
            digest: [0; 32],
        };
        bundle.digest = bundle.compute_digest();
        bundle
    }

    /// The CAs for rustls: to name them to clients. To verify, ask the
    /// [`TrustStore`](super::TrustStore), which also looks at the validity of the CAs themselves.
    #[must_use]
    pub fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }

    /// For whom it vouches.
    #[must_use]
    pub const fn vouches_for(&self) -> &Vouches {
        &self.vouches_for
    }

    /// SHA-256 over all that decides: CAs, intermediates, CRLs, and what is asked of them; not over
    /// the order in the files.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn compute_digest(&self) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        let mut add = |mut hashes: Vec<[u8; 32]>| {
            hashes.sort_unstable();
            // The number first, so that what moves from one list to the next is another bundle.
            hash.update(&hashes.len().to_be_bytes());
            hash.update(hashes.as_flattened());
        };
        add(self.authorities.iter().map(|ca| sha256(&ca.der)).collect());
        add(self.known.iter().map(|known| sha256(&known.der)).collect());
        let crls = self.revocation.crls();
        add(crls.iter().map(|crl| crl.digest).collect());
        let rules = format!("{:?} {:?}", self.revocation.mode, self.vouches_for);
        hash.update(rules.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        digest
    }

    /// Every CA of the bundle, and every known intermediate.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        let authorities = self.authorities.iter().map(|ca| ca.info.clone());
        authorities
            .chain(self.known_infos.iter().cloned())
            .collect()
    }

    /// Every CRL of the bundle.
    #[must_use]
    pub fn crls(&self) -> Vec<CrlInfo> {
        let info = |crl: &Arc<Crl>| CrlInfo {
            issuer: crl.shown.clone(),
            this_update: crl.this_update,
            next_update: crl.next_update,
            entries: crl.revoked.len(),
        };
        self.revocation.crls().iter().map(info).collect()
    }

    /// What should be looked at and does not stop the gateway, one line each.
    #[must_use]
    pub fn warnings(&self, now: UnixTime) -> Vec<String> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let crls = self.revocation.crls();
        let stale = crls.iter().filter(|crl| crl.next_update < now);
        let stale = stale.map(|crl| {
            let (file, due) = (crl.file.display(), moment(crl.next_update));
            format!(
                "{file}: the CRL of {} was to be renewed on {due}",
                crl.shown
            )
        });
        let required = self.revocation.mode == RevocationMode::Required;
        let signers = self.roots.roots.iter().zip(&self.authorities);
        let bare = signers.filter(|(root, _)| {
            let has = |crl: &Arc<Crl>| {
                *crl.issuer == *root.subject && *crl.key == *root.subject_public_key_info
            };
            required && !crls.iter().any(has)
        });
        let bare = bare.map(|(_, ca)| {
            let (file, subject) = (ca.info.file.display(), &ca.info.subject);
            format!("{file}: there is no CRL of {subject}: whom it signed for is refused")
        });
        stale.chain(bare).collect()
    }

    /// When the next certificate of this bundle ends, or a CRL that it requires, in seconds since
    /// 1970: until then a chain that verifies goes on to do so as far as the bundle goes.
    #[must_use]
    pub fn next_end(&self, now: UnixTime) -> i64 {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let authorities = self.authorities.iter().map(|ca| ca.info.not_after);
        let known = self.known_infos.iter().map(|info| info.not_after);
        let required = self.revocation.mode == RevocationMode::Required;
        let crls = self.revocation.crls().iter().filter(|_| required);
        let ends = authorities
            .chain(known)
            .chain(crls.map(|crl| crl.next_update));
        // What is over already takes nothing more away.
        ends.filter(|end| *end >= now).min().unwrap_or(i64::MAX)
    }

    /// webpki keeps neither validity nor path length of a trust anchor and looks at none. A CA that
    /// stands in the bundle with several certificates for one key and with the same name
    /// constraints counts while one of them is valid and not denied.
    pub(super) fn check_anchor(
        &self,
        path: &VerifiedPath<'_>,
        question: &Question<'_>,
    ) -> Result<(), Untrusted> {
        let used = path.anchor();
        let mut refused = Err(Untrusted::of_chain(Chain::UnknownIssuer));
        for (anchor, authority) in self.roots.roots.iter().zip(&self.authorities) {
            let same = anchor.subject == used.subject
                && anchor.subject_public_key_info == used.subject_public_key_info
                && anchor.name_constraints == used.name_constraints;
            if !same {
                continue;
            }
            refused = authority.check(path, question);
            if refused.is_ok() {
                break;
            }
        }
        refused
    }
}

/// Adds CA certificates; one that is there already counts once.
fn add_all(
    ders: Vec<CertificateDer<'static>>,
    file: &Path,
    roots: &mut RootCertStore,
    authorities: &mut Vec<Authority>,
) -> Result<(), TrustError> {
    for (der, number) in ders.into_iter().zip(1..) {
        if authorities.iter().any(|known| known.der == der) {
            continue;
        }
        let authority = Authority::read(&der, number, file)?;
        roots.add(der).map_err(|_unreadable| {
            let file = file.to_owned();
            TrustError::CertificateMalformed { file, number }
        })?;
        authorities.push(authority);
    }
    Ok(())
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("certificates", &self.certificates())
            .field("crls", &self.crls())
            .finish_non_exhaustive()
    }
}
