//! A browser comes back from the server, with a code or with an error.

use http::Method;
use serde_json::Value;

use super::begin::redirect;
use super::pending::{Pending, is_random, random, same, stays_here};
use super::session::Session;
use super::{Login, cookies, query, until};
use crate::authenticate::authenticator::Asked;
use crate::authenticate::told::{Reply, Told};
use crate::refusal::Refusal;
use crate::shared_state::Space;

/// What a browser brings back (RFC 6749, section 4.1.2; RFC 9207).
struct Brought {
    state: String,
    said: Said,
    issuer: Option<String>,
}

enum Said {
    Code(String),
    Error(&'static ServerSays),
}

/// An error that servers send browsers back with.
struct ServerSays {
    /// As the server writes it.
    error: &'static str,
    /// What comes of it.
    refusal: Refusal,
    /// Whether an operator should know: no user brings it about.
    ours: bool,
}

const fn says(error: &'static str, refusal: Refusal, ours: bool) -> ServerSays {
    ServerSays {
        error,
        refusal,
        ours,
    }
}

/// RFC 6749, section 4.1.2.1; OpenID Connect Core, section 3.1.2.6. The log has these words and no
/// others: what stands in an address anybody may write.
const ERRORS: [ServerSays; 9] = [
    says("access_denied", Refusal::LoginDenied, false),
    says("login_required", Refusal::LoginDenied, false),
    says("interaction_required", Refusal::LoginDenied, false),
    says("server_error", Refusal::LoginUnavailable, true),
    says("temporarily_unavailable", Refusal::LoginUnavailable, true),
    says("invalid_request", Refusal::LoginDenied, true),
    says("invalid_scope", Refusal::LoginDenied, true),
    says("unauthorized_client", Refusal::LoginDenied, true),
    says("unsupported_response_type", Refusal::LoginDenied, true),
];
const ANOTHER_ERROR: ServerSays = says("another", Refusal::LoginDenied, true);

/// A code is a few hundred bytes; one that is longer does not fit into a form of 16 KiB either.
const CODE_BYTES_MAX: usize = 4 * 1024;

impl Login {
    /// Exchanges the code, and begins the session.
    pub(super) async fn callback(
        &self,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Box<Reply>, Refusal> {
        if asked.method != Method::GET {
            return Err(Refusal::MethodRefused);
        }
        let brought = Brought::read(asked.query.unwrap_or_default())?;
        let pending = self.take_pending(&brought.state, asked, told)?;
        let endpoints = self.endpoints().await?;
        match brought.issuer.as_deref() {
            Some(issuer) if issuer != self.issuer_text() => {
                return Err(Refusal::LoginAnswerMalformed);
            }
            None if endpoints.says_issuer => return Err(Refusal::LoginAnswerMalformed),
            Some(_) | None => {}
        }
        self.use_up(&pending, asked).await?;
        let code = match &brought.said {
            Said::Code(code) => code,
            Said::Error(says) => {
                if says.ours && self.complains(says.error) {
                    tracing::warn!(login = %self.name, error = says.error, "the server for logins sends a browser back without a code");
                }
                return Err(says.refusal);
            }
        };
        let callback = Self::own_address(asked, &self.spec.paths.callback);
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &callback),
            ("code_verifier", &pending.verifier),
        ];
        let given = self.given(&endpoints.urls.token, &form, asked.client, asked.now);
        let given = given.await.map_err(|no| no.at_login())?;
        let id_token = given.id_token;
        let id_token = id_token.ok_or_else(|| self.id_token_refused("there is none"))?;
        let access = given.access.as_str();
        let nonce = Some(pending.nonce.as_str());
        let claims = self
            .check_id_token(&id_token, nonce, Some(access), None, asked.now, told)
            .await?;
        let sub = claims.get("sub").and_then(Value::as_str);
        let sub = sub.ok_or(Refusal::IdTokenRefused)?;
        told.user(Some(sub));
        let after = self.ended().before(sub, pending.begun).await;
        let session = Session {
            id: random().ok_or(Refusal::Internal)?,
            begun: asked.now,
            seen: asked.now,
            ends: asked.now.saturating_add(self.spec.session.max.as_secs()),
            certificate: self.certificate(asked),
            id_token,
            tokens: given
                .rest
                .kept(&given.access, self.spec.forward_access_token),
            after: after.map_err(|_counted_there| Refusal::LoginUnavailable)?,
        };
        let set = self.set_session(&session, asked);
        if set.is_err() && self.complains("the tokens do not fit") {
            tracing::warn!(login = %self.name, "the tokens of a login do not fit into cookies");
        }
        told.fields.extend(set?);
        // Sealed, and written by us: looked at again all the same.
        let target = Some(pending.return_to.as_str()).filter(|target| stays_here(target));
        redirect(target.unwrap_or("/")).map(Box::new)
    }

    /// The login that this `state` is of, if this browser began it.
    fn take_pending(
        &self,
        state: &str,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Pending, Refusal> {
        let unknown = Refusal::LoginStateUnknown;
        let name = self.cookies.pending(state).ok_or(unknown)?;
        let sealed = cookies::only(asked.headers, &name).ok_or(unknown)?;
        told.fields.extend(cookies::remove(&name));
        let text = self.parts.seals.open(&self.purpose("login", asked), sealed);
        let pending = text.as_deref().and_then(Pending::of_text).ok_or(unknown)?;
        let own = same(&pending.state, state)
            && self.is_under_way(&pending, asked.now)
            && self.fits(pending.certificate.as_deref(), asked);
        own.then_some(pending).ok_or(unknown)
    }

    /// Notes that a login was come back from. It counts once, at whichever gateway: who has kept its cookie
    /// could else have the server asked again and again.
    async fn use_up(&self, pending: &Pending, asked: &Asked<'_>) -> Result<(), Refusal> {
        let ends = pending
            .begun
            .saturating_add(self.spec.login_timeout.as_secs())
            .saturating_add(self.leeway());
        let (shared, state) = (&self.parts.shared, pending.state.as_bytes());
        let new = shared.put_new(Space::Login, state, until(ends, asked.now));
        match new.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::LoginStateUnknown),
            Err(_counted_there) => Err(Refusal::LoginUnavailable),
        }
    }
}

impl Brought {
    fn read(query: &str) -> Result<Self, Refusal> {
        let malformed = Refusal::LoginAnswerMalformed;
        let names = ["state", "code", "error", "iss"];
        let [state, code, error, issuer] = query::values(query, names).ok_or(malformed)?;
        let state = state.filter(|state| is_random(state));
        let said = match (code, error) {
            (Some(code), None) if (1..=CODE_BYTES_MAX).contains(&code.len()) => Said::Code(code),
            (None, Some(error)) => {
                let known = ERRORS.iter().find(|says| says.error == error);
                Said::Error(known.unwrap_or(&ANOTHER_ERROR))
            }
            (None | Some(_), _) => return Err(malformed),
        };
        Ok(Self {
            state: state.ok_or(Refusal::LoginStateUnknown)?,
            said,
            issuer,
        })
    }
}
