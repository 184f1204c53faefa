//! Renewing the tokens of a session.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Login;
use super::found::Found;
use super::refresh::{KEPT, NotRefreshed, Outcome, hash};
use super::session::Session;
use super::tokens::NotGiven;
use crate::authenticate::authenticator::Asked;
use crate::authenticate::told::Told;
use crate::observe::RefreshResult;
use crate::refusal::Refusal;
use crate::shared_state::{Away, Space};

/// Tokens are renewed a little before they end: a tenth of their time, and this much at most.
const AHEAD_SECONDS_MAX: u64 = 30;
/// Between two looks at what another gateway does.
const LOOK: Duration = Duration::from_millis(50);

impl Login {
    /// Whether the session's tokens must be renewed before it is used.
    pub(super) fn is_due(&self, session: &Session, now: u64) -> bool {
        let tokens = &session.tokens;
        let Some(ends) = tokens.access_ends else {
            return false;
        };
        if tokens.refresh.is_none() {
            // Services would get a token that is over.
            return self.spec.forward_access_token && now >= ends;
        }
        let ahead = ends.saturating_sub(tokens.got) / 10;
        now.saturating_add(ahead.min(AHEAD_SECONDS_MAX)) >= ends
    }

    /// The session with its new tokens; `None` if the user must log in again.
    pub(super) async fn renewed(
        self: &Arc<Self>,
        found: &Found,
        asked: &Asked<'_>,
    ) -> Result<Option<Found>, Refusal> {
        let session = &found.session;
        let Some(token) = session.tokens.refresh.clone() else {
            return Ok(None);
        };
        let (login, before, now) = (Arc::clone(self), session.clone(), asked.now);
        let client = asked.client.to_owned();
        let refresh = || async move {
            let came = login.refresh(&before, &client, now).await;
            login.parts.metrics.refreshed(match &came {
                Ok(_) => RefreshResult::Renewed,
                Err(NotRefreshed::Ended) => RefreshResult::Ended,
                Err(NotRefreshed::Unavailable) => RefreshResult::Unavailable,
            });
            came
        };
        match self.kept.refreshes.outcome(&token, refresh).await {
            Ok(renewed) => {
                let mut session = session.clone();
                session.id_token.clone_from(&renewed.id_token);
                session.tokens.clone_from(&renewed.tokens);
                let claims = session.claims().ok_or(Refusal::Internal)?;
                let touch = true;
                Ok(Some(Found {
                    session,
                    claims,
                    touch,
                }))
            }
            Err(NotRefreshed::Ended) => Ok(None),
            // The token is good for a moment yet: the server may be back by then.
            Err(NotRefreshed::Unavailable)
                if session.tokens.access_ends.is_some_and(|ends| now < ends) =>
            {
                Ok(Some(Found {
                    session: session.clone(),
                    claims: found.claims.clone(),
                    touch: found.touch,
                }))
            }
            Err(NotRefreshed::Unavailable) => Err(Refusal::LoginUnavailable),
        }
    }

    /// Renews, or takes what another gateway has renewed.
    async fn refresh(&self, session: &Session, client: &str, now: u64) -> Outcome {
        let token = session
            .tokens
            .refresh
            .as_deref()
            .ok_or(NotRefreshed::Ended)?;
        let name = URL_SAFE_NO_PAD.encode(hash(token));
        if let Some(renewed) = self.renewed_elsewhere(session, &name).await? {
            return Ok(renewed);
        }
        let mine = format!("refreshing {name}");
        let shared = &self.parts.shared;
        // It waits for its turn, for where the server is asked, and for the server.
        let patience = self.spec.timeout.saturating_mul(3);
        let first = shared
            .put_new(Space::Renewal, mine.as_bytes(), patience)
            .await;
        if !first.map_err(away)? {
            return self.wait_for_another(session, &name, patience).await;
        }
        let came = self.ask_for_tokens(session, (token, client), now).await;
        if let Ok(renewed) = &came {
            self.tell_others(&name, renewed).await;
        }
        if let Err(error) = shared.remove(Space::Renewal, mine.as_bytes()).await {
            tracing::warn!(login = %self.name, %error, "others wait for renewed tokens in vain");
        }
        came
    }

    async fn wait_for_another(&self, session: &Session, name: &str, patience: Duration) -> Outcome {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            sleep(LOOK).await;
            if let Some(renewed) = self.renewed_elsewhere(session, name).await? {
                return Ok(renewed);
            }
        }
        Err(NotRefreshed::Unavailable)
    }

    async fn ask_for_tokens(
        &self,
        session: &Session,
        (token, client): (&str, &str),
        now: u64,
    ) -> Outcome {
        let unavailable = |_told_in_the_log| NotRefreshed::Unavailable;
        let endpoints = self.endpoints().await.map_err(unavailable)?;
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let given = self.given(&endpoints.urls.token, &form, client, now).await;
        let given = given.map_err(|no| match no {
            NotGiven::Refused => NotRefreshed::Ended,
            NotGiven::Unavailable => NotRefreshed::Unavailable,
        })?;
        let id_token = match given.id_token {
            None => session.id_token.clone(),
            Some(id_token) => {
                self.check_renewed(&id_token, &given.access, session, now)
                    .await?;
                id_token
            }
        };
        let forwarded = self.spec.forward_access_token;
        let tokens = given
            .rest
            .kept_after(&given.access, forwarded, &session.tokens);
        Ok(Arc::new(Session {
            id_token,
            tokens,
            ..session.clone()
        }))
    }

    /// OpenID Connect Core, section 12.2: for the same user and the same session.
    async fn check_renewed(
        &self,
        id_token: &str,
        access: &str,
        session: &Session,
        now: u64,
    ) -> Result<(), NotRefreshed> {
        let before = session.claims().ok_or(NotRefreshed::Ended)?;
        let text = |name: &str| before.get(name).and_then(Value::as_str);
        let sub = text("sub").ok_or(NotRefreshed::Ended)?;
        let told = &mut Told::default();
        let checked = self
            .check_id_token(id_token, None, Some(access), Some(sub), now, told)
            .await;
        let claims = checked.map_err(|refusal| match refusal.status().is_server_error() {
            true => NotRefreshed::Unavailable,
            false => NotRefreshed::Ended,
        })?;
        let same = |name: &str| {
            let new = claims.get(name);
            new.is_none() || new == before.get(name)
        };
        // A server that leaves out `sid` would take the session out of reach of its own logout.
        let sid = before.get("sid").is_none() || claims.get("sid") == before.get("sid");
        let own = same("nonce") && sid;
        own.then_some(()).ok_or(NotRefreshed::Ended)
    }

    /// What another gateway, or this one before a reload, has made of the same token.
    async fn renewed_elsewhere(
        &self,
        session: &Session,
        name: &str,
    ) -> Result<Option<Arc<Session>>, NotRefreshed> {
        let key = format!("refreshed {name}");
        let found = self.parts.shared.get(Space::Renewal, key.as_bytes()).await;
        let Some(sealed) = found.map_err(away)? else {
            return Ok(None);
        };
        let sealed = str::from_utf8(&sealed).unwrap_or_default();
        let text = self.parts.seals.open(&self.refreshed_purpose(name), sealed);
        let renewed = text.and_then(|text| Session::of_text(&text));
        // A refresh token is of one login. Sealed for it, and looked at again all the same.
        let renewed = renewed.filter(|renewed| renewed.is_same(session));
        Ok(renewed.map(Arc::new))
    }

    async fn tell_others(&self, name: &str, renewed: &Session) {
        let key = format!("refreshed {name}");
        let purpose = self.refreshed_purpose(name);
        let Some(sealed) = self.parts.seals.seal(&purpose, &renewed.to_text()) else {
            return;
        };
        let shared = &self.parts.shared;
        let put = shared.put(Space::Renewal, key.as_bytes(), Bytes::from(sealed), KEPT);
        if let Err(error) = put.await {
            tracing::warn!(login = %self.name, %error, "other gateways do not hear of renewed tokens");
        }
    }

    /// For the refresh token of this name alone. Whoever can write into the store could else put the
    /// session of one user in the place where another one's is looked for.
    fn refreshed_purpose(&self, name: &str) -> String {
        self.purpose_of("refreshed", name)
    }
}

const fn away(_counted_there: Away) -> NotRefreshed {
    NotRefreshed::Unavailable
}
