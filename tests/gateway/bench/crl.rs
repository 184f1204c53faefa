//! CRLs made for one test.

use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint,
    KeyIdMethod, RevokedCertParams, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::pki::Authority;

/// A CRL to be signed: made an hour ago, good for a day, and whatever the test is about.
#[derive(Debug)]
pub struct Crl(CertificateRevocationListParams);

impl Crl {
    /// A list of these serial numbers; the number of the CRL is 1.
    pub fn of(serials: &[u64]) -> Self {
        let revoked = serials.iter().map(|serial| (*serial).into());
        Self::listing(revoked.collect())
    }

    pub fn listing(serials: Vec<SerialNumber>) -> Self {
        let now = OffsetDateTime::now_utc();
        let revoked = |serial_number| RevokedCertParams {
            serial_number,
            revocation_time: now - Duration::HOUR,
            reason_code: None,
            invalidity_date: None,
        };
        Self(CertificateRevocationListParams {
            this_update: now - Duration::HOUR,
            next_update: now + Duration::DAY,
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.into_iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        })
    }

    pub fn number(mut self, number: u64) -> Self {
        self.0.crl_number = number.into();
        self
    }

    /// From and until when it is good, as offsets from now in seconds.
    pub fn updates(mut self, this: i64, next: i64) -> Self {
        let now = OffsetDateTime::now_utc();
        self.0.this_update = now + Duration::seconds(this);
        self.0.next_update = now + Duration::seconds(next);
        self
    }

    /// For the certificates that name this place.
    pub fn point(mut self, uri: &str) -> Self {
        self.0.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint {
                uris: vec![uri.to_owned()],
            },
            scope: None,
        });
        self
    }

    pub fn der(self, by: &Authority) -> Vec<u8> {
        let signed = self.0.signed_by(&by.issuer()).expect("a CRL");
        signed.der().to_vec()
    }

    pub fn pem(self, by: &Authority) -> String {
        let signed = self.0.signed_by(&by.issuer()).expect("a CRL");
        signed.pem().expect("PEM")
    }
}
