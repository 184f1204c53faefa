//! What of an agent's answer is taken: our own checks, whatever the client library has looked at.
//!
//! A key pair is taken only if the certificate has exactly one SPIFFE ID and is the one that is
//! wanted, is no CA's and in time, and the key is its own; a bundle only if every certificate of it
//! is that of a CA, and there is one.

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use spiffe::{TrustDomain as SentDomain, X509Context, X509Svid};

use super::error::{AgentError, cut};
use crate::identity::certificate::peer_identity;
use crate::identity::spiffe::{SpiffeId, TrustDomain};
use crate::trust::{KeyPair, TrustBundle, TrustError, Vouches};

/// A process with more identities than this is not registered on purpose.
const SVIDS_MAX: usize = 100;
/// More partners than that would be trusted by nobody's decision.
const BUNDLES_MAX: usize = 1_000;
/// All public CAs of the world are about 150.
const CAS_MAX: usize = 1_000;
/// As many names of what was sent instead stand in a message.
const NAMES_MAX: usize = 5;

/// The key pair of `wanted`, or the first one; `before` is the SPIFFE ID that the place had last.
///
/// # Errors
///
/// [`AgentError`]: nothing is taken then.
pub(super) fn key_pair(
    context: &X509Context,
    wanted: Option<&SpiffeId>,
    before: Option<&SpiffeId>,
    origin: &Path,
    now: UnixTime,
) -> Result<(SpiffeId, KeyPair), AgentError> {
    let svids = context.svids();
    few("certificates", svids.len(), SVIDS_MAX)?;
    let is_wanted = |svid: &&std::sync::Arc<X509Svid>| match wanted {
        Some(id) => svid.spiffe_id().to_string() == id.as_str(),
        None => true,
    };
    let Some(svid) = svids.iter().find(is_wanted) else {
        return Err(AgentError::NoSuchSvid {
            wanted: wanted.map_or_else(|| "certificate".to_owned(), ToString::to_string),
            sent: names(svids.iter().map(|svid| svid.spiffe_id().to_string())),
        });
    };
    let said = svid.spiffe_id().to_string();
    let unusable = |error| AgentError::Svid {
        id: said.clone(),
        error: Box::new(error),
    };
    let id = read_id(svid).ok_or_else(|| AgentError::Unreadable {
        why: format!("no one SPIFFE ID is in the certificate of {}", cut(&said)),
    })?;
    if let (None, Some(before)) = (wanted, before)
        && before.trust_domain() != id.trust_domain()
    {
        return Err(AgentError::OtherTrustDomain {
            before: before.to_string(),
            sent: id.to_string(),
        });
    }
    let chain = svid.cert_chain().iter();
    let chain = chain.map(|der| CertificateDer::from(der.as_bytes().to_vec()));
    let key = PrivatePkcs8KeyDer::from(svid.private_key().as_bytes().to_vec());
    let pair = KeyPair::from_der(chain.collect(), key.into(), origin, now).map_err(unusable)?;
    Ok((id, pair))
}

/// The name in the certificate, as all peers of the gateway will read it.
fn read_id(svid: &X509Svid) -> Option<SpiffeId> {
    let identity = peer_identity(svid.leaf().as_bytes()).ok()?;
    let id = identity.spiffe?;
    (id.as_str() == svid.spiffe_id().to_string()).then_some(id)
}

/// The bundle of a trust domain.
///
/// # Errors
///
/// [`AgentError`]: nothing is taken then.
pub(super) fn bundle(
    context: &X509Context,
    wanted: &TrustDomain,
    origin: &Path,
) -> Result<TrustBundle, AgentError> {
    let set = context.bundle_set();
    few("bundles", set.len(), BUNDLES_MAX)?;
    let domain = SentDomain::new(wanted.as_str()).ok();
    let Some(sent) = domain.and_then(|domain| set.get(&domain)) else {
        return Err(AgentError::NoSuchBundle {
            wanted: wanted.to_string(),
            sent: names(set.iter().map(|(domain, _)| domain.as_str().to_owned())),
        });
    };
    let authorities = sent.authorities();
    if authorities.is_empty() {
        return Err(AgentError::EmptyBundle {
            trust_domain: wanted.to_string(),
        });
    }
    few("CAs in a bundle", authorities.len(), CAS_MAX)?;
    let ders = authorities.iter();
    let ders = ders.map(|der| CertificateDer::from(der.as_bytes().to_vec()));
    let vouches_for = Vouches::Domain(wanted.clone());
    TrustBundle::from_der(ders.collect(), origin, vouches_for).map_err(|error: TrustError| {
        AgentError::Bundle {
            trust_domain: wanted.to_string(),
            error: Box::new(error),
        }
    })
}

fn few(what: &'static str, count: usize, max: usize) -> Result<(), AgentError> {
    if count > max {
        return Err(AgentError::TooMany { what, count, max });
    }
    Ok(())
}

/// The first of them, for a message.
fn names(names: impl Iterator<Item = String>) -> String {
    let mut list: Vec<String> = names.take(NAMES_MAX + 1).map(|name| cut(&name)).collect();
    if list.len() > NAMES_MAX {
        list.truncate(NAMES_MAX);
        list.push("others".to_owned());
    }
    match list.is_empty() {
        true => "none".to_owned(),
        false => list.join(", "),
    }
}
