//! [`Authority`]: a CA that signs what it is asked to.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SignatureAlgorithm,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::error::PkiError;
use super::files::read_text;

/// A CA: a root, or an intermediate with its chain.
pub struct Authority {
    cert: String,
    key: String,
    not_after: OffsetDateTime,
    /// What a leaf carries behind it: this CA's certificate and those between it and the root. A
    /// root is not sent.
    chain: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate shall say.
#[derive(Clone, Debug)]
pub struct Request {
    /// The common name; empty: none.
    pub common_name: String,
    /// DNS names, also wildcards.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// SPIFFE IDs (or other URIs). More than one is refused by whoever reads the certificate.
    pub spiffe: Vec<String>,
    /// What it is for.
    pub usage: Usage,
    /// When it begins.
    pub not_before: OffsetDateTime,
    /// When it ends.
    pub not_after: OffsetDateTime,
    /// The kind of its key.
    pub key: KeyKind,
}

/// The extended key usages of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It answers.
    Server,
    /// It asks.
    Client,
    /// It does both, as the services of a mesh do.
    Both,
    /// It signs code, and is no good for TLS.
    CodeSigning,
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256: small and fast.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSA, 2048 bits.
    Rsa2048,
}

/// A certificate with its chain, and its private key.
#[derive(Clone)]
pub struct Issued {
    /// PEM: the leaf, then the intermediates.
    pub cert: String,
    /// PEM: the private key (PKCS #8).
    pub key: String,
    /// The leaf alone.
    pub der: CertificateDer<'static>,
}

/// Certificates begin earlier than now, for clocks that are slow.
const BACKDATED: Duration = Duration::from_secs(3_600);

impl Request {
    /// A certificate without names, valid from an hour ago until `lifetime` from now.
    #[must_use]
    pub fn new(common_name: impl Into<String>, usage: Usage, lifetime: Duration) -> Self {
        let now = OffsetDateTime::now_utc();
        Self {
            common_name: common_name.into(),
            dns: Vec::new(),
            ips: Vec::new(),
            spiffe: Vec::new(),
            usage,
            not_before: now - BACKDATED,
            not_after: now + lifetime,
            key: KeyKind::default(),
        }
    }

    fn params(&self) -> Result<CertificateParams, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(&self.common_name);
        (params.not_before, params.not_after) = (self.not_before, self.not_after);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = self.usage.purposes();
        for name in &self.dns {
            params.subject_alt_names.push(SanType::DnsName(ia5(name)?));
        }
        for address in &self.ips {
            params.subject_alt_names.push(SanType::IpAddress(*address));
        }
        for name in &self.spiffe {
            params.subject_alt_names.push(SanType::URI(ia5(name)?));
        }
        Ok(params)
    }
}

impl Authority {
    /// Makes a root CA, valid from an hour ago until `lifetime` from now.
    ///
    /// # Errors
    ///
    /// [`PkiError::Make`].
    pub fn new(common_name: &str, lifetime: Duration) -> Result<Self, PkiError> {
        let now = OffsetDateTime::now_utc();
        Self::valid(common_name, now - BACKDATED, now + lifetime)
    }

    /// Makes a root CA with this validity, also one that is over.
    ///
    /// # Errors
    ///
    /// [`PkiError::Make`].
    pub fn valid(
        common_name: &str,
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let params = ca_params(common_name, not_before, not_after);
        Ok(Self {
            cert: params.self_signed(&key)?.pem(),
            key: key.serialize_pem(),
            not_after,
            chain: String::new(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Makes a CA below this one with this validity. What it issues carries its certificate.
    ///
    /// # Errors
    ///
    /// [`PkiError::Make`].
    pub fn intermediate(
        &self,
        common_name: &str,
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let params = ca_params(common_name, not_before, not_after);
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Self {
            chain: format!("{cert}{}", self.chain),
            cert,
            key: key.serialize_pem(),
            not_after,
            issuer: Issuer::new(params, key),
        })
    }

    /// Reads a CA from its two PEM files. Certificates behind the first one are its chain.
    ///
    /// # Errors
    ///
    /// [`PkiError`] if a file cannot be read, is not that of a CA, or the two do not belong
    /// together.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, PkiError> {
        let text = read_text(cert)?;
        let key_text = read_text(key)?;
        let certificates = certificates(&text).map_err(|error| error.in_file(cert))?;
        let der = certificates.first().ok_or(PkiError::NoCertificate)?;
        let parsed = parse(der, 1).map_err(|error| error.in_file(cert))?;
        if !parsed.is_ca() {
            let file = cert.to_owned();
            return Err(PkiError::NotACa { file });
        }
        let pair =
            KeyPair::from_pem(&key_text).map_err(|_unusable| PkiError::KeyUnusable.in_file(key))?;
        if pair.subject_public_key_info() != parsed.public_key().raw {
            return Err(PkiError::KeyMismatch {
                cert: cert.to_owned(),
                key: key.to_owned(),
            });
        }
        let is_root = parsed.subject() == parsed.issuer();
        Ok(Self {
            not_after: parsed.validity().not_after.to_datetime(),
            chain: if is_root { String::new() } else { text.clone() },
            issuer: Issuer::from_ca_cert_der(der, pair)?,
            cert: text,
            key: key_text,
        })
    }

    /// The CA's certificate, PEM: what goes into a trust bundle.
    #[must_use]
    pub fn cert(&self) -> &str {
        &self.cert
    }

    /// The CA's private key, PEM.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// When the CA ends.
    #[must_use]
    pub const fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// Issues a certificate with a new key. It may outlive the CA.
    ///
    /// # Errors
    ///
    /// [`PkiError::Name`] or [`PkiError::Make`].
    pub fn issue(&self, request: Request) -> Result<Issued, PkiError> {
        self.issue_with(request, |_params| {})
    }

    /// As [`Self::issue`], after a last change: what [`Request`] has no word for.
    ///
    /// # Errors
    ///
    /// As [`Self::issue`].
    #[expect(clippy::needless_pass_by_value, reason = "callers write it in place")]
    pub fn issue_with(
        &self,
        request: Request,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<Issued, PkiError> {
        let mut params = request.params()?;
        change(&mut params);
        let key = KeyPair::generate_for(request.key.algorithm())?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            cert: format!("{}{}", certificate.pem(), self.chain),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
        })
    }
}

impl Usage {
    fn purposes(self) -> Vec<ExtendedKeyUsagePurpose> {
        match self {
            Self::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Self::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Self::Both => vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
            Self::CodeSigning => vec![ExtendedKeyUsagePurpose::CodeSigning],
        }
    }
}

impl KeyKind {
    const fn algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Self::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
            Self::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

fn ca_params(
    common_name: &str,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(common_name);
    (params.not_before, params.not_after) = (not_before, not_after);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if !common_name.is_empty() {
        name.push(DnType::CommonName, common_name);
    }
    name
}

fn ia5(name: &str) -> Result<Ia5String, PkiError> {
    name.try_into().map_err(|_not_ascii| PkiError::Name {
        name: name.to_owned(),
    })
}

/// All certificates of a PEM text, at least one.
///
/// # Errors
///
/// [`PkiError::NoCertificate`].
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(PkiError::NoCertificate),
    }
}

pub(super) fn parse<'a>(
    der: &'a CertificateDer<'_>,
    number: usize,
) -> Result<X509Certificate<'a>, PkiError> {
    match X509Certificate::from_der(der.as_ref()) {
        Ok((_rest, certificate)) => Ok(certificate),
        Err(_unreadable) => Err(PkiError::CertificateMalformed { number }),
    }
}

impl fmt::Debug for Authority {
    /// Whose it is; nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("cert", &self.cert)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    /// The certificate; nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("cert", &self.cert)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::certificate::{NoIdentity, peer_identity};

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_certificate_says_what_was_asked_for() {
        let ca = Authority::new("ca", DAY).unwrap();
        let mut request = Request::new("shop", Usage::Both, DAY);
        request.dns = vec!["shop.internal".into()];
        request.spiffe = vec!["spiffe://a.example/shop".into()];
        for key in [
            KeyKind::EcdsaP256,
            KeyKind::EcdsaP384,
            KeyKind::Ed25519,
            KeyKind::Rsa2048,
        ] {
            let issued = ca
                .issue(Request {
                    key,
                    ..request.clone()
                })
                .unwrap();
            let identity = peer_identity(&issued.der).unwrap();
            assert_eq!(identity.display(), "spiffe://a.example/shop");
            assert_eq!(identity.dns.len(), 1);
            assert_eq!(&*identity.shown.issuer, "CN=ca");
            assert!(!format!("{issued:?}{ca:?}").contains("PRIVATE"));
        }
    }

    #[test]
    fn certificates_that_must_be_refused_can_be_made() {
        let ca = Authority::new("ca", DAY).unwrap();
        let mut request = Request::new("", Usage::CodeSigning, DAY);
        request.spiffe = vec!["spiffe://a.example/a".into(), "spiffe://a.example/b".into()];
        request.not_after = request.not_before;
        let issued = ca.issue(request).unwrap();
        assert_eq!(
            peer_identity(&issued.der),
            Err(NoIdentity::SeveralSpiffeNames)
        );
        let mut request = Request::new("x", Usage::Client, DAY);
        request.dns = vec!["bücher.example".into()];
        assert!(matches!(ca.issue(request), Err(PkiError::Name { .. })));
    }

    #[test]
    fn what_an_intermediate_issues_carries_its_chain_and_no_root() {
        let now = OffsetDateTime::now_utc();
        let root = Authority::new("root", DAY).unwrap();
        let upper = root.intermediate("upper", now, now + DAY).unwrap();
        let lower = upper.intermediate("lower", now, now + DAY).unwrap();
        let issued = lower
            .issue(Request::new("leaf", Usage::Client, DAY))
            .unwrap();
        let chain = certificates(&issued.cert).unwrap();
        let subjects: Vec<_> = chain
            .iter()
            .map(|der| parse(der, 1).unwrap().subject().to_string())
            .collect();
        assert_eq!(subjects, ["CN=leaf", "CN=lower", "CN=upper"]);
    }

    #[test]
    fn a_ca_is_read_back_only_with_its_own_key() {
        let folder = std::env::temp_dir().join(format!("portcullis-ca-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let (ca, other) = (
            Authority::new("ca", DAY).unwrap(),
            Authority::new("b", DAY).unwrap(),
        );
        let leaf = ca.issue(Request::new("leaf", Usage::Client, DAY)).unwrap();
        let (cert, key) = (file("ca.pem", ca.cert()), file("ca.key", ca.key()));
        let again = Authority::load(&cert, &key).unwrap();
        let issued = again.issue(Request::new("x", Usage::Client, DAY)).unwrap();
        assert_eq!(&*peer_identity(&issued.der).unwrap().shown.issuer, "CN=ca");
        assert_eq!(
            again.not_after().unix_timestamp(),
            ca.not_after().unix_timestamp()
        );
        let error = Authority::load(&cert, &file("b.key", other.key())).unwrap_err();
        assert!(matches!(error, PkiError::KeyMismatch { .. }), "{error}");
        let error = Authority::load(&file("l.pem", &leaf.cert), &file("l.key", &leaf.key));
        assert!(matches!(error, Err(PkiError::NotACa { .. })));
        let error = Authority::load(&key, &key);
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("ca.key: there is no certificate")
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
