//! [`Exchange`]: exchanges tokens on the terms of one route.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Uri};
use rustls::pki_types::UnixTime;
use tokio::time::timeout;

use super::answer::{self, Issued};
use super::server::Server;
use super::store::{self, ExchangeStore, Found, Kept, Key, digest};
use crate::complaints::Complaints;
use crate::config::exchange::{ExchangeSpec, TokenTypeSpec};
use crate::config::oauth_client::OauthClientSpec;
use crate::identity::name::Name;
use crate::identity::subject::Subject;
use crate::oauth::client::{Client, address};
use crate::oauth::error::{ErrorCode, OauthError};
use crate::oauth::places::{Place, Turn};
use crate::observe::{ExchangeMetrics, ExchangeResult};
use crate::refusal::Refusal;

/// The exchange of one route.
pub struct Exchange {
    route: Name,
    /// Who we are: the entry of `oauth_clients`.
    us: Name,
    client: Arc<Client>,
    url: Uri,
    /// What is asked for, beside the token.
    terms: Vec<(&'static str, Box<str>)>,
    digest: [u8; 32],
    requested: Option<TokenTypeSpec>,
    timeout: Duration,
    cache: Duration,
    server: Arc<Server>,
    store: Arc<ExchangeStore>,
    complaints: Complaints<ExchangeResult>,
    metrics: Arc<ExchangeMetrics>,
}

/// RFC 8693, section 2.1.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// A token is not used when it is about to end: it has a way before it.
const MARGIN_SECONDS: u64 = 10;
/// How long one is used again whose end nobody says.
const UNSAID_SECONDS: u64 = 30;
/// How long a refusal holds without asking again.
const REFUSED_SECONDS: u64 = 5;
/// How long nobody asks again for a token for which the server gave nothing.
const AWAY_SECONDS: u64 = 1;

impl Exchange {
    /// That of `route`, on these terms, asked by `client`, which is `us`.
    #[must_use]
    pub fn new(
        route: &Name,
        spec: &ExchangeSpec,
        us: &OauthClientSpec,
        client: Arc<Client>,
        store: Arc<ExchangeStore>,
        metrics: Arc<ExchangeMetrics>,
    ) -> Self {
        let mut terms: Vec<(&'static str, Box<str>)> = vec![
            ("grant_type", GRANT.into()),
            ("subject_token_type", spec.subject_token_type.urn().into()),
        ];
        let requested = spec.requested_token_type;
        let scopes = (!spec.scopes.is_empty()).then(|| spec.scopes.join(" "));
        let more = [
            ("audience", spec.audience.as_deref()),
            ("resource", spec.resource.as_deref()),
            ("scope", scopes.as_deref()),
            ("requested_token_type", requested.map(TokenTypeSpec::urn)),
        ];
        let more = more.into_iter();
        terms.extend(more.filter_map(|(name, value)| Some((name, value?.into()))));
        let url = spec.url.to_string();
        // Whom we believed, how we proved who we are and for how long a token was to be used belong to
        // the terms: what was given on others is not found.
        let (tls, us) = (format!("{:?}", spec.tls), format!("{us:?}"));
        let cache = spec.cache.as_secs().to_be_bytes();
        let mut parts = vec![us.as_bytes(), url.as_bytes(), tls.as_bytes(), &cache];
        for (name, value) in &terms {
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        Self {
            route: route.clone(),
            us: spec.client.clone(),
            digest: digest(&parts).bytes(),
            server: store.server(&url, client.client_id()),
            client,
            url: spec.url.clone(),
            terms,
            requested,
            timeout: spec.timeout,
            cache: spec.cache,
            store,
            complaints: Complaints::default(),
            metrics,
        }
    }

    /// `Authorization` for the service: the new token, for `token`, which speaks for `subject` and was
    /// verified for this very request of `asker` (by what limits count that). `now` in seconds since
    /// 1970.
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenExchangeRefused`] and [`Refusal::TokenExchangeDenied`] where the server does not
    /// give one for this token; [`Refusal::TokenExchangeUnavailable`] where that says nothing about the
    /// client.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was asked goes on and is remembered; before that whoever waits for the same token
    /// asks then.
    pub async fn authorization(
        self: &Arc<Self>,
        token: &str,
        subject: &Subject,
        asker: &str,
        now: u64,
    ) -> Result<HeaderValue, Refusal> {
        let key = Key::of(&self.digest, token);
        if let Some(known) = self.store.known(&key, now) {
            self.metrics.found();
            return known;
        }
        let turn = match self.store.find(&key, now).await {
            Found::Known(outcome) => {
                self.metrics.found();
                return outcome;
            }
            Found::Turn(turn) => turn,
        };
        // Whoever had the turn before may have given up, and the question goes on, or is over.
        if let Some(kept) = self.server.under_way.answer(&key).await {
            return filled(turn, kept);
        }
        if let Some(known) = self.store.known(&key, now) {
            self.metrics.found();
            return known;
        }
        self.metrics.not_found();
        let Some(place) = self.server.places.take(asker) else {
            // Whoever waits for the same token may be somebody who finds room.
            self.metrics.exchange_refused();
            return Err(Refusal::TokenExchangeUnavailable);
        };
        let kept = self.ask(place, key, token, subject.expires).await;
        filled(turn, kept)
    }

    /// Asks when the turn has come. A turn is work at the server: the question has all its time then,
    /// and goes on to its end, whoever still waits.
    async fn ask(self: &Arc<Self>, place: Place, key: Key, token: &str, ends: u64) -> Kept {
        let unavailable = || Kept {
            outcome: Err(Refusal::TokenExchangeUnavailable),
            until: 0,
        };
        let Ok(Some(turn)) = timeout(self.timeout, place.turn()).await else {
            self.metrics.exchange_refused();
            return unavailable();
        };
        let (exchange, token) = (Arc::clone(self), token.to_owned());
        let sent = async move {
            let kept = exchange.ask_now(turn, &token, ends).await;
            exchange.store.remember(key, kept.clone());
            drop(place);
            kept
        };
        let kept = self.server.under_way.send(key, sent).await;
        kept.unwrap_or_else(unavailable)
    }

    async fn ask_now(&self, turn: Turn, token: &str, ends: u64) -> Kept {
        let (began, now) = (Instant::now(), UnixTime::now().as_secs());
        let under_way = self.metrics.exchange_started();
        let issued = self.exchange(token).await;
        drop((under_way, turn));
        let (result, kept) = match issued {
            Ok(issued) => {
                if self.server.is_back() {
                    let (url, client) = (address(&self.url), self.us.as_str());
                    tracing::info!(url, client, "tokens are exchanged again");
                }
                let until = self.until(&issued, ends, now);
                let outcome = Ok(issued.authorization);
                (ExchangeResult::Exchanged, Kept { outcome, until })
            }
            Err(error) => {
                let (result, refusal, seconds) = sort(&error);
                self.tell(result, &error);
                let outcome = Err(refusal);
                // From now on, however long that took, and not a part of a second less.
                let until = UnixTime::now().as_secs().saturating_add(seconds + 1);
                (result, Kept { outcome, until })
            }
        };
        self.metrics.exchange_ended(result, began.elapsed());
        kept
    }

    fn tell(&self, result: ExchangeResult, error: &OauthError) {
        let (url, client, route) = (address(&self.url), self.us.as_str(), self.route.as_str());
        let now = Instant::now();
        match advice(result) {
            // It says nothing of the server, and may well be the route's fault.
            Some(advice) if self.complaints.is_due(result, now) => {
                let result = result.label();
                tracing::warn!(
                    route,
                    url,
                    client,
                    result,
                    %error,
                    hint = advice,
                    "the server does not exchange a token"
                );
            }
            None if self.server.is_told(error, now) => {
                tracing::warn!(route, url, client, %error, "a token could not be exchanged");
            }
            Some(_) | None => {}
        }
    }

    async fn exchange(&self, token: &str) -> Result<Issued, OauthError> {
        let mut form: Vec<(&str, &str)> = vec![("subject_token", token)];
        let terms = self.terms.iter();
        form.extend(terms.map(|(name, value)| (*name, &**value)));
        let answer = self.client.post_form(&self.url, &form).await?;
        answer::read(&answer.object()?, token, self.requested).map_err(OauthError::Answer)
    }

    /// Until when it is used again: not to its last moment, and never for longer than the client's own.
    fn until(&self, issued: &Issued, ends: u64, now: u64) -> u64 {
        let seconds = issued
            .seconds
            .map_or(UNSAID_SECONDS, |all| all.saturating_sub(MARGIN_SECONDS));
        let seconds = seconds.min(self.cache.as_secs());
        now.saturating_add(seconds).min(ends)
    }
}

/// A value that is over at once goes to those who wait, and to nobody after them. One that cannot be
/// kept is asked for anew.
fn filled(turn: store::Turn<'_>, kept: Kept) -> Result<HeaderValue, Refusal> {
    let outcome = kept.outcome.clone();
    drop(turn.insert(kept));
    outcome
}

/// What the operator may do about it. `None`: it is not about the token.
const fn advice(result: ExchangeResult) -> Option<&'static str> {
    match result {
        ExchangeResult::Refused => Some(
            "the server does not take the client's token: is it one that it knows, and of the \
             `subject_token_type` of the route's `exchange`?",
        ),
        ExchangeResult::Denied => Some(
            "look at `audience`, `resource` and `scopes` of the route's `exchange`, and at what \
             the server lets this client of it ask for",
        ),
        ExchangeResult::Busy | ExchangeResult::Exchanged | ExchangeResult::Failed => None,
    }
}

/// Whose fault it is, what the client is told, and for how long that holds. RFC 8693, section 2.2.2:
/// `invalid_request` is a subject token that is not taken.
fn sort(error: &OauthError) -> (ExchangeResult, Refusal, u64) {
    let refused = (
        ExchangeResult::Refused,
        Refusal::TokenExchangeRefused,
        REFUSED_SECONDS,
    );
    let denied = (
        ExchangeResult::Denied,
        Refusal::TokenExchangeDenied,
        REFUSED_SECONDS,
    );
    let failed = (
        ExchangeResult::Failed,
        Refusal::TokenExchangeUnavailable,
        AWAY_SECONDS,
    );
    let OauthError::Refused { status, error } = error else {
        return failed;
    };
    match error.code {
        // 401: our own proof of who we are was not taken (RFC 6749, section 5.2).
        _of_the_server if status.is_server_error() || matches!(status.as_u16(), 401 | 429) => {
            failed
        }
        ErrorCode::InvalidGrant | ErrorCode::InvalidRequest | ErrorCode::InvalidToken => refused,
        ErrorCode::InvalidTarget | ErrorCode::InvalidScope | ErrorCode::AccessDenied => denied,
        ErrorCode::InvalidClient
        | ErrorCode::UnauthorizedClient
        | ErrorCode::UnsupportedGrantType
        | ErrorCode::Other => failed,
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("url", &self.url)
            .field("client", &self.client.client_id())
            .finish_non_exhaustive()
    }
}
