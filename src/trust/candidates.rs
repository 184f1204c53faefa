//! [`candidates`]: the certificates from which webpki builds a path, so few that it ends soon.
//!
//! webpki tries every way from the leaf upwards. A stranger who shows ten certificates of one name
//! with ten keys makes it try 150,000 ways before it gives up.

use std::borrow::Cow;

use rustls::pki_types::CertificateDer;
use webpki::{Cert, EndEntityCert};

use super::untrusted::Untrusted;
use crate::handshake_failure::HandshakeFailure;

/// A certificate of the bundle's `intermediates`.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) der: CertificateDer<'static>,
    /// The content of its subject.
    pub(super) subject: Box<[u8]>,
    /// The content of its issuer.
    pub(super) issuer: Box<[u8]>,
}

/// Chains of today have one or two. Each one more is work that a stranger can make us do.
pub(super) const SENT_MAX: usize = 10;
/// Certificates of one name that are tried: a CA with an old and a new key, each signed twice.
pub(super) const NAMESAKES_MAX: usize = 4;
/// As many have no way of being entangled that would take long.
const SIMPLE: usize = 3;

/// Of what was sent and what the bundle knows, what can stand above `leaf`.
///
/// # Errors
///
/// [`HandshakeFailure::ChainTooLong`] if there is more than is tried.
pub(super) fn candidates<'a>(
    leaf: &Cert<'_>,
    sent: &'a [CertificateDer<'a>],
    known: &'a [Known],
) -> Result<Cow<'a, [CertificateDer<'a>]>, Untrusted> {
    if sent.len() > SENT_MAX {
        let detail = format!("{} certificates above the leaf", sent.len());
        return Err(Untrusted::plain(HandshakeFailure::ChainTooLong, detail));
    }
    if known.is_empty() && sent.len() <= SIMPLE {
        return Ok(Cow::Borrowed(sent));
    }
    let read = sent.iter().map(EndEntityCert::try_from);
    // One that cannot be read is no step of any way.
    let read: Vec<_> = read.filter_map(Result::ok).collect();
    let sent = read
        .iter()
        .map(|sent| (sent.der(), sent.subject(), sent.issuer()));
    let known = known
        .iter()
        .map(|known| (borrowed(&known.der), &*known.subject, &*known.issuer));
    let mut pool: Vec<_> = sent.chain(known).collect();
    let mut wanted = vec![leaf.issuer().to_vec()];
    let mut chosen: Vec<CertificateDer<'a>> = Vec::new();
    let mut at = 0;
    while let Some(name) = wanted.get(at).cloned() {
        let (fits, rest): (Vec<_>, Vec<_>) = pool
            .into_iter()
            .partition(|(_, subject, _)| **subject == *name);
        pool = rest;
        let mut namesakes: Vec<CertificateDer<'a>> = Vec::new();
        for (der, _, issuer) in fits {
            if namesakes.contains(&der) {
                continue;
            }
            if !wanted.iter().any(|name| **name == *issuer) {
                wanted.push(issuer.to_vec());
            }
            namesakes.push(der);
        }
        if namesakes.len() > NAMESAKES_MAX {
            let detail = format!("{} CAs of one name", namesakes.len());
            return Err(Untrusted::plain(HandshakeFailure::ChainTooLong, detail));
        }
        chosen.extend(namesakes);
        at += 1;
    }
    Ok(Cow::Owned(chosen))
}

fn borrowed<'a>(der: &'a CertificateDer<'static>) -> CertificateDer<'a> {
    CertificateDer::from(der.as_ref())
}
