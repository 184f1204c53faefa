//! [`intermediates`]: the CAs below those of a bundle that the operator knows.

use std::path::Path;

use webpki::EndEntityCert;
use x509_parser::certificate::X509Certificate;

use super::candidates::{Known, NAMESAKES_MAX};
use super::crl::Signer;
use super::der::{self, Signature, Signed};
use super::error::TrustError;
use super::info::{CertificateInfo, check_strength, parse};
use super::{pem, provider};

/// What is known of a certificate that must be that of a CA.
///
/// # Errors
///
/// [`TrustError`] if it is not, or its key is short.
pub(super) fn ca_info(
    certificate: &X509Certificate<'_>,
    number: usize,
    file: &Path,
) -> Result<CertificateInfo, TrustError> {
    check_strength(certificate, file)?;
    let info = CertificateInfo::of(certificate, file);
    if info.is_ca {
        return Ok(info);
    }
    Err(TrustError::NotACa {
        file: file.to_owned(),
        number,
        subject: info.subject,
    })
}

/// As steps of a chain, and for metrics; in one order.
pub(super) type Intermediates = (Vec<Known>, Vec<CertificateInfo>);

/// Reads `intermediates`, and adds them to `signers`: each was signed by one that stands there.
///
/// # Errors
///
/// [`TrustError`] if the file cannot be read, or one of them is no CA or below none of the bundle.
pub(super) fn intermediates(
    file: &Path,
    signers: &mut Vec<Signer>,
) -> Result<Intermediates, TrustError> {
    let (mut known, mut infos): Intermediates = Default::default();
    for (der, number) in pem::certificates(file)?.into_iter().zip(1..) {
        if known.iter().any(|one| one.der == der) {
            continue;
        }
        let info = ca_info(&parse(&der, number, file)?, number, file)?;
        // As a step of a chain it must be one for webpki.
        let read = EndEntityCert::try_from(&der).map_err(|_unreadable| {
            let file = file.to_owned();
            TrustError::CertificateMalformed { file, number }
        })?;
        let one = Known {
            subject: read.subject().into(),
            issuer: read.issuer().into(),
            der: der.clone(),
        };
        drop(read);
        let namesakes = known.iter().filter(|k| k.subject == one.subject);
        if namesakes.count() == NAMESAKES_MAX {
            return Err(TrustError::Namesakes {
                file: file.to_owned(),
                subject: info.subject,
            });
        }
        known.push(one);
        infos.push(info);
    }
    let mut waiting: Vec<usize> = (0..known.len()).collect();
    loop {
        let before = waiting.len();
        waiting.retain(|at| {
            let signer = known
                .get(*at)
                .zip(infos.get(*at))
                .and_then(|(one, info)| below(one, info, signers));
            match signer {
                Some(signer) => {
                    signers.push(signer);
                    false
                }
                None => true,
            }
        });
        if waiting.len() == before {
            break;
        }
    }
    match waiting
        .first()
        .and_then(|at| infos.get(*at).zip(at.checked_add(1)))
    {
        None => Ok((known, infos)),
        Some((info, number)) => Err(TrustError::NotBelow {
            file: file.to_owned(),
            number,
            subject: info.subject.clone(),
        }),
    }
}

/// The certificate as a signer, if one of `signers` signed it.
fn below(one: &Known, info: &CertificateInfo, signers: &[Signer]) -> Option<Signer> {
    let signed = Signed::read(&one.der)?;
    let accepted = provider().signature_verification_algorithms;
    let mut above = signers.iter().filter(|signer| signer.name == one.issuer);
    above.find(|signer| signed.verify(&signer.key, &accepted) == Signature::Right)?;
    let whole = EndEntityCert::try_from(&one.der)
        .ok()?
        .subject_public_key_info();
    Some(Signer {
        name: one.subject.clone(),
        key: der::unwrapped(&whole)?.into(),
        signs_crls: info.signs_crls,
    })
}
