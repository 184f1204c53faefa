//! [`order`]: one order, from the account to the certificate (RFC 8555, section 7.4).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::challenge::{Challenges, Pending};
use super::error::{AcmeError, Retry, plain};
use crate::config::acme::AcmeChallenge;
use crate::identity::host::Host;

/// How the directory is asked whether it is done. It says itself when to ask again, if it likes.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.6)
    .timeout(Duration::from_secs(90));

/// Orders a certificate for these names. PEM: the key, the certificate, its chain.
///
/// # Errors
///
/// [`AcmeError`] says at what it failed, and why in the directory's words.
///
/// # Cancel safety
///
/// Dropping the future gives up the order; its challenges are no longer answered.
pub(super) async fn order(
    account: &Account,
    names: &[Host],
    how: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<String, AcmeError> {
    let identifiers: Vec<_> = names
        .iter()
        .map(|name| Identifier::Dns(name.to_string()))
        .collect();
    let mut order = account
        .new_order(&NewOrder::new(&identifiers))
        .await
        .map_err(|error| AcmeError::of("ordering", &error))?;
    let pending = prove(&mut order, names, how, challenges).await?;
    let ready = order.poll_ready(&POLLING).await;
    if !matches!(ready, Ok(OrderStatus::Ready))
        && let Some(refused) = refused_challenge(&mut order).await
    {
        return Err(refused);
    }
    drop(pending);
    match ready.map_err(|error| AcmeError::of("proving that the names are ours", &error))? {
        OrderStatus::Ready | OrderStatus::Valid => {}
        OrderStatus::Invalid | OrderStatus::Pending | OrderStatus::Processing => {
            let what = "the directory gave the order up and does not say why";
            return Err(AcmeError::new(Retry::Later, what));
        }
    }
    let (key, csr) = request(names)?;
    order
        .finalize_csr(&csr)
        .await
        .map_err(|error| AcmeError::of("asking for the certificate", &error))?;
    let chain = order
        .poll_certificate(&POLLING)
        .await
        .map_err(|error| AcmeError::of("waiting for the certificate", &error))?;
    Ok(format!("{key}{chain}"))
}

/// Answers one challenge for each name that the directory does not yet know to be ours.
async fn prove(
    order: &mut Order,
    names: &[Host],
    how: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<Vec<Pending>, AcmeError> {
    let mut pending = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization =
            authorization.map_err(|error| AcmeError::of("reading the authorizations", &error))?;
        let shown = authorization.identifier().to_string();
        // We answer for our own names alone, whatever the directory asks.
        let Some(name) = names.iter().find(|name| name.to_string() == shown) else {
            let shown = plain(&shown);
            let what = format!("the directory wants a proof for {shown}, which was not ordered");
            return Err(AcmeError::new(Retry::Later, what));
        };
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            status @ (AuthorizationStatus::Invalid
            | AuthorizationStatus::Revoked
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Deactivated) => {
                let what = format!("the directory's authorization for {name} is {status:?}");
                return Err(AcmeError::new(Retry::Later, what));
            }
        }
        let (kind, text) = match how {
            AcmeChallenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
            AcmeChallenge::Http01 { .. } => (ChallengeType::Http01, "http-01"),
        };
        let Some(mut challenge) = authorization.challenge(kind) else {
            let what = format!("the directory offers no challenge {text} for {name}");
            return Err(AcmeError::new(Retry::Later, what));
        };
        let answer = challenge.key_authorization();
        pending.push(match how {
            AcmeChallenge::TlsAlpn01 => challenges.answer_tls(name, &answer)?,
            AcmeChallenge::Http01 { .. } => challenges.answer_http(&challenge.token, &answer)?,
        });
        challenge
            .set_ready()
            .await
            .map_err(|error| AcmeError::of("answering a challenge", &error))?;
    }
    Ok(pending)
}

/// What the directory says about a challenge that it did not find answered.
async fn refused_challenge(order: &mut Order) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        let refused = state.challenges.iter().find_map(|one| one.error.as_ref());
        if let Some(problem) = refused {
            let name = plain(&state.identifier().to_string());
            let detail = plain(problem.detail.as_deref().unwrap_or("no detail"));
            let kind = plain(problem.r#type.as_deref().unwrap_or("no type"));
            let what = format!("the directory did not find that {name} is ours: {detail} ({kind})");
            return Some(AcmeError::new(Retry::Later, what));
        }
    }
    None
}

/// A new key, PEM, and the request to certify it (PKCS #10).
fn request(names: &[Host]) -> Result<(String, Vec<u8>), AcmeError> {
    let failed = |error| AcmeError::new(Retry::Later, format!("no request can be made: {error}"));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&key).map_err(failed)?;
    Ok((key.serialize_pem(), csr.der().to_vec()))
}
