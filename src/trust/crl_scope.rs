//! [`Scope`]: which certificates of its issuer a CRL speaks for (RFC 5280, sections 5.2.5 and
//! 6.3.3).

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use super::der::{self, Reader};

/// For what a CRL is complete. What it lists is revoked in any case.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scope {
    only_leaves: bool,
    only_cas: bool,
    /// The URIs of its distribution point; `None` if it has none.
    points: Option<Box<[Box<str>]>>,
}

/// Where in a chain a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Leaf,
    Ca,
}

const DISTRIBUTION_POINT: u8 = 0xa0;
const FULL_NAME: u8 = 0xa0;
const URI: u8 = 0x86;
const ONLY_LEAVES: u8 = 0x81;
const ONLY_CAS: u8 = 0x82;

impl Scope {
    /// All of its issuer's certificates.
    pub(super) const ALL: Self = Self {
        only_leaves: false,
        only_cas: false,
        points: None,
    };

    /// Reads the extension `issuingDistributionPoint`. `None` if it cannot be read.
    pub(super) fn read(extension: &[u8]) -> Option<Self> {
        let mut scope = Self::ALL;
        let mut parts = Reader::new(der::unwrapped(extension)?);
        while !parts.is_empty() {
            let part = parts.next()?;
            match part.tag {
                DISTRIBUTION_POINT => scope.points = Some(uris(part.content)?),
                ONLY_LEAVES => scope.only_leaves = part.content != [0],
                ONLY_CAS => scope.only_cas = part.content != [0],
                // webpki has refused the others already: reasons, indirect, attribute certificates.
                _ => return None,
            }
        }
        Some(scope)
    }

    /// Whether the CRL is complete for a certificate (DER). One that names no distribution point is
    /// in no part of a CRL that is split by them.
    pub(super) fn covers(&self, certificate: &[u8], role: Role) -> bool {
        let for_role = match role {
            Role::Leaf => !self.only_cas,
            Role::Ca => !self.only_leaves,
        };
        match &self.points {
            None => for_role,
            Some(points) => for_role && names_one(certificate, points),
        }
    }
}

fn uris(distribution_point: &[u8]) -> Option<Box<[Box<str>]>> {
    let mut names = Reader::new(distribution_point);
    let mut names = Reader::new(names.take(FULL_NAME)?);
    let mut uris = Vec::new();
    while !names.is_empty() {
        let name = names.next()?;
        if name.tag == URI {
            uris.push(std::str::from_utf8(name.content).ok()?.into());
        }
    }
    (!uris.is_empty()).then(|| uris.into_boxed_slice())
}

fn names_one(certificate: &[u8], points: &[Box<str>]) -> bool {
    let Ok((_rest, certificate)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let of_certificate = certificate.extensions().iter().filter_map(|extension| {
        if let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() {
            Some(points)
        } else {
            None
        }
    });
    let whole = of_certificate
        .flat_map(|points| points.iter())
        .filter(|point| point.reasons.is_none() && point.crl_issuer.is_none());
    let mut named = whole.filter_map(|point| match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => Some(names),
        Some(DistributionPointName::NameRelativeToCRLIssuer(_)) | None => None,
    });
    named.any(|names| {
        names.iter().any(|name| {
            matches!(name, GeneralName::URI(uri) if points.iter().any(|point| **point == **uri))
        })
    })
}
