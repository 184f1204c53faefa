//! [`Authenticator`]: how callers of one route show whom they act for, and what comes of it.

use std::sync::Arc;

use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use super::login::Login;
use super::told::{Reply, Told};
use super::verifier::JwtVerifier;
use crate::identity::certificate::PeerIdentity;
use crate::identity::host::Authority;
use crate::identity::path::NormalPath;
use crate::identity::subject::Subject;
use crate::refusal::Refusal;

/// What one route takes as a proof of whom its caller acts for.
#[derive(Debug, Default)]
pub struct Authenticator {
    token: Option<JwtVerifier>,
    login: Option<Arc<Login>>,
}

/// What is known of a request when it is asked for whom it acts.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// The method.
    pub method: &'r Method,
    /// The host, canonical, and the port if one was named.
    pub authority: &'r Authority,
    /// The path in normal form.
    pub path: &'r NormalPath,
    /// The query, without its `?`.
    pub query: Option<&'r str>,
    /// The header fields.
    pub headers: &'r HeaderMap,
    /// Whom the connection's certificate names.
    pub peer: Option<&'r PeerIdentity>,
    /// Seconds since 1970.
    pub now: u64,
}

/// What came of it.
#[derive(Debug)]
pub enum Authenticated {
    /// The route does not ask: the certificate is enough.
    Anyone,
    /// It acts for this subject.
    As(Arc<Subject>),
    /// The gateway answers by itself, without a refusal: a browser is sent to log in.
    Reply(Box<Reply>),
}

impl Authenticator {
    /// One that takes these; if nothing, the certificate is enough.
    #[must_use]
    pub const fn new(token: Option<JwtVerifier>, login: Option<Arc<Login>>) -> Self {
        Self { token, login }
    }

    /// Finds out for whom a request acts. What the answer must say, whatever it will be, goes to
    /// `told`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the credential, or why it cannot be checked now.
    pub async fn authenticate(
        &self,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Authenticated, Refusal> {
        let verifier = match (&self.token, &self.login) {
            (None, None) => return Ok(Authenticated::Anyone),
            (Some(verifier), None) => verifier,
            (None, Some(login)) => return login.authenticate(asked, told).await,
            (Some(verifier), Some(login)) => {
                let bearer = asked.headers.contains_key(http::header::AUTHORIZATION);
                match (bearer, login.is_shown(asked)) {
                    (true, false) => verifier,
                    (false, _) => return login.authenticate(asked, told).await,
                    // Whose request would it be?
                    (true, true) => return Err(Refusal::HeaderAmbiguous),
                }
            }
        };
        let subject = verifier.check(asked.headers, asked.peer, asked.now)?;
        Ok(Authenticated::As(subject))
    }

    /// As [`Self::authenticate`], for claims that nobody signed: the rehearsal of `tests:`.
    ///
    /// # Errors
    ///
    /// What [`Self::authenticate`] would refuse a credential with these claims for.
    pub fn rehearse(
        &self,
        claims: Option<&Map<String, Value>>,
        peer: Option<&PeerIdentity>,
        now: u64,
    ) -> Result<Option<Arc<Subject>>, Refusal> {
        match (&self.token, &self.login) {
            (None, None) => Ok(None),
            (None, Some(login)) => {
                let claims = claims.ok_or(Refusal::LoginRequired)?;
                Ok(Some(login.rehearse(claims.clone(), now)))
            }
            (Some(verifier), _) => {
                let claims = claims.ok_or(Refusal::TokenMissing)?;
                verifier.rehearse(claims, peer, now).map(Some)
            }
        }
    }
}
