//! [`CertificateFacts`]: what can be shown to an operator of a certificate that may have been
//! refused. Never used for a decision.

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use super::certificate::{Fingerprint, Shown, name_text, peer_identity, shown};

/// All that is readable of a certificate. Nothing of it was verified: whoever has no CA's signature
/// writes what he likes here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The identity that it claims: as [`super::certificate::PeerIdentity::display`] where it states
    /// one, else its first name, else its subject.
    pub identity: String,
    /// Subject, issuer and serial number.
    pub shown: Shown,
    /// Its first names (SANs), at most [`CertificateFacts::NAMES_MAX`]: `URI:..`, `DNS:..`.
    pub names: Vec<String>,
    /// When its validity begins, in seconds since 1970.
    pub not_before: i64,
    /// When its validity ends, in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of the whole certificate.
    pub fingerprint: Fingerprint,
    /// `ECDSA P-256`, `RSA 2048`, `Ed25519`, or the identifier of another algorithm.
    pub key: String,
}

impl CertificateFacts {
    /// Names that are read.
    pub const NAMES_MAX: usize = 8;

    /// Reads a certificate (DER); `None` if it is none.
    #[must_use]
    pub fn read(leaf: &[u8]) -> Option<Self> {
        let (_rest, certificate) = X509Certificate::from_der(leaf).ok()?;
        let names: Vec<String> = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => {
                let names = extension.value.general_names.iter();
                let texts = names.take(Self::NAMES_MAX).filter_map(name_text);
                texts.collect()
            }
            Ok(None) | Err(_) => Vec::new(),
        };
        let shown = shown(&certificate);
        let identity = match (peer_identity(leaf), names.first()) {
            (Ok(identity), _) if identity.spiffe.is_some() || !identity.dns.is_empty() => {
                identity.display()
            }
            (_, Some(name)) => name.clone(),
            (_, None) if !shown.subject.is_empty() => format!("subject:{}", shown.subject),
            (_, None) => format!("sha256:{}", Fingerprint::of(leaf)),
        };
        Some(Self {
            identity,
            names,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            fingerprint: Fingerprint::of(leaf),
            key: key_kind(&certificate),
            shown,
        })
    }
}

/// Identifiers of algorithms and curves (RFC 5480, RFC 8410).
const KINDS: [(&str, &str); 5] = [
    ("1.2.840.10045.3.1.7", "ECDSA P-256"),
    ("1.3.132.0.34", "ECDSA P-384"),
    ("1.3.132.0.35", "ECDSA P-521"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
];

fn key_kind(certificate: &X509Certificate<'_>) -> String {
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed() {
        return format!("RSA {}", key.key_size());
    }
    let algorithm = &certificate.public_key().algorithm;
    let curve = algorithm
        .parameters
        .as_ref()
        .and_then(|it| it.as_oid().ok());
    let identifier = curve.unwrap_or_else(|| algorithm.algorithm.clone());
    let text = identifier.to_id_string();
    let known = KINDS.iter().find(|(known, _)| *known == text);
    match known {
        Some((_, kind)) => (*kind).to_owned(),
        None => text.chars().take(Shown::CHARS_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn facts(change: impl FnOnce(&mut CertificateParams)) -> CertificateFacts {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        CertificateFacts::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    #[test]
    fn an_identity_is_shown_by_the_best_name_that_there_is() {
        let cases: [(&[SanType], &str); 4] = [
            (&[uri("spiffe://a.example/b")], "spiffe://a.example/b"),
            (
                &[SanType::DnsName("B.example".try_into().unwrap())],
                "dns:b.example",
            ),
            (
                &[uri("spiffe://a/b"), uri("spiffe://a/c")],
                "URI:spiffe://a/b",
            ),
            (&[], "subject:CN=a"),
        ];
        for (names, want) in cases {
            let facts = facts(|params| {
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(DnType::CommonName, "a");
                params.subject_alt_names = names.to_vec();
            });
            assert_eq!(facts.identity, want);
            assert_eq!(facts.key, "ECDSA P-256");
        }
    }

    #[test]
    fn names_are_few_and_texts_are_cut() {
        let facts = facts(|params| {
            let long = "x".repeat(5_000);
            params
                .distinguished_name
                .push(DnType::CommonName, long.as_str());
            params.subject_alt_names = (0..500)
                .map(|i| uri(&format!("https://{i}.example/{long}")))
                .collect();
        });
        assert_eq!(facts.names.len(), CertificateFacts::NAMES_MAX);
        let texts = facts.names.iter().map(String::as_str);
        for text in texts.chain([&*facts.shown.subject, &facts.identity]) {
            assert!(text.chars().count() <= Shown::CHARS_MAX + 10, "{text}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_facts() {
        for bytes in [&b""[..], b"\x30", b"\x30\x80", &[0x30; 70_000]] {
            assert_eq!(CertificateFacts::read(bytes), None);
        }
    }
}
