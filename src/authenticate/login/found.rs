//! Whose session a request shows: whether it opens, its time is not over, it was not ended, and the
//! certificate is its own.

use serde_json::{Map, Value};

use super::Login;
use super::id_token::{check_parties, text};
use super::pending::thumbprint;
use super::session::{Session, Standing};
use crate::authenticate::authenticator::Asked;
use crate::authenticate::told::Told;
use crate::observe::LoginResult;
use crate::refusal::Refusal;

/// A session that is good, and the claims of its ID token.
pub(super) struct Found {
    pub(super) session: Session,
    pub(super) claims: Map<String, Value>,
    /// Whether it should be written down that it was heard of.
    pub(super) touch: bool,
}

impl Login {
    /// The session of a request, if it opens, its time is not over, and the certificate is its own.
    pub(super) fn found(&self, asked: &Asked<'_>, told: &mut Told) -> Option<Found> {
        let session = self.opened(asked, told)?;
        let standing = session.standing(&self.spec.session, asked.now, self.leeway());
        let claims = session.claims()?;
        // A session of before counts for nobody else when the login has another issuer or client.
        let client_id = self.parts.client.client_id();
        check_parties(&claims, self.issuer_text(), client_id).ok()?;
        match standing {
            Standing::Over => None,
            Standing::Good | Standing::Touch => Some(Found {
                touch: standing == Standing::Touch,
                session,
                claims,
            }),
        }
    }

    /// The session of a request, also one whose time is over. One that comes with another
    /// certificate than its own was perhaps stolen: that is counted, and stands in the access log.
    pub(super) fn opened(&self, asked: &Asked<'_>, told: &mut Told) -> Option<Session> {
        let sealed = self.cookies.session(asked.headers)?;
        let purpose = self.purpose("session", asked);
        let opened = self.parts.seals.open(&purpose, &sealed)?;
        let session = Session::of_text(&opened)?;
        let claims = session.claims();
        told.user(claims.as_ref().and_then(|claims| text(claims, "sub")));
        if !self.fits(session.certificate.as_deref(), asked) {
            let other = LoginResult::OtherCertificate;
            self.parts.metrics.login(other);
            told.no_session(other.label());
            return None;
        }
        Some(session)
    }

    /// Whether what began with this certificate may go on with that of the connection.
    pub(super) fn fits(&self, certificate: Option<&str>, asked: &Asked<'_>) -> bool {
        !self.spec.bound_to_certificate || certificate == self.certificate(asked).as_deref()
    }

    /// The certificate of the connection, if sessions are bound to it.
    pub(super) fn certificate(&self, asked: &Asked<'_>) -> Option<String> {
        let bound = asked.peer.filter(|_| self.spec.bound_to_certificate);
        thumbprint(bound.map(|peer| &peer.fingerprint))
    }

    /// Whether the session was ended before its time.
    pub(super) async fn is_ended(&self, found: &Found, told: &mut Told) -> Result<bool, Refusal> {
        let Some(sub) = text(&found.claims, "sub") else {
            return Ok(true);
        };
        let sid = text(&found.claims, "sid");
        let ended = self.ended().has(&found.session, sid, sub).await;
        let ended = ended.map_err(|_counted_there| Refusal::LoginUnavailable)?;
        if ended {
            told.no_session("ended");
        }
        Ok(ended)
    }
}
